"""Stages of the synthetic study."""

from __future__ import annotations

from w2s import kinds
from w2s.settings import (
    SyntheticControlsSettings,
    SyntheticDetectionSettings,
    SyntheticFiguresSettings,
    SyntheticSettings,
    SyntheticTablesSettings,
)
from w2s.stages.declaration import ForPeople, Many, Plain, Stage

SYNTHETIC: dict[str, Stage] = {
    "synthetic": Stage(
        summary="train weak, strong and w2s on Gaussian mixtures along one sweep",
        per="sweep",
        function="w2s.steps.synthetic:synthetic",
        settings=SyntheticSettings,
        inputs={},
        outputs={"accuracies": kinds.SYNTHETIC_ACCURACIES},
    ),
    "synthetic_detection": Stage(
        summary="measure how well overlap detection finds planted regions",
        per="experiment",
        function="w2s.steps.synthetic_detection:synthetic_detection",
        settings=SyntheticDetectionSettings,
        inputs={},
        outputs={"detection": kinds.DETECTION_ROWS, "thresholds": kinds.THRESHOLD_ROWS},
    ),
    "synthetic_controls": Stage(
        summary="replace overlap points by easy ones with equally clean labels; estimate expansion",
        per="experiment",
        function="w2s.steps.synthetic_controls:synthetic_controls",
        settings=SyntheticControlsSettings,
        inputs={},
        outputs={"purity": kinds.PURITY_ROWS, "expansion": kinds.EXPANSION_ROWS},
    ),
    "synthetic_tables": Stage(
        summary="average the synthetic study over repetitions, beside the original's means",
        per="experiment",
        function="w2s.steps.synthetic_tables:synthetic_tables",
        settings=SyntheticTablesSettings,
        inputs={
            "accuracies": Many(kinds.SYNTHETIC_ACCURACIES),
            "detection": kinds.DETECTION_ROWS,
            "thresholds": kinds.THRESHOLD_ROWS,
            "purity": kinds.PURITY_ROWS,
            "expansion": kinds.EXPANSION_ROWS,
        },
        outputs={
            "synthetic": ForPeople(kinds.SYNTHETIC_TABLE),
            "anchors": ForPeople(kinds.ANCHORS_TABLE),
            "detection_table": ForPeople(kinds.DETECTION_TABLE),
            "thresholds_table": ForPeople(kinds.THRESHOLDS_TABLE),
            "purity_table": ForPeople(kinds.PURITY_TABLE),
            "expansion_table": ForPeople(kinds.EXPANSION_TABLE),
        },
    ),
    "synthetic_figures": Stage(
        summary="draw the sweeps, the detection study and the purity control",
        per="experiment",
        function="w2s.steps.synthetic_figures:synthetic_figures",
        settings=SyntheticFiguresSettings,
        inputs={
            "synthetic": kinds.SYNTHETIC_TABLE,
            "detection_table": kinds.DETECTION_TABLE,
            "thresholds_table": kinds.THRESHOLDS_TABLE,
            "purity_table": kinds.PURITY_TABLE,
        },
        outputs={
            "sweeps": Plain.FIGURE,
            "detection": Plain.FIGURE,
            "thresholds": Plain.FIGURE,
            "purity": Plain.FIGURE,
        },
    ),
}
