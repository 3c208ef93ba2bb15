"""The result tables: means over seeds with intervals, and paired differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.evaluation.intervals import DIGITS, Bootstrap, Estimates, estimate, interval
from w2s.evaluation.metrics import pgr
from w2s.methods.regions import REGIONS

MODELS = ("floor", "w2s", "ceiling")
Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The results of all seeds of one dataset and pair.

    Attributes:
        dataset, weak, strong: Names.
        control: Name of each row: floor, w2s, ceiling, or a curve, (rows,).
        proportion: Share of overlap points of each row, NaN where it has none, (rows,).
        correct: Share of repeats that get a test point right, float32 (seeds, rows, n), NaN where a
            seed lacks the row.
        region: Region code of each test point, int8 (seeds, n), -1 where undefined.
        n_train, label_accuracy: Training points and accuracy of their labels, (seeds, rows).
        row_reason: Why a seed lacks a row, [seeds][rows].
        shares: Share of easy, hard and overlap points in the pool, (seeds, 3), NaN if undefined.
        reason: Why a seed is degenerate, "" if it is not, [seeds].
        n_pool: Size of the training pool.
    """

    dataset: str
    weak: str
    strong: str
    control: Sequence[str]
    proportion: Array
    correct: Array
    region: Array
    n_train: Array
    label_accuracy: Array
    row_reason: Sequence[Sequence[str]]
    shares: Array
    reason: Sequence[str]
    n_pool: int

    @property
    def names(self) -> Row:
        """The columns every table begins with."""
        return {"dataset": self.dataset, "weak": self.weak, "strong": self.strong}

    def row(self, control: str) -> int:
        """Position of a row without proportion."""
        return list(self.control).index(control)


def all_points(outcome: Outcome) -> Array:
    """The mask of all test points, bool (seeds, n)."""
    return np.ones(outcome.region.shape, dtype=bool)


def main_row(outcome: Outcome, bootstrap: Bootstrap, level: float) -> Row:
    """Floor, w2s, ceiling and PGR, with the shares of the regions and the status."""
    rows = [outcome.row(name) for name in MODELS]
    found = estimate(outcome.correct[:, rows], all_points(outcome), bootstrap)
    row: Row = {**outcome.names, "n_seeds": len(outcome.reason), "n_pool": outcome.n_pool}
    for i, name in enumerate(MODELS):
        row |= spread(name, found.mean[i], found.draws[:, i], level)
    row |= pgr_row(outcome.correct[:, rows], all_points(outcome), bootstrap, level)
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
    failed = {name: _row_reason(outcome, i) for name, i in zip(MODELS, rows, strict=True)}
    reasons += [f"{name}: {why}" for name, why in failed.items() if why]
    if math.isnan(row["pgr"]) and not any(failed.values()):
        reasons.append(f"pgr: ceiling - floor = {row['ceiling'] - row['floor']:.3f} is not above 0")
    elif math.isnan(row["pgr_lo"]) and not math.isnan(row["pgr"]):
        reasons.append("pgr interval: ceiling - floor is not above 0 in too many bootstrap draws")
    return {"status": status, "reason": "; ".join(reasons)}


def _row_reason(outcome: Outcome, row: int) -> str:
    """Why some seed lacks a row, "" if none does."""
    return next((seed[row] for seed in outcome.row_reason if seed[row]), "")


def mixing_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Accuracy of every row of the mixing experiment."""
    found = estimate(outcome.correct, all_points(outcome), bootstrap)
    lacking = np.array([[bool(why) for why in seed] for seed in outcome.row_reason])
    size = _mean(np.where(lacking, np.nan, outcome.n_train))
    purity = _mean(np.where(lacking, np.nan, outcome.label_accuracy))
    rows = []
    for i, control in enumerate(outcome.control):
        if control in MODELS:
            continue
        rows.append(
            {
                **outcome.names,
                "control": control,
                "proportion": float(outcome.proportion[i]),
                **value_of("accuracy", found, i, level),
                "label_accuracy": purity[i],
                "n_seeds": int(found.n_seeds[i]),
                "n_train": size[i],
                "reason": _row_reason(outcome, i),
            }
        )
    return rows


def value_of(name: str, found: Estimates, i: int, level: float) -> Row:
    """The mean of row i and its interval, as `name`, `lo` and `hi`."""
    low, high = interval(found.draws[:, i], level)
    return {name: float(found.mean[i]), "lo": low, "hi": high}


def region_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Accuracy of floor, w2s and ceiling on easy, hard and overlap test points."""
    positions = [outcome.row(model) for model in MODELS]
    correct = outcome.correct[:, positions]
    rows = []
    for code, region in enumerate(REGIONS):
        mask = outcome.region == code
        found = estimate(correct, mask, bootstrap)
        seeds_with = mask.any(axis=1)
        size = float(mask.sum(axis=1)[seeds_with].mean()) if seeds_with.any() else math.nan
        for i, model in enumerate(MODELS):
            rows.append(
                {
                    **outcome.names,
                    "model": model,
                    "region": region,
                    **value_of("accuracy", found, i, level),
                    "n": size,
                    "n_seeds": int(found.n_seeds[i]),
                    "reason": _row_reason(outcome, positions[i])
                    or _missing(outcome, int(found.n_seeds[i]), region),
                }
            )
    return rows


def _missing(outcome: Outcome, n_seeds: int, group: str) -> str:
    if n_seeds == len(outcome.reason):
        return ""
    return next((why for why in outcome.reason if why), f"seeds without {group} test points")


def comparison_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Paired differences, on all test points and on those of each region."""
    return difference_rows(outcome, _comparisons(outcome), bootstrap, level)


def difference_rows(
    outcome: Outcome, pairs: Mapping[str, tuple[int, int]], bootstrap: Bootstrap, level: float
) -> list[Row]:
    """The same for given pairs: which row another one is subtracted from, by name."""
    first, second = (np.array(side) for side in zip(*pairs.values(), strict=True))
    difference = outcome.correct[:, first] - outcome.correct[:, second]
    groups = {"overall": all_points(outcome)} | {
        region: outcome.region == code for code, region in enumerate(REGIONS)
    }
    rows = []
    for group, mask in groups.items():
        found = estimate(difference, mask, bootstrap)
        for i, comparison in enumerate(pairs):
            n_seeds = int(found.n_seeds[i])
            why = next(
                (s[r] for s in outcome.row_reason for r in (first[i], second[i]) if s[r]), ""
            )
            rows.append(
                {
                    **outcome.names,
                    "comparison": comparison,
                    "group": group,
                    **value_of("difference", found, i, level),
                    "n_seeds": n_seeds,
                    "reason": why or _missing(outcome, n_seeds, group),
                }
            )
    return rows


def _comparisons(outcome: Outcome) -> dict[str, tuple[int, int]]:
    """Which row is subtracted from which, by name."""
    pairs = {
        f"{a} - {b}": (outcome.row(a), outcome.row(b))
        for a, b in (("w2s", "floor"), ("ceiling", "w2s"), ("ceiling", "floor"))
    }
    for control in dict.fromkeys(outcome.control):
        curve = [i for i, c in enumerate(outcome.control) if c == control]
        ends = [i for i in curve if np.isfinite(outcome.proportion[i])]
        if len(ends) > 1:
            low, high = (pick(ends, key=lambda i: outcome.proportion[i]) for pick in (min, max))
            p, q = (f"{outcome.proportion[i]:g}" for i in (high, low))
            pairs[f"{control}: p={p} - p={q}"] = (high, low)
            if control == "plain" and "random" in outcome.control:
                pairs[f"plain p={p} - random"] = (high, outcome.row("random"))
    if {"random", "true_labels"} <= set(outcome.control):
        pairs["true_labels - random"] = (outcome.row("true_labels"), outcome.row("random"))
    return pairs
