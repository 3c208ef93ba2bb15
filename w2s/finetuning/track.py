"""Fine-tuned models: their settings, files and stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from w2s.data.track import EXAMPLES, SPLIT
from w2s.declare import (
    DATASET,
    ROW,
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
from w2s.models.track import TOKENS, ReadSettings
from w2s.overlap.track import WEAK_LABELS, PanelsSettings, TablesSettings, titles
from w2s.results.track import (
    COMPARISONS_TABLE,
    CORRECT,
    LABELS,
    METRICS,
    PREDICTIONS,
    RUNS,
    SCORES,
    Band,
    datasets_of,
)

ARM = "arm "  # begins the names of trainings on a part of the pool
PLAIN = "xent"  # the loss that the others are compared with
LOSSES = {  # formulas are in w2s.finetuning.losses; colors are Okabe and Ito's
    "xent": Shown("#0072B2", "binary cross-entropy"),
    "logconf": Shown("#D55E00", "mixed with that to the model's own hardened predictions"),
    "entropy": Shown("#CC79A7", "mixed with the entropy of the model's predictions"),
    "kl": Shown("#E69F00", "less the entropy of the labels"),
    "window": Shown("#56B4E9", "only where the model is uncertain"),
}
if TYPE_CHECKING:
    LossName = str
else:
    LossName = Literal[*LOSSES]


class FinetuningRecipe(Strict):
    """How a model is fine-tuned; the same for weak and strong models."""

    method: Literal["lora", "full"] = Field(
        "lora",
        description="Train low-rank adapters of all linear layers (Hu et al., 2022; needs the extra"
        " finetune), or all weights.",
    )
    rank: Annotated[int, Field(ge=1)] = Field(16, description="Rank of the adapters.")
    alpha: Annotated[int, Field(ge=1)] = Field(
        32, description="Scale of the adapters: alpha / rank."
    )
    epochs: Annotated[int, Field(ge=1)] = Field(3, description="Passes over the training points.")
    batch_size: Annotated[int, Field(ge=1)] = Field(32, description="Texts of an optimizer step.")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        5e-4, description="Of AdamW at its peak; adapters take about ten times that of all weights."
    )
    warmup: Share = Field(
        0.1, description="Share of the steps in which the rate rises; then it falls to 0."
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="Of AdamW.")
    looks: Annotated[int, Field(ge=1)] = Field(
        10, description="How often val is looked at; a killed job goes on from the last look."
    )
    patience: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Stop after this many looks without a better val AUROC; never if none."
    )
    val_labels: Literal["own", "true"] = Field(
        "own",
        description="Val labels that looks are scored by: of the kind trained on (for w2s and s2s "
        "the weak model's), or always the true ones.",
    )


class AuxiliaryConfig(Strict):
    """Constants of the losses other than xent."""

    coefficient: Share = Field(0.5, description="Weight of the own predictions: logconf, entropy.")
    warmup: Share = Field(0.2, description="Share of the training in which that weight rises.")
    radius: Annotated[float, Field(gt=0, le=0.5)] | Literal["median"] = Field(
        "median",
        description="Window: points with own probability within this of 1/2; median takes the "
        "median distance of the labels.",
    )


class TunedArm(Strict):
    """Points that a selector of `arms` keeps, as many of each weak label."""

    selector: str = Field(description="Name of a selector of `arms`.")
    band: Band = Field("high", description="Which scores are kept.")
    budget: Annotated[Share, Field(gt=0)] = Field(0.5, description="Share of the pool.")

    @property
    def name(self) -> str:
        """Its name in the tables."""
        return f"{ARM}{self.selector} {self.band} {self.budget:g}"

    @property
    def beside(self) -> str:
        """The name of random points, as many of each weak label."""
        return f"{ARM}random {self.budget:g}"


class FinetuningConfig(Strict):
    """Fine-tuning: floor, w2s and ceiling with the models themselves in the place of probes."""

    datasets: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="Which datasets; all if not given."
    )
    losses: Annotated[tuple[LossName, ...], Field(min_length=1)] = Field(
        ("xent", "logconf"), description="What w2s is trained with, a training for each."
    )
    self_training: Annotated[int, Field(ge=0)] = Field(
        0,
        description="Further trainings (s2s_1, ...): each on the labels that the one before gives, "
        "the first on those of the first loss.",
    )
    arms: tuple[TunedArm, ...] = Field(
        (), description="Further trainings on the points that selectors keep, and on random ones."
    )
    recipe: FinetuningRecipe = Field(FinetuningRecipe(), description="How a model is fine-tuned.")
    auxiliary: AuxiliaryConfig = Field(AuxiliaryConfig(), description="Constants of losses.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        return unique(self, "losses", "arms", *(["datasets"] if self.datasets else []))


CONTROL = (
    "floor (the weak model), ceiling, a loss that w2s is trained with, s2s_K: the K-th "
    "training of the strong model on labels of its own, or an arm: selector, band and share"
)
TRAINING = Kind(
    "training",
    "How fine-tuned models learned: a row for each look at the val part.",
    {
        "control": Array("str", "the training: " + CONTROL),
        "step": Array("int32", "optimizer steps done"),
        "epoch": Array("float64", "passes over the training points done"),
        "loss": number("mean training loss since the last look"),
        "val_auroc": number("AUROC on val, against labels of the kind trained on (or true ones)"),
        "kept": Array("bool", "the look whose weights made the predictions"),
    },
    {
        **DATASET,
        "model": "where the model comes from, and its revision or weight hashes",
        "seed": "seed of the halves",
        "trainable": "numbers that are trained",
        "adapters": "rank of the adapters by place (of all experts together); none: all weights",
    },
    ids=False,
)
FINETUNING_TABLE = Kind(
    "finetuning_table",
    "Fine-tuned models: floor, ceiling, w2s with every loss, and self-training.",
    {
        **ROW,
        "control": Array("str", CONTROL),
        **with_interval("accuracy", "test accuracy, mean over seeds"),
        "auroc": number("test AUROC, mean over seeds"),
        **with_interval("pgr", "(accuracy - floor) / (ceiling - floor) of the means"),
        "probe_accuracy": number("test accuracy of the probe in its place (floor, ceiling or w2s); "
                                 "NaN where there is none"),
        "n_train": number("training points, mean over seeds"),
        **LABELS,
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds or numbers are missing, if they are"),
    },
    ids=False,
)  # fmt: skip


class FinetuneWeakSettings(ReadSettings):
    """How the weak model is fine-tuned."""

    recipe: FinetuningRecipe = Field(FinetuningRecipe(), description="How it is trained.")


class FinetuneStrongSettings(FinetuneWeakSettings):
    """How the strong model is fine-tuned, and with which losses."""

    weak: str = Field("", description="Name of the weak model.")
    strong: str = Field("", description="Name of the strong model.")
    losses: tuple[LossName, ...] = Field(("xent",), description="Losses of w2s.", min_length=1)
    self_training: int = Field(0, description="Trainings on labels of its own.", ge=0)
    arms: tuple[TunedArm, ...] = Field((), description="Trainings on a part of the pool.")
    auxiliary: AuxiliaryConfig = Field(AuxiliaryConfig(), description="Constants of losses.")


def arm_scores(config: Any, *, dataset: str, weak: str, strong: str, seed: str) -> list[str]:
    """The scores that fine-tuned arms are chosen by; none where there are no such arms."""
    if not config.finetuning.arms:
        return []
    return [f"{config.results}/{dataset}/{weak}--{strong}/seed{seed}/arms/scores.parquet"]


STAGES: dict[str, Stage] = {
    "finetune_weak": Stage(
        summary="fine-tune the weak model on weak_train and label the other points with it",
        per="dataset, weak model, seed",
        function="w2s.finetuning.weak:finetune_weak",
        settings=FinetuneWeakSettings,
        inputs={"examples": EXAMPLES, "split": SPLIT, "tokens": TOKENS, "model": Plain.MODEL},
        outputs={"weak_labels": WEAK_LABELS, "training": TRAINING},
        runtime=True,
        work=True,
        adds=lambda config, job: [config.models[job["weak"]], config.finetuning],
    ),
    "finetune_strong": Stage(
        summary="fine-tune the strong model: ceiling, w2s with every loss, self-training",
        per="dataset, pair, seed",
        function="w2s.finetuning.strong:finetune_strong",
        settings=FinetuneStrongSettings,
        inputs={
            "weak_labels": WEAK_LABELS,
            "tokens": TOKENS,
            "scores": Many(SCORES, optional=True),
            "model": Plain.MODEL,
        },
        outputs={"runs": RUNS, "predictions": PREDICTIONS, "training": TRAINING},
        runtime=True,
        work=True,
        adds=lambda config, job: [config.models[job["strong"]], config.finetuning],
    ),
    "finetuning_tables": Stage(
        summary="average fine-tuned models over seeds, beside the probes",
        per="experiment",
        function="w2s.finetuning.tables:finetuning_tables",
        settings=TablesSettings,
        inputs={
            "metrics": Many(METRICS),
            "correct": Many(CORRECT),
            "probe_metrics": Many(METRICS),
            "probe_correct": Many(CORRECT),
        },
        outputs={
            "finetuning": ForPeople(FINETUNING_TABLE),
            "comparisons": ForPeople(COMPARISONS_TABLE),
        },
    ),
    "finetuning_figures": Stage(
        summary="draw accuracies of fine-tuned models and how they learned",
        per="experiment",
        function="w2s.finetuning.figures:finetuning_figures",
        settings=PanelsSettings,
        inputs={"finetuning": FINETUNING_TABLE, "training": Many(TRAINING)},
        outputs={"accuracy": Plain.FIGURE, "learning": Plain.FIGURE},
        adds=lambda config, job: [{"titles": titles(config, datasets_of(config, "finetuning"))}],
    ),
}

TUNED = "{dataset}/finetuned/{weak}--{strong}/seed{seed}"
FILES = {  # below `results`, by rule
    "finetune_weak": tuple(
        f"{{dataset}}/finetuned/{{weak}}/seed{{seed}}/{name}.parquet"
        for name in ("weak_labels", "training")
    ),
    "finetune_strong": tuple(
        f"{TUNED}/{name}"
        for name in ("runs.parquet", "predictions.safetensors", "training.parquet")
    ),
    "evaluate_finetuned": (f"{TUNED}/metrics.parquet", f"{TUNED}/correct.safetensors"),
    "finetuning_tables": table_files("finetuning", "finetuning_comparisons"),
    "finetuning_figures": figure_files("finetuning", "accuracy", "learning"),
}


def jobs(config: Any) -> Jobs:
    """All pairs on their datasets, each weak model once."""
    tuned = datasets_of(config, "finetuning")
    weak = list(dict.fromkeys(pair.weak for pair in config.pairs))
    yield from each("finetune_weak", dataset=tuned, weak=weak, seed=config.seeds)
    for pair in config.pairs:
        names = {"weak": pair.weak, "strong": pair.strong}
        rules = ("finetune_strong", "evaluate_finetuned")
        yield from each(*rules, dataset=tuned, seed=config.seeds, **names)
    yield from each("finetuning_tables", "finetuning_figures") if tuned else ()
