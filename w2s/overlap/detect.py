"""Overlap detection: which points hold easy patterns, hard ones, or both."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, finite, probabilities, rows_of, same_length
from w2s.errors import DegenerateError, W2SError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, same_job
from w2s.overlap.scores import MIN_VALUES, change_point, dominant_coordinate, max_similarity
from w2s.overlap.track import OverlapConfig, OverlapSettings
from w2s.results.metrics import REGIONS

ROUNDING = 4e-6  # relative size below which float32 scores may differ by the order of summation
CLEAR = 10  # roundings that values must spread over: a threshold among fewer is one of rounding
LARGEST = float(np.finfo(np.float32).max)
EPSILON = float(np.finfo(np.float32).eps)  # what sums of float32 terms of size 1 leave of a 0
log = logging.getLogger(__name__)
Threshold = Literal["change_point"] | float | Mapping[str, float]


@dataclass(frozen=True)
class Regions:
    """Regions of n points.

    Attributes:
        region: "easy", "hard" or "overlap", shape (n,).
        confidence: 2 |weak_proba - 1/2|, float64 in [0, 1], shape (n,).
        score: Overlap score, float64, NaN for hard points, shape (n,).
        tau_hard: Points below this confidence are hard.
        tau_overlap: Points that are not hard and have this score or more are overlap points.
    """

    region: Array
    confidence: Array
    score: Array
    tau_hard: float
    tau_overlap: float

    def __repr__(self) -> str:
        """The shares of the regions and the thresholds; the arrays are long."""
        shares = ", ".join(f"{name} {self.share(name):.3f}" for name in REGIONS)
        taus = f"tau_hard={self.tau_hard:.4g}, tau_overlap={self.tau_overlap:.4g}"
        return f"Regions(n={len(self.region)}: {shares}; {taus})"

    @property
    def density(self) -> float:
        """Overlap points / all points."""
        return self.share("overlap")

    def share(self, region: str) -> float:
        """Points of a region / all points."""
        return float(np.mean(self.region == region))


@dataclass(frozen=True)
class Detector:
    """A fitted detector: its thresholds and hard points, applicable to other points.

    Attributes:
        tau_hard: Confidence threshold.
        tau_overlap: Score threshold.
        hard: Strong activations of the hard points it was fitted on, shape (k, d).
        similarity: `cosine` or `dot`.
        absolute: Whether absolute similarities are compared.
        margin: Half the rounding of the scores: a score this little below the threshold is at it,
            so that a point's region does not depend on the points it is scored together with.
    """

    tau_hard: float
    tau_overlap: float
    hard: Array
    similarity: Literal["cosine", "dot"]
    absolute: bool
    margin: float = 0.0

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
        score = _scores(x, confidence >= self.tau_hard, self)
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
        absolute: Compare absolute similarities.
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
    detector = fit_detector(
        weak_proba,
        activations,
        similarity=similarity,
        absolute=absolute,
        tau_hard=tau_hard,
        tau_overlap=tau_overlap,
    )
    return detector.apply(weak_proba, activations)


def fit_detector(
    weak_proba: npt.ArrayLike,
    activations: npt.ArrayLike,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
    absolute: bool = True,
    tau_hard: Threshold = "change_point",
    tau_overlap: Threshold = "change_point",
) -> Detector:
    """Fit the detector of `detect_overlap` without applying it; see there."""
    confidence, x = _inputs(weak_proba, activations)
    if (n := len(confidence)) < MIN_VALUES:
        raise DegenerateError(f"overlap: found {n} points, expected at least {MIN_VALUES}")
    # the rounding is that of a probability of 1/2 to 1, however small the confidences are
    low = _threshold(tau_hard, confidence, "confidences", rounding=ROUNDING)
    hard = confidence < low
    if not hard.any():
        raise DegenerateError(f"overlap: found no hard point (no confidence below {low:g})")
    if hard.all():
        raise DegenerateError(f"overlap: found hard points only (all confidences below {low:g})")
    unfinished = Detector(low, np.nan, x[hard], similarity, absolute)
    score = _scores(x, ~hard, unfinished)[~hard]
    if not np.isfinite(score).all():
        raise W2SError(
            "activations: found products too large for float32; scale them, or use cosine"
        )
    rounding = ROUNDING * float(np.abs(score).max())
    size = 1.0  # the largest that a score could be: such terms may cancel out in one near 0
    if similarity != "cosine":
        norm = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
        size = float(norm[hard].max() * norm[~hard].max())
    least = max(rounding, EPSILON * size)
    high = _threshold(tau_overlap, score, "overlap scores", rounding=least, tolerance=rounding)
    return replace(unfinished, tau_overlap=high, margin=rounding / 2)


def _inputs(weak_proba: npt.ArrayLike, activations: npt.ArrayLike) -> tuple[Array, Array]:
    proba = probabilities(weak_proba, "weak_proba")
    x = finite(activations, "activations", ndim=2)
    if x.dtype.itemsize > 4 and max(x.max(initial=0), -x.min(initial=0)) > LARGEST:
        raise W2SError(f"activations: found values beyond {LARGEST:g}, expected float32")
    same_length("activations", x, "weak_proba", len(proba))
    return 2 * np.abs(proba - 0.5), x


def _threshold(
    rule: Threshold, values: Array, what: str, *, rounding: float, tolerance: float = 0.0
) -> float:
    """The threshold that a rule gives; a change point only where values are not all rounding."""
    if isinstance(rule, Mapping):
        share = rule.get("quantile", np.nan)
        if not 0 <= share <= 1:
            raise W2SError(
                f"threshold of {what}: found {dict(rule)}, expected a quantile of 0 to 1"
            )
        return float(np.quantile(values, share))
    if rule != "change_point":
        if isinstance(rule, str) or rule != rule:  # nor NaN
            raise W2SError(
                f"threshold of {what}: found {rule!r}, expected change_point, a number, or a "
                f"quantile"
            )
        return float(rule)
    try:
        found = change_point(values, tolerance=tolerance)
    except DegenerateError as error:
        raise DegenerateError(f"overlap: {what}: {error}") from None
    low, high = float(values.min()), float(values.max())
    if not high - low > CLEAR * rounding:
        raise DegenerateError(
            f"overlap: {what}: found values from {low:.7g} to {high:.7g}, equal values but for "
            f"rounding; expected a spread above {CLEAR * rounding:.1g}"
        )
    return found


def _scores(x: Array, scored: Array, detector: Detector) -> Array:
    """Overlap scores of the rows that are not hard, NaN for the others, float64 (n,)."""
    score = np.full(len(x), np.nan)
    score[scored] = max_similarity(
        x[scored], detector.hard, similarity=detector.similarity, absolute=detector.absolute
    )
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
