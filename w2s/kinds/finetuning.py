"""Kinds of fine-tuning."""

from __future__ import annotations

from w2s.kinds.declaration import DATASET, ROW, Array, Kind, number, with_interval
from w2s.kinds.spine import LABELS

CONTROL = (
    "floor (the weak model), ceiling, a loss that w2s is trained with, or s2s_K: the K-th "
    "training of the strong model on labels of its own"
)

TRAINING = Kind(
    "training",
    "How fine-tuned models learned: a row for each look at the val part.",
    {
        "control": Array("str", "the training: " + CONTROL),
        "step": Array("int32", "optimizer steps done"),
        "epoch": Array("float64", "passes over the training points done"),
        "loss": number("mean training loss since the last look"),
        "val_auroc": number("AUROC on val, against labels of the kind trained on (or true ones)"),
        "kept": Array("bool", "the look whose weights made the predictions"),
    },
    {
        **DATASET,
        "model": "where the model comes from, and its revision or weight hashes",
        "seed": "seed of the halves",
        "trainable": "numbers that are trained",
        "adapters": "rank of the adapters by place (of all experts together); none: all weights",
    },
    ids=False,
)
FINETUNING_TABLE = Kind(
    "finetuning_table",
    "Fine-tuned models: floor, ceiling, w2s with every loss, and self-training.",
    {
        **ROW,
        "control": Array("str", CONTROL),
        **with_interval("accuracy", "test accuracy, mean over seeds"),
        "auroc": number("test AUROC, mean over seeds"),
        **with_interval("pgr", "(accuracy - floor) / (ceiling - floor) of the means"),
        "probe_accuracy": number("test accuracy of the probe in its place (floor, ceiling or w2s); "
                                 "NaN where there is none"),
        "n_train": number("training points, mean over seeds"),
        **LABELS,
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds or numbers are missing, if they are"),
    },
    ids=False,
)  # fmt: skip
