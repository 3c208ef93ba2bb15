"""What the workflow itself costs.

Run `python benchmarks/dag.py` after a default run (about a minute). Every command is a process of
its own; a run without work changes nothing.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from measure import finished_run, write_table

from w2s.tracks import STAGES

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--snakefile", "workflow/Snakefile"]
NOTHING = "Nothing to be done"
PARSE = (
    "import yaml, w2s.config\n"
    "from w2s import dag, digest\n"
    "from w2s.tracks import STAGES\n"
    "from pathlib import Path\n"
    "config = w2s.config.parse(yaml.safe_load(Path({path!r}).read_text()))\n"
    "dag.packages(config)\n"
    "[dag.model_files(config, model) for model in config.models]\n"
    "[digest.code_digest(stage) for stage in STAGES]\n"
)
DATASETS, SEEDS = 19, 10  # of the paper's experiments


def run(command):
    """What a command prints, or the end of the script with it."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def timed(command, repeats):
    """Median seconds of a command, and what it printed."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        printed = run(command)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), printed


def jobs_in(printed):
    """Number of jobs a dry-run tells of, `all` included."""
    found = re.search(r"^total\s+(\d+)", printed, flags=re.MULTILINE)
    return int(found.group(1)) if found else 0


def paper_size(folder):
    """A configuration of the paper's size, on tiny files, with the models of the default one."""
    config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8"))
    lines = [f"text number {i},{i % 2}" for i in range(80)]
    table = "\n".join(["text,label", *lines]) + "\n"
    names = [f"dataset{i:02d}" for i in range(DATASETS)]
    for name in names:
        (folder / f"{name}.csv").write_text(table, encoding="utf-8")
    config["datasets"] = {
        name: {"source": "file", "path": str(folder / f"{name}.csv")} for name in names
    }
    config |= {"results": str(folder / "results"), "seeds": list(range(SEEDS))}
    path = folder / "paper.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(path)


def start_rows(results, repeats):
    """What comes before the DAG."""
    python = [sys.executable, "-c"]
    parse = PARSE.format(path="config/config.yaml")
    steps = {
        "python, nothing else": [*python, "pass"],
        "import snakemake.cli": [*python, "import snakemake.cli"],
        "import w2s.dag, check the configuration, code digests": [*python, parse],
        "snakemake --list-rules (imports, parses, no DAG)": [*SNAKEMAKE, "--list-rules"],
    }
    for stage in ("split", "strong", "tokenize", "activations", "figures"):
        module = STAGES[stage].module
        steps[f"start of a job: imports of {stage}"] = [*python, f"import w2s.cli, {module}"]
    table = str(results / "tables" / "main.parquet")
    load = [*python, f"import w2s; w2s.load({table!r})"]
    steps["start of a job: w2s.load of a small Parquet table"] = load
    for step, command in steps.items():
        seconds, _ = timed(command, repeats)
        yield row(step, seconds)


def row(step, seconds, jobs="", runs=""):
    return {"step": step, "jobs": jobs, "to run": runs, "seconds": f"{seconds:.2f}"}


def default_rows(jobs, repeats):
    """The default configuration, whose run is there already."""
    seconds, printed = timed([*SNAKEMAKE, "--dry-run"], repeats)
    name = "default (4 datasets, 5 seeds)"
    yield row(f"{name}: dry-run", seconds, jobs, jobs_in(printed))
    if NOTHING in printed:
        seconds, _ = timed([*SNAKEMAKE, "--cores", "1"], repeats)
        yield row(f"{name}: run without work", seconds, jobs, 0)
    seconds, _ = timed([*SNAKEMAKE, "--dry-run", "--forceall"], repeats)
    yield row(f"{name}: dry-run of all jobs", seconds, jobs, jobs)


def paper_row(repeats):
    with tempfile.TemporaryDirectory() as folder:
        path = paper_size(Path(folder))
        command = [*SNAKEMAKE, "--dry-run", "--forceall", "--configfile", path]
        seconds, printed = timed(command, repeats)
    jobs = jobs_in(printed)
    return row(
        f"paper's size ({DATASETS} datasets, {SEEDS} seeds): dry-run of all jobs",
        seconds,
        jobs,
        jobs,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    results = finished_run(ROOT / "results" / "demo")
    jobs = jobs_in(run([*SNAKEMAKE, "--dry-run", "--forceall"]))
    rows = [*start_rows(results, options.repeats), *default_rows(jobs, options.repeats)]
    rows.append(paper_row(options.repeats))
    notes = [
        f"Medians of {options.repeats}, each a process of its own, printing included.",
        "Jobs: of the whole workflow, `all` and fetched files included. To run: those the dry-run "
        "found to do.",
    ]
    if not any("without work" in found["step"] for found in rows):
        notes.append(
            "No run without work: the default run there is older than the code, so a run would "
            "have work to do."
        )
    write_table("dag", "The workflow's own cost", rows, notes=notes)


if __name__ == "__main__":
    main()
