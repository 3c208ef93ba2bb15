"""Logistic-regression probes with soft labels, many on one matrix solved as one problem.

Column j has its own targets and row weights and minimises

    f_j(w, b) = sum_i u_ij BCE(sigmoid(x_i w + b), y_ij) + l2 |w|^2,    u_j = weights / their sum,

the objective of the paper's code. `w2s.probes.solver` solves all columns together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, finite, same_length
from w2s.errors import DegenerateError, W2SError
from w2s.probes.columns import FOLDS, Columns, choose_l2, columns_of, lacking
from w2s.probes.solver import TOLERANCE, Solver
from w2s.rng import stream


@dataclass(frozen=True)
class Probes:
    """Fitted probes.

    Attributes:
        coef: float64 (d, b); NaN in columns without a solution.
        intercept: float64 (b,).
        gap: Upper bound on (f - min f) / f by duality, float64 (b,).
        l2: Penalty of each column, (b,); NaN in columns without a solution.
        reason: Per column why it has no solution, "" if it has one.
        single: Whether targets and weights were one-dimensional.
    """

    coef: Array
    intercept: Array
    gap: Array
    l2: Array
    reason: tuple[str, ...]
    single: bool

    def predict_proba(self, x: npt.ArrayLike) -> Array:
        """P(y = 1), float64 in [0, 1], of shape (n,) for a single probe and (n, b) for many.

        Args:
            x: Activations, shape (n, d).

        Raises:
            W2SError: another width than fitted, or values that are not finite.
        """
        rows = finite(x, "activations", ndim=2)
        if rows.shape[1] != len(self.coef):
            raise W2SError(f"activations: found width {rows.shape[1]}, expected {len(self.coef)}")
        logits = rows.astype(np.float64) @ self.coef + self.intercept
        with np.errstate(invalid="ignore"):  # columns without a solution are NaN
            proba = np.exp(-np.logaddexp(0, -logits))
        return proba[:, 0] if self.single else proba


def fit_probes(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    l2: float | Literal["cv"] = 1e-3,
    folds: npt.ArrayLike | None = None,
    device: str = "cpu",
) -> Probes:
    """Fit one probe per column of targets on a shared matrix (objective: see the module).

    Args:
        x: Activations, shape (n, d).
        targets: Soft or hard labels in [0, 1], shape (n,) or (n, b).
        weights: Non-negative weights of the rows, shape (n,) or (n, b), equal if not given; the
            loss of a column is its weighted mean, so a weight of 0 leaves the row out.
        l2: Weight of |w|^2, above 0; the bias is not penalised. `cv` chooses each column's own, of
            9 from 1e-5 to 0.1, by 5-fold cross-validation.
        folds: For `cv` the number of each row's fold, (n,); rows that belong together, as questions
            on one passage, should share one. At random if not given.
        device: Where to compute: `cpu`, `cuda`, or `cuda:N`.

    Returns:
        The probes. A column whose weights are all 0, whose weighted targets are all 0 or all 1 (the
        bias would be infinite), or that is not certified to 1e-6 is NaN with its reason.

    Raises:
        DegenerateError: no column has a solution.
        W2SError: shapes that do not fit, or values out of range.
    """
    probes = fit_columns(x, targets, weights=weights, l2=l2, folds=folds, device=device)
    if all(probes.reason):
        raise DegenerateError(f"probes: {probes.reason[0]}")
    return probes


def fit_columns(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    l2: float | Literal["cv"] = 1e-3,
    folds: npt.ArrayLike | None = None,
    device: str = "cpu",
) -> Probes:
    """The same as `fit_probes`, but without an error where no column has a solution."""
    columns = columns_of(x, targets, weights)
    if l2 != "cv" and (isinstance(l2, str) or not 0 < l2 < np.inf):
        told = l2 if isinstance(l2, str) else f"{l2:g}"
        raise W2SError(f"l2: found {told}, expected a value above 0, or cv")
    b = columns.y.shape[1]
    reason = list(lacking(columns))
    solver = Solver(columns.x, device)
    penalty = _chosen(solver, columns, folds, reason) if l2 == "cv" else np.full(b, l2)
    coef = np.full((columns.x.shape[1], b), np.nan)
    intercept, gap = np.full((2, b), np.nan)
    good = np.array([not why for why in reason])
    for value in np.unique(penalty[good]):
        mine = good & (penalty == value)
        u = columns.u[:, mine] / columns.u[:, mine].sum(axis=0)
        found = solver.solve(columns.y[:, mine], u, float(value))
        coef[:, mine], intercept[mine] = solver.coefficients(found)
        gap[mine] = found.gap
    for j in np.flatnonzero(gap > TOLERANCE):
        reason[j] = f"found no solution within {TOLERANCE:g} of the minimum (gap {gap[j]:.1e})"
        coef[:, j] = intercept[j] = np.nan
    penalty = np.where([bool(why) for why in reason], np.nan, penalty)
    return Probes(coef, intercept, gap, penalty, tuple(reason), columns.single)


def _chosen(
    solver: Solver, columns: Columns, folds: npt.ArrayLike | None, reason: list[str]
) -> Array:
    """Penalty of each column by cross-validation; adds the reasons where there is none."""
    n = len(columns.x)
    if folds is None:
        number: Array = stream(0, "folds").permutation(n) % FOLDS
    else:
        number = array_of(folds, "folds")
        same_length("folds", number, "activations", n)
    penalty, _ = choose_l2(solver, columns, number)
    for j in np.flatnonzero(np.isnan(penalty)):
        reason[j] = reason[j] or "found no fold to cross-validate on, expected both classes twice"
    return penalty
