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
    outcomes = _outcomes(metrics, correct)
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
    return {name: _table(f"{name}_table", found) for name, found in rows.items()}


def _table(kind: str, rows: list[dict[str, Any]]) -> Artifact:
    """Rows as columns of the declared dtypes."""
    arrays = {}
    for name, spec in KINDS[kind].arrays.items():
        dtype = object if spec.dtype == "str" else spec.dtype
        arrays[name] = np.array([row[name] for row in rows], dtype=dtype)
    return Artifact(kind, arrays, {})


def _outcomes(metrics: Sequence[Artifact], correct: Sequence[Artifact]) -> list[Outcome]:
    jobs: dict[tuple[str, ...], list[tuple[Artifact, Artifact]]] = {}
    if len(metrics) != len(correct):
        raise ArtifactError(f"correct: found {len(correct)} files, expected {len(metrics)}")
    for rows, right in zip(metrics, correct, strict=True):
        if any(rows.facts[key] != right.facts[key] for key in (*KEY, "seed")):
            raise ArtifactError(
                "tables: found metrics and correct of different jobs, in this order"
            )
        seeds = jobs.setdefault(tuple(rows.facts[key] for key in KEY), [])
        if any(rows.facts["seed"] == other.facts["seed"] for other, _ in seeds):
            raise ArtifactError(f"tables: found seed {rows.facts['seed']} of a job twice")
        seeds.append((rows, right))
    return [_outcome(pairs) for pairs in jobs.values()]


def _outcome(seeds: list[tuple[Artifact, Artifact]]) -> Outcome:
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
