"""Stage `examples`: unique texts in balanced parts."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from w2s.artifacts import Artifact
from w2s.config_sources import FileDataset, Files, Icwsm14Dataset, WrenchDataset
from w2s.data.examples import leaks, make_examples
from w2s.data.files import read_file
from w2s.data.hashes import check_fetched
from w2s.data.icwsm14 import ARCHIVE, parse_icwsm14
from w2s.data.near_duplicates import without_near_duplicates
from w2s.data.rows import Rows
from w2s.data.wrench import PARTS, read_wrench
from w2s.errors import DataError
from w2s.rng import stream
from w2s.settings import ExamplesSettings


def examples(source: Path, *, settings: ExamplesSettings) -> dict[str, Artifact]:
    """Read the source (the fetched manifest, or the user's file) and draw the parts."""
    data, name = settings.data, settings.dataset
    rows = _rows(source, data)
    if data.drop_near_duplicates:
        rows = without_near_duplicates(rows)
    columns, dropped = make_examples(
        rows,
        dataset=name,
        sizes={"pool": data.pool, "val": data.val, "test": data.test},
        grouped=data.grouped,
        balanced=not isinstance(data, WrenchDataset) or data.balanced,
        rng=stream(0, "examples", name),
    )
    grouped = data.grouped and rows.group is not None
    facts = {
        "dataset": name,
        "grouped": grouped,
        "dropped": dropped,
        **leaks(rows, columns),
    }
    return {"examples": Artifact("examples", columns, facts)}


def _rows(source: Path, data: Files) -> Rows:
    if isinstance(data, Icwsm14Dataset):
        return _icwsm14(source, data)
    return _wrench(source, data) if isinstance(data, WrenchDataset) else _file(source, data)


def _wrench(source: Path, data: WrenchDataset) -> Rows:
    """The rows of a benchmark's folder; a digest of its features stands for a text."""
    found = read_wrench(source.parent)
    holds = "features" if found.train.text is None else "text"
    if holds != data.holds:
        raise DataError(f"{source.parent}: found {holds}, expected `holds: {data.holds}`")
    names: list[str] = []
    texts: list[str] = []
    labels: list[int] = []
    parts: list[str] = []
    for word, part in zip(PARTS, ("pool", "val", "test"), strict=True):
        rows = getattr(found, word)
        own = [f"{word} {name}" for name in rows.ids]
        names += own
        texts += (
            [f"features {hashlib.sha256(row.tobytes()).hexdigest()}" for row in rows.features]
            if rows.text is None
            else rows.text.tolist()
        )
        labels += rows.label.tolist()
        parts += [part] * len(own)
    return Rows(names, texts, labels, None, parts, {})


def _icwsm14(manifest: Path, data: Icwsm14Dataset) -> Rows:
    check_fetched(manifest.parent)
    archive = manifest.parent / ARCHIVE
    if not archive.is_file():
        raise DataError(f"{archive}: found no file, expected the fetched texts")
    member = f"hutto_ICWSM_2014/{data.part}_GroundTruth.txt"
    try:
        with tarfile.open(archive) as tar:
            content = tar.extractfile(member)
            text = "" if content is None else content.read().decode("utf-8")
    except (tarfile.TarError, EOFError, KeyError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{archive}: cannot read {member} ({error}); fetch it again") from None
    return parse_icwsm14(text, part=data.part, min_rating=data.min_rating)


def _file(path: Path, data: FileDataset) -> Rows:
    return read_file(path, text=data.text, label=data.label, group=data.group, split=data.split)
