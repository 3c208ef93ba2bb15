"""Figures of source selection: accuracy, regret and pulls over the rounds.

Each takes columns of tables of one pair and `titles`: the title of each experiment by its name, in
the order of the panels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.overlap.track import FiguresSettings
from w2s.results.drawing import Rows, banded, legend, no_data, paired_panels, panels, select
from w2s.selection.track import POLICIES


def _curves(ax: Axes, rounds: Rows, experiment: str, column: str, *, bands: bool = True) -> None:
    """A line for each policy; a note if there is no value.

    Args:
        ax: Where to draw.
        rounds: Columns of the rounds table.
        experiment: Which rows.
        column: What to draw.
        bands: With the intervals of policies that are shown with them.
    """
    here = select(rounds, experiment=experiment)
    if not np.isfinite(rounds[column][here]).any():
        no_data(ax, "no rounds: see tables/selection.csv")
    for policy in dict.fromkeys(rounds["policy"][here]):
        rows = select(rounds, experiment=experiment, policy=policy)
        rows = rows[np.isfinite(rounds[column][rows])]
        shown = POLICIES[policy]
        band = (f"{column}_lo", f"{column}_hi") if shown.band and bands else None
        banded(ax, rounds, rows, "round", column, color=shown.color, label=policy,
               style=shown.style, band=band)  # fmt: skip


def accuracy_figure(rounds: Rows, titles: Mapping[str, str]) -> Figure:
    """Test accuracy against rounds, trained on all points (top) and on overlap points (bottom)."""
    figure, top, bottom = paired_panels(len(titles))
    for upper, lower, (experiment, title) in zip(top, bottom, titles.items(), strict=True):
        for ax, name, told in ((upper, "all", "all points"), (lower, "overlap", "overlap points")):
            ax.set(xlabel="round", ylabel=f"test accuracy, {told}")
            _curves(ax, rounds, experiment, f"accuracy_{name}")
        upper.set_title(title)
    legend(figure, [*top, *bottom])
    return figure


def regret_figure(rounds: Rows, sources: Rows, titles: Mapping[str, str]) -> Figure:
    """Cumulative regret (top), and regret per round beside the bound sqrt(K ln T / t) (bottom).

    The table of sources tells how many there are.
    """
    per_round = {**rounds, "regret": rounds["regret"] / rounds["round"]}
    figure, top, bottom = paired_panels(len(titles))
    for upper, lower, (experiment, title) in zip(top, bottom, titles.items(), strict=True):
        upper.set(title=title, xlabel="round t", ylabel="cumulative regret")
        lower.set(xlabel="round t", ylabel="regret per round", yscale="log")
        _curves(upper, rounds, experiment, "regret")
        _curves(lower, per_round, experiment, "regret", bands=False)
        t = np.unique(rounds["round"][select(rounds, experiment=experiment)])
        k = len(set(sources["source"][select(sources, experiment=experiment)]))
        if k:
            bound = np.sqrt(k * np.log(t.max()) / t)
            lower.plot(t, bound, ":", color="#888888", label="sqrt(K ln T / t)")
    legend(figure, [*top, *bottom])
    return figure


def pulls_figure(rounds: Rows, titles: Mapping[str, str]) -> Figure:
    """Share of the pulls so far that went to the densest source."""
    figure, axes = panels(len(titles))
    for ax, (experiment, title) in zip(axes, titles.items(), strict=True):
        ax.set(
            title=title, xlabel="round", ylabel="pulls of the densest source", ylim=(-0.02, 1.02)
        )
        _curves(ax, rounds, experiment, "best_share")
    legend(figure, axes)
    return figure


def selection_figures(
    rounds: Artifact, sources: Artifact, *, settings: FiguresSettings
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
