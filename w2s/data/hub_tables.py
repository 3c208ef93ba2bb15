"""Which files of a dataset hold which split, and rows of its CSV and JSON files as written.

`datasets` looks for the words of splits in the names of folders too: every file below
`train-test-split/` is in both splits. Here the name of a file decides, then a folder that is named
for a split and nothing else; where names say two things, or only a part of a folder's name says
something, there is no guess.

Where a dataset's README.md does not declare the types of its columns, `datasets` guesses them and
changes values that do not fit the guess: "0012" becomes 12 beside numbers, "NA" nothing, and in a
CSV file whose rows end in one comma too many every column is the next one.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from w2s.data.reader import csv_rows, json_rows, json_value, shown_names
from w2s.errors import DataError

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}  # what `datasets` takes for names of splits
BETWEEN = re.compile(r"[-._ 0-9]+")  # what it takes for signs between words
SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?:\D.*)?")
REMEDY = "name each file, or its folder, for one split, or list them as `configs` in README.md"
BATCH = 1000  # rows that are Python objects at one time
MISSING = ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "None"]  # in columns of numbers
ROW = "row"  # the only column of the table of JSON texts
Kind = Callable[[str], Any]  # the value of a word, or None where it is not the value's spelling


def splits_of(files: Iterable[str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """The files of each split, sorted; all in `train` where no name says anything.

    Args:
        files: Data files, relative to their folder, with slashes.
        wanted: Names of splits that are asked for, beside `train`, `validation` and `test`.

    Raises:
        DataError: a name that says two splits, or a folder whose name says one in passing.
    """
    ordered = sorted(files)
    found: dict[str, list[str]] = {}
    for file in ordered:
        if split := _split_of(PurePosixPath(file), wanted):
            found.setdefault(split, []).append(file)
    return found or {"train": ordered}


def _split_of(file: PurePosixPath, wanted: Sequence[str]) -> str:
    """The split that a file's name says, "" if none."""
    shard = SHARD.fullmatch(file.name)
    name = shard["name"] if shard else file.name.partition(".")[0]
    own = {name} if name in wanted else _said(shard["name"] if shard else file.name)
    folders = {
        folder if folder in wanted else WORDS[folder.lower()]
        for folder in file.parent.parts
        if folder in wanted or folder.lower() in WORDS
    }
    said = own | folders
    if not said and any(_said(folder) for folder in file.parent.parts):
        raise DataError(f"found the file {file}, whose folder only names a split; {REMEDY}")
    if len(said) > 1:
        told = " and ".join(sorted(said))
        raise DataError(f"found the file {file}, which is named for {told}; {REMEDY}")
    return next(iter(said), "")


def _said(name: str) -> set[str]:
    """Splits that are words of a name."""
    return {WORDS[word] for word in BETWEEN.split(name.lower()) if word in WORDS}


def check_shards(files: Mapping[str, Iterable[str]], wanted: Sequence[str]) -> bool:
    """Raise unless the files `NAME-00000-of-00003` of the wanted splits are as many as they say.

    Returns:
        Whether all of these files say how many there are.

    Raises:
        DataError: one is missing.
    """
    said: dict[tuple[str, str], set[int]] = {}
    every = True
    for split in wanted:
        for file in map(PurePosixPath, files.get(split, ())):
            shard = SHARD.fullmatch(file.name)
            every = every and shard is not None
            if shard:
                series = str(file.parent / shard["name"]), shard["count"]
                said.setdefault(series, set()).add(int(shard["number"]))
    for (name, count), numbers in said.items():
        missing = sorted(set(range(int(count))) - numbers)
        if missing:
            raise DataError(
                f"found {len(numbers)} of {int(count)} files {PurePosixPath(name).name}-*, "
                f"expected also number {missing[0]:05d}"
            )
    return every


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


def read_splits(builder: Any, what: str, folder: Path, tables: Path) -> Any:
    """The splits of a folder as they are written, or as a builder of `datasets` reads them.

    Messages begin with `what` and name files below the folder; tables are made in `tables`.

    Raises:
        DataError: a file that cannot be read, with its row, or files of different columns; and what
            a builder raises.
    """
    try:
        written = _read_written(builder, folder, tables)
    except DataError as error:
        raise DataError(f"{what}: {error}") from None
    if written is not None:
        return written
    builder.download_and_prepare(verification_mode="no_checks")
    return builder.as_dataset()


def _read_written(builder: Any, folder: Path, tables: Path) -> dict[str, WrittenTable] | None:
    """The splits of a folder of CSV or JSON files; None where its README.md says how to read them.

    CSV whose README.md declares columns is checked, and the builder told which are texts. None also
    for JSON files that are neither lines of objects nor a list of them. A column of CSV holds whole
    numbers, numbers or truth values where each of its words is the only spelling of one, or empty;
    else texts.
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
    if not declared:
        return splits
    # words of columns that are declared as texts are neither numbers nor NA
    types = {name: getattr(kind, "dtype", "") for name, kind in builder.info.features.items()}
    texts = [name for name, kind in types.items() if kind in ("string", "large_string")]
    builder.config.converters = dict.fromkeys(texts, str)
    builder.config.keep_default_na = False
    builder.config.na_values = {name: MISSING for name in types if name not in texts}
    return None


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
    """A table of JSON texts of a split's rows, in a file that is mapped into memory.

    `words` says whether all values are words of CSV.
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
