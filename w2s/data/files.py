"""The user's own labelled texts: one CSV, JSONL or Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from w2s.data.reader import read_table, texts_of
from w2s.data.rows import Rows
from w2s.data.task import shown
from w2s.errors import DataError

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
        part=None if split is None else _parts(texts_of(path, found["split"])),
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


def _parts(words: Sequence[str]) -> list[str]:
    return ["pool" if word == "train" else word for word in words]


GROUPED = frozenset({"amazonReviewSnippets", "nytEditorialSnippets"})  # ids are DOCUMENT_SENTENCE
ARCHIVE = "hutto_ICWSM_2014.tar.gz"  # inside the package, holds <part>_GroundTruth.txt
LARGEST = 4  # of the ratings, either way


def _rating(text: str) -> float:
    """The number, or NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


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
        rating = _rating(fields[1])
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
