"""The part of the configuration that is about the synthetic study."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.config_sources import Strict, unique

Study = Literal["first", "overlap", "easy", "hard"]
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
