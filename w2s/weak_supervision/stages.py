"""Stages of weak supervision before its students: votes, features, and what a label model says."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from w2s.checks import Array, rows_of
from w2s.data.wrench import PARTS, read_wrench
from w2s.errors import DataError, DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import parts_of, same_job
from w2s.overlap.weak_labels import said
from w2s.progress import bar
from w2s.weak_supervision.label_models import FITS, SETTLED, mean_coverage
from w2s.weak_supervision.labeling_functions import beginning
from w2s.weak_supervision.labeling_functions import label_matrix as votes_of
from w2s.weak_supervision.track import (
    LabelMatrixSettings,
    LabelModelSettings,
    WrenchFeaturesSettings,
    WrenchVotesSettings,
)

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
