"""Balanced parts of a dataset and halves of its pool, with groups kept together.

Of n rows, `labels` are 0 or 1, `groups` any hashable, each of shape (n,), and parts are words of
shape (n,), "" for rows left out; `rng` is the source of every order and choice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2s.checks import Array
from w2s.data.track import SplitSettings
from w2s.errors import DataError
from w2s.files.artifacts import Artifact
from w2s.rng import stream

Size = int | float | None
HALVES = ("weak_train", "strong_train")
REASONS = ("unbalanced", "more than asked for", "to keep groups whole", "group of the test part")


def part_sizes(n_balanced: int, sizes: dict[str, Size], *, dataset: str) -> dict[str, int | None]:
    """Rows per class of each part.

    Args:
        n_balanced: Rows available with equal classes (twice the smaller class).
        sizes: Per part: rows, a share of `n_balanced`, or None for all that remain.
        dataset: For the message.

    Returns:
        Rows of each class per part; None stays None.

    Raises:
        DataError: the parts ask for more than there is, or for less than two rows.
    """
    rows = {
        part: round(size * n_balanced) if isinstance(size, float) else size
        for part, size in sizes.items()
    }
    asked = sum(size + size % 2 for size in rows.values() if size is not None)
    open_parts = sum(size is None for size in rows.values())
    if asked + 4 * open_parts > n_balanced or min(s for s in rows.values() if s is not None) < 2:
        words = {part: "rest" if size is None else size for part, size in rows.items()}
        wanted = ", ".join(f"{part} {word}" for part, word in words.items())
        raise DataError(
            f"dataset '{dataset}': found {n_balanced} balanced rows, expected enough for its "
            f"parts ({wanted})"
        )
    return {part: None if size is None else (size + 1) // 2 for part, size in rows.items()}


def draw_parts(
    labels: Array, groups: Array, sizes: dict[str, int | None], rng: np.random.Generator
) -> Array:
    """Draw the parts: whole groups in random order until a part has its rows of both classes.

    A group enters a part that still lacks a class the group has, in the order of `sizes`; what it
    brings beyond the asked number is left out. A group that brings more of a class than the whole
    of val or test is left for the pool, unless no others fill them. So a group is never in two
    parts, every part is exactly balanced, and rows without groups (each its own) lose nothing but
    the larger class.

    `sizes` are rows of each class per part; None takes all that remain, balanced.
    """
    parts = np.full(len(labels), "", dtype=object)
    members = _members(groups)
    order = [members[index] for index in rng.permutation(len(members))]
    for part, size in sorted(sizes.items(), key=lambda item: item[1] is None):
        order = _fill(parts, part, size, labels, order)
    return parts


def _fill(
    parts: Array, part: str, size: int | None, labels: Array, order: list[Array]
) -> list[Array]:
    """Give groups of `order` to `part`; return the groups that remain, in their order."""
    most = len(labels) if size is None or part == "pool" else size
    large = [len(rows) > most and np.bincount(labels[rows]).max() > most for rows in order]
    given: set[int] = set()
    taken: list[list[int]] = [[], []]
    for index in sorted(range(len(order)), key=large.__getitem__):
        rows = order[index]
        lacking = [c for c in (0, 1) if size is None or len(taken[c]) < size]
        if any((labels[rows] == c).any() for c in lacking):
            given.add(index)
            for c in (0, 1):
                taken[c].extend(rows[labels[rows] == c])
    keep = min(*map(len, taken), size if size is not None else len(labels))
    for c in (0, 1):
        parts[taken[c][:keep]] = part
    return [rows for index, rows in enumerate(order) if index not in given]


def left_out(
    labels: Array, groups: Array, parts: Array, sides: Array, sizes: dict[str, Size]
) -> dict[str, int]:
    """Why rows are in no part, where parts were drawn: the number of rows by reason.

    `sides` are `train` or `test`, shape (n,); train where all parts were drawn from all rows.

    Returns:
        Rows of the larger class; of groups of the test part, which are on the other side; rows of
        groups no part had need of; and what a group brought beyond the need of its part.
    """
    outside, used = parts == "", set(groups[parts != ""].tolist())
    tested = set(groups[parts == "test"].tolist())
    result = dict.fromkeys(REASONS, 0)
    for side in dict.fromkeys(sides.tolist()):
        mine = np.flatnonzero(sides == side)
        if side != "test" and "test" in sides:
            torn = np.array([group in tested for group in groups[mine]], dtype=bool)
            result["group of the test part"] += int(torn.sum())
            mine = mine[~torn]
        counts = np.bincount(labels[mine], minlength=2)
        excess, rest = int(np.ptp(counts)), int(outside[mine].sum())
        result["unbalanced"] += excess
        takes_all = sizes["test" if side == "test" else "pool"] is None
        untouched = sum(groups[i] not in used for i in mine[outside[mine]])
        more = 0 if takes_all else min(rest - excess, untouched)
        result["more than asked for"] += more
        result["to keep groups whole"] += rest - excess - more
    return result


def draw(
    labels: Array,
    groups: Array,
    sides: Array | None,
    sizes: dict[str, Size],
    rng: np.random.Generator,
    *,
    dataset: str,
) -> tuple[Array, dict[str, int]]:
    """Parts drawn from all rows, or within their sides, and why rows are in none."""
    if sides is None:
        n_balanced = 2 * min(np.bincount(labels, minlength=2))
        per_class = part_sizes(n_balanced, sizes, dataset=dataset)
        parts = draw_parts(labels, groups, per_class, rng)
        sides = np.full(len(labels), "train", dtype=object)
    else:
        parts = draw_within_sides(labels, groups, sides, sizes, rng)
    return parts, left_out(labels, groups, parts, sides, sizes)


def draw_within_sides(
    labels: Array, groups: Array, sides: Array, sizes: dict[str, Size], rng: np.random.Generator
) -> Array:
    """Draw pool and val from the rows of side train, and test from those of side test.

    Groups of the test part are not drawn for the others, so that none lies on both sides.

    `sides` are `train` or `test`, shape (n,). `sizes` are per part the most rows, a share of the
    balanced rows of its side, or None for all; a val given in rows takes no more than a fifth of
    its side, so that a pool remains. Every part is exactly balanced.
    """
    parts = np.full(len(labels), "", dtype=object)
    test = np.flatnonzero(sides == "test")
    asked = {"test": _most(sizes["test"], labels[test])}
    parts[test] = draw_parts(labels[test], groups[test], asked, rng)
    seen = set(groups[parts == "test"].tolist())
    fresh = [i for i in np.flatnonzero(sides != "test") if groups[i] not in seen]
    train = np.array(fresh, dtype=np.int64)
    val = sizes["val"]
    if isinstance(val, int):
        val = min(val, 2 * max(1, _balanced(labels[train]) // 10))
    asked = {"val": _most(val, labels[train]), "pool": _most(sizes["pool"], labels[train])}
    parts[train] = draw_parts(labels[train], groups[train], asked, rng)
    return parts


def _most(size: Size, labels: Array) -> int | None:
    """Rows of each class that a size asks for."""
    if size is None:
        return None
    rows = round(size * _balanced(labels)) if isinstance(size, float) else size
    return (rows + 1) // 2


def _balanced(labels: Array) -> int:
    """Rows that remain when the classes are made equal."""
    return 2 * int(np.bincount(labels, minlength=2).min())


def balance_parts(labels: Array, parts: Array, rng: np.random.Generator) -> Array:
    """Leave rows of the larger class out of each part, at random, until the classes are equal."""
    result = np.full(len(labels), "", dtype=object)
    for part in dict.fromkeys(parts):
        rows = [rng.permutation(np.flatnonzero((parts == part) & (labels == c))) for c in (0, 1)]
        keep = min(map(len, rows))
        for chosen in rows:
            result[chosen[:keep]] = part
    return result


def draw_halves(labels: Array, groups: Array, rng: np.random.Generator) -> Array:
    """Two halves of the pool with whole groups, each class as equally divided as groups allow.

    Groups go, in random order, to the half that then has the better balance of both classes; ties
    are drawn. Without groups each class is divided exactly (an odd row is drawn) and every such
    division is equally likely. Where a half would lack a class that groups could give it, groups
    that give both halves both classes are placed first, and the others as before.

    Returns:
        `"weak_train"` or `"strong_train"` for each row, shape (n,); of two groups or more, neither
        half is empty.
    """
    members = _members(groups)
    order = [members[index] for index in rng.permutation(len(members))]
    halves = _place(labels, order, [], rng)
    if not _both(labels, halves):
        halves = _place(labels, order, _anchors(labels, order), rng)
    return halves


def _place(
    labels: Array, order: list[Array], first: list[tuple[int, int]], rng: np.random.Generator
) -> Array:
    """Halves by the groups in their order, after those of `first` (group and its half)."""
    halves = np.full(len(labels), "", dtype=object)
    ahead = np.zeros(2, dtype=np.int64)  # per class: rows of weak_train minus rows of strong_train
    given = dict(first)
    for index in (*given, *(i for i in range(len(order)) if i not in given)):
        counts = np.bincount(labels[order[index]], minlength=2)
        side = given.get(index)
        if side is None:
            lean = int(np.sum(ahead * counts))  # sign of the change of |ahead|^2 for weak_train
            side = int(rng.integers(2)) if lean == 0 else int(lean > 0)
        ahead += counts if side == 0 else -counts
        halves[order[index]] = HALVES[side]
    return halves


def _both(labels: Array, halves: Array) -> bool:
    """Whether both halves have both classes."""
    return all(len(set(labels[halves == half])) == 2 for half in HALVES)


def _anchors(labels: Array, order: list[Array]) -> list[tuple[int, int]]:
    """Groups and the halves they go to, so that both have both classes, or at least a row.

    Two groups of both classes do it, or one and a group of each class, or two groups of each
    class. With none of these there is no such division.
    """
    zeros, ones, mixed = (
        [i for i, rows in enumerate(order) if set(labels[rows]) == kind]
        for kind in ({0}, {1}, {0, 1})
    )
    sets = [(index,) for index in mixed] + list(zip(zeros, ones, strict=False))
    if len(sets) < 2:
        sets = [(index,) for index in range(len(order))]
    return [(index, side) for side, indices in enumerate(sets[:2]) for index in indices]


def _members(groups: Sequence[object] | Array) -> list[Array]:
    """Rows of each group, groups in order of first appearance."""
    rows: dict[object, list[int]] = {}
    for index, group in enumerate(groups):
        rows.setdefault(group, []).append(index)
    return [np.array(indices) for indices in rows.values()]


def split(examples: Artifact, *, settings: SplitSettings) -> dict[str, Artifact]:
    """Divide the pool; rows of one group in the examples stay together."""
    pool = examples.where(examples["part"] == "pool")
    rng = stream(settings.seed, "split", settings.dataset)
    halves = draw_halves(pool["label"], pool["group"], rng)
    facts = {
        "dataset": settings.dataset,
        "seed": settings.seed,
        "grouped": examples.facts["grouped"],
    }
    return {"split": Artifact("split", {"id": pool["id"], "half": halves}, facts)}
