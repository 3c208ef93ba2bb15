"""Stage `gain_predictors`: the gain of one dataset, pair and seed, and what may tell it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError, DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, same_job
from w2s.gain import representations
from w2s.gain.predictors import jensen_shannon, kappa, misfit, misfit_kl, on_truth
from w2s.gain.representations import Principal, principal
from w2s.gain.track import MEASURES, GainPredictorsSettings
from w2s.overlap.strong import targets_of
from w2s.results.metrics import MODELS, accuracy, correct_rows, pgr


@dataclass(frozen=True)
class Spine:
    """What the models of a dataset, pair and seed say of its test part.

    Attributes:
        test: Ids and labels of the test points, n rows of the weak labels.
        proba: P(label = 1) by floor, w2s and ceiling, each float32 (n,); NaN where there is none.
        reason: Why there is none, by model; "" where there is.
    """

    test: Artifact
    proba: Mapping[str, Array]
    reason: Mapping[str, str]


def spine_of(weak_labels: Artifact, runs: Artifact, predictions: Artifact) -> Spine:
    """Floor, w2s and ceiling of the spine, rows matched by id.

    Raises:
        ArtifactError: artifacts of different jobs, or no run of a model.
    """
    same_job(weak_labels=weak_labels, runs=runs, predictions=predictions)
    test = weak_labels.where(weak_labels["part"] == "test")
    order = rows_of(test["id"], predictions["id"], what="predictions")
    reason = {"floor": weak_labels.facts["reason"]}
    floor = test["weak_proba"]
    proba = {"floor": np.full_like(floor, np.nan) if reason["floor"] else floor}
    for name in MODELS[1:]:
        found = np.flatnonzero(runs["control"] == name)
        if len(found) != 1:
            raise ArtifactError(f"runs: found {len(found)} runs of {name}, expected one")
        (row,) = np.flatnonzero(predictions["run"] == runs["run"][found[0]])
        proba[name] = predictions["proba"][row][order]
        reason[name] = runs["reason"][found[0]]
    return Spine(test, proba, reason)


def gain_predictors(
    weak_labels: Artifact,
    runs: Artifact,
    predictions: Artifact,
    weak_activations: Artifact,
    strong_activations: Artifact,
    *,
    settings: GainPredictorsSettings,
) -> dict[str, Artifact]:
    """Predictors of predictions on the test part, those of vectors on strong_train.

    What is undefined is NaN, and the reason names it.
    """
    same_job(
        weak_labels=weak_labels,
        runs=runs,
        weak_activations=weak_activations,
        strong_activations=strong_activations,
    )
    spine = spine_of(weak_labels, runs, predictions)
    pool = weak_labels.where(weak_labels["part"] == "strong_train")
    sides = (weak_activations, settings.weak_layer), (strong_activations, settings.strong_layer)
    vectors = [
        layer_of(item, layer)[rows_of(pool["id"], item["id"], what="activations")]
        for item, layer in sides
    ]
    found, told = of_predictions(spine)
    try:
        weak, strong = (_components(x, name) for x, name in zip(vectors, ROLES, strict=True))
        y = targets_of("hard", pool["weak_proba"].astype(np.float64), pool["label"])
        found |= of_vectors(weak, strong, None if spine.reason["floor"] else y)
    except DegenerateError as error:
        told.append(str(error))
    values = {name: np.array([found.get(name, math.nan)]) for name in MEASURES if name != "reason"}
    reason = np.array(["; ".join(dict.fromkeys(told))], dtype=object)
    facts = {name: runs.facts[name] for name in ("dataset", "weak", "strong", "seed")}
    return {"gain": Artifact("gain_predictors", {**values, "reason": reason}, facts)}


ROLES = ("weak", "strong")


def _components(x: Array, role: str) -> Principal:
    try:
        return principal(x)
    except DegenerateError as error:
        raise DegenerateError(f"{role} activations: {error}") from None


def of_predictions(spine: Spine) -> tuple[dict[str, float], list[str]]:
    """Accuracies, gain, PGR and what compares predictions, and why some of them are missing."""
    label, proba = spine.test["label"], spine.proba
    told = [f"{name}: {why}" for name, why in spine.reason.items() if why]
    found = {name: accuracy(proba[name], label) for name in MODELS}
    found["gain"] = found["w2s"] - found["floor"]
    found["gap"] = found["ceiling"] - found["floor"]
    found["pgr"] = pgr(*(found[name] for name in MODELS))
    if found["gap"] <= 0:
        told.append(f"pgr: ceiling - floor = {found['gap']:.3f} is not above 0")
    if math.isfinite(found["gain"]):
        both = proba["w2s"], proba["floor"]
        found |= {"misfit": misfit(*both), "misfit_kl": misfit_kl(*both)}
        found["jsd"] = jensen_shannon(*both)
    if math.isfinite(found["gap"]):
        both = proba["floor"], proba["ceiling"]
        found["kappa_p"] = kappa(*(on_truth(p, label) for p in both))
        found["error_consistency"] = kappa(*(correct_rows(p, label) for p in both))
        if math.isnan(found["error_consistency"]):
            told.append("error_consistency: both models are always right, or always wrong")
    return found, told


def of_vectors(weak: Principal, strong: Principal, y: Array | None) -> dict[str, float]:
    """What compares vectors; without the residual where there are no weak labels `y` (n,)."""
    dims = [float(representations.intrinsic_dimension(side)) for side in (weak, strong)]
    shared = representations.shared_dimension(weak, strong)
    found = {
        "residual_norm": representations.residual_norm(weak, strong),
        "cka": representations.linear_cka(weak, strong),
        "dim_weak": dims[0],
        "dim_strong": dims[1],
        "dim_shared": shared,
        "dim_apart": dims[0] - shared,
    }
    if y is not None:
        found["residual"] = representations.projected_residual(weak, strong, y)
    return found
