"""The largest similarity of each row to a set of rows, in blocks of bounded memory."""

from __future__ import annotations

from typing import Literal

import numpy as np

from w2s.checks import Array

BLOCK = 2048  # rows of a tile's sides: 16 MB of float32, near the cache and at the matrix peak


def max_similarity(
    points: Array,
    references: Array,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
    absolute: bool = True,
    block: int = BLOCK,
) -> Array:
    """Largest similarity of each point to any reference.

    Args:
        points: Activations, shape (n, d).
        references: Activations, shape (k, d), k >= 1.
        similarity: `cosine`, where a row of zeros has cosine 0 with everything, or `dot`.
        absolute: Compare absolute values.
        block: Rows of a tile; the result does not depend on it beyond rounding.

    Returns:
        float32 of shape (n,); cosines lie in [-1, 1] up to rounding.
    """
    unit = unit_rows if similarity == "cosine" else _same
    rows, others = np.asarray(points), unit(np.asarray(references, dtype=np.float32))
    best = np.full(len(rows), 0 if absolute else -np.inf, dtype=np.float32)
    tile = np.empty((min(block, len(rows)), min(block, len(others))), dtype=np.float32)
    for first in range(0, len(rows), block):
        part = unit(rows[first : first + block].astype(np.float32, copy=False))
        running = best[first : first + block]
        for start in range(0, len(others), block):
            other = others[start : start + block]
            product = np.matmul(part, other.T, out=tile[: len(part), : len(other)])
            np.maximum(running, product.max(axis=1), out=running)
            if absolute:
                np.maximum(running, -product.min(axis=1), out=running)
    return best


def _same(rows: Array) -> Array:
    return rows


def unit_rows(rows: Array) -> Array:
    """Rows scaled to norm 1; rows of zeros stay zeros."""
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(rows, peak, out=np.zeros_like(rows), where=peak > 0)  # squares stay finite
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Array = np.divide(scaled, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
