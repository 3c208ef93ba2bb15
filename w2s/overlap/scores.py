"""What regions are told apart by: the change point of values, and similarity to hard points."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, finite
from w2s.errors import DegenerateError, W2SError
from w2s.probes.knn import unit_rows

MIN_VALUES = 4  # fewer cannot show two segments of more than a point each
EPSILON = float(np.finfo(np.float64).eps)
CENTRE = 20  # of EPSILON: rounding of the mean, which NumPy sums in blocks, and of the differences


def change_point(values: npt.ArrayLike, *, tolerance: float = 0.0) -> float:
    """Threshold that splits values into a low and a high segment with least squared error.

    The values are sorted; over all splits that do not separate equal values, the one with the
    least within-segment squared error is taken. On a tie it is the first of them; splits count as
    equally good where only the rounding of float64, in the values or in their sums, tells them
    apart. The published code of Algorithm 2 (Shin et al., 2025) splits on multiples of 5; this is
    the exact form.

    Args:
        values: Finite numbers, shape (n,), in any order.
        tolerance: Values that differ by no more than this count as equal: for values that carry
            rounding errors. At least 0.

    Returns:
        First value of the right segment: a value is in the left segment if it is below this.

    Raises:
        DegenerateError: fewer than 4 values, or no two neighbours that differ.
        W2SError: NaN or infinite values, not one-dimensional, or a tolerance below 0.
    """
    if not tolerance >= 0:  # nor NaN
        raise W2SError(f"tolerance: found {tolerance:g}, expected 0 or more")
    ordered = np.sort(finite(values, "change_point values", ndim=1, dtype=np.float64))
    n = len(ordered)
    if n < MIN_VALUES:
        raise DegenerateError(f"change point: found {n} values, expected at least {MIN_VALUES}")
    differs = _differs(ordered, tolerance)
    if not differs.any():
        raise DegenerateError(f"change point: found {n} equal values, expected a change")
    gain, rounding = _gains(ordered)
    np.copyto(gain, -np.inf, where=~differs)
    least = max(float(np.sqrt(gain.max())) - rounding, 0) ** 2
    return float(ordered[1:][np.argmax(gain >= least)])


def _gains(ordered: Array) -> tuple[Array, float]:
    """Squared error that each split removes, (n - 1,), and by what their roots may differ.

    Segments are summed from their end of the values, in at most n / 2 additions. Rounding moves the
    difference of two roots by no more than EPSILON times n / 2 largest roots (the additions), the
    largest value over the spread (values are rounded where they were read, as 0.4 is), and CENTRE.
    """
    n = len(ordered)
    _, exponent = np.frexp(np.abs(ordered[[0, -1]]).max())
    unit = np.ldexp(ordered, -exponent)  # exact, and neither sums nor squares can overflow
    largest = float(np.abs(unit[[0, -1]]).max())
    unit -= unit[0]
    spread = float(unit[-1])
    unit /= spread
    unit -= unit.mean()
    half = n // 2
    np.cumsum(unit[:half], out=unit[:half])
    np.cumsum(unit[:half:-1], out=unit[-2 : half - 1 : -1])  # of the right segments
    gain = unit[:-1]
    gain *= gain
    left = np.arange(1, n, dtype=np.float64)  # sizes of the left segment
    gain /= left
    gain /= np.subtract(n, left, out=left)
    root = float(np.sqrt(gain.max()))
    return gain, EPSILON * (n / 2 * root + largest / spread + CENTRE)


def _differs(ordered: Array, tolerance: float) -> Array:
    """Whether a value differs from the one before it, bool (n - 1,).

    Values within the tolerance of the first of their group are equal to it; where many values lie
    closer to each other than the tolerance, a new group begins as soon as it is exceeded.
    """
    differs: Array = ordered[1:] > ordered[:-1] + tolerance
    if tolerance:
        ends = np.append(np.flatnonzero(differs) + 1, len(ordered))
        starts = np.append(0, ends[:-1])
        wide = ordered[ends - 1] > ordered[starts] + tolerance
        for start, end in zip(starts[wide], ends[wide], strict=True):
            first = int(start)
            while first < end:
                first += int(
                    np.searchsorted(ordered[first:end], ordered[first] + tolerance, side="right")
                )
                if first < end:
                    differs[first - 1] = True
    return differs


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
    best = np.full(len(points), 0 if absolute else -np.inf, dtype=np.float32)
    for rows, _, product in tiles(points, references, similarity=similarity, block=block):
        running = best[rows]
        np.maximum(running, product.max(axis=1), out=running)
        if absolute:
            np.maximum(running, -product.min(axis=1), out=running)
    return best


def mean_similarity(
    points: Array,
    references: Array,
    *,
    similarity: Literal["cosine", "dot"] = "cosine",
    block: int = BLOCK,
) -> Array:
    """Root of the mean squared similarity of each point to all references.

    A few references that are like a point, and unlike the others, count for little here, while
    they alone decide `max_similarity`.

    Args:
        points: Activations, shape (n, d).
        references: Activations, shape (k, d), k >= 1.
        similarity: As for `max_similarity`.
        block: Likewise.

    Returns:
        float32 of shape (n,), 0 or more; of cosines no more than 1 up to rounding.

    Raises:
        W2SError: another similarity.
    """
    total = np.zeros(len(points))
    for rows, _, product in tiles(points, references, similarity=similarity, block=block):
        total[rows] += np.einsum("ij,ij->i", product, product)
    root: Array = np.sqrt(total / len(references)).astype(np.float32)
    return root


def largest_similarity(points: Array, references: Array, similarity: str) -> float:
    """The largest that a similarity of points (n, d) to references (k, d) could be, by norms."""
    if similarity == "cosine":
        return 1.0
    longest = [
        np.einsum("ij,ij->i", rows, rows, dtype=np.float64).max() for rows in (points, references)
    ]
    return float(np.sqrt(longest[0]) * np.sqrt(longest[1]))


def tiles(
    points: Array, references: Array, *, similarity: Literal["cosine", "dot"], block: int = BLOCK
) -> Iterator[tuple[slice, slice, Array]]:
    """Similarities of points (n, d) to references (k, d), part by part.

    Args:
        points: Activations.
        references: Activations.
        similarity: `cosine` or `dot`.
        block: Most rows of a part's sides.

    Yields:
        Which points and which references, and float32 (points, references), overwritten by the
        next one.

    Raises:
        W2SError: another similarity.
    """
    if similarity not in ("cosine", "dot"):
        raise W2SError(f"similarity: found {similarity!r}, expected cosine or dot")
    unit = unit_rows if similarity == "cosine" else _same
    rows, others = np.asarray(points), unit(np.asarray(references, dtype=np.float32))
    tile = np.empty((min(block, len(rows)), min(block, len(others))), dtype=np.float32)
    for first in range(0, len(rows), block):
        part = unit(rows[first : first + block].astype(np.float32, copy=False))
        for start in range(0, len(others), block):
            other = others[start : start + block]
            product = np.matmul(part, other.T, out=tile[: len(part), : len(other)])
            yield slice(first, first + block), slice(start, start + block), product


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
