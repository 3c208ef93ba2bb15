"""Which trainings there are: arms, their controls, and trainings on the whole pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from w2s.arms.pool import Pool
from w2s.arms.track import DRAWN, FLIPPED, MATCHED, SELECTORS, ArmsConfig
from w2s.checks import Array
from w2s.overlap.draws import cells_of, chosen, flipped, like, relabelled, unteaching

FEWEST = 10  # points of an arm: fewer hold no tenths
Set = tuple[Array, Array]  # rows of a training, and labels of all points


@dataclass(frozen=True)
class Plan:
    """Trainings that become one row: repeats of an arm, of a control, or of the whole pool.

    Attributes:
        control: `arm`, or the name of a control.
        selector, band, budget: Of the arm; "", "" and 1 for the whole pool.
        sets: The trainings.
        purity: Label accuracy asked for, of relabel and iid.
        on_weak: Students see the weak model's vectors.
        known: Test predictions where nothing is trained, (n_test,).
        reason: Why there are no trainings, "" if there are.
    """

    control: str
    selector: str = ""
    band: str = ""
    budget: float = 1.0
    sets: Sequence[Set] = ()
    purity: float = np.nan
    on_weak: bool = False
    known: Array | None = None
    reason: str = ""


def whole_pool(
    pool: Pool, label: Array, floor: Array, arms: ArmsConfig, why: str
) -> Iterator[Plan]:
    """Trainings on all points: weak and true labels, and labels that teach nothing."""
    every, truth = np.arange(len(label)), label.astype(np.float64)
    weak = (pool.weak_proba > 0.5).astype(np.float64)
    floor = np.full(len(floor), np.nan) if why else floor
    yield Plan("floor", known=floor, reason=why)
    yield Plan("w2s", sets=[(every, pool.weak_proba)], reason=why)
    yield Plan("ceiling", sets=[(every, truth)], reason=why)
    drawn = unteaching(pool.weak_proba, arms.random, streams=pool.streams)
    for name, labels in drawn.items():
        yield Plan(name, sets=[(every, mine) for mine in labels], reason=why)
    most = float(weak.mean() >= 0.5) if len(weak) else np.nan
    same = [(every, np.full_like(weak, most))]
    yield Plan("constant", known=np.full(len(floor), most), sets=same, reason=why)
    for purity in arms.purities:
        for name in ("relabel", "iid"):
            streams = [pool.streams(f"{name} {purity:g} draw={r}") for r in range(arms.matched)]
            made = [
                relabelled(weak, label, purity, rng) if name == "relabel"
                else flipped(label, purity, rng)
                for rng in streams
            ]  # fmt: skip
            sets = [(every, mine) for mine in made if mine is not None]
            told = "" if sets else f"more than {purity:g} of the weak labels are right already"
            yield Plan(name, sets=sets, purity=purity, reason=why or told)


def arm_plans(
    pool: Pool,
    label: Array,
    scores: Mapping[str, Array],
    reasons: Mapping[str, str],
    arms: ArmsConfig,
    why: str,
) -> Iterator[Plan]:
    """Every selector, band and budget, each arm followed by its controls; first random arms."""
    reasons = {DRAWN: why, **reasons}
    positive = pool.weak_proba > 0.5
    right = positive == (label == 1)
    cells = cells_of(positive, right, pool.n_tokens, rng=pool.streams("token tenths"))
    for selector in (DRAWN, *scores):
        count = arms.random if selector == DRAWN else 1
        score = scores.get(selector, np.zeros(len(label)))
        for band in [""] if selector == DRAWN else _bands(selector, arms):
            for budget in arms.budgets:
                arm = Plan("arm", selector, band, budget, reason=reasons.get(selector, ""))
                rows = []
                for draw in () if arm.reason else range(count):
                    rng = pool.streams(f"{selector} draw={draw}" if selector == DRAWN else "ties")
                    rows.append(_rows(score, positive, arm, arms, rng))
                fewest = min(map(len, rows), default=FEWEST)
                if fewest < FEWEST and band != FLIPPED:
                    arm = replace(arm, reason=f"found {fewest} points, expected {FEWEST} or more")
                    rows = []
                yield replace(arm, sets=[_set(mine, arm, pool) for mine in rows])
                if selector != DRAWN:
                    yield from _controls(arm, rows, cells, arms, pool)


def _bands(selector: str, arms: ArmsConfig) -> list[str]:
    """Bands of a selector: labels are flipped by those alone whose low scores call them wrong."""
    judges = selector in SELECTORS and SELECTORS[selector].judges
    return [band for band in arms.bands if judges or band != FLIPPED]


def _rows(
    score: Array, positive: Array, arm: Plan, arms: ArmsConfig, rng: np.random.Generator
) -> Array:
    """The rows that an arm keeps, or those whose labels it flips."""
    if arm.band == FLIPPED:
        return chosen(score, positive, budget=1 - arm.budget, band="low", balanced=False, rng=rng)
    return chosen(
        score, positive, budget=arm.budget, band=arm.band or "high", balanced=arms.balanced, rng=rng
    )


def _set(rows: Array, arm: Plan, pool: Pool) -> Set:
    """A training on these rows, or on all with the labels of these flipped."""
    if arm.band != FLIPPED:
        return rows, pool.weak_proba
    target = pool.weak_proba.copy()
    target[rows] = 1 - target[rows]
    return np.arange(len(target)), target


def _controls(
    arm: Plan, rows: Sequence[Array], cells: Mapping[str, Array], arms: ArmsConfig, pool: Pool
) -> Iterator[Plan]:
    """What an arm is compared with; without trainings where it has no rows."""
    for control in MATCHED:
        sets = rows
        if control in cells and rows:
            repeats = arms.random if control == "random" else arms.matched
            sets = like(rows[0], cells[control], repeats, name=control, streams=pool.streams)
        drawn = [_set(mine, arm, pool) for mine in sets]
        yield replace(arm, control=control, sets=drawn, on_weak=control == "weak_vectors")
