"""SHA-256 of files."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from w2s.errors import DataError

# the text that the stage `fetch` writes: many programs call a file of theirs manifest.json
OURS = re.compile(
    rb'\{\n  "files": \{.*\},\n'
    rb'  "package": "[^\n]+",\n  "sha256": "[0-9a-f]{64}",\n  "version": "[^\n]+\n\}\n',
    re.DOTALL,
)


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path relative to it, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_fetched(folder: Path) -> bool:
    """Whether the stage `fetch` wrote a folder: the manifest.json in it is ours, if damaged."""
    manifest = folder / "manifest.json"
    return manifest.is_file() and OURS.fullmatch(manifest.read_bytes()) is not None


def check_fetched(folder: Path) -> None:
    """Raise if a fetched folder differs from the manifest in it; other folders pass.

    Raises:
        DataError: a file is missing or its content has changed.
    """
    if not is_fetched(folder):
        return
    manifest = folder / "manifest.json"
    try:
        listed = json.loads(manifest.read_bytes())["files"]
    except ValueError:
        raise DataError(f"{manifest}: damaged; delete {folder} and run again") from None
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected:
            raise DataError(
                f"{path}: found other content than was fetched; delete {folder} and run again"
            )
