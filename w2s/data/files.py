"""The user's own labelled texts: one CSV, JSONL or Parquet file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from w2s.data.rows import Rows
from w2s.errors import DataError


def read_file(
    path: Path, *, text: str, label: str, group: str | None = None, split: str | None = None
) -> Rows:
    """Read labelled texts from a table.

    Args:
        path: `.csv` (comma, header), `.jsonl` (one object a line) or `.parquet`.
        text: Column with the texts.
        label: Column with the labels, 0 or 1.
        group: Column with the groups, if there is one.
        split: Column with pool (or train), val and test, if there is one.

    Raises:
        DataError: no such file, unknown ending, unreadable content, a missing column, or a label
            that is not a whole number.
    """
    frame = _frame(path)
    columns = {"text": text, "label": label, "group": group, "split": split}
    for setting, column in columns.items():
        if column is not None and column not in frame.columns:
            found = ", ".join(map(str, frame.columns))
            raise DataError(f"{path}: found columns {found}; expected '{column}' ({setting})")
    names = [f"row {number}" for number in range(1, len(frame) + 1)]
    return Rows(
        source_id=names,
        text=["" if _missing(value) else str(value) for value in frame[text]],
        label=[_label(value, path, name) for value, name in zip(frame[label], names, strict=True)],
        group=None if group is None else _words(frame[group]),
        part=None if split is None else _parts(frame[split]),
        dropped={},
    )


def _frame(path: Path) -> Any:
    import pandas as pd

    readers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda p: pd.read_csv(p, keep_default_na=False, dtype=str),
        ".jsonl": lambda p: pd.read_json(p, lines=True, dtype=False),
        ".parquet": pd.read_parquet,
    }
    if not path.is_file():
        raise DataError(f"{path}: found no file, expected the dataset's table")
    if path.suffix not in readers:
        raise DataError(f"{path}: found the ending '{path.suffix}', expected {', '.join(readers)}")
    try:
        return readers[path.suffix](path)
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path}: cannot be read as {path.suffix[1:]} ({reason})") from None


def _missing(value: Any) -> bool:
    return value is None or value != value  # NaN differs from itself


def _label(value: Any, path: Path, name: str) -> int:
    words = {"true": 1, "false": 0}
    if str(value).lower() in words:
        return words[str(value).lower()]
    try:
        number = float(value)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f"{path}, {name}: found label {value!r}, expected 0 or 1")


def _words(column: Sequence[Any]) -> list[str]:
    return [str(value) for value in column]


def _parts(column: Sequence[Any]) -> list[str]:
    return ["pool" if value == "train" else str(value) for value in column]
