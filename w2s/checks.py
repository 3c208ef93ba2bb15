"""Checks on arrays, shared by the public functions: each failure says found and expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s.errors import ArtifactError, W2SError

Array = npt.NDArray[Any]


def finite(
    values: npt.ArrayLike, name: str, *, ndim: int, dtype: npt.DTypeLike | None = None
) -> Array:
    """Return `values` as an array of `ndim` dimensions without NaN or infinity.

    Args:
        values: Anything `numpy.asarray` takes.
        name: What the message calls it.
        ndim: Required number of dimensions.
        dtype: Dtype of the returned array; the input's own where not given.

    Raises:
        W2SError: wrong number of dimensions, or a value that is not finite.
    """
    array = np.asarray(values, dtype=dtype)
    if array.ndim != ndim:
        raise W2SError(f"{name}: found {array.ndim} dimensions {array.shape}, expected {ndim}")
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise W2SError(f"{name}: found {bad} values that are NaN or infinite, expected none")
    return array


def probabilities(values: npt.ArrayLike, name: str) -> Array:
    """Return `values` as float64 of shape (n,), all in [0, 1].

    Raises:
        W2SError: not one-dimensional, not finite, or outside [0, 1].
    """
    array = finite(values, name, ndim=1, dtype=np.float64)
    if array.size and (array.min() < 0 or array.max() > 1):
        raise W2SError(
            f"{name}: found values in [{array.min():g}, {array.max():g}], expected [0, 1]"
        )
    return array


def same_length(name: str, array: Sequence[Any] | Array, other_name: str, length: int) -> None:
    """Raise unless `array` has `length` rows.

    Raises:
        W2SError: the lengths differ.
    """
    if len(array) != length:
        raise W2SError(f"{name}: found {len(array)} rows, expected {length} as in {other_name}")


def rows_of(wanted: Array, available: Array, *, what: str) -> Array:
    """Positions in `available` of the ids in `wanted`: rows are matched by id, never by position.

    Args:
        wanted: Example ids, int64 of shape (m,).
        available: Unique example ids, int64 of shape (n,), in any order.
        what: Name of the artifact that holds `available`, for the message.

    Returns:
        Positions, int64 of shape (m,), with `available[positions] == wanted`.

    Raises:
        ArtifactError: an id of `wanted` is not in `available`.
    """
    order = np.argsort(available, kind="stable")
    slots = np.searchsorted(available, wanted, sorter=order)
    positions = order[np.minimum(slots, len(available) - 1)] if len(available) else slots
    missing = (
        wanted[available[positions] != wanted] if len(available) else wanted
    )  # ids without a row
    if len(missing):
        raise ArtifactError(
            f"{what}: found no row for {len(missing)} of {len(wanted)} example ids "
            f"(first: {missing[0]}), expected one for each; was it made from another dataset?"
        )
    return np.asarray(positions, dtype=np.int64)
