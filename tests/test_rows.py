"""Rows of a source: ids by text, and refusal of what is not labelled text."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.files import PARTS, Rows, check_rows, text_id
from w2s.errors import DataError


def rows(**changes):
    content = {"source_id": ["a", "b", "c"], "text": ["one", "two", "three"], "label": [0, 1, 0]}
    return Rows(**{**content, "group": None, "part": None, "dropped": {}, **changes})


def test_text_id_is_the_first_63_bits_of_the_sha256():
    expected = int(hashlib.sha256(b"caf\xc3\xa9").hexdigest()[:16], 16) // 2
    assert text_id("café") == expected


@given(st.text(), st.text())
def test_text_id_is_an_int64_that_only_equal_texts_share(a, b):
    assert 0 <= text_id(a) < 2**63
    assert (text_id(a) == text_id(b)) == (a == b)


def test_good_rows_pass():
    check_rows(rows(), dataset="films")
    check_rows(rows(part=list(PARTS)), dataset="films")


def test_what_is_not_labelled_text_is_refused_with_its_row(subtests):
    for found, told in [
        *((rows(text=["one", text, "three"]), ", row b: found an empty text, expected words")
          for text in ("", " ", "\n\t", "\u3000")),
        # a row that is named row is not called so twice
        (rows(source_id=["row 1", "row 2", "row 3"], text=["one", "", "three"]),
         ", row 2: found an empty text, expected words"),
        # JSON can hold half of a pair, UTF-8 and so Parquet cannot
        (rows(text=["one", "half of a pair \ud83d", "three"]), ", row b: found "),
        *((rows(label=[0, 1, label]), f", row c: found label {label}, expected 0 or 1")
          for label in (2, -1, 10)),
        *((rows(label=[label] * 3), f": found labels [{label}] only, expected both 0 and 1")
          for label in (0, 1)),
        (Rows([], [], [], None, None, {}), ": found no rows, expected texts"),
        (rows(part=["pool", "tset", "test"]),
         ", row b: found split 'tset', expected one of pool, val, test"),
    ]:  # fmt: skip
        with subtests.test(told):
            with pytest.raises(DataError) as caught:
                check_rows(found, dataset="films")
            assert "\n" not in str(caught.value)
            assert str(caught.value).startswith(f"dataset 'films'{told}")
