"""A tiny experiment in a folder of its own, and the commands that run it."""

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import tiny
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
BEGINNING = "the same words again and again before anything differs at all in this text"
SCRIPT = "<script>alert('w2s')</script>"
TITLE = f'</script>{SCRIPT} | "quoted" & <b>bold</b> [link](javascript:alert(1))'
SECRETS = {
    name: f"telltale-{number}-of-{name.lower()}"
    for number, name in enumerate(("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PIP_PASSWORD"))
}
SELECTION = {
    "paths": {"rounds": 5, "batch": 4, "repeats": 1},
    "experiments": {
        "cut": {"title": "Plain, cut", "sources": "partition", "dataset": "plain"},
        "nothing": {"sources": "partition", "dataset": "flat"},
        "both": {"sources": "corpora", "datasets": ["plain", "flat"], "targets": ["plain"]},
    },
}
LABEL_NOISE = {"datasets": ["plain", "flat"], "rates": [0.2], "neighbors": 5}
RECIPE = {"epochs": 4, "looks": 4, "rank": 4, "batch_size": 8, "learning_rate": 0.01}
ARMS = {
    "datasets": ["plain", "flat"],
    "selectors": ["overlap", "confidence", "rp"],
    "bands": ["high"],
    "budgets": [0.5, 1.0],
    "students": ["logistic", "knn", "perceptron"],
    "random": 2,
    "matched": 1,
    "purities": [0.9],
}
FINETUNING = {
    "losses": ["xent", "logconf"],
    "self_training": 1,
    "arms": [{"selector": "rp"}],
    "recipe": RECIPE,
}


def make_project(folder, *, seeds=(0, 1), **changes):
    """Write two small models, an ordinary and a degenerate dataset, and a configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_model(folder / "models" / "small", family="bert")
    tiny.write_model(folder / "models" / "large", family="llama")
    tiny.write_dataset(folder / "plain.csv", n=240)
    write_flat_dataset(folder / "flat.csv")
    config = {
        "results": "results",
        "seeds": list(seeds),
        "datasets": {
            "plain": {"title": "Plain", "source": "file", "path": "plain.csv"},
            "flat": {"source": "file", "path": "flat.csv"},
        },
        "models": {
            "small": {"source": "local", "path": "models/small", "max_length": 12},
            "large": {"source": "local", "path": "models/large", "max_length": 12,
                      "pooling": "mean"},
        },
        "pairs": [{"weak": "small", "strong": "large"}],
        "mixing": {"proportions": [0, 0.5, 1], "repeats": 2},
        "evaluation": {"bootstrap": 200},
    }  # fmt: skip
    config.update(changes)
    write_config(folder, config)
    return folder


def make_hostile(folder, **changes):
    """The same experiment with a title and texts that would be run as code where they could."""
    plain = {"title": TITLE, "source": "file", "path": "plain.csv"}
    make_project(
        folder, datasets={"plain": plain, "flat": {"source": "file", "path": "flat.csv"}}, **changes
    )
    head, *lines = (folder / "plain.csv").read_text(encoding="utf-8").splitlines()
    lines = [f'"{line[:-2]} | {SCRIPT}",{line[-1]}' for line in lines]
    (folder / "plain.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return folder


def finished_project(factory):
    """A project of pairs and most tracks that has run once: to be copied, not changed.

    All tests of a process share it: those that use it are of the group `workflow` of xdist.
    """
    return _finished(factory.getbasetemp() / "finished")


@cache
def _finished(folder):
    tracks = {"arms": ARMS, "selection": SELECTION, "finetuning": FINETUNING, "gain": {}}
    make_hostile(folder, **tracks, label_noise=LABEL_NOISE)
    done = snakemake(folder, secrets=SECRETS)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "said").write_text(done.stdout + done.stderr, encoding="utf-8")
    return folder


def write_flat_dataset(path):
    """Different texts with one beginning: cut to 12 tokens they are the same for any model."""
    rows = [f'"{BEGINNING} {i}",{i % 2}' for i in range(60)]
    path.write_text("\n".join(["text,label", *rows]) + "\n", encoding="utf-8")


def read_config(folder):
    return yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))


def write_config(folder, config):
    text = yaml.safe_dump(config, sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")


def environment(library=None):
    """Environment of a command; `library` is a folder with another copy of the package."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    if library is not None:
        variables["PYTHONPATH"] = str(library)
    return variables


def command(folder, *arguments, cores=2, repository=REPOSITORY):
    """The snakemake command line for a project."""
    return [
        str(BIN / "snakemake"),
        *("--snakefile", str(repository / "workflow" / "Snakefile")),
        *("--directory", str(folder)),
        *("--configfile", str(folder / "config.yaml")),
        *("--cores", str(cores)),
        *arguments,
    ]


def snakemake(folder, *arguments, cores=2, repository=REPOSITORY, library=None, secrets=None):
    """Run snakemake on a project and return the finished process, both streams as text."""
    return subprocess.run(
        command(folder, *arguments, cores=cores, repository=repository),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment(library) | (secrets or {}),
    )


def kill_run(folder, target, reached, *, cores=2, seconds=300):
    """Run snakemake on a target and kill it with all its jobs as soon as a point is reached."""
    running = subprocess.Popen(
        command(folder, target, cores=cores), cwd=folder, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "the point was not reached"
        assert running.poll() is None, "snakemake ended before it was killed"
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (folder / target).exists()


def planned(folder, **options):
    """Jobs a dry run lists, by rule; empty if there is nothing to be done."""
    done = snakemake(folder, "--dry-run", **options)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    if "Nothing to be done" in output:
        return {}
    stats = output[output.index("Job stats:") :]
    counts = re.findall(r"^(\w+) +(\d+)$", stats, flags=re.MULTILINE)
    return {rule: int(count) for rule, count in counts if rule not in ("total", "all")}


def contents(folder, results=None):
    """Bytes of everything below results except logs, benchmarks and the report."""
    results = results or folder / "results"
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
    }


def change(folder, edit):
    """Edit the configuration of a project."""
    config = read_config(folder)
    edit(config)
    write_config(folder, config)


def copy_project(source, target):
    """A copy with all times and Snakemake's records, so that it is as up to date as the source."""
    shutil.copytree(source, target)
    return target


def edit_function(module, name):
    """Change what a function of a copy of the package does, in no way that shows."""
    lines = module.read_text(encoding="utf-8").split("\n")
    (found,) = [n for n in ast.parse("\n".join(lines)).body if getattr(n, "name", "") == name]
    last = found.body[-1]
    lines.insert(last.lineno - 1, f"{' ' * last.col_offset}edited = 1  # noqa: F841")
    module.write_text("\n".join(lines), encoding="utf-8")


def copy_library(target):
    """A copy of the package and the workflow, to be edited by a test."""
    for part in ("w2s", "workflow"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / part, target / part, ignore=ignore)
    return target


def foreign_files(folder):
    """Files of its results that do not belong to its configuration, as `w2s verify` tells them."""
    line = [sys.executable, "-m", "w2s", "verify", "--config", "config.yaml", "results"]
    done = subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=folder, env=environment()
    )
    told = done.stdout.splitlines()[1:-1]
    assert done.returncode == (1 if told else 0), done.stdout + done.stderr
    return told
