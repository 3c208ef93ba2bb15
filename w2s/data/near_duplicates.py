"""Near-duplicates: different texts that are one text but for white space, case and punctuation."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from w2s.checks import Array
from w2s.data.rows import Rows


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
