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


def test_accuracy_by_hand():
    assert accuracy([0.2, 0.8, 0.6, 0.4], [0, 1, 0, 0]) == 0.75
    assert accuracy([0.5], [1]) == accuracy([0.5], [0]) == 0.5  # neither class
    assert accuracy([0.5, 0.9], [0, 1]) == 0.75
    assert math.isnan(accuracy([], []))


def test_auroc_by_hand():
    assert auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert auroc([0.1, 0.2, 0.3], [0, 0, 1]) == 1
    assert auroc([0.3, 0.2, 0.1], [0, 0, 1]) == 0


def test_brier_by_hand():
    assert brier([0.5, 1.0, 0.0], [1, 1, 1]) == pytest.approx(1.25 / 3)
    assert brier([0.0, 1.0], [0, 1]) == 0
    assert math.isnan(brier([], []))


def test_pgr_by_hand():
    assert pgr(0.5, 0.75, 1.0) == 0.5
    assert pgr(0.5, 0.5, 1.0) == 0
    assert pgr(0.5, 1.0, 1.0) == 1
    assert pgr(0.5, 0.25, 1.0) == -0.5
    assert pgr(0.5, 1.25, 1.0) == 1.5


def test_fault_auroc_counts_ties_half():
    assert auroc([0.5, 0.5], [0, 1]) == 0.5
    assert auroc([0.5] * 7, [0, 1, 1, 0, 1, 0, 0]) == 0.5
    assert auroc([0.2, 0.5, 0.5, 0.9], [0, 0, 1, 1]) == 0.875
    # in this order a rank without ties would say 1
    assert auroc([0.5, 0.5, 0.5, 0.5], [0, 0, 1, 1]) == 0.5


@pytest.mark.parametrize("w2s", [0.0, 0.7, 0.9])
@pytest.mark.parametrize(("floor", "ceiling"), [(0.7, 0.7), (0.8, 0.7), (0.0, 0.0), (1.0, 0.0)])
def test_fault_pgr_without_gap_is_nan(floor, ceiling, w2s):
    assert math.isnan(pgr(floor, w2s, ceiling))


@pytest.mark.parametrize("missing", range(3))
def test_pgr_of_a_missing_value_is_nan(missing):
    values = [0.5, 0.6, 0.7]
    values[missing] = math.nan
    assert math.isnan(pgr(*values))


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auroc_of_many_points_is_that_of_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 5000)
    proba = np.clip(rng.normal(0.5 + 0.1 * label, 0.3), 0, 1).astype(dtype)  # ties at 0 and 1
    assert auroc(proba, label) == pytest.approx(roc_auc_score(label, proba), abs=1e-12)


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


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(-0.5, 0.5),
    st.sampled_from([0.5, 2.0]),
)
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


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1]])
def test_auroc_of_one_class_is_nan(label):
    assert math.isnan(auroc([0.1, 0.2, 0.3], label))
    assert math.isnan(auroc([], []))


@pytest.mark.parametrize("metric", METRICS.values())
def test_one_point(metric):
    value = metric([0.75], [1])
    assert isinstance(value, float)
    assert math.isnan(value) if metric is auroc else value in (1.0, 0.0625)


@pytest.mark.parametrize("metric", METRICS.values())
def test_labels_may_be_booleans_or_floats(metric):
    proba, label = np.array([0.1, 0.9, 0.4, 0.6]), np.array([0, 1, 1, 0])
    assert metric(proba, label.astype(bool)) == metric(proba, label.astype(float))
    assert metric(proba, label) == metric(proba, label.astype(np.int8))


@pytest.mark.parametrize("metric", [accuracy, brier, calibration_error])
def test_missing_predictions_are_not_scored_as_class_0(metric):
    assert math.isnan(metric([np.nan, 0.9], [0, 1]))


def test_a_ranking_of_missing_predictions_is_refused():
    with pytest.raises(W2SError, match="proba: found 1 values that are NaN or infinite"):
        auroc([np.nan, 0.9], [0, 1])


@pytest.mark.parametrize("metric", METRICS.values())
def test_columns_of_different_lengths_are_refused(metric):
    with pytest.raises(W2SError, match="label: found 3 rows, expected 1 as in proba"):
        metric([0.7], [1, 0, 1])


@pytest.mark.parametrize("metric", [*METRICS.values(), calibration_error])
@pytest.mark.parametrize(("proba", "label"), [(0.5, [1]), ([0.5], 1), ([0.5, 0.5], [[1], [0]])])
def test_metrics_are_of_columns(metric, proba, label):
    with pytest.raises(W2SError, match=r"found . dimensions .*, expected 1"):
        metric(proba, label)


@pytest.mark.parametrize("proba", [[-0.2, 0.5], [0.5, 1e300], [np.inf, 0.5]])
def test_calibration_is_of_probabilities(proba):
    with pytest.raises(W2SError, match=r"proba: found values in .*, expected \[0, 1\]"):
        calibration_error(proba, [0, 1])


def test_correct_rows_by_hand():
    proba = np.array([[0.5, 0.49, 0.9], [np.nan, 0.1, 0.2]], dtype=np.float32)
    found = correct_rows(proba, np.array([1, 1, 0]))
    np.testing.assert_array_equal(found, [[0.5, 0, 0], [np.nan, 0, 1]])
    assert found.dtype == np.float32


@given(coarse)
def test_mean_of_correct_rows_is_the_accuracy(points):
    proba, label = columns(points)
    found = correct_rows(np.stack([proba, 1 - proba]), label)
    assert found[0].mean() == pytest.approx(accuracy(proba, label))
    assert found[1].mean() == pytest.approx(accuracy(1 - proba, label))


def test_a_prediction_of_one_half_counts_half_right_whatever_its_label_and_type():
    for dtype in (np.float32, np.float64):
        proba = np.full((2, 5), 0.5, dtype=dtype)
        np.testing.assert_array_equal(correct_rows(proba, np.array([0, 1, 1, 0, 1])), 0.5)
    beside = np.nextafter(np.float32(0.5), np.float32([0, 1]))
    np.testing.assert_array_equal(correct_rows(beside, np.array([0, 0])), [1, 0])


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


def test_calibration_error_by_hand():
    # one bin of two points at 0.75 with one positive, one of two points at 0.15 with none
    assert calibration_error([0.75, 0.75, 0.15, 0.15], [1, 0, 0, 0]) == pytest.approx(0.2)
    assert calibration_error([0.72, 0.78], [1, 0]) == pytest.approx(0.25)  # their mean is 0.75
    assert calibration_error([1.0, 0.0], [1, 0]) == 0
    assert calibration_error([1.0, 0.0], [0, 1]) == 1
    assert calibration_error([0.5] * 4, [0, 1, 1, 0]) == 0
    assert calibration_error([1.0, 0.9], [0, 1]) == pytest.approx(0.45)  # 1 is in the last bin
    assert math.isnan(calibration_error([], []))


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


@pytest.mark.parametrize(("n", "expected"), [(50, 0.14), (200, 0.07), (1000, 0.03)])
def test_calibration_error_of_perfectly_calibrated_labels_is_above_0(n, expected):
    """As its docstring says: a bias, not a fault of the labels."""
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


def test_calibration_error_of_columns_of_different_lengths_is_refused():
    with pytest.raises(W2SError, match="label: found 3 rows, expected 1 as in proba"):
        calibration_error([0.7], [1, 0, 1])


def test_label_scores_by_hand():
    assert LABEL_SCORES == ("label_accuracy", "label_brier", "label_calibration")
    # one right, one wrong, two that are neither
    target, label = np.array([0.75, 0.25, 0.5, 0.5]), np.array([1, 1, 1, 0])
    found = label_scores(target, label)
    assert found[0] == 0.5
    assert found[1] == pytest.approx((1 / 16 + 9 / 16 + 1 / 4 + 1 / 4) / 4)
    assert found[2] == pytest.approx((0.25 + 0.75 + 0) / 4)
    assert label_scores(np.array([1.0, 0.0]), np.array([1, 0])) == (1, 0, 0)


def test_labels_of_one_half_only_are_neither_right_nor_wrong():
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


@pytest.mark.parametrize("bad", [[], [0.5, 0.6], [[]], "x", None, {}])
def test_pgr_is_of_numbers(bad):
    with pytest.raises(W2SError, match="accuracy: found"):
        pgr(0.5, bad, 0.7)
