"""The solver behind the probes: many logistic regressions on one matrix as one problem.

Columns that use about as many rows share a chunk. A chunk takes the rows that any of its columns
uses, and its matrix products serve all of them. A duality gap certifies every column in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError
from w2s.probes.arrays import backend
from w2s.probes.lbfgs import minimise
from w2s.probes.problem import CURVATURE, Preconditioner, Problem, certify

TOLERANCE = 1e-6  # relative optimality gap that every column reaches
SINGLE = (1e-10, 1e10)  # penalties, in scaled coordinates, that float32 can hold
CHUNK = 128  # most columns: more make no product faster, and fewer leave more rows out
CLOSER = 1e-3  # share of the tolerance to aim at where the certificate was just missed
TINY = 1e-150  # its square and that of its inverse are numbers of float64
SMALL = 1e-6  # penalties below this get few steps of Newton's method before all
ENOUGH = 1e-12  # decrement relative to the objective that ends these: far below what is certified
MAX_STEPS = 300  # of Newton's method
EPSILON = float(np.finfo(np.float64).eps)
SPARSE = 0.8  # share of the rows in use below which copying them pays


@dataclass(frozen=True)
class Matrix:
    """Rows with centred columns and entries of at most 1, float64 and float32, (n, d).

    Attributes:
        exact: (x - centre) / scale.
        narrow: The same in float32.
        centre: Mean of each column, (d,).
        scale: A power of 2, so that dividing by it is exact.
    """

    exact: Array
    narrow: Array
    centre: Array
    scale: float


def standardised(x: Array) -> Matrix:
    """The matrix of rows (n, d).

    Differences at the level of rounding, as of constant columns, count as none, and so do those
    whose squares float64 does not hold: under any penalty they move no probability.

    Raises:
        W2SError: differences so large that float64 does not hold their squares.
    """
    centre = x.mean(axis=0, dtype=np.float64)
    exact = x - centre
    largest, smallest = exact.max(axis=0, initial=0), exact.min(axis=0, initial=0)
    peak = np.maximum(largest, -smallest)
    noise = 8 * EPSILON * (np.abs(centre) + peak)
    constant = peak <= np.maximum(noise, TINY)
    exact[:, constant] = 0
    peak = float(np.where(constant, 0, peak).max(initial=0))
    if peak > 1 / TINY:
        raise W2SError(f"activations: found differences of {peak:g}, expected below {1 / TINY:g}")
    scale = float(np.exp2(np.ceil(np.log2(peak)))) if peak else 1.0
    exact /= scale
    return Matrix(exact, exact.astype(np.float32), centre, scale)


@dataclass(frozen=True)
class Solution:
    """What the solver found.

    Attributes:
        theta: Coefficients and bias in the coordinates of the solver's matrix, (d + 1, b).
        gap: Bound on the relative gap of each column, (b,); above the tolerance where it failed.
    """

    theta: Array
    gap: Array


class Solver:
    """A matrix, made ready once for any number of columns and penalties."""

    def __init__(self, x: Array, device: str) -> None:
        """Take rows (n, d) to a device: `cpu` (NumPy), or one of torch."""
        self.ops = backend(device)
        self.matrix = standardised(x)
        self.preconditioner = Preconditioner(self.ops, self.matrix.narrow, CURVATURE)

    def solve(
        self,
        y: Array,
        u: Array,
        l2: float,
        *,
        tolerance: float = TOLERANCE,
        start: Array | None = None,
    ) -> Solution:
        """Solve columns that have a solution.

        Args:
            y: Targets in [0, 1], (n, b), neither all 0 nor all 1 where weighted.
            u: Weights, (n, b), each column adding up to 1.
            l2: Penalty of the squared coefficients.
            tolerance: Relative optimality gap to reach.
            start: Coefficients to start at, as in `Solution.theta`; zeros if not given.
        """
        penalty = l2 / self.matrix.scale**2
        inverse = self.preconditioner.inverse(penalty, u)
        in_use = u > 0
        order = np.argsort(in_use.sum(axis=0), kind="stable")
        parts = -(-len(order) // CHUNK) if self.ops.eager else 1
        theta = np.empty((self.matrix.narrow.shape[1] + 1, y.shape[1]))
        gap = np.empty(y.shape[1])
        for columns in np.array_split(order, parts):
            used = in_use[:, columns].any(axis=1)
            rows = np.flatnonzero(used) if used.mean() < SPARSE else slice(None)
            sides = (np.take(side, columns, axis=1)[rows] for side in (y, u))
            y64, u64 = (self.ops.array(side, double=True) for side in sides)
            x64 = self.ops.array(self.matrix.exact[rows], double=True)
            narrow = self.ops.array(self.matrix.narrow[rows], double=False)
            part = Problem(self.ops, x64, narrow, y64, u64, inverse.select(columns), penalty)
            begin = None if start is None else start[:, columns]
            last = (_newton,) if l2 >= SMALL else (partial(_newton, enough=ENOUGH), _newton)
            theta[:, columns], gap[columns] = _certified(part, begin, tolerance, last)
        return Solution(theta, gap)

    def coefficients(self, solution: Solution) -> tuple[Array, Array]:
        """Coefficients (d, b) and intercepts (b,) on the rows as they were given."""
        coef = solution.theta[:-1] / self.matrix.scale
        return coef, solution.theta[-1] - self.matrix.centre @ coef


def _certified(
    problem: Problem,
    start: Array | None,
    tolerance: float,
    last: tuple[Callable[..., Any], ...],
) -> tuple[Array, Array]:
    """Coefficients (d + 1, b) in the problem's coordinates, and gaps (b,).

    float32 first; columns whose certificate in float64 is not reached go on in float64, and what
    then is left (separable data without much penalty, wild outliers) by the `last` ones, of
    Newton's method.
    """
    ops = problem.ops
    if start is None:
        mean = ops.numpy(ops.dot(problem.u, problem.y))
        start = np.zeros((problem.x.shape[1] + 1, len(mean)))
        start[-1] = np.log(mean) - np.log1p(-np.minimum(mean, 1 - EPSILON))
    theta = ops.array(start, double=True)
    gap = np.full(theta.shape[1], np.inf)
    for solver in (_single, minimise, _closer, *last):
        left = np.flatnonzero(~(gap <= tolerance))
        if not len(left) or (solver is _single and not SINGLE[0] < problem.l2 < SINGLE[1]):
            continue
        part = problem if len(left) == len(gap) else problem.select(left)
        found, bound = certify(part, solver(part, theta[:, left], tolerance))
        bound = ops.numpy(bound)
        better = bound < gap[left]  # False for NaN: a runaway is not kept
        theta[:, left[better]] = found[:, better]
        gap[left[better]] = bound[better]
    return ops.numpy(theta), gap


def _single(problem: Problem, theta: Any, tolerance: float) -> Any:
    """L-BFGS in float32, float64 in and out."""
    ops = problem.ops
    found = minimise(problem.single(), ops.narrow(theta), tolerance)
    return ops.array(ops.numpy(found), double=True)


def _closer(problem: Problem, theta: Any, tolerance: float) -> Any:
    """L-BFGS in float64 beyond the tolerance: where a gap was met but for the step of the bias."""
    return minimise(problem, theta, CLOSER * tolerance)


def _newton(problem: Problem, theta: Any, tolerance: float, enough: float = -np.inf) -> Any:
    """Newton's method in float64 on one column after another, for what L-BFGS leaves.

    It ends where float64 does, whatever the tolerance, or at 300 steps.
    """
    ops = problem.ops
    x = np.column_stack([ops.numpy(problem.x), np.ones(len(problem.y))])
    penalty = np.full(x.shape[1], 2 * problem.l2)
    penalty[-1] = 0
    y, u, found = (np.array(ops.numpy(side)) for side in (problem.y, problem.u, theta))
    for j in range(found.shape[1]):
        found[:, j] = newton_column(x, y[:, j], u[:, j], penalty, found[:, j], enough=enough)
    return ops.array(found, double=True)


def newton_column(
    x: Array, y: Array, u: Array, penalty: Array, theta: Array, *, enough: float = -np.inf
) -> Array:
    """Minimum of sum u BCE(sigmoid(x theta), y) + sum penalty theta^2 / 2, by damped Newton steps.

    Full Hessian; steps are halved until the objective falls enough (Armijo).

    Args:
        x: Rows with a last column of ones, float64 (n, d + 1).
        y: Targets in [0, 1], (n,).
        u: Weights that add up to 1, (n,).
        penalty: Twice the weight of each squared coefficient, 0 for the bias, (d + 1,).
        theta: Where to start, (d + 1,).
        enough: End where the decrement is this part of the objective; near a loss of 0 float64
            does not run out of digits, and only the number of steps would end it.

    Returns:
        The minimum, (d + 1,), as near as float64 gets.
    """

    def objective(point: Array) -> float:
        logits = x @ point
        # p and 1 - p without cancellation: near-separable data end at losses near 0
        loss = y * np.logaddexp(0, -logits) + (1 - y) * np.logaddexp(0, logits)
        return float(u @ loss + penalty @ point**2 / 2)

    value = objective(theta)
    for _ in range(MAX_STEPS):
        logits = x @ theta
        p, q = np.exp(-np.logaddexp(0, -logits)), np.exp(-np.logaddexp(0, logits))
        gradient = x.T @ (u * ((1 - y) * p - y * q)) + penalty * theta
        hessian = (x.T * (u * p * q)) @ x
        hessian[np.diag_indices_from(hessian)] += penalty + EPSILON * np.trace(hessian)
        step = np.linalg.lstsq(hessian, -gradient, rcond=None)[0]
        size, slope = 1.0, float(gradient @ step)
        if -slope <= enough * value:
            break
        while size > EPSILON and not objective(theta + size * step) <= value + 1e-4 * size * slope:
            size /= 2
        if size <= EPSILON:
            break
        theta = theta + size * step
        value = objective(theta)
    return theta
