"""AUROC on bootstrap draws: of many draws at once, from one sort of the scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.results.intervals import DIGITS, Bootstrap, Estimates
from w2s.results.metrics import auroc

DRAWS = 128  # at a time: their counts, and what is added up of them, stay in the cache


@dataclass(frozen=True)
class Ranks:
    """Where the positives of some scores stand among the negatives.

    Attributes:
        positives: Positions of the positives, (p,).
        negatives: Positions of the negatives by ascending score, (q,).
        below: Negatives with a lower score than each positive, (p,).
        upto: Those with no higher score, (p,).
    """

    positives: Array
    negatives: Array
    below: Array
    upto: Array

    def auroc(self, counts: Array) -> Array:
        """AUROC where point i counts counts[i, j] times, (draws,); NaN without both classes.

        A tie counts half, as in `w2s.results.metrics.auroc`.

        Args:
            counts: float64 (n, draws).
        """
        seen = np.zeros((len(self.negatives) + 1, counts.shape[1]))
        np.cumsum(counts[self.negatives], axis=0, out=seen[1:])
        mine = counts[self.positives]
        beaten = seen[self.below]
        beaten += seen[self.upto]  # twice the negatives that each positive is above
        pairs = mine.sum(axis=0) * seen[-1]
        wins = np.einsum("ij,ij->j", mine, beaten) / 2
        found: Array = np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
        return found


def ranks(scores: Array, label: Array) -> Ranks:
    """The ranks of finite scores (n,) with labels 0 or 1, (n,)."""
    positives, others = np.flatnonzero(label == 1), np.flatnonzero(label != 1)
    negatives = others[np.argsort(scores[others], kind="stable")]
    below, upto = (
        np.searchsorted(scores[negatives], scores[positives], side) for side in ("left", "right")
    )
    return Ranks(positives, negatives, below, upto)


def estimate_auroc(proba: Array, label: Array, bootstrap: Bootstrap) -> Estimates:
    """AUROC, mean over the units that have one, as `w2s.results.intervals.estimate` has accuracy.

    Args:
        proba: Scores, (units, rows, n); NaN where a unit lacks the row.
        label: 0 or 1, (n,).
        bootstrap: Counts for the same units and test points.
    """
    units, rows, n = proba.shape
    known = np.isfinite(proba).all(axis=2) & (0 < np.sum(label == 1) < n)  # (units, rows)
    values = np.zeros((units, rows))
    places = {}
    for u, i in zip(*np.nonzero(known), strict=True):
        values[u, i] = auroc(proba[u, i], label)
        places[u, i] = ranks(proba[u, i], label)
    draws = np.zeros((len(bootstrap.seeds), rows))
    total = np.zeros_like(draws)
    for first in range(0, len(draws), DRAWS):
        part = slice(first, first + DRAWS)
        counts = np.ascontiguousarray(bootstrap.examples[part].T)  # (n, draws)
        for (u, i), place in places.items():
            found = place.auroc(counts)
            weight = np.where(np.isnan(found), 0, bootstrap.seeds[part, u])
            draws[part, i] += np.nan_to_num(found) * weight
            total[part, i] += weight
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.round(values.sum(axis=0) / known.sum(axis=0), DIGITS)
        return Estimates(mean, np.round(draws / total, DIGITS), known.sum(axis=0))
