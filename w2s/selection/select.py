"""Stage `select`: source selection for one experiment, pair and seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s.checks import Array, rows_of
from w2s.declare import kinds
from w2s.errors import ArtifactError, DegenerateError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, layer_of, same_width
from w2s.overlap.detect import fit_detector
from w2s.overlap.strong import Trained, joined
from w2s.overlap.weak_labels import fitter
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
from w2s.selection.track import SETS, Partition, SelectSettings


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
    which test points belong together. The probes of a policy are one problem, so that other
    policies do not move them at all.
    """
    seed, chosen = weak_labels.facts["seed"], settings.paths

    def streams(*names: str) -> np.random.Generator:
        return stream(seed, "selection", settings.experiment, *names)

    x = _gather(weak_labels, activations, settings)
    part = {name: weak_labels["part"] == name for name in ("strong_train", "val", "test")}
    points, test = (weak_labels.where(part[name]) for name in ("strong_train", "test"))
    proba, x_pool, x_test = points["weak_proba"], x[part["strong_train"]], x[part["test"]]
    region = np.full(len(points), "undefined", dtype=object)
    detector, market = None, None
    paths: list[Path] = []
    reason = weak_labels.facts["reason"]
    try:
        if reason:
            raise DegenerateError(reason)
        detector = fit_detector(
            weak_labels["weak_proba"][part["val"]], x[part["val"]], **settings.overlap.model_dump()
        )
        region = detector.apply(proba, x_pool).region
        market = _market(region, points, settings, streams)
        plan = Plan(chosen.rounds, chosen.batch, chosen.epsilon)
        if not rounds_possible(market, plan=plan):
            raise DegenerateError(f"selection: found no source with {plan.batch} points")
        paths = [
            simulate(policy, market, plan=plan, repeat=repeat, streams=streams)
            for policy in chosen.policies
            for repeat in range(chosen.repeats)
        ]
    except DegenerateError as error:
        reason = str(error)
    parts: dict[str, list[Trained]] = {name: [] for name in SETS}
    for policy in chosen.policies if paths else ():
        mine = [path for path in paths if path.policy == policy]
        fit = fitter(settings.probe, streams("folds"))
        sides = x_pool, x_test
        both = train_rounds(
            mine, region == "overlap", proba.astype(np.float64), activations=sides, fit=fit
        )
        for name, trained in zip(SETS, both, strict=True):
            parts[name].append(trained)
    rounds = {name: joined(trained, len(x_test)) for name, trained in parts.items()}
    facts = {name: getattr(settings, name) for name in ("experiment", "weak", "strong")}
    facts["seed"] = seed
    told = facts | _told(market, paths, settings, reason)
    found = told | {"n_reference": int(part["val"].sum())}
    found |= {name: getattr(detector, name, None) for name in ("tau_hard", "tau_overlap")}
    group = _groups(test, examples, settings)
    return {
        "points": _points(points, region, market, paths, found),
        "paths": Artifact("selection_paths", _path_rows(paths, region, market, rounds), told),
        "predictions": _predictions(test, group, rounds, facts),
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


def _market(region: Array, points: Artifact, settings: SelectSettings, streams: Streams) -> Supply:
    """The sources, with their densities by the regions of the pool.

    A weak label of exactly 1/2 is not right.
    """
    chosen = settings.sources
    if isinstance(chosen, Partition):
        rng = streams("partition")
        sources = partition(region, chosen.overlap_shares, counts=chosen.counts, rng=rng)
    else:
        owner = points["dataset"]
        sources = [Source(name, np.flatnonzero(owner == name)) for name in chosen.datasets]
    proba = points["weak_proba"]
    right = np.where(points["label"] == 1, proba > 0.5, proba < 0.5)
    return supply(sources, region == "overlap", right)


def _told(
    market: Supply | None, paths: Sequence[Path], settings: SelectSettings, reason: str
) -> dict[str, Any]:
    """Facts about the sources, and how the job ended."""
    asked = settings.paths.rounds
    done = len(paths[0].source) if paths else 0
    told: dict[str, Any] = {
        "sources": {},
        "source_names": list(market.names) if market else [],
        "policies": list(settings.paths.policies),
        "rounds": asked,
        "ended": f"all sources dry after round {done} of {asked}" if 0 < done < asked else "",
        "status": "degenerate" if reason else "ok",
        "reason": reason,
    }
    if market:
        names = ("points", "density", "right_density", "label_accuracy")
        columns = [getattr(market, name).tolist() for name in names]
        told["sources"] = {
            source: dict(zip(names, values, strict=True))
            for source, *values in zip(market.names, *columns, strict=True)
        }
    return told


def _points(
    points: Artifact,
    region: Array,
    market: Supply | None,
    paths: Sequence[Path],
    facts: dict[str, Any],
) -> Artifact:
    source = np.full(len(points), "", dtype=object)
    for name, rows in zip(market.names, market.rows, strict=True) if market else ():
        source[rows] = name
    arrays = {name: points[name] for name in ("id", "label", "weak_proba")}
    arrays |= {"source": source, "region": region}
    for path in paths:
        drawn = np.zeros(len(points), dtype=np.int32)
        drawn[path.rows] = np.arange(1, len(path.rows) + 1)[:, None]
        arrays[f"drawn_{path.policy}_{path.repeat}"] = drawn
    known = {name: facts[name] for name in kinds()["selection_points"].facts}
    return Artifact("selection_points", arrays, known)


def _path_rows(
    paths: Sequence[Path], region: Array, market: Supply | None, trained: dict[str, Trained]
) -> dict[str, Array]:
    """Columns of the paths artifact."""
    words = market.names if market else ()
    rows = [
        (path.policy, path.repeat, t + 1, words[k], path.density[t], path.regret[t])
        for path in paths
        for t, k in enumerate(path.source)
    ]
    names = ("policy", "repeat", "round", "source", "density", "regret")
    types = (object, np.int32, np.int32, object, np.float64, np.float64)
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    arrays: dict[str, Array] = {
        name: np.array(column, dtype=dtype)
        for name, column, dtype in zip(names, columns, types, strict=True)
    }
    counts = collected(paths, region == "overlap")
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
