"""Stage `student`: every training of a student on a label model's labels, and its regions."""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.methods.columns import Fit
from w2s.methods.training import train, whole_pool_runs
from w2s.rng import stream
from w2s.settings import StudentSettings
from w2s.steps.inputs import layer_of, same_job
from w2s.steps.overlap import regions_of
from w2s.steps.probe import fitter
from w2s.steps.strong import described, mixing_of


def student(
    weak_labels: Artifact, activations: Artifact, *, settings: StudentSettings
) -> dict[str, Artifact]:
    """Regions, ceiling, w2s, all mixes and controls.

    The regions of a perceptron come from its own last hidden layer, after it was trained on all
    labels of the label model; those of a probe from the activations. Perceptrons train on hard
    labels, probes on soft ones.
    """
    same_job(weak_labels=weak_labels, activations=activations)
    points = weak_labels.where(np.isin(weak_labels["part"], ("strong_train", "test")))
    rows = rows_of(points["id"], activations["id"], what="activations")
    x = layer_of(activations, settings.layer)[rows]
    pooled = points["part"] == "strong_train"
    pool, test = points.where(pooled), points.where(~pooled)
    proba, label = pool["weak_proba"].astype(np.float64), pool["label"]
    dataset, seed = weak_labels.facts["dataset"], weak_labels.facts["seed"]
    seen, told = _seen(x, points, pooled, settings, seed)
    regions = regions_of(told, seen, pooled, settings.overlap, dataset=dataset, seed=seed)
    region = regions["region"][pooled]
    runs = whole_pool_runs(len(pool), weak_labels.facts["reason"])
    # a label model has no activations, so there is no student of its own capacity
    controls = tuple(name for name in settings.mixing.controls if name != "same_capacity")
    mixing = settings.mixing.model_copy(update={"controls": controls})
    runs += mixing_of(region, proba, label, regions.facts, mixing)
    matrices = x[pooled], x[~pooled]
    trained = train(
        runs, proba, label, strong=matrices, weak=matrices, fit=_fit(settings, dataset, seed)
    )
    facts = {"dataset": dataset, "weak": settings.weak, "strong": settings.strong, "seed": seed}
    status = {key: regions.facts[key] for key in ("status", "reason")}
    arrays = described(runs, trained, (proba >= 0.5) == (label == 1))
    predictions = {"id": test["id"], "run": arrays["run"], "proba": trained.proba}
    return {
        "regions": regions,
        "runs": Artifact("runs", arrays, facts | status),
        "predictions": Artifact("predictions", predictions, facts),
    }


def _fit(settings: StudentSettings, dataset: str, seed: int) -> Fit:
    if settings.strong == "probe":
        return fitter(settings.probe, stream(seed, "folds", dataset, "student"))
    from w2s.models.mlp import fit_mlps

    return lambda x, targets, weights: fit_mlps(x, targets, weights, seed=seed)


def _seen(
    x: Array, points: Artifact, pooled: Array, settings: StudentSettings, seed: int
) -> tuple[Array, Artifact]:
    """What similarities are taken on: the activations, or a perceptron's last hidden layer.

    Where all labels of the label model are equal no perceptron can be trained: then its regions are
    degenerate, and the points say so.
    """
    if settings.strong == "probe" or points.facts["reason"]:
        return x, points
    from w2s.models.mlp import fit_mlps

    network = fit_mlps(x[pooled], points["weak_proba"][pooled].astype(np.float64), seed=seed)
    if network.reason[0]:
        facts = {**points.facts, "status": "degenerate", "reason": f"mlp: {network.reason[0]}"}
        return x, Artifact(points.kind, points.arrays, facts)
    return network.hidden(x), points
