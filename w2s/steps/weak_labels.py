"""Stage `weak_labels`: the weak model's probabilities for points it was not trained on."""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError, DegenerateError
from w2s.rng import stream
from w2s.settings import WeakLabelsSettings
from w2s.steps.inputs import layer_of, same_job
from w2s.steps.probe import fitter


def weak_labels(
    examples: Artifact, split: Artifact, activations: Artifact, *, settings: WeakLabelsSettings
) -> dict[str, Artifact]:
    """Fit the weak probe on weak_train (true labels); predict strong_train, val and test."""
    same_job(examples=examples, split=split, activations=activations)
    layer = layer_of(activations, settings.layer)
    part = _parts(examples, split)
    x = layer[rows_of(examples["id"], activations["id"], what="activations")]
    train = part == "weak_train"
    dataset, seed = examples.facts["dataset"], split.facts["seed"]
    fit = fitter(settings.probe, stream(seed, "folds", dataset, "weak"))
    probe = fit(x[train], examples["label"][train, None], np.ones((train.sum(), 1)))
    if probe.reason[0]:
        raise DegenerateError(f"weak probe: {probe.reason[0]}")
    rest = ~train
    arrays = {
        "id": examples["id"][rest],
        "part": part[rest],
        "label": examples["label"][rest],
        "weak_proba": probe.predict_proba(x[rest])[:, 0].astype(np.float32),
    }
    facts = {
        "dataset": dataset,
        "seed": seed,
        "n_train": int(train.sum()),
        "gap": float(probe.gap[0]),
        "l2": float(probe.l2[0]) if settings.probe.kind == "logistic" else None,
    }
    return {"weak_labels": Artifact("weak_labels", arrays, facts)}


def _parts(examples: Artifact, split: Artifact) -> Array:
    """Part of each example with the pool told apart into its halves."""
    part: Array = examples["part"].copy()
    part[rows_of(split["id"], examples["id"], what="examples")] = split["half"]
    lacking = int(np.sum(part == "pool"))
    if lacking:
        raise ArtifactError(
            f"split: found no half for {lacking} examples of the pool, expected one"
        )
    return part
