"""Overlap detection: by hand, against the plain Algorithm 2, planted regions, and at limits."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from reference.overlap import detect_overlap as plain_algorithm

from w2s.errors import DegenerateError, W2SError
from w2s.overlap.detect import Detector, detect_overlap, fit_detector

LIGHT = settings(max_examples=80)

# confidences .875 0 1 .875 .0625 1 .9375; hard points 1 and 4
NAMES = ("easy", "hard", "overlap")
PROBA = np.array([0.9375, 0.5, 0.0, 0.0625, 0.53125, 1.0, 0.96875])
ACTIVATIONS = np.array([[0, 2], [1, 0], [3, 3], [0, -1], [2, 0], [-4, 3], [1, 10]], dtype=float)


@st.composite
def detectable(draw):
    """Probabilities on a grid of sixteenths and activations whose regions are defined."""
    n = draw(st.integers(8, 30))
    proba = np.array(draw(st.lists(st.integers(0, 16), min_size=n, max_size=n))) / 16
    seed = draw(st.integers(0, 2**32 - 1))
    activations = np.random.default_rng(seed).normal(size=(n, 5))
    try:
        return proba, activations, detect_overlap(proba, activations)
    except DegenerateError:
        reject()


def planted(n=900, d=20, seed=0):
    """Easy and hard patterns in different coordinates; the weak model sees only the easy ones."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(["easy", "hard", "overlap"], size=n, p=[0.4, 0.35, 0.25])
    sign = rng.choice([-1.0, 1.0], size=(n, 1))
    activations = 0.15 * rng.normal(size=(n, 2 * d))
    activations[:, :d] += sign * (truth != "hard")[:, None]
    activations[:, d:] += sign * (truth != "easy")[:, None]
    proba = 1 / (1 + np.exp(-0.5 * activations[:, :d].sum(axis=1)))
    return proba, activations, truth


def test_by_hand():
    found = detect_overlap(PROBA, ACTIVATIONS)
    assert list(found.region) == ["easy", "hard", "overlap", "easy", "hard", "overlap", "easy"]
    np.testing.assert_array_equal(found.confidence, [0.875, 0, 1, 0.875, 0.0625, 1, 0.9375])
    scores = [0, np.nan, np.sqrt(0.5), 0, np.nan, 0.8, 1 / np.sqrt(101)]
    np.testing.assert_allclose(found.score, scores, atol=1e-6)
    assert found.tau_hard == 0.875
    assert found.tau_overlap == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert found.density == found.share("overlap") == pytest.approx(2 / 7)
    assert found.share("easy") == pytest.approx(3 / 7)
    told = "easy 0.429, hard 0.286, overlap 0.286; tau_hard=0.875, tau_overlap=0.7071"
    assert repr(found) == f"Regions(n=7: {told})"


def test_by_hand_with_other_options():
    found = detect_overlap(PROBA, ACTIVATIONS, absolute=False)
    assert found.tau_overlap == 0
    assert found.score[5] == pytest.approx(-0.8, abs=1e-6)
    expected = ["overlap", "hard", "overlap", "overlap", "hard", "easy", "overlap"]
    assert list(found.region) == expected
    found = detect_overlap(PROBA, ACTIVATIONS, similarity="dot")
    np.testing.assert_array_equal(found.score, [0, np.nan, 6, 0, np.nan, 8, 2])
    assert found.tau_overlap == 6
    assert list(found.region[[2, 5, 6]]) == ["overlap", "overlap", "easy"]
    found = detect_overlap(PROBA, ACTIVATIONS, tau_hard=0.9, tau_overlap=0.05)
    assert (found.tau_hard, found.tau_overlap) == (0.9, 0.05)
    assert list(found.region) == ["hard", "hard", "overlap", "hard", "hard", "overlap", "overlap"]
    found = detect_overlap(PROBA, ACTIVATIONS, tau_hard={"quantile": 0.5})
    assert found.tau_hard == 0.875
    assert found.share("hard") == pytest.approx(2 / 7)
    found = detect_overlap(PROBA, ACTIVATIONS, tau_overlap={"quantile": 0.75})
    assert found.tau_overlap == pytest.approx(np.sqrt(0.5), abs=1e-6)


@LIGHT
@given(detectable())
def test_regions_follow_from_confidence_score_and_thresholds(case):
    proba, _, found = case
    np.testing.assert_array_equal(found.confidence, np.abs(2 * proba - 1))
    hard = found.confidence < found.tau_hard
    np.testing.assert_array_equal(found.region == "hard", hard)
    np.testing.assert_array_equal(np.isnan(found.score), hard)
    np.testing.assert_array_equal(found.region == "overlap", found.score >= found.tau_overlap)
    assert sum(map(found.share, NAMES)) == pytest.approx(1)
    assert min(map(found.share, NAMES)) > 0


@LIGHT
@given(detectable(), st.lists(st.sampled_from([-4.0, -0.5, 1.0, 2.0]), min_size=30, max_size=30))
def test_neither_names_of_classes_nor_lengths_and_signs_of_rows_matter(case, factors):
    proba, activations, found = case
    assert list(detect_overlap(1 - proba, activations).region) == list(found.region)
    scaled = activations * np.array(factors)[: len(proba), None]
    np.testing.assert_allclose(detect_overlap(proba, scaled).score, found.score, atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("absolute", [True, False])
def test_equals_the_plain_algorithm(similarity, absolute):
    options = {"similarity": similarity, "absolute": absolute}
    for seed in range(4):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(20, 70))
        proba, activations = rng.beta(0.5, 0.5, size=n), rng.normal(size=(n, 12)) + 0.3
        found = detect_overlap(proba, activations, **options)
        words, score, tau_hard, tau_overlap = plain_algorithm(proba, activations, **options)
        assert list(found.region) == words
        np.testing.assert_allclose(found.score, score, rtol=1e-5, atol=1e-5)
        assert found.tau_hard == pytest.approx(tau_hard, abs=1e-12)
        assert found.tau_overlap == pytest.approx(tau_overlap, rel=1e-5, abs=1e-5)


def test_planted_regions_are_found_and_those_of_new_points():
    for seed in range(3):
        proba, activations, truth = planted(seed=seed)
        found = detect_overlap(proba, activations)
        for name in NAMES:
            agree = np.sum((found.region == name) & (truth == name))
            assert agree / np.sum(truth == name) > 0.97
            assert agree / np.sum(found.region == name) > 0.97
    proba, activations, truth = planted()
    detector = fit_detector(proba[:600], activations[:600])
    assert np.mean(detector.apply(proba[600:], activations[600:]).region == truth[600:]) > 0.97


def test_new_points_are_judged_by_the_fitted_thresholds_and_hard_points():
    detector = Detector(0.5, 0.9, np.array([[1.0, 0.0]]), "cosine", True)
    proba = [0.5, 0.7, 0.75, 0.2, 1.0, 0.0]
    found = detector.apply(proba, [[1, 0], [1, 0], [1, 0], [-1, 0.1], [1, 1], [0, 0]])
    assert list(found.region) == ["hard", "hard", "overlap", "overlap", "easy", "easy"]
    assert (found.tau_hard, found.tau_overlap) == (0.5, 0.9)
    # a score at the threshold is overlap, a confidence at it is not hard
    at = replace(detector, tau_overlap=1.0)
    assert list(at.apply([0.75], [[-3.0, 0.0]]).region) == ["overlap"]


def test_fitting_and_applying_is_detecting_also_one_by_one():
    detector = fit_detector(PROBA, ACTIVATIONS)
    np.testing.assert_array_equal(detector.hard, ACTIVATIONS[[1, 4]])
    found, again = detect_overlap(PROBA, ACTIVATIONS), detector.apply(PROBA, ACTIVATIONS)
    assert list(found.region) == list(again.region)
    assert (found.tau_hard, found.tau_overlap) == (again.tau_hard, again.tau_overlap)
    for i, word in enumerate(found.region):
        assert list(detector.apply(PROBA[i : i + 1], ACTIVATIONS[i : i + 1]).region) == [word]
    nothing = detector.apply([], np.empty((0, 2)))
    assert nothing.region.shape == nothing.score.shape == nothing.confidence.shape == (0,)


def test_many_scores_closer_to_each_other_than_rounding_still_have_a_change_point():
    # 400,000 scores from .978 to .980: neighbours differ by 5e-9, the ends by 2e-3
    angles = np.linspace(0.2, 0.21, 400_000)
    activations = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    activations[0] = [1, 0]
    proba = np.ones(400_000)
    proba[0] = 0.5
    found = detect_overlap(proba, activations, tau_hard=0.5)
    assert found.density == pytest.approx(0.5, abs=0.02)


def fitted_and_more(seed):
    """Points of any number and width to fit on, and more points, in one random order."""
    rng = np.random.default_rng(seed)
    n, m, d = (int(rng.integers(low, high)) for low, high in ((50, 300), (1, 200), (2, 1500)))
    mean = rng.normal(size=d) * rng.choice([1, 5])
    activations = (rng.normal(size=(n + m, d)) + mean).astype(np.float32)
    return rng.random(n + m), activations, n, rng.permutation(n + m)


def test_points_scored_again_or_together_with_others_keep_their_regions(subtests):
    # tau_overlap is some point's own score: any change in rounding may move that point
    for seed in (*range(60), 469):
        with subtests.test(seed=seed):
            proba, activations, n, order = fitted_and_more(seed)
            alone = detect_overlap(proba[:n], activations[:n])
            detector = fit_detector(proba[:n], activations[:n])
            again = detector.apply(proba[:n], activations[:n])
            assert np.nanmin(np.abs(again.score - detector.tau_overlap)) == 0
            assert list(again.region) == list(alone.region)
            together = detector.apply(proba[order], activations[order])
            back = np.argsort(order)[:n]
            np.testing.assert_allclose(together.score[back], alone.score, atol=3e-6)
            assert list(together.region[back]) == list(alone.region)


def test_scores_within_the_margin_below_the_threshold_are_at_it_and_others_are_told_apart():
    angles = np.arccos([0.9 - 2e-3, 0.9 - 5e-4, 0.9 + 5e-4])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for margin, within in ((0.0, "easy"), (1e-3, "overlap")):
        detector = Detector(0.5, 0.9, np.array([[1.0, 0.0]]), "cosine", True, margin)
        assert list(detector.apply([1.0] * 3, points).region) == ["easy", within, "overlap"]
    angles = np.arccos([0.5, 0.5, 0.5, 0.5 + 1e-4, 0.5 + 1e-4])
    activations = np.vstack([[[1.0, 0.0]], np.stack([np.cos(angles), np.sin(angles)], axis=1)])
    found = detect_overlap([0.5, 1, 1, 1, 1, 1], activations, tau_hard=0.5)
    assert list(found.region) == ["hard", "easy", "easy", "easy", "overlap", "overlap"]


def test_fault_equal_values_at_a_threshold_are_on_one_side():
    # the threshold is a confidence that several points have: `<=` would make all of them hard
    found = detect_overlap(PROBA, ACTIVATIONS)
    at = found.confidence == found.tau_hard
    assert at.sum() == 2
    assert "hard" not in found.region[at]
    found = detect_overlap(PROBA, ACTIVATIONS[[0, 1, 2, 3, 4, 2, 6]])
    assert found.score[2] == found.score[5] == found.tau_overlap
    assert list(found.region[[2, 5]]) == ["overlap", "overlap"]


def test_fault_saturated_confidences_do_not_make_every_point_hard():
    proba = np.concatenate([[0.5, 0.6], np.repeat([0.0, 1.0], 50)])
    activations = np.random.default_rng(0).normal(size=(102, 6))
    found = detect_overlap(proba, activations)
    assert found.tau_hard == 1
    assert list(np.flatnonzero(found.region == "hard")) == [0, 1]
    with pytest.raises(DegenerateError, match=r"confidences: .*found 100 equal values"):
        detect_overlap(proba[2:], activations[2:])


def test_fault_positions_in_a_subset_and_signs_of_similarities():
    expected = detect_overlap(PROBA, ACTIVATIONS)
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(PROBA))
        found = detect_overlap(PROBA[order], ACTIVATIONS[order])
        assert list(found.region) == list(expected.region[order])
        np.testing.assert_allclose(found.score, expected.score[order], atol=1e-6)
    opposite = ACTIVATIONS.copy()
    opposite[[2, 5]] *= -1
    assert list(detect_overlap(PROBA, opposite).region) == list(expected.region)


def degenerate():
    """Probabilities, activations, options and message."""
    for value in (0.0, 0.25, 0.5, 1.0):
        yield np.full(7, value), ACTIVATIONS, {}, r"overlap: confidences: .*equal values"
    for constant in (np.ones((7, 1)), np.zeros((7, 3))):
        yield PROBA, constant, {}, r"overlap: overlap scores: .*equal values"
    # every point is a copy of a hard point: all cosines are 1, and no score says anything
    hard = np.random.default_rng(0).normal(size=(40, 64))
    proba = np.concatenate([np.full(40, 0.5), np.full(80, 1.0)])
    yield proba, np.concatenate([hard, 2 * hard, hard]), {}, "overlap scores"
    for n in range(4):
        yield PROBA[:n], ACTIVATIONS[:n], {}, f"found {n} points, expected at least 4"
    few = [0.5, 0.5, 0.51, 0.52, 0.99, 0.98, 1.0]  # that are not hard
    yield few, ACTIVATIONS, {}, r"overlap scores: .*found 3 values"
    yield PROBA, ACTIVATIONS, {"tau_hard": 0.0}, "no hard point"
    yield PROBA, ACTIVATIONS, {"tau_hard": 1.5}, "hard points only"


def test_constants_too_few_points_and_thresholds_beyond_all_are_degenerate(subtests):
    for proba, activations, options, message in degenerate():
        with subtests.test(message), pytest.raises(DegenerateError, match=message):
            detect_overlap(proba, activations, **options)


def scored(scores, similarity="cosine"):
    """A hard point, and points whose similarities to it are given."""
    x = np.stack([scores, np.sqrt(np.maximum(1 - np.square(scores), 0))], axis=1)
    if similarity == "dot":
        x *= 1000.0
    proba = np.concatenate([[0.5], np.ones(len(x))])
    return {"weak_proba": proba, "activations": np.vstack([[[1.0, 0.0]], x]), "tau_hard": 0.5}


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_scores_within_ten_roundings_are_degenerate(similarity):
    for level in (0.1, 0.5, 0.9):
        close = level * (1 + 1e-6 * np.arange(36))  # 3.5e-5 from end to end
        with pytest.raises(DegenerateError) as caught:
            detect_overlap(**scored(close, similarity), similarity=similarity)
        assert str(caught.value).startswith("overlap: overlap scores: found values from ")
        assert "equal values but for rounding; expected a spread above" in str(caught.value)
        assert "\n" not in str(caught.value)
        further = np.where(np.arange(36) < 18, level, level * (1 + 5e-5))
        found = detect_overlap(**scored(further, similarity), similarity=similarity)
        assert list(found.region) == ["hard"] + 18 * ["easy"] + 18 * ["overlap"]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_points_at_right_angles_to_all_hard_ones_are_degenerate(similarity):
    """What is left of sums that cancel out is rounding, however it spreads relative to itself."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(64, 64)))[0]
    x = np.zeros((120, 64))
    x[:40, :32], x[40:, 32:] = rng.normal(size=(40, 32)), 30 * rng.normal(size=(80, 32))
    proba = np.repeat([0.5, 1.0], [40, 80])
    with pytest.raises(DegenerateError, match=r"overlap scores: .* equal values but for rounding"):
        detect_overlap(proba, (x @ turn).astype(np.float32), similarity=similarity)


def test_confidences_within_rounding_are_degenerate():
    """Neighbours of float32 above .5 are 6e-8 apart: the fit of the weak model is no better."""
    activations = np.random.default_rng(0).normal(size=(40, 6))
    for level in (0.5, 0.7, 0.999):
        proba = (level + 6e-8 * np.arange(40)).astype(np.float32)
        assert len(set(proba)) > 30
        for p in (proba, 1 - proba, proba.astype(np.float64)):
            with pytest.raises(DegenerateError, match=r"confidences: .*equal values but for"):
                detect_overlap(p, activations)
        wider = level + 4e-5 * (np.arange(40) >= 10)
        assert detect_overlap(wider, activations).share("hard") == 0.25


def test_thresholds_as_numbers_and_quantiles_do_without_a_spread():
    close = 0.5 * (1 + 1e-6 * np.arange(20))
    at = scored(close)
    assert detect_overlap(**at, tau_overlap=0.4).density == pytest.approx(20 / 21)
    assert 0.3 < detect_overlap(**at, tau_overlap={"quantile": 0.5}).density < 0.7
    proba = 0.7 + 6e-8 * np.arange(20)
    activations = np.random.default_rng(0).normal(size=(20, 6))
    assert detect_overlap(proba, activations, tau_hard={"quantile": 0.5}).share("hard") == 0.5


def test_hidden_layers_with_cosines_in_a_narrow_band_have_regions():
    """Activations after a ReLU share most of their direction: cosines from .9990 to .9999."""
    rng = np.random.default_rng(0)
    common = 10 * np.abs(rng.normal(size=32)) + 5
    x = np.maximum(common + 0.2 * rng.normal(size=(90, 32)), 0).astype(np.float32)
    x[60:, :8] += 1.0
    x[:30, :8] += 1.0  # hard points, which the last 30 resemble
    proba = np.repeat([0.5, 1.0], [30, 60])
    found = detect_overlap(proba, x)
    assert np.ptp(found.score[30:]) < 1e-3
    assert list(found.region) == 30 * ["hard"] + 30 * ["easy"] + 30 * ["overlap"]


BEYOND = "found values beyond 3.40282e.38, expected float32"
REFUSED = [
    ({"similarity": "euclid"}, "similarity: found 'euclid', expected cosine or dot"),
    ({"similarity": None}, "similarity: found None, expected cosine or dot"),
    ({"tau_hard": {"quantile": 2}}, "confidences: found .*, expected a quantile of 0 to 1"),
    ({"tau_hard": {"share": 0.5}}, "confidences: found .*, expected a quantile of 0 to 1"),
    ({"tau_overlap": {"quantile": np.nan}}, "scores: found .*, expected a quantile"),
    ({"tau_hard": "median"}, "confidences: found 'median', expected change_point, a number"),
    ({"tau_overlap": np.nan}, "scores: found nan, expected change_point, a number"),
    *(
        ({"weak_proba": np.where(np.arange(7) == 2, bad, PROBA)}, "weak_proba")
        for bad in (-0.1, 1.1, np.nan, np.inf)
    ),
    ({"similarity": "cosine", "activations": ACTIVATIONS * 1e60}, BEYOND),
    ({"similarity": "dot", "activations": ACTIVATIONS * 1e60}, BEYOND),
    (
        {"similarity": "dot", "activations": ACTIVATIONS * 1e30},
        "found products too large for float32",
    ),
]


def test_values_and_options_that_mean_nothing_are_refused(subtests):
    for changes, message in REFUSED:
        arguments = {"weak_proba": PROBA, "activations": ACTIVATIONS} | changes
        with (
            subtests.test(str(changes)),
            np.errstate(over="ignore", invalid="ignore"),
            pytest.raises(W2SError, match=message),
        ):
            detect_overlap(**arguments)


def test_activations_that_do_not_fit_are_refused():
    broken = ACTIVATIONS.copy()
    broken[0, 0] = np.nan
    detector = fit_detector(PROBA, ACTIVATIONS)
    for wrong, message in (
        (broken, "NaN or infinite"),
        (ACTIVATIONS[:6], "found 6 rows, expected 7"),
        (ACTIVATIONS[:, 0], "dimensions"),
    ):
        with pytest.raises(W2SError, match=f"activations: .*{message}"):
            detect_overlap(PROBA, wrong)
        with pytest.raises(W2SError, match=f"activations: .*{message}"):
            detector.apply(PROBA, wrong)
    with pytest.raises(W2SError, match="found width 3, expected 2 as fitted"):
        detector.apply(PROBA, np.ones((7, 3)))


def test_scale_dtype_copies_and_constant_coordinates():
    expected = detect_overlap(PROBA, ACTIVATIONS)
    for scale, dtype in product((1e-6, 1e6), (np.float32, np.float64)):
        scaled = (ACTIVATIONS * scale).astype(dtype)
        for similarity in ("cosine", "dot"):
            found = detect_overlap(PROBA.astype(dtype), scaled, similarity=similarity)
            assert list(found.region) == list(expected.region)
            assert found.confidence.dtype == found.score.dtype == np.float64
    found = detect_overlap(np.tile(PROBA, 3), np.tile(ACTIVATIONS, (3, 1)))
    assert list(found.region) == 3 * list(expected.region)
    found = detect_overlap(PROBA, np.hstack([ACTIVATIONS, np.full((7, 1), 5.0)]))
    assert found.tau_hard == 0.875
    assert np.nanmin(found.score) > np.nanmin(expected.score)
