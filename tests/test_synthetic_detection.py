"""The detection study: metrics by hand and against scikit-learn, planted truth, and limits."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score, recall_score, roc_auc_score

from w2s.errors import W2SError
from w2s.overlap.detect import Regions, detect_overlap
from w2s.results.metrics import auroc
from w2s.synthetic.detection import (
    TARGETS,
    VARIANTS,
    Cell,
    cells,
    detection_study,
    draw_cell,
    scores,
    sensitivity,
)

CLEAR = Cell(variance=0.05, points=120)


def study(cell=CLEAR, repetitions=range(6), **options):
    return detection_study(cell, seed=0, repetitions=repetitions, **options)


def regions(names, confidence, score):
    return Regions(np.array(names, dtype=object), np.array(confidence), np.array(score), 0.5, 0.5)


def test_scores_by_hand():
    nan = math.nan
    found = regions(
        ["hard", "hard", "overlap", "overlap", "easy"],
        [0.1, 0.2, 0.9, 0.8, 0.7],
        [nan, nan, 0.9, 0.8, 0.8],
    )
    row = scores(found, np.array([1, 0, 2, 0, 2]))
    # hard: one of two is, and none is missed; overlap: one of two is, one of two is found;
    # among 0.9, 0.8 (not), 0.8 one pair is ranked right and one is a tie
    np.testing.assert_allclose(row, [1 / 2, 1, 1, 1 / 2, 1 / 2, 3 / 4, 2 / 5])
    found = regions(["hard", "easy", "easy"], [0.1, 0.8, 0.9], [nan, 0.1, 0.2])
    row = scores(found, np.array([1, 0, 0]))  # without a found or a true overlap point
    np.testing.assert_array_equal(np.isnan(row), [False] * 3 + [True] * 3 + [False])


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auroc_equals_scikit_learn(pairs):
    score, positive = (np.array(side) for side in zip(*pairs, strict=True))
    if positive.all() or not positive.any():
        assert math.isnan(auroc(score, positive))
    else:
        assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score))


def test_metrics_equal_scikit_learn_on_a_drawn_cell():
    points, proba = draw_cell(Cell(), seed=0, repetitions=range(3))
    found = study(Cell(), range(3))["default"]
    for r in range(3):
        said = detect_overlap(proba[r], points.x[r]).region
        for i, target in enumerate(TARGETS):
            expected = [f(points.names == target, said == target)
                        for f in (precision_score, recall_score)]  # fmt: skip
            np.testing.assert_allclose(found.metrics[r, i, :2], expected)
        assert found.density[r] == pytest.approx(np.mean(said == "overlap"))
        # hard points all have the same confidence, so all of them are found
        assert len(np.unique(proba[r][points.names == "hard"])) == 1
        assert found.metrics[r, 0, 1] == 1


def test_planted_regions_are_found_where_there_is_little_noise():
    for name in ("default", "dot"):
        found = study()[name]
        np.testing.assert_allclose(found.metrics, 1.0, atol=0.05)
        np.testing.assert_allclose(found.density, 0.2, atol=0.02)
        assert not found.reasons


def test_a_repetition_does_not_depend_on_the_others():
    whole, some = study(Cell(), range(5)), study(Cell(), [3])
    for name in VARIANTS:
        np.testing.assert_array_equal(some[name].metrics[0], whole[name].metrics[3])


def test_label_noise_blurs_the_weak_model():
    clean, noisy = (
        draw_cell(c, seed=0, repetitions=range(8)) for c in cells("label_noise", (0, 0.4))
    )
    np.testing.assert_array_equal(clean[0].x, noisy[0].x)  # the points stay the same
    right = [((p >= 0.5) == s.label)[:, s.names != "hard"].mean() for s, p in (clean, noisy)]
    assert right[0] > right[1] + 0.1
    flipped = draw_cell(cells("label_noise", (1.0,))[0], seed=0, repetitions=range(2))[1]
    np.testing.assert_allclose(flipped, 1 - clean[1][:2], atol=1e-3)


def test_degenerate_detection_is_nan_and_counted():
    impossible = {"none hard": {"tau_hard": 0.0}, "fine": {}}
    found = study(repetitions=range(4), variants=impossible)
    assert np.isnan(found["none hard"].metrics).all()
    assert np.isnan(found["none hard"].density).all()
    ((why, count),) = found["none hard"].reasons.items()
    assert "found no hard point" in why
    assert count == 4
    assert not found["fine"].reasons


def test_sensitivity_is_the_study_with_quantiles():
    cut = {"hard": (0.3, 0.5), "overlap": (0.2, 0.6, 0.9)}
    found = sensitivity(CLEAR, **cut, seed=0, repetitions=range(4))
    assert found["metrics"].shape == (4, 2, 3, 2, 3)
    assert found["density"].shape == (4, 2, 3)
    options = {"tau_hard": {"quantile": 0.5}, "tau_overlap": {"quantile": 0.9}}
    one = study(repetitions=range(4), variants={"one": options})["one"]
    np.testing.assert_array_equal(found["metrics"][:, 1, 2], one.metrics)
    density = found["density"][:, 1].mean(axis=0)
    assert density[0] > density[1] > density[2]  # a higher threshold leaves fewer points


def test_cells_and_their_counts():
    assert Cell().counts == (100, 100, 50)
    drawn = [replace(CLEAR, overlap_share=share).counts for share in (0.1, 0.5)]
    assert drawn == [(54, 54, 12), (30, 30, 60)]
    assert Cell(saliency=2, dimension=7).design.saliency == 2
    assert Cell(dimension=7).design.d_hard == 7
    for share in np.linspace(0.01, 0.98, 40):
        assert sum(Cell(overlap_share=share).counts) == 250


def test_bad_input_is_refused():
    for call, message in (
        (lambda: Cell(overlap_share=1), "found overlap share 1"),
        (lambda: Cell(label_noise=-0.1), "label noise -0.1"),
        (lambda: Cell(background=-1), "found background -1, expected 0 or more"),
        (lambda: Cell(background=math.nan), "found background nan"),
        (lambda: Cell(overlap_share=0.001), r"found regions of \(125, 125, 0\) points"),
        (lambda: study(repetitions=[]), "found no repetition"),
    ):
        with pytest.raises(W2SError, match=message):
            call()
