"""Predictors of the gain, and transfer between datasets: their settings, files and stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import Field

from w2s.data.track import EXAMPLES, SPLIT
from w2s.declare import (
    JOB,
    PAIR,
    ROW,
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
    with_interval,
)
from w2s.models.track import ACTIVATIONS
from w2s.overlap.track import (
    WEAK_LABELS,
    PanelsSettings,
    ProbeConfig,
    TablesSettings,
    layers_of,
    titles,
)
from w2s.results.track import PREDICTIONS, RUNS, datasets_of


@dataclass(frozen=True)
class Predictor:
    """A number that may tell the gain.

    Attributes:
        sentence: What it is.
        points: Which points it is computed on: of the test part, or of strong_train.
        uses_labels: Whether it needs true labels of them.
        expected: Sign of its correlation with the gain by its source, "" where that says none.
    """

    sentence: str
    points: str
    uses_labels: bool = False
    expected: str = ""


PREDICTORS = {
    "misfit": Predictor(
        "mean squared difference of the probabilities of w2s and the weak model", "test", False, "+"
    ),
    "misfit_kl": Predictor(
        "mean Kullback-Leibler divergence of w2s from the weak model, in nats", "test", False, "+"
    ),
    "jsd": Predictor("mean Jensen-Shannon divergence of w2s and the weak model, in nats", "test"),
    "residual": Predictor(
        "root mean square of P_s (I - P_w) y: what of the weak labels (more likely classes, "
        "centred) weak vectors do not explain and strong ones do",
        "strong_train",
    ),
    "residual_norm": Predictor(
        "largest factor by which P_s (I - P_w) scales a vector of labels", "strong_train"
    ),
    "cka": Predictor("linear CKA of weak and strong vectors", "strong_train"),
    "dim_weak": Predictor(
        "principal components that hold 99% of the variance of weak vectors", "strong_train"
    ),
    "dim_strong": Predictor("the same of strong vectors", "strong_train"),
    "dim_shared": Predictor("dimensions that these two subspaces share", "strong_train"),
    "dim_apart": Predictor("dim_weak - dim_shared", "strong_train", False, "+"),
    "error_consistency": Predictor(
        "agreement of weak model and ceiling in being right, beyond chance", "test", True
    ),
    "kappa_p": Predictor(
        "agreement of the probabilities of weak model and ceiling, beyond chance", "test", True, "-"
    ),
    "gap": Predictor("ceiling - floor", "test", True),
}
QUADRANTS = ("both", "only ceiling", "only weak", "neither")  # which of the two are right
MEASURES = {
    "floor": number("weak floor: test accuracy"),
    "w2s": number("test accuracy of weak-to-strong"),
    "ceiling": number("strong ceiling: test accuracy"),
    "gain": number("w2s - floor"),
    "pgr": number("gain / (ceiling - floor)"),
    **{name: number(shown.sentence) for name, shown in PREDICTORS.items()},
    "reason": Array("str", "why numbers are missing, if they are"),
}
PAIR_ROW = {name: ROW[name] for name in ("weak", "strong")}


class GainConfig(Strict):
    """What predicts the gain of weak-to-strong, and how it transfers between datasets."""

    datasets: tuple[str, ...] = Field(
        (), description="The datasets, each trained on and tested on; all if empty."
    )


GAIN_PREDICTORS = Kind(
    "gain_predictors",
    "The gain of one dataset, pair and seed, and what may tell it beforehand: one row.",
    MEASURES,
    JOB,
    ids=False,
)
TRANSFER = Kind(
    "transfer",
    "Floor, w2s and ceiling trained on each dataset, and what they say of all test parts.",
    {
        "train": Array("str", "the dataset trained on"),
        "test": Array("str", "the dataset whose test part it is"),
        "example": Array("int64", "example id of the test point; two datasets may share a text"),
        "label": Array("int8", "true label, 0 or 1"),
        "group": Array("int64", "group of the test point; unique in its dataset without groups"),
        "seen": Array("int8", "1 where the dataset trained on holds the text in its pool, else 0"),
        "floor": Array("float32", "P(label = 1) by the weak model, true labels", nan=True),
        "w2s": Array("float32", "P(label = 1) by the strong model, weak labels", nan=True),
        "ceiling": Array("float32", "P(label = 1) by the strong model, true labels", nan=True),
    },
    {
        "weak": "weak model",
        "strong": "strong model",
        "seed": "seed of the halves",
        "reasons": "of each dataset trained on, why it lacks a model; empty if it has all",
    },
    ids=False,
)
PREDICTORS_TABLE = Kind(
    "predictors_table",
    "How each predictor goes with the gain, over all datasets, pairs and seeds.",
    {
        "predictor": Array("str", "name of the predictor"),
        "uses_labels": Array("str", "yes or no: whether it needs true labels"),
        "points": Array("str", "the points it is computed on: test or strong_train"),
        "expected": Array("str", "sign of the correlation by its source; empty if none is said"),
        "correlation": number("Spearman's rank correlation with the gain, over all points"),
        "correlation_lo": number("lower bound of its interval, see reason"),
        "correlation_hi": number("upper bound of its interval, see reason"),
        "given_gap": number("partial rank correlation with the gain, given ceiling - floor"),
        "n_points": Array("int64", "datasets, pairs and seeds with a value"),
        "correlation_within": number(
            "rank correlation among the seeds of a dataset and pair, mean over those with 3 or more"
        ),
        "correlation_of_means": number("rank correlation of means over seeds"),
        "n_means": Array("int64", "datasets and pairs with a value: what is independent"),
        "p": number("two-sided p value of that, by permutation; NaN below 3 means"),
        "p_holm": number("the same after Holm's correction for the number of p in this table"),
        "reason": Array("str", "what the interval draws, and why numbers are missing, if they are"),
    },
    ids=False,
)
QUADRANTS_TABLE = Kind(
    "quadrants_table",
    "Test accuracy of w2s where weak model and ceiling are right or wrong.",
    {
        **ROW,
        "quadrant": Array("str", "which are right: " + ", ".join(QUADRANTS)),
        "share": number("share of the test points, mean over seeds; a probability of 1/2 is half"),
        **with_interval("w2s", "accuracy of w2s there, mean over seeds"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
GAIN_TABLE = Kind(
    "gain_table",
    "Every point of the correlations: gain and predictors of each dataset, pair and seed.",
    {**ROW, "seed": Array("int64", "seed of the halves"), **MEASURES},
    ids=False,
)
TRANSFER_TABLE = Kind(
    "transfer_table",
    "Floor, w2s, ceiling and gain of models trained on one dataset and tested on another.",
    {
        "train": Array("str", "the dataset trained on"),
        "test": Array("str", "the dataset tested on"),
        **PAIR_ROW,
        "n_seeds": Array("int64", "seeds with a value"),
        "n_test": Array("int64", "test points, without texts of the pool trained on"),
        **with_interval("floor", "test accuracy of the weak model, mean over seeds"),
        **with_interval("w2s", "test accuracy of weak-to-strong, mean over seeds"),
        **with_interval("ceiling", "test accuracy of the ceiling, mean over seeds"),
        **with_interval("pgr", "(w2s - floor) / (ceiling - floor) of the means"),
        **with_interval("gain", "w2s - floor, paired"),
        "p": number("two-sided p value of the gain: normal, with the bootstrap's standard error"),
        "p_holm": number("the same after Holm's correction for the number of p in this table"),
        "reason": Array("str", "why seeds or numbers are missing, if they are"),
    },
    ids=False,
)


class GainPredictorsSettings(Strict):
    """Which vectors are compared."""

    weak_layer: int = Field(-1, description="Layer of the weak activations.")
    strong_layer: int = Field(-1, description="Layer of the strong activations.")


class TransferSettings(GainPredictorsSettings):
    """Which probes are trained."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes.")


STAGES: dict[str, Stage] = {
    "gain_predictors": Stage(
        summary="compute what may tell the gain: misfit, agreement, residual, CKA, dimensions",
        per="dataset, pair, seed",
        function="w2s.gain.stages:gain_predictors",
        settings=GainPredictorsSettings,
        inputs={
            "weak_labels": WEAK_LABELS,
            "runs": RUNS,
            "predictions": PREDICTIONS,
            "weak_activations": ACTIVATIONS,
            "strong_activations": ACTIVATIONS,
        },
        outputs={"gain": GAIN_PREDICTORS},
        adds=lambda config, job: [layers_of(config, job)],
    ),
    "transfer": Stage(
        summary="train floor, w2s and ceiling on each dataset, and test them on all",
        per="pair, seed",
        function="w2s.gain.transfer:transfer",
        settings=TransferSettings,
        inputs={
            "examples": Many(EXAMPLES),
            "split": Many(SPLIT),
            "weak_labels": Many(WEAK_LABELS),
            "runs": Many(RUNS),
            "predictions": Many(PREDICTIONS),
            "weak_activations": Many(ACTIVATIONS),
            "strong_activations": Many(ACTIVATIONS),
        },
        outputs={"transfer": TRANSFER},
        adds=lambda config, job: [layers_of(config, job)],
    ),
    "gain_tables": Stage(
        summary="correlate predictors with the gain; average transfer over seeds, with intervals",
        per="experiment",
        function="w2s.gain.tables:gain_tables",
        settings=TablesSettings,
        inputs={"predictors": Many(GAIN_PREDICTORS), "transfer": Many(TRANSFER)},
        outputs={
            "correlations": ForPeople(PREDICTORS_TABLE),
            "quadrants": ForPeople(QUADRANTS_TABLE),
            "points": ForPeople(GAIN_TABLE),
            "matrix": ForPeople(TRANSFER_TABLE),
        },
    ),
    "gain_figures": Stage(
        summary="draw predictors against the gain, and the transfer matrix",
        per="experiment",
        function="w2s.gain.figures:gain_figures",
        settings=PanelsSettings,
        inputs={
            "correlations": PREDICTORS_TABLE,
            "points": GAIN_TABLE,
            "matrix": TRANSFER_TABLE,
        },
        outputs={"predictors": Plain.FIGURE, "transfer": Plain.FIGURE},
        adds=lambda config, job: [{"titles": titles(config, datasets_of(config, "gain"))}],
    ),
}

FILES = {  # below `results`, by rule
    "gain_predictors": (f"{PAIR}/gain.parquet",),
    "transfer": ("gain/{weak}--{strong}/seed{seed}/transfer.parquet",),
    "gain_tables": table_files("predictors", "quadrants", "gain", "transfer"),
    "gain_figures": figure_files("gain", "predictors", "transfer"),
}


def jobs(config: Any) -> Jobs:
    """All pairs on the track's datasets, and what is done once."""
    chosen = datasets_of(config, "gain")
    for pair in config.pairs if chosen else ():
        names = {"seed": config.seeds, "weak": pair.weak, "strong": pair.strong}
        yield from each("gain_predictors", dataset=chosen, **names)
        yield from each("transfer", **names)
    yield from each("gain_tables", "gain_figures") if chosen and config.pairs else ()
