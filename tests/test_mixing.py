"""Mixes of overlap and other points: by hand, sizes by brute force, planted shares, and limits."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from w2s.methods.mixing import (
    MIN_MIX,
    Strata,
    draw_mixes,
    draw_random,
    mix_size,
    nearest,
    no_strata,
)
from w2s.rng import stream

TENTHS = tuple(round(0.1 * i, 1) for i in range(11))


def streams(seed, control="plain"):
    return lambda repeat: stream(seed, "mixing", "films", control, repeat)


def pool(n_overlap, n_other):
    """Overlap points at known, mixed positions."""
    overlap = np.repeat([True, False], [n_overlap, n_other])
    return np.random.default_rng(n_overlap).permutation(overlap)


def brute_force_size(overlap, member, share):
    """Largest m such that any number of overlap points, with their members, can be drawn."""
    cells = {}
    for kind, inside in zip(overlap.tolist(), member.tolist(), strict=True):
        cells[kind, inside] = cells.get((kind, inside), 0) + 1

    def possible(size, k):
        inside = math.floor(share * k + 0.5)
        inside_other = math.floor(share * size + 0.5) - inside
        wanted = {
            (True, True): inside,
            (True, False): k - inside,
            (False, True): inside_other,
            (False, False): size - k - inside_other,
        }
        return all(number <= cells.get(cell, 0) for cell, number in wanted.items())

    sizes = range(len(overlap) + 1)
    return max(size for size in sizes if all(possible(size, k) for k in range(size + 1)))


pools = (
    st.integers(1, 60)
    .flatmap(
        lambda n: st.tuples(
            st.lists(st.booleans(), min_size=n, max_size=n),
            st.lists(st.booleans(), min_size=n, max_size=n),
        )
    )
    .map(lambda sides: tuple(np.array(side) for side in sides))
)


def test_nearest_by_hand():
    values = [0, 0.4, 0.5, 1.5, 2.5, 3.49, 28.999999999999996]
    np.testing.assert_array_equal(nearest(np.array(values)), [0, 0, 1, 2, 3, 3, 29])
    assert nearest(np.array(values)).dtype == np.int64
    assert int(nearest(0.29 * 100)) == 29  # int() says 28


@pytest.mark.parametrize(
    ("n_overlap", "n_other", "size"), [(30, 70, 30), (70, 30, 30), (0, 9, 0), (9, 0, 0), (5, 5, 5)]
)
def test_size_by_hand_is_the_smaller_kind(n_overlap, n_other, size):
    assert mix_size(pool(n_overlap, n_other), no_strata(n_overlap + n_other)) == size


def test_size_by_hand_with_a_share_to_hold():
    # overlap: 8 right, 2 wrong; others: 4 right, 6 wrong; 60 % right in each kind of a mix
    overlap = np.repeat([True, False], 10)
    right = np.array([True] * 8 + [False] * 2 + [True] * 4 + [False] * 6)
    # 4 right others are 60 % of 6 or 7 (4.2), 2 wrong overlap points are 40 % of 5 or 6 (2.4)
    assert mix_size(overlap, Strata(right, 0.6, "right weak labels")) == 6
    assert mix_size(overlap, Strata(right, 1.0, "right weak labels")) == 4
    assert mix_size(overlap, Strata(right, 0.0, "right weak labels")) == 2


@given(pools, st.integers(0, 10))
def test_size_is_the_largest_possible(sides, tenths):
    overlap, member = sides
    strata = Strata(member, tenths / 10, "members")
    assert mix_size(overlap, strata) == brute_force_size(overlap, member, tenths / 10)


@given(pools)
def test_size_without_strata_is_the_smaller_kind(sides):
    overlap, _ = sides
    assert mix_size(overlap, no_strata(len(overlap))) == min(overlap.sum(), (~overlap).sum())


@given(pools, st.floats(0, 1), st.integers(0, 5))
def test_every_mix_has_its_size_its_overlap_points_and_no_point_twice(sides, p, seed):
    overlap, member = sides
    strata = Strata(member, float(member.mean()), "members")
    size = mix_size(overlap, strata)
    assume(size >= MIN_MIX)
    (mix,) = draw_mixes(overlap, strata, proportions=[p], repeats=1, rng=streams(seed))
    assert (mix.proportion, mix.repeat, mix.reason) == (p, 0, "")
    assert len(mix.rows) == len(set(mix.rows.tolist())) == size
    assert overlap[mix.rows].sum() == math.floor(p * size + 0.5)
    assert member[mix.rows].sum() == math.floor(member.mean() * size + 0.5)


@pytest.mark.parametrize("n_overlap", [10, 11, 13, 17, 29, 37, 50, 99, 100])
def test_fault_no_row_lost_to_truncation(n_overlap):
    # int(p m) + int((1 - p) m) is m - 1 for most p
    overlap = pool(n_overlap, 120)
    proportions = [i / 100 for i in range(101)]
    mixes = draw_mixes(
        overlap, no_strata(len(overlap)), proportions=proportions, repeats=1, rng=streams(0)
    )
    assert {len(mix.rows) for mix in mixes} == {n_overlap}
    shares = np.array([overlap[mix.rows].mean() for mix in mixes])
    assert np.abs(shares - proportions).max() <= 0.5 / n_overlap + 1e-12


def test_fault_draws_do_not_share_randomness_between_seeds():
    overlap = pool(100, 400)
    options = {"proportions": [0.5], "repeats": 2}
    mixes = [
        set(mix.rows.tolist())
        for seed in range(4)
        for mix in draw_mixes(overlap, no_strata(500), rng=streams(seed), **options)
    ]
    # two independent mixes of 50 of 100 and 50 of 400 points share 25 + 6.25 points on average
    shared = [len(a & b) for i, a in enumerate(mixes) for b in mixes[:i]]
    assert max(shared) < 50
    assert 26 < np.mean(shared) < 37


def test_fault_draws_are_seeded():
    overlap = pool(40, 60)
    first, second = (
        draw_mixes(overlap, no_strata(100), proportions=TENTHS, repeats=2, rng=streams(3))
        for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)


def test_fault_rows_are_positions_in_the_whole_pool():
    overlap = np.zeros(60, dtype=bool)
    overlap[40:] = True
    all_overlap, none = draw_mixes(
        overlap, no_strata(60), proportions=[1, 0], repeats=1, rng=streams(0)
    )
    assert sorted(all_overlap.rows) == list(range(40, 60))
    assert max(none.rows) < 40


def test_mixes_come_by_repeat_and_proportion():
    mixes = draw_mixes(
        pool(20, 30), no_strata(50), proportions=(0, 0.5, 1), repeats=2, rng=streams(0)
    )
    assert [(mix.repeat, mix.proportion) for mix in mixes] == [
        (repeat, p) for repeat in (0, 1) for p in (0, 0.5, 1)
    ]


def test_more_repeats_or_proportions_leave_the_other_mixes_as_they_are():
    overlap = pool(30, 70)
    few = draw_mixes(overlap, no_strata(100), proportions=[0.5], repeats=1, rng=streams(0))
    many = draw_mixes(overlap, no_strata(100), proportions=TENTHS, repeats=3, rng=streams(0))
    np.testing.assert_array_equal(few[0].rows, many[TENTHS.index(0.5)].rows)


def test_neighbouring_mixes_differ_as_little_as_possible():
    overlap = pool(50, 80)
    mixes = draw_mixes(overlap, no_strata(130), proportions=TENTHS, repeats=2, rng=streams(0))
    for a, b in pairwise(mixes[:11]):
        assert len(set(a.rows.tolist()) & set(b.rows.tolist())) == 45
    assert set(mixes[0].rows.tolist()) != set(mixes[11].rows.tolist())


def test_every_point_is_drawn_as_often_as_every_other():
    overlap = pool(20, 60)
    mixes = draw_mixes(
        overlap, no_strata(80), proportions=[0.5], repeats=2000, rng=streams(0, "uniform")
    )
    counts = np.bincount(np.concatenate([mix.rows for mix in mixes]), minlength=80) / 2000
    np.testing.assert_allclose(counts[overlap], 10 / 20, atol=0.06)
    np.testing.assert_allclose(counts[~overlap], 10 / 60, atol=0.05)


def test_planted_purity_is_matched_at_every_proportion():
    # weak labels are right on 95 % of the overlap points and 70 % of the others
    rng = np.random.default_rng(0)
    overlap = pool(300, 700)
    right = rng.random(1000) < np.where(overlap, 0.95, 0.7)
    strata = Strata(right, float(right.mean()), "right weak labels")
    plain, matched = (
        draw_mixes(overlap, kept, proportions=TENTHS, repeats=2, rng=streams(0))
        for kept in (no_strata(1000), strata)
    )
    assert right[plain[10].rows].mean() - right[plain[0].rows].mean() > 0.15
    for mix in matched:
        size = len(mix.rows)
        assert size == mix_size(overlap, strata) < 300
        assert abs(right[mix.rows].mean() - right.mean()) <= 0.5 / size


def test_too_few_points_give_mixes_without_rows_that_say_why():
    overlap = pool(MIN_MIX - 1, 100)
    mixes = draw_mixes(overlap, no_strata(109), proportions=TENTHS, repeats=3, rng=streams(0))
    assert len(mixes) == 33
    assert {len(mix.rows) for mix in mixes} == {0}
    assert {mix.reason for mix in mixes} == {
        "at most 9 points with a share of 1.000 points in every mix"
    }
    assert [(mix.repeat, mix.proportion) for mix in mixes] == [
        (r, p) for r in range(3) for p in TENTHS
    ]
    exactly = draw_mixes(
        pool(MIN_MIX, 100), no_strata(110), proportions=[1], repeats=1, rng=streams(0)
    )
    assert len(exactly[0].rows) == MIN_MIX


@pytest.mark.parametrize("overlap", [np.zeros(50, bool), np.ones(50, bool), np.zeros(0, bool)])
def test_one_kind_of_points_gives_mixes_without_rows(overlap):
    (mix,) = draw_mixes(
        overlap, no_strata(len(overlap)), proportions=[0.5], repeats=1, rng=streams(0)
    )
    assert len(mix.rows) == 0
    assert mix.reason.startswith("at most 0 points")


@pytest.mark.parametrize(("share", "size"), [(0.0, 0), (0.5, 1), (1.0, 40)])
def test_a_class_that_holds_every_point(share, size):
    strata = Strata(np.ones(100, bool), share, "positive weak labels")
    assert mix_size(pool(40, 60), strata) == size
    (mix,) = draw_mixes(pool(40, 60), strata, proportions=[0.3], repeats=1, rng=streams(0))
    assert len(mix.rows) == (size if size >= MIN_MIX else 0)
    assert ("positive weak labels" in mix.reason) == (size < MIN_MIX)


def test_random_draws_are_subsets_of_the_whole_pool():
    draws = draw_random(100, 40, repeats=200, rng=streams(0, "random"))
    assert all(len(set(mix.rows.tolist())) == 40 for mix in draws)
    assert [mix.repeat for mix in draws] == list(range(200))
    assert all(math.isnan(mix.proportion) and not mix.reason for mix in draws)
    counts = np.bincount(np.concatenate([mix.rows for mix in draws]), minlength=100) / 200
    np.testing.assert_allclose(counts, 0.4, atol=0.15)


def test_random_draws_differ_between_seeds_and_repeats_and_are_repeatable():
    draws = [draw_random(100, 40, repeats=2, rng=streams(seed)) for seed in (0, 0, 1)]
    rows = [[tuple(mix.rows) for mix in draw] for draw in draws]
    assert rows[0] == rows[1]
    assert len({*rows[0], *rows[2]}) == 4


def test_random_draws_of_too_few_points_say_why():
    draws = draw_random(100, MIN_MIX - 1, repeats=2, rng=streams(0))
    assert [len(mix.rows) for mix in draws] == [0, 0]
    assert {mix.reason for mix in draws} == {"a mix has at most 9 points"}
