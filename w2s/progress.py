"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

LOG_SECONDS = 5.0  # between lines of a log
STATE = re.compile(r"/([\d.]+)([kMG]?) \[[^]]*, *([\d.]+)([kMG]?) [^]]*/s\]")
SCALE = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


class _Lines:
    """A file for tqdm that ends every state of the bar with a line break."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, text: str) -> None:
        line = text.strip("\r\n ")
        if line:
            self.file.write(line + "\n")

    def flush(self) -> None:
        self.file.flush()


@contextmanager
def bar(what: str, total: int, unit: str, done: int = 0) -> Iterator[Callable[[int], object]]:
    """Show how much is done, the rate and the time left, on standard error.

    Args:
        what: What is done, e.g. "activations movies".
        total: How many units there are.
        unit: Their name.
        done: How many were done before; they do not count in the rate.

    Yields:
        A function to call with the number of units just finished.
    """
    terminal = sys.stderr.isatty()
    with tqdm(
        total=total,
        initial=done,
        desc=what,
        unit=f" {unit}",
        unit_scale=total >= 1000,
        file=sys.stderr if terminal else _Lines(sys.stderr),
        mininterval=0.1 if terminal else LOG_SECONDS,
        maxinterval=LOG_SECONDS,
        ncols=None if terminal else 90,
        ascii=not terminal,
        smoothing=0,  # the rate is that of all units so far
    ) as shown:
        yield shown.update


def seconds(log: str) -> float | None:
    """Seconds that all units of a log's last bar take at its rate; None where it tells none."""
    found = STATE.findall(log)
    if not found:
        return None
    total, each, rate, per = found[-1]
    per_second = float(rate) * SCALE[per]
    return float(total) * SCALE[each] / per_second if per_second else None
