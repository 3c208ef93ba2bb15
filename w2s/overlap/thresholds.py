"""Thresholds of confidences and scores: by a change point, a number, or a quantile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from w2s.checks import Array
from w2s.errors import DegenerateError, W2SError
from w2s.overlap.scores import change_point

ROUNDING = 4e-6  # relative size below which float32 scores may differ by the order of summation
CLEAR = 10  # roundings that values must spread over: a threshold among fewer is one of rounding
EPSILON = float(np.finfo(np.float32).eps)  # what sums of float32 terms of size 1 leave of a 0
Threshold = Literal["change_point"] | float | Mapping[str, float]


def cut_confidences(rule: Threshold, confidence: Array) -> tuple[float, Array]:
    """tau_hard, and which points lie below it, bool (n,): some do, and some do not.

    Raises:
        DegenerateError: no hard point, or hard points only, or no change point.
    """
    # the rounding is that of a probability of 1/2 to 1, however small the confidences are
    low = threshold(rule, confidence, "confidences", rounding=ROUNDING)
    hard = confidence < low
    if not hard.any():
        raise DegenerateError(f"overlap: found no hard point (no confidence below {low:g})")
    if hard.all():
        raise DegenerateError(f"overlap: found hard points only (all confidences below {low:g})")
    return low, hard


def cut_scores(rule: Threshold, score: Array, *, size: float) -> tuple[float, float]:
    """tau_overlap, and half the rounding of scores: one so little below is at the threshold.

    Args:
        rule: The threshold.
        score: Scores of the points that are not hard, (m,).
        size: The largest that a score could be: terms of this size may cancel out in one near 0.

    Raises:
        DegenerateError: no change point.
        W2SError: scores beyond float32.
    """
    if not np.isfinite(score).all():
        raise W2SError(
            "activations: found products too large for float32; scale them, or use cosine"
        )
    rounding = ROUNDING * float(np.abs(score).max())
    least = max(rounding, EPSILON * size)
    high = threshold(rule, score, "overlap scores", rounding=least, tolerance=rounding)
    return high, rounding / 2


def threshold(
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
