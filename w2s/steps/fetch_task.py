"""Stage `fetch_task`: a sample of a task's rows, as they are on the hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2s.artifacts import Artifact
from w2s.data.hub import load_rows
from w2s.data.task import Task
from w2s.rng import stream
from w2s.settings import FetchTaskSettings


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
