"""A loaded model: one forward pass, which texts share one, and where the result goes.

How texts are divided knows no model, only a function that computes a pass: packed rows have the
same plan, the same sinks and the same answer to a full memory.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError

Pooling = Literal["last", "mean", "first"]
AT_ONCE = 8  # forward passes: each takes memory of its own; more threads share their products


@dataclass(frozen=True)
class Apart:
    """Which texts must not share a forward pass: those up to a length, and others.

    Attributes:
        above: Texts of up to so many tokens share passes among themselves.
        each: Longer ones share passes with texts of their own length only, not with all longer.
    """

    above: int
    each: bool

    def kinds(self, lengths: Array) -> Array:
        """A number for each text of so many tokens, (n,): those of one number may share."""
        return np.where(lengths <= self.above, 0, lengths if self.each else 1)


@dataclass(frozen=True)
class Encoder:
    """A loaded model.

    Attributes:
        model: The network without a head, in evaluation mode.
        n_layers: Number of its layers.
        pad: Token id that fills short rows; masked, so its embedding does not matter.
        width: Numbers in its last hidden state; what its configuration says, where not given.
        apart: Texts that must not share a forward pass; all may, where not given.
        still: Whether a pass changes nothing of the model, so that several may run at once.
    """

    model: Any
    n_layers: int
    pad: int
    width: int = 0
    apart: Apart | None = None
    still: bool = False

    def __post_init__(self) -> None:
        """Take the width of the configuration where none is given."""
        if not self.width:
            object.__setattr__(self, "width", self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the model takes token ids."""
        if not hasattr(self.model, "hf_device_map"):
            return torch.device(self.model.device)
        found = torch.device(self.model.get_input_embeddings().weight.device)
        # weights on disk have no device: what loads them moves the token ids too
        return torch.device("cpu") if found.type == "meta" else found

    @property
    def at_once(self) -> int:
        """Forward passes to compute at once: one for each of torch's threads, where it can."""
        alone = self.device.type != "cpu" or hasattr(self.model, "hf_device_map")
        return 1 if alone or not self.still else min(torch.get_num_threads(), AT_ONCE)


def hidden_states(encoder: Encoder, texts: list[Array], layers: Sequence[int]) -> dict[int, Any]:
    """Hidden states (batch, longest, d) of the layers, those of a short text filled with zeros.

    Texts that must not share a forward pass have passes of their own.

    Raises:
        DataError: a model that does not have a state for each layer and token.
    """
    lengths = np.array(list(map(len, texts)))
    if encoder.apart is None or len(set(encoder.apart.kinds(lengths).tolist())) == 1:
        return _pass(encoder, texts, layers)
    kinds, longest = encoder.apart.kinds(lengths), int(lengths.max())
    found: dict[int, list[Any]] = {layer: [None] * len(texts) for layer in layers}
    for kind in sorted(set(kinds.tolist())):
        rows = np.flatnonzero(kinds == kind)
        for layer, states in _pass(encoder, [texts[i] for i in rows], layers).items():
            room = (0, 0, 0, longest - states.shape[1])
            for row, state in zip(rows, torch.nn.functional.pad(states, room), strict=True):
                found[layer][row] = state
    return {layer: torch.stack(states) for layer, states in found.items()}


def _pass(encoder: Encoder, texts: list[Array], layers: Sequence[int]) -> dict[int, Any]:
    """`hidden_states` of texts that may share a pass."""
    longest = max(map(len, texts))
    ids = np.full((len(texts), longest), encoder.pad, dtype=np.int64)
    mask = np.zeros((len(texts), longest), dtype=np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    inputs = {"input_ids": torch.from_numpy(ids).to(encoder.device)}
    if not mask.all():  # equal lengths need no mask, which lets attention take its fast path
        inputs["attention_mask"] = torch.from_numpy(mask).to(encoder.device)
    last = (-1, encoder.n_layers)
    only_last = all(layer in last for layer in layers)
    if "use_cache" in encoder.model.config.to_dict():
        inputs["use_cache"] = False
    output = encoder.model(**inputs, output_hidden_states=not only_last)
    found = {layer: output.last_hidden_state for layer in layers if layer in last}
    if not only_last:
        states = output.hidden_states
        if len(states) != encoder.n_layers + 1:
            raise DataError(
                f"layers: found {len(states)} hidden states of {encoder.n_layers} layers, expected "
                f"one each and the embedding; this model has layer -1 only"
            )
        found |= {layer: states[layer] for layer in layers if layer not in last}
    for layer, states in found.items():
        if states.shape[1] != longest:
            raise DataError(
                f"layers: found {states.shape[1]} states of {longest} tokens in layer {layer}, "
                f"expected one each"
            )
    widths = {states.shape[2]: layer for layer, states in found.items()}
    if len(widths) > 1:
        raise DataError(
            f"layers: found {' and '.join(map(str, widths))} numbers in the states of layers "
            f"{' and '.join(map(str, widths.values()))}, expected one width; name two models"
        )
    return {layer: found[layer] for layer in layers}


def pool(hidden: Any, sizes: Any, pooling: Pooling) -> Any:
    """Pool (batch, longest, d) over the first `sizes` tokens of each row, to (batch, d)."""
    if pooling == "first":
        return hidden[:, 0]
    if pooling == "last":
        return hidden[torch.arange(len(sizes), device=sizes.device), sizes - 1]
    real = torch.arange(hidden.shape[1], device=sizes.device) < sizes[:, None]  # (batch, longest)
    return (hidden.float() * real[:, :, None]).sum(1) / sizes[:, None]


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

    Of texts of `lengths` tokens (n,), those of a batch have `budget` padded tokens at most; a
    longer text makes a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        size = max(1, budget // int(lengths[order[first]]))
        yield order[first : first + size]
        first += size


def passes(
    compute: Compute,
    sizes: Array,
    budget: int,
    done: Array,
    texts: Callable[[Array], Array] = lambda units: units,
    at_once: int = 1,
) -> Iterator[tuple[Array, Pooled]]:
    """The forward passes in their order: positions of their texts (k,), and activations.

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
        at_once: Passes to compute at once, which changes none of them.

    Raises:
        DataError: a single unit does not fit into memory.
    """
    batches = list(token_batches(sizes, budget))
    while batches:
        left = [at for at, units in enumerate(batches) if not done[texts(units)].all()]
        found = _in_order(compute, [batches[at] for at in left], at_once)
        for at, pooled in zip(left, found, strict=True):
            if pooled is None:
                break
            yield texts(batches[at]), pooled
        else:
            return
        found.close()
        tokens = len(batches[at]) * int(sizes[batches[at]].max())
        if len(batches[at]) == 1:
            raise DataError(
                f"device: found no room for {tokens} tokens in one pass, expected room for the "
                f"longest text; lower max_length"
            )
        half = tokens // 2
        log.warning("out of memory with %d tokens in a pass; going on with %d", tokens, half)
        again = np.concatenate(batches[at:])
        batches = [again[units] for units in token_batches(sizes[again], half)]


def _in_order(
    compute: Compute, batches: list[Array], at_once: int
) -> Generator[Pooled | None, None, None]:
    """Activations of the batches, None where memory ran out, some of them computed ahead.

    A pass of its own for each thread scales better than threads that share the products of one:
    these wait for each other after every product, for long where other jobs hold the cores.
    """
    if at_once == 1:
        yield from (_unless_out_of_memory(compute, units) for units in batches)
        return
    threads, waiting = torch.get_num_threads(), deque[Future[Pooled | None]]()
    torch.set_num_threads(each := max(1, threads // at_once))
    pool = ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(each,))
    try:
        for units in batches:
            waiting.append(pool.submit(_unless_out_of_memory, compute, units))
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        yield from (future.result() for future in waiting)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


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
