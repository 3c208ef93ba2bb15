"""Shared prefixes: the cheapest rows, and the same activations as of each text alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from w2s.models import encoder as families
from w2s.models import prefixes
from w2s.models.encoder import extract
from w2s.models.forward import Encoder
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source, quiet
from w2s.models.tokenizer import tokenize

TOLERANCE = 1e-5  # relative to the largest activation
LAYERS = (0, 1, -1)
PASSAGE, LONGEST, WORDS = 40, 60, 50  # tokens, tokens, token ids
WIDTH = 1_000_000  # so wide that attention costs nothing beside the linear layers
POOLINGS = pytest.mark.parametrize("pooling", ["last", "mean", "first"])

# --- plans ---


def listed(texts: Any) -> tuple[Any, Any]:
    """Start and token of lists of token ids."""
    start = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return start, np.array([t for text in texts for t in text], dtype=np.int32)


def planned(texts: Any, *, budget: int = 10_000, width: int = WIDTH) -> prefixes.Plan:
    return prefixes.plan(*listed(texts), budget=budget, width=width)


def work(tokens: int, width: int) -> float:
    return tokens + tokens**2 / (6 * width)


def total(texts: Any, plan: prefixes.Plan, width: int) -> float:
    """Predicted work of a plan, from its rows and single texts."""
    sizes = [row.size for row in plan.rows] + [len(texts[i]) for i in plan.plain]
    return sum(work(size, width) for size in sizes)


@st.composite
def nested_texts(draw: Any) -> list[list[int]]:
    """Texts of few words: many begin with others, and prefixes are nested."""
    word = st.integers(0, 2)
    stems = draw(st.lists(st.lists(word, max_size=6), min_size=1, max_size=3))
    stems += [stem + draw(st.lists(word, max_size=4)) for stem in stems]
    text = st.builds(
        lambda stem, rest: stem + rest, st.sampled_from(stems), st.lists(word, min_size=1)
    )
    return draw(st.lists(text, max_size=10))


BUDGETS, WIDTHS = st.integers(1, 60), st.sampled_from([1, 10, WIDTH])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes of two tokens count, so that small examples have some."""
    monkeypatch.setattr(prefixes, "MIN_PREFIX", 2)


def given_families(test: Any) -> Any:
    """All examples of a test share the fixture, which is the same for all of them."""
    relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    return pytest.mark.usefixtures("short")(relaxed(given(nested_texts(), BUDGETS, WIDTHS)(test)))


@given_families
def test_every_text_is_in_one_row_or_plain(texts: list[list[int]], budget: int, width: int) -> None:
    plan = planned(texts, budget=budget, width=width)
    found = [*plan.plain.tolist(), *(t for row in plan.rows for t in row.texts.tolist())]
    assert sorted(found) == list(range(len(texts)))
    assert plan.plain.tolist() == sorted(plan.plain.tolist())


@given_families
def test_rows_are_what_they_say(texts: list[list[int]], budget: int, width: int) -> None:
    for row in planned(texts, budget=budget, width=width).rows:
        members = [texts[i] for i in row.texts]
        assert len(members) > 1
        assert row.prefix >= 2
        assert all(text[: row.prefix] == members[0][: row.prefix] for text in members)
        assert all(len(text) > row.prefix for text in members)
        assert row.size == row.prefix + sum(len(text) - row.prefix for text in members)
        assert row.size <= budget
        alone = sum(work(len(text), width) for text in members)
        assert alone >= prefixes.MIN_SAVING * work(row.size, width) * (1 - 1e-12)


@given_families
def test_no_other_way_to_cut_the_sorted_texts_is_cheaper(
    texts: list[list[int]], budget: int, width: int
) -> None:
    """Against a reference that tries all ways."""
    ordered = sorted(texts)

    def row(first: int, end: int) -> float:
        members = ordered[first:end]
        if len(members) == 1:
            return work(len(members[0]), width)
        most = min(map(len, members)) - 1
        same = [len({text[k] for text in members}) == 1 for k in range(most)]
        prefix = (*same, False).index(False)
        size = prefix + sum(len(text) - prefix for text in members)
        alone = sum(work(len(text), width) for text in members)
        fits = prefix >= 2 and size <= budget
        cheap = alone >= prefixes.MIN_SAVING * work(size, width)
        return work(size, width) if fits and cheap else np.inf

    pieces = {(a, b): row(a, b) for a, b in itertools.combinations(range(len(ordered) + 1), 2)}
    inner = range(1, len(ordered))
    ways = (
        sum(pieces[piece] for piece in itertools.pairwise((0, *cuts, len(ordered))))
        for k in range(len(ordered))
        for cuts in itertools.combinations(inner, k)
    )
    plan = planned(texts, budget=budget, width=width)
    least = min(ways, default=0.0)
    assert total(texts, plan, width) == pytest.approx(least)
    alone = sum(work(len(text), width) for text in texts)
    assert plan.saving == pytest.approx(alone / least if texts else 1)


@given_families
def test_order_of_the_texts_does_not_matter_to_the_work(
    texts: list[list[int]], budget: int, width: int
) -> None:
    forth, back = (planned(t, budget=budget, width=width) for t in (texts, texts[::-1]))
    assert forth.saving == pytest.approx(back.saving)
    assert sorted(row.size for row in forth.rows) == sorted(row.size for row in back.rows)


def passage(n: int, word: int = 1) -> list[int]:
    return [word] * n


def test_worked_out_by_hand() -> None:
    texts = [[*passage(40), 5, 6], passage(10, 2), [*passage(40), 4], [*passage(40), 5, 7, 8]]
    (row,) = planned(texts).rows
    assert (row.prefix, row.size, row.texts.tolist()) == (40, 46, [2, 0, 3])
    plan = planned(texts)
    assert plan.plain.tolist() == [1]
    assert plan.saving == pytest.approx((42 + 41 + 43 + 10) / (46 + 10), rel=1e-4)


def test_nested_passages_are_cut_where_it_is_cheapest() -> None:
    short = [[*passage(35), 7, k] for k in range(5)]  # share 36 among them, 35 with the long ones
    long = [[*passage(300), k] for k in range(2, 7)]
    sizes = [(row.prefix, len(row.texts)) for row in planned(short + long).rows]
    assert sorted(sizes) == [(36, 5), (300, 5)]


def test_a_row_that_would_be_too_long_is_several() -> None:
    texts = [[*passage(100), k, k, k, k, k] for k in range(2, 22)]
    rows = planned(texts, budget=150).rows
    assert [len(row.texts) for row in rows] == [10, 10]
    assert {row.size for row in rows} == {150}
    assert not planned(texts, budget=104).rows


def test_no_row_is_longer_than_what_its_mask_may_take() -> None:
    texts = [[*passage(500), *passage(100, k)] for k in range(2, 102)]
    assert max(row.size for row in planned(texts, budget=10**9).rows) <= prefixes.MAX_ROW


def test_attention_keeps_the_rows_of_narrow_models_short() -> None:
    texts = [[*passage(300), *passage(30, k)] for k in range(2, 102)]
    longest = [max(r.size for r in planned(texts, width=w).rows) for w in (64, 1024, WIDTH)]
    assert longest[0] < longest[1] < longest[2]


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        pytest.param([], 0, id="none"),
        pytest.param([passage(100)], 0, id="one"),
        pytest.param([passage(100)] * 2, 1, id="copies"),
        pytest.param([passage(1)] * 3, 0, id="one token"),
        pytest.param([passage(33)] * 2, 1, id="shortest prefix"),
        pytest.param([passage(32)] * 9, 0, id="prefix too short"),
        pytest.param([passage(50), [*passage(50), 3]], 1, id="one begins the other"),
        pytest.param([passage(100), passage(100, 2)], 0, id="nothing in common"),
        pytest.param([[*passage(40), *passage(60, k)] for k in (2, 3)], 1, id="saves a quarter"),
        pytest.param([[*passage(33), *passage(67, k)] for k in (2, 3)], 0, id="saves a sixth"),
    ],
)
def test_limits(texts: list[list[int]], rows: int) -> None:
    plan = planned(texts)
    assert len(plan.rows) == rows
    assert len(plan.plain) == (0 if rows else len(texts))
    assert (plan.saving > 1) == bool(rows)


def test_large_token_ids_sort_like_numbers() -> None:
    stem = passage(50, 70_000)
    texts = [[*stem, 300], [256, 5], [*stem, 4], [2, 5], [*stem, 70_000], [*stem, 256]]
    assert [row.texts.tolist() for row in planned(texts).rows] == [[2, 5, 0, 4]]


# --- models ---

GROUPED = {"num_key_value_heads": 2}
HEADS = GROUPED | {"head_dim": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
SPECIAL = {  # of each model type what its configuration needs beside COMMON
    "gemma": HEADS,
    "gemma2": HEADS | {"sliding_window": LONGEST},
    "gemma3_text": HEADS | {"sliding_window": LONGEST},
    "gpt2": {},
    "gpt_neox": {},
    "granite": GROUPED,
    "llama": GROUPED,
    "mistral": GROUPED | {"sliding_window": LONGEST},
    "mixtral": GROUPED | {"num_local_experts": 4},
    "olmo": GROUPED,
    "olmo2": GROUPED,
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.2},
    "phi": GROUPED,
    "phi3": GROUPED,
    "qwen2": GROUPED,
    "qwen3": HEADS,
    "qwen3_moe": HEADS | EXPERTS,
    "stablelm": GROUPED,
}
COMMON = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,  # rows may be longer
    "initializer_range": 0.2,  # wide enough for every token to matter to the others
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
WIDER = 5  # times wider embeddings tell the words apart
TYPES = pytest.mark.parametrize("kind", list(SPECIAL))


def built(kind: str, *, dtype: Any = torch.float32, attention: str = "", **options: Any) -> Encoder:
    """A model with random weights; `attention` is the implementation where not its own choice."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(COMMON | SPECIAL.get(kind, {}) | options))
    named = {"attn_implementation": attention} if attention else {}
    with quiet():
        model = AutoModel.from_config(config, **named).to(dtype).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(WIDER)
    return Encoder(model, 2, 0)


def family() -> list[list[int]]:
    """Two passages with texts of different length, a copy, and a text that begins the others."""
    draw = np.random.default_rng(0)

    def some(n: int) -> list[int]:
        return draw.integers(3, WORDS, n).tolist()

    one, other = some(PASSAGE), some(PASSAGE - 5)
    texts = [one + some(n) for n in (5, 1, 9, 3, LONGEST - PASSAGE)]
    texts += [other + some(n) for n in (6, 8)] + [some(9), one, texts[0]]
    return texts


TEXTS = family()
START, TOKEN = listed(TEXTS)
PLAN = prefixes.plan(START, TOKEN, budget=200, width=32)


def difference(found: Any, expected: Any) -> float:
    """Largest difference, relative to the largest activation."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def shared(
    encoder: Encoder,
    start: Any = START,
    token: Any = TOKEN,
    *,
    rows: Any = PLAN.rows,
    layers: Any = (-1,),
    pooling: Any = "last",
    budget: int = 200,
) -> dict[int, Any]:
    """Of each layer the vectors from packed rows, NaN for texts in none."""
    n = len(start) - 1
    found = {layer: np.full((n, 32), np.nan, dtype=np.float32) for layer in layers}
    options = {"layers": layers, "pooling": pooling, "budget": budget, "done": np.zeros(n, bool)}
    for texts, pooled in prefixes.row_passes(encoder, start, token, rows, **options):
        for layer, values in pooled.items():
            assert values.dtype == np.float32
            found[layer][texts] = values
    return found


def plain(encoder: Encoder, start: Any = START, token: Any = TOKEN, **options: Any) -> Any:
    """Of each layer the vectors of the texts, each in a call of its own, so that none can share."""
    texts = [token[first:end] for first, end in itertools.pairwise(start)]
    found = [extract(encoder, *listed([text]), **options) for text in texts]
    return {layer: np.concatenate([one[layer] for one in found]) for layer in found[0]}


def largest(encoder: Encoder, **options: Any) -> float:
    """Largest difference between packed rows and lone texts over all texts that share a row."""
    options = {"layers": LAYERS, "pooling": "last"} | options
    found, expected = shared(encoder, **options), plain(encoder, **options)
    some = np.concatenate([row.texts for row in PLAN.rows])
    return max(difference(found[k][some], expected[k][some]) for k in options["layers"])


def test_the_rows_of_the_model_tests_have_what_is_to_be_tested() -> None:
    assert [sorted(row.texts.tolist()) for row in PLAN.rows] == [[0, 1, 2, 3, 4, 8, 9], [5, 6]]
    assert PLAN.plain.tolist() == [7]
    assert PLAN.rows[0].size > COMMON["max_position_embeddings"] > LONGEST == max(map(len, TEXTS))


def test_every_accepted_model_type_is_tested() -> None:
    assert set(SPECIAL) == families.EXACT


@TYPES
@POOLINGS
def test_packed_rows_give_what_extract_gives_for_each_text_alone(kind: str, pooling: Any) -> None:
    encoder = built(kind)
    assert families.refusal(encoder.model, LONGEST) == ""
    assert largest(encoder, pooling=pooling) < TOLERANCE


@TYPES
def test_a_wrong_mask_or_position_would_be_seen(kind: str, monkeypatch: Any) -> None:
    encoder = built(kind)
    mask, layout = prefixes._mask, prefixes._layout

    def counted(*args: Any) -> Any:
        ids, position, segment = layout(*args)
        row = np.arange(position.shape[1]) % COMMON["max_position_embeddings"]
        return ids, np.tile(row, (len(ids), 1)), segment

    with monkeypatch.context() as patch:  # rests see one another
        patch.setattr(prefixes, "_mask", lambda segment, dtype: mask(segment * 0, dtype))
        assert largest(encoder, layers=(-1,)) > 1000 * TOLERANCE
    with monkeypatch.context() as patch:  # positions count on
        patch.setattr(prefixes, "_layout", counted)
        assert largest(encoder, layers=(-1,)) > 1000 * TOLERANCE
    with monkeypatch.context() as patch:  # rests do not see the prefix
        patch.setattr(prefixes, "_mask", lambda segment, dtype: mask(segment + 1, dtype))
        assert largest(encoder, layers=(-1,)) > 1000 * TOLERANCE


@pytest.mark.parametrize("attention", families.MASKED)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@POOLINGS
def test_half_precision_is_as_near_as_that_of_lone_texts(
    attention: str, dtype: Any, pooling: Any
) -> None:
    encoder = built("llama", dtype=dtype, attention=attention)
    assert families.refusal(encoder.model, LONGEST) == ""
    full = plain(built("llama"), pooling=pooling)[-1]
    half = plain(encoder, pooling=pooling)[-1]
    some = np.concatenate([row.texts for row in PLAN.rows])
    found = shared(encoder, pooling=pooling)[-1]
    assert np.isfinite(found[some]).all()
    error = difference(found[some], full[some])
    assert 1e-6 < error < 2 * difference(half[some], full[some]) + 1e-3


@pytest.mark.parametrize("layers", [(-1,), (2,), (0,), (1, -2), (2, -1, 0)])
def test_layers_are_those_of_extract(layers: Any) -> None:
    encoder = built("llama")
    assert list(shared(encoder, layers=layers)) == list(layers)
    assert largest(encoder, layers=layers) < TOLERANCE


@pytest.mark.parametrize("budget", [1, 100, 10_000])
def test_rows_share_forward_passes_and_it_does_not_matter(budget: int) -> None:
    encoder = built("llama")
    few, many = shared(encoder, budget=1)[-1], shared(encoder, budget=budget)[-1]
    some = np.concatenate([row.texts for row in PLAN.rows])
    assert difference(many[some], few[some]) < TOLERANCE


def test_rows_whose_texts_are_all_done_are_left_out() -> None:
    done = np.zeros(len(TEXTS), dtype=bool)
    done[PLAN.rows[0].texts] = True
    options: Any = {"layers": (-1,), "pooling": "last", "budget": 1, "done": done}
    found = list(prefixes.row_passes(built("llama"), START, TOKEN, PLAN.rows, **options))
    assert [texts.tolist() for texts, _ in found] == [PLAN.rows[1].texts.tolist()]


def test_no_rows_are_no_passes() -> None:
    options: Any = {"layers": (-1,), "pooling": "last", "budget": 9, "done": np.zeros(9, bool)}
    assert not list(prefixes.row_passes(built("llama"), START, TOKEN, (), **options))


def test_copies_get_the_same_vectors() -> None:
    found = shared(built("llama"), pooling="mean")[-1]
    assert TEXTS[0] == TEXTS[-1]
    assert difference(found[0], found[-1]) < TOLERANCE


def test_the_same_call_gives_the_same_bits() -> None:
    encoder = built("llama")
    first, second = (shared(encoder, pooling="mean")[-1].tobytes() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_padding_side_of_the_tokenizer_does_not_matter(family: str, tmp_path: Path) -> None:
    story = "the film was great and the plot of a lovely scene " * 3
    texts = [story + end for end in ("boring", "a sad story", "film and actor")]
    found = []
    for side in ("left", "right"):
        folder = tiny.write_model(tmp_path / side, family, padding_side=side)
        encoder = load_encoder(parse_source(str(folder)), device="cpu")
        start, token, _ = tokenize(texts, parse_source(str(folder)), max_length=tiny.POSITIONS)
        plan = prefixes.plan(start, token, budget=500, width=tiny.HIDDEN)
        assert len(plan.plain) == 0
        found.append(shared(encoder, start, token, rows=plan.rows)[-1])
        assert difference(found[-1], plain(encoder, start, token)[-1]) < TOLERANCE
    np.testing.assert_array_equal(*found)


# --- refusals ---


def refused(kind: str, longest: int = LONGEST, **options: Any) -> str:
    line = families.refusal(built(kind, **options).model, longest)
    assert "\n" not in line
    return line


@pytest.mark.parametrize("kind", ["bert", "gpt_neo", "bloom", "t5gemma"])
def test_unknown_model_types_are_refused(kind: str) -> None:
    model = SimpleNamespace(config=SimpleNamespace(model_type=kind))
    expected = f"model type {kind}: not known to be causal in packed rows"
    assert families.refusal(model, 10) == expected


def test_an_encoder_would_be_wrong_indeed() -> None:
    encoder = built("bert")
    assert refused("bert") == "model type bert: not known to be causal in packed rows"
    assert largest(encoder, layers=(-1,)) > 1000 * TOLERANCE


LAYER_TYPES = {"layer_types": ["full_attention", "sliding_attention"]}
WINDOWED = {
    "mistral": {},
    "phi3": {},
    "mixtral": {},
    "gemma2": LAYER_TYPES,
    "gemma3_text": LAYER_TYPES,
    "qwen2": LAYER_TYPES | {"use_sliding_window": True},
    "qwen3": LAYER_TYPES | {"use_sliding_window": True},
}


@pytest.mark.parametrize("kind", list(WINDOWED))
def test_a_window_shorter_than_a_text_is_refused_and_rightly(kind: str) -> None:
    options = WINDOWED[kind] | {"sliding_window": LONGEST // 2}
    line = f"sliding window of {LONGEST // 2} tokens: shorter than a text of {LONGEST}"
    assert refused(kind, **options) == line
    assert largest(built(kind, **options), layers=(-1,)) > 1000 * TOLERANCE


@pytest.mark.parametrize("kind", list(WINDOWED))
def test_a_window_as_long_as_the_longest_text_is_exact(kind: str) -> None:
    options = WINDOWED[kind] | {"sliding_window": LONGEST}
    assert refused(kind, **options) == ""
    assert refused(kind, LONGEST + 1, **options) != ""
    assert largest(built(kind, **options)) < TOLERANCE


def test_a_window_that_no_layer_uses_does_not_matter() -> None:
    assert refused("qwen2", sliding_window=8, use_sliding_window=False) == ""
    options = {"sliding_window": 8, "layer_types": ["full_attention"] * 2}
    assert refused("gemma2", **options) == ""
    assert largest(built("gemma2", **options)) < TOLERANCE


def test_bidirectional_gemma_is_refused() -> None:
    for kind in ("gemma", "gemma2", "gemma3_text"):
        line = refused(kind, use_bidirectional_attention=True)
        assert line == "use_bidirectional_attention: tokens attend to later ones"


def test_layers_of_another_kind_are_refused() -> None:
    encoder = built("qwen2")
    encoder.model.config.layer_types = ["full_attention", "chunked_attention"]
    expected = "layer type chunked_attention: not known to be exact in packed rows"
    assert families.refusal(encoder.model, 10) == expected


def test_attention_that_takes_no_mask_is_refused() -> None:
    encoder = built("llama")
    encoder.model.config._attn_implementation = "flash_attention_2"
    expected = "attention flash_attention_2: takes no mask of ours"
    assert families.refusal(encoder.model, 10) == expected


ORIGINAL = 30  # tokens up to which the angles do not change
FACTORS = {"long_factor": [8.0] * 4, "short_factor": [1.0] * 4, "factor": 4.0}


def rope(kind: str, original: int) -> dict[str, Any]:
    """Options of a Llama whose rotary embedding changes beyond `original` tokens."""
    given = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 4.0}
    if kind == "dynamic":
        return {"rope_parameters": given, "max_position_embeddings": original}
    given |= FACTORS | {"original_max_position_embeddings": original}
    return {"rope_parameters": given}


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_scaling_by_length_is_refused_beyond_the_original_length(kind: str) -> None:
    line = f"rotary embedding {kind}: changes beyond {ORIGINAL} tokens, found {ORIGINAL + 1}"
    assert refused("llama", ORIGINAL + 1, **rope(kind, ORIGINAL)) == line
    assert refused("llama", ORIGINAL, **rope(kind, ORIGINAL)) == ""


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_scaling_by_length_is_exact_up_to_the_original_length(kind: str) -> None:
    encoder = built("llama", **rope(kind, LONGEST))
    assert families.refusal(encoder.model, LONGEST) == ""
    assert largest(encoder) < TOLERANCE


FIXED: dict[str, dict[str, Any]] = {
    "linear": {},
    "yarn": {"original_max_position_embeddings": 16},
    "llama3": {
        "original_max_position_embeddings": 16,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
    },
}


@pytest.mark.parametrize("kind", list(FIXED))
def test_rotary_scaling_by_position_is_exact(kind: str) -> None:
    given = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 4.0} | FIXED[kind]
    encoder = built("llama", rope_parameters=given)
    assert families.refusal(encoder.model, LONGEST) == ""
    assert largest(encoder) < TOLERANCE


def test_unknown_rotary_scaling_is_refused() -> None:
    encoder = built("llama")
    encoder.model.config.rope_parameters = {"full_attention": {"rope_type": "new"}}
    expected = "rotary embedding new: not known to be exact in packed rows"
    assert families.refusal(encoder.model, 10) == expected
