"""Figures of arms: accuracy against budget, and differences to matched random points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2s.arms.track import DRAWN, FLIPPED, SELECTORS
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.overlap.track import FiguresSettings
from w2s.results.drawing import PALETTE, Rows, banded, legend, no_data, panels, select

LINES = {"high": "-", "middle": "-.", "low": ":", FLIPPED: "--"}
GREY = "#888888"


def label_of(selector: str) -> str:
    """Name of a selector in figures; that of a user's own is its name."""
    return SELECTORS[selector].label if selector in SELECTORS else selector


def colors_of(selectors: Sequence[str]) -> dict[str, str]:
    """Their colours; those of a user's own are taken in turn."""
    own = [name for name in selectors if name not in SELECTORS]
    found = {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(own)}
    return {name: found.get(name) or SELECTORS[name].color for name in selectors}


def budgets_figure(arms: Rows, titles: Mapping[str, str]) -> Figure:
    """Test accuracy against the budget: a row of panels for each selector, of one student.

    The grey band is the interval of random points, balanced as the arms are.
    """
    selectors = [name for name in dict.fromkeys(arms["selector"]) if name != DRAWN]
    places = [(name, selector) for selector in selectors for name in titles]
    figure, axes = panels(len(places), height=2.4, columns=len(titles))
    for ax, (name, selector) in zip(axes, places, strict=True):
        ax.set_title(f"{titles[name]}: {label_of(selector)}", fontsize=9)
        ax.set(xlabel="share of the pool", ylabel="test accuracy")
        _budget_lines(ax, arms, name, selector)
    legend(figure, axes)
    return figure


def _budget_lines(ax: Axes, arms: Rows, dataset: str, selector: str) -> None:
    rows = select(arms, dataset=dataset, selector=DRAWN)
    banded(ax, arms, rows, "budget", "accuracy", color=GREY, label="random points", style="--",
           band=("accuracy_lo", "accuracy_hi"))  # fmt: skip
    for band, style in LINES.items():
        rows = select(arms, dataset=dataset, selector=selector, band=band)
        if not len(rows):
            continue
        if not np.isfinite(arms["accuracy"][rows]).any():
            no_data(ax, str(arms["reason"][rows][0]), beside=True)
            continue
        banded(ax, arms, rows, "budget", "accuracy", color=PALETTE[0], style=style,
               label=band if band == FLIPPED else f"{band} scores")  # fmt: skip


def forest_figure(arms: Rows, titles: Mapping[str, str], budget: float) -> Figure:
    """Differences of each arm to random points of the same label accuracy, at one budget.

    Filled where p, corrected for the number of arms in the table, is below .05.
    """
    here = (arms["budget"] == budget) & (arms["selector"] != DRAWN)
    names = list(
        dict.fromkeys(zip(arms["selector"][here], arms["band"][here], strict=True))
    )  # selector and band, in the order of the table
    colors = colors_of(list(dict.fromkeys(selector for selector, _ in names)))
    height = 1.2 + 0.2 * len(names)
    figure, axes = panels(len(titles), height=height, beside=1.6)
    for number, (ax, (name, title)) in enumerate(zip(axes, titles.items(), strict=True)):
        ax.set(title=title, xlabel="accuracy, minus purity-matched random")
        ax.axvline(0, color=GREY, linewidth=0.8)
        ax.locator_params(axis="x", nbins=4)
        ax.set_yticks(range(len(names)))
        told = [f"{label_of(selector)}, {band}" for selector, band in names]
        ax.set_yticklabels(told if number % 4 == 0 else [""] * len(told), fontsize=7)
        ax.set_ylim(len(names) - 0.5, -0.5)
        for y, (selector, band) in enumerate(names):
            for i in select(arms, dataset=name, selector=selector, band=band):
                if arms["budget"][i] == budget:
                    _difference(ax, arms, i, y, colors[selector])
        mine = np.flatnonzero((arms["dataset"] == name) & here)
        if not np.isfinite(arms["minus_purity_matched"][mine]).any():
            no_data(ax, next(filter(None, arms["reason"][mine]), ""))
    return figure


def _difference(ax: Axes, arms: Rows, i: int, y: int, color: str) -> None:
    mean, low, high = (arms[f"minus_purity_matched{end}"][i] for end in ("", "_lo", "_hi"))
    if not np.isfinite(mean):
        return
    ax.plot([low, high], [y, y], color=color, linewidth=1.4)
    sure = arms["p_holm"][i] < 0.05
    ax.plot(mean, y, "o", color=color, markersize=5, markerfacecolor=color if sure else "white")


def arms_figures(arms: Artifact, *, settings: FiguresSettings) -> dict[str, Any]:
    """Draw from the table, the first student's arms; the forest at the budget nearest a half."""
    pair = (arms["weak"] == settings.weak) & (arms["strong"] == settings.strong)
    titles = dict(settings.titles)
    missing = [name for name in titles if name not in set(arms["dataset"][pair])]
    if missing:
        raise ArtifactError(
            f"arms_figures: found no arms of {settings.weak}--{settings.strong} for {missing[0]}, "
            "expected some"
        )
    mine = arms.where(pair & (arms["student"] == arms["student"][pair][0])).arrays
    budgets = sorted(set(mine["budget"].tolist()), key=lambda budget: (abs(budget - 0.5), budget))
    drawn = {
        "budgets": budgets_figure(mine, titles),
        "forest": forest_figure(mine, titles, budgets[0]),
    }
    for figure in drawn.values():
        figure.suptitle(f"{settings.title}: {mine['student'][0]} students")
    return drawn
