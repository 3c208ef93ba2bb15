"""Activations: batches, padding and budgets change nothing; layers and pooling are the model's."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModel

from w2s.errors import DataError, W2SError
from w2s.models import encoder as encoders
from w2s.models import prefixes
from w2s.models.encoder import extract
from w2s.models.forward import Encoder, token_batches
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source, quiet
from w2s.models.tokenizer import tokenize

TOLERANCE = 1e-5
LAYERS = (0, 1, -1)
TEXTS = [
    "the film was great",
    "a sad story",
    "unheardof words and the plot of a lovely scene",
    "film",
    "it was boring and the actor was awful in the scene",
    "a happy story",
]
FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)
POOLINGS = pytest.mark.parametrize("pooling", ["last", "mean", "first"])


def tokenized(folder: Path, texts: list[str] = TEXTS) -> tuple[Any, Any]:
    start, token, _ = tokenize(texts, parse_source(str(folder)), max_length=50)
    return start, token


def encoder(folder: Path, **options: Any) -> Encoder:
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


@pytest.fixture(scope="module")
def loaded(models: dict[str, Path]) -> dict[str, tuple[Encoder, Any, Any]]:
    """Encoder, start and token of each family."""
    return {family: (encoder(folder), *tokenized(folder)) for family, folder in models.items()}


def hidden_states(folder: Path, start: Any, token: Any) -> list[list[Any]]:
    """The truth: hidden states (tokens, d) of each text and layer, one text per forward pass."""
    with quiet():
        model = AutoModel.from_pretrained(folder).eval()
    found = []
    with torch.inference_mode():
        for first, end in itertools.pairwise(start):
            ids = torch.from_numpy(token[first:end].astype(np.int64))[None]
            mask = torch.ones_like(ids)
            output = model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
            found.append([state[0].numpy() for state in output.hidden_states])
    return found


def pooled(states: list[list[Any]], layer: int, pooling: str) -> Any:
    pick = {"last": lambda h: h[-1], "first": lambda h: h[0], "mean": lambda h: h.mean(axis=0)}
    return np.stack([pick[pooling](text[layer]) for text in states])


@FAMILIES
@POOLINGS
@pytest.mark.parametrize("budget", [1, 50, 10_000])
def test_activations_are_those_of_one_text_at_a_time_whatever_the_budget(
    family: str, pooling: Any, budget: int, models: dict[str, Path], loaded: Any
) -> None:
    found = extract(*loaded[family], layers=LAYERS, pooling=pooling, batch_tokens=budget)
    truth = hidden_states(models[family], *loaded[family][1:])
    assert list(found) == list(LAYERS)
    for layer in LAYERS:
        assert found[layer].shape == (len(TEXTS), tiny.HIDDEN)
        assert found[layer].dtype == np.float32
        expected = pooled(truth, layer, pooling)
        np.testing.assert_allclose(found[layer], expected, rtol=0, atol=TOLERANCE)


@FAMILIES
def test_activations_tell_the_texts_apart(family: str, loaded: Any) -> None:
    found = extract(*loaded[family], layers=(-1,), pooling="mean")[-1]
    distances = np.linalg.norm(found[:, None] - found[None], axis=2)
    assert distances[~np.eye(len(TEXTS), dtype=bool)].min() > 100 * TOLERANCE


@FAMILIES
@POOLINGS
def test_the_last_layer_alone_is_the_same_as_among_others(
    family: str, pooling: Any, loaded: Any
) -> None:
    several = extract(*loaded[family], layers=(0, tiny.LAYERS, -1), pooling=pooling)
    np.testing.assert_array_equal(several[tiny.LAYERS], several[-1])
    for layer in (-1, tiny.LAYERS):
        alone = extract(*loaded[family], layers=(layer,), pooling=pooling)
        assert list(alone) == [layer]
        np.testing.assert_allclose(alone[layer], several[-1], rtol=0, atol=TOLERANCE)


@FAMILIES
@POOLINGS
def test_pad_token_and_padding_side_do_not_matter(
    family: str, pooling: Any, models: dict[str, Path], loaded: Any, tmp_path: Path
) -> None:
    other = tiny.write_model(tmp_path / "m", family, pad_token=False, padding_side="left")
    expected = extract(*loaded[family], layers=LAYERS, pooling=pooling, batch_tokens=1000)
    found = extract(
        encoder(other), *tokenized(other), layers=LAYERS, pooling=pooling, batch_tokens=1000
    )
    for layer in LAYERS:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=0, atol=TOLERANCE)


@FAMILIES
def test_order_of_the_texts_does_not_matter(
    family: str, models: dict[str, Path], loaded: Any
) -> None:
    order = [3, 0, 5, 1, 4, 2]
    straight = extract(*loaded[family], batch_tokens=20)[-1]
    turned = extract(
        loaded[family][0], *tokenized(models[family], [TEXTS[i] for i in order]), batch_tokens=20
    )[-1]
    np.testing.assert_allclose(turned, straight[order], rtol=0, atol=TOLERANCE)


@FAMILIES
def test_the_same_call_gives_the_same_bits(family: str, loaded: Any) -> None:
    first, second = (extract(*loaded[family], batch_tokens=30)[-1] for _ in range(2))
    assert first.tobytes() == second.tobytes()


@POOLINGS
def test_first_layer_of_bert_is_its_first_hidden_state(
    pooling: Any, models: dict[str, Path]
) -> None:
    start, token = tokenized(models["bert"])
    found = extract(encoder(models["bert"], num_layers=1), start, token, pooling=pooling)[-1]
    expected = pooled(hidden_states(models["bert"], start, token), 1, pooling)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("family", "norm"),
    [
        ("llama", "norm"),
        ("qwen2", "norm"),
        ("gpt2", "ln_f"),
        ("mistral", "norm"),
        ("phi", "final_layernorm"),
        ("gemma", "norm"),
        ("gemma2", "norm"),
    ],
)
def test_first_layer_of_a_decoder_is_its_first_hidden_state_after_the_final_norm(
    family: str, norm: str, models: dict[str, Path]
) -> None:
    start, token = tokenized(models[family])
    found = extract(encoder(models[family], num_layers=1), start, token, layers=(0, -1))
    truth = hidden_states(models[family], start, token)
    model = AutoModel.from_pretrained(models[family]).eval()
    with torch.inference_mode():
        expected = getattr(model, norm)(torch.from_numpy(pooled(truth, 1, "last"))).numpy()
    np.testing.assert_allclose(found[-1], expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found[0], pooled(truth, 0, "last"), rtol=0, atol=TOLERANCE)


@FAMILIES
def test_all_layers_asked_for_is_the_whole_model(
    family: str, models: dict[str, Path], loaded: Any
) -> None:
    found = extract(encoder(models[family], num_layers=tiny.LAYERS), *loaded[family][1:])[-1]
    np.testing.assert_array_equal(found, extract(*loaded[family])[-1])


@FAMILIES
def test_more_layers_than_the_model_has_are_refused(family: str, models: dict[str, Path]) -> None:
    with pytest.raises(DataError) as caught:
        encoder(models[family], num_layers=3)
    assert str(caught.value) == "num_layers: found 3, expected at most 2"


@pytest.mark.parametrize("layer", [3, -4, 100])
def test_a_layer_the_model_does_not_have_is_refused(layer: int, loaded: Any) -> None:
    with pytest.raises(DataError) as caught:
        extract(*loaded["bert"], layers=(0, layer))
    assert str(caught.value) == f"layers: found {layer}, expected -3 to 2"


def test_layers_of_a_cut_model_are_counted_from_what_is_left(models: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="layers: found 2, expected -2 to 1"):
        extract(encoder(models["bert"], num_layers=1), *tokenized(models["bert"]), layers=(2,))


def test_encoder_decoder_model_is_refused(tmp_path: Path) -> None:
    transformers.T5Config(d_model=32, num_layers=2).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="found an encoder-decoder model"):
        encoder(tmp_path)


def test_text_longer_than_the_model_can_read_is_refused(models: dict[str, Path]) -> None:
    text = " ".join(["film"] * (tiny.POSITIONS + 10))
    start, token, _ = tokenize([text], parse_source(str(models["bert"])), max_length=512)
    with pytest.raises(DataError) as caught:
        extract(encoder(models["bert"]), start, token)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("weights", ["none", "pickle", "damaged"])
def test_model_without_readable_safetensors_is_refused_in_one_line(
    weights: str, models: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "m"
    shutil.copytree(models["bert"], folder)
    file = folder / "model.safetensors"
    if weights == "pickle":
        state = AutoModel.from_pretrained(folder).state_dict()
        torch.save(state, folder / "pytorch_model.bin")
    if weights == "damaged":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        file.unlink()
    with pytest.raises(DataError) as caught:
        encoder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_device_that_is_not_there_is_one_line(models: dict[str, Path]) -> None:
    with pytest.raises(W2SError, match="cuda"):
        load_encoder(parse_source(str(models["bert"])), device="cuda")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@POOLINGS
def test_half_precision_gives_float32_near_the_full_one(
    dtype: str, pooling: Any, models: dict[str, Path], loaded: Any
) -> None:
    half = extract(encoder(models["bert"], dtype=dtype), *loaded["bert"][1:], pooling=pooling)[-1]
    full = extract(*loaded["bert"], pooling=pooling)[-1]
    assert half.dtype == np.float32
    error = np.abs(half - full).max() / np.abs(full).max()
    assert 1e-6 < error < 0.05


def test_every_text_is_reported_once(loaded: Any) -> None:
    told: list[int] = []
    extract(*loaded["bert"], batch_tokens=20, on_batch=lambda rows: told.extend(rows.tolist()))
    assert sorted(told) == list(range(len(TEXTS)))


@pytest.mark.parametrize(("budget", "passes"), [(1, len(TEXTS)), (10_000, 1)])
def test_texts_share_forward_passes(budget: int, passes: int, loaded: Any) -> None:
    told: list[int] = []
    extract(*loaded["bert"], batch_tokens=budget, on_batch=lambda rows: told.append(len(rows)))
    assert len(told) == passes


LENGTHS = st.lists(st.integers(1, 60), max_size=40).map(
    lambda lengths: np.array(lengths, dtype=int)
)


@given(LENGTHS, st.integers(1, 300))
def test_batches_hold_every_text_once_within_the_budget(lengths: Any, budget: int) -> None:
    batches = list(token_batches(lengths, budget))
    assert sorted(np.concatenate([[], *batches]).astype(int).tolist()) == list(range(len(lengths)))
    for rows in batches:
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget


@given(LENGTHS, st.integers(1, 300))
def test_batches_go_from_long_to_short_and_are_as_full_as_possible(
    lengths: Any, budget: int
) -> None:
    batches = list(token_batches(lengths, budget))
    flat = lengths[np.concatenate([[], *batches]).astype(int)]
    assert (np.diff(flat) <= 0).all()
    for rows in batches[:-1]:
        assert (len(rows) + 1) * lengths[rows].max() > budget


def shared_texts(n: int = 6) -> tuple[Any, Any]:
    """Texts of 40 common tokens and 5 of their own, in the layout of the tokens artifact."""
    rng = np.random.default_rng(0)
    common = rng.integers(5, 30, 40)
    lists = [np.concatenate([common, rng.integers(5, 30, 5)]) for _ in range(n)]
    return np.arange(0, 45 * n + 1, 45), np.concatenate(lists)


@pytest.mark.parametrize("pooling", ["last", "mean", "first"])
def test_common_beginnings_are_computed_once(
    pooling: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(parse_source(str(tiny.write_model(tmp_path / "model", "llama"))))
    start, token = shared_texts()
    monkeypatch.setattr(encoders, "packed", lambda _: "")  # it has passes of its own
    rows: list[int] = []
    encoder.model.register_forward_hook(
        lambda _m, _a, kwargs, _o: rows.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    shared = extract(encoder, start, token, pooling=pooling)
    assert sum(rows) == 40 + 6 * 5
    monkeypatch.setattr(prefixes, "MIN_SAVING", np.inf)
    whole = extract(encoder, start, token, pooling=pooling)
    assert sum(rows) == 40 + 6 * 5 + 6 * 45
    np.testing.assert_allclose(shared[-1], whole[-1], atol=1e-5)


def test_models_that_cannot_share_beginnings_say_so_and_are_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = load_encoder(parse_source(str(tiny.write_model(tmp_path / "model", "bert"))))
    start, token = shared_texts()
    found = extract(encoder, start, token, pooling="mean")
    assert "texts share beginnings, but each is computed whole: " in caplog.text
    alone = extract(encoder, np.array([0, 45]), token[:45], pooling="mean")
    np.testing.assert_allclose(found[-1][0], alone[-1][0], atol=1e-5)
    caplog.clear()
    extract(encoder, np.array([0, 45]), token[:45])
    assert not caplog.text  # nothing to share, nothing to say
