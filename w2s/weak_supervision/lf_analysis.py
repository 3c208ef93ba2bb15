"""What labeling functions do on a set of points: the standard analysis of a label matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, same_length, vector
from w2s.errors import W2SError

ABSTAIN = -1


@dataclass(frozen=True)
class LFAnalysis:
    """Shares of the points, by labeling function (LF); all float64 (m,).

    Attributes:
        coverage: Points it votes on.
        lf_overlaps: Points on which it and at least one other LF vote. (No relation to overlap
            points.)
        conflicts: Points on which it and another LF vote differently.
        accuracy: Right votes / its votes; NaN for an LF that never votes, and without labels.
    """

    coverage: Array
    lf_overlaps: Array
    conflicts: Array
    accuracy: Array


def analyze_lfs(votes: npt.ArrayLike, label: npt.ArrayLike | None = None) -> LFAnalysis:
    """Coverage, co-votes, conflicts and empirical accuracy of each LF.

    Definitions as in Snorkel's `LFAnalysis` (Ratner et al., 2017). Deviation: an LF without a vote
    has accuracy NaN, where Snorkel says 0.

    Args:
        votes: Label matrix, shape (n, m), values -1 (abstain), 0, 1; n and m at least 1.
        label: True labels, shape (n,), 0 or 1.

    Raises:
        W2SError: another shape or other values.
    """
    matrix = checked_votes(votes)
    voted = matrix != ABSTAIN  # (n, m)
    others = voted.sum(axis=1, keepdims=True) - voted  # (n, m): other LFs that vote
    ones = (matrix == 1).sum(axis=1, keepdims=True)
    against = np.where(matrix == 1, others - (ones - 1), ones)  # of those, on the other side
    return LFAnalysis(
        coverage=voted.mean(axis=0),
        lf_overlaps=(voted & (others > 0)).mean(axis=0),
        conflicts=(voted & (against > 0)).mean(axis=0),
        accuracy=_accuracy(matrix, voted, label),
    )


def _accuracy(matrix: Array, voted: Array, label: npt.ArrayLike | None) -> Array:
    count = voted.sum(axis=0)
    if label is None:
        return np.full(len(count), np.nan)
    truth = vector(label, "label")
    same_length("label", truth, "label matrix", len(matrix))
    if not np.isin(truth, (0, 1)).all():
        raise W2SError("label: found values other than 0 and 1, expected these alone")
    right = (matrix == truth[:, None]).sum(axis=0)
    accuracy: Array = np.divide(right, count, out=np.full(len(count), np.nan), where=count > 0)
    return accuracy


def checked_votes(votes: npt.ArrayLike) -> Array:
    """A label matrix as int8 (n, m), of one row and one LF at least.

    Raises:
        W2SError: another shape, or values other than -1, 0 and 1.
    """
    matrix = array_of(votes, "label matrix")
    if matrix.ndim != 2 or not matrix.size:
        raise W2SError(
            f"label matrix: found shape {matrix.shape}, expected rows and labeling functions"
        )
    known = np.isin(matrix, (ABSTAIN, 0, 1))
    if not known.all():
        raise W2SError(
            f"label matrix: found the value {matrix[~known][0]}, expected -1 (abstain), 0 or 1"
        )
    return matrix.astype(np.int8)
