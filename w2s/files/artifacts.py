"""Typed, self-describing files: how every table and tensor of the project is written and read.

An artifact is a set of named arrays that share their first axes, plus `facts` (a few scalars and
words about the whole) and its provenance. Rows are Parquet, tensors are safetensors; both carry one
metadata key, `w2s`, with sorted JSON. The same content gives the same bytes: no time, host, user or
path is stored. Files are written beside their place and renamed, so a killed job leaves none.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from w2s.declare import FORMAT, Array, Kind, kinds
from w2s.errors import ArtifactError, ForeignFileError
from w2s.files.formats import READERS, WRITERS
from w2s.files.matrix import Matrix
from w2s.files.spool import blocks, telling

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Artifact:
    """Arrays and facts of one kind.

    Attributes:
        kind: Name of the kind.
        arrays: Columns or tensors by name, in memory; matrices may be left on disk, see `load`.
            `save` takes whatever has `shape`, `dtype` and `blocks`, as `w2s.files.spool.RowFile`.
        facts: JSON values about the whole: thresholds, status, counts.
        provenance: Stage, settings, input digests and versions; empty before it is saved.
        checksum: Digest of the content as read from the file; empty before it is saved.
    """

    kind: str
    arrays: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    checksum: str = ""

    def __getitem__(self, name: str) -> Any:
        return self.arrays[name]

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def where(self, mask: Any) -> Artifact:
        """The rows selected by a boolean mask or by positions, for row artifacts."""
        arrays = {name: array[mask] for name, array in self.arrays.items()}
        return Artifact(self.kind, arrays, self.facts, self.provenance)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a pandas DataFrame (row artifacts only)."""
        import pandas as pd

        return pd.DataFrame(dict(self.arrays))


def load(path: str | Path, kind: Kind | None = None, *, by_rows: bool = False) -> Artifact:
    """Read an artifact and check it against its declaration.

    Args:
        path: A `.parquet` or `.safetensors` file written by a stage.
        kind: The kind to insist on; the file's own where not given.
        by_rows: Leave matrices that may be large (activations) in the file, as
            `w2s.files.matrix.Matrix`, from which rows are read as they are asked for; so
            memory holds no more than those. Otherwise all arrays are in memory.

    Raises:
        ArtifactError: no file, not an artifact, another kind or format version, damaged content,
            or arrays that differ from the declaration.
    """
    path = Path(path)
    with telling(path, "read"):  # its name may be too long, or its folder another user's
        there = path.is_file()
    if not there:
        raise ArtifactError(f"{path}: found no file, expected an artifact; run the stage before")
    if path.suffix not in READERS:
        raise ArtifactError(
            f"{path}: found the ending '{path.suffix}', expected .parquet or .safetensors"
        )
    try:
        arrays, text = READERS[path.suffix](path, _by_rows)
        meta = _metadata(path, text)
        if not by_rows:
            arrays = {name: x[:] if isinstance(x, Matrix) else x for name, x in arrays.items()}
    except (OSError, ValueError) as error:
        reason = f"{error}.".splitlines()[0].rstrip(".")
        raise ArtifactError(f"{path}: damaged ({reason}); delete it and run again") from None
    artifact = Artifact(meta["kind"], arrays, meta["facts"], meta["provenance"], meta["digest"])
    if kind is not None and artifact.kind != kind.name:
        raise ArtifactError(f"{path}: found kind '{artifact.kind}', expected '{kind.name}'")
    try:
        check(artifact, str(path))
    except ArtifactError as error:
        raise ArtifactError(f"{error}; delete it and run again") from None
    if digest(artifact) != meta["digest"]:
        raise ArtifactError(f"{path}: content differs from its checksum; delete it and run again")
    return artifact


def _by_rows(name: str) -> bool:
    """Whether an array of a file may be left there: a matrix that is read by rows."""
    declared = (item for kind in kinds().values() for item in kind.arrays.items())
    return any(spec.by_rows and name.startswith(known.rstrip("*")) for known, spec in declared)


def save(artifact: Artifact, path: str | Path) -> None:
    """Write an artifact whole or not at all.

    Raises:
        ArtifactError: the arrays or facts differ from the kind's declaration, or the ending does.
    """
    path = Path(path)
    check(artifact, f"{path} (to be written)")
    kind = kinds()[artifact.kind]
    if path.suffix != kind.suffix:
        raise ArtifactError(f"{path}: found the ending '{path.suffix}', expected '{kind.suffix}'")
    meta = {
        "kind": artifact.kind,
        "format": FORMAT,
        "digest": digest(artifact),
        "facts": dict(artifact.facts),
        "provenance": dict(artifact.provenance),
    }
    text = json.dumps(meta, sort_keys=True, ensure_ascii=False)
    with whole(path) as beside:
        WRITERS[kind.suffix](beside, artifact.arrays, text)


def digest(artifact: Artifact) -> str:
    """SHA-256 of kind, arrays, facts and provenance; the file format does not matter."""
    sha = hashlib.sha256(artifact.kind.encode())
    for name in sorted(artifact.arrays):
        array = artifact.arrays[name]
        sha.update(f"{name}\x1f{_dtype(array)}\x1f{array.shape}\x1e".encode())
        if array.dtype == object:
            sha.update("".join([f"{len(text)}\x1f{text}" for text in array.tolist()]).encode())
        else:
            for block in blocks(array):
                sha.update(block.data)
    for told in (artifact.facts, artifact.provenance):
        sha.update(json.dumps(dict(told), sort_keys=True).encode())
    return sha.hexdigest()


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    beside = Path(name)
    try:
        with suppress(OSError):  # a file system without locks keeps what killed processes left
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield beside
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.chmod(0o666 & ~_umask())
        beside.replace(path)
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            beside.unlink()


def _remove_stale(path: Path) -> None:
    """Remove temporary files of the same output whose process was killed: nobody locks them."""
    name = re.compile(rf"\.{re.escape(path.stem)}-[a-z0-9_]{{8}}{re.escape(path.suffix)}")
    for left in [item for item in path.parent.iterdir() if name.fullmatch(item.name)]:
        with suppress(OSError), left.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            left.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _dtype(array: Any) -> str:
    return "str" if array.dtype == object else str(array.dtype)


def _metadata(path: Path, text: str | None) -> Any:
    if text is None:
        raise ForeignFileError(f"{path}: found a file without w2s metadata, expected an artifact")
    meta = json.loads(text)
    if not isinstance(meta, dict) or not {"kind", "format"} <= set(meta):
        raise ValueError("found other metadata than an artifact's")
    known = isinstance(meta["kind"], str) and meta["kind"] in kinds()
    if meta["format"] == FORMAT and isinstance(meta["kind"], str) and not known:
        raise ForeignFileError(
            f"{path}: found kind '{meta['kind']}', expected one that is declared here; "
            "`w2s --track FILE` adds those of a track of your own"
        )
    if meta["format"] != FORMAT or not known:
        raise ArtifactError(
            f"{path}: found kind '{meta['kind']}' in format {meta['format']}, expected a "
            f"kind of this version in format {FORMAT}; run the stage again"
        )
    if not set(meta) >= META:
        raise ValueError("found incomplete metadata")
    if not isinstance(meta["facts"], dict):
        raise ValueError("found facts that are no object")
    if not is_provenance(meta["provenance"]):
        raise ValueError("found other provenance than a stage's")
    return meta


def is_provenance(told: object) -> bool:
    """Whether a value is what stages say of their outputs, or a part of it."""
    return isinstance(told, dict) and all(
        isinstance(told.get(name, kind()), kind) for name, kind in TOLD.items()
    )


TOLD = {"stage": str, "code": str, "settings": dict, "inputs": dict, "packages": dict}
META = frozenset({"digest", "facts", "provenance"})  # besides kind and format


def check(artifact: Artifact, where: str) -> None:
    """Raise unless arrays and facts are as the kind declares them.

    Args:
        artifact: What to check.
        where: Begins the message: the file.

    Raises:
        ArtifactError: names, dtypes, shapes, finiteness or ids differ from the declaration.
    """
    kind = kinds()[artifact.kind]
    lengths: dict[str, int] = {}
    declared = {name: declaration(kind, name) for name in artifact.arrays}
    for name, spec in declared.items():
        if spec is None:
            raise ArtifactError(f"{where}: found '{name}', which '{kind.name}' does not declare")
        _check_array(artifact.arrays[name], spec, f"{where}: {name}", lengths)
    wanted = {name for name in kind.arrays if not name.endswith("*")}
    for what, found, expected in (
        ("arrays", set(artifact.arrays), wanted),
        ("facts", set(artifact.facts), set(kind.facts)),
    ):
        if expected - found or (what == "facts" and found - expected):
            names = [", ".join(sorted(side)) or "none" for side in (found, expected)]
            raise ArtifactError(
                f"{where}: found {what} {names[0]}; '{kind.name}' expects {names[1]}"
            )
    if kind.ids and len(np.unique(artifact.arrays["id"])) != len(artifact.arrays["id"]):
        raise ArtifactError(f"{where}: found an example id twice, expected each once")


def declaration(kind: Kind, name: str) -> Array | None:
    """What a kind says of an array of that name; None where it has no such."""
    for declared, spec in kind.arrays.items():
        if name == declared or (declared.endswith("*") and name.startswith(declared[:-1])):
            return spec
    return None


def _check_array(array: Any, spec: Array, where: str, lengths: dict[str, int]) -> None:
    if _dtype(array) != spec.dtype or array.ndim != len(spec.axes):
        shape = ", ".join(spec.axes)
        raise ArtifactError(
            f"{where}: found {_dtype(array)} of shape {array.shape}, expected "
            f"{spec.dtype} of shape ({shape})"
        )
    if spec.dtype == "str" and not all(issubclass(kind, str) for kind in set(map(type, array))):
        raise ArtifactError(f"{where}: found values that are not text, expected text")
    for axis, size in zip(spec.axes, array.shape, strict=True):
        if lengths.setdefault(axis, size) != size:
            raise ArtifactError(
                f"{where}: found {size} along axis {axis}, expected {lengths[axis]} as elsewhere"
            )
    if array.dtype.kind == "f":
        wrong = np.isinf if spec.nan else lambda block: ~np.isfinite(block)
        bad = sum(int(np.count_nonzero(wrong(block))) for block in blocks(array))
        if bad:
            what = "infinite values" if spec.nan else "values that are NaN or infinite"
            raise ArtifactError(f"{where}: found {bad} {what}, expected none")
