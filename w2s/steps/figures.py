"""Stage `figures`: the figures of one pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s.artifacts import Artifact
from w2s.errors import ArtifactError
from w2s.evaluation.figures import (
    contrasts_figure,
    controls_figure,
    curves_figure,
    mixing_figure,
    regions_figure,
)
from w2s.settings import FiguresSettings


def figures(
    main: Artifact,
    mixing_table: Artifact,
    region_table: Artifact,
    comparisons: Artifact,
    regions: Sequence[Artifact],
    *,
    settings: FiguresSettings,
) -> dict[str, Any]:
    """Draw from the tables; the score curves are those of the first seed."""
    titles = dict(settings.titles)
    tables = [
        table.where((table["weak"] == settings.weak) & (table["strong"] == settings.strong))
        for table in (main, mixing_table, region_table, comparisons)
    ]
    known = set(tables[0]["dataset"]) & {found.facts["dataset"] for found in regions}
    missing = [name for name in titles if name not in known]
    if missing:
        raise ArtifactError(
            f"figures: found no rows of {settings.weak}--{settings.strong} for {missing[0]}, "
            f"expected some in tables and regions"
        )
    curves = {}
    for found in regions:
        train = found.where(found["part"] == "strong_train")
        curves[found.facts["dataset"]] = {**train.arrays, **found.facts}
    drawn = {
        "mixing": mixing_figure(tables[0].arrays, tables[1].arrays, titles),
        "controls": controls_figure(tables[1].arrays, titles),
        "contrasts": contrasts_figure(tables[3].arrays, titles),
        "curves": curves_figure(curves, titles),
        "by_region": regions_figure(tables[2].arrays, titles),
    }
    for figure in drawn.values():
        figure.suptitle(settings.title)
    return drawn
