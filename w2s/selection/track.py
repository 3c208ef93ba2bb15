"""Source selection: its settings, files and stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.data.track import EXAMPLES, SPLIT
from w2s.declare import (
    ID,
    STATUS,
    Array,
    ForPeople,
    Jobs,
    Kind,
    Many,
    Name,
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
from w2s.overlap.track import (
    WEAK_LABELS,
    FiguresSettings,
    OverlapConfig,
    ProbeConfig,
    TablesSettings,
    WeakLabelsSettings,
    layer_of,
    title_of_pair,
)

BASELINE = "random"  # what every policy is compared with
POLICIES = {  # what chooses the next source; colors are Okabe and Ito's
    "ucb": Shown("#0072B2", "mean density + sqrt(2 ln T / n)", band=True),
    "thompson": Shown("#009E73", "a draw from the posterior of each density"),
    "epsilon_greedy": Shown("#E69F00", "the densest so far, now and then any source"),
    "random": Shown("#000000", "any source", band=True),
    "oracle": Shown("#D55E00", "the true density"),
    # often the same as oracle: both lines show
    "label_oracle": Shown("#CC79A7", "the true density of rightly labelled overlap points", "--"),
    "original": Shown("#56B4E9", "mean density + sqrt(2 ln T) / n, as the published code has it"),
}
SETS = ("all", "overlap")  # what a probe is trained on: all points, or these
if TYPE_CHECKING:
    Policy = str
else:
    Policy = Literal[*POLICIES]


class Partition(Strict):
    """Sources cut from one dataset, which differ in their share of its overlap points."""

    sources: Literal["partition"] = Field(description="This kind of sources.")
    title: str = Field("", description="Name in figures; the key if empty.")
    dataset: str = Field(description="The dataset; its strong_train is cut.")
    overlap_shares: Annotated[tuple[Share, ...], Field(min_length=1)] = Field(
        (0.1, 0.9), description="Share of the overlap points in each source, adding up to 1."
    )
    counts: Literal["even", "rebalanced"] = Field(
        "even",
        description="even: easy and hard points are spread evenly; rebalanced: all sources have "
        "the same size.",
    )

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if abs(sum(self.overlap_shares) - 1) > 1e-6:
            raise ValueError(
                f"overlap_shares: found {list(self.overlap_shares)}, expected shares that add up "
                f"to 1"
            )
        return self

    @property
    def datasets(self) -> tuple[str, ...]:
        """The datasets that the points come from."""
        return (self.dataset,)


class Corpora(Strict):
    """Each dataset is a source; the weak model learns from the targets."""

    sources: Literal["corpora"] = Field(description="This kind of sources.")
    title: str = Field("", description="Name in figures; the key if empty.")
    datasets: Annotated[tuple[str, ...], Field(min_length=2)] = Field(
        description="The sources: strong_train of each of these datasets."
    )
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="Datasets whose weak_train the weak model learns from, and whose test parts "
        "together are the test set; each must be one of the sources."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        unique(self, "datasets", "targets")
        for name in self.targets:
            if name not in self.datasets:
                raise ValueError(
                    f"targets: found '{name}', expected some of {', '.join(self.datasets)}"
                )
        return self


Experiment = Annotated[Partition | Corpora, Field(discriminator="sources")]


class PathsConfig(Strict):
    """How sources are selected from (Shin et al., 2025, Algorithm 1)."""

    policies: Annotated[tuple[Policy, ...], Field(min_length=1)] = Field(
        get_args(Policy), description="What chooses the next source (see docs/method.md)."
    )
    rounds: Annotated[int, Field(ge=1)] = Field(50, description="Rounds T, one pull each.")
    batch: Annotated[int, Field(ge=1)] = Field(16, description="Points of a pull.")
    repeats: Annotated[int, Field(ge=1)] = Field(
        2, description="Paths of each policy and seed, each with other draws."
    )
    epsilon: Share = Field(0.1, description="Share of random pulls of epsilon_greedy.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        return unique(self, "policies")


class SelectionConfig(Strict):
    """Source selection: which source to ask for data."""

    paths: PathsConfig = Field(PathsConfig(), description="Policies, rounds and batches.")
    experiments: dict[Name, Experiment] = Field(
        {}, description="The experiments, by name; none if empty."
    )


JOB = {
    "experiment": "name of the experiment",
    "weak": "weak model",
    "strong": "strong model",
    "seed": "seed of halves, sources and paths",
}
SOURCES = {
    "source_names": "names of the sources, in the order of the configuration",
    "sources": "of each source by name: points, density (overlap points / all points), "
    "right_density (those with a right weak label / all points), label_accuracy",
}
PULLED = "pulls of the source with the highest density / all pulls"
NO_INTERVAL = "why seeds, rounds or intervals are missing, if some are"


def over_seeds(name: str, doc: str) -> dict[str, Array]:
    """A column of numbers that exist once a seed, and the two bounds of their interval.

    The bounds may lie beyond the values that are possible.
    """
    bound = "bound of the confidence interval (Student's t over seeds), NaN below 3 seeds"
    return {
        name: number(doc),
        f"{name}_lo": number(f"lower {bound}"),
        f"{name}_hi": number(f"upper {bound}"),
    }


SELECTION_POINTS = Kind(
    "selection_points",
    "Every point of every source, and the round in which each policy drew it.",
    {
        "id": ID,
        "source": Array("str", "the source that holds the point"),
        "label": Array("int8", "true label, 0 or 1"),
        "weak_proba": Array("float32", "P(label = 1) given by the weak model"),
        "region": Array("str", "easy, hard or overlap, by the detector of the reference pool"),
        "drawn_*": Array("int32", "drawn_POLICY_REPEAT: round of the draw from 1 on, 0 for never"),
    },
    {
        **JOB,
        **SOURCES,
        "n_reference": "points of the reference pool, which no source holds",
        "tau_hard": "confidence threshold of the detector",
        "tau_overlap": "score threshold of the detector",
        **STATUS,
    },
)
SELECTION_PATHS = Kind(
    "selection_paths",
    "Every round of every policy: what was pulled, and what came of it.",
    {
        "policy": Array("str", "the policy"),
        "repeat": Array("int32", "number of the path"),
        "round": Array("int32", "number of the round, from 1 on"),
        "source": Array("str", "the source that was pulled"),
        "density": Array("float64", "share of overlap points in the batch: the reward"),
        "regret": Array(
            "float64", "cumulative regret: what the densest source would have had more"
        ),
        "n_all": Array("int32", "points collected so far"),
        "n_overlap": Array("int32", "overlap points among them"),
        "gap_all": Array("float64", "bound on the probe's relative optimality gap", nan=True),
        "gap_overlap": Array("float64", "the same for the overlap points only", nan=True),
        "reason_all": Array("str", "why the probe has no solution, if it has none"),
        "reason_overlap": Array("str", "the same for the overlap points only"),
    },
    {
        **JOB,
        **SOURCES,
        "policies": "names of the policies",
        "rounds": "rounds asked for",
        "ended": "why there are fewer rounds than asked for, if so",
        **STATUS,
    },
    ids=False,
)
SELECTION_PREDICTIONS = Kind(
    "selection_predictions",
    "Test predictions of the strong probe after every round of every policy.",
    {
        "id": ID,
        "label": Array("int8", "true label, 0 or 1"),
        "group": Array("int64", "group of the test point; unique where there are no groups"),
        "row": Array("int32", "row of selection_paths", ("rows",)),
        "all": Array(
            "float32", "P(label = 1), trained on all points so far", ("rows", "n"), True
        ),
        "overlap": Array(
            "float32", "the same, on the overlap points only; 1/2 before the first", ("rows", "n"),
            True,
        ),
    },
    JOB,
    suffix=".safetensors",
)  # fmt: skip
ROW = {
    "experiment": Array("str", "name of the experiment"),
    "weak": Array("str", "name of the weak model"),
    "strong": Array("str", "name of the strong model"),
}
SELECTION_TABLE = Kind(
    "selection_table",
    "What each policy reaches, and how much more than random pulls.",
    {
        **ROW,
        "policy": Array("str", "the policy"),
        "measure": Array(
            "str",
            "accuracy_* after the last round and auc_* (mean over the rounds), each trained on all "
            "points or on the overlap points; regret (cumulative); best_share ("
            + PULLED
            + "). The "
            "last two exist once a seed: their intervals and p are Student's t over seeds, NaN "
            "below 3 seeds",
        ),
        **with_interval("value", "mean over seeds"),
        **with_interval("minus_random", "paired difference to the policy random"),
        "p": number(
            "two-sided p value of that difference: normal, with the standard error of the "
            "bootstrap, or Student's t; NaN for random itself"
        ),
        "p_holm": number("the same after Holm's correction for the number of p in this table"),
        "n_rounds": number("rounds, mean over seeds"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", NO_INTERVAL),
    },
    ids=False,
)
SELECTION_ROUNDS_TABLE = Kind(
    "selection_rounds_table",
    "The curves: every round of every policy, mean over seeds.",
    {
        **ROW,
        "policy": Array("str", "the policy"),
        "round": Array("int64", "number of the round"),
        **with_interval("accuracy_all", "test accuracy, trained on all points so far"),
        **with_interval("accuracy_overlap", "test accuracy, trained on the overlap points so far"),
        **over_seeds("regret", "cumulative regret"),
        **over_seeds("best_share", PULLED + " so far"),
        "density": number("overlap density of the round's batch"),
        "n_all": number("points collected so far"),
        "n_overlap": number("overlap points among them"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why intervals over seeds are missing, if they are"),
    },
    ids=False,
)
SELECTION_SOURCES_TABLE = Kind(
    "selection_sources_table",
    "The sources, and which share of its pulls each policy gave them.",
    {
        **ROW,
        "source": Array("str", "the source"),
        "n_points": number("points of the source"),
        "density": number("overlap points / all points, by the detector"),
        "right_density": number("overlap points with a right weak label / all points"),
        "label_accuracy": number("accuracy of the weak labels of all points"),
        "policy": Array("str", "the policy"),
        **over_seeds("pulls", "share of the policy's pulls, mean over seeds"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why intervals over seeds are missing, if they are"),
    },
    ids=False,
)


class CorporaLabelsSettings(WeakLabelsSettings):
    """How one weak probe is fitted for several datasets."""

    experiment: str = Field(description="Name of the experiment.")
    targets: tuple[str, ...] = Field(description="Datasets whose weak_train it is fitted on.")


class SelectSettings(Strict):
    """Which sources there are, and how they are selected from."""

    experiment: str = Field(description="Name of the experiment; also names its random streams.")
    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    layer: int = Field(-1, description="Layer of the strong activations.")
    probe: ProbeConfig = Field(ProbeConfig(), description="The probes.")
    overlap: OverlapConfig = Field(OverlapConfig(), description="The detector.")
    sources: Experiment = Field(description="The sources.")
    paths: PathsConfig = Field(PathsConfig(), description="Policies, rounds and batches.")


class SelectionTablesSettings(TablesSettings):
    """Intervals of the tables of source selection."""


def experiment_titles(config: Any) -> list[list[str]]:
    """Name and title of each selection experiment; the name where it has none."""
    return [[name, item.title or name] for name, item in config.selection.experiments.items()]


def experiment_labels(config: Any, *, experiment: str, weak: str, strong: str, seed: str) -> str:
    """The weak labels that a selection experiment reads: its dataset's, or its own."""
    chosen = config.selection.experiments[experiment]
    own = chosen.sources == "corpora"
    folder = f"selection/{experiment}" if own else chosen.dataset
    return f"{config.results}/{folder}/{weak}--{strong}/seed{seed}/weak_labels.parquet"


def _targets(config: Any, job: Mapping[str, str]) -> list[Any]:
    chosen = config.selection.experiments[job["experiment"]]
    return [{"targets": getattr(chosen, "targets", ())}, *layer_of(config, job, "weak")]


def _selected(config: Any, job: Mapping[str, str]) -> list[Any]:
    chosen = config.selection.experiments[job["experiment"]]
    sources = {"sources": chosen.model_dump(mode="json", exclude={"title"})}
    return [sources, *layer_of(config, job, "strong"), config.selection]


def _drawn(config: Any, job: Mapping[str, str]) -> list[Any]:
    return [{"title": title_of_pair(config, job), "titles": experiment_titles(config)}]


STAGES: dict[str, Stage] = {
    "corpora_labels": Stage(
        summary="fit one weak model for several datasets and label their points with it",
        per="selection experiment on corpora, pair, seed",
        function="w2s.selection.sources:corpora_labels",
        settings=CorporaLabelsSettings,
        inputs={"examples": Many(EXAMPLES), "split": Many(SPLIT), "activations": Many(ACTIVATIONS)},
        outputs={"weak_labels": WEAK_LABELS},
        adds=_targets,
    ),
    "select": Stage(
        summary="select sources by every policy, and train the strong probe after every round",
        per="selection experiment, pair, seed",
        function="w2s.selection.select:select",
        settings=SelectSettings,
        inputs={
            "weak_labels": WEAK_LABELS,
            "activations": Many(ACTIVATIONS),
            "examples": Many(EXAMPLES),
        },
        outputs={
            "points": SELECTION_POINTS,
            "paths": SELECTION_PATHS,
            "predictions": SELECTION_PREDICTIONS,
        },
        adds=_selected,
    ),
    "selection_tables": Stage(
        summary="average the selection experiments over seeds, with intervals",
        per="experiment",
        function="w2s.selection.tables:selection_tables",
        settings=SelectionTablesSettings,
        inputs={"paths": Many(SELECTION_PATHS), "predictions": Many(SELECTION_PREDICTIONS)},
        outputs={
            "selection": ForPeople(SELECTION_TABLE),
            "rounds": ForPeople(SELECTION_ROUNDS_TABLE),
            "sources": ForPeople(SELECTION_SOURCES_TABLE),
        },
    ),
    "selection_figures": Stage(
        summary="draw accuracy, regret and pulls of the selection experiments over the rounds",
        per="pair",
        function="w2s.selection.figures:selection_figures",
        settings=FiguresSettings,
        inputs={"rounds": SELECTION_ROUNDS_TABLE, "sources": SELECTION_SOURCES_TABLE},
        outputs={"accuracy": Plain.FIGURE, "regret": Plain.FIGURE, "pulls": Plain.FIGURE},
        adds=_drawn,
    ),
}

PLACE = "selection/{experiment}/{weak}--{strong}/seed{seed}"
FILES = {  # below `results`, by rule
    "corpora_labels": (f"{PLACE}/weak_labels.parquet",),
    "select": tuple(
        f"{PLACE}/{name}" for name in ("points.parquet", "paths.parquet", "predictions.safetensors")
    ),
    "selection_tables": table_files("selection", "selection_rounds", "selection_sources"),
    "selection_figures": figure_files(
        "{weak}--{strong}", "selection_accuracy", "selection_regret", "selection_pulls"
    ),
}


def jobs(config: Any) -> Jobs:
    """All experiments with all pairs."""
    experiments = config.selection.experiments
    corpora = [name for name, chosen in experiments.items() if chosen.sources == "corpora"]
    for pair in config.pairs if experiments else ():
        names = {"seed": config.seeds, "weak": pair.weak, "strong": pair.strong}
        yield from each("corpora_labels", experiment=corpora, **names)
        yield from each("select", experiment=[*experiments], **names)
        yield from each("selection_figures", weak=pair.weak, strong=pair.strong)
    yield from each("selection_tables") if experiments and config.pairs else ()
