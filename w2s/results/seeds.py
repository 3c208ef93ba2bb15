"""Artifacts of several seeds as one outcome, and rows as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
import numpy as np
from w2s.checks import Array, rows_of
from w2s.declare import kinds
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.results.outcome import COLUMNS, Outcome
KEY = ("dataset", "weak", "strong")


def table(kind: str, rows: list[dict[str, Any]]) -> Artifact:
    """Rows as columns of the declared dtypes."""
    arrays = {}
    for name, spec in kinds()[kind].arrays.items():
        dtype = object if spec.dtype == "str" else spec.dtype
        arrays[name] = np.array([row[name] for row in rows], dtype=dtype)
    return Artifact(kind, arrays, {})


def by_seed(
    first: Sequence[Artifact], second: Sequence[Artifact], *, key: Sequence[str]
) -> list[list[tuple[Artifact, Artifact]]]:
    """The seeds of each job: two artifacts of a seed side by side.

    Args:
        first: An artifact of each seed of each job.
        second: Another, in the same order.
        key: The facts that name a job.

    Raises:
        ArtifactError: artifacts that are not side by side, or a seed twice.
    """
    if len(first) != len(second):
        kinds = " and ".join(sorted({item.kind for item in [*first, *second]}))
        raise ArtifactError(
            f"tables: found {len(first)} and {len(second)} files of {kinds}, expected as many"
        )
    jobs: dict[tuple[str, ...], list[tuple[Artifact, Artifact]]] = {}
    for one, other in zip(first, second, strict=True):
        if any(one.facts[name] != other.facts[name] for name in (*key, "seed")):
            raise ArtifactError(
                f"tables: found {one.kind} and {other.kind} of different jobs, in this order"
            )
        seeds = jobs.setdefault(tuple(one.facts[name] for name in key), [])
        if any(one.facts["seed"] == known.facts["seed"] for known, _ in seeds):
            raise ArtifactError(f"tables: found seed {one.facts['seed']} of a job twice")
        seeds.append((one, other))
    return list(jobs.values())


def outcome_of(seeds: list[tuple[Artifact, Artifact]]) -> Outcome:
    """All seeds of one dataset and pair, test points in the first seed's order.

    Rows that differ only in their restart become units of one row; a row with a single restart, as
    the floor, is the same in all units of its seed.
    """
    facts = [rows.facts for rows, _ in seeds]
    first = seeds[0][1]
    keys = _keys(first)
    if any(_keys(right) != keys for _, right in seeds):
        raise ArtifactError("tables: found seeds with different rows, expected the same in each")
    names = list(dict.fromkeys(key[:2] for key in keys))
    numbers = sorted({restart for *_, restart in keys})
    place = {key: i for i, key in enumerate(keys)}
    units = [
        [place.get((*name, number), place.get((*name, 0))) for name in names] for number in numbers
    ]  # position of each row, [restarts][rows]

    def by_unit(name: str) -> Array:
        return np.stack([right[name][unit] for _, right in seeds for unit in units])

    order = [rows_of(first["id"], right["id"], what="correct") for _, right in seeds]
    correct = [
        right["correct"][unit][:, o]
        for (_, right), o in zip(seeds, order, strict=True)
        for unit in units
    ]
    shares = [[f[name] for name in ("easy_share", "hard_share", "density")] for f in facts]
    return Outcome(
        **{key: facts[0][key] for key in KEY},
        control=[control for control, _ in names],
        proportion=first["proportion"][units[0]],
        correct=np.stack(correct),
        region=np.stack([right["region"][o] for (_, right), o in zip(seeds, order, strict=True)]),
        group=first["group"],
        columns={name: by_unit(name) for name in COLUMNS},
        row_reason=[
            [right.facts["row_reason"][i] for i in unit] for _, right in seeds for unit in units
        ],
        shares=np.array(shares, dtype=np.float64),
        reason=[f["reason"] for f in facts],
        n_pool=facts[0]["n_pool"],
        restarts=len(numbers),
    )


def _keys(correct: Artifact) -> list[tuple[str, str, int]]:
    """Control, proportion and restart of each row.

    Raises:
        ArtifactError: a row twice.
    """
    facts, proportions = correct.facts, map(str, correct["proportion"].tolist())
    keys = list(zip(facts["control"], proportions, correct["restart"].tolist(), strict=True))
    if len(set(keys)) < len(keys):
        name = next(key[0] for i, key in enumerate(keys) if key in keys[:i])
        raise ArtifactError(
            f"tables: found the row {name} of {facts['dataset']}, {facts['weak']}--"
            f"{facts['strong']} twice, expected each row once"
        )
    return keys
