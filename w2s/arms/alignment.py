"""Where weak and strong vectors disagree, without any label: out-of-fold CCA, and a ridge map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s.arms.projection import RIDGE
from w2s.checks import Array
from w2s.errors import DegenerateError

COMPONENTS = 64  # canonical pairs, shrinkage and energy of SprocketLab/rads-w2s-generalization
SHRINKAGE, ENERGY = 0.1, 0.999


def cca_distance(weak: Array, strong: Array, fold: Array, *, trim: float = 0) -> Array:
    """Distance of a row's weak and strong canonical variates, by a CCA of the other folds.

    Each side is whitened on the training rows: leading principal components up to 99.9 % of the
    variance, their variances shrunk by a tenth towards the mean. The canonical pairs are the 64
    leading singular pairs of the cross-covariance, each variate of about unit variance; they are
    not scaled by the correlations. The score is that of `score_cca.py` in
    SprocketLab/rads-w2s-generalization, which takes singular values of the rows; eigenvalues of
    the smaller Gram matrix give the same.

    Args:
        weak: Activations, (n, dw).
        strong: Activations, (n, ds).
        fold: Fold of each row, two or more in all, (n,).
        trim: Share of the training rows, those farthest apart, without which the pairs are fitted
            again (the robust variant).

    Returns:
        Distances of 0 or more, float64 (n,).

    Raises:
        DegenerateError: rows of a training set that do not differ.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (weak, strong)]
    score = np.empty(len(fold))
    for k in np.unique(fold):
        train, test = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        pairs = _Pairs.fit(*(side[train] for side in sides))
        if trim:
            distance = pairs.distance(*(side[train] for side in sides))
            train = train[distance <= np.quantile(distance, 1 - trim)]
            pairs = _Pairs.fit(*(side[train] for side in sides))
        score[test] = pairs.distance(*(side[test] for side in sides))
    return score


@dataclass(frozen=True)
class _Pairs:
    """Canonical pairs: means (d,) and directions (d, k) of either side."""

    means: tuple[Array, Array]
    directions: tuple[Array, Array]

    @staticmethod
    def fit(weak: Array, strong: Array) -> _Pairs:
        """Those of rows (m, dw) and (m, ds)."""
        means = (weak.mean(axis=0), strong.mean(axis=0))
        centred = [side - mean for side, mean in zip((weak, strong), means, strict=True)]
        turn = [_whitener(centred[0], "weak"), _whitener(centred[1], "strong")]
        white = [side @ matrix for side, matrix in zip(centred, turn, strict=True)]
        left, _, right = np.linalg.svd(white[0].T @ white[1] / len(weak), full_matrices=False)
        k = min(COMPONENTS, len(right))
        return _Pairs((means[0], means[1]), (turn[0] @ left[:, :k], turn[1] @ right[:k].T))

    def distance(self, weak: Array, strong: Array) -> Array:
        """Of rows (m, dw) and (m, ds), (m,)."""
        variates = [
            (side - mean) @ direction
            for side, mean, direction in zip(
                (weak, strong), self.means, self.directions, strict=True
            )
        ]
        apart: Array = np.linalg.norm(variates[0] - variates[1], axis=1)
        return apart


def _whitener(centred: Array, name: str) -> Array:
    """Matrix (d, k) that whitens centred rows (m, d), with shrunken variances."""
    m, d = centred.shape
    if not np.ptp(centred, axis=0).any():
        raise DegenerateError(f"cca: found {name} vectors of a training set that do not differ")
    gram = centred.T @ centred if d <= m else centred @ centred.T
    value, basis = (side[..., ::-1] for side in np.linalg.eigh(gram))
    value = np.maximum(value, 0)
    keep = np.cumsum(value) / value.sum() <= ENERGY
    keep[0] = True
    value, basis = value[keep], basis[:, keep]
    if d > m:
        basis = centred.T @ basis / np.sqrt(value)
    variance = value / max(1, m - 1)
    whitened: Array = basis / np.sqrt((1 - SHRINKAGE) * variance + SHRINKAGE * variance.mean())
    return whitened


def map_residual(weak: Array, strong: Array, fold: Array) -> Array:
    """Length of what a ridge map of the weak vectors misses of the strong one, out of fold.

    Both sides are centred by the mean of the training rows (the centred map of
    yuxinjinito/w2s-overlap). Deviations: there the map is fitted on weak_train, here on the other
    folds of strong_train; there the ridge is 100 on sums of squares as they come, here it is a
    tenth of the mean eigenvalue, as in `projection`, so that it does not depend on a model's scale.

    Args:
        weak: Activations, (n, dw).
        strong: Activations, (n, ds).
        fold: Fold of each row, two or more in all, (n,).

    Returns:
        Lengths of 0 or more, float64 (n,).
    """
    from scipy.linalg import solve  # takes longer to import than the rest of this

    score = np.empty(len(fold))
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        x, y = weak[train].astype(np.float64), strong[train].astype(np.float64)
        centre, mean = x.mean(axis=0), y.mean(axis=0)
        x -= centre
        gram = x.T @ x
        ridge = RIDGE * np.trace(gram) / len(x)
        gram[np.diag_indices_from(gram)] += ridge if ridge else 1  # all equal: the map is 0
        matrix = solve(gram, x.T @ (y - mean), assume_a="pos", overwrite_a=True)
        score[test] = np.linalg.norm((weak[test] - centre) @ matrix + mean - strong[test], axis=1)
    return score
