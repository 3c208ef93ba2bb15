"""Selection arms: which weak labels a student learns from; settings, files and stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from w2s.data.sources import known_sha256
from w2s.data.track import EXAMPLES, SPLIT
from w2s.declare import (
    ID,
    JOB,
    PAIR,
    ROW,
    Array,
    ForPeople,
    InputPath,
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
from w2s.models.track import ACTIVATIONS, TOKENS
from w2s.overlap.track import (
    REGIONS,
    WEAK_LABELS,
    FiguresSettings,
    ProbeConfig,
    TablesSettings,
    layers_of,
    title_of_pair,
    titles,
)
from w2s.results.track import BANDS as KEPT
from w2s.results.track import SCORES, datasets_of


@dataclass(frozen=True)
class Selector(Shown):
    """A way to score the points of a pool: a higher score is kept first.

    Attributes:
        label: In figures.
        source: Paper or repository that its formula is from.
        sees: What of a pool it reads.
        oracle: Whether it reads true labels, which nobody has who needs weak ones.
        judges: Whether a low score says that the label is wrong, so that it may be flipped.
    """

    label: str = ""
    source: str = ""
    sees: str = ""
    oracle: bool = False
    judges: bool = False


RADS, OVERLAP = "SprocketLab/rads-w2s-generalization", "yuxinjinito/w2s-overlap"
BLUE, RED, GREEN, PINK, ORANGE, SKY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
)  # fmt: skip
SELECTORS = {
    "overlap": Selector(
        PINK, "closeness to the hard points; hard points themselves last", "-",
        label="overlap", source="arXiv:2412.03881; " + RADS, sees="regions",
    ),
    "confidence": Selector(
        ORANGE, "the weak model's confidence: how far its probability is from 1/2", "-",
        label="confidence", source="", sees="weak labels",
    ),
    "entropy": Selector(
        ORANGE, "minus the entropy of the weak label; with two classes the order of confidence",
        ":", label="entropy", source="", sees="weak labels",
    ),
    "token_length": Selector(
        "#999999", "number of tokens", "-", label="token length", source=RADS, sees="texts",
    ),
    "rp": Selector(
        BLUE, "what a strong kernel ridge sees of what a weak one leaves of the weak label", "-",
        label="rp (RADS-Lin)", source="arXiv:2502.00620; " + RADS, sees="weak labels, vectors",
    ),
    "linstep1": Selector(
        BLUE, "the same with the weak ridge's predictions out of fold", "--",
        label="linstep1", source=RADS, sees="weak labels, vectors",
    ),
    "mlpstep1": Selector(
        BLUE, "the same with three perceptrons in the place of the weak ridge", ":",
        label="mlpstep1 (RADS)", source=RADS, sees="weak labels, vectors",
    ),
    "mlpstep2": Selector(
        BLUE, "rp with three perceptrons in the place of the strong ridge", "-.",
        label="mlpstep2", source=RADS, sees="weak labels, vectors",
    ),
    "l2_residual": Selector(
        SKY, "what a ridge map from weak to strong vectors leaves of the strong one", "-",
        label="l2 residual", source=OVERLAP, sees="vectors",
    ),
    "excess_loss": Selector(
        RED, "how much more a weak probe believes the weak label than a strong one", "-",
        label="excess loss", source=RADS, sees="weak labels, vectors",
    ),
    "knn_agreement": Selector(
        GREEN, "share of the 20 nearest strong vectors with the same weak label", "-",
        label="knn agreement", source=OVERLAP, sees="weak labels, strong vectors",
        judges=True,
    ),
    "knn_mixed": Selector(
        GREEN, "how near that share is to a half, neighbours of other folds only", "--",
        label="knn mixed", source=OVERLAP, sees="weak labels, strong vectors",
    ),
    "committee_agree": Selector(
        SKY, "agreement of eight weak probes on bootstraps of weak_train", "--",
        label="committee agrees", source=RADS, sees="weak_train, weak vectors",
    ),
    "committee_disagree": Selector(
        SKY, "their disagreement", ":",
        label="committee disagrees", source=RADS, sees="weak_train, weak vectors",
    ),
    "cca": Selector(
        RED, "distance of weak and strong vectors in their common directions, out of fold", "--",
        label="CCA", source=RADS, sees="vectors",
    ),
    "cca_robust": Selector(
        RED, "the same, fitted again without the tenth that fits worst", ":",
        label="CCA, robust", source=RADS, sees="vectors",
    ),
    "trust": Selector(
        GREEN, "a probe on weak vectors of \"the weak label is right\", learnt on weak_train", ":",
        label="trust head", source="arXiv:2606.01000", sees="weak_train, weak vectors", judges=True,
    ),
    "cleanlab": Selector(
        PINK, "confident learning: margin of the weak label, out of fold", "--",
        label="confident learning", source="arXiv:1911.00068", sees="weak labels, strong vectors",
        judges=True,
    ),
    "self_confidence": Selector(
        PINK, "what a strong probe, out of fold, gives the weak label", ":",
        label="self-confidence", source="arXiv:1911.00068", sees="weak labels, strong vectors",
        judges=True,
    ),
    "topological": Selector(
        GREEN, "whether a point is in the main component of its weak label's neighbours", "-.",
        label="topological filter", source="arXiv:2012.04835", sees="weak labels, strong vectors",
        judges=True,
    ),
    "self_entropy": Selector(
        PINK, "certainty of a strong probe refitted on its most certain half", "-.",
        label="self-entropy", source="arXiv:2509.24005", sees="weak labels, strong vectors",
    ),
    "graph_agreement": Selector(
        ORANGE, "agreement with weak labels smoothed over the strong neighbours' graph", "--",
        label="graph agreement", source="arXiv:2511.14166", sees="weak labels, strong vectors",
        judges=True,
    ),
    "weak_right": Selector(
        "#000000", "whether the weak label is right", "--", label="weak label right (oracle)",
        source=RADS, sees="true labels", oracle=True, judges=True,
    ),
}  # fmt: skip
DRAWN = "random"  # the selector that is none
FLIPPED = "relabel"  # the band that keeps all points, and flips labels
BANDS = {
    **KEPT,
    FLIPPED: "all points, the labels of those with lower scores flipped (of some selectors)",
}
STUDENTS = {
    "logistic": "logistic regression, as `probe` has it",
    "knn": "mean label of the nearest neighbours",
    "perceptron": "three hidden layers of 32, hard labels",
}
MATCHED = {  # controls of an arm: random points, or a student, that share something with it
    "random": "as many of each weak label",
    "purity_matched": "as many of each weak label, right and wrong",
    "length_matched": "as many of each weak label and tenth of token length",
    "weak_vectors": "the arm's own points, a student on the weak model's vectors",
}
WHOLE = {  # trainings on the whole pool
    "floor": "the weak model",
    "w2s": "weak labels",
    "ceiling": "true labels",
    "shuffled": "weak labels shuffled within the pool",
    "random_labels": "random labels, as many positive as weak ones",
    "constant": "the more frequent weak label for all: no student, its own prediction",
    "relabel": "weak labels, so many wrong ones of which are put right (oracle)",
    "iid": "true labels, so many of which are flipped at random (oracle)",
}
if TYPE_CHECKING:
    SelectorName = str
    Band = str
    Student = str
else:
    SelectorName, Band = Literal[*SELECTORS], Literal[*BANDS]
    Student = Literal[*STUDENTS]


class ArmsConfig(Strict):
    """Selection arms: students of a part of the pool that a selector chose."""

    datasets: tuple[str, ...] = Field((), description="On which datasets; all if empty.")
    selectors: tuple[SelectorName, ...] = Field(
        tuple(SELECTORS), description="What scores the points (see docs/arms.md)."
    )
    selectors_file: InputPath | None = Field(
        None, description="Python file with SELECTORS, functions of your own by name."
    )
    scores: dict[Name, InputPath] = Field(
        {}, description="Scores of your own by name: files (.parquet, .npz) with id and score."
    )
    bands: Annotated[tuple[Band, ...], Field(min_length=1)] = Field(
        tuple(BANDS), description="Which scores are kept."
    )
    budgets: Annotated[tuple[Annotated[Share, Field(gt=0)], ...], Field(min_length=1)] = Field(
        (0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0), description="Shares of the pool that are kept."
    )
    balanced: bool = Field(True, description="As many positive as negative weak labels.")
    students: Annotated[tuple[Student, ...], Field(min_length=1)] = Field(
        ("logistic",), description="What learns from the points that are kept."
    )
    random: Annotated[int, Field(ge=2)] = Field(10, description="Random arms of each kind.")
    matched: Annotated[int, Field(ge=1)] = Field(3, description="Draws of each matched control.")
    purities: tuple[Share, ...] = Field(
        (0.6, 0.7, 0.8, 0.9, 1.0), description="Label accuracies of the oracles on the whole pool."
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        if not (self.selectors or self.selectors_file or self.scores):
            raise ValueError("selectors: found none, expected some, or selectors_file or scores")
        taken = {*SELECTORS, DRAWN} & set(self.scores)
        if taken:
            raise ValueError(f"scores: found {min(taken)}, expected a name that is not taken")
        return unique(self, "datasets", "selectors", "bands", "budgets", "students", "purities")


KEYS = {
    "student": Array("str", "what was trained: " + ", ".join(STUDENTS)),
    "selector": Array("str", f"what scored the points; {DRAWN} for no scores; empty: whole pool"),
    "band": Array(
        "str", "scores kept: high, middle or low; relabel: all, other labels flipped; or empty"
    ),
    "budget": Array("float64", "share of the pool that was asked for"),
}
CLASS_BALANCE = "share of positive weak labels among the points"
LABEL_ACCURACY = "share of the labels trained on that are right"
ARM_RUNS = Kind(
    "arm_runs",
    "Every arm, its controls, and trainings on the whole pool; repeats are averaged.",
    {
        **KEYS,
        "control": Array(
            "str", "arm, a control of it (" + ", ".join(MATCHED) + "), or of the whole pool: "
            + ", ".join(WHOLE)
        ),
        "purity": Array("float64", "label accuracy asked for, of relabel and iid", nan=True),
        "repeats": Array("int32", "trainings that are averaged"),
        "n": Array("float64", "training points, mean over repeats", nan=True),
        "label_accuracy": Array("float64", LABEL_ACCURACY, nan=True),
        "class_balance": Array("float64", CLASS_BALANCE, nan=True),
        "reason": Array("str", "why there are no predictions, if there are none"),
    },
    JOB,
    ids=False,
)  # fmt: skip
ARM_CORRECT = Kind(
    "arm_correct",
    "Which test points each row of arm_runs gets right.",
    {
        "id": ID,
        "group": Array("int64", "group of the test point; unique where there are no groups"),
        "correct": Array("float32", "share of repeats that are right", ("rows", "n"), True),
    },
    JOB,
    suffix=".safetensors",
)
P = "two-sided p value of {}: normal, with the standard error of the bootstrap"
P_HOLM = "the same after Holm's correction for the number of these p in the table"
ARMS_TABLE = Kind(
    "arms_table",
    "What a student learns from the points that each selector keeps, beside random points.",
    {
        **ROW,
        **KEYS,
        "n": number("training points, mean over seeds"),
        **with_interval("accuracy", "test accuracy, mean over seeds"),
        **with_interval("minus_random", "paired difference to random points, as many of a class"),
        **with_interval(
            "minus_purity_matched", "the same to random points of the same label accuracy too"
        ),
        **with_interval("minus_length_matched", "to random points of the same token lengths"),
        **with_interval("weak_vectors", "accuracy of a student on the weak model's vectors"),
        "label_accuracy": number(LABEL_ACCURACY),
        "class_balance": number(CLASS_BALANCE),
        "n_seeds": Array("int64", "seeds with a value"),
        "p_random": number(P.format("minus_random")),
        "p_random_holm": number(P_HOLM),
        "p": number(P.format("minus_purity_matched")),
        "p_holm": number(P_HOLM),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
NEGATIVE_TABLE = Kind(
    "negative_controls_table",
    "Students of the whole pool: on weak and true labels, and on labels that teach nothing.",
    {
        **ROW,
        "student": KEYS["student"],
        "labels": Array("str", ", ".join(WHOLE)),
        "purity": Array("float64", "label accuracy asked for, of relabel and iid", nan=True),
        **with_interval("accuracy", "test accuracy, mean over seeds"),
        **with_interval("pgr", "(accuracy - floor) / (ceiling - floor) of the means"),
        "label_accuracy": number(LABEL_ACCURACY),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)


class ArmsSettings(Strict):
    """Which arms there are, and how students are trained."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    weak_layer: int = Field(-1, description="Layer of the weak activations.")
    strong_layer: int = Field(-1, description="Layer of the strong activations.")
    probe: ProbeConfig = Field(ProbeConfig(), description="Probes of students.")
    arms: ArmsConfig = Field(ArmsConfig(), description="Selectors, bands, budgets, students.")
    own_sha256: tuple[str, ...] = Field((), description="Hashes of the user's own files.")


def _armed(config: Any, job: Mapping[str, str]) -> list[Any]:
    """Files of the user's own are told by their hashes: an edit of one is a change."""
    chosen = config.arms
    own = [path for path in (chosen.selectors_file, *chosen.scores.values()) if path]
    hashes = [known_sha256(Path(path)) if Path(path).is_file() else "" for path in own]
    arms = chosen.model_copy(update={"datasets": ()})
    return [{"own_sha256": hashes, "arms": arms}, layers_of(config, job)]


def _drawn(config: Any, job: Mapping[str, str]) -> list[Any]:
    shown = titles(config, datasets_of(config, "arms"))
    return [{"title": title_of_pair(config, job), "titles": shown}]


STAGES: dict[str, Stage] = {
    "arms": Stage(
        summary="score the pool by every selector, and train students on what each one keeps",
        per="dataset, pair, seed",
        function="w2s.arms.stages:arms",
        settings=ArmsSettings,
        inputs={
            "examples": EXAMPLES,
            "split": SPLIT,
            "tokens": TOKENS,
            "weak_labels": WEAK_LABELS,
            "regions": REGIONS,
            "weak_activations": ACTIVATIONS,
            "strong_activations": ACTIVATIONS,
        },
        outputs={"scores": SCORES, "runs": ARM_RUNS, "correct": ARM_CORRECT},
        adds=_armed,
    ),
    "arms_tables": Stage(
        summary="compare every arm with random points of its size, balance and label accuracy",
        per="experiment",
        function="w2s.arms.tables:arms_tables",
        settings=TablesSettings,
        inputs={"runs": Many(ARM_RUNS), "correct": Many(ARM_CORRECT)},
        outputs={"arms": ForPeople(ARMS_TABLE), "negative_controls": ForPeople(NEGATIVE_TABLE)},
    ),
    "arms_figures": Stage(
        summary="draw accuracy against budget, and each arm's difference to its matched control",
        per="pair",
        function="w2s.arms.figures:arms_figures",
        settings=FiguresSettings,
        inputs={"arms": ARMS_TABLE},
        outputs={"budgets": Plain.FIGURE, "forest": Plain.FIGURE},
        adds=_drawn,
    ),
}

FILES = {  # below `results`, by rule
    "arms": tuple(
        f"{PAIR}/arms/{name}" for name in ("scores.parquet", "runs.parquet", "correct.safetensors")
    ),
    "arms_tables": table_files("arms", "negative_controls"),
    "arms_figures": figure_files("{weak}--{strong}", "arms_budgets", "arms_forest"),
}


def jobs(config: Any) -> Jobs:
    """All pairs on the datasets that are asked for."""
    for pair in config.pairs if config.arms else ():
        names = {"weak": pair.weak, "strong": pair.strong}
        yield from each("arms", dataset=datasets_of(config, "arms"), seed=config.seeds, **names)
        yield from each("arms_figures", **names)
    yield from each("arms_tables") if config.arms and config.pairs else ()
