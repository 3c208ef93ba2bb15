"""Stage `tables`: the result tables over all datasets, pairs and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.evaluation.intervals import Bootstrap
from w2s.evaluation.tables import Outcome, comparison_rows, main_row, mixing_rows, region_rows
from w2s.kinds import KINDS
from w2s.progress import bar
from w2s.rng import stream
from w2s.settings import TablesSettings

KEY = ("dataset", "weak", "strong")


def tables(
    metrics: Sequence[Artifact], correct: Sequence[Artifact], *, settings: TablesSettings
) -> dict[str, Artifact]:
    """Main, mixing, regions and comparisons table, one bootstrap per dataset and pair."""
    outcomes = [outcome_of(seeds) for seeds in by_seed(metrics, correct, key=KEY)]
    level = settings.evaluation.level
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("main", "mixing", "regions", "comparisons")
    }
    with bar("tables", len(outcomes), "outcomes") as advance:
        for outcome in outcomes:
            seeds, _, points = outcome.correct.shape
            rng = stream(0, "bootstrap", outcome.dataset, outcome.weak, outcome.strong)
            drawn = Bootstrap.draw(seeds, points, settings.evaluation.bootstrap, rng)
            rows["main"].append(main_row(outcome, drawn, level))
            rows["mixing"] += mixing_rows(outcome, drawn, level)
            rows["regions"] += region_rows(outcome, drawn, level)
            rows["comparisons"] += comparison_rows(outcome, drawn, level)
            advance(1)
    return {name: table(f"{name}_table", found) for name, found in rows.items()}


def table(kind: str, rows: list[dict[str, Any]]) -> Artifact:
    """Rows as columns of the declared dtypes."""
    arrays = {}
    for name, spec in KINDS[kind].arrays.items():
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
    """All seeds of one dataset and pair, test points in the first seed's order."""
    facts = [rows.facts for rows, _ in seeds]
    first = seeds[0][1]
    order = [rows_of(first["id"], right["id"], what="correct") for _, right in seeds]
    if any(right.facts["control"] != first.facts["control"] for _, right in seeds):
        raise ArtifactError("tables: found seeds with different rows, expected the same in each")

    def stacked(name: str) -> Array:
        return np.stack([right[name] for _, right in seeds])

    shares = [[f[name] for name in ("easy_share", "hard_share", "density")] for f in facts]
    return Outcome(
        **{key: facts[0][key] for key in KEY},
        control=first.facts["control"],
        proportion=first["proportion"],
        correct=np.stack(
            [right["correct"][:, o] for (_, right), o in zip(seeds, order, strict=True)]
        ),
        region=np.stack([right["region"][o] for (_, right), o in zip(seeds, order, strict=True)]),
        n_train=stacked("n_train"),
        label_accuracy=stacked("label_accuracy"),
        row_reason=[right.facts["row_reason"] for _, right in seeds],
        shares=np.array(shares, dtype=np.float64),
        reason=[f["reason"] for f in facts],
        n_pool=facts[0]["n_pool"],
    )
