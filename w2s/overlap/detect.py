"""Overlap detection: which points hold easy patterns, hard ones, or both."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, finite, probabilities, rows_of, same_length
from w2s.errors import DegenerateError, W2SError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, same_job
from w2s.overlap.regions import Regions
from w2s.overlap.scores import (
    MIN_VALUES,
    dominant_coordinate,
    largest_similarity,
    max_similarity,
    mean_similarity,
)
from w2s.overlap.stability import FEW, stability
from w2s.overlap.thresholds import Threshold, cut_confidences, cut_scores
from w2s.overlap.track import OverlapConfig, OverlapSettings
from w2s.overlap.views import AS_THEY_ARE, Center, View, fit_view
from w2s.rng import stream

LARGEST = float(np.finfo(np.float32).max)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detector:
    """A fitted detector: its thresholds and hard points, applicable to other points.

    Attributes:
        tau_hard: Confidence threshold.
        tau_overlap: Score threshold.
        hard: Strong activations of the hard points it was fitted on, as `view` shows them, (k, d).
        similarity: `cosine` or `dot`.
        absolute: Whether absolute similarities are compared.
        margin: Half the rounding of the scores: a score this little below the threshold is at it,
            so that a point's region does not depend on the points it is scored together with.
        view: What similarities are taken on.
        aggregate: `max` or `mean`, over the hard points.
    """

    tau_hard: float
    tau_overlap: float
    hard: Array
    similarity: Literal["cosine", "dot"]
    absolute: bool
    margin: float = 0.0
    view: View = AS_THEY_ARE
    aggregate: Literal["max", "mean"] = "max"

    def apply(self, weak_proba: npt.ArrayLike, activations: npt.ArrayLike) -> Regions:
        """Regions of points, by the fitted thresholds and hard points.

        Args:
            weak_proba: P(y = 1) by the weak model, shape (n,), in [0, 1].
            activations: Strong activations, shape (n, d).

        Raises:
            W2SError: shapes that do not fit, or values that are not finite or not probabilities.
        """
        confidence, x = _inputs(weak_proba, activations)
        if x.shape[1] != self.hard.shape[1]:
            raise W2SError(
                f"activations: found width {x.shape[1]}, expected {self.hard.shape[1]} as fitted"
            )
        return self.cut(confidence, _scores(self.view.of(x), confidence >= self.tau_hard, self))

    def cut(self, confidence: Array, score: Array) -> Regions:
        """Regions of points by their confidences and scores, (n,)."""
        region = np.full(len(confidence), "easy", dtype=object)
        region[score >= self.tau_overlap - self.margin] = "overlap"
        region[confidence < self.tau_hard] = "hard"
        return Regions(region, confidence, score, self.tau_hard, self.tau_overlap)


def detect_overlap(
    weak_proba: npt.ArrayLike,
    activations: npt.ArrayLike,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
    absolute: bool = True,
    center: Center = "none",
    aggregate: Literal["max", "mean"] = "max",
    tau_hard: Threshold = "change_point",
    tau_overlap: Threshold = "change_point",
) -> Regions:
    """Tell easy, hard and overlap points apart (Shin et al., 2025, Algorithm 2).

    Hard points are those whose weak confidence lies below a change point of the sorted confidences.
    The others are scored by their largest similarity to a hard point on strong activations; overlap
    points lie at or above a change point of the sorted scores. Deviations from the published code:
    the change points are exact, equal values are never separated, and one rule holds everywhere
    (strictly below is hard; absolute cosine unless asked otherwise).

    Args:
        weak_proba: P(y = 1) by the weak model on points it was not trained on, shape (n,).
        activations: Strong activations of the same points, shape (n, d).
        similarity: `cosine` (a row of zeros has cosine 0 with everything) or `dot`.
        absolute: Compare absolute similarities; of no effect where their squares are averaged.
        center: Take similarities on the activations as they are (`none`), without their mean
            (`mean`), or whitened (`whiten`): see `w2s.overlap.views.fit_view`.
        aggregate: Score by the largest similarity to a hard point (`max`), or by the root of the
            mean squared one to all of them (`mean`).
        tau_hard: `change_point`, a number, or `{"quantile": q}` of the confidences.
        tau_overlap: `change_point`, a number, or `{"quantile": q}` of the scores.

    Returns:
        The regions, with scores and thresholds.

    Raises:
        DegenerateError: fewer than 4 points, no hard point, too few others, or a change point of
            confidences or scores that are constant, or spread over no more than ten times their
            rounding (4e-6 for confidences, 4e-6 of the largest for scores, which is at least 1.2e-7
            of the largest product of norms): the regions are undefined.
        W2SError: shapes that do not fit, values that are not finite or not probabilities, or a
            similarity or threshold that is none of these.
    """
    how = {"similarity": similarity, "absolute": absolute, "aggregate": aggregate}
    return _fitted(weak_proba, activations, how, center, (tau_hard, tau_overlap))[1]


def fit_detector(
    weak_proba: npt.ArrayLike,
    activations: npt.ArrayLike,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
    absolute: bool = True,
    center: Center = "none",
    aggregate: Literal["max", "mean"] = "max",
    tau_hard: Threshold = "change_point",
    tau_overlap: Threshold = "change_point",
) -> Detector:
    """Fit the detector of `detect_overlap` without applying it; see there."""
    how = {"similarity": similarity, "absolute": absolute, "aggregate": aggregate}
    return _fitted(weak_proba, activations, how, center, (tau_hard, tau_overlap))[0]


def _fitted(
    weak_proba: npt.ArrayLike,
    activations: npt.ArrayLike,
    how: dict[str, Any],
    center: Center,
    taus: tuple[Threshold, Threshold],
) -> tuple[Detector, Regions]:
    """The detector, and the regions that it gives to what it was fitted on."""
    confidence, x = _inputs(weak_proba, activations)
    if (n := len(confidence)) < MIN_VALUES:
        raise DegenerateError(f"overlap: found {n} points, expected at least {MIN_VALUES}")
    low, hard = cut_confidences(taus[0], confidence)
    view = fit_view(x, center=center)
    seen = view.of(x)
    unfinished = Detector(low, np.nan, seen[hard], **how, view=view)
    score = _scores(seen, ~hard, unfinished)
    size = largest_similarity(seen[~hard], seen[hard], how["similarity"])
    high, margin = cut_scores(taus[1], score[~hard], size=size)
    detector = replace(unfinished, tau_overlap=high, margin=margin)
    return detector, detector.cut(confidence, score)


def _inputs(weak_proba: npt.ArrayLike, activations: npt.ArrayLike) -> tuple[Array, Array]:
    proba = probabilities(weak_proba, "weak_proba")
    x = finite(activations, "activations", ndim=2)
    if x.dtype.itemsize > 4 and max(x.max(initial=0), -x.min(initial=0)) > LARGEST:
        raise W2SError(f"activations: found values beyond {LARGEST:g}, expected float32")
    same_length("activations", x, "weak_proba", len(proba))
    return 2 * np.abs(proba - 0.5), x


def _scores(seen: Array, scored: Array, detector: Detector) -> Array:
    """Overlap scores of the rows that are not hard, NaN for the others, float64 (n,)."""
    score = np.full(len(seen), np.nan)
    if detector.aggregate == "max":
        score[scored] = max_similarity(
            seen[scored],
            detector.hard,
            similarity=detector.similarity,
            absolute=detector.absolute,
        )
    elif detector.aggregate == "mean":
        score[scored] = mean_similarity(seen[scored], detector.hard, similarity=detector.similarity)
    else:
        raise W2SError(f"aggregate: found {detector.aggregate!r}, expected max or mean")
    return score


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
    found, dataset = dominant_coordinate([x]), weak_labels.facts["dataset"]
    if found.strong:
        log.warning("overlap %s: %s of the strong vectors", dataset, found)
    train, seed = points["part"] == "strong_train", weak_labels.facts["seed"]
    regions = regions_of(points, x, train, settings.overlap, dataset=dataset, seed=seed)
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
    confidence = 2 * np.abs(proba.astype(np.float64) - 0.5)
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
        if (n_hard := len(detector.hard)) < FEW:
            told = "overlap %s: found %d hard points, so few that single ones decide all regions"
            log.warning(told, dataset, n_hard)
        pool, rng = detector.view.of(x[train]), stream(seed, "stability", dataset)
        facts |= {
            "tau_hard": detector.tau_hard,
            "tau_overlap": detector.tau_overlap,
            "density": float(np.mean(region[train] == "overlap")),
            "stability": stability(
                pool, confidence[train], region[train], overlap=overlap, rng=rng
            ),
            "status": "ok",
            "reason": "",
        }
    except DegenerateError as error:
        facts |= dict.fromkeys(("tau_hard", "tau_overlap", "density", "stability"))
        facts |= {"status": "degenerate", "reason": str(error)}
    arrays = {
        "id": points["id"],
        "part": points["part"],
        "confidence": confidence,
        "score": score,
        "region": region,
    }
    return Artifact("regions", arrays, facts)
