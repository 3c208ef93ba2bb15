"""Stage `examples`: unique texts in balanced parts."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from w2s.data.examples import leaks, make_examples
from w2s.data.files import ARCHIVE, parse_icwsm14, read_file
from w2s.data.own_tasks import example_of, find_task
from w2s.data.rows import Rows, without_near_duplicates
from w2s.data.task import Task
from w2s.data.track import (
    ExamplesSettings,
    FileDataset,
    Files,
    Icwsm14Dataset,
    TaskExamplesSettings,
    WrenchDataset,
)
from w2s.data.wrench import PARTS, read_wrench
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact
from w2s.files.hashes import check_fetched
from w2s.rng import stream


def examples(source: Path, *, settings: ExamplesSettings) -> dict[str, Artifact]:
    """Read the source (the fetched manifest, or the user's file) and draw the parts."""
    data, name = settings.data, settings.dataset
    rows = _rows(source, data)
    if data.drop_near_duplicates:
        rows = without_near_duplicates(rows)
    columns, dropped = make_examples(
        rows,
        dataset=name,
        sizes={"pool": data.pool, "val": data.val, "test": data.test},
        grouped=data.grouped,
        balanced=not isinstance(data, WrenchDataset) or data.balanced,
        rng=stream(0, "examples", name),
    )
    grouped = data.grouped and rows.group is not None
    facts = {
        "dataset": name,
        "grouped": grouped,
        "dropped": dropped,
        **leaks(rows, columns),
    }
    return {"examples": Artifact("examples", columns, facts)}


def _rows(source: Path, data: Files) -> Rows:
    if isinstance(data, Icwsm14Dataset):
        return _icwsm14(source, data)
    return _wrench(source, data) if isinstance(data, WrenchDataset) else _file(source, data)


def _wrench(source: Path, data: WrenchDataset) -> Rows:
    """The rows of a benchmark's folder; a digest of its features stands for a text."""
    found = read_wrench(source.parent)
    holds = "features" if found.train.text is None else "text"
    if holds != data.holds:
        raise DataError(f"{source.parent}: found {holds}, expected `holds: {data.holds}`")
    names: list[str] = []
    texts: list[str] = []
    labels: list[int] = []
    parts: list[str] = []
    for word, part in zip(PARTS, ("pool", "val", "test"), strict=True):
        rows = getattr(found, word)
        own = [f"{word} {name}" for name in rows.ids]
        names += own
        texts += (
            [f"features {hashlib.sha256(row.tobytes()).hexdigest()}" for row in rows.features]
            if rows.text is None
            else rows.text.tolist()
        )
        labels += rows.label.tolist()
        parts += [part] * len(own)
    return Rows(names, texts, labels, None, parts, {})


def _icwsm14(manifest: Path, data: Icwsm14Dataset) -> Rows:
    check_fetched(manifest.parent)
    archive = manifest.parent / ARCHIVE
    if not archive.is_file():
        raise DataError(f"{archive}: found no file, expected the fetched texts")
    member = f"hutto_ICWSM_2014/{data.part}_GroundTruth.txt"
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            text = "" if content is None else content.read().decode("utf-8")
    except (tarfile.TarError, EOFError, KeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{archive}: cannot read {member} ({error}); fetch it again") from None
    return parse_icwsm14(text, part=data.part, min_rating=data.min_rating)


def _file(path: Path, data: FileDataset) -> Rows:
    return read_file(path, text=data.text, label=data.label, group=data.group, split=data.split)


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
