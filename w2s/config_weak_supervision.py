"""The part of the configuration that is about weak supervision."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.config_sources import Share, Strict, unique

LF = Literal[
    "vader", "afinn", "textblob", "harvard_iv4", "loughran_mcdonald", "negation", "intensity",
    "contrast", "movie_words", "product_words", "editorial_words", "tweet_words", "emoticons",
]  # fmt: skip
LabelModelName = Literal["majority_vote", "snorkel", "dawid_skene"]
Student = Literal["mlp", "probe"]
OWN_FEATURES = "features"  # stands for a model where features come with a dataset
MIN_LFS = 3  # as in w2s.methods.label_models
NAMES = frozenset({*get_args(LabelModelName), *get_args(Student), OWN_FEATURES})


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
