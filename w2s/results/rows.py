"""What the tables of outcomes share: references, means with intervals, paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from w2s.checks import Array
from w2s.results.intervals import (
    DIGITS,
    FEWEST,
    Bootstrap,
    Estimates,
    estimate,
    holm,
    interval,
    known_mean,
    known_means,
    p_value,
    t_interval,
)
from w2s.results.metrics import REFERENCES, pgr
from w2s.results.outcome import Outcome, Row

CURVE = "few_labels"  # the rows that references are made from
Contrast = Mapping[int, float]  # weight of each row in a difference


def with_references(outcome: Outcome) -> Outcome:
    """The outcome with a row for each of `REFERENCES`: models of known accuracy, true labels.

    A reference is the strong model on so few true labels that it gets as many test points right as
    the floor, or as w2s. It is the draw between two neighbours of the learning curve `few_labels`
    (whose end is the ceiling) that has exactly this accuracy, mean over units; what is between
    two is not trained. A difference between w2s and such a model on some points cannot be due to
    how accurate either is.
    """
    for name, target in REFERENCES.items():
        outcome = _with_reference(outcome, name, target)
    return outcome


def _with_reference(outcome: Outcome, name: str, target: str) -> Outcome:
    curve = [
        i
        for i, control in enumerate(outcome.control)
        if control == CURVE and not outcome.why_row(i)
    ]
    curve = [*sorted(curve, key=lambda i: outcome.proportion[i]), outcome.row("ceiling")]
    wanted = outcome.row(target)
    share = outcome.correct[:, [*curve, wanted]].mean(axis=2, dtype=np.float64)  # (units, k + 1)
    whole = np.isfinite(share).all(axis=1)
    lost = [
        next((why[i] for i in (*curve, wanted) if why[i]), "") for why in outcome.row_reason
    ]  # a unit that lacks a side has no part in the comparison
    accuracy = share[whole].mean(axis=0) if whole.any() else np.full(len(curve) + 1, np.nan)
    goal = accuracy[-1]
    crossing = [
        k for k in range(len(curve) - 1) if accuracy[k] <= goal <= accuracy[k + 1]
    ]  # the first, where noise makes several
    if not crossing:
        few = [i for i, control in enumerate(outcome.control) if control == CURVE]
        told = outcome.why_row(*curve, wanted)
        if len(curve) == 1:
            told = outcome.why_row(*few) if few else f"`mixing.controls` has no {CURVE}"
        elif whole.any():
            told = (
                f"{name}: {target} has accuracy {goal:.3f}, outside of {accuracy[:-1].min():.3f} "
                f"to {accuracy[:-1].max():.3f}, from {CURVE} to the ceiling"
            )
        return _appended(outcome, name, (curve[-1], curve[-1]), 0.0, [told] * len(lost))
    below, above = curve[crossing[0]], curve[crossing[0] + 1]
    low, high = accuracy[crossing[0]], accuracy[crossing[0] + 1]
    part = float((goal - low) / (high - low)) if high > low else 0.0
    return _appended(outcome, name, (below, above), part, lost)


def _appended(
    outcome: Outcome, name: str, pair: tuple[int, int], part: float, whys: Sequence[str]
) -> Outcome:
    """The outcome with one more row: `part` of the second of a pair of rows, the rest of the first.

    NaN in units with a reason, [units].
    """
    below, above = pair
    lacking = np.array([bool(why) for why in whys])

    def mixed(values: Array) -> Array:
        row = (1 - part) * values[:, below] + part * values[:, above]
        row[lacking] = np.nan
        return np.concatenate([values, row[:, None].astype(values.dtype)], axis=1)

    return replace(
        outcome,
        control=[*outcome.control, name],
        proportion=np.append(outcome.proportion, np.nan),
        correct=mixed(outcome.correct),
        columns={key: mixed(values) for key, values in outcome.columns.items()},
        row_reason=[[*known, why] for known, why in zip(outcome.row_reason, whys, strict=True)],
    )


def pgr_row(correct: Array, mask: Array, bootstrap: Bootstrap, level: float) -> Row:
    """PGR of the means over the seeds that have all three of correct (seeds, 3, n).

    Its rows are floor, w2s and ceiling; the columns are `pgr`, `pgr_lo` and `pgr_hi`.
    """
    complete = np.isfinite(correct.sum(axis=(1, 2)))  # (seeds,)
    found = estimate(np.where(complete[:, None, None], correct, np.nan), mask, bootstrap)
    floor, w2s, ceiling = found.draws.T
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = np.where(ceiling > floor, (w2s - floor) / (ceiling - floor), np.nan)
    return spread("pgr", round(pgr(*found.mean), DIGITS), drawn, level)


def spread(name: str, mean: float, draws: Array, level: float) -> Row:
    """A mean and its interval, as `name`, `name_lo` and `name_hi`; all NaN where the mean is."""
    low, high = interval(draws, level)
    if math.isnan(mean):
        low = high = math.nan
    return {name: float(mean), f"{name}_lo": low, f"{name}_hi": high}


def over_seeds(name: str, values: Array, level: float) -> Row:
    """Mean of the finite ones of values (seeds,) and Student's t interval, as `spread` has them."""
    low, high = t_interval(values, level)
    return {name: round(known_mean(values), DIGITS), f"{name}_lo": low, f"{name}_hi": high}


def too_few(values: Array) -> str:
    """Why values (seeds,) with a mean have no interval over seeds, "" if they have one."""
    n = int(np.isfinite(values).sum())
    if not 0 < n < FEWEST:
        return ""
    return f"found {n} seeds, expected {FEWEST} or more for an interval over seeds"


def few_for_p(n_seeds: int) -> str:
    """What is to be said of a p value from so few seeds, "" if they are enough."""
    if n_seeds >= FEWEST:
        return ""
    return f"of {n_seeds} seed{'s' * (n_seeds > 1)}: expected {FEWEST} or more for p"


def row_means(outcome: Outcome) -> dict[str, list[float]]:
    """Means of each row's numbers (`COLUMNS`) over the units that have the row, [rows] each."""
    lacking = np.array([[bool(why) for why in unit] for unit in outcome.row_reason])
    return {
        name: known_means(np.where(lacking, np.nan, values))
        for name, values in outcome.columns.items()
    }


def value_of(name: str, found: Estimates, i: int, level: float, *, why: str) -> Row:
    """The mean of row i and its interval, as `name`, `lo` and `hi`, and the `reason` for a lack.

    Args:
        name: Of the mean.
        found: All rows.
        i: Which one.
        level: Coverage of the interval.
        why: Why seeds are missing, "" if none is.
    """
    low, high = interval(found.draws[:, i], level)
    mean = float(found.mean[i])
    if math.isnan(low) and not math.isnan(mean):
        why = why or "no interval: too many bootstrap draws hold no seed or test point with a value"
    return {name: mean, "lo": low, "hi": high, "reason": why}


def minus(first: int, second: int) -> Contrast:
    """One row less another."""
    return {first: 1.0, second: -1.0}


def difference_rows(
    outcome: Outcome, contrasts: Mapping[str, Contrast], bootstrap: Bootstrap, level: float
) -> list[Row]:
    """The same for given contrasts by name; `p_holm` is left to `corrected`.

    A difference to a reference has no row on all test points, where it is known beforehand.
    """
    difference = np.stack(
        [
            sum(weight * outcome.correct[:, i] for i, weight in contrast.items())
            for contrast in contrasts.values()
        ],
        axis=1,
    )  # (units, contrasts, n)
    rows = []
    for group, mask in outcome.groups().items():
        found = estimate(difference, mask, bootstrap)
        for i, (comparison, contrast) in enumerate(contrasts.items()):
            if group == "overall" and {outcome.control[k] for k in contrast} & set(REFERENCES):
                continue
            n_seeds = outcome.seeds_of(found.n_seeds[i])
            why = outcome.why_row(*contrast) or outcome.why_group(n_seeds, group)
            value = value_of("difference", found, i, level, why=why)
            if np.isfinite(found.mean[i]):
                value["reason"] = "; ".join(filter(None, (value["reason"], few_for_p(n_seeds))))
            rows.append(
                {
                    **outcome.names,
                    "comparison": comparison,
                    "group": group,
                    **value,
                    "p": p_value(float(found.mean[i]), found.draws[:, i], level=level),
                    "n_seeds": n_seeds,
                }
            )
    return rows


def corrected(rows: Sequence[Row]) -> list[Row]:
    """All rows of a table of comparisons with `p_holm`, p values corrected for their number.

    Rows on all test points are one family, rows on regions another.
    """
    overall = np.array([row["group"] == "overall" for row in rows], dtype=bool)
    p = np.array([row["p"] for row in rows], dtype=np.float64)
    for family in (overall, ~overall):
        p[family] = holm(p[family])
    return [row | {"p_holm": float(value)} for row, value in zip(rows, p, strict=True)]
