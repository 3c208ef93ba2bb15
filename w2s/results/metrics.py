"""Metrics of test predictions. Undefined values are NaN; the callers say why."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, finite, in_unit_interval, same_length, vector
from w2s.errors import W2SError


def auroc(proba: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Probability that a random positive is ranked above a random negative; a tie counts half.

    The rank statistic of Mann and Whitney. (scikit-learn has it too, but importing it takes longer
    than all of a job's metrics.)

    Args:
        proba: Any scores, shape (n,).
        label: 0 or 1, shape (n,).

    Returns:
        In [0, 1]; NaN unless both classes occur.
    """
    scores = finite(proba, "proba", ndim=1)
    positive = vector(label, "label") == 1
    same_length("label", positive, "proba", len(scores))
    mine, others = np.sort(scores[positive]), np.sort(scores[~positive])
    if not len(mine) or not len(others):
        return math.nan
    below, not_above = (np.searchsorted(others, mine, side).sum() for side in ("left", "right"))
    return float((below + not_above) / 2 / (len(mine) * len(others)))


REGIONS = ("easy", "hard", "overlap")  # codes 0, 1, 2
MODELS = ("floor", "w2s", "ceiling")
REFERENCES = {"reference": "floor", "reference_w2s": "w2s"}  # and whose accuracy each one has
BINS = 10  # of the calibration error
LABEL_SCORES = ("label_accuracy", "label_brier", "label_calibration")  # columns of runs and tables


def accuracy(proba: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Share of points whose prediction (the more likely class) is their label.

    A probability of exactly 1/2 predicts neither class and counts as half right.

    Args:
        proba: P(y = 1), shape (n,).
        label: 0 or 1, shape (n,).

    Returns:
        In [0, 1]; NaN without points or with a NaN among the probabilities.

    Raises:
        W2SError: not one-dimensional, or different numbers of rows.
    """
    scores, truth = vector(proba, "proba"), vector(label, "label")
    same_length("label", truth, "proba", len(scores))
    right = correct_rows(scores, truth)
    return float(right.mean(dtype=np.float64)) if right.size else math.nan


def brier(proba: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Mean squared difference of probability and label, in [0, 1]; NaN without points.

    Raises:
        W2SError: not one-dimensional, or different numbers of rows.
    """
    scores, truth = vector(proba, "proba", dtype=np.float64), vector(label, "label")
    same_length("label", truth, "proba", len(scores))
    error = scores - truth
    return float(np.mean(error**2)) if error.size else math.nan


def calibration_error(proba: npt.ArrayLike, label: npt.ArrayLike) -> float:
    """Expected calibration error of P(y = 1) in 10 bins of equal width (Naeini et al., 2015).

    The mean over points of how far their bin's mean probability is from its share of positives.
    Few points to a bin make it too large: of perfectly calibrated labels spread over [0, 1] it is
    0.14 with 50 points, 0.07 with 200 and 0.03 with 1,000, on average.

    Args:
        proba: P(y = 1), shape (n,).
        label: 0 or 1, shape (n,).

    Returns:
        In [0, 1]; NaN without points or with a NaN among the probabilities.

    Raises:
        W2SError: not one-dimensional, different numbers of rows, or not probabilities.
    """
    scores, truth = vector(proba, "proba", dtype=np.float64), vector(label, "label")
    same_length("label", truth, "proba", len(scores))
    if not scores.size or np.isnan(scores).any():
        return math.nan
    scores = in_unit_interval(scores, "proba")
    number = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    excess = np.bincount(number, weights=scores - truth, minlength=BINS)
    return float(np.abs(excess).sum() / len(scores))


def label_scores(target: Array, label: Array) -> tuple[float, float, float]:
    """Quality of labels that are trained on, in the order of `LABEL_SCORES`.

    Accuracy among labels that are not exactly 1/2, which are neither right nor wrong; Brier score;
    calibration error.

    Args:
        target: Labels trained on, in [0, 1], shape (n,).
        label: True labels, 0 or 1, shape (n,).

    Returns:
        NaN where there is no label (of a class).
    """
    decided = target != 0.5
    return (
        accuracy(target[decided], label[decided]),
        brier(target, label),
        calibration_error(target, label),
    )


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

    Raises:
        W2SError: not a number.
    """
    low, mine, high = map(_number, (floor, w2s, ceiling))
    gap = high - low
    return (mine - low) / gap if gap > 0 else math.nan


def _number(value: npt.ArrayLike) -> float:
    found = array_of(value, "accuracy")
    if found.size != 1:
        raise W2SError(f"accuracy: found {found.size} numbers, expected one")
    return float(found.item())


def correct_rows(proba: Array, label: Array) -> Array:
    """How far each prediction is right: 1, 0, or 1/2 for a probability of exactly 1/2.

    Float32 of the shape of `proba`; NaN stays NaN.
    """
    side = np.sign(np.asarray(proba) - 0.5) * np.where(label == 1, 1, -1)
    right: Array = ((side + 1) / 2).astype(np.float32)
    return right


def prior_matched_rows(proba: Array, label: Array) -> Array:
    """How far each prediction is right if as many are positive as there are positive labels.

    The n_pos highest scores are; at the threshold, ties share what is left of them, each with the
    same part. So a model is not blamed for a threshold that lies elsewhere than at 1/2.

    Args:
        proba: Any scores, (..., n).
        label: 0 or 1, (n,).

    Returns:
        In [0, 1], float64 (..., n); NaN in rows with a NaN.
    """
    n, positives = len(label), int(np.sum(label == 1))
    scores = np.asarray(proba, dtype=np.float64)
    if not 0 < positives < n:  # all are, or none is
        return np.where(np.isnan(scores).any(axis=-1, keepdims=True), np.nan, np.ones_like(scores))
    cut = np.partition(scores, n - positives, axis=-1)[..., n - positives, None]  # NaN are last
    above, at = scores > cut, scores == cut
    room = positives - above.sum(axis=-1, keepdims=True)
    share = above + at * (room / np.maximum(at.sum(axis=-1, keepdims=True), 1))
    right: Array = np.where(label == 1, share, 1 - share)
    right[np.isnan(scores).any(axis=-1)] = np.nan
    return right


def question_rows(proba: Array, label: Array, question: Array) -> tuple[Array, Array]:
    """Whether the right candidate of each question has the highest P among its candidates.

    A question counts where it has one positive candidate and at least one other. Candidates that
    share the highest P share the answer: with one other the question is half right.

    Args:
        proba: P(y = 1), (..., n).
        label: 0 or 1, (n,).
        question: Question of each point, any values that compare, (n,).

    Returns:
        Of each point how far its question is right, float64 (..., n), NaN in rows with a NaN; and
        its part of its question, 1 / candidates, (n,), 0 where the question does not count. The
        mean weighted by the latter is the share of questions that are right.
    """
    _, number = np.unique(question, return_inverse=True)
    size, right = np.bincount(number), np.bincount(number, weights=label == 1)
    counts = ((size > 1) & (right == 1))[number]  # (n,)
    scores = np.asarray(proba, dtype=np.float64)
    flat = scores.reshape(-1, scores.shape[-1])
    values = np.zeros_like(flat)
    for row, found in zip(flat, values, strict=True):
        if np.isnan(row).any():
            found[:] = np.nan
            continue
        best = np.full(len(size), -np.inf)
        np.maximum.at(best, number, row)
        top = row == best[number]
        winners, won = (np.bincount(number, weights=mask) for mask in (top, top & (label == 1)))
        found[:] = (won / np.maximum(winners, 1))[number]
    return values.reshape(scores.shape), np.where(counts, 1 / size[number], 0.0)
