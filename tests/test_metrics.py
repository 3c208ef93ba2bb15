"""Metrics: by hand, against scikit-learn, and NaN where undefined."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from w2s.errors import W2SError
from w2s.results.metrics import (
    LABEL_SCORES,
    METRICS,
    accuracy,
    auroc,
    brier,
    calibration_error,
    correct_rows,
    label_scores,
    pgr,
)

EVERY_METRIC = (*METRICS.values(), calibration_error)
coarse = st.lists(
    st.tuples(st.integers(0, 8).map(lambda i: i / 8), st.integers(0, 1)), min_size=1, max_size=40
)


def columns(points):
    proba, label = zip(*points, strict=True)
    return np.array(proba), np.array(label)


def pairwise_auroc(proba, label):
    wins = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for p, y in zip(proba, label, strict=True)
        for q, z in zip(proba, label, strict=True)
        if y == 1 and z == 0
    ]
    return sum(wins) / len(wins) if wins else math.nan


BY_HAND = [  # metric, probabilities, labels, value
    (accuracy, [0.2, 0.8, 0.6, 0.4], [0, 1, 0, 0], 0.75),
    (accuracy, [0.5], [1], 0.5),  # neither class
    (accuracy, [0.5], [0], 0.5),
    (accuracy, [0.5, 0.9], [0, 1], 0.75),
    (auroc, [0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
    (auroc, [0.1, 0.2, 0.3], [0, 0, 1], 1),
    (auroc, [0.3, 0.2, 0.1], [0, 0, 1], 0),
    (auroc, [0.5, 0.5], [0, 1], 0.5),  # ties count half
    (auroc, [0.5] * 7, [0, 1, 1, 0, 1, 0, 0], 0.5),
    (auroc, [0.2, 0.5, 0.5, 0.9], [0, 0, 1, 1], 0.875),
    (auroc, [0.5] * 4, [0, 0, 1, 1], 0.5),  # in this order a rank without ties would say 1
    (brier, [0.0, 1.0], [0, 1], 0),
    (calibration_error, [1.0, 0.0], [1, 0], 0),
    (calibration_error, [1.0, 0.0], [0, 1], 1),
    (calibration_error, [0.5] * 4, [0, 1, 1, 0], 0),
]
NOT_A_NUMBER = [
    *((metric, [], []) for metric in EVERY_METRIC),
    (auroc, [0.1, 0.2, 0.3], [0, 0, 0]),  # one class
    (auroc, [0.1, 0.2, 0.3], [1, 1, 1]),
    # missing predictions are not scored as class 0
    *((metric, [np.nan, 0.9], [0, 1]) for metric in (accuracy, brier, calibration_error)),
]


def test_by_hand():
    for metric, proba, label, expected in BY_HAND:
        assert metric(proba, label) == expected, (metric, proba, label)
    for metric, proba, label in NOT_A_NUMBER:
        assert math.isnan(metric(proba, label)), (metric, proba, label)
    assert brier([0.5, 1.0, 0.0], [1, 1, 1]) == pytest.approx(1.25 / 3)
    # one bin of two points at 0.75 with one positive, one of two points at 0.15 with none
    assert calibration_error([0.75, 0.75, 0.15, 0.15], [1, 0, 0, 0]) == pytest.approx(0.2)
    assert calibration_error([0.72, 0.78], [1, 0]) == pytest.approx(0.25)  # their mean is 0.75
    assert calibration_error([1.0, 0.9], [0, 1]) == pytest.approx(0.45)  # 1 is in the last bin


def test_pgr_by_hand():
    for w2s, expected in ((0.75, 0.5), (0.5, 0), (1.0, 1), (0.25, -0.5), (1.25, 1.5)):
        assert pgr(0.5, w2s, 1.0) == expected
    for floor, ceiling in ((0.7, 0.7), (0.8, 0.7), (0.0, 0.0), (1.0, 0.0)):  # no gap
        assert all(math.isnan(pgr(floor, w2s, ceiling)) for w2s in (0.0, 0.7, 0.9))
    for missing in ((math.nan, 0.6, 0.7), (0.5, math.nan, 0.7), (0.5, 0.6, math.nan)):
        assert math.isnan(pgr(*missing))


@given(coarse)
def test_auroc_is_the_share_of_pairs_in_order(points):
    proba, label = columns(points)
    assert auroc(proba, label) == pytest.approx(pairwise_auroc(proba, label), nan_ok=True)


@given(coarse)
def test_metrics_are_those_of_scikit_learn(points):
    proba, label = columns(points)
    either = [accuracy_score(label, side) for side in (proba >= 0.5, proba > 0.5)]
    assert accuracy(proba, label) == pytest.approx(np.mean(either))
    assume(0 < label.sum() < len(label))
    assert auroc(proba, label) == pytest.approx(roc_auc_score(label, proba))
    assert brier(proba, label) == pytest.approx(brier_score_loss(label, proba))


def test_auroc_of_many_points_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 5000)
    proba = np.clip(rng.normal(0.5 + 0.1 * label, 0.3), 0, 1)  # ties at 0 and 1
    for mine in (proba, proba.astype(np.float32)):
        assert auroc(mine, label) == pytest.approx(roc_auc_score(label, mine), abs=1e-12)


@given(coarse)
def test_swapping_the_classes(points):
    proba, label = columns(points)
    assert accuracy(1 - proba, 1 - label) == pytest.approx(accuracy(proba, label))
    assert accuracy(1 - proba, label) == pytest.approx(1 - accuracy(proba, label))
    assert auroc(1 - proba, 1 - label) == pytest.approx(auroc(proba, label), nan_ok=True)
    assert brier(1 - proba, 1 - label) == pytest.approx(brier(proba, label))
    assert auroc(-proba, label) == pytest.approx(1 - auroc(proba, label), nan_ok=True)


@given(coarse, st.sampled_from([1e-6, 1e6]))
def test_auroc_depends_on_the_order_only(points, scale):
    proba, label = columns(points)
    assert auroc(proba * scale, label) == pytest.approx(auroc(proba, label), nan_ok=True)
    assert auroc(proba**3 + 7, label) == pytest.approx(auroc(proba, label), nan_ok=True)


unit = st.floats(0, 1)


@given(unit, unit, unit, st.floats(-0.5, 0.5), st.sampled_from([0.5, 2.0]))
def test_pgr_does_not_depend_on_units(floor, w2s, ceiling, shift, scale):
    assume(ceiling - floor > 1e-3)
    moved = (scale * value + shift for value in (floor, w2s, ceiling))
    assert pgr(*moved) == pytest.approx(pgr(floor, w2s, ceiling), abs=1e-9)


def test_planted_ranking_of_two_gaussians():
    # d' = 1: AUROC is Phi(1 / sqrt 2)
    rng = np.random.default_rng(1)
    label = rng.integers(0, 2, 100_000)
    expected = 0.5 * (1 + math.erf(0.5))
    assert auroc(rng.normal(size=100_000) + label, label) == pytest.approx(expected, abs=0.005)


def test_one_point_and_labels_that_are_booleans_or_floats():
    assert [metric([0.75], [1]) for metric in (accuracy, brier)] == [1.0, 0.0625]
    assert math.isnan(auroc([0.75], [1]))
    proba, label = np.array([0.1, 0.9, 0.4, 0.6]), np.array([0, 1, 1, 0])
    for metric in METRICS.values():
        assert isinstance(metric([0.75], [1]), float)
        assert metric(proba, label.astype(bool)) == metric(proba, label.astype(float))
        assert metric(proba, label) == metric(proba, label.astype(np.int8))


def refused():
    yield auroc, ([np.nan, 0.9], [0, 1]), "proba: found 1 values that are NaN or infinite"
    for metric in EVERY_METRIC:
        yield metric, ([0.7], [1, 0, 1]), "label: found 3 rows, expected 1 as in proba"
        for proba, label in ((0.5, [1]), ([0.5], 1), ([0.5, 0.5], [[1], [0]])):
            yield metric, (proba, label), r"found . dimensions .*, expected 1"
    for proba in ([-0.2, 0.5], [0.5, 1e300], [np.inf, 0.5]):
        yield calibration_error, (proba, [0, 1]), r"proba: found values in .*, expected \[0, 1\]"
    for bad in ([], [0.5, 0.6], [[]], "x", None, {}):
        yield pgr, (0.5, bad, 0.7), "accuracy: found"


def test_what_metrics_are_not_of_is_refused(subtests):
    for metric, arguments, message in refused():
        with subtests.test(f"{metric.__name__}{arguments}"), pytest.raises(W2SError, match=message):
            metric(*arguments)


def test_correct_rows_by_hand():
    proba = np.array([[0.5, 0.49, 0.9], [np.nan, 0.1, 0.2]], dtype=np.float32)
    found = correct_rows(proba, np.array([1, 1, 0]))
    np.testing.assert_array_equal(found, [[0.5, 0, 0], [np.nan, 0, 1]])
    assert found.dtype == np.float32
    for dtype in (np.float32, np.float64):
        half = np.full((2, 5), 0.5, dtype=dtype)
        np.testing.assert_array_equal(correct_rows(half, np.array([0, 1, 1, 0, 1])), 0.5)
    beside = np.nextafter(np.float32(0.5), np.float32([0, 1]))
    np.testing.assert_array_equal(correct_rows(beside, np.array([0, 0])), [1, 0])


@given(coarse)
def test_mean_of_correct_rows_is_the_accuracy(points):
    proba, label = columns(points)
    found = correct_rows(np.stack([proba, 1 - proba]), label)
    assert found[0].mean() == pytest.approx(accuracy(proba, label))
    assert found[1].mean() == pytest.approx(accuracy(1 - proba, label))


# --- labels that are trained on -------------------------------------------------------------------


def binned(proba, label):
    """Expected calibration error by a plain loop over bins."""
    total = 0.0
    for b in range(10):
        inside = [
            i for i, p in enumerate(proba) if b / 10 <= p < (b + 1) / 10 or (b == 9 and p == 1)
        ]
        if inside:
            confidence = sum(proba[i] for i in inside) / len(inside)
            share = sum(label[i] for i in inside) / len(inside)
            total += len(inside) * abs(confidence - share)
    return total / len(proba)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_calibration_error_is_that_of_a_plain_loop(points):
    proba, label = columns(points)
    # rounding decides the bin of a number next to a tenth
    assume(all(abs(10 * p - round(10 * p)) > 1e-9 for p in proba))
    found = calibration_error(proba, label)
    assert 0 <= found <= 1
    assert found == pytest.approx(binned(proba.tolist(), label.tolist()), abs=1e-12)


@given(coarse)
def test_calibration_error_does_not_depend_on_the_order_or_on_copies(points):
    proba, label = columns(points)
    found = calibration_error(proba, label)
    assert calibration_error(proba[::-1], label[::-1]) == pytest.approx(found)
    assert calibration_error(np.tile(proba, 3), np.tile(label, 3)) == pytest.approx(found)


def test_calibration_error_of_perfectly_calibrated_labels_is_above_0():
    """As its docstring says: a bias, not a fault of the labels."""
    for n, expected in ((50, 0.14), (200, 0.07), (1000, 0.03)):
        rng = np.random.default_rng(0)
        found = []
        for _ in range(400):
            proba = rng.random(n)
            found.append(calibration_error(proba, rng.random(n) < proba))
        assert np.mean(found) == pytest.approx(expected, abs=0.005)


def test_planted_overconfidence_is_the_calibration_error():
    rng = np.random.default_rng(0)
    sure = np.where(rng.random(20_000) < 0.5, 0.95, 0.05)
    label = (rng.random(20_000) < 0.8) == (sure > 0.5)  # right on 80 %, sure of 95 %
    assert calibration_error(sure, label) == pytest.approx(0.15, abs=0.01)


def test_label_scores_by_hand():
    assert LABEL_SCORES == ("label_accuracy", "label_brier", "label_calibration")
    # one right, one wrong, two that are neither
    target, label = np.array([0.75, 0.25, 0.5, 0.5]), np.array([1, 1, 1, 0])
    found = label_scores(target, label)
    assert found[0] == 0.5
    assert found[1] == pytest.approx((1 / 16 + 9 / 16 + 1 / 4 + 1 / 4) / 4)
    assert found[2] == pytest.approx((0.25 + 0.75 + 0) / 4)
    assert label_scores(np.array([1.0, 0.0]), np.array([1, 0])) == (1, 0, 0)
    right, score, error = label_scores(np.full(3, 0.5), np.array([1, 1, 0]))
    assert math.isnan(right)
    assert score == 0.25
    assert error == pytest.approx(1 / 6)
    assert all(map(math.isnan, label_scores(np.empty(0), np.empty(0))))


@given(coarse)
def test_label_accuracy_is_right_over_right_and_wrong(points):
    proba, label = columns(points)
    right = np.sum((proba > 0.5) & (label == 1)) + np.sum((proba < 0.5) & (label == 0))
    wrong = np.sum((proba < 0.5) & (label == 1)) + np.sum((proba > 0.5) & (label == 0))
    expected = right / (right + wrong) if right + wrong else math.nan
    assert label_scores(proba, label)[0] == pytest.approx(expected, nan_ok=True)
