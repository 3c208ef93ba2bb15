"""Stages of weak supervision."""

from __future__ import annotations

from w2s import kinds
from w2s.settings import (
    LabelMatrixSettings,
    LabelModelSettings,
    StudentSettings,
    WeakSupervisionFiguresSettings,
    WeakSupervisionTablesSettings,
    WrenchFeaturesSettings,
    WrenchVotesSettings,
)
from w2s.stages.declaration import ForPeople, Many, Plain, Stage

WEAK_SUPERVISION: dict[str, Stage] = {
    "label_matrix": Stage(
        summary="let every labeling function read every text",
        per="dataset",
        function="w2s.steps.label_matrix:label_matrix",
        settings=LabelMatrixSettings,
        inputs={"examples": kinds.EXAMPLES},
        outputs={"label_matrix": kinds.LABEL_MATRIX},
    ),
    "wrench_votes": Stage(
        summary="read the votes of a dataset in WRENCH's format",
        per="dataset",
        function="w2s.steps.wrench_votes:wrench_votes",
        settings=WrenchVotesSettings,
        inputs={"examples": kinds.EXAMPLES, "source": Plain.FILE},
        outputs={"label_matrix": kinds.LABEL_MATRIX},
    ),
    "wrench_features": Stage(
        summary="read the features of a dataset in WRENCH's format",
        per="dataset",
        function="w2s.steps.wrench_features:wrench_features",
        settings=WrenchFeaturesSettings,
        inputs={"examples": kinds.EXAMPLES, "source": Plain.FILE},
        outputs={"activations": kinds.ACTIVATIONS},
    ),
    "label_model": Stage(
        summary="fit a label model on weak_train's votes and label the other points with it",
        per="dataset, label model, seed",
        function="w2s.steps.label_model:label_model",
        settings=LabelModelSettings,
        inputs={
            "examples": kinds.EXAMPLES,
            "split": kinds.SPLIT,
            "label_matrix": kinds.LABEL_MATRIX,
        },
        outputs={"weak_labels": kinds.WEAK_LABELS},
    ),
    "student": Stage(
        summary="train a student on a label model's labels: regions, w2s, all mixes and controls",
        per="dataset, label model, student, seed",
        function="w2s.steps.student:student",
        settings=StudentSettings,
        inputs={"weak_labels": kinds.WEAK_LABELS, "activations": kinds.ACTIVATIONS},
        outputs={
            "regions": kinds.REGIONS,
            "runs": kinds.RUNS,
            "predictions": kinds.PREDICTIONS,
        },
    ),
    "weak_supervision_tables": Stage(
        summary="average weak supervision over seeds, beside the labeling functions",
        per="experiment",
        function="w2s.steps.weak_supervision_tables:weak_supervision_tables",
        settings=WeakSupervisionTablesSettings,
        inputs={
            "examples": Many(kinds.EXAMPLES),
            "label_matrix": Many(kinds.LABEL_MATRIX),
            "metrics": Many(kinds.METRICS),
            "correct": Many(kinds.CORRECT),
        },
        outputs={
            "lf_analysis": ForPeople(kinds.LF_TABLE),
            "weak_supervision": ForPeople(kinds.WEAK_SUPERVISION_TABLE),
            "comparisons": ForPeople(kinds.COMPARISONS_TABLE),
            "published": ForPeople(kinds.PUBLISHED_TABLE),
        },
    ),
    "weak_supervision_figures": Stage(
        summary="draw labeling functions and mixes of weak supervision",
        per="experiment",
        function="w2s.steps.weak_supervision_figures:weak_supervision_figures",
        settings=WeakSupervisionFiguresSettings,
        inputs={
            "lf_analysis": kinds.LF_TABLE,
            "weak_supervision": kinds.WEAK_SUPERVISION_TABLE,
            "comparisons": kinds.COMPARISONS_TABLE,
        },
        outputs={"lfs": Plain.FIGURE, "mixes": Plain.FIGURE, "contrasts": Plain.FIGURE},
    ),
}
