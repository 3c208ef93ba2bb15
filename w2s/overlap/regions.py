"""Regions of points: what a detector says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.results.metrics import REGIONS


@dataclass(frozen=True)
class Regions:
    """Regions of n points.

    Attributes:
        region: "easy", "hard" or "overlap", shape (n,).
        confidence: 2 |weak_proba - 1/2|, float64 in [0, 1], shape (n,).
        score: Overlap score, float64, NaN for hard points, shape (n,).
        tau_hard: Points below this confidence are hard.
        tau_overlap: Points that are not hard and have this score or more are overlap points.
    """

    region: Array
    confidence: Array
    score: Array
    tau_hard: float
    tau_overlap: float

    def __repr__(self) -> str:
        """The shares of the regions and the thresholds; the arrays are long."""
        shares = ", ".join(f"{name} {self.share(name):.3f}" for name in REGIONS)
        taus = f"tau_hard={self.tau_hard:.4g}, tau_overlap={self.tau_overlap:.4g}"
        return f"Regions(n={len(self.region)}: {shares}; {taus})"

    @property
    def density(self) -> float:
        """Overlap points / all points."""
        return self.share("overlap")

    def share(self, region: str) -> float:
        """Points of a region / all points."""
        return float(np.mean(self.region == region))
