"""`w2s verify`: every artifact below some folders, checked against its own checksum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from w2s.artifacts import load
from w2s.data.hashes import check_fetched, is_fetched
from w2s.errors import ArtifactError, ForeignFileError, W2SError

MANIFEST = "manifest.json"
ENDINGS = (".parquet", ".safetensors")


@dataclass
class Report:
    """What was found.

    Attributes:
        whole: Artifacts and fetched folders that are as they were written.
        foreign: Files that no stage wrote, as all of a user's own model; they are left alone.
        damaged: What is wrong with each other file, by the file to delete.
    """

    whole: int = 0
    foreign: int = 0
    damaged: dict[Path, str] = field(default_factory=dict)


def verify(paths: Iterable[str | Path], *, on_file: Callable[[], None] = lambda: None) -> Report:
    """Read every artifact and every fetched folder below the paths.

    A file is damaged if it cannot be read, differs from its checksum, or is of another version than
    this one. Unfinished work, in folders whose name begins with a dot, is not looked at: a job
    checks what it goes on from.

    Args:
        paths: Files or folders.
        on_file: Called after each file.

    Raises:
        ArtifactError: a path that does not exist.
    """
    report = Report()
    for path in _files(paths):
        try:
            if _of_others(path):
                raise ForeignFileError(f"{path}: found a file of another program")
            if path.name == MANIFEST:
                check_fetched(path.parent)
            else:
                load(path, by_rows=True)
            report.whole += 1
        except ForeignFileError:
            report.foreign += 1
        except W2SError as error:
            report.damaged[path] = " ".join(error.lines)
        on_file()
    return report


def _of_others(path: Path) -> bool:
    """Whether a file is none of ours by its name or place: no stage but `fetch` writes models."""
    ours = path.name != MANIFEST and not (path.parent / "config.json").is_file()
    return not ours and not is_fetched(path.parent)


def _files(paths: Iterable[str | Path]) -> Iterator[Path]:
    """Files to check, sorted, each once."""
    found: set[Path] = set()
    for path in map(Path, paths):
        if not path.exists():
            raise ArtifactError(f"{path}: found nothing there, expected a file or a folder")
        inside = path.rglob("*") if path.is_dir() else [path]
        found |= {
            item
            for item in inside
            if (item.suffix in ENDINGS or item.name == MANIFEST)
            and item.is_file()
            and not any(part.startswith(".") for part in item.relative_to(path).parts)
        }
    # what a manifest lists is checked with it
    fetched = {item.parent for item in found if item.name == MANIFEST and is_fetched(item.parent)}
    yield from sorted(
        item
        for item in found
        if item.name == MANIFEST or not any(folder in fetched for folder in item.parents)
    )
