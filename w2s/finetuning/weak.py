"""What the stages of fine-tuning share: one training from a fresh model to its predictions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import parts_of, same_job
from w2s.files.resume import Checkpoint
from w2s.finetuning.classifier import Classifier, adapted, adapters_of
from w2s.finetuning.losses import Loss
from w2s.finetuning.track import AuxiliaryConfig, FinetuneWeakSettings, LossName
from w2s.finetuning.training import Lesson, Look, Plan, Training
from w2s.models.cards import own_card
from w2s.models.encoder import check_tokens
from w2s.models.loader import load_encoder
from w2s.models.source import Source, describe, parse_source
from w2s.models.track import JobRuntime
from w2s.overlap.weak_labels import said
from w2s.progress import bar
from w2s.results.outcome import table


@dataclass(frozen=True)
class Task:
    """One training.

    Attributes:
        control: Its name in the tables: floor, ceiling, a loss, s2s_1, ...
        loss: Name of the loss.
        rows: Positions of the training texts, (n,).
        labels: P(label = 1) of each, (n,).
        val_rows: Positions of the texts of val, (m,).
        val_labels: 0 or 1, (m,).
    """

    control: str
    loss: LossName
    rows: Array
    labels: Array
    val_rows: Array
    val_labels: Array

    @property
    def lacking(self) -> str:
        """Why nothing can be learned, "" if something can."""
        if not len(self.rows):
            return "no training points"
        sides = np.unique(self.labels >= 0.5)
        return f"all {len(self.rows)} training labels are {int(sides[0])}" if len(sides) < 2 else ""


@dataclass(frozen=True)
class Trained:
    """What a training gave.

    Attributes:
        task: The training.
        proba: P(label = 1) of the texts asked for, float32, NaN where it failed.
        looks: Its looks at val.
        kept: Which of them gave the predictions.
        trainable: How many numbers were trained.
        adapters: Ranks of adapters, as `adapters_of` gives them.
        reason: Why it failed, "" if it did not.
    """

    task: Task
    proba: Array
    looks: Sequence[Look] = ()
    kept: int = 0
    trainable: int = 0
    adapters: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Trainer:
    """Trains a model anew for each task.

    Attributes:
        source: The model.
        tokens: Its tokens of the dataset.
        settings: How.
        runtime: Device and batches.
        work: Folder for unfinished trainings and the predictions of finished ones; None to keep
            nothing.
        seed: Of the halves, and of all draws.
    """

    source: Source
    tokens: Artifact
    settings: FinetuneWeakSettings
    runtime: JobRuntime
    work: Path | None
    seed: int

    @cached_property
    def model(self) -> dict[str, str]:
        """What an artifact says of the model; the hashes of its weights are taken once."""
        return describe(self.source)

    def train(self, task: Task, wanted: Array, auxiliary: AuxiliaryConfig | None = None) -> Trained:
        """Train, and predict the texts at some positions; a failure is told as an outcome."""
        if task.lacking:
            return Trained(task, np.full(len(wanted), np.nan, np.float32), reason=task.lacking)
        keeper = self._keeper(task.control)
        finished = None if keeper is None else _finished(task, keeper)
        if finished is not None:
            return finished
        try:
            classifier, training = self._run(task, keeper, auxiliary)
            proba = classifier.predict(self._texts(wanted), batch_tokens=self.runtime.batch_tokens)
            if not np.isfinite(proba).all():
                raise DegenerateError("training: predictions are not finite")
        except DegenerateError as error:
            return Trained(task, np.full(len(wanted), np.nan, np.float32), reason=str(error))
        trainable = sum(parameter.numel() for parameter in classifier.trained.values())
        adapters = adapters_of(classifier.trained)
        trained = Trained(task, proba, training.looks, training.kept, trainable, adapters)
        if keeper is not None:
            facts = {"looks": [vars(look) for look in trained.looks], "kept": trained.kept}
            facts |= {"trainable": trainable, "adapters": adapters}
            keeper.save({"proba": proba}, facts)
        return trained

    def _run(
        self, task: Task, keeper: Checkpoint | None, auxiliary: AuxiliaryConfig | None
    ) -> tuple[Classifier, Training]:
        settings, dataset = self.settings, self.tokens.facts["dataset"]
        name = f"fine-tuning {dataset}, {task.control}"
        classifier = self._classifier(f"{dataset} {task.control}")
        lesson = Lesson(
            self._texts(task.rows), task.labels, self._texts(task.val_rows), task.val_labels
        )
        plan = Plan(settings.recipe, self.seed, name, self.runtime.batch_tokens)
        loss = Loss(task.loss, task.labels, options=auxiliary or AuxiliaryConfig())
        training = Training(classifier, lesson, plan, loss)
        with bar(name, training.steps, "steps") as advance:
            training.run(keeper, advance)
        return classifier, training

    def _classifier(self, name: str) -> Classifier:
        settings = self.settings
        whole = settings.recipe.method == "full"  # weights that are trained need all their bits
        encoder = load_encoder(
            self.source,
            num_layers=settings.num_layers,
            dtype="float32" if whole else settings.dtype,
            device=self.runtime.device,
            device_map=self.runtime.device_map,
        )
        check_tokens(encoder, self.tokens["start"], self.tokens["token"])
        adapted(encoder, settings.recipe, seed=self.seed, name=name)
        return Classifier(encoder, pooling=settings.pooling, dtype=settings.dtype)

    def _texts(self, rows: Array) -> list[Array]:
        start, token = self.tokens["start"], self.tokens["token"]
        return [token[start[i] : start[i + 1]] for i in rows]

    def _keeper(self, control: str) -> Checkpoint | None:
        if self.work is None:
            return None
        identity = [self.model, self.runtime.device.partition(":")[0]]
        path = self.work / f"{control}.safetensors"
        return Checkpoint(path, json.dumps(identity, sort_keys=True))


def _finished(task: Task, keeper: Checkpoint) -> Trained | None:
    """What an earlier process was given by the whole training; None where it did not end."""
    state = keeper.load()
    if state is None or "trainable" not in state[1]:
        return None
    arrays, facts = state
    looks = [Look(**look) for look in facts["looks"]]
    told = facts["kept"], facts["trainable"], facts.get("adapters", {})
    return Trained(task, arrays["proba"], looks, *told)


def training_artifact(trained: Sequence[Trained], facts: dict[str, Any]) -> Artifact:
    """How trainings went, a row for each look."""
    rows = [
        {"control": item.task.control, **vars(look), "kept": k == item.kept}
        for item in trained
        for k, look in enumerate(item.looks)
    ]
    trainable = max((item.trainable for item in trained), default=0)
    adapters = next((dict(item.adapters) for item in trained if item.adapters), {})
    arrays = table("training", rows).arrays
    return Artifact("training", arrays, {**facts, "trainable": trainable, "adapters": adapters})


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
    points = {
        "id": examples["id"][~train],
        "part": part[~train],
        "label": label[~train],
        "dataset": np.full((~train).sum(), dataset, dtype=object),
    }
    facts = {"dataset": dataset, "seed": seed}
    told = {"n_train": int(train.sum()), "gap": None, "l2": None, "model": settings.recipe.method}
    proba = None if why else trained.proba
    return {
        "weak_labels": said(points, proba, facts=facts | told, why=why),
        "training": training_artifact([trained], {**facts, "model": trainer.model}),
    }
