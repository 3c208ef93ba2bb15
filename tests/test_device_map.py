"""Models on several devices: the same activations, wherever the layers are."""

import sys

import numpy as np
import pytest
import tiny
import torch

from w2s.cli import main
from w2s.errors import DataError
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source

LAYERS = (0, 1, -1)
# a stand-in for several cards: weights on disk are read for each pass by the same hooks that move
# numbers from card to card
PARTLY = {
    "llama": {"cpu": ("embed_tokens", "layers.1", "rotary_emb"), "disk": ("layers.0", "norm")},
    "bert": {"cpu": ("embeddings", "encoder.layer.0", "pooler"), "disk": ("encoder.layer.1",)},
    "gpt2": {"cpu": ("wte", "wpe", "drop", "h.1", "ln_f"), "disk": ("h.0",)},
}


def loaded(folder, **options):
    return load_encoder(parse_source(str(folder)), **options)


def texts():
    """Texts that share a beginning, which causal models read once, and others."""
    draw = np.random.default_rng(0)
    common = draw.integers(5, 30, 40)
    lists = [np.concatenate([common, draw.integers(5, 30, k)]) for k in (5, 6, 7)]
    lists += [draw.integers(5, 30, k) for k in (3, 12)]
    return np.concatenate([[0], np.cumsum([len(text) for text in lists])]), np.concatenate(lists)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_auto_gives_the_bits_of_one_device(models, subtests):
    for family in tiny.FAMILIES:
        expected = extract(loaded(models[family], device="cpu"), *texts(), layers=LAYERS)
        for device in ("auto", "cpu"):
            with subtests.test(family=family, device=device):
                encoder = loaded(models[family], device=device, device_map="auto")
                assert {p.device.type for p in encoder.model.parameters()} == {"cpu"}
                found = extract(encoder, *texts(), layers=LAYERS)
                for layer in LAYERS:
                    np.testing.assert_array_equal(found[layer], expected[layer])


@pytest.mark.parametrize("family", PARTLY)
@pytest.mark.parametrize("whole", [False, True])
def test_layers_elsewhere_give_the_same(family, whole, models):
    here = loaded(models[family])
    where = {name: place for place, names in PARTLY[family].items() for name in names}
    where = dict.fromkeys(where, "disk") if whole else where
    encoder = loaded(models[family], device_map=where)
    assert encoder.model.hf_device_map == where
    elsewhere = {p.device.type for p in encoder.model.parameters()}
    assert elsewhere == ({"meta"} if whole else {"meta", "cpu"})
    for pooling in ("last", "mean"):
        options = {"layers": LAYERS, "pooling": pooling}
        expected, found = (extract(each, *texts(), **options) for each in (here, encoder))
        for layer in LAYERS:
            np.testing.assert_allclose(found[layer], expected[layer], rtol=0, atol=1e-5)


def test_fewer_layers_are_spread_too(models):
    options = {"num_layers": 1, "dtype": "bfloat16"}
    expected = extract(loaded(models["llama"], **options), *texts())[-1]
    found = extract(loaded(models["llama"], device_map="auto", **options), *texts())[-1]
    np.testing.assert_array_equal(found, expected)


def test_the_stage_writes_the_same_bytes(chain, tmp_path):
    job = chain.jobs["activations-large"]
    line = job.line(activations=tmp_path / "a.safetensors")
    assert main([*line, "--device", "cpu", "--device-map", "auto"]) == 0
    expected = job.outputs["activations"].read_bytes()
    assert (tmp_path / "a.safetensors").read_bytes() == expected


def test_a_single_card_for_all_layers_and_a_missing_accelerate_are_refused(models, monkeypatch):
    with pytest.raises(DataError) as caught:
        loaded(models["bert"], device="cuda:0", device_map="auto")
    expected = "device_map: found cuda:0, expected auto or cuda, which is all GPUs"
    assert str(caught.value) == expected
    monkeypatch.setitem(sys.modules, "accelerate", None)  # as if it were not installed
    with pytest.raises(DataError) as caught:
        loaded(models["bert"], device_map="auto")
    expected = "device_map: found no package accelerate, expected it; pip install 'w2s[gpu]'"
    assert str(caught.value) == expected
    loaded(models["bert"])
