"""What every probe is fitted to, and what comes of it: columns of training sets on one matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, finite, in_unit_interval, same_length
from w2s.errors import W2SError


@dataclass(frozen=True)
class Columns:
    """Training sets on one matrix.

    Attributes:
        x: Rows, (n, d).
        y: Targets in [0, 1], float64 (n, b).
        u: Weights of 0 or more, float64 (n, b).
        single: Whether targets and weights were one-dimensional.
    """

    x: Array
    y: Array
    u: Array
    single: bool


class Fitted(Protocol):
    """Probes fitted together, one per column: `Probes`, or `Neighbors`."""

    @property
    def gap(self) -> Array:
        """Bound on the relative optimality gap, (b,)."""

    @property
    def l2(self) -> Array:
        """Penalty, (b,)."""

    @property
    def reason(self) -> tuple[str, ...]:
        """Why a column has no solution, "" if it has one."""

    def predict_proba(self, x: npt.ArrayLike) -> Array:
        """P(y = 1), (m, b)."""


Fit = Callable[[Array, Array, Array], Fitted]  # of rows (n, d), targets and weights (n, b)


def columns_of(x: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike | None) -> Columns:
    """Checked columns; targets and weights may be one column, or one for all.

    Args:
        x: Activations, shape (n, d).
        targets: Soft or hard labels in [0, 1], shape (n,) or (n, b).
        weights: Non-negative weights of the rows, shape (n,) or (n, b), equal if not given.

    Raises:
        W2SError: shapes that do not fit, or values out of range.
    """
    rows = finite(x, "activations", ndim=2)
    given = np.ones(len(rows)) if weights is None else array_of(weights, "weights")
    sides = [array_of(targets, "targets"), given]
    single = all(side.ndim == 1 for side in sides)
    y, u = (
        finite(side[:, None] if side.ndim == 1 else side, name, ndim=2, dtype=np.float64)
        for side, name in zip(sides, ("targets", "weights"), strict=True)
    )
    same_length("targets", y, "activations", len(rows))
    same_length("weights", u, "activations", len(rows))
    if 1 not in (y.shape[1], u.shape[1]) and y.shape[1] != u.shape[1]:
        raise W2SError(f"weights: found {u.shape[1]} columns, expected {y.shape[1]} as in targets")
    for side, name in ((y, "targets"), (u, "weights")):
        if not side.size:
            raise W2SError(f"{name}: found none, expected one for each row")
    y = in_unit_interval(y, "targets")
    if u.min() < 0:
        raise W2SError(f"weights: found {u.min():g}, expected values of 0 or more")
    y, u = np.broadcast_arrays(y, u)
    return Columns(rows, y, u, single)


def lacking(columns: Columns) -> Iterator[str]:
    """Why no logistic regression has a solution on each column, "" if one has."""
    y, u = columns.y, columns.u
    total, ones = u.sum(axis=0), np.einsum("ij,ij->j", u, y)
    zeros = np.einsum("ij,ij->j", u, 1 - y)
    for weight, one, zero in zip(total, ones, zeros, strict=True):
        if not weight:
            yield "found no row with a weight above 0"
        elif not (one and zero):
            yield f"found only targets equal to {1 if one else 0}, expected both classes"
        else:
            yield ""
