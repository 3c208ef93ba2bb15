"""The few array operations in which NumPy and torch differ, so that one solver serves both.

On the CPU NumPy is as fast and saves every job the two seconds that importing torch takes; on a GPU
the same code runs on torch tensors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError

WIDE = 1024  # columns of a matrix of which a few products cost what its inverse does
FEW = 64  # columns of a product with such a matrix below which its layout matters
LANES = 4  # columns of such a product that take no longer than one
BLOCK = 500  # rows at a time: what they are copied to stays in the cache


class Backend:
    """Operations on the arrays of one library and device: here NumPy, on the CPU.

    Attributes:
        xp: The library's namespace, for all that both libraries call by one name.
        eager: Whether looking at a value costs nothing, so that loops may end early.
    """

    xp: Any = np
    eager = True

    def array(self, values: Array, *, double: bool) -> Any:
        """A float64 or float32 array of the library."""
        return np.ascontiguousarray(values, dtype=np.float64 if double else np.float32)

    def matmul(self, x: Any, columns: Any, *, out: Any = None) -> Any:
        """The product x @ columns, into an array of that shape where one is given."""
        if not _wide(x, columns):
            return self.xp.matmul(x, columns, out=out)
        columns, b = _full(columns), columns.shape[1]
        out = np.empty((len(x), b), dtype=x.dtype) if out is None else out
        for first in range(0, len(x), BLOCK):
            out[first : first + BLOCK] = (x[first : first + BLOCK] @ columns)[:, :b]
        return out

    def transposed(self, x: Any, columns: Any) -> Any:
        """The product x.T @ columns."""
        if not _wide(x, columns):
            return x.T @ columns
        return (_full(columns).T @ x)[: columns.shape[1]].T

    def sigmoid(self, logits: Any, *, out: Any = None) -> Any:
        """1 / (1 + exp(-logits)), into an array of that shape where one is given."""
        result = np.negative(logits, out=out)
        with np.errstate(over="ignore"):  # of exp: gives the right limit 0
            np.exp(result, out=result)
        result += 1
        return np.reciprocal(result, out=result)

    def dot(self, a: Any, b: Any) -> Any:
        """Inner product of each column of `a` with that of `b`, (b,)."""
        return np.einsum("ij,ij->j", a, b)  # without an array for the products

    def columns(self, values: Any, chosen: Array) -> Any:
        """Columns at some positions, as an array whose rows lie one after another."""
        return np.take(values, chosen, axis=-1)  # indexing would lay out column after column

    def loss(self, logits: Any, y: Any) -> Any:
        """Binary cross-entropy of targets y, without cancellation."""
        # several times faster than numpy.logaddexp, which is not vectorised
        size = np.abs(logits)
        result = np.negative(size)
        np.log1p(np.exp(result, out=result), out=result)
        size *= np.where(logits >= 0, 1 - y, y)
        result += size
        return result

    def narrow(self, values: Any) -> Any:
        """The same in float32, for arrays of the library or of NumPy."""
        return np.ascontiguousarray(values, dtype=np.float32)

    def numpy(self, values: Any) -> Array:
        """Back to NumPy."""
        result: Array = values
        return result


def _wide(x: Any, columns: Any) -> bool:
    """Whether the library's own product of so few columns mostly copies the matrix."""
    return isinstance(x, np.ndarray) and x.shape[1] >= WIDE and 1 < columns.shape[1] < FEW


def _full(columns: Array) -> Array:
    """With columns of zeros up to a multiple of what a processor multiplies at once."""
    return np.pad(columns, ((0, 0), (0, -columns.shape[1] % LANES)))


class TorchBackend(Backend):
    """Torch on a device."""

    def __init__(self, device: str) -> None:
        import torch

        self.xp = torch
        self.device = device
        self.eager = device == "cpu"

    def array(self, values: Array, *, double: bool) -> Any:
        """See `Backend`."""
        dtype = self.xp.float64 if double else self.xp.float32
        return self.xp.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=self.device)

    def sigmoid(self, logits: Any, *, out: Any = None) -> Any:
        """See `Backend`."""
        return self.xp.sigmoid(logits, out=out)

    def dot(self, a: Any, b: Any) -> Any:
        """See `Backend`."""
        return (a * b).sum(0)

    def columns(self, values: Any, chosen: Array) -> Any:
        """See `Backend`."""
        return values[..., chosen].contiguous()

    def loss(self, logits: Any, y: Any) -> Any:
        """See `Backend`."""
        size = self.xp.abs(logits)
        wrong = self.xp.where(logits >= 0, 1 - y, y)
        return self.xp.nn.functional.softplus(-size) + size * wrong

    def narrow(self, values: Any) -> Any:
        """See `Backend`."""
        if isinstance(values, np.ndarray):
            return self.array(values, double=False)
        return values.to(self.xp.float32)

    def numpy(self, values: Any) -> Array:
        """See `Backend`."""
        result: Array = values.cpu().numpy()
        return result


def backend(device: str) -> Backend:
    """NumPy for `cpu`, torch for any other device.

    Raises:
        W2SError: a device that is not there.
    """
    if device == "cpu":
        return Backend()
    made = TorchBackend(device)
    try:
        made.array(np.zeros(1), double=False)
    except (AssertionError, RuntimeError) as error:  # an unknown name, no such GPU, torch without
        reason = str(error).partition("\n")[0]
        raise W2SError(f"device: found '{device}' ({reason}), expected cpu or a GPU") from None
    return made
