"""The tables of the gain: what goes with it, where w2s is right, and how it transfers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.gain.correlation import (
    partial_correlation,
    permutation_p,
    rank_correlation,
    rank_correlations,
)
from w2s.gain.predictors import quadrants
from w2s.gain.track import MEASURES, PREDICTORS, QUADRANTS
from w2s.overlap.track import TablesSettings
from w2s.results.intervals import (
    DIGITS,
    FEWEST,
    Bootstrap,
    estimate,
    holm,
    interval,
    known_mean,
    p_value,
)
from w2s.results.metrics import MODELS, correct_rows
from w2s.results.outcome import KEY, Row, table
from w2s.results.rows import few_for_p, pgr_row, spread
from w2s.rng import stream

CLUSTERS = 8  # datasets and pairs below which a bootstrap of them has few different draws


def gain_tables(
    predictors: Sequence[Artifact], transfer: Sequence[Artifact], *, settings: TablesSettings
) -> dict[str, Artifact]:
    """Correlations of predictors, quadrants, all points, and transfer.

    Intervals of accuracies are the bootstrap of the main table, with the draws that it has for the
    dataset tested on.
    """
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    points: list[Row] = [_point(item) for item in predictors]
    columns = {name: np.array([row[name] for row in points]) for name in (*KEY, *MEASURES)}
    moved: list[Row] = []
    quarters: list[Row] = []
    for seeds in _by_pair(transfer):
        names = list(dict.fromkeys(seeds[0]["test"]))
        drawn: dict[str, Bootstrap] = {}
        for train in names:
            for test in names:
                found = tested(seeds, train, test)
                if test not in drawn:
                    drawn[test] = found.bootstrap(draws)
                moved.append(transfer_row(found, drawn[test], level))
                if train == test:
                    quarters += quadrant_rows(found, drawn[test], level)
    rows = predictor_rows(columns, draws=draws, level=level)
    for family in (rows, moved):
        for row, p in zip(family, holm(np.array([row["p"] for row in family])), strict=True):
            row["p_holm"] = float(p)
    return {
        "correlations": table("predictors_table", rows),
        "quadrants": table("quadrants_table", quarters),
        "points": table("gain_table", points),
        "matrix": table("transfer_table", moved),
    }


def _point(item: Artifact) -> Row:
    names = {name: item.facts[name] for name in (*KEY, "seed")}
    return names | {name: item[name][0] for name in MEASURES}


def predictor_rows(columns: Mapping[str, Array], *, draws: int, level: float) -> list[Row]:
    """A row for each predictor; `p_holm` is left to the caller.

    Seeds of a dataset and pair share most of their texts, so p is that of the means over seeds. The
    interval draws whole datasets and pairs where there are 8 or more, else points as if they were
    independent, which they are not: it is then too narrow, and the reason says so.

    Args:
        columns: Dataset, weak, strong, and the measures of each point, (n,).
        draws: Draws of the bootstrap.
        level: Coverage of the intervals.
    """
    keys = list(zip(*(columns[name] for name in KEY), strict=True))
    order = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    cluster = np.array([order[key] for key in keys], dtype=np.int64)
    return [_predictor_row(name, columns, cluster, draws=draws, level=level) for name in PREDICTORS]


def _predictor_row(
    name: str, columns: Mapping[str, Array], cluster: Array, *, draws: int, level: float
) -> Row:
    known = np.isfinite(columns[name]) & np.isfinite(columns["gain"])
    # what is equal stays a tie: differences of accuracies differ in the last digits
    x, y, gap = (np.round(columns[key][known], DIGITS) for key in (name, "gain", "gap"))
    mine = cluster[known]
    found = [mine == k for k in np.unique(mine)]
    mean_x, mean_y = (np.array([side[rows].mean() for rows in found]) for side in (x, y))
    within = [rank_correlation(x[rows], y[rows]) for rows in found if rows.sum() >= FEWEST]
    low, high, how = _interval(name, x, y, mine, draws=draws, level=level)
    also = np.isfinite(gap) & (name != "gap")
    shown = PREDICTORS[name]
    return {
        "predictor": name,
        "uses_labels": "yes" if shown.uses_labels else "no",
        "points": shown.points,
        "expected": shown.expected,
        "correlation": rank_correlation(x, y),
        "correlation_lo": low,
        "correlation_hi": high,
        "given_gap": partial_correlation(x[also], y[also], gap[also]),
        "n_points": len(x),
        "correlation_within": known_mean(np.array(within)),
        "correlation_of_means": rank_correlation(mean_x, mean_y),
        "n_means": len(found),
        "p": permutation_p(mean_x, mean_y, stream(0, "permutation", "gain", name)),
        "reason": "; ".join(filter(None, [_lacking(name, columns["reason"], known), how])),
    }


def _interval(
    name: str, x: Array, y: Array, cluster: Array, *, draws: int, level: float
) -> tuple[float, float, str]:
    """Bounds of the correlation of points (n,), and what was drawn; NaN without points."""
    if not len(x):
        return math.nan, math.nan, ""
    count = len(np.unique(cluster))
    enough = count >= CLUSTERS
    rng = stream(0, "bootstrap", "gain", name)
    drawn = Bootstrap.draw(1, len(x), draws, rng, groups=cluster if enough else None)
    how = "interval: draws datasets and pairs"
    if not enough:
        how = (
            f"interval: draws points as if independent, of {count} datasets and pairs; expected "
            f"{CLUSTERS} or more to draw those"
        )
    return *interval(rank_correlations(x, y, drawn.examples), level), how


def _lacking(name: str, reason: Array, known: Array) -> str:
    """Why points lack a value, in one phrase, if some do."""
    if known.all():
        return ""
    why = next(filter(None, reason[~known]), f"no {name}")
    return f"{int((~known).sum())} of {len(known)} points lack it: {why}"


@dataclass(frozen=True)
class Tested:
    """All seeds of models trained on one dataset and tested on another, for one pair.

    Attributes:
        names: train, test, weak, strong.
        correct: Correctness of floor, w2s and ceiling, float32 (seeds, 3, n), NaN where one lacks.
        counts: Test points that count: not those of the pool trained on, bool (n,).
        group: Group of each test point, (n,).
        reason: Why a seed lacks a model, "" if it has all, [seeds].
    """

    names: Row
    correct: Array
    counts: Array
    group: Array
    reason: Sequence[str]

    def bootstrap(self, draws: int) -> Bootstrap:
        """The draws that the main table has for the dataset tested on."""
        names = [self.names[name] for name in ("test", "weak", "strong")]
        seeds, _, n = self.correct.shape
        return Bootstrap.draw(seeds, n, draws, stream(0, "bootstrap", *names), groups=self.group)

    def told(self, n_seeds: int) -> list[str]:
        """Why there are fewer seeds with a value, if there are."""
        if n_seeds == len(self.reason):
            return []
        why = next(filter(None, self.reason), "no test point left")
        return [f"{len(self.reason) - n_seeds} of {len(self.reason)} seeds lack it: {why}"]


def _by_pair(transfer: Sequence[Artifact]) -> list[list[Artifact]]:
    """The seeds of each pair.

    Raises:
        ArtifactError: a seed of a pair twice.
    """
    pairs: dict[tuple[str, str], list[Artifact]] = {}
    for item in transfer:
        seeds = pairs.setdefault((item.facts["weak"], item.facts["strong"]), [])
        if any(item.facts["seed"] == known.facts["seed"] for known in seeds):
            raise ArtifactError(f"transfer: found seed {item.facts['seed']} of a pair twice")
        seeds.append(item)
    return list(pairs.values())


def tested(seeds: Sequence[Artifact], train: str, test: str) -> Tested:
    """All seeds of one dataset trained on and one tested on, points in the first seed's order."""
    parts = [item.where((item["train"] == train) & (item["test"] == test)) for item in seeds]
    first = parts[0]
    correct = []
    for part in parts:
        order = rows_of(first["example"], part["example"], what="transfer")
        proba = np.stack([part[name][order] for name in MODELS])
        correct.append(correct_rows(proba, first["label"]))
    pair = {name: first.facts[name] for name in ("weak", "strong")}
    return Tested(
        {"train": train, "test": test, **pair},
        np.stack(correct),
        first["seen"] == 0,
        first["group"],
        [item.facts["reasons"][train] for item in seeds],
    )


def transfer_row(found: Tested, bootstrap: Bootstrap, level: float) -> Row:
    """Accuracies, PGR and the gain; `p_holm` is left to the caller."""
    mask = np.tile(found.counts, (len(found.correct), 1))
    gained = found.correct[:, 1] - found.correct[:, 0]
    side = np.concatenate([found.correct, gained[:, None]], axis=1)  # (seeds, 4, n)
    told = estimate(side, mask, bootstrap)
    row: Row = {**found.names, "n_test": int(found.counts.sum())}
    for i, name in enumerate((*MODELS, "gain")):
        row |= spread(name, told.mean[i], told.draws[:, i], level)
    row |= pgr_row(found.correct, mask, bootstrap, level)
    n_seeds = int(told.n_seeds.min())
    reasons = found.told(n_seeds)
    if math.isnan(row["pgr"]) and n_seeds:
        gap = row["ceiling"] - row["floor"]
        reasons.append(f"pgr: ceiling - floor = {gap:.3f} is not above 0")
    elif math.isnan(row["pgr_lo"]) and n_seeds:
        reasons.append("pgr interval: ceiling - floor is not above 0 in too many bootstrap draws")
    p = p_value(float(told.mean[3]), told.draws[:, 3], level=level)
    if math.isfinite(p) and few_for_p(n_seeds):
        reasons.append(few_for_p(n_seeds))
    return row | {"n_seeds": n_seeds, "p": p, "reason": "; ".join(reasons)}


def quadrant_rows(found: Tested, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Accuracy of w2s in each quadrant, of a dataset tested on itself."""
    names = {"dataset": found.names["test"], **found.names}
    weight = quadrants(found.correct[:, 0], found.correct[:, 2])  # (4, seeds, n)
    there: Array = np.asarray(np.isfinite(weight).all(axis=(0, 2)))
    rows = []
    for quadrant, mine in zip(QUADRANTS, weight, strict=True):
        told = estimate(found.correct[:, 1:2], np.where(there[:, None], mine, 0), bootstrap)
        n_seeds = int(told.n_seeds[0])
        reasons = found.told(n_seeds)
        if there.all() and n_seeds < len(there):
            reasons = [f"{len(there) - n_seeds} of {len(there)} seeds have no such point"]
        rows.append(
            {
                **names,
                "quadrant": quadrant,
                "share": float(mine[there].mean()) if there.any() else math.nan,
                **spread("w2s", told.mean[0], told.draws[:, 0], level),
                "n_seeds": n_seeds,
                "reason": "; ".join(reasons),
            }
        )
    return rows
