"""The part of the configuration about pairs of models, probes, overlap detection and mixing."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.config_sources import Share, Strict, unique

Control = Literal[
    "plain", "placebo", "fixed_hard", "overlap_against_easy", "purity_matched", "brier_matched",
    "label_balanced", "same_capacity", "random", "true_labels", "few_labels",
]  # fmt: skip


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


class EvaluationConfig(Strict):
    """Intervals of the tables."""

    bootstrap: Annotated[int, Field(ge=100)] = Field(
        2000, description="Bootstrap draws over test examples and seeds."
    )
    level: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.95, description="Coverage of the intervals."
    )


class ExtractionConfig(Strict):
    """How the texts of a dataset are divided among jobs."""

    shards: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Jobs for each model and dataset, each with a like share of the tokens. "
        "Numbers move within rounding.",
    )


class DeviceConfig(Strict):
    """Where models compute, and how much at once."""

    device: str = Field(
        "auto", description="auto, cpu, cuda, or cuda:N.", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$"
    )
    batch_tokens: Annotated[int, Field(ge=1)] = Field(
        2048, description="Padded tokens of one forward pass."
    )


class RuntimeConfig(DeviceConfig):
    """Settings that cannot change numbers beyond rounding: they are in no artifact's identity."""

    training_tokens: Annotated[int, Field(ge=1)] = Field(
        512, description="Padded tokens of one pass forward and back, in fine-tuning."
    )


class JobRuntime(DeviceConfig):
    """What a job is told beside its settings: the same, and what its model says of devices."""

    device_map: Literal["auto"] | None = Field(
        None, description="auto to spread the model over all GPUs."
    )
