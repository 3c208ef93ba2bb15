"""One job on a GPU at a time: a file lock for each card, held while the card is in use.

The locks are `flock` locks on empty files in the folder for temporary files. They end with the
process that holds them, however it ends, so that the files may stay and none is ever stale.
"""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from w2s.errors import DataError

POLL = 1.0  # seconds between two looks; jobs on a GPU take minutes
log = logging.getLogger(__name__)


@contextmanager
def own_card(device: str, *, every: bool = False) -> Iterator[str]:
    """Use a GPU, or `every`, that no other job uses: wait for it, and give it back at the end.

    The cards are those torch sees, so a preset CUDA_VISIBLE_DEVICES is respected. The card comes as
    a number among them and is made the current one; CUDA_VISIBLE_DEVICES itself is left as it is,
    because a process that has asked CUDA for anything no longer reads it.

    A block in a block of the same process waits for itself: there is to be one at a time.

    `cuda` or `auto` stand for any free card, `cuda:N` for this one, `cpu` for none; `auto` without
    a card, and a card that is not there, need no lock.

    Yields:
        The device to use: `cuda:N`; what was given for all, and where nothing was locked.

    Raises:
        DataError: the lock files cannot be opened or locked.
    """
    places = wanted(device, visible())
    if not places:
        yield device
        return
    known = [str(torch.cuda.get_device_properties(place).uuid) for place in places]
    names = card_names(places, known, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    with locked(names, every=every) as taken, torch.cuda.device(places[taken]):
        try:
            yield device if every else f"cuda:{places[taken]}"
        finally:
            gc.collect()  # the next job needs the memory: models have reference cycles
            torch.cuda.empty_cache()


def visible() -> int:
    """Number of GPUs that this process can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def wanted(device: str, count: int) -> list[int]:
    """Numbers of the cards that a device may mean, among `count` that there are."""
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda"):
        return []
    return [place for place in range(count) if not number or place == int(number)]


def card_names(places: Sequence[int], uuids: Sequence[str], preset: str) -> list[str]:
    """Names of cards that are the same in every process of the machine.

    A card's number is not: it depends on CUDA_VISIBLE_DEVICES and on the order CUDA was told to
    count in: the driver's `uuids` are not. A part of a card (MIG) is told apart by the name it was
    given to the process under, in `preset`, the value of CUDA_VISIBLE_DEVICES.
    """
    given = [word.strip() for word in preset.split(",")]
    names = []
    for place, uuid in zip(places, uuids, strict=True):
        part = place < len(given) and given[place].startswith("MIG")
        names.append(re.sub(r"[^\w-]", "_", given[place] if part else uuid))
    return names


@contextmanager
def locked(
    names: Sequence[str], *, every: bool = False, folder: Path | None = None
) -> Iterator[int]:
    """Hold the lock of one of the cards, or of all, and wait where there is none.

    All are taken in the order of their names: two processes that take all cannot each hold what the
    other waits for, and one that takes a single card holds nothing while it waits.

    Lock files are in the folder for temporary files where no other is given.

    Yields:
        The position of the card in `names`; 0 for all.

    Raises:
        DataError: a lock file cannot be opened or locked.
    """
    where = Path(tempfile.gettempdir()) if folder is None else folder
    paths = [where / f"w2s-gpu-{name}.lock" for name in names]
    cards = f"{len(paths)} cards, all in use" if len(paths) > 1 else "1 card, in use"
    handles: list[int] = []
    try:
        taken = 0
        if every:
            for path in sorted(set(paths)):
                line = f"waiting for all GPUs: {len(handles)} of {len(paths)} taken so far"
                handles.append(_wait([path], line)[1])
        else:
            taken, handle = _wait(paths, f"waiting for a free GPU: {cards}")
            handles.append(handle)
        yield taken
    finally:
        for handle in handles:
            os.close(handle)


def _wait(paths: Sequence[Path], line: str) -> tuple[int, int]:
    """Position of the first file that could be locked, and its handle."""
    told = False
    while True:
        for i, path in enumerate(paths):
            handle = _lock(path)
            if handle is not None:
                return i, handle
        if not told:
            log.warning(line)
            told = True
        threading.Event().wait(POLL)


def _lock(path: Path) -> int | None:
    """The handle of the locked file; None where another process has locked it."""
    handle = None
    try:
        handle = _open(path)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if handle is not None:
            os.close(handle)
        if isinstance(error, BlockingIOError):
            return None
        raise DataError(
            f"{path}: found a file that cannot be locked ({error.strerror}), expected a lock for "
            f"jobs to share the GPUs; delete it, or set TMPDIR to another folder for all jobs"
        ) from None
    return handle


def _open(path: Path) -> int:
    """Open a lock file, also another user's; make it where there is none.

    Linux refuses to open others' files in a shared folder if told to make them where missing
    (fs.protected_regular), so that these are two calls.
    """
    while True:
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with suppress(FileExistsError):  # by another process, since the line above
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
            os.fchmod(handle, 0o666)  # whatever the umask
            return handle
