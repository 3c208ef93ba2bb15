"""Stage `evaluate`: metrics of every run, and which test points the tables' rows get right."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, same_job
from w2s.overlap.track import EvaluateSettings
from w2s.results.metrics import LABEL_SCORES, METRICS, REGIONS, correct_rows
from w2s.results.outcome import Row, table


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
    if regions.facts["status"] != "ok":
        return dict.fromkeys(names)
    region = regions["region"][regions["part"] == "strong_train"]
    return {name: float(np.mean(region == word)) for word, name in zip(REGIONS, names, strict=True)}


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
    rows: list[Row] = []
    for i, (group, mask), (metric, score) in product(
        range(len(proba)), masks.items(), METRICS.items()
    ):
        why = runs["reason"][i]
        value = np.nan if why else score(proba[i, mask], label[mask])
        if not why and np.isnan(value):
            why = f"too few {group} test points of each class"
        row = {name: runs[name][i] for name in ("control", "proportion", "repeat", "restart")}
        row |= {"group": group, "metric": metric, "value": value, "n": mask.sum(), "reason": why}
        rows.append(row)
    return dict(table("metrics", rows).arrays)


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
