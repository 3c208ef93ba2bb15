"""Balanced parts and halves: exact, never splitting a group, every row equally likely."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.splits import balance_parts, draw_halves, draw_parts, draw_within_sides, part_sizes
from w2s.errors import DataError


def columns(*kinds, most=60):
    """Arrays of one length, of elements of each kind."""
    rows = st.lists(st.tuples(*kinds), min_size=1, max_size=most)
    return rows.map(lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True)))


LABEL, SEED = st.integers(0, 1), st.integers(0, 5)
LABELS = columns(LABEL).map(lambda found: found[0])
GROUPED = columns(LABEL, st.integers(0, 12))
FEW = columns(LABEL, st.integers(0, 6), most=30)
SIDED = columns(LABEL, st.integers(0, 12), st.sampled_from(["train", "test"]), most=80)


def rng(seed=0):
    return np.random.default_rng(seed)


def sizes(pool, val, test):
    return {"pool": pool, "val": val, "test": test}


def counts(parts, labels):
    return Counter(zip(parts.tolist(), labels.tolist(), strict=True))


def test_sizes_are_rows_or_shares_of_the_balanced_rows_of_each_class(subtests):
    for available, wanted, expected in [
        (1000, sizes(400, 100, 300), sizes(200, 50, 150)),
        (1000, sizes(None, 0.1, 0.25), sizes(None, 50, 125)),
        (100, sizes(31, 5, 7), sizes(16, 3, 4)),  # odd ones are rounded up
        (100, sizes(0.5, 20, 0.3), sizes(25, 10, 15)),  # all rows are used
    ]:
        with subtests.test(str(wanted)):
            assert part_sizes(available, wanted, dataset="films") == expected


def test_too_few_rows_are_refused_with_the_numbers(subtests):
    for available, wanted in [
        (100, sizes(60, 30, 12)),
        (100, sizes(None, 50, 48)),
        (10, sizes(None, 0.1, 0.25)),
        (0, sizes(None, 0.1, 0.25)),
        (1000, sizes(0.5, 0.3, 0.3)),
        (100, sizes(None, 0.001, 0.25)),
    ]:
        with subtests.test(str(wanted), available=available):
            told = f"^dataset 'films': found {available} balanced rows, expected.*$"
            with pytest.raises(DataError, match=told) as caught:
                part_sizes(available, wanted, dataset="films")
            assert "\n" not in str(caught.value)
    # a share of no row is told as 0, and an open part as the rest
    with pytest.raises(DataError, match=r"\(pool 0, val rest, test 25\)"):
        part_sizes(100, sizes(0.001, None, 0.25), dataset="films")


SIZE = st.integers(2, 40) | st.floats(0.01, 0.99)


@given(st.integers(0, 60).map(lambda n: 2 * n), st.none() | SIZE, SIZE, SIZE)
def test_accepted_sizes_never_need_more_rows_than_there_are(available, pool, val, test):
    try:
        found = part_sizes(available, sizes(pool, val, test), dataset="films")
    except DataError:
        return
    assert sum(2 * size for size in found.values() if size is not None) <= available
    assert min(size for size in found.values() if size is not None) >= 1


@given(LABELS, st.integers(1, 8), st.integers(1, 8), SEED)
def test_without_groups_parts_have_the_asked_size_and_equal_classes(labels, val, test, seed):
    available = min(np.bincount(labels, minlength=2))
    if val + test > available:
        return
    parts = draw_parts(labels, np.arange(len(labels)), sizes(None, val, test), rng(seed))
    rest = available - val - test
    expected = {"pool": rest, "val": val, "test": test}
    for part, size in expected.items():
        assert counts(parts, labels)[part, 0] == counts(parts, labels)[part, 1] == size


@given(GROUPED, st.none() | st.integers(1, 8), st.integers(1, 8), st.integers(1, 8))
def test_parts_are_balanced_and_no_group_is_in_two_of_them(rows, pool, val, test):
    labels, groups = rows
    wanted = sizes(pool, val, test)
    parts = draw_parts(labels, groups, wanted, rng())
    found = counts(parts, labels)
    for part, size in wanted.items():
        assert found[part, 0] == found[part, 1]
        assert size is None or found[part, 0] <= size
    for group in set(groups.tolist()):
        assert len(set(parts[groups == group]) - {""}) <= 1


def test_parts_do_not_depend_on_anything_but_rows_and_seed():
    labels, groups = rng().integers(0, 2, 200), rng(1).integers(0, 30, 200)
    drawn = [
        draw_parts(labels, groups, sizes(None, 20, 20), rng(seed)).tolist() for seed in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def deviation(found, draws, chances):
    """How many standard errors counts are from their chances, at most."""
    return (np.abs(found / draws - chances) / np.sqrt(chances * (1 - chances) / draws)).max()


def test_every_row_is_equally_likely_in_every_part_half_and_side():
    draws, stream = 3000, rng()
    labels, found = np.array([0, 1] * 6), np.zeros((3, 12))
    for _ in range(draws):
        parts = draw_parts(labels, np.arange(12), sizes(None, 2, 1), stream)
        found += np.array([parts == name for name in ("pool", "val", "test")])
    assert deviation(found, draws, np.array([3 / 6, 2 / 6, 1 / 6])[:, None]) < 4.5
    # every division of a class into halves, without groups
    labels, stream = np.array([0, 1] * 4), rng()
    zeros = np.flatnonzero(labels == 0)
    pairs = Counter(
        tuple(zeros[draw_halves(labels, np.arange(8), stream)[zeros] == "weak_train"].tolist())
        for _ in range(draws)
    )
    assert set(pairs) == set(itertools.combinations(zeros.tolist(), 2))
    assert deviation(np.array(list(pairs.values())), draws, 1 / 6) < 4
    # and with them
    labels, stream = np.array([0, 1, 1, 0, 0, 1, 0, 1, 1, 0]), rng()
    groups = np.array([0, 0, 0, 1, 1, 1, 2, 3, 4, 4])
    weak = sum(draw_halves(labels, groups, stream) == "weak_train" for _ in range(draws))
    assert deviation(weak, draws, 0.5) < 4
    # within a side
    draws, stream, rows = 2000, rng(), sided(20, 10)
    asked = sizes(10, 2, 4)
    drawn = sum(draw_within_sides(*rows, asked, stream) == "pool" for _ in range(draws))
    assert deviation(drawn[:20], draws, 0.5) < 4
    assert (drawn[20:] == 0).all()


@given(LABELS, SEED)
def test_given_parts_are_balanced_by_leaving_rows_out(labels, seed):
    given_parts = np.array(
        [("pool", "val", "test")[i % 3] for i in range(len(labels))], dtype=object
    )
    parts = balance_parts(labels, given_parts, rng(seed))
    before, after = counts(given_parts, labels), counts(parts, labels)
    for part in ("pool", "val", "test"):
        smaller = min(before[part, 0], before[part, 1])
        assert after[part, 0] == after[part, 1] == smaller
    kept = parts != ""
    assert (parts[kept] == given_parts[kept]).all()


@given(LABELS, SEED)
def test_halves_without_groups_divide_each_class_exactly(labels, seed):
    halves = draw_halves(labels, np.arange(len(labels)), rng(seed))
    assert set(halves.tolist()) <= {"weak_train", "strong_train"}
    found = counts(halves, labels)
    for label in (0, 1):
        assert abs(found["weak_train", label] - found["strong_train", label]) <= 1


@given(GROUPED, SEED)
def test_no_group_is_in_both_halves_and_the_imbalance_is_bounded(rows, seed):
    labels, groups = rows
    halves = draw_halves(labels, groups, rng(seed))
    members = [np.flatnonzero(groups == group) for group in sorted(set(groups.tolist()))]
    assert all(len(set(halves[rows])) == 1 for rows in members)
    found = counts(halves, labels)
    ahead = [found["weak_train", c] - found["strong_train", c] for c in (0, 1)]
    brought = [np.bincount(labels[rows], minlength=2) for rows in members]
    # each group joins the side that does not lengthen the imbalance but for its own size
    assert sum(a**2 for a in ahead) <= sum(int((b**2).sum()) for b in brought)


@given(FEW, SEED)
def test_both_halves_have_both_classes_wherever_some_division_gives_them(rows, seed):
    """Against all divisions of the groups."""
    labels, groups = rows
    halves = draw_halves(labels, groups, rng(seed))
    kinds = [set(labels[groups == group].tolist()) for group in sorted(set(groups.tolist()))]
    divisions = itertools.product((0, 1), repeat=len(kinds))
    possible = any(
        all(set().union(*(kinds[i] for i, s in enumerate(sides) if s == half)) == {0, 1}
            for half in (0, 1))
        for sides in divisions
    )  # fmt: skip
    found = [set(labels[halves == half].tolist()) for half in ("weak_train", "strong_train")]
    assert (found == [{0, 1}, {0, 1}]) == possible
    assert all(found) or len(kinds) == 1


def test_halves_of_two_groups_of_one_class_each_are_never_empty():
    labels = np.repeat([0, 1], 10)
    for seed in range(40):
        halves = draw_halves(labels, labels, rng(seed))
        assert sorted(Counter(halves.tolist()).values()) == [10, 10]


def test_the_odd_row_falls_into_either_half():
    labels = np.array([0, 0, 0, 1, 1])
    stream = rng()
    sizes_of_weak = Counter(
        int((draw_halves(labels, np.arange(5), stream) == "weak_train").sum()) for _ in range(400)
    )
    assert set(sizes_of_weak) == {2, 3}
    assert min(sizes_of_weak.values()) > 120


def test_text_and_number_groups_work_alike():
    labels = np.array([0, 1] * 10)
    numbers = np.repeat(np.arange(5), 4)
    words = np.array([f"doc{g}" for g in numbers], dtype=object)
    halves = [draw_halves(labels, groups, rng(7)).tolist() for groups in (numbers, words)]
    assert halves[0] == halves[1]


SIZE = st.none() | st.integers(2, 40) | st.floats(0.05, 0.9)


@given(SIDED, SIZE, SIZE.filter(bool), SIZE.filter(bool), SEED)
def test_parts_are_drawn_within_their_sides(rows, pool, val, test, seed):
    labels, groups, sides = rows
    asked = sizes(pool, val, test)
    parts = draw_within_sides(labels, groups, sides, asked, rng(seed))
    found = counts(parts, labels)
    assert set(parts.tolist()) <= {"", "pool", "val", "test"}
    for part in ("pool", "val", "test"):
        side = "test" if part == "test" else "train"
        assert set(sides[parts == part].tolist()) <= {side}
        assert found[part, 0] == found[part, 1]
        if isinstance(asked[part], int):
            assert 2 * found[part, 0] <= asked[part] + asked[part] % 2
    homes = {part: set(groups[parts == part].tolist()) for part in ("pool", "val", "test")}
    assert not homes["pool"] & homes["test"]
    assert not homes["val"] & homes["test"]
    assert not homes["pool"] & homes["val"]


def sided(n_train, n_test):
    """Labels in turns, every row a group of its own, and sides."""
    n = n_train + n_test
    return np.arange(n) % 2, np.arange(n), np.repeat(["train", "test"], [n_train, n_test])


def test_a_side_with_fewer_rows_gives_all_it_has(subtests):
    for asked, expected in [
        (sizes(100, 20, 50), (100, 20, 50)),
        (sizes(100, 20, 10_000), (100, 20, 200)),
        (sizes(10_000, 20, 50), (480, 20, 50)),
        (sizes(None, 20, 50), (480, 20, 50)),
        (sizes(None, 0.1, 0.5), (450, 50, 100)),
        (sizes(0.5, 0.1, 50), (250, 50, 50)),
        (sizes(None, 1000, 50), (400, 100, 50)),  # val leaves a pool
        (sizes(31, 5, 7), (32, 6, 8)),
    ]:
        with subtests.test(str(asked)):
            parts = draw_within_sides(*sided(500, 200), asked, rng())
            found = tuple(int((parts == part).sum()) for part in ("pool", "val", "test"))
            assert found == expected
    for n_train, n_test in ((0, 20), (20, 0), (0, 0)):
        with subtests.test(n_train=n_train, n_test=n_test):
            parts = draw_within_sides(*sided(n_train, n_test), sizes(None, 2, 10), rng())
            assert (parts == "test").sum() == min(n_test, 10)
            assert (parts == "pool").sum() == max(0, n_train - 2)


def test_groups_of_the_test_part_are_left_out_of_the_train_side_and_others_are_not():
    labels, groups, sides = sided(60, 20)
    groups = groups % 10  # every group is on both sides
    pools = []
    for test in (2, 4, 8):
        parts = draw_within_sides(labels, groups, sides, sizes(None, 2, test), rng())
        kept = set(groups[parts == "test"].tolist())
        rest = set(groups[(parts == "pool") | (parts == "val")].tolist())
        assert rest == set(range(10)) - kept
        assert test != 4 or 1 < len(kept) < 10
        pools.append((parts == "pool").sum())
    assert pools[0] > pools[2]
