"""The batched solver behind the probes: L-BFGS on many logistic regressions at once.

Matrix products serve all columns; directions, steps and stopping are each column's own. Centred
columns and the inverse of the pool's regularised covariance as the first inverse Hessian keep the
number of steps near ten, whatever the spectrum. A duality gap certifies every column in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.methods.arrays import Backend, backend, positive_inverse
from w2s.methods.newton import EPSILON, newton_column

TOLERANCE = 1e-6  # relative optimality gap that every column reaches
MEMORY = 10  # pairs of L-BFGS
MAX_STEPS = 300
CURVATURE = 0.15  # typical p (1 - p) of a fitted probe: scale of the first inverse Hessian
SLOPE = 0.4  # a step is accepted when the slope along it has shrunk to this share
LINE_STEPS = 20  # most corrections of a step; nearly always none or one is needed
BLIND_LINE_STEPS = 2  # corrections where looking waits for the device
SINGLE = (1e-10, 1e10)  # penalties, in scaled coordinates, that float32 can hold
BIAS_STEPS = 2  # Newton steps in one dimension from a point where the bias is nearly best
BIAS_ERROR = 1e-9  # slope of the bias, relative to the objective, that counts as none
BLIND_STEPS = 4  # steps between looks at the gap where looking waits for the device


@dataclass(frozen=True)
class Problem:
    """Columns on one matrix, in coordinates theta = [w; b], (d + 1, b).

    Attributes:
        ops: The array library.
        x: Centred, scaled rows, (n, d).
        y, u: Targets and normalised weights, (n, b).
        inverse: First inverse Hessian of w, (d, d).
        l2: Penalty, in the coordinates of `x`.
    """

    ops: Backend
    x: Any
    y: Any
    u: Any
    inverse: Any
    l2: float

    def select(self, columns: Any) -> Problem:
        """The problem of some of the columns."""
        y, u = self.y[:, columns], self.u[:, columns]
        return Problem(self.ops, self.x, y, u, self.inverse, self.l2)

    def logits(self, theta: Any) -> Any:
        """Logits (n, b)."""
        return self.x @ theta[:-1] + theta[-1]

    def residual(self, logits: Any) -> Any:
        """Weighted residuals u (p - y), (n, b)."""
        return self.u * (self.ops.sigmoid(logits) - self.y)

    def exact_residual(self, logits: Any) -> Any:
        """The same without cancellation where p is near y; costs a second sigmoid."""
        p, q = self.ops.sigmoid(logits), self.ops.sigmoid(-logits)
        return self.u * ((1 - self.y) * p - self.y * q)

    def gradient(self, theta: Any, residual: Any) -> Any:
        """Gradient (d + 1, b) at theta, whose residuals are given."""
        data = self.ops.xp.concatenate([self.x.T @ residual, residual.sum(0)[None]])
        data[:-1] += 2 * self.l2 * theta[:-1]
        return data

    def precondition(self, gradient: Any) -> Any:
        """First inverse Hessian times gradient."""
        first = self.inverse @ gradient[:-1]
        return self.ops.xp.concatenate([first, gradient[-1:] / CURVATURE])

    def objective(self, theta: Any, logits: Any) -> Any:
        """Objective of each column, (b,)."""
        softplus = self.ops.softplus
        loss = (1 - self.y) * softplus(logits) + self.y * softplus(-logits)
        return dot(self.u, loss) + self.l2 * dot(theta[:-1], theta[:-1])


def dot(a: Any, b: Any) -> Any:
    """Inner product of each column of `a` with that of `b`, (b,)."""
    return (a * b).sum(0)


def solve(x: Array, y: Array, u: Array, l2: float, device: str) -> tuple[Array, Array, Array]:
    """Coefficients (d, b), intercepts (b,) and relative gaps (b,) of columns that have a solution.

    float32 first; columns whose certificate in float64 is not reached go on in float64, and what
    then is left (separable data without much penalty, wild outliers) by Newton's method.

    Args:
        x: Rows, (n, d).
        y: Targets in [0, 1], (n, b), neither all 0 nor all 1 where weighted.
        u: Weights, (n, b), each column adding up to 1.
        l2: Penalty of the squared coefficients.
        device: `cpu` (NumPy), or a device of torch.
    """
    ops = backend(device)
    rows, centre, scale = standardised(x)
    penalty = l2 / scale**2
    inverse = ops.array(first_inverse(rows, penalty), double=True)
    x64, y64, u64 = (ops.array(side, double=True) for side in (rows, y, u))
    double = Problem(ops, x64, y64, u64, inverse, penalty)
    mean = (u * y).sum(axis=0)
    start = np.zeros((x.shape[1] + 1, y.shape[1]))
    start[-1] = np.log(mean) - np.log1p(-np.minimum(mean, 1 - EPSILON))
    theta = ops.array(start, double=True)
    gap = np.full(y.shape[1], np.inf)
    for solver in (minimise_single, minimise, newton):
        left = np.flatnonzero(~(gap <= TOLERANCE))
        if len(left) and (solver is not minimise_single or SINGLE[0] < penalty < SINGLE[1]):
            part = double.select(left)
            found, bound = certify(part, solver(part, theta[:, left]))
            better = ops.numpy(bound) < gap[left]  # False for NaN: a runaway is not kept
            theta[:, left[better]] = found[:, better]
            gap[left[better]] = ops.numpy(bound)[better]
    solution = ops.numpy(theta)
    coef = solution[:-1] / scale
    return coef, solution[-1] - centre @ coef, gap


def standardised(x: Array) -> tuple[Array, Array, float]:
    """Rows with centred columns and entries of at most 1, float64, with the centre and the scale.

    Differences at the level of rounding, as of constant columns, count as none.
    """
    centre = x.mean(axis=0, dtype=np.float64)
    rows = x - centre
    noise = 8 * EPSILON * np.abs(x).max(axis=0, initial=0)
    rows[:, np.abs(rows).max(axis=0, initial=0) <= noise] = 0
    scale = float(np.abs(rows).max(initial=0)) or 1.0
    return rows / scale, centre, scale


def first_inverse(rows: Array, l2: float) -> Array:
    """Inverse of CURVATURE X'X / n + 2 l2 I, float64 (d, d): near every column's inverse Hessian.

    Built once per matrix. The product is taken in float32, so the diagonal is raised by what keeps
    its rounding errors from making it indefinite.
    """
    narrow = rows.astype(np.float32)
    hessian = (narrow.T @ narrow).astype(np.float64) * (CURVATURE / len(rows))
    hessian[np.diag_indices_from(hessian)] += 2 * l2 + 1e-7 * np.trace(hessian) / len(hessian)
    return positive_inverse(hessian)


def certify(problem: Problem, theta: Any) -> tuple[Any, Any]:
    """The same coefficients with the best bias, and a bound on the relative gap of each column.

    At the best bias sum_i u_i (p_i - y_i) = 0, so q = p is feasible for the dual problem
    max -sum u (q log q + (1-q) log(1-q)) - |X'u(q-y)|^2 / (4 l2), and the duality gap is
    |gradient|^2 / (4 l2).
    """
    xp, ops = problem.ops.xp, problem.ops
    logits = problem.logits(theta)
    shift = xp.zeros_like(theta[-1])
    for _ in range(BIAS_STEPS):
        slope = problem.exact_residual(logits + shift).sum(0)
        p = ops.sigmoid(logits + shift)
        bend = dot(problem.u, p * (1 - p))
        step = slope / xp.where(bend > 0, bend, xp.ones_like(bend))
        shift = shift - xp.clip(step, -1, 1)
    theta = xp.concatenate([theta[:-1], (theta[-1] + shift)[None]])
    logits = logits + shift
    gradient = problem.gradient(theta, problem.exact_residual(logits))
    bound = dot(gradient[:-1], gradient[:-1]) / (4 * problem.l2)
    lowest = problem.objective(theta, logits) - bound
    best_bias = xp.abs(gradient[-1]) <= BIAS_ERROR * lowest
    return theta, xp.where(best_bias & (lowest > 0), bound / lowest, xp.full_like(bound, xp.inf))


def minimise_single(problem: Problem, theta: Any) -> Any:
    """`minimise` in float32, float64 in and out."""
    ops = problem.ops
    x, y, u, inverse, start = (
        ops.array(ops.numpy(side), double=False)
        for side in (problem.x, problem.y, problem.u, problem.inverse, theta)
    )
    found = minimise(Problem(ops, x, y, u, inverse, problem.l2), start)
    return ops.array(ops.numpy(found), double=True)


def newton(problem: Problem, theta: Any) -> Any:
    """Newton's method in float64 on one column after another, for what L-BFGS leaves.

    Full Hessian, steps halved until the objective falls enough (Armijo); slow and steady.
    """
    ops = problem.ops
    x = np.column_stack([ops.numpy(problem.x), np.ones(len(problem.y))])
    penalty = np.full(x.shape[1], 2 * problem.l2)
    penalty[-1] = 0
    found = np.array(ops.numpy(theta))
    for j in range(found.shape[1]):
        y, u = ops.numpy(problem.y)[:, j], ops.numpy(problem.u)[:, j]
        found[:, j] = newton_column(x, y, u, penalty, found[:, j])
    return ops.array(found, double=True)


def minimise(problem: Problem, theta: Any) -> Any:
    """Preconditioned L-BFGS on all columns from `theta`, (d + 1, b)."""
    xp = problem.ops.xp
    logits = problem.logits(theta)
    residual = problem.residual(logits)
    gradient = problem.gradient(theta, residual)
    pairs: list[tuple[Any, Any, Any]] = []
    for step in range(MAX_STEPS):
        look = problem.ops.eager or step % BLIND_STEPS == 0
        if look and is_done(problem, theta, logits, gradient):
            break
        direction = -_two_loop(problem, gradient, pairs)
        along = problem.x @ direction[:-1] + direction[-1]  # (n, b)
        size, residual = _line_search(problem, theta, direction, gradient, logits, along)
        move = size * direction
        theta, logits = theta + move, logits + size * along
        new = problem.gradient(theta, residual)
        change = new - gradient
        curvature = dot(move, change)
        usable = curvature > 0
        inverse = xp.where(usable, 1 / xp.where(usable, curvature, 1), xp.zeros_like(curvature))
        pairs = [*pairs[-MEMORY + 1 :], (move, change, inverse)]
        gradient = new
    return theta


def is_done(problem: Problem, theta: Any, logits: Any, gradient: Any) -> bool:
    """Whether every column's gap is below half the tolerance, as far as this precision can tell."""
    bound = dot(gradient[:-1], gradient[:-1]) / (4 * problem.l2) + gradient[-1] ** 2 / CURVATURE
    if bool((bound > TOLERANCE).any()):  # the objective ends below log 2
        return False
    return bool((bound <= 0.5 * TOLERANCE * problem.objective(theta, logits)).all())


def _two_loop(problem: Problem, gradient: Any, pairs: list[tuple[Any, Any, Any]]) -> Any:
    """L-BFGS product with the inverse Hessian; a pair without curvature counts for nothing."""
    q = gradient + 0  # a copy
    alphas = []
    for move, change, inverse in reversed(pairs):
        alpha = inverse * dot(move, q)
        q -= alpha * change
        alphas.append(alpha)
    r = problem.precondition(q)
    for (move, change, inverse), alpha in zip(pairs, reversed(alphas), strict=True):
        r += (alpha - inverse * dot(change, r)) * move
    return r


def _line_search(
    problem: Problem, theta: Any, direction: Any, gradient: Any, logits: Any, along: Any
) -> tuple[Any, Any]:
    """Step of each column, (b,), and the residuals there, (n, b).

    The logits move linearly, so this takes no matrix product. Along a line the slope of a convex
    function only grows, so a slope near 0 is a near-exact minimum; a step of 1 that leaves too much
    slope is corrected by Newton's method, kept inside the bracket known so far.
    """
    xp = problem.ops.xp
    linear = 2 * problem.l2 * dot(theta[:-1], direction[:-1])
    square = 2 * problem.l2 * dot(direction[:-1], direction[:-1])
    target = SLOPE * xp.abs(dot(gradient, direction))
    size = xp.ones_like(target)
    low, high = xp.zeros_like(size), xp.full_like(size, xp.inf)
    residual = problem.residual(logits + along)
    for _ in range(LINE_STEPS if problem.ops.eager else BLIND_LINE_STEPS):
        slope = dot(residual, along) + linear + size * square
        bad = xp.abs(slope) > target
        if problem.ops.eager and not bool(bad.any()):
            break
        low, high = xp.where(slope < 0, size, low), xp.where(slope > 0, size, high)
        p = problem.ops.sigmoid(logits + size * along)
        newton = size - slope / (dot(problem.u, p * (1 - p) * along**2) + square)
        middle = xp.where(xp.isinf(high), 2 * size, (low + high) / 2)
        better = xp.where((newton > low) & (newton < high), newton, middle)
        size = xp.where(bad, better, size)
        residual = problem.residual(logits + size * along)
    return size, residual
