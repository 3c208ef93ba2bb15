"""Stage `label_noise`: noise planted in true labels, scores that look for it, and students."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, layer_of, same_job
from w2s.label_noise.plant import plant
from w2s.label_noise.track import LABEL_NOISE_RUNS, METHODS, LabelNoiseSettings
from w2s.overlap.strong import train_on
from w2s.overlap.weak_labels import fitter
from w2s.probes.columns import Fit
from w2s.probes.cross_fit import folds_of, others, own
from w2s.probes.label_quality import (
    confident_learning,
    graph_agreement,
    knn_agreement,
    self_confidence,
    topological,
)
from w2s.results.metrics import auroc
from w2s.rng import stream

Streams = Callable[..., np.random.Generator]


@dataclass(frozen=True)
class Noise:
    """One draw of noise.

    Attributes:
        kind: `uniform` or `confidence`.
        rate: Share of labels that are flipped.
        repeat: Number of the draw.
        flipped: Which labels are, bool (n,).
        reason: Why there is no such noise, "" if there is.
    """

    kind: str
    rate: float
    repeat: int
    flipped: Array
    reason: str = ""

    @property
    def name(self) -> tuple[str, str, str]:
        """What names its random streams."""
        return self.kind, f"rate={self.rate:g}", f"repeat={self.repeat}"


@dataclass(frozen=True)
class Training:
    """One training of the student.

    Attributes:
        noise: The noise in the labels; None for true labels.
        method: What scored the labels, "" where nothing did.
        use: `ceiling`, `noisy`, `filtered` or `relabelled`.
        rows: Training points.
        labels: Labels of the pool, of which those of `rows` are trained on, (n,).
        auroc: Of the score, for telling right labels from flipped ones.
        reason: Why there is no such training, "" if there is.
    """

    noise: Noise | None
    method: str
    use: str
    rows: Array
    labels: Array
    auroc: float = np.nan
    reason: str = ""


def label_noise(
    examples: Artifact,
    weak_labels: Artifact,
    activations: Artifact,
    *,
    settings: LabelNoiseSettings,
) -> dict[str, Artifact]:
    """Flip true labels of strong_train, score the labels, and train on what the scores leave.

    All students are one problem. The weak model says only where `confidence` plants its noise.
    """
    same_job(examples=examples, weak_labels=weak_labels, activations=activations)
    dataset, seed = weak_labels.facts["dataset"], weak_labels.facts["seed"]

    def streams(*names: str) -> np.random.Generator:
        return stream(seed, "label_noise", dataset, *names)

    layer = layer_of(activations, settings.layer)
    sides, groups = [], []
    for name in ("strong_train", "test"):
        part = weak_labels.where(weak_labels["part"] == name)
        rows = rows_of(part["id"], activations["id"], what="activations")
        sides.append((part, layer[rows].astype(np.float32)))
        groups.append(group_codes(examples["group"][rows_of(part["id"], examples["id"],
                                                            what="examples")]))  # fmt: skip
    (pool, x), (test, x_test) = sides
    noises = _noises(pool, weak_labels.facts["reason"], settings, streams)
    given = np.stack([_given(pool["label"], noise) for noise in noises], axis=1)
    fold = np.zeros(len(x), dtype=np.int64)  # of one group: nothing to learn from, told by probes
    if groups[0].max() > 0:
        fold = folds_of(groups[0], rng=streams("folds"))
    probe = settings.probe.model_copy(update={"kind": "logistic"})
    fit = fitter(probe, streams("out of fold"))
    scores = quality_scores(x, given, fold, neighbors=settings.neighbors, fit=fit)
    trainings = _trainings(pool["label"], noises, given, scores, streams)
    arrays, proba = _trained(
        trainings, pool["label"], x, x_test, fit=fitter(settings.probe, streams("students"))
    )
    facts = {"dataset": dataset, "weak": settings.weak, "strong": settings.strong, "seed": seed}
    found = {"id": test["id"], "label": test["label"], "group": groups[1]}
    found |= {"run": arrays["run"], "proba": proba}
    return {
        "runs": Artifact("label_noise_runs", arrays, facts),
        "predictions": Artifact("label_noise_predictions", found, facts),
    }


def _noises(
    pool: Artifact, reason: str, settings: LabelNoiseSettings, streams: Streams
) -> list[Noise]:
    """All draws; `reason` is why there are no weak labels that noise could follow."""
    found = []
    for kind in settings.kinds:
        for rate in settings.rates:
            for repeat in range(settings.repeats):
                rng = streams("noise", kind, f"rate={rate:g}", f"repeat={repeat}")
                flipped = plant(pool["weak_proba"], rate=rate, kind=kind, rng=rng)
                why = reason if kind == "confidence" else ""
                if not flipped.any():
                    why = f"found {len(flipped)} points, of which a share of {rate:g} is none"
                found.append(Noise(kind, rate, repeat, flipped, why))
    return found


def _given(label: Array, noise: Noise) -> Array:
    """The labels with the noise, (n,)."""
    return np.where(noise.flipped, 1 - label, label)


def quality_scores(
    x: Array, given: Array, fold: Array, *, neighbors: int, fit: Fit
) -> dict[str, tuple[Array, list[str]]]:
    """Scores of given labels by each method that knows no true label; higher is more likely right.

    Args:
        x: Activations, (n, d).
        given: Labels, 0 or 1, (n, b).
        fold: Number of each point's fold, (n,).
        neighbors: Neighbours of a point, for `knn` and `graph`.
        fit: How logistic probes are fitted.

    Returns:
        Scores (n, b) by method, NaN in columns that have none, and why, [b].
    """
    b = given.shape[1]
    proba, why = columns_out_of_fold(x, given, fold, fit=fit)
    found = {
        "logistic": (self_confidence(proba, given), why),
        "cleanlab": (confident_learning(proba, given), why),
    }
    graphs: dict[str, Callable[[], Array]] = {
        "knn": lambda: knn_agreement(x, given, k=neighbors),
        "topological": lambda: topological(x, given),
        "graph": lambda: graph_agreement(x, given, k=neighbors),
    }
    for name, score in graphs.items():
        try:
            found[name] = (score(), [""] * b)
        except DegenerateError as error:
            found[name] = (np.full(given.shape, np.nan), [str(error)] * b)
    return found


def columns_out_of_fold(
    x: Array, given: Array, fold: Array, *, fit: Fit
) -> tuple[Array, list[str]]:
    """P(y = 1) of each point by a probe trained on the given labels of the other folds.

    Args:
        x: Activations, (n, d).
        given: Labels, (n, b).
        fold: Number of each point's fold, from 0 on, (n,).
        fit: How the probes of all folds and columns are fitted, as one problem.

    Returns:
        Probabilities (n, b), NaN in columns where a fold has no probe, and why, [b].
    """
    (n, b), folds = given.shape, int(fold.max()) + 1
    weights = np.repeat(others(fold), b, axis=1)  # (n, folds * b)
    probes = fit(x, np.tile(given, (1, folds)).astype(np.float64), weights)
    proba = own(probes.predict_proba(x).reshape(n, folds, b), fold)  # (n, b)
    why = [next(filter(None, probes.reason[j::b]), "") for j in range(b)]
    proba[:, [bool(reason) for reason in why]] = np.nan
    return proba, why


def _trainings(
    label: Array,
    noises: Sequence[Noise],
    given: Array,
    scores: dict[str, tuple[Array, list[str]]],
    streams: Streams,
) -> list[Training]:
    """True labels; and of each noise the labels as they are, filtered and relabelled."""
    every = np.arange(len(label))
    found = [Training(None, "", "ceiling", every, label)]
    for j, noise in enumerate(noises):
        mine = given[:, j]
        found.append(Training(noise, "", "noisy", every, mine, reason=noise.reason))
        known = {name: (score[:, j], why[j]) for name, (score, why) in scores.items()}
        known["random"] = streams("random", *noise.name).random(len(label)), ""
        known["oracle"] = -noise.flipped.astype(np.float64), ""
        for method in METHODS:
            score, why = known[method]
            why = noise.reason or why
            order = np.lexsort((streams("ties", method, *noise.name).random(len(label)), score))
            doubted = np.zeros(len(label), dtype=bool)
            doubted[order[: noise.flipped.sum()]] = True
            area = np.nan if why else auroc(-score, noise.flipped)
            changed = np.where(doubted, 1 - mine, mine)
            kept = np.flatnonzero(~doubted)
            found.append(Training(noise, method, "filtered", kept, mine, area, why))
            found.append(Training(noise, method, "relabelled", every, changed, area, why))
    return found


def _trained(
    trainings: Sequence[Training], label: Array, x: Array, x_test: Array, *, fit: Fit
) -> tuple[dict[str, Array], Array]:
    """Columns of the runs, and their test predictions (runs, n_test)."""
    reason = [training.reason for training in trainings]
    proba = np.full((len(trainings), len(x_test)), np.nan, dtype=np.float32)
    gap = np.full(len(trainings), np.nan)
    numbers = [i for i, why in enumerate(reason) if not why]
    chosen = [trainings[i] for i in numbers]
    targets = [training.labels.astype(np.float64) for training in chosen]
    found = train_on(x, x_test, targets, [training.rows for training in chosen], fit=fit)
    proba[numbers], gap[numbers] = found.proba, found.gap
    for i, why in zip(numbers, found.reason, strict=True):
        reason[i] = why
    columns: dict[str, Any] = {
        "run": range(len(trainings)),
        "noise": [made.noise.kind if made.noise else "" for made in trainings],
        "rate": [made.noise.rate if made.noise else np.nan for made in trainings],
        "repeat": [made.noise.repeat if made.noise else 0 for made in trainings],
        "method": [made.method for made in trainings],
        "use": [made.use for made in trainings],
        "auroc": [made.auroc for made in trainings],
        "n_train": [len(made.rows) for made in trainings],
        "label_accuracy": [np.mean((made.labels == label)[made.rows]) for made in trainings],
        "gap": gap,
        "reason": reason,
    }
    arrays = {
        name: np.array(columns[name], dtype=object if spec.dtype == "str" else spec.dtype)
        for name, spec in LABEL_NOISE_RUNS.arrays.items()
    }
    return arrays, proba
