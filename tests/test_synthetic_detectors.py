"""Scores on planted truth: by hand, what they do not depend on, and how well they find it."""

import numpy as np
import pytest

from w2s.errors import DegenerateError
from w2s.overlap.detect import detect_overlap
from w2s.overlap.scores import max_similarity
from w2s.synthetic.detection import Cell, cells, detection_study, draw_cell
from w2s.synthetic.detectors import (
    VARIANTS,
    Known,
    canonical_dot,
    discriminant,
    length,
    nearest_ratio,
    regions_by,
    residual_dot,
)
from w2s.synthetic.mixture import draw_populations, draw_samples

BEST = "whitened mean dot"
FINE = ("mean", "whitened mean", BEST, "discriminant", "weak residual", "partial CCA")


def known(n=60, seed=0):
    """Weak vectors are the first 3 of 7 strong coordinates; a third of the points are hard."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 7))
    return Known(x, x[:, :3], np.arange(n) % 3 == 0)


def auroc(found):
    """Mean AUROC of overlap points."""
    return np.nanmean(found.metrics[:, 1, 2])


def test_by_hand():
    x = np.array([[3.0, 4], [0, 2], [1, 0], [2, 0], [-1, 1]])
    points = Known(x, x[:, :1], np.array([True, False, False, False, False]))
    np.testing.assert_array_equal(length(points), [5, 2, 1, 2, np.sqrt(2)])
    root = np.sqrt(0.5)  # nearest others of the last four: itself never
    expected = [0.8 / root, 0.6 / 1, 0.6 / 1, 0.2 * root / root]
    np.testing.assert_allclose(nearest_ratio(points)[1:], expected)


def test_what_weak_vectors_explain_does_not_count():
    points, rng = known(), np.random.default_rng(1)
    mixed = points.strong + points.weak @ rng.normal(size=(3, 7)) + 5
    seen = Known(mixed, points.weak, points.hard)
    np.testing.assert_allclose(residual_dot(seen), residual_dot(points), rtol=1e-5)
    explained = Known(points.weak @ rng.normal(size=(3, 7)), points.weak, points.hard)
    assert residual_dot(explained).max() < 1e-10
    scaled = Known(points.strong * 2.0 ** np.arange(7), points.weak, points.hard)
    np.testing.assert_allclose(canonical_dot(scaled), canonical_dot(points), rtol=1e-4)


def test_residuals_are_those_of_least_squares():
    points = known()
    design = np.column_stack([np.ones(60), points.weak])
    rest = points.strong - design @ np.linalg.solve(design.T @ design, design.T @ points.strong)
    near = np.abs(rest @ rest[points.hard].T).max(axis=1)
    np.testing.assert_allclose(residual_dot(points), near, rtol=1e-5)


def test_the_discriminant_looks_where_hard_points_vary_more():
    rng = np.random.default_rng(2)
    hard = np.arange(4000) < 2000
    x = rng.normal(size=(4000, 3)) * np.where(hard[:, None], [5, 1, 1], [1, 1, 4])
    score = discriminant(Known(x, x[:, :1], hard))
    squares = [np.corrcoef(score, x[:, j] ** 2)[0, 1] for j in range(3)]
    assert squares[0] > 0.99
    assert max(np.abs(squares[1:])) < 0.3
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(discriminant(Known(x @ turn, x, hard)), score, rtol=1e-6)


def test_regions_by_a_score_are_those_of_the_detector_with_it():
    points, proba = draw_cell(Cell(), seed=0, repetitions=range(3))

    def cosine(seen):
        return max_similarity(seen.strong, seen.strong[seen.hard]).astype(np.float64)

    for x, weak, said in zip(points.x, points.weak_part, proba, strict=True):
        found, expected = regions_by(cosine, said, x, weak), detect_overlap(said, x)
        assert list(found.region) == list(expected.region)
        np.testing.assert_allclose(found.score, expected.score, rtol=1e-6)
        assert found.tau_hard == expected.tau_hard
        assert found.tau_overlap == pytest.approx(expected.tau_overlap, rel=1e-6)
    with pytest.raises(DegenerateError, match="equal values"):
        regions_by(cosine, np.full(9, 0.7), np.eye(9), np.eye(9))


def test_the_options_find_planted_overlap_points_where_the_default_does_not():
    """No cell is left out where dot products are at chance, and none uses a true label."""
    for cell in (Cell(), Cell(saliency=3), Cell(dimension=40), *cells("label_noise", (0.3,))):
        found = detection_study(cell, seed=0, repetitions=range(6))
        assert auroc(found["default"]) < 0.7
        for name in FINE:
            assert auroc(found[name]) > (0.7 if name == "mean" else 0.93), (cell, name)
        assert auroc(found[BEST]) > 0.99
        assert auroc(found[BEST]) > auroc(found["length"]) - 0.005
    assert set(FINE) < set(VARIANTS)


def test_with_a_background_overlap_points_are_found_as_long_ones_only():
    half, full = (
        detection_study(cell, seed=0, repetitions=range(6))
        for cell in cells("background", (0.5, 1.0))
    )
    assert 0.85 < auroc(half[BEST]) < auroc(half["length"]) + 0.05
    assert auroc(half["mean"]) < 0.8  # cosines do not see lengths
    assert all(0.4 < auroc(found) < 0.65 for found in full.values())


def test_a_background_is_noise_where_a_pattern_is_absent():
    clear, noisy = (
        draw_cell(cell, seed=0, repetitions=range(2))[0] for cell in cells("background", (0.0, 0.5))
    )
    cell = Cell()
    populations = draw_populations(cell.design, seed=0, repetitions=range(2))
    drawn = draw_samples(populations, cell.counts, seed=0, repetitions=range(2), part="pseudo")
    np.testing.assert_array_equal(clear.x, drawn.x)
    absent = np.broadcast_to(~populations.present[clear.region], clear.x.shape)
    np.testing.assert_array_equal(noisy.x[~absent], clear.x[~absent])
    assert not clear.x[absent].any()
    assert noisy.x[absent].std() == pytest.approx(0.5 * np.sqrt(5), rel=0.05)
