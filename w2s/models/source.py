"""Where a model's files are: a folder on this machine, or a pinned revision of the hub.

And what those of sentence-transformers ask for beyond what `transformers` loads: the settings of an
experiment decide instead, and where they differ, the log says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import constants, resolve_revision
from huggingface_hub.errors import RevisionResolutionError, StrictDataclassError
from safetensors import SafetensorError
from transformers.utils import cached_file
from transformers.utils import logging as remarks

from w2s.checks import Array
from w2s.data.fetch import check_fetched
from w2s.data.sources import sha256_of
from w2s.errors import DataError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A model to load.

    Attributes:
        name: Folder, or repository of the hub.
        revision: Commit of the hub's repository; None for a folder.
        asked: The branch, tag or commit that was asked for, which the commit is of.
        trust_remote_code: Run Python code that comes with the model. It can do all that the user
            can.
    """

    name: str
    revision: str | None = None
    asked: str | None = None
    trust_remote_code: bool = False


def parse_source(reference: str, *, trust_remote_code: bool = False) -> Source:
    """Read `FOLDER` or `hub:REPOSITORY@REVISION`; a line in the log tells that code is trusted.

    A branch or tag of the hub is looked up once, so that all files are of one commit; without a
    network the cache tells what it stood for last.

    Raises:
        DataError: no such repository or revision, or no way to ask; no such folder, no config.json
            in it, adapters alone, a fetched folder that has changed since, or a hub reference
            without a revision.
    """
    if trust_remote_code:
        log.warning("model %s: code that comes with it is run (trust_remote_code)", reference)
    if reference.startswith("hub:"):
        name, _, revision = reference.removeprefix("hub:").partition("@")
        if not revision:
            raise DataError(f"model '{reference}': found no revision, expected hub:NAME@REVISION")
        asked = Source(name, revision, revision, trust_remote_code)
        with loading(asked):
            commit = resolve_revision(name, revision=revision).resolved
        return replace(asked, revision=commit)
    source = Source(reference, trust_remote_code=trust_remote_code)
    refuse_adapters(source)
    if not (Path(reference) / "config.json").is_file():
        raise DataError(f"model {reference}: found no config.json, expected a model folder")
    check_fetched(Path(reference))
    return source


def file_of(source: Source, name: str) -> Path | None:
    """Where a file of a model is, fetched from the hub if need be; None where it has none."""
    if source.revision is None:
        path = Path(source.name) / name
        return path if path.is_file() else None
    found = cached_file(
        source.name,
        name,
        revision=source.revision,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
    )
    return None if found is None else Path(found)


def refuse_adapters(source: Source) -> None:
    """Refuse what is only a change of another model, which would be fetched at no fixed revision.

    Raises:
        DataError: there is an adapter_config.json.
    """
    if file_of(source, "adapter_config.json") is not None:
        raise DataError(
            f"model {source.name}: found adapters (adapter_config.json), expected a whole model; "
            f"merge them into theirs (peft: merge_and_unload) and save that"
        )


def describe(source: Source) -> dict[str, str]:
    """What an artifact says of its model: repository and revision, or the hashes of its weights.

    Code that is run counts as weights. A folder's own path is not told: it names the user's
    machine.
    """
    if source.revision is not None:
        asked = {"asked": source.asked} if source.asked not in (None, source.revision) else {}
        return {"id": source.name, "revision": source.revision, **asked}
    patterns = ("*.safetensors", "*.py") if source.trust_remote_code else ("*.safetensors",)
    files = {path for pattern in patterns for path in Path(source.name).glob(pattern)}
    return {path.name: sha256_of(path) for path in sorted(files)}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loader's bars and remarks (unused layers, pooler) out of the logs."""
    level = remarks.get_verbosity()
    remarks.set_verbosity_error()
    remarks.disable_progress_bar()
    try:
        yield
    finally:
        remarks.set_verbosity(level)
        remarks.enable_progress_bar()


# what the loaders raise where files are not what they expect: they have no class for it
FAILURES = (
    *(ImportError, OSError, ValueError, SafetensorError, RevisionResolutionError),
    *(StrictDataclassError, ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError),
)
TELLING = (ImportError, OSError, ValueError)  # their messages say enough without their name


class loading:  # noqa: N801 - reads like the functions of contextlib
    """Load or try a model quietly, and tell in one line what cannot be.

    Raises:
        DataError: missing files, or such that do not fit; an unknown or gated repository or
            revision, no network, code of the model's own that is not trusted, or packages missing
            that it needs.
    """

    def __init__(self, source: Source, done: str = "loaded") -> None:
        """Of this model; what cannot be done."""
        self._source, self._done, self._quiet = source, done, quiet()

    def __enter__(self) -> None:
        self._quiet.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: Any
    ) -> None:
        self._quiet.__exit__(None, None, None)
        # the package `tokenizers` has no class for its errors at all
        if isinstance(error, FAILURES) or type(error) is Exception:
            raise DataError(_reason(self._source, error, self._done)) from None


def _reason(source: Source, error: Exception, done: str) -> str:
    if "trust_remote_code=True" in str(error) and not source.trust_remote_code:
        return (
            f"model {source.name}: found code of its own, expected none; read it, and run it with "
            f"the model's setting trust_remote_code: true"
        )
    kind = "" if isinstance(error, TELLING) else f"{type(error).__name__}: "
    reason = kind + " ".join(_without_cache(str(error)).split())[:200]
    where = "the folder" if source.revision is None else "name, revision, access and network"
    return f"model {source.name}: cannot be {done} ({reason}); check {where}"


def _without_cache(text: str) -> str:
    """A message without the folders of the hub's cache, which name the user and were not typed."""
    for name in ("HF_HUB_CACHE", "HF_HOME"):  # the second holds the first, unless set otherwise
        folder = getattr(constants, name)
        text = text.replace(folder, name) if folder else text
    return text


# names of its poolings in the two formats of its files, and ours where we have the same
POOLINGS = {
    **{"mean_tokens": "mean", "cls_token": "first", "lasttoken": "last"},
    **{"mean": "mean", "cls": "first"},
}
HARMLESS = ("", "Transformer", "Normalize")  # probes do not mind a vector's length much


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
