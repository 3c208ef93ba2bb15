"""Nearest-neighbour probes: by hand, against scikit-learn, and at the limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsRegressor

from w2s.errors import DegenerateError, W2SError
from w2s.probes import knn
from w2s.probes.knn import fit_neighbors, neighbor_columns

LINE = np.arange(6.0)[:, None]
STEPS = [0, 0, 1, 1, 0.5, 1]


def problem(seed=0, n=80, m=30, d=5, b=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 100, rng.random((n, b)), rng.normal(size=(m, d)) + 100


def test_by_hand():
    for targets, weights, points, expected in (
        (STEPS, None, [0.4, 2.6, 9.0], [0, 1, 0.75]),
        (STEPS, [0, 3, 1, 0, 0, 1], [0.0, 4.0], [0.25, 1]),  # weights count, zero leaves out
        ([0, 0, 1, 0, 0, 1], None, [2.0], [1 / 3]),  # 1 and 3 are as near as the last: they vote
    ):
        probe = fit_neighbors(LINE, targets, weights=weights, neighbors=2)
        np.testing.assert_allclose(probe.predict_proba(np.array(points)[:, None]), expected)


def test_rows_too_far_apart_or_too_close_for_float32_are_refused_and_equal_ones_are_not():
    probe = fit_neighbors(LINE, STEPS, neighbors=2)
    far = r"activations: found rows that differ by more than 1e.18"
    for scale in (1e25, 1e60, 1e300):
        with pytest.raises(W2SError, match=far):
            fit_neighbors(LINE * scale, STEPS, neighbors=2)
        with pytest.raises(W2SError, match=far):
            probe.predict_proba([[scale]])
    for scale in (1e-25, 1e-40, 1e-300):
        with pytest.raises(
            W2SError, match=r"activations: found rows that differ by less than 1e-18"
        ):
            fit_neighbors(LINE * scale, STEPS, neighbors=2)
    fit_neighbors(np.full_like(LINE, 0.001), STEPS, neighbors=2)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_it_is_scikit_learns_on_the_rows_in_use(seed, neighbors):
    x, y, points = problem(seed)
    weights = np.random.default_rng(seed).random((80, 3)) < 0.4
    found = fit_neighbors(x, y, weights=weights, neighbors=neighbors).predict_proba(points)
    assert found.shape == (30, 3)
    assert 0 <= found.min() <= found.max() <= 1
    for j in range(3):
        used = weights[:, j]
        peer = KNeighborsRegressor(neighbors, algorithm="brute").fit(x[used], y[used, j])
        np.testing.assert_allclose(found[:, j], peer.predict(points), atol=1e-9)


def test_blocks_and_the_order_of_the_rows_change_nothing(monkeypatch):
    x, y, points = problem()
    probe = fit_neighbors(x, y)
    whole = probe.predict_proba(points)
    x = np.round(x)  # many ties
    turn = np.random.default_rng(1).permutation(80)
    first, second = fit_neighbors(x, y), fit_neighbors(x[turn], y[turn])
    np.testing.assert_allclose(first.predict_proba(points), second.predict_proba(points))
    monkeypatch.setattr(knn, "BLOCK", 3 * 80)
    np.testing.assert_allclose(probe.predict_proba(points), whole, rtol=1e-12)


def test_a_planted_boundary_is_found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    ring = np.linalg.norm(x, axis=1) > 1.2  # no line separates a ring from its middle
    proba = fit_neighbors(x[:400], ring[:400]).predict_proba(x[400:])
    assert np.mean((proba >= 0.5) == ring[400:]) > 0.9


def test_the_gap_is_zero_and_too_few_rows_are_nan_with_the_reason():
    probe = neighbor_columns(LINE, np.zeros((6, 2)), weights=[[1, 0]] * 6, neighbors=2)
    np.testing.assert_array_equal(probe.gap, [0, np.nan])
    assert np.isnan(probe.l2).all()  # there is no penalty
    probe = neighbor_columns(LINE, np.ones((6, 2)), weights=[[1, 0], [1, 1]] + [[1, 0]] * 4)
    few = "found {} rows with a weight above 0, expected 10"
    assert probe.reason == (few.format(6), few.format(1))
    assert np.isnan(probe.predict_proba(LINE)).all()
    with pytest.raises(DegenerateError, match=few.format(6)):
        fit_neighbors(LINE, np.ones(6))


def test_bad_input_is_refused():
    for arguments, message in (
        ({"targets": np.zeros(6), "neighbors": 0}, "neighbors: found 0, expected at least 1"),
        ({"targets": np.zeros(5)}, "targets: found 5 rows, expected 6"),
        ({"targets": np.full(6, 2.0)}, "targets: found values in"),
    ):
        with pytest.raises(W2SError, match=message):
            fit_neighbors(LINE, **arguments)
    with pytest.raises(W2SError, match="found width 2, expected 1"):
        fit_neighbors(LINE, np.zeros(6), neighbors=1).predict_proba(np.zeros((2, 2)))
