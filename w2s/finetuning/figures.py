"""Figures of fine-tuning: accuracy beside that of probes, and how the models learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.finetuning.track import LOSSES
from w2s.overlap.track import PanelsSettings
from w2s.results.drawing import COLORS, COLUMNS, Rows, no_data, panels, select

SELF_TRAINED = "#000000"  # one colour for all rounds, told apart by dashes
DASHES = ("-", "--", ":", "-.")
BOUNDS = ("floor", "ceiling")
NOTE: dict[str, Any] = {"color": "#666666", "fontsize": 8,
                        "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1}}  # fmt: skip
SHIFT = 0.16  # fine-tuned models to the left of their place, probes to the right


def _color(control: str) -> str:
    shown = LOSSES.get(control)
    return shown.color if shown else COLORS.get(control, SELF_TRAINED)


def _dash(control: str) -> str:
    number = control.rpartition("_")[2]
    return DASHES[(int(number) - 1) % len(DASHES)] if number.isdigit() else "-"


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """One legend below all panels, no wider than the figure: an entry takes up to an inch."""
    columns = int(figure.get_figwidth())
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False,
                  fontsize=9, handlelength=1.6, columnspacing=1.4)  # fmt: skip


def accuracy_figure(table: Rows, titles: Mapping[str, str]) -> Figure:
    """Test accuracy of fine-tuned models and of the probes in their place.

    One panel for each dataset; with several pairs, all panels of a pair after those of another.

    Args:
        table: Columns of the fine-tuning table.
        titles: Title of each dataset, in the order of the panels.
    """
    pairs = list(dict.fromkeys(zip(table["weak"], table["strong"], strict=True)))
    figure, axes = panels(len(pairs) * len(titles), height=3.6, columns=min(len(titles), COLUMNS))
    wanted = ((pair, item) for pair in pairs for item in titles.items())
    for ax, ((weak, strong), (dataset, title)) in zip(axes, wanted, strict=True):
        _accuracies(ax, table, select(table, dataset=dataset, weak=weak, strong=strong))
        ax.set(title=title, ylabel="test accuracy")
        if len(pairs) > 1:
            ax.set_title(f"{title}\n{weak} → {strong}", fontsize=9)  # names may be long
    _legend(
        figure,
        [
            Line2D([], [], linestyle="", marker="o", color="#333333", label="fine-tuned"),
            Line2D([], [], linestyle="", marker="o", color="#333333", mfc="none", label="probe"),
            *(Line2D([], [], linestyle="--", color=COLORS[b], label=b) for b in BOUNDS),
        ],
    )
    return figure


def _accuracies(ax: Axes, table: Rows, rows: Array) -> None:
    """A fine-tuned model and its probe side by side, for each row; what is absent says so."""
    value, probe = table["accuracy"], table["probe_accuracy"]
    known = np.isfinite(value[rows])
    if not known.any():
        why = table["reason"][rows[0]].partition("; ")[0] if len(rows) else ""
        no_data(ax, fill(why, 36))  # characters that fit into a panel
    for place, i in enumerate(rows if known.any() else []):
        color = _color(table["control"][i])
        if not np.isfinite(value[i]):
            _note(ax, place, "no value")
            continue
        if table["control"][i] in BOUNDS:
            ax.axhline(value[i], linestyle="--", color=color, linewidth=1, zorder=1)
        ends = [table["accuracy_lo"][i], table["accuracy_hi"][i]]
        ax.plot([place - SHIFT] * 2, ends, "_-", color=color, linewidth=1.2)
        ax.plot(place - SHIFT, value[i], "o", markersize=5, color=color)
        if np.isfinite(probe[i]):
            ax.plot(place + SHIFT, probe[i], "o", markersize=5, color=color, mfc="white")
        else:
            _note(ax, place + 2 * SHIFT, "no probe")
    ax.set_xticks(range(len(rows)), table["control"][rows], rotation=40, ha="right",
                  rotation_mode="anchor")  # fmt: skip
    ax.set_xlim(-0.6, max(len(rows), 1) - 0.4)


def _note(ax: Axes, place: float, words: str) -> None:
    """Say at a place of the x axis what is absent there."""
    ax.text(place, 0.04, words, rotation=90, ha="center", **NOTE,
            transform=ax.get_xaxis_transform())  # fmt: skip


def learning_figure(
    trainings: Mapping[str, Sequence[Rows]], titles: Mapping[str, str], controls: Sequence[str]
) -> Figure:
    """AUROC on val against epochs, one panel for each dataset, a thin line for each seed.

    Args:
        trainings: Per dataset the columns `control`, `epoch`, `val_auroc` and `kept` of each
            artifact.
        titles: Title of each dataset, in the order of the panels.
        controls: Which trainings, in this order; a panel names those without a curve.
    """
    figure, axes = panels(len(titles))
    for ax, (dataset, title) in zip(axes, titles.items(), strict=True):
        ax.set(title=title, xlabel="epoch", ylabel="AUROC on val")
        drawn = {c for looks in trainings[dataset] for c in controls if _learning(ax, looks, c)}
        absent = [control for control in controls if control not in drawn]
        if not drawn:
            no_data(ax, "no AUROC on val")
        elif absent:
            note = fill(f"no values: {', '.join(absent)}", 36)
            ax.text(0.98, 0.03, note, ha="right", **NOTE, transform=ax.transAxes)
    handles = [Line2D([], [], color=_color(c), linestyle=_dash(c), label=c) for c in controls]
    kept = Line2D([], [], linestyle="", marker="o", color="#333333", markersize=4, label="kept")
    _legend(figure, [*handles, kept])
    return figure


def _learning(ax: Axes, looks: Rows, control: str) -> bool:
    """The curve of one training, with a dot at the look that was kept; whether there is one."""
    rows = select(looks, control=control)
    rows = rows[np.isfinite(looks["val_auroc"][rows])]
    rows = rows[np.argsort(looks["epoch"][rows])]
    if not len(rows):
        return False
    x, y = looks["epoch"][rows], looks["val_auroc"][rows]
    color = _color(control)
    ax.plot(x, y, _dash(control), color=color, linewidth=0.8, alpha=0.6)
    kept = looks["kept"][rows]
    ax.plot(x[kept], y[kept], "o", color=color, markersize=3.5)
    return True


def finetuning_figures(
    finetuning: Artifact, training: Sequence[Artifact], *, settings: PanelsSettings
) -> dict[str, Any]:
    """Draw accuracies from the table, and how the models learned from their trainings."""
    titles = dict(settings.titles)
    looks: dict[str, list[Any]] = {name: [] for name in titles}
    for item in training:
        looks.setdefault(item.facts["dataset"], []).append(item.arrays)
    for dataset in titles:
        rows = int((finetuning["dataset"] == dataset).sum())
        if not rows or not looks[dataset]:
            raise ArtifactError(
                f"finetuning_figures: found {rows} rows and {len(looks[dataset])} trainings of "
                f"{dataset}, expected some of both"
            )
    controls = list(dict.fromkeys(finetuning["control"]))
    return {
        "accuracy": accuracy_figure(finetuning.arrays, titles),
        "learning": learning_figure(looks, titles, controls),
    }
