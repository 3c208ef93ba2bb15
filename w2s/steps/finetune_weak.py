"""Stage `finetune_weak`: the weak model itself, trained on weak_train, labels the other points."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import rows_of
from w2s.config_spine import JobRuntime
from w2s.models.cards import own_card
from w2s.models.source import parse_source
from w2s.settings import FinetuneWeakSettings
from w2s.steps.finetune import Task, Trainer, training_artifact
from w2s.steps.inputs import parts_of, same_job


def finetune_weak(
    examples: Artifact,
    split: Artifact,
    tokens: Artifact,
    model: str,
    *,
    settings: FinetuneWeakSettings,
    runtime: JobRuntime,
    work: Path | None,
) -> dict[str, Artifact]:
    """Train on weak_train (true labels, cross-entropy); predict strong_train, val and test.

    A model that cannot be trained, as on a half of one class, says 1/2, and the facts say why.
    """
    same_job(examples=examples, split=split, tokens=tokens)
    part, label = parts_of(examples, split), examples["label"]
    place = rows_of(examples["id"], tokens["id"], what="tokens")
    train, val = part == "weak_train", part == "val"
    labels = label[train].astype(np.float64)
    task = Task("floor", "xent", place[train], labels, place[val], label[val])
    source = parse_source(model, trust_remote_code=settings.trust_remote_code)
    dataset, seed = examples.facts["dataset"], split.facts["seed"]
    with own_card(runtime.device, every=runtime.device_map is not None) as device:
        here = runtime.model_copy(update={"device": device})
        trainer = Trainer(source, tokens, settings, here, work, seed)
        trained = trainer.train(task, place[~train])
    why = f"weak model: {trained.reason}" if trained.reason else ""
    arrays = {
        "id": examples["id"][~train],
        "part": part[~train],
        "label": label[~train],
        "dataset": np.full((~train).sum(), dataset, dtype=object),
        "weak_proba": np.full_like(trained.proba, 0.5) if why else trained.proba,
    }
    facts = {"dataset": dataset, "seed": seed}
    status = {"status": "degenerate" if why else "ok", "reason": why}
    told = {"n_train": int(train.sum()), "gap": None, "l2": None, "model": settings.recipe.method}
    return {
        "weak_labels": Artifact("weak_labels", arrays, facts | told | status),
        "training": training_artifact([trained], {**facts, "model": trainer.model}),
    }
