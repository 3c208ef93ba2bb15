"""Models on several devices: the same activations, wherever the layers are."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from conftest import Chain

from w2s.cli import main
from w2s.errors import DataError
from w2s.models.encoder import extract
from w2s.models.forward import Encoder
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source

LAYERS = (0, 1, -1)
# a stand-in for several cards: weights on disk are read for each pass by the same hooks that move
# numbers from card to card
PARTLY = {
    "llama": {"embed_tokens": "cpu", "layers.0": "disk", "layers.1": "cpu", "norm": "disk",
              "rotary_emb": "cpu"},
    "bert": {"embeddings": "cpu", "encoder.layer.0": "cpu", "encoder.layer.1": "disk",
             "pooler": "cpu"},
    "gpt2": {"wte": "cpu", "wpe": "cpu", "drop": "cpu", "h.0": "disk", "h.1": "cpu",
             "ln_f": "cpu"},
}  # fmt: skip


def loaded(folder: Path, **options: Any) -> Encoder:
    return load_encoder(parse_source(str(folder)), **options)


def texts() -> tuple[Any, Any]:
    """Texts that share a beginning, which causal models read once, and others."""
    draw = np.random.default_rng(0)
    common = draw.integers(5, 30, 40)
    lists = [np.concatenate([common, draw.integers(5, 30, k)]) for k in (5, 6, 7)]
    lists += [draw.integers(5, 30, k) for k in (3, 12)]
    return np.concatenate([[0], np.cumsum([len(text) for text in lists])]), np.concatenate(lists)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_auto_gives_the_bits_of_one_device(
    family: str, device: str, models: dict[str, Path]
) -> None:
    expected = extract(loaded(models[family], device="cpu"), *texts(), layers=LAYERS)
    encoder = loaded(models[family], device=device, device_map="auto")
    assert {p.device.type for p in encoder.model.parameters()} == {"cpu"}
    found = extract(encoder, *texts(), layers=LAYERS)
    for layer in LAYERS:
        np.testing.assert_array_equal(found[layer], expected[layer])


@pytest.mark.parametrize("family", list(PARTLY))
@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("whole", [False, True])
def test_layers_elsewhere_give_the_same(
    family: str, pooling: Any, whole: bool, models: dict[str, Path]
) -> None:
    expected = extract(loaded(models[family]), *texts(), layers=LAYERS, pooling=pooling)
    where = {name: "disk" for name in PARTLY[family]} if whole else PARTLY[family]
    encoder = loaded(models[family], device_map=where)
    assert encoder.model.hf_device_map == where
    elsewhere = {p.device.type for p in encoder.model.parameters()}
    assert elsewhere == ({"meta"} if whole else {"meta", "cpu"})
    found = extract(encoder, *texts(), layers=LAYERS, pooling=pooling)
    for layer in LAYERS:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=0, atol=1e-5)


def test_fewer_layers_are_spread_too(models: dict[str, Path]) -> None:
    options: dict[str, Any] = {"num_layers": 1, "dtype": "bfloat16"}
    expected = extract(loaded(models["llama"], **options), *texts())[-1]
    found = extract(loaded(models["llama"], device_map="auto", **options), *texts())[-1]
    np.testing.assert_array_equal(found, expected)


def test_the_stage_writes_the_same_bytes(chain: Chain, tmp_path: Path) -> None:
    job = chain.jobs["activations-large"]
    line = job.line(activations=tmp_path / "a.safetensors")
    assert main([*line, "--device", "cpu", "--device-map", "auto"]) == 0
    expected = job.outputs["activations"].read_bytes()
    assert (tmp_path / "a.safetensors").read_bytes() == expected


def test_a_single_card_for_all_layers_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(DataError) as caught:
        loaded(models["bert"], device="cuda:0", device_map="auto")
    expected = "device_map: found cuda:0, expected auto or cuda, which is all GPUs"
    assert str(caught.value) == expected


def test_missing_accelerate_is_one_line(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)  # as if it were not installed
    with pytest.raises(DataError) as caught:
        loaded(models["bert"], device_map="auto")
    expected = "device_map: found no package accelerate, expected it; pip install 'w2s[gpu]'"
    assert str(caught.value) == expected
    loaded(models["bert"])
