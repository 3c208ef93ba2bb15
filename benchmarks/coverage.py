"""How often intervals hold what they estimate, and how often p values reject what is true.

Run `python benchmarks/coverage.py` (under five minutes of processor time).

Correctness is simulated by a probit model. Model m of seed s gets test point i right where

    mean_m + point_i + model-point_mi + seed_s + model-seed_ms + rest_msi

is above 0: normal, independent terms whose variances add up to 1, so that the accuracy over all
seeds and test points there could be is Phi(mean_m), which an interval should hold. Test points in
groups share a part of point_i; restarts of a seed differ in a term like model-seed_ms. Point and
model-point have variances as in the default run, whose accuracies differ between seeds with a
standard deviation of 0 to 0.02 beyond what its test points explain.
"""

import math
import time
from itertools import pairwise, product

import numpy as np
from measure import write_table
from scipy.optimize import brentq
from scipy.stats import norm

from w2s.results.intervals import (
    Bootstrap,
    estimate,
    holm,
    interval,
    p_value,
    t_interval,
    t_p_value,
)
from w2s.rng import stream

LEVEL, DRAWS = 0.95, 2000  # of the default configuration
POINTS, SEEDS = 1500, 5
POINT, MODEL_POINT, BOTH = 0.55, 0.25, 0.5  # variances; share of seed effects that models share
SPREADS = (0.005, 0.02)  # standard deviation between seeds, of accuracy
BATCH = 250  # rows that share draws


def sd_of(spread, accuracy):
    """Standard deviation of a term that moves an accuracy by `spread`."""
    return spread / norm.pdf(norm.ppf(accuracy))


def correctness(
    rng, accuracies, *, reps, seeds=SEEDS, spread=0.0, restart=0.0, restarts=1, groups=None, share=0
):
    """Correct points of models side by side, float32 (seeds * restarts, reps * models, points).

    Args:
        rng: Draws.
        accuracies: The truth of each model.
        reps: Independent experiments.
        seeds: Seeds of each.
        spread: Standard deviation of accuracies between seeds.
        restart: The same between restarts of a seed.
        restarts: Restarts of each seed.
        groups: Group of each test point; by default `POINTS` points of their own.
        share: Variance of the groups.
    """
    models = len(accuracies)
    n = POINTS if groups is None else len(groups)
    mean = norm.ppf(accuracies).astype(np.float32)[:, None]  # (models, 1)
    between, again = (sd_of(sd, accuracies).astype(np.float32) for sd in (spread, restart))

    def scaled(sd, *shape):
        return np.float32(sd) * rng.standard_normal(shape, dtype=np.float32)

    # (reps, seeds, restarts, models, n), where a 1 is shared
    z = scaled(math.sqrt(POINT - share), reps, 1, 1, 1, n)
    if groups is not None:
        z += scaled(math.sqrt(share), reps, 1, 1, 1, groups.max() + 1)[..., groups]
    z = z + scaled(math.sqrt(MODEL_POINT), reps, 1, 1, models, n) + mean
    effect = scaled(math.sqrt(BOTH), reps, seeds, 1, 1)
    effect = between * (effect + scaled(math.sqrt(1 - BOTH), reps, seeds, 1, models))
    effect = effect + again * scaled(1, reps, seeds, restarts, models)
    rest = np.sqrt(1 - POINT - MODEL_POINT - between**2 - again**2)[:, None]
    right = z + effect[..., None] + rest * scaled(1, reps, seeds, restarts, models, n) > 0
    units = right.transpose(1, 2, 0, 3, 4).reshape(seeds * restarts, reps * models, n)
    return units.astype(np.float32)


def estimates(values, bootstrap):
    """Means and draws of rows (units, rows, n), all points counted."""
    return estimate(values, np.ones((len(values), values.shape[2]), dtype=bool), bootstrap)


def bounds_of(made):
    """The interval of each row."""
    return [interval(column, LEVEL) for column in made.draws.T]


def found(kind, case, way, nominal, hits, undefined=""):
    """A row of the table: a share of hits with its standard error."""
    share = np.mean(hits) if len(hits) else np.nan
    return {
        "what": kind,
        "case": case,
        "way": way,
        "nominal": f"{nominal:g}",
        "found": f"{share:.4f}" if nominal < 0.01 else f"{share:.3f}",
        "standard error": f"{np.sqrt(share * (1 - share) / len(hits)):.4f}",
        "repetitions": f"{len(hits):,}",
        "undefined": undefined,
    }


def holds(bounds, truth):
    """Whether each defined one of (low, high) holds the truth."""
    return [low <= truth <= high for low, high in bounds if np.isfinite(low)]


def batches(total, size):
    """Sizes of batches that add up to a total."""
    return [stop - start for start, stop in pairwise([*range(0, total, size), total])]


def accuracy_rows(reps=2000):
    """Accuracies, and differences of two models, over seeds and test points."""
    truth = np.array([0.75, 0.72])
    for spread, seeds in product(SPREADS, (2, 3, 5, 10)):
        rng = stream(0, "coverage", "accuracy", f"{spread}", f"{seeds}")
        first, paired = [], []
        for size in batches(reps, BATCH):
            drawn = Bootstrap.draw(seeds, POINTS, DRAWS, rng)
            right = correctness(rng, truth, reps=size, seeds=seeds, spread=spread)
            right[:, 1::2] = right[:, ::2] - right[:, 1::2]
            bounds = bounds_of(estimates(right, drawn))
            first, paired = first + bounds[::2], paired + bounds[1::2]
        case = f"{seeds} seeds, sd {spread:g}"
        way = "bootstrap over seeds and points"
        yield found("accuracy", case, way, LEVEL, holds(first, truth[0]))
        yield found("difference", case, way, LEVEL, holds(paired, truth[0] - truth[1]))


def pgr_rows(reps=1000):
    """PGR of one half, of gaps between floor and ceiling."""
    for spread, gap in product(SPREADS, (0.1, 0.05, 0.03)):
        rng = stream(0, "coverage", "pgr", f"{spread}", f"{gap}")
        bounds = []
        for size in batches(reps, BATCH // 3):
            drawn = Bootstrap.draw(SEEDS, POINTS, DRAWS, rng)
            right = correctness(rng, 0.7 + gap * np.arange(3) / 2, reps=size, spread=spread)
            made = estimates(right, drawn)
            floor, w2s, ceiling = made.draws.reshape(DRAWS, size, 3).transpose(2, 0, 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                draws = np.where(ceiling > floor, (w2s - floor) / (ceiling - floor), np.nan)
            here = [interval(column, LEVEL) for column in draws.T]
            known = made.mean.reshape(size, 3)[:, 2] > made.mean.reshape(size, 3)[:, 0]
            bounds += [b if ok else (np.nan, np.nan) for b, ok in zip(here, known, strict=True)]
        lacking = f"{np.isnan(np.array(bounds)[:, 0]).mean():.3f}"
        case = f"ceiling - floor = {gap:g}, {SEEDS} seeds, sd {spread:g}"
        way = "bootstrap over seeds and points"
        yield found("PGR", case, way, LEVEL, holds(bounds, 0.5), lacking)


def group_share(accuracy, correlation):
    """Variance of groups that gives two points of one this correlation of being right."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()

    def excess(share):
        inside = norm.cdf((norm.ppf(accuracy) + np.sqrt(share) * x) / np.sqrt(1 - share))
        return w @ inside**2 - accuracy**2 - correlation * accuracy * (1 - accuracy)

    return brentq(excess, 1e-6, POINT)


def group_rows(reps=2000):
    """Test points in groups, drawn by groups and one by one."""
    accuracy, questions = 0.72, 30
    share = group_share(accuracy, 0.1)
    for count in (10, 20, 40, 83):
        groups = np.repeat(np.arange(count), questions)
        rng = stream(0, "coverage", "groups", f"{count}")
        bounds = {"groups": [], "single points": []}
        for size in batches(reps, BATCH):
            right = correctness(
                rng, [accuracy], reps=size, spread=SPREADS[0], groups=groups, share=share
            )
            for way, drawn_by in (("groups", groups), ("single points", None)):
                drawn = Bootstrap.draw(SEEDS, len(groups), DRAWS, rng, groups=drawn_by)
                bounds[way] += bounds_of(estimates(right, drawn))
        case = f"{count} groups of {questions}, correlation 0.1, {SEEDS} seeds, sd {SPREADS[0]:g}"
        for way, mine in bounds.items():
            told = f"bootstrap over seeds and {way}"
            yield found("accuracy, groups of test points", case, told, LEVEL, holds(mine, accuracy))


def seed_rows(reps=4000):
    """Values that exist once a seed."""
    shapes = {
        "normal": (lambda rng, shape: rng.standard_normal(shape), 0),
        "skewed (gamma of shape 4)": (lambda rng, shape: rng.gamma(4, size=shape), 4),
    }
    for (name, (sample, truth)), seeds in product(shapes.items(), (2, 3, 5, 10)):
        rng = stream(0, "coverage", "seeds", name, f"{seeds}")
        old, student = [], []
        for size in batches(reps, BATCH):
            values = sample(rng, (seeds, size))
            drawn = Bootstrap.draw(seeds, 1, DRAWS, rng)
            old += bounds_of(estimates(values[:, :, None], drawn))
            student += [t_interval(column, LEVEL) for column in values.T]
        case = f"{seeds} seeds, {name}"
        yield found("value of a seed", case, "bootstrap over seeds", LEVEL, holds(old, truth))
        if seeds > 2:
            yield found("value of a seed", case, "Student's t", LEVEL, holds(student, truth))


def restart_rows(reps=1000, restarts=5):
    """Restarts of seeds, drawn inside their seed and as if each were a seed."""
    accuracy = 0.72
    ways = {
        "bootstrap over seeds, restarts and points": {"n_seeds": SEEDS, "restarts": restarts},
        "restarts as if they were seeds": {"n_seeds": SEEDS * restarts},
    }
    for spread, restart in ((0.02, 0.0), (0.02, 0.02), (0.005, 0.02)):
        rng = stream(0, "coverage", "restarts", f"{spread}", f"{restart}")
        bounds = {way: [] for way in ways}
        for size in batches(reps, BATCH // 2):
            right = correctness(
                rng, [accuracy], reps=size, spread=spread, restart=restart, restarts=restarts
            )
            for way, taken in ways.items():
                drawn = Bootstrap.draw(n_examples=POINTS, draws=DRAWS, rng=rng, **taken)
                bounds[way] += bounds_of(estimates(right, drawn))
        case = f"{SEEDS} seeds, sd {spread:g}, {restarts} restarts of each, sd {restart:g}"
        for way, mine in bounds.items():
            yield found("accuracy, restarts", case, way, LEVEL, holds(mine, accuracy))


def p_rows(reps=8000):
    """Two models of the same accuracy: how often their difference has a small p value."""
    for spread in SPREADS:
        rng = stream(0, "coverage", "p", f"{spread}")
        p = []
        for size in batches(reps, BATCH):
            drawn = Bootstrap.draw(SEEDS, POINTS, DRAWS, rng)
            right = correctness(rng, [0.72, 0.72], reps=size, spread=spread)
            made = estimates(right[:, ::2] - right[:, 1::2], drawn)
            p += list(map(p_value, made.mean.tolist(), made.draws.T))
        for alpha in (0.05, 0.001):
            case = f"equal models, {SEEDS} seeds, sd {spread:g}"
            yield found("p value", case, "bootstrap", alpha, np.array(p) < alpha)
    rng = stream(0, "coverage", "p", "student")
    p = np.array([t_p_value(values) for values in rng.standard_normal((10 * reps, SEEDS))])
    for alpha in (0.05, 0.001):
        yield found("p value", f"equal values, {SEEDS} seeds", "Student's t", alpha, p < alpha)


def holm_rows(reps=300, comparisons=60):
    """Sixty models against one, all of the same accuracy: is any difference called one?"""
    models = comparisons + 1
    for spread in SPREADS:
        rng = stream(0, "coverage", "holm", f"{spread}")
        smallest = {"p": [], "p after Holm": []}
        for size in batches(reps, 2 * BATCH // comparisons):
            drawn = Bootstrap.draw(SEEDS, POINTS, DRAWS, rng)
            right = correctness(rng, [0.72] * models, reps=size, spread=spread)
            right = right.reshape(SEEDS, size, models, POINTS)
            less = (right[:, :, 1:] - right[:, :, :1]).reshape(SEEDS, -1, POINTS)
            made = estimates(less, drawn)
            p = np.array(list(map(p_value, made.mean.tolist(), made.draws.T)))
            for family in p.reshape(size, comparisons):
                smallest["p"].append(family.min())
                smallest["p after Holm"].append(holm(family).min())
        case = f"{comparisons} equal models against one, {SEEDS} seeds, sd {spread:g}"
        for way, values in smallest.items():
            yield found("any p of a family", case, way, 0.05, np.array(values) < 0.05)


def main():
    start = time.perf_counter()
    made = []
    for part in (accuracy_rows, pgr_rows, group_rows, seed_rows, restart_rows, p_rows, holm_rows):
        made += part()
        print(f"{part.__name__}: {time.perf_counter() - start:.0f} s")
    kinds = list(dict.fromkeys(row["what"] for row in made))
    write_table(
        "coverage",
        "Coverage of intervals and rejections of p values, simulated",
        sorted(made, key=lambda row: kinds.index(row["what"])),
        notes=[
            "Nominal: the level of an interval, or of a p value. Found: the share of repetitions "
            f"whose interval holds the truth, or whose p value is below the level. {DRAWS:,} "
            f"bootstrap draws; {POINTS:,} test points where they have no groups.",
            "sd: standard deviation that seeds, or restarts of a seed, give to accuracies, beside "
            "that of the test points. Accuracies of the default run had 0 to 0.02 between seeds.",
            "Undefined: share of repetitions without an interval, because ceiling - floor is not "
            "above 0 in the means or in too many draws. The share found leaves these out.",
            "Too narrow: two or three seeds that differ much, restarts of such seeds a little, ten "
            "or twenty groups. Too wide, so that p values are too large: seeds that differ little, "
            "whose own errors on a test point a bootstrap over both counts more than once (Owen, "
            "2007, Annals of Applied Statistics 1).",
        ],
    )


if __name__ == "__main__":
    main()
