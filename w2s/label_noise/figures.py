"""The figure of label noise: finding it, filtering and relabelling, against its rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.label_noise.track import METHODS
from w2s.overlap.track import FiguresSettings
from w2s.results.drawing import Rows, banded, legend, no_data, panels, select

SHOWN = {  # columns of the table, and what their axes say
    "auroc": "AUROC of finding flipped labels",
    "filtered_minus_noisy": "accuracy, filtered - noisy",
    "relabelled_minus_noisy": "accuracy, relabelled - noisy",
}


def noise_figure(rows: Rows, titles: Mapping[str, str]) -> Figure:
    """A line of panels for each dataset and kind of noise: a curve for each method.

    Args:
        rows: Columns of the table of one pair.
        titles: Title of each dataset by its name, in the order of the panels.
    """
    lines = [(d, kind) for d in titles for kind in dict.fromkeys(rows["noise"])]
    figure, axes = panels(len(SHOWN) * len(lines), columns=len(SHOWN))
    for k, ax in enumerate(axes):
        line, place = divmod(k, len(SHOWN))
        (dataset, kind), (column, told) = lines[line], list(SHOWN.items())[place]
        name = "" if place else f"{titles[dataset]}, {kind}"
        ax.set(title=name, xlabel="share of flipped labels", ylabel=told)
        here = select(rows, dataset=dataset, noise=kind)
        if not np.isfinite(rows[column][here]).any():
            no_data(ax, next(filter(None, rows["reason"][here]), ""))
        if column != "auroc":
            ax.axhline(0, color="#888888", linewidth=0.8)
        for method in dict.fromkeys(rows["method"][here]):
            mine = select(rows, dataset=dataset, noise=kind, method=method)
            if column == "relabelled_minus_noisy" and method == "random":
                continue  # far below all others: flips labels that are right
            shown = METHODS[method]
            band = (f"{column}_lo", f"{column}_hi") if method == "logistic" else None
            banded(ax, rows, mine, "rate", column, color=shown.color, label=method,
                   style=shown.style, band=band)  # fmt: skip
    legend(figure, axes)
    return figure


def label_noise_figures(table: Artifact, *, settings: FiguresSettings) -> dict[str, Any]:
    """Draw from the table, a line of panels for each dataset and kind of noise."""
    titles = dict(settings.titles)
    of_pair = (table["weak"] == settings.weak) & (table["strong"] == settings.strong)
    mine = table.where(of_pair).arrays
    missing = [name for name in titles if name not in set(mine["dataset"])]
    if missing:
        raise ArtifactError(
            f"label_noise_figures: found no rows of {settings.weak}--{settings.strong} for "
            f"{missing[0]}, expected some"
        )
    figure = noise_figure(mine, titles)
    figure.suptitle(settings.title)
    return {"label_noise": figure}
