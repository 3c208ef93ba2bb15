"""Rows of the CSV and JSON files of a dataset as they are written.

Where a dataset's README.md does not declare the types of its columns, `datasets` guesses them and
changes values that do not fit the guess: "0012" becomes 12 beside numbers, "NA" nothing, and in a
CSV file whose rows end in one comma too many every column is the next one.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

from w2s.data.reader import csv_rows, json_rows, json_value, shown_names
from w2s.errors import DataError

BATCH = 1000  # rows that are Python objects at one time
MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]  # in columns of numbers
ROW = "row"  # the only column of the table of JSON texts
Kind = Callable[[str], Any]  # the value of a word, or None where it is not the value's spelling


@dataclass(frozen=True)
class WrittenTable:
    """A split: each row as JSON text, in a table on disk.

    Attributes:
        column_names: All columns, in the order in which they occur.
        kinds: What the words of a column of CSV stand for; texts where it is not said.
        texts: A `datasets.Dataset` of JSON texts.
    """

    column_names: Sequence[str]
    kinds: Mapping[str, Kind]
    texts: Any

    def __len__(self) -> int:
        return len(self.texts)

    def rows(self, columns: Sequence[str], indices: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Rows with some of their columns; None where a row has no such column, or no word."""
        for batch in self.texts.select(indices).iter(batch_size=BATCH):
            for text in batch[ROW]:
                row = json.loads(text)
                yield {
                    column: self.kinds[column](row[column])
                    if column in self.kinds
                    else row.get(column)
                    for column in columns
                }


def rows_at(table: Any, columns: Sequence[str], indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Rows of a split, with some of their columns.

    Args:
        table: A `WrittenTable` or a `datasets.Dataset`.
        columns: Which columns.
        indices: Which rows.
    """
    if isinstance(table, WrittenTable):
        yield from table.rows(columns, indices)
        return
    for batch in table.select_columns(list(columns)).select(indices).iter(batch_size=BATCH):
        for values in zip(*(batch[column] for column in columns), strict=True):
            yield dict(zip(columns, values, strict=True))


def read_splits(builder: Any, what: str, folder: Path, tables: Path) -> Any:
    """The splits of a folder as they are written, or as `datasets` reads them.

    Args:
        builder: What `datasets` would read the folder with.
        what: Begins the message.
        folder: The dataset, below which messages name files.
        tables: Where the tables are made.

    Raises:
        DataError: see `read_written`; and what a builder raises.
    """
    try:
        written = read_written(builder, folder, tables)
    except DataError as error:
        raise DataError(f"{what}: {error}") from None
    if written is not None:
        return written
    builder.download_and_prepare(verification_mode="no_checks")
    return builder.as_dataset()


def read_written(builder: Any, folder: Path, tables: Path) -> dict[str, WrittenTable] | None:
    """The splits of a folder of CSV or JSON files; None where its README.md says how to read them.

    CSV whose README.md declares columns is checked, and the builder told which are texts. None also
    for JSON files that are neither lines of objects nor a list of them. A column of CSV holds whole
    numbers, numbers or truth values where each of its words is the only spelling of one, or empty;
    else texts.

    Args:
        builder: What `datasets` would read the folder with.
        folder: The dataset, below which messages name files.
        tables: Where the tables are made.

    Raises:
        DataError: a file that cannot be read, with its row, or files of different columns.
    """
    import datasets

    declared = bool(builder.info.features)
    kinds = ("csv",) if declared else ("csv", "json")
    if builder.name not in kinds or not _plain(builder.config):
        return None
    manager = datasets.DownloadManager(
        download_config=datasets.DownloadConfig(cache_dir=str(tables / "extracted"))
    )
    splits = {}
    for number, (split, files) in enumerate(builder.config.data_files.items()):
        paths = {
            Path(path): Path(file).relative_to(folder).as_posix()
            for file in files
            for path in manager.iter_files(manager.extract(file))
        }
        if builder.name == "json" and not all(map(_has_objects, paths)):
            return None
        place = tables / f"written-{number}.arrow"
        rows = _rows(paths, builder.config.sep if builder.name == "csv" else None)
        if declared:
            deque(rows, maxlen=0)  # checks that fields are as many as those of the header
            continue
        splits[str(split)] = _write(rows, place, words=builder.name == "csv")
    if declared:
        _keep_texts(builder)
        return None
    return splits


def _keep_texts(builder: Any) -> None:
    """Tell a builder of CSV that words of columns declared as texts are neither numbers nor NA."""
    types = {name: getattr(kind, "dtype", "") for name, kind in builder.info.features.items()}
    texts = [name for name, kind in types.items() if kind in ("string", "large_string")]
    builder.config.converters = dict.fromkeys(texts, str)
    builder.config.keep_default_na = False
    builder.config.na_values = {name: MISSING for name in types if name not in texts}


def _plain(config: Any) -> bool:
    """Whether no option of reading was chosen but the separator of fields."""
    import datasets

    common = {field.name for field in fields(datasets.BuilderConfig)}
    common |= {"sep", "delimiter", "features"}
    return all(
        getattr(config, field.name) == field.default
        for field in fields(config)
        if field.name not in common
    )


def _rows(paths: Mapping[Path, str], delimiter: str | None) -> Iterator[dict[str, Any]]:
    """The rows of files; messages name these as they are called in the dataset."""
    first: list[str] = []
    for path, name in paths.items():
        try:
            if delimiter is None:
                yield from _objects(path)
                continue
            rows = csv_rows(path, delimiter=delimiter)
            header = next(rows, [])
            first = first or header
            if len(set(header)) < len(header) or set(header) != set(first):
                raise DataError(
                    f"{path}: found {shown_names(header)}, expected each once and those of "
                    f"{next(iter(paths.values()))}: {', '.join(first)}"
                )
            for row in rows:
                yield dict(zip(header, row, strict=True))
        except DataError as error:
            raise DataError(f"{name}{str(error).removeprefix(str(path))}") from None


def _begins(path: Path) -> str:
    """The first line of a file that is not blank, without what is blank before it."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        return next((line.lstrip() for line in file if line.strip()), "")


def _has_objects(path: Path) -> bool:
    first = _begins(path)
    if not first.startswith("["):
        return first.startswith("{") and first.rstrip().endswith("}")
    return first[1:].lstrip().startswith("{") or not first[1:].strip()


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines, or of a list."""
    if not _begins(path).startswith("["):
        yield from json_rows(path)
        return
    for number, row in enumerate(json_value(path.read_text(encoding="utf-8-sig"), str(path)), 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, row {number}: found no object, expected one")
        yield row


def _write(rows: Iterator[dict[str, Any]], path: Path, *, words: bool) -> WrittenTable:
    """A table of JSON texts of the rows, in a file that is mapped into memory.

    Args:
        rows: All rows of a split.
        path: The file.
        words: Whether all values are words of CSV.
    """
    import datasets
    import pyarrow as pa

    kinds: dict[str, list[Kind]] = {}  # of each column those that fit so far
    schema = pa.schema([(ROW, pa.large_string())])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in iter(lambda: list(islice(rows, BATCH)), []):
            for row in batch:
                for column, value in row.items():
                    fitting = kinds.setdefault(column, list(KINDS) if words else [])
                    if fitting and value:
                        kinds[column] = [kind for kind in fitting if kind(value) is not None]
            texts = pa.array([json.dumps(row) for row in batch], pa.large_string())
            writer.write_batch(pa.record_batch([texts], schema=schema))
    chosen = {column: fitting[0] for column, fitting in kinds.items() if fitting}
    return WrittenTable(list(kinds), chosen, datasets.Dataset.from_file(str(path)))


def _truth(word: str) -> bool | None:
    return {"true": True, "false": False}.get(word.lower())


def _whole(word: str) -> int | None:
    return int(word) if re.fullmatch("0|-?[1-9][0-9]{0,999}", word) else None


def _number(word: str) -> float | None:
    whole = _whole(word)
    if whole is None and re.fullmatch(r"-?[0-9]+\.[0-9]+(e[+-][0-9]+)?", word):
        return float(word) if repr(float(word)) == word else None
    return whole


KINDS: tuple[Kind, ...] = (_truth, _whole, _number)
