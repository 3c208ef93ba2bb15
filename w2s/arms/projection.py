"""Ridge regression on wide activations without an n x n matrix: the projections of RADS.

The smoother of centred rows X (n, d) is P = K (K + r I)^-1 with K = X X' / n and the ridge
r = 0.1 tr(K) / n, a tenth of K's mean eigenvalue (Xue et al., 2025, arXiv 2502.00620, and
SprocketLab/rads-w2s-generalization). The same P is X (X'X / n + r I)^-1 X' / n, a system of d
unknowns. Conjugate gradients in float64 solve it in some steps, as a Cholesky factor in float32
stands in for its inverse: half the work of a factor in float64, and its rounding only costs steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from w2s.checks import Array
from w2s.errors import DegenerateError
from w2s.probes.solver import standardised

RIDGE = 0.1  # relative to the mean eigenvalue: RADS
EXACT = 1e-12  # residual of the equations, relative, that ends the steps
MAX_STEPS = 300  # some 6 for one training set, and some 20 for folds
SLACK = 3e-7  # of the trace, which keeps the float32 Gram matrix positive definite


def smoothed(x: Array, targets: Array, *, training: Array | None = None) -> Array:
    """Values at all rows of ridge regressions on the centred rows, one for each column of targets.

    Column j minimises mean_i (x_i w - y_ij)^2 + r |w|^2 over its training rows, without a bias,
    with r = 0.1 sum |x_i|^2 / m^2 over these m rows. Rows are centred by the mean of all. Neither
    scale nor rotation of `x` matters. Constant rows give 0.

    Args:
        x: Activations, (n, d).
        targets: Float64 (n, b).
        training: 1 for training rows and 0 for others, float64 (n, b); all if not given.

    Returns:
        x w, float64 (n, b): for one column of all rows P y. Exact to about 1e-11 of the largest,
        whatever the number of threads, which the last digits depend on.

    Raises:
        DegenerateError: the steps do not end, as where float64 cannot hold the spectrum.
    """
    matrix = standardised(x)
    rows, n = matrix.exact, len(x)
    used = np.ones((n, 1)) if training is None else training
    size = used.sum(axis=0)  # (b,)
    squares = np.einsum("ij,ij->i", rows, rows)
    trace = float(squares.mean())
    if not trace:
        return np.zeros(targets.shape)
    ridge = RIDGE * (squares @ used) / size**2

    def normal(w: Array) -> Array:
        image: Array = rows.T @ (used * (rows @ w)) / size + ridge * w
        return image

    right = rows.T @ (used * targets) / size  # (d, b)
    inverse = _inverse(matrix.narrow, RIDGE * trace / n + SLACK * trace)
    values: Array = rows @ _solved(normal, right, inverse)
    return values


def _inverse(narrow: Array, ridge: float) -> Callable[[Array], Array]:
    """Product of a gradient (d, b) with (X'X + n ridge I)^-1, in float32."""
    from scipy.linalg import cho_factor, cho_solve  # takes longer to import than to call
    from scipy.linalg.blas import ssyrk

    gram = ssyrk(1.0, narrow.T, lower=1)  # one half, in place for the factor
    gram[np.diag_indices_from(gram)] += np.float32(len(narrow) * ridge)
    factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)

    def times(residual: Array) -> Array:
        scale = np.abs(residual).max(axis=0, initial=0)
        scale[scale == 0] = 1  # float32 ends at 1e-38
        found = cho_solve(factor, (residual / scale).astype(np.float32), check_finite=False)
        return np.asarray(found * scale, dtype=np.float64)

    return times


def _solved(
    normal: Callable[[Array], Array], right: Array, inverse: Callable[[Array], Array]
) -> Array:
    """Solutions w (d, b) of normal(w) = right by preconditioned conjugate gradients, together."""
    w = np.zeros_like(right)
    residual = right.copy()
    enough = EXACT * np.linalg.norm(right, axis=0)
    step = ahead = inverse(residual)
    slope = (residual * ahead).sum(axis=0)
    for _ in range(MAX_STEPS):
        if (np.linalg.norm(residual, axis=0) <= enough).all():
            return w
        image = normal(step)
        bend = (step * image).sum(axis=0)
        length = np.divide(slope, bend, out=np.zeros_like(bend), where=bend > 0)
        w += length * step
        residual -= length * image
        ahead = inverse(residual)
        before, slope = slope, (residual * ahead).sum(axis=0)
        turn = np.divide(slope, before, out=np.zeros_like(slope), where=before > 0)
        step = ahead + turn * step
    raise DegenerateError(f"projection: found no solution in {MAX_STEPS} steps")
