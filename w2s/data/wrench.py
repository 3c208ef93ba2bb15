"""Datasets in the format of the WRENCH benchmark (Zhang et al., 2021).

A dataset is a folder with `train.json`, `valid.json` and `test.json`. Each holds one object: from
the id of a row to `{"label": 0, "weak_labels": [-1, 1, ...], "data": {"text": "..."}}`, or with
`{"feature": [...]}` as data. `label.json`, from class numbers to names, is optional.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from w2s.checks import Array
from w2s.data.files import Rows
from w2s.data.reader import json_object
from w2s.errors import DataError

PARTS = {"train": "pool", "valid": "val", "test": "test"}  # files, and what they are here
FIELDS = ("label", "weak_labels", "data")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class WrenchPart:
    """The rows of one file, in its order.

    Attributes:
        ids: Names of the rows, str (n,); unique here, but other parts may use the same.
        text: Texts, str (n,), or None where the rows have features.
        features: float32 (n, d), or None where the rows have texts.
        votes: Label matrix, int8 (n, m): -1 (abstain), 0 or 1.
        label: True labels, int8 (n,): 0 or 1.
    """

    ids: Array
    text: Array | None
    features: Array | None
    votes: Array
    label: Array


@dataclass(frozen=True)
class Wrench:
    """A dataset: its three parts have the same labeling functions and the same kind of data."""

    train: WrenchPart
    valid: WrenchPart
    test: WrenchPart


def read_wrench(folder: Path) -> Wrench:
    """Read a binary dataset of the benchmark.

    Rows with both a text and features count as texts.

    Args:
        folder: With `train.json`, `valid.json` and `test.json`.

    Raises:
        DataError: a missing or unreadable file, a repeated id, a row without one of its fields,
            rows of different lengths, a label other than 0 and 1, a vote other than -1, 0 and 1, a
            feature that is not a finite number, or parts that do not fit together.
    """
    names = folder / "label.json"
    classes = len(_read_object(names)) if names.is_file() else 2
    if classes != 2:
        raise DataError(f"{names}: found {classes} classes, expected 2")
    train, valid, test = (_read_part(folder / f"{part}.json") for part in PARTS)
    for name, part in (("valid", valid), ("test", test)):
        for what, found, expected in (
            ("labeling functions", part.votes.shape[1], train.votes.shape[1]),
            ("features", _width(part), _width(train)),
        ):
            if found != expected:
                path = folder / f"{name}.json"
                raise DataError(
                    f"{path}: found {found} {what}, expected {expected} as in train.json"
                )
    return Wrench(train, valid, test)


def wrench_rows(folder: Path, holds: Literal["text", "features"]) -> Rows:
    """The rows of a dataset; a digest of its features stands for a text.

    Raises:
        DataError: what `read_wrench` raises, or a dataset that does not hold what it should.
    """
    found = read_wrench(folder)
    there = "features" if found.train.text is None else "text"
    if there != holds:
        raise DataError(f"{folder}: found {there}, expected `holds: {holds}`")
    names: list[str] = []
    texts: list[str] = []
    labels: list[int] = []
    parts: list[str] = []
    for file, part in PARTS.items():
        own = getattr(found, file)
        names += [f"{file} {name}" for name in own.ids]
        if own.features is None:
            texts += own.text.tolist()
        else:
            digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in own.features]
            texts += [f"features {digest}" for digest in digests]
        labels += own.label.tolist()
        parts += [part] * len(own.ids)
    return Rows(names, texts, labels, None, parts, {})


def _width(part: WrenchPart) -> int:
    """Features of a row; 0 for texts."""
    return 0 if part.features is None else int(part.features.shape[1])


def _read_object(path: Path) -> dict[str, Any]:
    """The object of a JSON file, of no repeated key."""
    if not path.is_file():
        raise DataError(f"{path}: found no file, expected a part of a WRENCH dataset")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None
    content = json_object(text, str(path))
    if not content:
        raise DataError(f"{path}: found no rows, expected one object from ids to rows")
    return content


def _read_part(path: Path) -> WrenchPart:
    rows = _read_object(path)
    for name, row in rows.items():
        for field in FIELDS:
            if not isinstance(row, Mapping) or field not in row:
                raise DataError(
                    f"{path}, row {name}: found no {field}, expected {', '.join(FIELDS)}"
                )
    for name, row in rows.items():
        if not _is_one_of(row["label"], (0, 1)):
            raise DataError(
                f"{path}, row {name}: found label {row['label']!r}, expected 0 or 1 (two classes)"
            )
    text, features = _data(path, {name: row["data"] for name, row in rows.items()})
    votes = {name: row["weak_labels"] for name, row in rows.items()}
    _check_lists(path, "weak_labels", votes)
    for name, values in votes.items():
        for vote in values:
            if not _is_one_of(vote, (-1, 0, 1)):
                raise DataError(
                    f"{path}, row {name}: found weak label {vote!r}, expected -1 (abstain), 0 or 1"
                )
    return WrenchPart(
        ids=np.array(list(rows), dtype=object),
        text=text,
        features=features,
        votes=np.array(list(votes.values()), dtype=np.int8),
        label=np.array([row["label"] for row in rows.values()], dtype=np.int8),
    )


def _is_one_of(value: Any, known: tuple[int, ...]) -> bool:
    """Whether a value is one of some numbers; a list or a word is not, nor is true."""
    return _is_number(value) and value in known


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_lists(path: Path, what: str, rows: dict[str, Any]) -> None:
    """Raise unless each row has a list, of one length."""
    length = 0
    for name, values in rows.items():
        if not isinstance(values, list) or not values:
            raise DataError(f"{path}, row {name}: found no list of {what}, expected numbers")
        length = length or len(values)
        if len(values) != length:
            raise DataError(
                f"{path}, row {name}: found {len(values)} {what}, expected {length} as in the first"
            )


def _data(path: Path, rows: dict[str, Any]) -> tuple[Array | None, Array | None]:
    """Texts, or features float32 (n, d), of the rows: whichever the first row has."""
    first = next(iter(rows.values()))
    kind = "text" if isinstance(first, Mapping) and "text" in first else "feature"
    for name, row in rows.items():
        if not isinstance(row, Mapping) or kind not in row:
            raise DataError(
                f"{path}, row {name}: found data without '{kind}', expected a text in every row, "
                f"or features in every row"
            )
    found = {name: row[kind] for name, row in rows.items()}
    if kind == "text":
        for name, text in found.items():
            if not isinstance(text, str) or not text.strip():
                raise DataError(f"{path}, row {name}: found text {text!r}, expected words")
        return np.array(list(found.values()), dtype=object), None
    _check_lists(path, "features", found)
    for name, values in found.items():
        for value in values:
            if not _is_number(value) or not abs(value) <= LARGEST:  # as NaN is not
                raise DataError(
                    f"{path}, row {name}: found feature {value!r}, expected finite numbers"
                )
    return None, np.array(list(found.values()), dtype=np.float32)
