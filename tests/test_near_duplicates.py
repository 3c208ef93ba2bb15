"""Texts that are one text but for white space, case and punctuation."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.files import Rows, joined, near_key, without_near_duplicates


def test_near_duplicates_have_one_key_and_other_texts_do_not():
    for one, other in [
        ("A good film.", "a  good film"),
        ("DAMN! running late SUCKS!!", "Damn, running late sucks."),
        ("isn't", "isn\u2019t"),
        ("naïve", "NAI\u0308VE"),
        ("stra\u00dfe", "STRASSE"),
        ("zero\u200bwidth\u00a0space", "zerowidth space\r\n"),
        ("\u4f60\u597d\uff01", "\u4f60\u597d"),
    ]:
        assert near_key(one) == near_key(other)
    for one, other in [
        ("a good film", "a good films"), (":)", ":("), ("?", "!"),
        ("so \U0001f600", "so \U0001f622"), ("2 + 2", "2 2"), ("naive", "naïve"),
        ("1 < 2", "1 > 2"),
    ]:  # fmt: skip
        assert near_key(one) != near_key(other)


@given(st.text(min_size=1))
def test_white_space_around_and_in_the_middle_changes_no_key(text):
    assert near_key(f" {text}\n") == near_key(text)


PAIRS = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 8)), max_size=40)


@given(PAIRS)
def test_joined_groups_are_the_components_of_groups_and_keys(rows):
    """Against a search from every row through the rows that share its group or key."""
    found = joined(np.array([f"g{g}" for g, _ in rows], dtype=object), [k for _, k in rows])
    for start in range(len(rows)):
        reached, waiting = {start}, [start]
        while waiting:
            g, k = rows[waiting.pop()]
            new = {i for i, row in enumerate(rows) if g == row[0] or k == row[1]} - reached
            reached |= new
            waiting += new
        assert reached == {i for i in range(len(rows)) if found[i] == found[start]}
        assert found[start] == f"g{rows[min(reached)][0]}"


def test_dropped_near_duplicates_are_counted_by_label_and_equal_texts_stay():
    rows = Rows(
        source_id=list("abcdef"),
        text=["good", "Good!", "bad", "good", "BAD", "good "],
        label=[1, 1, 0, 1, 1, 1],
        group=list("uvwxyz"),
        part=["pool"] * 6,
        dropped={"ambiguous": 3},
    )
    found = without_near_duplicates(rows)
    assert (found.source_id, found.text) == (["a", "c", "d"], ["good", "bad", "good"])
    assert (found.label, found.group, found.part) == ([1, 0, 1], ["u", "w", "x"], ["pool"] * 3)
    assert found.dropped == {
        "ambiguous": 3, "near-duplicate": 2, "near-duplicate with another label": 1,
    }  # fmt: skip
