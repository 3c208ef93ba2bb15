"""The probe's problem given to scikit-learn and SciPy, one fit after another."""

import numpy as np
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression


def fit_sklearn(x, y, l2):
    """Coefficients and bias by LogisticRegression (lbfgs); a soft label is a row of each class."""
    model = LogisticRegression(C=1 / (2 * l2 * len(y)), tol=1e-6, max_iter=1000)
    both, label = np.concatenate([x, x]), np.repeat([1, 0], len(y))
    model.fit(both, label, sample_weight=np.concatenate([y, 1 - y]))
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def fit_scipy(x, y, l2):
    """Coefficients and bias by L-BFGS-B in float64, with the gradient written out."""
    rows = x.astype(np.float64)

    def value_and_gradient(theta):
        logits = rows @ theta[:-1] + theta[-1]
        residual = (1 / (1 + np.exp(-logits)) - y) / len(y)
        gradient = np.append(rows.T @ residual + 2 * l2 * theta[:-1], residual.sum())
        loss = np.mean(np.logaddexp(0, logits) - y * logits)
        return loss + l2 * theta[:-1] @ theta[:-1], gradient

    start = np.zeros(rows.shape[1] + 1)
    options = {"maxiter": 1000, "ftol": 1e-12, "gtol": 1e-6}
    found = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options=options)
    return found.x[:-1], float(found.x[-1])
