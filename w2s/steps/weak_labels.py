"""Stage `weak_labels`: the weak model's probabilities for points it was not trained on."""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.rng import stream
from w2s.settings import WeakLabelsSettings
from w2s.steps.inputs import layer_of, parts_of, same_job
from w2s.steps.probe import fitter


def weak_labels(
    examples: Artifact, split: Artifact, activations: Artifact, *, settings: WeakLabelsSettings
) -> dict[str, Artifact]:
    """Fit the weak probe on weak_train (true labels); predict strong_train, val and test."""
    columns, x = labelled(examples, split, activations, layer=settings.layer)
    dataset, seed = examples.facts["dataset"], split.facts["seed"]
    return {"weak_labels": label_rest(columns, x, dataset=dataset, seed=seed, settings=settings)}


def labelled(
    examples: Artifact, split: Artifact, activations: Artifact, *, layer: int
) -> tuple[dict[str, Array], Array]:
    """Columns of all examples, the pool told apart into its halves, and their activations."""
    same_job(examples=examples, split=split, activations=activations)
    x = layer_of(activations, layer)[rows_of(examples["id"], activations["id"], what="activations")]
    part = parts_of(examples, split)
    name = np.full(len(part), examples.facts["dataset"], dtype=object)
    return {"id": examples["id"], "part": part, "label": examples["label"], "dataset": name}, x


def label_rest(
    columns: dict[str, Array], x: Array, *, dataset: str, seed: int, settings: WeakLabelsSettings
) -> Artifact:
    """The weak probe, fitted on the rows of weak_train, applied to all others.

    A probe without a solution, as of a half of one class, says 1/2, and the facts say why.

    Args:
        columns: Id, part, label and dataset of n points.
        x: Their weak activations, (n, d).
        dataset: Goes into the facts, and names the folds of a cross-validation.
        seed: Likewise.
        settings: The probe.
    """
    train = columns["part"] == "weak_train"
    fit = fitter(settings.probe, stream(seed, "folds", dataset, "weak"))
    probe = fit(x[train], columns["label"][train, None], np.ones((train.sum(), 1)))
    why = f"weak probe: {probe.reason[0]}" if probe.reason[0] else ""
    arrays = {name: column[~train] for name, column in columns.items()}
    proba = np.full((~train).sum(), 0.5) if why else probe.predict_proba(x[~train])[:, 0]
    arrays["weak_proba"] = proba.astype(np.float32)
    facts = {
        "dataset": dataset,
        "seed": seed,
        "n_train": int(train.sum()),
        "gap": None if why else float(probe.gap[0]),
        "l2": float(probe.l2[0]) if settings.probe.kind == "logistic" and not why else None,
        "model": settings.probe.kind,
        "status": "degenerate" if why else "ok",
        "reason": why,
    }
    return Artifact("weak_labels", arrays, facts)
