"""Figures of weak supervision: labeling functions, and mixes under plain and pure conditions.

Each takes columns of a table and `titles`: the title of each dataset by its name, in the order of
the panels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2s.checks import Array
from w2s.files.artifacts import Artifact
from w2s.overlap.figures import contrasts_figure
from w2s.overlap.track import PanelsSettings
from w2s.results.drawing import PALETTE, Rows, banded, legend, no_data, panels, select
from w2s.weak_supervision.track import CURVES, LABEL_MODELS


def lf_figure(table: Rows, titles: Mapping[str, str]) -> Figure:
    """Accuracy against coverage of each labeling function."""
    figure, axes = panels(len(titles))
    for ax, (dataset, title) in zip(axes, titles.items(), strict=True):
        rows = select(table, dataset=dataset)
        ax.axhline(0.5, color="#bbbbbb", linewidth=0.8)
        if not np.isfinite(table["accuracy"][rows]).any():
            no_data(ax, "no function votes")
        ax.plot(
            table["coverage"][rows], table["accuracy"][rows], "o", color=PALETTE[0], markersize=4
        )
        for i in rows[np.isfinite(table["accuracy"][rows])]:
            ax.annotate(
                table["lf"][i], (table["coverage"][i], table["accuracy"][i]), fontsize=6,
                textcoords="offset points", xytext=(3, 3),
            )  # fmt: skip
        ax.set(title=title, xlabel="coverage", ylabel="accuracy of votes", xlim=(-0.05, 1.15))
    return figure


def mixes_figure(table: Rows, titles: Mapping[str, str]) -> Figure:
    """Test accuracy against the share of overlap points: a row of panels for each student."""
    students = list(dict.fromkeys(table["strong"]))
    figure, axes = panels(len(students) * len(titles), columns=len(titles))
    for k, ax in enumerate(axes):
        student, dataset = students[k // len(titles)], list(titles)[k % len(titles)]
        here = select(table, strong=student, dataset=dataset)
        lacking = [
            model
            for model in dict.fromkeys(table["label_model"])
            if not _mixes(ax, table, here[table["label_model"][here] == model], model)
        ]
        if lacking:
            no_data(ax, f"no mixes of {', '.join(lacking)}: see tables/weak_supervision.csv")
        ax.set(title=f"{titles[dataset]}, {student}", xlabel="share of overlap points")
        ax.set_ylabel("test accuracy")
    legend(figure, axes)
    return figure


def _mixes(ax: Axes, table: Rows, here: Array, model: str) -> bool:
    """Curves of one label model among some rows, and its own accuracy; whether there are curves."""
    here = here[np.isfinite(table["accuracy"][here])]
    color = LABEL_MODELS[model].color
    for i in here[table["control"][here] == "label_model"]:
        label = f"{model} itself"
        ax.axhline(table["accuracy"][i], linestyle="-.", linewidth=0.9, color=color, label=label)
    drawn = False
    for control, style in CURVES.items():
        rows = here[table["control"][here] == control]
        if len(rows):
            drawn, band = True, ("lo", "hi") if control == "plain" else None
            label = f"{model}, {control.replace('_', ' ')}"
            banded(ax, table, rows, "proportion", "accuracy", color=color, label=label,
                   style=style, band=band)  # fmt: skip
    return drawn


def weak_supervision_figures(
    lf_analysis: Artifact,
    weak_supervision: Artifact,
    comparisons: Artifact,
    *,
    settings: PanelsSettings,
) -> dict[str, Any]:
    """Draw from the tables."""
    titles = dict(settings.titles)
    return {
        "lfs": lf_figure(lf_analysis.arrays, titles),
        "mixes": mixes_figure(weak_supervision.arrays, titles),
        "contrasts": contrasts_figure(comparisons.arrays, titles),
    }
