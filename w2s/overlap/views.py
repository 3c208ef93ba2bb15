"""What similarities are taken on: the vectors as they are, without their mean, or whitened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError

Center = Literal["none", "mean", "whiten"]
LARGEST = float(np.finfo(np.float32).max)
LEAST = 1e-4  # of the shrinkage: where a coordinate is a copy of another, there is no inverse


@dataclass(frozen=True)
class View:
    """A linear view of vectors, the same for all points: x, x - mean, or (x - mean) turn.

    Attributes:
        mean: float64 (d,), or None for the vectors as they are.
        turn: float64 (d, d), or None where nothing is turned.
    """

    mean: Array | None = None
    turn: Array | None = None

    def of(self, x: Array) -> Array:
        """Points (n, d) as they are seen, (n, d): float32, or `x` itself where there is no mean.

        Computed in float64, so that what it rounds does not depend on other rows.

        Raises:
            W2SError: points that lie too far from the mean for float32.
        """
        if self.mean is None:
            return x
        moved = x - self.mean
        seen = moved if self.turn is None else moved @ self.turn
        if np.abs(seen).max(initial=0) > LARGEST:
            raise W2SError("activations: found values too far apart for float32; scale them")
        found: Array = seen.astype(np.float32)
        return found


AS_THEY_ARE = View()


def fit_view(x: Array, *, center: Center = "none") -> View:
    """The view of a pool of points.

    Args:
        x: The pool, (n, d), n >= 1.
        center: `none`; `mean`, which takes an offset out that all points share; or `whiten`, after
            which all directions of the pool have equal variance and no coordinate counts more than
            another. The covariance is that of coordinates of variance 1, shrunk as
            `shrinkage` says; a coordinate without variance is 0.

    Raises:
        W2SError: another word.
    """
    if center == "none":
        return AS_THEY_ARE
    if center not in ("mean", "whiten"):
        raise W2SError(f"center: found {center!r}, expected none, mean or whiten")
    mean = x.mean(axis=0, dtype=np.float64)
    if center == "mean":
        return View(mean)
    unit = x - mean
    sd = np.sqrt(np.einsum("ij,ij->j", unit, unit) / len(x))
    peak = np.abs(x).max(axis=0).astype(np.float64)
    varies = sd > np.finfo(np.float32).eps * peak  # what is less is the rounding of a constant
    scale = np.divide(1, sd, out=np.zeros_like(sd), where=varies)
    unit *= scale
    covariance = unit.T @ unit / len(x)  # (d, d)
    covariance[~varies, ~varies] = 1
    share = max(shrinkage(unit, covariance), LEAST)
    covariance *= 1 - share
    covariance[np.diag_indices_from(covariance)] += share  # of 1, the mean of its diagonal
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    return View(mean, scale[:, None] * inverse.T)


def shrinkage(unit: Array, covariance: Array) -> float:
    """How far a covariance is best moved to a multiple of the identity (Ledoit and Wolf, 2004).

    Args:
        unit: Points of mean 0, (n, d).
        covariance: Theirs, (d, d).

    Returns:
        In [0, 1]: 1 where it is a multiple of the identity already.
    """
    n, d = unit.shape
    total = float((covariance**2).sum())
    spread = total - float(np.trace(covariance)) ** 2 / d
    norms = np.einsum("ij,ij->i", unit, unit)
    noise = (float((norms**2).sum()) / n - total) / n
    return 1.0 if spread <= 0 else min(max(noise / spread, 0.0), 1.0)
