"""One forward pass of a loaded model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError

Pooling = Literal["last", "mean", "first"]


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
    """

    model: Any
    n_layers: int
    pad: int
    width: int = 0
    apart: Apart | None = None

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
    device = encoder.device
    inputs = {"input_ids": torch.from_numpy(ids).to(device)}
    if not mask.all():  # equal lengths need no mask, which lets attention take its fast path
        inputs["attention_mask"] = torch.from_numpy(mask).to(device)
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
