"""The first inverse Hessian of the probe solver, built once per matrix for all columns.

Every column's Hessian is near H = CURVATURE X'X / n + 2 l2 I. Narrow matrices: its inverse. Wide
ones: the inverse on the leading directions of the rows, found by a randomised sketch (Halko et al.,
2011; as a preconditioner Frangella et al., 2023), and a constant on the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from w2s.checks import Array
from w2s.probes.arrays import Backend
from w2s.rng import stream

WIDE = 1024  # columns: from here on the sketch costs less than the inverse
RANK = 512  # of the sketch: twice as many saved at most a fifth of the steps (ADR 0014)
RIDGE_STEPS = 100  # of a contraction, far more than it needs
RIDGES = 4  # effective ridges: fewer steps than one, on heavy-tailed spectra (ADR 0014)


class Inverse(Protocol):
    """An approximate inverse Hessian of each column."""

    def times(self, gradient: Any) -> Any:
        """Product with the gradient of each column, (d, b)."""

    def select(self, columns: Any) -> Inverse:
        """That of some of the columns."""

    def single(self, ops: Backend) -> Inverse:
        """The same in float32."""


@dataclass(frozen=True)
class Dense:
    """One (d, d) inverse for all columns."""

    matrix: Any

    def times(self, gradient: Any) -> Any:
        """See `Inverse`."""
        return self.matrix @ gradient

    def select(self, columns: Any) -> Dense:
        """See `Inverse`."""
        return self

    def single(self, ops: Backend) -> Dense:
        """See `Inverse`."""
        return Dense(ops.narrow(self.matrix))


@dataclass(frozen=True)
class Sketched:
    """(I + B diag(change) B') / ridge, with B (d, k) orthonormal, change (k, b) and ridge (b,)."""

    basis: Any
    change: Any
    ridge: Any

    def times(self, gradient: Any) -> Any:
        """See `Inverse`."""
        return (gradient + self.basis @ (self.change * (self.basis.T @ gradient))) / self.ridge

    def select(self, columns: Any) -> Sketched:
        """See `Inverse`."""
        return Sketched(self.basis, self.change[:, columns], self.ridge[columns])

    def single(self, ops: Backend) -> Sketched:
        """See `Inverse`."""
        return Sketched(*(ops.narrow(side) for side in (self.basis, self.change, self.ridge)))


class Preconditioner:
    """First inverse Hessians for any penalty and weights, on rows (n, d) float32."""

    def __init__(self, ops: Backend, rows: Array, curvature: float) -> None:
        """Keep the rows; what is needed of them is computed once, when first asked for."""
        self.ops, self.rows, self.curvature = ops, rows, curvature

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

    @cached_property
    def _leading(self) -> tuple[Any, Array, float]:
        """Leading directions (d, k), their eigenvalues (k,), and the mean of the others."""
        n, d = self.rows.shape
        rows = self.ops.narrow(self.rows)
        start = stream(0, "sketch").standard_normal((d, min(RANK, n)))
        basis = rows.T @ (rows @ self.ops.array(start, double=False))
        basis = self.ops.xp.linalg.qr(basis)[0]  # (d, k)
        inner = rows @ basis
        inner = self.ops.numpy(inner.T @ inner).astype(np.float64) * (self.curvature / n)
        value, turn = np.linalg.eigh(inner)
        value = np.maximum(value, 0)
        square = float(np.einsum("ij,ij->", self.rows, self.rows, dtype=np.float64))
        left = max(self.curvature / n * square - value.sum(), 0) / max(d - len(value), 1)
        exact = self.ops.array(self.ops.numpy(basis), double=True)
        return exact @ self.ops.array(turn, double=True), value, left

    def _sketch(self, l2: float, u: Array) -> Sketched:
        """The sketch, with each column's own ridge."""
        n, d = self.rows.shape
        basis, value, left = self._leading
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
