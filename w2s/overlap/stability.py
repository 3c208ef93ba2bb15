"""Stability: how many points keep their region when the pool is drawn again."""

from __future__ import annotations

import numpy as np

from w2s.checks import Array
from w2s.errors import DegenerateError
from w2s.overlap.scores import largest_similarity, tiles
from w2s.overlap.thresholds import cut_confidences, cut_scores
from w2s.overlap.track import OverlapConfig

DRAWS = 20  # the mean over points varies little: with 20 draws by less than .01 on real texts
FEW = 10  # hard points: with fewer, single points decide what the others are taken for


def stability(
    seen: Array,
    confidence: Array,
    region: Array,
    *,
    overlap: OverlapConfig,
    rng: np.random.Generator,
) -> float:
    """Share of the points of a pool that keep their region over bootstrap resamples of it.

    Of each resample both thresholds are found, and its hard points are what all points are compared
    with. The view (`w2s.overlap.views`) stays that of the whole pool. A resample without regions
    keeps none.

    Args:
        seen: The pool as the detector sees it, (n, d).
        confidence: Of its points, (n,).
        region: Their regions, (n,).
        overlap: The detector's options.
        rng: Draws the resamples.

    Returns:
        In [0, 1]: the mean over points and resamples.
    """
    rules = overlap.model_dump()
    draws = []
    for _ in range(DRAWS):
        rows = rng.integers(len(region), size=len(region))
        try:
            low, _ = cut_confidences(rules["tau_hard"], confidence[rows])
        except DegenerateError:
            continue
        draws.append((rows, low))
    if not draws:
        return 0.0
    scored = confidence >= min(low for _, low in draws)  # the others are hard whatever is drawn
    counts = np.stack([np.bincount(rows, minlength=len(region)) for rows, _ in draws])
    hard = np.stack([confidence < low for _, low in draws])
    score = np.full(hard.shape, np.nan)
    score[:, scored] = _scores(seen, scored, counts * hard, overlap)
    size = largest_similarity(seen[scored], seen[counts.any(axis=0)], overlap.similarity)
    kept = 0.0
    for (rows, _), low_ones, mine in zip(draws, hard, score, strict=True):
        try:
            high, margin = cut_scores(rules["tau_overlap"], mine[rows][~low_ones[rows]], size=size)
        except DegenerateError:
            continue
        found = np.where(mine >= high - margin, "overlap", "easy")
        found[low_ones] = "hard"
        kept += float(np.mean(found == region))
    return kept / DRAWS


def _scores(seen: Array, scored: Array, hard: Array, overlap: OverlapConfig) -> Array:
    """Scores of some points (n,) against the hard points of each draw, (b, m).

    `hard` says how often each point is drawn as a hard one, (b, n).
    """
    used = np.flatnonzero(hard.any(axis=0))
    weight = hard[:, used]
    score = np.zeros((len(hard), int(scored.sum())))
    if overlap.aggregate == "max" and not overlap.absolute:
        score -= np.inf
    parts = tiles(seen[used], seen[scored], similarity=overlap.similarity)
    for mine, points, product in parts:
        if overlap.aggregate == "mean":
            score[:, points] += weight[:, mine] @ np.square(product, dtype=np.float64)
            continue
        if overlap.absolute:
            np.abs(product, out=product)
        for of_draw, times in zip(score, weight[:, mine], strict=True):
            best = product[np.flatnonzero(times)].max(axis=0, initial=-np.inf)
            np.maximum(of_draw[points], best, out=of_draw[points])
    return np.sqrt(score / weight.sum(axis=1)[:, None]) if overlap.aggregate == "mean" else score
