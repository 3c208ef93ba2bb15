"""Intervals and p values of means over seeds, and what many comparisons make of the latter.

Values of test points: a paired bootstrap over seeds (and restarts) and test points (or groups of
them). Values that exist only once a seed: Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from w2s.checks import Array, same_length

DIGITS = 12  # what is equal stays equal: sums in another order differ in the last digits
FEWEST = 3  # seeds that an interval over seeds alone needs


@dataclass(frozen=True)
class Bootstrap:
    """Resampling counts shared by everything that is compared, so that differences are paired.

    A unit is one trained model: a seed, or one of the restarts of a seed.

    Attributes:
        seeds: How often each unit is drawn, float32 (draws, units).
        examples: How often each test example is drawn, float64 (draws, n).
    """

    seeds: Array
    examples: Array

    @classmethod
    def draw(
        cls,
        n_seeds: int,
        n_examples: int,
        draws: int,
        rng: np.random.Generator,
        *,
        restarts: int = 1,
        groups: Array | None = None,
    ) -> Bootstrap:
        """Draw counts of seeds and, independently, of examples, each with replacement.

        Args:
            n_seeds: Number of seeds.
            n_examples: Number of test examples.
            draws: Number of draws.
            rng: Neither restarts nor groups of one example each change what it gives the others.
            restarts: Units of each seed, seed by seed: unit = seed * restarts + restart. As many
                are drawn with replacement among a seed's own, each time that the seed is drawn.
            groups: Group of each example, (n_examples,), any values that compare: as many whole
                groups are drawn as there are, and an example counts as often as its group. Groups
                of one example each, and None, draw examples.

        Raises:
            W2SError: not one group for each example.
        """
        which = np.arange(n_examples)
        if groups is not None:
            same_length("groups", groups, "examples", n_examples)
            which = np.unique(groups, return_inverse=True)[1]  # group of each example, (n,)
        n_groups = int(which.max()) + 1
        units, examples = (
            rng.multinomial(n, np.full(n, 1 / n), size=draws) for n in (n_seeds, n_groups)
        )
        if n_groups < n_examples:
            examples = examples[:, which]
        if restarts > 1:
            drawn = rng.multinomial(units * restarts, np.full(restarts, 1 / restarts))
            units = drawn.reshape(draws, -1)  # (draws, n_seeds * restarts)
        return cls(units.astype(np.float32), examples.astype(np.float64))


@dataclass(frozen=True)
class Estimates:
    """Means over units of rows, and the same on every bootstrap draw.

    Attributes:
        mean: (rows,), NaN where no unit has a value.
        draws: (draws, rows), NaN where the drawn units have no value.
        n_seeds: Units with a value, (rows,): seeds where each has one restart.
    """

    mean: Array
    draws: Array
    n_seeds: Array


def estimate(correct: Array, mask: Array, bootstrap: Bootstrap) -> Estimates:
    """Accuracy on the masked test points, mean over the units that have one.

    Args:
        correct: Correctness, float (units, rows, n); NaN where a unit lacks the row.
        mask: Which test points count, bool (units, n), or how much each counts, float in [0, 1]:
            the accuracy is then the weighted one, sum of weight * correct / sum of weight.
        bootstrap: Counts for the same units and test points.
    """
    some_point = mask.sum(axis=1) > 0
    known = np.isfinite(correct.sum(axis=2)) & some_point[:, None]  # (units, rows)
    weight = mask.astype(np.float32)
    filled = np.where(known[:, :, None], correct, 0) * weight[:, None]  # (units, rows, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_unit = filled.sum(2, dtype=np.float64) / weight.sum(1, dtype=np.float64)[:, None]
        mean = np.round(np.where(known, per_unit, 0).sum(0) / known.sum(0), DIGITS)
        drawn = np.zeros((correct.shape[1], len(bootstrap.seeds)))  # (rows, draws)
        total = np.zeros_like(drawn)
        for u, (points, hits) in enumerate(_sums(weight, filled, bootstrap.examples)):
            usable = known[u][:, None] & (points > 0)
            counts = np.where(usable, bootstrap.seeds[:, u], 0)
            drawn += np.where(usable, hits / points, 0) * counts
            total += counts
        return Estimates(mean, np.round(drawn / total, DIGITS).T, known.sum(0))


def _sums(weight: Array, filled: Array, examples: Array) -> Iterator[tuple[Array, Array]]:
    """Of each unit, weights (draws,) and weighted correctness (rows, draws) of all points drawn."""
    used = weight.any(axis=0)
    if not used.all():  # most points are in one region only
        weight, filled, examples = weight[:, used], filled[:, :, used], examples[:, used]
    eighths, few = 8 * filled, 16 * examples.sum(axis=1).max(initial=0) < 2**24
    # of eighths in [-2, 2], as halves are, float32 has exact sums too, and twice as fast
    exact = few and np.array_equal(eighths, np.rint(eighths))
    by_point = examples.T.astype(np.float32 if exact else np.float64, copy=False)  # (n, draws)
    points: Array = np.matmul(weight.astype(np.float64), examples.T)  # (units, draws)
    units, rows, _ = filled.shape
    several = max(1, 512 // max(rows, 1))  # a product of few rows waits for memory
    for first in range(0, units, several):
        part = filled[first : first + several].astype(by_point.dtype, copy=False)
        hits = (part.reshape(len(part) * rows, -1) @ by_point).astype(np.float64, copy=False)
        yield from zip(points[first:], hits.reshape(len(part), rows, -1), strict=False)


def interval(draws: Array, level: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws (draws,); NaN if more of them than a tail are NaN."""
    tail = (1 - level) / 2
    known = draws[np.isfinite(draws)]
    if not len(known) or 1 - len(known) / len(draws) > tail:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def p_value(mean: float, draws: Array, *, level: float = 0.95) -> float:
    """Two-sided p value of "the mean is 0", from bootstrap draws of it (draws,).

    The draws say how far means stray, and a normal distribution what that makes of the mean:
    2 Phi(-|mean| / sd), so that p goes on below 1 / draws. Draws that are all the same leave no
    doubt: p is 1 if the mean is 0, else 0.

    Args:
        mean: The mean itself.
        draws: Its draws; those that are NaN are left out.
        level: Where the `interval` of this level is NaN, p is too, as where the mean is.
    """
    if math.isnan(mean) or math.isnan(interval(draws, level)[0]):
        return math.nan
    known = draws[np.isfinite(draws)]
    if np.ptp(known) == 0:
        return float(mean == 0)
    return 2 * NormalDist().cdf(-abs(mean) / float(known.std()))


def holm(p: Array) -> Array:
    """P values adjusted for there being several, (k,), by the step-down method of Holm (1979).

    The i-th smallest of m is multiplied by m - i + 1, made no smaller than those before it and at
    most 1: below alpha it is then with a chance of at most alpha that any is while nothing differs,
    however the comparisons depend on each other. NaN stay NaN and do not count among the m.
    """
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1))
    return np.asarray(np.minimum(adjusted, 1))


def t_interval(values: Array, level: float) -> tuple[float, float]:
    """Student's t interval of the mean of the finite ones of values (seeds,).

    NaN below `FEWEST` finite values: with two the interval is right as often as it says, but twelve
    standard errors wide on either side.
    """
    from scipy.special import stdtrit  # scipy takes longer to import than the rest of this

    known = _rounded(values)
    if len(known) < FEWEST:
        return math.nan, math.nan
    margin = float(stdtrit(len(known) - 1, (1 + level) / 2)) * _error(known)
    return float(known.mean()) - margin, float(known.mean()) + margin


def t_p_value(values: Array) -> float:
    """Two-sided p value of "the mean is 0" by Student's t, NaN where `t_interval` is.

    Values that are all the same leave no doubt: p is 1 if they are 0, else 0.
    """
    from scipy.special import stdtr

    known = _rounded(values)
    if len(known) < FEWEST:
        return math.nan
    if np.ptp(known) == 0:
        return float(known[0] == 0)
    return 2 * float(stdtr(len(known) - 1, -abs(float(known.mean())) / _error(known)))


def _rounded(values: Array) -> Array:
    """The finite values, those that are equal but for the order of sums made equal."""
    return np.asarray(np.round(values[np.isfinite(values)].astype(np.float64), DIGITS))


def _error(known: Array) -> float:
    """Standard error of the mean."""
    return float(known.std(ddof=1)) / math.sqrt(len(known))


def known_mean(values: Array) -> float:
    """Mean of the finite ones of values (seeds,), NaN if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def known_means(values: Array) -> list[float]:
    """The same of each column of values (seeds, k)."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return list(np.where(known, values, 0).sum(0) / known.sum(0))
