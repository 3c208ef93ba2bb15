"""Labelled texts as they come from a source: the user's own table, or ICWSM-14 sentences."""

from __future__ import annotations

import hashlib
import tarfile
import unicodedata
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.data.fetch import check_fetched
from w2s.data.reader import is_unicode, read_table, texts_of
from w2s.data.task import shown
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


def check_rows(rows: Rows, *, dataset: str) -> None:
    """Raise unless texts are not empty, labels are 0 and 1, both occur, and parts are known.

    Raises:
        DataError: with the first offending row.
    """
    if not rows.label:
        raise DataError(f"dataset '{dataset}': found no rows, expected texts with their labels")
    names = [name if name.startswith("row ") else f"row {name}" for name in rows.source_id]
    where = [f"dataset '{dataset}', {name}" for name in names]  # rows of a table have the word
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


def first_rows(rows: Rows) -> tuple[Array, dict[str, int]]:
    """Positions of the rows whose text is new, ascending, and the number of others, by label."""
    first: dict[str, int] = {}
    keep: list[int] = []
    conflicts = 0
    for index, text in enumerate(rows.text):
        earlier = first.setdefault(text, index)
        if earlier == index:
            keep.append(index)
        else:
            conflicts += rows.label[index] != rows.label[earlier]
    number = len(rows.text) - len(keep) - conflicts
    return np.array(keep), {"duplicate": number, "duplicate with another label": conflicts}


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


LABELS = 1000  # whole numbers up to it are labels of some dataset, though not of two classes


def read_file(
    path: Path, *, text: str, label: str, group: str | None = None, split: str | None = None
) -> Rows:
    """Read labelled texts from a table.

    Args:
        path: `.csv` (comma, header), `.jsonl` (one object a line) or `.parquet`.
        text: Column with the texts.
        label: Column with the labels, 0 or 1.
        group: Column with the groups, if there is one; an empty text there is no group.
        split: Column with pool (or train), val and test, if there is one.

    Raises:
        DataError: a table that cannot be read (see `read_table`), a label that is not a
            whole number, or a list in the place of a text.
    """
    named = {"text": text, "label": label, "group": group, "split": split}
    found = read_table(path, {use: column for use, column in named.items() if column is not None})
    names = [f"row {number}" for number in range(1, len(found["text"]) + 1)]
    return Rows(
        source_id=names,
        text=texts_of(path, found["text"]),
        label=[
            _label(value, f"{path}, {name}")
            for value, name in zip(found["label"], names, strict=True)
        ],
        group=None if group is None else texts_of(path, found["group"]),
        part=None
        if split is None
        else ["pool" if word == "train" else word for word in texts_of(path, found["split"])],
        dropped={},
    )


def _label(value: Any, where: str) -> int:
    """0 or 1 of a number or a truth value, or of their spelling."""
    word = str(value).strip().lower()
    words = {"true": 1, "false": 0}
    if word in words:
        return words[word]
    with suppress(ArithmeticError):
        number = Decimal(word)
        if abs(number) < LABELS and number == int(number) and "_" not in word:  # 1_0 is Python's
            return int(number)
    found = "no label" if value is None else f"label {shown(value)}"
    raise DataError(f"{where}: found {found}, expected 0 or 1")


GROUPED = frozenset({"amazonReviewSnippets", "nytEditorialSnippets"})  # ids are DOCUMENT_SENTENCE
ARCHIVE = "hutto_ICWSM_2014.tar.gz"  # inside the package, holds <part>_GroundTruth.txt
LARGEST = 4  # of the ratings, either way


def read_icwsm14(manifest: Path, *, part: str, min_rating: float) -> Rows:
    """The sentences of a domain, in the fetched folder of that manifest; see `parse_icwsm14`.

    Raises:
        DataError: files that are not those that were fetched, or a line of another form.
    """
    check_fetched(manifest.parent)
    archive = manifest.parent / ARCHIVE
    if not archive.is_file():
        raise DataError(f"{archive}: found no file, expected the fetched texts")
    member = f"hutto_ICWSM_2014/{part}_GroundTruth.txt"
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            text = "" if content is None else content.read().decode("utf-8")
    except (tarfile.TarError, EOFError, KeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{archive}: cannot read {member} ({error}); fetch it again") from None
    return parse_icwsm14(text, part=part, min_rating=min_rating)


def parse_icwsm14(text: str, *, part: str, min_rating: float) -> Rows:
    """Sentences whose mean rating is clearly positive (label 1) or clearly negative (label 0).

    Args:
        text: Content of `<part>_GroundTruth.txt`: lines of id, mean of 20 ratings in [-4, 4], and
            sentence, separated by tabs, without header or quoting.
        part: The domain; amazon and nyt sentences get their document as group.
        min_rating: Sentences with |rating| below this are ambiguous and dropped.

    Raises:
        DataError: a line that is not of this form.
    """
    names, sentences, labels = [], [], []
    ambiguous = 0
    lines = text.removesuffix("\n").split("\n")  # not splitlines: texts hold other line breaks
    for number, line in enumerate(lines, start=1):
        fields = line.removesuffix("\r").split("\t")
        if len(fields) != 3:
            raise DataError(f"{part} line {number}: found {len(fields)} fields, expected 3")
        rating = float("nan")
        with suppress(ValueError):
            rating = float(fields[1])
        if not abs(rating) <= LARGEST:
            raise DataError(
                f"{part} line {number}: found rating '{fields[1]}', expected -4 to {LARGEST}"
            )
        if abs(rating) < min_rating:
            ambiguous += 1
            continue
        names.append(fields[0])
        sentences.append(fields[2])
        labels.append(int(rating > 0))
    groups = [name.split("_")[0] for name in names] if part in GROUPED else None
    return Rows(names, sentences, labels, groups, None, {"ambiguous": ambiguous})
