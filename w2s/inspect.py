"""`w2s inspect`: what an artifact holds, as text for people."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from w2s.data.fetch import check_fetched, is_fetched
from w2s.data.track import EXAMPLES
from w2s.declare import kinds
from w2s.errors import ArtifactError, ForeignFileError, W2SError, visible
from w2s.files.artifacts import Artifact, declaration, load
from w2s.files.spool import blocks
from w2s.overlap.scores import dominant_coordinate

WIDTH = 60  # characters of a text that are shown


def describe(path: str | Path, *, rows: int = 5) -> str:
    """Kind, facts, provenance, arrays with their ranges, and a few rows with their text.

    Args:
        path: An artifact.
        rows: Rows to show.

    Raises:
        ArtifactError: not a readable artifact.
    """
    artifact = load(path, by_rows=True)
    kind = kinds()[artifact.kind]
    parts = [f"{path}\n  kind        {kind.name}: {kind.doc}"]
    parts += [f"  {key:<11} {_short(value)}" for key, value in artifact.facts.items()]
    parts += _provenance(artifact)
    parts += [_array(name, array) for name, array in artifact.arrays.items()]
    parts.append(_rows(artifact, Path(path), rows))
    return "\n".join(parts) + "\n"


def _short(value: Any) -> str:
    text = visible(value if isinstance(value, str) else json.dumps(value))
    return text if len(text) <= 2 * WIDTH else text[: 2 * WIDTH - 1] + "…"


def _provenance(artifact: Artifact) -> list[str]:
    made = artifact.provenance
    by = visible(f"w2s {made.get('stage', '?')} (code {made.get('code', '?')})")
    lines = [f"  made by     {by}"] if made else []
    for key in ("settings", "inputs", "packages"):
        if made.get(key):
            lines.append(f"  {key:<11} {_short(made[key])}")
    return lines


def _array(name: str, array: Any) -> str:
    head = f"  · {name:<18} {'str' if array.dtype == object else array.dtype!s:<8} {array.shape}"
    if array.dtype == object:
        counted = sorted(Counter(array.tolist()).items())
        if len(counted) > 8:
            return f"{head}  {len(counted)} different"
        shown = ", ".join(f"{visible(word) or '(empty)'} {number}" for word, number in counted)
        return f"{head}  {shown}"
    low, high, total, known = np.inf, -np.inf, 0.0, 0
    for block in blocks(array):
        finite = block[np.isfinite(block)].astype(np.float64)
        low, high = min(low, finite.min(initial=np.inf)), max(high, finite.max(initial=-np.inf))
        total, known = total + float(finite.sum()), known + finite.size
    nan = f", {array.size - known} NaN" if known < array.size else ""
    if not known or name == "id":
        return head + nan
    told = f"{head}  {low:.6g} to {high:.6g}, mean {total / known:.6g}{nan}"
    if name.startswith("layer_") and known == array.size:
        told += f"; {dominant_coordinate(blocks(array))}"
    return told


def _rows(artifact: Artifact, path: Path, count: int) -> str:
    """The first rows; example ids are followed by their text where the examples are found."""
    kind = kinds()[artifact.kind]
    axis = max(kind.arrays.values(), key=lambda array: len(array.axes)).axes[0]
    along = {}
    for name, array in artifact.arrays.items():
        declared = declaration(kind, name)
        if declared is not None and declared.axes[0] == axis:
            along[name] = array
    texts = _texts(path) if "id" in along and kind is not EXAMPLES else {}
    lines = []
    for i in range(min([count, *map(len, along.values())])):
        cells = [f"{name}={_cell(array[i])}" for name, array in along.items()]
        text = texts.get(int(along["id"][i])) if texts else None
        lines.append("  " + "  ".join(cells) + (f"  «{_cell(text)}»" if text else ""))
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, np.ndarray):
        head = ", ".join(_cell(v) for v in value.ravel()[:4])
        return f"[{head}{', …' if value.size > 4 else ''}]"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    text = " ".join(str(value).split())
    text = "".join(sign if sign.isprintable() else "�" for sign in text)
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _texts(path: Path) -> dict[int, str]:
    """Texts by id from the dataset's examples, in a folder above the artifact."""
    for folder in path.resolve().parents:
        candidate = folder / "examples.parquet"
        if candidate.is_file():
            try:
                examples = load(candidate, EXAMPLES)
            except W2SError:  # the artifact itself is fine: show it without texts
                return {}
            return dict(zip(examples["id"].tolist(), examples["text"], strict=True))
    return {}


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


def verify(paths: Iterable[str | Path]) -> Report:
    """Read every artifact and every fetched folder below the paths.

    A file is damaged if it cannot be read, differs from its checksum, or is of another version than
    this one. Unfinished work, in folders whose name begins with a dot, is not looked at: a job
    checks what it goes on from.

    Args:
        paths: Files or folders.

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
