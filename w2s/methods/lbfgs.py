"""Preconditioned L-BFGS on many logistic regressions at once (Liu and Nocedal, 1989).

Matrix products serve all columns; directions, steps and stopping are each column's own. Centred
columns and a good first inverse Hessian keep the number of steps near ten, whatever the spectrum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from w2s.methods.problem import CURVATURE, Problem, dot

MEMORY = 10  # pairs of L-BFGS
MAX_STEPS = 300
SLOPE = 0.4  # a step is accepted when the slope along it has shrunk to this share
LINE_STEPS = 20  # most corrections of a step; nearly always none or one is needed
BLIND_LINE_STEPS = 2  # corrections where looking waits for the device
BLIND_STEPS = 4  # steps between looks at the gap where looking waits for the device
LANES = 16  # columns of a product that take no longer than one: leaving out fewer saves nothing


def minimise(problem: Problem, theta: Any, tolerance: float) -> Any:
    """Coefficients (d + 1, b) whose relative gaps are below the tolerance, started at `theta`.

    As far as the precision of the problem's arrays allows: the caller certifies.
    """
    found = theta + 0  # a copy
    columns = np.arange(theta.shape[1])
    known = not bool((theta[:-1] != 0).any())  # no product where the logits are the bias
    logits = problem.y * 0 + theta[-1] if known else problem.logits(theta)
    residual = problem.residual(logits)
    gradient = problem.gradient(theta, residual)
    pairs: list[tuple[Any, Any, Any]] = []
    for step in range(MAX_STEPS):
        if problem.ops.eager or step % BLIND_STEPS == 0:
            done = _is_done(problem, theta, logits, gradient, tolerance)
            if bool(done.all()):
                break
            if problem.ops.eager and _lanes(done.size - done.sum()) < _lanes(done.size):
                found[:, columns[done]] = theta[:, done]
                left = ~done
                columns, problem = columns[left], problem.select(left)
                theta, logits, gradient = theta[:, left], logits[:, left], gradient[:, left]
                pairs = [(move[:, left], change[:, left], c[left]) for move, change, c in pairs]
        direction = -_two_loop(problem, gradient, pairs)
        along = problem.logits(direction)
        size, residual = _line_search(problem, theta, direction, gradient, logits, along)
        direction *= size
        along *= size
        theta, logits = theta + direction, logits + along
        new = problem.gradient(theta, residual)
        pairs = [*pairs[-MEMORY + 1 :], _pair(problem, direction, new - gradient)]
        gradient = new
    found[:, columns] = theta
    return found


def _pair(problem: Problem, move: Any, change: Any) -> tuple[Any, Any, Any]:
    """A step, the change of the gradient, and 1 / their product, 0 where that is not positive."""
    xp = problem.ops.xp
    curvature = dot(move, change)
    usable = curvature > 0
    return move, change, usable / xp.where(usable, curvature, xp.ones_like(curvature))


def _is_done(problem: Problem, theta: Any, logits: Any, gradient: Any, tolerance: float) -> Any:
    """Whether each column's gap is below half the tolerance, as far as the precision can tell."""
    bound = dot(gradient[:-1], gradient[:-1]) / (4 * problem.l2) + gradient[-1] ** 2 / CURVATURE
    near = bound <= tolerance  # the objective ends below log 2, so none else can be done
    if problem.ops.eager and _lanes(near.size - near.sum()) == _lanes(near.size):
        return near & False
    return bound <= 0.5 * tolerance * problem.objective(theta, logits)


def _lanes(columns: int) -> int:
    """What a product with so many columns costs."""
    return -(-columns // LANES)


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
