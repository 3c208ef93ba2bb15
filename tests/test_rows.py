"""Rows of a source: ids by text, and refusal of what is not labelled text."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.files import PARTS, Rows, check_rows, text_id
from w2s.errors import DataError


def rows(**changes: Any) -> Rows:
    content: dict[str, Any] = {
        "source_id": ["a", "b", "c"],
        "text": ["one", "two", "three"],
        "label": [0, 1, 0],
        "group": None,
        "part": None,
        "dropped": {},
    }
    return Rows(**{**content, **changes})


def refusal(found: Rows) -> str:
    with pytest.raises(DataError) as caught:
        check_rows(found, dataset="films")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("dataset 'films'")
    return message


def test_text_id_is_the_first_63_bits_of_the_sha256() -> None:
    expected = int(hashlib.sha256(b"caf\xc3\xa9").hexdigest()[:16], 16) // 2
    assert text_id("café") == expected


@given(st.text(), st.text())
def test_text_id_is_an_int64_that_only_equal_texts_share(a: str, b: str) -> None:
    assert 0 <= text_id(a) < 2**63
    assert (text_id(a) == text_id(b)) == (a == b)


def test_good_rows_pass() -> None:
    check_rows(rows(), dataset="films")
    check_rows(rows(part=list(PARTS)), dataset="films")


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u3000"])
def test_empty_text_is_refused_with_its_row(text: str) -> None:
    line = refusal(rows(text=["one", text, "three"]))
    assert "row b: found an empty text, expected words" in line


def test_a_row_that_is_named_row_is_not_called_so_twice() -> None:
    line = refusal(rows(source_id=["row 1", "row 2", "row 3"], text=["one", "", "three"]))
    assert line == "dataset 'films', row 2: found an empty text, expected words"


@pytest.mark.parametrize("label", [2, -1, 10])
def test_label_other_than_0_or_1_is_refused_with_its_row(label: int) -> None:
    line = refusal(rows(label=[0, 1, label]))
    assert f"row c: found label {label}, expected 0 or 1" in line


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_only_is_refused(label: int) -> None:
    assert f"found labels [{label}] only, expected both 0 and 1" in refusal(rows(label=[label] * 3))


def test_no_rows_at_all_are_refused() -> None:
    assert "found no rows, expected texts" in refusal(Rows([], [], [], None, None, {}))


def test_unknown_part_is_refused_with_its_row() -> None:
    line = refusal(rows(part=["pool", "tset", "test"]))
    assert "row b: found split 'tset', expected one of pool, val, test" in line


def test_text_that_is_not_unicode_is_refused_with_its_row() -> None:
    lone = "half of a pair \ud83d"  # JSON can hold it, UTF-8 and so Parquet cannot
    assert "row b" in refusal(rows(text=["one", lone, "three"]))
