"""Stage `synthetic_figures`: the figures of the synthetic study."""

from __future__ import annotations

from typing import Any

from w2s.artifacts import Artifact
from w2s.evaluation.synthetic_figures import (
    detection_figure,
    purity_figure,
    sweep_figure,
    thresholds_figure,
)
from w2s.settings import SyntheticFiguresSettings


def synthetic_figures(
    synthetic: Artifact,
    detection_table: Artifact,
    thresholds_table: Artifact,
    purity_table: Artifact,
    *,
    settings: SyntheticFiguresSettings,
) -> dict[str, Any]:
    """Draw from the tables."""
    del settings
    return {
        "sweeps": sweep_figure(synthetic.arrays, list(dict.fromkeys(synthetic["study"]))),
        "detection": detection_figure(detection_table.arrays),
        "thresholds": thresholds_figure(thresholds_table.arrays),
        "purity": purity_figure(purity_table.arrays),
    }
