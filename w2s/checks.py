"""Checks on arrays, shared by the public functions: each failure says found and expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from w2s.errors import ArtifactError, W2SError

Array = npt.NDArray[Any]
OVERSHOOT = 1e-6  # of a probability out of [0, 1]: the rounding of float32 sums


def array_of(values: npt.ArrayLike, name: str, *, dtype: npt.DTypeLike | None = None) -> Array:
    """Return `values` as an array of numbers: what `numpy.asarray` takes, and tensors of torch.

    Tensors, also a list of one shape, may be on a GPU or in a graph of gradients; bfloat16, which
    NumPy lacks, becomes float32. The dtype is the input's own where not given, and `name` is what
    messages call the values.

    Raises:
        W2SError: not numbers, lists of different lengths, or a tensor without values.
    """
    try:
        if isinstance(values, list | tuple):
            values = [_from_tensor(value) for value in values]
        array = np.asarray(_from_tensor(values), dtype=dtype)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # the last of torch
        reason = str(error).splitlines()[0]
        raise W2SError(f"{name}: found no numbers ({reason}), expected an array of them") from None
    if array.dtype.name == "bfloat16":  # of the package ml_dtypes
        array = array.astype(np.float32)
    if array.dtype.kind not in "biuf":
        raise W2SError(f"{name}: found values of type {array.dtype}, expected numbers")
    return array


def _from_tensor(values: Any) -> Any:
    """A tensor of torch as an array, anything else as it is; without importing torch."""
    if not (hasattr(values, "detach") and hasattr(values, "cpu")):
        return values
    values = values.detach().cpu()
    return (values.float() if "bfloat16" in str(values.dtype) else values).numpy()


def finite(
    values: npt.ArrayLike, name: str, *, ndim: int, dtype: npt.DTypeLike | None = None
) -> Array:
    """Return `values` as an array of `ndim` dimensions without NaN or infinity; see `array_of`.

    Raises:
        W2SError: not numbers, wrong number of dimensions, or a value that is not finite.
    """
    array = array_of(values, name, dtype=dtype)
    if array.ndim != ndim:
        raise W2SError(f"{name}: found {array.ndim} dimensions {array.shape}, expected {ndim}")
    bad = np.count_nonzero(~np.isfinite(array))
    if bad:
        raise W2SError(f"{name}: found {bad} values that are NaN or infinite, expected none")
    return array


def probabilities(values: npt.ArrayLike, name: str) -> Array:
    """Return `values` as float64 of shape (n,), all in [0, 1]; see `in_unit_interval`.

    Raises:
        W2SError: not one-dimensional, not finite, or outside [0, 1].
    """
    return in_unit_interval(finite(values, name, ndim=1, dtype=np.float64), name)


def vector(values: npt.ArrayLike, name: str, *, dtype: npt.DTypeLike | None = None) -> Array:
    """Return `values` as an array of one dimension, which may hold NaN; see `array_of`.

    Raises:
        W2SError: not numbers, or not one-dimensional.
    """
    array = array_of(values, name, dtype=dtype)
    if array.ndim != 1:
        raise W2SError(f"{name}: found {array.ndim} dimensions {array.shape}, expected 1")
    return array


def in_unit_interval(array: Array, name: str) -> Array:
    """Return the values with those no more than 1e-6 outside of [0, 1] moved to its ends.

    Raises:
        W2SError: values further outside.
    """
    low, high = float(array.min(initial=0)), float(array.max(initial=1))
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        low, high = float(array.min()), float(array.max())
        raise W2SError(f"{name}: found values in [{low!r}, {high!r}], expected [0, 1]")
    return array if low == 0 and high == 1 else np.clip(array, 0, 1)


def same_length(name: str, array: Sequence[Any] | Array, other_name: str, length: int) -> None:
    """Raise W2SError unless `array` has `length` rows."""
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
    missing = wanted[available[positions] != wanted] if len(available) else wanted
    if len(missing):
        raise ArtifactError(
            f"{what}: found no row for {len(missing)} of {len(wanted)} example ids "
            f"(first: {missing[0]}), expected one for each; was it made from another dataset?"
        )
    return np.asarray(positions, dtype=np.int64)
