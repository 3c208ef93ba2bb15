"""Checks that the inputs of a stage belong together."""

from __future__ import annotations

from w2s.artifacts import Artifact
from w2s.checks import Array
from w2s.errors import ArtifactError


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
