"""Every family of models in every number format: batches are what each text alone gives."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers

from w2s.errors import DataError
from w2s.models.encoder import extract
from w2s.models.forward import Encoder
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.models.tokenizer import tokenize

TEXTS = [
    "the film was great",
    "a sad story",
    "unheardof words and the plot of a lovely scene",
    "film",
    "it was boring and the actor was awful in the scene",
]
# largest difference relative to the largest activation: four roundings of the format
TOLERANCE = {dtype: 4 * torch.finfo(getattr(torch, dtype)).eps for dtype in ("bfloat16", "float16")}
TOLERANCE["float32"] = 1e-5
FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)
DTYPES = pytest.mark.parametrize("dtype", list(TOLERANCE))
POOLINGS = pytest.mark.parametrize("pooling", ["last", "mean", "first"])
LAYERS = (0, -1)


def loaded(folder: Path, **options: Any) -> Encoder:
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


def tokens(folder: Path, texts: list[str] = TEXTS, **options: Any) -> tuple[Any, Any]:
    start, token, _ = tokenize(texts, parse_source(str(folder)), **{"max_length": 50, **options})
    return start, token


def alone(encoder: Encoder, start: Any, token: Any, pooling: Any) -> dict[int, Any]:
    """Of each layer the vectors of the texts, each in a call of its own."""
    calls = [
        extract(encoder, np.array([0, end - first]), token[first:end], layers=LAYERS,
                pooling=pooling)
        for first, end in itertools.pairwise(start)
    ]  # fmt: skip
    return {layer: np.concatenate([call[layer] for call in calls]) for layer in LAYERS}


def difference(found: Any, expected: Any) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@FAMILIES
@DTYPES
@POOLINGS
@pytest.mark.parametrize("num_layers", [None, 1])
def test_a_batch_is_what_each_text_alone_gives(
    family: str, dtype: str, pooling: Any, num_layers: int | None, models: dict[str, Path]
) -> None:
    encoder = loaded(models[family], dtype=dtype, num_layers=num_layers)
    assert encoder.model.dtype == getattr(torch, dtype)
    assert encoder.n_layers == (num_layers or tiny.LAYERS)
    start, token = tokens(models[family])
    found = extract(encoder, start, token, layers=LAYERS, pooling=pooling, batch_tokens=1000)
    expected = alone(encoder, start, token, pooling)
    for layer in LAYERS:
        assert found[layer].dtype == np.float32
        assert np.isfinite(found[layer]).all()
        assert difference(found[layer], expected[layer]) < TOLERANCE[dtype]


@FAMILIES
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_the_full_one_but_not_it(
    family: str, dtype: str, models: dict[str, Path]
) -> None:
    start, token = tokens(models[family])
    half = extract(loaded(models[family], dtype=dtype), start, token)[-1]
    full = extract(loaded(models[family]), start, token)[-1]
    assert 1e-6 < difference(half, full) < 5 * TOLERANCE[dtype]


@FAMILIES
def test_the_longest_text_a_model_can_read_is_read_and_a_longer_one_is_refused(
    family: str, models: dict[str, Path]
) -> None:
    encoder = loaded(models[family])
    limit = tiny.POSITIONS
    if family == "roberta":  # its positions begin behind the padding token's id
        limit -= encoder.pad + 1
    token = np.arange(limit + 1) % 4 + tiny.VOCABULARY["great"]
    assert np.isfinite(extract(encoder, np.array([0, limit]), token[:limit])[-1]).all()
    with pytest.raises(DataError) as caught:
        extract(encoder, np.array([0, limit + 1]), token)
    assert str(caught.value) == (
        f"tokens: found a text of {limit + 1} tokens, expected at most {limit}, which is all the "
        f"model can read; lower max_length"
    )


def test_a_model_of_more_than_texts_is_refused_in_one_line(tmp_path: Path) -> None:
    transformers.Gemma3Config().save_pretrained(tmp_path)
    with pytest.raises(DataError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        "model: found a gemma3 model, whose configuration names no number of layers, expected a "
        "model of texts alone"
    )
