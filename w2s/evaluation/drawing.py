"""What all figures share: panels, a legend, empty panels.

All draw on matplotlib's object interface, so that nothing is shown or kept open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from w2s.checks import Array

COLUMNS = 4  # panels side by side
ENTRY, CHARACTER = 0.75, 0.085  # inches of a legend's line and gaps, and of a letter
NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")  # signs that no SVG may hold
Rows = Mapping[str, Any]


class PlainFigure(Figure):
    """A figure in which words are what they say: "US$ and A$" is no mathematics.

    Numbers at the axes are left alone: powers of ten are set as mathematics by matplotlib itself.
    """

    def draw(self, renderer: Any) -> None:
        """Draw with titles, labels, notes and legends as plain text."""
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


def panels(
    count: int, *, height: float = 3.2, columns: int | None = None
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels in rows of `columns`, at most four if not given."""
    columns = columns or min(count, COLUMNS)
    lines = -(-count // columns)
    figure = PlainFigure(figsize=(3.6 * columns + 0.6, height * lines + 0.5), layout="constrained")
    return figure, _added(figure, lines, columns, [i + 1 for i in range(count)])


def paired_panels(count: int, *, height: float = 2.9) -> tuple[Figure, list[Axes], list[Axes]]:
    """A figure with `count` upper panels in rows of at most four, and a lower one below each."""
    columns = min(count, COLUMNS)
    lines = 2 * -(-count // columns)
    figure = PlainFigure(figsize=(3.6 * columns + 0.6, height * lines + 0.5), layout="constrained")
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


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    longest = max(map(len, handles), default=0)
    room = int(figure.get_figwidth() / (ENTRY + CHARACTER * longest))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center",
        ncols=min(8, max(1, room)), frameon=False,
    )  # fmt: skip


def no_data(ax: Axes, reason: str) -> None:
    """Say in an empty panel why it is empty."""
    wrap = "$" not in reason  # matplotlib would read mathematics to find the ends of lines
    ax.text(0.5, 0.5, reason or "no data", ha="center", va="center", wrap=wrap,
            transform=ax.transAxes, color="#666666", fontsize=8)  # fmt: skip
