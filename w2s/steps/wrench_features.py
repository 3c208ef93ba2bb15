"""Stage `wrench_features`: the features that come with a dataset in WRENCH's format."""

from __future__ import annotations

from pathlib import Path

from w2s.artifacts import Artifact
from w2s.settings import WrenchFeaturesSettings
from w2s.steps.wrench_votes import in_order


def wrench_features(
    examples: Artifact, source: Path, *, settings: WrenchFeaturesSettings
) -> dict[str, Artifact]:
    """The features of every example, in the place of a model's last layer."""
    del settings
    arrays = {"id": examples["id"], "layer_-1": in_order(examples, source, "features")}
    facts = {"dataset": examples.facts["dataset"], "model": "features of the dataset"}
    return {"activations": Artifact("activations", arrays, facts)}
