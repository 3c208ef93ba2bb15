"""Stability of regions: against fitting anew, one outlier, planted truth, and limits."""

import logging
from itertools import product

import numpy as np
import pytest

from w2s.errors import DegenerateError
from w2s.files.artifacts import Artifact
from w2s.overlap.detect import detect_overlap, fit_detector, regions_of
from w2s.overlap.stability import DRAWS, stability
from w2s.overlap.track import OverlapConfig
from w2s.overlap.views import fit_view
from w2s.rng import stream


def pool(n, d=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.beta(0.5, 0.5, size=n), (rng.normal(size=(n, d)) + 0.3).astype(np.float32)


def kept(proba, x, **options):
    overlap = OverlapConfig(**options)
    found = detect_overlap(proba, x, **overlap.model_dump())
    seen = fit_view(x, center=overlap.center).of(x)
    rng = stream(0, "stability", "films")
    return stability(seen, found.confidence, found.region, overlap=overlap, rng=rng)


def by_fitting_anew(proba, x, **options):
    """The same, a detector fitted on each resample of the pool."""
    region = detect_overlap(proba, x, **options).region
    rng, found = stream(0, "stability", "films"), []
    for _ in range(DRAWS):
        rows = rng.integers(len(proba), size=len(proba))
        try:
            detector = fit_detector(proba[rows], x[rows], **options)
        except DegenerateError:
            found.append(0.0)
            continue
        found.append(np.mean(detector.apply(proba, x).region == region))
    return np.mean(found)


@pytest.mark.parametrize(
    ("similarity", "absolute", "aggregate"),
    [*product(["cosine", "dot"], [True, False], ["max"]), ("dot", True, "mean")],
)
def test_equals_detectors_fitted_anew(similarity, absolute, aggregate):
    how = {"similarity": similarity, "absolute": absolute, "aggregate": aggregate}
    for n, seed in ((5, 0), (40, 1), (300, 2)):
        case = pool(n, seed=seed)
        assert kept(*case, **how) == pytest.approx(by_fitting_anew(*case, **how), abs=1e-12)
    cut = {"tau_hard": {"quantile": 0.3}, "tau_overlap": 0.6}
    assert kept(*case, **how, **cut) == pytest.approx(by_fitting_anew(*case, **how, **cut))


def test_a_view_stays_that_of_the_pool():
    proba, x = pool(300)
    seen = fit_view(x, center="whiten").of(x)
    assert kept(proba, x, center="whiten") == pytest.approx(by_fitting_anew(proba, seen))


def test_fixed_thresholds_and_hard_points_far_from_all_others_keep_everything():
    x = np.zeros((200, 3), np.float32)
    x[:100, 0], x[100:150, 1], x[150:, 2] = 1, 1, 1
    x[100:150, 0] = 1  # half of them look like the hard ones
    proba = np.repeat([0.5, 1.0], 100)
    assert kept(proba, x) == 1


def one_hard(n=1000, d=20):
    """One outlier is the only point that the weak model is unsure of."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[0] *= 30
    return np.concatenate([[0.5], rng.uniform(0.99, 1, size=n - 1)]), x


def test_regions_of_one_hard_point_are_not_stable():
    alone, many = kept(*one_hard()), kept(*pool(1000))
    assert alone < 0.8
    assert many > 0.85
    # it is not drawn in a third of resamples, which have other regions, or with this cut none
    assert kept(*one_hard(), tau_hard=0.6) < min(alone, 0.75)


def test_no_resample_with_regions_keeps_nothing():
    proba, x = np.array([0.5, 1.0, 1.0, 1.0, 1.0]), np.eye(5, 3, dtype=np.float32)
    overlap = OverlapConfig(tau_hard=0.0)
    rng = stream(0, "stability")
    assert stability(x, 2 * abs(proba - 0.5), np.full(5, "easy"), overlap=overlap, rng=rng) == 0


def test_the_regions_of_a_job_say_it_and_few_hard_points_are_told(caplog):
    for (proba, x), warned in ((one_hard(200), True), (pool(200), False)):
        points = Artifact(
            "weak_labels",
            {"id": np.arange(200), "part": np.full(200, "strong_train"), "weak_proba": proba},
            {"reason": ""},
        )
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="w2s.overlap.detect"):
            found = regions_of(
                points, x, np.ones(200, bool), OverlapConfig(), dataset="films", seed=0
            )
        assert found.facts["status"] == "ok"
        assert found.facts["stability"] == kept(proba, x)
        assert ("found 1 hard points" in caplog.text) == warned
    undefined = Artifact("weak_labels", points.arrays, {"reason": "one class"})
    found = regions_of(undefined, x, np.ones(200, bool), OverlapConfig(), dataset="films", seed=0)
    assert found.facts["stability"] is None
