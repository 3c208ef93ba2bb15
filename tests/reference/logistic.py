"""One weighted, penalised logistic regression with soft labels at a time, by Newton in float64."""

import numpy as np


def objective(x, targets, weights, l2, coef, intercept):
    """Sum u BCE(sigmoid(x w + b), y) + l2 |w|^2 with u = weights / their sum."""
    u = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    logits = np.asarray(x, dtype=np.float64) @ coef + intercept
    # log(1 + e^z) - y z, written so that nothing cancels
    loss = targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(0, logits)
    return float(u @ loss + l2 * coef @ coef)


def newton(x, targets, weights=None, l2=1e-3, steps=500):
    """Minimiser (coef, intercept): Newton steps, halved until the objective falls."""
    x = np.asarray(x, dtype=np.float64)
    n, d = x.shape
    weights = np.ones(n) if weights is None else np.asarray(weights, dtype=np.float64)
    u = weights / weights.sum()
    mean, size = x.mean(axis=0), max(float(np.abs(x - x.mean(axis=0)).max()), 1e-12)
    rows = np.hstack([(x - mean) / size, np.ones((n, 1))])
    penalty = np.append(np.full(d, 2 * l2 / size**2), 0.0)

    def value(theta):
        return objective(rows[:, :-1], targets, u, l2 / size**2, theta[:-1], theta[-1])

    theta = np.zeros(d + 1)
    theta[-1] = np.log(u @ targets) - np.log(u @ (1 - targets))
    for _ in range(steps):
        p = 0.5 * (1 + np.tanh(rows @ theta / 2))
        gradient = rows.T @ (u * (p - targets)) + penalty * theta
        hessian = (rows * (u * p * (1 - p))[:, None]).T @ rows + np.diag(penalty)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        size_of_step = 1.0
        while value(theta - size_of_step * step) > value(theta) and size_of_step > 1e-9:
            size_of_step /= 2
        if size_of_step <= 1e-9 or gradient @ step < 1e-15 * value(theta):
            break
        theta = theta - size_of_step * step
    coef = theta[:-1] / size
    return coef, theta[-1] - mean @ coef


def true_gap(x, targets, weights, l2, coef, intercept):
    """(f - min f) / f of a solution, where min f is Newton's."""
    found = objective(x, targets, weights, l2, coef, intercept)
    least = objective(x, targets, weights, l2, *newton(x, targets, weights, l2))
    return (found - least) / found
