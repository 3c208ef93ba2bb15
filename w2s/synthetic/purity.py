"""Do overlap points teach w2s the hard patterns, or do they merely have cleaner weak labels?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError
from w2s.files.artifacts import Artifact
from w2s.progress import bar
from w2s.results.metrics import REGIONS
from w2s.synthetic.expansion import Expansion, expansion_study
from w2s.synthetic.mixture import (
    DESIGNS,
    Counts,
    Design,
    checked_counts,
    draw_populations,
    draw_samples,
)
from w2s.synthetic.study import blocks, train_w2s, train_weak
from w2s.synthetic.track import RecipeConfig, SyntheticControlsSettings

POOL = 12  # easy points drawn for each to be used: enough wrong ones where 1 in 12 is wrong
SPARE = 60  # and some more, for few points


@dataclass(frozen=True)
class PurityControl:
    """w2s on overlap points, and on as many easy points whose weak labels are as often right.

    All NaN in repetitions without enough easy points with a right or a wrong weak label.

    Attributes:
        overlap: Accuracy of w2s on overlap points, by test region, float64 (R, 3).
        easy: Accuracy of w2s on the easy points instead, (R, 3).
        label_accuracy: Share of right weak labels, the same for both, (R,).
    """

    overlap: Array
    easy: Array
    label_accuracy: Array


def purity_control(
    counts: Sequence[int],
    *,
    design: Design,
    recipe: RecipeConfig,
    seed: int,
    repetitions: Sequence[int],
    others: tuple[str, ...] = (),
) -> PurityControl:
    """Replace the overlap points by easy points with weak labels of the same accuracy.

    Easy points are taken from a pool of their own so that exactly as many of their weak labels are
    right as of the overlap points'. Both trainings have the same size, so the same penalty. Without
    `others` the outcome without overlap points is known beforehand: easy points carry nothing about
    the hard coordinates, so w2s is at exactly 1/2 on hard points. What is learned from it is that
    all of a rise over the number of overlap points is theirs, and none is due to cleaner labels.

    Args:
        counts: Easy, hard and overlap points; the weak model trains on as many. At least one
            overlap point.
        design: Of the mixtures.
        recipe: C of the weak model and of w2s, and whether labels are soft; `w2s_on` is not read.
        seed: The user's seed.
        repetitions: Numbers of the repetitions, at least one.
        others: Regions of the pseudo-label set, `easy` or `hard`, that both trainings have besides.

    Raises:
        W2SError: no overlap point, no repetition, or other regions.
    """
    n_points = checked_counts(counts)
    if not n_points[2] or not len(repetitions) or set(others) - {"easy", "hard"}:
        raise W2SError(
            f"purity control: found {n_points[2]} overlap points, {len(repetitions)} repetitions, "
            f"other regions {others}; expected 1 or more, 1 or more, and some of easy, hard"
        )
    width = design.d_easy + design.d_hard
    parts = [
        _run_block(n_points, design, recipe, (seed, block), others)
        for block in blocks(repetitions, (sum(n_points) + POOL * n_points[2] + SPARE) * width)
    ]
    overlap, easy, right, matched = (np.concatenate(side) for side in zip(*parts, strict=True))
    lost = ~matched
    overlap[lost], easy[lost], right[lost] = np.nan, np.nan, np.nan
    return PurityControl(overlap, easy, right)


def _run_block(
    counts: Counts,
    design: Design,
    recipe: RecipeConfig,
    draw: tuple[int, Sequence[int]],
    others: tuple[str, ...],
) -> tuple[Array, Array, Array, Array]:
    """Accuracies (r, 3) of both trainings, label accuracy (r,), and which could be matched (r,)."""
    seed, repetitions = draw
    populations = draw_populations(design, seed=seed, repetitions=repetitions)
    pool_counts = (POOL * counts[2] + SPARE, 0, 0)
    train, pseudo, pool = (
        draw_samples(populations, size, seed=seed, repetitions=repetitions, part=part)
        for part, size in (("train", counts), ("pseudo", counts), ("pool", pool_counts))
    )
    weak = train_weak(train, c=recipe.c)
    overlap = pseudo.region == REGIONS.index("overlap")
    besides = np.isin(pseudo.region, [REGIONS.index(name) for name in others])
    wanted = weak.right(pseudo)[:, overlap].sum(axis=1)
    rows, matched = take_matched(weak.right(pool), wanted, counts[2])
    chosen = np.take_along_axis(pool.x, rows[..., None], axis=1)
    results = []
    for arm in (pseudo.x[:, overlap], chosen):
        x = np.concatenate([pseudo.x[:, besides], arm], axis=1)
        rule = train_w2s(x, weak.logits(x[..., : design.d_easy]), recipe)
        results.append(populations.accuracy(rule.coef, rule.intercept))
    return *results, wanted / counts[2], matched


def take_matched(right: Array, wanted: Array, size: int) -> tuple[Array, Array]:
    """The first points of each row of which a wanted number has a right label.

    Args:
        right: Whether a label is right, bool (R, n).
        wanted: Right labels to have, (R,), 0 to `size`.
        size: Points to take, at most n.

    Returns:
        Positions, int64 (R, size), right ones first; and whether there were enough, bool (R,), as
        the positions of a row without enough are of no use.
    """
    good, bad = (np.argsort(~side, axis=1, kind="stable")[:, :size] for side in (right, ~right))
    slot = np.arange(size)
    first = slot < wanted[:, None]
    behind = np.maximum(slot - wanted[:, None], 0)
    rows = np.where(first, good, np.take_along_axis(bad, behind, axis=1))
    n_right = right.sum(axis=1)
    enough = (n_right >= wanted) & (right.shape[1] - n_right >= size - wanted)
    return rows, enough


N_OVERLAP = (5, 10, 25, 50, 95)  # beside 100 easy and 100 hard points
OTHERS: tuple[tuple[str, ...], ...] = ((), ("easy",), ("hard",))
ESTIMATES = tuple(field.name for field in fields(Expansion))


def synthetic_controls(*, settings: SyntheticControlsSettings) -> dict[str, Artifact]:
    """The purity control, and the expansion estimate, as the number of overlap points grows."""
    recipe = settings.recipe
    draws: dict[str, Any] = {"seed": settings.seed, "repetitions": range(settings.repetitions)}
    draws["design"] = DESIGNS["overlap"]
    trained = [(others, n) for others in OTHERS for n in N_OVERLAP]
    purity, expansion = [], []
    with bar("synthetic controls", len(trained) + len(N_OVERLAP), "settings") as advance:
        for others, n in trained:
            purity.append(purity_control((100, 100, n), recipe=recipe, others=others, **draws))
            advance(1)
        for n in N_OVERLAP:
            expansion.append(expansion_study((100, 100, n), c=recipe.c, **draws))
            advance(1)
    facts = settings.model_dump(mode="json", include={"seed", "recipe"})
    control = {
        "n_overlap": np.array([n for _, n in trained], dtype=np.int32),
        "overlap": np.stack([one.overlap for one in purity]),
        "easy": np.stack([one.easy for one in purity]),
        "label_accuracy": np.stack([one.label_accuracy for one in purity]),
    }
    estimates = [[getattr(one, name) for name in ESTIMATES] for one in expansion]
    graph = {
        "n_overlap": np.array(N_OVERLAP, dtype=np.int32),
        "estimate": np.moveaxis(np.array(estimates), 1, 2),  # (settings, repetitions, estimates)
    }
    named = {"others": [" + ".join(others) or "none" for others, _ in trained]}
    return {
        "purity": Artifact("purity_rows", control, facts | named),
        "expansion": Artifact("expansion_rows", graph, facts | {"estimates": list(ESTIMATES)}),
    }
