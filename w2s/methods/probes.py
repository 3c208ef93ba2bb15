"""Logistic-regression probes with soft labels, many on one matrix solved as one problem.

Column j has its own targets and row weights and minimises

    f_j(w, b) = sum_i u_ij BCE(sigmoid(x_i w + b), y_ij) + l2 |w|^2,    u_j = weights / their sum,

the objective of the paper's code. `w2s.methods.logistic` solves all columns together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, finite, same_length
from w2s.errors import DegenerateError, W2SError
from w2s.methods.logistic import TOLERANCE, solve


@dataclass(frozen=True)
class Probes:
    """Fitted probes.

    Attributes:
        coef: float64 (d, b); NaN in columns without a solution.
        intercept: float64 (b,).
        gap: Upper bound on (f - min f) / f by duality, float64 (b,).
        reason: Per column why it has no solution, "" if it has one.
        single: Whether targets and weights were one-dimensional.
    """

    coef: Array
    intercept: Array
    gap: Array
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
    l2: float = 1e-3,
    device: str = "cpu",
) -> Probes:
    """Fit one probe per column of targets on a shared matrix (objective: see the module).

    Args:
        x: Activations, shape (n, d).
        targets: Soft or hard labels in [0, 1], shape (n,) or (n, b).
        weights: Non-negative weights of the rows, shape (n,) or (n, b), equal if not given; the
            loss of a column is its weighted mean, so a weight of 0 leaves the row out.
        l2: Weight of |w|^2, above 0; the bias is not penalised.
        device: Where to compute: `cpu`, `cuda`, or `cuda:N`.

    Returns:
        The probes. A column whose weights are all 0, whose weighted targets are all 0 or all 1 (the
        bias would be infinite), or that is not certified to 1e-6 is NaN with its reason.

    Raises:
        DegenerateError: no column has a solution.
        W2SError: shapes that do not fit, or values out of range.
    """
    probes = fit_columns(x, targets, weights=weights, l2=l2, device=device)
    if all(probes.reason):
        raise DegenerateError(f"probes: {probes.reason[0]}")
    return probes


def fit_columns(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    l2: float = 1e-3,
    device: str = "cpu",
) -> Probes:
    """The same as `fit_probes`, but without an error where no column has a solution."""
    rows, y, u, single = _inputs(x, targets, weights, l2)
    reason = list(_reasons(y, u))
    good = np.array([not why for why in reason])
    coef = np.full((rows.shape[1], y.shape[1]), np.nan)
    intercept, gap = np.full((2, y.shape[1]), np.nan)
    if good.any():
        share = u[:, good] / u[:, good].sum(axis=0)
        coef[:, good], intercept[good], gap[good] = solve(rows, y[:, good], share, l2, device)
    for j in np.flatnonzero(gap > TOLERANCE):
        reason[j] = f"found no solution within {TOLERANCE:g} of the minimum (gap {gap[j]:.1e})"
        coef[:, j] = intercept[j] = np.nan
    return Probes(coef, intercept, gap, tuple(reason), single)


def _inputs(x: Any, targets: Any, weights: Any, l2: float) -> tuple[Array, Array, Array, bool]:
    rows = finite(x, "activations", ndim=2)
    columns = [np.asarray(targets), np.ones(len(rows)) if weights is None else np.asarray(weights)]
    single = all(column.ndim == 1 for column in columns)
    y, u = (
        finite(column[:, None] if column.ndim == 1 else column, name, ndim=2, dtype=np.float64)
        for column, name in zip(columns, ("targets", "weights"), strict=True)
    )
    same_length("targets", y, "activations", len(rows))
    same_length("weights", u, "activations", len(rows))
    if 1 not in (y.shape[1], u.shape[1]) and y.shape[1] != u.shape[1]:
        raise W2SError(f"weights: found {u.shape[1]} columns, expected {y.shape[1]} as in targets")
    if not y.size or y.min() < 0 or y.max() > 1:
        raise W2SError("targets: found none, or values outside [0, 1]; expected soft labels")
    if u.min() < 0:
        raise W2SError(f"weights: found {u.min():g}, expected values of 0 or more")
    if not l2 > 0:
        raise W2SError(f"l2: found {l2:g}, expected a value above 0")
    y, u = np.broadcast_arrays(y, u)
    return rows, y, u, single


def _reasons(y: Array, u: Array) -> Iterator[str]:
    """Why each column has no solution, "" if it has one."""
    used = u > 0
    largest = np.where(used, y, -np.inf).max(axis=0)
    smallest = np.where(used, y, np.inf).min(axis=0)
    for low, high in zip(smallest, largest, strict=True):
        if low > high:
            yield "found no row with a weight above 0"
        elif high == 0 or low == 1:
            yield f"found only targets equal to {low:g}, expected both classes"
        else:
            yield ""
