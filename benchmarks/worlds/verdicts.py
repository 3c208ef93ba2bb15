"""A claimed number beside that of a null world: intervals, and a rule that gives the verdict."""

import numpy as np
from scipy.stats import t as student_t

from w2s.rng import stream

COLUMNS = ("claim", "where", "null world", "claimed", "in the null world", "difference", "verdict")
RULE = (
    "Verdict, by rule, of the intervals of the claimed number, of the null world's and of their "
    "difference: *no effect to explain* (the claimed one holds the value of no effect), *falls* "
    "(the null world has an effect of that sign, and the difference is not above 0), *weakened* "
    "(the null world has one, but a smaller one), *stands* (it has none, and the difference is "
    "above 0), *open* (neither). *By construction*: known beforehand. *For comparison*: not a "
    "cause of the claimed number."
)


def spread(values, weight=None, group=None):
    """Mean of values (seeds,) or (seeds, n), and its 95% interval.

    With n test points: a bootstrap over seeds and groups of test points, each point weighing what
    `weight` (seeds, n) says; without: Student's t over seeds or repetitions. Calls with as many
    seeds and groups share their draws, so that intervals of differences are paired.
    """
    if values.ndim == 1:
        half = student_t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
        return values.mean(), values.mean() - half, values.mean() + half
    rng = stream(0, "null worlds", "bootstrap")
    weight = np.ones(values.shape) if weight is None else weight
    code = np.arange(values.shape[1]) if group is None else np.unique(group, return_inverse=True)[1]
    seeds, groups = (
        rng.multinomial(n, np.full(n, 1 / n), size=1000) for n in (len(values), code.max() + 1)
    )
    counts = groups[:, code].astype(float)  # (1000, n)
    means = (counts @ (values * weight).T) / (counts @ weight.T)  # (1000, seeds)
    low, high = np.quantile((means * seeds).sum(axis=1) / len(values), [0.025, 0.975])
    return np.average(values, axis=1, weights=weight).mean(), low, high


def judged(claim, where, world, *, claimed, null, nothing=0.0, verdict=None, **points):
    """A row of the table; `claimed` and `null` are numbers as `spread` takes them.

    `nothing` is the number where there is no effect; `verdict` is used where the rule has nothing
    to say; `points` are weights and groups of test points, for `spread`.
    """
    sign = np.sign(spread(claimed, **points)[0] - nothing)
    effect, there, more = (
        spread(sign * side, **points)[1] > 0
        for side in (claimed - nothing, null - nothing, claimed - null)
    )
    by_rule = ("weakened" if there else "stands") if more else ("falls" if there else "open")
    sides = (shown(*spread(side, **points)) for side in (claimed, null, claimed - null))
    return filled(
        claim, where, world, *sides, verdict or (by_rule if effect else "no effect to explain")
    )


def shown(mean, low, high):
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def filled(*cells):
    """A row of the table from its cells."""
    return dict(zip(COLUMNS, cells, strict=True))
