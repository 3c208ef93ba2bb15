"""Label noise that is planted: which labels of a pool are flipped."""

from __future__ import annotations

from typing import Literal

import numpy as np

from w2s.checks import Array
from w2s.overlap.mixing import nearest

SURE = 1e-9  # weight of a point that the weak model is quite sure of: drawn after all others


def plant(
    weak_proba: Array,
    *,
    rate: float,
    kind: Literal["uniform", "confidence"],
    rng: np.random.Generator,
) -> Array:
    """Points whose labels are flipped: round(rate n) of them, drawn without replacement.

    `uniform`: all sets of points are equally likely. `confidence`: each next point is drawn with
    chances proportional to 1 - c, c = 2 |weak_proba - 1/2|, so errors lie where the weak model is
    unsure, as its own do (the order is that of log(1 - c) plus Gumbel noise; Efraimidis and
    Spirakis, 2006, in another form).

    Args:
        weak_proba: P(y = 1) by the weak model, (n,).
        rate: Share of the points.
        kind: Which points.
        rng: Source of the draw.

    Returns:
        bool (n,).
    """
    n = len(weak_proba)
    unsure = 1 - np.abs(2 * weak_proba.astype(np.float64) - 1)
    weight = np.maximum(unsure, SURE) if kind == "confidence" else np.ones(n)
    order = np.argsort(-(np.log(weight) + rng.gumbel(size=n)), kind="stable")
    flipped = np.zeros(n, dtype=bool)
    flipped[order[: int(nearest(np.array(rate * n)))]] = True
    return flipped
