"""Stage `examples`: unique texts in balanced parts."""

from __future__ import annotations

import tarfile
from pathlib import Path

from w2s.artifacts import Artifact
from w2s.config_sources import FileDataset, Icwsm14Dataset
from w2s.data.examples import make_examples
from w2s.data.files import read_file
from w2s.data.hashes import check_fetched
from w2s.data.icwsm14 import ARCHIVE, parse_icwsm14
from w2s.data.rows import Rows
from w2s.errors import DataError
from w2s.rng import stream
from w2s.settings import ExamplesSettings


def examples(source: Path, *, settings: ExamplesSettings) -> dict[str, Artifact]:
    """Read the source (the fetched manifest, or the user's file) and draw the parts."""
    data, name = settings.data, settings.dataset
    rows = _icwsm14(source, data) if isinstance(data, Icwsm14Dataset) else _file(source, data)
    columns, dropped = make_examples(
        rows,
        dataset=name,
        sizes={"pool": data.pool, "val": data.val, "test": data.test},
        grouped=data.grouped,
        rng=stream(0, "examples", name),
    )
    grouped = data.grouped and rows.group is not None
    facts = {"dataset": name, "grouped": grouped, "dropped": dropped}
    return {"examples": Artifact("examples", columns, facts)}


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
