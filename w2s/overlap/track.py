"""The paper: pairs of models, probes, overlap points, mixes; their files and stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.data.track import EXAMPLES, SPLIT
from w2s.declare import (
    BOUNDS,
    DATASET,
    ID,
    PAIR,
    ROW,
    STATUS,
    Array,
    ForPeople,
    Jobs,
    Kind,
    Many,
    Plain,
    Share,
    Shown,
    Stage,
    Strict,
    each,
    figure_files,
    number,
    table_files,
    unique,
    with_interval,
)
from w2s.models.track import ACTIVATIONS
from w2s.results.track import (
    COMPARISONS_TABLE,
    CORRECT,
    LABELS,
    METRICS,
    METRICS_TABLE,
    PREDICTIONS,
    PROPORTION,
    REFERENCE,
    RUNS,
    STABILITY,
    EvaluationConfig,
)

CONTROLS = {  # the curves of the mixing experiment; colors are Okabe and Ito's
    "plain": Shown(
        "#D55E00", "overlap points against all others", "o-", True, ("placebo", "random")
    ),
    "placebo": Shown(
        "#000000", "random points that are not hard in the place of overlap points", "o-", True
    ),
    "fixed_hard": Shown(
        "#0072B2", "overlap against easy points, beside the pool's share of hard ones", "o-"
    ),
    "overlap_against_easy": Shown("#009E73", "overlap against easy points, no hard ones", "o-"),
    "purity_matched": Shown("#CC79A7", "hard labels, as often right as in the pool", "o-"),
    "brier_matched": Shown("#F0E442", "soft labels of the pool's expected Brier score", "o-"),
    "label_balanced": Shown("#E69F00", "hard labels, half of them positive", "o-"),
    "same_capacity": Shown("#56B4E9", "the plain mixes on the weak model's activations", "o-"),
    "random": Shown("#999999", "random points of a plain mix's number, weak labels", ":"),
    "true_labels": Shown("#009E73", "the points of random, true labels", "--", False, ("random",)),
    "few_labels": Shown("", "true labels of a 256th, ... a half of the points: for references"),
}
PLACEBO = "_placebo"  # ends the name of a matched curve over random points that are not hard
COMPARED = (  # models trained on all points: which is subtracted from which
    ("w2s", "floor"),
    ("w2s", "reference"),
    ("w2s", "reference_w2s"),
    ("w2s", "same_capacity_w2s"),
    ("same_capacity_w2s", "floor"),
    ("ceiling", "w2s"),
    ("ceiling", "floor"),
)
if TYPE_CHECKING:
    Control = str
else:
    Control = Literal[*CONTROLS]


class Pair(Strict):
    """A weak and a strong model."""

    weak: str = Field(description="Name of the weak model.")
    strong: str = Field(description="Name of the strong model.")
    weak_layer: int | None = Field(
        None, description="Layer the weak probe reads; the last of the model's `layers`."
    )
    strong_layer: int | None = Field(
        None, description="Layer the strong probe reads; the last of the model's `layers`."
    )

    @property
    def name(self) -> str:
        """Name of the pair's folders: `weak--strong`."""
        return f"{self.weak}--{self.strong}"


class ProbeConfig(Strict):
    """What is trained on cached activations."""

    kind: Literal["logistic", "knn"] = Field(
        "logistic", description="Logistic regression, or the mean label of the nearest neighbors."
    )
    l2: Annotated[float, Field(gt=0)] | Literal["cv"] = Field(
        1e-3,
        description="Weight of the squared norm of the coefficients (bias not penalised); cv "
        "chooses each probe's own by 5-fold cross-validation on its training rows.",
    )
    neighbors: Annotated[int, Field(ge=1)] = Field(10, description="Voters of a knn probe.")


class Quantile(Strict):
    """A threshold given as a quantile of the sorted values."""

    quantile: Share = Field(description="0 to 1.")


Threshold = Literal["change_point"] | Annotated[float, Field(allow_inf_nan=False)] | Quantile


class OverlapConfig(Strict):
    """Overlap detection (Shin et al., 2025, Algorithm 2)."""

    similarity: Literal["cosine", "dot"] = Field(
        "cosine", description="Similarity between a point and the hard points."
    )
    absolute: bool = Field(True, description="Use the absolute value of the similarity.")
    center: Literal["none", "mean", "whiten"] = Field(
        "none",
        description="What similarities are taken on: the vectors as they are; without the mean of "
        "strong_train (`mean`); or turned too, so that directions have about equal variance there "
        "(`whiten`).",
    )
    aggregate: Literal["max", "mean"] = Field(
        "max",
        description="The score of a point: its largest similarity to a hard point (`max`), or the "
        "root of its mean squared similarity to all of them (`mean`).",
    )
    tau_hard: Threshold = Field(
        "change_point",
        description="Hard points have a confidence below this: change_point, a number, or "
        "{quantile: q}.",
    )
    tau_overlap: Threshold = Field(
        "change_point",
        description="Overlap points have a score at or above this: change_point, a number, or "
        "{quantile: q}.",
    )


class MixingConfig(Strict):
    """The mixing experiment: train on mixes with a given share of overlap points."""

    proportions: Annotated[tuple[Share, ...], Field(min_length=1)] = Field(
        tuple(round(0.1 * i, 1) for i in range(11)), description="Shares of overlap points."
    )
    repeats: Annotated[int, Field(ge=1)] = Field(3, description="Random draws of each mix.")
    controls: tuple[Control, ...] = Field(
        get_args(Control),
        description="Which curves: plain and its controls (see docs/method.md). placebo also adds "
        "one to each matched curve; few_labels is what the references of regions need.",
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        if "placebo" in self.controls and "plain" not in self.controls:
            raise ValueError("controls: found placebo without plain, expected what it is beside")
        return unique(self, "proportions", "controls")


WEAK_LABELS = Kind(
    "weak_labels",
    "What the weak model says about points it was not trained on.",
    {
        "id": ID,
        "part": Array("str", "strong_train, val or test"),
        "label": Array("int8", "true label, 0 or 1"),
        "weak_proba": Array("float32", "P(label = 1) given by the weak model"),
        "dataset": Array("str", "the dataset that the point is from"),
    },
    {**DATASET, "seed": "seed of the halves", "n_train": "rows of weak_train", "gap": "bound on "
     "the relative optimality gap of the probe", "l2": "its penalty; none for knn",
     "model": "the weak model: a probe's kind or a label model",
     "status": "ok, or degenerate where the weak model could not be fitted: it says 1/2",
     "reason": "why, if it is not ok"},
)  # fmt: skip
REGIONS = Kind(
    "regions",
    "Easy, hard and overlap points of strong_train and of the test part, by one detector.",
    {
        "id": ID,
        "part": Array("str", "strong_train (the detector is fitted here) or test"),
        "confidence": Array("float64", "2 |weak_proba - 1/2|, in [0, 1]"),
        "score": Array("float64", "overlap score; NaN for hard points", nan=True),
        "region": Array("str", "easy, hard or overlap; undefined where degenerate"),
    },
    {
        **DATASET,
        "seed": "seed of the halves",
        "tau_hard": "confidence threshold: hard below it",
        "tau_overlap": "score threshold: overlap at or above it",
        "density": "overlap points / all points of strong_train",
        "stability": STABILITY,
        **STATUS,
    },
)
MAIN_TABLE = Kind(
    "main_table",
    "Floor, w2s, ceiling and PGR of every dataset and pair.",
    {
        **ROW,
        "n_seeds": Array("int64", "seeds"),
        "n_pool": Array("int64", "size of the training pool"),
        "n_test": Array("int64", "test points"),
        "n_groups": Array("int64", "what intervals resample: groups of test points, or the points"),
        **with_interval("floor", "weak floor: test accuracy, mean over seeds"),
        **with_interval("w2s", "test accuracy of weak-to-strong, mean over seeds"),
        **with_interval("ceiling", "strong ceiling: test accuracy, mean over seeds"),
        **with_interval("pgr", "(w2s - floor) / (ceiling - floor) of the means"),
        "overlap_density": number("overlap points / all points, mean over seeds"),
        "easy_share": number("easy points / all points, mean over seeds"),
        "hard_share": number("hard points / all points, mean over seeds"),
        "stability": number(STABILITY + ", mean over seeds"),
        "status": Array("str", "ok, partial (some seeds degenerate) or degenerate"),
        "reason": Array("str", "why, if it is not ok, or why a number is missing"),
    },
    ids=False,
)
MIXING_TABLE = Kind(
    "mixing_table",
    "Test accuracy against the share of overlap points, with the controls.",
    {
        **ROW,
        "control": Array("str", "plain or a control"),
        "proportion": number(PROPORTION + "; NaN where there is none"),
        "accuracy": number("test accuracy, mean over seeds and repeats"),
        **BOUNDS,
        **LABELS,
        "n_seeds": Array("int64", "seeds with a value"),
        "n_train": number("training points, mean over seeds"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
REGIONS_TABLE = Kind(
    "regions_table",
    "Test accuracy on easy, hard and overlap test points.",
    {
        **ROW,
        "model": Array("str", "floor, w2s, ceiling, or a reference: " + REFERENCE),
        "region": Array("str", "easy, hard or overlap, by the weak models of the other seeds"),
        "accuracy": number("accuracy on the region's test points, mean over seeds"),
        **BOUNDS,
        "n": number("test points of the region, mean over seeds and the models that divide them"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)


class WeakLabelsSettings(Strict):
    """How the weak probe is fitted."""

    layer: int = Field(-1, description="Layer the weak probe reads.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probe.")


class OverlapSettings(Strict):
    """How regions are detected."""

    layer: int = Field(-1, description="Layer of the strong activations.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="The detector.")


class StrongSettings(Strict):
    """Which probes to train."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    weak_layer: int = Field(-1, description="Layer of the weak activations.")
    strong_layer: int = Field(-1, description="Layer of the strong activations.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes.")
    mixing: MixingConfig = Field(MixingConfig(), description="The mixing experiment.")


class EvaluateSettings(Strict):
    """Nothing to choose: all metrics are computed."""


class TablesSettings(Strict):
    """Intervals of the tables."""

    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="Bootstrap.")


class PanelsSettings(Strict):
    """What figures show, one of all pairs."""

    titles: tuple[tuple[str, str], ...] = Field(
        description="Name and title of each dataset or experiment, in the order of the panels.",
        min_length=1,
    )


class FiguresSettings(PanelsSettings):
    """What the figures of a pair show."""

    weak: str = Field(description="Weak model of the pair.")
    strong: str = Field(description="Strong model of the pair.")
    title: str = Field("", description="Title of the figures: the models of the pair.")


def titles(config: Any, among: Sequence[str] | None = None) -> list[list[str]]:
    """Name and title of datasets in the configuration's order; the name where one has none."""
    found = [[name, data.title or name] for name, data in config.datasets.items()]
    return found if among is None else [pair for pair in found if pair[0] in among]


def title_of_pair(config: Any, job: Mapping[str, str]) -> str:
    """Title of the figures of a pair: its two models."""
    return " → ".join(config.models[job[role]].title or job[role] for role in ("weak", "strong"))


def layers_of(config: Any, job: Mapping[str, str]) -> dict[str, int]:
    """The layers that a pair's weak and strong probes read."""
    pair = next(p for p in config.pairs if (p.weak, p.strong) == (job["weak"], job["strong"]))
    given = {"weak_layer": pair.weak_layer, "strong_layer": pair.strong_layer}
    last = {f"{role}_layer": config.models[job[role]].layers[-1] for role in ("weak", "strong")}
    return {name: last[name] if layer is None else layer for name, layer in given.items()}


def layer_of(config: Any, job: Mapping[str, str], role: str) -> list[Any]:
    """The layer that one of them reads, as settings."""
    return [{"layer": layers_of(config, job)[f"{role}_layer"]}]


STAGES: dict[str, Stage] = {
    "weak_labels": Stage(
        summary="fit the weak model on weak_train and label the other points with it",
        per="dataset, pair, seed",
        function="w2s.overlap.weak_labels:weak_labels",
        settings=WeakLabelsSettings,
        inputs={"examples": EXAMPLES, "split": SPLIT, "activations": ACTIVATIONS},
        outputs={"weak_labels": WEAK_LABELS},
        adds=lambda config, job: layer_of(config, job, "weak"),
    ),
    "overlap": Stage(
        summary="tell easy, hard and overlap points apart",
        per="dataset, pair, seed",
        function="w2s.overlap.detect:overlap",
        settings=OverlapSettings,
        inputs={"weak_labels": WEAK_LABELS, "activations": ACTIVATIONS},
        outputs={"regions": REGIONS},
        adds=lambda config, job: layer_of(config, job, "strong"),
    ),
    "strong": Stage(
        summary="train the strong model: ceiling, w2s, and all mixes and controls",
        per="dataset, pair, seed",
        function="w2s.overlap.strong:strong",
        settings=StrongSettings,
        inputs={
            "weak_labels": WEAK_LABELS,
            "regions": REGIONS,
            "weak_activations": ACTIVATIONS,
            "strong_activations": ACTIVATIONS,
        },
        outputs={"runs": RUNS, "predictions": PREDICTIONS},
        adds=lambda config, job: [layers_of(config, job)],
    ),
    "evaluate": Stage(
        summary="score all predictions, on all test points and by region",
        per="dataset, pair, seed",
        function="w2s.overlap.tables:evaluate",
        settings=EvaluateSettings,
        inputs={
            "examples": EXAMPLES,
            "weak_labels": WEAK_LABELS,
            "regions": REGIONS,
            "runs": RUNS,
            "predictions": PREDICTIONS,
        },
        outputs={"metrics": METRICS, "correct": CORRECT},
    ),
    "tables": Stage(
        summary="average over seeds, with intervals and paired differences",
        per="experiment",
        function="w2s.overlap.tables:tables",
        settings=TablesSettings,
        inputs={"metrics": Many(METRICS), "correct": Many(CORRECT)},
        outputs={
            "main": ForPeople(MAIN_TABLE),
            "mixing": ForPeople(MIXING_TABLE),
            "regions": ForPeople(REGIONS_TABLE),
            "comparisons": ForPeople(COMPARISONS_TABLE),
        },
    ),
    "metric_tables": Stage(
        summary="score floor, w2s and ceiling by AUROC and other metrics, with intervals",
        per="experiment",
        function="w2s.overlap.metric_tables:metric_tables",
        settings=TablesSettings,
        inputs={
            "examples": Many(EXAMPLES),
            "weak_labels": Many(WEAK_LABELS),
            "runs": Many(RUNS),
            "predictions": Many(PREDICTIONS),
        },
        outputs={"metrics": ForPeople(METRICS_TABLE)},
    ),
    "figures": Stage(
        summary="draw the mixing curves, controls, contrasts, score curves and accuracy by region",
        per="pair",
        function="w2s.overlap.figures:figures",
        settings=FiguresSettings,
        inputs={
            "main": MAIN_TABLE,
            "mixing_table": MIXING_TABLE,
            "region_table": REGIONS_TABLE,
            "comparisons": COMPARISONS_TABLE,
            "regions": Many(REGIONS),
        },
        outputs={
            "mixing": Plain.FIGURE,
            "controls": Plain.FIGURE,
            "contrasts": Plain.FIGURE,
            "curves": Plain.FIGURE,
            "by_region": Plain.FIGURE,
        },
        adds=lambda config, job: [{"title": title_of_pair(config, job), "titles": titles(config)}],
    ),
}

FILES = {  # below `results`, by rule
    "weak_labels": (f"{PAIR}/weak_labels.parquet",),
    "overlap": (f"{PAIR}/regions.parquet",),
    "strong": (f"{PAIR}/runs.parquet", f"{PAIR}/predictions.safetensors"),
    "evaluate": (f"{PAIR}/metrics.parquet", f"{PAIR}/correct.safetensors"),
    "tables": table_files("main", "mixing", "regions", "comparisons"),
    "metric_tables": table_files("metrics"),
    "figures": figure_files(
        "{weak}--{strong}", "mixing", "controls", "contrasts", "curves", "by_region"
    ),
}


def jobs(config: Any) -> Jobs:
    """All pairs on all datasets."""
    rules = ("weak_labels", "overlap", "strong", "evaluate")
    for pair in config.pairs:
        names = {"weak": pair.weak, "strong": pair.strong}
        yield from each(*rules, dataset=[*config.datasets], seed=config.seeds, **names)
        yield from each("figures", **names)
    yield from each("tables", "metric_tables") if config.pairs else ()
