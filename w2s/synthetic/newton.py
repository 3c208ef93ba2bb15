"""Many different small logistic regressions, each with its own rows, solved together.

Problem r minimises the objective of `w2s.probes.probes` with equal weights of its n rows,

    f(w, b) = sum_i BCE(sigmoid(x_i w + b), y_i) / n + l2 |w|^2.

`w2s.probes.solver` shares one matrix between columns. Here every problem has its own small one,
so damped Newton steps with stacked Hessians are fastest: some six steps, whatever the penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, finite, in_unit_interval
from w2s.errors import W2SError

TOLERANCE = 1e-6  # relative optimality gap that every problem reaches, as for the probes
MAX_STEPS = 100  # Newton needs 5 to 15 steps; separable data with hardly any penalty more
BLOCK = 2**18  # numbers in the rows solved at a time: 2 MB, so that a step stays in the cache
EPSILON = float(np.finfo(np.float64).eps)
FEASIBLE = 1e-9  # mean of q - y, relative to the objective, that counts as 0


@dataclass(frozen=True)
class Fits:
    """Fitted logistic regressions.

    Attributes:
        coef: float64 (R, d); NaN where `reason` is not empty.
        intercept: float64 (R,), likewise.
        gap: Upper bound on (f - min f) / f by duality, float64 (R,).
        reason: Why there is no solution, "" if there is one, str (R,).
    """

    coef: Array
    intercept: Array
    gap: Array
    reason: Array


def fit_batch(x: npt.ArrayLike, targets: npt.ArrayLike, *, l2: float) -> Fits:
    """Fit one logistic regression per problem (objective: see module).

    A problem's solution does not depend on the problems it is solved together with, beyond
    rounding: steps, step sizes and the end are its own.

    Args:
        x: Rows, shape (R, n, d).
        targets: Soft or hard labels in [0, 1], shape (R, n).
        l2: Weight of |w|^2, above 0; the bias is not penalised. scikit-learn's C over n rows is
            l2 = 1 / (2 n C).

    Returns:
        The fits. Where the targets are all 0 or all 1 (the bias would be infinite), or where the
        gap stays above 1e-6, NaN with the reason.

    Raises:
        W2SError: shapes that do not fit, or values out of range.
    """
    rows = finite(x, "x", ndim=3, dtype=np.float64)
    y = in_unit_interval(finite(targets, "targets", ndim=2, dtype=np.float64), "targets")
    if y.shape != rows.shape[:2]:
        raise W2SError(f"targets: found {y.shape}, expected {rows.shape[:2]} as in x")
    if not 0 < l2 < np.inf:
        raise W2SError(f"l2: found {l2:g}, expected a number above 0")
    count, n, d = rows.shape
    reason = np.full(count, "", dtype=object)
    for value in (1, 0):
        why = f"found only targets equal to {value}, expected both classes"
        reason[(y == value).all(axis=1)] = why
    theta, gap = np.full((count, d + 1), np.nan), np.full(count, np.nan)
    size = max(1, BLOCK // max(1, n * (d + 1)))
    good = np.flatnonzero(reason == "")
    for start in range(0, len(good), size):
        part = good[start : start + size]
        theta[part], gap[part] = _solve(_Stack(_with_ones(rows[part]), y[part], l2))
    for r in np.flatnonzero(gap > TOLERANCE):
        reason[r] = f"found no solution within {TOLERANCE:g} of the minimum (gap {gap[r]:.1e})"
        theta[r] = np.nan
    return Fits(theta[:, :-1], theta[:, -1], gap, reason)


def _with_ones(rows: Array) -> Array:
    """Rows with a last column of ones for the bias, (R, n, d + 1)."""
    wide = np.ones((*rows.shape[:2], rows.shape[2] + 1))
    wide[..., :-1] = rows
    return wide


@dataclass(frozen=True)
class _Stack:
    """Problems solved together: rows with ones (r, n, d + 1), targets (r, n), l2."""

    x: Array
    y: Array
    l2: float

    @property
    def share(self) -> float:
        """Weight of a row."""
        return float(1 / self.y.shape[1])

    def select(self, keep: Array) -> _Stack:
        """Some of the problems."""
        return _Stack(self.x[keep], self.y[keep], self.l2)

    def logits(self, theta: Array) -> Array:
        """Logits (r, n) at coefficients and bias (r, d + 1)."""
        logits: Array = np.matmul(self.x, theta[..., None])[..., 0]
        return logits

    def objective(self, logits: Array, theta: Array) -> Array:
        """Objectives (r,)."""
        # both parts of the loss without cancellation: separable data end at losses near 0
        loss = self.y * np.logaddexp(0, -logits) + (1 - self.y) * np.logaddexp(0, logits)
        value: Array = (self.share * loss).sum(axis=1) + self.l2 * (theta[:, :-1] ** 2).sum(axis=1)
        return value

    def gradient(self, theta: Array, residual: Array) -> Array:
        """Gradients (r, d + 1) for weighted residuals (r, n)."""
        gradient: Array = np.matmul(residual[:, None, :], self.x)[:, 0]
        gradient[:, :-1] += 2 * self.l2 * theta[:, :-1]
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
    mean = (stack.share * stack.y).sum(axis=1)
    begin[:, -1] = np.log(mean) - np.log1p(-np.minimum(mean, 1 - EPSILON))
    logits = stack.logits(begin)
    state = _State(begin, logits, stack.objective(logits, begin))
    theta, gap, left = begin.copy(), np.full(len(begin), np.inf), np.arange(len(begin))
    for step in range(MAX_STEPS + 1):
        p, q = np.exp(-np.logaddexp(0, -state.logits)), np.exp(-np.logaddexp(0, state.logits))
        residual = stack.share * ((1 - stack.y) * p - stack.y * q)  # (p - y) / n, not cancelled
        variance = stack.share * p * q
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
    |X'(q - y) / n + 2 l2 w|^2 / (4 l2) + s^4 sum p (1 - p) / n for |s| below 0.4.
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
    hessian[:, diagonal[:-1], diagonal[:-1]] += 2 * stack.l2
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
