"""Figures of the paper: mixing curves, their controls and contrasts, score curves, regions.

Each takes columns of tables, of one pair unless it says otherwise, and `titles`: the title of each
dataset by its name, in the order of the panels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.overlap.track import CONTROLS, FiguresSettings
from w2s.results.drawing import (
    COLORS,
    COLUMNS,
    LETTER,
    PALETTE,
    Rows,
    banded,
    legend,
    no_data,
    paired_panels,
    panels,
    select,
)
from w2s.results.metrics import MODELS, REFERENCES, REGIONS

SURE = 0.05  # corrected p value below which a difference is marked


def _curve(
    ax: Axes, mixing: Rows, rows: Array, name: str, *, band: tuple[str, str] | None = None
) -> None:
    """The curve of a control over the proportion."""
    shown = CONTROLS[name]
    banded(ax, mixing, rows, "proportion", "accuracy", color=shown.color, label=name,
           style=shown.style, band=band)  # fmt: skip


def mixing_figure(main: Rows, mixing: Rows, titles: Mapping[str, str]) -> Figure:
    """Test accuracy against the share of overlap points, or of placebo points in their place."""
    figure, axes = panels(len(titles))
    for ax, (dataset, title) in zip(axes, titles.items(), strict=True):
        ax.set(title=title, xlabel="share of overlap points", ylabel="test accuracy")
        controls = [name for name, shown in CONTROLS.items() if shown.band]
        rows = {name: select(mixing, dataset=dataset, control=name) for name in controls}
        known = {name: mine[np.isfinite(mixing["accuracy"][mine])] for name, mine in rows.items()}
        if not len(known["plain"]):
            why = mixing["reason"][rows["plain"][0]] if len(rows["plain"]) else ""
            no_data(ax, why, beside=any(map(len, known.values())))
        for name, mine in known.items():
            if len(mine):
                _curve(ax, mixing, mine, name, band=("lo", "hi"))
        for name in MODELS:
            i = select(main, dataset=dataset)[0]
            ax.axhline(main[name][i], color=COLORS[name], label=name, linewidth=1.2)
            ax.axhspan(main[f"{name}_lo"][i], main[f"{name}_hi"][i], color=COLORS[name], alpha=0.1)
    legend(figure, axes)
    return figure


def controls_figure(mixing: Rows, titles: Mapping[str, str]) -> Figure:
    """Every curve of overlap points.

    Without bands, and of the placebos the plain one only: see `contrasts_figure`.
    """
    figure, axes = panels(len(titles), height=3.8)
    for ax, (dataset, title) in zip(axes, titles.items(), strict=True):
        ax.set(title=title, xlabel="share of overlap points", ylabel="test accuracy")
        here = select(mixing, dataset=dataset)
        controls = [
            name
            for name in dict.fromkeys(mixing["control"][here])
            if name in REFERENCES or (name in CONTROLS and CONTROLS[name].color)
        ]
        reasons = []
        for control in controls:
            rows = select(mixing, dataset=dataset, control=control)
            known = rows[np.isfinite(mixing["accuracy"][rows])]
            if not len(known):
                reasons.append(f"{control}: {mixing['reason'][rows[0]]}")
            elif np.isfinite(mixing["proportion"][known]).any():
                _curve(ax, mixing, known, control)
            elif control not in REFERENCES:
                shown, value = CONTROLS[control], mixing["accuracy"][known[0]]
                ax.axhline(value, linestyle=shown.style, color=shown.color, label=control)
        if reasons and len(reasons) == len(controls):
            no_data(ax, reasons[0])
    legend(figure, axes)
    return figure


def contrasts_figure(comparisons: Rows, titles: Mapping[str, str]) -> Figure:
    """What overlap points change under each control: differences with intervals.

    A dot is filled where Holm's correction leaves p below 0.05. Several pairs of models are drawn
    beside each other.
    """
    mine = (comparisons["group"] == "overall") & [
        ": " in name for name in comparisons["comparison"]
    ]
    names = list(dict.fromkeys(comparisons["comparison"][mine]))
    pairs = list(dict.fromkeys(zip(comparisons["weak"], comparisons["strong"], strict=True)))
    step = 0.7 / max(len(pairs), 1)
    figure, axes = panels(
        len(titles),
        height=1.6 + 0.2 * len(names) * max(1, len(pairs) / 2),
        beside=0.3 + LETTER * 7 * max(map(len, names), default=0),
    )
    for k, (ax, (dataset, title)) in enumerate(zip(axes, titles.items(), strict=True)):
        ax.axvline(0, color="#bbbbbb", linewidth=0.8)
        for number, (weak, strong) in enumerate(pairs):
            rows = select(comparisons, dataset=dataset, weak=weak, strong=strong)
            rows = rows[mine[rows] & np.isfinite(comparisons["difference"][rows])]
            place = np.array([names.index(name) for name in comparisons["comparison"][rows]])
            value = comparisons["difference"][rows]
            bars = np.abs([comparisons[end][rows] - value for end in ("lo", "hi")])
            color = PALETTE[number % len(PALETTE)]
            y = place + step * (number - (len(pairs) - 1) / 2)
            label = f"{weak}, {strong}" if len(pairs) > 1 else "difference of test accuracies"
            ax.errorbar(value, y, xerr=bars, fmt="none", color=color, linewidth=1.2)
            sure = comparisons["p_holm"][rows] < SURE
            ax.plot(value[sure], y[sure], "o", color=color, markersize=4)
            ax.plot(value, y, "o", color=color, markersize=4, fillstyle="none", label=label)
        here = np.flatnonzero(mine & (comparisons["dataset"] == dataset))
        if not np.isfinite(comparisons["difference"][here]).any():
            no_data(ax, comparisons["reason"][here[0]] if len(here) else "")
        ax.set_yticks(
            range(len(names)), names if k % COLUMNS == 0 else [""] * len(names), fontsize=7
        )
        ax.set(title=title, xlabel="difference of test accuracies", ylim=(len(names) - 0.4, -0.6))
        ax.locator_params(axis="x", nbins=5)
    if len(pairs) > 1:
        legend(figure, axes)
    return figure


def curves_figure(scores: Mapping[str, Rows], titles: Mapping[str, str]) -> Figure:
    """Sorted confidences (top) and overlap scores (bottom) with their change points.

    Args:
        scores: Per dataset `confidence`, `score` (n,), `tau_hard`, `tau_overlap` and `reason` of
            one seed's training points.
        titles: See above.
    """
    figure, top, bottom = paired_panels(len(titles))
    for upper, lower, (dataset, title) in zip(top, bottom, titles.items(), strict=True):
        data = scores[dataset]
        score = data["score"][np.isfinite(data["score"])]
        for ax, values, tau, name in (
            (upper, data["confidence"], data["tau_hard"], "confidence"),
            (lower, score, data["tau_overlap"], "overlap score"),
        ):
            ax.set(xlabel="points, sorted", ylabel=name)
            if tau is None:
                no_data(ax, data["reason"])
            else:
                _split_curve(ax, np.sort(values), tau, name)
        upper.set_title(title)
    legend(figure, [*top, *bottom])
    return figure


def _split_curve(ax: Axes, ordered: Array, tau: float, name: str) -> None:
    below, above = ("hard", "not hard") if name == "confidence" else ("easy", "overlap")
    cut = int(np.searchsorted(ordered, tau))
    place = np.arange(len(ordered))
    colors = {"hard": COLORS["hard"], "not hard": "#666666"} | {
        region: COLORS[region] for region in ("easy", "overlap")
    }
    ax.plot(place[:cut], ordered[:cut], color=colors[below], label=below, linewidth=2)
    ax.plot(place[cut:], ordered[cut:], color=colors[above], label=above, linewidth=2)
    ax.axhline(tau, color="#000000", linestyle=":", linewidth=1)
    ax.annotate(f"{tau:.3f}", (0, tau), textcoords="offset points", xytext=(2, 3), fontsize=8)


def regions_figure(regions: Rows, titles: Mapping[str, str]) -> Figure:
    """Accuracy of models and references on easy, hard and overlap test points."""
    figure, axes = panels(len(titles))
    for ax, (dataset, title) in zip(axes, titles.items(), strict=True):
        ax.set(title=title, ylabel="test accuracy")
        ax.axhline(0.5, color="#bbbbbb", linewidth=0.8)
        models = [*MODELS, *REFERENCES]
        for k, model in enumerate(models):
            rows = select(regions, dataset=dataset, model=model)
            rows = rows[np.isfinite(regions["accuracy"][rows])]
            value = regions["accuracy"][rows]
            bars = np.abs([regions[end][rows] - value for end in ("lo", "hi")])
            place = np.array([REGIONS.index(name) for name in regions["region"][rows]])
            marker = "o" if model in MODELS else "D"
            ax.errorbar(place + 0.14 * (k - 2), value, yerr=bars, fmt=marker, capsize=2,
                        markersize=4.5, color=COLORS[model], label=model)  # fmt: skip
        known = select(regions, dataset=dataset)
        if not np.isfinite(regions["accuracy"][known]).any():
            no_data(ax, regions["reason"][known[0]] if len(known) else "")
        ax.set_xticks(range(3), REGIONS)
    legend(figure, axes)
    return figure


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
