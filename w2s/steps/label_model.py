"""Stage `label_model`: the label model's probabilities for points it was not fitted on."""

from __future__ import annotations

import logging

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import rows_of
from w2s.errors import DegenerateError
from w2s.methods.label_models import LABEL_MODELS, SETTLED, mean_coverage
from w2s.settings import LabelModelSettings
from w2s.steps.inputs import parts_of, same_job

log = logging.getLogger(__name__)


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
    proba, why = np.full((~train).sum(), 0.5), ""
    covered = mean_coverage(votes[train])
    if settings.label_model == "snorkel" and covered < SETTLED:
        log.warning(
            "label_model %s: labeling functions vote on %s of the texts on average; below %s "
            "Snorkel's label model depends on its seed",
            examples.facts["dataset"], f"{covered:.1%}", f"{SETTLED:.0%}",
        )  # fmt: skip
    try:
        fitted = LABEL_MODELS[settings.label_model](votes[train], seed=seed)
        proba = fitted.predict_proba(votes[~train])
    except DegenerateError as error:
        why = str(error)
    arrays = {
        "id": examples["id"][~train],
        "part": part[~train],
        "label": examples["label"][~train],
        "dataset": np.full((~train).sum(), examples.facts["dataset"], dtype=object),
        "weak_proba": proba.astype(np.float32),
    }
    facts = {"dataset": examples.facts["dataset"], "seed": seed, "n_train": int(train.sum())}
    facts |= {"gap": None, "l2": None, "model": settings.label_model}
    facts |= {"status": "degenerate" if why else "ok", "reason": why}
    return {"weak_labels": Artifact("weak_labels", arrays, facts)}
