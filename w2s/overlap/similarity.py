"""The largest similarity of each row to a set of rows, in blocks of bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError

TALL, EVEN = 0.1, 4  # share of a coordinate that is told, and how often its even share
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

    Raises:
        W2SError: another similarity.
    """
    if similarity not in ("cosine", "dot"):
        raise W2SError(f"similarity: found {similarity!r}, expected cosine or dot")
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


@dataclass(frozen=True)
class Dominant:
    """The coordinate that counts most in norms, and so in cosines.

    Attributes:
        coordinate: Its number, from 0.
        share: Its part of the sum of all squares, in [0, 1]; 0 where all are 0.
        strong: Whether that is more than a tenth, and four times its even part: cosines of such
            vectors are those of this coordinate first, and an offset of it, as some models have,
            moves the regions.
    """

    coordinate: int
    share: float
    strong: bool

    def __str__(self) -> str:
        return f"coordinate {self.coordinate} holds {self.share:.1%} of the squared norm"


def dominant_coordinate(blocks: Iterable[Array]) -> Dominant:
    """The coordinate with the largest sum of squares; the first of several.

    Args:
        blocks: Rows, each block of shape (k, d).
    """
    squares = sum(np.einsum("ij,ij->j", block, block, dtype=np.float64) for block in blocks)
    known = np.atleast_1d(squares)
    total, most = float(known.sum()), int(np.argmax(known))
    share = float(known[most]) / total if total > 0 else 0.0
    return Dominant(most, share, share > max(TALL, EVEN / len(known)))


def _same(rows: Array) -> Array:
    return rows


def unit_rows(rows: Array) -> Array:
    """Rows scaled to norm 1; rows of zeros stay zeros."""
    peak = np.abs(rows).max(axis=1, keepdims=True, initial=0)
    scaled = np.divide(rows, peak, out=np.zeros_like(rows), where=peak > 0)  # squares stay finite
    norms = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit: Array = np.divide(scaled, norms, out=np.zeros_like(rows), where=norms > 0)
    return unit
