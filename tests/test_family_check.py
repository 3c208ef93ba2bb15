"""Families whose texts change each other in a pass: they are kept apart, or refused in one line."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from transformers import AutoConfig, AutoModel

from w2s.errors import DataError
from w2s.finetuning.classifier import Classifier
from w2s.models import encoder as families
from w2s.models import encoder as family_check
from w2s.models.encoder import extract
from w2s.models.forward import Encoder
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
SPECIAL: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 16},
    "bert-generation": {},
    "biogpt": {},
    "bloom": {"n_layer": 2, "n_head": 2},
    "camembert": {"pad_token_id": 1},
    "codegen": {**GPT, "num_attention_heads": 4, "rotary_dim": 4},
    "cohere": {"num_key_value_heads": 1},
    "ctrl": {**GPT, "dff": 64},
    "deberta": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    "electra": {"embedding_size": 16},
    "ernie": {},
    "falcon": {},
    "falcon_mamba": MAMBA,
    "flaubert": XLM,
    "gemma3_text": {"num_key_value_heads": 1, "head_dim": 16},
    "gpt_bigcode": GPT,
    "gpt_neo": {
        "num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]],
        "window_size": 8,
    },
    "gpt_oss": {"num_key_value_heads": 1, "num_local_experts": 4, "head_dim": 16},
    "gptj": {**GPT, "rotary_dim": 8},
    "granite": {"num_key_value_heads": 1},
    "jamba": {
        "num_key_value_heads": 1, "num_experts": 2, "attn_layer_period": 2,
        "attn_layer_offset": 1, "mamba_d_state": 4,
    },
    "lfm2": {"num_key_value_heads": 1},
    "longformer": {"attention_window": 8},
    "luke": {"entity_vocab_size": 8, "entity_emb_size": 16},
    "mamba": MAMBA,
    "mamba2": {**MAMBA, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    "megatron-bert": {},
    "mixtral": {"num_key_value_heads": 1, "num_local_experts": 4},
    "mobilebert": {"embedding_size": 16, "intra_bottleneck_size": 16},
    "modernbert": {
        name: i for i, name in enumerate(("pad_token_id", "bos_token_id", "eos_token_id",
                                          "cls_token_id", "sep_token_id"))
    },
    "mpnet": {},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 2, "max_seq_len": 64},
    "nomic_bert": {},
    "olmo2": {"num_key_value_heads": 1},
    "qwen3": {"num_key_value_heads": 1, "head_dim": 16},
    "recurrent_gemma": {"num_key_value_heads": 1, "lru_width": 32, "head_dim": 16},
    "rembert": {"input_embedding_size": 16, "output_embedding_size": 16},
    "roformer": {"embedding_size": 32},
    "rwkv": {"attention_hidden_size": 32},
    "smollm3": {"num_key_value_heads": 1, "pad_token_id": 0},
    "squeezebert": {"embedding_size": 32},
    "stablelm": {"num_key_value_heads": 1},
    "starcoder2": {"num_key_value_heads": 1},
    "xglm": {"d_model": 32, "num_layers": 2, "attention_heads": 2, "ffn_dim": 64},
    "xlm": XLM,
    "xlm-roberta": {"pad_token_id": 1},
    "xmod": {"pad_token_id": 1, "languages": ["en_XX"], "default_language": "en_XX"},
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "canine": {"num_hash_buckets": 64, "local_transformer_stride": 16},
    "convbert": {"embedding_size": 32},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
    "phi3": {
        "num_key_value_heads": 1, "pad_token_id": 0, "rope_parameters": LONG,
        "original_max_position_embeddings": 12,
    },
    "llama": {
        "num_key_value_heads": 1,
        "rope_parameters": {**ROPE, "rope_type": "dynamic", "factor": 4.0},
    },
    "reformer": {
        "attn_layers": ["local", "lsh"], "attention_head_size": 16, "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16], "num_buckets": 4, "lsh_attn_chunk_length": 8,
        "local_attn_chunk_length": 8, "feed_forward_size": 64,
    },
}  # fmt: skip
SIZES = (3, 9, 14, 5, 9, 20)


def write(folder: Path, kind: str, **options: Any) -> Path:
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


def loaded(folder: Path, **options: Any) -> Encoder:
    return load_encoder(parse_source(str(folder)), device="cpu", **options)


def some_texts(sizes: tuple[int, ...] = SIZES) -> tuple[Any, Any]:
    draw = np.random.default_rng(0)
    token = draw.integers(5, WORDS, sum(sizes))
    return np.concatenate([[0], np.cumsum(sizes)]), token


def off(encoder: Encoder, sizes: tuple[int, ...] = SIZES, **options: Any) -> float:
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


@pytest.mark.parametrize("kind", list(SPECIAL))
def test_texts_in_company_are_those_alone_and_can_be_trained(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = loaded(write(tmp_path / "m", kind))
    assert off(encoder, layers=(0, 1, -1)) < 1e-5
    assert off(encoder) < 1e-5
    assert encoder.apart is None
    assert not caplog.messages
    classifier = Classifier(encoder, pooling="last", dtype="float32")
    torch.nn.init.ones_(classifier.head.weight)
    encoder.model.requires_grad_(True)
    classifier([np.array([5, 6, 7]), np.array([8, 9])]).sum().backward()
    assert any(values.grad is not None for values in encoder.model.parameters())


@pytest.mark.parametrize(
    ("kind", "least"), [("fnet", 0.1), ("nystromformer", 1e-3), ("convbert", 1e-2)]
)
def test_families_that_mix_padding_in_have_passes_of_one_length(
    kind: str, least: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    encoder = loaded(write(tmp_path / "m", kind))
    assert caplog.messages == [
        f"model type {kind}: padding changes other texts of a pass; only texts of one length "
        f"share one"
    ]
    assert off(encoder) < 1e-5
    assert off(replace(encoder, apart=None)) > least


def test_padding_that_is_mixed_in_is_seen_through_rounding(tmp_path: Path) -> None:
    encoder = loaded(write(tmp_path / "m", "convbert"), dtype="float16")
    assert encoder.apart == families.Apart(0, each=True)


def test_rounding_that_sends_tokens_to_other_experts_is_no_reason(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", "mixtral", num_hidden_layers=24, hidden_size=64,
                   num_key_value_heads=2, num_local_experts=8)  # fmt: skip
    encoder = loaded(folder, dtype="bfloat16")
    assert encoder.apart is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_families_that_mask_padding_keep_their_passes(
    family: str, dtype: str, models: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    assert loaded(models[family], dtype=dtype).apart is None
    assert not caplog.messages


def test_rotary_scaling_by_length_keeps_short_texts_from_long_ones(tmp_path: Path) -> None:
    encoder = loaded(write(tmp_path / "m", "phi3"))
    assert encoder.apart == families.Apart(12, each=False)
    for sizes in (SIZES, SIZES[::-1], (12, 13), (3, 20), (14, 20)):
        assert off(encoder, sizes) < 1e-5
    assert off(replace(encoder, apart=None)) > 1e-2


def test_rotary_scaling_that_grows_begins_where_texts_are_refused(tmp_path: Path) -> None:
    encoder = loaded(write(tmp_path / "m", "llama"))
    assert encoder.apart == families.Apart(64, each=True)
    assert off(encoder, (64, 3)) < 1e-5
    with pytest.raises(DataError, match="expected at most 64, which is all"):
        off(encoder, (65,))


def test_texts_that_change_each_other_without_padding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        loaded(write(tmp_path / "m", "reformer"))
    assert str(caught.value) == (
        "model: found a reformer model whose texts change each other in one pass, expected "
        "vectors that depend on their text alone"
    )


def test_sparse_attention_that_goes_by_the_pass_is_full(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write(tmp_path / "m", "big_bird", block_size=4, num_random_blocks=1, sep_token_id=6)
    encoder = loaded(folder)
    assert caplog.messages == [
        "model type big_bird: full attention is used, as the sparse one depends on the other texts"
    ]
    assert off(encoder, (60, 40, 3)) < 1e-5
    assert encoder.apart is None


def test_training_keeps_texts_apart_too(tmp_path: Path) -> None:
    encoder = loaded(write(tmp_path / "m", "fnet"))
    start, token = some_texts()
    texts = [token[a:b] for a, b in itertools.pairwise(start)]
    classifier = Classifier(encoder, pooling="last", dtype="float32")
    torch.nn.init.ones_(classifier.head.weight)
    together = classifier(texts)
    alone = torch.cat([classifier([text]) for text in texts])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)
    together.sum().backward()
    grad = next(encoder.model.parameters()).grad
    assert grad is not None
    assert torch.isfinite(grad).all()


def test_packed_rows_are_looked_at_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert family_check.packed(loaded(tiny.write_model(tmp_path / "l", "llama"))) == ""
    encoder = loaded(tiny.write_model(tmp_path / "b", "bert"))
    said = "model type bert: a packed row differs from its texts"
    assert family_check.packed(encoder) == said
    monkeypatch.setattr(families, "EXACT", families.EXACT | {"bert"})  # as if it were known to be
    draw = np.random.default_rng(0)
    common = draw.integers(5, 30, 40)
    token = np.concatenate([np.append(common, draw.integers(5, 30, 5)) for _ in range(6)])
    extract(encoder, np.arange(0, 271, 45), token)
    assert caplog.messages == [f"texts share beginnings, but each is computed whole: {said}"]


def test_a_last_state_of_another_width_is_read_and_trained(tmp_path: Path) -> None:
    encoder = loaded(write(tmp_path / "m", "opt"))
    assert encoder.width == 16
    assert off(encoder) < 1e-5
    start, token = some_texts()
    assert Classifier(encoder, pooling="last", dtype="float32")([token[:3]]).shape == (1,)
    with pytest.raises(DataError, match=r"^layers: found 16 and 32 numbers .* name two models$"):
        extract(encoder, start, token, layers=(1, -1))
    assert extract(encoder, start, token, layers=(1,))[1].shape == (len(SIZES), 32)


def test_relative_positions_have_no_longest_text(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", "xlnet", vocab_size=WORDS, d_model=32, n_layer=2, n_head=2,
                   d_inner=64)  # fmt: skip
    assert off(loaded(folder), (100, 3), layers=(1, -1)) < 1e-5


def test_text_shorter_than_a_model_reads_at_once_is_one_line(tmp_path: Path) -> None:
    encoder = loaded(write(tmp_path / "m", "canine"))
    assert off(encoder, (4, 9)) < 1e-5
    with pytest.raises(DataError, match=r"^tokens: found a text of fewer than 4 tokens"):
        off(encoder, (3, 9))


def test_layers_that_are_not_one_each_are_refused(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "m", "funnel", vocab_size=WORDS, d_model=32, n_head=2, d_head=16, d_inner=64,
        block_sizes=[1, 1], num_decoder_layers=1,
    )  # fmt: skip
    encoder = loaded(folder)
    assert off(encoder) < 1e-5
    with pytest.raises(DataError, match="found 5 hidden states of 2 layers, expected one each"):
        extract(encoder, *some_texts(), layers=(1,))
    with pytest.raises(DataError, match="NotImplementedError"):
        loaded(folder, num_layers=1)


def test_an_encoder_of_a_pair_is_refused_as_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", "t5", vocab_size=WORDS, d_model=32, d_kv=16, d_ff=64,
                   num_layers=2, num_heads=2)  # fmt: skip
    with pytest.raises(DataError, match="found an encoder-decoder model, expected an encoder or"):
        loaded(folder)


def test_the_table_of_families_names_what_is_tested() -> None:
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [set(re.findall(r"`([\w-]+)`", row)) for row in rows]
    assert named[:3] == [set(tiny.FAMILIES), set(families.EXACT), set(SPECIAL)]
    assert named[3] == {"canine", "convbert", "fnet", "funnel", "nystromformer"}
