"""Kinds of weak supervision."""

from __future__ import annotations

from w2s.kinds.declaration import DATASET, ID, INTERVAL, Array, Kind, number
from w2s.kinds.spine import LABELS, PROPORTION

LABEL_MATRIX = Kind(
    "label_matrix",
    "What every labeling function (LF) says about every example.",
    {
        "id": ID,
        "votes": Array("int8", "-1 (abstains), 0 or 1", ("n", "m")),
    },
    {
        **DATASET,
        "lfs": "names of the m labeling functions",
        "cut": "texts longer than 1,000 words, of which VADER reads the first 1,000",
    },
    suffix=".safetensors",
)

LF_TABLE = Kind(
    "lf_table",
    "What each labeling function does on the examples of a dataset.",
    {
        "dataset": Array("str", "name of the dataset"),
        "lf": Array("str", "name of the labeling function"),
        "coverage": number("share of the examples it votes on"),
        "lf_overlaps": number("share on which it and another one vote (not overlap points)"),
        "conflicts": number("share on which it and another one vote differently"),
        "accuracy": number("right votes / its votes; NaN if it never votes"),
        "reason": Array("str", "why the accuracy is NaN"),
    },
    ids=False,
)
WEAK_SUPERVISION_TABLE = Kind(
    "weak_supervision_table",
    "Label models, students on their labels, mixes and baselines: test accuracy, mean over seeds.",
    {
        "dataset": Array("str", "name of the dataset"),
        "label_model": Array("str", "majority_vote, snorkel or dawid_skene"),
        "strong": Array("str", "the student: mlp or probe"),
        "control": Array(
            "str",
            "label_model (itself), w2s (all its labels), ceiling (all true labels), or a curve of "
            "the mixing experiment; random and true_labels have the size of its mixes",
        ),
        "proportion": number(PROPORTION + "; NaN where there is no mix"),
        "accuracy": number("test accuracy, mean over seeds and repeats"),
        "lo": number("lower " + INTERVAL),
        "hi": number("upper " + INTERVAL),
        "restart_sd": number("standard deviation of the accuracy over the restarts of a seed, mean "
                             "over seeds; NaN without restarts"),
        **LABELS,
        "n_seeds": Array("int64", "seeds with a value"),
        "n_train": number("training points, mean over seeds"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)  # fmt: skip
PUBLISHED_TABLE = Kind(
    "published_table",
    "Our numbers beside the published ones, for datasets that have some.",
    {
        "dataset": Array("str", "name of the dataset"),
        "label_model": Array("str", "our label model"),
        "strong": Array("str", "our student"),
        "quantity": Array(
            "str",
            "label_model (accuracy of its labels on strong_train), pseudo (w2s), true (ceiling), "
            "or mix_P: a plain mix with share P of overlap points",
        ),
        "published": number("mean of 25 seeds"),
        "ours": number("mean over seeds"),
        "lo": number("lower " + INTERVAL),
        "hi": number("upper " + INTERVAL),
        "n_seeds": Array("int64", "our seeds with a value"),
    },
    ids=False,
)
