"""Mixes of overlap and other points: which rows train each probe of the mixing experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array

MIN_MIX = 10  # fewer rows cannot hold tenths of overlap points
FEW = tuple(2.0**-k for k in range(8, 0, -1))  # shares of the pool of a learning curve
NOTHING = np.empty(0, dtype=np.int64)
Streams = Callable[[str], np.random.Generator]  # the named random streams of a curve


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
class Trade:
    """Which points a curve trades against which, and what all of its mixes hold besides.

    Attributes:
        overlap: Points in the place of overlap points, bool (n,).
        other: Points that they take the place of, bool (n,); none of the former.
        constant: Points of which every mix has the same number, bool (n,); none of the former.
        share: Share of these in every mix, in [0, 1).
    """

    overlap: Array
    other: Array
    constant: Array
    share: float = 0.0

    def constant_of(self, size: Array | int) -> Array:
        """Constant points of a mix of some size."""
        return nearest(self.share * np.asarray(size))


@dataclass(frozen=True)
class Strata:
    """What every mix must keep constant: the share of one class of points.

    Attributes:
        member: Whether a point is in the class, bool (n,).
        shares: Share of the class within the overlap points of a mix, and within its others.
        what: The class, for the reason when it is too small.
    """

    member: Array
    shares: tuple[float, float]
    what: str


def nearest(value: Array | float) -> Array:
    """Round half up, so that a count and its rest always add up."""
    return np.floor(np.asarray(value) + 0.5).astype(np.int64)


def no_strata(n: int) -> Strata:
    """No constraint: every point is in the class."""
    return Strata(np.ones(n, dtype=bool), (1.0, 1.0), "points")


def against_rest(overlap: Array, eligible: Array) -> Trade:
    """Overlap points against all other eligible points, hard ones among them; all bool (n,)."""
    return Trade(overlap & eligible, ~overlap & eligible, np.zeros(len(overlap), dtype=bool))


def placebo(overlap: Array, hard: Array, rng: np.random.Generator) -> Array:
    """As many random points that are not hard, in the place of overlap points: bool (n,).

    Scores are ignored, so a curve over these points shows what the lack of hard points does, and
    the confidence of the weak model that comes with it.

    Args:
        overlap: Whether a point is an overlap point, bool (n,).
        hard: Whether a point is hard, bool (n,).
        rng: Draws the points.
    """
    chosen = np.zeros(len(overlap), dtype=bool)
    chosen[rng.permutation(np.flatnonzero(~hard))[: int(overlap.sum())]] = True
    return chosen


def equal_score(score: Array, kinds: tuple[Array, Array], what: str) -> Strata:
    """Points with a low and a high score, in shares that give both kinds the pool's mean score.

    Within each kind the points at or below the pool's mean are one class and the others the other
    one. The share at which their means average to the pool's mean is the kind's own; so the mean
    is met in expectation, whatever the proportion.

    Args:
        score: Of each point, finite, (n,).
        kinds: Overlap and other points, bool (n,) each; the pool is both together.
        what: The class of points with a low score, for the reason.
    """
    pool = kinds[0] | kinds[1]
    # the computed mean of equal scores may be below all of them
    mean = max(float(score[pool].mean()), float(score[pool].min())) if pool.any() else np.nan
    low = score <= mean
    shares = []
    for kind in kinds:
        sides = [score[kind & side] for side in (low, ~low)]
        if not all(map(len, sides)):  # its mean cannot be the pool's, unless all scores are equal
            shares.append(1.0 if len(sides[0]) and np.ptp(score[pool]) == 0 else np.nan)
            continue
        below, above = (float(side.mean()) for side in sides)
        shares.append(min((above - mean) / (above - below), 1.0))
    return Strata(low, (shares[0], shares[1]), what)


def mix_size(trade: Trade, strata: Strata) -> int:
    """Points of every mix: the smaller of the two kinds, cut to what the strata make possible.

    Args:
        trade: Which points are traded.
        strata: Class to hold constant; its shares hold within the overlap points and within the
            others, so that no proportion in [0, 1] needs more than there is.

    Returns:
        The largest size m such that every number of overlap points can be drawn, and the constant
        points beside them; 0 where a share is undefined.
    """
    if not np.isfinite(strata.shares).all():
        return 0
    smaller = int(min(trade.overlap.sum(), trade.other.sum()))
    kinds = (trade.overlap, trade.other)
    available = np.array(
        [[np.sum(kind & ~strata.member), np.sum(kind & strata.member)] for kind in kinds]
    )  # (overlap or other, outside or inside the class)
    sizes = np.arange(1, int((smaller + 1) / (1 - trade.share)) + 1 if smaller else 1)
    constant = trade.constant_of(sizes)
    traded = sizes - constant
    good = (traded <= smaller) & (constant <= trade.constant.sum())
    for ends in (np.zeros_like(traded), traded):  # most sizes fail at no or at all overlap points
        good &= (_needed(ends, traded, strata.shares) <= available).all(axis=(1, 2))
    for size, m in zip(sizes[good][::-1], traded[good][::-1], strict=True):
        needed = _needed(np.arange(m + 1), m, strata.shares)  # (m + 1, 2, 2)
        if (needed >= 0).all() and (needed <= available).all():
            return int(size)
    return 0


def _needed(n_overlap: Array, size: Array | int, shares: tuple[float, float]) -> Array:
    """Points of each cell, (..., overlap or other, outside or inside the class)."""
    inside = nearest(shares[0] * n_overlap)
    # in this form equal shares give the same number inside whatever n_overlap is
    inside_other = nearest(shares[1] * size + (shares[0] - shares[1]) * n_overlap) - inside
    other = size - n_overlap - inside_other
    cells = np.array([[n_overlap - inside, inside], [other, inside_other]])
    return np.moveaxis(cells, (0, 1), (-2, -1))


def draw_mixes(
    trades: Sequence[Trade], strata: Sequence[Strata], *, proportions: Sequence[float], rng: Streams
) -> list[Mix]:
    """Draw the mixes of one curve.

    A mix of proportion p has round(p m) of the m traded points from the overlap points and the rest
    from the others, without replacement, and the constant points. Within a repeat the mixes share
    one random order of each kind of point, so those of neighbouring proportions differ as little as
    possible. All repeats have the size that is possible in each.

    Args:
        trades: Which points are traded, one for each repeat.
        strata: Class whose share is held constant, one for each repeat.
        proportions: Shares of overlap points among the traded points, in [0, 1].
        rng: Gives the named random stream of a repeat.

    Returns:
        The mixes, repeat by repeat; all without rows if fewer than 10 points can be traded.
    """
    size = min(map(mix_size, trades, strata))
    least = size - max(int(trade.constant_of(size)) for trade in trades)
    if least < MIN_MIX:
        why = _too_few(least, trades[0], strata[0])
        return [Mix(p, r, NOTHING, why) for r in range(len(trades)) for p in proportions]
    mixes = []
    for repeat, (trade, kept) in enumerate(zip(trades, strata, strict=True)):
        generator, sides = rng(f"repeat={repeat}"), (~kept.member, kept.member)
        order = [
            [generator.permutation(np.flatnonzero(kind & side)) for side in sides]
            for kind in (trade.overlap, trade.other)
        ]
        n_constant = int(trade.constant_of(size))
        always = generator.permutation(np.flatnonzero(trade.constant))[:n_constant]
        traded = size - n_constant
        for p in proportions:
            needed = _needed(nearest(p * traded), traded, kept.shares)  # (2, 2)
            cells = [order[i][j][: needed[i, j]] for i in (0, 1) for j in (0, 1)]
            mixes.append(Mix(p, repeat, np.concatenate([*cells, always])))
    return mixes


def _too_few(found: int, trade: Trade, strata: Strata) -> str:
    """Why no mix can be drawn: what the curve needs, and what there is."""
    why = (
        f"found {found} points that a mix can trade, expected {MIN_MIX} or more: there are "
        f"{trade.overlap.sum()} overlap points (or points in their place) and "
        f"{trade.other.sum()} others"
    )
    if strata.member.all() and set(strata.shares) == {1.0}:
        return why
    told = (f"{share:.3f}" if np.isfinite(share) else "undefined" for share in strata.shares)
    shares = " and ".join(dict.fromkeys(told))
    return f"{why}, and every mix keeps a share of {shares} {strata.what}"


def draw_random(eligible: Array, size: int, *, repeats: int, rng: Streams) -> list[Mix]:
    """Random points of the whole pool, as many as a plain mix has.

    Args:
        eligible: Which points may be drawn, bool (n,).
        size: Points of a draw; below 10 none is drawn.
        repeats: Number of draws.
        rng: Gives the named random stream of a repeat.
    """
    if size < MIN_MIX:
        why = f"found {size} points of a plain mix, expected {MIN_MIX} or more"
        return [Mix(np.nan, r, NOTHING, why) for r in range(repeats)]
    pool = np.flatnonzero(eligible)
    return [Mix(np.nan, r, rng(f"repeat={r}").permutation(pool)[:size]) for r in range(repeats)]


def draw_few(label: Array, *, repeats: int, rng: Streams) -> list[Mix]:
    """A 256th, a 128th, ... and a half of the points, as many of each class, up to one.

    Within a repeat each set holds the smaller ones. Sets of less than 2 points are not drawn.

    Args:
        label: True labels, 0 or 1, (n,).
        repeats: Number of draws.
        rng: Gives the named random stream of a repeat.

    Returns:
        Mixes whose proportion is the share of the pool.
    """
    mixes = []
    for repeat in range(repeats):
        generator = rng(f"repeat={repeat}")
        rank = np.empty(len(label))
        for value in (0, 1):  # the k-th point of each class has rank k
            mine = generator.permutation(np.flatnonzero(label == value))
            rank[mine] = np.arange(len(mine))
        order = np.argsort(rank, kind="stable")
        for share in FEW:
            size = int(nearest(share * len(label)))
            why = f"{share:g} of the pool are {size} points, expected 2 or more"
            mixes.append(
                Mix(share, repeat, NOTHING, why) if size < 2 else Mix(share, repeat, order[:size])
            )
    return mixes
