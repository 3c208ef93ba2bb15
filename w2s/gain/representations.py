"""Predictors of the gain that compare the vectors two models give to the same points."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.errors import DegenerateError

RIDGE = 0.1  # penalty of the projections, in mean eigenvalues of a kernel, as RADS has it
SHARE = 0.99  # of the variance that an intrinsic dimension holds
FLAT = 1e-12  # variance / mean square of vectors that differ by the rounding of float32 alone
TINY = 1e-10  # eigenvalue / largest one, below which a Gram matrix in float64 shows its rounding


@dataclass(frozen=True)
class Principal:
    """The principal components of n centred vectors X, as functions on the points.

    Attributes:
        vectors: Orthonormal left singular vectors of X, float64 (n, r).
        variances: Eigenvalues of the kernel X X' / n, from large to small, float64 (r,).
    """

    vectors: Array
    variances: Array

    @property
    def shrinkage(self) -> Array:
        """Eigenvalues of P = K (K + r I)^-1 with r = 0.1 tr(K) / n, (r,): kernel ridge, in sample.

        The projection of RADS (SprocketLab/rads-w2s-generalization) after Xue et al. (2025, arXiv
        2502.00620), who take a number of leading components instead.
        """
        ridge = RIDGE * self.variances.sum() / len(self.vectors)
        return np.asarray(self.variances / (self.variances + ridge))


def principal(x: Array) -> Principal:
    """The principal components of vectors, from the smaller of their Gram matrices.

    Components whose eigenvalue is below 1e-10 of the largest are left out: they are rounding.

    Args:
        x: Vectors of n points, shape (n, d).

    Raises:
        DegenerateError: no points, or vectors that differ by rounding only.
    """
    rows = np.asarray(x, dtype=np.float64)
    scale = np.mean(rows**2) if rows.size else 0.0
    centred = rows - rows.mean(axis=0) if rows.size else rows
    if not rows.size or np.mean(centred**2) <= FLAT * scale:
        raise DegenerateError(
            f"found the same vector for all {len(rows)} points, expected different ones"
        )
    n, d = centred.shape
    values, side = np.linalg.eigh((centred.T @ centred if d < n else centred @ centred.T) / n)
    kept = np.flatnonzero(values > TINY * values[-1])[::-1]
    values, side = values[kept], side[:, kept]
    vectors = centred @ (side / np.sqrt(n * values)) if d < n else side
    return Principal(vectors, values)


def linear_cka(weak: Principal, strong: Principal) -> float:
    """Linear CKA (Kornblith et al., 2019, arXiv 1905.00414), in [0, 1].

    1 where the vectors of one model are a rotation and a multiple of those of the other.
    """
    aligned = (strong.vectors.T @ weak.vectors) ** 2  # (r_s, r_w)
    product = strong.variances @ aligned @ weak.variances
    return float(product / (_norm(weak.variances) * _norm(strong.variances)))


def intrinsic_dimension(found: Principal) -> int:
    """The fewest principal components that hold 99% of the variance.

    After Dong et al. (2025, arXiv 2502.05075), who ask for the dimension of fine-tuning; this is
    that of the vectors that probes read, and the share is ours.
    """
    held = np.cumsum(found.variances)
    return int(np.searchsorted(held, SHARE * held[-1])) + 1


def shared_dimension(weak: Principal, strong: Principal) -> float:
    """Dimensions that the subspaces of two `intrinsic_dimension` share: sum of squared cosines.

    |V_s' V_w|^2 in the Frobenius norm, from 0 to the smaller of the two dimensions. Dong et al.
    (2025, arXiv 2502.05075) compare subspaces of features, which they turn at random where widths
    differ; these are subspaces of functions on the same points, which need no turning.
    """
    first, second = (side.vectors[:, : intrinsic_dimension(side)] for side in (weak, strong))
    return float(np.sum((second.T @ first) ** 2))


def projected_residual(weak: Principal, strong: Principal, y: Array) -> float:
    """Root mean square of P_s (I - P_w) y, y centred: what only strong vectors tell of labels.

    The size of the scores of RADS-Lin; the projections are those of `Principal.shrinkage`. Xue et
    al. (2025) take the true labels, and what is left of them as how far w2s falls short.

    Args:
        weak: Of the weak model's vectors of n points.
        strong: Of the strong model's.
        y: Weak labels, (n,).

    Returns:
        In [0, standard deviation of y].
    """
    centred = y - y.mean()
    told = weak.shrinkage * (weak.vectors.T @ centred)
    left = strong.vectors.T @ (centred - weak.vectors @ told)
    return _norm(strong.shrinkage * left) / math.sqrt(len(y))


def residual_norm(weak: Principal, strong: Principal) -> float:
    """Largest singular value of P_s (I - P_w), in [0, 1]: no labels at all (Xue et al., 2025)."""
    across = strong.vectors.T @ weak.vectors  # (r_s, r_w)
    kept = 1 - (1 - weak.shrinkage) ** 2  # (I - P_w)^2 = I - V diag(kept) V'
    inner = np.eye(len(across)) - (across * kept) @ across.T
    scaled = strong.shrinkage[:, None] * inner * strong.shrinkage
    return math.sqrt(max(float(np.linalg.eigvalsh(scaled)[-1]), 0.0))


def _norm(values: Array) -> float:
    return float(np.linalg.norm(values))
