"""Columns that are fitted together: their weights and targets, and their penalties by folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, finite, in_unit_interval, same_length
from w2s.errors import W2SError
from w2s.probes.arrays import backend
from w2s.probes.solver import Solver


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


CANDIDATES = tuple(float(l2) for l2 in np.logspace(-1, -5, 9))  # around the paper's 1e-3
FOLDS = 5


def choose_l2(
    solver: Solver, columns: Columns, folds: Array, *, candidates: tuple[float, ...] = CANDIDATES
) -> tuple[Array, Array]:
    """The candidate with the lowest held-out loss, for each column by itself.

    Every candidate fits all columns on all folds but one as one problem, started at the fits of the
    candidate before. The loss is the weighted mean BCE of the held-out rows, over folds whose other
    rows hold both classes. All candidates are tried: losses may rise and fall again, as where noise
    of large variance hides a direction of small variance that tells the label. Columns are solved
    together but chosen apart: others move the fits of a column only within their certified gap, so
    no looser one is asked for here.

    Args:
        solver: The solver on the columns' rows.
        columns: The training sets; rows of weight 0 are held out by no fold.
        folds: Number of each row's fold, (n,).
        candidates: The penalties, from large to small.

    Returns:
        The penalties (b,), the larger one of equals, and the losses (candidates, b); both are NaN
        for columns of which no fold can be scored.
    """
    names, number = np.unique(folds, return_inverse=True)
    # of each (fold, column), fold after fold: those of the column without the rows of the fold
    y = np.tile(columns.y, len(names))
    u = np.concatenate([columns.u * (number != k)[:, None] for k in range(len(names))], axis=1)
    good = np.flatnonzero([not why for why in lacking(Columns(columns.x, y, u, False))])
    y, u = y[:, good], u[:, good] / u[:, good].sum(axis=0)
    losses = np.full((len(candidates), columns.y.shape[1]), np.nan)
    start = None
    for i, l2 in enumerate(candidates if len(good) else ()):
        found = solver.solve(y, u, l2, start=start)
        start = found.theta
        losses[i] = _held_out(*solver.coefficients(found), columns, number, good)
    tried = np.nan_to_num(losses, nan=np.inf)
    best = np.array(candidates)[tried.argmin(axis=0)]
    return np.where(np.isinf(tried.min(axis=0)), np.nan, best), losses


def _held_out(coef: Array, intercept: Array, columns: Columns, number: Array, good: Array) -> Array:
    """Weighted mean held-out loss of each column, (b,); NaN without a row held out.

    `number` is that of each row's fold, (n,), and `good` those of the fitted (fold, column).
    """
    b = columns.y.shape[1]
    total, weight = np.zeros((2, b))
    for k in range(number.max() + 1):
        rows, mine = np.flatnonzero(number == k), good // b == k
        which = good[mine] % b
        logits = columns.x[rows].astype(np.float64) @ coef[:, mine] + intercept[mine]
        held = columns.u[rows][:, which]
        error = backend("cpu").loss(logits, columns.y[rows][:, which])
        total[which] += (held * error).sum(axis=0)
        weight[which] += held.sum(axis=0)
    mean: Array = np.divide(total, weight, out=np.full(b, np.nan), where=weight > 0)
    return mean
