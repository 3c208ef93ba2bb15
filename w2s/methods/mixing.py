"""Mixes of overlap and other points: which rows train each probe of the mixing experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array

MIN_MIX = 10  # fewer rows cannot hold tenths of overlap points


@dataclass(frozen=True)
class Mix:
    """One training set.

    Attributes:
        proportion: Share of overlap points; NaN for a random draw.
        repeat: Number of the draw.
        rows: Positions of its points, without repetition; empty if `reason` says why.
        reason: Why it could not be drawn, "" if it was.
    """

    proportion: float
    repeat: int
    rows: Array
    reason: str = ""


@dataclass(frozen=True)
class Strata:
    """What every mix must keep constant: the share of one class of points.

    Attributes:
        member: Whether a point is in the class, bool (n,).
        share: Share of the class in every mix, in [0, 1].
        what: The class, for the reason when it is too small.
    """

    member: Array
    share: float
    what: str


def nearest(value: Array | float) -> Array:
    """Round half up, so that a count and its rest always add up."""
    return np.floor(np.asarray(value) + 0.5).astype(np.int64)


def no_strata(n: int) -> Strata:
    """No constraint: every point is in the class."""
    return Strata(np.ones(n, dtype=bool), 1.0, "points")


def mix_size(overlap: Array, strata: Strata) -> int:
    """Points of every mix: the smaller of the two kinds, cut to what the strata make possible.

    Args:
        overlap: Whether a point is an overlap point, bool (n,).
        strata: Class to hold constant; its share holds within the overlap points and within the
            others, so that no proportion in [0, 1] needs more than there is.

    Returns:
        The largest size m such that every number 0..m of overlap points can be drawn.
    """
    largest = int(min(overlap.sum(), (~overlap).sum()))
    available = np.array(
        [
            [np.sum(kind & ~strata.member), np.sum(kind & strata.member)]
            for kind in (overlap, ~overlap)
        ]
    )  # (overlap or other, outside or inside the class)
    for size in range(largest, 0, -1):
        needed = _needed(np.arange(size + 1), size, strata.share)  # (size + 1, 2, 2)
        if (needed <= available).all():
            return size
    return 0


def _needed(n_overlap: Array, size: int, share: float) -> Array:
    """Points of each cell, (..., overlap or other, outside or inside the class)."""
    inside = nearest(share * n_overlap)
    inside_other = nearest(share * size) - inside
    other = size - n_overlap - inside_other
    cells = np.array([[n_overlap - inside, inside], [other, inside_other]])
    return np.moveaxis(cells, (0, 1), (-2, -1))


def draw_mixes(
    overlap: Array,
    strata: Strata,
    *,
    proportions: Sequence[float],
    repeats: int,
    rng: Callable[[str], np.random.Generator],
) -> list[Mix]:
    """Draw the mixes of one curve.

    A mix of proportion p has round(p m) overlap points and m - round(p m) others, without
    replacement. Within a repeat the mixes share one random order of each kind of point, so those of
    neighbouring proportions differ as little as possible.

    Args:
        overlap: Whether a point is an overlap point, bool (n,).
        strata: Class whose share is held constant.
        proportions: Shares of overlap points, in [0, 1].
        repeats: Number of draws.
        rng: Gives the named random stream of a repeat.

    Returns:
        `len(proportions) * repeats` mixes; all without rows if fewer than 10 points are possible.
    """
    size = mix_size(overlap, strata)
    if size < MIN_MIX:
        why = f"at most {size} points with a share of {strata.share:.3f} {strata.what} in every mix"
        none = np.empty(0, dtype=np.int64)
        return [Mix(p, r, none, why) for r in range(repeats) for p in proportions]
    sides = (~strata.member, strata.member)
    mixes = []
    for repeat in range(repeats):
        generator = rng(f"repeat={repeat}")
        order = [
            [generator.permutation(np.flatnonzero(kind & side)) for side in sides]
            for kind in (overlap, ~overlap)
        ]
        for p in proportions:
            needed = _needed(nearest(p * size), size, strata.share)  # (2, 2)
            cells = [order[i][j][: needed[i, j]] for i in (0, 1) for j in (0, 1)]
            mixes.append(Mix(p, repeat, np.concatenate(cells)))
    return mixes


def draw_random(
    n: int, size: int, *, repeats: int, rng: Callable[[str], np.random.Generator]
) -> list[Mix]:
    """Random points of the whole pool, as many as a plain mix has.

    Args:
        n: Points of the pool.
        size: Points of a draw; below 10 none is drawn.
        repeats: Number of draws.
        rng: Gives the named random stream of a repeat.
    """
    if size < MIN_MIX:
        return [
            Mix(np.nan, r, np.empty(0, dtype=np.int64), f"a mix has at most {size} points")
            for r in range(repeats)
        ]
    return [Mix(np.nan, r, rng(f"repeat={r}").permutation(n)[:size]) for r in range(repeats)]
