"""Figures of the synthetic study: accuracies along a sweep, detection, thresholds, purity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2s.checks import Array
from w2s.files.artifacts import Artifact
from w2s.results.drawing import COLORS, PALETTE, Rows, banded, legend, panels, select
from w2s.synthetic.track import STUDIES, SyntheticFiguresSettings

MODELS = {"weak": "floor", "strong": "ceiling", "w2s": "w2s"}  # and the names of their colors
ARMS = {  # columns of the purity table
    "overlap points": ("with_overlap", PALETTE[0]),
    "easy points instead": ("with_easy", PALETTE[1]),
}
CUTS = ("tau_overlap quantile 0.7", "both quantiles")  # options that only move a threshold
GROUPS = ("overall", "hard", "overlap", "easy")


def sweep_figure(table: Rows, studies: Sequence[str]) -> Figure:
    """Accuracy against the number of points that is swept, a row for each sweep, fixed mixture.

    Args:
        table: Columns of the synthetic table.
        studies: The sweeps.
    """
    figure, axes = panels(len(GROUPS) * len(studies))
    for i, ax in enumerate(axes):
        study, group = studies[i // len(GROUPS)], GROUPS[i % len(GROUPS)]
        what = STUDIES[study].removeprefix("n_")
        ax.set(title=f"sweep '{study}', {group} test points", xlabel=f"{what} points in training")
        ax.set_ylabel("accuracy")
        for model, name in MODELS.items():
            rows = select(table, study=study, group=group, model=model, mixture="fixed")
            banded(ax, table, rows, STUDIES[study], "accuracy", color=COLORS[name], label=model,
                   band=("lo", "hi"))  # fmt: skip
        if i % len(GROUPS):
            ax.sharey(axes[i - i % len(GROUPS)])
    legend(figure, axes)
    return figure


def detection_figure(table: Rows) -> Figure:
    """Heat maps of the AUROC of overlap points: options of the detector against each axis."""
    axis_names = list(dict.fromkeys(table["axis"]))
    # the ranking of scores does not depend on where it is cut
    variants = [v for v in dict.fromkeys(table["variant"]) if v not in CUTS]
    figure, axes = panels(len(axis_names), height=3.0)
    figure.suptitle("AUROC of overlap points among those not found to be hard")
    for k, (ax, name) in enumerate(zip(axes, axis_names, strict=True)):
        rows = select(table, axis=name, target="overlap", metric="auroc")
        values = list(dict.fromkeys(table["setting"][rows].tolist()))
        grid = np.full((len(variants), len(values)), np.nan)
        for row in rows[np.isin(table["variant"][rows], variants)]:
            place = variants.index(table["variant"][row]), values.index(table["setting"][row])
            grid[place] = table["value"][row]
        _heat(ax, grid, [f"{value:g}" for value in values], variants if k % 4 == 0 else None)
        ax.set(xlabel=name.replace("_", " "))
    return figure


def _heat(ax: Axes, grid: Array, columns: Sequence[str], lines: Sequence[str] | None) -> None:
    """A heat map on [0, 1] with its numbers; no names of the lines where they are not given."""
    ax.imshow(grid, vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            color = "white" if value < 0.6 else "black"
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    ax.set_xticks(range(len(columns)), columns)
    ax.set_yticks(range(len(grid)), lines or [""] * len(grid))


def thresholds_figure(table: Rows) -> Figure:
    """Heat maps over both thresholds: precision and recall of hard and of overlap points."""
    figure, axes = panels(4, height=3.4)
    wanted = [
        (target, metric) for target in ("hard", "overlap") for metric in ("precision", "recall")
    ]
    for ax, (target, metric) in zip(axes, wanted, strict=True):
        rows = select(table, target=target, metric=metric)
        hard, overlap = (
            sorted(set(table[name][rows].tolist())) for name in ("tau_hard", "tau_overlap")
        )
        grid = np.full((len(hard), len(overlap)), np.nan)
        for row in rows:
            place = hard.index(table["tau_hard"][row]), overlap.index(table["tau_overlap"][row])
            grid[place] = table["value"][row]
        _heat(ax, grid, [f"{q:g}" for q in overlap], [f"{q:g}" for q in hard])
        ax.set(title=f"{metric} of {target} points")
        ax.set(xlabel="tau_overlap (quantile)", ylabel="tau_hard (quantile)")
    return figure


def purity_figure(table: Rows) -> Figure:
    """Hard-only accuracy of w2s with overlap points and with easy points instead."""
    others = list(dict.fromkeys(table["others"]))
    figure, axes = panels(len(others))
    for ax, name in zip(axes, others, strict=True):
        rows = select(table, others=name)
        at = table["n_overlap"][rows]
        for label, (column, color) in ARMS.items():
            ax.plot(at, table[column][rows], "o-", color=color, label=label, markersize=3)
        ax.fill_between(  # of the paired difference, added to the second line
            at, *(table["with_easy"][rows] + table[end][rows] for end in ("lo", "hi")),
            color=ARMS["overlap points"][1], alpha=0.18, linewidth=0,
        )  # fmt: skip
        besides = "nothing besides" if name == "none" else f"100 {name} points besides"
        ax.set(title=besides, xlabel="points", ylabel="w2s, accuracy on hard points")
        ax.sharey(axes[0])
    legend(figure, axes)
    return figure


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
