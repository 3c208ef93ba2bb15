"""The synthetic study: its settings, files and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.declare import (
    Array,
    ForPeople,
    Jobs,
    Kind,
    Many,
    Plain,
    Stage,
    Strict,
    each,
    figure_files,
    number,
    table_files,
    unique,
)

STUDIES = {  # the sweeps, and what is swept: a column of their table
    "first": "n_overlap",
    "overlap": "n_overlap",
    "easy": "n_easy",
    "hard": "n_hard",
}
if TYPE_CHECKING:
    Study = str
else:
    Study = Literal[*STUDIES]
Region = Literal["easy", "hard", "overlap"]
Repetitions = Annotated[int, Field(ge=2)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class RecipeConfig(Strict):
    """How the three models of a repetition are trained (see docs/synthetic.md)."""

    c: Positive = Field(1.0, description="scikit-learn's C of the weak model and the ceiling.")
    w2s_c: Positive = Field(0.01, description="C of w2s.")
    w2s_on: Annotated[tuple[Region, ...], Field(min_length=1)] = Field(
        ("overlap",), description="Kinds of points in the set that w2s trains on."
    )
    soft: bool = Field(False, description="Train w2s on weak probabilities, not on predictions.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        return unique(self, "w2s_on")


class SyntheticConfig(Strict):
    """The synthetic study: Gaussian mixtures with planted regions."""

    studies: Annotated[tuple[Study, ...], Field(min_length=1)] = Field(
        get_args(Study), description="Which sweeps over the numbers of training points."
    )
    repetitions: Repetitions = Field(500, description="Mixtures drawn for each setting.")
    detection_repetitions: Repetitions = Field(
        100,
        description="Mixtures drawn for each cell of the detection study and of its thresholds.",
    )
    control_repetitions: Repetitions = Field(
        200, description="Mixtures drawn for the purity control and the expansion estimate."
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of all draws.")
    recipe: RecipeConfig = Field(RecipeConfig(), description="How the models are trained.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        return unique(self, "studies")


SEED = {"seed": "seed of all draws", "recipe": "how the models were trained"}
BOUNDS = {
    end: number(f"{side} bound of the normal interval of the mean")
    for end, side in (("lo", "lower"), ("hi", "upper"))
}
SYNTHETIC_ACCURACIES = Kind(
    "synthetic_accuracies",
    "Exact accuracies of the three models in every repetition of a sweep's settings.",
    {
        "counts": Array(
            "int32", "training points: easy, hard, overlap", ("settings", "regions")
        ),
        "accuracy": Array(
            "float64", "by model (weak, strong, w2s) and region (easy, hard, overlap)",
            ("settings", "repetitions", "models", "regions"), nan=True,
        ),
        "constant": Array(
            "int8", "whether the training labels were all equal: a rule that says one class",
            ("settings", "repetitions", "models"),
        ),
        "label_accuracy": Array(
            "float64", "share of right weak labels of w2s", ("settings", "repetitions"), nan=True
        ),
    },
    {"study": "name of the sweep", **SEED},
    suffix=".safetensors",
    ids=False,
)  # fmt: skip
DETECTION_ROWS = Kind(
    "detection_rows",
    "How well the detector finds planted regions, in every repetition of every cell.",
    {
        "metrics": Array(
            "float64", "precision, recall, auroc of hard and of overlap points",
            ("cells", "variants", "repetitions", "targets", "metrics"), nan=True,
        ),
        "density": Array(
            "float64", "points found to be overlap points / all points",
            ("cells", "variants", "repetitions"), nan=True,
        ),
    },
    {
        "cells": "of each cell: the axis that is changed, and its value there",
        "variants": "names of the options of the detector",
        "reasons": "of each cell and option: degenerate repetitions by reason",
        "seed": "seed of all draws",
    },
    suffix=".safetensors",
    ids=False,
)  # fmt: skip
THRESHOLD_ROWS = Kind(
    "threshold_rows",
    "The same for a grid of thresholds, given as quantiles.",
    {
        "tau_hard": Array("float64", "quantile of the confidences", ("h",)),
        "tau_overlap": Array("float64", "quantile of the scores", ("o",)),
        "metrics": Array(
            "float64", "precision, recall, auroc of hard and of overlap points",
            ("repetitions", "h", "o", "targets", "metrics"), nan=True,
        ),
        "density": Array(
            "float64", "points found to be overlap points / all points",
            ("repetitions", "h", "o"), nan=True,
        ),
    },
    {"seed": "seed of all draws"},
    suffix=".safetensors",
    ids=False,
)  # fmt: skip
PURITY_ROWS = Kind(
    "purity_rows",
    "w2s on overlap points, and on as many easy points with equally accurate weak labels.",
    {
        "n_overlap": Array("int32", "overlap points", ("settings",)),
        "overlap": Array(
            "float64", "accuracy of w2s with overlap points, by region",
            ("settings", "repetitions", "regions"), nan=True,
        ),
        "easy": Array(
            "float64", "the same with easy points instead",
            ("settings", "repetitions", "regions"), nan=True,
        ),
        "label_accuracy": Array(
            "float64", "share of right weak labels, the same for both",
            ("settings", "repetitions"), nan=True,
        ),
    },
    {"others": "of each setting: the points that both trainings have besides", **SEED},
    suffix=".safetensors",
    ids=False,
)  # fmt: skip
EXPANSION_ROWS = Kind(
    "expansion_rows",
    "Estimates of how far overlap points expand into hard points.",
    {
        "n_overlap": Array("int32", "overlap points", ("settings",)),
        "estimate": Array(
            "float64", "right, wrong, lowest, low, agreement: see w2s.synthetic.expansion",
            ("settings", "repetitions", "estimates"), nan=True,
        ),
    },
    {"estimates": "names of the estimates", **SEED},
    suffix=".safetensors",
    ids=False,
)  # fmt: skip
SYNTHETIC_TABLE = Kind(
    "synthetic_table",
    "Accuracies of the synthetic study, mean over repetitions.",
    {
        "study": Array("str", "first, overlap, easy or hard"),
        "mixture": Array("str", "test mixture: moving or fixed; matters to group overall only"),
        "n_easy": Array("int64", "easy training points"),
        "n_hard": Array("int64", "hard training points"),
        "n_overlap": Array("int64", "overlap training points"),
        "model": Array("str", "weak, strong or w2s"),
        "group": Array("str", "test points: overall, easy, hard or overlap"),
        "accuracy": number("expected test accuracy, mean over repetitions"),
        **BOUNDS,
        "n_repetitions": Array("int64", "repetitions"),
    },
    ids=False,
)
ANCHORS_TABLE = Kind(
    "anchors_table",
    "Our means beside those of the original study.",
    {
        "mixture": Array("str", "test mixture"),
        "n_overlap": Array("int64", "overlap points, beside 100 easy and 100 hard ones"),
        "model": Array("str", "weak, strong or w2s"),
        "group": Array("str", "overall or hard"),
        "published": number("mean of the original study"),
        "ours": number("our mean"),
        "difference": number("ours - published"),
        "se": number("standard error of the difference, see docs/synthetic.md"),
        "z": number("difference / se"),
        "within": Array("str", "yes where |z| <= 3"),
        "n_repetitions": Array("int64", "our repetitions"),
    },
    ids=False,
)
DETECTION_TABLE = Kind(
    "detection_table",
    "How well the detector finds the planted regions.",
    {
        "axis": Array("str", "what is changed against the base cell"),
        "setting": number("its value"),
        "variant": Array("str", "options of the detector"),
        "target": Array("str", "hard or overlap"),
        "metric": Array("str", "precision, recall or auroc"),
        "value": number("mean over repetitions"),
        **BOUNDS,
        "n_repetitions": Array("int64", "repetitions with a value"),
        "n_degenerate": Array("int64", "repetitions without regions"),
        "reason": Array("str", "why repetitions are missing, if they are"),
    },
    ids=False,
)
THRESHOLDS_TABLE = Kind(
    "thresholds_table",
    "How well the detector finds the planted regions with thresholds at quantiles.",
    {
        "tau_hard": number("quantile of the confidences"),
        "tau_overlap": number("quantile of the scores"),
        "target": Array("str", "hard or overlap"),
        "metric": Array("str", "precision, recall or auroc"),
        "value": number("mean over repetitions"),
        **BOUNDS,
        "density": number("points found to be overlap points / all points"),
        "n_degenerate": Array("int64", "repetitions without regions: no hard point, or no other"),
        "n_repetitions": Array("int64", "repetitions with a value"),
    },
    ids=False,
)
PURITY_TABLE = Kind(
    "purity_table",
    "Accuracy of w2s on hard-only points, with overlap points or with easy points instead.",
    {
        "n_overlap": Array("int64", "overlap points, or easy points instead"),
        "others": Array("str", "points that both trainings have besides"),
        "with_overlap": number("accuracy on hard points, trained with overlap points"),
        "with_easy": number("the same with easy points instead"),
        "difference": number("paired difference, mean over repetitions"),
        **BOUNDS,
        "label_accuracy": number("share of right weak labels, the same for both"),
        "n_repetitions": Array("int64", "repetitions with a match"),
    },
    ids=False,
)
EXPANSION_TABLE = Kind(
    "expansion_table",
    "Estimates of the expansion of overlap points into hard points.",
    {
        "n_overlap": Array("int64", "overlap points"),
        "estimate": Array("str", "right, wrong, lowest, low or agreement"),
        "value": number("mean over repetitions"),
        **BOUNDS,
        "n_repetitions": Array("int64", "repetitions with a value"),
    },
    ids=False,
)


class SyntheticDetectionSettings(Strict):
    """How often the detector is tried."""

    repetitions: int = Field(description="Mixtures drawn for each setting or cell.", ge=2)
    seed: int = Field(0, description="Seed of all draws.", ge=0)


class SyntheticControlsSettings(SyntheticDetectionSettings):
    """The purity control and the expansion estimate."""

    recipe: RecipeConfig = Field(RecipeConfig(), description="How the models are trained.")


class SyntheticSettings(SyntheticControlsSettings):
    """One sweep of the synthetic study."""

    study: Study = Field(description="Which sweep.")


class SyntheticTablesSettings(Strict):
    """Intervals of the tables of the synthetic study."""

    level: float = Field(0.95, description="Coverage of the intervals.", gt=0.5, lt=1)


class SyntheticFiguresSettings(Strict):
    """Nothing to choose: the figures show what the tables hold."""


def _detected(config: Any, job: Mapping[str, str]) -> list[Any]:
    return [{"repetitions": config.synthetic.detection_repetitions}, config.synthetic]


def _controlled(config: Any, job: Mapping[str, str]) -> list[Any]:
    """Both arms are given, so what w2s is trained on is not read."""
    recipe = config.synthetic.recipe.model_dump(mode="json", exclude={"w2s_on"})
    own = {"repetitions": config.synthetic.control_repetitions, "recipe": recipe}
    return [own, config.synthetic]


STAGES: dict[str, Stage] = {
    "synthetic": Stage(
        summary="train weak, strong and w2s on Gaussian mixtures along one sweep",
        per="sweep",
        function="w2s.synthetic.study:synthetic",
        settings=SyntheticSettings,
        inputs={},
        outputs={"accuracies": SYNTHETIC_ACCURACIES},
        adds=lambda config, job: [config.synthetic],
    ),
    "synthetic_detection": Stage(
        summary="measure how well overlap detection finds planted regions",
        per="experiment",
        function="w2s.synthetic.detection:synthetic_detection",
        settings=SyntheticDetectionSettings,
        inputs={},
        outputs={"detection": DETECTION_ROWS, "thresholds": THRESHOLD_ROWS},
        adds=_detected,
    ),
    "synthetic_controls": Stage(
        summary="replace overlap points by easy ones with equally clean labels; estimate expansion",
        per="experiment",
        function="w2s.synthetic.purity:synthetic_controls",
        settings=SyntheticControlsSettings,
        inputs={},
        outputs={"purity": PURITY_ROWS, "expansion": EXPANSION_ROWS},
        adds=_controlled,
    ),
    "synthetic_tables": Stage(
        summary="average the synthetic study over repetitions, beside the original's means",
        per="experiment",
        function="w2s.synthetic.tables:synthetic_tables",
        settings=SyntheticTablesSettings,
        inputs={
            "accuracies": Many(SYNTHETIC_ACCURACIES),
            "detection": DETECTION_ROWS,
            "thresholds": THRESHOLD_ROWS,
            "purity": PURITY_ROWS,
            "expansion": EXPANSION_ROWS,
        },
        outputs={
            "synthetic": ForPeople(SYNTHETIC_TABLE),
            "anchors": ForPeople(ANCHORS_TABLE),
            "detection_table": ForPeople(DETECTION_TABLE),
            "thresholds_table": ForPeople(THRESHOLDS_TABLE),
            "purity_table": ForPeople(PURITY_TABLE),
            "expansion_table": ForPeople(EXPANSION_TABLE),
        },
        adds=lambda config, job: [config.evaluation],
    ),
    "synthetic_figures": Stage(
        summary="draw the sweeps, the detection study and the purity control",
        per="experiment",
        function="w2s.synthetic.figures:synthetic_figures",
        settings=SyntheticFiguresSettings,
        inputs={
            "synthetic": SYNTHETIC_TABLE,
            "detection_table": DETECTION_TABLE,
            "thresholds_table": THRESHOLDS_TABLE,
            "purity_table": PURITY_TABLE,
        },
        outputs={
            "sweeps": Plain.FIGURE,
            "detection": Plain.FIGURE,
            "thresholds": Plain.FIGURE,
            "purity": Plain.FIGURE,
        },
    ),
}

FILES = {  # below `results`, by rule
    "synthetic": ("synthetic/{study}.safetensors",),
    "synthetic_detection": ("synthetic/detection.safetensors", "synthetic/thresholds.safetensors"),
    "synthetic_controls": ("synthetic/purity.safetensors", "synthetic/expansion.safetensors"),
    "synthetic_tables": table_files(
        "synthetic", "anchors", "detection", "thresholds", "purity", "expansion"
    ),
    "synthetic_figures": figure_files("synthetic", "sweeps", "detection", "thresholds", "purity"),
}


def jobs(config: Any) -> Jobs:
    """All sweeps, and what is done once."""
    if config.synthetic:
        yield from each("synthetic", study=config.synthetic.studies)
        yield from each(*list(FILES)[1:])
