"""Scores of overlap points that are tried on planted truth, and are no options of `overlap`.

Each is given what a detector may know: strong vectors, weak vectors, and which points are hard.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.overlap.regions import Regions
from w2s.overlap.scores import max_similarity
from w2s.overlap.thresholds import cut_confidences, cut_scores
from w2s.overlap.views import fit_view
from w2s.probes.knn import unit_rows

RIDGE = 0.1  # of the mean variance: what a direction needs to count in the discriminant


@dataclass(frozen=True)
class Known:
    """What a score may look at, of n points.

    Attributes:
        strong: Strong vectors, (n, d).
        weak: Weak vectors, (n, d_weak).
        hard: Points whose confidence is below tau_hard, bool (n,); some are, some are not.
    """

    strong: Array
    weak: Array
    hard: Array


Score = Callable[[Known], Array]


def length(known: Known) -> Array:
    """The length of a point: what a score has to beat, as it knows no hard point."""
    found: Array = np.linalg.norm(known.strong, axis=1)
    return found


def nearest_ratio(known: Known) -> Array:
    """|cosine| with the nearest hard point over that with the nearest other one, not itself."""
    unit = unit_rows(known.strong)
    near = np.abs(unit @ unit.T)
    np.fill_diagonal(near, 0)
    nearest = [near[:, side].max(axis=1) for side in (known.hard, ~known.hard)]
    ratio: Array = nearest[0] / np.maximum(nearest[1], np.finfo(np.float64).tiny)
    return ratio


def residual_dot(known: Known) -> Array:
    """Dot product with the nearest hard point of what weak vectors do not explain."""
    return _nearest_product(_unexplained(known.strong, known.weak), known.hard)


def canonical_dot(known: Known) -> Array:
    """The same of whitened vectors, as partial canonical correlation has it.

    Whitened, each canonical direction keeps the share of its variance that the weak vectors do not
    have in common with it, whatever its scale.
    """
    return _nearest_product(_unexplained(_whitened(known.strong), known.weak), known.hard)


def discriminant(known: Known) -> Array:
    """Energy along directions in which hard points vary more than the others.

    With A and B the second moments of hard and of other points around the common mean, and
    coordinates in which A + B is the identity, the squares along each eigenvector of A - B, times
    its eigenvalue if it is above 0, are added up (the quadratic discriminant's positive part).
    """
    x = known.strong - known.strong.mean(axis=0)
    hard, other = (x[side].T @ x[side] / side.sum() for side in (known.hard, ~known.hard))
    both = hard + other
    both[np.diag_indices_from(both)] += RIDGE * np.trace(both) / len(both)
    inverse = np.linalg.inv(np.linalg.cholesky(both))
    value, vector = np.linalg.eigh(inverse @ (hard - other) @ inverse.T)
    energy: Array = ((x @ inverse.T @ vector) ** 2) @ np.maximum(value, 0)
    return energy


# options of `detect_overlap` that are compared, by name, and other scores; by default 2 of 5 points
# are hard, and as all of them have the same confidence, a quantile of 0.4 would still be that one
Variant = Mapping[str, Any] | Score
VARIANTS: Mapping[str, Variant] = {
    "default": {},
    "signed cosine": {"absolute": False},
    "dot": {"similarity": "dot"},
    "signed dot": {"similarity": "dot", "absolute": False},
    "tau_hard quantile 0.5": {"tau_hard": {"quantile": 0.5}},
    "tau_overlap quantile 0.7": {"tau_overlap": {"quantile": 0.7}},
    "both quantiles": {"tau_hard": {"quantile": 0.5}, "tau_overlap": {"quantile": 0.7}},
    "whitened": {"center": "whiten"},
    "mean": {"aggregate": "mean"},
    "whitened mean": {"center": "whiten", "aggregate": "mean"},
    "whitened mean dot": {"center": "whiten", "aggregate": "mean", "similarity": "dot"},
    "nearest hard / other": nearest_ratio,
    "discriminant": discriminant,
    "weak residual": residual_dot,
    "partial CCA": canonical_dot,
    "length": length,
}


def regions_by(score: Score, weak_proba: Array, strong: Array, weak: Array) -> Regions:
    """Regions as `detect_overlap` finds them by default, but by another score.

    Args:
        score: The score.
        weak_proba: P(y = 1) by the weak model, (n,).
        strong: Strong vectors, (n, d).
        weak: Weak vectors, (n, d_weak).

    Raises:
        DegenerateError: as `detect_overlap`.
    """
    confidence = 2 * np.abs(weak_proba - 0.5)
    low, hard = cut_confidences("change_point", confidence)
    found = np.where(hard, np.nan, score(Known(strong, weak, hard)))
    high, margin = cut_scores("change_point", found[~hard], size=1.0)
    region = np.full(len(confidence), "easy", dtype=object)
    region[found >= high - margin] = "overlap"
    region[hard] = "hard"
    return Regions(region, confidence, found, low, high)


def _whitened(x: Array) -> Array:
    return fit_view(x, center="whiten").of(x)


def _unexplained(x: Array, weak: Array) -> Array:
    """Residuals of x (n, d) after least squares on the weak vectors and a constant."""
    x, weak = x - x.mean(axis=0), weak - weak.mean(axis=0)
    rest: Array = x - weak @ np.linalg.lstsq(weak, x, rcond=None)[0]
    return rest


def _nearest_product(x: Array, hard: Array) -> Array:
    return max_similarity(x, x[hard], similarity="dot").astype(np.float64)
