"""The table of contents: every stage with what it reads, writes and depends on.

The command line, its help, the checks on inputs and outputs, the provenance in the artifacts and
`docs/cli.md` all come from this table. A stage's function takes its loaded inputs in this order and
`settings=`, and returns its outputs by name; it touches no output file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from w2s import kinds
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
        settings: Name of its settings class in `w2s.settings`.
        inputs, outputs: By name; each is an option of the command line.
        runtime: Whether the function also takes `runtime=` (device, batches).
        work: Whether the function also takes `work=`: a folder for unfinished work, from which a
            job goes on that was killed; None to work in memory.
    """

    summary: str
    per: str
    function: str
    settings: str
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Output]
    runtime: bool = False
    work: bool = False

    @property
    def module(self) -> str:
        """Module of the function."""
        return self.function.partition(":")[0]


STAGES: dict[str, Stage] = {
    "fetch": Stage(
        summary="download a pinned file of the package index, check its hash and unpack it",
        per="package file",
        function="w2s.steps.fetch:fetch",
        settings="FetchSettings",
        inputs={},
        outputs={"manifest": Plain.MANIFEST},
    ),
    "examples": Stage(
        summary="read a dataset, drop repeated texts, and draw its balanced parts",
        per="dataset",
        function="w2s.steps.examples:examples",
        settings="ExamplesSettings",
        inputs={"source": Plain.FILE},
        outputs={"examples": kinds.EXAMPLES},
    ),
    "split": Stage(
        summary="divide the training pool into weak_train and strong_train",
        per="dataset, seed",
        function="w2s.steps.split:split",
        settings="SplitSettings",
        inputs={"examples": kinds.EXAMPLES},
        outputs={"split": kinds.SPLIT},
    ),
    "tokenize": Stage(
        summary="turn every text into token ids, once for all seeds",
        per="dataset, model",
        function="w2s.steps.tokenize:tokenize",
        settings="TokenizeSettings",
        inputs={"examples": kinds.EXAMPLES, "model": Plain.MODEL},
        outputs={"tokens": kinds.TOKENS},
    ),
    "activations": Stage(
        summary="run every text through a model, once for all seeds, and keep a vector per layer",
        per="dataset, model",
        function="w2s.steps.activations:activations",
        settings="ActivationsSettings",
        inputs={"tokens": kinds.TOKENS, "model": Plain.MODEL},
        outputs={"activations": kinds.ACTIVATIONS},
        runtime=True,
        work=True,
    ),
    "weak_labels": Stage(
        summary="fit the weak model on weak_train and label the other points with it",
        per="dataset, pair, seed",
        function="w2s.steps.weak_labels:weak_labels",
        settings="WeakLabelsSettings",
        inputs={
            "examples": kinds.EXAMPLES,
            "split": kinds.SPLIT,
            "activations": kinds.ACTIVATIONS,
        },
        outputs={"weak_labels": kinds.WEAK_LABELS},
    ),
    "overlap": Stage(
        summary="tell easy, hard and overlap points apart",
        per="dataset, pair, seed",
        function="w2s.steps.overlap:overlap",
        settings="OverlapSettings",
        inputs={"weak_labels": kinds.WEAK_LABELS, "activations": kinds.ACTIVATIONS},
        outputs={"regions": kinds.REGIONS},
    ),
    "strong": Stage(
        summary="train the strong model: ceiling, w2s, and all mixes and controls",
        per="dataset, pair, seed",
        function="w2s.steps.strong:strong",
        settings="StrongSettings",
        inputs={
            "weak_labels": kinds.WEAK_LABELS,
            "regions": kinds.REGIONS,
            "weak_activations": kinds.ACTIVATIONS,
            "strong_activations": kinds.ACTIVATIONS,
        },
        outputs={"runs": kinds.RUNS, "predictions": kinds.PREDICTIONS},
    ),
    "evaluate": Stage(
        summary="score all predictions, on all test points and by region",
        per="dataset, pair, seed",
        function="w2s.steps.evaluate:evaluate",
        settings="EvaluateSettings",
        inputs={
            "examples": kinds.EXAMPLES,
            "weak_labels": kinds.WEAK_LABELS,
            "regions": kinds.REGIONS,
            "runs": kinds.RUNS,
            "predictions": kinds.PREDICTIONS,
        },
        outputs={"metrics": kinds.METRICS, "correct": kinds.CORRECT},
    ),
    "tables": Stage(
        summary="average over seeds, with intervals and paired differences",
        per="experiment",
        function="w2s.steps.tables:tables",
        settings="TablesSettings",
        inputs={"metrics": Many(kinds.METRICS), "correct": Many(kinds.CORRECT)},
        outputs={
            "main": ForPeople(kinds.MAIN_TABLE),
            "mixing": ForPeople(kinds.MIXING_TABLE),
            "regions": ForPeople(kinds.REGIONS_TABLE),
            "comparisons": ForPeople(kinds.COMPARISONS_TABLE),
        },
    ),
    "figures": Stage(
        summary="draw the mixing curves, their controls, the score curves and accuracy by region",
        per="pair",
        function="w2s.steps.figures:figures",
        settings="FiguresSettings",
        inputs={
            "main": kinds.MAIN_TABLE,
            "mixing_table": kinds.MIXING_TABLE,
            "region_table": kinds.REGIONS_TABLE,
            "regions": Many(kinds.REGIONS),
        },
        outputs={
            "mixing": Plain.FIGURE,
            "controls": Plain.FIGURE,
            "curves": Plain.FIGURE,
            "by_region": Plain.FIGURE,
        },
    ),
    "corpora_labels": Stage(
        summary="fit one weak model for several datasets and label their points with it",
        per="selection experiment on corpora, pair, seed",
        function="w2s.steps.corpora_labels:corpora_labels",
        settings="CorporaLabelsSettings",
        inputs={
            "examples": Many(kinds.EXAMPLES),
            "split": Many(kinds.SPLIT),
            "activations": Many(kinds.ACTIVATIONS),
        },
        outputs={"weak_labels": kinds.WEAK_LABELS},
    ),
    "select": Stage(
        summary="select sources by every policy, and train the strong probe after every round",
        per="selection experiment, pair, seed",
        function="w2s.steps.select:select",
        settings="SelectSettings",
        inputs={"weak_labels": kinds.WEAK_LABELS, "activations": Many(kinds.ACTIVATIONS)},
        outputs={
            "points": kinds.SELECTION_POINTS,
            "paths": kinds.SELECTION_PATHS,
            "predictions": kinds.SELECTION_PREDICTIONS,
        },
    ),
    "selection_tables": Stage(
        summary="average the selection experiments over seeds, with intervals",
        per="experiment",
        function="w2s.steps.selection_tables:selection_tables",
        settings="SelectionTablesSettings",
        inputs={
            "paths": Many(kinds.SELECTION_PATHS),
            "predictions": Many(kinds.SELECTION_PREDICTIONS),
        },
        outputs={
            "selection": ForPeople(kinds.SELECTION_TABLE),
            "rounds": ForPeople(kinds.SELECTION_ROUNDS_TABLE),
            "sources": ForPeople(kinds.SELECTION_SOURCES_TABLE),
        },
    ),
    "selection_figures": Stage(
        summary="draw accuracy, regret and pulls of the selection experiments over the rounds",
        per="pair",
        function="w2s.steps.selection_figures:selection_figures",
        settings="SelectionFiguresSettings",
        inputs={
            "rounds": kinds.SELECTION_ROUNDS_TABLE,
            "sources": kinds.SELECTION_SOURCES_TABLE,
        },
        outputs={"accuracy": Plain.FIGURE, "regret": Plain.FIGURE, "pulls": Plain.FIGURE},
    ),
}
