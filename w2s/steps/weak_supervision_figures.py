"""Stage `weak_supervision_figures`: the figures of weak supervision."""

from __future__ import annotations

from typing import Any

from w2s.artifacts import Artifact
from w2s.evaluation.figures import contrasts_figure
from w2s.evaluation.weak_supervision_figures import lf_figure, mixes_figure
from w2s.settings import WeakSupervisionFiguresSettings


def weak_supervision_figures(
    lf_analysis: Artifact,
    weak_supervision: Artifact,
    comparisons: Artifact,
    *,
    settings: WeakSupervisionFiguresSettings,
) -> dict[str, Any]:
    """Draw from the tables."""
    titles = dict(settings.titles)
    return {
        "lfs": lf_figure(lf_analysis.arrays, titles),
        "mixes": mixes_figure(weak_supervision.arrays, titles),
        "contrasts": contrasts_figure(comparisons.arrays, titles),
    }
