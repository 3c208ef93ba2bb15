"""Tasks of the user's own, from a Python file."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from w2s.data.task import Row, Task, shown
from w2s.data.tasks import TASKS
from w2s.errors import DataError, W2SError

if TYPE_CHECKING:
    import numpy as np
LABELS = {"0", "1", "0.0", "1.0", "False", "True"}
# What a table of tasks can raise while it is made, told in one line that names its file. An error
# of a class of the user's own is none of these, and comes out as its own traceback.
MISTAKES = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, W2SError, EOFError, MemoryError,
    StopIteration, SystemExit,
)  # fmt: skip


def load_tasks(path: Path) -> dict[str, Task]:
    """Run a Python file that defines `TASKS`, a mapping from keys to tasks.

    The file runs with the rights of whoever calls this. Nothing is written beside it.

    Raises:
        DataError: no such file, a file that raises, without TASKS, with something else in it than
            tasks by their keys, or with a key of the tasks that are always there. An error of the
            file is the cause of this one.
    """
    names = run_file(path, "TASKS = {...}")
    if "TASKS" not in names:
        raise DataError(f"{path}: found no TASKS, expected TASKS = {{KEY: Task(...)}}")
    tasks = names["TASKS"]
    if not isinstance(tasks, Mapping):
        raise DataError(f"{path}, TASKS: found {shown(tasks)}, expected {{KEY: Task(...)}}")
    for key, task in tasks.items():
        where = f"{path}, TASKS: found"
        if not isinstance(key, str) or not key.strip():
            raise DataError(f"{where} the key {shown(key)}, expected a name")
        if not isinstance(task, Task):
            raise DataError(f"{where} {shown(task)} for '{key}', expected a Task")
        if key in TASKS:
            raise DataError(f"{where} '{key}', expected a name that is not taken")
    return dict(tasks)


def run_file(path: Path, expected: str) -> dict[str, Any]:
    """What a Python file of the user's own defines; nothing is written beside it.

    Args:
        path: The file.
        expected: What it is to define, for the message.

    Raises:
        DataError: no such file, or one that raises; its error is the cause of this one.
    """
    if not path.is_file():
        raise DataError(f"{path}: found no file, expected Python with {expected}")
    try:
        return _run(path)
    except MISTAKES as error:
        told = f"{path}{_line(error, path)}: found {told_error(error)}"
        raise DataError(f"{told}, expected a file that runs") from error


def _run(path: Path) -> dict[str, Any]:
    """The names of the file.

    The source is compiled here and not imported: an import would write bytecode beside the file,
    and would take that for the file itself after two edits within a second.
    """
    place = hashlib.sha256(bytes(path.resolve())).hexdigest()
    name = f"w2s_tasks_{place[:16]}"  # files of one name in two folders do not meet
    loader = SourceFileLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise ImportError(f"no module can be made of {path}")
    module = importlib.util.module_from_spec(spec)
    code = loader.source_to_code(path.read_bytes(), str(path))
    sys.modules[name] = module  # where dataclasses of the file look for it
    exec(code, vars(module))
    return vars(module)


def told_error(error: BaseException) -> str:
    """Class and message in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _line(error: BaseException, path: Path) -> str:
    """The line of the file where it went wrong, if the error knows."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f", line {error.lineno}"
    steps = traceback.extract_tb(error.__traceback__)
    lines = [step.lineno for step in steps if step.filename == str(path)]
    return f", line {lines[-1]}" if lines else ""


def example_of(task: Task, row: Row, rng: np.random.Generator) -> tuple[str, int] | None:
    """What a task makes of a row: a text and a label, or None where it cannot be used.

    Raises:
        DataError: a row that the task refuses, another error of its `format`, or something else
            that it returns.
    """
    try:
        made = task.format(row, rng)
    except DataError:
        raise
    except MISTAKES as error:
        step = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{step.filename}, line {step.lineno}"
        raise DataError(f"{where}: found {told_error(error)}, expected `format` to run") from error
    if made is None:
        return None
    if not _is_example(made):
        raise DataError(f"found {shown(made)} of `format`, expected (text, 0 or 1), or None")
    return made[0], int(made[1])


def _is_example(made: object) -> bool:
    if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], str):
        return False
    return not isinstance(made[1], str) and str(made[1]) in LABELS  # of Python or NumPy


def all_tasks(path: Path | None = None) -> dict[str, Task]:
    """All tasks by key: of the table, and of the user's file.

    Raises:
        DataError: a file that cannot be used.
    """
    return {**TASKS, **({} if path is None else load_tasks(path))}


def find_task(key: str, path: Path | None = None) -> Task:
    """The task of a key: one of the table, or of the user's file.

    Raises:
        DataError: no such task, with the nearest name; or a file that cannot be used.
    """
    if key in TASKS:
        return TASKS[key]
    tasks = all_tasks(path)
    if key not in tasks:
        near = difflib.get_close_matches(key, tasks, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "`w2s tasks` lists them"
        raise DataError(f"task: found '{key}', which is not a task; {hint}")
    return tasks[key]
