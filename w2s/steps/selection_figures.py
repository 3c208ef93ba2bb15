"""Stage `selection_figures`: the figures of source selection of one pair."""

from __future__ import annotations

from typing import Any

from w2s.artifacts import Artifact
from w2s.errors import ArtifactError
from w2s.evaluation.selection_figures import accuracy_figure, pulls_figure, regret_figure
from w2s.settings import SelectionFiguresSettings


def selection_figures(
    rounds: Artifact, sources: Artifact, *, settings: SelectionFiguresSettings
) -> dict[str, Any]:
    """Draw from the tables, one panel for each experiment."""
    titles = dict(settings.titles)
    mine = [
        table.where((table["weak"] == settings.weak) & (table["strong"] == settings.strong)).arrays
        for table in (rounds, sources)
    ]
    missing = [name for name in titles if name not in set(mine[0]["experiment"])]
    if missing:
        raise ArtifactError(
            f"selection_figures: found no rounds of {settings.weak}--{settings.strong} for "
            f"{missing[0]}, expected some"
        )
    drawn = {
        "accuracy": accuracy_figure(mine[0], titles),
        "regret": regret_figure(mine[0], mine[1], titles),
        "pulls": pulls_figure(mine[0], titles),
    }
    for figure in drawn.values():
        figure.suptitle(settings.title)
    return drawn
