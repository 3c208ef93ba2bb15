"""What all tracks report: metrics of runs, comparisons of them, and intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from w2s.declare import BOUNDS, ID, JOB, ROW, STATUS, Array, Kind, Strict, number


class EvaluationConfig(Strict):
    """Intervals of the tables."""

    bootstrap: Annotated[int, Field(ge=100)] = Field(
        2000, description="Bootstrap draws over test examples and seeds."
    )
    level: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        0.95, description="Coverage of the intervals."
    )


def datasets_of(config: Any, track: str) -> list[str]:
    """The datasets of a section of the configuration; all where it names none."""
    chosen = getattr(config, track)
    return [] if chosen is None else [*(chosen.datasets or config.datasets)]


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
STABILITY = "share of strong_train that keeps its region over bootstrap resamples of it"
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
REFERENCE = (
    "the strong model on so few true labels that it is as accurate on all test points as the floor "
    "(reference) or as w2s (reference_w2s)"
)
HOLM = (
    "the same after Holm's correction for the number of rows in this table: all overall rows are "
    "one family, all rows of regions another"
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
        "stability": STABILITY,
        **STATUS,
    },
    ids=False,
)
BANDS = {"high": "the highest scores", "middle": "those in the middle", "low": "the lowest"}
if TYPE_CHECKING:
    Band = str
else:
    Band = Literal[*BANDS]
SCORES = Kind(
    "selector_scores",
    "What every selector says of the points of strong_train that have a weak label.",
    {
        "id": ID,
        "label": Array("int8", "true label, 0 or 1"),
        "weak_proba": Array("float32", "P(label = 1) given by the weak model"),
        "score_*": Array("float64", "score_SELECTOR: higher is kept first; NaN if undefined",
                         nan=True),
    },
    {**JOB, "reasons": "why a selector has no scores, by its name"},
)  # fmt: skip
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
METRICS_TABLE = Kind(
    "metrics_table",
    "Floor, w2s and ceiling on all test points, by metrics beside accuracy.",
    {
        **ROW,
        "model": Array("str", "floor, w2s or ceiling"),
        "metric": Array(
            "str",
            "accuracy; auroc; prior_matched (accuracy where as many are called positive as there "
            "are, by the threshold of the whole test part); brier (lower is better); question "
            "(share of questions whose right candidate has the highest P)",
        ),
        "value": number("mean over seeds"),
        **BOUNDS,
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds or values are missing, if they are"),
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
        **BOUNDS,
        "p": number("two-sided p value: normal, with the standard error of the bootstrap"),
        "p_holm": number(HOLM),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why seeds are missing, if they are"),
    },
    ids=False,
)
