"""The penalty of each probe by cross-validation, all folds and columns solved together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.probes.arrays import backend
from w2s.probes.columns import Columns, lacking
from w2s.probes.solver import Solution, Solver

CANDIDATES = tuple(float(l2) for l2 in np.logspace(-1, -5, 9))  # around the paper's 1e-3
FOLDS = 5


@dataclass(frozen=True)
class Folds:
    """All columns without each of the folds in turn.

    Attributes:
        solver: The solver on the columns' rows.
        columns: The training sets.
        number: Number of each row's fold, 0 to `count` - 1, (n,).
        count: How many folds there are.
        good: Which of the (fold, column) combinations, fold after fold, have a solution.
        y, u: Targets and weights of these, (n, len(good)).
    """

    solver: Solver
    columns: Columns
    number: Array
    count: int
    good: Array
    y: Array
    u: Array

    def losses(self, solution: Solution) -> Array:
        """Weighted mean held-out loss of each column, (b,); NaN without a row held out."""
        coef, intercept = self.solver.coefficients(solution)
        x, b = self.columns.x, self.columns.y.shape[1]
        total, weight = np.zeros((2, b))
        for k in range(self.count):
            rows, mine = np.flatnonzero(self.number == k), self.good // b == k
            which = self.good[mine] % b
            logits = x[rows].astype(np.float64) @ coef[:, mine] + intercept[mine]
            held = self.columns.u[rows][:, which]
            error = backend("cpu").loss(logits, self.columns.y[rows][:, which])
            total[which] += (held * error).sum(axis=0)
            weight[which] += held.sum(axis=0)
        mean: Array = np.divide(total, weight, out=np.full(b, np.nan), where=weight > 0)
        return mean


def without_each(solver: Solver, columns: Columns, folds: Array) -> Folds:
    """The training sets that leave one fold out."""
    names, number = np.unique(folds, return_inverse=True)
    y = np.tile(columns.y, len(names))
    u = np.concatenate([columns.u * (number != k)[:, None] for k in range(len(names))], axis=1)
    good = np.flatnonzero([not why for why in lacking(Columns(columns.x, y, u, False))])
    u = u[:, good] / u[:, good].sum(axis=0)
    return Folds(solver, columns, number, len(names), good, y[:, good], u)


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
    parts = without_each(solver, columns, folds)
    losses = np.full((len(candidates), columns.y.shape[1]), np.nan)
    start = None
    for i, l2 in enumerate(candidates if len(parts.good) else ()):
        found = solver.solve(parts.y, parts.u, l2, start=start)
        start = found.theta
        losses[i] = parts.losses(found)
    tried = np.nan_to_num(losses, nan=np.inf)
    best = np.array(candidates)[tried.argmin(axis=0)]
    return np.where(np.isinf(tried.min(axis=0)), np.nan, best), losses
