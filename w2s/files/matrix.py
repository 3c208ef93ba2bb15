"""Matrices that are written and read by rows, and may be kept in half the bits.

Values are float32 to all who compute with them. On disk they may be float16 or bfloat16; what that
costs is `loss`. A change of how they are rounded needs another `w2s.declare.FORMAT`: the digests of
the stages leave this module out. Files are read, never mapped: mapped pages count as memory of the
process.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.files.spool import BLOCK, FLOAT, blocks

STORAGE = {"float32": "<f4", "float16": "<f2", "bfloat16": "<u2"}  # NumPy has no bfloat16: its bits
HALF = 16  # bits of float32 that bfloat16 lacks


def encode(values: Array, storage: str) -> Array:
    """float32 values as they are stored, rounded to the nearest, ties to even.

    The same shape in little-endian float32 or float16, or uint16 with the bits of bfloat16. Values
    too large for float16 become infinite.
    """
    if storage != "bfloat16":
        with np.errstate(over="ignore"):
            return values.astype(STORAGE[storage])
    bits = np.ascontiguousarray(values, dtype=FLOAT).view(np.uint32)
    even = (bits >> HALF) & 1
    rounded = ((bits + 0x7FFF + even) >> HALF).astype(STORAGE[storage])
    return np.where(np.isnan(values), (bits >> HALF) | 0x40, rounded).astype(STORAGE[storage])


def decode(raw: Array, storage: str) -> Array:
    """What `encode` stored, as float32 of the same shape."""
    if storage != "bfloat16":
        return raw.astype(FLOAT, copy=False)
    return (raw.astype(np.uint32) << HALF).view(FLOAT)


class OpenFile:
    """A file that is read as it was when it was opened; closed with the last reference to it."""

    def __init__(self, path: Path) -> None:
        self.handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.handle)


class Matrix:
    """A matrix (n, d) in an open file, read by rows as float32.

    It reads the file that was opened, also after another one took its name.

    Attributes:
        shape: Its n and d.
        storage: How its values are stored.
    """

    dtype = FLOAT
    ndim = 2

    def __init__(self, file: OpenFile, begin: int, shape: tuple[int, int], storage: str) -> None:
        """The matrix whose first value is at that byte of the file."""
        self._file, self._begin = file, begin
        self.shape, self.storage = shape, storage

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all values as float32."""
        return self.shape[0] * self.shape[1] * FLOAT.itemsize

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        del copy  # there is nothing in memory to share
        return self[:].astype(dtype or FLOAT, copy=False)

    def __getitem__(self, rows: Any) -> Array:
        """Rows at positions (k,), a mask (n,) or a slice: float32 (k, d); (d,) of one position.

        Raises:
            IndexError: a row that is not there.
            ValueError: the file ends before the matrix does.
        """
        at = np.arange(len(self))[rows]
        if at.ndim == 0:
            return self._read(int(at), 1).reshape(-1)
        if at.ndim > 1:
            raise IndexError(f"rows: found {at.ndim} axes, expected one")
        order = np.argsort(at, kind="stable")
        wanted = at[order]
        out = np.empty((len(at), self.shape[1]), dtype=FLOAT)
        # runs of rows that stand side by side in the file are read at once
        ends = np.flatnonzero(np.diff(wanted) != 1) + 1
        for run in np.split(np.arange(len(wanted)), ends) if len(wanted) else ():
            for part in np.array_split(run, -(-len(run) // self._rows_of_block())):
                out[order[part]] = self._read(int(wanted[part[0]]), len(part))
        return out

    def blocks(self) -> Iterator[Array]:
        """All rows in their order, a block float32 (k, d) at a time."""
        size = self._rows_of_block()
        for first in range(0, len(self), size):
            yield self._read(first, min(size, len(self) - first))

    def _rows_of_block(self) -> int:
        return max(1, BLOCK // max(1, self.shape[1] * FLOAT.itemsize))

    def _read(self, first: int, count: int) -> Array:
        kind = np.dtype(STORAGE[self.storage])
        raw = np.empty((count, self.shape[1]), dtype=kind)
        width = self.shape[1] * kind.itemsize
        view, place, at = raw.view(np.uint8).reshape(-1).data, self._begin + first * width, 0
        while at < len(view):  # a read may return less than was asked for
            got = os.preadv(self._file.handle, [view[at:]], place + at)
            if got == 0:
                raise ValueError(f"found {place + at} bytes, expected {place + len(view)}")
            at += got
        return decode(raw, self.storage)


@dataclass(frozen=True)
class Rounded:
    """A matrix as it will be read when it was stored in this way.

    Attributes:
        source: An array (n, d) of float32, or anything with its `shape` and `blocks`.
        storage: How to store it.
    """

    source: Any
    storage: str

    dtype = FLOAT
    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Its n and d."""
        found: tuple[int, int] = self.source.shape
        return found

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Array]:
        """All rows in their order, a block float32 (k, d) at a time."""
        for block in blocks(self.source):
            yield decode(encode(block, self.storage), self.storage)


@dataclass(frozen=True)
class Stacked:
    """Matrices of one width and storage, one below the other.

    Attributes:
        parts: The matrices, one at least; arrays (n, d) of float32 will do.
    """

    parts: Sequence[Any]

    dtype = FLOAT
    ndim = 2

    @property
    def shape(self) -> tuple[int, int]:
        """Its n and d."""
        return sum(map(len, self.parts)), self.parts[0].shape[1]

    @property
    def storage(self) -> str:
        """How its values are stored."""
        return str(getattr(self.parts[0], "storage", "float32"))

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[Array]:
        """All rows in their order, a block float32 (k, d) at a time."""
        for part in self.parts:
            yield from blocks(part)


@dataclass(frozen=True)
class Loss:
    """What storing values in fewer bits changes.

    Attributes:
        error: Root mean square of the changes, divided by that of the values; NaN for a value that
            becomes or is not finite, 0 where all are 0.
        largest: Largest absolute value; NaN where there is a NaN.
    """

    error: float
    largest: float


def loss(values: Any, storage: str) -> Loss:
    """What is lost when a matrix (n, d) of float32, or anything with `blocks`, is stored."""
    changed, whole, largest = 0.0, 0.0, 0.0
    for block in blocks(values):
        exact = block.astype(np.float64)
        stored = decode(encode(block, storage), storage).astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinite less infinite: told by the result
            changed += float(np.square(stored - exact).sum())
        whole += float(np.square(exact).sum())
        largest = float(np.maximum(largest, np.abs(exact).max(initial=0)))
    ratio = changed / whole if whole else 0.0
    return Loss(float(np.sqrt(ratio)) if np.isfinite(ratio) else float("nan"), largest)
