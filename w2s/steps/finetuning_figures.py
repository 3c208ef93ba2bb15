"""Stage `finetuning_figures`: the figures of fine-tuning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s.artifacts import Artifact
from w2s.errors import ArtifactError
from w2s.evaluation.finetuning_figures import accuracy_figure, learning_figure
from w2s.settings import FinetuningFiguresSettings


def finetuning_figures(
    finetuning: Artifact, training: Sequence[Artifact], *, settings: FinetuningFiguresSettings
) -> dict[str, Any]:
    """Draw accuracies from the table, and how the models learned from their trainings."""
    titles = dict(settings.titles)
    looks: dict[str, list[Any]] = {name: [] for name in titles}
    for item in training:
        looks.setdefault(item.facts["dataset"], []).append(item.arrays)
    for dataset in titles:
        rows = int((finetuning["dataset"] == dataset).sum())
        if not rows or not looks[dataset]:
            raise ArtifactError(
                f"finetuning_figures: found {rows} rows and {len(looks[dataset])} trainings of "
                f"{dataset}, expected some of both"
            )
    controls = list(dict.fromkeys(finetuning["control"]))
    return {
        "accuracy": accuracy_figure(finetuning.arrays, titles),
        "learning": learning_figure(looks, titles, controls),
    }
