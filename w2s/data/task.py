"""What a task is: which rows of a dataset on the hub, and how one becomes a text and a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from w2s.errors import DataError

if TYPE_CHECKING:
    import numpy as np
Row = Mapping[str, Any]
PARQUET = "refs/convert/parquet"  # the branch where the hub keeps its own conversions


@dataclass(frozen=True)
class Task:
    """One binary task made of the rows of a dataset on the hub.

    Attributes:
        summary: One line: what is asked.
        hub: Repository, `OWNER/NAME`.
        columns: Every column that `format` and `group` read.
        label: What label 1 means, in a few words.
        format: Makes a text (not empty) and a label (0 or 1) of a row. It draws from the generator
            alone, so that equal states give equal examples. None stands for a row that cannot be
            used: without a label, or without a field that the question needs. It raises DataError
            for a row that is not as the dataset promises.
        config: Configuration of the repository, where it has several.
        data_dir: Folder of the repository, where it has several.
        revision: Branch, tag or commit.
        train: Splits that pool and val are drawn from.
        test: Splits of the test part; none where it is held out of `train`.
        held_out: Rows of `train` that are held out for the test part; 0 where `test` has splits.
        group: Column whose equal values belong together, such as a passage: a string, or a list of
            strings.

    Raises:
        DataError: a value of the wrong type, a repository without owner, no column or split, a
            group that is not among the columns, a split for both uses, or not exactly one of
            `test` and `held_out`.
    """

    summary: str
    hub: str
    columns: tuple[str, ...]
    label: str
    format: Callable[[Row, np.random.Generator], tuple[str, int] | None]
    config: str | None = None
    data_dir: str | None = None
    revision: str = "main"
    train: tuple[str, ...] = ("train",)
    test: tuple[str, ...] = ("test",)
    held_out: int = 0
    group: str | None = None

    def __post_init__(self) -> None:
        for name in ("summary", "hub", "label", "revision"):
            self._check(name, _is_line(getattr(self, name)), "one line of text")
        for name in ("config", "data_dir", "group"):
            value = getattr(self, name)
            self._check(name, value is None or _is_line(value), "one line of text, or None")
        for name in ("columns", "train", "test"):
            self._check(name, _are_names(getattr(self, name)), "a tuple of different names")
        owner, _, rest = self.hub.partition("/")
        self._check("hub", bool(owner and rest and "/" not in rest), "OWNER/NAME")
        self._check("columns", bool(self.columns), "at least one name")
        self._check("train", bool(self.train), "at least one name")
        self._check("format", callable(self.format), "a function of a row and a generator")
        self._check("group", self.group is None or self.group in self.columns, "one of `columns`")
        self._check("test", not set(self.test) & set(self.train), "splits that `train` has not")
        rows = isinstance(self.held_out, int) and not isinstance(self.held_out, bool)
        self._check("held_out", rows and self.held_out >= 0, "a number of rows")
        alone = bool(self.test) != bool(self.held_out)
        told = f"exactly one of `test` (found {self.test!r}) and `held_out`, the other empty or 0"
        self._check("held_out", alone, told)

    def _check(self, name: str, good: bool, expected: str) -> None:
        if not good:
            found = shown(getattr(self, name))
            raise DataError(
                f"task of {shown(self.hub)}, {name}: found {found}, expected {expected}"
            )


def shown(value: object) -> str:
    """How a message shows a value: one line, cut where it is long."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 60 else line[:57] + "..."


def _is_line(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and len(value.splitlines()) == 1


def _are_names(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and all(_is_line(name) for name in value)
        and len(set(value)) == len(value)
    )
