"""Probes that predict points they have not seen: all folds are columns of one problem."""

from __future__ import annotations

import numpy as np

from w2s.checks import Array
from w2s.errors import DegenerateError
from w2s.probes.columns import FOLDS, Columns, lacking
from w2s.probes.probes import fit_columns

L2 = 1e-3  # the paper's


def folds_of(group: Array, *, rng: np.random.Generator) -> Array:
    """Fold of each row, 0 to 4, int64 (n,), drawn by group.

    As many groups in each fold as in any other, or one more; with fewer than 5 groups there are
    fewer folds. The order of the rows does not matter.

    Raises:
        DegenerateError: all rows are of one group, so none is left to learn from.
    """
    names, number = np.unique(group, return_inverse=True)
    if len(names) < 2:
        raise DegenerateError(f"folds: found {len(names)} groups of rows, expected 2 or more")
    fold: Array = rng.permutation(len(names)) % FOLDS
    return fold[number]


def predictions(x: Array, targets: Array, weights: Array, at: Array) -> Array:
    """P(y = 1) at other rows by logistic probes of l2 = 1e-3, one for each column of weights.

    A column whose rows are of one class predicts that class: the share of ones among them.

    Args:
        x: Rows to learn from, (n, d).
        targets: Labels, 0 or 1, (n,).
        weights: Weights of 0 or more, (n, b).
        at: Rows to predict, (m, d).

    Returns:
        Float64 (m, b).

    Raises:
        DegenerateError: a column without rows, or without a solution.
    """
    y = np.broadcast_to(targets[:, None], weights.shape).astype(np.float64)
    constant = np.array([bool(why) for why in lacking(Columns(x, y, weights, False))])
    if not weights.sum(axis=0).all():
        raise DegenerateError("probes: found no rows to learn from, expected some of each kind")
    probes = fit_columns(x, y, weights=weights, l2=L2)
    proba: Array = probes.predict_proba(at)
    proba[:, constant] = (y * weights).sum(axis=0)[constant] / weights.sum(axis=0)[constant]
    for why in np.array(probes.reason)[~constant]:
        if why:
            raise DegenerateError(f"probes: {why}")
    return proba


def out_of_fold(x: Array, y: Array, fold: Array) -> Array:
    """P(y = 1) of each row by a logistic probe of the other folds' rows, float64 (n,).

    See `predictions`; of rows (n, d), labels 0 or 1 (n,), and folds from 0 on (n,).
    """
    return own(predictions(x, y, others(fold), x), fold)


def others(fold: Array) -> Array:
    """Weights of the training rows of each fold: 1 for rows of another one, float64 (n, folds)."""
    weights: Array = (fold[:, None] != np.arange(fold.max() + 1)).astype(np.float64)
    return weights


def own(values: Array, fold: Array) -> Array:
    """Of values by fold (n, folds, ...) those of each row's own, (n, ...)."""
    found: Array = values[np.arange(len(fold)), fold]
    return found
