"""Stage `selection_tables`: the tables over all selection experiments, pairs and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.evaluation.intervals import Bootstrap, holm
from w2s.evaluation.metrics import correct_rows
from w2s.evaluation.selection_tables import (
    SelectionOutcome,
    round_rows,
    selection_rows,
    source_rows,
)
from w2s.methods.regions import SETS
from w2s.progress import bar
from w2s.rng import stream
from w2s.settings import SelectionTablesSettings
from w2s.steps.tables import by_seed, table

CURVES = ("regret", "best_share", "density", "n_all", "n_overlap")
KEY = ("experiment", "weak", "strong")
FACTS = {"n_points": "points", "density": "density", "right_density": "right_density",
         "label_accuracy": "label_accuracy"}  # fmt: skip


def selection_tables(
    paths: Sequence[Artifact], predictions: Sequence[Artifact], *, settings: SelectionTablesSettings
) -> dict[str, Artifact]:
    """What each policy reaches, the curves, and the sources; one bootstrap for each experiment.

    Test points of a group are drawn together. All differences to random, of all experiments and
    pairs, are one family of comparisons.
    """
    jobs = by_seed(paths, predictions, key=KEY)
    level = settings.evaluation.level
    rows: dict[str, list[dict[str, Any]]] = {"selection": [], "rounds": [], "sources": []}
    with bar("selection tables", len(jobs), "experiments") as advance:
        for seeds in jobs:
            outcome = _outcome(seeds)
            points = outcome.correct["all"].shape[3]
            rng = stream(0, "bootstrap", "selection", *outcome.names.values())
            group = seeds[0][1]["group"]  # (n,)
            drawn = Bootstrap.draw(
                len(seeds), points, settings.evaluation.bootstrap, rng, groups=group
            )
            rows["selection"] += selection_rows(outcome, drawn, level)
            rows["rounds"] += round_rows(outcome, drawn, level)
            rows["sources"] += source_rows(outcome, level)
            advance(1)
    adjusted = holm(np.array([row["p"] for row in rows["selection"]]))
    for row, p in zip(rows["selection"], adjusted, strict=True):
        row["p_holm"] = p
    kinds = ("selection_table", "selection_rounds_table", "selection_sources_table")
    return {name: table(kind, rows[name]) for name, kind in zip(rows, kinds, strict=True)}


def _outcome(seeds: list[tuple[Artifact, Artifact]]) -> SelectionOutcome:
    """All seeds of one experiment and pair, test points in the first seed's order."""
    facts = [paths.facts for paths, _ in seeds]
    first = facts[0]
    for name in ("policies", "rounds"):
        if any(other[name] != first[name] for other in facts):
            raise ArtifactError(f"tables: found seeds with different {name}, expected the same")
    sources: list[str] = next((told["source_names"] for told in facts if told["source_names"]), [])
    found = [_seed(paths, predictions, seeds[0][1], sources) for paths, predictions in seeds]
    return SelectionOutcome(
        names={name: first[name] for name in KEY},
        policies=first["policies"],
        sources=sources,
        correct={name: np.stack([seed[name] for seed in found]) for name in SETS},
        curves={name: np.stack([seed[name] for seed in found]) for name in CURVES},
        pulls=np.stack([seed["pulls"] for seed in found]),
        facts={
            name: np.array(
                [[told["sources"].get(s, {}).get(fact, np.nan) for s in sources] for told in facts]
            )
            for name, fact in FACTS.items()
        },
        reason=[told["reason"] or told["ended"] for told in facts],
    )


def _seed(
    paths: Artifact, predictions: Artifact, first: Artifact, sources: Sequence[str]
) -> dict[str, Array]:
    """What a seed's rounds come to, means over its repeats; NaN in rounds it does not have."""
    order = rows_of(first["id"], predictions["id"], what="predictions")
    if len(predictions["row"]) != len(paths):
        raise ArtifactError(
            f"predictions: found {len(predictions['row'])} rows, expected those of the "
            f"{len(paths)} rows of paths"
        )
    policies, rounds = paths.facts["policies"], paths.facts["rounds"]
    found = {name: np.full((len(policies), rounds), np.nan) for name in CURVES}
    shape = (len(policies), rounds, len(order))
    found |= {name: np.full(shape, np.nan, dtype=np.float32) for name in SETS}
    found["pulls"] = np.full((len(policies), len(sources)), np.nan)
    density = {name: told["density"] for name, told in paths.facts["sources"].items()}
    most = max(density.values(), default=0)
    best = [name for name, value in density.items() if value == most]  # all that are as dense
    for p, policy in enumerate(policies):
        rows = np.flatnonzero(paths["policy"] == policy)
        if not len(rows):
            continue
        order_of = np.lexsort((paths["round"][rows], paths["repeat"][rows]))
        repeats = len(np.unique(paths["repeat"][rows]))
        by_round: Array = rows[order_of].reshape(repeats, -1)  # (repeats, rounds)
        done = by_round.shape[1]
        for name in ("regret", "density", "n_all", "n_overlap"):
            found[name][p, :done] = paths[name][by_round].mean(axis=0)
        pulled = paths["source"][by_round]
        so_far = np.cumsum(np.isin(pulled, best), axis=1) / np.arange(1, done + 1)
        found["best_share"][p, :done] = so_far.mean(axis=0)
        found["pulls"][p] = [np.mean(pulled == source) for source in sources]
        for name in SETS:
            right = correct_rows(predictions[name][by_round.ravel()], predictions["label"])
            right = right.reshape(*by_round.shape, -1)[:, :, order]
            found[name][p, :done] = right.mean(axis=0)
    return found
