"""Plant faults, one at a time, in a copy of the repository, and look which test catches each.

    python tests/planted.py [--only N ...]

A fault is a snippet of source text, found wherever it stands in w2s/ and workflow/ (once, whatever
its white space), and what takes its place. Caught means that a test fails which passes without the
fault. A fault of which none does is missed; a snippet that is not found once, and tests that cannot
be run, are errors. Exit code 1 if there is either.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = 1800  # seconds for the tests of a fault, which may have no end
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/\S+?\.py(?:::\w+)+)", re.MULTILINE)


class Fault(NamedTuple):
    """Names of test files; what is wrong; source text and what takes its place; which tests."""

    tests: str
    name: str
    old: str
    new: str
    options: str = "-m 'not slow'"


FAULTS = (
    Fault("test_overlap", "a confidence at the threshold is hard",
          "region[confidence < self.tau_hard]", "region[confidence <= self.tau_hard]"),
    Fault("test_steps", "regions are matched by position and not by id",
          'regions["region"][rows_of(pool["id"], regions["id"], what="regions")]',
          'regions["region"][regions["part"] == "strong_train"]'),
    Fault("test_artifacts", "the digest of an artifact depends on the order of its arrays",
          "for name in sorted(artifact.arrays):", "for name in artifact.arrays:"),
    Fault("test_mixing", "a mix lacks one of its other points",
          "order[i][j][: needed[i, j]]", "order[i][j][i : needed[i, j]]"),
    Fault("test_icwsm14", "labels are swapped", "int(rating > 0)", "int(rating < 0)"),
    Fault("test_artifacts", "a file takes its place before it is on disk",
          "os.fsync(written.fileno())", "written.fileno()"),
    Fault("test_security", "a title can end a script of the report",
          r'text.replace("<", "\\u003c")', "text"),
    Fault("test_intervals", "an interval of level 0.95 covers 0.9",
          "tail = (1 - level) / 2", "tail = 1 - level"),
    Fault("test_bandits", "the bonus of UCB lacks its factor 2",
          "np.sqrt(2 * np.log(horizon) / np.maximum(pulls, 1))",
          "np.sqrt(np.log(horizon) / np.maximum(pulls, 1))"),
    Fault("test_probes", "the intercept of a probe is that of centred rows",
          "solution.theta[-1] - self.matrix.centre @ coef", "solution.theta[-1]"),
    Fault("test_change_point", "a change point is the value before it",
          "ordered[1:][np.argmax(gain >= least)]", "ordered[:-1][np.argmax(gain >= least)]"),
    Fault("test_metrics", "accuracy leaves out predictions that are NaN",
          "float(right.mean(dtype=np.float64))", "float(np.nanmean(right, dtype=np.float64))"),
    Fault("test_tables", "p values are not corrected for their number",
          "p[family] = holm(p[family])", "p[family] = p[family]"),
    Fault("test_label_models", "the E-step of Dawid and Skene reads classes for votes (an axis)",
          "zeros @ log[:, 0] + ones @ log[:, 1]", "zeros @ log[:, :, 0] + ones @ log[:, :, 1]"),
    Fault("test_tokenizer", "long texts are cut on the other side", "truncation_side=truncation,",
          'truncation_side={"left": "right", "right": "left"}[truncation],'),
    Fault("test_encoder", "a mean over tokens holds padding",
          "(hidden.float() * real[:, :, None]).sum(1)", "hidden.float().sum(1)"),
    Fault("test_losses", "the confidence loss swaps the weights of labels and predictions",
          "(1 - c) * y + c * hardened", "c * y + (1 - c) * hardened"),
    Fault("test_checkpoint", "a training goes on from the state of another one",
          "(arrays, facts) if identity == self.identity else None", "arrays, facts"),
    Fault("test_splits test_examples", "groups and near-duplicates of test are drawn for the pool",
          "if groups[i] not in seen", ""),
    Fault("test_hub_workflow", "a rule lacks an input: an edit of a local copy reruns nothing",
          "local=local_copy_of,", "local=[],", "-m slow -k users_own"),
)  # fmt: skip


def main() -> int:
    """Print a table of the faults; 1 if one is missed."""
    known = range(1, len(FAULTS) + 1)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", type=int, choices=known, metavar="N", default=known)
    numbers, told, begin = parser.parse_args().only, list[str](), time.monotonic()
    print("| | fault | where | caught by |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        copy = copied(Path(folder) / "repository")
        for number in numbers:
            where, what = plant(copy, FAULTS[number - 1])
            told.append(what)
            print(f"| {number} | {FAULTS[number - 1].name} | {where} | {what} |", flush=True)
        caught = [what for what in told if what.startswith("tests/")]
        code, output = run_tests(copy, sorted(set(caught))) if caught else (0, "")
    bad, seconds = len(told) - len(caught), time.monotonic() - begin
    print(f"\n{len(told)} faults, {bad} missed or in error, {seconds:.0f} s")
    if code:
        print(f"without any fault tests fail too, so nothing is shown:\n{output[-2000:]}")
    return int(bad > 0 or code != 0)


def copied(target: Path) -> Path:
    """A copy of what git knows of, which Python imports in the place of the original."""
    names = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPOSITORY, text=True)
    for name in filter(lambda name: (REPOSITORY / name).is_file(), names.split("\0")):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, target / name)
    os.environ.update(OMP_NUM_THREADS="1", PYTHONPATH=str(target))
    code = f"import sys, w2s; sys.exit(not w2s.__file__.startswith({str(target)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=target, check=True)
    return target


def plant(copy: Path, fault: Fault) -> tuple[str, str]:
    """Where a fault was planted, and the first test that failed, or what else there is to say."""
    words = re.compile(r"\s*".join(map(re.escape, "".join(fault.old.split()))))
    paths = [path for top in ("w2s", "workflow") for path in (copy / top).rglob("*")]
    texts = {p: p.read_text("utf-8") for p in paths if p.is_file() and p.suffix != ".pyc"}
    found = [path for path, text in texts.items() for _ in words.findall(text)]
    where = ", ".join(sorted(path.relative_to(copy).as_posix() for path in found))
    tests = [str(p) for name in fault.tests.split() for p in copy.rglob(f"{name}.py")]
    if len(found) != 1 or not tests:
        return where, f"ERROR: snippet found {len(found)} times, {len(tests)} files of tests"
    found[0].write_text(words.sub(lambda _: fault.new, texts[found[0]]), encoding="utf-8")
    code, output = run_tests(copy, tests, *shlex.split(fault.options))
    found[0].write_text(texts[found[0]], encoding="utf-8")
    failed = FAILED.search(output)
    if code == 1 and failed:
        return where, failed[1]
    return where, "MISSED" if code == 0 else f"ERROR: pytest ended with {code}"


def run_tests(copy: Path, tests: list[str], *options: str) -> tuple[int, str]:
    """Exit code and output of a run of tests in the copy, up to the first that fails."""
    line = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options, *tests]
    line += [f"--basetemp={copy.parent / 'tests'}"]
    try:
        done = subprocess.run(line, cwd=copy, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return 124, ""
    return done.returncode, done.stdout + done.stderr


if __name__ == "__main__":
    sys.exit(main())
