"""Activations of texts: one forward pass per text, batched by a token budget.

What is known of families of models says which texts may share a pass or a row, and is tried on
every model; `w2s.models.forward` divides texts among passes and takes the result.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
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
    readable,
    vocabulary,
)

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
    """One vector per text and layer: for each layer what the sink returns, float32 (n, d).

    Texts of like length share a forward pass, padded on the right under a mask. Where a causal
    model can, texts with a long common beginning share one row (`w2s.models.prefixes`). The result
    does not depend on either beyond rounding. Where the device runs out of memory, the pass and
    those after it are made with half as many tokens.

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

    def compute(rows: Array) -> dict[int, Array]:
        texts = [token[start[i] : start[i + 1]] for i in rows]
        sizes = torch.tensor(list(map(len, texts)))
        return {
            layer: pool(states, sizes.to(states.device), pooling).float().cpu().numpy()
            for layer, states in hidden_states(encoder, texts, layers).items()
        }

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
    longest = int(np.diff(start).max(initial=0))
    reason = refusal(encoder.model, longest) or packed(encoder)
    if reason:
        log.warning("texts share beginnings, but each is computed whole: %s", reason)
        return prefixes.Plan((), np.arange(len(start) - 1), 1.0)
    log.info("texts share beginnings: about %.1f times less work", plan.saving)
    return plan


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


# they know of a token's place from position ids and mask only: each one is tested on packed rows
EXACT = frozenset(
    {"gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "granite", "llama", "mistral", "mixtral"}
    | {"olmo", "olmo2", "opt", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe", "stablelm"}
)
MASKED = ("sdpa", "eager")  # attention that takes any mask; flash attention takes none
FIXED_ROPE = ("default", "linear", "llama3", "yarn")  # angles depend on the position alone
GROWING_ROPE = ("dynamic", "longrope")  # and, for texts beyond the original length, on that length


def refusal(model: Any, longest: int) -> str:
    """Why packed rows of a model would differ from plain batches: a line, "" where they do not.

    A sliding window that no text, of `longest` tokens at most, exceeds does no harm: the mask of a
    row replaces it. Nor does rotary scaling by length, up to the original length: it goes by the
    largest position id.
    """
    config = model.config
    if config.model_type not in EXACT:
        return f"model type {config.model_type}: not known to be causal in packed rows"
    if config._attn_implementation not in MASKED:
        return f"attention {config._attn_implementation}: takes no mask of ours"
    if getattr(config, "use_bidirectional_attention", None):
        return "use_bidirectional_attention: tokens attend to later ones"
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    other = sorted(kinds - {"full_attention", "sliding_attention"})
    if other:
        return f"layer type {other[0]}: not known to be exact in packed rows"
    window = getattr(config, "sliding_window", None)
    if window is not None and window < longest and "sliding_attention" in kinds:
        return f"sliding window of {window} tokens: shorter than a text of {longest}"
    return _rope_refusal(config, longest)


def _rope_refusal(config: Any, longest: int) -> str:
    """The part of `refusal` about rotary embeddings."""
    for rope in _ropes(config):
        kind = rope.get("rope_type", "default")
        if kind not in (*FIXED_ROPE, *GROWING_ROPE):
            return f"rotary embedding {kind}: not known to be exact in packed rows"
        original = _original(rope, config)
        if kind in GROWING_ROPE and longest > original:
            return f"rotary embedding {kind}: changes beyond {original} tokens, found {longest}"
    return ""


def _ropes(config: Any) -> list[dict[str, Any]]:
    """Settings of a model's rotary embeddings, of each type of layer or of all."""
    given = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in given.values() if isinstance(value, dict)]  # one per layer type
    return nested or [given]


def _original(rope: dict[str, Any], config: Any) -> int:
    """Tokens up to which a scaled rotary embedding is the one without scaling."""
    given = rope.get("original_max_position_embeddings") or config.max_position_embeddings
    return int(given)


def apart(config: Any) -> Apart | None:
    """Which texts must not share a forward pass, by a model's configuration.

    Scaled rotary embeddings that go by the longest text of a pass change the others in it.
    """
    for rope in _ropes(config):
        if rope.get("rope_type") in GROWING_ROPE:
            return Apart(_original(rope, config), each=rope["rope_type"] == "dynamic")
    return None


MAX_DIFFERENCE = 1e-3  # relative, of a text in company and alone: rounding of float32 gives 1e-6
ROUNDINGS = 8  # of a 16-bit format, of the median token: up to 6 were found in 32 layers
LENGTHS = (40, 23, 4)  # tokens of the three texts, if the model can read as many
BEGINNING = 3  # tokens that they share in a packed row


@torch.no_grad()  # type: ignore[untyped-decorator]
def padded(encoder: Encoder) -> Encoder:
    """The model, after three texts of other lengths were computed in one padded pass, and alone.

    It has the width that was found. Where padding changes a text, as in models that take no mask,
    only texts of one length share passes from now on, and the log says so.

    Raises:
        DataError: texts change each other without padding too, in float32.
    """
    texts = _texts(encoder)
    alone = _alone(encoder, texts)
    encoder = replace(encoder, width=alone[0].shape[1])
    if _like(_together(encoder, texts), alone):
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
