"""Stage `gather_activations`: the shards of a dataset's activations, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.errors import ArtifactError
from w2s.matrix import Stacked
from w2s.settings import GatherActivationsSettings

FACTS = ("dataset", "model", "storage")


def gather_activations(
    tokens: Artifact, shards: Sequence[Artifact], *, settings: GatherActivationsSettings
) -> dict[str, Artifact]:
    """All shards in the order of the tokens; rows go from file to file, a block at a time.

    Raises:
        ArtifactError: shards of different models, settings or layers, of others than the settings
            say, or texts that are lacking or too many.
    """
    place = {text: i for i, text in enumerate(tokens["id"].tolist())}
    shards = sorted(shards, key=lambda shard: place.get(int(shard["id"][0]), -1))
    for shard in shards:
        for fact in FACTS:
            if shard.facts[fact] != shards[0].facts[fact]:
                raise ArtifactError(
                    f"shards: found {fact} {shard.facts[fact]} and {shards[0].facts[fact]}, "
                    f"expected one"
                )
        if _made(shard) != _made(shards[0]):
            raise ArtifactError(
                f"shards: found settings {_made(shard)} and {_made(shards[0])}, expected the same"
            )
        expected = settings.model_dump(mode="json", exclude={"code"})
        if settings.code and (shard.provenance.get("code"), _made(shard)) != (
            settings.code,
            expected,
        ):
            raise ArtifactError(
                f"shards: found settings {_made(shard)} of code {shard.provenance.get('code')}, "
                f"expected {expected} of code {settings.code}"
            )
        if set(shard.arrays) != set(shards[0].arrays):
            found = [", ".join(sorted(item.arrays)) for item in (shard, shards[0])]
            raise ArtifactError(f"shards: found {found[0]} and {found[1]}, expected the same")
    ids = np.concatenate([shard["id"] for shard in shards])
    if not np.array_equal(ids, tokens["id"]):
        raise ArtifactError(
            f"shards: found {len(ids)} texts that are not the dataset's {len(place)} in their "
            f"order, expected each once"
        )
    layers = [name for name in shards[0].arrays if name != "id"]
    arrays = {name: Stacked([shard[name] for shard in shards]) for name in layers}
    lost = {name: max(shard.facts["loss"][name] for shard in shards) for name in layers}
    facts = {**{fact: shards[0].facts[fact] for fact in FACTS}, "loss": lost}
    return {"activations": Artifact("activations", {"id": ids, **arrays}, facts)}


def _made(shard: Artifact) -> dict[str, Any]:
    """The settings a shard was made with, but for its number."""
    settings = shard.provenance.get("settings", {})
    return {name: value for name, value in settings.items() if name != "shard"}
