"""Stage `finetune_strong`: the strong model itself, trained on true, weak and own labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import same_job
from w2s.finetuning.track import FinetuneStrongSettings, TunedArm
from w2s.finetuning.weak import Task, Trained, Trainer, training_artifact
from w2s.models.cards import own_card
from w2s.models.source import parse_source
from w2s.models.track import JobRuntime
from w2s.overlap.draws import chosen, like
from w2s.overlap.strong import run_columns
from w2s.results.metrics import label_scores
from w2s.rng import stream


def finetune_strong(
    weak_labels: Artifact,
    tokens: Artifact,
    scores: Sequence[Artifact],
    model: str,
    *,
    settings: FinetuneStrongSettings,
    runtime: JobRuntime,
    work: Path | None,
) -> dict[str, Artifact]:
    """Ceiling, w2s with every loss, self-training, and arms: test predictions of each.

    Every training begins with the model as it was pretrained. Self-training takes the probabilities
    that the training before it gives to its own training points.
    """
    same_job(weak_labels=weak_labels, tokens=tokens)
    for mine in scores:  # none, or one of the pair's own
        same_job(weak_labels=weak_labels, scores=mine)
    source = parse_source(model, trust_remote_code=settings.trust_remote_code)
    dataset, seed = tokens.facts["dataset"], weak_labels.facts["seed"]
    with own_card(runtime.device, every=runtime.device_map is not None) as device:
        here = runtime.model_copy(update={"device": device})
        trainer = Trainer(source, tokens, settings, here, work, seed)
        trained = list(_trainings(trainer, weak_labels, scores, settings))
    pool = weak_labels.where(weak_labels["part"] == "strong_train")
    test = weak_labels["part"] == "test"
    names = {"dataset": dataset, "weak": settings.weak, "strong": settings.strong, "seed": seed}
    truth = np.zeros(len(tokens["id"]), dtype=np.int8)
    truth[rows_of(weak_labels["id"], tokens["id"], what="tokens")] = weak_labels["label"]
    runs = _runs(trained, truth)
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
    trainer: Trainer,
    weak_labels: Artifact,
    scores: Sequence[Artifact],
    settings: FinetuneStrongSettings,
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
    arms = _arms(weak_labels.where(pool), scores, settings.arms, trainer)
    for name, (chosen_rows, lacking) in arms.items():
        mine = {"rows": place[pool][chosen_rows], "labels": weak[pool][chosen_rows]}
        task, told = Task(name, "xent", **(seen | mine)), why or lacking
        yield _failed(task, wanted, told) if told else trainer.train(task, wanted)


def _arms(
    pool: Artifact, scores: Sequence[Artifact], arms: Sequence[TunedArm], trainer: Trainer
) -> dict[str, tuple[Array, str]]:
    """Rows of the pool of each arm and of random points beside it, and why it has none, by name.

    Scores are those of the probes' pool. As many of each label of the fine-tuned weak model are
    kept; points without one, or without scores, are in no arm.

    Raises:
        ArtifactError: no scores, or none of a selector.
    """
    found: dict[str, tuple[Array, str]] = {}
    for arm in arms:
        score = scores[0].arrays.get(f"score_{arm.selector}") if scores else None
        if score is None:
            raise ArtifactError(
                f"scores: found none of the selector {arm.selector}, expected those of `arms`"
            )
        why = scores[0].facts["reasons"].get(arm.selector, "")
        known = pool["weak_proba"][rows_of(scores[0]["id"], pool["id"], what="weak_labels")] != 0.5
        place = rows_of(scores[0]["id"][known], pool["id"], what="weak_labels")
        positive = pool["weak_proba"][place] > 0.5

        def streams(name: str) -> np.random.Generator:
            return stream(trainer.seed, "fine-tuned arms", pool.facts["dataset"], name)

        rows = drawn = np.empty(0, dtype=np.int64)
        if not why:
            rows = chosen(
                score[known], positive, budget=arm.budget, band=arm.band, balanced=True,
                rng=streams("ties"),
            )  # fmt: skip
            (drawn,) = like(rows, positive.astype(np.int64), 1, name="random", streams=streams)
        if found.get(arm.beside, (rows, "none yet"))[1]:
            found[arm.beside] = place[drawn], why
        found[arm.name] = place[rows], why
    return found


def _failed(task: Task, wanted: Array, why: str) -> Trained:
    return Trained(task, np.full(len(wanted), np.nan, np.float32), reason=why)


def _runs(trained: list[Trained], truth: Array) -> dict[str, Array]:
    """Columns of the runs; `truth` are the true labels of all texts with tokens."""
    unknown = (np.nan, np.nan, np.nan)
    scores = [
        unknown
        if np.isnan(item.task.labels).any()
        else label_scores(item.task.labels, truth[item.task.rows])
        for item in trained
    ]
    return run_columns(
        scores,
        control=[item.task.control for item in trained],
        n_train=[len(item.task.rows) for item in trained],
        reason=[item.reason for item in trained],
    )
