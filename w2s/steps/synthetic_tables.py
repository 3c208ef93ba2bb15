"""Stage `synthetic_tables`: the tables of the synthetic study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s.artifacts import Artifact
from w2s.errors import ArtifactError
from w2s.evaluation.synthetic_tables import (
    accuracy_rows,
    anchor_rows,
    detection_rows,
    expansion_rows,
    purity_rows,
    threshold_rows,
)
from w2s.methods.synthetic import SWEEPS
from w2s.settings import SyntheticTablesSettings
from w2s.steps.tables import table


def synthetic_tables(
    accuracies: Sequence[Artifact],
    detection: Artifact,
    thresholds: Artifact,
    purity: Artifact,
    expansion: Artifact,
    *,
    settings: SyntheticTablesSettings,
) -> dict[str, Artifact]:
    """Means over repetitions, and ours beside the original's if the sweep `overlap` was run."""
    level = settings.level
    sweeps = {item.facts["study"]: item for item in accuracies}
    if len(sweeps) < len(accuracies):
        raise ArtifactError("synthetic_tables: found a sweep twice, expected each once")
    found: list[dict[str, Any]] = []
    anchors: list[dict[str, Any]] = []
    for study in SWEEPS:
        if study in sweeps:
            counts, accuracy = sweeps[study]["counts"], sweeps[study]["accuracy"]
            found += accuracy_rows(study, counts, accuracy, level)
            anchors += anchor_rows(counts, accuracy) if study == "overlap" else []
    told = detection.facts
    rows = {
        "synthetic": found,
        "anchors": anchors,
        "detection_table": detection_rows(
            told["cells"], told["variants"], detection["metrics"], told["reasons"], level
        ),
        "thresholds_table": threshold_rows(
            thresholds["tau_hard"], thresholds["tau_overlap"], thresholds.arrays, level
        ),
        "purity_table": purity_rows(purity.facts["others"], purity.arrays, level),
        "expansion_table": expansion_rows(
            expansion.facts["estimates"], expansion["n_overlap"], expansion["estimate"], level
        ),
    }
    return {
        name: table(f"{name.removesuffix('_table')}_table", items) for name, items in rows.items()
    }
