"""The expansion estimate: by hand, by plain loops, planted structure, and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.errors import W2SError
from w2s.synthetic.expansion import balls, expansion, expansion_study, neighbour_graph
from w2s.synthetic.mixture import Design


def study(counts=(30, 30, 20), *, variance=5.0, repetitions=range(6), **options):
    design = Design(variance=variance)
    return expansion_study(counts, design=design, seed=0, repetitions=repetitions, **options)


def test_expansion_by_hand():
    graph = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    sets = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0]])
    found = expansion(graph, sets.astype(bool))
    np.testing.assert_allclose(found, [2, 1, 0, 3 / 4, np.nan])


def test_neighbours_by_hand():
    sources = np.array([[1.0, 0], [0, 1], [1, 1]])
    targets = np.array([[5.0, 0], [4, 1], [0, 0]])
    graph = neighbour_graph(sources, targets, neighbours=1)
    # nearest target of each source: 0, 1, 1; nearest source of each target: 0, 0 and, all being
    # equally near to a row of zeros, the first
    expected = [[1, 1, 1], [0, 1, 0], [0, 1, 0]]
    np.testing.assert_array_equal(graph, np.array(expected, dtype=bool))


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 8), st.integers(1, 10))
def test_neighbours_equal_plain_loops(seed, a, b, k):
    rng = np.random.default_rng(seed)
    sources, targets = rng.normal(size=(a, 4)), rng.normal(size=(b, 4))
    expected = np.zeros((a, b), dtype=bool)
    cos = [[s @ t / np.linalg.norm(s) / np.linalg.norm(t) for t in targets] for s in sources]
    for i in range(a):
        for j in sorted(range(b), key=lambda j: -cos[i][j])[:k]:
            expected[i, j] = True
    for j in range(b):
        for i in sorted(range(a), key=lambda i: -cos[i][j])[:k]:
            expected[i, j] = True
    np.testing.assert_array_equal(neighbour_graph(sources, targets, neighbours=k), expected)
    np.testing.assert_array_equal(  # the relation is symmetric
        neighbour_graph(targets, sources, neighbours=k), expected.T
    )


def test_balls_hold_the_point_and_its_nearest_of_the_same_class():
    points = np.array([[1, 0], [1, 0.1], [0, 1], [1, 0.05], [0.1, 1.0]])
    found = balls(points, np.array([0, 0, 0, 1, 0]), 0.4)
    expected = [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [0, 0, 1, 0, 1]]
    np.testing.assert_array_equal(found, np.array(expected, dtype=bool))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_more_neighbours_reach_more(seed, k):
    rng = np.random.default_rng(seed)
    sources, targets = rng.normal(size=(9, 3)), rng.normal(size=(7, 3))
    sets = rng.random((5, 9)) < 0.5
    few, many = (
        expansion(neighbour_graph(sources, targets, neighbours=n), sets) for n in (k, k + 1)
    )
    filled = sets.any(axis=1)
    assert (many[filled] >= few[filled]).all()
    assert (few[filled] >= 0).all()
    assert np.isnan(few[~filled]).all()


def test_neighbours_of_clear_patterns_have_the_same_class_and_right_weak_labels():
    clear, noisy = study(variance=0.02), study(variance=50.0)
    np.testing.assert_allclose(clear.agreement, 1, atol=0.01)
    assert abs(noisy.agreement.mean() - 0.5) < 0.1
    for found in (clear, noisy):
        assert (found.lowest <= found.low).all()
    assert np.isnan(clear.wrong).all()
    np.testing.assert_allclose(clear.right, 1.0)  # all overlap points reach all hard ones


def test_a_repetition_does_not_depend_on_the_others_and_may_have_one_point_of_each_kind():
    whole, some = study(), study(repetitions=[5, 1])
    for name in ("right", "wrong", "lowest", "low", "agreement"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name)[[5, 1]])
    found = study((1, 1, 1), repetitions=range(4))
    assert found.agreement.shape == (4,)
    assert set(found.agreement) <= {0.0, 1.0}
    np.testing.assert_array_equal(found.lowest, found.agreement)


def test_bad_input_is_refused():
    for options, message in (
        ({"counts": (5, 0, 5)}, "expected hard and overlap points"),
        ({"repetitions": []}, "0 repetitions"),
        ({"neighbours": 0}, "0 neighbours"),
        ({"smallest": 0}, "share 0"),
    ):
        with pytest.raises(W2SError, match=message):
            study(**options)
