"""The penalty of each probe by cross-validation, all folds and columns solved together."""

from __future__ import annotations

import numpy as np

from w2s.checks import Array
from w2s.probes.arrays import backend
from w2s.probes.columns import Columns, lacking
from w2s.probes.solver import Solver

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
