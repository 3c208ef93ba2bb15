"""Paths in a configuration: as jobs are given them, or refused before any job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

MISREAD = "{}<>"  # Snakemake takes names between them for wildcards and path variables


def _path(text: str) -> str:
    """The path with the home folder written out.

    Raises:
        PydanticCustomError: nothing, an option in the place of a path, letters that Snakemake reads
            otherwise, a line break, or the home of nobody.
    """
    if not text.strip():
        raise _refused("a path, such as results/mine")
    if text.startswith("-"):  # an option to the commands of the jobs
        raise _refused("a path that does not begin with a dash")
    if any(letter in MISREAD or ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise _refused("a path without braces, angle brackets, line breaks and control characters")
    if not text.startswith("~"):
        return text
    try:
        return str(Path(text).expanduser())
    except RuntimeError:
        raise _refused("the home folder of a user who is known here") from None


def _folder(text: str) -> str:
    """The path as Snakemake writes it: without `./` and a slash at the end.

    Raises:
        PydanticCustomError: the root of all files, or a folder around the current one.
    """
    path = Path(text)
    if path == Path(path.anchor or "..") or path.name == "..":
        raise _refused("a folder of its own, such as results/mine")
    return _path(str(path))


def _refused(expected: str) -> PydanticCustomError:
    return PydanticCustomError("path", "{expected}", {"expected": f"expected {expected}"})


InputPath = Annotated[str, AfterValidator(_path)]
OutputFolder = Annotated[InputPath, AfterValidator(_folder)]
