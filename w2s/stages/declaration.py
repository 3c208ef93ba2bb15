"""What a stage is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from w2s.config_sources import Strict
from w2s.kinds import Kind


class Plain(Enum):
    """Inputs and outputs that are not artifacts."""

    FILE = "the fetched manifest.json, or the user's own table"
    MODEL = "a model: a folder, or hub:REPOSITORY@REVISION"
    MANIFEST = "manifest.json; the folder it stands in is written as a whole"
    FIGURE = "a figure, as .svg and beside it as .png"


@dataclass(frozen=True)
class Many:
    """One or more artifacts of a kind."""

    kind: Kind


@dataclass(frozen=True)
class ForPeople:
    """A result table: Parquet, and beside it the same as .csv and .md."""

    kind: Kind


Input = Kind | Many | Plain
Output = Kind | ForPeople | Plain


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        summary: What it does, in one line.
        per: What one job covers.
        function: `module:function`, imported only when the stage runs.
        settings: Class of its settings.
        inputs, outputs: By name; each is an option of the command line.
        runtime: Whether the function also takes `runtime=` (device, batches).
        work: Whether the function also takes `work=`: a folder for unfinished work, from which a
            job goes on that was killed; None to work in memory.
    """

    summary: str
    per: str
    function: str
    settings: type[Strict]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    runtime: bool = False
    work: bool = False

    @property
    def module(self) -> str:
        """Module of the function."""
        return self.function.partition(":")[0]
