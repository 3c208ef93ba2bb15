"""Stage `wrench_features`: the features that come with a dataset in WRENCH's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2s.artifacts import Artifact
from w2s.settings import WrenchFeaturesSettings
from w2s.steps.wrench_votes import in_order


def wrench_features(
    examples: Artifact, source: Path, *, settings: WrenchFeaturesSettings
) -> dict[str, Artifact]:
    """The features of every example, in the place of a model's last layer.

    They are standardised by mean and standard deviation over all examples, which needs no label, so
    that no column decides similarities and penalties by its unit.
    """
    del settings
    x = in_order(examples, source, "features").astype(np.float64)
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1)
    x = ((x - x.mean(axis=0)) / spread).astype(np.float32)
    arrays = {"id": examples["id"], "layer_-1": x}
    facts = {
        "dataset": examples.facts["dataset"],
        "model": "features of the dataset, standardised",
        "storage": "float32",
        "loss": {"layer_-1": 0.0},
    }
    return {"activations": Artifact("activations", arrays, facts)}
