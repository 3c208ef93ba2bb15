"""Checks that the inputs of a stage belong together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact


def same_job(**inputs: Artifact) -> None:
    """Raise unless inputs that name a dataset, seed or model name the same one.

    Raises:
        ArtifactError: naming the two inputs that differ.
    """
    for key in ("dataset", "seed", "weak", "strong"):
        told = {name: item.facts[key] for name, item in inputs.items() if key in item.facts}
        first = next(iter(told), "")
        for name, value in told.items():
            if value != told[first]:
                raise ArtifactError(
                    f"{name}: found {key} {value}, expected {told[first]} as in {first}"
                )


def same_width(matrices: Sequence[Array], names: Sequence[str]) -> None:
    """Raise unless activations (n, d) of several datasets have the same d.

    Raises:
        ArtifactError: naming the dataset that differs from the first.
    """
    for x, name in zip(matrices, names, strict=True):
        if x.shape[1] != matrices[0].shape[1]:
            raise ArtifactError(
                f"activations of {name}: found width {x.shape[1]}, expected "
                f"{matrices[0].shape[1]} as of {names[0]}"
            )


def parts_of(examples: Artifact, split: Artifact) -> Array:
    """Part of each example, the pool told apart into its halves, (n,).

    Raises:
        ArtifactError: an example of the pool that the split does not have.
    """
    part: Array = examples["part"].copy()
    part[rows_of(split["id"], examples["id"], what="examples")] = split["half"]
    lacking = int(np.sum(part == "pool"))
    if lacking:
        raise ArtifactError(
            f"split: found no half for {lacking} examples of the pool, expected one"
        )
    return part


def layer_of(activations: Artifact, layer: int) -> Array:
    """Activations of a layer, (n, d).

    Raises:
        ArtifactError: the layer was not cached.
    """
    name = f"layer_{layer}"
    if name not in activations.arrays:
        cached = ", ".join(sorted(key for key in activations.arrays if key != "id"))
        raise ArtifactError(f"activations: found {cached}, expected {name}; add it to `layers`")
    found: Array = activations[name]
    return found


def group_codes(groups: Array) -> Array:
    """The group of each test point as a number, int64 (n,): equal groups, equal numbers.

    Numbers from 0 on, in the order of the groups' names, whatever that of the points.
    """
    return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.int64)
