"""The tables of weak supervision: labeling functions, label models, students, published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, rows_of, same_length, vector
from w2s.errors import ArtifactError, W2SError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import same_job
from w2s.overlap.tables import comparison_rows
from w2s.overlap.track import TablesSettings
from w2s.results.intervals import Bootstrap, estimate, known_means
from w2s.results.metrics import LABEL_SCORES, MODELS
from w2s.results.outcome import COLUMNS, KEY, Outcome, Row, by_seed, each_outcome, outcome_of, table
from w2s.results.rows import corrected, row_means, value_of, with_references
from w2s.weak_supervision.labeling_functions import ABSTAIN, checked_votes

RENAMED = {"floor": "label_model"}
# label model, MLP on all its labels, MLP on true labels, then accuracy at overlap shares 0, .5, 1:
# Shin et al. (2025), means over 25 seeds
PUBLISHED = {
    "basketball": (0.637, 0.692, 0.953, 0.617, 0.543, 0.279),
    "cdr": (0.658, 0.605, 0.684, 0.564, 0.594, 0.613),
    "census": (0.610, 0.615, 0.833, 0.602, 0.609, 0.616),
    "commercial": (0.879, 0.893, 0.952, 0.665, 0.842, 0.941),
    "imdb": (0.710, 0.746, 0.769, 0.607, 0.703, 0.724),
    "mushroom": (0.864, 0.865, 0.990, 0.630, 0.865, 0.598),
    "sms": (0.649, 0.704, 0.973, 0.522, 0.743, 0.916),
    "spambase": (0.769, 0.776, 0.929, 0.682, 0.774, 0.867),
    "tennis": (0.842, 0.810, 0.878, 0.495, 0.792, 0.821),
    "yelp": (0.697, 0.686, 0.797, 0.564, 0.680, 0.705),
    "youtube": (0.729, 0.834, 0.871, 0.611, 0.808, 0.832),
}
QUANTITIES = {  # of PUBLISHED, in order: control and proportion of our rows
    "label_model": ("label_model", None),
    "pseudo": ("w2s", None),
    "true": ("ceiling", None),
    "mix_0": ("plain", 0.0),
    "mix_0.5": ("plain", 0.5),
    "mix_1": ("plain", 1.0),
}


def analyze_lfs(votes: npt.ArrayLike, label: npt.ArrayLike) -> dict[str, Array]:
    """Coverage, co-votes, conflicts and empirical accuracy of each LF.

    Definitions as in Snorkel's `LFAnalysis` (Ratner et al., 2017). Deviation: an LF without a vote
    has accuracy NaN, where Snorkel says 0.

    Args:
        votes: Label matrix, shape (n, m), values -1 (abstain), 0, 1; n and m at least 1.
        label: True labels, shape (n,), 0 or 1.

    Returns:
        Float64 (m,) each: `coverage`, the share of points an LF votes on; `lf_overlaps`, on which
        another one votes too (no relation to overlap points); `conflicts`, on which another one
        votes differently; and `accuracy`, right votes / its votes.

    Raises:
        W2SError: another shape or other values.
    """
    matrix = checked_votes(votes)
    voted = matrix != ABSTAIN  # (n, m)
    count = voted.sum(axis=0)
    truth = vector(label, "label")
    same_length("label", truth, "label matrix", len(matrix))
    if not np.isin(truth, (0, 1)).all():
        raise W2SError("label: found values other than 0 and 1, expected these alone")
    right = (matrix == truth[:, None]).sum(axis=0)
    accuracy = np.divide(right, count, out=np.full(len(count), np.nan), where=count > 0)
    others = voted.sum(axis=1, keepdims=True) - voted  # (n, m): other LFs that vote
    ones = (matrix == 1).sum(axis=1, keepdims=True)
    against = np.where(matrix == 1, others - (ones - 1), ones)  # of those, on the other side
    return {
        "coverage": voted.mean(axis=0),
        "lf_overlaps": (voted & (others > 0)).mean(axis=0),
        "conflicts": (voted & (against > 0)).mean(axis=0),
        "accuracy": accuracy,
    }


def lf_rows(dataset: str, lfs: Sequence[str], votes: Array, label: Array) -> list[Row]:
    """The standard analysis of each labeling function of a dataset.

    Args:
        dataset: Its name.
        lfs: Names of the m labeling functions.
        votes: Label matrix, (n, m).
        label: True labels, (n,).
    """
    found = analyze_lfs(votes, label)
    return [
        {
            "dataset": dataset,
            "lf": lf,
            **{name: float(values[j]) for name, values in found.items()},
            "reason": "" if found["coverage"][j] else "it never votes",
        }
        for j, lf in zip(range(np.shape(votes)[1]), lfs, strict=True)
    ]


def weak_supervision_rows(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """The label model, w2s, the ceiling, and every row of the mixing experiment.

    A label model is trained on no labels. Beside its test accuracy, `label_accuracy` is that of its
    labels on strong_train, which the students learn from.
    """
    names = {"dataset": outcome.dataset, "label_model": outcome.weak, "strong": outcome.strong}
    found = estimate(outcome.correct, outcome.groups()["overall"], bootstrap)
    deviation = restart_sd(outcome)
    columns = {name: values.copy() for name, values in outcome.columns.items()}
    for name in LABEL_SCORES:  # what w2s trains on, also in units where it could not be trained
        columns[name][:, outcome.row("floor")] = columns[name][:, outcome.row("w2s")]
    numbers = row_means(replace(outcome, columns=columns))
    order = [outcome.row(control) for control in MODELS]
    order += [i for i in range(len(outcome.control)) if i not in order]
    return [
        {
            **names,
            "control": RENAMED.get(outcome.control[i], outcome.control[i]),
            "proportion": float(outcome.proportion[i]),
            **value_of("accuracy", found, i, level, why=outcome.why_row(i)),
            "restart_sd": deviation[i],
            **{name: numbers[name][i] for name in COLUMNS},
            "n_seeds": outcome.seeds_of(found.n_seeds[i]),
        }
        for i in order
    ]


def restart_sd(outcome: Outcome) -> list[float]:
    """Standard deviation of each row's accuracy over the restarts of a seed, mean over seeds.

    NaN without restarts, as of the floor.
    """
    if outcome.restarts == 1:
        return [float("nan")] * len(outcome.control)
    share = outcome.correct.mean(axis=2, dtype=np.float64)  # (units, rows)
    by_seed = share.reshape(-1, outcome.restarts, share.shape[1])
    sd = by_seed.std(axis=1, ddof=1)  # (seeds, rows)
    sd[:, outcome.row("floor")] = np.nan
    return known_means(sd)


def published_rows(rows: Sequence[Row]) -> list[Row]:
    """Rows of `weak_supervision_rows` beside the published numbers of their dataset."""
    found = []
    for row in rows:
        for quantity, published in zip(QUANTITIES, PUBLISHED.get(row["dataset"], ()), strict=False):
            control, proportion = QUANTITIES[quantity]
            matches = np.isnan(row["proportion"]) if proportion is None else (
                row["proportion"] == proportion
            )  # fmt: skip
            if row["control"] != control or not matches:
                continue
            own = quantity == "label_model"
            found.append(
                {
                    **{name: row[name] for name in ("dataset", "label_model", "strong", "n_seeds")},
                    "quantity": quantity,
                    "published": published,
                    "ours": row["label_accuracy" if own else "accuracy"],
                    "lo": np.nan if own else row["lo"],
                    "hi": np.nan if own else row["hi"],
                }
            )
    return found


def weak_supervision_tables(
    examples: Sequence[Artifact],
    label_matrix: Sequence[Artifact],
    metrics: Sequence[Artifact],
    correct: Sequence[Artifact],
    *,
    settings: TablesSettings,
) -> dict[str, Artifact]:
    """Labeling functions, label models and students, differences, and published numbers."""
    if len(examples) != len(label_matrix):
        raise ArtifactError(
            f"tables: found {len(examples)} examples and {len(label_matrix)} label matrices, "
            f"expected as many"
        )
    lfs: list[Row] = []
    for texts, matrix in zip(examples, label_matrix, strict=True):
        same_job(examples=texts, label_matrix=matrix)
        label = texts["label"][rows_of(matrix["id"], texts["id"], what="examples")]
        lfs += lf_rows(matrix.facts["dataset"], matrix.facts["lfs"], matrix["votes"], label)
    rows: list[Row] = []
    differences: list[Row] = []
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    jobs = by_seed(metrics, correct, key=KEY)
    what = "weak supervision tables"
    for found, drawn in each_outcome(jobs, outcome_of, draws=draws, what=what, unit="outcomes"):
        outcome = with_references(found)
        rows += weak_supervision_rows(outcome, drawn, level)
        differences += comparison_rows(outcome, drawn, level)
    return {
        "lf_analysis": table("lf_table", lfs),
        "weak_supervision": table("weak_supervision_table", rows),
        "comparisons": table("comparisons_table", corrected(differences)),
        "published": table("published_table", published_rows(rows)),
    }
