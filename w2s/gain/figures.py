"""Figures of the gain: each predictor against it, and how models transfer between datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.gain.track import PREDICTORS
from w2s.overlap.track import PanelsSettings
from w2s.results.drawing import PALETTE, Rows, legend, no_data, panels, select

MARKERS = "osD^vP"  # of pairs of models, in turn
SURE = 0.05  # corrected p value below which a difference is marked
DARK = 0.62  # of a heat map's range, on either side of its middle, beyond which text is white


def predictors_figure(points: Rows, correlations: Rows, titles: Mapping[str, str]) -> Figure:
    """Gain against each predictor: a dot for each seed, and the rank correlations.

    Args:
        points: Columns of the gain table.
        correlations: Columns of the predictors table.
        titles: Title of each dataset by its name.
    """
    pairs = list(dict.fromkeys(zip(points["weak"], points["strong"], strict=True)))
    figure, axes = panels(len(PREDICTORS), height=2.9)
    for ax, (name, shown) in zip(axes, PREDICTORS.items(), strict=True):
        (row,) = select(correlations, predictor=name)
        over, means = (correlations[key][row] for key in ("correlation", "correlation_of_means"))
        labels = " (true labels)" if shown.uses_labels else ""
        ax.set(title=f"{name}{labels}", xlabel=f"rank correlation {_told(over)}, of means "
               f"{_told(means)}", ylabel="gain (w2s - floor)")  # fmt: skip
        ax.axhline(0, color="#bbbbbb", linewidth=0.8)
        for k, (dataset, title) in enumerate(titles.items()):
            for j, (weak, strong) in enumerate(pairs):
                mine = select(points, dataset=dataset, weak=weak, strong=strong)
                label = f"{title}, {weak} → {strong}" if len(pairs) > 1 else title
                ax.plot(points[name][mine], points["gain"][mine], MARKERS[j % len(MARKERS)],
                        color=PALETTE[k % len(PALETTE)], markersize=4, label=label)  # fmt: skip
        if not np.isfinite(points[name] + points["gain"]).any():
            no_data(ax, correlations["reason"][row])
    legend(figure, axes)
    return figure


def _told(value: float) -> str:
    return f"{value:+.2f}" if np.isfinite(value) else "undefined"


def transfer_figure(matrix: Rows, titles: Mapping[str, str]) -> Figure:
    """Accuracy of w2s (left) and its gain (right), trained on a row's and tested on a column's.

    A gain whose corrected p value is below 0.05 has a star. A pair of models is a row of panels.

    Args:
        matrix: Columns of the transfer table.
        titles: Title of each dataset by its name.
    """
    pairs = list(dict.fromkeys(zip(matrix["weak"], matrix["strong"], strict=True)))
    side = 1.4 + 0.45 * len(titles)
    figure, axes = panels(2 * len(pairs), columns=2, height=max(3.2, side), beside=1.2)
    for (left, right), (weak, strong) in zip(
        zip(axes[::2], axes[1::2], strict=True), pairs, strict=True
    ):
        mine = select(matrix, weak=weak, strong=strong)
        where = f"\n{weak} → {strong}" if len(pairs) > 1 else ""
        for ax, name, what in ((left, "w2s", "accuracy of w2s"), (right, "gain", "w2s - floor")):
            ax.set(title=f"{what}{where}", xlabel="tested on")
            _heat(ax, *(_grid(matrix, mine, key, titles) for key in (name, "p_holm")), name=name)
            ax.set_xticks(range(len(titles)), titles.values(), rotation=30, ha="right")
            ax.set_yticks(range(len(titles)), titles.values() if ax is left else [""] * len(titles))
        left.set_ylabel("trained on")
    return figure


def _grid(matrix: Rows, rows: Array, name: str, titles: Mapping[str, str]) -> Array:
    """Values of a column as a matrix: trained on, tested on."""
    order = {dataset: i for i, dataset in enumerate(titles)}
    grid = np.full((len(order), len(order)), np.nan)
    for row in rows:
        grid[order[matrix["train"][row]], order[matrix["test"][row]]] = matrix[name][row]
    return grid


def _heat(ax: Axes, grid: Array, p: Array, *, name: str) -> None:
    """A heat map with its numbers: accuracies from 1/2 to 1, gains around 0."""
    if not np.isfinite(grid).any():
        no_data(ax, "see tables/transfer.csv")
    gains = name == "gain"
    most = float(np.nanmax(np.abs(grid), initial=0.01)) if gains else 1.0
    low, middle = (-most, 0.0) if gains else (0.5, 0.75)
    ax.imshow(grid, vmin=low, vmax=most, cmap="RdBu" if gains else "Blues", aspect="auto")
    for (i, j), value in np.ndenumerate(grid):
        if np.isfinite(value):
            beyond = (value - middle) / (most - middle)
            dark = beyond > DARK or (gains and beyond < -DARK)
            star = "*" if gains and p[i, j] < SURE else ""
            ax.text(j, i, f"{value:{'+' if gains else ''}.3f}{star}", ha="center", va="center",
                    fontsize=8, color="white" if dark else "black")  # fmt: skip


def gain_figures(
    correlations: Artifact, points: Artifact, matrix: Artifact, *, settings: PanelsSettings
) -> dict[str, Any]:
    """Draw from the tables."""
    titles = dict(settings.titles)
    missing = [name for name in titles if name not in set(points["dataset"])]
    if missing:
        raise ArtifactError(f"gain_figures: found no points of {missing[0]}, expected some")
    return {
        "predictors": predictors_figure(points.arrays, correlations.arrays, titles),
        "transfer": transfer_figure(matrix.arrays, titles),
    }
