"""The purity control: matched labels by hand, what must hold, and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.errors import W2SError
from w2s.synthetic.mixture import Design
from w2s.synthetic.purity import purity_control, take_matched
from w2s.synthetic.study import run_setting
from w2s.synthetic.track import RecipeConfig

SMALL = Design(4, 3, variance=2.0)


def control(counts=(30, 20, 12), *, design=SMALL, repetitions=range(8), **options):
    options |= {"design": design, "recipe": RecipeConfig(), "seed": 0, "repetitions": repetitions}
    return purity_control(counts, **options)


def gain(found):
    """Mean of overlap minus easy on hard test points."""
    return (found.overlap - found.easy)[:, 1].mean()


def test_matching_by_hand():
    right = np.array([[0, 1, 1, 0, 1], [1, 1, 1, 1, 0]], dtype=bool)
    rows, enough = take_matched(right, np.array([2, 1]), 3)
    np.testing.assert_array_equal(rows[0], [1, 2, 0])
    np.testing.assert_array_equal(enough, [True, False])  # the second has one wrong label, not two


@settings(max_examples=80)
@given(st.data())
def test_matched_points_differ_and_have_the_wanted_labels(data):
    n = data.draw(st.integers(1, 12))
    right = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))[None]
    size = data.draw(st.integers(1, n))
    wanted = data.draw(st.integers(0, size))
    rows, enough = take_matched(right, np.array([wanted]), size)
    assert rows.shape == (1, size)
    assert enough[0] == (right.sum() >= wanted and (~right).sum() >= size - wanted)
    if enough[0]:
        assert len(set(rows[0])) == size
        assert right[0, rows[0]].sum() == wanted


def test_without_overlap_points_nothing_is_learned_about_hard_ones():
    found = control()
    np.testing.assert_array_equal(found.easy[:, 1], 0.5)
    assert found.overlap.shape == found.easy.shape == (8, 3)
    assert ((found.label_accuracy >= 0) & (found.label_accuracy <= 1)).all()
    # the overlap side is w2s of the study
    study = run_setting(
        (30, 20, 12), design=SMALL, recipe=RecipeConfig(), seed=0, repetitions=range(8)
    )
    np.testing.assert_allclose(found.overlap, study.region[:, 2], atol=1e-12)
    np.testing.assert_allclose(found.label_accuracy, study.label_accuracy)


def test_overlap_points_help_beyond_their_cleaner_labels():
    few, many = (control((100, 100, k), design=Design(), repetitions=range(40)) for k in (10, 80))
    assert gain(many) > gain(few) + 0.1
    with_easy = control((100, 100, 50), design=Design(), repetitions=range(40), others=("easy",))
    assert gain(with_easy) > 0.1
    np.testing.assert_array_equal(with_easy.easy[:, 1], 0.5)


def test_a_repetition_does_not_depend_on_the_others():
    whole, some = control(repetitions=range(6)), control(repetitions=[4, 2])
    np.testing.assert_allclose(some.easy, whole.easy[[4, 2]], atol=1e-12)
    np.testing.assert_allclose(some.overlap, whole.overlap[[4, 2]], atol=1e-12)


def test_repetitions_that_cannot_be_matched_are_nan_and_counted(monkeypatch):
    monkeypatch.setattr("w2s.synthetic.purity.POOL", 1)
    monkeypatch.setattr("w2s.synthetic.purity.SPARE", 0)
    found = control(repetitions=range(20))
    lost = np.isnan(found.easy).all(axis=1)
    assert 0 < lost.sum() < 20
    np.testing.assert_array_equal(np.isnan(found.overlap).all(axis=1), lost)
    np.testing.assert_array_equal(np.isnan(found.label_accuracy), lost)


def test_bad_input_is_refused():
    for options, message in (
        ({"counts": (5, 5, 0)}, "found 0 overlap points"),
        ({"repetitions": []}, "0 repetitions"),
        ({"others": ("overlap",)}, "some of easy, hard"),
    ):
        with pytest.raises(W2SError, match=message):
            control(**options)
