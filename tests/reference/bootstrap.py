"""The paired bootstrap as loops: draw the seeds and points one by one, average what is there."""

import numpy as np


def mean_over_seeds(correct, mask, seeds, points):
    """Mean over `seeds` of the mean over `points`, weighted by the mask; None where undefined."""
    shares = []
    for s in seeds:
        weight = sum(float(mask[s, i]) for i in points)
        if weight > 0 and np.isfinite(correct[s]).all():
            right = sum(float(mask[s, i]) * float(correct[s, i]) for i in points)
            shares.append(right / weight)
    return sum(shares) / len(shares) if shares else None


def draws(correct, mask, seed_counts, example_counts):
    """One row's (seeds, n) bootstrap values, NaN where a draw has none."""
    values = []
    for seed_count, example_count in zip(seed_counts, example_counts, strict=True):
        seeds = np.repeat(np.arange(len(seed_count)), seed_count.astype(int))
        points = np.repeat(np.arange(len(example_count)), example_count.astype(int))
        value = mean_over_seeds(correct, mask, seeds, points)
        values.append(np.nan if value is None else value)
    return np.array(values)
