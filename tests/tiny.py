"""Tiny offline models and datasets for the tests: real files, built in a fraction of a second."""

from __future__ import annotations

import csv
import json
import random
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import ByteLevel, Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, Qwen2Tokenizer

from w2s.models.source import quiet

GOOD = ("bright", "clever", "fine", "funny", "great", "happy", "lovely", "warm", "wise", "witty")
BAD = ("awful", "boring", "cruel", "dull", "grim", "lazy", "sad", "stale", "ugly", "weak")
PLAIN = ("a", "actor", "and", "film", "in", "it", "of", "plot", "scene", "story", "the", "was")
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", "[PAD]", "<s>")
VOCABULARY = {word: i for i, word in enumerate(SPECIAL + GOOD + BAD + PLAIN)}

FAMILIES = ("bert", "llama", "qwen2", "gpt2", "mistral", "phi", "gemma", "gemma2", "roberta")
HIDDEN = 32
LAYERS = 2
POSITIONS = 64  # longest text the models can read
WEIGHT = 0.1  # wide enough for every token to matter to the others
EMBEDDING = 10  # times wider, so that probes can still tell words apart


def write_model(
    folder: Path, family: str = "bert", pad_token: bool = True, padding_side: str = "right"
) -> Path:
    """Write a model with random weights, the same ones every time, and its tokenizer.

    Args:
        folder: Where to; made if it is not there.
        family: `bert` (adds [CLS] and [SEP]), `llama` (adds <s>), or another (adds nothing).
        pad_token: Whether tokenizer and configuration name a padding token; the configuration of
            `roberta` always does, because its positions count from there.
        padding_side: Padding side of the tokenizer.

    Returns:
        The folder.
    """
    make = _bytes_tokenizer if family == "qwen2" else _words_tokenizer
    tokenizer = make(family, pad_token, padding_side)
    torch.manual_seed(0)
    with quiet():
        config = _config(family, len(tokenizer), tokenizer.pad_token_id)
        model = getattr(transformers, _CLASSES[family])(config)
        with torch.no_grad():
            model.get_input_embeddings().weight.mul_(EMBEDDING)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return Path(folder)


_CLASSES = {
    "bert": "BertModel",
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "mistral": "MistralForCausalLM",
    "phi": "PhiForCausalLM",
    "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "roberta": "RobertaModel",
}


def _config(family: str, words: int, pad: int | None) -> Any:
    common = {"vocab_size": words, "initializer_range": WEIGHT, "pad_token_id": pad}
    if family == "gpt2":
        return transformers.GPT2Config(
            n_embd=HIDDEN, n_layer=LAYERS, n_head=2, n_positions=POSITIONS,
            bos_token_id=None, eos_token_id=None, **common,
        )  # fmt: skip
    common |= {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 2 * HIDDEN,
        "max_position_embeddings": POSITIONS,
    }
    if family == "bert":
        return transformers.BertConfig(**common)
    if family == "roberta":
        return transformers.RobertaConfig(**common | {"pad_token_id": VOCABULARY["[PAD]"]})
    if family in ("gemma", "gemma2"):
        common["head_dim"] = HIDDEN // 2
    if family == "gemma2":
        common["sliding_window"] = POSITIONS
    kind = getattr(transformers, _CLASSES[family].replace("ForCausalLM", "Config"))
    return kind(num_key_value_heads=1, **common)


def _words_tokenizer(family: str, pad_token: bool, padding_side: str) -> PreTrainedTokenizerFast:
    """One token a word; other words are [UNK]."""
    words = Tokenizer(WordLevel(dict(VOCABULARY), unk_token="[UNK]"))
    words.pre_tokenizer = Whitespace()
    template = {"bert": "[CLS] $A [SEP]", "llama": "<s> $A"}.get(family)
    if template:
        words.post_processor = TemplateProcessing(
            single=template,
            special_tokens=[(word, VOCABULARY[word]) for word in SPECIAL if word in template],
        )
    named = {"unk_token": "[UNK]"} | ({"pad_token": "[PAD]"} if pad_token else {})
    return PreTrainedTokenizerFast(tokenizer_object=words, padding_side=padding_side, **named)


def _bytes_tokenizer(family: str, pad_token: bool, padding_side: str) -> PreTrainedTokenizerFast:
    """Byte pairs that build the vocabulary's words: `AutoTokenizer` insists on them for Qwen2."""
    vocabulary = ["<|endoftext|>", *sorted(ByteLevel.alphabet())]
    merges = []
    for word in GOOD + BAD + PLAIN:
        for end, symbol in enumerate(word):
            start = "Ġ" + word[:end]  # Ġ is the space before the word
            merges.append((start, symbol))
            vocabulary.append(start + symbol)
    ids = {token: i for i, token in enumerate(dict.fromkeys(vocabulary))}
    return Qwen2Tokenizer(
        vocab=ids,
        merges=list(dict.fromkeys(merges)),
        pad_token="<|endoftext|>" if pad_token else None,
        padding_side=padding_side,
    )


def write_dataset(
    path: Path, n: int = 200, seed: int = 0, groups: bool = False, splits: bool = False
) -> Path:
    """Write a CSV of n unique texts, half of each label, whose label depends on its words.

    Args:
        path: The `.csv` file.
        n: Number of texts.
        seed: Other seeds give other texts.
        groups: Adds a column `group` with documents of four texts each, both labels in each.
        splits: Adds a column `split`: six tenths train, one tenth val, three tenths test.

    Returns:
        The path.
    """
    draw = random.Random(seed)
    texts: dict[str, int] = {}
    while len(texts) < n:
        label = len(texts) % 2
        texts.setdefault(_text(draw, label), label)
    columns = ["text", "label", *(["group"] if groups else []), *(["split"] if splits else [])]
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(columns)
        for i, (text, label) in enumerate(texts.items()):
            tenth = i // 2 % 10  # both labels in every part
            part = "train" if tenth < 6 else "val" if tenth < 7 else "test"
            row = {"text": text, "label": label, "group": f"doc{i // 4}", "split": part}
            table.writerow([row[column] for column in columns])
    return Path(path)


def _text(draw: random.Random, label: int) -> str:
    """More words of the label's kind than of the other, among plain ones, in random order."""
    side, other = (GOOD, BAD) if label else (BAD, GOOD)
    strength = draw.choice((1, 1, 2, 3))
    against = draw.randrange(strength)
    words = draw.choices(side, k=strength) + draw.choices(other, k=against)
    words += draw.choices(PLAIN, k=draw.randint(3, 8))
    draw.shuffle(words)
    return " ".join(words)


def write_wrench(folder: Path, n: int = 120, seed: int = 0, features: bool = True) -> Path:
    """Write a dataset in WRENCH's format, with four labeling functions and unequal classes.

    Args:
        folder: Where to; made if it is not there.
        n: Rows of train.json; the others have a third each.
        seed: Other seeds give other rows.
        features: Rows hold 6 features; otherwise texts.

    Returns:
        The folder.
    """
    draw = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for part, size in (("train", n), ("valid", n // 3), ("test", n // 3)):
        rows = {}
        for i in range(size):
            label = int(draw.random() < 0.4)
            clear = draw.random() < 0.6
            votes = [
                -1 if draw.random() < 0.3 else label if draw.random() < (0.9 if clear else 0.6)
                else 1 - label
                for _ in range(4)
            ]  # fmt: skip
            side = 2 * label - 1
            easy = [side * clear + draw.gauss(0, 1) for _ in range(3)]
            hard = [0.8 * side + draw.gauss(0, 1) for _ in range(3)]
            data = {"feature": easy + hard} if features else {"text": f"{_text(draw, label)} {i}"}
            rows[str(i)] = {"label": label, "weak_labels": votes, "data": data}
        (folder / f"{part}.json").write_text(json.dumps(rows), encoding="utf-8")
    return Path(folder)
