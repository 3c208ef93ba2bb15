"""Every family of models in every number format: batches are what each text alone gives."""

import itertools

import numpy as np
import pytest
import tiny
import torch
import transformers

from w2s.errors import DataError
from w2s.models.encoder import extract
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
POOLINGS = ("last", "mean", "first")
LAYERS = (0, -1)


def loaded(folder, **options):
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


def tokens(folder, texts=TEXTS, **options):
    start, token, _ = tokenize(texts, parse_source(str(folder)), **{"max_length": 50, **options})
    return start, token


def alone(encoder, start, token, pooling):
    """Of each layer the vectors of the texts, each in a call of its own."""
    calls = [
        extract(encoder, np.array([0, b - a]), token[a:b], layers=LAYERS, pooling=pooling)
        for a, b in itertools.pairwise(start)
    ]
    return {layer: np.concatenate([call[layer] for call in calls]) for layer in LAYERS}


def difference(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@FAMILIES
def test_a_batch_is_what_each_text_alone_gives(family, models, subtests):
    start, token = tokens(models[family])
    options = {"layers": LAYERS, "batch_tokens": 1000}
    for dtype, num_layers in itertools.product(TOLERANCE, (None, 1)):
        encoder = loaded(models[family], dtype=dtype, num_layers=num_layers)
        assert encoder.model.dtype == getattr(torch, dtype)
        assert encoder.n_layers == (num_layers or tiny.LAYERS)
        for pooling in POOLINGS:
            with subtests.test(dtype=dtype, num_layers=num_layers, pooling=pooling):
                found = extract(encoder, start, token, pooling=pooling, **options)
                expected = alone(encoder, start, token, pooling)
                for layer in LAYERS:
                    assert found[layer].dtype == np.float32
                    assert np.isfinite(found[layer]).all()
                    assert difference(found[layer], expected[layer]) < TOLERANCE[dtype]


@FAMILIES
def test_half_precision_is_near_the_full_one_but_not_it(family, models):
    start, token = tokens(models[family])
    full = extract(loaded(models[family]), start, token)[-1]
    for dtype in ("bfloat16", "float16"):
        half = extract(loaded(models[family], dtype=dtype), start, token)[-1]
        assert 1e-6 < difference(half, full) < 5 * TOLERANCE[dtype]


@FAMILIES
def test_the_longest_text_a_model_can_read_is_read_and_a_longer_one_is_refused(family, models):
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


def test_a_model_of_more_than_texts_is_refused_in_one_line(tmp_path):
    transformers.Gemma3Config().save_pretrained(tmp_path)
    with pytest.raises(DataError) as caught:
        loaded(tmp_path)
    assert str(caught.value) == (
        "model: found a gemma3 model, whose configuration names no number of layers, expected a "
        "model of texts alone"
    )
