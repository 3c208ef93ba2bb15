"""Activations of texts: one forward pass per text, batched by a token budget.

Here is what one pass computes; `w2s.models.passes` says which texts share one and where the result
goes.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError
from w2s.models import families, prefixes
from w2s.models import families as family_check
from w2s.models.forward import Encoder, Pooling, hidden_states, pool, readable, vocabulary
from w2s.models.passes import Memory, Sink, passes

log = logging.getLogger(__name__)


@torch.inference_mode()  # type: ignore[untyped-decorator]
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
    """One vector per text and layer.

    Texts of like length share a forward pass, padded on the right under a mask. Where a causal
    model can, texts with a long common beginning share one row (`w2s.models.prefixes`). The result
    does not depend on either beyond rounding. Where the device runs out of memory, the pass and
    those after it are made with half as many tokens.

    Args:
        encoder: The model.
        start: int64 (n + 1,): text i is `token[start[i]:start[i + 1]]`.
        token: Token ids.
        layers: Hidden layers: 0 is the embedding, k the k-th layer, -1 the last (after the final
            norm where the model has one).
        pooling: `last` real token, `mean` over real tokens, or `first` token.
        batch_tokens: Most padded tokens of a forward pass.
        on_batch: Told the positions of the texts after each forward pass.
        sink: Takes the vectors as they are computed, and says which texts it has already; arrays in
            memory where not given.

    Returns:
        What the sink returns: for each layer float32 of shape (n, d).

    Raises:
        DataError: a layer the model does not have, a text longer than it can read, or one that does
            not fit into the device's memory alone.
    """
    lengths = np.diff(start)
    _check(encoder, start, token, layers)

    def compute(rows: Array) -> dict[int, Array]:
        return _pooled(encoder, [token[start[i] : start[i + 1]] for i in rows], layers, pooling)

    into: Sink = Memory(len(lengths)) if sink is None else sink
    shared = _shared(encoder, start, token, batch_tokens)
    rest = shared.plain
    options: Any = {"layers": layers, "pooling": pooling, "budget": batch_tokens}
    packed = prefixes.row_passes(encoder, start, token, shared.rows, done=into.done, **options)
    plain = passes(
        lambda at: compute(rest[at]), lengths[rest], batch_tokens, into.done, lambda at: rest[at]
    )
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
    reason = families.refusal(encoder.model, int(np.diff(start).max(initial=0)))
    reason = reason or family_check.packed(encoder)
    if reason:
        log.warning("texts share beginnings, but each is computed whole: %s", reason)
        return prefixes.Plan((), np.arange(len(start) - 1), 1.0)
    log.info("texts share beginnings: about %.1f times less work", plan.saving)
    return plan


def _check(encoder: Encoder, start: Array, token: Array, layers: Sequence[int]) -> None:
    depth = encoder.n_layers
    for layer in layers:
        if not -depth - 1 <= layer <= depth:
            raise DataError(f"layers: found {layer}, expected {-depth - 1} to {depth}")
    check_tokens(encoder, start, token)


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


def _pooled(
    encoder: Encoder, texts: list[Array], layers: Sequence[int], pooling: Pooling
) -> dict[int, Array]:
    """One forward pass: of each layer float32 (batch, d)."""
    hidden = hidden_states(encoder, texts, layers)
    sizes = torch.tensor(list(map(len, texts)))
    return {
        layer: pool(states, sizes.to(states.device), pooling).float().cpu().numpy()
        for layer, states in hidden.items()
    }
