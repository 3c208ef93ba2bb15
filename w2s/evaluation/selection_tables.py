"""The tables of source selection: means over seeds with intervals, and differences to random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.evaluation.intervals import Bootstrap, Estimates, estimate
from w2s.evaluation.tables import Row, spread

BASELINE = "random"


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
    """What each policy reaches, with its paired difference to random pulls.

    The area under a curve is the mean of its rounds. Regret and pulls have no test points: their
    intervals are over seeds only.
    """
    last = np.maximum(outcome.rounds, 1) - 1  # (seeds,)
    seeds = np.arange(len(last))
    measures: dict[str, tuple[Array, Bootstrap]] = {}
    for name, right in outcome.correct.items():
        measures[f"accuracy_{name}"] = (right[seeds, :, last], bootstrap)
        measures[f"auc_{name}"] = (_area(right, outcome.rounds), bootstrap)
    for name in ("regret", "best_share"):
        value = outcome.curves[name][seeds, :, last]  # (seeds, p)
        measures[name] = (value[:, :, None], over_seeds(bootstrap))
    rows = []
    for measure, (values, drawn) in measures.items():
        mask = np.ones((len(values), values.shape[2]), dtype=bool)
        found = estimate(values, mask, drawn)
        base = _baseline(outcome, values)
        difference = estimate(values - base, mask, drawn)
        for i, policy in enumerate(outcome.policies):
            rows.append(
                {
                    **outcome.names,
                    "policy": policy,
                    "measure": measure,
                    **spread("value", found.mean[i], found.draws[:, i], level),
                    **spread("minus_random", difference.mean[i], difference.draws[:, i], level),
                    "n_rounds": _mean(outcome.rounds[outcome.rounds > 0]),
                    "n_seeds": int(found.n_seeds[i]),
                    "reason": _why(outcome, values[:, i]),
                }
            )
    return sorted(rows, key=lambda row: outcome.policies.index(row["policy"]))


def _baseline(outcome: SelectionOutcome, values: Array) -> Array:
    """The values of the policy random, (seeds, 1, n); NaN if it was not run."""
    if BASELINE not in outcome.policies:
        return np.full_like(values[:, :1], np.nan)
    baseline: Array = values[:, [outcome.policies.index(BASELINE)]]
    return baseline


def over_seeds(bootstrap: Bootstrap) -> Bootstrap:
    """The same draws of seeds, for values without test points: arrays (seeds, rows, 1)."""
    return Bootstrap(bootstrap.seeds, np.ones((len(bootstrap.seeds), 1), dtype=np.float32))


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
    shape = (seeds, policies * rounds, -1)
    found: dict[str, Estimates] = {}
    for name, right in outcome.correct.items():
        mask = np.ones((seeds, right.shape[3]), dtype=bool)
        found[f"accuracy_{name}"] = estimate(right.reshape(shape), mask, bootstrap)
    for name in ("regret", "best_share"):
        mask = np.ones((seeds, 1), dtype=bool)
        values = outcome.curves[name].reshape(shape)
        found[name] = estimate(values, mask, over_seeds(bootstrap))
    rows = []
    for i in range(policies * rounds):
        policy, t = divmod(i, rounds)
        row = {**outcome.names, "policy": outcome.policies[policy], "round": t + 1}
        for name, estimates in found.items():
            row |= spread(name, estimates.mean[i], estimates.draws[:, i], level)
        row |= {
            name: _mean(outcome.curves[name][:, policy, t])
            for name in ("density", "n_all", "n_overlap")
        }
        rows.append(row | {"n_seeds": int(found["regret"].n_seeds[i])})
    return rows


def source_rows(outcome: SelectionOutcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """The sources, and the share of its pulls that each policy gave them."""
    seeds, _, k = outcome.pulls.shape
    mask = np.ones((seeds, 1), dtype=bool)
    found = estimate(outcome.pulls.reshape(seeds, -1, 1), mask, over_seeds(bootstrap))
    rows = []
    for j, source in enumerate(outcome.sources):
        facts = {name: _mean(values[:, j]) for name, values in outcome.facts.items()}
        for p, policy in enumerate(outcome.policies):
            i = p * k + j
            rows.append(
                {
                    **outcome.names,
                    "source": source,
                    **facts,
                    "policy": policy,
                    **spread("pulls", found.mean[i], found.draws[:, i], level),
                    "n_seeds": int(found.n_seeds[i]),
                }
            )
    return rows
