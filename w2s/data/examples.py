"""From the rows of a source to the examples of a dataset: unique texts in balanced parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.data.rows import PARTS, TRAIN, Rows, check_rows, text_id
from w2s.data.splits import Size, balance_parts, draw_parts, draw_within_sides, part_sizes
from w2s.errors import DataError


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
        the number of source rows left out, by reason.

    Raises:
        DataError: bad rows (see `check_rows`), too few for the parts, or a part without both
            classes.
    """
    check_rows(rows, dataset=dataset)
    keep = _first_rows(rows)
    labels = np.array(rows.label, dtype=np.int8)[keep]
    names = np.array(rows.source_id, dtype=object)[keep]
    given = rows.group if grouped and rows.group is not None else None
    groups = names if given is None else np.array(given, dtype=object)[keep]
    parts: Any
    if rows.part is None:
        per_class = part_sizes(2 * min(np.bincount(labels, minlength=2)), sizes, dataset=dataset)
        parts = draw_parts(labels, groups, per_class, rng)
    else:
        parts = np.array(rows.part, dtype=object)[keep]
        if TRAIN in parts:
            parts = draw_within_sides(labels, groups, parts, sizes, rng)
        else:
            _check_groups(groups, parts, dataset)
            parts = balance_parts(labels, parts, rng) if balanced else parts
    _check_parts(parts, labels, dataset)
    used = parts != ""
    _check_pool(groups[parts == "pool"], dataset)
    texts = np.array(rows.text, dtype=object)[keep][used]
    columns = {
        "id": np.array([text_id(text) for text in texts], dtype=np.int64),
        "source_id": names[used],
        "text": texts,
        "label": labels[used],
        "group": groups[used],
        "part": parts[used],
    }
    repeated = _repeated(rows, len(rows.text) - len(keep))
    return columns, {**rows.dropped, **repeated, "unbalanced": int(np.count_nonzero(~used))}


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


def leaks(rows: Rows, columns: dict[str, Any]) -> int:
    """Texts of the test part whose group is in the pool too; none where there are no groups.

    Args:
        rows: The source's rows.
        columns: What `make_examples` made of them.
    """
    if rows.group is None:
        return 0
    group_of = dict(zip(rows.source_id, rows.group, strict=True))
    groups = np.array([group_of[name] for name in columns["source_id"]], dtype=object)
    pool = set(groups[columns["part"] == "pool"].tolist())
    return sum(group in pool for group in groups[columns["part"] == "test"])


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


def _check_parts(parts: Any, labels: Any, dataset: str) -> None:
    smallest = {"pool": 4, "val": 2, "test": 2}  # both classes, in both halves of the pool
    for part in PARTS:
        found = int(np.count_nonzero(parts == part))
        if found < smallest[part]:
            raise DataError(
                f"dataset '{dataset}', part {part}: found {found} balanced rows, expected at least "
                f"{smallest[part]}; it is too small for its split"
            )
        if len(set(labels[parts == part])) < 2:
            raise DataError(
                f"dataset '{dataset}', part {part}: found rows of one class only, expected both"
            )
