"""What all figures share: panels, a legend, empty panels.

All draw on matplotlib's object interface, so that nothing is shown or kept open.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from w2s.checks import Array

COLUMNS = 4  # panels side by side
PANEL = 3.6  # inches of a panel with its labels
TITLE = 12  # size of titles in points, matplotlib's own
ENTRY, LINE = 0.7, 0.21  # inches of a legend's sign and gaps, and of its line
LETTER = 0.0079  # inches of a letter, for each point of its size
COLORS = {  # Okabe and Ito's palette: told apart by colour-blind readers too
    "floor": "#999999",
    "w2s": "#0072B2",
    "ceiling": "#009E73",
    "reference": "#E69F00",
    "reference_w2s": "#56B4E9",
    "easy": "#56B4E9",
    "hard": "#D55E00",
    "overlap": "#CC79A7",
}
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # in turn
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")  # signs that no SVG may hold
Rows = Mapping[str, Any]


class PlainFigure(Figure):
    """A figure in which words are what they say: "US$ and A$" is no mathematics.

    Numbers at the axes are left alone: powers of ten are set as mathematics by matplotlib itself.
    Titles are divided into lines that fit.
    """

    def draw(self, renderer: Any) -> None:
        """Draw with titles, labels, notes and legends as plain text."""
        for ax in self.axes:
            ax.title.set_text(in_lines(ax.get_title(), PANEL, TITLE))
        title = in_lines(self.get_suptitle(), self.get_figwidth(), TITLE)
        if title != self.get_suptitle():  # setting it would take it back from where it was put
            self.suptitle(title)
        numbers = {
            label
            for ax in self.axes
            for axis in (ax.xaxis, ax.yaxis)
            for label in (*axis.get_ticklabels(which="both"), axis.get_offset_text())
        }
        for text in self.findobj(Text):
            if text not in numbers:
                text.set_parse_math(False)
                text.set_text(NO_TEXT.sub("\N{REPLACEMENT CHARACTER}", text.get_text()))
        super().draw(renderer)


def in_lines(text: str, room: float, size: float) -> str:
    """A text in lines that fit, about, into a room in inches at a size in points."""
    letters = max(int(room / (LETTER * size)), 1)
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())


def panels(
    count: int, *, height: float = 3.2, columns: int | None = None, beside: float = 0.6
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in rows of `columns`, at most four if not given.

    `beside` are the inches that what stands left of the panels takes.
    """
    columns = columns or min(count, COLUMNS)
    lines = -(-count // columns)
    size = (PANEL * columns + beside, height * lines + 0.5)
    figure = PlainFigure(figsize=size, layout="constrained")
    return figure, _added(figure, lines, columns, [i + 1 for i in range(count)])


def paired_panels(count: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure with `count` upper panels in rows of at most four, and a lower one below each."""
    columns = min(count, COLUMNS)
    lines = 2 * -(-count // columns)
    size = (PANEL * columns + 0.6, 2.9 * lines + 0.5)
    figure = PlainFigure(figsize=size, layout="constrained")
    places = [2 * columns * (i // columns) + i % columns + 1 for i in range(count)]
    upper = _added(figure, lines, columns, places)
    return figure, upper, _added(figure, lines, columns, [place + columns for place in places])


def _added(figure: Figure, lines: int, columns: int, places: Sequence[int]) -> list[Axes]:
    axes = [figure.add_subplot(lines, columns, place) for place in places]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return axes


def select(table: Rows, **wanted: str) -> Array:
    """Positions of the rows that have these values in these columns."""
    mask = np.ones(len(next(iter(table.values()))), dtype=bool)
    for column, value in wanted.items():
        mask &= table[column] == value
    return np.flatnonzero(mask)


def banded(
    ax: Axes, table: Rows, rows: Array, x: str, y: str, *, color: str, label: str,
    style: str = "o-", band: tuple[str, str] | None = None,
) -> None:  # fmt: skip
    """A curve in the order of x, with dots where the style has them.

    Args:
        ax: Where to draw.
        table: Columns of a table.
        rows: Which of its rows.
        x: Name of a column.
        y: Name of another.
        color: Of the curve.
        label: In the legend.
        style: Of the line.
        band: Names of the columns of its interval; none to draw none.
    """
    rows = rows[np.argsort(table[x][rows])]
    dotted = style.startswith("o")
    size: dict[str, Any] = {"markersize": 3} if dotted else {"linewidth": 1.4}
    ax.plot(table[x][rows], table[y][rows], style, color=color, label=label, **size)
    if band:
        low, high = (table[name][rows] for name in band)
        alpha = 0.18 if dotted else 0.12
        ax.fill_between(table[x][rows], low, high, color=color, alpha=alpha, linewidth=0)


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    letters = LETTER * 10 * max(map(len, handles), default=0)
    columns = min(8, max(1, int(figure.get_figwidth() / (ENTRY + letters))))
    figure.set_figheight(figure.get_figheight() + LINE * max(0, -(-len(handles) // columns) - 1))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False
    )


def no_data(ax: Axes, reason: str, *, beside: bool = False) -> None:
    """Say in a panel why it is empty, or above what stands there why the main curve does not."""
    y, side = (0.98, "top") if beside else (0.5, "center")
    ax.text(0.5, y, in_lines(reason or "no data", PANEL - 0.8, 8), ha="center", va=side,
            transform=ax.transAxes, color="#666666", fontsize=8, zorder=5,
            bbox={"color": "white", "alpha": 0.8})  # fmt: skip
