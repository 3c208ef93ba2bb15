"""Metrics: by hand, against scikit-learn, and NaN where undefined."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score

from w2s.errors import W2SError
from w2s.evaluation.metrics import METRICS, accuracy, auroc, brier, correct_rows, pgr

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
    assert accuracy([0.5], [1]) == 1
    assert accuracy([0.5], [0]) == 0
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
    assert accuracy(proba, label) == pytest.approx(accuracy_score(label, proba >= 0.5))
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


@pytest.mark.parametrize("metric", [accuracy, brier])
def test_missing_predictions_are_not_scored_as_class_0(metric):
    assert math.isnan(metric([np.nan, 0.9], [0, 1]))


def test_a_ranking_of_missing_predictions_is_refused():
    with pytest.raises(W2SError, match="proba: found 1 values that are NaN or infinite"):
        auroc([np.nan, 0.9], [0, 1])


@pytest.mark.parametrize("metric", METRICS.values())
def test_columns_of_different_lengths_are_refused(metric):
    with pytest.raises(W2SError, match="label: found 3 rows, expected 1 as in proba"):
        metric([0.7], [1, 0, 1])


def test_correct_rows_by_hand():
    proba = np.array([[0.5, 0.49, 0.9], [np.nan, 0.1, 0.2]], dtype=np.float32)
    found = correct_rows(proba, np.array([1, 1, 0]))
    np.testing.assert_array_equal(found, [[1, 0, 0], [np.nan, 0, 1]])
    assert found.dtype == np.float32


@given(coarse)
def test_mean_of_correct_rows_is_the_accuracy(points):
    proba, label = columns(points)
    found = correct_rows(np.stack([proba, 1 - proba]), label)
    assert found[0].mean() == pytest.approx(accuracy(proba, label))
    assert found[1].mean() == pytest.approx(accuracy(1 - proba, label))
