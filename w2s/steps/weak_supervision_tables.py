"""Stage `weak_supervision_tables`: the tables of weak supervision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s.artifacts import Artifact
from w2s.checks import rows_of
from w2s.errors import ArtifactError
from w2s.evaluation.outcome import with_references
from w2s.evaluation.tables import comparison_rows, corrected
from w2s.evaluation.weak_supervision_tables import lf_rows, published_rows, weak_supervision_rows
from w2s.progress import bar
from w2s.settings import WeakSupervisionTablesSettings
from w2s.steps.inputs import same_job
from w2s.steps.tables import KEY, by_seed, outcome_of, table


def weak_supervision_tables(
    examples: Sequence[Artifact],
    label_matrix: Sequence[Artifact],
    metrics: Sequence[Artifact],
    correct: Sequence[Artifact],
    *,
    settings: WeakSupervisionTablesSettings,
) -> dict[str, Artifact]:
    """Labeling functions, label models and students, differences, and published numbers."""
    if len(examples) != len(label_matrix):
        raise ArtifactError(
            f"tables: found {len(examples)} examples and {len(label_matrix)} label matrices, "
            f"expected as many"
        )
    lfs: list[dict[str, Any]] = []
    for texts, matrix in zip(examples, label_matrix, strict=True):
        same_job(examples=texts, label_matrix=matrix)
        label = texts["label"][rows_of(matrix["id"], texts["id"], what="examples")]
        lfs += lf_rows(matrix.facts["dataset"], matrix.facts["lfs"], matrix["votes"], label)
    rows: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    level = settings.evaluation.level
    jobs = by_seed(metrics, correct, key=KEY)
    with bar("weak supervision tables", len(jobs), "outcomes") as advance:
        for job in jobs:
            outcome = with_references(outcome_of(job))
            drawn = outcome.bootstrap(settings.evaluation.bootstrap)
            rows += weak_supervision_rows(outcome, drawn, level)
            differences += comparison_rows(outcome, drawn, level)
            advance(1)
    return {
        "lf_analysis": table("lf_table", lfs),
        "weak_supervision": table("weak_supervision_table", rows),
        "comparisons": table("comparisons_table", corrected(differences)),
        "published": table("published_table", published_rows(rows)),
    }
