"""Rows on disk: where activations go while they are computed, so that memory need not hold them.

A `RowFile` is a matrix in a file whose rows are written in any order. Every row is followed by its
CRC-32, so a file that was cut off at any moment tells by itself which rows it holds: no record of
the progress has to be kept in step with the data. A `Spool` is the row files of all layers of a
job, and goes on where a killed one stopped. Files are read and written, never mapped, because
mapped pages count as memory of the process.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import ArtifactError

BLOCK = 1 << 22  # bytes read at once: large enough to be fast, nothing beside the libraries
VERSION = 1  # of the layout of a row file
FLOAT = np.dtype(np.float32)


def blocks(array: Any) -> Iterator[Array]:
    """An array piece by piece along its first axis, each contiguous and about `BLOCK` bytes.

    Or the pieces of anything with a method `blocks`.
    """
    if hasattr(array, "blocks"):
        yield from array.blocks()
        return
    size = max(1, BLOCK * len(array) // max(array.nbytes, 1))  # rows
    for first in range(0, len(array), size):
        yield np.ascontiguousarray(array[first : first + size])


@contextmanager
def telling(path: Path, what: str) -> Iterator[None]:
    """Tell in one line of a file that cannot be `what`: read, or written."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be {what} ({error.strerror})") from None


@dataclass(frozen=True)
class RowFile:
    """A float32 matrix (n, d) on disk: a tag of 32 bytes, then n rows, each with its checksum.

    Attributes:
        path: The file.
        shape: Its n and d.
    """

    path: Path
    shape: tuple[int, int]

    dtype = FLOAT
    ndim = 2

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int], identity: str) -> RowFile:
        """A new file without any row; replaces what is there.

        Raises:
            ArtifactError: the file cannot be written.
        """
        made = cls(path, shape)
        with telling(path, "written"), path.open("wb") as file:
            file.truncate(made._place(shape[0]))
            file.write(made._tag(identity))
        return made

    @classmethod
    def find(cls, path: Path, n: int, identity: str) -> RowFile | None:
        """The file of n rows made under this identity; None where there is none to be trusted.

        Raises:
            ArtifactError: the file cannot be read.
        """
        if not path.is_file() or n == 0:
            return None
        with telling(path, "read"), path.open("rb") as file:
            tag = file.read(TAG)
            width, rest = divmod(path.stat().st_size - TAG, n * FLOAT.itemsize)
        found = cls(path, (n, width - 1))
        return found if rest == 0 and width > 1 and tag == found._tag(identity) else None

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, rows: Array, values: Array) -> None:
        """Write float32 (k, d) to rows (k,); of a row written twice the last values count.

        Raises:
            ArtifactError: the disk is full, or the file is gone.
        """
        table = np.empty((len(rows), self.shape[1] + 1), dtype=FLOAT)  # (k, d + 1)
        table[:, :-1] = values
        table[:, -1] = _checksums(table).view(FLOAT)
        with telling(self.path, "written"):
            handle = os.open(self.path, os.O_WRONLY)
            try:
                for row, content in zip(rows.tolist(), table, strict=True):
                    _write_at(handle, content.tobytes(), self._place(row))
            finally:
                os.close(handle)

    def blocks(self) -> Iterator[Array]:
        """All rows in their order, a block (k, d) at a time.

        Raises:
            ArtifactError: a row was never written, or is damaged.
        """
        first = 0
        for table, whole in self._tables():
            if not whole.all():
                row = first + int(np.argmin(whole))
                raise ArtifactError(
                    f"{self.path}: row {row} differs from its checksum; run again, which makes "
                    f"such rows anew"
                )
            yield np.ascontiguousarray(table[:, :-1])
            first += len(table)

    def done(self) -> Array:
        """Which rows are on disk, whole and finite: bool of shape (n,)."""
        found = [whole & np.isfinite(table[:, :-1]).all(axis=1) for table, whole in self._tables()]
        return np.concatenate([np.zeros(0, dtype=bool), *found])

    def _tables(self) -> Iterator[tuple[Array, Array]]:
        """Blocks of rows with their checksums (k, d + 1), and which of them fit (k,)."""
        n, width = self.shape[0], self.shape[1] + 1
        size = max(1, BLOCK // (width * FLOAT.itemsize))
        with telling(self.path, "read"), self.path.open("rb", buffering=0) as file:
            file.seek(TAG)
            for first in range(0, n, size):
                count = min(size, n - first)
                values = np.fromfile(file, FLOAT, count * width)
                if len(values) != count * width:
                    raise ArtifactError(f"{self.path}: found fewer rows than {n}; run again")
                table = values.reshape(count, width)
                yield table, _checksums(table) == table[:, -1].view(np.uint32)

    def _place(self, row: int) -> int:
        return TAG + row * (self.shape[1] + 1) * FLOAT.itemsize

    def _tag(self, identity: str) -> bytes:
        return hashlib.sha256(f"{VERSION}\x1f{self.shape}\x1f{identity}".encode()).digest()


TAG = hashlib.sha256().digest_size  # bytes before the first row


class Spool:
    """Activations on their way to disk, layer by layer; a sink of `w2s.models.encoder.extract`.

    Attributes:
        done: Which texts were already there, bool of shape (n,); it does not change.
    """

    def __init__(self, folder: Path, n: int, layers: Sequence[int], *, identity: str) -> None:
        """Go on from what a killed job left in the folder, or begin.

        Of n texts `write` will give these layers. `identity` is everything the values depend on;
        files made under another are not used.

        Raises:
            ArtifactError: a file cannot be read.
        """
        self._folder, self._n, self._identity = folder, n, identity
        found = {layer: RowFile.find(self._path(layer), n, identity) for layer in layers}
        self._files = {layer: file for layer, file in found.items() if file is not None}
        self.done = np.full(n, len(self._files) == len(found))
        for file in self._files.values() if self.done.any() else ():
            self.done &= file.done()

    def write(self, rows: Array, pooled: Mapping[int, Array]) -> None:
        """Write some texts, each layer float32 (k, d).

        Raises:
            ArtifactError: the disk is full, or a file is gone.
        """
        for layer, values in pooled.items():
            shape = (self._n, values.shape[1])
            if layer not in self._files or self._files[layer].shape != shape:
                self._files[layer] = RowFile.create(self._path(layer), shape, self._identity)
            self._files[layer].write(rows, values)

    def result(self) -> dict[int, RowFile]:
        """The matrix of each layer."""
        return dict(self._files)

    def _path(self, layer: int) -> Path:
        return self._folder / f"layer_{layer}.rows"


def _checksums(table: Array) -> Array:
    """CRC-32 of all but the last column of each row: uint32 of shape (k,)."""
    return np.fromiter((zlib.crc32(row) for row in table[:, :-1]), np.uint32, len(table))


def _write_at(handle: int, content: bytes, place: int) -> None:
    """Write all bytes: a nearly full disk takes some, and complains only at the next call."""
    while content:
        written = os.pwrite(handle, content, place)
        content, place = content[written:], place + written
