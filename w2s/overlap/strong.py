"""Stage `strong`: every training of the strong model for one dataset, pair and seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from w2s.checks import Array, rows_of
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, same_job
from w2s.overlap.track import MixingConfig, StrongSettings
from w2s.overlap.training import (
    Labels,
    Pool,
    Run,
    Trained,
    mixing_runs,
    targets_of,
    train,
    whole_pool_runs,
    without_labels,
)
from w2s.overlap.weak_labels import fitter
from w2s.results.metrics import LABEL_SCORES, label_scores
from w2s.rng import stream


def strong(
    weak_labels: Artifact,
    regions: Artifact,
    weak_activations: Artifact,
    strong_activations: Artifact,
    *,
    settings: StrongSettings,
) -> dict[str, Artifact]:
    """Ceiling, w2s, all mixes and controls: one problem per activation matrix."""
    same_job(
        weak_labels=weak_labels,
        regions=regions,
        weak_activations=weak_activations,
        strong_activations=strong_activations,
    )
    pool = weak_labels.where(weak_labels["part"] == "strong_train")
    test = weak_labels.where(weak_labels["part"] == "test")
    region = regions["region"][rows_of(pool["id"], regions["id"], what="regions")]
    points = Pool(region, pool["weak_proba"].astype(np.float64), pool["label"])
    runs = runs_of(points, weak_labels.facts["reason"], regions.facts, settings.mixing)
    dataset, seed = regions.facts["dataset"], regions.facts["seed"]
    trained = train(
        runs,
        points.weak_proba,
        points.label,
        strong=_matrices(strong_activations, settings.strong_layer, pool, test),
        weak=_matrices(weak_activations, settings.weak_layer, pool, test),
        fit=fitter(settings.probe, stream(seed, "folds", dataset, "strong")),
    )
    names = {"weak": settings.weak, "strong": settings.strong}
    facts = {"dataset": dataset, **names, "seed": seed}
    status = {key: regions.facts[key] for key in ("status", "reason")}
    arrays = described(runs, trained, points)
    predictions = {"id": test["id"], "run": arrays["run"], "proba": trained.proba}
    return {
        "runs": Artifact("runs", arrays, facts | status),
        "predictions": Artifact("predictions", predictions, facts),
    }


def runs_of(pool: Pool, reason: str, facts: Any, mixing: MixingConfig) -> list[Run]:
    """All trainings; where weak labels or regions are undefined, runs without rows that say so.

    Args:
        pool: The points of strong_train.
        reason: Why there are no weak labels, "" if there are.
        facts: Facts of the regions artifact: dataset, seed, status and reason.
        mixing: The experiment.
    """

    def streams(control: str) -> Callable[[str], np.random.Generator]:
        return lambda repeat: stream(facts["seed"], "mixing", facts["dataset"], control, repeat)

    few = mixing.repeats if "few_labels" in mixing.controls else 0
    capacity = "same_capacity" in mixing.controls
    whole = whole_pool_runs(pool, few=few, same_capacity=capacity, streams=streams)
    mixes = mixing_runs(
        pool,
        controls=[name for name in mixing.controls if name != "few_labels"],
        proportions=mixing.proportions,
        repeats=mixing.repeats,
        streams=streams,
    )
    whole = without_labels(whole, reason) if reason else whole
    return whole + (mixes if facts["status"] == "ok" else without_labels(mixes, facts["reason"]))


def _matrices(
    activations: Artifact, layer: int, pool: Artifact, test: Artifact
) -> tuple[Array, Array]:
    """Activations of the training pool and of the test points, rows matched by id."""
    x, ids = layer_of(activations, layer), activations["id"]
    pool_rows, test_rows = (rows_of(part["id"], ids, what="activations") for part in (pool, test))
    return x[pool_rows], x[test_rows]


def described(runs: list[Run], trained: Trained, pool: Pool) -> dict[str, Array]:
    """Columns of the `runs` artifact."""
    targets = {
        labels: targets_of(labels, pool.weak_proba, pool.label) for labels in get_args(Labels)
    }
    scores = np.array(
        [label_scores(targets[run.labels][run.mix.rows], pool.label[run.mix.rows]) for run in runs]
    )  # (runs, 3)
    return {
        "run": np.arange(len(runs), dtype=np.int32),
        "control": np.array([run.control for run in runs], dtype=object),
        "proportion": np.array([run.mix.proportion for run in runs], dtype=np.float64),
        "repeat": np.array([run.mix.repeat for run in runs], dtype=np.int32),
        "restart": np.array([run.restart for run in runs], dtype=np.int32),
        "n_train": np.array([len(run.mix.rows) for run in runs], dtype=np.int32),
        **dict(zip(LABEL_SCORES, scores.T, strict=True)),
        "gap": trained.gap,
        "l2": trained.l2,
        "reason": np.array(trained.reason, dtype=object),
    }
