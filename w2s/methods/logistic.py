"""The batched solver behind the probes: L-BFGS on many logistic regressions at once.

Matrix products serve all columns; directions, steps and stopping are each column's own. Centred
columns and the inverse of the pool's regularised covariance as the first inverse Hessian keep the
number of steps small, whatever the spectrum. A duality gap certifies every column in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from w2s.checks import Array

TOLERANCE = 1e-6  # relative optimality gap that every column reaches
MEMORY = 10  # pairs of L-BFGS
MAX_STEPS = 300
CURVATURE = 0.15  # typical p (1 - p) of a fitted probe: scale of the first inverse Hessian
SLOPE = 0.4  # a step is accepted when the slope along it has shrunk to this share


def solve(x: Array, y: Array, u: Array, l2: float, device: str) -> tuple[Array, Array, Array]:
    """Coefficients (d, b), intercepts (b,) and gaps (b,) of columns that have a solution.

    float32 first; columns whose certificate in float64 is not reached go on in float64.
    """
    centre = x.mean(axis=0, dtype=np.float64)
    scale = float(np.abs(x - centre).max()) or 1.0  # squares stay finite in float32
    columns = Problem.build((x - centre) / scale, y, u, l2 * scale**-2, device, torch.float64)
    start = torch.zeros(x.shape[1] + 1, y.shape[1], dtype=torch.float64, device=device)
    mean = (columns.u * columns.y).sum(0)
    start[-1] = torch.log(mean) - torch.log1p(-mean)
    theta = _minimise(columns.to(torch.float32), start.float()).double()
    theta, gap = columns.certify(theta)
    left = torch.nonzero(gap > TOLERANCE)[:, 0]
    if len(left):
        part = columns.select(left)
        theta[:, left], gap[left] = part.certify(_minimise(part, theta[:, left]))
    solution = theta.cpu().numpy()
    coef = solution[:-1] / scale
    return coef, solution[-1] - centre @ coef, gap.cpu().numpy()


@dataclass(frozen=True)
class Problem:
    """Columns on one matrix, in coordinates theta = [w; b].

    Attributes:
        x: Centred, scaled rows, (n, d).
        y, u: Targets and normalised weights, (n, b).
        inverse: First inverse Hessian of w, (d, d).
        l2: Penalty, in the coordinates of `x`.
    """

    x: Any
    y: Any
    u: Any
    inverse: Any
    l2: float

    @classmethod
    def build(cls, x: Array, y: Array, u: Array, l2: float, device: str, dtype: Any) -> Problem:
        """Matrix, columns and preconditioner in `dtype` on `device`."""
        rows = torch.as_tensor(x, dtype=torch.float32, device=device)
        hessian = (rows.T @ rows).double() * (CURVATURE / len(rows))  # (d, d)
        level = 2 * l2 + 1e-7 * float(hessian.diagonal().mean())  # keeps float32 noise positive
        hessian.diagonal().add_(level)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        y_, u_ = (torch.tensor(side, dtype=dtype, device=device) for side in (y, u))
        full = torch.as_tensor(x, dtype=dtype, device=device)
        return cls(full, y_, u_, inverse.to(dtype), l2)

    def to(self, dtype: Any) -> Problem:
        """The same problem in another dtype."""
        return Problem(
            self.x.to(dtype), self.y.to(dtype), self.u.to(dtype), self.inverse.to(dtype), self.l2
        )

    def select(self, columns: Any) -> Problem:
        """The problem of some of the columns."""
        return Problem(self.x, self.y[:, columns], self.u[:, columns], self.inverse, self.l2)

    def logits(self, theta: Any) -> Any:
        """Logits (n, b)."""
        return self.x @ theta[:-1] + theta[-1]  # (n, b)

    def gradient(self, theta: Any, logits: Any) -> Any:
        """Gradient (d + 1, b) at theta, whose logits are given."""
        residual = self.u * (torch.sigmoid(logits) - self.y)
        data = torch.cat([self.x.T @ residual, residual.sum(0, keepdim=True)])  # (d + 1, b)
        data[:-1] += 2 * self.l2 * theta[:-1]
        return data

    def precondition(self, gradient: Any) -> Any:
        """First inverse Hessian times gradient."""
        return torch.cat([self.inverse @ gradient[:-1], gradient[-1:] / CURVATURE])

    def objective(self, theta: Any, logits: Any) -> Any:
        """Objective of each column, (b,)."""
        loss = torch.nn.functional.softplus(logits) - self.y * logits
        return (self.u * loss).sum(0) + self.l2 * (theta[:-1] ** 2).sum(0)  # (b,)

    def certify(self, theta: Any) -> tuple[Any, Any]:
        """The same coefficients with the best bias, and a bound on the relative gap.

        At the best bias sum_i u_i (p_i - y_i) = 0, so q = p is feasible for the dual problem
        max -sum u (q log q + (1-q) log(1-q)) - |X'u(q-y)|^2 / (4 l2), and the duality gap is
        |gradient|^2 / (4 l2).
        """
        theta = theta.clone()
        logits = self.logits(theta)
        for _ in range(BIAS_STEPS):
            p = torch.sigmoid(logits)
            slope = (self.u * (p - self.y)).sum(0)
            bend = (self.u * p * (1 - p)).sum(0)
            step = torch.nan_to_num(slope / bend, nan=0.0).clamp(-1, 1)
            theta[-1] -= step
            logits -= step
        gradient = self.gradient(theta, logits)[:-1]
        bound = (gradient**2).sum(0) / (4 * self.l2)
        return theta, bound / self.objective(theta, logits)


BIAS_STEPS = 4  # Newton steps in one dimension from a point where the bias is nearly best


def _minimise(problem: Problem, theta: Any) -> Any:
    """Preconditioned L-BFGS on all columns from `theta`, (d + 1, b)."""
    theta = theta.clone()
    logits = problem.logits(theta)
    gradient = problem.gradient(theta, logits)
    pairs: list[tuple[Any, Any, Any]] = []
    for step in range(MAX_STEPS):
        if step % CHECK_EVERY == 0 and _done(problem, theta, logits, gradient):
            break
        direction = -_two_loop(problem, gradient, pairs)
        along = problem.x @ direction[:-1] + direction[-1]  # (n, b)
        size = _step_size(problem, theta, direction, logits, along)
        move = size * direction
        theta, logits = theta + move, logits + size * along
        new = problem.gradient(theta, logits)
        change = new - gradient
        curvature = (move * change).sum(0)
        safe = torch.where(curvature > 0, 1 / curvature, torch.zeros_like(curvature))
        pairs = [*pairs[-MEMORY + 1 :], (move, change, safe)]
        gradient = new
    return theta


CHECK_EVERY = 2  # steps between looks at the gap: on a GPU each look waits for the device


def _done(problem: Problem, theta: Any, logits: Any, gradient: Any) -> bool:
    bound = (gradient[:-1] ** 2).sum(0) / (4 * problem.l2) + gradient[-1] ** 2 / CURVATURE
    return bool((bound <= 0.5 * TOLERANCE * problem.objective(theta, logits)).all())


def _two_loop(problem: Problem, gradient: Any, pairs: list[tuple[Any, Any, Any]]) -> Any:
    """L-BFGS product with the inverse Hessian; a pair without curvature counts for nothing."""
    q = gradient.clone()
    alphas = []
    for move, change, inverse in reversed(pairs):
        alpha = inverse * (move * q).sum(0)
        q -= alpha * change
        alphas.append(alpha)
    r = problem.precondition(q)
    for (move, change, inverse), alpha in zip(pairs, reversed(alphas), strict=True):
        r += (alpha - inverse * (change * r).sum(0)) * move
    return r


def _step_size(problem: Problem, theta: Any, direction: Any, logits: Any, along: Any) -> Any:
    """Step of each column, (b,): 1, corrected by Newton steps until the slope has shrunk enough.

    The logits move linearly, so this takes no matrix product. The slope along a line of a convex
    function only grows, so a slope near 0 is a near-exact minimum.
    """
    w, d = theta[:-1], direction[:-1]
    linear, square = 2 * problem.l2 * (w * d).sum(0), 2 * problem.l2 * (d * d).sum(0)
    slope0 = (problem.u * (torch.sigmoid(logits) - problem.y) * along).sum(0) + linear
    size = torch.ones_like(slope0)
    low, high = torch.zeros_like(size), torch.full_like(size, torch.inf)
    for _ in range(LINE_STEPS):
        p = torch.sigmoid(logits + size * along)
        slope = (problem.u * (p - problem.y) * along).sum(0) + linear + size * square
        bend = (problem.u * p * (1 - p) * along**2).sum(0) + square
        bad = slope.abs() > SLOPE * slope0.abs()
        low, high = torch.where(slope < 0, size, low), torch.where(slope > 0, size, high)
        newton = size - slope / bend
        inside = (newton > low) & (newton < high)
        middle = torch.where(high.isinf(), 2 * size, (low + high) / 2)
        size = torch.where(bad, torch.where(inside, newton, middle), size)
    return size


LINE_STEPS = 3
