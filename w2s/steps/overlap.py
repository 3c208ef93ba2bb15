"""Stage `overlap`: easy, hard and overlap points."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.config_spine import OverlapConfig
from w2s.errors import DegenerateError
from w2s.methods.overlap import fit_detector
from w2s.methods.similarity import dominant_coordinate
from w2s.settings import OverlapSettings
from w2s.steps.inputs import layer_of, same_job

log = logging.getLogger(__name__)


def overlap(
    weak_labels: Artifact, activations: Artifact, *, settings: OverlapSettings
) -> dict[str, Artifact]:
    """Fit the detector on strong_train and apply it there and to the test points.

    Input on which regions are undefined is recorded as `degenerate` with its reason.
    """
    points = weak_labels.where(np.isin(weak_labels["part"], ("strong_train", "test")))
    same_job(weak_labels=weak_labels, activations=activations)
    layer = layer_of(activations, settings.layer)
    x = layer[rows_of(points["id"], activations["id"], what="activations")]
    found = dominant_coordinate([x])
    if found.strong:
        log.warning("overlap %s: %s of the strong vectors", weak_labels.facts["dataset"], found)
    regions = regions_of(
        points,
        x,
        points["part"] == "strong_train",
        settings.overlap,
        dataset=weak_labels.facts["dataset"],
        seed=weak_labels.facts["seed"],
    )
    return {"regions": regions}


def regions_of(
    points: Artifact, x: Array, train: Array, overlap: OverlapConfig, *, dataset: str, seed: int
) -> Artifact:
    """The regions artifact: a detector fitted on the training points, applied to all.

    Args:
        points: Weak labels of n points; where they are degenerate, so are the regions.
        x: What similarities are taken on, (n, d).
        train: Which points the detector is fitted on, bool (n,).
        overlap: Its options.
        dataset: Goes into the facts.
        seed: Likewise.
    """
    proba = points["weak_proba"]
    facts: dict[str, Any] = {"dataset": dataset, "seed": seed}
    region = np.full(len(points), "undefined", dtype=object)
    score = np.full(len(points), np.nan)
    try:
        if points.facts["reason"]:  # the weak model says nothing
            raise DegenerateError(points.facts["reason"])
        detector = fit_detector(proba[train], x[train], **overlap.model_dump())
        for part in (train, ~train):  # apart, so that training points score exactly as in the fit
            found = detector.apply(proba[part], x[part])
            region[part], score[part] = found.region, found.score
        facts |= {
            "tau_hard": detector.tau_hard,
            "tau_overlap": detector.tau_overlap,
            "density": float(np.mean(region[train] == "overlap")),
            "status": "ok",
            "reason": "",
        }
    except DegenerateError as error:
        facts |= dict.fromkeys(("tau_hard", "tau_overlap", "density"))
        facts |= {"status": "degenerate", "reason": str(error)}
    arrays = {
        "id": points["id"],
        "part": points["part"],
        "confidence": 2 * np.abs(proba.astype(np.float64) - 0.5),
        "score": score,
        "region": region,
    }
    return Artifact("regions", arrays, facts)
