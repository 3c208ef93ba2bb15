"""Stages of source selection."""

from __future__ import annotations

from w2s import kinds
from w2s.settings import (
    CorporaLabelsSettings,
    SelectionFiguresSettings,
    SelectionTablesSettings,
    SelectSettings,
)
from w2s.stages.declaration import ForPeople, Many, Plain, Stage

SELECTION: dict[str, Stage] = {
    "corpora_labels": Stage(
        summary="fit one weak model for several datasets and label their points with it",
        per="selection experiment on corpora, pair, seed",
        function="w2s.steps.corpora_labels:corpora_labels",
        settings=CorporaLabelsSettings,
        inputs={
            "examples": Many(kinds.EXAMPLES),
            "split": Many(kinds.SPLIT),
            "activations": Many(kinds.ACTIVATIONS),
        },
        outputs={"weak_labels": kinds.WEAK_LABELS},
    ),
    "select": Stage(
        summary="select sources by every policy, and train the strong probe after every round",
        per="selection experiment, pair, seed",
        function="w2s.steps.select:select",
        settings=SelectSettings,
        inputs={
            "weak_labels": kinds.WEAK_LABELS,
            "activations": Many(kinds.ACTIVATIONS),
            "examples": Many(kinds.EXAMPLES),
        },
        outputs={
            "points": kinds.SELECTION_POINTS,
            "paths": kinds.SELECTION_PATHS,
            "predictions": kinds.SELECTION_PREDICTIONS,
        },
    ),
    "selection_tables": Stage(
        summary="average the selection experiments over seeds, with intervals",
        per="experiment",
        function="w2s.steps.selection_tables:selection_tables",
        settings=SelectionTablesSettings,
        inputs={
            "paths": Many(kinds.SELECTION_PATHS),
            "predictions": Many(kinds.SELECTION_PREDICTIONS),
        },
        outputs={
            "selection": ForPeople(kinds.SELECTION_TABLE),
            "rounds": ForPeople(kinds.SELECTION_ROUNDS_TABLE),
            "sources": ForPeople(kinds.SELECTION_SOURCES_TABLE),
        },
    ),
    "selection_figures": Stage(
        summary="draw accuracy, regret and pulls of the selection experiments over the rounds",
        per="pair",
        function="w2s.steps.selection_figures:selection_figures",
        settings=SelectionFiguresSettings,
        inputs={
            "rounds": kinds.SELECTION_ROUNDS_TABLE,
            "sources": kinds.SELECTION_SOURCES_TABLE,
        },
        outputs={"accuracy": Plain.FIGURE, "regret": Plain.FIGURE, "pulls": Plain.FIGURE},
    ),
}
