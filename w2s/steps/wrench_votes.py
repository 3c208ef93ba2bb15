"""Stage `wrench_votes`: the votes that come with a dataset in WRENCH's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array
from w2s.data.wrench import PARTS, read_wrench
from w2s.errors import DataError
from w2s.settings import WrenchVotesSettings


def wrench_votes(
    examples: Artifact, source: Path, *, settings: WrenchVotesSettings
) -> dict[str, Artifact]:
    """The votes on every example, in the examples' order."""
    del settings
    votes = in_order(examples, source, "votes")
    facts = {
        "dataset": examples.facts["dataset"],
        "lfs": [f"lf{j + 1}" for j in range(votes.shape[1])],
        "cut": 0,
    }
    arrays = {"id": examples["id"], "votes": votes}
    return {"label_matrix": Artifact("label_matrix", arrays, facts)}


def in_order(examples: Artifact, source: Path, what: str) -> Array:
    """The rows of an array of the source, matched to the examples by their names.

    Args:
        examples: The examples of the dataset.
        source: Its train.json.
        what: `votes` or `features`.

    Raises:
        DataError: the source has none, or lacks a row.
    """
    found = read_wrench(source.parent)
    parts = [getattr(found, part) for part in PARTS]
    arrays = [getattr(part, what) for part in parts]
    if any(array is None for array in arrays):
        raise DataError(f"{source.parent}: found no {what}, expected some")
    names = [f"{word} {name}" for word, part in zip(PARTS, parts, strict=True) for name in part.ids]
    place = {name: i for i, name in enumerate(names)}
    if missing := [name for name in examples["source_id"] if name not in place]:
        raise DataError(f"{source.parent}: found no row '{missing[0]}', expected all the examples")
    rows: Array = np.concatenate(arrays)[[place[name] for name in examples["source_id"]]]
    return rows
