"""Throw mutated inputs at the command line and the library, and look how each ends.

    python tests/fuzz.py --seed 0 --cases 2400
    python tests/fuzz.py --seed 0 --only table:17

A mutated input must be taken, or refused in one line with exit code 2. A fault is all else: another
exception, a traceback, more lines, no end within 10 s of computing, a half or temporary file, or an
input that is changed. Equal seeds give equal inputs; the number of an input makes it alone.
"""

import argparse
import importlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
import traceback
from collections import Counter, namedtuple
from contextlib import suppress
from pathlib import Path

os.environ.update(OMP_NUM_THREADS="1", HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")

BESIDE = Path("..", "shared")  # of the folder of an input, so that no input depends on where it is
PROCESSES = 4  # inputs of each kind that are run as a command of their own
WORD = 2  # seconds in which a worker without more to say ends
SILENCE = 90  # seconds without a word of a worker that is taken for dead
KINDS = {  # share of all inputs, words of the table, what makes one
    "configuration": (220, "configurations", "configurations.configuration"),
    "settings": (60, "settings of a stage", "configurations.settings"),
    "command": (80, "command lines", "configurations.command_line"),
    "table": (220, "tables of texts", "tables.table"),
    "wrench": (60, "WRENCH folders", "tables.wrench"),
    "tasks": (60, "files of tasks", "tasks.tasks_file"),
    "copy": (30, "local copies of hub datasets", "tasks.local_copy"),
    "model": (100, "model folders", "models.model"),
    "artifact": (140, "artifacts", "artifacts.artifact"),
    "folder": (30, "folders of artifacts", "artifacts.folder_of"),
    "function": (160, "arguments of library functions", "library.function"),
}
Ended = namedtuple("Ended", "number about state told")  # how an input ended


def main():
    """Run all inputs, or one; 1 if there is a fault."""
    options = _options()
    if options.worker:
        return _work(options)
    kind, number = options.only.partition(":")[::2] if options.only else ("", "")
    whole = sum(share for share, _, _ in KINDS.values())
    counts = {name: -(-share * options.cases // whole) for name, (share, _, _) in KINDS.items()}
    with tempfile.TemporaryDirectory(prefix="w2s-fuzz-") as temporary:
        folder = str(options.files or temporary)
        if not (Path(folder) / "shared").is_dir():
            sys.stderr.write("running a tiny experiment, to spoil its files\n")
            line = _line(options.seed, folder, "", 0, 0)
            subprocess.run(line, check=True, stderr=subprocess.DEVNULL)
        if kind:
            first = int(number or 0)
            last = first + 1 if number else counts[kind]
            plans = [(kind, first, last)]
        else:
            plans = [(name, 0, count) for name, count in counts.items()]
        found = {
            name: list(_results(options, folder, name, first, last)) for name, first, last in plans
        }
    return _report(found, options)


def _options():
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=2400, help="inputs in all")
    parser.add_argument("--only", metavar="KIND[:NUMBER]", help=f"one of {', '.join(KINDS)}")
    parser.add_argument("--files", type=Path, help="keep the files to spoil there, for other runs")
    parser.add_argument("--verbose", action="store_true", help="every input and how it ended")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    return parser.parse_args()


def _line(seed, folder, kind, first, last):
    what = [folder, kind, str(first), str(last)]
    return [sys.executable, str(Path(__file__)), "--seed", str(seed), "--worker", *what]


def _results(options, folder, kind, first, last):
    """The inputs of a kind by workers; a new one goes on where one has died."""
    number = first
    while number < last:
        about = "made by its generator"
        line = _line(options.seed, folder, kind, number, last)
        with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            for said in _said(worker.stdout):
                if said["state"] == "begun":
                    about = said["about"]
                    continue
                ended = Ended(number, about, said["state"], said["told"])
                if options.verbose:
                    sys.stdout.write(f"{kind}:{number}  {about}\n    {ended.state}: {ended.told}\n")
                yield ended
                about, number = "made by its generator", number + 1
            with suppress(subprocess.TimeoutExpired):
                worker.wait(WORD)
            worker.kill()
            why = worker.stderr.read().decode(errors="replace") if worker.stderr else ""
        if number < last:
            last_line = why.strip().splitlines()[-1:] or [""]
            told = f"its process ended with {worker.returncode} {last_line[0][:200]}"
            yield Ended(number, about, "fault", told)
            number += 1


def _said(stream):
    """Lines of a worker until it ends or is silent for too long."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        rest = b""
        while selector.select(SILENCE):
            read = os.read(stream.fileno(), 1 << 16)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            yield from map(json.loads, lines)


def _work(options):
    """Run the inputs of a kind one after another, and tell the parent of each."""
    import numpy as np
    from fuzzing import case, models, shared, tasks

    base, kind, first, last = options.worker
    place = Path(base) / "shared"
    if not kind:
        made = shared.write(place)
        models.few(made)
        tasks.rows_of_mine(made)
        return 0
    module, name = KINDS[kind][2].split(".")
    make = getattr(importlib.import_module(f"fuzzing.{module}"), name)
    case.limit_memory()
    parent = os.fdopen(os.dup(1), "w", encoding="utf-8")
    stderr = Path(base) / "stderr.txt"
    faults = os.fdopen(os.dup(2), "w", encoding="utf-8")
    sys.excepthook = lambda *told: traceback.print_exception(*told, file=faults)
    for handle, path in ((1, Path(os.devnull)), (2, stderr)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), handle)
    for number in range(int(first), int(last)):
        rng = np.random.default_rng([options.seed, list(KINDS).index(kind), number])
        with tempfile.TemporaryDirectory(prefix=f"{kind}-", dir=base) as folder:
            os.chdir(folder)
            made_case = make(shared.find(BESIDE), rng, Path(folder))
            _tell(parent, state="begun", about=made_case.about)
            result = case.perform(made_case, place, stderr, alone=number < PROCESSES)
            os.chdir(base)
        _tell(parent, state=result.state, told=result.told[:2000])
    return 0


def _tell(parent, **what):
    parent.write(json.dumps(what) + "\n")
    parent.flush()


def _report(found, options):
    """The table, and how to see each fault again."""
    rows = [("input", "tried", "refused in one line", "taken", "faults")]
    total = Counter[str]()
    for name, all_ended in found.items():
        count = Counter(ended.state for ended in all_ended)
        total += count
        numbers = (len(all_ended), count["refused"], count["taken"], count["fault"])
        rows.append((KINDS[name][1], *map(str, numbers)))
    numbers = (sum(total.values()), total["refused"], total["taken"], total["fault"])
    rows.append(("all", *map(str, numbers)))
    sys.stdout.writelines(f"| {' | '.join(row)} |\n" for row in (rows[0], ("---",) * 5, *rows[1:]))
    for name, all_ended in found.items():
        for ended in all_ended:
            if ended.state == "fault":
                sys.stdout.write(
                    f"\nfault {name}:{ended.number}  {ended.about}\n  {ended.told}\n"
                    f"  again: python tests/fuzz.py --seed {options.seed} --only "
                    f"{name}:{ended.number} --verbose\n"
                )
    return 1 if total["fault"] else 0


if __name__ == "__main__":
    sys.exit(main())
