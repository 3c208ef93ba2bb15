"""How well scores rank points of one kind above the others."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from w2s.checks import finite, same_length, vector


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
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return math.nan
    _, value, count = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[value]  # average rank of equal scores, from 1
    above = rank[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))
