"""Stage `finetune_strong`: the strong model itself, trained on true, weak and own labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from w2s.checks import Array, rows_of
from w2s.files.artifacts import Artifact
from w2s.files.inputs import same_job
from w2s.finetuning.track import FinetuneStrongSettings
from w2s.finetuning.weak import Task, Trained, Trainer, training_artifact
from w2s.models.cards import own_card
from w2s.models.source import parse_source
from w2s.models.track import JobRuntime
from w2s.overlap.strong import run_columns
from w2s.results.metrics import label_scores


def finetune_strong(
    weak_labels: Artifact,
    tokens: Artifact,
    model: str,
    *,
    settings: FinetuneStrongSettings,
    runtime: JobRuntime,
    work: Path | None,
) -> dict[str, Artifact]:
    """Ceiling, w2s with every loss, and self-training: test predictions of each.

    Every training begins with the model as it was pretrained. Self-training takes the probabilities
    that the training before it gives to its own training points.
    """
    same_job(weak_labels=weak_labels, tokens=tokens)
    source = parse_source(model, trust_remote_code=settings.trust_remote_code)
    dataset, seed = tokens.facts["dataset"], weak_labels.facts["seed"]
    with own_card(runtime.device, every=runtime.device_map is not None) as device:
        here = runtime.model_copy(update={"device": device})
        trainer = Trainer(source, tokens, settings, here, work, seed)
        trained = list(_trainings(trainer, weak_labels, settings))
    pool = weak_labels.where(weak_labels["part"] == "strong_train")
    test = weak_labels["part"] == "test"
    names = {"dataset": dataset, "weak": settings.weak, "strong": settings.strong, "seed": seed}
    runs = _runs(trained, pool["label"])
    predictions = {
        "id": weak_labels["id"][test],
        "run": runs["run"],
        "proba": np.stack([item.proba[len(pool) :] for item in trained]),
    }
    facts = {"dataset": dataset, "seed": seed, "model": trainer.model}
    return {
        "runs": Artifact("runs", runs, names | {"status": "ok", "reason": ""}),
        "predictions": Artifact("predictions", predictions, names),
        "training": training_artifact(trained, facts),
    }


def _trainings(
    trainer: Trainer, weak_labels: Artifact, settings: FinetuneStrongSettings
) -> Iterator[Trained]:
    """All trainings, each with predictions of strong_train and then of test."""
    place = rows_of(weak_labels["id"], trainer.tokens["id"], what="tokens")
    pool, val, test = (weak_labels["part"] == name for name in ("strong_train", "val", "test"))
    wanted = np.concatenate([place[pool], place[test]])
    true, weak = (weak_labels[name].astype(np.float64) for name in ("label", "weak_proba"))
    own = weak if settings.recipe.val_labels == "own" else true
    rows = {"rows": place[pool], "val_rows": place[val]}
    ceiling = Task("ceiling", "xent", labels=true[pool], val_labels=true[val], **rows)
    yield trainer.train(ceiling, wanted)
    decided = own[val] != 0.5  # a label of exactly 1/2 is of no class
    seen = {
        "rows": place[pool],
        "val_rows": place[val][decided],
        "val_labels": (own[val][decided] > 0.5).astype(np.int8),
    }
    why = weak_labels.facts["reason"]
    labels, reason = weak[pool], why
    for number, loss in enumerate(settings.losses):
        task = Task(loss, loss, labels=weak[pool], **seen)
        trained = _failed(task, wanted, why) if why else (
            trainer.train(task, wanted, settings.auxiliary)
        )  # fmt: skip
        if number == 0:
            labels, reason = trained.proba[: pool.sum()].astype(np.float64), trained.reason
        yield trained
    for number in range(1, settings.self_training + 1):
        task = Task(f"s2s_{number}", "xent", labels=labels, **seen)
        trained = _failed(task, wanted, reason) if reason else trainer.train(task, wanted)
        labels, reason = trained.proba[: pool.sum()].astype(np.float64), trained.reason
        yield trained


def _failed(task: Task, wanted: Array, why: str) -> Trained:
    return Trained(task, np.full(len(wanted), np.nan, np.float32), reason=why)


def _runs(trained: list[Trained], label: Array) -> dict[str, Array]:
    """Columns of the runs."""
    unknown = (np.nan, np.nan, np.nan)
    scores = [
        unknown if np.isnan(item.task.labels).any() else label_scores(item.task.labels, label)
        for item in trained
    ]
    return run_columns(
        scores,
        control=[item.task.control for item in trained],
        n_train=[len(item.task.rows) for item in trained],
        reason=[item.reason for item in trained],
    )
