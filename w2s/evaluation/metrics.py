"""Metrics of test predictions. Undefined values are NaN; the callers say why."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, same_length
from w2s.methods.ranking import auroc


def accuracy(proba: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Share of points whose prediction (1 from a probability of 1/2 on) is their label.

    Args:
        proba: P(y = 1), shape (n,).
        label: 0 or 1, shape (n,).

    Returns:
        In [0, 1]; NaN without points or with a NaN among the probabilities.

    Raises:
        W2SError: different numbers of rows.
    """
    scores, truth = np.asarray(proba), np.asarray(label)
    same_length("label", truth, "proba", len(scores))
    right = correct_rows(scores, truth)
    return float(right.mean(dtype=np.float64)) if right.size else math.nan


def brier(proba: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Mean squared difference of probability and label, in [0, 1]; NaN without points.

    Raises:
        W2SError: different numbers of rows.
    """
    scores, truth = np.asarray(proba, dtype=np.float64), np.asarray(label)
    same_length("label", truth, "proba", len(scores))
    error = scores - truth
    return float(np.mean(error**2)) if error.size else math.nan


METRICS = {"accuracy": accuracy, "auroc": auroc, "brier": brier}


def pgr(floor: float, w2s: float, ceiling: float) -> float:
    """Performance gap recovered, (w2s - floor) / (ceiling - floor) (Burns et al., 2023).

    Args:
        floor: Test accuracy of the weak model on true labels.
        w2s: Test accuracy of the strong model on weak labels.
        ceiling: Test accuracy of the strong model on true labels.

    Returns:
        1 when w2s reaches the ceiling, 0 at the floor; NaN where ceiling - floor is not above 0, as
        there is no gap to recover.
    """
    gap = ceiling - floor
    return (w2s - floor) / gap if gap > 0 else math.nan


def correct_rows(proba: Array, label: Array) -> Array:
    """Which points each row of predictions gets right, float32 like `proba`; NaN stays NaN."""
    right = ((proba >= 0.5) == (label == 1)).astype(np.float32)
    return np.where(np.isnan(proba), np.float32(np.nan), right)
