"""Labelled texts as they come from a source, before parts are drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from w2s.errors import DataError

PARTS = ("pool", "val", "test")
TRAIN = "train"  # rows that pool and val are drawn from, where the source says no more


@dataclass(frozen=True)
class Rows:
    """Labelled texts.

    Attributes:
        source_id: The row's name in its source.
        text: Not empty.
        label: 0 or 1.
        group: Document or passage of the row, or nothing.
        part: pool, val or test where the source says so, or nothing. Or train and test: pool and
            val are then drawn from train.
        dropped: Rows the source left out, by reason.
    """

    source_id: Sequence[str]
    text: Sequence[str]
    label: Sequence[int]
    group: Sequence[str] | None
    part: Sequence[str] | None
    dropped: dict[str, int]


def text_id(text: str) -> int:
    """Example id: the first 63 bits of the SHA-256 of the text, so equal texts have equal ids."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def is_unicode(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair, which UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def place_of(name: str) -> str:
    """What messages call a row: rows of a table are named `row 3`, others by their source."""
    return name if name.startswith("row ") else f"row {name}"


def check_rows(rows: Rows, *, dataset: str) -> None:
    """Raise unless texts are not empty, labels are 0 and 1, both occur, and parts are known.

    Raises:
        DataError: with the first offending row.
    """
    if not rows.label:
        raise DataError(f"dataset '{dataset}': found no rows, expected texts with their labels")
    where = [f"dataset '{dataset}', {place_of(name)}" for name in rows.source_id]
    for place, text in zip(where, rows.text, strict=True):
        if not text.strip():
            raise DataError(f"{place}: found an empty text, expected words")
        if not is_unicode(text):
            raise DataError(f"{place}: found text that is not Unicode")
    for place, label in zip(where, rows.label, strict=True):
        if label not in (0, 1):
            raise DataError(f"{place}: found label {label}, expected 0 or 1")
    if len(set(rows.label)) < 2:
        found = sorted(set(rows.label))
        raise DataError(f"dataset '{dataset}': found labels {found} only, expected both 0 and 1")
    for place, part in zip(where, rows.part or (), strict=False):
        if part not in (*PARTS, TRAIN):
            expected = ", ".join(PARTS)
            raise DataError(f"{place}: found split '{part}', expected one of {expected}")
