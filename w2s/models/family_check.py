"""A look at a loaded model itself: do its vectors depend on their text alone?

It takes a few passes of a few tokens, less than reading the weights took, so that its outcome is
not kept anywhere: nothing can be stale, and jobs side by side have nothing to share.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError
from w2s.models import prefixes
from w2s.models.forward import Apart, Encoder, hidden_states, readable, vocabulary

MAX_DIFFERENCE = 1e-3  # relative, of a text in company and alone: rounding of float32 gives 1e-6
ROUNDINGS = 8  # of a 16-bit format, of the median token: up to 6 were found in 32 layers
LENGTHS = (40, 23, 4)  # tokens of the three texts, if the model can read as many
BEGINNING = 3  # tokens that they share in a packed row

log = logging.getLogger(__name__)


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
    """Why packed rows would differ, after one was computed, and its texts alone.

    Returns:
        One line, or nothing where the row is exact.
    """
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
    states = hidden_states(encoder, texts, (-1,))[-1]
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
