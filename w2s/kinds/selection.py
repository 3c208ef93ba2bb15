"""Kinds of source selection."""

from __future__ import annotations

from w2s.kinds.declaration import ID, STATUS, Array, Kind, number, with_interval

JOB = {
    "experiment": "name of the experiment",
    "weak": "weak model",
    "strong": "strong model",
    "seed": "seed of halves, sources and paths",
}
SOURCES = {
    "source_names": "names of the sources, in the order of the configuration",
    "sources": "of each source by name: points, density (overlap points / all points), "
    "right_density (those with a right weak label / all points), label_accuracy",
}
PULLED = "pulls of the source with the highest density / all pulls"
NO_INTERVAL = "why seeds, rounds or intervals are missing, if some are"


def over_seeds(name: str, doc: str) -> dict[str, Array]:
    """A column of numbers that exist once a seed, and the two bounds of their interval.

    The bounds may lie beyond the values that are possible.
    """
    bound = "bound of the confidence interval (Student's t over seeds), NaN below 3 seeds"
    return {
        name: number(doc),
        f"{name}_lo": number(f"lower {bound}"),
        f"{name}_hi": number(f"upper {bound}"),
    }


SELECTION_POINTS = Kind(
    "selection_points",
    "Every point of every source, and the round in which each policy drew it.",
    {
        "id": ID,
        "source": Array("str", "the source that holds the point"),
        "label": Array("int8", "true label, 0 or 1"),
        "weak_proba": Array("float32", "P(label = 1) given by the weak model"),
        "region": Array("str", "easy, hard or overlap, by the detector of the reference pool"),
        "drawn_*": Array("int32", "drawn_POLICY_REPEAT: round of the draw from 1 on, 0 for never"),
    },
    {
        **JOB,
        **SOURCES,
        "n_reference": "points of the reference pool, which no source holds",
        "tau_hard": "confidence threshold of the detector",
        "tau_overlap": "score threshold of the detector",
        **STATUS,
    },
)
SELECTION_PATHS = Kind(
    "selection_paths",
    "Every round of every policy: what was pulled, and what came of it.",
    {
        "policy": Array("str", "the policy"),
        "repeat": Array("int32", "number of the path"),
        "round": Array("int32", "number of the round, from 1 on"),
        "source": Array("str", "the source that was pulled"),
        "density": Array("float64", "share of overlap points in the batch: the reward"),
        "regret": Array(
            "float64", "cumulative regret: what the densest source would have had more"
        ),
        "n_all": Array("int32", "points collected so far"),
        "n_overlap": Array("int32", "overlap points among them"),
        "gap_all": Array("float64", "bound on the probe's relative optimality gap", nan=True),
        "gap_overlap": Array("float64", "the same for the overlap points only", nan=True),
        "reason_all": Array("str", "why the probe has no solution, if it has none"),
        "reason_overlap": Array("str", "the same for the overlap points only"),
    },
    {
        **JOB,
        **SOURCES,
        "policies": "names of the policies",
        "rounds": "rounds asked for",
        "ended": "why there are fewer rounds than asked for, if so",
        **STATUS,
    },
    ids=False,
)
SELECTION_PREDICTIONS = Kind(
    "selection_predictions",
    "Test predictions of the strong probe after every round of every policy.",
    {
        "id": ID,
        "label": Array("int8", "true label, 0 or 1"),
        "group": Array("int64", "group of the test point; unique where there are no groups"),
        "row": Array("int32", "row of selection_paths", ("rows",)),
        "all": Array(
            "float32", "P(label = 1), trained on all points so far", ("rows", "n"), True
        ),
        "overlap": Array(
            "float32", "the same, on the overlap points only; 1/2 before the first", ("rows", "n"),
            True,
        ),
    },
    JOB,
    suffix=".safetensors",
)  # fmt: skip

ROW = {
    "experiment": Array("str", "name of the experiment"),
    "weak": Array("str", "name of the weak model"),
    "strong": Array("str", "name of the strong model"),
}
SELECTION_TABLE = Kind(
    "selection_table",
    "What each policy reaches, and how much more than random pulls.",
    {
        **ROW,
        "policy": Array("str", "the policy"),
        "measure": Array(
            "str",
            "accuracy_* after the last round and auc_* (mean over the rounds), each trained on all "
            "points or on the overlap points; regret (cumulative); best_share ("
            + PULLED
            + "). The "
            "last two exist once a seed: their intervals and p are Student's t over seeds, NaN "
            "below 3 seeds",
        ),
        **with_interval("value", "mean over seeds"),
        **with_interval("minus_random", "paired difference to the policy random"),
        "p": number(
            "two-sided p value of that difference: normal, with the standard error of the "
            "bootstrap, or Student's t; NaN for random itself"
        ),
        "p_holm": number("the same after Holm's correction for the number of p in this table"),
        "n_rounds": number("rounds, mean over seeds"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", NO_INTERVAL),
    },
    ids=False,
)
SELECTION_ROUNDS_TABLE = Kind(
    "selection_rounds_table",
    "The curves: every round of every policy, mean over seeds.",
    {
        **ROW,
        "policy": Array("str", "the policy"),
        "round": Array("int64", "number of the round"),
        **with_interval("accuracy_all", "test accuracy, trained on all points so far"),
        **with_interval("accuracy_overlap", "test accuracy, trained on the overlap points so far"),
        **over_seeds("regret", "cumulative regret"),
        **over_seeds("best_share", PULLED + " so far"),
        "density": number("overlap density of the round's batch"),
        "n_all": number("points collected so far"),
        "n_overlap": number("overlap points among them"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why intervals over seeds are missing, if they are"),
    },
    ids=False,
)
SELECTION_SOURCES_TABLE = Kind(
    "selection_sources_table",
    "The sources, and which share of its pulls each policy gave them.",
    {
        **ROW,
        "source": Array("str", "the source"),
        "n_points": number("points of the source"),
        "density": number("overlap points / all points, by the detector"),
        "right_density": number("overlap points with a right weak label / all points"),
        "label_accuracy": number("accuracy of the weak labels of all points"),
        "policy": Array("str", "the policy"),
        **over_seeds("pulls", "share of the policy's pulls, mean over seeds"),
        "n_seeds": Array("int64", "seeds with a value"),
        "reason": Array("str", "why intervals over seeds are missing, if they are"),
    },
    ids=False,
)
