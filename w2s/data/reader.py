"""One reader of tables: CSV, JSON lines and Parquet, each value as it is written."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from w2s.data.task import shown
from w2s.errors import DataError

LONGEST = 2**31 - 1  # characters of a field; the csv module stops at 131,072 unless told otherwise


def read_table(path: Path, columns: Mapping[str, str]) -> dict[str, list[Any]]:
    """Columns of a table, each by what it is used for.

    Values are those that are written, whatever else their column holds: no number loses digits, no
    text becomes a number, and all of CSV are texts. Bytes are read as text in UTF-8. A value that
    is missing (null, NaN, NaT, a key that a row of JSON lacks) is None; an empty field of CSV is an
    empty text.

    Args:
        path: `.csv` (comma, header), `.jsonl` (one object a line) or `.parquet`.
        columns: The name of each column, by its use.

    Returns:
        The values of each column, by its use, in the order of the rows.

    Raises:
        DataError: no such file, unknown ending, unreadable content, a row with more or fewer fields
            than the header, bytes that are not text, or a column that is not there exactly once.
    """
    readers: dict[str, Callable[[Path, Mapping[str, str]], dict[str, list[Any]]]]
    readers = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}
    if not path.is_file():
        raise DataError(f"{path}: found no file, expected the dataset's table")
    if path.suffix not in readers:
        raise DataError(f"{path}: found the ending '{path.suffix}', expected {', '.join(readers)}")
    try:
        found = readers[path.suffix](path, columns)
    except OSError as error:
        raise _unreadable(path, path.suffix[1:], error) from None
    return {use: _values(path, values) for use, values in found.items()}


def texts_of(path: Path, values: Sequence[Any]) -> list[str]:
    """Values of a column of `read_table` as texts, empty where they are missing.

    Raises:
        DataError: with the row of a list, an object, or a text that is not Unicode.
    """
    texts = ["" if value is None else str(value) for value in values]
    for number, (value, text) in enumerate(zip(values, texts, strict=True), start=1):
        if isinstance(value, list | dict | tuple):
            raise DataError(f"{path}, row {number}: found {shown(value)}, expected a text")
        if not is_unicode(text):
            raise DataError(f"{path}, row {number}: found text that is not Unicode")
    return texts


def is_unicode(text: str) -> bool:
    """Whether a text holds no half of a surrogate pair, which UTF-8 cannot write."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def csv_rows(path: Path, *, delimiter: str = ",") -> Iterator[list[str]]:
    """The header of a CSV file and its rows, all with as many fields; blank lines are skipped.

    Raises:
        DataError: a row with more or fewer fields, quotes that are not closed or not at the ends of
            a field, or bytes that are not UTF-8.
    """
    csv.field_size_limit(LONGEST)
    width, number = 0, 0
    with _decoding(path), path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=delimiter, strict=True)
        while True:
            where = f"{path}, row {number}" if number else f"{path}, header"
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise DataError(f"{where}: cannot be read as CSV ({error})") from None
            if row is None:
                return
            if not row or (width > 1 and len(row) == 1 and not row[0].strip()):
                continue
            width = width or len(row)
            if len(row) != width:
                raise DataError(
                    f"{where}: found {len(row)} fields, expected {width} as in the header"
                )
            yield row
            number += 1


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; blank lines are skipped.

    Raises:
        DataError: a line that is no object, with its row, or bytes that are not UTF-8.
    """
    number = 0
    with _decoding(path), path.open(encoding="utf-8-sig", newline="\n") as file:
        for line in file:
            if line.strip():
                number += 1
                yield json_object(line, f"{path}, row {number}")


def json_object(text: str, where: str) -> dict[str, Any]:
    """An object of JSON; see `json_value`, and DataError for another value."""
    found = json_value(text, where)
    if not isinstance(found, dict):
        raise DataError(f"{where}: found {shown(found)}, expected an object")
    return found


def json_value(text: str, where: str) -> Any:
    """What a text of JSON says, of whose objects none repeats a key.

    Raises:
        DataError: not JSON, or a key twice; the message begins with `where`.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            repeated = next(name for name in found if names.count(name) > 1)
            raise DataError(f"{where}: found the key '{repeated}' twice, expected it once")
        return found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _unreadable(where, "JSON", error) from None


def _csv(path: Path, columns: Mapping[str, str]) -> dict[str, list[Any]]:
    rows = csv_rows(path)
    header = next(rows, [])
    _check_columns(path, columns, header)
    places = [header.index(name) for name in columns.values()]
    chosen = [[row[place] for place in places] for row in rows]
    return {use: [row[i] for row in chosen] for i, use in enumerate(columns)}


def _json_lines(path: Path, columns: Mapping[str, str]) -> dict[str, list[Any]]:
    rows = list(json_rows(path))
    _check_columns(path, columns, list(dict.fromkeys(key for row in rows for key in row)))
    return {use: [row.get(name) for row in rows] for use, name in columns.items()}


def _parquet(path: Path, columns: Mapping[str, str]) -> dict[str, list[Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)  # read_table would make columns of the folders' names
        _check_columns(path, columns, file.schema_arrow.names)
        table = file.read(columns=sorted(set(columns.values())))
        return {use: table.column(name).to_pylist() for use, name in columns.items()}
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise _unreadable(path, "parquet", error) from None


def _check_columns(path: Path, columns: Mapping[str, str], found: Sequence[str]) -> None:
    """Raise unless each of the columns is there once."""
    for use, name in columns.items():
        if name not in found:
            listed = shown_names(found)
            raise DataError(f"{path}: found {listed}; expected '{name}' ({use})")
        if found.count(name) > 1:
            raise DataError(f"{path}: found the column '{name}' twice, expected it once ({use})")


def shown_names(names: Sequence[str]) -> str:
    """How a message lists the columns of a table."""
    return f"columns {', '.join(names)}" if names else "no columns"


def _values(path: Path, values: Sequence[Any]) -> list[Any]:
    """Values with None for what is missing, and texts for bytes."""
    result: list[Any] = []
    for number, value in enumerate(values, start=1):
        if isinstance(value, bytes):
            try:
                result.append(value.decode("utf-8"))
            except UnicodeDecodeError:
                raise DataError(
                    f"{path}, row {number}: found {shown(value)}, expected text in UTF-8"
                ) from None
        else:
            result.append(None if value != value else value)  # NaN differs from itself
    return result


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Tell the line of a file that is not UTF-8."""
    try:
        yield
    except UnicodeDecodeError:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    found = shown(line[error.start : error.end])
                    raise DataError(
                        f"{path}, line {number}: found {found}, expected text in UTF-8"
                    ) from None
        raise


def _unreadable(where: Path | str, what: str, error: BaseException) -> DataError:
    reason = f"{error}".partition("\n")[0] or type(error).__name__
    return DataError(f"{where}: cannot be read as {what} ({reason})")
