"""Sources of data to select from: cut from one dataset, or one for each corpus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from w2s.checks import Array
from w2s.errors import ArtifactError, DegenerateError, W2SError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import same_job, same_width
from w2s.overlap.mixing import nearest
from w2s.overlap.weak_labels import label_rest, labelled
from w2s.selection.track import CorporaLabelsSettings


@dataclass(frozen=True)
class Source:
    """Points that are drawn from one place.

    Attributes:
        name: Names its random streams.
        rows: Positions of its points in the pool of all sources, without repetition, (n_k,).
    """

    name: str
    rows: Array


def partition(
    region: Array,
    shares: Sequence[float],
    *,
    counts: Literal["even", "rebalanced"],
    rng: np.random.Generator,
) -> list[Source]:
    """Cut one dataset so that source k holds a given share of its overlap points.

    Args:
        region: Region of each point, (n,).
        shares: Share of the overlap points that each source gets, (k,), adding up to 1.
        counts: `even` spreads the easy and the hard points evenly; `rebalanced` fills every source
            up to n / k points with others, so that sources differ in density and not in size.
        rng: Draws which points go where.

    Returns:
        Sources `s1`, `s2`, ... that hold every point once.

    Raises:
        W2SError: shares that do not add up to 1.
        DegenerateError: a source would get more overlap points than n / k.
    """
    if not np.isclose(sum(shares), 1) or min(shares) < 0:
        raise W2SError(f"shares: found {list(shares)}, expected shares that add up to 1")
    overlap = rng.permutation(np.flatnonzero(region == "overlap"))
    parts = _cut(overlap, np.cumsum(shares) * len(overlap))
    even = np.arange(1, len(shares) + 1) / len(shares)
    if counts == "even":
        sides = [rng.permutation(np.flatnonzero(region == word)) for word in ("easy", "hard")]
        others = [np.concatenate(two) for two in zip(
            *(_cut(side, even * len(side)) for side in sides), strict=True)]  # fmt: skip
    else:
        room = np.diff(nearest(even * len(region)), prepend=0) - [len(part) for part in parts]
        if room.min() < 0:
            raise DegenerateError(
                f"sources: found {max(map(len, parts))} overlap points for a source of "
                f"{len(region) // len(shares)} points, expected no more than it holds"
            )
        others = _cut(rng.permutation(np.flatnonzero(region != "overlap")), np.cumsum(room))
    return [
        Source(f"s{k + 1}", np.concatenate(two))
        for k, two in enumerate(zip(parts, others, strict=True))
    ]


def _cut(rows: Array, ends: Array) -> list[Array]:
    """Consecutive parts of the rows that end at these places, rounded; the last takes the rest."""
    return np.split(rows, nearest(ends[:-1]))


@dataclass(frozen=True)
class Supply:
    """The sources, and what they really hold by the detector that gives the rewards.

    The detector judges itself here: a source is dense if the detector says so. `right_density`
    leans on true labels instead, as far as an overlap point is worth what its label is worth.

    Attributes:
        names: Names of the k sources; they name the random streams.
        rows: Positions of each source's points in the pool, [k] of (n_k,).
        overlap: Whether a point of the pool is an overlap point, bool (n,).
        density: Overlap points / all points of each source, (k,); 0 for an empty one.
        right_density: Overlap points with a right weak label / all points, (k,).
        label_accuracy: Accuracy of the weak labels, (k,).
    """

    names: tuple[str, ...]
    rows: tuple[Array, ...]
    overlap: Array
    density: Array
    right_density: Array
    label_accuracy: Array

    @property
    def points(self) -> Array:
        """Points of each source, (k,)."""
        return np.array([len(rows) for rows in self.rows])


def supply(sources: Sequence[Source], overlap: Array, right: Array) -> Supply:
    """The sources with their densities.

    Args:
        sources: The sources.
        overlap: Whether a point of the pool is an overlap point, bool (n,).
        right: Whether its weak label is right, bool (n,).
    """
    names, rows = zip(*((source.name, source.rows) for source in sources), strict=True)
    shares = [
        np.array([float(values[mine].mean()) if len(mine) else 0.0 for mine in rows])
        for values in (overlap, overlap & right, right)
    ]
    return Supply(names, rows, overlap, *shares)


ORDER = ("test", "weak_train", "val", "strong_train")  # which part keeps a text that several hold


def corpora_labels(
    examples: Sequence[Artifact],
    split: Sequence[Artifact],
    activations: Sequence[Artifact],
    *,
    settings: CorporaLabelsSettings,
) -> dict[str, Artifact]:
    """Fit the weak probe on weak_train of the targets; predict their tests and every source.

    A text that several datasets hold counts once, so that nothing a model is tested on was in its
    training: the test parts keep it first.
    """
    if not len(examples) == len(split) == len(activations):
        raise ArtifactError(
            f"corpora_labels: found {len(examples)} examples, {len(split)} splits and "
            f"{len(activations)} activations, expected one of each for every dataset"
        )
    sides: list[tuple[dict[str, Array], Array]] = []
    for files in zip(examples, split, activations, strict=True):
        columns, x = labelled(*files, layer=settings.layer)
        target = files[0].facts["dataset"] in settings.targets
        kept = np.full(len(x), target) | np.isin(columns["part"], ("val", "strong_train"))
        sides.append(({name: column[kept] for name, column in columns.items()}, x[kept]))
    seeds = [Artifact(item.kind, {}, {"seed": item.facts["seed"]}) for item in split]
    parts = [f"split of {item.facts['dataset']}" for item in split]
    same_job(**dict(zip(parts, seeds, strict=True)))
    same_width([x for _, x in sides], [item.facts["dataset"] for item in examples])
    names = [item.facts["dataset"] for item in examples]
    if missing := [name for name in settings.targets if name not in names]:
        raise ArtifactError(f"corpora_labels: found no examples of {missing[0]}, expected some")
    together = {
        name: np.concatenate([columns[name] for columns, _ in sides])
        for name in ("id", "part", "label", "dataset")
    }
    once = _once(together["id"], together["part"])
    x = np.concatenate([x for _, x in sides])[once]
    found = label_rest(
        {name: column[once] for name, column in together.items()},
        x,
        dataset=settings.experiment,
        seed=split[0].facts["seed"],
        settings=settings,
    )
    return {"weak_labels": found}


def _once(ids: Array, part: Array) -> Array:
    """Positions that keep each id once, that of the first part in `ORDER`; in ascending order."""
    rank = np.array([ORDER.index(word) for word in part])
    order = np.argsort(rank, kind="stable")
    _, first = np.unique(ids[order], return_index=True)
    return np.sort(order[first])
