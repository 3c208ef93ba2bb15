"""Outcomes for tests of tables, from correctness alone."""

from dataclasses import replace

import numpy as np

from w2s.results.intervals import Bootstrap
from w2s.results.outcome import COLUMNS, Outcome


def make_outcome(correct, control, proportion=None, *, region=None, restarts=1, **changes):
    """The outcome of correctness (units, rows, n).

    Args:
        correct: Share of repeats that are right.
        control: Names, of which the first ones are those of the rows.
        proportion: Shares of overlap points, none if not given.
        region: Codes (seeds, n), all easy if not given.
        restarts: Units of a seed.
        changes: Other attributes.
    """
    correct = np.asarray(correct, dtype=np.float32)
    units, rows, n = correct.shape
    seeds = units // restarts
    shares = np.full(rows, np.nan) if proportion is None else np.array(proportion[:rows], float)
    made = Outcome(
        dataset="films",
        weak="small",
        strong="large",
        control=list(control[:rows]),
        proportion=shares,
        correct=correct,
        region=np.zeros((seeds, n), np.int8) if region is None else np.array(region, np.int8),
        group=np.arange(n),
        columns={
            name: np.full((units, rows), value)
            for name, value in zip(COLUMNS, (50.0, 0.75, 0.2, 0.1), strict=True)
        },
        row_reason=[[""] * rows for _ in range(units)],
        shares=np.tile([0.5, 0.25, 0.25, 0.875], (seeds, 1)),
        reason=[""] * seeds,
        n_pool=200,
        restarts=restarts,
    )
    return replace(made, **changes)


def lacking(found, unit, controls, why):
    """The outcome where some rows of a unit could not be trained."""
    correct = found.correct.copy()
    reasons = [list(of_unit) for of_unit in found.row_reason]
    for i, control in enumerate(found.control):
        if control in controls:
            correct[unit, i] = np.nan
            reasons[unit][i] = why
    return replace(found, correct=correct, row_reason=reasons)


def drawn(found, draws=400, seed=0):
    """Draws for the units and test points of an outcome, whatever its name and groups."""
    rng = np.random.default_rng(seed)
    n = found.correct.shape[2]
    return Bootstrap.draw(len(found.reason), n, draws, rng, restarts=found.restarts)
