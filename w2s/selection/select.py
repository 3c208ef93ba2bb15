"""Stage `select`: source selection for one experiment, pair and seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.declare import kinds
from w2s.errors import ArtifactError, DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, layer_of, same_width
from w2s.overlap.detect import Detector, fit_detector
from w2s.overlap.strong import Trained, joined
from w2s.overlap.weak_labels import fitter
from w2s.results.metrics import SETS
from w2s.rng import stream
from w2s.selection.paths import (
    Path,
    Plan,
    Streams,
    collected,
    rounds_possible,
    simulate,
    train_rounds,
)
from w2s.selection.sources import Source, Supply, partition, supply
from w2s.selection.track import Partition, SelectSettings


@dataclass
class _Selected:
    """What a job finds, as far as it gets.

    Attributes:
        region: Region of each point of the pool, (n,).
        detector: Gives the rewards.
        supply: The sources.
        paths: All repeats of each policy.
        reason: Why there are no paths, "" if there are some.
    """

    region: Array
    detector: Detector | None = None
    supply: Supply | None = None
    paths: list[Path] = field(default_factory=list)
    reason: str = ""


def select(
    weak_labels: Artifact,
    activations: Sequence[Artifact],
    examples: Sequence[Artifact],
    *,
    settings: SelectSettings,
) -> dict[str, Artifact]:
    """Paths of all policies, and the test predictions after every round.

    The detector that gives the rewards is fitted on the val parts, which no source holds. Where
    regions or sources are undefined there are no paths, and the artifacts say why. Examples say
    which test points belong together.
    """
    seed = weak_labels.facts["seed"]

    def streams(*names: str) -> np.random.Generator:
        return stream(seed, "selection", settings.experiment, *names)

    x = _gather(weak_labels, activations, settings)
    part = {name: weak_labels["part"] == name for name in ("strong_train", "val", "test")}
    points, test = (weak_labels.where(part[name]) for name in ("strong_train", "test"))
    x_pool, x_test = x[part["strong_train"]], x[part["test"]]
    selected = _Selected(np.full(len(points), "undefined", dtype=object))
    try:
        if weak_labels.facts["reason"]:
            raise DegenerateError(weak_labels.facts["reason"])
        selected.detector = fit_detector(
            weak_labels["weak_proba"][part["val"]], x[part["val"]], **settings.overlap.model_dump()
        )
        selected.region = selected.detector.apply(points["weak_proba"], x_pool).region
        sources = _sources(selected.region, points["dataset"], settings, streams)
        selected.supply = supply(sources, selected.region == "overlap", _right(points))
        selected.paths = _paths(selected.supply, settings, streams)
    except DegenerateError as error:
        selected.reason = str(error)
    rounds = _trained(selected, points["weak_proba"], (x_pool, x_test), settings, streams)
    facts = {name: getattr(settings, name) for name in ("experiment", "weak", "strong")}
    facts["seed"] = seed
    told = facts | _told(selected, settings)
    return {
        "points": _points(points, selected, told | {"n_reference": int(part["val"].sum())}),
        "paths": Artifact("selection_paths", _path_rows(selected, rounds), told),
        "predictions": _predictions(test, _groups(test, examples, settings), rounds, facts),
    }


def _gather(
    weak_labels: Artifact, activations: Sequence[Artifact], settings: SelectSettings
) -> Array:
    """Strong activations of each point, from the dataset that it is from."""
    names = _datasets("activations", activations, settings)
    layers = [layer_of(item, settings.layer) for item in activations]
    same_width(layers, names)
    x = np.empty((len(weak_labels), layers[0].shape[1]), dtype=np.float32)
    if unknown := sorted(set(weak_labels["dataset"]) - set(names)):
        raise ArtifactError(f"weak_labels: found points of {unknown[0]}, expected {names}")
    for name, item, layer in zip(names, activations, layers, strict=True):
        mine = weak_labels["dataset"] == name
        x[mine] = layer[rows_of(weak_labels["id"][mine], item["id"], what="activations")]
    return x


def _groups(test: Artifact, examples: Sequence[Artifact], settings: SelectSettings) -> Array:
    """Group of each test point, int64 (n,); a dataset's groups are no other dataset's."""
    group = np.empty(len(test), dtype=object)
    for name, item in zip(_datasets("examples", examples, settings), examples, strict=True):
        mine = test["dataset"] == name
        rows = rows_of(test["id"][mine], item["id"], what="examples")
        group[mine] = f"{name}/" + item["group"][rows]  # names hold no slash
    return group_codes(group)


def _datasets(what: str, items: Sequence[Artifact], settings: SelectSettings) -> list[str]:
    """Dataset of each artifact, in their order; ArtifactError unless they are the sources'."""
    names = [item.facts["dataset"] for item in items]
    if sorted(names) != sorted(settings.sources.datasets):
        raise ArtifactError(
            f"{what}: found those of {', '.join(names)}, expected those of "
            f"{', '.join(settings.sources.datasets)}"
        )
    return names


def _right(points: Artifact) -> Array:
    """Whether the weak label of each point is right, (n,); one of exactly 1/2 is not."""
    right: Array = np.where(
        points["label"] == 1, points["weak_proba"] > 0.5, points["weak_proba"] < 0.5
    )
    return right


def _sources(
    region: Array, owner: Array, settings: SelectSettings, streams: Streams
) -> list[Source]:
    chosen = settings.sources
    if isinstance(chosen, Partition):
        rng = streams("partition")
        return partition(region, chosen.overlap_shares, counts=chosen.counts, rng=rng)
    return [Source(name, np.flatnonzero(owner == name)) for name in chosen.datasets]


def _paths(market: Supply, settings: SelectSettings, streams: Streams) -> list[Path]:
    """The paths, policy by policy; DegenerateError if no source holds a batch."""
    taken = settings.paths
    plan = Plan(taken.rounds, taken.batch, taken.epsilon)
    if not rounds_possible(market, plan=plan):
        raise DegenerateError(f"selection: found no source with {plan.batch} points")
    return [
        simulate(policy, market, plan=plan, repeat=repeat, streams=streams)
        for policy in taken.policies
        for repeat in range(taken.repeats)
    ]


def _trained(
    selected: _Selected,
    weak_proba: Array,
    activations: tuple[Array, Array],
    settings: SelectSettings,
    streams: Streams,
) -> dict[str, Trained]:
    """Probes on all points and on the overlap points, a row for each round of each path.

    The probes of a policy are one problem, so that other policies do not move them at all.
    """
    proba = weak_proba.astype(np.float64)
    found: dict[str, list[Trained]] = {name: [] for name in SETS}
    for policy in settings.paths.policies:
        mine = [path for path in selected.paths if path.policy == policy]
        if mine and selected.supply is not None:
            fit = fitter(settings.probe, streams("folds"))
            both = train_rounds(
                mine, selected.supply.overlap, proba, activations=activations, fit=fit
            )
            for name, trained in zip(SETS, both, strict=True):
                found[name].append(trained)
    return {name: joined(parts, len(activations[1])) for name, parts in found.items()}


def _points(points: Artifact, selected: _Selected, facts: dict[str, Any]) -> Artifact:
    source = np.full(len(points), "", dtype=object)
    if selected.supply is not None:
        for name, rows in zip(selected.supply.names, selected.supply.rows, strict=True):
            source[rows] = name
    arrays = {name: points[name] for name in ("id", "label", "weak_proba")}
    arrays |= {"source": source, "region": selected.region}
    for path in selected.paths:
        drawn = np.zeros(len(points), dtype=np.int32)
        drawn[path.rows] = np.arange(1, len(path.rows) + 1)[:, None]
        arrays[f"drawn_{path.policy}_{path.repeat}"] = drawn
    for name in ("tau_hard", "tau_overlap"):
        facts[name] = getattr(selected.detector, name, None)
    known = {name: facts[name] for name in kinds()["selection_points"].facts}
    return Artifact("selection_points", arrays, known)


def _told(selected: _Selected, settings: SelectSettings) -> dict[str, Any]:
    """Facts about the sources, and how the job ended."""
    told: dict[str, Any] = {
        "sources": {},
        "source_names": [] if selected.supply is None else list(selected.supply.names),
        "policies": list(settings.paths.policies),
        "rounds": settings.paths.rounds,
        "ended": "",
        "status": "degenerate" if selected.reason else "ok",
        "reason": selected.reason,
    }
    if selected.supply is not None:
        names = ("points", "density", "right_density", "label_accuracy")
        columns = [getattr(selected.supply, name).tolist() for name in names]
        told["sources"] = {
            source: dict(zip(names, values, strict=True))
            for source, *values in zip(selected.supply.names, *columns, strict=True)
        }
    done = len(selected.paths[0].source) if selected.paths else 0
    if 0 < done < settings.paths.rounds:
        told["ended"] = f"all sources dry after round {done} of {settings.paths.rounds}"
    return told


def _path_rows(selected: _Selected, trained: dict[str, Trained]) -> dict[str, Array]:
    """Columns of the paths artifact."""
    rows = [
        (path.policy, path.repeat, t + 1, path.source[t], path.density[t], path.regret[t])
        for path in selected.paths
        for t in range(len(path.source))
    ]
    names = ("policy", "repeat", "round", "source", "density", "regret")
    types = (object, np.int32, np.int32, object, np.float64, np.float64)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    arrays: dict[str, Array] = {
        name: np.array(column, dtype=dtype)
        for name, column, dtype in zip(names, columns, types, strict=True)
    }
    if selected.supply is not None:
        words = np.array(selected.supply.names, dtype=object)
        arrays["source"] = words[arrays["source"].astype(np.int64)]
        counts = collected(selected.paths, selected.supply.overlap)
    else:
        counts = ([], [])
    for name, sets in zip(SETS, counts, strict=True):
        arrays[f"n_{name}"] = np.array([len(mine) for mine in sets], dtype=np.int32)
        arrays[f"gap_{name}"] = trained[name].gap
        arrays[f"reason_{name}"] = np.array(trained[name].reason, dtype=object)
    return arrays


def _predictions(
    test: Artifact, group: Array, trained: dict[str, Trained], facts: dict[str, Any]
) -> Artifact:
    proba = {name: trained[name].proba for name in SETS}
    row = np.arange(len(proba["all"]), dtype=np.int32)
    arrays = {"id": test["id"], "label": test["label"], "group": group, "row": row, **proba}
    return Artifact("selection_predictions", arrays, facts)
