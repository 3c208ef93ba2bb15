"""Many different small logistic regressions, each with its own rows, solved together.

Problem r, column j minimises the objective of `w2s.probes.probes`,

    f(w, b) = sum_i u_i BCE(sigmoid(x_i w + b), y_i) + l2 |w|^2,    u = weights / their sum.

`w2s.probes.solver` shares one matrix between columns. Here every problem has its own small one,
so damped Newton steps with stacked Hessians are fastest: some six steps, whatever the penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, finite, in_unit_interval
from w2s.errors import W2SError

TOLERANCE = 1e-6  # relative optimality gap that every problem reaches, as for the probes
MAX_STEPS = 100  # Newton needs 5 to 15 steps; separable data with hardly any penalty more
BLOCK = 2**18  # numbers in the rows of a block: 2 MB, so that a step stays in the cache
EPSILON = float(np.finfo(np.float64).eps)
FEASIBLE = 1e-9  # sum u (q - y), relative to the objective, that counts as 0


@dataclass(frozen=True)
class Fits:
    """Fitted logistic regressions.

    Attributes:
        coef: float64 (R, d), or (R, d, b) where targets or weights had columns; NaN where `reason`
            is not empty.
        intercept: float64 (R,) or (R, b), likewise.
        gap: Upper bound on (f - min f) / f by duality, float64 (R,) or (R, b).
        reason: Why there is no solution, "" if there is one, str (R,) or (R, b).
    """

    coef: Array
    intercept: Array
    gap: Array
    reason: Array

    def logits(self, x: npt.ArrayLike) -> Array:
        """Logits of other rows of the same problems, float64.

        Args:
            x: Rows, shape (R, m, d).

        Returns:
            Shape (R, m), or (R, m, b); NaN where there is no solution.

        Raises:
            W2SError: another number of problems or another width than fitted, or not finite.
        """
        rows = finite(x, "x", ndim=3, dtype=np.float64)
        if (rows.shape[0], rows.shape[2]) != self.coef.shape[:2]:
            raise W2SError(f"x: found {rows.shape}, expected {self.coef.shape[:2]} as fitted")
        many = self.coef if self.coef.ndim == 3 else self.coef[..., None]
        logits = rows @ many + self.intercept.reshape(len(rows), 1, -1)  # (R, m, b)
        return logits if self.coef.ndim == 3 else logits[..., 0]


def fit_batch(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    l2: npt.ArrayLike = 1e-3,
    block: int = BLOCK,
) -> Fits:
    """Fit one logistic regression per problem, or per problem and column (objective: see module).

    A problem's solution does not depend on the problems it is solved together with, beyond
    rounding: steps, step sizes and the end are its own.

    Args:
        x: Rows, shape (R, n, d).
        targets: Soft or hard labels in [0, 1], shape (R, n) or (R, n, b).
        weights: Non-negative weights of the rows, shape (R, n) or (R, n, b), equal if not given.
        l2: Weight of |w|^2, above 0, a number or one for each problem, (R,); the bias is not
            penalised. scikit-learn's C over n rows is l2 = 1 / (2 n C).
        block: Numbers of `x` solved at a time; bounds the working memory to some 30 bytes each.

    Returns:
        The fits. Where all weights are 0, where the weighted targets are all 0 or all 1 (the bias
        would be infinite), or where the gap stays above 1e-6, NaN with the reason.

    Raises:
        W2SError: shapes that do not fit, or values out of range.
    """
    rows, y, u, many = _checked(x, targets, weights)
    penalty = _penalties(l2, len(rows))
    count, n, d = rows.shape
    b = y.shape[2]
    reason = _lacking(y, u)  # (R, b)
    theta, gap = np.full((count, d + 1, b), np.nan), np.full((count, b), np.nan)
    size = max(1, block // max(1, n * (d + 1)))
    for j in range(b):
        good = np.flatnonzero(reason[:, j] == "")
        for start in range(0, len(good), size):
            part = good[start : start + size]
            share = u[part, :, j] / u[part, :, j].sum(axis=1, keepdims=True)
            stack = _Stack(_with_ones(rows[part]), y[part, :, j], share, penalty[part])
            theta[part, :, j], gap[part, j] = _solve(stack)
    for at in zip(*np.nonzero(gap > TOLERANCE), strict=True):
        reason[at] = f"found no solution within {TOLERANCE:g} of the minimum (gap {gap[at]:.1e})"
        theta[at[0], :, at[1]] = np.nan
    if not many:
        return Fits(theta[:, :-1, 0], theta[:, -1, 0], gap[:, 0], reason[:, 0])
    return Fits(theta[:, :-1], theta[:, -1], gap, reason)


def _checked(
    x: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike | None
) -> tuple[Array, Array, Array, bool]:
    """Rows (R, n, d), targets and weights (R, n, b), and whether there are columns."""
    rows = finite(x, "x", ndim=3, dtype=np.float64)
    given = np.ones(rows.shape[:2]) if weights is None else weights
    y = array_of(targets, "targets", dtype=np.float64)
    u = array_of(given, "weights", dtype=np.float64)
    many = y.ndim == 3 or u.ndim == 3
    full = []
    for side, name in ((y, "targets"), (u, "weights")):
        cube = finite(side if side.ndim == 3 else side[..., None], name, ndim=3)
        if cube.shape[:2] != rows.shape[:2]:
            raise W2SError(f"{name}: found {cube.shape[:2]}, expected {rows.shape[:2]} as in x")
        full.append(cube)
    y, u = full
    if 1 not in (y.shape[2], u.shape[2]) and y.shape[2] != u.shape[2]:
        raise W2SError(f"weights: found {u.shape[2]} columns, expected {y.shape[2]} as in targets")
    y = in_unit_interval(y, "targets")
    if u.size and u.min() < 0:
        raise W2SError(f"weights: found {u.min():g}, expected values of 0 or more")
    y, u = np.broadcast_arrays(y, u)
    return rows, y, u, many


def _penalties(l2: npt.ArrayLike, count: int) -> Array:
    """Penalty of each problem, (R,)."""
    given = np.asarray(l2, dtype=np.float64)
    if given.shape not in ((), (count,)):
        raise W2SError(f"l2: found shape {given.shape}, expected a number or ({count},)")
    if not (given > 0).all() or not np.isfinite(given).all():
        raise W2SError("l2: found a value that is not above 0, expected positive numbers")
    return np.broadcast_to(given, (count,))


def _lacking(y: Array, u: Array) -> Array:
    """Why there is no solution, "" if there is one, object (R, b)."""
    total, ones, zeros = u.sum(axis=1), (u * y).sum(axis=1), (u * (1 - y)).sum(axis=1)
    reason = np.full(total.shape, "", dtype=object)
    reason[zeros == 0] = "found only targets equal to 1, expected both classes"
    reason[ones == 0] = "found only targets equal to 0, expected both classes"
    reason[total == 0] = "found no row with a weight above 0"
    return reason


def _with_ones(rows: Array) -> Array:
    """Rows with a last column of ones for the bias, (R, n, d + 1)."""
    wide = np.ones((*rows.shape[:2], rows.shape[2] + 1))
    wide[..., :-1] = rows
    return wide


@dataclass(frozen=True)
class _Stack:
    """Problems solved together: rows with ones (r, n, d + 1), targets, weights (r, n), l2 (r,)."""

    x: Array
    y: Array
    u: Array
    l2: Array

    def select(self, keep: Array) -> _Stack:
        """Some of the problems."""
        return _Stack(self.x[keep], self.y[keep], self.u[keep], self.l2[keep])

    def logits(self, theta: Array) -> Array:
        """Logits (r, n) at coefficients and bias (r, d + 1)."""
        logits: Array = np.matmul(self.x, theta[..., None])[..., 0]
        return logits

    def objective(self, logits: Array, theta: Array) -> Array:
        """Objectives (r,)."""
        # both parts of the loss without cancellation: separable data end at losses near 0
        loss = self.y * np.logaddexp(0, -logits) + (1 - self.y) * np.logaddexp(0, logits)
        value: Array = (self.u * loss).sum(axis=1) + self.l2 * (theta[:, :-1] ** 2).sum(axis=1)
        return value

    def gradient(self, theta: Array, residual: Array) -> Array:
        """Gradients (r, d + 1) for weighted residuals (r, n)."""
        gradient: Array = np.matmul(residual[:, None, :], self.x)[:, 0]
        gradient[:, :-1] += 2 * self.l2[:, None] * theta[:, :-1]
        return gradient


@dataclass(frozen=True)
class _State:
    """Where each problem is: coefficients (r, d + 1), their logits (r, n) and objective (r,)."""

    theta: Array
    logits: Array
    value: Array

    def select(self, keep: Array) -> _State:
        """Some of the problems."""
        return _State(self.theta[keep], self.logits[keep], self.value[keep])


def _solve(stack: _Stack) -> tuple[Array, Array]:
    """Minima (r, d + 1) and gaps (r,) by damped Newton steps; a solved problem leaves the stack."""
    begin = np.zeros((len(stack.x), stack.x.shape[2]))
    mean = (stack.u * stack.y).sum(axis=1)
    begin[:, -1] = np.log(mean) - np.log1p(-np.minimum(mean, 1 - EPSILON))
    logits = stack.logits(begin)
    state = _State(begin, logits, stack.objective(logits, begin))
    theta, gap, left = begin.copy(), np.full(len(begin), np.inf), np.arange(len(begin))
    for step in range(MAX_STEPS + 1):
        p, q = np.exp(-np.logaddexp(0, -state.logits)), np.exp(-np.logaddexp(0, state.logits))
        residual = stack.u * ((1 - stack.y) * p - stack.y * q)  # u (p - y) without cancellation
        variance = stack.u * p * q
        theta[left], gap[left] = _certified(stack, state, residual, variance)
        keep = ~(gap[left] <= TOLERANCE)
        if step == MAX_STEPS or not keep.any():
            break
        if not keep.all():
            left, stack, state = left[keep], stack.select(keep), state.select(keep)
            residual, variance = residual[keep], variance[keep]
        direction, slope = _newton(stack, state, residual, variance)
        state = _searched(stack, state, direction, slope)
    return theta, gap


def _certified(
    stack: _Stack, state: _State, residual: Array, variance: Array
) -> tuple[Array, Array]:
    """The same coefficients with a better bias, and a bound on each relative gap, (r,).

    The bound of `w2s.probes.problem.certify`, on stacked problems: the bias takes a Newton step s,
    the dual point q = p + s p (1 - p) makes the slope 0, and the duality gap is at most
    |X'u(q - y) + 2 l2 w|^2 / (4 l2) + s^4 sum u p (1 - p) for |s| below 0.4.
    """
    slope, bend = residual.sum(axis=1), variance.sum(axis=1)
    shift = -slope / np.where(bend > 0, bend, np.inf)
    moved = state.theta.copy()
    moved[:, -1] += shift
    gradient = stack.gradient(moved, residual + shift[:, None] * variance)
    bound = (gradient[:, :-1] ** 2).sum(axis=1) / (4 * stack.l2) + bend * shift**4
    lowest = state.value + slope * shift - bound
    sound = (np.abs(shift) < 0.4) & (np.abs(gradient[:, -1]) <= FEASIBLE * lowest) & (lowest > 0)
    return moved, np.where(sound, bound / np.where(sound, lowest, 1), np.inf)


def _newton(stack: _Stack, state: _State, residual: Array, variance: Array) -> tuple[Array, Array]:
    """Newton directions (r, d + 1) and the slopes along them, (r,)."""
    gradient = stack.gradient(state.theta, residual)
    hessian = np.matmul((stack.x * variance[..., None]).swapaxes(1, 2), stack.x)  # (r, d+1, d+1)
    diagonal = np.arange(stack.x.shape[2])
    trace = hessian[:, diagonal, diagonal].sum(axis=1) + stack.l2
    hessian[:, diagonal[:-1], diagonal[:-1]] += 2 * stack.l2[:, None]
    hessian[:, diagonal, diagonal] += EPSILON * trace[:, None]  # all p (1 - p) may vanish
    direction = -np.linalg.solve(hessian, gradient[..., None])[..., 0]
    return direction, (gradient * direction).sum(axis=1)


def _searched(stack: _Stack, state: _State, direction: Array, slope: Array) -> _State:
    """The problems after steps that are halved until each objective falls enough (Armijo)."""
    change = stack.logits(direction)
    size = np.ones(len(slope))
    while True:
        theta = state.theta + size[:, None] * direction
        logits = state.logits + size[:, None] * change
        value = stack.objective(logits, theta)
        # at the end of float64 a step may not lower a sum any more: that is no reason to shrink
        enough = value <= state.value + 1e-4 * size * slope + 4 * EPSILON * state.value
        wrong = ~enough & (size > EPSILON)
        if not wrong.any():
            return _State(theta, logits, value)
        size[wrong] /= 2
