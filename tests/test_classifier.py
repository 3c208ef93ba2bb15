"""A model with one logit on top: what it computes, and which of its weights are trained."""

import math
import sys

import numpy as np
import pytest
import tiny
import torch
from peft import LoraConfig, inject_adapter_in_model
from test_passes import CPU, GPU
from torch.nn import functional
from transformers import MixtralConfig, MixtralModel
from transformers.pytorch_utils import Conv1D

from w2s.errors import DataError
from w2s.finetuning.classifier import Classifier, adapted, adapters_of
from w2s.finetuning.track import FinetuningRecipe
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source

SOME = pytest.mark.parametrize("family", ["bert", "llama", "gpt2"])
FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)
POOLINGS = ("last", "mean", "first")
METHODS = pytest.mark.parametrize("method", ["lora", "full"])
TOLERANCE = 1e-5
RANK = 2
DRAW = np.random.default_rng(0)
TEXTS = [DRAW.integers(5, 30, size) for size in (5, 3, 12, 1, 7, 5, 12)]


def encoder(folder, **options):
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


def recipe(**changes):
    return FinetuningRecipe.model_validate({"rank": RANK, "alpha": 2 * RANK, **changes})


def classifier(folder, method="lora", *, pooling="last", dtype="float32", **options):
    """As the stages make it: all weights are trained in 32 bits."""
    weights = "float32" if method == "full" else dtype
    base = encoder(folder, dtype=weights, **options)
    adapted(base, recipe(method=method), seed=0, name="a training")
    return Classifier(base, pooling=pooling, dtype=dtype)


def shaken(model, by=0.1):
    """The same with other values of what is trained, so that it no longer says 1/2."""
    draw = np.random.default_rng(1)
    values = model.taken()
    for name, value in values.items():
        values[name] = (value + by * draw.normal(size=value.shape)).astype(np.float32)
    model.put(values)
    return model


def logits(model, texts):
    return model(texts).detach().numpy()


def activations(base, pooling):
    start = np.concatenate([[0], np.cumsum([len(text) for text in TEXTS])])
    return extract(base, start, np.concatenate(TEXTS), pooling=pooling)[-1]


def sigmoid(values):
    return 1 / (1 + np.exp(-values.astype(np.float64)))


@FAMILIES
def test_logit_is_linear_in_what_extraction_gives(family, models, subtests):
    base = encoder(models[family])
    for pooling in POOLINGS:
        model = Classifier(base, pooling=pooling, dtype="float32")
        draw = np.random.default_rng(2)
        weight, bias = draw.normal(size=(1, tiny.HIDDEN)), draw.normal(size=1)
        model.put({**model.taken(), "head.weight": weight, "head.bias": bias})
        expected = activations(base, pooling).astype(np.float64) @ weight[0] + bias
        found = logits(model, TEXTS)
        proba = model.predict(TEXTS, batch_tokens=30)
        with subtests.test(pooling=pooling):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=5 * TOLERANCE)
            np.testing.assert_allclose(proba, sigmoid(expected), rtol=0, atol=TOLERANCE)
            assert np.ptp(expected) > 0.1


@SOME
def test_logit_of_a_text_does_not_depend_on_the_texts_beside_it(family, models):
    for pooling in POOLINGS:
        model = shaken(classifier(models[family], pooling=pooling))
        alone = np.concatenate([logits(model, [text]) for text in TEXTS])
        assert np.ptp(alone) > 0.05
        for order in ([0, 1, 2, 3, 4, 5, 6], [6, 3, 0, 2], [1, 5]):
            together = logits(model, [TEXTS[i] for i in order])
            np.testing.assert_allclose(together, alone[order], rtol=0, atol=2 * TOLERANCE)
        for budget in (1, 25, 10_000):
            proba = model.predict(TEXTS, batch_tokens=budget)
            np.testing.assert_allclose(proba, sigmoid(alone), rtol=0, atol=TOLERANCE)


@FAMILIES
def test_adapters_leave_the_model_as_it_was_and_the_head_says_one_half(family, models):
    base = encoder(models[family])
    before = activations(base, "mean")
    adapted(base, recipe(), seed=0, name="a training")
    np.testing.assert_array_equal(activations(base, "mean"), before)
    model = Classifier(base, pooling="last", dtype="float32")
    for texts in (TEXTS, []):
        proba = model.predict(texts, batch_tokens=40)
        assert (proba.dtype, proba.tolist()) == (np.float32, [0.5] * len(texts))


def linear_layers(model):
    """Inputs and outputs of the linear layers, by name."""
    shapes = {n: m.weight.shape for n, m in model.named_modules() if isinstance(m, Conv1D)}
    return shapes | {
        name: (module.in_features, module.out_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
    }


@FAMILIES
def test_lora_trains_two_thin_matrices_beside_every_linear_layer_and_the_head(family, models):
    layers = linear_layers(encoder(models[family]).model)
    assert len(layers) >= 4 * tiny.LAYERS
    model = classifier(models[family])
    expected = {"head.weight": (1, tiny.HIDDEN), "head.bias": (1,)}
    for name, (inputs, outputs) in layers.items():
        expected[f"model.{name}.lora_A.default.weight"] = (RANK, inputs)
        expected[f"model.{name}.lora_B.default.weight"] = (outputs, RANK)
    assert {n: tuple(p.shape) for n, p in model.trained.items()} == expected
    assert list(model.trained) == sorted(expected)
    assert {p.dtype for p in model.trained.values()} == {torch.float32}
    # and `full` every weight and the head
    weights = [f"model.{name}" for name, _ in encoder(models[family]).model.named_parameters()]
    full = classifier(models[family], "full")
    assert list(full.trained) == sorted([*weights, "head.weight", "head.bias"])


def test_places_and_ranks_of_adapters_are_told_for_mixtures_of_experts_too():
    """Fused matrices of gate and up have twice the rank, for each of the experts."""
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "vocab_size": 50}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 3}
    model = torch.nn.Module()
    model.model = MixtralModel(MixtralConfig(**sizes, **heads))
    config = LoraConfig(r=RANK, lora_alpha=4, target_modules="all-linear")
    inject_adapter_in_model(config, model.model)
    found = adapters_of(dict(model.named_parameters()))
    attention = {f"layers.*.self_attn.{name}_proj": RANK for name in "qkvo"}
    assert found == attention | {
        "layers.*.mlp.gate": RANK,
        "layers.*.mlp.experts": 3 * RANK,
        "layers.*.mlp.experts.base_layer": 3 * 2 * RANK,
    }
    assert adapters_of({"model.layers.0.weight": torch.zeros(3), "head.bias": torch.zeros(1)}) == {}


@FAMILIES
def test_a_step_moves_what_is_trained_and_nothing_else(family, models):
    for method in ("lora", "full"):
        model = shaken(classifier(models[family], method))
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        optimizer = torch.optim.SGD(model.trained.values(), lr=0.1)
        loss = functional.binary_cross_entropy_with_logits
        loss(model(TEXTS), torch.ones(len(TEXTS))).backward()
        optimizer.step()
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert moved <= set(model.trained)
        still = {n for n in model.trained if n not in moved}
        # nothing reads a pooler, and a bias of all keys cancels out
        assert all("pooler" in n or "k_proj.bias" in n or "key.bias" in n for n in still)
        assert len(moved) > 4 * tiny.LAYERS


def test_adapters_start_uniform_and_zero(models):
    base = encoder(models["llama"])
    adapted(base, recipe(rank=64), seed=0, name="a training")
    for name, parameter in base.model.named_parameters():
        if "lora_B" in name:
            assert not parameter.any()
        if "lora_A" in name:
            bound = 1 / math.sqrt(parameter.shape[1])
            assert 0.95 * bound < parameter.max() <= bound
            assert -bound <= parameter.min() < -0.95 * bound
            assert abs(float(parameter.detach().mean())) < 0.1 * bound


def starts(folder, seed=0, name="a training", **options):
    base = encoder(folder, **options)
    adapted(base, recipe(), seed=seed, name=name)
    return {n: p.detach().numpy() for n, p in base.model.named_parameters() if p.requires_grad}


def test_start_depends_on_seed_training_and_layer_alone(models):
    torch.manual_seed(1)
    first = starts(models["llama"])
    torch.manual_seed(2)
    for options in ({}, {"dtype": "bfloat16"}, {"dtype": "float16"}, {"device_map": "auto"}):
        again = starts(models["llama"], **options)
        assert again.keys() == first.keys()
        assert all(values.dtype == np.float32 for values in again.values())
        assert all((again[name] == values).all() for name, values in first.items())
    fewer = starts(models["llama"], num_layers=1)
    assert fewer.keys() < first.keys()
    assert all((fewer[name] == first[name]).all() for name in fewer)
    for other in (starts(models["llama"], seed=1), starts(models["llama"], name="another")):
        same = [name for name, values in first.items() if (other[name] == values).all()]
        assert same == [name for name in first if "lora_B" in name]
    drawn = [values.tobytes() for name, values in first.items() if "lora_A" in name]
    assert len(set(drawn)) == len(drawn)


@SOME
@METHODS
def test_16_bits_are_of_the_pass_and_there_is_no_chance_in_it(family, method, models):
    whole = shaken(classifier(models[family], method))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        exact = logits(whole, TEXTS)
        torch.manual_seed(2)
        assert logits(whole, TEXTS).tobytes() == exact.tobytes()
    assert not any(m.training for m in whole.modules() if isinstance(m, torch.nn.Dropout))
    for dtype in ("bfloat16", "float16"):
        model = shaken(classifier(models[family], method, dtype=dtype))
        assert {p.dtype for p in model.trained.values()} == {torch.float32}
        others = {p.dtype for p in model.model.parameters() if not p.requires_grad}
        assert others == (set() if method == "full" else {getattr(torch, dtype)})
        found = model(TEXTS)
        assert found.dtype == torch.float32
        error = np.abs(found.detach().numpy() - exact).max() / np.abs(exact).max()
        assert 1e-6 < error < 0.1
        found.sum().backward()
        gradients = [p.grad for p in model.trained.values() if p.grad is not None]
        assert len(gradients) > 4 * tiny.LAYERS
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)


def test_what_is_taken_can_be_put_back(models):
    for method in ("lora", "full"):
        model = shaken(classifier(models["bert"], method))
        taken = model.taken()
        before = {name: values.copy() for name, values in taken.items()}
        said = logits(model, TEXTS)
        shaken(model)
        assert all((taken[name] == before[name]).all() for name in before)  # a copy
        assert (logits(model, TEXTS) != said).any()
        model.put(taken)
        assert logits(model, TEXTS).tobytes() == said.tobytes()
        assert all(p.requires_grad and p.is_leaf for p in model.trained.values())


class Cramped(Classifier):
    """A classifier on a device that has room for so many padded tokens."""

    room, error = 24, CPU

    def forward(self, texts):
        if len(texts) * max(map(len, texts)) > self.room:
            raise self.error
        return super().forward(texts)


def test_predictions_need_no_more_memory_than_there_is(models, caplog):
    base = encoder(models["bert"])
    roomy = shaken(Classifier(base, pooling="mean", dtype="float32"))
    cramped = Cramped(base, pooling="mean", dtype="float32")
    cramped.put(roomy.taken())
    expected = roomy.predict(TEXTS, batch_tokens=10_000)
    for cramped.error in (GPU, CPU):
        caplog.clear()
        found = cramped.predict(TEXTS, batch_tokens=10_000)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)
        assert "out of memory with 84 tokens in a pass; going on with 42" in caplog.text
    cramped.room = 11  # the longest have 12 tokens
    with pytest.raises(DataError, match="found no room for 12 tokens in one pass"):
        cramped.predict(TEXTS, batch_tokens=10_000)
    cramped.error = RuntimeError("shape mismatch")
    with pytest.raises(RuntimeError, match="shape mismatch"):
        cramped.predict(TEXTS, batch_tokens=10_000)


def refused(base, method="lora"):
    with pytest.raises(DataError) as caught:
        adapted(base, recipe(method=method), seed=0, name="a training")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_peft_is_one_line_and_full_needs_none(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)  # as if it were not installed
    assert refused(encoder(models["bert"])) == (
        "finetuning.recipe.method: found no package peft, expected it for lora; "
        "pip install 'w2s[finetune]', or train all weights: `method: full`"
    )
    classifier(models["bert"], "full")


def test_model_with_layers_on_disk_or_without_linear_ones_is_one_line(models):
    where = dict.fromkeys(("embed_tokens", "layers.1", "norm", "rotary_emb"), "cpu")
    where["layers.0"] = "disk"
    for method in ("lora", "full"):
        base = load_encoder(parse_source(str(models["llama"])), device_map=where)
        told = "device_map: found no room for all layers in the memory"
        assert refused(base, method).startswith(told)
    base = encoder(models["llama"])
    base.model.layers = torch.nn.ModuleList()
    message = refused(base)
    assert message.startswith("model: found no layers for adapters (")
    assert message.endswith("); `method: full`")
