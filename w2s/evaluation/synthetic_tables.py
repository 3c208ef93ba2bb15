"""The tables of the synthetic study: means over repetitions with normal intervals.

Repetitions are independent draws and many, so the interval of a mean is mean +- z sd / sqrt(R).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.evaluation.anchors import PUBLISHED, WITHIN, standard_error
from w2s.methods.regions import REGIONS
from w2s.methods.synthetic import MIXTURES, mixture
from w2s.methods.synthetic_detection import METRICS, TARGETS
from w2s.methods.synthetic_study import GROUPS, MODELS

Row = dict[str, Any]


def spread(name: str, values: Array, level: float) -> Row:
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

    Args:
        study: Name of the sweep.
        counts: Training points, (s, 3).
        accuracy: Exact accuracies, (s, R, models, regions).
        level: Coverage of the intervals.
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
                    **spread("accuracy", by_group[:, m, g], level),
                    "n_repetitions": int(np.isfinite(by_group[:, m, g]).sum()),
                }
                for m, model in enumerate(MODELS)
                for g, group in enumerate(GROUPS)
            ]
    return rows


def anchor_rows(counts: Array, accuracy: Array) -> list[Row]:
    """Our means of the sweep `overlap` beside those of the original study.

    Args:
        counts: Training points, (s, 3).
        accuracy: Exact accuracies, (s, R, models, regions).
    """
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

    Args:
        cells: Axis and value of each cell.
        variants: Names of the options.
        metrics: (cells, variants, R, targets, metrics).
        reasons: Degenerate repetitions by reason, [cells][variants].
        level: Coverage of the intervals.
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
                            **spread("value", found[:, t, m], level),
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

    Args:
        hard: Quantiles tried as tau_hard, (h,).
        overlap: Quantiles tried as tau_overlap, (o,).
        rows: `metrics` (R, h, o, targets, metrics) and `density` (R, h, o).
        level: Coverage of the intervals.
    """
    return [
        {
            "tau_hard": float(low),
            "tau_overlap": float(high),
            "target": target,
            "metric": metric,
            **spread("value", rows["metrics"][:, i, j, t, m], level),
            "density": spread("density", rows["density"][:, i, j], level)["density"],
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

    Args:
        others: What both trainings have besides, [settings].
        rows: `n_overlap` (s,), `overlap` and `easy` (s, R, regions), `label_accuracy` (s, R).
        level: Coverage of the intervals.
    """
    hard = REGIONS.index("hard")
    found = []
    for i, name in enumerate(others):
        with_overlap, with_easy = (rows[side][i, :, hard] for side in ("overlap", "easy"))
        found.append(
            {
                "n_overlap": int(rows["n_overlap"][i]),
                "others": name,
                "with_overlap": spread("mean", with_overlap, level)["mean"],
                "with_easy": spread("mean", with_easy, level)["mean"],
                **spread("difference", with_overlap - with_easy, level),
                "label_accuracy": spread("mean", rows["label_accuracy"][i], level)["mean"],
                "n_repetitions": int(np.isfinite(with_easy).sum()),
            }
        )
    return found


def expansion_rows(names: Sequence[str], n_overlap: Array, found: Array, level: float) -> list[Row]:
    """Each estimate in each setting.

    Args:
        names: Of the estimates.
        n_overlap: Overlap points of each setting, (s,).
        found: (s, R, estimates).
        level: Coverage of the intervals.
    """
    return [
        {
            "n_overlap": int(n),
            "estimate": name,
            **spread("value", found[i, :, k], level),
            "n_repetitions": int(np.isfinite(found[i, :, k]).sum()),
        }
        for i, n in enumerate(n_overlap)
        for k, name in enumerate(names)
    ]
