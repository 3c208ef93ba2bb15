"""The tables of source selection: means over seeds with intervals, and differences to random.

Accuracies have a bootstrap over seeds and test points. Regret, best_share and pulls exist once a
seed, and a bootstrap of a handful of seeds is too narrow: they have Student's t over seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.results.intervals import (
    Bootstrap,
    Estimates,
    estimate,
    holm,
    known_mean,
    p_value,
    t_p_value,
)
from w2s.results.metrics import correct_rows
from w2s.results.outcome import Row, Seeds, by_seed, each_outcome, table
from w2s.results.rows import over_seeds, spread, too_few
from w2s.rng import stream
from w2s.selection.track import BASELINE, SETS, SelectionTablesSettings

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
        group: Group of each test point, (n,); None where there are no groups.
    """

    names: Row
    policies: Sequence[str]
    sources: Sequence[str]
    correct: Mapping[str, Array]
    curves: Mapping[str, Array]
    pulls: Array
    facts: Mapping[str, Array]
    reason: Sequence[str]
    group: Array | None = None

    def bootstrap(self, draws: int) -> Bootstrap:
        """Draws of the outcome's own stream; test points of a group are drawn together."""
        rng = stream(0, "bootstrap", "selection", *self.names.values())
        points = self.correct["all"].shape[3]
        return Bootstrap.draw(len(self.reason), points, draws, rng, groups=self.group)

    @property
    def rounds(self) -> Array:
        """Rounds that each seed has, (seeds,)."""
        return np.asarray(np.isfinite(self.curves["regret"][:, 0]).sum(axis=1))


def selection_rows(outcome: SelectionOutcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """What each policy reaches, with its paired difference to random pulls and the p value of that.

    The area under a curve is the mean of its rounds. The policy random is not compared with itself:
    its difference is 0, without p value.
    """
    last = np.maximum(outcome.rounds, 1) - 1  # (seeds,)
    seeds = np.arange(len(last))
    rows = []
    for name, right in outcome.correct.items():
        at_end, area = right[seeds, :, last], _area(right, outcome.rounds)  # (seeds, p, n)
        rows += _point_rows(outcome, f"accuracy_{name}", at_end, bootstrap, level)
        rows += _point_rows(outcome, f"auc_{name}", area, bootstrap, level)
    for name in PER_SEED:
        rows += _seed_rows(outcome, name, outcome.curves[name][seeds, :, last], level)
    return sorted(rows, key=lambda row: outcome.policies.index(row["policy"]))


def _point_rows(
    outcome: SelectionOutcome, measure: str, values: Array, bootstrap: Bootstrap, level: float
) -> list[Row]:
    """A row for each policy, of values of test points (seeds, p, n)."""
    mask = np.ones((len(values), values.shape[2]), dtype=bool)
    both = np.concatenate([values, values - _baseline(outcome, values)], axis=1)
    found, p = estimate(both, mask, bootstrap), len(outcome.policies)
    rows = []
    for i, policy in enumerate(outcome.policies):
        mean, draws = float(found.mean[p + i]), found.draws[:, p + i]
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
        why = too_few(values[:, i])
        rows.append(_row(outcome, policy, measure, values[:, i, None], numbers, why))
    return rows


def _row(
    outcome: SelectionOutcome, policy: str, measure: str, values: Array, numbers: Row, why: str
) -> Row:
    """A row of the table: values (seeds, n) and `numbers` of them; `why` there is no interval."""
    known = np.isfinite(values).all(axis=1)
    told = next(filter(None, outcome.reason), "")
    if not told and (~known & (outcome.rounds > 0)).any():
        told = "rounds without a probe: see the paths"
    return {
        **outcome.names,
        "policy": policy,
        "measure": measure,
        **numbers,
        "n_rounds": known_mean(outcome.rounds[outcome.rounds > 0]),
        "n_seeds": int(known.sum()),
        "reason": "; ".join(filter(None, [told, why])),
    }


def _baseline(outcome: SelectionOutcome, values: Array) -> Array:
    """The values of the policy random, (seeds, 1, ...); NaN if it was not run."""
    if BASELINE not in outcome.policies:
        return np.full_like(values[:, :1], np.nan)
    return np.asarray(values[:, [outcome.policies.index(BASELINE)]])


def _area(right: Array, rounds: Array) -> Array:
    """Mean over the rounds that a seed has, (seeds, p, n); NaN if it lacks a probe in one."""
    there = np.arange(right.shape[2]) < rounds[:, None]  # (seeds, rounds)
    total = np.where(there[:, None, :, None], right, 0).sum(axis=2)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / rounds[:, None, None])


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
        row |= {name: known_mean(curves[name]) for name in ("density", "n_all", "n_overlap")}
        row["n_seeds"] = int(np.isfinite(curves["regret"]).sum())
        rows.append(row | {"reason": too_few(curves["regret"])})
    return rows


def source_rows(outcome: SelectionOutcome, level: float) -> list[Row]:
    """The sources, and the share of its pulls that each policy gave them."""
    rows = []
    for j, source in enumerate(outcome.sources):
        facts = {name: known_mean(values[:, j]) for name, values in outcome.facts.items()}
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


CURVES = ("regret", "best_share", "density", "n_all", "n_overlap")
KEY = ("experiment", "weak", "strong")
FACTS = {"n_points": "points"} | {
    name: name for name in ("density", "right_density", "label_accuracy")
}


def selection_tables(
    paths: Sequence[Artifact], predictions: Sequence[Artifact], *, settings: SelectionTablesSettings
) -> dict[str, Artifact]:
    """What each policy reaches, the curves, and the sources; one bootstrap for each experiment.

    All differences to random, of all experiments and pairs, are one family of comparisons.
    """
    jobs = by_seed(paths, predictions, key=KEY)
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    rows: dict[str, list[Row]] = {"selection": [], "rounds": [], "sources": []}
    what = "selection tables"
    for outcome, drawn in each_outcome(jobs, _outcome, draws=draws, what=what, unit="experiments"):
        rows["selection"] += selection_rows(outcome, drawn, level)
        rows["rounds"] += round_rows(outcome, drawn, level)
        rows["sources"] += source_rows(outcome, level)
    adjusted = holm(np.array([row["p"] for row in rows["selection"]]))
    for row, p in zip(rows["selection"], adjusted, strict=True):
        row["p_holm"] = p
    kinds = ("selection_table", "selection_rounds_table", "selection_sources_table")
    return {name: table(kind, rows[name]) for name, kind in zip(rows, kinds, strict=True)}


def _outcome(seeds: Seeds) -> SelectionOutcome:
    """All seeds of one experiment and pair, test points in the first seed's order."""
    facts = [paths.facts for paths, _ in seeds]
    first = facts[0]
    for name in ("policies", "rounds"):
        if any(other[name] != first[name] for other in facts):
            raise ArtifactError(f"tables: found seeds with different {name}, expected the same")
    sources: list[str] = next((told["source_names"] for told in facts if told["source_names"]), [])
    found = [_seed(paths, predictions, seeds[0][1], sources) for paths, predictions in seeds]
    return SelectionOutcome(
        names={name: first[name] for name in KEY},
        policies=first["policies"],
        sources=sources,
        correct={name: np.stack([seed[name] for seed in found]) for name in SETS},
        curves={name: np.stack([seed[name] for seed in found]) for name in CURVES},
        pulls=np.stack([seed["pulls"] for seed in found]),
        facts={
            name: np.array(
                [[told["sources"].get(s, {}).get(fact, np.nan) for s in sources] for told in facts]
            )
            for name, fact in FACTS.items()
        },
        reason=[told["reason"] or told["ended"] for told in facts],
        group=seeds[0][1]["group"],
    )


def _seed(
    paths: Artifact, predictions: Artifact, first: Artifact, sources: Sequence[str]
) -> dict[str, Array]:
    """What a seed's rounds come to, means over its repeats; NaN in rounds it does not have."""
    order = rows_of(first["id"], predictions["id"], what="predictions")
    if len(predictions["row"]) != len(paths):
        raise ArtifactError(
            f"predictions: found {len(predictions['row'])} rows, expected those of the "
            f"{len(paths)} rows of paths"
        )
    policies, rounds = paths.facts["policies"], paths.facts["rounds"]
    found = {name: np.full((len(policies), rounds), np.nan) for name in CURVES}
    shape = (len(policies), rounds, len(order))
    found |= {name: np.full(shape, np.nan, dtype=np.float32) for name in SETS}
    found["pulls"] = np.full((len(policies), len(sources)), np.nan)
    density = {name: told["density"] for name, told in paths.facts["sources"].items()}
    most = max(density.values(), default=0)
    best = [name for name, value in density.items() if value == most]  # all that are as dense
    for p, policy in enumerate(policies):
        rows = np.flatnonzero(paths["policy"] == policy)
        if not len(rows):
            continue
        order_of = np.lexsort((paths["round"][rows], paths["repeat"][rows]))
        repeats = len(np.unique(paths["repeat"][rows]))
        by_round: Array = rows[order_of].reshape(repeats, -1)  # (repeats, rounds)
        done = by_round.shape[1]
        for name in ("regret", "density", "n_all", "n_overlap"):
            found[name][p, :done] = paths[name][by_round].mean(axis=0)
        pulled = paths["source"][by_round]
        so_far = np.cumsum(np.isin(pulled, best), axis=1) / np.arange(1, done + 1)
        found["best_share"][p, :done] = so_far.mean(axis=0)
        found["pulls"][p] = [np.mean(pulled == source) for source in sources]
        for name in SETS:
            right = correct_rows(predictions[name][by_round.ravel()], predictions["label"])
            right = right.reshape(*by_round.shape, -1)[:, :, order]
            found[name][p, :done] = right.mean(axis=0)
    return found
