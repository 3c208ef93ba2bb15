"""Newton's method on one logistic regression: slow and steady, for what L-BFGS leaves."""

from __future__ import annotations

import numpy as np

from w2s.checks import Array

MAX_STEPS = 300
ENOUGH = 1e-12  # decrement relative to the objective: a gap far below what is certified
EPSILON = float(np.finfo(np.float64).eps)


def newton_column(
    x: Array, y: Array, u: Array, penalty: Array, theta: Array, *, enough: float = -np.inf
) -> Array:
    """Minimum of sum u BCE(sigmoid(x theta), y) + sum penalty theta^2 / 2, by damped Newton steps.

    Full Hessian; steps are halved until the objective falls enough (Armijo).

    Args:
        x: Rows with a last column of ones, float64 (n, d + 1).
        y: Targets in [0, 1], (n,).
        u: Weights that add up to 1, (n,).
        penalty: Twice the weight of each squared coefficient, 0 for the bias, (d + 1,).
        theta: Where to start, (d + 1,).
        enough: End where the decrement is this part of the objective; near a loss of 0 float64
            does not run out of digits, and only the number of steps would end it.

    Returns:
        The minimum, (d + 1,), as near as float64 gets.
    """

    def objective(point: Array) -> float:
        logits = x @ point
        # p and 1 - p without cancellation: near-separable data end at losses near 0
        loss = y * np.logaddexp(0, -logits) + (1 - y) * np.logaddexp(0, logits)
        return float(u @ loss + penalty @ point**2 / 2)

    value = objective(theta)
    for _ in range(MAX_STEPS):
        logits = x @ theta
        p, q = np.exp(-np.logaddexp(0, -logits)), np.exp(-np.logaddexp(0, logits))
        gradient = x.T @ (u * ((1 - y) * p - y * q)) + penalty * theta
        hessian = (x.T * (u * p * q)) @ x
        hessian[np.diag_indices_from(hessian)] += penalty + EPSILON * np.trace(hessian)
        step = np.linalg.lstsq(hessian, -gradient, rcond=None)[0]
        size, slope = 1.0, float(gradient @ step)
        if -slope <= enough * value:
            break
        while size > EPSILON and not objective(theta + size * step) <= value + 1e-4 * size * slope:
            size /= 2
        if size <= EPSILON:
            break
        theta = theta + size * step
        value = objective(theta)
    return theta
