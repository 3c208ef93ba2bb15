"""Metrics of every run, and their rows in the tables of the paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, same_job
from w2s.overlap.track import COMPARED, CONTROLS, PLACEBO, EvaluateSettings, TablesSettings
from w2s.results.intervals import Bootstrap, estimate, known_means
from w2s.results.metrics import LABEL_SCORES, METRICS, MODELS, REFERENCES, REGIONS, correct_rows
from w2s.results.outcome import COLUMNS, KEY, Outcome, Row, by_seed, each_outcome, outcome_of, table
from w2s.results.rows import (
    CURVE,
    Contrast,
    corrected,
    difference_rows,
    minus,
    pgr_row,
    row_means,
    spread,
    value_of,
    with_references,
)


def evaluate(
    examples: Artifact,
    weak_labels: Artifact,
    regions: Artifact,
    runs: Artifact,
    predictions: Artifact,
    *,
    settings: EvaluateSettings,
) -> dict[str, Artifact]:
    """Score the predictions; a new metric retrains nothing."""
    del settings
    same_job(
        examples=examples,
        weak_labels=weak_labels,
        regions=regions,
        runs=runs,
        predictions=predictions,
    )
    if list(runs["run"]) != list(predictions["run"]):
        raise ArtifactError("predictions: found other runs than in runs, expected the same")
    ids = predictions["id"]
    label = examples["label"][rows_of(ids, examples["id"], what="examples")]
    floor = weak_labels["weak_proba"][rows_of(ids, weak_labels["id"], what="weak_labels")]
    group = group_codes(examples["group"][rows_of(ids, examples["id"], what="examples")])
    words = regions["region"][rows_of(ids, regions["id"], what="regions")]
    region = np.full(len(ids), -1, dtype=np.int8)
    for code, word in enumerate(REGIONS):
        region[words == word] = code
    if weak_labels.facts["reason"]:
        floor = np.full_like(floor, np.nan)
    proba = np.concatenate([floor[None], predictions["proba"]])  # (1 + runs, n)
    rows = _with_floor(runs, weak_labels)
    # fine-tuned models are evaluated on the regions of probes, of which their runs know nothing
    facts = {**runs.facts, **{key: regions.facts[key] for key in ("status", "reason")}}
    shares = {"n_pool": int(np.sum(examples["part"] == "pool")), **_shares(regions)}
    return {
        "metrics": Artifact("metrics", _metrics(proba, label, region, rows), facts | shares),
        "correct": _correct(
            {"id": ids, "region": region, "group": group}, correct_rows(proba, label), rows, facts
        ),
    }


def _shares(regions: Artifact) -> dict[str, float | None]:
    """Shares of easy, hard and overlap points in strong_train; none where they are undefined."""
    names = ("easy_share", "hard_share", "density")
    stable = {"stability": regions.facts["stability"]}
    if regions.facts["status"] != "ok":
        return dict.fromkeys(names) | stable
    region = regions["region"][regions["part"] == "strong_train"]
    shares = {
        name: float(np.mean(region == word)) for word, name in zip(REGIONS, names, strict=True)
    }
    return shares | stable


def _with_floor(runs: Artifact, weak_labels: Artifact) -> dict[str, Array]:
    """The columns of `runs` with the weak floor, trained on true labels, in front."""
    floor: dict[str, Any] = {
        "control": "floor",
        "proportion": np.nan,
        "repeat": 0,
        "restart": 0,
        "n_train": weak_labels.facts["n_train"],
        **dict(zip(LABEL_SCORES, (1.0, 0.0, 0.0), strict=True)),
        "reason": weak_labels.facts["reason"],
    }
    return {
        name: np.concatenate([np.array([value], dtype=runs[name].dtype), runs[name]])
        for name, value in floor.items()
    }


def _metrics(proba: Array, label: Array, region: Array, runs: dict[str, Array]) -> dict[str, Array]:
    """One row per run, group of test points and metric."""
    masks = {"overall": np.ones(len(label), dtype=bool)}
    masks |= {word: region == code for code, word in enumerate(REGIONS)}
    values = np.full((len(proba), len(masks), len(METRICS)), np.nan)
    reason = np.tile(runs["reason"][:, None, None], values.shape[1:])
    for g, (group, mask) in enumerate(masks.items()):
        truth, found = label[mask], proba[:, mask]
        for i in np.flatnonzero(runs["reason"] == ""):
            values[i, g] = [score(found[i], truth) for score in METRICS.values()]
        lacking = np.isnan(values[:, g]) & (reason[:, g] == "")
        reason[:, g][lacking] = f"too few {group} test points of each class"
    sizes = np.array([mask.sum() for mask in masks.values()], dtype=np.int32)
    groups, metrics = np.array(list(masks), dtype=object), np.array(list(METRICS), dtype=object)
    columns = {
        **{key: runs[key][:, None, None] for key in ("control", "proportion", "repeat", "restart")},
        "group": groups[:, None], "metric": metrics, "value": values, "n": sizes[:, None],
        "reason": reason,
    }  # fmt: skip
    return {name: np.broadcast_to(c, values.shape).ravel() for name, c in columns.items()}


def _correct(
    points: dict[str, Array], right: Array, rows: dict[str, Array], facts: dict[str, Any]
) -> Artifact:
    """Average the repeats of each row of the tables; a failed repeat makes it NaN."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    keys = zip(rows["control"], map(str, rows["proportion"]), rows["restart"], strict=True)
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
    members = [np.array(group) for group in groups.values()]

    def means(name: str) -> Array:
        return np.array([rows[name][group].astype(np.float64).mean() for group in members])

    arrays = {
        **points,
        "correct": np.stack([right[group].mean(axis=0) for group in members]),
        "restart": np.array([restart for _, _, restart in groups], dtype=np.int32),
        **{name: means(name) for name in ("proportion", "n_train", *LABEL_SCORES)},
    }
    named = {
        "control": [control for control, _, _ in groups],
        "row_reason": [next(filter(None, rows["reason"][group]), "") for group in members],
    }
    return Artifact("correct", arrays, facts | named)


def tables(
    metrics: Sequence[Artifact], correct: Sequence[Artifact], *, settings: TablesSettings
) -> dict[str, Artifact]:
    """Main, mixing, regions and comparisons table, one bootstrap per dataset and pair."""
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    rows: dict[str, list[Row]] = {name: [] for name in ("main", "mixing", "regions", "comparisons")}
    jobs = by_seed(metrics, correct, key=KEY)
    for found, drawn in each_outcome(jobs, outcome_of, draws=draws, what="tables", unit="outcomes"):
        outcome = with_references(found)
        rows["main"].append(main_row(outcome, drawn, level))
        rows["mixing"] += mixing_rows(outcome, drawn, level)
        rows["regions"] += region_rows(outcome, drawn, level)
        rows["comparisons"] += comparison_rows(outcome, drawn, level)
    rows["comparisons"] = corrected(rows["comparisons"])
    return {name: table(f"{name}_table", mine) for name, mine in rows.items()}


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
    share = known_means(outcome.shares)
    row |= {"overlap_density": share[2], "easy_share": share[0], "hard_share": share[1]}
    row["stability"] = share[3]
    return row | _status(outcome, row, rows)


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


def _comparisons(outcome: Outcome) -> dict[str, Contrast]:
    """Which rows are subtracted from which, by name, as `COMPARED` and `CONTROLS` say."""
    there = dict.fromkeys(outcome.control)
    curves = {name: ends for name in there if (ends := _ends(outcome, name)) and name != CURVE}
    named = [*COMPARED, *((a, b) for a, shown in CONTROLS.items() for b in shown.against)]
    found = {
        f"{a} - {b}": minus(outcome.row(a), outcome.row(b))
        for a, b in named
        if a in there and b in there and a not in curves
    }
    for name, ends in curves.items():
        (p, high), (q, low) = max(ends), min(ends)
        if p > q:
            found[f"{name}: p={p:g} - p={q:g}"] = minus(high, low)
        against = CONTROLS[name].against if name in CONTROLS else ()
        for other in (name + PLACEBO, *against):
            mirror = dict(curves.get(other, ()))
            if {p, q} <= set(mirror):
                title = f"{name}: overlap - placebo, p={p:g}"
                found[title] = minus(high, mirror[p])
                if p > q:
                    rest = {low: -1.0, mirror[p]: -1.0, mirror[q]: 1.0}
                    found[f"{title} - p={q:g}"] = {high: 1.0, **rest}
            elif other in there and other not in curves:
                found[f"{name} p={p:g} - {other}"] = minus(high, outcome.row(other))
    return found


def _ends(outcome: Outcome, control: str) -> list[tuple[float, int]]:
    """Proportion and position of each row of a curve."""
    return [
        (float(p), i)
        for i, (name, p) in enumerate(zip(outcome.control, outcome.proportion, strict=True))
        if name == control and np.isfinite(p)
    ]
