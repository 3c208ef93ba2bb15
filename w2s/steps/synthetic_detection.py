"""Stage `synthetic_detection`: does overlap detection find planted regions?"""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.methods.synthetic_detection import VARIANTS, Cell, cells, detection_study, sensitivity
from w2s.progress import bar
from w2s.settings import SyntheticDetectionSettings

AXES = {  # what is changed, one at a time; the base cell is among the values of each
    "saliency": (1.0, 1.5, 2.0, 3.0),
    "dimension": (5, 10, 20, 40, 80),
    "overlap_share": (0.05, 0.1, 0.2, 0.4, 0.6),
    "label_noise": (0.0, 0.1, 0.2, 0.3, 0.4),
    "variance": (0.5, 1.0, 2.0, 5.0),
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
        grid = sensitivity(
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
    thresholds = {
        "tau_hard": grid.hard,
        "tau_overlap": grid.overlap,
        "metrics": grid.metrics,
        "density": grid.density,
    }
    return {
        "detection": Artifact("detection_rows", detection, facts),
        "thresholds": Artifact("threshold_rows", thresholds, {"seed": settings.seed}),
    }
