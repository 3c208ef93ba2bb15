"""The tables of source selection: means over seeds with intervals, and differences to random.

Accuracies have a bootstrap over seeds and test points. Regret, best_share and pulls exist once a
seed, and a bootstrap of a handful of seeds is too narrow: they have Student's t over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.evaluation.intervals import (
    DIGITS,
    FEWEST,
    Bootstrap,
    Estimates,
    estimate,
    p_value,
    t_interval,
    t_p_value,
)
from w2s.evaluation.outcome import Row
from w2s.evaluation.tables import spread

BASELINE = "random"
PER_SEED = ("regret", "best_share")  # curves without test points


@dataclass(frozen=True)
class SelectionOutcome:
    """All seeds of one selection experiment and pair.

    Attributes:
        names: The columns every table begins with: experiment, weak, strong.
        policies: Names of the p policies.
        sources: Names of the k sources.
        correct: For each set, the share of repeats that get a test point right, float32
            (seeds, p, rounds, n); NaN in rounds a seed does not have.
        curves: Means over repeats, (seeds, p, rounds), of regret, best_share (so far), density,
            n_all and n_overlap; NaN likewise.
        pulls: Share of the policy's pulls that each source got, (seeds, p, k).
        facts: Of each source, (seeds, k): points, density, right_density, label_accuracy.
        reason: Why a seed has no paths or fewer rounds, "" if it has all, [seeds].
    """

    names: Row
    policies: Sequence[str]
    sources: Sequence[str]
    correct: Mapping[str, Array]
    curves: Mapping[str, Array]
    pulls: Array
    facts: Mapping[str, Array]
    reason: Sequence[str]

    @property
    def rounds(self) -> Array:
        """Rounds that each seed has, (seeds,)."""
        known: Array = np.isfinite(self.curves["regret"][:, 0])
        return np.asarray(known.sum(axis=1))


def selection_rows(outcome: SelectionOutcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """What each policy reaches, with its paired difference to random pulls and the p value of that.

    The area under a curve is the mean of its rounds. The policy random is not compared with itself:
    its difference is 0, without p value.
    """
    last = np.maximum(outcome.rounds, 1) - 1  # (seeds,)
    seeds = np.arange(len(last))
    rows = []
    for name, right in outcome.correct.items():
        points = {f"accuracy_{name}": right[seeds, :, last]}  # (seeds, p, n)
        points[f"auc_{name}"] = _area(right, outcome.rounds)
        for measure, values in points.items():
            rows += _point_rows(outcome, measure, values, bootstrap, level)
    for name in PER_SEED:
        rows += _seed_rows(outcome, name, outcome.curves[name][seeds, :, last], level)
    return sorted(rows, key=lambda row: outcome.policies.index(row["policy"]))


def _point_rows(
    outcome: SelectionOutcome, measure: str, values: Array, bootstrap: Bootstrap, level: float
) -> list[Row]:
    """A row for each policy, of values of test points (seeds, p, n)."""
    mask = np.ones((len(values), values.shape[2]), dtype=bool)
    found = estimate(values, mask, bootstrap)
    difference = estimate(values - _baseline(outcome, values), mask, bootstrap)
    rows = []
    for i, policy in enumerate(outcome.policies):
        mean, draws = float(difference.mean[i]), difference.draws[:, i]
        numbers = {
            **spread("value", found.mean[i], found.draws[:, i], level),
            **spread("minus_random", mean, draws, level),
            "p": math.nan if policy == BASELINE else p_value(mean, draws, level=level),
        }
        lacking = math.isnan(numbers["value_lo"]) and not math.isnan(numbers["value"])
        why = "no interval: too many bootstrap draws hold no seed with a value" if lacking else ""
        rows.append(_row(outcome, policy, measure, values[:, i], numbers, why))
    return rows


def _seed_rows(outcome: SelectionOutcome, measure: str, values: Array, level: float) -> list[Row]:
    """A row for each policy, of values that exist once a seed (seeds, p)."""
    difference = values - _baseline(outcome, values)
    rows = []
    for i, policy in enumerate(outcome.policies):
        numbers = {
            **over_seeds("value", values[:, i], level),
            **over_seeds("minus_random", difference[:, i], level),
            "p": math.nan if policy == BASELINE else t_p_value(difference[:, i]),
        }
        mine = values[:, i, None]
        rows.append(_row(outcome, policy, measure, mine, numbers, too_few(values[:, i])))
    return rows


def _row(
    outcome: SelectionOutcome, policy: str, measure: str, values: Array, numbers: Row, why: str
) -> Row:
    """A row of the table: values (seeds, n) and `numbers` of them; `why` there is no interval."""
    return {
        **outcome.names,
        "policy": policy,
        "measure": measure,
        **numbers,
        "n_rounds": _mean(outcome.rounds[outcome.rounds > 0]),
        "n_seeds": int(np.isfinite(values).all(axis=1).sum()),
        "reason": "; ".join(filter(None, [_why(outcome, values), why])),
    }


def _baseline(outcome: SelectionOutcome, values: Array) -> Array:
    """The values of the policy random, (seeds, 1, ...); NaN if it was not run."""
    if BASELINE not in outcome.policies:
        return np.full_like(values[:, :1], np.nan)
    baseline: Array = values[:, [outcome.policies.index(BASELINE)]]
    return baseline


def over_seeds(name: str, values: Array, level: float) -> Row:
    """Mean of the finite ones of values (seeds,) and Student's t interval, as `spread` has them."""
    low, high = t_interval(values, level)
    return {name: round(_mean(values), DIGITS), f"{name}_lo": low, f"{name}_hi": high}


def too_few(values: Array) -> str:
    """Why values (seeds,) with a mean have no interval over seeds, "" if they have one."""
    n = int(np.isfinite(values).sum())
    if not 0 < n < FEWEST:
        return ""
    return f"found {n} seeds, expected {FEWEST} or more for an interval over seeds"


def _area(right: Array, rounds: Array) -> Array:
    """Mean over the rounds that a seed has, (seeds, p, n); NaN if it lacks a probe in one."""
    there = np.arange(right.shape[2]) < rounds[:, None]  # (seeds, rounds)
    total = np.where(there[:, None, :, None], right, 0).sum(axis=2)
    with np.errstate(invalid="ignore"):
        mean: Array = total / rounds[:, None, None]
    return mean


def _why(outcome: SelectionOutcome, values: Array) -> str:
    """Why seeds or rounds are missing among values (seeds, n), "" if none are."""
    told = next((why for why in outcome.reason if why), "")
    lacking = ~np.isfinite(values).all(axis=1) & (outcome.rounds > 0)
    return told or ("rounds without a probe: see the paths" if lacking.any() else "")


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def round_rows(outcome: SelectionOutcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """The curves, a row for each policy and round."""
    seeds, policies, rounds = outcome.curves["regret"].shape
    found: dict[str, Estimates] = {}
    for name, right in outcome.correct.items():
        mask = np.ones((seeds, right.shape[3]), dtype=bool)
        values = right.reshape(seeds, policies * rounds, -1)
        found[f"accuracy_{name}"] = estimate(values, mask, bootstrap)
    rows = []
    for i in range(policies * rounds):
        policy, t = divmod(i, rounds)
        curves = {name: values[:, policy, t] for name, values in outcome.curves.items()}
        row = {**outcome.names, "policy": outcome.policies[policy], "round": t + 1}
        for name, estimates in found.items():
            row |= spread(name, estimates.mean[i], estimates.draws[:, i], level)
        for name in PER_SEED:
            row |= over_seeds(name, curves[name], level)
        row |= {name: _mean(curves[name]) for name in ("density", "n_all", "n_overlap")}
        row["n_seeds"] = int(np.isfinite(curves["regret"]).sum())
        rows.append(row | {"reason": too_few(curves["regret"])})
    return rows


def source_rows(outcome: SelectionOutcome, level: float) -> list[Row]:
    """The sources, and the share of its pulls that each policy gave them."""
    rows = []
    for j, source in enumerate(outcome.sources):
        facts = {name: _mean(values[:, j]) for name, values in outcome.facts.items()}
        for p, policy in enumerate(outcome.policies):
            pulls = outcome.pulls[:, p, j]
            rows.append(
                {
                    **outcome.names,
                    "source": source,
                    **facts,
                    "policy": policy,
                    **over_seeds("pulls", pulls, level),
                    "n_seeds": int(np.isfinite(pulls).sum()),
                    "reason": too_few(pulls),
                }
            )
    return rows
