"""What tracks declare: settings that refuse what they do not know, kinds of artifacts, stages."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from w2s.errors import visible

NAME = r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*"  # no "--": it joins the two models of a pair
Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Share = Annotated[float, Field(ge=0, le=1)]
S = TypeVar("S", bound=BaseModel)


class Strict(BaseModel):
    """Base of all settings: immutable; an unknown key is an error that names the nearest one.

    Nor is `true` a number, though Python says 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keys_and_truths(cls, data: Any) -> Any:
        lines = []
        for key, value in data.items() if isinstance(data, Mapping) else ():
            known = cls.model_fields.get(key)
            if known is None:
                hint = nearest_of(str(key), cls.model_fields)
                lines.append(f"{visible(str(key))} is not a setting; {hint}")
            elif _has_truth(value) and not _takes_truth(known.annotation):
                lines.append(f"{key}: found {value!r}, expected no true or false")
        if lines:
            raise ValueError("\n".join(lines))
        return data


def _has_truth(value: Any) -> bool:
    return any(
        isinstance(item, bool) for item in (value if isinstance(value, (list, tuple)) else [value])
    )


def _takes_truth(annotation: Any) -> bool:
    return annotation in (bool, Any) or any(map(_takes_truth, get_args(annotation)))


def unique(settings: S, *fields: str) -> S:
    """The settings, if no list among these fields holds a value twice.

    Raises:
        ValueError: naming the field.
    """
    for name in fields:
        values = getattr(settings, name)
        if len(set(values)) != len(values):
            raise ValueError(f"{name}: found a value twice in {list(values)}, expected once")
    return settings


def nearest_of(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    words = list(known)
    if not words:
        return "there are none"
    near = difflib.get_close_matches(word, words, n=1)
    return f"did you mean '{near[0]}'?" if near else "expected one of " + ", ".join(words)


MISREAD = "{}<>"  # Snakemake takes names between them for wildcards and path variables


def _given_path(text: str) -> str:
    """The path with the home folder written out.

    Raises:
        PydanticCustomError: nothing, an option in the place of a path, letters that Snakemake reads
            otherwise, a line break, or the home of nobody.
    """
    if not text.strip():
        raise _refused("a path, such as results/mine")
    if text.startswith("-"):  # an option to the commands of the jobs
        raise _refused("a path that does not begin with a dash")
    if any(letter in MISREAD or ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise _refused("a path without braces, angle brackets, line breaks and control characters")
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise _refused("the home folder of a user who is known here") from None


def _folder(text: str) -> str:
    """The path as Snakemake writes it: without `./` and a slash at the end.

    Raises:
        PydanticCustomError: the root of all files, or a folder around the current one.
    """
    path = Path(text)
    if path == Path(path.anchor or "..") or path.name == "..":
        raise _refused("a folder of its own, such as results/mine")
    return _given_path(str(path))


def _refused(expected: str) -> PydanticCustomError:
    return PydanticCustomError("path", "{expected}", {"expected": f"expected {expected}"})


InputPath = Annotated[str, AfterValidator(_given_path)]
OutputFolder = Annotated[InputPath, AfterValidator(_folder)]
FORMAT = 2  # version of the file format; part of every stage's code digest
KINDS: dict[str, Kind] = {}  # filled as the tracks are imported


def kinds() -> dict[str, Kind]:
    """All kinds by name, those of every track."""
    importlib.import_module("w2s.tracks")
    return KINDS


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


BOUNDS = {"lo": number("lower " + INTERVAL), "hi": number("upper " + INTERVAL)}


def with_interval(name: str, doc: str) -> dict[str, Array]:
    """A column of numbers and the two bounds of its interval."""
    return {
        name: number(doc),
        f"{name}_lo": number("lower " + INTERVAL),
        f"{name}_hi": number("upper " + INTERVAL),
    }


@dataclass(frozen=True)
class Shown:
    """What a name that users choose stands for, and how tables and figures show it.

    Attributes:
        color: Of its curve; "" for what no figure shows.
        sentence: What it is.
        style: Of its line.
        band: Whether its curve has its interval beside it.
        against: What it is compared with, by name.
    """

    color: str
    sentence: str
    style: str = "-"
    band: bool = False
    against: tuple[str, ...] = ()


class Plain(Enum):
    """Inputs and outputs that are not artifacts."""

    FILE = "the fetched manifest.json, or the user's own table"
    MODEL = "a model: a folder, or hub:REPOSITORY@REVISION"
    MANIFEST = "manifest.json; the folder it stands in is written as a whole"
    FIGURE = "a figure, as .svg and beside it as .png"


@dataclass(frozen=True)
class Many:
    """One or more artifacts of a kind; none at all where it is optional."""

    kind: Kind
    optional: bool = False


@dataclass(frozen=True)
class ForPeople:
    """A result table: Parquet, and beside it the same as .csv and .md."""

    kind: Kind


Input = Kind | Many | Plain
Output = Kind | ForPeople | Plain


UNTOLD = object()  # in the place of a setting that a job does not read
Adds = Callable[[Any, Mapping[str, str]], Sequence[Any]]  # of a `w2s.config.Config` and a job


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
        adds: Where a job's settings are looked up first, by the names of their fields: mappings and
            sections of the configuration. Then come its wildcards and the configuration.
        pinned: Whether a hash or a commit says what its files hold, so that no code is compared.
        code_of: Stage whose code digest is among the settings, as its files do not stay to tell it.
    """

    summary: str
    per: str
    function: str
    settings: type[Strict]
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    runtime: bool = False
    work: bool = False
    adds: Adds = lambda config, job: []
    code_of: str = ""
    pinned: bool = False

    @property
    def module(self) -> str:
        """Module of the function."""
        return self.function.partition(":")[0]


Jobs = Iterator[tuple[str, dict[str, str]]]  # a rule and the wildcards of one of its jobs
PAIR = "{dataset}/{weak}--{strong}/seed{seed}"  # folder of a pair's artifacts


def each(*rules: str, **names: object) -> Jobs:
    """Jobs of these rules for every combination of the names, the last fastest."""
    lists = [value if isinstance(value, list | tuple) else [value] for value in names.values()]
    for rule in rules:
        for values in product(*lists):
            yield rule, dict(zip(names, map(str, values), strict=True))


def table_files(*names: str) -> tuple[str, ...]:
    """Paths of tables, each beside the same for people."""
    return tuple(f"tables/{name}.{end}" for name in names for end in ("parquet", "csv", "md"))


def figure_files(folder: str, *names: str) -> tuple[str, ...]:
    """Paths of figures."""
    return tuple(f"figures/{folder}/{name}.{end}" for name in names for end in ("svg", "png"))


def option(name: str) -> str:
    """Name of an option of the command line."""
    return "--" + name.replace("_", "-")


def output_option(stage: Stage, name: str) -> str:
    """Name of an output's option, e.g. for the documentation."""
    return f"--to-{name.replace('_', '-')}" if name in stage.inputs else option(name)
