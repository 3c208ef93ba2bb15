"""Mixes of overlap and other points: by hand, sizes by brute force, planted shares, and limits."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from w2s.overlap.mixing import (
    FEW,
    MIN_MIX,
    Strata,
    Trade,
    against_rest,
    draw_few,
    draw_mixes,
    draw_random,
    equal_score,
    mix_size,
    nearest,
    no_strata,
    placebo,
)
from w2s.rng import stream

TENTHS = tuple(round(0.1 * i, 1) for i in range(11))
ALL = np.ones(100, dtype=bool)


def streams(seed, control="plain"):
    return lambda repeat: stream(seed, "mixing", "films", control, repeat)


def pool(n_overlap, n_other):
    """Overlap points at known, mixed positions."""
    overlap = np.repeat([True, False], [n_overlap, n_other])
    return np.random.default_rng(n_overlap).permutation(overlap)


def against_others(overlap):
    """Overlap points against all others."""
    return against_rest(overlap, np.ones(len(overlap), dtype=bool))


def drawn(overlap, strata, *, repeats=1, **options):
    """Mixes of one curve with the same overlap points and strata in every repeat."""
    return draw_mixes([against_others(overlap)] * repeats, [strata] * repeats, **options)


def size_of(overlap, strata):
    return mix_size(against_others(overlap), strata)


def both(share):
    return (share, share)


def brute_force_size(trade, member, shares):
    """Largest m such that any number of overlap points, with their members, can be drawn."""
    cells = {}
    for kind in ("overlap", "other"):
        for chosen, inside in zip(getattr(trade, kind).tolist(), member.tolist(), strict=True):
            cells[kind, inside] = cells.get((kind, inside), 0) + chosen

    def half_up(value):
        return math.floor(value + 0.5)

    def possible(traded, k):
        inside = half_up(shares[0] * k)
        all_inside = half_up(shares[1] * traded + (shares[0] - shares[1]) * k)
        wanted = {
            ("overlap", True): inside,
            ("overlap", False): k - inside,
            ("other", True): all_inside - inside,
            ("other", False): traded - k - all_inside + inside,
        }
        return all(0 <= number <= cells.get(cell, 0) for cell, number in wanted.items())

    def fits(size):
        constant = half_up(trade.share * size)
        rest = size - constant
        return constant <= trade.constant.sum() and all(possible(rest, k) for k in range(rest + 1))

    return max(size for size in range(len(member) + 1) if fits(size))


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


def test_size_by_hand():
    for n_overlap, n_other, size in ((30, 70, 30), (70, 30, 30), (0, 9, 0), (9, 0, 0), (5, 5, 5)):
        assert size_of(pool(n_overlap, n_other), no_strata(n_overlap + n_other)) == size
    # overlap: 8 right, 2 wrong; others: 4 right, 6 wrong
    overlap = np.repeat([True, False], 10)
    right = np.array([True] * 8 + [False] * 2 + [True] * 4 + [False] * 6)
    for shares, size in (
        (both(0.6), 6),  # 4 right others of 6 or 7 (4.2), 2 wrong overlap points of 5 or 6 (2.4)
        (both(1.0), 4),
        (both(0.0), 2),
        ((0.8, 0.4), 10),
        ((0.9, 0.8), 5),  # 80 % of 5 others are 4, 90 % of all 10 overlap points 9: not there
    ):
        assert size_of(overlap, Strata(right, shares, "right weak labels")) == size, shares


def three_kinds(*counts):
    return np.eye(3, dtype=bool)[np.repeat([0, 1, 2], counts)].T


def test_size_by_hand_with_constant_points():
    overlap, other, constant = three_kinds(20, 30, 10)
    assert mix_size(Trade(overlap, other, constant), no_strata(60)) == 20
    for share, size in ((0.2, 25), (0.5, 20), (0.75, 13)):  # 9.75 and 3.25 at the end
        assert mix_size(Trade(overlap, other, constant, share), no_strata(60)) == size
    none = np.zeros(60, bool)
    assert mix_size(Trade(overlap, other, none, 0.2), no_strata(60)) == 2  # 0.4 of 2
    # rounding helps: 94.5 of 105 are 95, which leaves 10 to trade
    assert mix_size(Trade(*three_kinds(10, 10, 200), 0.9), no_strata(220)) == 105


@given(pools, st.integers(0, 10), st.integers(0, 10))
def test_size_is_the_largest_possible(sides, tenths, other_tenths):
    overlap, member = sides
    trade, shares = against_others(overlap), (tenths / 10, other_tenths / 10)
    for chosen in (shares, both(tenths / 10)):
        expected = brute_force_size(trade, member, chosen)
        assert mix_size(trade, Strata(member, chosen, "members")) == expected


@given(pools, st.integers(0, 9), st.integers(0, 3))
def test_size_with_constant_points_is_the_largest_possible(sides, tenths, seed):
    overlap, member = sides
    kind = np.random.default_rng(seed).integers(0, 4, len(overlap))  # a quarter is of no use
    trade = Trade(overlap & (kind > 1), ~overlap & (kind > 1), kind == 0, tenths / 10)
    expected = brute_force_size(trade, member, (0.5, 0.5))
    assert mix_size(trade, Strata(member, (0.5, 0.5), "members")) == expected


@given(pools)
def test_size_without_strata_is_the_smaller_kind(sides):
    overlap, _ = sides
    assert size_of(overlap, no_strata(len(overlap))) == min(overlap.sum(), (~overlap).sum())


@given(pools, st.floats(0, 1), st.integers(0, 5))
def test_every_mix_has_its_size_its_overlap_points_and_no_point_twice(sides, p, seed):
    overlap, member = sides
    strata = Strata(member, both(float(member.mean())), "members")
    size = size_of(overlap, strata)
    assume(size >= MIN_MIX)
    (mix,) = drawn(overlap, strata, proportions=[p], rng=streams(seed))
    assert (mix.proportion, mix.repeat, mix.reason) == (p, 0, "")
    assert len(mix.rows) == len(set(mix.rows.tolist())) == size
    assert overlap[mix.rows].sum() == math.floor(p * size + 0.5)
    assert member[mix.rows].sum() == math.floor(member.mean() * size + 0.5)


def test_fault_no_row_lost_to_truncation():
    # int(p m) + int((1 - p) m) is m - 1 for most p
    proportions = [i / 100 for i in range(101)]
    for n_overlap in (10, 11, 13, 17, 29, 37, 50, 99, 100):
        overlap = pool(n_overlap, 120)
        mixes = drawn(overlap, no_strata(len(overlap)), proportions=proportions, rng=streams(0))
        assert {len(mix.rows) for mix in mixes} == {n_overlap}
        shares = np.array([overlap[mix.rows].mean() for mix in mixes])
        assert np.abs(shares - proportions).max() <= 0.5 / n_overlap + 1e-12


def test_fault_draws_do_not_share_randomness_between_seeds():
    overlap, options = pool(100, 400), {"proportions": [0.5], "repeats": 2}
    drawings = (drawn(overlap, no_strata(500), rng=streams(seed), **options) for seed in range(4))
    mixes = [set(mix.rows.tolist()) for drawing in drawings for mix in drawing]
    # two independent mixes of 50 of 100 and 50 of 400 points share 25 + 6.25 points on average
    shared = [len(a & b) for i, a in enumerate(mixes) for b in mixes[:i]]
    assert max(shared) < 50
    assert 26 < np.mean(shared) < 37


def test_mixes_are_seeded_come_by_repeat_and_proportion_and_depend_on_no_others():
    overlap = pool(50, 80)
    options = {"proportions": TENTHS, "repeats": 2}
    mixes, again = (drawn(overlap, no_strata(130), rng=streams(3), **options) for _ in range(2))
    for a, b in zip(mixes, again, strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
    order = [(repeat, p) for repeat in (0, 1) for p in TENTHS]
    assert [(mix.repeat, mix.proportion) for mix in mixes] == order
    for a, b in pairwise(mixes[:11]):  # neighbours differ as little as possible
        assert len(set(a.rows.tolist()) & set(b.rows.tolist())) == 45
    assert set(mixes[0].rows.tolist()) != set(mixes[11].rows.tolist())
    few = drawn(overlap, no_strata(130), proportions=[0.5], rng=streams(3))
    np.testing.assert_array_equal(few[0].rows, mixes[TENTHS.index(0.5)].rows)


def test_every_point_is_drawn_as_often_as_every_other_from_the_whole_pool():
    overlap = pool(20, 60)
    options = {"proportions": [0.5, 1, 0], "repeats": 2000, "rng": streams(0, "uniform")}
    mixes = drawn(overlap, no_strata(80), **options)
    half, every, none = (
        np.bincount(np.concatenate([mix.rows for mix in mixes[i::3]]), minlength=80) / 2000
        for i in range(3)
    )
    np.testing.assert_allclose(half[overlap], 10 / 20, atol=0.06)
    np.testing.assert_allclose(half[~overlap], 10 / 60, atol=0.05)
    np.testing.assert_array_equal(every, overlap)  # rows are positions in it
    assert not none[overlap].any()


def test_planted_purity_is_matched_at_every_proportion():
    # weak labels are right on 95 % of the overlap points and 70 % of the others
    rng = np.random.default_rng(0)
    overlap = pool(300, 700)
    right = rng.random(1000) < np.where(overlap, 0.95, 0.7)
    strata = Strata(right, both(float(right.mean())), "right weak labels")
    plain, matched = (
        drawn(overlap, kept, proportions=TENTHS, repeats=2, rng=streams(0))
        for kept in (no_strata(1000), strata)
    )
    assert right[plain[10].rows].mean() - right[plain[0].rows].mean() > 0.15
    for mix in matched:
        size = len(mix.rows)
        assert size == size_of(overlap, strata) < 300
        assert abs(right[mix.rows].mean() - right.mean()) <= 0.5 / size


def test_too_few_points_give_mixes_without_rows_that_say_why():
    overlap = pool(MIN_MIX - 1, 100)
    mixes = drawn(overlap, no_strata(109), proportions=TENTHS, repeats=3, rng=streams(0))
    assert len(mixes) == 33
    assert {len(mix.rows) for mix in mixes} == {0}
    assert {mix.reason for mix in mixes} == {
        "found 9 points that a mix can trade, expected 10 or more: there are 9 overlap points "
        "(or points in their place) and 100 others"
    }
    assert [(mix.repeat, mix.proportion) for mix in mixes] == [
        (r, p) for r in range(3) for p in TENTHS
    ]
    exactly = drawn(pool(MIN_MIX, 100), no_strata(110), proportions=[1], rng=streams(0))
    assert len(exactly[0].rows) == MIN_MIX


def test_one_kind_of_points_and_a_class_that_holds_every_point():
    for overlap in (np.zeros(50, bool), np.ones(50, bool), np.zeros(0, bool)):
        (mix,) = drawn(overlap, no_strata(len(overlap)), proportions=[0.5], rng=streams(0))
        assert len(mix.rows) == 0
        assert mix.reason.startswith("found 0 points that a mix can trade")
    for share, size in ((0.0, 0), (0.5, 1), (1.0, 40)):
        strata = Strata(np.ones(100, bool), both(share), "positive weak labels")
        assert size_of(pool(40, 60), strata) == size
        (mix,) = drawn(pool(40, 60), strata, proportions=[0.3], rng=streams(0))
        assert len(mix.rows) == (size if size >= MIN_MIX else 0)
        assert ("positive weak labels" in mix.reason) == (size < MIN_MIX)


def test_random_draws_are_subsets_of_the_eligible_points():
    draws = draw_random(ALL, 40, repeats=200, rng=streams(0, "random"))
    assert all(len(set(mix.rows.tolist())) == 40 for mix in draws)
    assert [mix.repeat for mix in draws] == list(range(200))
    assert all(math.isnan(mix.proportion) and not mix.reason for mix in draws)
    counts = np.bincount(np.concatenate([mix.rows for mix in draws]), minlength=100) / 200
    np.testing.assert_allclose(counts, 0.4, atol=0.15)
    eligible = np.arange(100) % 3 != 0
    draws = draw_random(eligible, 40, repeats=5, rng=streams(0))
    assert all(eligible[mix.rows].all() and len(mix.rows) == 40 for mix in draws)
    draws = [draw_random(ALL, 40, repeats=2, rng=streams(seed)) for seed in (0, 0, 1)]
    rows = [[tuple(mix.rows) for mix in draw] for draw in draws]
    assert rows[0] == rows[1]
    assert len({*rows[0], *rows[2]}) == 4
    draws = draw_random(ALL, MIN_MIX - 1, repeats=2, rng=streams(0))
    assert [len(mix.rows) for mix in draws] == [0, 0]
    assert {mix.reason for mix in draws} == {"found 9 points of a plain mix, expected 10 or more"}


@pytest.mark.parametrize("share", [0.1, 0.25, 1 / 3, 0.55])
def test_every_mix_has_the_same_number_of_constant_points(share):
    overlap, other, constant = three_kinds(40, 70, 60)
    trade, strata = Trade(overlap, other, constant, share), no_strata(170)
    size = mix_size(trade, strata)
    assert size > 40
    rng = streams(0, "constant")
    mixes = draw_mixes([trade] * 2, [strata] * 2, proportions=TENTHS, rng=rng)
    held = math.floor(share * size + 0.5)
    for mix in mixes:
        assert len(mix.rows) == len(set(mix.rows.tolist())) == size
        assert constant[mix.rows].sum() == held
        assert overlap[mix.rows].sum() == math.floor(mix.proportion * (size - held) + 0.5)
    kept = [set(mix.rows[constant[mix.rows]].tolist()) for mix in mixes[9:12]]
    assert kept[0] == kept[1] != kept[2]  # the same points within a repeat


def test_points_that_are_hardly_traded_give_no_mix():
    # 180 constant points beside 9 that are traded: their tenths cannot be told apart
    overlap, other, constant = three_kinds(9, 100, 200)
    trade = Trade(overlap, other, constant, 0.95)
    (mix,) = draw_mixes([trade], [no_strata(309)], proportions=[1.0], rng=streams(0))
    assert len(mix.rows) == 0
    assert mix.reason.startswith("found 9 points that a mix can trade, expected 10 or more")
    none = Trade(np.zeros(309, bool), other, constant, 0.95)
    assert mix_size(none, no_strata(309)) == 0


def test_all_repeats_have_the_size_that_is_possible_in_each():
    overlaps = [pool(n, 200 - n) for n in (30, 50, 20)]
    trades = [against_others(overlap) for overlap in overlaps]
    mixes = draw_mixes(trades, [no_strata(200)] * 3, proportions=[0, 1], rng=streams(0))
    assert [len(mix.rows) for mix in mixes] == [20] * 6
    for mix in mixes:
        assert overlaps[mix.repeat][mix.rows].all() == (mix.proportion == 1)


def test_fault_a_constant_share_varies_at_no_proportion():
    # s k + s (m - k) is not s m in floating point, and falls on the other side of a half
    overlap = pool(300, 300)
    for share in (0.1, 0.3, 0.35, 0.55, 0.7, 7 / 9):
        member = np.random.default_rng(1).random(600) < share
        strata = Strata(member, both(share), "members")
        for n in (35, 45, 50, 55, 150):
            few = overlap & (np.cumsum(overlap) <= n)
            mixes = drawn(few, strata, proportions=TENTHS, rng=streams(0))
            assert len({int(member[mix.rows].sum()) for mix in mixes}) == 1, (share, n)


# --- placebo --------------------------------------------------------------------------------------


def test_placebo_by_hand():
    overlap = np.array([True, True, False, False, False])
    hard = np.array([False, False, True, True, False])
    rng = np.random.default_rng(0)
    chosen = placebo(overlap, hard, rng)
    assert chosen.dtype == bool
    assert chosen.sum() == 2
    assert not chosen[[2, 3]].any()
    np.testing.assert_array_equal(placebo(~hard, hard, rng), ~hard)  # all that there are
    assert not placebo(np.zeros(5, bool), hard, rng).any()
    overlap, hard = np.arange(30) < 8, np.arange(30) >= 18  # each as often as every other
    share = np.mean([placebo(overlap, hard, rng) for _ in range(3000)], axis=0)
    np.testing.assert_allclose(share[~hard], 8 / 18, atol=0.04)


@given(pools, st.integers(0, 9))
def test_placebo_has_as_many_points_as_there_are_overlap_points_and_none_is_hard(sides, seed):
    hard, other = sides
    overlap = other & ~hard
    chosen = placebo(overlap, hard, np.random.default_rng(seed))
    assert chosen.sum() == overlap.sum()
    assert not (chosen & hard).any()


# --- scores held constant -------------------------------------------------------------------------


def test_equal_score_by_hand():
    # mean 0.4; overlap: 0.1 and 0.9 (3/8 above), others: 0.2, 0.2 and 0.6 (half above)
    score = np.array([0.1, 0.9, 0.2, 0.2, 0.6])
    overlap = np.arange(5) < 2
    found = equal_score(score, (overlap, ~overlap), "low scores")
    np.testing.assert_array_equal(found.member, [True, False, True, True, False])
    np.testing.assert_allclose(found.shares, (5 / 8, 1 / 2))
    assert found.what == "low scores"
    none = np.zeros(5, bool)
    assert np.isnan(equal_score(np.ones(5), (none, none), "low").shares).all()


scores = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.01, 0.04, 0.3, 0.35, 0.9, 1.0])), min_size=1,
    max_size=30,
)  # fmt: skip


@given(scores)
def test_shares_of_low_scores_are_within_0_and_1_and_give_the_mean(points):
    overlap, score = (np.array(side) for side in zip(*points, strict=True))
    kinds = (overlap, ~overlap)
    found = equal_score(score, kinds, "low")
    for kind, share in zip(kinds, found.shares, strict=True):
        low, high = score[kind & found.member], score[kind & ~found.member]
        if len(low) and len(high):
            assert 0 <= share <= 1
            assert share * low.mean() + (1 - share) * high.mean() == pytest.approx(score.mean())
        elif len(low) and np.ptp(score) == 0:
            assert share == 1
        else:
            assert math.isnan(share)


@given(st.integers(2, 60), st.floats(0, 1))
def test_fault_equal_scores_need_no_classes(n, value):
    # the mean of equal numbers may come out below them, and then none is low
    overlap = np.arange(n) < n // 2
    found = equal_score(np.full(n, value), (overlap, ~overlap), "low")
    assert found.shares == (1, 1)
    assert size_of(overlap, found) == n // 2


def test_scores_are_equal_in_expectation_at_every_proportion():
    rng = np.random.default_rng(0)
    overlap = pool(120, 280)
    score = np.where(overlap, 0.6 * rng.random(400), 0.2 + 0.8 * rng.random(400))
    found = equal_score(score, (overlap, ~overlap), "low scores")
    options = {"proportions": TENTHS, "repeats": 400}
    matched, plain = (
        drawn(overlap, strata, rng=streams(0), **options) for strata in (found, no_strata(400))
    )

    def means(mixes):
        values = np.array([score[mix.rows].mean() for mix in mixes]).reshape(400, 11)
        return values.mean(axis=0), values.std(axis=0) / 20

    mean, error = means(matched)
    rounding = 0.5 / len(matched[0].rows)  # of a count, times a difference of scores
    assert np.all(np.abs(mean - score.mean()) <= rounding + 4 * error)
    mean, error = means(plain)
    assert mean[0] - score.mean() > 0.05
    assert score.mean() - mean[10] > 0.1


@pytest.mark.parametrize(
    ("inside", "others"),
    [([0.1] * 20, [0.2, 0.9] * 20), ([0.1, 0.9] * 20, [0.95] * 20), ([0.0] * 20, [1.0] * 20)],
)
def test_scores_on_one_side_of_the_mean_give_mixes_without_rows_that_say_why(inside, others):
    score = np.array(inside + others)
    overlap = np.arange(len(score)) < len(inside)
    strata = equal_score(score, (overlap, ~overlap), "low scores")
    assert size_of(overlap, strata) == 0
    (mix,) = drawn(overlap, strata, proportions=[0.5], rng=streams(0))
    assert len(mix.rows) == 0
    assert mix.reason.startswith("found 0 points that a mix can trade")
    kept = mix.reason.partition(" others, and every mix keeps a share of ")[2]
    assert "undefined" in kept
    assert kept.endswith(" low scores")


# --- learning curve of true labels ----------------------------------------------------------------


def test_few_labels_are_nested_balanced_and_of_their_sizes():
    label = np.random.default_rng(0).permutation(np.repeat([0, 1], (300, 212)))
    mixes = draw_few(label, repeats=3, rng=streams(0, "few_labels"))
    assert [mix.proportion for mix in mixes] == list(FEW) * 3
    assert FEW[0] == 1 / 256
    assert FEW[-1] == 1 / 2
    for repeat in range(3):
        mine = [mix.rows for mix in mixes if mix.repeat == repeat]
        assert [len(rows) for rows in mine] == [2, 4, 8, 16, 32, 64, 128, 256]
        for smaller, larger in pairwise(mine):
            assert set(smaller.tolist()) < set(larger.tolist())
        for rows in mine:
            assert len(set(rows.tolist())) == len(rows)
            assert label[rows].sum() == len(rows) / 2
    firsts = [tuple(mix.rows) for mix in mixes if mix.proportion == 1 / 2]
    assert len(set(firsts)) == 3
    alone = draw_few(label, repeats=1, rng=streams(0, "few_labels"))
    for a, b in zip(alone, mixes[: len(FEW)], strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)


@given(st.integers(0, 400), st.floats(0, 1), st.integers(0, 5))
def test_few_labels_hold_both_classes_as_far_as_they_go(n, share, seed):
    label = (np.random.default_rng(seed).random(n) < share).astype(int)
    for mix in draw_few(label, repeats=1, rng=streams(seed)):
        size = math.floor(mix.proportion * n + 0.5)
        if size < 2:
            assert len(mix.rows) == 0
            assert mix.reason == (
                f"{mix.proportion:g} of the pool are {size} points, expected 2 or more"
            )
            continue
        assert (len(mix.rows), mix.reason) == (size, "")
        ones = label[mix.rows].sum()
        for got, there in ((ones, label.sum()), (size - ones, n - label.sum())):
            assert got in (min(there, size // 2), min(there, size - size // 2)) or got > size / 2
        assert abs(2 * ones - size) <= 1 or min(label.sum(), n - label.sum()) in (ones, size - ones)
