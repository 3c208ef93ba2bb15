"""Shared prefixes: texts with the same beginning, which a causal model then reads only once.

A row `[prefix | rest of text 1 | rest of text 2 ...]` is one sequence to the model. Position ids
restart after the prefix at each rest, and a token attends to the prefix and to the tokens before it
in its own rest. Every token so meets what it meets in its own text, and keeps its activations.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from w2s.checks import Array
from w2s.models.forward import Encoder, Pooled, Pooling, passes

MIN_PREFIX = 32  # tokens; shorter prefixes hardly save, and short runs of them are everywhere
MIN_SAVING = 1.2  # the mask keeps attention off its fast causal path, which eats smaller savings
MAX_ROW = 4096  # tokens; a row's mask has their square in numbers: 64 MiB in float32


@dataclass(frozen=True)
class Row:
    """Texts that share one packed row.

    Attributes:
        prefix: Tokens of the prefix, fewer than any of the texts has.
        size: Tokens of the row: the prefix once, and the rest of each text.
        texts: Positions of the texts, int64 (m,), in the order of the row; m is at least 2.
    """

    prefix: int
    size: int
    texts: Array


@dataclass(frozen=True)
class Plan:
    """Which texts share rows.

    Attributes:
        rows: The packed rows.
        plain: Positions of the texts that are in no row, ascending, int64.
        saving: Predicted work of all texts one by one, divided by that of the plan; 1 at least.
    """

    rows: tuple[Row, ...]
    plain: Array
    saving: float


def plan(start: Array, token: Array, *, budget: int, width: int) -> Plan:
    """The cheapest rows: each text once, in a row or not.

    The texts, sorted by token ids, are cut into rows and single texts at the least predicted work.
    A row has a prefix of `MIN_PREFIX` tokens or more, saves `MIN_SAVING` or more, and has `MAX_ROW`
    tokens at most; texts for which it is too long share the prefix in several rows. Every text
    keeps a token of its own, also one that is the beginning of another, or its copy.

    Args:
        start: int64 (n + 1,): text i is `token[start[i]:start[i + 1]]`.
        token: Token ids, not negative.
        budget: Most tokens of a row.
        width: Numbers in a hidden state of the model.
    """
    order, common = _neighbours(start, token)
    lengths = np.diff(start)[order]
    best, begin = _cut(lengths, common, min(budget, MAX_ROW), width)
    rows, plain, end = [], [], len(order)
    while end:
        first = begin[end]
        if end - first == 1:
            plain.append(order[first])
        else:
            prefix = int(common[first : end - 1].min())
            size = int(lengths[first:end].sum()) - (end - first - 1) * prefix
            rows.append(Row(prefix, size, order[first:end]))
        end = first
    saving = float(_work(lengths, width).sum() / best) if rows else 1.0
    return Plan(tuple(rows), np.array(sorted(plain), dtype=np.int64), saving)


def _work(tokens: Array, width: int) -> Array:
    """Predicted work of rows; 1 is a token's 12 width^2 products a layer, and 2 width a pair's."""
    return np.asarray(tokens + tokens.astype(np.float64) ** 2 / (6 * width))


def _neighbours(start: Array, token: Array) -> tuple[Array, Array]:
    """Order of the texts by token ids, (n,), and what each shares with the next, (n - 1,).

    Shared tokens are counted up to one less than the shorter of the two texts has.
    """
    ends = list(itertools.pairwise(start.tolist()))
    wide = token.astype(">u4")  # bytes of big-endian numbers sort like the numbers
    keys = [wide[first:end].tobytes() for first, end in ends]
    order = np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
    common = np.zeros(max(len(order) - 1, 0), dtype=np.int64)
    for i, (one, other) in enumerate(itertools.pairwise(order)):
        (first, end), (second, last) = ends[one], ends[other]
        most = max(min(end - first, last - second) - 1, 0)
        differ = token[first : first + most] != token[second : second + most]
        common[i] = differ.argmax() if differ.any() else most
    return order, common


def _cut(lengths: Array, common: Array, most: int, width: int) -> tuple[float, list[int]]:
    """The least work of all texts, and the begin of the last row or text before each end, (n + 1,).

    A row grows with its end, so that a first text that makes it too long is out for later ends.
    """
    n = len(lengths)
    total = np.concatenate([[0], np.cumsum(lengths)])  # (n + 1,)
    alone = np.concatenate([[0.0], np.cumsum(_work(lengths, width))])  # (n + 1,)
    best, begin = np.zeros(n + 1), list(range(-1, n))
    low = 0  # the first text with which a row could begin
    for end in range(1, n + 1):
        best[end] = best[end - 1] + (alone[end] - alone[end - 1])
        if end == 1 or common[end - 2] < MIN_PREFIX:
            low = end - 1
            continue
        first = np.arange(low, end - 1)
        prefix = np.minimum.accumulate(common[low : end - 1][::-1])[::-1]
        size = total[end] - total[first] - (end - first - 1) * prefix
        low += int(np.count_nonzero(size > most))
        packed = _work(size, width)
        allowed = (size <= most) & (alone[end] - alone[first] >= MIN_SAVING * packed)
        work = np.where(allowed, best[first] + packed, np.inf)
        if len(work) and work.min() < best[end]:
            best[end], begin[end] = work.min(), int(first[work.argmin()])
    return float(best[n]), begin


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
    for rope in ropes(config):
        kind = rope.get("rope_type", "default")
        if kind not in (*FIXED_ROPE, *GROWING_ROPE):
            return f"rotary embedding {kind}: not known to be exact in packed rows"
        original = unscaled(rope, config)
        if kind in GROWING_ROPE and longest > original:
            return f"rotary embedding {kind}: changes beyond {original} tokens, found {longest}"
    return ""


def ropes(config: Any) -> list[dict[str, Any]]:
    """Settings of a model's rotary embeddings, of each type of layer or of all."""
    given = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in given.values() if isinstance(value, dict)]  # one per layer type
    return nested or [given]


def unscaled(rope: dict[str, Any], config: Any) -> int:
    """Tokens up to which a scaled rotary embedding is the one without scaling."""
    given = rope.get("original_max_position_embeddings") or config.max_position_embeddings
    return int(given)


def row_passes(
    encoder: Encoder,
    start: Array,
    token: Array,
    rows: Sequence[Row],
    *,
    layers: Sequence[int],
    pooling: Pooling,
    budget: int,
    done: Array,
) -> Iterator[tuple[Array, Pooled]]:
    """Vectors of the texts in packed rows (from `plan`), rows of like size in one forward pass.

    Where `refusal` says nothing they are those of plain batches but for rounding: in float32 within
    1e-5 of the largest activation (1e-6 was found; other plain batches differ by half of that).
    Arguments are those of `extract` and `passes`; pooling is over a whole text with its prefix.

    Returns:
        Of each pass the positions of its texts (k,), and for each layer float32 (k, d).
    """
    lengths = np.diff(start)

    def compute(units: Array) -> Pooled:
        some = [rows[i] for i in units]
        with torch.inference_mode():
            hidden = _forward(encoder, *_layout(start, token, some, encoder.pad), layers)
            return {k: _pool(states, some, lengths, pooling) for k, states in hidden.items()}

    sizes = np.array([row.size for row in rows], dtype=np.int64)

    def texts(units: Array) -> Array:
        return np.concatenate([rows[i].texts for i in units])

    return passes(compute, sizes, budget, done, texts, encoder.at_once)


def _layout(start: Array, token: Array, rows: list[Row], pad: int) -> tuple[Array, Array, Array]:
    """Token ids, position ids and segments of the rows, each int64 (batch, longest).

    The prefix is segment 0, the rests are 1, 2 and so on. What fills short rows belongs to the last
    one, but comes after its tokens, so that they do not see it.
    """
    shape = (len(rows), max(row.size for row in rows))
    ids, position = np.full(shape, pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    segment = np.empty(shape, dtype=np.int64)
    for i, row in enumerate(rows):
        at = 0
        for k, text in enumerate(row.texts):
            skip = row.prefix if k else 0
            rest = token[start[text] + skip : start[text + 1]]
            ids[i, at : at + len(rest)] = rest
            position[i, at : at + len(rest)] = np.arange(skip, skip + len(rest))
            segment[i, at:] = k + 1
            at += len(rest)
        segment[i, : row.prefix] = 0
    return ids, position, segment


def _forward(
    encoder: Encoder, ids: Array, position: Array, segment: Array, layers: Sequence[int]
) -> dict[int, Any]:
    """Hidden states (batch, longest, d) of the layers."""
    model, on = encoder.model, encoder.device
    only_last = all(layer in (-1, encoder.n_layers) for layer in layers)
    mask = _mask(torch.from_numpy(segment).to(on), model.dtype)
    inputs = {"input_ids": torch.from_numpy(ids).to(on), "attention_mask": mask}
    inputs["position_ids"] = torch.from_numpy(position).to(on)
    output = model(**inputs, use_cache=False, output_hidden_states=not only_last)
    if only_last:
        return dict.fromkeys(layers, output.last_hidden_state)
    return {layer: output.hidden_states[layer] for layer in layers}


def _mask(segment: Any, dtype: Any) -> Any:
    """Additive attention mask (batch, 1, longest, longest) of segments (batch, longest).

    A token attends to itself and those before it, if they are of the prefix or of its segment.
    """
    keys = segment[:, None, None, :]
    seen = ((keys == 0) | (keys == segment[:, None, :, None])).tril()
    mask = torch.zeros(seen.shape, dtype=dtype, device=segment.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)


def _pool(hidden: Any, rows: list[Row], lengths: Array, pooling: Pooling) -> Array:
    """Pool hidden states (batch, longest, d) over the texts of the rows, to float32 (k, d)."""
    place = torch.arange(hidden.shape[1], device=hidden.device)
    found = []
    for states, row in zip(hidden, rows, strict=True):
        sizes = torch.from_numpy(lengths[row.texts]).to(hidden.device)
        ends = row.prefix + torch.cumsum(sizes - row.prefix, 0)  # (m,)
        if pooling != "mean":
            found.append(states[ends - 1 if pooling == "last" else torch.zeros_like(ends)].float())
        else:
            begins = (ends - sizes + row.prefix)[:, None]  # (m, 1)
            own = (place >= begins) & (place < ends[:, None])  # (m, longest)
            real = (own | (place < row.prefix)).float()
            found.append(real @ states.float() / sizes[:, None])
    return np.asarray(torch.cat(found).cpu().numpy())
