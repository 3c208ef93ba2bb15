"""Stage `strong`: every training of the strong model for one dataset, pair and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from w2s.checks import Array, rows_of
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, same_job
from w2s.overlap.controls import Labels, Pool, Run, runs_of
from w2s.overlap.track import StrongSettings
from w2s.overlap.weak_labels import fitter
from w2s.probes.columns import Fit
from w2s.results.metrics import LABEL_SCORES, label_scores
from w2s.results.track import RUNS
from w2s.rng import stream

NONE = ("proportion", "gap", "l2")  # columns of runs that a training may have no value for


@dataclass(frozen=True)
class Trained:
    """Test predictions of runs.

    Attributes:
        proba: P(y = 1) on the test points, float32 (runs, n_test), NaN where a run failed.
        gap: Bound on the relative optimality gap, (runs,), NaN where a run failed.
        l2: Penalty, (runs,), NaN where a run failed or has none.
        reason: Why a run failed, "" if it did not.
    """

    proba: Array
    gap: Array
    l2: Array
    reason: list[str]


def joined(parts: Sequence[Trained], n_test: int) -> Trained:
    """The runs of all parts, one after another, with `n_test` test points if there are none."""
    none = Trained(np.empty((0, n_test), np.float32), np.empty(0), np.empty(0), [])
    every = [none, *parts]
    return Trained(
        np.concatenate([part.proba for part in every]),
        np.concatenate([part.gap for part in every]),
        np.concatenate([part.l2 for part in every]),
        [why for part in every for why in part.reason],
    )


def train(
    runs: Sequence[Run],
    weak_proba: Array,
    label: Array,
    *,
    strong: tuple[Array, Array],
    weak: tuple[Array, Array],
    fit: Fit,
) -> Trained:
    """Train all runs, those on the same activations as one problem, and predict the test points.

    Args:
        runs: The trainings.
        weak_proba: Weak labels of the training pool, (n,).
        label: True labels of the training pool, (n,).
        strong: Strong activations of the training pool (n, d) and of the test points (n_test, d).
        weak: The same from the weak model, for `same_capacity`.
        fit: How the probes of a matrix are fitted.
    """
    proba = np.full((len(runs), len(strong[1])), np.nan, dtype=np.float32)
    gap, l2 = np.full((2, len(runs)), np.nan)
    reason = [run.mix.reason for run in runs]
    for on_weak, (x, x_test) in ((False, strong), (True, weak)):
        numbers = [
            i for i, run in enumerate(runs) if run.weak_activations == on_weak and not reason[i]
        ]
        if not numbers:
            continue
        targets = [targets_of(runs[i].labels, weak_proba, label) for i in numbers]
        found = train_on(x, x_test, targets, [runs[i].mix.rows for i in numbers], fit=fit)
        proba[numbers], gap[numbers], l2[numbers] = found.proba, found.gap, found.l2
        for i, why in zip(numbers, found.reason, strict=True):
            reason[i] = why
    return Trained(proba, gap, l2, reason)


def targets_of(labels: Labels, weak_proba: Array, label: Array) -> Array:
    """The labels of the pool that a run is trained on, float64 (n,); a hard 1/2 stays 1/2."""
    if labels == "true":
        return label.astype(np.float64)
    hard: Array = (np.sign(weak_proba - 0.5) + 1) / 2
    return weak_proba if labels == "soft" else hard


def train_on(
    x: Array, x_test: Array, targets: Sequence[Array], rows: Sequence[Array], *, fit: Fit
) -> Trained:
    """Train runs on one activation matrix as one problem, and predict the test points.

    Args:
        x: Activations of the pool, (n, d).
        x_test: Activations of the test points, (n_test, d).
        targets: Labels of the pool for each run, each (n,).
        rows: Training rows of each run.
        fit: How the probes are fitted.
    """
    weights = np.zeros((len(x), len(rows)))
    for column, mine in enumerate(rows):
        weights[mine, column] = 1
    probes = fit(x, np.stack(targets, axis=1), weights)
    proba = probes.predict_proba(x_test).T.astype(np.float32)
    return Trained(proba, probes.gap, probes.l2, list(probes.reason))


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


def _matrices(
    activations: Artifact, layer: int, pool: Artifact, test: Artifact
) -> tuple[Array, Array]:
    """Activations of the training pool and of the test points, rows matched by id."""
    x, ids = layer_of(activations, layer), activations["id"]
    pool_rows, test_rows = (rows_of(part["id"], ids, what="activations") for part in (pool, test))
    return x[pool_rows], x[test_rows]


def described(runs: Sequence[Run], trained: Trained, pool: Pool) -> dict[str, Array]:
    """Columns of the `runs` artifact."""
    targets = {
        labels: targets_of(labels, pool.weak_proba, pool.label) for labels in get_args(Labels)
    }
    scores = [
        label_scores(targets[run.labels][run.mix.rows], pool.label[run.mix.rows]) for run in runs
    ]
    return run_columns(
        scores,
        control=[run.control for run in runs],
        proportion=[run.mix.proportion for run in runs],
        repeat=[run.mix.repeat for run in runs],
        restart=[run.restart for run in runs],
        n_train=[len(run.mix.rows) for run in runs],
        gap=trained.gap,
        l2=trained.l2,
        reason=trained.reason,
    )


def run_columns(scores: Sequence[tuple[float, float, float]], **given: Any) -> dict[str, Array]:
    """Columns of the `runs` artifact; of what is not given a run has none.

    Args:
        scores: Scores of the labels that each of n runs was trained on, as `LABEL_SCORES`.
        given: Other columns by name, n values each; control, n_train and reason at least.
    """
    n = len(scores)
    columns = {"run": range(n), "repeat": 0, "restart": 0, **dict.fromkeys(NONE, np.nan), **given}
    columns |= dict(zip(LABEL_SCORES, np.array(scores).T, strict=True))
    dtypes = {
        name: object if spec.dtype == "str" else spec.dtype for name, spec in RUNS.arrays.items()
    }
    return {name: np.full(n, columns[name], dtype=dtype) for name, dtype in dtypes.items()}
