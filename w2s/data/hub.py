"""Rows of a task, from a dataset of the Hugging Face hub or from a local copy of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.data.hub_files import download, listed, open_copy, prepare, quiet, reading, title
from w2s.data.hub_tables import BATCH, WrittenTable
from w2s.data.task import Task
from w2s.data.track import FetchTaskSettings
from w2s.errors import DataError
from w2s.files.artifacts import Artifact
from w2s.rng import stream


@dataclass(frozen=True)
class HubRows:
    """Rows of a task as the hub has them: the train side first, then the test side.

    Attributes:
        source_id: `SPLIT/INDEX` of each row in the source, such as `train/17`.
        split: `train` or `test`: what the row may be used for.
        row: The columns that the task reads, as JSON text with sorted keys.
        n_rows: Rows that the source has, for each split that the task names.
        commit: Commit of the repository, 40 hex digits; "" for a local copy.
    """

    source_id: Sequence[str]
    split: Sequence[str]
    row: Sequence[str]
    n_rows: Mapping[str, int]
    commit: str


def load_rows(
    task: Task, *, revision: str, copy: Path | None, most: int, rng: np.random.Generator
) -> HubRows:
    """Read a random sample of a task's rows, in the order of the source.

    Rows are drawn one by one: a group may be cut. Equal states of `rng` give equal rows; the sample
    of a smaller `most` is a part of the sample of a larger one. Held-out rows are drawn before all
    others, so what is held out does not depend on `most`. Only rows of the sample become Python
    objects; the tables of all rows are made in the temporary folder (TMPDIR) for the time it takes.

    With `copy`, no network is used. It is a folder that `DatasetDict.save_to_disk` wrote, or one of
    data files (parquet, jsonl, csv, ...): a copy of the repository with its README.md, or files or
    folders named for their splits, `train.csv` or `train/a.csv`. A configuration or
    `data_dir` of the task is a folder of the copy; where there is none, the copy holds nothing
    else.

    Args:
        task: The dataset, its splits and columns.
        revision: Branch, tag or commit of the repository; not used for a local copy.
        copy: Local copy of the dataset.
        most: Largest number of rows of the train side, and of the test side; at least 1.
        rng: Source of the sample.

    Returns:
        At most `most` rows of each side.

    Raises:
        DataError: no such repository, revision, configuration, split or column; a gated repository
            without access; no network and not all files, or no way to know, in the cache; a loading
            script; unreadable files; names that say two splits; fewer files or rows than README.md,
            or the names of files, say; fewer rows than are held out; or a value that JSON cannot
            hold.
    """
    if most < 1:
        raise DataError(f"{title(task)}: found at most {most} rows, expected 1 or more")
    with quiet(), tempfile.TemporaryDirectory(prefix="w2s-") as tables:
        if copy is None:
            folder = download(task, revision)
            with reading(task, f"commit {folder.name[:8]}"):
                whole = listed(task, folder.name)
                splits = prepare(
                    task, folder, task.config, task.data_dir, Path(tables), whole=whole
                )
        else:
            folder = copy
            with reading(task, f"the local copy '{copy.name}'"):
                splits = open_copy(task, copy, Path(tables))
        _check_splits(task, splits)
        chosen = _choose(task, {name: len(splits[name]) for name in splits}, most, rng)
        names: list[str] = []
        sides: list[str] = []
        rows: list[str] = []
        for side, name, indices in chosen:
            with reading(task, f"split {name}"):
                rows += _rows(task, splits[name], name, indices)
            names += [f"{name}/{index}" for index in indices]
            sides += [side] * len(indices)
        sizes = {name: len(splits[name]) for name in (*task.train, *task.test)}
    return HubRows(names, sides, rows, sizes, folder.name if copy is None else "")


def _check_splits(task: Task, splits: Any) -> None:
    """Raise unless every split and column of the task is there."""
    if not isinstance(splits, Mapping):
        raise DataError(
            f"{title(task)}: found one table, expected splits, as DatasetDict.save_to_disk writes"
        )
    for name in (*task.train, *task.test):
        if name not in splits:
            raise DataError(
                f"{title(task)}: found the splits {', '.join(splits)}, expected '{name}'"
            )
        found = splits[name].column_names
        missing = [column for column in task.columns if column not in found]
        if missing:
            raise DataError(
                f"{title(task)}, split {name}: found the columns {', '.join(found)}, expected "
                f"also {', '.join(missing)}"
            )


def _choose(
    task: Task, sizes: dict[str, int], most: int, rng: np.random.Generator
) -> list[tuple[str, str, list[int]]]:
    """Side, split and sorted indices of the rows to take, one entry for each split of a side."""
    total = sum(sizes[name] for name in task.train)
    if task.held_out >= total:
        raise DataError(
            f"{title(task)}: found {total} rows in {', '.join(task.train)}, expected more than "
            f"the {task.held_out} that are held out"
        )
    order = rng.permutation(total)
    test, train = order[: task.held_out], order[task.held_out :]
    if task.test:
        test = rng.permutation(sum(sizes[name] for name in task.test))
    sides: dict[str, tuple[Array, tuple[str, ...]]] = {
        "train": (train, task.train),
        "test": (test, task.test or task.train),
    }
    chosen = []
    for side, (drawn, names) in sides.items():
        positions = np.sort(drawn[:most])
        start = 0
        for name in names:
            inside = (positions >= start) & (positions < start + sizes[name])
            chosen.append((side, name, (positions[inside] - start).tolist()))
            start += sizes[name]
    return chosen


def _rows(task: Task, table: Any, name: str, indices: list[int]) -> Iterator[str]:
    """JSON text of the rows of a split at these indices."""
    if not indices:
        return
    for index, row in zip(indices, _values(table, task.columns, indices), strict=True):
        where = f"{title(task)}, row {name}/{index}"
        try:
            text = json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False)
            text.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}: found text that is not Unicode") from None
        except (TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{where}: found what JSON cannot hold ({reason}), expected text, finite numbers, "
                f"true, false, lists and objects"
            ) from None
        yield text


def _values(table: Any, columns: Sequence[str], indices: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Some rows of a `WrittenTable` or a `datasets.Dataset`, with some of their columns."""
    if isinstance(table, WrittenTable):
        yield from table.rows(columns, indices)
        return
    for batch in table.select_columns(list(columns)).select(indices).iter(batch_size=BATCH):
        for values in zip(*(batch[column] for column in columns), strict=True):
            yield dict(zip(columns, values, strict=True))


def fetch_task(*, settings: FetchTaskSettings) -> dict[str, Artifact]:
    """Read the rows; another stage makes texts of them, so none is fetched again for a wording."""
    task = Task(
        summary=settings.task,
        hub=settings.hub,
        columns=settings.columns,
        label="not read here",
        format=lambda row, rng: None,
        config=settings.config,
        data_dir=settings.data_dir,
        train=settings.train,
        test=settings.test,
        held_out=settings.held_out,
    )
    found = load_rows(
        task,
        revision=settings.revision,
        copy=None if settings.local is None else Path(settings.local),
        most=settings.max_rows,
        rng=stream(0, "rows", settings.task),
    )
    lists = {"source_id": found.source_id, "side": found.split, "row": found.row}
    columns = {name: np.array(values, dtype=object) for name, values in lists.items()}
    facts = {
        "task": settings.task,
        "hub": settings.hub,
        "config": settings.config,
        "revision": settings.revision,
        "commit": found.commit,
        "n_rows": dict(found.n_rows),
    }
    return {"rows": Artifact("task_rows", columns, facts)}
