"""Stages of fine-tuning."""

from __future__ import annotations

from w2s import kinds
from w2s.settings import (
    FinetuneStrongSettings,
    FinetuneWeakSettings,
    FinetuningFiguresSettings,
    FinetuningTablesSettings,
)
from w2s.stages.declaration import ForPeople, Many, Plain, Stage

FINETUNING: dict[str, Stage] = {
    "finetune_weak": Stage(
        summary="fine-tune the weak model on weak_train and label the other points with it",
        per="dataset, weak model, seed",
        function="w2s.steps.finetune_weak:finetune_weak",
        settings=FinetuneWeakSettings,
        inputs={
            "examples": kinds.EXAMPLES,
            "split": kinds.SPLIT,
            "tokens": kinds.TOKENS,
            "model": Plain.MODEL,
        },
        outputs={"weak_labels": kinds.WEAK_LABELS, "training": kinds.TRAINING},
        runtime=True,
        work=True,
    ),
    "finetune_strong": Stage(
        summary="fine-tune the strong model: ceiling, w2s with every loss, self-training",
        per="dataset, pair, seed",
        function="w2s.steps.finetune_strong:finetune_strong",
        settings=FinetuneStrongSettings,
        inputs={
            "weak_labels": kinds.WEAK_LABELS,
            "tokens": kinds.TOKENS,
            "model": Plain.MODEL,
        },
        outputs={
            "runs": kinds.RUNS,
            "predictions": kinds.PREDICTIONS,
            "training": kinds.TRAINING,
        },
        runtime=True,
        work=True,
    ),
    "finetuning_tables": Stage(
        summary="average fine-tuned models over seeds, beside the probes",
        per="experiment",
        function="w2s.steps.finetuning_tables:finetuning_tables",
        settings=FinetuningTablesSettings,
        inputs={
            "metrics": Many(kinds.METRICS),
            "correct": Many(kinds.CORRECT),
            "probe_metrics": Many(kinds.METRICS),
            "probe_correct": Many(kinds.CORRECT),
        },
        outputs={
            "finetuning": ForPeople(kinds.FINETUNING_TABLE),
            "comparisons": ForPeople(kinds.COMPARISONS_TABLE),
        },
    ),
    "finetuning_figures": Stage(
        summary="draw accuracies of fine-tuned models and how they learned",
        per="experiment",
        function="w2s.steps.finetuning_figures:finetuning_figures",
        settings=FinetuningFiguresSettings,
        inputs={"finetuning": kinds.FINETUNING_TABLE, "training": Many(kinds.TRAINING)},
        outputs={"accuracy": Plain.FIGURE, "learning": Plain.FIGURE},
    ),
}
