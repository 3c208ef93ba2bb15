"""The part of the configuration that is about source selection."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from w2s.config_sources import Name, Share, Strict, unique

Policy = Literal[
    "ucb", "thompson", "epsilon_greedy", "random", "oracle", "label_oracle", "original"
]


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
