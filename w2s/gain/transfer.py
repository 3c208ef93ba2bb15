"""Stage `transfer`: models trained on each dataset, tested on the test parts of all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, layer_of, same_job, same_width
from w2s.gain.stages import Spine, spine_of
from w2s.gain.track import TransferSettings
from w2s.overlap.track import ProbeConfig
from w2s.overlap.weak_labels import fitter, labelled
from w2s.probes.columns import Fitted
from w2s.results.metrics import MODELS
from w2s.rng import stream


@dataclass(frozen=True)
class Domain:
    """One dataset: what models learn from and what they are tested on.

    Attributes:
        name: Its name.
        taught: Weak vectors (n_w, d_w) and true labels (n_w,) of weak_train.
        pool: Strong vectors (n_s, d_s), true labels and weak labels (n_s,) of strong_train.
        tested: Weak and strong vectors of the test points, (n, d_w) and (n, d_s).
        group: Of the test points, (n,).
        spine: What the models of the spine say of the test points.
        known: Ids of the pool, both halves.
    """

    name: str
    taught: tuple[Array, Array]
    pool: tuple[Array, Array, Array]
    tested: tuple[Array, Array]
    group: Array
    spine: Spine
    known: Array


def transfer(
    examples: Sequence[Artifact],
    split: Sequence[Artifact],
    weak_labels: Sequence[Artifact],
    runs: Sequence[Artifact],
    predictions: Sequence[Artifact],
    weak_activations: Sequence[Artifact],
    strong_activations: Sequence[Artifact],
    *,
    settings: TransferSettings,
) -> dict[str, Artifact]:
    """Floor, w2s and ceiling of each dataset, fitted as in the spine, on the test part of each.

    On its own test part a dataset has the predictions of the spine themselves. Probes solved beside
    others differ within their optimality gap, so that a model fitted here could get another point
    right; elsewhere there is nothing to differ from. A text of a test part that the pool trained on
    holds too is marked, and counts in no table.
    """
    inputs = {
        "examples": examples,
        "split": split,
        "weak_labels": weak_labels,
        "runs": runs,
        "predictions": predictions,
        "weak_activations": weak_activations,
        "strong_activations": strong_activations,
    }
    names, by_name = _by_dataset(inputs)
    seed = weak_labels[0].facts["seed"]
    domains = [_domain(by_name[name], settings) for name in names]
    for side in (0, 1):
        same_width([domain.tested[side] for domain in domains], names)
    columns: list[dict[str, Array]] = []
    reasons = {}
    for train in domains:
        models, reason = fit_models(train, settings.probe, seed)
        reasons[train.name] = "; ".join(f"{model}: {why}" for model, why in reason.items() if why)
        columns += [_columns(train, test, models) for test in domains]
    arrays = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    facts = {"weak": settings.weak, "strong": settings.strong, "seed": seed, "reasons": reasons}
    return {"transfer": Artifact("transfer", arrays, facts)}


def _by_dataset(
    inputs: dict[str, Sequence[Artifact]],
) -> tuple[list[str], dict[str, dict[str, Artifact]]]:
    """The datasets in the order of the examples, and the inputs of each by name.

    Raises:
        ArtifactError: another set of datasets in some input, or one twice.
    """
    names = [item.facts["dataset"] for item in inputs["examples"]]
    for what, items in inputs.items():
        found = [item.facts["dataset"] for item in items]
        if len(set(found)) != len(found) or set(found) != set(names):
            raise ArtifactError(
                f"{what}: found those of {', '.join(found)}, expected those of {', '.join(names)}, "
                f"each once"
            )
    return names, {
        name: {
            what: next(item for item in items if item.facts["dataset"] == name)
            for what, items in inputs.items()
        }
        for name in names
    }


def _domain(given: dict[str, Artifact], settings: TransferSettings) -> Domain:
    same_job(**given)
    examples, strong = given["examples"], given["strong_activations"]
    columns, x = labelled(
        examples, given["split"], given["weak_activations"], layer=settings.weak_layer
    )
    train = columns["part"] == "weak_train"
    spine = spine_of(given["weak_labels"], given["runs"], given["predictions"])
    labels = given["weak_labels"]
    pool = labels.where(labels["part"] == "strong_train")
    here = rows_of(spine.test["id"], examples["id"], what="examples")

    def vectors(part: Artifact) -> Array:
        rows = rows_of(part["id"], strong["id"], what="strong_activations")
        found: Array = layer_of(strong, settings.strong_layer)[rows]
        return found

    return Domain(
        examples.facts["dataset"],
        (x[train], columns["label"][train]),
        (vectors(pool), pool["label"], pool["weak_proba"].astype(np.float64)),
        (x[here], vectors(spine.test)),
        group_codes(examples["group"][here]),
        spine,
        examples["id"][examples["part"] == "pool"],
    )


@dataclass(frozen=True)
class Models:
    """Fitted models of a dataset: the weak probe, and ceiling and w2s as columns of another."""

    weak: Fitted
    strong: Fitted
    lacking: frozenset[str]

    def predict(self, tested: tuple[Array, Array]) -> Iterator[tuple[str, Array]]:
        """P(label = 1) of test points by each model, float32 (n,); NaN where it lacks."""
        columns = [
            *self.weak.predict_proba(tested[0]).T,
            *self.strong.predict_proba(tested[1]).T,
        ]
        for name, proba in zip(FITTED, columns, strict=True):
            found = proba.astype(np.float32)
            yield name, np.full_like(found, np.nan) if name in self.lacking else found


FITTED = ("floor", "ceiling", "w2s")  # in the order of the spine's columns


def fit_models(domain: Domain, probe: ProbeConfig, seed: int) -> tuple[Models, dict[str, str]]:
    """The three models of a dataset by the streams of the spine, and why one lacks."""
    x, label = domain.taught
    folds = [stream(seed, "folds", domain.name, role) for role in ("weak", "strong")]
    weak = fitter(probe, folds[0])(x, label[:, None], np.ones((len(x), 1)))
    x, truth, soft = domain.pool
    targets = np.stack([truth.astype(np.float64), soft], axis=1)
    strong = fitter(probe, folds[1])(x, targets, np.ones(targets.shape))
    reason = dict(zip(FITTED, (*weak.reason, *strong.reason), strict=True))
    if domain.spine.reason["floor"]:  # its weak labels are 1/2, which say nothing
        reason["w2s"] = reason["w2s"] or domain.spine.reason["floor"]
    lacking = frozenset(name for name, why in reason.items() if why)
    return Models(weak, strong, lacking), reason


def _columns(train: Domain, test: Domain, models: Models) -> dict[str, Array]:
    """Rows of the artifact: one dataset's models on the test part of another, or of its own."""
    own = train.name == test.name
    points = test.spine.test
    n = len(points)
    proba: dict[str, Any] = dict(test.spine.proba if own else models.predict(test.tested))
    return {
        "train": np.full(n, train.name, dtype=object),
        "test": np.full(n, test.name, dtype=object),
        "example": points["id"],
        "label": points["label"],
        "group": test.group,
        "seen": np.isin(points["id"], train.known).astype(np.int8),
        **{name: proba[name] for name in MODELS},
    }
