"""The tiny DAG locally and through the SLURM profile: same bytes, job list, scancel and rerun.

Called by run.sh with the folder of a running cluster; `once` leaves out the last part.
"""

# ruff: noqa: T201 - the job list is what this prints

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import project

QUICK = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")
SEEDS = (0, 1)


def line(folder: Path, *more: str) -> list[str]:
    """The command that runs a project on the cluster."""
    partitions = ("--slurm-partition-config", str(folder.parent / "partitions.yaml"))
    profile = ("--workflow-profile", str(source(folder) / "workflow" / "profiles" / "slurm"))
    arguments = (*profile, *partitions, *QUICK, *more)
    return project.command(folder, *arguments, cores=4, repository=source(folder))


def source(folder: Path) -> Path:
    """The copy of the package and the workflow that a project is run with."""
    return folder.parent / "source"


def run(command: list[str], folder: Path, log: Path) -> float:
    """Run to a good end, output to a log; the seconds it took."""
    begin = time.perf_counter()
    with log.open("w") as stream:
        done = subprocess.run(
            command, cwd=folder, env=project.environment(source(folder)), timeout=900,
            stdout=stream, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    if done.returncode:
        print(log.read_text()[-6000:])
        raise SystemExit(f"failed ({done.returncode}): {log.name}")
    return time.perf_counter() - begin


def same(found: dict[str, bytes], expected: dict[str, bytes], what: str) -> None:
    """Stop unless both have the same files with the same bytes."""
    wrong = [name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name)]
    if wrong or not expected:
        raise SystemExit(f"{what}: {len(wrong)} artifacts differ: {wrong[:8]}")
    print(f"{what}: {len(expected)} artifacts, all identical to the local run's")


def job_list(cluster: Path, skip: int = 0) -> list[dict[str, str]]:
    """Finished jobs from SLURM's completion log, oldest first."""
    text = (cluster / "jobs.txt").read_text() if (cluster / "jobs.txt").exists() else ""
    return [dict(re.findall(r"(\w+)=(\S*)", row)) for row in text.splitlines()][skip:]


def print_jobs(jobs: list[dict[str, str]], names: dict[str, str]) -> None:
    """The job list: id, what it ran, how it ended, when it waited and ran."""
    print("  job   waited  ran  cpus  part  state      what")
    for job in jobs:
        submit, start, end = (
            datetime.fromisoformat(job[k]) for k in ("SubmitTime", "StartTime", "EndTime")
        )
        waited, ran = ((b - a).total_seconds() for a, b in ((submit, start), (start, end)))
        task = f"task {job.get('ArrayTaskId')} of array {job.get('ArrayJobId')}"
        what = names.get(job["JobId"], task)
        print(
            f"  {job['JobId']:5} {waited:5.0f}s {ran:4.0f}s  {job['ProcCnt']:4}"
            f"  {job['Partition']:4}  {job['JobState']:9}  {what}"
        )


def names_of(log: Path) -> dict[str, str]:
    """What each SLURM job or array ran, from the executor's log."""
    text = log.read_text()
    return {
        number: where
        for number, where in re.findall(
            r"SLURM jobid\s+(\d+) \(log:\s+\S*?slurm_logs/((?:rule|group)_[^/]+)", text
        )
    }


def cancelled(folder: Path, log: Path) -> None:
    """Start a run without retries and scancel its job of grouped seeds in the middle."""
    with log.open("w") as stream:
        process = subprocess.Popen(
            line(folder, "--retries", "0"), cwd=folder, env=project.environment(source(folder)),
            stdout=stream, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 300
            while time.monotonic() < deadline:
                listed = subprocess.run(
                    ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"],
                    capture_output=True, text=True, check=True,
                ).stdout  # fmt: skip
                seeds = [row.split()[0] for row in listed.splitlines() if "rule_seeds" in row]
                # in the middle: some of its artifacts are there, most are not
                if seeds and list(folder.glob("results/*/*/seed*/weak_labels.parquet")):
                    subprocess.run(["scancel", seeds[0]], check=True)
                    print(f"scancel {seeds[0]} (running: {listed.splitlines()})")
                    break
                time.sleep(0.2)
            else:
                raise SystemExit("no group of seeds was ever seen running")
            code = process.wait(timeout=300)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if code == 0:
        raise SystemExit("snakemake ended well although a job was cancelled")
    if "CANCELLED" not in log.read_text():
        raise SystemExit("snakemake's log does not say that the job was cancelled")


def main() -> None:
    """Run everything; any difference or failure ends with a message and a non-zero status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that snakemake is ended too
    cluster = Path(sys.argv[1])
    # artifacts record the code that made them: an edit during the runs would be a difference
    project.copy_library(cluster / "source")
    local = project.make_project(cluster / "local", seeds=SEEDS)
    command = project.command(local, cores=2, repository=source(local))
    seconds = run(command, local, cluster / "local.log")
    expected = project.contents(local)
    print(f"local run, 2 cores: {seconds:.0f} s")

    remote = project.make_project(cluster / "remote", seeds=SEEDS)
    seconds = run(line(remote), remote, cluster / "remote.log")
    jobs = job_list(cluster)
    print(f"SLURM run: {seconds:.0f} s, {len(jobs)} jobs")
    print_jobs(jobs, names_of(cluster / "remote.log"))
    same(project.contents(remote), expected, "SLURM run")
    planned = project.planned(remote, repository=source(remote), library=source(remote))
    if planned:
        raise SystemExit(f"a second run would do {planned}")
    print("a second run has nothing to do")

    if "once" in sys.argv[2:]:
        return
    # a copy that has its activations, and nothing that follows
    broken = project.copy_project(remote, cluster / "broken")
    for part in ("*/splits", "*/small--large", "tables", "figures"):
        for path in (broken / "results").glob(part):
            shutil.rmtree(path)
    cancelled(broken, cluster / "cancelled.log")
    lost = {k for k in expected if k not in project.contents(broken)}
    print(f"after scancel {len(lost)} of {len(expected)} artifacts are missing")
    before = len(jobs) + 1  # the cancelled one
    seconds = run(line(broken), broken, cluster / "rerun.log")
    jobs = job_list(cluster, skip=before)
    print(f"rerun: {seconds:.0f} s, {len(jobs)} jobs")
    print_jobs(jobs, names_of(cluster / "rerun.log"))
    same(project.contents(broken), expected, "rerun after scancel")


if __name__ == "__main__":
    main()
