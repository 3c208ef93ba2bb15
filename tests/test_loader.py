"""Loading a model: every weight from its files, or one line that says what does not fit."""

import json
import logging

import numpy as np
import pytest
import tiny
from safetensors.torch import load_file, save_file

from w2s.errors import DataError
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.models.tokenizer import tokenize

FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)
IDS = (np.array([0, 4]), np.array([5, 6, 7, 8]))


def loaded(folder, **options):
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


def tokenized(folder):
    return tokenize(["a film"], parse_source(str(folder)), max_length=50)


def refusal(folder, **options):
    """What is said of a model that cannot be loaded, without the model's name."""
    with pytest.raises(DataError) as caught:
        loaded(folder, **options)
    said = str(caught.value)
    assert "\n" not in said
    return said.removeprefix(f"model {folder}: ")


def with_weights(folder, family, change):
    """A model whose file of weights is another."""
    path = tiny.write_model(folder, family) / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    return folder


def with_json(folder, name, **values):
    """The folder of a model, with some values of one of its files changed."""
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values))
    return folder


@FAMILIES
def test_weights_under_other_names_or_of_no_layer_are_not_drawn_at_random(family, models, tmp_path):
    for prefix in ("wrapper.", "module."):
        place = tmp_path / prefix
        folder = with_weights(place, family, lambda w, p=prefix: {p + n: v for n, v in w.items()})
        said = refusal(folder)
        assert said.startswith("found no values for ")
        assert f"; found {prefix}" in said
    place = tmp_path / "m"
    folder = with_weights(place, family, lambda w: {n: v for n, v in w.items() if ".1." not in n})
    said = refusal(folder)
    assert said.startswith("found no values for ")
    assert ".1." in said
    found, expected = (  # unless it is cut off
        extract(loaded(path, num_layers=1), *IDS)[-1] for path in (folder, models[family])
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_pooler_may_be_missing_and_a_head_too_many(family, models, tmp_path, caplog):
    def change(weights):
        kept = {name: value for name, value in weights.items() if "pooler" not in name}
        assert len(kept) < len(weights)
        return kept | {"classifier.weight": weights["pooler.dense.weight"]}

    folder = with_weights(tmp_path / "m", family, change)
    found, expected = (extract(loaded(path), *IDS)[-1] for path in (folder, models[family]))
    np.testing.assert_array_equal(found, expected)
    assert not caplog.records


def test_a_configuration_of_other_shapes_or_more_layers_is_one_line(tmp_path):
    folder = with_json(tiny.write_model(tmp_path / "m"), "config.json", vocab_size=99)
    assert refusal(folder) == (
        f"found embeddings.word_embeddings.weight of shape ({len(tiny.VOCABULARY)}, 32) in its "
        f"files, expected (99, 32) by its config.json"
    )
    folder = with_json(tiny.write_model(tmp_path / "n"), "config.json", num_hidden_layers=3)
    assert refusal(folder) == (
        "found no values for 16 of 55 weights in its files, expected all: "
        "encoder.layer.2.attention.output.LayerNorm.bias and 15 more"
    )


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_layers_that_the_configuration_lacks_are_told(family, tmp_path, caplog):
    folder = tiny.write_model(tmp_path / "m", family)
    loaded(folder, num_layers=1)
    assert not caplog.records
    loaded(with_json(folder, "config.json", num_hidden_layers=1))
    (record,) = caplog.records
    assert "layers that its config.json does not name are left out: " in record.message


def test_what_was_loaded_is_told(models, caplog):
    caplog.set_level(logging.INFO, "w2s.models.loader")
    loaded(models["llama"], dtype="bfloat16")
    assert caplog.messages == [
        f"model {models['llama']}: LlamaModel of 2 layers, bfloat16, attention sdpa, all weights "
        f"from its files"
    ]


def test_files_that_loaders_cannot_use_are_one_line(tmp_path, subtests):
    for name, values, said in (
        ("config.json", {"initializer_range": 1}, "initializer_range"),
        ("config.json", {"layer_norm_eps": 1}, "layer_norm_eps"),
        ("config.json", {"num_attention_heads": 0}, "ZeroDivisionError"),
        ("config.json", {"hidden_act": "nope"}, "KeyError: 'nope'"),
        ("config.json", {"vocab_size": -1}, "AssertionError"),
        ("config.json", None, "cannot be loaded"),
        ("tokenizer.json", {}, "KeyError"),
        ("tokenizer.json", None, "cannot be loaded"),
        ("tokenizer.json", {"model": {"type": "X"}}, "cannot be loaded"),
        ("tokenizer_config.json", None, "cannot be loaded"),
    ):
        folder = tiny.write_model(tmp_path / "m")
        if values and name == "config.json":
            with_json(folder, name, **values)
        else:
            (folder / name).write_text(json.dumps(values))
        load = loaded if name == "config.json" else tokenized
        with subtests.test(name=name, values=values):
            with pytest.raises(DataError) as caught:
                load(folder)
            line = str(caught.value)
            assert line.startswith(f"model {folder}: cannot be loaded (")
            assert said in line
            assert "\n" not in line
        (folder / name).unlink()  # else it would be written on


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_padding_is_never_an_id_without_an_embedding(family, models, tmp_path):
    folder = with_json(tiny.write_model(tmp_path / "m", family), "config.json", pad_token_id=-1)
    ids = np.array([0, 4, 6]), np.array([5, 6, 7, 8, 9, 10])
    found, expected = (extract(loaded(path), *ids)[-1] for path in (folder, models[family]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    with_json(folder, "config.json", pad_token_id=10_000)  # `transformers` refuses it itself
    assert "cannot be loaded (AssertionError: Padding_idx must be within" in refusal(folder)


def test_ids_past_the_embeddings_are_one_line(models):
    size = len(tiny.VOCABULARY)
    for token in (-1, size):
        with pytest.raises(DataError) as caught:
            extract(loaded(models["bert"]), np.array([0, 3]), np.array([5, token, 6]))
        assert str(caught.value) == (
            f"tokens: found id {token}, expected 0 to {size - 1}, which the model has embeddings "
            f"for; is the tokenizer another model's?"
        )


def test_adapters_are_not_a_model(tmp_path):
    folder = tiny.write_model(tmp_path / "m")
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}')
    told = "found adapters (adapter_config.json), expected a whole"
    assert refusal(folder).startswith(told)
    (folder / "config.json").unlink()
    assert refusal(folder).startswith(told)
