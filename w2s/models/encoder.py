"""Activations of texts: one forward pass per text, batched by a token budget.

What is known of families of models says which texts may share a pass or a row, and is tried on
every model; `w2s.models.forward` divides texts among passes and takes the result.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, KeysView, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError
from w2s.models import forward, prefixes
from w2s.models.forward import (
    Apart,
    Encoder,
    Memory,
    Pooling,
    Sink,
    hidden_states,
    passes,
    pool,
)

log = logging.getLogger(__name__)


def extract(
    encoder: Encoder,
    start: Array,
    token: Array,
    *,
    layers: Sequence[int] = (-1,),
    pooling: Pooling = "last",
    batch_tokens: int = 2048,
    on_batch: Callable[[Array], object] | None = None,
    sink: Sink | None = None,
) -> dict[int, Any]:
    """One vector per text and layer: for each layer what the sink returns, float32 (n, d).

    Texts of like length share a forward pass, padded on the right under a mask. Where a causal
    model can, texts with a long common beginning share one row (`w2s.models.prefixes`). The result
    does not depend on either beyond rounding. Where the device runs out of memory, the pass and
    those after it are made with half as many tokens. On a CPU each of torch's threads computes a
    pass of its own, up to 8 at once, where the model allows; the result has the same bits.

    Args:
        encoder: The model.
        start: int64 (n + 1,): text i is `token[start[i]:start[i + 1]]`.
        token: Token ids.
        layers: 0 is the embedding, k the k-th layer, -1 the last (after a final norm, if any).
        pooling: `last` real token, `mean` over real tokens, or `first` token.
        batch_tokens: Most padded tokens of a forward pass.
        on_batch: Told the positions of the texts after each forward pass.
        sink: Takes the vectors as they are computed, and says which texts it has already; arrays in
            memory where not given.

    Raises:
        DataError: a layer the model does not have, a text longer than it can read, or one that does
            not fit into the device's memory alone.
    """
    lengths, depth = np.diff(start), encoder.n_layers
    for layer in layers:
        if not -depth - 1 <= layer <= depth:
            raise DataError(f"layers: found {layer}, expected {-depth - 1} to {depth}")
    check_tokens(encoder, start, token)

    into: Sink = Memory(len(lengths)) if sink is None else sink
    shared = _shared(encoder, start, token, batch_tokens)
    rest = shared.plain

    def compute(units: Array) -> dict[int, Array]:
        texts = [token[start[i] : start[i + 1]] for i in rest[units]]
        sizes = torch.tensor(list(map(len, texts)))
        with torch.inference_mode():  # which is each thread's own
            return {
                layer: pool(states, sizes.to(states.device), pooling).float().cpu().numpy()
                for layer, states in hidden_states(encoder, texts, layers).items()
            }

    done, at_once, budget = into.done, encoder.at_once, batch_tokens
    options: Any = {"layers": layers, "pooling": pooling, "budget": budget, "done": done}
    packed = prefixes.row_passes(encoder, start, token, shared.rows, **options)
    plain = passes(compute, lengths[rest], budget, done, rest.__getitem__, at_once)
    for rows, pooled in itertools.chain(packed, plain):
        into.write(rows, pooled)
        if on_batch is not None:
            on_batch(rows)
    return into.result()


def _shared(encoder: Encoder, start: Array, token: Array, budget: int) -> prefixes.Plan:
    """Which texts share a row: none where the rows of the model would not be exact."""
    plan = prefixes.plan(start, token, budget=budget, width=encoder.width)
    if not plan.rows:
        return plan
    longest = int(np.diff(start).max(initial=0))
    reason = prefixes.refusal(encoder.model, longest) or packed(encoder)
    if reason:
        log.warning("texts share beginnings, but each is computed whole: %s", reason)
        return prefixes.Plan((), np.arange(len(start) - 1), 1.0)
    log.info("texts share beginnings: about %.1f times less work", plan.saving)
    return plan


def vocabulary(model: Any) -> int | None:
    """How many token ids a model can read; None where it has no table of their embeddings."""
    try:
        table = model.get_input_embeddings()
    except NotImplementedError:  # characters are hashed, not looked up
        return None
    size: int | None = getattr(table, "num_embeddings", None)
    return size


def readable(model: Any) -> int | None:
    """Tokens of the longest text a model can read, None if it does not say."""
    limit: int | None = getattr(model.config, "max_position_embeddings", None)
    if limit is None or limit < 1:  # -1 where positions are relative
        return None
    places = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    skipped = getattr(places, "padding_idx", None)  # RoBERTa and its kin count from behind it
    return limit if skipped is None else limit - skipped - 1


def check_tokens(encoder: Encoder, start: Array, token: Array) -> None:
    """Check that a model can read texts: text i is `token[start[i]:start[i + 1]]`.

    Raises:
        DataError: a text is longer, or a token id is not one of the model's.
    """
    longest, limit = np.diff(start).max(initial=0), readable(encoder.model)
    if limit is not None and longest > limit:
        raise DataError(
            f"tokens: found a text of {longest} tokens, expected at most {limit}, which is "
            f"all the model can read; lower max_length"
        )
    least = getattr(encoder.model.config, "downsampling_rate", 1)  # of CANINE
    if np.diff(start).min(initial=least) < least:
        raise DataError(
            f"tokens: found a text of fewer than {least} tokens, expected {least} at least, as the "
            f"model reads so many at once"
        )
    size = vocabulary(encoder.model)
    if size is None:
        return
    for value in (token.min(initial=0), token.max(initial=0)):
        if not 0 <= value < size:
            raise DataError(
                f"tokens: found id {value}, expected 0 to {size - 1}, which the model has "
                f"embeddings for; is the tokenizer another model's?"
            )


def apart(config: Any) -> Apart | None:
    """Which texts must not share a forward pass, by a model's configuration.

    Scaled rotary embeddings that go by the longest text of a pass change the others in it.
    """
    for rope in prefixes.ropes(config):
        if rope.get("rope_type") in prefixes.GROWING_ROPE:
            return Apart(prefixes.unscaled(rope, config), each=rope["rope_type"] == "dynamic")
    return None


MAX_DIFFERENCE = 1e-3  # relative, of a text in company and alone: rounding of float32 gives 1e-6
ROUNDINGS = 8  # of a 16-bit format, of the median token: up to 6 were found in 32 layers
LENGTHS = (40, 23, 4)  # tokens of the three texts, if the model can read as many
BEGINNING = 3  # tokens that they share in a packed row


@torch.no_grad()  # type: ignore[untyped-decorator]
def padded(encoder: Encoder) -> Encoder:
    """The model, after three texts of other lengths were computed in one padded pass, and alone.

    It has the width that was found, and is `still` if its code is that of `transformers` and its
    last pass left no trace in it. Where padding changes a text, as in models that take no mask,
    only texts of one length share passes from now on, and the log says so.

    Raises:
        DataError: texts change each other without padding too, in float32.
    """
    texts = _texts(encoder)
    alone = _alone(encoder, texts)
    before, together = _traces(encoder.model), _together(encoder, texts)
    known = encoder.apart is None and type(encoder.model).__module__.startswith("transformers.")
    still = known and _same(before, _traces(encoder.model))
    encoder = replace(encoder, width=alone[0].shape[1], still=still)
    if _like(together, alone):
        return encoder
    turned = [np.roll(texts[0], k) for k in range(3)]
    if not _like(_together(encoder, turned), _alone(encoder, turned)):
        if alone[0].dtype.itemsize <= 2:
            return encoder  # nothing is padded: rounding is as large as that in this model
        raise DataError(
            f"model: found a {encoder.model.config.model_type} model whose texts change each other "
            f"in one pass, expected vectors that depend on their text alone"
        )
    log.warning(
        "model type %s: padding changes other texts of a pass; only texts of one length share one",
        encoder.model.config.model_type,
    )
    return replace(encoder, apart=Apart(0, each=True))


@torch.no_grad()  # type: ignore[untyped-decorator]
def packed(encoder: Encoder) -> str:
    """Why packed rows would differ, after one was computed, and its texts alone; "" if exact."""
    texts = [np.concatenate([_texts(encoder)[0][:BEGINNING], text]) for text in _texts(encoder)]
    start = np.concatenate([[0], np.cumsum(list(map(len, texts)))])
    row = prefixes.Row(BEGINNING, int(start[-1]) - 2 * BEGINNING, np.arange(3))
    options: Any = {"layers": (-1,), "pooling": "mean", "budget": row.size}
    ((_, found),) = prefixes.row_passes(
        encoder, start, np.concatenate(texts), [row], done=np.zeros(3, dtype=bool), **options
    )
    alone = [states.float().mean(0).to(states.dtype) for states in _alone(encoder, texts)]
    if _like(list(torch.from_numpy(found[-1])), alone):
        return ""
    return f"model type {encoder.model.config.model_type}: a packed row differs from its texts"


def _traces(model: Any) -> list[Any]:
    """All that the parts of a model hold, and how often their tensors were written."""
    found: list[Any] = []
    for part in model.modules():
        held = {**vars(part), **part._buffers, **part._parameters}
        found += [held.keys(), *held.values()]
        tensors = [value for value in held.values() if isinstance(value, torch.Tensor)]
        found += [0 if tensor.is_inference() else tensor._version for tensor in tensors]
        found += [len(value) for value in held.values() if isinstance(value, dict | list)]
    return found


def _same(before: list[Any], after: list[Any]) -> bool:
    """Whether these are the same objects, or numbers, texts and names that are equal."""
    values = (int, float, str, KeysView)
    return len(before) == len(after) and all(
        one is other or (isinstance(one, values) and one == other)
        for one, other in zip(before, after, strict=True)
    )


def _texts(encoder: Encoder) -> list[Array]:
    """Three texts of other lengths, of ids from all over the vocabulary but for the padding."""
    size, most = vocabulary(encoder.model) or 128, readable(encoder.model) or 128
    sizes = np.minimum(LENGTHS, max(1, most - BEGINNING))
    ids = (1 + np.arange(sizes.sum())) * max(size // int(sizes.sum()), 1) % size
    ids[ids == encoder.pad] = (encoder.pad + 1) % size
    return np.split(ids, np.cumsum(sizes)[:-1])


def _together(encoder: Encoder, texts: list[Array]) -> list[Any]:
    """Last hidden states (length, d) of each text, from one pass."""
    states = forward.hidden_states(encoder, texts, (-1,))[-1]  # no pass of `extract`
    return [row[: len(text)].cpu() for row, text in zip(states, texts, strict=True)]


def _alone(encoder: Encoder, texts: list[Array]) -> list[Any]:
    """Last hidden states (length, d) of each text, from a pass each."""
    return [_together(encoder, [text])[0] for text in texts]


def _like(found: list[Any], expected: list[Any]) -> bool:
    """Whether every text has the values expected; also where those are not finite.

    What is not finite is told where it is stored. In a 16-bit format the median of a text's tokens
    counts: rounding sends single tokens of a mixture of experts to another expert.
    """
    for one, other in zip(found, expected, strict=True):
        most, gap, size = MAX_DIFFERENCE, one.float() - other.float(), other.float()
        if other.dtype.itemsize > 2:
            off = gap.norm() / size.norm()
        else:
            off = (gap.norm(dim=-1) / size.norm(dim=-1)).median()
            most = max(most, ROUNDINGS * torch.finfo(other.dtype).eps)
        if off > most:
            return False
    return True
