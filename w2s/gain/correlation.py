"""Rank correlations of few points that come in clusters: on resamples, partial, permuted."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np

from w2s.checks import Array

EXACT = 7  # means of which all orders are tried: 5,040
ORDERS = 10_000  # drawn where there are more
FEWEST = 3  # means that have more than one order up to its reverse
SMALL = 1e-9  # difference of correlations that is rounding


def rank_correlation(x: Array, y: Array) -> float:
    """Spearman's rank correlation of x and y (n,), ties at their mean rank.

    NaN where one is constant, of one point and of none.
    """
    return float(rank_correlations(x, y, np.ones((1, len(x))))[0])


def rank_correlations(x: Array, y: Array, counts: Array) -> Array:
    """The same on resamples.

    Args:
        x: Finite values, (n,).
        y: Others, (n,).
        counts: How often each point is drawn, (draws, n).

    Returns:
        (draws,); NaN where the points drawn are constant in x or y.
    """
    total = counts.sum(axis=1, keepdims=True)
    a, b = (_drawn_ranks(side, counts) - (total + 1) / 2 for side in (x, y))  # centred
    both, first, second = ((counts * p * q).sum(axis=1) for p, q in ((a, b), (a, a), (b, b)))
    size = np.sqrt(first * second)
    found: Array = np.divide(both, size, out=np.full(len(counts), np.nan), where=size > SMALL)
    return found


def _drawn_ranks(values: Array, counts: Array) -> Array:
    """Rank of each point among those drawn, from 1, ties at their mean: (draws, n)."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(values[order]) > 0][: len(values)])
    drawn = np.add.reduceat(counts[:, order], starts, axis=1)  # of each group of ties
    rank = np.cumsum(drawn, axis=1) - drawn + (drawn + 1) / 2
    ranks = np.empty(counts.shape)
    ranks[:, order] = np.repeat(rank, np.diff(np.r_[starts, len(values)]), axis=1)
    return ranks


def partial_correlation(x: Array, y: Array, given: Array) -> float:
    """Rank correlation of x and y with what ranks of `given` tell of both taken away.

    NaN where one of the three correlations is, or where `given` has the order of x or y.
    """
    xy, xz, yz = (rank_correlation(a, b) for a, b in ((x, y), (x, given), (y, given)))
    left = (1 - xz**2) * (1 - yz**2)
    return (xy - xz * yz) / math.sqrt(left) if left > SMALL else math.nan


def permutation_p(x: Array, y: Array, rng: np.random.Generator) -> float:
    """Two-sided p value of "x and y have no rank correlation": share of orders that have as much.

    All orders of up to 7 values, 10,000 random ones of more (with the given one). It makes no
    assumption but that y could as well come in another order, so with 4 values it cannot be below
    2 / 24.

    Args:
        x: Finite values, (n,).
        y: Others, (n,), which do not depend on each other.
        rng: Draws the orders.

    Returns:
        NaN below 3 values, and where `rank_correlation` is.
    """
    n = len(x)
    found = rank_correlation(x, y) if n >= FEWEST else math.nan
    if math.isnan(found):
        return math.nan
    one = np.ones((1, n))
    a, b = (_drawn_ranks(side, one)[0] - (n + 1) / 2 for side in (x, y))
    exact = n <= EXACT
    orders = (
        np.array(list(permutations(range(n))))
        if exact
        else rng.permuted(np.tile(np.arange(n), (ORDERS, 1)), axis=1)
    )
    others = b[orders] @ a / (np.linalg.norm(a) * np.linalg.norm(b))
    as_large = int(np.sum(np.abs(others) >= abs(found) - SMALL))
    return (as_large + (not exact)) / (len(orders) + (not exact))
