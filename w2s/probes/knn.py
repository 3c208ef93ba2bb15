"""Nearest-neighbour probes: the mean label of the training rows nearest to a point."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, finite
from w2s.errors import DegenerateError, W2SError
from w2s.probes.columns import columns_of

BLOCK = 2**22  # distances held at once: 16 MB
FAR, NEAR = 1e18, 1e-18  # half a distance, and a distance, whose squares float32 still holds
SAME = 1e-6  # squared distances closer than this, relative to the norms, are rounding apart


@dataclass(frozen=True)
class Neighbors:
    """Nearest-neighbour probes on one matrix, one per column.

    Attributes:
        x: Training rows, centred, float32 (n, d).
        centre: Mean of the training rows, (d,).
        y, u: Targets and weights, (n, b).
        neighbors: How many rows vote.
        reason: Per column why it has no solution, "" if it has one.
        single: Whether targets and weights were one-dimensional.
    """

    x: Array
    centre: Array
    y: Array
    u: Array
    neighbors: int
    reason: tuple[str, ...]
    single: bool

    @property
    def gap(self) -> Array:
        """0: there is nothing to solve; NaN in columns without a solution."""
        return np.array([np.nan if why else 0.0 for why in self.reason])

    @property
    def l2(self) -> Array:
        """NaN: there is no penalty."""
        return np.full(len(self.reason), np.nan)

    def predict_proba(self, x: npt.ArrayLike) -> Array:
        """P(y = 1), float64 in [0, 1], of shape (m,) for a single probe and (m, b) for many.

        Of activations (m, d); memory for distances is bounded, whatever their number.

        Raises:
            W2SError: another width than fitted, values that are not finite, or too far apart for
                float32 (1e18).
        """
        rows = finite(x, "activations", ndim=2)
        if rows.shape[1] != self.x.shape[1]:
            raise W2SError(f"activations: found width {rows.shape[1]}, expected {self.x.shape[1]}")
        points = _narrow(rows - self.centre)
        block = max(1, BLOCK // len(self.x))
        proba = np.full((len(points), self.y.shape[1]), np.nan)
        squares = np.einsum("ij,ij->i", self.x, self.x)
        for first in range(0, len(points), block):
            part = points[first : first + block]
            size = np.einsum("ij,ij->i", part, part)[:, None]
            distances = size + squares - 2 * (part @ self.x.T)  # (m', n)
            for j in range(self.y.shape[1]):
                if not self.reason[j]:
                    proba[first : first + block, j] = self._vote(distances, size, j)
        return proba[:, 0] if self.single else proba

    def _vote(self, distances: Array, size: Array, j: int) -> Array:
        """Weighted mean target of each point's nearest rows of a column, (m',)."""
        used = np.flatnonzero(self.u[:, j] > 0)
        near = distances[:, used]
        last = np.partition(near, self.neighbors - 1, axis=1)[:, self.neighbors - 1, None]
        votes = (near <= last + SAME * (size + np.abs(last))) * self.u[used, j]
        result: Array = votes @ self.y[used, j] / votes.sum(axis=1)
        return result


def fit_neighbors(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    neighbors: int = 10,
) -> Neighbors:
    """Nearest-neighbour probes, one per column of targets, by Euclidean distance.

    All rows as near as the last of the k nearest vote too, so the order of the rows does not
    matter. Votes count by their weights.

    Args:
        x: Activations, shape (n, d).
        targets: Soft or hard labels in [0, 1], shape (n,) or (n, b).
        weights: Non-negative weights of the rows, shape (n,) or (n, b), equal if not given; rows of
            weight 0 are left out.
        neighbors: How many rows vote, at least 1.

    Returns:
        The probes. A column of fewer rows than neighbours is NaN with its reason.

    Raises:
        DegenerateError: no column has enough rows.
        W2SError: shapes that do not fit, or values out of range.
    """
    probes = neighbor_columns(x, targets, weights=weights, neighbors=neighbors)
    if all(probes.reason):
        raise DegenerateError(f"neighbors: {probes.reason[0]}")
    return probes


def neighbor_columns(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    *,
    weights: npt.ArrayLike | None = None,
    neighbors: int = 10,
) -> Neighbors:
    """The same as `fit_neighbors`, but without an error where no column has enough rows."""
    if neighbors < 1:
        raise W2SError(f"neighbors: found {neighbors}, expected at least 1")
    columns = columns_of(x, targets, weights)
    rows = (columns.u > 0).sum(axis=0)
    reason = tuple(
        "" if n >= neighbors else f"found {n} rows with a weight above 0, expected {neighbors}"
        for n in rows
    )
    if 0 < np.ptp(columns.x, axis=0).max(initial=0) < NEAR:
        raise W2SError(f"activations: found rows that differ by less than {NEAR:g}, expected more")
    centre = columns.x.mean(axis=0, dtype=np.float64)
    centred = _narrow(columns.x - centre)
    return Neighbors(centred, centre, columns.y, columns.u, neighbors, reason, columns.single)


def _narrow(centred: Array) -> Array:
    """Rows as float32, if it holds their squared distances."""
    if max(centred.max(initial=0), -centred.min(initial=0)) * np.sqrt(centred.shape[1]) > FAR:
        raise W2SError(f"activations: found rows that differ by more than {FAR:g}, expected less")
    return centred.astype(np.float32)


def unit_rows(rows: Array) -> Array:
    """Rows scaled to norm 1; rows of zeros stay zeros."""
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(rows, peak, out=np.zeros_like(rows), where=peak > 0)  # squares stay finite
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Array = np.divide(scaled, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
