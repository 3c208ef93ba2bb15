"""Predictors of the gain that compare predictions on the same points: misfit, agreement."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, probabilities, same_length
from w2s.errors import W2SError

CLIP = 2.0**-24  # of probabilities in logarithms: 1 less the float32 before it


def misfit(student: npt.ArrayLike, teacher: npt.ArrayLike) -> float:
    """Mean squared difference of two models' probabilities, in [0, 1].

    Where the strong class is convex and holds the truth, and the student is the member nearest to
    the teacher, the squared error falls from teacher to student by no less than this (Charikar,
    Pabbaraju and Shiragur, 2024, arXiv 2405.15116). Logistic probes are no such class.

    Args:
        student: P(y = 1) by w2s, shape (n,).
        teacher: P(y = 1) by the weak model, shape (n,).

    Returns:
        NaN without points.

    Raises:
        W2SError: not probabilities, or different numbers of points.
    """
    a, b = _both(student, teacher)
    return float(np.mean((a - b) ** 2)) if len(a) else math.nan


def misfit_kl(student: npt.ArrayLike, teacher: npt.ArrayLike) -> float:
    """Mean Kullback-Leibler divergence KL(student, teacher) in nats, 0 or more.

    The form of `misfit` for cross-entropy (Mulgund and Pabbaraju, 2025, arXiv 2501.19105), with
    the student first: there the student minimises this, while ours minimise KL(teacher, student).
    Probabilities nearer to 0 or 1 than float32 tells apart (2^-24) are moved there, so that it is
    finite, at most 17.

    Args:
        student: P(y = 1) by w2s, shape (n,).
        teacher: P(y = 1) by the weak model, shape (n,).

    Returns:
        NaN without points.

    Raises:
        W2SError: not probabilities, or different numbers of points.
    """
    a, b = (np.clip(side, CLIP, 1 - CLIP) for side in _both(student, teacher))
    if not len(a):
        return math.nan
    return float(np.mean(a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))))


def jensen_shannon(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Mean Jensen-Shannon divergence of two models' predictions in nats, in [0, log 2].

    The divergence, not its root, which is also called by this name.

    Args:
        first: P(y = 1) by a model, shape (n,).
        second: P(y = 1) by another, shape (n,).

    Returns:
        NaN without points.

    Raises:
        W2SError: not probabilities, or different numbers of points.
    """
    a, b = _both(first, second)
    if not len(a):
        return math.nan
    apart = _entropy((a + b) / 2) - (_entropy(a) + _entropy(b)) / 2
    return max(float(np.mean(apart)), 0.0)  # rounding may fall below


def kappa(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Agreement of two models beyond what their accuracies alone would give, at most 1.

    (c_obs - c_exp) / (1 - c_exp) with c_obs the mean of a b + (1 - a) (1 - b), and c_exp the same
    of the means of a and b. Of the probabilities on the true class of a binary task it is CAPA,
    kappa_p (Goel et al., 2025, arXiv 2502.04313); of being right (1) or wrong (0) it is error
    consistency (Geirhos et al., 2020, arXiv 2006.16736), where a half counts as a coin's flip.

    Args:
        first: Of each point what a model puts on the true class, in [0, 1], shape (n,).
        second: The same of another, shape (n,).

    Returns:
        0 where they agree no more than by chance; NaN without points, and where both are always
        right or always wrong, so that c_exp is 1.

    Raises:
        W2SError: not in [0, 1], or different numbers of points.
    """
    a, b = _both(first, second)
    if not len(a):
        return math.nan
    observed, expected = np.mean(_agreement(a, b)), float(_agreement(a.mean(), b.mean()))
    return float((observed - expected) / (1 - expected)) if expected < 1 else math.nan


def on_truth(proba: npt.ArrayLike, label: npt.ArrayLike) -> Array:
    """What a model puts on the true class of each point, float64 (n,).

    Args:
        proba: P(y = 1), shape (n,).
        label: 0 or 1, shape (n,).

    Raises:
        W2SError: not probabilities, other labels, or different numbers of points.
    """
    p, y = probabilities(proba, "proba"), np.asarray(label)
    same_length("label", y, "proba", len(p))
    if not np.isin(y, (0, 1)).all():
        raise W2SError("label: found values other than 0 and 1")
    return np.where(y == 1, p, 1 - p)


def quadrants(weak: Array, ceiling: Array) -> Array:
    """How far each point is in the quadrants both right, only ceiling, only weak, neither right.

    Args:
        weak: How far the weak model is right at each point, as `correct_rows` has it, (..., n).
        ceiling: The same of the ceiling.

    Returns:
        (4, ..., n), adding up to 1 at each point: 0 or 1, or a share where one says exactly 1/2.
        NaN where a model has no prediction.
    """
    return np.stack(
        [weak * ceiling, (1 - weak) * ceiling, weak * (1 - ceiling), (1 - weak) * (1 - ceiling)]
    )


def _agreement(a: Array, b: Array) -> Array:
    return np.asarray(a * b + (1 - a) * (1 - b))


def _entropy(p: Array) -> Array:
    """Entropy of coins in nats, 0 at 0 and 1."""
    sides = np.stack([p, 1 - p])
    logs = np.log(sides, out=np.zeros_like(sides), where=sides > 0)
    return np.asarray(-(sides * logs).sum(axis=0))


def _both(first: npt.ArrayLike, second: npt.ArrayLike) -> tuple[Array, Array]:
    a, b = probabilities(first, "first"), probabilities(second, "second")
    same_length("second", b, "first", len(a))
    return a, b
