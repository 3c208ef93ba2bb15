"""Stage `strong`: every training of the strong model for one dataset, pair and seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.config_spine import MixingConfig
from w2s.methods.mixing import Mix
from w2s.methods.training import Run, Trained, mixing_runs, train, whole_pool_runs
from w2s.rng import stream
from w2s.settings import StrongSettings
from w2s.steps.inputs import layer_of, same_job
from w2s.steps.probe import fitter


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
    proba, label = pool["weak_proba"].astype(np.float64), pool["label"]
    runs = whole_pool_runs(len(pool), weak_labels.facts["reason"])
    runs += mixing_of(region, proba, label, regions.facts, settings.mixing)
    dataset, seed = regions.facts["dataset"], regions.facts["seed"]
    trained = train(
        runs,
        proba,
        label,
        strong=_matrices(strong_activations, settings.strong_layer, pool, test),
        weak=_matrices(weak_activations, settings.weak_layer, pool, test),
        fit=fitter(settings.probe, stream(seed, "folds", dataset, "strong")),
    )
    names = {"weak": settings.weak, "strong": settings.strong}
    facts = {"dataset": dataset, **names, "seed": seed}
    status = {key: regions.facts[key] for key in ("status", "reason")}
    arrays = described(runs, trained, (proba >= 0.5) == (label == 1))
    predictions = {"id": test["id"], "run": arrays["run"], "proba": trained.proba}
    return {
        "runs": Artifact("runs", arrays, facts | status),
        "predictions": Artifact("predictions", predictions, facts),
    }


def mixing_of(
    region: Array, proba: Array, label: Array, facts: Any, mixing: MixingConfig
) -> list[Run]:
    """The mixing runs; where regions are undefined, runs without rows that say so.

    Args:
        region: Regions of the pool, (n,).
        proba: Weak labels, (n,).
        label: True labels, (n,).
        facts: Facts of the regions artifact: dataset, seed, status and reason.
        mixing: The experiment.
    """

    def streams(control: str) -> Callable[[str], np.random.Generator]:
        return lambda repeat: stream(facts["seed"], "mixing", facts["dataset"], control, repeat)

    runs = mixing_runs(
        region == "overlap",
        proba,
        label,
        controls=mixing.controls,
        proportions=mixing.proportions,
        repeats=mixing.repeats,
        streams=streams,
    )
    if facts["status"] == "ok":
        return runs
    nothing = np.empty(0, dtype=np.int64)
    return [
        Run(run.control, Mix(run.mix.proportion, run.mix.repeat, nothing, facts["reason"]),
            run.true_labels, run.weak_activations)
        for run in runs
    ]  # fmt: skip


def _matrices(
    activations: Artifact, layer: int, pool: Artifact, test: Artifact
) -> tuple[Array, Array]:
    """Activations of the training pool and of the test points, rows matched by id."""
    x, ids = layer_of(activations, layer), activations["id"]
    pool_rows, test_rows = (rows_of(part["id"], ids, what="activations") for part in (pool, test))
    return x[pool_rows], x[test_rows]


def described(runs: list[Run], trained: Trained, right: Array) -> dict[str, Array]:
    """Columns of the `runs` artifact."""
    purity = [
        np.nan if not len(run.mix.rows) else 1.0 if run.true_labels else right[run.mix.rows].mean()
        for run in runs
    ]
    return {
        "run": np.arange(len(runs), dtype=np.int32),
        "control": np.array([run.control for run in runs], dtype=object),
        "proportion": np.array([run.mix.proportion for run in runs], dtype=np.float64),
        "repeat": np.array([run.mix.repeat for run in runs], dtype=np.int32),
        "n_train": np.array([len(run.mix.rows) for run in runs], dtype=np.int32),
        "label_accuracy": np.array(purity, dtype=np.float64),
        "gap": trained.gap,
        "l2": trained.l2,
        "reason": np.array(trained.reason, dtype=object),
    }
