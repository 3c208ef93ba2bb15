"""From rows to examples: unique texts, balanced parts, ids by text."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.examples import leaks, make_examples
from w2s.data.files import Rows, text_id, without_near_duplicates
from w2s.data.splits import REASONS
from w2s.errors import DataError

SIZES = {"pool": None, "val": 0.1, "test": 0.25}
PARTS = ["pool"] * 40 + ["val"] * 20 + ["test"] * 20
SIDES = ["train"] * 60 + ["test"] * 20
MOST = {"pool": None, "val": 6, "test": 10}


def rows(n=80, **changes):
    """Rows of n different texts with labels in turns."""
    names, texts = [f"row {i}" for i in range(n)], [f"text number {i}" for i in range(n)]
    content = {"source_id": names, "text": texts, "label": [i % 2 for i in range(n)]}
    return Rows(**{**content, "group": None, "part": None, "dropped": {}, **changes})


def repeated(*places):
    """The texts of `rows()`, those at some places as at others."""
    texts = list(rows().text)
    for place, first in places:
        texts[place] = texts[first]
    return texts


def make(found, seed=0, **changes):
    options = {"dataset": "films", "sizes": SIZES, "grouped": True}
    return make_examples(found, **{**options, **changes}, rng=np.random.default_rng(seed))


def by(columns, key, value):
    return dict(zip(columns[key], columns[value].tolist(), strict=True))


def test_columns_hold_texts_labels_and_ids_in_the_order_of_the_source():
    columns, dropped = make(rows())
    assert columns["id"].tolist() == [text_id(text) for text in columns["text"]]
    numbers = [int(text.split()[-1]) for text in columns["text"]]
    assert numbers == sorted(numbers)
    assert columns["source_id"].tolist() == [f"row {i}" for i in numbers]
    assert columns["label"].tolist() == [i % 2 for i in numbers]
    assert columns["label"].dtype == np.int8
    assert columns["group"].tolist() == columns["source_id"].tolist()
    assert set(dropped.values()) == {0}
    assert set(dropped) == {"duplicate", "duplicate with another label", *REASONS}
    found = Counter(zip(columns["part"], columns["label"].tolist(), strict=True))
    sizes = {"pool": 26, "val": 4, "test": 10}
    assert found == {(part, label): n for part, n in sizes.items() for label in (0, 1)}
    drawn = [make(rows(), seed=seed)[0]["part"].tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_repeated_texts_are_dropped_and_counted_and_the_first_is_kept():
    texts = repeated((78, 0), (79, 0))  # labels 0, 1 where the first is 0
    columns, dropped = make(rows(text=texts))
    assert len(set(columns["text"])) == len(columns["text"])
    assert len(set(columns["id"])) == len(columns["id"])
    assert len(columns["id"]) + sum(dropped.values()) == 80
    assert by(columns, "text", "source_id")[texts[0]] == "row 0"
    assert dropped["duplicate"] == 1
    assert dropped["duplicate with another label"] == 1
    texts = repeated((70, 0))  # a test text that is in the pool
    columns, dropped = make(rows(text=texts, part=PARTS))
    assert dropped["duplicate"] == 1
    assert by(columns, "text", "part")[texts[0]] == "pool"


def test_rows_left_out_to_balance_are_counted_with_those_of_the_source():
    columns, dropped = make(rows(label=[0] * 60 + [1] * 20, dropped={"ambiguous": 5}))
    assert (dropped["ambiguous"], dropped["duplicate"], dropped["unbalanced"]) == (5, 0, 40)
    assert len(columns["id"]) == 40


@given(st.randoms(use_true_random=False))
def test_reordering_the_source_changes_no_id_and_no_label(random):
    plain = rows()
    order = list(range(80))
    random.shuffle(order)
    shuffled = rows(text=[plain.text[i] for i in order], label=[plain.label[i] for i in order])
    columns = [make(found)[0] for found in (plain, shuffled)]
    for key, value in (("text", "id"), ("id", "label")):
        assert by(columns[0], key, value) == by(columns[1], key, value)


def test_groups_are_never_in_two_parts_unless_they_are_ignored():
    groups = [f"doc{i // 5}" for i in range(200)]
    columns, _ = make(rows(200, group=groups))
    for group in set(groups):
        assert len(set(columns["part"][columns["group"] == group])) <= 1
    assert set(columns["part"]) == {"pool", "val", "test"}
    columns, _ = make(rows(200, group=groups), grouped=False)
    assert columns["group"].tolist() == columns["source_id"].tolist()
    assert len(columns["id"]) == 200


def test_given_parts_are_kept_and_balanced():
    parts = ["pool"] * 41 + ["val"] * 20 + ["test"] * 19
    columns, dropped = make(rows(part=parts))
    asked = dict(zip(rows().source_id, parts, strict=True))
    assert by(columns, "source_id", "part").items() <= asked.items()
    assert Counter(columns["part"]) == {"pool": 40, "val": 20, "test": 18}
    assert dropped["unbalanced"] == 2


def test_given_parts_may_tear_groups_apart_only_where_the_user_says_so():
    torn = rows(part=PARTS, group=[f"doc{i % 20}" for i in range(80)])  # each in all three
    with pytest.raises(DataError, match="group"):
        make(torn, grouped=True)
    assert len(make(torn, grouped=False)[0]["id"]) == 80


def test_rows_that_give_no_parts_are_refused(subtests):
    one = ["doc0"] * 60 + [f"doc{i}" for i in range(60, 80)]
    large = ["NA" if i % 3 else f"document {i // 12}" for i in range(300)]
    cases = [
        *((rows(n), r"^dataset 'films'") for n in (2, 4, 10, 12)),
        (rows(300, group=large), r"part pool: found 0 .* group 'NA' holds 200 of 300 rows"),
        (rows(group=one, part=["pool"] * 60 + ["val"] * 10 + ["test"] * 10), "of one group only"),
        (rows(label=[3] * 80), "found label 3, expected 0 or 1"),
    ]
    for missing in ("pool", "val", "test"):
        names = [name for name in ("pool", "val", "test") if name != missing]
        parts = [names[i // 40] for i in range(80)]
        cases.append((rows(part=parts), f"part {missing}: found 0 balanced rows"))
        labels = [0 if part == names[0] else i % 2 for i, part in enumerate(parts)]
        told = f"part ({names[0]}|{missing}): found 0 balanced rows"
        cases.append((rows(part=parts, label=labels), told))
    for found, told in cases:
        with subtests.test(told, n=len(found.text)):
            with pytest.raises(DataError, match=told) as caught:
                make(found, seed=8)
            assert "\n" not in str(caught.value)


def test_sides_give_parts_with_the_sizes_as_the_most_rows():
    columns, dropped = make(rows(part=SIDES), sizes=MOST)
    assert Counter(columns["part"]) == {"pool": 54, "val": 6, "test": 10}
    side = dict(zip(rows().source_id, SIDES, strict=True))
    for name, part in by(columns, "source_id", "part").items():
        assert (side[name] == "test") == (part == "test")
    assert dropped["more than asked for"] == 10
    texts = repeated((70, 0), (72, 2))  # texts of both sides stay on the first only
    columns, dropped = make(rows(text=texts, part=SIDES), sizes={**MOST, "test": 20})
    part = by(columns, "text", "part")
    assert part[texts[0]] in ("pool", "val")
    assert part[texts[2]] in ("pool", "val")
    assert dropped["duplicate"] == 2


@pytest.mark.parametrize("grouped", [True, False])
def test_leaks_are_the_test_texts_whose_group_is_in_the_pool(grouped):
    groups = [f"doc{i % 10}" for i in range(80)]  # every document is on both sides
    found = rows(part=SIDES, group=groups)
    columns, _ = make(found, sizes={**MOST, "test": 4}, grouped=grouped)
    home = dict(zip(found.source_id, groups, strict=True))
    pool, test = (
        [home[name] for name in columns["source_id"][columns["part"] == part]]
        for part in ("pool", "test")
    )
    assert leaks(found, columns)["leaks"] == sum(group in pool for group in test)
    assert leaks(found, columns)["leaks"] == (0 if grouped else 4)


def test_leaks_count_texts_and_not_val():
    found = rows(6, group=["a", "b", "c", "a", "a", "b"])
    columns = {
        "text": found.text,
        "source_id": np.array(found.source_id, dtype=object),
        "part": np.array(["pool", "val", "pool", "test", "test", "test"], dtype=object),
    }
    assert leaks(found, columns) == {"leaks": 2, "near_duplicates": 0, "near_leaks": 0}
    assert leaks(rows(6), columns)["leaks"] == 0
    assert leaks(rows(6, group=["a", "", "", "", " ", ""]), columns)["leaks"] == 0


@pytest.mark.parametrize("side", ["train", "test"])
def test_a_side_that_is_too_small_is_refused_with_its_part(side):
    parts = ["test" if side == "train" else "train"] * 78 + [side] * 2
    told = "pool" if side == "train" else "test"
    labels = [i % 2 for i in range(78)] + [1, 1]
    with pytest.raises(DataError, match=f"part {told}: found 0 balanced rows") as caught:
        make(rows(part=parts, label=labels), sizes=MOST)
    assert "\n" not in str(caught.value)


def test_a_row_without_a_group_is_its_own_group():
    blank = [("", "  ")[i % 3 % 2] if i % 10 < 7 else f"doc{i // 20}" for i in range(400)]
    columns, dropped = make(rows(400, group=blank))
    own = np.array([group.startswith("row ") for group in columns["group"]])
    assert columns["group"][own].tolist() == columns["source_id"][own].tolist()
    assert len(columns["id"]) + sum(dropped.values()) == 400
    assert len(columns["id"]) > 330

    groups = ["row 1", "", "row 1'", *("" for _ in range(77))]  # and joins no group of its name
    columns, _ = make(rows(group=groups))
    names = by(columns, "source_id", "group")
    assert (names["row 0"], names["row 1"], names["row 2"]) == ("row 1", "row 1''", "row 1'")


def test_a_group_larger_than_a_part_goes_to_the_pool():
    groups = ["large" if i < 200 else f"doc{i // 4}" for i in range(400)]
    for seed in range(10):
        columns, dropped = make(rows(400, group=groups), seed=seed)
        assert set(columns["part"][columns["group"] == "large"]) == {"pool"}
        assert sum(dropped.values()) == 0


def test_large_groups_fill_a_part_that_others_do_not():
    groups = [f"domain{i // 100}" for i in range(400)]
    columns, dropped = make(rows(400, group=groups))
    assert Counter(columns["part"]) == {"pool": 200, "val": 40, "test": 100}
    assert dropped["to keep groups whole"] == 60
    assert dropped["unbalanced"] == dropped["more than asked for"] == 0


def test_why_rows_are_left_out_is_counted_and_told(caplog):
    labels = [int(i % 4 == 0) for i in range(400)]
    _, dropped = make(rows(400, label=labels), sizes={"pool": 100, "val": 20, "test": 40})
    assert (dropped["unbalanced"], dropped["more than asked for"]) == (200, 40)
    (line,) = caplog.messages
    told = "dataset 'films': 240 of 400 rows left out (unbalanced 200, more than asked for 40)"
    assert line == told
    groups = [f"doc{i % 20}" for i in range(80)]
    columns, dropped = make(rows(group=groups, part=SIDES), sizes=MOST)
    tested = set(columns["group"][columns["part"] == "test"])
    assert dropped["group of the test part"] == 3 * len(tested)
    caplog.clear()
    make(rows())
    assert caplog.messages == []


def near(n=200):
    """Texts with a near-duplicate each; the two of one have the same label."""
    changes = (str.upper, lambda t: t + "!", lambda t: f" {t}\n", lambda t: t.replace(" ", "  "))
    texts = [f"the film number {i}" for i in range(n)]
    twins = [changes[i % 4](text) for i, text in enumerate(texts)]
    return rows(2 * n, text=[*texts, *twins], label=[i % 2 for i in range(n)] * 2)


def test_near_duplicates_are_counted_and_lie_on_one_side():
    found = near()
    columns, dropped = make(found)
    assert len(columns["id"]) == 400
    assert sum(dropped.values()) == 0
    part = by(columns, "source_id", "part")
    assert all(part[f"row {i}"] == part[f"row {i + 200}"] for i in range(200))
    group = by(columns, "source_id", "group")
    assert all(group[f"row {i + 200}"] == f"row {i}" for i in range(200))
    assert leaks(found, columns) == {"leaks": 0, "near_duplicates": 200, "near_leaks": 0}


@pytest.mark.parametrize("grouped", [True, False])
def test_near_duplicates_join_the_groups_they_are_in(grouped):
    found = replace(near(), group=[f"doc{i // 4}" for i in range(400)])
    columns, _ = make(found, grouped=grouped)
    part = by(columns, "source_id", "part")
    twins = [{part.get(f"row {i}"), part.get(f"row {i + 200}")} - {None} for i in range(200)]
    assert all(len(homes) == 1 for homes in twins)  # some rows may be left out
    assert len(set(columns["group"])) == (50 if grouped else 200)


def test_near_duplicates_in_parts_of_the_source_stay_there_and_are_told():
    parts = ["pool" if i < 200 else "test" if i < 300 else "val" for i in range(400)]
    found = replace(near(), part=parts)
    columns, _ = make(found)
    assert by(columns, "source_id", "part") == dict(zip(found.source_id, parts, strict=True))
    assert leaks(found, columns) == {"leaks": 0, "near_duplicates": 200, "near_leaks": 100}
    parts = [("pool", "val", "test", "pool")[i // 2 % 4] for i in range(400)]
    fewer = without_near_duplicates(replace(found, part=parts))
    columns, dropped = make(fewer)
    assert dropped["near-duplicate"] == 200
    assert leaks(fewer, columns)["near_duplicates"] == 0


def test_near_duplicates_of_the_test_part_are_not_drawn_for_the_pool():
    found = replace(near(), part=["train"] * 200 + ["test"] * 200)
    columns, dropped = make(found, sizes={"pool": None, "val": 10, "test": 100})
    assert Counter(columns["part"]) == {"pool": 90, "val": 10, "test": 100}
    assert leaks(found, columns)["near_leaks"] == 0
    assert dropped["group of the test part"] == 100
