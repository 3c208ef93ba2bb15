"""How well overlap detection finds planted regions: precision, recall and AUROC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import DegenerateError, W2SError
from w2s.files.artifacts import Artifact
from w2s.overlap.detect import detect_overlap
from w2s.overlap.mixing import nearest
from w2s.overlap.regions import Regions
from w2s.progress import bar
from w2s.results.metrics import REGIONS, auroc
from w2s.rng import stream
from w2s.synthetic.detectors import VARIANTS, Variant, regions_by
from w2s.synthetic.mixture import Counts, Design, Population, Sample, draw_populations, draw_samples
from w2s.synthetic.study import blocks, train_weak
from w2s.synthetic.track import SyntheticDetectionSettings

TARGETS = ("hard", "overlap")  # the regions that the detector is asked for
METRICS = ("precision", "recall", "auroc")


@dataclass(frozen=True)
class Cell:
    """Where the detector is tried.

    Attributes:
        saliency: Factor on the easy coordinates.
        dimension: Easy coordinates, and as many hard ones.
        overlap_share: Overlap points / all points, in (0, 1); the others are half easy, half hard.
        label_noise: Share of the weak model's training labels that are flipped, in [0, 1].
        points: Points the weak model trains on, and points to detect among.
        variance: Of the noise of a coordinate.
        background: Noise of a coordinate whose pattern a point lacks, as a factor on what it is
            where there is one, 0 or more; by default it is exactly 0.
    """

    saliency: float = 1.0
    dimension: int = 20
    overlap_share: float = 0.2
    label_noise: float = 0.0
    points: int = 250
    variance: float = 5.0
    background: float = 0.0

    def __post_init__(self) -> None:
        """Refuse shares out of range.

        Raises:
            W2SError: a share or the noise is none, or a region would have no point.
        """
        if not (0 < self.overlap_share < 1 and 0 <= self.label_noise <= 1):
            raise W2SError(
                f"detection: found overlap share {self.overlap_share:g} and label noise "
                f"{self.label_noise:g}, expected a share between 0 and 1 and noise in [0, 1]"
            )
        if not self.background >= 0:  # nor NaN
            raise W2SError(f"detection: found background {self.background:g}, expected 0 or more")
        if min(self.counts) < 1:
            raise W2SError(f"detection: found regions of {self.counts} points, expected some each")

    @property
    def counts(self) -> Counts:
        """Easy, hard and overlap points; they add up to `points`."""
        overlap = int(nearest(self.overlap_share * self.points))
        easy = (self.points - overlap) // 2
        return easy, self.points - overlap - easy, overlap

    @property
    def design(self) -> Design:
        """Of the mixtures."""
        return Design(self.dimension, self.dimension, self.variance, self.saliency)


@dataclass(frozen=True)
class Detection:
    """Results of one cell and one set of options.

    Attributes:
        metrics: float64 (R, 2, 3): repetition, TARGETS, METRICS. NaN where the detection is
            degenerate; the precision is NaN where no point is found, the AUROC where one side is
            missing.
        density: Points found to be overlap points / all points, (R,); NaN where degenerate.
        reasons: How many repetitions were degenerate, by reason.
    """

    metrics: Array
    density: Array
    reasons: Mapping[str, int]


def cells(axis: str, values: Sequence[float]) -> list[Cell]:
    """Cells that differ from the base in one field, e.g. `cells("saliency", (1, 2, 3))`."""
    changes: list[dict[str, Any]] = [{axis: value} for value in values]
    return [Cell(**change) for change in changes]


def draw_cell(cell: Cell, *, seed: int, repetitions: Sequence[int]) -> tuple[Sample, Array]:
    """Points of a cell and the weak model's P(y = 1) of them.

    The weak model trains on an independent set of the same counts. Which labels are flipped is
    nested: more noise flips more labels, and the same ones.

    Args:
        cell: The cell.
        seed: The user's seed.
        repetitions: Numbers of the repetitions.

    Returns:
        The points, x (R, n, d), and float64 (R, n).
    """
    populations = draw_populations(cell.design, seed=seed, repetitions=repetitions)
    train, points = (
        _drawn(cell, populations, seed=seed, repetitions=repetitions, part=part)
        for part in ("train", "pseudo")
    )
    names = [("synthetic", f"repetition={r}", "label noise") for r in repetitions]
    dice = np.stack([stream(seed, *name).random(cell.points) for name in names])
    flipped = np.where(dice < cell.label_noise, 1 - train.label, train.label)
    weak = train_weak(replace(train, label=flipped), c=1.0)
    return points, weak.proba(points.weak_part)


def _drawn(
    cell: Cell, populations: Population, *, seed: int, repetitions: Sequence[int], part: str
) -> Sample:
    """Points of a cell, with its background."""
    drawn = draw_samples(populations, cell.counts, seed=seed, repetitions=repetitions, part=part)
    if not cell.background:
        return drawn
    absent = ~populations.present[drawn.region] * populations.scale  # (n, d)
    names = [("synthetic", f"repetition={r}", part, "background") for r in repetitions]
    noise = np.stack([stream(seed, *name).normal(size=absent.shape) for name in names])
    return replace(drawn, x=drawn.x + cell.background * cell.variance**0.5 * absent * noise)


def detection_study(
    cell: Cell,
    *,
    seed: int,
    repetitions: Sequence[int],
    variants: Mapping[str, Variant] = VARIANTS,
) -> dict[str, Detection]:
    """Detect overlap with each set of options, on the same points and weak labels.

    The AUROC of `hard` ranks all points by low confidence, that of `overlap` ranks the points not
    found to be hard by their overlap score (hard ones among them are negatives), so each is about
    one step of the detector, whatever that step's threshold.

    Args:
        cell: What the points are like.
        seed: The user's seed.
        repetitions: Numbers of the repetitions, at least one.
        variants: Options of `detect_overlap`, or scores, by name.
    """
    if not len(repetitions):
        raise W2SError("detection: found no repetition, expected 1 or more")
    found: dict[str, list[Array]] = {name: [] for name in variants}
    reasons: dict[str, dict[str, int]] = {name: {} for name in variants}
    for block in blocks(repetitions, cell.points * 2 * cell.dimension):
        points, proba = draw_cell(cell, seed=seed, repetitions=block)
        for x, weak, said in zip(points.x, points.weak_part, proba, strict=True):
            for name, variant in variants.items():
                try:
                    regions = (
                        regions_by(variant, said, x, weak)
                        if callable(variant)
                        else detect_overlap(said, x, **variant)
                    )
                    row = scores(regions, points.region)
                except DegenerateError as error:
                    row = np.full(7, np.nan)
                    why = str(error)
                    reasons[name][why] = reasons[name].get(why, 0) + 1
                found[name].append(row)
    made = {}
    for name in variants:
        rows = np.stack(found[name])
        metrics = rows[:, :6].reshape(-1, len(TARGETS), len(METRICS))
        made[name] = Detection(metrics, rows[:, 6], reasons[name])
    return made


def scores(found: Regions, truth: Array) -> Array:
    """Metrics of TARGETS against planted regions, and the density found.

    Args:
        found: What the detector says of n points.
        truth: Codes of REGIONS, (n,).

    Returns:
        float64 (7,): precision, recall and AUROC of hard points, those of overlap points, density.
    """
    names = np.array(REGIONS, dtype=object)[truth]
    scored = ~np.isnan(found.score)
    ranks = {
        "hard": auroc(-found.confidence, names == "hard"),
        "overlap": auroc(found.score[scored], names[scored] == "overlap"),
    }
    row: list[float] = []
    for target in TARGETS:
        said, true = found.region == target, names == target
        both = float(np.sum(said & true))
        row += [both / n if (n := side.sum()) else np.nan for side in (said, true)]
        row.append(ranks[target])
    return np.array([*row, found.density])


def sensitivity(
    cell: Cell,
    *,
    hard: Sequence[float],
    overlap: Sequence[float],
    seed: int,
    repetitions: Sequence[int],
) -> dict[str, Array]:
    """Metrics over a grid of thresholds, on the points of `detection_study`.

    Args:
        cell: What the points are like.
        hard: Quantiles of the confidences, in (0, 1).
        overlap: Quantiles of the scores of points that are not hard, in (0, 1).
        seed: The user's seed.
        repetitions: Numbers of the repetitions.

    Returns:
        Arrays by name: the quantiles `tau_hard` (h,) and `tau_overlap` (o,), `metrics`, float64
        (R, h, o, 2, 3), and `density`, (R, h, o), as in `Detection`.
    """
    grid = {
        f"{i},{j}": {"tau_hard": {"quantile": low}, "tau_overlap": {"quantile": high}}
        for i, low in enumerate(hard)
        for j, high in enumerate(overlap)
    }
    found = detection_study(cell, seed=seed, repetitions=repetitions, variants=grid)
    shape = (len(repetitions), len(hard), len(overlap))
    metrics = np.stack([found[name].metrics for name in grid], axis=1)
    density = np.stack([found[name].density for name in grid], axis=1)
    return {
        "tau_hard": np.array(hard),
        "tau_overlap": np.array(overlap),
        "metrics": metrics.reshape(*shape, 2, 3),
        "density": density.reshape(shape),
    }


AXES = {  # what is changed, one at a time; the base cell is among the values of each
    "saliency": (1.0, 1.5, 2.0, 3.0),
    "dimension": (5, 10, 20, 40, 80),
    "overlap_share": (0.05, 0.1, 0.2, 0.4, 0.6),
    "label_noise": (0.0, 0.1, 0.2, 0.3, 0.4),
    "variance": (0.5, 1.0, 2.0, 5.0),
    "background": (0.0, 0.25, 0.5, 1.0),
}
TAU_HARD = (0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7)  # two fifths of the points are hard
TAU_OVERLAP = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)  # a third of the others are overlap points


def synthetic_detection(*, settings: SyntheticDetectionSettings) -> dict[str, Artifact]:
    """Precision, recall and AUROC over cells and options, and over a grid of thresholds."""
    chosen = [
        (axis, value, cell)
        for axis, values in AXES.items()
        for value, cell in zip(values, cells(axis, values), strict=True)
    ]
    draws = range(settings.repetitions)
    found = []
    with bar("synthetic detection", len(chosen) + 1, "cells") as advance:
        for _, _, cell in chosen:
            found.append(detection_study(cell, seed=settings.seed, repetitions=draws))
            advance(1)
        thresholds = sensitivity(
            Cell(), hard=TAU_HARD, overlap=TAU_OVERLAP, seed=settings.seed, repetitions=draws
        )
        advance(1)
    detection = {
        name: np.stack([[getattr(cell[v], name) for v in VARIANTS] for cell in found])
        for name in ("metrics", "density")
    }
    facts = {
        "cells": [[axis, float(value)] for axis, value, _ in chosen],
        "variants": list(VARIANTS),
        "reasons": [[dict(cell[v].reasons) for v in VARIANTS] for cell in found],
        "seed": settings.seed,
    }
    return {
        "detection": Artifact("detection_rows", detection, facts),
        "thresholds": Artifact("threshold_rows", thresholds, {"seed": settings.seed}),
    }
