"""Stage `finetuning_tables`: the tables of fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.evaluation.finetuning_tables import (
    BOUNDS,
    finetuning_comparisons,
    finetuning_rows,
    with_probes,
)
from w2s.evaluation.outcome import Outcome
from w2s.evaluation.tables import corrected
from w2s.methods.regions import MODELS
from w2s.progress import bar
from w2s.settings import FinetuningTablesSettings
from w2s.steps.tables import KEY, by_seed, outcome_of, table

Seeds = list[tuple[Artifact, Artifact]]


def finetuning_tables(
    metrics: Sequence[Artifact],
    correct: Sequence[Artifact],
    probe_metrics: Sequence[Artifact],
    probe_correct: Sequence[Artifact],
    *,
    settings: FinetuningTablesSettings,
) -> dict[str, Artifact]:
    """Fine-tuned models beside the probes in their place, and paired differences.

    Probes of other jobs or seeds are not used.
    """
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    level = settings.evaluation.level
    jobs = by_seed(metrics, correct, key=KEY)
    probes = {_job(seeds[0]): seeds for seeds in by_seed(probe_metrics, probe_correct, key=KEY)}
    with bar("fine-tuning tables", len(jobs), "outcomes") as advance:
        for seeds in jobs:
            outcome = _beside_probes(seeds, probes.get(_job(seeds[0]), []))
            drawn = outcome.bootstrap(settings.evaluation.bootstrap)
            rows += finetuning_rows(outcome, _auroc(seeds), drawn, level)
            differences += finetuning_comparisons(outcome, drawn, level)
            advance(1)
    return {
        "finetuning": table("finetuning_table", rows),
        "comparisons": table("comparisons_table", corrected(differences)),
    }


def _job(seed: tuple[Artifact, Artifact]) -> tuple[str, ...]:
    return tuple(seed[0].facts[name] for name in KEY)


def _beside_probes(seeds: Seeds, probes: Seeds) -> Outcome:
    """The outcome of a job's seeds with the rows of its probes, matched by seed and id.

    Raises:
        ArtifactError: rows of another kind of training, or probes that lack a seed or test point.
    """
    own = outcome_of(seeds)
    dataset, weak, strong = _job(seeds[0])
    where = f"{dataset}, {weak}--{strong}"
    odd = [name for name in own.control if name == "w2s" or list(own.control).count(name) > 1]
    if odd:
        raise ArtifactError(
            f"finetuning_tables: found the row {odd[0]} in {where}, expected fine-tuned models, "
            f"each once; are these probes?"
        )
    _need(own, BOUNDS, f"fine-tuned models of {where}")
    by_number = {seed[0].facts["seed"]: seed for seed in probes}
    lacking = [rows.facts["seed"] for rows, _ in seeds if rows.facts["seed"] not in by_number]
    if lacking:
        raise ArtifactError(
            f"finetuning_tables: found no probes of {where}, seed {lacking[0]}, expected their "
            f"metrics and correct"
        )
    mine = [by_number[rows.facts["seed"]] for rows, _ in seeds]
    theirs = outcome_of(mine)
    _need(theirs, MODELS, f"probes of {where}")
    ids, probe_ids = seeds[0][1]["id"], mine[0][1]["id"]
    if len(ids) != len(probe_ids):
        raise ArtifactError(
            f"finetuning_tables: found {len(ids)} test points of fine-tuned models and "
            f"{len(probe_ids)} of probes of {where}, expected the same"
        )
    return with_probes(own, theirs, rows_of(ids, probe_ids, what="probe_correct"))


def _need(outcome: Outcome, controls: Sequence[str], what: str) -> None:
    lacking = [name for name in controls if name not in outcome.control]
    if lacking:
        raise ArtifactError(
            f"finetuning_tables: found {what} without {lacking[0]}, expected {', '.join(controls)}"
        )


def _auroc(seeds: Seeds) -> Array:
    """Test AUROC of each row, (seeds, rows); NaN where it is undefined or was not computed."""
    found = np.full((len(seeds), len(seeds[0][1].facts["control"])), np.nan)
    for s, (metrics, correct) in enumerate(seeds):
        wanted = (metrics["group"] == "overall") & (metrics["metric"] == "auroc")
        values = dict(zip(metrics["control"][wanted], metrics["value"][wanted], strict=True))
        found[s] = [values.get(name, np.nan) for name in correct.facts["control"]]
    return found
