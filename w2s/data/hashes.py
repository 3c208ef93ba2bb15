"""SHA-256 of files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from w2s.errors import DataError


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path relative to it, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_fetched(folder: Path) -> None:
    """Raise if a fetched folder differs from the manifest in it; other folders pass.

    Raises:
        DataError: a file is missing or its content has changed.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        return
    try:
        listed = json.loads(manifest.read_text(encoding="utf-8")).get("files", {})
    except (ValueError, AttributeError):
        raise DataError(f"{manifest}: damaged; delete {folder} and run again") from None
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file() or sha256_of(path) != expected:
            raise DataError(
                f"{path}: found other content than was fetched; delete {folder} and run again"
            )
