"""Labelled texts as they come from a source, before parts are drawn."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from w2s.checks import Array
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


class _Signs(dict[int, int | None]):
    """For `str.translate`: leaves out white space, punctuation and invisible characters."""

    def __missing__(self, code: int) -> int | None:
        kind = unicodedata.category(chr(code))
        self[code] = None if kind[0] in "PZ" or kind in ("Cc", "Cf") else code
        return self[code]


_SIGNS = _Signs()


def near_key(text: str) -> str:
    """What near-duplicates have in common: the text in small letters, without spaces and such.

    Texts of nothing but punctuation keep it, as ":)" and ":(" do.
    """
    folded = unicodedata.normalize("NFC", text.casefold())
    return folded.translate(_SIGNS) or "".join(folded.split())


def without_near_duplicates(rows: Rows) -> Rows:
    """The rows but for near-duplicates of an earlier text; equal texts stay.

    Their number is in `dropped`, apart for those that have another label than the earlier text.
    """
    first: dict[str, int] = {}
    keep: list[int] = []
    conflicts = 0
    for index, text in enumerate(rows.text):
        earlier = first.setdefault(near_key(text), index)
        if text == rows.text[earlier]:
            keep.append(index)
        else:
            conflicts += rows.label[index] != rows.label[earlier]
    number = len(rows.text) - len(keep) - conflicts
    counted = {"near-duplicate": number, "near-duplicate with another label": conflicts}
    return replace(
        rows,
        source_id=[rows.source_id[i] for i in keep],
        text=[rows.text[i] for i in keep],
        label=[rows.label[i] for i in keep],
        group=None if rows.group is None else [rows.group[i] for i in keep],
        part=None if rows.part is None else [rows.part[i] for i in keep],
        dropped={**rows.dropped, **counted},
    )


def joined(groups: Array, keys: Sequence[Hashable]) -> Array:
    """Groups of which two hold a row of the same key become one, named for its first row.

    Args:
        groups: The group of each row, shape (n,).
        keys: A key of each row, n of them.

    Returns:
        The groups, shape (n,); those that share no key keep their names.
    """
    if len(set(keys)) == len(keys):
        return groups
    place: dict[object, int] = {}
    for group in groups:
        place.setdefault(group, len(place))
    parent: dict[object, object] = {}

    def root(group: object) -> object:
        while group in parent:
            group = parent[group]
        return group

    home: dict[Hashable, object] = {}
    for group, key in zip(groups, keys, strict=True):
        ends = root(home.setdefault(key, group)), root(group)
        early, late = sorted(ends, key=place.__getitem__)
        if early is not late and early != late:
            parent[late] = early
    return np.array([root(group) for group in groups], dtype=object)
