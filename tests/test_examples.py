"""From rows to examples: unique texts, balanced parts, ids by text."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.examples import leaks, make_examples
from w2s.data.files import Rows, text_id, without_near_duplicates
from w2s.data.splits import REASONS
from w2s.errors import DataError

SIZES = {"pool": None, "val": 0.1, "test": 0.25}


def rows(n: int = 80, **changes: Any) -> Rows:
    """Rows of n different texts with labels in turns."""
    content: dict[str, Any] = {
        "source_id": [f"row {i}" for i in range(n)],
        "text": [f"text number {i}" for i in range(n)],
        "label": [i % 2 for i in range(n)],
        "group": None,
        "part": None,
        "dropped": {},
    }
    return Rows(**{**content, **changes})


def make(found: Rows, seed: int = 0, **changes: Any) -> tuple[dict[str, Any], dict[str, int]]:
    options: dict[str, Any] = {"dataset": "films", "sizes": SIZES, "grouped": True}
    return make_examples(found, **{**options, **changes}, rng=np.random.default_rng(seed))


def test_columns_hold_texts_labels_and_ids_in_the_order_of_the_source() -> None:
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


def test_parts_have_their_sizes_and_equal_classes() -> None:
    columns, _ = make(rows())
    found = Counter(zip(columns["part"], columns["label"].tolist(), strict=True))
    assert found == {
        **{("pool", 0): 26, ("pool", 1): 26, ("val", 0): 4, ("val", 1): 4},
        **{("test", 0): 10, ("test", 1): 10},
    }


def test_a_group_that_takes_the_pool_is_named() -> None:
    group = ["NA" if i % 3 else f"document {i // 12}" for i in range(300)]
    with pytest.raises(DataError, match=r"part pool: found 0 .* group 'NA' holds 200 of 300 rows"):
        make(rows(300, group=group), seed=8)


def test_repeated_texts_are_dropped_and_counted_and_the_first_is_kept() -> None:
    plain = rows()
    texts = [*plain.text[:-2], plain.text[0], plain.text[0]]
    columns, dropped = make(rows(text=texts))
    assert len(set(columns["text"])) == len(columns["text"])
    assert len(set(columns["id"])) == len(columns["id"])
    assert len(columns["id"]) + sum(dropped.values()) == 80
    assert dict(zip(columns["text"], columns["source_id"], strict=True))[texts[0]] == "row 0"


def test_repeated_texts_with_another_label_are_counted_apart() -> None:
    plain = rows()
    texts = [*plain.text[:-2], plain.text[0], plain.text[0]]  # labels 0, 1 where the first is 0
    _, dropped = make(rows(text=texts))
    assert dropped["duplicate"] == 1
    assert dropped["duplicate with another label"] == 1


def test_a_text_of_two_given_parts_is_only_in_the_first() -> None:
    parts = ["pool"] * 40 + ["val"] * 20 + ["test"] * 20
    texts = list(rows().text)
    texts[70] = texts[0]  # a test text that is in the pool
    columns, dropped = make(rows(text=texts, part=parts))
    assert dropped["duplicate"] == 1
    assert columns["part"][list(columns["text"]).index(texts[0])] == "pool"


def test_rows_left_out_to_balance_are_counted_with_those_of_the_source() -> None:
    labels = [0] * 60 + [1] * 20
    columns, dropped = make(rows(label=labels, dropped={"ambiguous": 5}))
    assert (dropped["ambiguous"], dropped["duplicate"], dropped["unbalanced"]) == (5, 0, 40)
    assert len(columns["id"]) == 40


@given(st.randoms(use_true_random=False))
def test_reordering_the_source_changes_no_id_and_no_label(random: random.Random) -> None:
    plain = rows()
    order = list(range(80))
    random.shuffle(order)
    shuffled = rows(text=[plain.text[i] for i in order], label=[plain.label[i] for i in order])
    columns = [make(found)[0] for found in (plain, shuffled)]
    first, second = (dict(zip(c["text"], c["id"].tolist(), strict=True)) for c in columns)
    assert first == second
    labels = [dict(zip(c["id"].tolist(), c["label"].tolist(), strict=True)) for c in columns]
    assert labels[0] == labels[1]


def test_groups_are_never_in_two_parts() -> None:
    groups = [f"doc{i // 5}" for i in range(200)]
    columns, _ = make(rows(200, group=groups))
    for group in set(groups):
        assert len(set(columns["part"][columns["group"] == group])) <= 1
    assert set(columns["part"]) == {"pool", "val", "test"}


def test_groups_are_ignored_where_the_user_says_so() -> None:
    groups = [f"doc{i // 5}" for i in range(200)]
    columns, _ = make(rows(200, group=groups), grouped=False)
    assert columns["group"].tolist() == columns["source_id"].tolist()
    assert len(columns["id"]) == 200


def test_given_parts_are_kept_and_balanced() -> None:
    parts = ["pool"] * 41 + ["val"] * 20 + ["test"] * 19
    columns, dropped = make(rows(part=parts))
    asked = dict(zip(rows().source_id, parts, strict=True))
    assert all(asked[name] == part for name, part in zip(columns["source_id"], columns["part"],
                                                         strict=True))  # fmt: skip
    assert Counter(columns["part"]) == {"pool": 40, "val": 20, "test": 18}
    assert dropped["unbalanced"] == 2


def test_given_parts_that_tear_a_group_apart_are_refused() -> None:
    parts = ["pool"] * 40 + ["val"] * 20 + ["test"] * 20
    groups = [f"doc{i % 20}" for i in range(80)]  # every document is in pool, val and test
    with pytest.raises(DataError, match="group"):
        make(rows(part=parts, group=groups), grouped=True)


def test_given_parts_may_tear_groups_where_the_user_says_so() -> None:
    parts = ["pool"] * 40 + ["val"] * 20 + ["test"] * 20
    groups = [f"doc{i % 20}" for i in range(80)]
    columns, _ = make(rows(part=parts, group=groups), grouped=False)
    assert len(columns["id"]) == 80


@pytest.mark.parametrize("n", [2, 4, 10, 12])
def test_too_few_rows_are_refused(n: int) -> None:
    with pytest.raises(DataError, match=r"^dataset 'films'") as caught:
        make(rows(n))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["pool", "val", "test"])
def test_a_given_part_without_rows_or_with_one_class_is_refused(missing: str) -> None:
    names = [name for name in ("pool", "val", "test") if name != missing]
    parts = [names[i // 40] for i in range(80)]
    with pytest.raises(DataError, match=f"part {missing}: found 0 balanced rows"):
        make(rows(part=parts))
    labels = [0 if part == names[0] else i % 2 for i, part in enumerate(parts)]
    with pytest.raises(DataError, match=f"part ({names[0]}|{missing}): found 0 balanced rows"):
        make(rows(part=parts, label=labels))


def test_a_pool_of_one_group_cannot_be_halved_and_is_refused() -> None:
    groups = ["doc0"] * 60 + [f"doc{i}" for i in range(60, 80)]
    parts = ["pool"] * 60 + ["val"] * 10 + ["test"] * 10
    with pytest.raises(DataError, match="pool"):
        make(rows(group=groups, part=parts))


def test_draw_is_repeatable_and_depends_on_the_stream() -> None:
    drawn = [make(rows(), seed=seed)[0]["part"].tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_bad_rows_are_refused_before_anything_is_drawn() -> None:
    with pytest.raises(DataError, match="found label 3, expected 0 or 1"):
        make(rows(label=[3] * 80))


SIDES = ["train"] * 60 + ["test"] * 20
MOST = {"pool": None, "val": 6, "test": 10}


def test_sides_give_parts_with_the_sizes_as_the_most_rows() -> None:
    columns, dropped = make(rows(part=SIDES), sizes=MOST)
    assert Counter(columns["part"]) == {"pool": 54, "val": 6, "test": 10}
    side = dict(zip(rows().source_id, SIDES, strict=True))
    assert all(
        (side[name] == "test") == (part == "test")
        for name, part in zip(columns["source_id"], columns["part"], strict=True)
    )
    assert dropped["more than asked for"] == 10


def test_a_text_of_both_sides_stays_on_the_first_only() -> None:
    texts = list(rows().text)
    texts[70], texts[72] = texts[0], texts[2]
    columns, dropped = make(rows(text=texts, part=SIDES), sizes={**MOST, "test": 20})
    part = dict(zip(columns["text"], columns["part"], strict=True))
    assert part[texts[0]] in ("pool", "val")
    assert part[texts[2]] in ("pool", "val")
    assert dropped["duplicate"] == 2


@pytest.mark.parametrize("grouped", [True, False])
def test_leaks_are_the_test_texts_whose_group_is_in_the_pool(grouped: bool) -> None:
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


def test_leaks_count_texts_and_not_val() -> None:
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
def test_a_side_that_is_too_small_is_refused_with_its_part(side: str) -> None:
    parts = ["test" if side == "train" else "train"] * 78 + [side] * 2
    told = "pool" if side == "train" else "test"
    labels = [i % 2 for i in range(78)] + [1, 1]
    with pytest.raises(DataError, match=f"part {told}: found 0 balanced rows") as caught:
        make(rows(part=parts, label=labels), sizes=MOST)
    assert "\n" not in str(caught.value)


# Rows without a group, large groups, near-duplicates.


def parts_of(columns: dict[str, Any]) -> dict[str, str]:
    return dict(zip(columns["source_id"], columns["part"], strict=True))


def test_a_row_without_a_group_is_its_own_group() -> None:
    blank = [("", "  ")[i % 3 % 2] if i % 10 < 7 else f"doc{i // 20}" for i in range(400)]
    columns, dropped = make(rows(400, group=blank))
    own = np.array([group.startswith("row ") for group in columns["group"]])
    assert columns["group"][own].tolist() == columns["source_id"][own].tolist()
    assert len(columns["id"]) + sum(dropped.values()) == 400
    assert len(columns["id"]) > 330


def test_a_row_without_a_group_does_not_join_a_group_of_its_name() -> None:
    groups = ["row 1", "", "row 1'", *("" for _ in range(77))]
    columns, _ = make(rows(group=groups))
    names = dict(zip(columns["source_id"], columns["group"], strict=True))
    assert (names["row 0"], names["row 1"], names["row 2"]) == ("row 1", "row 1''", "row 1'")


def test_a_group_larger_than_a_part_goes_to_the_pool() -> None:
    groups = ["large" if i < 200 else f"doc{i // 4}" for i in range(400)]
    for seed in range(10):
        columns, dropped = make(rows(400, group=groups), seed=seed)
        assert set(columns["part"][columns["group"] == "large"]) == {"pool"}
        assert sum(dropped.values()) == 0


def test_large_groups_fill_a_part_that_others_do_not() -> None:
    groups = [f"domain{i // 100}" for i in range(400)]
    columns, dropped = make(rows(400, group=groups))
    assert Counter(columns["part"]) == {"pool": 200, "val": 40, "test": 100}
    assert dropped["to keep groups whole"] == 60
    assert dropped["unbalanced"] == dropped["more than asked for"] == 0


def test_why_rows_are_left_out_is_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
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


def near(n: int = 200) -> Rows:
    """Texts with a near-duplicate each; the two of one have the same label."""
    changes = (str.upper, lambda t: t + "!", lambda t: f" {t}\n", lambda t: t.replace(" ", "  "))
    texts = [f"the film number {i}" for i in range(n)]
    twins = [changes[i % 4](text) for i, text in enumerate(texts)]
    return rows(2 * n, text=[*texts, *twins], label=[i % 2 for i in range(n)] * 2)


def test_near_duplicates_are_counted_and_lie_on_one_side() -> None:
    found = near()
    columns, dropped = make(found)
    assert len(columns["id"]) == 400
    assert sum(dropped.values()) == 0
    part = parts_of(columns)
    assert all(part[f"row {i}"] == part[f"row {i + 200}"] for i in range(200))
    group = dict(zip(columns["source_id"], columns["group"], strict=True))
    assert all(group[f"row {i + 200}"] == f"row {i}" for i in range(200))
    assert leaks(found, columns) == {"leaks": 0, "near_duplicates": 200, "near_leaks": 0}


@pytest.mark.parametrize("grouped", [True, False])
def test_near_duplicates_join_the_groups_they_are_in(grouped: bool) -> None:
    found = replace(near(), group=[f"doc{i // 4}" for i in range(400)])
    columns, _ = make(found, grouped=grouped)
    part = parts_of(columns)
    twins = [{part.get(f"row {i}"), part.get(f"row {i + 200}")} - {None} for i in range(200)]
    assert all(len(homes) == 1 for homes in twins)  # some rows may be left out
    assert len(set(columns["group"])) == (50 if grouped else 200)


def test_near_duplicates_in_parts_of_the_source_stay_there_and_are_told() -> None:
    parts = ["pool" if i < 200 else "test" if i < 300 else "val" for i in range(400)]
    found = replace(near(), part=parts)
    columns, _ = make(found)
    assert parts_of(columns) == dict(zip(found.source_id, parts, strict=True))
    assert leaks(found, columns) == {"leaks": 0, "near_duplicates": 200, "near_leaks": 100}
    parts = [("pool", "val", "test", "pool")[i // 2 % 4] for i in range(400)]
    fewer = without_near_duplicates(replace(found, part=parts))
    columns, dropped = make(fewer)
    assert dropped["near-duplicate"] == 200
    assert leaks(fewer, columns)["near_duplicates"] == 0


def test_near_duplicates_of_the_test_part_are_not_drawn_for_the_pool() -> None:
    found = replace(near(), part=["train"] * 200 + ["test"] * 200)
    columns, dropped = make(found, sizes={"pool": None, "val": 10, "test": 100})
    assert Counter(columns["part"]) == {"pool": 90, "val": 10, "test": 100}
    assert leaks(found, columns)["near_leaks"] == 0
    assert dropped["group of the test part"] == 100
