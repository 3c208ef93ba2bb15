"""Stage `student`: every training of a student on a label model's labels, and its regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from w2s.checks import Array, rows_of
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, same_job
from w2s.overlap.controls import Pool, Run, runs_of
from w2s.overlap.detect import regions_of
from w2s.overlap.strong import Trained, described, joined, targets_of, train
from w2s.overlap.weak_labels import fitter
from w2s.rng import stream
from w2s.weak_supervision.track import StudentSettings

if TYPE_CHECKING:
    from w2s.weak_supervision.mlp import MLPs
NOT_HERE = ("same_capacity", "brier_matched")  # of a label model; of hard labels


def student(
    weak_labels: Artifact, activations: Artifact, *, settings: StudentSettings
) -> dict[str, Artifact]:
    """Regions, ceiling, w2s, all mixes and controls.

    The regions of perceptrons come from the last hidden layers of the networks of w2s, side by
    side; those of a probe from the activations. Perceptrons train on hard labels, without points
    whose label is exactly 1/2, and each training has `restarts` starting points; probes train on
    soft labels.
    """
    same_job(weak_labels=weak_labels, activations=activations)
    points = weak_labels.where(np.isin(weak_labels["part"], ("strong_train", "test")))
    rows = rows_of(points["id"], activations["id"], what="activations")
    x = layer_of(activations, settings.layer)[rows]
    pooled = points["part"] == "strong_train"
    dataset, seed = weak_labels.facts["dataset"], weak_labels.facts["seed"]
    pool = Pool(
        np.full(int(pooled.sum()), "undefined", dtype=object),
        points["weak_proba"][pooled].astype(np.float64),
        points["label"][pooled],
        hard_labels=settings.strong == "mlp",
    )
    networks = _networks(x[pooled], pool, settings, seed) if pool.hard_labels else []
    seen, told = _seen(x, points, networks)
    regions = regions_of(told, seen, pooled, settings.overlap, dataset=dataset, seed=seed)
    pool = replace(pool, region=regions["region"][pooled])
    # a label model has no activations, so there is no student of its own capacity
    left_out = NOT_HERE if pool.hard_labels else NOT_HERE[:1]
    controls = tuple(name for name in settings.mixing.controls if name not in left_out)
    mixing = settings.mixing.model_copy(update={"controls": controls})
    runs = runs_of(pool, weak_labels.facts["reason"], regions.facts, mixing)
    if networks:
        runs, trained = _restarts(runs, pool, x[pooled], x[~pooled], networks, seed)
    else:
        fit = fitter(settings.probe, stream(seed, "folds", dataset, "student"))
        sides = x[pooled], x[~pooled]
        trained = train(runs, pool.weak_proba, pool.label, strong=sides, weak=sides, fit=fit)
    facts = {"dataset": dataset, "weak": settings.weak, "strong": settings.strong, "seed": seed}
    status = {key: regions.facts[key] for key in ("status", "reason")}
    arrays = described(runs, trained, pool)
    predictions = {"id": points["id"][~pooled], "run": arrays["run"], "proba": trained.proba}
    return {
        "regions": regions,
        "runs": Artifact("runs", arrays, facts | status),
        "predictions": Artifact("predictions", predictions, facts),
    }


def _networks(x: Array, pool: Pool, settings: StudentSettings, seed: int) -> list[MLPs]:
    """w2s of each restart: networks on all labels of the label model."""
    from w2s.weak_supervision.mlp import fit_mlps

    target = targets_of("hard", pool.weak_proba, pool.label)
    return [
        fit_mlps(x, target[:, None], seed=seed, restart=number)
        for number in range(settings.restarts)
    ]


def _restarts(
    runs: Sequence[Run], pool: Pool, x: Array, x_test: Array, networks: list[MLPs], seed: int
) -> tuple[list[Run], Trained]:
    """All runs from every starting point, w2s being the networks that gave the regions."""
    from w2s.weak_supervision.mlp import fit_mlps

    def fit(x: Array, targets: Array, weights: Array) -> MLPs:
        return fit_mlps(x, targets, weights, seed=seed, restart=number)

    others = [run for run in runs if run.control != "w2s"]
    w2s = [run for run in runs if run.control == "w2s"]
    every: list[Run] = []
    parts: list[Trained] = []
    for number, network in enumerate(networks):
        every += [replace(run, restart=number) for run in (*w2s, *others)]
        proba = network.predict_proba(x_test).T.astype(np.float32)
        why = [w2s[0].mix.reason or network.reason[0]]
        parts.append(Trained(proba, network.gap, network.l2, why))
        sides = x, x_test
        parts.append(train(others, pool.weak_proba, pool.label, strong=sides, weak=sides, fit=fit))
    return every, joined(parts, len(x_test))


def _seen(x: Array, points: Artifact, networks: list[MLPs]) -> tuple[Array, Artifact]:
    """What similarities are taken on: the activations, or the last hidden layers of networks.

    Where all labels of the label model are equal no perceptron can be trained: then its regions are
    degenerate, and the points say so.
    """
    if not networks or points.facts["reason"]:
        return x, points
    if why := networks[0].reason[0]:
        facts = {**points.facts, "status": "degenerate", "reason": f"mlp: {why}"}
        return x, Artifact(points.kind, points.arrays, facts)
    return np.concatenate([network.hidden(x) for network in networks], axis=1), points
