"""The configured probe, as a function that fits many on one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, parts_of, same_job
from w2s.overlap.track import ProbeConfig, WeakLabelsSettings
from w2s.probes.columns import FOLDS, Fit
from w2s.probes.knn import Neighbors, neighbor_columns
from w2s.probes.probes import Probes, fit_columns
from w2s.rng import stream


def fitter(probe: ProbeConfig, rng: np.random.Generator) -> Fit:
    """A function of rows (n, d), targets and weights (n, b).

    Args:
        probe: Which probe.
        rng: Draws the folds of a cross-validation, by row, the same for all columns of a call.
    """

    def fit(x: Array, targets: Array, weights: Array) -> Probes | Neighbors:
        if probe.kind == "knn":
            return neighbor_columns(x, targets, weights=weights, neighbors=probe.neighbors)
        folds = rng.permutation(len(x)) % FOLDS if probe.l2 == "cv" else None
        return fit_columns(x, targets, weights=weights, l2=probe.l2, folds=folds)

    return fit


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
    l2 = float(probe.l2[0]) if settings.probe.kind == "logistic" and not why else None
    return said(
        {name: column[~train] for name, column in columns.items()},
        None if why else probe.predict_proba(x[~train])[:, 0],
        facts={"dataset": dataset, "seed": seed, "n_train": int(train.sum())}
        | {"gap": None if why else float(probe.gap[0]), "l2": l2, "model": settings.probe.kind},
        why=why,
    )


def said(
    points: Mapping[str, Array], proba: Array | None, *, facts: dict[str, Any], why: str
) -> Artifact:
    """The weak labels of points; where the weak model could not be fitted they are 1/2.

    Args:
        points: Id, part, label and dataset of n points.
        proba: P(y = 1) by the weak model, (n,); None if it could not be fitted.
        facts: Dataset, seed, n_train, gap, l2 and model.
        why: It could not be fitted; "" if it could.
    """
    known = np.full(len(points["id"]), 0.5) if proba is None else proba
    status = {"status": "degenerate" if why else "ok", "reason": why}
    return Artifact(
        "weak_labels", {**points, "weak_proba": known.astype(np.float32)}, facts | status
    )
