"""Activations: batches, padding and budgets change nothing; layers and pooling are the model's."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModel

from w2s.errors import DataError, W2SError
from w2s.models import encoder as family_check
from w2s.models import prefixes
from w2s.models.encoder import extract
from w2s.models.forward import token_batches
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
POOLINGS = ("last", "mean", "first")


def tokenized(folder, texts=TEXTS):
    start, token, _ = tokenize(texts, parse_source(str(folder)), max_length=50)
    return start, token


def encoder(folder, **options):
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


@pytest.fixture(scope="module")
def loaded(models):
    """Encoder, start and token of each family."""
    return {family: (encoder(folder), *tokenized(folder)) for family, folder in models.items()}


def hidden_states(folder, start, token):
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


def pooled(states, layer, pooling):
    pick = {"last": lambda h: h[-1], "first": lambda h: h[0], "mean": lambda h: h.mean(axis=0)}
    return np.stack([pick[pooling](text[layer]) for text in states])


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


@FAMILIES
def test_activations_are_those_of_one_text_at_a_time(family, models, loaded, subtests):
    truth = hidden_states(models[family], *loaded[family][1:])
    for pooling, budget in itertools.product(POOLINGS, (1, 50, 10_000)):
        with subtests.test(pooling=pooling, budget=budget):
            found = extract(*loaded[family], layers=LAYERS, pooling=pooling, batch_tokens=budget)
            assert list(found) == list(LAYERS)
            for layer in LAYERS:
                assert found[layer].shape == (len(TEXTS), tiny.HIDDEN)
                assert found[layer].dtype == np.float32
                near(found[layer], pooled(truth, layer, pooling))


@FAMILIES
def test_activations_tell_the_texts_apart_and_do_not_depend_on_their_order(family, models, loaded):
    found = extract(*loaded[family], layers=(-1,), pooling="mean")[-1]
    distances = np.linalg.norm(found[:, None] - found[None], axis=2)
    assert distances[~np.eye(len(TEXTS), dtype=bool)].min() > 100 * TOLERANCE
    order = [3, 0, 5, 1, 4, 2]
    straight = extract(*loaded[family], batch_tokens=20)[-1]
    some = tokenized(models[family], [TEXTS[i] for i in order])
    near(extract(loaded[family][0], *some, batch_tokens=20)[-1], straight[order])
    first, second = (extract(*loaded[family], batch_tokens=30)[-1] for _ in range(2))
    assert first.tobytes() == second.tobytes()


@FAMILIES
def test_the_last_layer_alone_is_the_same_as_among_others(family, loaded):
    for pooling in POOLINGS:
        several = extract(*loaded[family], layers=(0, tiny.LAYERS, -1), pooling=pooling)
        np.testing.assert_array_equal(several[tiny.LAYERS], several[-1])
        for layer in (-1, tiny.LAYERS):
            alone = extract(*loaded[family], layers=(layer,), pooling=pooling)
            assert list(alone) == [layer]
            near(alone[layer], several[-1])


@FAMILIES
def test_pad_token_and_padding_side_do_not_matter(family, loaded, tmp_path):
    folder = tiny.write_model(tmp_path / "m", family, pad_token=False, padding_side="left")
    other = (encoder(folder), *tokenized(folder))
    for pooling in POOLINGS:
        options = {"layers": LAYERS, "pooling": pooling, "batch_tokens": 1000}
        expected, found = (extract(*each, **options) for each in (loaded[family], other))
        for layer in LAYERS:
            near(found[layer], expected[layer])


def test_first_layer_of_bert_is_its_first_hidden_state(models):
    start, token = tokenized(models["bert"])
    truth = hidden_states(models["bert"], start, token)
    for pooling in POOLINGS:
        found = extract(encoder(models["bert"], num_layers=1), start, token, pooling=pooling)[-1]
        near(found, pooled(truth, 1, pooling))


NORMS = {"llama": "norm", "qwen2": "norm", "gpt2": "ln_f", "mistral": "norm"}
NORMS |= {"phi": "final_layernorm", "gemma": "norm", "gemma2": "norm"}


@pytest.mark.parametrize("family", NORMS)
def test_first_layer_of_a_decoder_is_its_first_hidden_state_after_the_final_norm(family, models):
    start, token = tokenized(models[family])
    found = extract(encoder(models[family], num_layers=1), start, token, layers=(0, -1))
    truth = hidden_states(models[family], start, token)
    model = AutoModel.from_pretrained(models[family]).eval()
    with torch.inference_mode():
        norm = getattr(model, NORMS[family])
        expected = norm(torch.from_numpy(pooled(truth, 1, "last"))).numpy()
    near(found[-1], expected)
    near(found[0], pooled(truth, 0, "last"))


@FAMILIES
def test_all_layers_asked_for_is_the_whole_model_and_more_are_refused(family, models, loaded):
    found = extract(encoder(models[family], num_layers=tiny.LAYERS), *loaded[family][1:])[-1]
    np.testing.assert_array_equal(found, extract(*loaded[family])[-1])
    with pytest.raises(DataError) as caught:
        encoder(models[family], num_layers=3)
    assert str(caught.value) == "num_layers: found 3, expected at most 2"


def test_a_layer_the_model_does_not_have_is_refused(loaded, models):
    for layer in (3, -4, 100):
        with pytest.raises(DataError) as caught:
            extract(*loaded["bert"], layers=(0, layer))
        assert str(caught.value) == f"layers: found {layer}, expected -3 to 2"
    # those of a cut model are counted from what is left
    with pytest.raises(DataError, match="layers: found 2, expected -2 to 1"):
        extract(encoder(models["bert"], num_layers=1), *tokenized(models["bert"]), layers=(2,))


@pytest.mark.parametrize("weights", ["none", "pickle", "damaged"])
def test_model_without_readable_safetensors_is_refused_in_one_line(weights, models, tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(models["bert"], folder)
    file = folder / "model.safetensors"
    if weights == "pickle":
        torch.save(load_file(file), folder / "pytorch_model.bin")
    if weights == "damaged":
        file.write_bytes(file.read_bytes()[:1000])
    else:
        file.unlink()
    with pytest.raises(DataError) as caught:
        encoder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_device_that_is_not_there_is_one_line(models):
    with pytest.raises(W2SError, match="cuda"):
        load_encoder(parse_source(str(models["bert"])), device="cuda")


def test_half_precision_gives_float32_near_the_full_one(models, loaded):
    for dtype, pooling in itertools.product(("bfloat16", "float16"), POOLINGS):
        less = encoder(models["bert"], dtype=dtype)
        half = extract(less, *loaded["bert"][1:], pooling=pooling)[-1]
        full = extract(*loaded["bert"], pooling=pooling)[-1]
        assert half.dtype == np.float32
        error = np.abs(half - full).max() / np.abs(full).max()
        assert 1e-6 < error < 0.05


@pytest.mark.parametrize(("budget", "passes"), [(1, len(TEXTS)), (20, None), (10_000, 1)])
def test_texts_share_forward_passes_and_each_is_reported_once(budget, passes, loaded):
    told = []
    extract(*loaded["bert"], batch_tokens=budget, on_batch=lambda rows: told.append(rows.tolist()))
    assert sorted(itertools.chain(*told)) == list(range(len(TEXTS)))
    assert passes is None or len(told) == passes


@given(
    st.lists(st.integers(1, 60), max_size=40).map(lambda lengths: np.array(lengths, dtype=int)),
    st.integers(1, 300),
)
def test_batches_hold_every_text_once_from_long_to_short_as_full_as_possible(lengths, budget):
    batches = list(token_batches(lengths, budget))
    flat = np.concatenate([[], *batches]).astype(int)
    assert sorted(flat.tolist()) == list(range(len(lengths)))
    assert (np.diff(lengths[flat]) <= 0).all()
    for rows in batches:
        assert len(rows) == 1 or len(rows) * lengths[rows].max() <= budget
    for rows in batches[:-1]:
        assert (len(rows) + 1) * lengths[rows].max() > budget


@pytest.fixture
def threads():
    """Sets torch's threads, and sets them back at the end."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@FAMILIES
def test_threads_change_no_bit(family, loaded, threads):
    start, token = shared_texts(9)
    longer = np.concatenate([start, start[-1] + loaded[family][1][1:]])
    both = (longer, np.concatenate([token, loaded[family][2]]))
    for layers in ((-1,), LAYERS):
        found = []
        for count in (1, 3):
            threads(count)
            assert loaded[family][0].at_once == count
            found.append(extract(loaded[family][0], *both, layers=layers, batch_tokens=50))
            assert torch.get_num_threads() == count
        for layer in layers:
            assert found[0][layer].tobytes() == found[1][layer].tobytes()


def test_passes_are_not_computed_at_once_by_many_threads_nor_where_they_change_the_model(
    loaded, threads
):
    threads(20)
    model = loaded["bert"][0]
    assert (model.at_once, replace(model, still=False).at_once) == (8, 1)


def shared_texts(n=6):
    """Texts of 40 common tokens and 5 of their own, in the layout of the tokens artifact."""
    rng = np.random.default_rng(0)
    common = rng.integers(5, 30, 40)
    lists = [np.concatenate([common, rng.integers(5, 30, 5)]) for _ in range(n)]
    return np.arange(0, 45 * n + 1, 45), np.concatenate(lists)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_common_beginnings_are_computed_once(pooling, tmp_path, monkeypatch):
    encoder = load_encoder(parse_source(str(tiny.write_model(tmp_path / "model", "llama"))))
    start, token = shared_texts()
    monkeypatch.setattr(family_check, "packed", lambda _: "")  # it has passes of its own
    rows = []
    encoder.model.register_forward_hook(
        lambda _m, _a, kwargs, _o: rows.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    shared = extract(encoder, start, token, pooling=pooling)
    assert sum(rows) == 40 + 6 * 5
    monkeypatch.setattr(prefixes, "MIN_SAVING", np.inf)
    whole = extract(encoder, start, token, pooling=pooling)
    assert sum(rows) == 40 + 6 * 5 + 6 * 45
    np.testing.assert_allclose(shared[-1], whole[-1], atol=1e-5)


def test_models_that_cannot_share_beginnings_say_so_and_are_right(tmp_path, caplog):
    encoder = load_encoder(parse_source(str(tiny.write_model(tmp_path / "model", "bert"))))
    start, token = shared_texts()
    found = extract(encoder, start, token, pooling="mean")
    assert "texts share beginnings, but each is computed whole: " in caplog.text
    alone = extract(encoder, np.array([0, 45]), token[:45], pooling="mean")
    np.testing.assert_allclose(found[-1][0], alone[-1][0], atol=1e-5)
    caplog.clear()
    extract(encoder, np.array([0, 45]), token[:45])
    assert not caplog.text  # nothing to share, nothing to say
