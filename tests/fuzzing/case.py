"""One mutated input: what is run on it, and whether it ended as it should."""

import os
import resource
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from w2s.cli import main
from w2s.errors import W2SError

LIMIT = 10  # seconds of computing
WAIT = 60  # seconds of a process, which may have to wait for others
MEMORY = 8 << 30  # bytes of address space
MAIN = 1  # exit code of `verify --config` that found foreign files; no mistake
BESIDE = (".csv", ".md", ".png")  # files for people beside an output
STATES = ("refused", "taken", "fault")


@dataclass(frozen=True)
class Case:
    """A mutated input and what is done with it.

    Attributes:
        about: What was changed.
        run: Arguments of the command line, or a function without arguments.
        folder: Of this case alone: no file in it may change but `outputs`.
        outputs: Files the command writes.
        several: Whether an error may have several lines, one for each mistake.
        errors: What a function may raise, by its docstring.
    """

    about: str
    run: Sequence[str] | Callable[[], object]
    folder: Path
    outputs: Sequence[Path] = ()
    several: bool = False
    errors: tuple[type[BaseException], ...] = (W2SError,)


@dataclass(frozen=True)
class Result:
    """How a case ended: one of `STATES`, and what was seen."""

    state: str
    told: str


def limit_memory():
    """Have a request for too much memory fail instead of the machine."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, hard))


def files_below(folder):
    """Size and time of every file below a folder, hidden ones too; folders have neither."""
    found = {}
    for place, folders, names in os.walk(folder):
        found |= {Path(place, name): (0, 0) for name in folders}
        for name in names:
            stat = Path(place, name).lstat()
            found[Path(place, name)] = (stat.st_size, stat.st_mtime_ns)
    return found


def perform(case, shared, stderr, *, alone):
    """Run a case and look at all that it may not do.

    Args:
        case: The case; the current folder is its own.
        shared: Files that all cases read.
        stderr: Where this process's standard error goes.
        alone: In a process of its own.
    """
    before = files_below(case.folder) | files_below(shared)
    stderr.write_text("", encoding="utf-8")
    begun = time.process_time()
    if alone and not callable(case.run):
        code, told = _process(case.run)
    else:
        code, told = _here(case)
        told = told or stderr.read_text(encoding="utf-8", errors="replace")
    seconds = time.process_time() - begun
    after = files_below(case.folder) | files_below(shared)
    faults = [*_of_message(case, code, told), *_of_files(case, code, before, after)]
    if seconds > LIMIT:
        faults.append(f"took {seconds:.0f} s")
    if faults:
        last = next((line for line in reversed(told.splitlines()) if "error: " in line), "")
        return Result("fault", "; ".join(faults) + (f" ({last})" if last else ""))
    return Result("taken" if code in (0, MAIN) else "refused", told)


def _process(line):
    try:
        done = subprocess.run(
            [sys.executable, "-m", "w2s", *line],
            capture_output=True, text=True, errors="replace", check=False, timeout=WAIT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"no end after {WAIT} s", ""
    return (done.returncode if done.returncode >= 0 else f"signal {-done.returncode}"), done.stderr


def _here(case):
    """Exit code, or what was raised; and the message, where it is not on standard error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not callable(case.run):
                return main(case.run), ""
            case.run()
    except SystemExit as end:
        return (end.code if isinstance(end.code, int) else f"SystemExit {end.code!r}"), ""
    except case.errors as error:
        lines = error.lines if isinstance(error, W2SError) else [str(error)]
        return 2, "\n".join(f"error: {line}" for line in lines)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return _shown(error), ""
    return 0, ""


def _shown(error):
    """An error and the last line of the project's own that it went through."""
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if f"{os.sep}w2s{os.sep}" in step.filename]
    place = ""
    if own:
        name = own[-1].filename.rpartition(f"{os.sep}w2s{os.sep}")[2]
        place = f" at w2s/{name}:{own[-1].lineno}"
    reason = " ".join(str(error).split())[:160]
    return f"raised {type(error).__name__}{place} ({reason})"


def _of_message(case, code, told):
    """What is wrong with the exit code and the message."""
    if isinstance(code, str):
        return [code]
    told_foreign = code == MAIN and not callable(case.run) and "--config" in case.run
    if code not in (0, 2) and not told_foreign:
        last = next((line for line in reversed(told.splitlines()) if line.strip()), "")
        return [f"exit code {code} ({last[:160]})"]
    if "Traceback (most recent" in told or "panicked at" in told:
        return ["a traceback on standard error"]
    lines = [line for line in told.splitlines() if "error: " in line]
    if code == 2 and not lines:
        return ["no line says what is wrong"]
    if code == 2 and len(lines) > 1 and not case.several:
        return [f"{len(lines)} lines of errors: {lines[:2]}"]
    bad = [line for line in lines if not line.partition("error: ")[2].strip()]
    bad += [line for line in lines if any(ord(sign) < 32 and sign != "\t" for sign in line)]
    if code == 2 and bad:
        return [f"an empty line or control characters: {bad[0][:160]!r}"]
    return []


def _of_files(
    case,
    code,
    before,
    after,
):
    """What is wrong with the files."""
    changed = [path for path in before if after.get(path) != before[path]]
    outputs = {path for output in case.outputs for path in _written(output)}
    changed = [path for path in changed if path not in outputs]
    allowed = outputs if code == 0 else set()
    allowed = allowed | {parent for path in outputs for parent in path.parents}
    left = [path for path in after if path not in before and path not in allowed]
    lacking = [path for path in case.outputs if code == 0 and not path.is_file()]
    return [
        *(f"changed {path.name}" for path in changed[:1]),
        *(f"left {path.name}" for path in left[:1]),
        *(f"did not write {path.name}" for path in lacking[:1]),
    ]


def _written(output):
    return [output, *(output.with_suffix(ending) for ending in BESIDE)]
