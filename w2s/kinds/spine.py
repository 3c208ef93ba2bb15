"""Kinds of the spine: from examples to the result tables."""

from __future__ import annotations

from dataclasses import replace

from w2s.kinds.declaration import (
    DATASET,
    ID,
    INTERVAL,
    JOB,
    ROW,
    STATUS,
    Array,
    Kind,
    number,
    with_interval,
)

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
        "source_id": Array("str", "the row's name in the source"),
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
TOKENS = Kind(
    "tokens",
    "The token ids of every text of a dataset, one after another.",
    {
        "id": ID,
        "start": Array("int64", "text i is token[start[i]:start[i + 1]]", ("n+1",)),
        "token": Array("int32", "token ids, special tokens included", ("tokens",)),
    },
    {
        **DATASET,
        "truncated": "texts that were longer than max_length and were cut",
        "side": "left or right: where they were cut",
    },
    suffix=".safetensors",
)
ACTIVATIONS = Kind(
    "activations",
    "One vector per text from each cached layer of a model.",
    {
        "id": ID,
        "layer_*": Array(
            "float32", "pooled hidden states; layer_-1 is the last", ("n", "d"), by_rows=True
        ),
    },
    {
        **DATASET,
        "model": "where the model comes from, and its revision or weight hashes",
        "storage": "float32, float16 or bfloat16: how the vectors are stored",
        "loss": "what that changes, by layer: root mean square of the changes / of the values",
    },
    suffix=".safetensors",
)
WEAK_LABELS = Kind(
    "weak_labels",
    "What the weak model says about points it was not trained on.",
    {
        "id": ID,
        "part": Array("str", "strong_train, val or test"),
        "label": Array("int8", "true label, 0 or 1"),
        "weak_proba": Array("float32", "P(label = 1) given by the weak model"),
        "dataset": Array("str", "the dataset that the point is from"),
    },
    {**DATASET, "seed": "seed of the halves", "n_train": "rows of weak_train", "gap": "bound on "
     "the relative optimality gap of the probe", "l2": "its penalty; none for knn",
     "model": "the weak model: a probe's kind or a label model",
     "status": "ok, or degenerate where the weak model could not be fitted: it says 1/2",
     "reason": "why, if it is not ok"},
)  # fmt: skip
REGIONS = Kind(
    "regions",
    "Easy, hard and overlap points of strong_train and of the test part, by one detector.",
    {
        "id": ID,
        "part": Array("str", "strong_train (the detector is fitted here) or test"),
        "confidence": Array("float64", "2 |weak_proba - 1/2|, in [0, 1]"),
        "score": Array("float64", "overlap score; NaN for hard points", nan=True),
        "region": Array("str", "easy, hard or overlap; undefined where degenerate"),
    },
    {
        **DATASET,
        "seed": "seed of the halves",
        "tau_hard": "confidence threshold: hard below it",
        "tau_overlap": "score threshold: overlap at or above it",
        "density": "overlap points / all points of strong_train",
        **STATUS,
    },
)
PROPORTION = (
    "share of overlap points in the mix (of fixed_hard: among its points that are not hard; of "
    "few_labels: share of strong_train)"
)
RESTART = "number of the network's starting point; 0 where there is one only"
LABELS = {
    "label_accuracy": Array(
        "float64", "accuracy of the labels trained on, without those of exactly 1/2", nan=True
    ),
    "label_brier": Array("float64", "Brier score of the labels trained on", nan=True),
    "label_calibration": Array("float64", "their expected calibration error, 10 bins", nan=True),
}
RUNS = Kind(
    "runs",
    "Every probe trained for one dataset, pair and seed.",
    {
        "run": Array("int32", "number of the run, row of predictions"),
        "control": Array("str", "ceiling, w2s, or a curve of the mixing experiment"),
        "proportion": Array("float64", PROPORTION, nan=True),
        "repeat": Array("int32", "number of the random draw"),
        "restart": Array("int32", RESTART),
        "n_train": Array("int32", "training points"),
        **LABELS,
        "gap": Array("float64", "bound on the relative optimality gap", nan=True),
        "l2": Array("float64", "penalty of the probe; none for knn", nan=True),
        "reason": Array("str", "why the run has no predictions, if it has none"),
    },
    {**JOB, **STATUS},
    ids=False,
)
PREDICTIONS = Kind(
    "predictions",
    "Test predictions of every run.",
    {
        "id": ID,
        "run": Array("int32", "number of the run", ("runs",)),
        "proba": Array("float32", "P(label = 1); NaN where the run failed", ("runs", "n"), True),
    },
    JOB,
    suffix=".safetensors",
)
METRICS = Kind(
    "metrics",
    "Metrics of every run, one per row.",
    {
        "control": Array("str", "floor, ceiling, w2s, or a curve of the mixing experiment"),
        "proportion": Array("float64", PROPORTION, nan=True),
        "repeat": Array("int32", "number of the random draw"),
        "restart": Array("int32", RESTART),
        "group": Array(
            "str", "test points: overall, easy, hard or overlap by this seed's own weak model"
        ),
        "metric": Array("str", "accuracy, auroc or brier"),
        "value": Array("float64", "value of the metric", nan=True),
        "n": Array("int32", "test points of the group"),
        "reason": Array("str", "why the value is NaN, if it is"),
    },
    {
        **JOB,
        "n_pool": "size of the training pool (both halves)",
        "density": "overlap points / all points of strong_train",
        "easy_share": "easy points / all points of strong_train",
        "hard_share": "hard points / all points of strong_train",
        **STATUS,
    },
    ids=False,
)
CORRECT = Kind(
    "correct",
    "Which test points each row of the tables gets right, averaged over repeats.",
    {
        "id": ID,
        "region": Array("int8", "region of the test point: 0 easy, 1 hard, 2 overlap, -1 none"),
        "group": Array("int64", "group of the test point; unique where there are no groups"),
        "correct": Array("float32", "share of repeats that are right", ("rows", "n"), True),
        "proportion": Array("float64", PROPORTION, ("rows",), True),
        "restart": Array("int32", RESTART, ("rows",)),
        "n_train": Array("float64", "training points", ("rows",), True),
        **{name: replace(spec, axes=("rows",)) for name, spec in LABELS.items()},
    },
    {**JOB, "control": "control of each row", "row_reason": "why a row is NaN, if it is", **STATUS},
    suffix=".safetensors",
)

REFERENCE = (
    "the strong model on so few true labels that it is as accurate on all test points as the floor "
    "(reference) or as w2s (reference_w2s)"
)
HOLM = (
    "the same after Holm's correction for the number of rows in this table: all overall rows are "
    "one family, all rows of regions another"
)
MAIN_TABLE = Kind(
    "main_table",
    "Floor, w2s, ceiling and PGR of every dataset and pair.",
    {
        **ROW,
        "n_seeds": Array("int64", "seeds"),
        "n_pool": Array("int64", "size of the training pool"),
        "n_test": Array("int64", "test points"),
        "n_groups": Array("int64", "what intervals resample: groups of test points, or the points"),
        **with_interval("floor", "weak floor: test accuracy, mean over seeds"),
        **with_interval("w2s", "test accuracy of weak-to-strong, mean over seeds"),
        **with_interval("ceiling", "strong ceiling: test accuracy, mean over seeds"),
        **with_interval("pgr", "(w2s - floor) / (ceiling - floor) of the means"),
        "overlap_density": number("overlap points / all points, mean over seeds"),
        "easy_share": number("easy points / all points, mean over seeds"),
        "hard_share": number("hard points / all points, mean over seeds"),
        "status": Array("str", "ok, partial (some seeds degenerate) or degenerate"),
        "reason": Array("str", "why, if it is not ok, or why a number is missing"),
    },
    ids=False,
)
MIXING_TABLE = Kind(
    "mixing_table",
    "Test accuracy against the share of overlap points, with the controls.",
    {
        **ROW,
        "control": Array("str", "plain or a control"),
        "proportion": number(PROPORTION + "; NaN where there is none"),
        "accuracy": number("test accuracy, mean over seeds and repeats"),
        "lo": number("lower " + INTERVAL),
        "hi": number("upper " + INTERVAL),
        **LABELS,
        "n_seeds": Array("int64", "seeds with a value"),
        "n_train": number("training points, mean over seeds"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
REGIONS_TABLE = Kind(
    "regions_table",
    "Test accuracy on easy, hard and overlap test points.",
    {
        **ROW,
        "model": Array("str", "floor, w2s, ceiling, or a reference: " + REFERENCE),
        "region": Array("str", "easy, hard or overlap, by the weak models of the other seeds"),
        "accuracy": number("accuracy on the region's test points, mean over seeds"),
        "lo": number("lower " + INTERVAL),
        "hi": number("upper " + INTERVAL),
        "n": number("test points of the region, mean over seeds and the models that divide them"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
COMPARISONS_TABLE = Kind(
    "comparisons_table",
    "Paired differences of test accuracy between two rows of the other tables.",
    {
        **ROW,
        "comparison": Array("str", "what is subtracted from what"),
        "group": Array(
            "str",
            "test points: overall, or easy, hard or overlap by the weak models of other seeds",
        ),
        "difference": number("mean over seeds of the paired difference"),
        "lo": number("lower " + INTERVAL),
        "hi": number("upper " + INTERVAL),
        "p": number("two-sided p value: normal, with the standard error of the bootstrap"),
        "p_holm": number(HOLM),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
