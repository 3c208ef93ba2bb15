"""All candidate answers of the questions of a test part, so that whole questions can be judged."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.data.files import text_id
from w2s.data.task import Task
from w2s.data.task_formats import MultipleChoice
from w2s.errors import DataError

MARK = "#"  # between the name of a question's row and the number of a further candidate


def with_candidates(
    columns: Mapping[str, Array], lines: Mapping[str, str], task: Task, *, dataset: str
) -> dict[str, Array]:
    """The examples with the other candidates of every question of the test part.

    A further candidate stands behind the drawn one, in its group and part, under the name
    ROW#NUMBER. Nothing else changes: neither other parts nor what was drawn. A question stays with
    the one that was drawn where a text of the others is there already, as of a question that the
    source asks twice.

    Args:
        columns: Id, source_id, text, label, group and part of n examples.
        lines: Row of each question in the source, as JSON, by source_id.
        task: The task.
        dataset: Name, for the message.

    Returns:
        The same columns of the n examples and the further ones.

    Raises:
        DataError: a task whose rows are no questions with choices.
    """
    ask = task.format
    if not isinstance(ask, MultipleChoice):
        raise DataError(
            f"dataset '{dataset}', candidates: found a task without choices, expected one of "
            "multiple_choice; `candidates: drawn` needs none"
        )
    known = set(columns["id"].tolist())
    names = list(columns)
    found: list[tuple[Any, ...]] = []
    for values in zip(*(columns[name] for name in names), strict=True):
        found.append(values)
        row = dict(zip(names, values, strict=True))
        if row["part"] != "test":
            continue
        every = ask.candidates(json.loads(lines[row["source_id"]]))
        others = [
            row | {"id": text_id(text), "source_id": f"{row['source_id']}{MARK}{number}",
                   "text": text, "label": label}
            for number, (text, label) in enumerate(every)
            if text != row["text"]
        ]  # fmt: skip
        new = {other["id"] for other in others}
        if not new & known:
            known |= new
            found += [tuple(other[name] for name in names) for other in others]
    return {
        name: np.array(column, dtype=columns[name].dtype)
        for name, column in zip(names, zip(*found, strict=True), strict=True)
    }
