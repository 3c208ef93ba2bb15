"""Token ids: the model's own tokenizer, cut where asked, independent of padding settings."""

import contextlib
import itertools
import json
import struct
from importlib.util import find_spec

import numpy as np
import pytest
import tiny
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.pre_tokenizers import BertPreTokenizer, ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from w2s.data.tasks import TASKS
from w2s.errors import DataError
from w2s.models.source import Source, describe, parse_source
from w2s.models.tokenizer import CHUNK, tokenize

TEXTS = ["the film was great", "a sad story", "unheardof words and the plot", "film"]
FAMILIES = pytest.mark.parametrize("family", tiny.FAMILIES)


def tokens(folder, texts, **options):
    """Token ids of each text, and how many were cut."""
    start, token, cut = tokenize(texts, parse_source(str(folder)), **{"max_length": 50, **options})
    assert start.dtype == np.int64
    assert token.dtype == np.int32
    assert start[0] == 0
    assert start[-1] == len(token)
    ends = itertools.pairwise(start)
    return [token[first:end].tolist() for first, end in ends], cut


@FAMILIES
def test_ids_are_those_of_the_models_tokenizer(family, models):
    tokenizer = AutoTokenizer.from_pretrained(models[family])
    expected = [tokenizer(text)["input_ids"] for text in TEXTS]
    assert tokens(models[family], TEXTS) == (expected, 0)


def test_special_tokens_of_each_family(models, caplog):
    word = [tiny.VOCABULARY["film"]]
    cls, sep, bos = (tiny.VOCABULARY[name] for name in ("[CLS]", "[SEP]", "<s>"))
    expected = {"bert": [cls, *word, sep], "llama": [bos, *word], "gpt2": word}
    for family, ids in expected.items():
        assert tokens(models[family], ["film"])[0] == [ids]
    assert tokens(models["bert"], ["film", " "])[0][1] == [cls, sep]
    for folder in models.values():
        tokens(folder, TEXTS)
    assert not caplog.messages  # a tokenizer of its file says nothing
    with pytest.raises(DataError) as caught:
        tokens(models["gpt2"], ["film", " ", "story"])
    assert str(caught.value) == "tokenize: found no token in text 1, expected some"


@FAMILIES
def test_texts_of_several_chunks_are_the_same_as_one_by_one(family, models):
    texts = [" ".join(tiny.PLAIN[: 1 + i % 12]) + f" {tiny.GOOD[i % 10]}" for i in range(CHUNK + 3)]
    told = []
    found, cut = tokens(models[family], texts, max_length=9, on_chunk=told.append)
    assert told == [CHUNK, 3]
    for i in (0, 1, 11, CHUNK - 1, CHUNK, CHUNK + 2):
        assert tokens(models[family], [texts[i]], max_length=9)[0][0] == found[i]
    assert 0 < cut < len(texts)


@FAMILIES
def test_long_texts_are_cut_on_the_asked_side_and_counted(family, models, subtests):
    whole, none = tokens(models[family], TEXTS)
    assert none == 0
    first, last = {"bert": (1, 1), "llama": (1, 0)}.get(family, (0, 0))  # special tokens
    for most, side in itertools.product((2, 3, 5, 10), ("right", "left")):
        with subtests.test(max_length=most, side=side):
            found, cut = tokens(models[family], TEXTS, max_length=most, truncation=side)
            assert cut == sum(len(ids) > most for ids in whole)
            for long, ids in zip(whole, found, strict=True):
                inner = long[first : len(long) - last]
                room = most - first - last
                kept = inner[:room] if side == "right" else inner[max(0, len(inner) - room) :]
                assert ids == long[:first] + kept + long[len(long) - last :]
    for most in (1, 2):
        with contextlib.suppress(DataError):  # no room beside the special tokens
            assert max(map(len, tokens(models[family], TEXTS, max_length=most)[0])) <= most


@FAMILIES
def test_a_long_passage_cut_on_the_left_keeps_question_and_answer(family, models):
    """Cut on the right, a right and a wrong answer give the same tokens."""
    row = {"context": "the film was good " * 100, "question": "was the film good ?"}
    row |= {"answers": [tiny.GOOD[0], *tiny.BAD[:3]], "correct_answer_id": 0}
    made = [TASKS["quail"].format(row, np.random.default_rng(seed)) for seed in range(20)]
    texts = {found[1]: found[0] for found in made if found}
    both = [texts[0], texts[1]]
    ends = [text.partition("\n\n")[2] for text in both]
    right, left = (
        tokens(models[family], both, max_length=200, truncation=side)[0]
        for side in ("right", "left")
    )
    assert right[0] == right[1]
    assert left[0] != left[1]
    for ids, end in zip(left, ends, strict=True):
        kept = tokens(models[family], [end], max_length=200)[0][0]
        inner = kept[1 if family != "gpt2" else 0 :]  # after what begins a text
        assert ids[-len(inner) :] == inner


@FAMILIES
def test_pad_token_and_padding_side_do_not_matter(family, models, tmp_path):
    other = tiny.write_model(tmp_path / "m", family, pad_token=False, padding_side="left")
    assert AutoTokenizer.from_pretrained(other).pad_token is None
    expected = tokens(models[family], TEXTS, max_length=4)
    assert tokens(other, TEXTS, max_length=4) == expected


def test_padding_and_truncation_stored_in_the_tokenizer_do_not_matter(models, tmp_path):
    other = tiny.write_model(tmp_path / "m", "bert")
    path = other / "tokenizer.json"
    stored = json.loads(path.read_text(encoding="utf-8"))
    cut = {"max_length": 3, "strategy": "LongestFirst", "stride": 0}
    pad = {"strategy": {"Fixed": 20}, "pad_to_multiple_of": None, "pad_id": 3, "pad_type_id": 0}
    stored["truncation"] = {"direction": "Left", **cut}
    stored["padding"] = {"direction": "Left", "pad_token": "[PAD]", **pad}
    path.write_text(json.dumps(stored), encoding="utf-8")
    for max_length in (50, 4):
        expected = tokens(models["bert"], TEXTS, max_length=max_length)
        assert tokens(other, TEXTS, max_length=max_length) == expected


def test_hub_reference_needs_a_revision_and_a_folder_a_model(tmp_path):
    commit = "0123456789" * 4  # of a branch the hub would be asked
    assert parse_source(f"hub:a/b@{commit}") == Source("a/b", commit, commit)
    for reference in ("hub:a/b", "hub:a/b@"):
        with pytest.raises(DataError, match="found no revision"):
            parse_source(reference)
    with pytest.raises(DataError, match=r"found no config\.json, expected a model folder"):
        parse_source(str(tmp_path))


def test_description_of_a_folder_is_its_weights_hash_and_not_its_path(models, tmp_path):
    elsewhere = tiny.write_model(tmp_path / "elsewhere", "bert")
    said = describe(parse_source(str(models["bert"])))
    assert said == describe(parse_source(str(elsewhere)))
    assert list(said) == ["model.safetensors"]
    assert said != describe(parse_source(str(models["llama"])))
    assert describe(Source("a/b", "0123")) == {"id": "a/b", "revision": "0123"}


def test_tokenizer_that_cannot_be_used_is_told_in_one_line(tmp_path):
    def refused():
        with pytest.raises(DataError) as caught:
            tokens(folder, TEXTS)
        message = str(caught.value)
        assert "\n" not in message
        return message

    folder = tiny.write_model(tmp_path / "model")
    path = folder / "tokenizer_config.json"
    text = path.read_text(encoding="utf-8")
    for name, value in (
        ("model_max_length", "many"), ("model_max_length", [1]), ("padding_side", 3)
    ):  # fmt: skip
        path.write_text(json.dumps(json.loads(text) | {name: value}), encoding="utf-8")
        assert "cannot be loaded" in refused()
    path.write_text(text, encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    refused()
    for path in folder.iterdir():
        if path.name != "config.json":
            path.unlink()
    refused()


PIECES = {
    "deberta-v2": "spm.model", "xlm-roberta": "sentencepiece.bpe.model", "xlnet": "spiece.model",
    "llama": "tokenizer.model",
}  # fmt: skip


@pytest.mark.parametrize("family", list(PIECES))
def test_sentencepiece_files_are_tokenizers(family, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    write_pieces(tmp_path / PIECES[family], bpe=family == "llama")
    if find_spec("sentencepiece") is None:
        with pytest.raises(DataError) as caught:
            tokens(tmp_path, ["the film"])
        assert str(caught.value) == (
            f"model {tmp_path}: found no package sentencepiece, expected it for {PIECES[family]}; "
            f"pip install sentencepiece"
        )
        return
    expected = AutoTokenizer.from_pretrained(tmp_path)
    assert "▁film" in expected.get_vocab()
    assert tokens(tmp_path, ["the film"]) == ([expected("the film")["input_ids"]], 0)


def write_pieces(path, *, bpe):
    """A file of SentencePiece, made by hand: fields of its format are (number, type, bytes)."""

    def field(number, content):
        if isinstance(content, bytes):
            return bytes([number << 3 | 2, len(content)]) + content
        if isinstance(content, float):
            return bytes([number << 3 | 5]) + struct.pack("<f", content)
        return bytes([number << 3]) + bytes([content])

    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3)]
    pieces += [(word[:k], 1) for word in ("▁the", "▁film", "▁a") for k in range(1, len(word) + 1)]
    pieces += [(letter, 1) for letter in "aefhilmt"]
    content = b""
    for k, (piece, kind) in enumerate(dict.fromkeys(pieces)):
        parts = field(1, piece.encode()) + field(2, -1.0 - k) + field(3, kind)
        content += field(1, parts)
    content += field(2, field(3, 2 if bpe else 1))
    content += field(3, field(1, b"identity") + field(3, 1) + field(4, 1) + field(5, 1))
    path.write_bytes(content)


def test_a_class_without_its_files_is_no_tokenizer_unless_it_needs_none(tmp_path, subtests):
    for family in ("bert", "deberta-v2", "gpt2", "llama", "mistral", "qwen2", "t5", "xlnet"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
        with subtests.test(family=family):
            with pytest.raises(DataError) as caught:
                tokens(tmp_path, ["the film"])
            told = f"model {tmp_path}: found no tokenizer, expected one of "
            assert str(caught.value).startswith(told)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "canine"}))
    assert tokens(tmp_path, ["the film"])[0][0][1:-1] == [ord(letter) for letter in "the film"]


def write_bert(folder):
    """A BERT of cased words, as a tokenizer.json alone."""
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "Film", "film", "the")
    file = Tokenizer(WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    file.pre_tokenizer = BertPreTokenizer()
    file.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    file.enable_padding(length=50)  # not the tokenizer's business here
    file.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))


def test_a_cased_file_that_its_class_lower_cases_is_told(tmp_path, caplog):
    write_bert(tmp_path)
    told = (
        f"model {tmp_path}: 1 of 2 texts get other token ids than its tokenizer.json gives, as "
        f"'the Film'; what tokenizer_config.json does not set is a default of BertTokenizer (as "
        f"do_lower_case)"
    )
    for settings, differ in (
        (None, 1),
        ({}, 1),
        ({"tokenizer_class": "BertTokenizer"}, 1),
        ({"do_lower_case": False}, 0),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, 0),
    ):
        caplog.clear()
        if settings is not None:
            (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
        tokens(tmp_path, ["the film", "the Film"])
        assert caplog.messages == [told][:differ], settings
    # and a file whose own words its class does not cut
    caplog.clear()
    path = tiny.write_model(tmp_path / "m", "qwen2") / "tokenizer.json"
    file = Tokenizer.from_file(str(path))
    file.pre_tokenizer = ByteLevel(add_prefix_space=True, use_regex=False)
    file.save(str(path))
    tokens(path.parent, TEXTS)
    (line,) = caplog.messages
    assert "4 of 4 texts get other token ids than its tokenizer.json gives" in line
