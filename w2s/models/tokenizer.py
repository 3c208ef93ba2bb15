"""Texts to token ids with a model's own tokenizer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from w2s.checks import Array
from w2s.errors import DataError
from w2s.models.source import Source, file_of, loading

FILES = (
    *("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "spm.model"),
    *("sentencepiece.bpe.model", "tekken.json"),
)
FEW = 256  # tokens: a vocabulary that was read from a file has more, as a rule
COMPARED = 100  # texts: a tokenizer that differs does so in most of them, or in few of any number
CHUNK = 1000  # texts a call: enough for the tokenizer's threads, small enough for the bar
log = logging.getLogger(__name__)


def tokenize(
    texts: Sequence[str],
    source: Source,
    *,
    max_length: int,
    truncation: Literal["right", "left"] = "right",
    on_chunk: Callable[[int], object] | None = None,
) -> tuple[Array, Array, int]:
    """Token ids of each of n texts, special tokens included, one text after another.

    Padding is not the tokenizer's business here, so it needs no pad token and its padding side does
    not matter. Texts longer than `max_length` are cut on the side of `truncation`; `on_chunk` is
    told the number of texts after each chunk.

    Returns:
        start, int64 (n + 1,): text i is `token[start[i]:start[i + 1]]`; token, int32; and the
        number of texts that were cut.

    Raises:
        DataError: a text without any token, a max_length without room for words, or what
            `load_tokenizer` raises.
    """
    tokenizer = load_tokenizer(source, truncation=truncation)
    tell_other_ids(source, tokenizer, texts[:: -(-len(texts) // COMPARED) or 1])
    ids: list[list[int]] = []
    cut = 0
    for first in range(0, len(texts), CHUNK):
        chunk = list(texts[first : first + CHUNK])
        whole = tokenizer(chunk, truncation=False, verbose=False)["input_ids"]
        long = [i for i, tokens in enumerate(whole) if len(tokens) > max_length]
        for i in long:
            whole[i] = tokenizer(chunk[i], truncation=True, max_length=max_length)["input_ids"]
        cut += len(long)
        ids.extend(whole)
        if on_chunk is not None:
            on_chunk(len(chunk))
    lengths = np.array([len(tokens) for tokens in ids], dtype=np.int64)
    if lengths.max(initial=0) > max_length:
        raise DataError(
            f"max_length: found {max_length}, expected more: the special tokens alone take it up"
        )
    if (lengths == 0).any():
        raise DataError(f"tokenize: found no token in text {np.argmin(lengths)}, expected some")
    start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return start, np.concatenate([np.array(t, dtype=np.int32) for t in ids]), cut


def load_tokenizer(source: Source, *, truncation: Literal["right", "left"] = "right") -> Any:
    """The tokenizer of a model, as `transformers` loads it.

    Raises:
        DataError: no files of a tokenizer, such that cannot be used, or a package missing that
            reads them.
    """
    with loading(source):
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                source.name,
                revision=source.revision,
                trust_remote_code=source.trust_remote_code,
                truncation_side=truncation,
            )
        except (ImportError, ValueError):
            _check_files(source, FILES)
            raise
        if len(tokenizer) < FEW:  # without a file a class has its special tokens, and says nothing
            _check_files(source, (*FILES, *tokenizer.vocab_files_names.values()))
        tokenizer(["a word"], truncation=False, verbose=False)  # its settings are used only now
    return tokenizer


def tell_other_ids(source: Source, tokenizer: Any, texts: Sequence[str]) -> None:
    """Tell where a tokenizer, as loaded, does not give the ids of the model's own tokenizer.json.

    Classes of `transformers` set some of what that file says anew: from tokenizer_config.json, or,
    where it says nothing, by their own defaults.
    """
    with loading(source):
        path = file_of(source, "tokenizer.json")
        if path is None:
            return
        file = Tokenizer.from_file(str(path))
        file.no_padding()
        file.no_truncation()
        expected = [encoding.ids for encoding in file.encode_batch(list(texts))]
    found = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
    differ = [i for i, ids in enumerate(found) if ids != expected[i]]
    if differ:
        log.warning(
            "model %s: %d of %d texts get other token ids than its tokenizer.json gives, as %r; "
            "what tokenizer_config.json does not set is a default of %s (as do_lower_case)",
            source.name, len(differ), len(texts), texts[differ[0]][:40], type(tokenizer).__name__,
        )  # fmt: skip


def _check_files(source: Source, names: Iterable[str]) -> None:
    """Check that a tokenizer has a file, of those names, and the package that reads it."""
    found = [name for name in dict.fromkeys(names) if file_of(source, name)]
    if not found:
        raise DataError(
            f"model {source.name}: found no tokenizer, expected one of {', '.join(FILES)}"
        )
    pieces = [name for name in found if name.endswith(".model")]
    if pieces == found and find_spec("sentencepiece") is None:
        raise DataError(
            f"model {source.name}: found no package sentencepiece, expected it for {pieces[0]}; "
            f"pip install sentencepiece"
        )
