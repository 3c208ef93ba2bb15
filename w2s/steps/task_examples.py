"""Stage `task_examples`: the rows of a task as texts in balanced parts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from w2s.artifacts import Artifact
from w2s.data.examples import leaks, make_examples
from w2s.data.near_duplicates import without_near_duplicates
from w2s.data.rows import Rows
from w2s.data.task import Task
from w2s.data.task_files import example_of, find_task
from w2s.errors import ArtifactError, DataError
from w2s.rng import stream
from w2s.settings import TaskExamplesSettings

GROUP = 16  # hex digits that name a passage


def task_examples(rows: Artifact, *, settings: TaskExamplesSettings) -> dict[str, Artifact]:
    """Make each row a text and a label, drop repeated texts, and draw the parts.

    What is drawn for a row (which answer is shown) depends on the task and the row's own name, so
    it stays when other rows are read.

    Raises:
        ArtifactError: rows of another task, or without its columns.
        DataError: a row that the task cannot read, or too few rows for the parts.
    """
    data, name = settings.data, settings.dataset
    if rows.facts["task"] != data.task:
        raise ArtifactError(f"rows: found task {rows.facts['task']}, expected {data.task}")
    task = find_task(data.task, None if data.tasks_file is None else Path(data.tasks_file))
    texts = _texts(rows, data.task, task, name)
    if data.drop_near_duplicates:
        texts = without_near_duplicates(texts)
    columns, dropped = make_examples(
        texts,
        dataset=name,
        sizes={"pool": data.pool, "val": data.val, "test": data.test},
        grouped=data.grouped,
        rng=stream(0, "examples", name),
    )
    facts = {
        "dataset": name,
        "grouped": data.grouped and task.group is not None,
        "dropped": dropped,
        **leaks(texts, columns),
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
