"""From the rows of a source to the examples of a dataset: unique texts in balanced parts."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.data.candidates import with_candidates
from w2s.data.files import (
    PARTS,
    TRAIN,
    Rows,
    check_rows,
    first_rows,
    joined,
    near_key,
    read_file,
    read_icwsm14,
    text_id,
    without_near_duplicates,
)
from w2s.data.own_tasks import example_of, find_task
from w2s.data.splits import REASONS, Size, balance_parts, draw
from w2s.data.task import Task
from w2s.data.track import (
    DatasetBase,
    ExamplesSettings,
    Icwsm14Dataset,
    TaskExamplesSettings,
    WrenchDataset,
)
from w2s.data.wrench import wrench_rows
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact
from w2s.rng import stream

GROUP = 16  # hex digits that name a passage
log = logging.getLogger(__name__)


def make_examples(
    rows: Rows,
    *,
    dataset: str,
    sizes: dict[str, Size],
    grouped: bool,
    balanced: bool = True,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], dict[str, int]]:
    """Drop repeated texts, draw balanced parts, and name every example by its text.

    Near-duplicates (`w2s.data.files`) stay in one part as the rows of a group do, unless
    the source puts them into several. The log tells what is left out.

    Args:
        rows: The source's rows.
        dataset: Name, for messages.
        sizes: Size of pool, val and test: rows, a share, or None for all that remain. Ignored
            where the source says the part of each row; the most rows where it says the side.
        grouped: Keep the rows of a group in one part.
        balanced: Leave rows of the larger class out of parts that the source gives; parts that are
            drawn are always balanced.
        rng: Source of the draw.

    Returns:
        Columns id, source_id, text, label, group, part (n rows each, in the source's order), and
        the number of source rows left out, by reason. Rows that stay together have one group.

    Raises:
        DataError: bad rows (see `check_rows`), too few for the parts, or a part without both
            classes.
    """
    check_rows(rows, dataset=dataset)
    keep, repeated = first_rows(rows)
    labels = np.array(rows.label, dtype=np.int8)[keep]
    names = np.array(rows.source_id, dtype=object)[keep]
    texts = np.array(rows.text, dtype=object)[keep]
    given = None if rows.part is None else np.array(rows.part, dtype=object)[keep]
    groups = np.array(_groups(rows) if grouped else rows.source_id, dtype=object)[keep]
    keys = [near_key(text) for text in texts]
    if given is not None and TRAIN not in given:
        _check_groups(groups, given, dataset)
        groups = joined(groups, list(zip(keys, given, strict=True)))
        parts = balance_parts(labels, given, rng) if balanced else given
        why = {**dict.fromkeys(REASONS, 0), "unbalanced": int(np.count_nonzero(parts == ""))}
    else:
        groups = joined(groups, keys)
        parts, why = draw(labels, groups, given, sizes, rng, dataset=dataset)
    _check_parts(parts, labels, groups, dataset)
    used = parts != ""
    columns = {
        "id": np.array([text_id(text) for text in texts[used]], dtype=np.int64),
        "source_id": names[used],
        "text": texts[used],
        "label": labels[used],
        "group": groups[used],
        "part": parts[used],
    }
    dropped = {**rows.dropped, **repeated, **why}
    _tell(dataset, dropped, int(np.count_nonzero(used)))
    return columns, dropped


def _tell(dataset: str, dropped: dict[str, int], used: int) -> None:
    """A line of the log on what was left out, and why."""
    number = sum(dropped.values())
    if number:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items() if count)
        log.warning(
            "dataset '%s': %s of %s rows left out (%s)",
            *(dataset, f"{number:,}", f"{number + used:,}", reasons),
        )


def _groups(rows: Rows) -> list[str]:
    """The group of each row; one without a group is its own, by a name that no group has."""
    if rows.group is None:
        return list(rows.source_id)
    known = set(rows.group)
    groups = []
    for name, group in zip(rows.source_id, rows.group, strict=True):
        own = name
        while own in known:
            own += "'"
        groups.append(group if group.strip() else own)
    return groups


def leaks(rows: Rows, columns: dict[str, Any]) -> dict[str, int]:
    """What a test part may know of the pool: facts of the examples.

    Args:
        rows: The source's rows.
        columns: What `make_examples` made of them.

    Returns:
        `leaks`: texts of the test part whose group is in the pool too, none where there are no
        groups; `near_duplicates`: texts that are a near-duplicate of an earlier one;
        `near_leaks`: texts of the test part of which the pool has a near-duplicate.
    """
    group_of = dict(zip(rows.source_id, _groups(rows), strict=True))
    groups = [group_of[name] for name in columns["source_id"]]
    keys = [near_key(text) for text in columns["text"]]

    def in_both(values: list[str]) -> int:
        """Rows of the test part whose value is in the pool too."""
        known = list(zip(values, columns["part"], strict=True))
        pool = {value for value, part in known if part == "pool"}
        return sum(part == "test" and value in pool for value, part in known)

    near = len(keys) - len(set(keys))
    return {"leaks": in_both(groups), "near_duplicates": near, "near_leaks": in_both(keys)}


def _check_groups(groups: Any, parts: Any, dataset: str) -> None:
    """Raise if the source puts rows of one group into two parts."""
    home: dict[object, str] = {}
    for group, part in zip(groups, parts, strict=True):
        if home.setdefault(group, part) != part:
            raise DataError(
                f"dataset '{dataset}', group {group}: found rows in {home[group]} and in {part}, "
                f"expected one part; `grouped: false` allows it"
            )


def _large(groups: Array) -> str:
    """The end of a message where one group holds much of a dataset; it cannot be divided."""
    names, counts = np.unique(groups.astype(str), return_counts=True)
    most = int(counts.argmax())
    if 2 * counts[most] < len(groups):
        return ""
    name, count = str(names[most]), counts[most]
    return f", as group {name!r} holds {count} of {len(groups)} rows and stays whole"


def _check_parts(parts: Any, labels: Any, groups: Any, dataset: str) -> None:
    """Raise unless both classes are in every part, and the pool can be divided into halves."""
    smallest = {"pool": 4, "val": 2, "test": 2}  # both classes, in both halves of the pool
    for part in PARTS:
        found = int(np.count_nonzero(parts == part))
        if found < smallest[part]:
            raise DataError(
                f"dataset '{dataset}', part {part}: found {found} balanced rows, expected at least "
                f"{smallest[part]}; it is too small for its split{_large(groups)}"
            )
        if len(set(labels[parts == part])) < 2:
            raise DataError(
                f"dataset '{dataset}', part {part}: found rows of one class only, expected both"
            )
    if len(set(groups[parts == "pool"])) < 2:
        raise DataError(
            f"dataset '{dataset}', part pool: found rows of one group only, expected two or more "
            f"to make halves of; `grouped: false` divides the group"
        )


def examples(source: Path, *, settings: ExamplesSettings) -> dict[str, Artifact]:
    """Read the source (the fetched manifest, or the user's file) and draw the parts."""
    data = settings.data
    if isinstance(data, Icwsm14Dataset):
        rows = read_icwsm14(source, part=data.part, min_rating=data.min_rating)
    elif isinstance(data, WrenchDataset):
        rows = wrench_rows(source.parent, data.holds)
    else:
        optional = {"group": data.group, "split": data.split}
        rows = read_file(source, text=data.text, label=data.label, **optional)
    balanced = not isinstance(data, WrenchDataset) or data.balanced
    return _artifact(rows, data, settings.dataset, balanced=balanced)


def task_examples(rows: Artifact, *, settings: TaskExamplesSettings) -> dict[str, Artifact]:
    """Make each row a text and a label, drop repeated texts, and draw the parts.

    What is drawn for a row (which answer is shown) depends on the task and the row's own name, so
    it stays when other rows are read. Facts count the drawn rows, not their further candidates.

    Raises:
        ArtifactError: rows of another task, or without its columns.
        DataError: a row that the task cannot read, or too few rows for the parts.
    """
    data = settings.data
    if rows.facts["task"] != data.task:
        raise ArtifactError(f"rows: found task {rows.facts['task']}, expected {data.task}")
    task = find_task(data.task, None if data.tasks_file is None else Path(data.tasks_file))
    made = _artifact(_texts(rows, data.task, task, settings.dataset), data, settings.dataset)
    if data.candidates == "drawn":
        return made
    drawn, lines = made["examples"], dict(zip(rows["source_id"], rows["row"], strict=True))
    columns = with_candidates(drawn.arrays, lines, task, dataset=settings.dataset)
    return {"examples": Artifact("examples", columns, drawn.facts)}


def _artifact(
    rows: Rows, data: DatasetBase, dataset: str, *, balanced: bool = True
) -> dict[str, Artifact]:
    """The examples of a dataset, as its settings say."""
    if data.drop_near_duplicates:
        rows = without_near_duplicates(rows)
    columns, dropped = make_examples(
        rows,
        dataset=dataset,
        sizes={"pool": data.pool, "val": data.val, "test": data.test},
        grouped=data.grouped,
        balanced=balanced,
        rng=stream(0, "examples", dataset),
    )
    facts = {
        "dataset": dataset,
        "grouped": data.grouped and rows.group is not None,
        "dropped": dropped,
        **leaks(rows, columns),
    }
    return {"examples": Artifact("examples", columns, facts)}


def _texts(rows: Artifact, key: str, task: Task, dataset: str) -> Rows:
    names: list[str] = []
    texts: list[str] = []
    labels: list[int] = []
    groups: list[str] = []
    sides: list[str] = []
    for name, side, line in zip(rows["source_id"], rows["side"], rows["row"], strict=True):
        row = json.loads(line)
        if lacking := [column for column in task.columns if column not in row]:
            raise ArtifactError(
                f"rows: found no column '{lacking[0]}', expected those of the task '{key}'; fetch "
                f"them again"
            )
        try:
            made = example_of(task, row, stream(0, "text", key, name))
        except DataError as error:
            raise DataError(f"dataset '{dataset}', row {name}: {error}") from None
        if made is None:
            continue
        names.append(name)
        sides.append(side)
        texts.append(made[0])
        labels.append(made[1])
        if task.group is not None:
            passage = json.dumps(row[task.group], ensure_ascii=False)
            digest = hashlib.sha256(passage.encode()).hexdigest()
            groups.append(digest[:GROUP])
    unusable = len(rows["row"]) - len(names)
    group = None if task.group is None else groups
    return Rows(names, texts, labels, group, sides, {"without label or field": unusable})
