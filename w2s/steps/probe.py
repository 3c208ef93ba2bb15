"""The configured probe, as a function that fits many on one matrix."""

from __future__ import annotations

import numpy as np

from w2s.checks import Array
from w2s.config_spine import ProbeConfig
from w2s.methods.columns import Fit
from w2s.methods.cross_validation import FOLDS
from w2s.methods.knn import Neighbors, neighbor_columns
from w2s.methods.probes import Probes, fit_columns


def fitter(probe: ProbeConfig, rng: np.random.Generator) -> Fit:
    """A function of rows (n, d), targets and weights (n, b).

    Args:
        probe: Which probe.
        rng: Draws the folds of a cross-validation, by row, the same for all columns of a call.
    """

    def fit(x: Array, targets: Array, weights: Array) -> Probes | Neighbors:
        if probe.kind == "knn":
            return neighbor_columns(x, targets, weights=weights, neighbors=probe.neighbors)
        folds = rng.permutation(len(x)) % FOLDS if probe.l2 == "cv" else None
        return fit_columns(x, targets, weights=weights, l2=probe.l2, folds=folds)

    return fit
