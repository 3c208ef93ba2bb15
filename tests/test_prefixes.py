"""Shared prefixes: the cheapest rows, and the same activations as of each text alone."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

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
POOLINGS = ("last", "mean", "first")

# --- plans ---


def listed(texts):
    """Start and token of lists of token ids."""
    start = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return start, np.array([t for text in texts for t in text], dtype=np.int32)


def planned(texts, *, budget=10_000, width=WIDTH):
    return prefixes.plan(*listed(texts), budget=budget, width=width)


def work(tokens, width):
    return tokens + tokens**2 / (6 * width)


def total(texts, plan, width):
    """Predicted work of a plan, from its rows and single texts."""
    sizes = [row.size for row in plan.rows] + [len(texts[i]) for i in plan.plain]
    return sum(work(size, width) for size in sizes)


@st.composite
def nested_texts(draw):
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
def short(monkeypatch):
    """Prefixes of two tokens count, so that small examples have some."""
    monkeypatch.setattr(prefixes, "MIN_PREFIX", 2)


def given_families(test):
    """All examples of a test share the fixture, which is the same for all of them."""
    relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    return pytest.mark.usefixtures("short")(relaxed(given(nested_texts(), BUDGETS, WIDTHS)(test)))


@given_families
def test_every_text_is_in_one_row_or_plain_and_rows_are_what_they_say(texts, budget, width):
    plan = planned(texts, budget=budget, width=width)
    found = [*plan.plain.tolist(), *(t for row in plan.rows for t in row.texts.tolist())]
    assert sorted(found) == list(range(len(texts)))
    assert plan.plain.tolist() == sorted(plan.plain.tolist())
    for row in plan.rows:
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
def test_no_other_way_to_cut_the_sorted_texts_is_cheaper(texts, budget, width):
    """Against a reference that tries all ways."""
    ordered = sorted(texts)

    def row(first, end):
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
    back = planned(texts[::-1], budget=budget, width=width)  # the order does not matter
    assert plan.saving == pytest.approx(back.saving)
    assert sorted(row.size for row in plan.rows) == sorted(row.size for row in back.rows)


def passage(n, word=1):
    return [word] * n


def test_worked_out_by_hand():
    texts = [[*passage(40), 5, 6], passage(10, 2), [*passage(40), 4], [*passage(40), 5, 7, 8]]
    plan = planned(texts)
    (row,) = plan.rows
    assert (row.prefix, row.size, row.texts.tolist()) == (40, 46, [2, 0, 3])
    assert plan.plain.tolist() == [1]
    assert plan.saving == pytest.approx((42 + 41 + 43 + 10) / (46 + 10), rel=1e-4)
    # nested passages are cut where it is cheapest
    short = [[*passage(35), 7, k] for k in range(5)]  # share 36 among them, 35 with the long ones
    long = [[*passage(300), k] for k in range(2, 7)]
    sizes = [(row.prefix, len(row.texts)) for row in planned(short + long).rows]
    assert sorted(sizes) == [(36, 5), (300, 5)]
    # large token ids sort like numbers
    stem = passage(50, 70_000)
    texts = [[*stem, 300], [256, 5], [*stem, 4], [2, 5], [*stem, 70_000], [*stem, 256]]
    assert [row.texts.tolist() for row in planned(texts).rows] == [[2, 5, 0, 4]]


def test_a_row_that_would_be_too_long_is_several():
    texts = [[*passage(100), k, k, k, k, k] for k in range(2, 22)]
    rows = planned(texts, budget=150).rows
    assert [len(row.texts) for row in rows] == [10, 10]
    assert {row.size for row in rows} == {150}
    assert not planned(texts, budget=104).rows
    # none is longer than what its mask may take
    texts = [[*passage(500), *passage(100, k)] for k in range(2, 102)]
    assert max(row.size for row in planned(texts, budget=10**9).rows) <= prefixes.MAX_ROW
    # attention keeps the rows of narrow models short
    texts = [[*passage(300), *passage(30, k)] for k in range(2, 102)]
    longest = [max(r.size for r in planned(texts, width=w).rows) for w in (64, 1024, WIDTH)]
    assert longest[0] < longest[1] < longest[2]


def test_limits(subtests):
    for name, texts, rows in (
        ("none", [], 0),
        ("one", [passage(100)], 0),
        ("copies", [passage(100)] * 2, 1),
        ("one token", [passage(1)] * 3, 0),
        ("shortest prefix", [passage(33)] * 2, 1),
        ("prefix too short", [passage(32)] * 9, 0),
        ("one begins the other", [passage(50), [*passage(50), 3]], 1),
        ("nothing in common", [passage(100), passage(100, 2)], 0),
        ("saves a quarter", [[*passage(40), *passage(60, k)] for k in (2, 3)], 1),
        ("saves a sixth", [[*passage(33), *passage(67, k)] for k in (2, 3)], 0),
    ):
        with subtests.test(name):
            plan = planned(texts)
            assert len(plan.rows) == rows
            assert len(plan.plain) == (0 if rows else len(texts))
            assert (plan.saving > 1) == bool(rows)


# --- models ---

GROUPED = {"num_key_value_heads": 2}
HEADS = GROUPED | {"head_dim": 8}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
WINDOW = {"sliding_window": LONGEST}
SPECIAL = dict.fromkeys(  # of each model type what its configuration needs beside COMMON
    ("granite", "llama", "olmo", "olmo2", "phi", "phi3", "qwen2", "stablelm"), GROUPED
) | {
    "gemma": HEADS,
    "gemma2": HEADS | WINDOW,
    "gemma3_text": HEADS | WINDOW,
    "gpt2": {},
    "gpt_neox": {},
    "mistral": GROUPED | WINDOW,
    "mixtral": GROUPED | {"num_local_experts": 4},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32, "init_std": 0.2},
    "qwen3": HEADS,
    "qwen3_moe": HEADS | EXPERTS,
}
COMMON = {"vocab_size": WORDS, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
COMMON |= {"num_attention_heads": 4, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
COMMON["max_position_embeddings"] = 64  # rows may be longer
COMMON["initializer_range"] = 0.2  # wide enough for every token to matter to the others
WIDER = 5  # times wider embeddings tell the words apart


def built(kind, *, dtype=torch.float32, attention="", **options):
    """A model with random weights; `attention` is the implementation where not its own choice."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(COMMON | SPECIAL.get(kind, {}) | options))
    named = {"attn_implementation": attention} if attention else {}
    with quiet():
        model = AutoModel.from_config(config, **named).to(dtype).eval()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(WIDER)
    return Encoder(model, 2, 0)


def family():
    """Two passages with texts of different length, a copy, and a text that begins the others."""
    draw = np.random.default_rng(0)

    def some(n):
        return draw.integers(3, WORDS, n).tolist()

    one, other = some(PASSAGE), some(PASSAGE - 5)
    texts = [one + some(n) for n in (5, 1, 9, 3, LONGEST - PASSAGE)]
    texts += [other + some(n) for n in (6, 8)] + [some(9), one, texts[0]]
    return texts


TEXTS = family()
START, TOKEN = listed(TEXTS)
PLAN = prefixes.plan(START, TOKEN, budget=200, width=32)
SOME = np.concatenate([row.texts for row in PLAN.rows])  # texts that share a row


def difference(found, expected):
    """Largest difference, relative to the largest activation."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def shared(
    encoder, start=START, token=TOKEN, *, rows=PLAN.rows, layers=(-1,), pooling="last", budget=200
):
    """Of each layer the vectors from packed rows, NaN for texts in none."""
    n = len(start) - 1
    found = {layer: np.full((n, 32), np.nan, dtype=np.float32) for layer in layers}
    options = {"layers": layers, "pooling": pooling, "budget": budget, "done": np.zeros(n, bool)}
    for texts, pooled in prefixes.row_passes(encoder, start, token, rows, **options):
        for layer, values in pooled.items():
            assert values.dtype == np.float32
            found[layer][texts] = values
    return found


def plain(encoder, start=START, token=TOKEN, **options):
    """Of each layer the vectors of the texts, each in a call of its own, so that none can share."""
    texts = [token[first:end] for first, end in itertools.pairwise(start)]
    found = [extract(encoder, *listed([text]), **options) for text in texts]
    return {layer: np.concatenate([one[layer] for one in found]) for layer in found[0]}


def largest(encoder, **options):
    """Largest difference between packed rows and lone texts over all texts that share a row."""
    options = {"layers": LAYERS, "pooling": "last"} | options
    found, expected = shared(encoder, **options), plain(encoder, **options)
    return max(difference(found[k][SOME], expected[k][SOME]) for k in options["layers"])


def check_exact(kind, **options):
    """A model is accepted for the texts here, and packed rows give what lone texts do."""
    encoder = built(kind, **options)
    assert prefixes.refusal(encoder.model, LONGEST) == ""
    assert largest(encoder) < TOLERANCE


def test_the_rows_of_the_model_tests_have_what_is_to_be_tested():
    assert [sorted(row.texts.tolist()) for row in PLAN.rows] == [[0, 1, 2, 3, 4, 8, 9], [5, 6]]
    assert PLAN.plain.tolist() == [7]
    assert PLAN.rows[0].size > COMMON["max_position_embeddings"] > LONGEST == max(map(len, TEXTS))
    assert set(SPECIAL) == prefixes.EXACT


def test_packed_rows_give_what_extract_gives_for_each_text_alone(subtests):
    for kind in SPECIAL:
        encoder = built(kind)
        with subtests.test(kind=kind):
            assert prefixes.refusal(encoder.model, LONGEST) == ""
        for pooling in POOLINGS:
            with subtests.test(kind=kind, pooling=pooling):
                assert largest(encoder, pooling=pooling) < TOLERANCE


def test_a_wrong_mask_or_position_would_be_seen(subtests, monkeypatch):
    mask, layout = prefixes._mask, prefixes._layout

    def counted(*args):
        ids, position, segment = layout(*args)
        row = np.arange(position.shape[1]) % COMMON["max_position_embeddings"]
        return ids, np.tile(row, (len(ids), 1)), segment

    faults = {
        "rests see one another": ("_mask", lambda segment, dtype: mask(segment * 0, dtype)),
        "positions count on": ("_layout", counted),
        "rests do not see the prefix": ("_mask", lambda segment, dtype: mask(segment + 1, dtype)),
    }
    for kind in SPECIAL:
        encoder = built(kind)
        for fault, (name, wrong) in faults.items():
            with subtests.test(fault, kind=kind), monkeypatch.context() as patch:
                patch.setattr(prefixes, name, wrong)
                assert largest(encoder, layers=(-1,)) > 1000 * TOLERANCE


def test_half_precision_is_as_near_as_that_of_lone_texts(subtests):
    types = (torch.bfloat16, torch.float16)
    for attention, dtype, pooling in itertools.product(prefixes.MASKED, types, POOLINGS):
        with subtests.test(attention=attention, dtype=str(dtype), pooling=pooling):
            encoder = built("llama", dtype=dtype, attention=attention)
            assert prefixes.refusal(encoder.model, LONGEST) == ""
            full = plain(built("llama"), pooling=pooling)[-1][SOME]
            half = plain(encoder, pooling=pooling)[-1][SOME]
            found = shared(encoder, pooling=pooling)[-1][SOME]
            assert np.isfinite(found).all()
            assert 1e-6 < difference(found, full) < 2 * difference(half, full) + 1e-3


def test_layers_are_those_of_extract_and_budgets_do_not_matter():
    encoder = built("llama")
    for layers in [(-1,), (2,), (0,), (1, -2), (2, -1, 0)]:
        assert list(shared(encoder, layers=layers)) == list(layers)
        assert largest(encoder, layers=layers) < TOLERANCE
    few = shared(encoder, budget=1)[-1][SOME]
    for budget in (1, 100, 10_000):
        assert difference(shared(encoder, budget=budget)[-1][SOME], few) < TOLERANCE


def test_rows_whose_texts_are_all_done_are_left_out():
    done = np.zeros(len(TEXTS), dtype=bool)
    done[PLAN.rows[0].texts] = True
    encoder = built("llama")
    options = {"layers": (-1,), "pooling": "last", "budget": 1, "done": done}
    found = list(prefixes.row_passes(encoder, START, TOKEN, PLAN.rows, **options))
    assert [texts.tolist() for texts, _ in found] == [PLAN.rows[1].texts.tolist()]
    options = {"layers": (-1,), "pooling": "last", "budget": 9, "done": np.zeros(9, bool)}
    assert not list(prefixes.row_passes(encoder, START, TOKEN, (), **options))
    # copies get the same vectors and the same call the same bits
    found, again = (shared(encoder, pooling="mean")[-1] for _ in range(2))
    assert found.tobytes() == again.tobytes()
    assert TEXTS[0] == TEXTS[-1]
    assert difference(found[0], found[-1]) < TOLERANCE


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_padding_side_of_the_tokenizer_does_not_matter(family, tmp_path):
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


def refused(kind, longest=LONGEST, **options):
    line = prefixes.refusal(built(kind, **options).model, longest)
    assert "\n" not in line
    return line


def test_unknown_model_types_are_refused_and_an_encoder_would_be_wrong_indeed():
    for kind in ("bert", "gpt_neo", "bloom", "t5gemma"):
        model = SimpleNamespace(config=SimpleNamespace(model_type=kind))
        expected = f"model type {kind}: not known to be causal in packed rows"
        assert prefixes.refusal(model, 10) == expected
    assert refused("bert") == "model type bert: not known to be causal in packed rows"
    assert largest(built("bert"), layers=(-1,)) > 1000 * TOLERANCE


LAYER_TYPES = {"layer_types": ["full_attention", "sliding_attention"]}
USED = LAYER_TYPES | {"use_sliding_window": True}
WINDOWED = {"mistral": {}, "phi3": {}, "mixtral": {}, "gemma2": LAYER_TYPES}
WINDOWED |= {"gemma3_text": LAYER_TYPES, "qwen2": USED, "qwen3": USED}


@pytest.mark.parametrize("kind", list(WINDOWED))
def test_a_window_shorter_than_a_text_is_refused_and_rightly_and_a_longer_one_exact(kind):
    options = WINDOWED[kind] | {"sliding_window": LONGEST // 2}
    line = f"sliding window of {LONGEST // 2} tokens: shorter than a text of {LONGEST}"
    assert refused(kind, **options) == line
    assert largest(built(kind, **options), layers=(-1,)) > 1000 * TOLERANCE
    options = WINDOWED[kind] | {"sliding_window": LONGEST}
    assert refused(kind, LONGEST + 1, **options) != ""
    check_exact(kind, **options)


def test_a_window_that_no_layer_uses_does_not_matter():
    assert refused("qwen2", sliding_window=8, use_sliding_window=False) == ""
    check_exact("gemma2", sliding_window=8, layer_types=["full_attention"] * 2)


def test_layers_and_attention_of_another_kind_are_refused():
    for kind in ("gemma", "gemma2", "gemma3_text"):
        line = refused(kind, use_bidirectional_attention=True)
        assert line == "use_bidirectional_attention: tokens attend to later ones"
    known = "not known to be exact in packed rows"
    kinds, rope = ["full_attention", "chunked_attention"], {"full_attention": {"rope_type": "new"}}
    flash = "flash_attention_2"
    for name, value, expected in (
        ("layer_types", kinds, f"layer type chunked_attention: {known}"),
        ("_attn_implementation", flash, f"attention {flash}: takes no mask of ours"),
        ("rope_parameters", rope, f"rotary embedding new: {known}"),
    ):
        encoder = built("qwen2")
        setattr(encoder.model.config, name, value)
        assert prefixes.refusal(encoder.model, 10) == expected


ORIGINAL = 30  # tokens up to which the angles do not change
FACTORS = {"long_factor": [8.0] * 4, "short_factor": [1.0] * 4, "factor": 4.0}


def rope(kind, original):
    """Options of a Llama whose rotary embedding changes beyond `original` tokens."""
    given = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 4.0}
    if kind == "dynamic":
        return {"rope_parameters": given, "max_position_embeddings": original}
    given |= FACTORS | {"original_max_position_embeddings": original}
    return {"rope_parameters": given}


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_rotary_scaling_by_length_is_exact_up_to_the_original_length_and_refused_beyond(kind):
    line = f"rotary embedding {kind}: changes beyond {ORIGINAL} tokens, found {ORIGINAL + 1}"
    assert refused("llama", ORIGINAL + 1, **rope(kind, ORIGINAL)) == line
    assert refused("llama", ORIGINAL, **rope(kind, ORIGINAL)) == ""
    check_exact("llama", **rope(kind, LONGEST))


def test_rotary_scaling_by_position_is_exact(subtests):
    yarn = {"original_max_position_embeddings": 16}
    llama3 = yarn | {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    for kind, special in (("linear", {}), ("yarn", yarn), ("llama3", llama3)):
        given = {"rope_type": kind, "rope_theta": 10_000.0, "factor": 4.0} | special
        with subtests.test(kind=kind):
            check_exact("llama", rope_parameters=given)
