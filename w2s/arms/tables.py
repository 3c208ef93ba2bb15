"""The tables of arms: means over seeds with intervals, and differences to matched random points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from w2s.arms.track import MATCHED, WHOLE
from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.overlap.track import TablesSettings
from w2s.results.intervals import Bootstrap, Estimates, estimate, holm, known_mean, p_value
from w2s.results.outcome import KEY, Row, Seeds, by_seed, each_outcome, table
from w2s.results.rows import few_for_p, pgr_row, spread
from w2s.rng import stream

PLACE = ("student", "selector", "band", "budget")
NAMES = (*PLACE, "control", "purity")  # what tells the rows of a seed apart
DIFFERENCES = {name: f"minus_{name}" for name in MATCHED if name != "weak_vectors"}
P = {"random": "p_random", "purity_matched": "p"}  # columns of p values, by the control


@dataclass(frozen=True)
class Armed:
    """All seeds of one dataset and pair.

    Attributes:
        names: The columns every table begins with.
        rows: Student, selector, band, budget, control and purity of each row.
        correct: Share of repeats that get a test point right, float32 (seeds, rows, n); NaN where a
            seed lacks the row.
        numbers: n, label_accuracy and class_balance, each (seeds, rows).
        reason: Why a seed lacks a row, [seeds][rows].
        group: Group of each test point, (n,).
    """

    names: Row
    rows: Sequence[Row]
    correct: Array
    numbers: dict[str, Array]
    reason: Sequence[Sequence[str]]
    group: Array

    def bootstrap(self, draws: int) -> Bootstrap:
        """Draws of the outcome's own stream; test points of a group are drawn together."""
        rng = stream(0, "bootstrap", "arms", *self.names.values())
        seeds, _, n = self.correct.shape
        return Bootstrap.draw(seeds, n, draws, rng, groups=self.group)

    def estimated(self, values: Array, bootstrap: Bootstrap) -> Estimates:
        """Means over seeds of values of all test points, (seeds, k, n)."""
        return estimate(values, np.ones(values[:, 0].shape, dtype=np.float32), bootstrap)

    def why(self, *rows: int) -> str:
        """Why some seed lacks one of these rows, "" if none does."""
        return next((mine[i] for mine in self.reason for i in rows if mine[i]), "")

    def means(self, i: int) -> Row:
        """Means of a row's numbers over the seeds that have it."""
        there = np.array([not mine[i] for mine in self.reason])
        return {name: known_mean(np.where(there, v[:, i], np.nan)) for name, v in
                self.numbers.items()}  # fmt: skip


def armed(seeds: Seeds) -> Armed:
    """The runs and what they get right, seeds side by side, test points in the first one's order.

    Raises:
        ArtifactError: seeds with other rows than the first.
    """
    runs, first = seeds[0]
    keys = [_keys(mine) for mine, _ in seeds]
    if any(mine != keys[0] for mine in keys):
        raise ArtifactError("arms_tables: found seeds with different rows, expected the same")
    if len(keys[0]) != len(first["correct"]):
        raise ArtifactError("arms_tables: found runs and correct of different lengths")
    order = [rows_of(first["id"], right["id"], what="correct") for _, right in seeds]
    columns = zip(*(runs[name].tolist() for name in NAMES), strict=True)
    return Armed(
        names={name: runs.facts[name] for name in KEY},
        rows=[dict(zip(NAMES, values, strict=True)) for values in columns],
        correct=np.stack(
            [right["correct"][:, o] for (_, right), o in zip(seeds, order, strict=True)]
        ),
        numbers={
            name: np.stack([mine[name] for mine, _ in seeds])
            for name in ("n", "label_accuracy", "class_balance")
        },
        reason=[list(mine["reason"]) for mine, _ in seeds],
        group=first["group"],
    )


def _keys(runs: Artifact) -> list[tuple[str, ...]]:
    """What tells rows apart, as text: NaN is equal to itself then."""
    return list(zip(*(map(str, runs[name].tolist()) for name in NAMES), strict=True))


def arm_rows(outcome: Armed, bootstrap: Bootstrap, level: float) -> list[Row]:
    """A row for each arm: its accuracy, and its differences to its controls."""
    place = {
        (row["control"], *(row[name] for name in PLACE)): i for i, row in enumerate(outcome.rows)
    }
    arms = [i for i, row in enumerate(outcome.rows) if row["control"] == "arm"]
    if not arms:  # without weak labels
        return []
    beside = {name: [place.get((name, *_place(outcome, i)), -1) for i in arms] for name in MATCHED}
    own = outcome.estimated(outcome.correct[:, arms], bootstrap)
    others = {}
    for name, numbers in beside.items():
        values = outcome.correct[:, numbers]
        if name in DIFFERENCES:
            values = outcome.correct[:, arms] - values
        values[:, np.array(numbers, dtype=np.int64) < 0] = np.nan  # random arms have no controls
        others[name] = outcome.estimated(values, bootstrap)
    rows = []
    for k, i in enumerate(arms):
        row: Row = {**outcome.names, **{name: outcome.rows[i][name] for name in PLACE}}
        row |= spread("accuracy", own.mean[k], own.draws[:, k], level)
        for name, found in others.items():
            row |= spread(DIFFERENCES.get(name, name), found.mean[k], found.draws[:, k], level)
        for name, column in P.items():
            found = others[name]
            row[column] = p_value(float(found.mean[k]), found.draws[:, k], level=level)
        whys = [outcome.why(i, *(mine[k] for mine in beside.values() if mine[k] >= 0))]
        if math.isfinite(row["p"]):
            whys.append(few_for_p(int(others["purity_matched"].n_seeds[k])))
        row |= {"n_seeds": int(own.n_seeds[k]), "reason": "; ".join(filter(None, whys))}
        rows.append(row | outcome.means(i))
    return rows


def _place(outcome: Armed, i: int) -> tuple[object, ...]:
    return tuple(outcome.rows[i][name] for name in PLACE)


def whole_rows(outcome: Armed, bootstrap: Bootstrap, level: float) -> list[Row]:
    """A row for each training on the whole pool, with the gap that it recovers."""
    whole = [i for i, row in enumerate(outcome.rows) if row["control"] in WHOLE]
    found = outcome.estimated(outcome.correct[:, whole], bootstrap)
    ends = {
        (row["control"], row["student"]): i
        for i, row in enumerate(outcome.rows) if row["control"] in ("floor", "ceiling")
    }  # fmt: skip
    every = np.ones((len(outcome.correct), outcome.correct.shape[2]), dtype=np.float32)
    rows = []
    for k, i in enumerate(whole):
        mine = outcome.rows[i]
        floor, ceiling = (ends[end, mine["student"]] for end in ("floor", "ceiling"))
        row: Row = {**outcome.names, "student": mine["student"], "labels": mine["control"]}
        row |= {"purity": mine["purity"], "n_seeds": int(found.n_seeds[k])}
        row |= spread("accuracy", found.mean[k], found.draws[:, k], level)
        row |= pgr_row(outcome.correct[:, [floor, i, ceiling]], every, bootstrap, level)
        whys = [outcome.why(i)]
        if math.isnan(row["pgr"]) and math.isfinite(row["accuracy"]):
            whys.append("pgr: ceiling - floor is not above 0")
        elif math.isnan(row["pgr_lo"]) and math.isfinite(row["pgr"]):
            whys.append("pgr interval: ceiling - floor is not above 0 in too many bootstrap draws")
        accuracy = outcome.means(i)["label_accuracy"]
        rows.append(row | {"label_accuracy": accuracy, "reason": "; ".join(filter(None, whys))})
    return rows


def arms_tables(
    runs: Sequence[Artifact], correct: Sequence[Artifact], *, settings: TablesSettings
) -> dict[str, Artifact]:
    """Arms and controls of the whole pool, one bootstrap for each dataset and pair."""
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    arms: list[Row] = []
    whole: list[Row] = []
    jobs = by_seed(runs, correct, key=KEY)
    for outcome, drawn in each_outcome(jobs, armed, draws=draws, what="arms", unit="outcomes"):
        arms += arm_rows(outcome, drawn, level)
        whole += whole_rows(outcome, drawn, level)
    for column in P.values():
        adjusted = holm(np.array([row[column] for row in arms], dtype=np.float64))
        for row, value in zip(arms, adjusted, strict=True):
            row[f"{column}_holm"] = float(value)
    return {
        "arms": table("arms_table", arms),
        "negative_controls": table("negative_controls_table", whole),
    }
