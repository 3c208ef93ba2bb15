"""What a killed job left for the next one to go on with: its folder, and states of trainings.

The folder stands beside the job's output, so on the same disk, and is named for the output and for
all that the result depends on. One process at a time uses it. It goes when the output is complete.

A checkpoint is one safetensors file. It is written whole or not at all, and carries the identity of
the training and a checksum of its values; one that does not fit is as good as none.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.files.artifacts import whole
from w2s.files.formats import KEY
from w2s.files.spool import telling

LOCK = "lock"
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # of file systems without locks
DIGITS = 16  # hex digits of the identity in the name
log = logging.getLogger(__name__)


@contextmanager
def work_folder(output: Path, identity: Any) -> Iterator[Path]:
    """A folder for this job alone, with what an earlier process of the same job left in it.

    When the block ends without an error the folder is removed, and so are folders of the same
    output under other identities that no process uses. After an error it stays, unless it is empty.

    Args:
        output: The file the job writes.
        identity: JSON value of all that the content depends on.

    Raises:
        ArtifactError: another process is at work on the same, or the folder cannot be made.
    """
    text = json.dumps(identity, sort_keys=True)
    prefix, key = f".work-{output.name}-", hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    folder = output.parent / f"{prefix}{key}"
    handle = _lock(folder, output)
    complete = False
    try:
        yield folder
        complete = True
    finally:
        _leave(folder, handle, complete)
    for other in list(output.parent.iterdir()):  # of other settings, inputs or code
        if other.name.startswith(prefix) and len(other.name) == len(prefix) + DIGITS:
            with suppress(ArtifactError, OSError):  # in use by another process, or another user's
                _leave(other, _lock(other, output), complete=True)


def _lock(folder: Path, output: Path) -> int:
    """Make the folder and lock it: the handle of the lock, which ends with the process."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another process has just removed the folder
            continue
        except OSError as error:
            raise ArtifactError(f"{output}: cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ArtifactError(
                f"{output}: found another process at work on it, expected none; wait for its end"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.warning("%s: the file system has no locks; start no second process", output)
        with suppress(FileNotFoundError):  # the file may have been removed meanwhile
            if os.path.samestat(os.fstat(handle), (folder / LOCK).stat()):
                return handle
        os.close(handle)


def _leave(folder: Path, handle: int, complete: bool) -> None:
    """Unlock the folder; remove it where the job is complete or has left nothing to go on with."""
    left = [path for path in folder.glob("*") if path.name != LOCK]
    for path in left if complete else ():
        path.unlink()
    if complete or not left:
        (folder / LOCK).unlink(missing_ok=True)
    os.close(handle)
    with suppress(OSError):  # it holds unfinished work, or another process has come in
        folder.rmdir()


@dataclass(frozen=True)
class Checkpoint:
    """The place of a training's state.

    Attributes:
        path: The file, with the ending .safetensors.
        identity: Everything the training depends on; a state of another identity is not used.
    """

    path: Path
    identity: str

    def load(self) -> tuple[dict[str, Array], Any] | None:
        """Arrays by name and the facts beside them; None where there is nothing to go on with."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="numpy") as file:
                told = json.loads((file.metadata() or {})[KEY])
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum, identity, facts = (told[key] for key in ("checksum", "identity", "facts"))
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            log.warning("%s: cannot be read; the training begins anew", self.path.name)
            return None
        if checksum != _checksum(arrays, identity, facts):
            log.warning("%s: differs from its checksum; the training begins anew", self.path.name)
            return None
        return (arrays, facts) if identity == self.identity else None

    def save(self, arrays: Mapping[str, Array], facts: Any) -> None:
        """Replace the state by arrays, by name, and a JSON value.

        Raises:
            ArtifactError: the disk is full or read-only.
        """
        checksum = _checksum(arrays, self.identity, facts)
        told = {"identity": self.identity, "checksum": checksum, "facts": facts}
        kept = {name: np.asarray(array, order="C") for name, array in arrays.items()}
        try:
            with telling(self.path, "written"), whole(self.path) as beside:
                save_file(kept, beside, {KEY: json.dumps(told, sort_keys=True)})
        except SafetensorError as error:
            raise ArtifactError(f"{self.path}: cannot be written ({error})") from None


def _checksum(arrays: Mapping[str, Array], *told: Any) -> str:
    sha = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        sha.update(f"{name}\x1f{array.dtype}\x1f{array.shape}\x1e".encode())
        sha.update(array.data)
    return sha.hexdigest()
