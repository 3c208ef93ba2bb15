"""Stages of weak supervision: votes, features, what a label model says, and its students."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from w2s.checks import Array, rows_of
from w2s.data.wrench import PARTS, read_wrench
from w2s.errors import DataError, DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import layer_of, parts_of, same_job
from w2s.overlap.controls import Pool, Run, runs_of
from w2s.overlap.detect import regions_of
from w2s.overlap.strong import Trained, described, joined, targets_of, train
from w2s.overlap.weak_labels import fitter, said
from w2s.progress import bar
from w2s.rng import stream
from w2s.weak_supervision.label_models import FITS, SETTLED, mean_coverage
from w2s.weak_supervision.labeling_functions import beginning
from w2s.weak_supervision.labeling_functions import label_matrix as votes_of
from w2s.weak_supervision.track import (
    LabelMatrixSettings,
    LabelModelSettings,
    StudentSettings,
    WrenchFeaturesSettings,
    WrenchVotesSettings,
)

if TYPE_CHECKING:
    from w2s.probes.mlp import MLPs
log = logging.getLogger(__name__)


def label_matrix(examples: Artifact, *, settings: LabelMatrixSettings) -> dict[str, Artifact]:
    """Let every labeling function read every text; of long ones VADER reads the beginning."""
    texts, dataset = examples["text"], examples.facts["dataset"]
    with bar(f"labeling functions {dataset}", len(texts) * len(settings.lfs), "votes") as advance:
        votes = votes_of(texts, settings.lfs, mended=settings.lexicons == "mended", advance=advance)
    cut = sum(beginning(text) != text for text in texts) if "vader" in settings.lfs else 0
    facts = {"dataset": dataset, "lfs": list(settings.lfs), "cut": cut}
    return {"label_matrix": Artifact("label_matrix", {"id": examples["id"], "votes": votes}, facts)}


def label_model(
    examples: Artifact, split: Artifact, label_matrix: Artifact, *, settings: LabelModelSettings
) -> dict[str, Artifact]:
    """Fit on the votes of weak_train, without labels; predict strong_train, val and test.

    A label model that cannot be fitted, as with too few functions that vote or with votes for one
    class only, says 1/2, and the facts say why. Votes that are too rare for Snorkel's to be settled
    are told in the log.
    """
    same_job(examples=examples, split=split, label_matrix=label_matrix)
    part = parts_of(examples, split)
    votes = label_matrix["votes"][rows_of(examples["id"], label_matrix["id"], what="label_matrix")]
    train = part == "weak_train"
    seed = split.facts["seed"]
    proba, why = None, ""
    covered = mean_coverage(votes[train])
    if settings.label_model == "snorkel" and covered < SETTLED:
        log.warning(
            "label_model %s: labeling functions vote on %s of the texts on average; below %s "
            "Snorkel's label model depends on its seed",
            examples.facts["dataset"], f"{covered:.1%}", f"{SETTLED:.0%}",
        )  # fmt: skip
    try:
        fitted = FITS[settings.label_model](votes[train], seed=seed)
        proba = fitted.predict_proba(votes[~train])
    except DegenerateError as error:
        why = str(error)
    dataset = examples.facts["dataset"]
    points = {
        "id": examples["id"][~train],
        "part": part[~train],
        "label": examples["label"][~train],
        "dataset": np.full((~train).sum(), dataset, dtype=object),
    }
    facts = {"dataset": dataset, "seed": seed, "n_train": int(train.sum())}
    facts |= {"gap": None, "l2": None, "model": settings.label_model}
    return {"weak_labels": said(points, proba, facts=facts, why=why)}


def wrench_votes(
    examples: Artifact, source: Path, *, settings: WrenchVotesSettings
) -> dict[str, Artifact]:
    """The votes on every example, in the examples' order."""
    del settings
    votes = _in_order(examples, source, "votes")
    facts = {
        "dataset": examples.facts["dataset"],
        "lfs": [f"lf{j + 1}" for j in range(votes.shape[1])],
        "cut": 0,
    }
    arrays = {"id": examples["id"], "votes": votes}
    return {"label_matrix": Artifact("label_matrix", arrays, facts)}


def wrench_features(
    examples: Artifact, source: Path, *, settings: WrenchFeaturesSettings
) -> dict[str, Artifact]:
    """The features of every example, in the place of a model's last layer.

    They are standardised by mean and standard deviation over all examples, which needs no label, so
    that no column decides similarities and penalties by its unit.
    """
    del settings
    x = _in_order(examples, source, "features").astype(np.float64)
    spread = np.where(np.ptp(x, axis=0) > 0, x.std(axis=0), 1)
    x = ((x - x.mean(axis=0)) / spread).astype(np.float32)
    arrays = {"id": examples["id"], "layer_-1": x}
    facts = {
        "dataset": examples.facts["dataset"],
        "model": "features of the dataset, standardised",
        "storage": "float32",
        "loss": {"layer_-1": 0.0},
    }
    return {"activations": Artifact("activations", arrays, facts)}


def _in_order(examples: Artifact, source: Path, what: str) -> Array:
    """The rows of an array of the source, matched to the examples by their names.

    Args:
        examples: The examples of the dataset.
        source: Its train.json.
        what: `votes` or `features`.

    Raises:
        DataError: the source has none, or lacks a row.
    """
    found = read_wrench(source.parent)
    parts = [getattr(found, part) for part in PARTS]
    arrays = [getattr(part, what) for part in parts]
    if any(array is None for array in arrays):
        raise DataError(f"{source.parent}: found no {what}, expected some")
    names = [f"{word} {name}" for word, part in zip(PARTS, parts, strict=True) for name in part.ids]
    place = {name: i for i, name in enumerate(names)}
    if missing := [name for name in examples["source_id"] if name not in place]:
        raise DataError(f"{source.parent}: found no row '{missing[0]}', expected all the examples")
    rows: Array = np.concatenate(arrays)[[place[name] for name in examples["source_id"]]]
    return rows


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
    from w2s.probes.mlp import fit_mlps

    target = targets_of("hard", pool.weak_proba, pool.label)
    return [
        fit_mlps(x, target[:, None], seed=seed, restart=number)
        for number in range(settings.restarts)
    ]


def _restarts(
    runs: Sequence[Run], pool: Pool, x: Array, x_test: Array, networks: list[MLPs], seed: int
) -> tuple[list[Run], Trained]:
    """All runs from every starting point, w2s being the networks that gave the regions."""
    from w2s.probes.mlp import fit_mlps

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
