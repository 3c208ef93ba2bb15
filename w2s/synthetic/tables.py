"""The means of the original synthetic study, and how far ours are from them.

Moving mixture: means over 500 repetitions of the original study, with n = [100, 100, k]. Fixed
mixture: the same models on a test set of 40 % easy, 40 % hard and 20 % overlap points, means over
200 repetitions.

Below there are s settings, R repetitions, and `level` is the coverage of intervals.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.results.metrics import REGIONS
from w2s.results.outcome import Row, table
from w2s.synthetic.detection import METRICS, TARGETS
from w2s.synthetic.mixture import MIXTURES, SWEEPS, mixture
from w2s.synthetic.study import GROUPS, MODELS
from w2s.synthetic.track import SyntheticTablesSettings

REPETITIONS = {"moving": 500, "fixed": 200}
TEST_POINTS = 200  # of the fixed mixture; the moving one is taken to be as large as the training
WITHIN = 3  # standard errors
PUBLISHED = {  # mean by number of overlap points, of (mixture, model, group)
    ("moving", "weak", "overall"): {5: 0.666, 10: 0.671, 15: 0.677, 20: 0.682, 25: 0.685},
    ("moving", "strong", "overall"): {5: 0.823, 10: 0.827, 15: 0.832, 20: 0.834, 25: 0.834},
    ("moving", "w2s", "overall"): {5: 0.515, 10: 0.592, 15: 0.639, 20: 0.673, 25: 0.709},
    ("moving", "w2s", "hard"): {5: 0.510, 10: 0.570, 15: 0.603, 20: 0.627, 25: 0.650},
    ("fixed", "weak", "overall"): {5: 0.695, 95: 0.708},
    ("fixed", "strong", "overall"): {5: 0.839, 95: 0.852},
    ("fixed", "w2s", "overall"): {5: 0.520, 10: 0.590, 20: 0.693, 50: 0.788, 95: 0.819},
    ("fixed", "w2s", "hard"): {5: 0.507, 10: 0.557, 20: 0.634, 50: 0.721, 95: 0.759},
}


def standard_error(accuracy: Array, *, mixture: str, shares: Array, n_train: int) -> float:
    """Standard error of the difference between a mean of ours and a published one.

    Ours has the spread over repetitions only, as accuracies are exact. The original counts right
    test points: its mean has the same spread, and the noise of its test draws. Their number is not
    known and taken to be that of the training points (`moving`), or 200 (`fixed`).

    Args:
        accuracy: Our accuracies by region, (R, k), of the k regions that are tested.
        mixture: `moving` or `fixed`.
        shares: Share of each of these regions in the whole test mixture, (k,).
        n_train: Training points of the setting.
    """
    n_test = n_train if mixture == "moving" else TEST_POINTS
    weight = shares / shares.sum()
    spread = float((accuracy @ weight).var(ddof=1))
    noise = float((accuracy * (1 - accuracy) @ weight).mean()) / (n_test * float(shares.sum()))
    return math.sqrt(spread / len(accuracy) + (spread + noise) / REPETITIONS[mixture])


def mean_row(name: str, values: Array, level: float) -> Row:
    """Mean of the finite values (R,) with its interval; bounds are NaN for fewer than two."""
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else math.nan
    half = math.nan
    if len(known) > 1:
        z = NormalDist().inv_cdf((1 + level) / 2)
        half = z * float(known.std(ddof=1)) / math.sqrt(len(known))
    return {name: mean, "lo": mean - half, "hi": mean + half}


def accuracy_rows(study: str, counts: Array, accuracy: Array, level: float) -> list[Row]:
    """Accuracy of each model on each group of test points, for both test mixtures.

    Of the sweep `study`: training points (s, 3), exact accuracies (s, R, models, regions).
    """
    rows = []
    for name in MIXTURES:
        for numbers, found in zip(counts.tolist(), accuracy, strict=True):
            overall = found @ mixture(name, numbers)  # (R, models)
            by_group = np.concatenate([overall[..., None], found], axis=-1)
            key = dict(zip(("n_easy", "n_hard", "n_overlap"), numbers, strict=True))
            rows += [
                {
                    "study": study,
                    "mixture": name,
                    **key,
                    "model": model,
                    "group": group,
                    **mean_row("accuracy", by_group[:, m, g], level),
                    "n_repetitions": int(np.isfinite(by_group[:, m, g]).sum()),
                }
                for m, model in enumerate(MODELS)
                for g, group in enumerate(GROUPS)
            ]
    return rows


def anchor_rows(counts: Array, accuracy: Array) -> list[Row]:
    """Our means of the sweep `overlap`, as for `accuracy_rows`, beside the original study's."""
    place = {numbers[2]: i for i, numbers in enumerate(counts.tolist())}
    rows = []
    for (name, model, group), published in PUBLISHED.items():
        tested = slice(None) if group == "overall" else [REGIONS.index(group)]
        for n_overlap, mean in published.items():
            numbers = counts[place[n_overlap]].tolist()
            shares = mixture(name, numbers)[tested]
            found = accuracy[place[n_overlap], :, MODELS.index(model)][:, tested]
            ours = float((found @ (shares / shares.sum())).mean())
            se = standard_error(found, mixture=name, shares=shares, n_train=sum(numbers))
            z = (ours - mean) / se
            rows.append(
                {
                    "mixture": name,
                    "n_overlap": n_overlap,
                    "model": model,
                    "group": group,
                    "published": mean,
                    "ours": ours,
                    "difference": ours - mean,
                    "se": se,
                    "z": z,
                    "within": "yes" if abs(z) <= WITHIN else "no",
                    "n_repetitions": len(found),
                }
            )
    return rows


def detection_rows(
    cells: Sequence[Sequence[Any]],
    variants: Sequence[str],
    metrics: Array,
    reasons: Sequence[Sequence[Mapping[str, int]]],
    level: float,
) -> list[Row]:
    """Each metric of each target in each cell, for each set of options.

    Of each cell axis and value, of each set its name; metrics (cells, variants, R, targets,
    metrics); and the degenerate repetitions by reason, [cells][variants].
    """
    rows = []
    for (axis, value), by_variant, told in zip(cells, metrics, reasons, strict=True):
        for variant, found, why in zip(variants, by_variant, told, strict=True):
            for t, target in enumerate(TARGETS):
                for m, metric in enumerate(METRICS):
                    rows.append(
                        {
                            "axis": axis,
                            "setting": float(value),
                            "variant": variant,
                            "target": target,
                            "metric": metric,
                            **mean_row("value", found[:, t, m], level),
                            "n_repetitions": int(np.isfinite(found[:, t, m]).sum()),
                            "n_degenerate": sum(why.values()),
                            "reason": max(why, key=lambda told: why[told], default=""),
                        }
                    )
    return rows


def threshold_rows(
    hard: Array, overlap: Array, rows: Mapping[str, Array], level: float
) -> list[Row]:
    """Each metric of each target for each pair of thresholds.

    For the quantiles tried as tau_hard (h,) and tau_overlap (o,), the rows `metrics` (R, h, o,
    targets, metrics) and `density` (R, h, o).
    """
    return [
        {
            "tau_hard": float(low),
            "tau_overlap": float(high),
            "target": target,
            "metric": metric,
            **mean_row("value", rows["metrics"][:, i, j, t, m], level),
            "density": mean_row("density", rows["density"][:, i, j], level)["density"],
            "n_degenerate": int(np.isnan(rows["density"][:, i, j]).sum()),
            "n_repetitions": int(np.isfinite(rows["metrics"][:, i, j, t, m]).sum()),
        }
        for i, low in enumerate(hard)
        for j, high in enumerate(overlap)
        for t, target in enumerate(TARGETS)
        for m, metric in enumerate(METRICS)
    ]


def purity_rows(others: Sequence[str], rows: Mapping[str, Array], level: float) -> list[Row]:
    """Hard-only accuracy of w2s with overlap points, and with matched easy points instead.

    What both trainings have besides, [s], and the rows `n_overlap` (s,), `overlap` and `easy` (s,
    R, regions), `label_accuracy` (s, R).
    """
    hard = REGIONS.index("hard")
    found = []
    for i, name in enumerate(others):
        with_overlap, with_easy = (rows[side][i, :, hard] for side in ("overlap", "easy"))
        found.append(
            {
                "n_overlap": int(rows["n_overlap"][i]),
                "others": name,
                "with_overlap": mean_row("mean", with_overlap, level)["mean"],
                "with_easy": mean_row("mean", with_easy, level)["mean"],
                **mean_row("difference", with_overlap - with_easy, level),
                "label_accuracy": mean_row("mean", rows["label_accuracy"][i], level)["mean"],
                "n_repetitions": int(np.isfinite(with_easy).sum()),
            }
        )
    return found


def expansion_rows(names: Sequence[str], n_overlap: Array, found: Array, level: float) -> list[Row]:
    """Each estimate, by name, for numbers of overlap points (s,); found (s, R, estimates)."""
    return [
        {
            "n_overlap": int(n),
            "estimate": name,
            **mean_row("value", found[i, :, k], level),
            "n_repetitions": int(np.isfinite(found[i, :, k]).sum()),
        }
        for i, n in enumerate(n_overlap)
        for k, name in enumerate(names)
    ]


def synthetic_tables(
    accuracies: Sequence[Artifact],
    detection: Artifact,
    thresholds: Artifact,
    purity: Artifact,
    expansion: Artifact,
    *,
    settings: SyntheticTablesSettings,
) -> dict[str, Artifact]:
    """Means over repetitions, and ours beside the original's if the sweep `overlap` was run."""
    level = settings.level
    sweeps = {item.facts["study"]: item for item in accuracies}
    if len(sweeps) < len(accuracies):
        raise ArtifactError("synthetic_tables: found a sweep twice, expected each once")
    found: list[Row] = []
    anchors: list[Row] = []
    for study in SWEEPS:
        if study in sweeps:
            counts, accuracy = sweeps[study]["counts"], sweeps[study]["accuracy"]
            found += accuracy_rows(study, counts, accuracy, level)
            anchors += anchor_rows(counts, accuracy) if study == "overlap" else []
    told = detection.facts
    rows = {
        "synthetic": found,
        "anchors": anchors,
        "detection_table": detection_rows(
            told["cells"], told["variants"], detection["metrics"], told["reasons"], level
        ),
        "thresholds_table": threshold_rows(
            thresholds["tau_hard"], thresholds["tau_overlap"], thresholds.arrays, level
        ),
        "purity_table": purity_rows(purity.facts["others"], purity.arrays, level),
        "expansion_table": expansion_rows(
            expansion.facts["estimates"], expansion["n_overlap"], expansion["estimate"], level
        ),
    }
    return {
        name: table(f"{name.removesuffix('_table')}_table", items) for name, items in rows.items()
    }
