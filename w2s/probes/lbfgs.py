"""Preconditioned L-BFGS on many logistic regressions at once (Liu and Nocedal, 1989).

Matrix products serve all columns; directions, steps and stopping are each column's own. Centred
columns and a good first inverse Hessian keep the number of steps near ten, whatever the spectrum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from w2s.probes.arrays import WIDE
from w2s.probes.problem import CURVATURE, Problem

MEMORY = 10  # pairs of L-BFGS
MAX_STEPS = 300
SLOPE = 0.4  # a step is accepted when the slope along it has shrunk to this share
LINE_STEPS = 20  # most corrections of a step; nearly always none or one is needed
BLIND_LINE_STEPS = 2  # corrections where looking waits for the device
BLIND_STEPS = 4  # steps between looks at the gap where looking waits for the device
LANES = 16  # columns of a product that take no longer than one: leaving out fewer saves nothing
WIDE_LANES = 2  # with a wide matrix, whose rows in use grow fewer too
SPARSE = 0.6  # share of the rows in use below which copying those of a wide matrix pays


def minimise(problem: Problem, theta: Any, tolerance: float) -> Any:
    """Coefficients (d + 1, b) whose relative gaps are below the tolerance, started at `theta`.

    As far as the precision of the problem's arrays allows: the caller certifies.
    """
    found = theta + 0  # a copy
    columns = np.arange(theta.shape[1])
    state = _State(problem, theta)
    for step in range(MAX_STEPS):
        if problem.ops.eager or step % BLIND_STEPS == 0:
            done = state.done(tolerance)
            if bool(done.all()):
                break
            wide = problem.x.shape[1] >= WIDE
            if problem.ops.eager and _lanes(np.sum(~done), wide) < _lanes(done.size, wide):
                found[:, columns[done]] = state.theta[:, done]
                left = np.flatnonzero(~done)
                columns, state = columns[left], state.select(left)
        state.step()
    found[:, columns] = state.theta
    return found


def _lanes(columns: int, wide: bool) -> int:
    """What a product with so many columns costs."""
    return -(-columns // (WIDE_LANES if wide else LANES))


class _State:
    """Where the columns are, and arrays that every step writes anew.

    New arrays of a megabyte cost more than what is computed in them: the system hands them out page
    by page, and takes them back.
    """

    def __init__(self, problem: Problem, theta: Any) -> None:
        self.problem, self.theta = problem, theta
        self.ops, self.xp = problem.ops, problem.ops.xp
        empty = self.xp.empty_like
        self.logits, self.residual = empty(problem.y), empty(problem.y)  # (n, b)
        self._along, self._trial, self._spare = (empty(problem.y) for _ in range(3))
        self._scratch = empty(theta)  # (d + 1, b)
        self.pairs: list[tuple[Any, Any, Any]] = []
        problem.logits(theta, out=self.logits)
        problem.residual(self.logits, out=self.residual)
        self.gradient = problem.gradient(theta, self.residual)
        self.lowest = self.xp.zeros_like(theta[-1])  # bound of the minimum from below, (b,)

    def select(self, columns: Any) -> _State:
        """The state of some of the columns."""
        other = object.__new__(_State)
        other.problem = self.problem.select(columns)
        other.ops, other.xp = self.ops, self.xp
        take = self.ops.columns
        for name in ("theta", "logits", "residual", "gradient", "lowest"):
            setattr(other, name, take(getattr(self, name), columns))
        other.pairs = [
            (take(move, columns), take(change, columns), take(inverse, columns))
            for move, change, inverse in self.pairs
        ]
        used = other.problem.u.any(1)
        if self.theta.shape[0] > WIDE and self.ops.eager and used.sum() < SPARSE * len(used):
            other.problem = other.problem.of_rows(used)
            other.logits, other.residual = other.logits[used], other.residual[used]
        empty = self.xp.empty_like
        other._along, other._trial, other._spare = (empty(other.logits) for _ in range(3))
        other._scratch = empty(other.theta)
        return other

    def done(self, tolerance: float) -> Any:
        """Whether each column's gap is below half the tolerance, as the precision can tell."""
        gradient, dot = self.gradient, self.ops.dot
        bound = dot(gradient[:-1], gradient[:-1]) / (4 * self.problem.l2)
        bound += gradient[-1] ** 2 / CURVATURE
        near = bound <= tolerance  # the objective ends below log 2, so none else can be done
        if bool((near & (self.lowest <= 0)).any()):
            lowest = self.problem.objective(self.theta, self.logits) - bound
            self.lowest = self.xp.maximum(self.lowest, lowest)
        return bound <= 0.5 * tolerance * self.lowest

    def step(self) -> None:
        """One step of every column."""
        direction = self._two_loop()
        direction *= -1
        self.problem.logits(direction, out=self._along)
        direction *= self._line_search(direction)
        self.theta = self.theta + direction
        self.logits, self._trial = self._trial, self.logits  # those at the end of the step
        gradient = self.problem.gradient(self.theta, self.residual)
        change = gradient - self.gradient
        self.gradient = gradient
        curvature = self.ops.dot(direction, change)
        usable = curvature > 0  # a pair without curvature counts for nothing
        inverse = usable / self.xp.where(usable, curvature, self.xp.ones_like(curvature))
        self.pairs = [*self.pairs[-MEMORY + 1 :], (direction, change, inverse)]

    def _two_loop(self) -> Any:
        """L-BFGS product of the gradient with the inverse Hessian."""
        xp, dot, scratch = self.xp, self.ops.dot, self._scratch
        q = self.gradient + 0  # a copy
        alphas = []
        for move, change, inverse in reversed(self.pairs):
            alpha = inverse * dot(move, q)
            q -= xp.multiply(change, alpha, out=scratch)
            alphas.append(alpha)
        r = self.problem.precondition(q)
        for (move, change, inverse), alpha in zip(self.pairs, reversed(alphas), strict=True):
            r += xp.multiply(move, alpha - inverse * dot(change, r), out=scratch)
        return r

    def _line_search(self, direction: Any) -> Any:
        """Step of each column, (b,); leaves logits and residuals there.

        The logits move linearly, so this takes no matrix product. Along a line the slope of a
        convex function only grows, so a slope near 0 is a near-exact minimum; a step of 1 that
        leaves too much slope is corrected by Newton's method, kept inside the bracket known so far.
        """
        xp, dot, problem = self.xp, self.ops.dot, self.problem
        linear = 2 * problem.l2 * dot(self.theta[:-1], direction[:-1])
        square = 2 * problem.l2 * dot(direction[:-1], direction[:-1])
        target = SLOPE * xp.abs(dot(self.gradient, direction))
        size = xp.ones_like(target)
        low, high = xp.zeros_like(size), xp.full_like(size, xp.inf)
        self._move(size)
        for _ in range(LINE_STEPS if self.ops.eager else BLIND_LINE_STEPS):
            slope = dot(self.residual, self._along) + linear + size * square
            bad = xp.abs(slope) > target
            if self.ops.eager and not bool(bad.any()):
                break
            low, high = xp.where(slope < 0, size, low), xp.where(slope > 0, size, high)
            with np.errstate(invalid="ignore", divide="ignore"):  # no bend: the middle is taken
                newton = size - slope / (self._bend() + square)
            middle = xp.where(xp.isinf(high), 2 * size, (low + high) / 2)
            better = xp.where((newton > low) & (newton < high), newton, middle)
            size = xp.where(bad, better, size)
            self._move(size)
        return size

    def _move(self, size: Any) -> None:
        """Trial logits and residuals at a step."""
        self.xp.multiply(self._along, size, out=self._trial)
        self._trial += self.logits
        self.problem.residual(self._trial, out=self.residual)

    def _bend(self) -> Any:
        """Second derivative of the loss along the step, at the trial, (b,)."""
        p = self.ops.sigmoid(self._trial, out=self._spare)
        p -= self.xp.multiply(p, p, out=self.residual)  # which the next trial writes anew
        p *= self._along
        p *= self._along
        return self.ops.dot(self.problem.u, p)
