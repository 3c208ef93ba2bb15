"""Views of vectors: by hand, against scikit-learn, massive coordinates, and limits."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf, ledoit_wolf_shrinkage

from w2s.errors import W2SError
from w2s.overlap.detect import detect_overlap, fit_detector
from w2s.overlap.views import AS_THEY_ARE, LEAST, fit_view, shrinkage


def drawn(n, d, seed=0):
    """Points whose coordinates are correlated, of unequal variance and mean."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * rng.uniform(0.1, 9, size=d)
    return (x + rng.normal(size=d)).astype(np.float32)


def test_vectors_stay_as_they_are_or_lose_their_mean():
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    assert fit_view(x) is AS_THEY_ARE
    assert AS_THEY_ARE.of(x) is x
    view = fit_view(x, center="mean")
    np.testing.assert_array_equal(view.of(x), [[-1, -2], [1, 2]])
    np.testing.assert_array_equal(view.of(np.array([[2.0, 5.0]])), [[0, 1]])  # of other points too
    assert view.of(x).dtype == np.float32


@pytest.mark.parametrize(("n", "d"), [(400, 6), (40, 30), (12, 30)])
def test_whitening_is_that_of_scikit_learns_covariance_of_standard_coordinates(n, d):
    x = drawn(n, d)
    unit = ((x - x.mean(axis=0, dtype=np.float64)) / x.std(axis=0, dtype=np.float64)).astype(float)
    assert shrinkage(unit, unit.T @ unit / n) == pytest.approx(ledoit_wolf_shrinkage(unit))
    inverse = np.linalg.inv(LedoitWolf(assume_centered=True).fit(unit).covariance_)
    seen = fit_view(x, center="whiten").of(x)
    np.testing.assert_allclose(seen @ seen.T, unit @ inverse @ unit.T, atol=2e-3 * d)


def test_whitened_points_do_not_depend_on_the_scales_of_coordinates():
    x = drawn(60, 8)
    seen, scaled = (
        fit_view(rows, center="whiten").of(rows) for rows in (x, x * np.float32(2) ** np.arange(8))
    )
    np.testing.assert_allclose(seen, scaled, atol=1e-5)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(20_000, 2)) @ [[1, 0.4], [0.9, 0]] + 3  # needs hardly any shrinkage
    covariance = np.cov(fit_view(x, center="whiten").of(x).T, bias=True)
    assert np.abs(np.corrcoef(x.T)[0, 1]) > 0.3
    np.testing.assert_allclose(covariance, np.eye(2), atol=0.02)


def test_a_coordinate_that_is_constant_or_a_copy_is_no_obstacle():
    x = drawn(200, 5)
    wider = np.column_stack([x, np.full(200, 7.1, np.float32), x[:, 0]])
    seen = fit_view(wider, center="whiten").of(wider)
    assert np.isfinite(seen).all()
    assert np.abs(seen[:, 5]).max() < 1e-3
    constant = np.ones((9, 3), np.float32)
    assert not fit_view(constant, center="whiten").of(constant).any()
    # an orthogonal pool needs no shrinkage to be white, and cannot be shrunk further
    assert shrinkage(np.eye(4), np.eye(4) / 4) == 1
    assert 0 < LEAST < 1e-3


def test_one_massive_coordinate_moves_regions_unless_it_is_centred():
    rng = np.random.default_rng(0)
    x, proba = rng.normal(size=(1000, 256)).astype(np.float32), rng.beta(0.5, 0.5, size=1000)
    massive = x.copy()
    massive[:, 17] += 10
    changed = {
        center: np.mean(
            detect_overlap(proba, x, center=center).region
            != detect_overlap(proba, massive, center=center).region
        )
        for center in ("none", "mean", "whiten")
    }
    assert changed["none"] > 0.15
    assert changed["mean"] < 0.005
    assert changed["whiten"] < 0.005


@pytest.mark.parametrize("center", ["mean", "whiten"])
def test_new_points_are_seen_as_those_of_the_pool(center):
    rng = np.random.default_rng(1)
    x, proba = drawn(80, 6), rng.beta(0.5, 0.5, size=80)
    detector = fit_detector(proba, x, center=center, similarity="dot", aggregate="mean")
    found = detector.apply(proba, x)
    np.testing.assert_array_equal(
        detect_overlap(proba, x, center=center, similarity="dot", aggregate="mean").region,
        found.region,
    )
    for i in range(0, 80, 7):
        one = detector.apply(proba[i : i + 1], x[i : i + 1])
        assert one.region[0] == found.region[i]
        np.testing.assert_allclose(one.score[0], found.score[i], rtol=1e-6)


def test_points_too_far_apart_are_refused():
    x = np.array([[3e38], [3e38], [3e38], [-3e38]], dtype=np.float32)
    with pytest.raises(W2SError, match="too far apart for float32"):
        fit_view(x, center="mean").of(x)
    assert np.isfinite(fit_view(x, center="whiten").of(x)).all()


def test_another_word_is_refused():
    with pytest.raises(W2SError, match="found 'median', expected none, mean or whiten"):
        fit_view(np.ones((5, 2)), center="median")
    with pytest.raises(W2SError, match="found 'sum', expected max or mean"):
        detect_overlap([0.5, 0.9, 0.2, 1.0], np.eye(4), aggregate="sum")
