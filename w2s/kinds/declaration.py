"""What a kind of artifact is, and the columns that several kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FORMAT = 2  # version of the file format; part of every stage's code digest
KINDS: dict[str, Kind] = {}


@dataclass(frozen=True)
class Array:
    """Declaration of one column or tensor: dtype, named axes, meaning, and whether NaN may occur.

    `str` columns hold text. Arrays whose axes share a name share that length. A matrix `by_rows`
    may be larger than memory, and be stored in fewer bits than those of its dtype.
    """

    dtype: str
    doc: str
    axes: tuple[str, ...] = ("n",)
    nan: bool = False
    by_rows: bool = False


@dataclass(frozen=True)
class Kind:
    """Declaration of an artifact: what `load` insists on and `docs/artifacts.md` shows.

    Attributes:
        name: Written into the file; a file of another kind is refused.
        arrays: Declared arrays by name. A name that ends in `*` declares all with that prefix.
        facts: Declared facts by name, with their meaning.
        doc: One sentence.
        suffix: `.parquet` for rows, `.safetensors` for tensors.
        ids: Whether the rows are identified by an `id` array.
    """

    name: str
    doc: str
    arrays: Mapping[str, Array]
    facts: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ".parquet"
    ids: bool = True

    def __post_init__(self) -> None:
        KINDS[self.name] = self


ID = Array("int64", "example id: a hash of the text, so that it survives any reordering")
DATASET = {"dataset": "name of the dataset"}
JOB = {**DATASET, "weak": "weak model", "strong": "strong model", "seed": "seed of the halves"}
STATUS = {
    "status": "ok, or degenerate where the regions are undefined",
    "reason": "why, if it is not ok",
}
INTERVAL = "bound of the confidence interval (paired bootstrap over test examples and seeds)"

ROW = {
    "dataset": Array("str", "name of the dataset"),
    "weak": Array("str", "name of the weak model"),
    "strong": Array("str", "name of the strong model"),
}


def number(doc: str) -> Array:
    """A column of numbers, NaN where undefined."""
    return Array("float64", doc, nan=True)


def with_interval(name: str, doc: str) -> dict[str, Array]:
    """A column of numbers and the two bounds of its interval."""
    return {
        name: number(doc),
        f"{name}_lo": number("lower " + INTERVAL),
        f"{name}_hi": number("upper " + INTERVAL),
    }
