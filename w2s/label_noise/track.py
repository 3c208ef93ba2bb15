"""Planted label noise: its settings, files and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from w2s.data.track import EXAMPLES
from w2s.declare import (
    ID,
    JOB,
    PAIR,
    ROW,
    Array,
    ForPeople,
    Jobs,
    Kind,
    Many,
    Plain,
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
from w2s.overlap.track import (
    WEAK_LABELS,
    FiguresSettings,
    ProbeConfig,
    TablesSettings,
    layer_of,
    title_of_pair,
    titles,
)
from w2s.results.track import datasets_of

METHODS = {  # what says how likely a label is right; colors are Okabe and Ito's
    "knn": Shown("#0072B2", "share of the nearest points with the same label", "o-"),
    "logistic": Shown("#D55E00", "probability of the label by probes out of fold", "o-"),
    "cleanlab": Shown("#E69F00", "the same less what is usual for the label", "o--"),
    "topological": Shown("#009E73", "largest component of the label, and its votes", "o-"),
    "graph": Shown("#CC79A7", "labels smoothed over the graph of neighbours", "o-"),
    "random": Shown("#999999", "a random number: the control", "o:"),
    "oracle": Shown("#000000", "whether the label is flipped: the most there is", "o:"),
}
USES = ("filtered", "relabelled")  # what is done with the labels that are doubted most


class LabelNoiseConfig(Strict):
    """Planted label noise: how well it is found, and what is won by leaving out or flipping."""

    datasets: tuple[str, ...] = Field(
        (), description="On the true labels of strong_train of these; of all if empty."
    )
    rates: Annotated[tuple[Annotated[float, Field(gt=0, lt=0.5)], ...], Field(min_length=1)] = (
        Field((0.1, 0.2, 0.3), description="Shares of labels that are flipped.")
    )
    kinds: Annotated[tuple[Literal["uniform", "confidence"], ...], Field(min_length=1)] = Field(
        ("uniform", "confidence"),
        description="Which labels are flipped: uniform, any; confidence, more likely those of "
        "points that the weak model is unsure of.",
    )
    repeats: Annotated[int, Field(ge=1)] = Field(
        1, description="Draws of each noise and seed, each with its own trainings."
    )
    neighbors: Annotated[int, Field(ge=1)] = Field(
        20, description="Neighbours of a point, of the methods knn and graph."
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        return unique(self, "datasets", "rates", "kinds")


NOISE = {
    "noise": Array("str", "uniform or confidence: which labels are flipped; empty for none"),
    "rate": number("share of labels that are flipped, as asked for; NaN for none"),
}
METHOD = Array("str", "what scored the labels; empty where nothing did")
LABEL_NOISE_RUNS = Kind(
    "label_noise_runs",
    "Every training on labels with planted noise: as they are, filtered, or relabelled.",
    {
        "run": Array("int32", "number of the run, row of predictions"),
        **NOISE,
        "repeat": Array("int32", "number of the draw"),
        "method": METHOD,
        "use": Array(
            "str",
            "ceiling (true labels), noisy (all as they are), filtered (without as many as were "
            "flipped, those of the lowest score) or relabelled (the same ones flipped)",
        ),
        "auroc": number("AUROC of the score for telling right labels from flipped ones"),
        "n_train": Array("int32", "training points"),
        "label_accuracy": number("share of the labels trained on that are the true ones"),
        "gap": number("bound on the relative optimality gap of the probe"),
        "reason": Array("str", "why the run has no predictions, if it has none"),
    },
    JOB,
    ids=False,
)
LABEL_NOISE_PREDICTIONS = Kind(
    "label_noise_predictions",
    "Test predictions of these trainings.",
    {
        "id": ID,
        "label": Array("int8", "true label, 0 or 1"),
        "group": Array("int64", "group of the test point; unique where there are no groups"),
        "run": Array("int32", "number of the run", ("runs",)),
        "proba": Array("float32", "P(label = 1); NaN where the run failed", ("runs", "n"), True),
    },
    JOB,
    suffix=".safetensors",
)
T_BOUND = "bound of the confidence interval (Student's t over seeds), NaN below 3 seeds"
LABEL_NOISE_TABLE = Kind(
    "label_noise_table",
    "How well planted label noise is found, and what filtering and relabelling by it are worth.",
    {
        **ROW,
        **NOISE,
        "method": METHOD,
        "auroc": number("AUROC of telling right labels from flipped ones, mean over seeds"),
        "auroc_lo": number(f"lower {T_BOUND}"),
        "auroc_hi": number(f"upper {T_BOUND}"),
        "ceiling": number("test accuracy on all true labels, mean over seeds"),
        "noisy": number("test accuracy on all noisy labels, mean over seeds"),
        **{
            name: spec
            for use in USES
            for name, spec in {
                **with_interval(f"{use}_minus_noisy", f"test accuracy on {use} labels - noisy"),
                f"{use}_p": number("two-sided p value of that difference: normal, with the "
                                   "standard error of the bootstrap"),
                f"{use}_p_holm": number("the same after Holm's correction for all p of this table"),
            }.items()
        },
        "n_seeds": Array("int64", "seeds with an AUROC"),
        "reason": Array("str", "why seeds or values are missing, if they are"),
    },
    ids=False,
)  # fmt: skip


class LabelNoiseSettings(Strict):
    """Which noise is planted, and what scores the labels."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    layer: int = Field(-1, description="Layer of the strong activations.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The students.")
    rates: tuple[float, ...] = Field(description="Shares of labels that are flipped.")
    kinds: tuple[Literal["uniform", "confidence"], ...] = Field(description="Which ones.")
    repeats: int = Field(1, description="Draws of each noise.", ge=1)
    neighbors: int = Field(20, description="Neighbours, of knn and graph.", ge=1)


class LabelNoiseTablesSettings(TablesSettings):
    """Intervals of the table of label noise."""


def _planted(config: Any, job: Mapping[str, str]) -> list[Any]:
    return [*layer_of(config, job, "strong"), config.label_noise]


def _drawn(config: Any, job: Mapping[str, str]) -> list[Any]:
    shown = titles(config, datasets_of(config, "label_noise"))
    return [{"title": title_of_pair(config, job), "titles": shown}]


STAGES: dict[str, Stage] = {
    "label_noise": Stage(
        summary="flip true labels, score them, and train on filtered and relabelled ones",
        per="dataset, pair, seed",
        function="w2s.label_noise.label_noise:label_noise",
        settings=LabelNoiseSettings,
        inputs={"examples": EXAMPLES, "weak_labels": WEAK_LABELS, "activations": ACTIVATIONS},
        outputs={"runs": LABEL_NOISE_RUNS, "predictions": LABEL_NOISE_PREDICTIONS},
        adds=_planted,
    ),
    "label_noise_tables": Stage(
        summary="average finding, filtering and relabelling of label noise over seeds",
        per="experiment",
        function="w2s.label_noise.tables:label_noise_tables",
        settings=LabelNoiseTablesSettings,
        inputs={"runs": Many(LABEL_NOISE_RUNS), "predictions": Many(LABEL_NOISE_PREDICTIONS)},
        outputs={"label_noise": ForPeople(LABEL_NOISE_TABLE)},
    ),
    "label_noise_figures": Stage(
        summary="draw how well label noise is found and what is won, against its rate",
        per="pair",
        function="w2s.label_noise.figures:label_noise_figures",
        settings=FiguresSettings,
        inputs={"table": LABEL_NOISE_TABLE},
        outputs={"label_noise": Plain.FIGURE},
        adds=_drawn,
    ),
}

FILES = {  # below `results`, by rule
    "label_noise": (
        f"{PAIR}/label_noise_runs.parquet",
        f"{PAIR}/label_noise_predictions.safetensors",
    ),
    "label_noise_tables": table_files("label_noise"),
    "label_noise_figures": figure_files("{weak}--{strong}", "label_noise"),
}


def jobs(config: Any) -> Jobs:
    """All pairs on the datasets of the section."""
    chosen = config.label_noise
    for pair in config.pairs if chosen else ():
        names = {"weak": pair.weak, "strong": pair.strong}
        yield from each(
            "label_noise", dataset=datasets_of(config, "label_noise"), seed=config.seeds, **names
        )
        yield from each("label_noise_figures", **names)
    yield from each("label_noise_tables") if chosen and config.pairs else ()
