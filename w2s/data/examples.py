"""From the rows of a source to the examples of a dataset: unique texts in balanced parts."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.data.rows import PARTS, TRAIN, Rows, check_rows, joined, near_key, text_id
from w2s.data.splits import (
    REASONS,
    Size,
    balance_parts,
    draw_parts,
    draw_within_sides,
    left_out,
    part_sizes,
)
from w2s.errors import DataError

log = logging.getLogger(__name__)


def make_examples(
    rows: Rows,
    *,
    dataset: str,
    sizes: dict[str, Size],
    grouped: bool,
    balanced: bool = True,
    rng: np.random.Generator,
) -> tuple[dict[str, Any], dict[str, int]]:
    """Drop repeated texts, draw balanced parts, and name every example by its text.

    Near-duplicates (`w2s.data.rows`) stay in one part as the rows of a group do, unless
    the source puts them into several. The log tells what is left out.

    Args:
        rows: The source's rows.
        dataset: Name, for messages.
        sizes: Size of pool, val and test: rows, a share, or None for all that remain. Ignored
            where the source says the part of each row; the most rows where it says the side.
        grouped: Keep the rows of a group in one part.
        balanced: Leave rows of the larger class out of parts that the source gives; parts that are
            drawn are always balanced.
        rng: Source of the draw.

    Returns:
        Columns id, source_id, text, label, group, part (n rows each, in the source's order), and
        the number of source rows left out, by reason. Rows that stay together have one group.

    Raises:
        DataError: bad rows (see `check_rows`), too few for the parts, or a part without both
            classes.
    """
    check_rows(rows, dataset=dataset)
    keep = _first_rows(rows)
    labels = np.array(rows.label, dtype=np.int8)[keep]
    names = np.array(rows.source_id, dtype=object)[keep]
    texts = np.array(rows.text, dtype=object)[keep]
    given = None if rows.part is None else np.array(rows.part, dtype=object)[keep]
    groups = np.array(_groups(rows) if grouped else rows.source_id, dtype=object)[keep]
    keys = [near_key(text) for text in texts]
    if given is not None and TRAIN not in given:
        _check_groups(groups, given, dataset)
        groups = joined(groups, list(zip(keys, given, strict=True)))
        parts = balance_parts(labels, given, rng) if balanced else given
        why = {**dict.fromkeys(REASONS, 0), "unbalanced": int(np.count_nonzero(parts == ""))}
    else:
        groups = joined(groups, keys)
        parts, why = _draw(labels, groups, given, sizes, dataset, rng)
    _check_parts(parts, labels, groups, dataset)
    used = parts != ""
    _check_pool(groups[parts == "pool"], dataset)
    columns = {
        "id": np.array([text_id(text) for text in texts[used]], dtype=np.int64),
        "source_id": names[used],
        "text": texts[used],
        "label": labels[used],
        "group": groups[used],
        "part": parts[used],
    }
    dropped = {**rows.dropped, **_repeated(rows, len(rows.text) - len(keep)), **why}
    _tell(dataset, dropped, int(np.count_nonzero(used)))
    return columns, dropped


def _draw(
    labels: Array,
    groups: Array,
    sides: Array | None,
    sizes: dict[str, Size],
    dataset: str,
    rng: np.random.Generator,
) -> tuple[Array, dict[str, int]]:
    """Parts drawn from all rows or within their sides, and why rows are in none."""
    if sides is None:
        n_balanced = 2 * min(np.bincount(labels, minlength=2))
        per_class = part_sizes(n_balanced, sizes, dataset=dataset)
        parts = draw_parts(labels, groups, per_class, rng)
        sides = np.full(len(labels), TRAIN, dtype=object)
    else:
        parts = draw_within_sides(labels, groups, sides, sizes, rng)
    return parts, left_out(labels, groups, parts, sides, sizes)


def _tell(dataset: str, dropped: dict[str, int], used: int) -> None:
    """A line of the log on what was left out, and why."""
    number = sum(dropped.values())
    if number:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in dropped.items() if count)
        log.warning(
            "dataset '%s': %s of %s rows left out (%s)",
            *(dataset, f"{number:,}", f"{number + used:,}", reasons),
        )


def _groups(rows: Rows) -> list[str]:
    """The group of each row; one without a group is its own, by a name that no group has."""
    if rows.group is None:
        return list(rows.source_id)
    known = set(rows.group)
    groups = []
    for name, group in zip(rows.source_id, rows.group, strict=True):
        own = name
        while own in known:
            own += "'"
        groups.append(group if group.strip() else own)
    return groups


def _first_rows(rows: Rows) -> Array:
    """Positions of the rows whose text has not been there before, ascending."""
    first = {text: index for index, text in reversed(list(enumerate(rows.text)))}
    return np.array(sorted(first.values()))


def _repeated(rows: Rows, number: int) -> dict[str, int]:
    """How many rows repeat a text, of that number, with its label and with another."""
    first: dict[str, int] = {}
    pairs = zip(rows.text, rows.label, strict=True)
    conflicts = sum(first.setdefault(text, label) != label for text, label in pairs)
    return {"duplicate": number - conflicts, "duplicate with another label": conflicts}


def leaks(rows: Rows, columns: dict[str, Any]) -> dict[str, int]:
    """What a test part may know of the pool: facts of the examples.

    Args:
        rows: The source's rows.
        columns: What `make_examples` made of them.

    Returns:
        `leaks`: texts of the test part whose group is in the pool too, none where there are no
        groups; `near_duplicates`: texts that are a near-duplicate of an earlier one;
        `near_leaks`: texts of the test part of which the pool has a near-duplicate.
    """
    part = columns["part"]
    group_of = dict(zip(rows.source_id, _groups(rows), strict=True))
    groups = [group_of[name] for name in columns["source_id"]]
    keys = [near_key(text) for text in columns["text"]]
    return {
        "leaks": _in_both(groups, part),
        "near_duplicates": len(keys) - len(set(keys)),
        "near_leaks": _in_both(keys, part),
    }


def _in_both(values: list[str], parts: Array) -> int:
    """Rows of the test part whose value is in the pool too."""
    pool = {value for value, part in zip(values, parts, strict=True) if part == "pool"}
    return sum(part == "test" and value in pool for value, part in zip(values, parts, strict=True))


def _check_groups(groups: Any, parts: Any, dataset: str) -> None:
    """Raise if the source puts rows of one group into two parts."""
    home: dict[object, str] = {}
    for group, part in zip(groups, parts, strict=True):
        if home.setdefault(group, part) != part:
            raise DataError(
                f"dataset '{dataset}', group {group}: found rows in {home[group]} and in {part}, "
                f"expected one part; `grouped: false` allows it"
            )


def _check_pool(groups: Any, dataset: str) -> None:
    """Raise if the pool cannot be divided into halves."""
    if len(set(groups)) < 2:
        raise DataError(
            f"dataset '{dataset}', part pool: found rows of one group only, expected two or more "
            f"to make halves of; `grouped: false` divides the group"
        )


def _large(groups: Array) -> str:
    """The end of a message where one group holds much of a dataset; it cannot be divided."""
    names, counts = np.unique(groups.astype(str), return_counts=True)
    most = int(counts.argmax())
    if 2 * counts[most] < len(groups):
        return ""
    name, count = str(names[most]), counts[most]
    return f", as group {name!r} holds {count} of {len(groups)} rows and stays whole"


def _check_parts(parts: Any, labels: Any, groups: Any, dataset: str) -> None:
    smallest = {"pool": 4, "val": 2, "test": 2}  # both classes, in both halves of the pool
    for part in PARTS:
        found = int(np.count_nonzero(parts == part))
        if found < smallest[part]:
            raise DataError(
                f"dataset '{dataset}', part {part}: found {found} balanced rows, expected at least "
                f"{smallest[part]}; it is too small for its split{_large(groups)}"
            )
        if len(set(labels[parts == part])) < 2:
            raise DataError(
                f"dataset '{dataset}', part {part}: found rows of one class only, expected both"
            )
