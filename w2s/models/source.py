"""Where a model's files are: a folder on this machine, or a pinned revision of the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from transformers.utils import logging

from w2s.data.hashes import check_fetched, sha256_of
from w2s.errors import DataError


@dataclass(frozen=True)
class Source:
    """A model to load.

    Attributes:
        name: Folder, or repository of the hub.
        revision: Revision of the hub's repository; None for a folder.
    """

    name: str
    revision: str | None = None


def parse_source(reference: str) -> Source:
    """Read `FOLDER` or `hub:REPOSITORY@REVISION`.

    Raises:
        DataError: no such folder, no config.json in it, a fetched folder that has changed since, or
            a hub reference without a revision.
    """
    if reference.startswith("hub:"):
        name, _, revision = reference.removeprefix("hub:").partition("@")
        if not revision:
            raise DataError(f"model '{reference}': found no revision, expected hub:NAME@REVISION")
        return Source(name, revision)
    if not (Path(reference) / "config.json").is_file():
        raise DataError(f"model {reference}: found no config.json, expected a model folder")
    check_fetched(Path(reference))
    return Source(reference)


def describe(source: Source) -> dict[str, str]:
    """What an artifact says of its model: repository and revision, or the hashes of its weights.

    A folder's own path is not told: it names the user's machine.
    """
    if source.revision is not None:
        return {"id": source.name, "revision": source.revision}
    return {path.name: sha256_of(path) for path in sorted(Path(source.name).glob("*.safetensors"))}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the loader's bars and remarks (unused layers, pooler) out of the logs."""
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.enable_progress_bar()


@contextmanager
def loading(source: Source) -> Iterator[None]:
    """Load quietly, and tell in one line what cannot be loaded.

    Raises:
        DataError: missing files, an unknown or gated repository or revision, or no network.
    """
    with quiet():
        try:
            yield
        except (OSError, ValueError, SafetensorError) as error:  # as transformers tells them
            reason = " ".join(str(error).split())[:200]
            where = (
                "the folder" if source.revision is None else "name, revision, access and network"
            )
            raise DataError(
                f"model {source.name}: cannot be loaded ({reason}); check {where}"
            ) from None
