"""Arms and their controls: which rows of a pool each student is trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from w2s.checks import Array
from w2s.overlap.mixing import Streams

TENTHS = 10  # classes of token length


def chosen(
    score: Array, positive: Array, *, budget: float, band: str, balanced: bool,
    rng: np.random.Generator,
) -> Array:  # fmt: skip
    """The rows of an arm.

    Args:
        score: Of each point, finite, (n,); ties are broken by chance.
        positive: Whether its weak label is, bool (n,).
        budget: Share of the points to keep, in (0, 1].
        band: Which scores: `high`, `low`, or `middle` (as many left out on either side).
        balanced: As many of each weak label: half of the budget, or all points of the rarer one.
            Otherwise whatever labels the scores give.
        rng: Breaks ties.

    Returns:
        Positions, int64, each once; empty where balance is asked for and a label has no point.
    """
    order = np.lexsort((rng.permutation(len(score)), score))  # from low to high
    size = round(budget * len(score))
    if not balanced:
        return _within(order, size, band)
    sides = [order[positive[order] == side] for side in (False, True)]
    each = min(round(size / 2), *map(len, sides))
    return np.concatenate([_within(side, each, band) for side in sides])


def _within(order: Array, size: int, band: str) -> Array:
    rest = len(order) - size
    start = {"high": rest, "low": 0, "middle": rest // 2}[band]
    return order[start : start + size]


def cells_of(
    positive: Array, right: Array, n_tokens: Array, *, rng: np.random.Generator
) -> dict[str, Array]:
    """What random points of each matched control share with an arm, as codes (n,).

    Args:
        positive: Whether the weak label is, bool (n,).
        right: Whether it is right, bool (n,).
        n_tokens: Number of tokens, (n,); equal ones fall into tenths by chance, so that all tenths
            have as many points.
        rng: Breaks those ties.
    """
    rank = np.empty(len(n_tokens), dtype=np.int64)
    rank[np.lexsort((rng.permutation(len(n_tokens)), n_tokens))] = np.arange(len(n_tokens))
    tenth = rank * TENTHS // max(1, len(n_tokens))
    code = positive.astype(np.int64)
    return {
        "random": code,
        "purity_matched": 2 * code + right,
        "length_matched": TENTHS * code + tenth,
    }


def like(rows: Array, cell: Array, draws: int, *, name: str, streams: Streams) -> list[Array]:
    """Random sets of points that have as many of each cell as an arm has.

    Args:
        rows: The arm.
        cell: Code of each point, int64 (n,).
        draws: How many sets.
        name: Of the control; sets of equal counts are the same for every arm.
        streams: Named random streams.
    """
    counts = np.bincount(cell[rows], minlength=int(cell.max(initial=0)) + 1)
    known = hashlib.sha256(counts.tobytes()).hexdigest()[:16]
    members = [np.flatnonzero(cell == code) for code in range(len(counts))]
    found = []
    for draw in range(draws):
        rng = streams(f"{name} {known} draw={draw}")
        parts = [rng.permutation(m)[:k] for m, k in zip(members, counts, strict=True)]
        found.append(np.sort(np.concatenate(parts)))
    return found


def relabelled(weak: Array, label: Array, purity: float, rng: np.random.Generator) -> Array | None:
    """Weak labels of which so many wrong ones are put right that this share of them is right.

    What is left of the errors is where the weak model errs. None where more are right already.

    Args:
        weak: Hard weak labels, 0 or 1, (n,).
        label: True labels, (n,).
        purity: Share to be right.
        rng: Chooses which are put right.
    """
    wrong = np.flatnonzero(weak != label)
    errors = round((1 - purity) * len(label))
    if errors > len(wrong):
        return None
    mended = rng.permutation(wrong)[errors:]
    found = weak.astype(np.float64)
    found[mended] = label[mended]
    return found


def flipped(label: Array, purity: float, rng: np.random.Generator) -> Array:
    """True labels of which so many are flipped at random that this share of them is right."""
    found = label.astype(np.float64)
    which = rng.permutation(len(label))[: round((1 - purity) * len(label))]
    found[which] = 1 - found[which]
    return found


def unteaching(weak_proba: Array, draws: int, *, streams: Streams) -> Mapping[str, Sequence[Array]]:
    """Labels that teach nothing: weak ones shuffled, and random ones, as many positive; (n,) each.

    Args:
        weak_proba: Weak labels, (n,).
        draws: How many of each.
        streams: Named random streams.
    """
    hard = (weak_proba > 0.5).astype(np.float64)
    return {
        "shuffled": [streams(f"shuffled draw={r}").permutation(weak_proba) for r in range(draws)],
        "random_labels": [
            streams(f"random_labels draw={r}").permutation(hard) for r in range(draws)
        ],
    }
