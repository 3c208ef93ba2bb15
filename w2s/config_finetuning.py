"""The part of the configuration that is about fine-tuning."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from w2s.config_sources import Share, Strict, unique

LossName = Literal["xent", "logconf", "entropy", "kl", "window"]


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
    recipe: FinetuningRecipe = Field(FinetuningRecipe(), description="How a model is fine-tuned.")
    auxiliary: AuxiliaryConfig = Field(AuxiliaryConfig(), description="Constants of losses.")

    @model_validator(mode="after")
    def _unique(self) -> Self:
        return unique(self, "losses", *(["datasets"] if self.datasets else []))
