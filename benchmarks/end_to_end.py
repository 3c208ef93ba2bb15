"""The default run of two checkouts, from nothing to the last figure, in turns.

Run `python benchmarks/end_to_end.py OLD NEW` on a machine with nothing else to do, in an
environment that fits both; the downloads of NEW must be there, as after any run. Both run in empty
folders. Processor seconds are those of the whole process tree.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from measure import write_table

SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
CORES = 2


def run(checkout, folder):
    """One default run in an empty folder: its numbers, and the seconds of its jobs by rule."""
    line = [SNAKEMAKE, "--snakefile", checkout / "workflow/Snakefile", "--directory", folder]
    line += ["--configfile", checkout / "config/config.yaml", "--cores", str(CORES)]
    line += ["--workflow-profile", checkout / "workflow/profiles/default", "--quiet", "all"]
    variables = os.environ | {"PYTHONPATH": str(checkout)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start, clock = time.perf_counter(), time.time()
    done = subprocess.run(line, cwd=checkout, env=variables, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{checkout}:\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    main = folder / "results/demo/tables/main.md"
    return {
        "wall seconds": wall,
        "processor seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "seconds to the first table": main.stat().st_mtime - clock,
        "page faults": after.ru_minflt - before.ru_minflt,
    }, seconds_of_rules(folder)


def seconds_of_rules(folder):
    """Number of jobs and sum of their seconds by rule, from Snakemake's records."""
    jobs = {}
    for path in (folder / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text())
            job = record["rule"], *record["log"]
            start, end = jobs.get(job, (record["starttime"], record["endtime"]))
            jobs[job] = min(start, record["starttime"]), max(end, record["endtime"])
    found = defaultdict(lambda: [0, 0.0])
    for (rule, *_), (start, end) in jobs.items():
        found[rule][0] += 1
        found[rule][1] += end - start
    return found


def differing(folders):
    """How many tables there are, and those that are not the same bytes in both."""
    tables = [
        {p.name: p.read_bytes() for p in f.glob("results/demo/tables/*.csv")} for f in folders
    ]
    names = sorted(tables[0].keys() | tables[1].keys())
    return len(names), [name for name in names if tables[0].get(name) != tables[1].get(name)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    sides = {"old": options.old.resolve(), "new": options.new.resolve()}
    numbers, rules = {side: [] for side in sides}, {}
    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / side for side in sides]
        for _ in range(options.repeats):
            for side, folder in zip(sides, folders, strict=True):
                shutil.rmtree(folder, ignore_errors=True)
                shutil.copytree(sides["new"] / "resources", folder / "resources")
                found, rules[side] = run(sides[side], folder)
                numbers[side].append(found)
                print(side, {name: round(value, 1) for name, value in found.items()}, flush=True)
        tables, changed = differing(folders)
    rows = []
    for name in numbers["new"][0]:
        old, new = (statistics.median(n[name] for n in numbers[side]) for side in sides)
        values = {"old": f"{old:,.0f}", "new": f"{new:,.0f}", "ratio": f"{new / old:.2f}"}
        rows.append({"": name, **values})
    notes = [
        f"{CORES} cores; medians of {options.repeats}, in turns. Seconds of all processes, from "
        "the start of snakemake to its end; the first table is tables/main.md.",
        f"Tables whose CSV differs, of {tables}: {', '.join(changed) or 'none'}.",
    ]
    write_table("end_to_end", "The default run, from nothing", rows, notes=notes)
    by_rule = []
    for rule, (jobs, old) in sorted(rules["old"].items(), key=lambda item: -item[1][1]):
        new = rules["new"].get(rule, (0, 0.0))[1]
        seconds = {"old (s)": f"{old:.1f}", "new (s)": f"{new:.1f}", "ratio": f"{new / old:.2f}"}
        by_rule.append({"rule": rule, "jobs": jobs, **seconds})
    note = (
        "Sums over jobs of the last of the runs in end_to_end.md, from Snakemake's records: from "
        "the start of a job to its last output, beside one other job."
    )
    write_table("demo", "Where the seconds of the default run go", by_rule, notes=[note])


if __name__ == "__main__":
    main()
