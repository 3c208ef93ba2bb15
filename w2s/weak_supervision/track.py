"""Weak supervision: its settings, files and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.data.sources import wrench_datasets
from w2s.data.track import EXAMPLES, SPLIT, holds_features
from w2s.declare import (
    BOUNDS,
    DATASET,
    ID,
    PAIR,
    UNTOLD,
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
)
from w2s.models.track import ACTIVATIONS
from w2s.overlap.track import (
    REGIONS,
    WEAK_LABELS,
    MixingConfig,
    OverlapConfig,
    PanelsSettings,
    ProbeConfig,
    TablesSettings,
    titles,
)
from w2s.results.track import (
    COMPARISONS_TABLE,
    CORRECT,
    LABELS,
    METRICS,
    PREDICTIONS,
    PROPORTION,
    RUNS,
)

LF = Literal[
    "vader", "afinn", "textblob", "harvard_iv4", "loughran_mcdonald", "negation", "intensity",
    "contrast", "movie_words", "product_words", "editorial_words", "tweet_words", "emoticons",
]  # fmt: skip
LABEL_MODELS = {  # colors are Okabe and Ito's
    "majority_vote": Shown("#E69F00", "the share of the votes that say 1"),
    "snorkel": Shown("#0072B2", "matches the rates of agreement of pairs of functions"),
    "dawid_skene": Shown("#009E73", "two coins for each function, one for each class, by EM"),
}
CURVES = {"plain": "-", "placebo": ":", "purity_matched": "--"}  # that are drawn, and their styles
STUDENTS = {
    "mlp": "a small multilayer perceptron, on hard labels, from several starting points",
    "probe": "the configured probe, on soft labels",
}
if TYPE_CHECKING:
    LabelModelName = str
    Student = str
else:
    LabelModelName = Literal[*LABEL_MODELS]
    Student = Literal[*STUDENTS]
OWN_FEATURES = "features"  # stands for a model where features come with a dataset
MIN_LFS = 3  # accuracies are identified by agreements of three LFs (Ratner et al., 2019)
NAMES = frozenset({*LABEL_MODELS, *STUDENTS, OWN_FEATURES})


class WeakSupervisionConfig(Strict):
    """Weak supervision: a label model over labeling functions (LFs) as the weak model."""

    datasets: Annotated[tuple[str, ...], Field(min_length=1)] = Field(description="Which datasets.")
    features: str | None = Field(
        None,
        description="The model whose activations the students read. Not needed for datasets that "
        "hold features (source wrench).",
    )
    layer: int | None = Field(
        None, description="Layer of the activations; the last of the model's `layers`."
    )
    lfs: Annotated[tuple[LF, ...], Field(min_length=1)] = Field(
        get_args(LF), description="LFs for datasets of texts; others bring their own."
    )
    lexicons: Literal["packaged", "mended"] = Field(
        "packaged",
        description="How lexicons read texts. `mended`: contractions written out for AFINN and "
        'TextBlob, which find "isn\'t good" positive; compounds in parts; all words of the '
        "Harvard IV-4 dictionary, whose package drops good, best and love.",
    )
    label_models: Annotated[tuple[LabelModelName, ...], Field(min_length=1)] = Field(
        get_args(LabelModelName), description="Which label models."
    )
    students: Annotated[tuple[Student, ...], Field(min_length=1)] = Field(
        get_args(Student),
        description="Strong models: a small multilayer perceptron, the configured probe.",
    )

    restarts: Annotated[int, Field(ge=1)] = Field(
        5,
        description="Starting points of each perceptron: its results are means over them, as "
        "training amplifies rounding.",
    )
    proportions: tuple[Share, ...] | None = Field(
        None,
        description="Shares of overlap points in the mixes of perceptrons; those of `mixing` if "
        "not given.",
        min_length=1,
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        needy = [name for name in self.label_models if name != "majority_vote"]
        if needy and len(self.lfs) < MIN_LFS:
            raise ValueError(
                f"lfs: found {len(self.lfs)}, expected {MIN_LFS} or more for {needy[0]}"
            )
        named = ("proportions",) if self.proportions else ()
        return unique(self, "datasets", "lfs", "label_models", "students", *named)


LABEL_MATRIX = Kind(
    "label_matrix",
    "What every labeling function (LF) says about every example.",
    {"id": ID, "votes": Array("int8", "-1 (abstains), 0 or 1", ("n", "m"))},
    {
        **DATASET,
        "lfs": "names of the m labeling functions",
        "cut": "texts longer than 1,000 words, of which VADER reads the first 1,000",
    },
    suffix=".safetensors",
)
LF_TABLE = Kind(
    "lf_table",
    "What each labeling function does on the examples of a dataset.",
    {
        "dataset": Array("str", "name of the dataset"),
        "lf": Array("str", "name of the labeling function"),
        "coverage": number("share of the examples it votes on"),
        "lf_overlaps": number("share on which it and another one vote (not overlap points)"),
        "conflicts": number("share on which it and another one vote differently"),
        "accuracy": number("right votes / its votes; NaN if it never votes"),
        "reason": Array("str", "why the accuracy is NaN"),
    },
    ids=False,
)
WEAK_SUPERVISION_TABLE = Kind(
    "weak_supervision_table",
    "Label models, students on their labels, mixes and baselines: test accuracy, mean over seeds.",
    {
        "dataset": Array("str", "name of the dataset"),
        "label_model": Array("str", "majority_vote, snorkel or dawid_skene"),
        "strong": Array("str", "the student: mlp or probe"),
        "control": Array(
            "str",
            "label_model (itself), w2s (all its labels), ceiling (all true labels), or a curve of "
            "the mixing experiment; random and true_labels have the size of its mixes",
        ),
        "proportion": number(PROPORTION + "; NaN where there is no mix"),
        "accuracy": number("test accuracy, mean over seeds and repeats"),
        **BOUNDS,
        "restart_sd": number("standard deviation of the accuracy over the restarts of a seed, mean "
                             "over seeds; NaN without restarts"),
        **LABELS,
        "n_seeds": Array("int64", "seeds with a value"),
        "n_train": number("training points, mean over seeds"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)  # fmt: skip
PUBLISHED_TABLE = Kind(
    "published_table",
    "Our numbers beside the published ones, for datasets that have some.",
    {
        "dataset": Array("str", "name of the dataset"),
        "label_model": Array("str", "our label model"),
        "strong": Array("str", "our student"),
        "quantity": Array(
            "str",
            "label_model (accuracy of its labels on strong_train), pseudo (w2s), true (ceiling), "
            "or mix_P: a plain mix with share P of overlap points",
        ),
        "published": number("mean of 25 seeds"),
        "ours": number("mean over seeds"),
        **BOUNDS,
        "n_seeds": Array("int64", "our seeds with a value"),
    },
    ids=False,
)


class LabelMatrixSettings(Strict):
    """Which labeling functions read the texts."""

    lfs: tuple[LF, ...] = Field(description="Names of the labeling functions.", min_length=1)
    lexicons: Literal["packaged", "mended"] = Field(
        "packaged", description="How lexicons read texts."
    )


class LabelModelSettings(Strict):
    """Which label model is fitted."""

    label_model: LabelModelName = Field(description="Name of the label model.")


class StudentSettings(Strict):
    """Which student is trained, and on what."""

    weak: LabelModelName = Field(description="Name of the label model.")
    strong: Student = Field(description="mlp or probe.")
    layer: int = Field(-1, description="Layer of the activations.")
    restarts: int = Field(5, description="Starting points of each perceptron.", ge=1)
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes of the student probe.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="The detector.")
    mixing: MixingConfig = Field(MixingConfig(), description="The mixing experiment.")


class WrenchVotesSettings(Strict):
    """Nothing to choose: the dataset brings its votes."""


class WrenchFeaturesSettings(Strict):
    """Nothing to choose: the dataset brings its features."""


def labeled_datasets(config: Any) -> tuple[str, ...]:
    """Datasets of weak supervision."""
    return config.weak_supervision.datasets if config.weak_supervision else ()


def label_models_of(config: Any) -> tuple[str, ...]:
    """Label models, which stand in for weak models in the paths of weak supervision."""
    return config.weak_supervision.label_models if config.weak_supervision else ()


def students_of(config: Any) -> tuple[str, ...]:
    """Students, which stand in for strong models there."""
    return config.weak_supervision.students if config.weak_supervision else ()


def features_of(config: Any, dataset: str) -> str:
    """What students read on a dataset: the name of a model, or `features` for its own."""
    chosen = config.weak_supervision
    own = holds_features(config.datasets[dataset])
    return OWN_FEATURES if own or not chosen or not chosen.features else chosen.features


def _taught(config: Any, job: Mapping[str, str]) -> list[Any]:
    """The layer that a student reads, and what is a perceptron's alone."""
    chosen, model = config.weak_supervision, config.models.get(features_of(config, job["dataset"]))
    layer = -1  # of features that come with a dataset
    if model:
        layer = model.layers[-1] if chosen.layer is None else chosen.layer
    told: dict[str, Any] = {"layer": layer, "restarts": UNTOLD}
    if job["strong"] == "mlp":
        told["restarts"] = chosen.restarts
        if chosen.proportions:
            mixing = config.mixing.model_dump(mode="json")
            told["mixing"] = {**mixing, "proportions": list(chosen.proportions)}
    return [told]


STAGES: dict[str, Stage] = {
    "label_matrix": Stage(
        summary="let every labeling function read every text",
        per="dataset",
        function="w2s.weak_supervision.stages:label_matrix",
        settings=LabelMatrixSettings,
        inputs={"examples": EXAMPLES},
        outputs={"label_matrix": LABEL_MATRIX},
        adds=lambda config, job: [config.weak_supervision],
    ),
    "wrench_votes": Stage(
        summary="read the votes of a dataset in WRENCH's format",
        per="dataset",
        function="w2s.weak_supervision.stages:wrench_votes",
        settings=WrenchVotesSettings,
        inputs={"examples": EXAMPLES, "source": Plain.FILE},
        outputs={"label_matrix": LABEL_MATRIX},
    ),
    "wrench_features": Stage(
        summary="read the features of a dataset in WRENCH's format",
        per="dataset",
        function="w2s.weak_supervision.stages:wrench_features",
        settings=WrenchFeaturesSettings,
        inputs={"examples": EXAMPLES, "source": Plain.FILE},
        outputs={"activations": ACTIVATIONS},
    ),
    "label_model": Stage(
        summary="fit a label model on weak_train's votes and label the other points with it",
        per="dataset, label model, seed",
        function="w2s.weak_supervision.stages:label_model",
        settings=LabelModelSettings,
        inputs={"examples": EXAMPLES, "split": SPLIT, "label_matrix": LABEL_MATRIX},
        outputs={"weak_labels": WEAK_LABELS},
        adds=lambda config, job: [{"label_model": job["weak"]}],
    ),
    "student": Stage(
        summary="train a student on a label model's labels: regions, w2s, all mixes and controls",
        per="dataset, label model, student, seed",
        function="w2s.weak_supervision.stages:student",
        settings=StudentSettings,
        inputs={"weak_labels": WEAK_LABELS, "activations": ACTIVATIONS},
        outputs={"regions": REGIONS, "runs": RUNS, "predictions": PREDICTIONS},
        adds=_taught,
    ),
    "weak_supervision_tables": Stage(
        summary="average weak supervision over seeds, beside the labeling functions",
        per="experiment",
        function="w2s.weak_supervision.tables:weak_supervision_tables",
        settings=TablesSettings,
        inputs={
            "examples": Many(EXAMPLES),
            "label_matrix": Many(LABEL_MATRIX),
            "metrics": Many(METRICS),
            "correct": Many(CORRECT),
        },
        outputs={
            "lf_analysis": ForPeople(LF_TABLE),
            "weak_supervision": ForPeople(WEAK_SUPERVISION_TABLE),
            "comparisons": ForPeople(COMPARISONS_TABLE),
            "published": ForPeople(PUBLISHED_TABLE),
        },
    ),
    "weak_supervision_figures": Stage(
        summary="draw labeling functions and mixes of weak supervision",
        per="experiment",
        function="w2s.weak_supervision.figures:weak_supervision_figures",
        settings=PanelsSettings,
        inputs={
            "lf_analysis": LF_TABLE,
            "weak_supervision": WEAK_SUPERVISION_TABLE,
            "comparisons": COMPARISONS_TABLE,
        },
        outputs={"lfs": Plain.FIGURE, "mixes": Plain.FIGURE, "contrasts": Plain.FIGURE},
        adds=lambda config, job: [{"titles": titles(config, labeled_datasets(config))}],
    ),
}

FILES = {  # below `results`, by rule
    "label_matrix": ("{dataset}/label_matrix.safetensors",),
    "wrench_votes": ("{dataset}/label_matrix.safetensors",),
    "wrench_features": (f"{{dataset}}/activations/{OWN_FEATURES}.safetensors",),
    "label_model": ("{dataset}/label_models/{weak}/seed{seed}/weak_labels.parquet",),
    "student": tuple(
        f"{PAIR}/{name}" for name in ("regions.parquet", "runs.parquet", "predictions.safetensors")
    ),
    "weak_supervision_tables": table_files(
        "lf_analysis", "weak_supervision", "weak_supervision_comparisons", "published"
    ),
    "weak_supervision_figures": figure_files("weak_supervision", "lfs", "mixes", "contrasts"),
}


def jobs(config: Any) -> Jobs:
    """All label models and students on their datasets."""
    labeled, wrench = labeled_datasets(config), wrench_datasets(config)
    own = [name for name in labeled if features_of(config, name) == OWN_FEATURES]
    yield from each("label_matrix", dataset=[name for name in labeled if name not in wrench])
    yield from each("wrench_votes", dataset=[name for name in labeled if name in wrench])
    yield from each("wrench_features", dataset=own)
    names = {"dataset": labeled, "weak": label_models_of(config), "seed": config.seeds}
    yield from each("label_model", **names)
    yield from each("student", "evaluate", strong=students_of(config), **names)
    yield from each("weak_supervision_tables", "weak_supervision_figures") if labeled else ()
