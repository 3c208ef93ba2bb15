"""The strong model's trainings of one dataset, pair and seed: ceiling, w2s, mixes and controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.methods.columns import Fit
from w2s.methods.mixing import Mix, Strata, draw_mixes, draw_random, mix_size, no_strata


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        control: `ceiling`, `w2s`, or the name of a curve.
        mix: Its training rows.
        true_labels: Trained on true labels rather than weak ones.
        weak_activations: Trained on the weak model's activations rather than the strong one's.
    """

    control: str
    mix: Mix
    true_labels: bool = False
    weak_activations: bool = False


Streams = Callable[[str], Callable[[str], np.random.Generator]]


def whole_pool_runs(n: int, reason: str = "") -> list[Run]:
    """The strong ceiling and w2s: all n points with true and with weak labels.

    Args:
        n: Points of the pool.
        reason: Why there are no weak labels, "" if there are.
    """
    everything = Mix(np.nan, 0, np.arange(n))
    weak = Mix(np.nan, 0, np.empty(0, dtype=np.int64), reason) if reason else everything
    return [Run("ceiling", everything, true_labels=True), Run("w2s", weak)]


def mixing_runs(
    overlap: Array,
    weak_proba: Array,
    label: Array,
    *,
    controls: Sequence[str],
    proportions: Sequence[float],
    repeats: int,
    streams: Streams,
) -> list[Run]:
    """The trainings of the mixing experiment.

    Curves over the proportion of overlap points: `plain`; `purity_matched` (the weak labels of
    every mix are as accurate as the pool's); `label_balanced` (half of the weak labels positive);
    `same_capacity` (the plain mixes on weak activations). Draws of the same size without regard to
    regions: `random` (weak labels) and `true_labels` (the same points, true labels).

    Args:
        overlap: Whether a point is an overlap point, bool (n,).
        weak_proba: Weak labels, (n,).
        label: True labels, 0 or 1, (n,).
        controls: Which of the above.
        proportions: Shares of overlap points.
        repeats: Draws of each.
        streams: Named random streams: of a curve, then of a repeat.
    """
    weak_label = weak_proba >= 0.5
    right = weak_label == (label == 1)
    anything = no_strata(len(label))
    strata = {
        "plain": anything,
        "same_capacity": anything,
        "purity_matched": Strata(right, float(right.mean()), "right weak labels"),
        "label_balanced": Strata(weak_label, 0.5, "positive weak labels"),
    }
    runs = []
    for control in controls:
        if control in strata:
            rng = streams("plain" if control == "same_capacity" else control)
            mixes = draw_mixes(
                overlap, strata[control], proportions=proportions, repeats=repeats, rng=rng
            )
        else:
            size = mix_size(overlap, anything)
            mixes = draw_random(len(label), size, repeats=repeats, rng=streams("random"))
        runs += [
            Run(control, mix, control == "true_labels", control == "same_capacity") for mix in mixes
        ]
    return runs


@dataclass(frozen=True)
class Trained:
    """Test predictions of runs.

    Attributes:
        proba: P(y = 1) on the test points, float32 (runs, n_test), NaN where a run failed.
        gap: Bound on the relative optimality gap, (runs,), NaN where a run failed.
        l2: Penalty, (runs,), NaN where a run failed or has none.
        reason: Why a run failed, "" if it did not.
    """

    proba: Array
    gap: Array
    l2: Array
    reason: list[str]


def joined(parts: Sequence[Trained], n_test: int) -> Trained:
    """The runs of all parts, one after another, with `n_test` test points if there are none."""
    none = Trained(np.empty((0, n_test), np.float32), np.empty(0), np.empty(0), [])
    every = [none, *parts]
    return Trained(
        np.concatenate([part.proba for part in every]),
        np.concatenate([part.gap for part in every]),
        np.concatenate([part.l2 for part in every]),
        [why for part in every for why in part.reason],
    )


def train(
    runs: Sequence[Run],
    weak_proba: Array,
    label: Array,
    *,
    strong: tuple[Array, Array],
    weak: tuple[Array, Array],
    fit: Fit,
) -> Trained:
    """Train all runs, those on the same activations as one problem, and predict the test points.

    Args:
        runs: The trainings.
        weak_proba: Weak labels of the training pool, (n,).
        label: True labels of the training pool, (n,).
        strong: Strong activations of the training pool (n, d) and of the test points (n_test, d).
        weak: The same from the weak model, for `same_capacity`.
        fit: How the probes of a matrix are fitted.
    """
    proba = np.full((len(runs), len(strong[1])), np.nan, dtype=np.float32)
    gap, l2 = np.full((2, len(runs)), np.nan)
    reason = [run.mix.reason for run in runs]
    for on_weak, (x, x_test) in ((False, strong), (True, weak)):
        numbers = [
            i for i, run in enumerate(runs) if run.weak_activations == on_weak and not reason[i]
        ]
        if not numbers:
            continue
        targets = [label if runs[i].true_labels else weak_proba for i in numbers]
        found = train_on(x, x_test, targets, [runs[i].mix.rows for i in numbers], fit=fit)
        proba[numbers], gap[numbers], l2[numbers] = found.proba, found.gap, found.l2
        for i, why in zip(numbers, found.reason, strict=True):
            reason[i] = why
    return Trained(proba, gap, l2, reason)


def train_on(
    x: Array, x_test: Array, targets: Sequence[Array], rows: Sequence[Array], *, fit: Fit
) -> Trained:
    """Train runs on one activation matrix as one problem, and predict the test points.

    Args:
        x: Activations of the pool, (n, d).
        x_test: Activations of the test points, (n_test, d).
        targets: Labels of the pool for each run, each (n,).
        rows: Training rows of each run.
        fit: How the probes are fitted.
    """
    weights = np.zeros((len(x), len(rows)))
    for column, mine in enumerate(rows):
        weights[mine, column] = 1
    probes = fit(x, np.stack(targets, axis=1), weights)
    proba = probes.predict_proba(x_test).T.astype(np.float32)
    return Trained(proba, probes.gap, probes.l2, list(probes.reason))
