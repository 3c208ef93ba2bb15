"""Sources: every point once, shares and sizes by hand, and what a supply holds."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from w2s.errors import DegenerateError, W2SError
from w2s.rng import stream
from w2s.selection.sources import Source, partition, supply

WORDS = ("easy", "hard", "overlap")
SHARES = [(1.0,), (0.1, 0.9), (0.5, 0.5), (0.0, 1.0), (0.05, 0.1, 0.15, 0.2, 0.5)]


def regions(easy, hard, overlap, seed=0):
    """Regions of points at known, mixed positions."""
    words = np.repeat(np.array(WORDS, dtype=object), [easy, hard, overlap])
    return np.random.default_rng(seed).permutation(words)


def cut(region, shares, counts="even", seed=0):
    return partition(region, shares, counts=counts, rng=stream(seed, "partition"))


def counts_of(region, sources):
    """Easy, hard and overlap points of each source."""
    return [[int(np.sum(region[s.rows] == word)) for word in WORDS] for s in sources]


def test_by_hand():
    region = regions(60, 30, 20)
    sources = cut(region, (0.1, 0.9))
    assert [source.name for source in sources] == ["s1", "s2"]
    assert counts_of(region, sources) == [[30, 15, 2], [30, 15, 18]]
    five = regions(50, 25, 40)
    found = counts_of(five, cut(five, SHARES[-1]))
    assert found == [[10, 5, overlap] for overlap in (2, 4, 6, 8, 20)]
    none = regions(4, 4, 0)
    assert counts_of(none, cut(none, (0.1, 0.9))) == [[2, 2, 0]] * 2
    assert [len(source.rows) for source in cut(regions(0, 0, 0), (0.1, 0.9))] == [0, 0]


def test_rebalanced_by_hand():
    for numbers, shares, overlap, size in (
        ((60, 30, 20), (0.1, 0.9), [2, 18], 55),
        ((50, 25, 40), SHARES[-1], [2, 4, 6, 8, 20], 23),
        ((20, 20, 40), (0.0, 1.0), [0, 40], 40),  # a source of overlap points only still fits
    ):
        region = regions(*numbers)
        found = counts_of(region, cut(region, shares, "rebalanced"))
        assert [source[2] for source in found] == overlap
        assert [sum(source) for source in found] == [size] * len(shares)
    with pytest.raises(DegenerateError, match="found 41 overlap points for a source of 40 points"):
        cut(regions(20, 20, 41), (0.0, 1.0), "rebalanced")


def test_shares_that_do_not_add_up_are_refused():
    for shares in ((0.1, 0.8), (0.5, 0.6), (1.5, -0.5), (), (float("nan"), 1.0)):
        with pytest.raises(W2SError, match=r"^shares: found .* expected shares that add up to 1$"):
            cut(regions(9, 9, 9), shares)


@given(
    st.tuples(*[st.integers(0, 40)] * 3),
    st.sampled_from(SHARES),
    st.sampled_from(["even", "rebalanced"]),
    st.integers(0, 2**32 - 1),
)
def test_every_point_is_in_one_source_with_the_right_shares(numbers, shares, counts, seed):
    region = regions(*numbers)
    try:
        sources = cut(region, shares, counts, seed)
    except DegenerateError:
        assert counts == "rebalanced"
        assert max(shares) * numbers[2] > sum(numbers) / len(shares) - 2
        return
    every = np.concatenate([source.rows for source in sources])
    assert sorted(every.tolist()) == list(range(sum(numbers)))
    found = np.array(counts_of(region, sources))
    assert np.abs(found[:, 2] - np.array(shares) * numbers[2]).max() <= 1
    if counts == "even":
        even = np.array(numbers[:2]) / len(shares)
        assert np.abs(found[:, :2] - even).max() <= 1
    else:
        assert np.abs(found.sum(axis=1) - sum(numbers) / len(shares)).max() <= 1


def test_points_are_dealt_at_random_and_repeatably():
    region = regions(40, 40, 40)
    first, again, other = (cut(region, (0.5, 0.5), "rebalanced", seed) for seed in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
    shared = len(set(first[0].rows.tolist()) & set(other[0].rows.tolist()))
    assert 18 < shared < 42  # 30 on average
    counts = np.zeros(120)
    for seed in range(400):
        counts[cut(region, (0.5, 0.5), "even", seed)[0].rows] += 1
    np.testing.assert_allclose(counts / 400, 0.5, atol=0.13)  # 5 standard deviations


@given(st.tuples(*[st.integers(1, 30)] * 3), st.integers(0, 1000))
def test_the_rebalanced_rest_is_a_random_draw_of_easy_and_hard_points(numbers, seed):
    region = regions(*numbers)
    assume(numbers[2] <= sum(numbers) / 2)
    sources = cut(region, (0.0, 1.0), "rebalanced", seed)
    found = np.array(counts_of(region, sources))
    assert found[:, :2].sum(axis=0).tolist() == list(numbers[:2])


def test_supply_by_hand():
    overlap = np.array([1, 1, 0, 0, 1, 0], bool)
    right = np.array([1, 0, 1, 0, 1, 1], bool)
    sources = [Source("a", np.array([3, 0, 1, 2])), Source("b", np.array([4, 5])),
               Source("none", np.array([], dtype=np.int64))]  # fmt: skip
    found = supply(sources, overlap, right)
    assert found.names == ("a", "b", "none")
    assert found.points.tolist() == [4, 2, 0]
    assert found.density.tolist() == [0.5, 0.5, 0]
    assert found.right_density.tolist() == [0.25, 0.5, 0]
    assert found.label_accuracy.tolist() == [0.5, 1, 0]
    np.testing.assert_array_equal(found.overlap, overlap)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)), min_size=1))
def test_densities_are_shares_of_each_source(points):
    overlap, right, owner = (np.array(side) for side in zip(*points, strict=True))
    sources = [Source(str(k), np.flatnonzero(owner == k)) for k in range(3)]
    found = supply(sources, overlap.astype(bool), right.astype(bool))
    for k in range(3):
        mine = [(o, r) for o, r, where in points if where == k]
        assert found.points[k] == len(mine)
        if mine:
            assert found.density[k] == pytest.approx(sum(o for o, _ in mine) / len(mine))
            both = sum(o and r for o, r in mine)
            assert found.right_density[k] == pytest.approx(both / len(mine))
            assert found.label_accuracy[k] == pytest.approx(sum(r for _, r in mine) / len(mine))
    assert np.all(found.right_density <= found.density)
