"""What a model of sentence-transformers does with hidden states beyond what `transformers` loads.

The settings of an experiment decide instead. Where they differ, the log says so.
"""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.models.source import Source, file_of, loading

# names of its poolings in the two formats of its files, and ours where we have the same
POOLINGS = {
    **{"mean_tokens": "mean", "cls_token": "first", "lasttoken": "last"},
    **{"mean": "mean", "cls": "first"},
}
HARMLESS = ("", "Transformer", "Normalize")  # probes do not mind a vector's length much
log = logging.getLogger(__name__)


def tell_pooling(source: Source, pooling: str) -> None:
    """Tell where a model's own pooling is another, or where it has layers behind it."""
    modules = _read(source, "modules.json")
    for module in modules if isinstance(modules, list) else ():
        kind, path = _kind_and_path(module)
        if kind == "Pooling":
            own = _poolings(_read(source, f"{path}/config.json"))
            if own not in ([], [pooling]):
                log.warning(
                    "model %s: its own pooling is %s; `pooling: %s` is used instead",
                    source.name, " and ".join(own), pooling,
                )  # fmt: skip
        elif kind not in HARMLESS:
            log.warning("model %s: its part %s (%s) is left out", source.name, path, kind)


def tell_length(source: Source, lengths: Array) -> None:
    """Tell where texts, of so many tokens (n,), are longer than what a model reads by itself."""
    settings = _read(source, "sentence_bert_config.json")
    own = settings.get("max_seq_length") if isinstance(settings, dict) else None
    if not isinstance(own, int) or not (lengths > own).any():
        return
    log.warning(
        "model %s: %d of %d texts have more than the %d tokens that it reads in "
        "sentence-transformers; `max_length` decides here",
        source.name, np.count_nonzero(lengths > own), len(lengths), own,
    )  # fmt: skip


def _kind_and_path(module: Any) -> tuple[str, str]:
    """Of a part of the model; nothing where the file is not what it is called."""
    found = [module.get(name) if isinstance(module, dict) else None for name in ("type", "path")]
    kind, path = (value if isinstance(value, str) else "" for value in found)
    return kind.rpartition(".")[2], path


def _poolings(settings: Any) -> list[str]:
    """The poolings of a configuration, by our names where we have them."""
    if not isinstance(settings, dict):
        return []
    start = "pooling_mode_"
    names = [k.removeprefix(start) for k, on in settings.items() if k.startswith(start) and on]
    names = names or [name for name in (settings.get("pooling_mode"),) if isinstance(name, str)]
    return [POOLINGS.get(name, name) for name in names]


def _read(source: Source, name: str) -> Any:
    """The content of one of a model's JSON files; None where it has none."""
    with loading(source):
        path = file_of(source, name)
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))
