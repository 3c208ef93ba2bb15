"""Many logistic regressions on one matrix: objective, gradient, certificate, first inverse Hessian.

Every column's Hessian is near H = CURVATURE X'X / n + 2 l2 I. Narrow matrices: its inverse, built
once for all columns. Wide ones: the inverse on the leading directions of the rows, found by a
randomised sketch (Halko et al., 2011; as a preconditioner Frangella et al., 2023), and a constant
on the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.probes.arrays import FEW, WIDE, Backend
from w2s.rng import stream

CURVATURE = 0.15  # typical p (1 - p) of a fitted probe: scale of the first inverse Hessian


@dataclass(frozen=True)
class Problem:
    """Columns on one matrix, in coordinates theta = [w; b], (d + 1, b).

    Attributes:
        ops: The array library.
        x: Centred, scaled rows, (n, d).
        narrow: The same in float32.
        y, u: Targets and normalised weights, (n, b).
        inverse: First inverse Hessian of w.
        l2: Penalty, in the coordinates of `x`.
    """

    ops: Backend
    x: Any
    narrow: Any
    y: Any
    u: Any
    inverse: Inverse
    l2: float

    def select(self, columns: Any) -> Problem:
        """The problem of some of the columns."""
        y, u = self.ops.columns(self.y, columns), self.ops.columns(self.u, columns)
        return replace(self, y=y, u=u, inverse=self.inverse.select(columns))

    def of_rows(self, rows: Any) -> Problem:
        """The problem without the other rows, which weigh nothing."""
        return replace(self, x=self.x[rows], y=self.y[rows], u=self.u[rows])

    def single(self) -> Problem:
        """The same in float32."""
        y, u = self.ops.narrow(self.y), self.ops.narrow(self.u)
        return replace(self, x=self.narrow, y=y, u=u, inverse=self.inverse.single(self.ops))

    def logits(self, theta: Any, *, out: Any = None) -> Any:
        """Logits (n, b), into an array of that shape where one is given."""
        logits = self.ops.matmul(self.x, theta[:-1], out=out)
        logits += theta[-1]
        return logits

    def residual(self, logits: Any, *, out: Any = None) -> Any:
        """Weighted residuals u (p - y), (n, b), likewise."""
        residual = self.ops.sigmoid(logits, out=out)
        residual -= self.y
        residual *= self.u
        return residual

    def gradient(self, theta: Any, residual: Any) -> Any:
        """Gradient (d + 1, b) at theta, whose residuals are given."""
        xp = self.ops.xp
        gradient = xp.multiply(theta, 2 * self.l2)
        gradient[:-1] += self.ops.transposed(self.x, residual)
        gradient[-1] = residual.sum(0)
        return gradient

    def precondition(self, gradient: Any) -> Any:
        """First inverse Hessian times gradient."""
        first = self.inverse.times(gradient[:-1])
        return self.ops.xp.concatenate([first, gradient[-1:] / CURVATURE])

    def objective(self, theta: Any, logits: Any) -> Any:
        """Objective of each column, (b,)."""
        loss = self.ops.dot(self.u, self.ops.loss(logits, self.y))
        return loss + self.l2 * self.ops.dot(theta[:-1], theta[:-1])


def certify(problem: Problem, theta: Any) -> tuple[Any, Any]:
    """The same coefficients with a better bias, and a bound on the relative gap of each column.

    Any q in [0, 1] with sum u (q - y) = 0 is feasible for the dual problem
    max -sum u (q log q + (1-q) log(1-q)) - |X'u(q-y)|^2 / (4 l2), and by Fenchel and Young the
    duality gap to the point (w, b) is |X'u(q-y) + 2 l2 w|^2 / (4 l2) + sum u KL(q || p(w, b)).
    Here b takes a Newton step s, and q = p + s p (1-p) follows p to first order. So the slope is 0,
    and as |sigmoid''| <= p (1-p), the divergence is at most s^4 sum u p (1-p) for |s| below 0.4.
    """
    xp = problem.ops.xp
    logits = problem.logits(theta)
    p, q = problem.ops.sigmoid(logits), problem.ops.sigmoid(-logits)
    variance = p * q
    variance *= problem.u
    p *= 1 - problem.y  # u (p - y) without cancellation where p is near y
    q *= problem.y
    residual = p
    residual -= q
    residual *= problem.u
    slope, bend = residual.sum(0), variance.sum(0)
    shift = -slope / xp.where(bend > 0, bend, xp.full_like(bend, xp.inf))
    variance *= shift
    residual += variance
    objective = problem.objective(theta, logits)
    theta = xp.concatenate([theta[:-1], (theta[-1] + shift)[None]])
    gradient = problem.gradient(theta, residual)
    bound = problem.ops.dot(gradient[:-1], gradient[:-1]) / (4 * problem.l2) + bend * shift**4
    lowest = objective + slope * shift - bound
    sound = (xp.abs(shift) < 0.4) & (xp.abs(gradient[-1]) <= FEASIBLE * lowest) & (lowest > 0)
    return theta, xp.where(sound, bound / lowest, xp.full_like(bound, xp.inf))


FEASIBLE = 1e-9  # sum u (q - y), relative to the objective, that counts as 0


# from `WIDE` columns on the sketch costs less than the inverse
RANK = 512  # of the sketch: twice as many saved at most a fifth of the steps (ADR 0014)
FEW_RANK = 256  # for few columns, to which building twice the rank costs more than it saves
NOISE = 1e-6  # relative eigenvalues that are rounding in float32
RIDGE_STEPS = 100  # of a contraction, far more than it needs
RIDGES = 4  # effective ridges: fewer steps than one, on heavy-tailed spectra (ADR 0014)


@dataclass(frozen=True)
class Dense:
    """An approximate inverse Hessian: one (d, d) for all columns."""

    matrix: Any

    def times(self, gradient: Any) -> Any:
        """Product with the gradient of each column, (d, b)."""
        return self.matrix @ gradient

    def select(self, columns: Any) -> Dense:
        """That of some of the columns."""
        return self

    def single(self, ops: Backend) -> Dense:
        """The same in float32."""
        return Dense(ops.narrow(self.matrix))


@dataclass(frozen=True)
class Sketched:
    """(I + B diag(change) B') / ridge, with B (d, k) orthonormal, change (k, b) and ridge (b,)."""

    basis: Any
    change: Any
    ridge: Any

    def times(self, gradient: Any) -> Any:
        """See `Dense`."""
        return (gradient + self.basis @ (self.change * (self.basis.T @ gradient))) / self.ridge

    def select(self, columns: Any) -> Sketched:
        """See `Dense`."""
        return Sketched(self.basis, self.change[:, columns], self.ridge[columns])

    def single(self, ops: Backend) -> Sketched:
        """See `Dense`."""
        return Sketched(*(ops.narrow(side) for side in (self.basis, self.change, self.ridge)))


Inverse = Dense | Sketched


class Preconditioner:
    """First inverse Hessians for any penalty and weights, on rows (n, d) float32."""

    def __init__(self, ops: Backend, rows: Array, curvature: float) -> None:
        """Keep the rows; what is needed of them is computed once, when first asked for."""
        self.ops, self.rows, self.curvature = ops, rows, curvature
        self._found: dict[int, tuple[Any, Array, float]] = {}

    def inverse(self, l2: float, u: Array) -> Inverse:
        """The first inverse Hessian of columns with weights `u` (n, b), each adding up to 1."""
        if self.rows.shape[1] < WIDE:
            return Dense(self.ops.array(self._inverse(l2), double=True))
        return self._sketch(l2, u)

    @cached_property
    def _covariance(self) -> Array:
        """X'X / n times the curvature, float64 (d, d), with the rounding errors of float32."""
        scale = self.curvature / len(self.rows)
        covariance: Array = (self.rows.T @ self.rows).astype(np.float64) * scale
        return covariance

    def _inverse(self, l2: float) -> Array:
        """Inverse of H, float64 (d, d).

        The diagonal is raised by what keeps rounding errors from making it indefinite.
        """
        hessian = self._covariance.copy()
        hessian[np.diag_indices_from(hessian)] += 2 * l2 + 1e-7 * np.trace(hessian) / len(hessian)
        inverse: Array = np.linalg.inv(hessian)
        return (inverse + inverse.T) / 2

    def _leading(self, rank: int) -> tuple[Any, Array, float]:
        """Leading directions (d, k), their eigenvalues (k,), and the mean of the others.

        Those of A S (S'A S)^-1 S'A for the covariance A and a random S, which takes two products of
        the rows. Directions that float32 cannot tell from rounding are left out.
        """
        if rank in self._found:
            return self._found[rank]
        n, d = self.rows.shape
        rows, scale = self.ops.narrow(self.rows), self.curvature / n
        start = stream(0, "sketch").standard_normal((d, min(rank, n))) / np.sqrt(d)
        seen = rows @ self.ops.array(start, double=False)
        image = self.ops.array(self.ops.numpy(rows.T @ seen), double=True)  # A S, (d, k)
        core, turn = np.linalg.eigh(self.ops.numpy(seen.T @ seen).astype(np.float64))
        clear = core > NOISE * core[-1]
        half = image @ self.ops.array(turn[:, clear] / np.sqrt(core[clear]), double=True)
        value, turn = np.linalg.eigh(self.ops.numpy(half.T @ half) * scale)
        clear = value > NOISE**2 * value.max(initial=0)
        value, turn = value[clear], turn[:, clear] * np.sqrt(scale / value[clear])
        square = float(np.einsum("ij,ij->", self.rows, self.rows, dtype=np.float64))
        left = max(scale * square - value.sum(), 0) / max(d - len(value), 1)
        self._found[rank] = half @ self.ops.array(turn, double=True), value, left
        return self._found[rank]

    def _sketch(self, l2: float, u: Array) -> Sketched:
        """The sketch, with each column's own ridge."""
        n, d = self.rows.shape
        basis, value, left = self._leading(RANK if u.shape[1] > FEW else FEW_RANK)
        share = np.square(u).sum(axis=0) - 1 / n
        ridge = RIDGES * effective_ridge(value, left, d, 2 * l2, share=share) + left
        change = ridge / (value[:, None] + ridge) - 1
        sides = (self.ops.array(side, double=True) for side in (change, ridge))
        return Sketched(basis, *sides)


def effective_ridge(value: Array, left: float, d: int, ridge: float, *, share: Array) -> Array:
    """The ridge that makes the inverse of the whole matrix that of a sample, on average.

    The r that solves r = ridge + share r df(r), with df(r) = trace(H0 (H0 + r)^-1): a small sample
    knows less than the whole, which acts as a larger ridge (Silverstein, 1995).

    Args:
        value: Leading eigenvalues of H0, (k,).
        left: Mean of the other d - k eigenvalues.
        d: Number of columns of the matrix.
        ridge: The ridge of the sample.
        share: 1 / rows of the sample - 1 / rows of the whole, per sample (b,).

    Returns:
        Float64 (b,), each at least `ridge`.
    """
    result = np.full(share.shape, ridge)
    for _ in range(RIDGE_STEPS):
        freedom = (value / (value + result[:, None])).sum(axis=1)
        freedom += (d - len(value)) * left / (left + result)
        result = ridge + np.clip(share * freedom, 0, 0.99) * result
    return result
