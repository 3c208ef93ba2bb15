"""An estimate of how far sets of points expand into another region, by nearest neighbours.

The theory of weak-to-strong learning asks that sets U of one region A have many neighbours in
another one B: P(N(U) | B) >= c P(U | A) for all U that are not too small (Lang, Sontag and
Vijayaraghavan, 2024; for overlap and hard points Shin et al., 2025, Theorem 4.1). Two things keep
an estimate from being that c. The minimum over all sets cannot be found, so it is taken over some,
which makes it too large. And what a neighbour is, is a choice: more neighbours, a larger c. So
compare settings at the same number of points and neighbours, and do not read a value as a bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError
from w2s.probes.knn import unit_rows
from w2s.results.metrics import REGIONS
from w2s.synthetic.mixture import Design, checked_counts, draw_populations, draw_samples
from w2s.synthetic.study import blocks, train_weak

LOW = 0.1  # quantile over sets reported beside the minimum, which is the noisiest of all


@dataclass(frozen=True)
class Expansion:
    """Estimates for one setting, each float64 (R,), NaN where there is no such set.

    Attributes:
        right: P(N(U) | hard) / P(U | overlap) for the overlap points U with a right weak label.
        wrong: The same for those with a wrong one.
        lowest: The smallest ratio over balls: each overlap point and the nearest to it of its
            class, as many as make up the smallest share.
        low: The 0.1 quantile over them.
        agreement: Share of neighbours, of both classes, that have the same true label: 1/2 where
            neighbourhoods say nothing.
    """

    right: Array
    wrong: Array
    lowest: Array
    low: Array
    agreement: Array


def expansion_study(
    counts: Sequence[int],
    *,
    design: Design,
    seed: int,
    repetitions: Sequence[int],
    neighbours: int = 3,
    smallest: float = 0.2,
    c: float = 1.0,
) -> Expansion:
    """Expansion of overlap points into hard points, in all repetitions of a setting.

    Features are the strong view, similarity is the cosine, as in overlap detection. A neighbour of
    another class is not counted in N(U): this is against the true labels, so only synthetic or
    labelled data have it.

    Args:
        counts: Easy, hard and overlap points, at least one hard and one overlap point.
        design: Of the mixtures.
        seed: The user's seed.
        repetitions: Numbers of the repetitions, at least one.
        neighbours: An overlap and a hard point are neighbours where either is among this many
            nearest ones of the other.
        smallest: Share of the overlap points that a ball holds, in (0, 1].
        c: scikit-learn's C of the weak model.

    Raises:
        W2SError: no hard or no overlap point, no repetition, or numbers out of range.
    """
    n_points = checked_counts(counts)
    if min(n_points[1:]) < 1 or not len(repetitions) or neighbours < 1 or not 0 < smallest <= 1:
        raise W2SError(
            f"expansion: found counts {n_points}, {len(repetitions)} repetitions, {neighbours} "
            f"neighbours, share {smallest:g}; expected hard and overlap points, 1 or more "
            "repetitions and neighbours, and a share in (0, 1]"
        )
    rows = []
    for block in blocks(repetitions, sum(n_points) * (design.d_easy + design.d_hard)):
        populations = draw_populations(design, seed=seed, repetitions=block)
        train, points = (
            draw_samples(populations, n_points, seed=seed, repetitions=block, part=part)
            for part in ("train", "pseudo")
        )
        weak = train_weak(train, c=c)
        right = weak.right(points)
        source, target = (points.region == REGIONS.index(name) for name in ("overlap", "hard"))
        for x, label, is_right in zip(points.x, points.label, right, strict=True):
            graph = neighbour_graph(x[source], x[target], neighbours=neighbours)
            same = label[source][:, None] == label[target]
            near = balls(x[source], label[source], smallest)
            rows.append(_estimates(graph, same, near, is_right[source]))
    return Expansion(*np.array(rows).T)


def _estimates(graph: Array, same: Array, near: Array, right: Array) -> list[float]:
    """The five estimates of one repetition."""
    inside = graph & same
    around = expansion(inside, near)
    ratios = expansion(inside, np.stack([right, ~right]))
    return [*ratios, around.min(), np.quantile(around, LOW), same[graph].mean()]


def expansion(graph: Array, sets: Array) -> Array:
    """P(N(U) | targets) / P(U | sources) of each set.

    Args:
        graph: Whether a source (a) and a target (b) are neighbours, bool (a, b).
        sets: Sets of sources, bool (k, a).

    Returns:
        float64 (k,), 0 or more; NaN for an empty set.
    """
    reached = (sets.astype(np.float64) @ graph > 0).mean(axis=1)
    share = sets.mean(axis=1)
    ratio: Array = np.divide(reached, share, out=np.full(len(sets), np.nan), where=share > 0)
    return ratio


def neighbour_graph(sources: Array, targets: Array, *, neighbours: int) -> Array:
    """Which sources and targets are neighbours: either is among the other's nearest by cosine.

    Args:
        sources: Features (a, d).
        targets: Features (b, d).
        neighbours: How many count as nearest; all where there are not more. Of equally near ones
            the first.

    Returns:
        bool (a, b).
    """
    cosine = unit_rows(sources) @ unit_rows(targets).T
    graph = np.zeros(cosine.shape, dtype=bool)
    for axis in (0, 1):
        order = np.argsort(-cosine, axis=axis, kind="stable")
        nearest = np.take(order, np.arange(min(neighbours, cosine.shape[axis])), axis=axis)
        np.put_along_axis(graph, nearest, True, axis=axis)
    return graph


def balls(points: Array, label: Array, share: float) -> Array:
    """For each point the set of the nearest points of its class by cosine, with itself.

    Args:
        points: Features (a, d).
        label: Classes (a,).
        share: Of all points in each set, rounded up; a class with fewer gives what it has.

    Returns:
        Sets, bool (a, a), one per row.
    """
    unit = unit_rows(points)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, np.inf)
    cosine[label[:, None] != label] = -np.inf
    size = int(np.ceil(share * len(points)))
    sets = np.zeros(cosine.shape, dtype=bool)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :size]
    np.put_along_axis(sets, order, True, axis=1)
    sets &= label[:, None] == label
    return sets
