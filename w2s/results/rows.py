"""The result tables: means over seeds with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
import math
import numpy as np
from w2s.checks import Array
from w2s.results.intervals import Bootstrap, DIGITS, Estimates, FEWEST, estimate, holm, interval, p_value
from w2s.results.metrics import MODELS, PLACEBO, REFERENCES, REGIONS, pgr
from w2s.results.outcome import COLUMNS, Outcome, Row
Contrast = Mapping[int, float]  # weight of each row in a difference


def main_row(outcome: Outcome, bootstrap: Bootstrap, level: float) -> Row:
    """Floor, w2s, ceiling and PGR, with the shares of the regions and the status."""
    rows = [outcome.row(name) for name in MODELS]
    every = outcome.groups()["overall"]
    found = estimate(outcome.correct[:, rows], every, bootstrap)
    row: Row = {**outcome.names, "n_seeds": len(outcome.reason), "n_pool": outcome.n_pool}
    row |= {"n_test": outcome.correct.shape[2], "n_groups": outcome.n_groups}
    for i, name in enumerate(MODELS):
        row |= spread(name, found.mean[i], found.draws[:, i], level)
    row |= pgr_row(outcome.correct[:, rows], every, bootstrap, level)
    share = _mean(outcome.shares)
    row |= {"overlap_density": share[2], "easy_share": share[0], "hard_share": share[1]}
    return row | _status(outcome, row, rows)


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


def _mean(values: Array) -> list[float]:
    """Means over the seeds that have a value, NaN where none has."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return list(np.where(known, values, 0).sum(0) / known.sum(0))


def _status(outcome: Outcome, row: Row, rows: list[int]) -> Row:
    bad = [why for why in outcome.reason if why]
    status = "ok" if not bad else "partial" if len(bad) < len(outcome.reason) else "degenerate"
    reasons = [f"{len(bad)} of {len(outcome.reason)} seeds: {bad[0]}"] if bad else []
    failed = {name: outcome.why_row(i) for name, i in zip(MODELS, rows, strict=True)}
    reasons += [f"{name}: {why}" for name, why in failed.items() if why]
    if math.isnan(row["pgr"]) and not any(failed.values()):
        reasons.append(f"pgr: ceiling - floor = {row['ceiling'] - row['floor']:.3f} is not above 0")
    elif math.isnan(row["pgr_lo"]) and not math.isnan(row["pgr"]):
        reasons.append("pgr interval: ceiling - floor is not above 0 in too many bootstrap draws")
    return {"status": status, "reason": "; ".join(reasons)}


def mixing_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Accuracy of every row of the mixing experiment, and of the references."""
    found = estimate(outcome.correct, outcome.groups()["overall"], bootstrap)
    numbers = row_means(outcome)
    return [
        {
            **outcome.names,
            "control": control,
            "proportion": float(outcome.proportion[i]),
            **value_of("accuracy", found, i, level, why=outcome.why_row(i)),
            **{name: numbers[name][i] for name in COLUMNS},
            "n_seeds": outcome.seeds_of(found.n_seeds[i]),
        }
        for i, control in enumerate(outcome.control)
        if control not in MODELS
    ]


def row_means(outcome: Outcome) -> dict[str, list[float]]:
    """Means of each row's numbers (`COLUMNS`) over the units that have the row, [rows] each."""
    lacking = np.array([[bool(why) for why in unit] for unit in outcome.row_reason])
    return {
        name: _mean(np.where(lacking, np.nan, values)) for name, values in outcome.columns.items()
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


def region_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Accuracy of models and references on easy, hard and overlap test points."""
    models = [*MODELS, *(name for name in REFERENCES if name in outcome.control)]
    positions = [outcome.row(model) for model in models]
    groups = outcome.groups()
    rows = []
    for region in REGIONS:
        mask = groups[region]
        found = estimate(outcome.correct[:, positions], mask, bootstrap)
        units_with = mask.any(axis=1)
        size = float(mask.sum(axis=1)[units_with].mean()) if units_with.any() else math.nan
        for i, model in enumerate(models):
            n_seeds = outcome.seeds_of(found.n_seeds[i])
            why = outcome.why_row(positions[i]) or outcome.why_group(n_seeds, region)
            rows.append(
                {
                    **outcome.names,
                    "model": model,
                    "region": region,
                    **value_of("accuracy", found, i, level, why=why),
                    "n": size,
                    "n_seeds": n_seeds,
                }
            )
    return rows


def comparison_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Paired differences, on all test points and on those of each region."""
    return difference_rows(outcome, _comparisons(outcome), bootstrap, level)


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
            if n_seeds < FEWEST and np.isfinite(found.mean[i]):
                few = f"of {n_seeds} seed{'s' * (n_seeds > 1)}: expected {FEWEST} or more for p"
                value["reason"] = "; ".join(filter(None, (value["reason"], few)))
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


def _comparisons(outcome: Outcome) -> dict[str, Contrast]:
    """Which rows are subtracted from which, by name."""
    against = ("floor", *REFERENCES, "same_capacity_w2s")
    named = [("w2s", other) for other in against] + [("same_capacity_w2s", "floor")]
    named += [("ceiling", "w2s"), ("ceiling", "floor"), ("true_labels", "random")]
    there = set(outcome.control)
    found = {
        f"{a} - {b}": minus(outcome.row(a), outcome.row(b)) for a, b in named if {a, b} <= there
    }
    curves = {name: _ends(outcome, name) for name in dict.fromkeys(outcome.control)}
    for name, ends in curves.items():
        if not ends or name == "few_labels":
            continue
        (p, high), (q, low) = max(ends), min(ends)
        if p > q:
            found[f"{name}: p={p:g} - p={q:g}"] = minus(high, low)
        mirror = dict(curves.get("placebo" if name == "plain" else name + PLACEBO, ()))
        if {p, q} <= set(mirror):
            title = f"{name}: overlap - placebo, p={p:g}"
            found[title] = minus(high, mirror[p])
            if p > q:
                rest = {low: -1.0, mirror[p]: -1.0, mirror[q]: 1.0}
                found[f"{title} - p={q:g}"] = {high: 1.0, **rest}
        if name == "plain" and "random" in there:
            found[f"plain p={p:g} - random"] = minus(high, outcome.row("random"))
    return found


def _ends(outcome: Outcome, control: str) -> list[tuple[float, int]]:
    """Proportion and position of each row of a curve."""
    return [
        (float(p), i)
        for i, (name, p) in enumerate(zip(outcome.control, outcome.proportion, strict=True))
        if name == control and np.isfinite(p)
    ]
