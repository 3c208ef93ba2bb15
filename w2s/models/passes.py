"""Which texts share a forward pass, and where the activations of each pass go.

Nothing here knows a model: a pass is computed by a function that is handed in, so other ways to put
texts into passes can use the same plan, the same sinks and the same answer to a full memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError

Pooled = dict[int, Array]  # of each layer float32 (k, d)
Compute = Callable[[Array], Pooled]
NO_MEMORY = "can't allocate memory"  # in what torch's allocator of main memory says
log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where activations go as they are computed, for example `w2s.files.spool.Spool`."""

    @property
    def done(self) -> Array:
        """Which texts it already has, bool (n,): a pass with no other is left out."""

    def write(self, rows: Array, pooled: Mapping[int, Array]) -> None:
        """Take the texts at positions (k,): of each layer float32 (k, d)."""

    def result(self) -> dict[int, Any]:
        """What `extract` returns in the end."""


class Memory:
    """A sink that fills arrays in memory, none of them before."""

    def __init__(self, n: int) -> None:
        self.done = np.zeros(n, dtype=bool)
        self._arrays: dict[int, Array] = {}

    def write(self, rows: Array, pooled: Mapping[int, Array]) -> None:
        """Copy the values to their rows."""
        for layer, values in pooled.items():
            if layer not in self._arrays:
                shape = (len(self.done), values.shape[1])
                self._arrays[layer] = np.empty(shape, dtype=np.float32)
            self._arrays[layer][rows] = values

    def result(self) -> dict[int, Array]:
        """Of each layer float32 (n, d); nothing where no text was written."""
        return self._arrays


def token_batches(lengths: Array, budget: int) -> Iterator[Array]:
    """Positions of the texts of each forward pass: longest first, so that memory peaks at once.

    Args:
        lengths: Tokens of each text, shape (n,).
        budget: Most padded tokens of a batch; a longer text makes a batch of its own.

    Yields:
        Positions, in batches whose size times their longest text is at most `budget`.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        size = max(1, budget // int(lengths[order[first]]))
        yield order[first : first + size]
        first += size


def shard_of(lengths: Array, number: int, count: int) -> tuple[int, int]:
    """The texts of one shard: neighbours, as they often share beginnings; of like tokens.

    Args:
        lengths: Tokens of each text, shape (n,).
        number: Which shard, 1 to `count`.
        count: How many there are.

    Returns:
        First text and the one after the last; every text is in one shard, every shard has a text.

    Raises:
        DataError: fewer texts than shards.
    """
    n = len(lengths)
    if count > n:
        raise DataError(f"shards: found {count} for {n} texts, expected one text each at least")
    ends = np.concatenate([[0], np.cumsum(lengths)])
    k = np.arange(count + 1)
    cuts = np.searchsorted(ends, ends[-1] * k / count)  # (count + 1,)
    cuts = np.maximum.accumulate(np.clip(cuts - k, 0, n - count)) + k  # a text in each
    return int(cuts[number - 1]), int(cuts[number])


def passes(
    compute: Compute,
    sizes: Array,
    budget: int,
    done: Array,
    texts: Callable[[Array], Array] = lambda units: units,
) -> Iterator[tuple[Array, Pooled]]:
    """The forward passes, one after another.

    Their order depends on sizes and budget alone. A pass whose texts are all done is left out and
    the others stay as they are, so what is computed after an interruption has the bits of an
    undisturbed run. Where memory runs out, the pass and all after it are made anew with half as
    many tokens, and a line in the log says so.

    Args:
        compute: Activations of the texts of some units, of each layer float32 (k, d).
        sizes: Tokens of each unit, shape (m,). A unit is what a pass cannot divide: a text, or some
            texts in one row.
        budget: Most padded tokens of a pass.
        done: Which texts need not be computed, bool (n,).
        texts: Positions (k,) of the texts of some units, in the order of `compute`; every unit is
            a text where not given.

    Yields:
        Positions of the texts of a pass (k,), and what `compute` gives for them.

    Raises:
        DataError: a single unit does not fit into memory.
    """
    batches = token_batches(sizes, budget)
    while (units := next(batches, None)) is not None:
        rows = texts(units)
        if done[rows].all():
            continue
        pooled = _unless_out_of_memory(compute, units)
        if pooled is not None:
            yield rows, pooled
            continue
        tokens = len(units) * int(sizes[units].max())
        if len(units) == 1:
            raise DataError(
                f"device: found no room for {tokens} tokens in one pass, expected room for the "
                f"longest text; lower max_length"
            )
        half = tokens // 2
        log.warning("out of memory with %d tokens in a pass; going on with %d", tokens, half)
        batches = _batches_of(np.concatenate([units, *batches]), sizes, half)


def _batches_of(units: Array, sizes: Array, budget: int) -> Iterator[Array]:
    """`token_batches` of some of the units."""
    for batch in token_batches(sizes[units], budget):
        yield units[batch]


def lacks_memory(error: RuntimeError) -> bool:
    """Whether an error of torch says that memory is out: of a GPU's, or of main memory."""
    # torch has a class for GPUs; its allocator of main memory raises a plain RuntimeError
    return isinstance(error, torch.OutOfMemoryError) or NO_MEMORY in str(error)


def _unless_out_of_memory(compute: Compute, units: Array) -> Pooled | None:
    try:
        return compute(units)
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
    torch.cuda.empty_cache()  # here, where no traceback holds the tensors of the pass any more
    return None
