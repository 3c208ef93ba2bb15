"""Intervals of means over seeds: a paired bootstrap over test examples and seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s.checks import Array

DIGITS = 12  # what is equal stays equal: sums in another order differ in the last digits


@dataclass(frozen=True)
class Bootstrap:
    """Resampling counts shared by everything that is compared, so that differences are paired.

    Attributes:
        seeds: How often each seed is drawn, float32 (draws, seeds).
        examples: How often each test example is drawn, float32 (draws, n).
    """

    seeds: Array
    examples: Array

    @classmethod
    def draw(cls, n_seeds: int, n_examples: int, draws: int, rng: np.random.Generator) -> Bootstrap:
        """Draw counts of seeds and, independently, of examples, each with replacement."""
        seeds, examples = (
            rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float32)
            for n in (n_seeds, n_examples)
        )
        return cls(seeds, examples)


@dataclass(frozen=True)
class Estimates:
    """Means over seeds of rows, and the same on every bootstrap draw.

    Attributes:
        mean: (rows,), NaN where no seed has a value.
        draws: (draws, rows), NaN where the drawn seeds have no value.
        n_seeds: Seeds with a value, (rows,).
    """

    mean: Array
    draws: Array
    n_seeds: Array


def estimate(correct: Array, mask: Array, bootstrap: Bootstrap) -> Estimates:
    """Accuracy on the masked test points, mean over the seeds that have one.

    Args:
        correct: Correctness, float (seeds, rows, n); NaN where a seed lacks the row.
        mask: Which test points count, bool (seeds, n).
        bootstrap: Counts for the same seeds and test points.
    """
    some_point = mask.sum(axis=1) > 0
    known = np.isfinite(correct.sum(axis=2)) & some_point[:, None]  # (seeds, rows)
    weight = mask.astype(np.float32)
    filled = np.where(known[:, :, None], correct, 0) * weight[:, None]  # (seeds, rows, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_seed = filled.sum(2, dtype=np.float64) / weight.sum(1, dtype=np.float64)[:, None]
        mean = np.round(np.where(known, per_seed, 0).sum(0) / known.sum(0), DIGITS)
        drawn = np.zeros((len(bootstrap.seeds), correct.shape[1]))
        examples = bootstrap.examples.astype(np.float64)
        total = np.zeros_like(drawn)
        for s, hits in enumerate(filled):
            points = examples @ weight[s]  # (draws,)
            share = (examples @ hits.T) / points[:, None]  # (draws, rows)
            usable = known[s] & (points > 0)[:, None]
            counts = np.where(usable, bootstrap.seeds[:, s, None], 0)
            drawn += np.where(usable, share, 0) * counts
            total += counts
        return Estimates(mean, np.round(drawn / total, DIGITS), known.sum(0))


def interval(draws: Array, level: float) -> tuple[float, float]:
    """Percentile interval of bootstrap draws (draws,); NaN if more of them than a tail are NaN."""
    tail = (1 - level) / 2
    known = draws[np.isfinite(draws)]
    if not len(known) or 1 - len(known) / len(draws) > tail:
        return float("nan"), float("nan")
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
