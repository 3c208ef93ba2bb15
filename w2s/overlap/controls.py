"""Which trainings of the strong model there are: ceiling, w2s, mixes and controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

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
from w2s.overlap.track import PLACEBO, MixingConfig
from w2s.rng import stream

Labels = Literal["soft", "hard", "true"]
CurveStreams = Callable[[str], Streams]  # of a curve, then of a repeat


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


Problem = tuple[Trade, Strata]  # what a curve trades, and what it holds constant


def _against_rest(pool: Pool, overlap: Array) -> Problem:
    return against_rest(overlap, pool.usable), no_strata(len(overlap))


def _fixed_hard(pool: Pool, overlap: Array) -> Problem:
    kept = (pool.region == "hard") & pool.usable
    share = float(kept.sum() / pool.usable.sum()) if pool.usable.any() else 0.0
    return _without_hard(pool, overlap, kept, share)


def _against_easy(pool: Pool, overlap: Array) -> Problem:
    return _without_hard(pool, overlap, np.zeros_like(overlap), 0.0)


def _without_hard(pool: Pool, overlap: Array, kept: Array, share: float) -> Problem:
    able = pool.usable & (pool.region != "hard")
    return Trade(overlap & able, ~overlap & able, kept, share), no_strata(len(overlap))


def _purity_matched(pool: Pool, overlap: Array) -> Problem:
    decided = pool.decided
    right = (pool.weak_proba > 0.5) == (pool.label == 1)
    share = float(right[decided].mean()) if decided.any() else np.nan
    return against_rest(overlap, decided), Strata(right, (share, share), "right weak labels")


def _brier_matched(pool: Pool, overlap: Array) -> Problem:
    trade = against_rest(overlap, pool.usable)
    error = (pool.weak_proba - pool.label) ** 2
    what = "weak labels with a low squared error"
    return trade, equal_score(error, (trade.overlap, trade.other), what)


def _label_balanced(pool: Pool, overlap: Array) -> Problem:
    positive = pool.weak_proba > 0.5
    return against_rest(overlap, pool.decided), Strata(positive, (0.5, 0.5), "positive weak labels")


@dataclass(frozen=True)
class Curve:
    """How the mixes of a control are drawn over the proportion of overlap points.

    Attributes:
        problem: Of the pool and the points that are taken for overlap points, bool (n,).
        matched: Whether `placebo` adds one to it, over random points that are not hard.
        hard_labels: Trained on hard labels whatever the pool's are.
        mixes: Of which curve, if not its own, the mixes are.
        weak_activations: Trained on the weak model's activations.
    """

    problem: Callable[[Pool, Array], Problem]
    matched: bool = False
    hard_labels: bool = False
    mixes: str = ""
    weak_activations: bool = False


CURVES = {
    "plain": Curve(_against_rest),
    "placebo": Curve(_against_rest),
    "fixed_hard": Curve(_fixed_hard),
    "overlap_against_easy": Curve(_against_easy),
    "purity_matched": Curve(_purity_matched, matched=True, hard_labels=True),
    "brier_matched": Curve(_brier_matched, matched=True),
    "label_balanced": Curve(_label_balanced, matched=True, hard_labels=True),
    "same_capacity": Curve(_against_rest, mixes="plain", weak_activations=True),
}
DRAWN = ("random", "true_labels")  # points of a plain mix's number; `few_labels` needs no regions


def mixing_runs(
    pool: Pool,
    *,
    controls: Sequence[str],
    proportions: Sequence[float],
    repeats: int,
    streams: CurveStreams,
) -> list[Run]:
    """The trainings of the mixing experiment.

    Curves over the proportion of overlap points (`CURVES`; what each is for, `track.CONTROLS`
    says). With `placebo`, those that are matched stand again with random points that are not hard
    in the place of overlap points: `purity_matched_placebo` and so on. Draws of the plain size
    without regard to regions: `random` (weak labels) and `true_labels` (the same points, true
    labels).

    Args:
        pool: The points, with regions.
        controls: Names of curves, `random` and `true_labels`.
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
        if control in DRAWN:
            size = mix_size(against_rest(overlap, pool.usable), no_strata(len(overlap)))
            mixes = draw_random(pool.usable, size, repeats=repeats, rng=streams("random"))
            labels: Labels = "true" if control == "true_labels" else pool.labels
            runs += [Run(control, mix, labels) for mix in mixes]
            continue
        curve = CURVES[control]
        for suffix, mine in masks.items() if curve.matched else [("", masks[""])]:
            points = masks[PLACEBO] if control == "placebo" else mine
            problems = [curve.problem(pool, chosen) for chosen in points]
            trades, strata = zip(*problems, strict=True)
            rng = streams(curve.mixes or control + suffix)
            mixes = draw_mixes(trades, strata, proportions=proportions, rng=rng)
            labels = "hard" if curve.hard_labels else pool.labels
            runs += [Run(control + suffix, mix, labels, curve.weak_activations) for mix in mixes]
    return runs


def runs_of(pool: Pool, reason: str, facts: Any, mixing: MixingConfig) -> list[Run]:
    """All trainings; where weak labels or regions are undefined, runs without rows that say so.

    Args:
        pool: The points of strong_train.
        reason: Why there are no weak labels, "" if there are.
        facts: Facts of the regions artifact: dataset, seed, status and reason.
        mixing: The experiment.
    """

    def streams(control: str) -> Streams:
        return lambda repeat: stream(facts["seed"], "mixing", facts["dataset"], control, repeat)

    few = mixing.repeats if "few_labels" in mixing.controls else 0
    capacity = "same_capacity" in mixing.controls
    whole = whole_pool_runs(pool, few=few, same_capacity=capacity, streams=streams)
    mixes = mixing_runs(
        pool,
        controls=[name for name in mixing.controls if name != "few_labels"],
        proportions=mixing.proportions,
        repeats=mixing.repeats,
        streams=streams,
    )
    whole = without_labels(whole, reason) if reason else whole
    return whole + (mixes if facts["status"] == "ok" else without_labels(mixes, facts["reason"]))
