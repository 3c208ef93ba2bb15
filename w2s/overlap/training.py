"""The strong model's trainings of one dataset, pair and seed: ceiling, w2s, mixes and controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from w2s.checks import Array
from w2s.overlap.mixing import (
    NOTHING,
    Mix,
    Strata,
    Streams,
    Trade,
    against_rest,
    draw_few,
    draw_mixes,
    draw_random,
    equal_score,
    mix_size,
    no_strata,
    placebo,
)
from w2s.probes.columns import Fit
from w2s.results.metrics import PLACEBO

Labels = Literal["soft", "hard", "true"]
CurveStreams = Callable[[str], Streams]  # of a curve, then of a repeat
MATCHED = ("purity_matched", "brier_matched", "label_balanced")


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        control: `ceiling`, `w2s`, or the name of a curve.
        mix: Its training rows.
        labels: What it is trained on: weak labels as probabilities (soft), the more likely class
            (hard), or true labels.
        weak_activations: Trained on the weak model's activations rather than the strong one's.
        restart: Number of the starting point, of networks that have one.
    """

    control: str
    mix: Mix
    labels: Labels = "soft"
    weak_activations: bool = False
    restart: int = 0


@dataclass(frozen=True)
class Pool:
    """The points that the strong model may train on.

    Attributes:
        region: easy, hard or overlap, (n,).
        weak_proba: Weak labels, (n,). One of exactly 1/2 is neither right nor wrong, of no class,
            and nothing to train on where hard labels are needed.
        label: True labels, 0 or 1, (n,).
        hard_labels: Whether the student trains on hard labels throughout.
    """

    region: Array
    weak_proba: Array
    label: Array
    hard_labels: bool = False

    @property
    def decided(self) -> Array:
        """Points with a hard label, bool (n,)."""
        decided: Array = self.weak_proba != 0.5
        return decided

    @property
    def usable(self) -> Array:
        """Points that a student can train on, bool (n,)."""
        return self.decided if self.hard_labels else np.ones(len(self.label), dtype=bool)

    @property
    def labels(self) -> Labels:
        """The student's weak labels."""
        return "hard" if self.hard_labels else "soft"


def whole_pool_runs(
    pool: Pool, *, few: int, same_capacity: bool, streams: CurveStreams
) -> list[Run]:
    """The strong ceiling, w2s, and what they are to be compared with; no regions are needed.

    `few_labels` is the strong model on true labels of a 256th, ..., a half of the points,
    `same_capacity_w2s` is w2s on the weak model's activations.

    Args:
        pool: The points.
        few: Draws of `few_labels`.
        same_capacity: Whether there is `same_capacity_w2s`.
        streams: Named random streams: of a curve, then of a repeat.
    """
    everything = Mix(np.nan, 0, np.arange(len(pool.label)))
    usable = Mix(np.nan, 0, np.flatnonzero(pool.usable))
    runs = [Run("ceiling", everything, "true"), Run("w2s", usable, pool.labels)]
    if same_capacity:
        runs.append(Run("same_capacity_w2s", usable, pool.labels, weak_activations=True))
    mixes = draw_few(pool.label, repeats=few, rng=streams("few_labels"))
    return runs + [Run("few_labels", mix, "true") for mix in mixes]


def without_labels(runs: Sequence[Run], reason: str) -> list[Run]:
    """The same runs, without rows where they need weak labels or regions that there are not."""
    return [
        run
        if run.control in ("ceiling", "few_labels")
        else replace(run, mix=Mix(run.mix.proportion, run.mix.repeat, NOTHING, reason))
        for run in runs
    ]


def mixing_runs(
    pool: Pool,
    *,
    controls: Sequence[str],
    proportions: Sequence[float],
    repeats: int,
    streams: CurveStreams,
) -> list[Run]:
    """The trainings of the mixing experiment.

    Curves over the proportion of overlap points. Against all other points: `plain`;
    `purity_matched` (hard weak labels, in every mix as often right as in the pool); `brier_matched`
    (soft weak labels, in every mix of the pool's Brier score, in expectation); `label_balanced`
    (hard weak labels, half of them positive); `same_capacity` (the plain mixes on weak
    activations). With `placebo`, the first four again with random points that are not hard in the
    place of overlap points: `placebo`, `purity_matched_placebo` and so on. With hard points held
    constant: `fixed_hard` (the pool's share of them in every mix, overlap against easy points
    within the rest) and `overlap_against_easy` (none). Draws of the plain size without regard to
    regions: `random` (weak labels) and `true_labels` (the same points, true labels).

    Args:
        pool: The points, with regions.
        controls: Which of the above.
        proportions: Shares of overlap points.
        repeats: Draws of each.
        streams: Named random streams: of a curve, then of a repeat.
    """
    overlap, hard = pool.region == "overlap", pool.region == "hard"
    masks = {"": [overlap] * repeats}
    if "placebo" in controls:
        rng = streams("placebo points")
        masks[PLACEBO] = [placebo(overlap, hard, rng(f"repeat={r}")) for r in range(repeats)]
    runs = []
    for control in controls:
        if control in ("random", "true_labels"):
            size = mix_size(against_rest(overlap, pool.usable), no_strata(len(overlap)))
            mixes = draw_random(pool.usable, size, repeats=repeats, rng=streams("random"))
            labels: Labels = "true" if control == "true_labels" else pool.labels
            runs += [Run(control, mix, labels) for mix in mixes]
            continue
        for suffix, mine in masks.items() if control in MATCHED else [("", masks[""])]:
            points = masks[PLACEBO] if control == "placebo" else mine
            problems = [_problem(control, pool, chosen) for chosen in points]
            trades, strata = zip(*problems, strict=True)
            name = "plain" if control == "same_capacity" else control + suffix
            mixes = draw_mixes(trades, strata, proportions=proportions, rng=streams(name))
            labels = "hard" if control in ("purity_matched", "label_balanced") else pool.labels
            on_weak = control == "same_capacity"
            runs += [Run(control + suffix, mix, labels, on_weak) for mix in mixes]
    return runs


def _problem(control: str, pool: Pool, overlap: Array) -> tuple[Trade, Strata]:
    """What a curve trades, and what it holds constant, with these points for overlap points."""
    hard, usable, decided = pool.region == "hard", pool.usable, pool.decided
    anything = no_strata(len(overlap))
    if control in ("fixed_hard", "overlap_against_easy"):
        kept = hard & usable if control == "fixed_hard" else np.zeros_like(hard)
        share = float(kept.sum() / usable.sum()) if usable.any() else 0.0
        sides = overlap & usable & ~hard, ~overlap & usable & ~hard
        return Trade(*sides, kept, share), anything
    if control == "brier_matched":
        trade = against_rest(overlap, usable)
        error = (pool.weak_proba - pool.label) ** 2
        what = "weak labels with a low squared error"
        return trade, equal_score(error, (trade.overlap, trade.other), what)
    if control in MATCHED:
        positive = pool.weak_proba > 0.5
        right = positive == (pool.label == 1)
        if control == "label_balanced":
            return against_rest(overlap, decided), Strata(
                positive, (0.5, 0.5), "positive weak labels"
            )
        share = float(right[decided].mean()) if decided.any() else np.nan
        return against_rest(overlap, decided), Strata(right, (share, share), "right weak labels")
    return against_rest(overlap, usable), anything


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
        targets = [targets_of(runs[i].labels, weak_proba, label) for i in numbers]
        found = train_on(x, x_test, targets, [runs[i].mix.rows for i in numbers], fit=fit)
        proba[numbers], gap[numbers], l2[numbers] = found.proba, found.gap, found.l2
        for i, why in zip(numbers, found.reason, strict=True):
            reason[i] = why
    return Trained(proba, gap, l2, reason)


def targets_of(labels: Labels, weak_proba: Array, label: Array) -> Array:
    """The labels of the pool that a run is trained on, float64 (n,); a hard 1/2 stays 1/2."""
    if labels == "true":
        return label.astype(np.float64)
    hard: Array = (np.sign(weak_proba - 0.5) + 1) / 2
    return weak_proba if labels == "soft" else hard


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
