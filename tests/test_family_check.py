"""Families whose texts change each other in a pass: they are kept apart, or refused in one line."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
import transformers
from transformers import AutoConfig, AutoModel

from w2s.errors import DataError
from w2s.finetuning.classifier import Classifier
from w2s.models import encoder as family_check
from w2s.models import prefixes
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source, quiet

WORDS = 64
SHAPE = {
    "vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 64, "max_position_embeddings": 64,
}  # fmt: skip
ROPE = {"rope_theta": 10_000.0}
LONG = {
    **ROPE, "rope_type": "longrope", "original_max_position_embeddings": 12,
    "short_factor": [1.0] * 8, "long_factor": [4.0] * 8,
}  # fmt: skip
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
XLM = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "n_words": WORDS}
MAMBA = {"state_size": 8}
ONE = {"num_key_value_heads": 1}
ALIKE = (  # families with the same shape
    (("bert-generation", "biogpt", "ernie", "falcon", "megatron-bert", "mpnet", "nomic_bert"), {}),
    (("cohere", "granite", "lfm2", "olmo2", "stablelm", "starcoder2"), ONE),
    (("gemma3_text", "qwen3"), {**ONE, "head_dim": 16}),
    (("deberta", "deberta-v2"), {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    (("falcon_mamba", "mamba"), MAMBA),
    (("flaubert", "xlm"), XLM),
    (("camembert", "xlm-roberta"), {"pad_token_id": 1}),
    (("albert", "electra"), {"embedding_size": 16}),
    (("roformer", "squeezebert"), {"embedding_size": 32}),
)
SPECIAL = {kind: shape for kinds, shape in ALIKE for kind in kinds} | {
    "bloom": {"n_layer": 2, "n_head": 2},
    "codegen": {**GPT, "num_attention_heads": 4, "rotary_dim": 4},
    "ctrl": {**GPT, "dff": 64},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "gpt_bigcode": GPT,
    "gpt_neo": {
        "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "gpt_oss": {**ONE, "num_local_experts": 4, "head_dim": 16},
    "gptj": {**GPT, "rotary_dim": 8},
    "jamba": {
        **ONE, "num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "mamba_d_state": 4,
    },
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 8, "entity_emb_size": 16},
    "mamba2": {**MAMBA, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    "mixtral": {**ONE, "num_local_experts": 4},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 16},
    "modernbert": {
        f"{name}_token_id": i for i, name in enumerate(("pad", "bos", "eos", "cls", "sep"))
    },
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 64},
    "recurrent_gemma": {**ONE, "lru_width": 32, "head_dim": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "rwkv": {"attention_hidden_size": 32},
    "smollm3": {**ONE, "pad_token_id": 0},
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 2, "ffn_dim": 64},
    "xmod": {"pad_token_id": 1, "languages": ["en_XX"], "default_language": "en_XX"},
}  # fmt: skip
OTHERS = {
    "canine": {"num_hash_buckets": 64, "local_transformer_stride": 16},
    "convbert": {"embedding_size": 32},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "phi3": {
        **ONE, "pad_token_id": 0, "rope_parameters": LONG, "original_max_position_embeddings": 12,
    },
    "llama": {**ONE, "rope_parameters": {**ROPE, "rope_type": "dynamic", "factor": 4.0}},
    "reformer": {
        "attn_layers": ["local", "lsh"], "attention_head_size": 16, "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16], "num_buckets": 4, "lsh_attn_chunk_length": 8,
        "local_attn_chunk_length": 8, "feed_forward_size": 64,
    },
    "big_bird": {"block_size": 4, "num_random_blocks": 1, "sep_token_id": 6},
    # without the common SHAPE
    "xlnet": {"vocab_size": WORDS, "d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64},
    "funnel": {
        "vocab_size": WORDS, "d_model": 32, "n_head": 2, "d_head": 16, "d_inner": 64,
        "block_sizes": [1, 1], "num_decoder_layers": 1,
    },
    "t5": {
        "vocab_size": WORDS, "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2,
    },
}  # fmt: skip
SIZES = (3, 9, 14, 5, 9, 20)


def write(folder, kind, **options):
    """A small model of a family, whose tokens matter to each other."""
    torch.manual_seed(0)
    with quiet():
        shape = {} if kind in ("xlnet", "funnel", "t5") else SHAPE
        config = AutoConfig.for_model(kind, **(shape | (SPECIAL | OTHERS).get(kind, {}) | options))
        classes = {"t5": "T5EncoderModel", "funnel": "FunnelModel"}
        if kind in classes:
            model = getattr(transformers, classes[kind])(config)
        else:
            model = AutoModel.from_config(config)
        with torch.no_grad():
            for values in model.parameters():
                if values.ndim > 1:
                    values.mul_(3)
        model.save_pretrained(folder)
    return folder


def loaded(folder, **options):
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


@pytest.fixture
def made(tmp_path):
    """Writes a small model of a family and loads it."""

    def make(kind, shape=None, **options):
        return loaded(write(tmp_path / "m", kind, **(shape or {})), **options)

    return make


def some_texts(sizes=SIZES):
    draw = np.random.default_rng(0)
    token = draw.integers(5, WORDS, sum(sizes))
    return np.concatenate([[0], np.cumsum(sizes)]), token


def off(encoder, sizes=SIZES, **options):
    """How far texts in company are from the same texts alone, the largest, relative."""
    start, token = some_texts(sizes)
    options = {"pooling": "mean", **options}
    found = extract(encoder, start, token, batch_tokens=4096, **options)[-1]
    alone = [
        extract(encoder, np.array([0, size]), token[first : first + size], **options)[-1][0]
        for first, size in zip(start, sizes, strict=False)
    ]
    gaps = np.linalg.norm(found - alone, axis=1) / np.linalg.norm(alone, axis=1)
    return float(gaps.max())


def test_texts_in_company_are_those_alone_and_can_be_trained(tmp_path, caplog, subtests):
    for kind in SPECIAL:
        caplog.clear()
        with subtests.test(kind=kind):
            encoder = loaded(write(tmp_path / kind, kind))
            assert off(encoder, layers=(0, 1, -1)) < 1e-5
            assert off(encoder) < 1e-5
            assert encoder.apart is None
            assert encoder.still is (kind != "recurrent_gemma")  # which keeps its last state
            assert not caplog.messages
            classifier = Classifier(encoder, pooling="last", dtype="float32")
            torch.nn.init.ones_(classifier.head.weight)
            encoder.model.requires_grad_(True)
            classifier([np.array([5, 6, 7]), np.array([8, 9])]).sum().backward()
            assert any(values.grad is not None for values in encoder.model.parameters())


@pytest.mark.parametrize(
    ("kind", "least"), [("fnet", 0.1), ("nystromformer", 1e-3), ("convbert", 1e-2)]
)
def test_families_that_mix_padding_in_have_passes_of_one_length(kind, least, made, caplog):
    encoder = made(kind)
    assert caplog.messages == [
        f"model type {kind}: padding changes other texts of a pass; only texts of one length "
        f"share one"
    ]
    assert off(encoder) < 1e-5
    assert off(replace(encoder, apart=None)) > least


def test_padding_that_is_mixed_in_is_seen_through_rounding_which_is_no_reason_itself(made):
    assert made("convbert", dtype="float16").apart == family_check.Apart(0, each=True)
    experts = {"num_key_value_heads": 2, "num_local_experts": 8}  # rounding sends tokens to others
    shape = {"num_hidden_layers": 24, "hidden_size": 64, **experts}
    assert made("mixtral", shape, dtype="bfloat16").apart is None


def test_families_that_mask_padding_keep_their_passes(models, caplog, subtests):
    for family, dtype in itertools.product(tiny.FAMILIES, ("float32", "bfloat16", "float16")):
        caplog.clear()
        with subtests.test(family=family, dtype=dtype):
            assert loaded(models[family], dtype=dtype).apart is None
            assert not caplog.messages


def test_rotary_scaling_by_length_keeps_short_texts_from_long_ones(made):
    encoder = made("phi3")
    assert encoder.apart == family_check.Apart(12, each=False)
    for sizes in (SIZES, SIZES[::-1], (12, 13), (3, 20), (14, 20)):
        assert off(encoder, sizes) < 1e-5
    assert off(replace(encoder, apart=None)) > 1e-2
    encoder = made("llama")  # grows from where texts are refused
    assert encoder.apart == family_check.Apart(64, each=True)
    assert not encoder.still  # angles are kept from pass to pass
    assert off(encoder, (64, 3)) < 1e-5
    with pytest.raises(DataError, match="expected at most 64, which is all"):
        off(encoder, (65,))


def test_texts_that_change_each_other_without_padding_and_encoders_of_a_pair_are_refused(made):
    with pytest.raises(DataError, match="found an encoder-decoder model, expected an encoder or"):
        made("t5")
    with pytest.raises(DataError) as caught:
        made("reformer")
    assert str(caught.value) == (
        "model: found a reformer model whose texts change each other in one pass, expected "
        "vectors that depend on their text alone"
    )


def test_sparse_attention_that_goes_by_the_pass_is_full(made, caplog):
    encoder = made("big_bird")
    assert caplog.messages == [
        "model type big_bird: full attention is used, as the sparse one depends on the other texts"
    ]
    assert off(encoder, (60, 40, 3)) < 1e-5
    assert encoder.apart is None


def test_training_keeps_texts_apart_too(made):
    encoder = made("fnet")
    start, token = some_texts()
    texts = [token[a:b] for a, b in itertools.pairwise(start)]
    classifier = Classifier(encoder, pooling="last", dtype="float32")
    torch.nn.init.ones_(classifier.head.weight)
    together = classifier(texts)
    alone = torch.cat([classifier([text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    together.sum().backward()
    assert torch.isfinite(next(encoder.model.parameters()).grad).all()


def test_packed_rows_are_looked_at_too(tmp_path, monkeypatch, caplog):
    assert family_check.packed(loaded(tiny.write_model(tmp_path / "l", "llama"))) == ""
    encoder = loaded(tiny.write_model(tmp_path / "b", "bert"))
    said = "model type bert: a packed row differs from its texts"
    assert family_check.packed(encoder) == said
    monkeypatch.setattr(prefixes, "EXACT", prefixes.EXACT | {"bert"})  # as if it were known to be
    draw = np.random.default_rng(0)
    common = draw.integers(5, 30, 40)
    token = np.concatenate([np.append(common, draw.integers(5, 30, 5)) for _ in range(6)])
    extract(encoder, np.arange(0, 271, 45), token)
    assert caplog.messages == [f"texts share beginnings, but each is computed whole: {said}"]


def test_a_last_state_of_another_width_is_read_and_trained(made):
    encoder = made("opt")
    assert encoder.width == 16
    assert off(encoder) < 1e-5
    start, token = some_texts()
    assert Classifier(encoder, pooling="last", dtype="float32")([token[:3]]).shape == (1,)
    with pytest.raises(DataError, match=r"^layers: found 16 and 32 numbers .* name two models$"):
        extract(encoder, start, token, layers=(1, -1))
    assert extract(encoder, start, token, layers=(1,))[1].shape == (len(SIZES), 32)


def test_relative_positions_have_no_longest_text_and_characters_a_shortest_one(made):
    assert off(made("xlnet"), (100, 3), layers=(1, -1)) < 1e-5
    encoder = made("canine")
    assert off(encoder, (4, 9)) < 1e-5
    with pytest.raises(DataError, match=r"^tokens: found a text of fewer than 4 tokens"):
        off(encoder, (3, 9))


def test_layers_that_are_not_one_each_are_refused(made):
    encoder = made("funnel")
    assert off(encoder) < 1e-5
    with pytest.raises(DataError, match="found 5 hidden states of 2 layers, expected one each"):
        extract(encoder, *some_texts(), layers=(1,))
    with pytest.raises(DataError, match="NotImplementedError"):
        made("funnel", num_layers=1)


def test_the_table_of_families_names_what_is_tested():
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [set(re.findall(r"`([\w-]+)`", row)) for row in rows]
    assert named[:3] == [set(tiny.FAMILIES), set(prefixes.EXACT), set(SPECIAL)]
    assert named[3] == {"canine", "convbert", "fnet", "funnel", "nystromformer"}
