"""The folder of an unfinished job: what it left when it was killed, for the next one to go on.

It stands beside the job's output, so on the same disk, and is named for the output and for all that
the result depends on. One process at a time uses it. It goes when the output is complete.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from w2s.errors import ArtifactError

LOCK = "lock"
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}  # of file systems without locks
KEY = 16  # hex digits of the identity in the name
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
    key = hashlib.sha256(text.encode()).hexdigest()[:KEY]
    folder = output.parent / f".work-{output.name}-{key}"
    handle = _lock(folder, output)
    complete = False
    try:
        yield folder
        complete = True
    finally:
        _leave(folder, handle, complete)
    _remove_stale(output)


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
        if _is(handle, folder / LOCK):
            return handle
        os.close(handle)


def _is(handle: int, path: Path) -> bool:
    """Whether the open file still is the one of that name, not one that was removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


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


def _remove_stale(output: Path) -> None:
    """Remove what jobs of other settings, inputs or code left unfinished for the same output."""
    prefix = f".work-{output.name}-"
    for folder in list(output.parent.iterdir()):
        if folder.name.startswith(prefix) and len(folder.name) == len(prefix) + KEY:
            with suppress(ArtifactError, OSError):  # in use by another process, or of another user
                _leave(folder, _lock(folder, output), complete=True)
