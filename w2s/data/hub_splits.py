"""Which files of a folder hold which split, and whether all of them are there.

`datasets` looks for the words of splits in the names of folders too: every file below
`train-test-split/` is in both splits. Here the name of a file decides, then a folder that is named
for a split and nothing else; where names say two things, or only a part of a folder's name says
something, there is no guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from w2s.errors import DataError

WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "dev", "val"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}  # what `datasets` takes for names of splits
BETWEEN = re.compile(r"[-._ 0-9]+")  # what it takes for signs between words
SHARD = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?:\D.*)?")
REMEDY = "name each file, or its folder, for one split, or list them as `configs` in README.md"


def splits_of(files: Iterable[str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """The files of each split, sorted; all in `train` where no name says anything.

    Args:
        files: Data files, relative to their folder, with slashes.
        wanted: Names of splits that are asked for, beside `train`, `validation` and `test`.

    Raises:
        DataError: a name that says two splits, or a folder whose name says one in passing.
    """
    ordered = sorted(files)
    found: dict[str, list[str]] = {}
    for file in ordered:
        if split := _split_of(PurePosixPath(file), wanted):
            found.setdefault(split, []).append(file)
    return found or {"train": ordered}


def _split_of(file: PurePosixPath, wanted: Sequence[str]) -> str:
    """The split that a file's name says, "" if none."""
    shard = SHARD.fullmatch(file.name)
    name = shard["name"] if shard else file.name.partition(".")[0]
    own = {name} if name in wanted else _said(shard["name"] if shard else file.name)
    folders = {
        folder if folder in wanted else WORDS[folder.lower()]
        for folder in file.parent.parts
        if folder in wanted or folder.lower() in WORDS
    }
    said = own | folders
    if not said and any(_said(folder) for folder in file.parent.parts):
        raise DataError(f"found the file {file}, whose folder only names a split; {REMEDY}")
    if len(said) > 1:
        told = " and ".join(sorted(said))
        raise DataError(f"found the file {file}, which is named for {told}; {REMEDY}")
    return next(iter(said), "")


def _said(name: str) -> set[str]:
    """Splits that are words of a name."""
    return {WORDS[word] for word in BETWEEN.split(name.lower()) if word in WORDS}


def check_shards(files: Mapping[str, Iterable[str]], wanted: Sequence[str]) -> bool:
    """Raise unless the files `NAME-00000-of-00003` are as many as they say.

    Args:
        files: Paths of the files of each split.
        wanted: Splits that are read.

    Returns:
        Whether all files of these splits say how many there are.

    Raises:
        DataError: one is missing.
    """
    said: dict[tuple[str, str], set[int]] = {}
    every = True
    for split in wanted:
        for file in map(PurePosixPath, files.get(split, ())):
            shard = SHARD.fullmatch(file.name)
            every = every and shard is not None
            if shard:
                series = str(file.parent / shard["name"]), shard["count"]
                said.setdefault(series, set()).add(int(shard["number"]))
    for (name, count), numbers in said.items():
        missing = sorted(set(range(int(count))) - numbers)
        if missing:
            raise DataError(
                f"found {len(numbers)} of {int(count)} files {PurePosixPath(name).name}-*, "
                f"expected also number {missing[0]:05d}"
            )
    return every
