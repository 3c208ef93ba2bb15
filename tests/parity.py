"""Whether two checkouts plan the same jobs, write the same pages and the same results.

    python tests/parity.py OLD NEW [--folder FOLDER] [--only NAME ...] [--plans]

P1: a forced dry run of every configuration lists the same jobs (rule, files, wildcards, commands
with their settings). P2: the generated pages are the same. P3: the runs write the same CSV,
Markdown, SVG and PNG by bytes, and the same Parquet and safetensors by kind, facts and arrays (not
by provenance, which holds the code's digest). Runs lie in FOLDER by commit and are not repeated.
Not a test: it takes an hour.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import hub_rows
import tiny
import yaml

from w2s.data.tasks import TASKS

BIN = Path(sys.executable).parent
PAGES = ("config/schema.json", "config/README.md", "docs/cli.md", "docs/artifacts.md")
CONFIGS = ("config", "finetuning", "synthetic", "paper", "paper-smoke", "wrench")
LOCAL = {"minilm-1": "bert", "minilm-6": "bert", "qwen-0.5b": "qwen2", "llama-8b": "llama"}
DROPPED = (
    r"(jobid|reason|resources|benchmark|group|priority): "  # lines of a dry run that may differ
)


def given(name: str) -> Callable[[dict[str, Any], Path], None] | None:
    """What stands in for what a run cannot have here, or takes too long for."""
    return {
        "finetuning": _few_seeds,
        "synthetic": _few_repetitions,
        "paper-smoke": _tiny_hub,
        "wrench": _tiny_wrench,
    }.get(name)


def _few_seeds(config: dict[str, Any], folder: Path) -> None:
    config["seeds"] = [0]
    for name in ("movies", "nyt"):
        del config["datasets"][name]


def _few_repetitions(config: dict[str, Any], folder: Path) -> None:
    config["synthetic"] = {
        "repetitions": 30, "detection_repetitions": 10, "control_repetitions": 20
    }  # fmt: skip


def _local_models(config: dict[str, Any], folder: Path) -> None:
    for name, model in config["models"].items():
        tiny.write_model(folder / "models" / name, LOCAL[name])
        kept = {k: model[k] for k in ("title", "dtype", "storage", "pooling") if k in model}
        config["models"][name] = {
            **kept, "source": "local", "path": f"models/{name}", "max_length": 24
        }  # fmt: skip


def _tiny_hub(config: dict[str, Any], folder: Path) -> None:
    _local_models(config, folder)
    for name, data in config["datasets"].items():
        tables = hub_rows.splits(data["task"], 240, 80)
        for path, content in hub_rows.files(TASKS[data["task"]], tables)[0].items():
            (folder / "tasks" / name / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / "tasks" / name / path).write_bytes(content)
        data |= {"local": f"tasks/{name}", "pool": 160, "val": 20, "test": 40}


def _tiny_wrench(config: dict[str, Any], folder: Path) -> None:
    _local_models(config, folder)
    config["seeds"] = [0, 1]
    config["weak_supervision"] |= {"datasets": ["census", "imdb"], "restarts": 2}
    config["datasets"] = {name: config["datasets"][name] for name in ("census", "imdb")}
    for name, data in config["datasets"].items():
        data["path"] = f"wrench/{name}"
        tiny.write_wrench(folder / data["path"], features=data["holds"] == "features")


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("old", type=Path)
    words.add_argument("new", type=Path)
    words.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir(), "parity"))
    words.add_argument("--only", nargs="+", choices=CONFIGS, default=CONFIGS)
    words.add_argument("--plans", action="store_true", help="P1 and P2 only")
    chosen = words.parse_args()
    checkouts = [path.resolve() for path in (chosen.old, chosen.new)]
    wrong = 0
    for name in chosen.only:
        plans = [plan(root, name, chosen.folder) for root in checkouts]
        wrong += told(f"P1 {name}: {len(plans[0])} jobs", *("\n\n".join(p) for p in plans))
    for page in PAGES:
        wrong += told(f"P2 {page}", *((root / page).read_text() for root in checkouts))
    for name in chosen.only if not chosen.plans else ():
        if name != "paper":
            wrong += compared(
                name, *(results(run(root, name, chosen.folder)) for root in checkouts)
            )
    print("identical" if not wrong else f"{wrong} differ")
    return int(wrong > 0)


def told(what: str, old: str, new: str) -> int:
    """Print whether two texts are the same, and the first lines in which they are not."""
    same = sorted(old.split("\n")) == sorted(new.split("\n"))
    verdict = "the same lines in another order" if same else "DIFFERENT"
    print(f"{what}: {'identical' if old == new else verdict}", flush=True)
    if same:
        return 0
    for line in list(
        difflib.unified_diff(old.split("\n"), new.split("\n"), "old", "new", "", "", 0)
    )[:24]:
        print("   ", line[:300])
    return int(old != new)


def compared(name: str, old: dict[str, str], new: dict[str, str]) -> int:
    """The same for the digests of all results of a run."""
    different = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    kinds = [
        f"{sum(p.endswith(s) for p in old)} {s}" for s in sorted({Path(p).suffix for p in old})
    ]
    print(f"P3 {name}: {len(old)} files ({', '.join(kinds)}): {len(different)} differ", flush=True)
    for path in different[:20]:
        print("   ", path, *("lacks" * (path not in x) for x in (old, new)))
    return len(different)


def made(root: Path, name: str, folder: Path) -> Path:
    """A folder with a configuration and what it reads."""
    commit = subprocess.check_output(["git", "-C", root, "rev-parse", "HEAD"], text=True).strip()
    place, inputs = folder / commit[:12] / name, folder / "inputs" / name
    if not inputs.is_dir():  # made once, so that both read the same
        inputs.mkdir(parents=True)
        config = yaml.safe_load((root / "config" / f"{name}.yaml").read_text())
        change = given(name)
        if change:
            change(config, inputs)
        config |= {"results": "results", "resources": str(folder / "resources")}
        (inputs / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    if not place.is_dir():
        shutil.copytree(inputs, place)
    return place


def snakemake(root: Path, place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Snakemake of a checkout, with that checkout's library."""
    line = [str(BIN / "snakemake"), "--snakefile", str(root / "workflow" / "Snakefile"),
            "--configfile", "config.yaml", "--cores", "2", *more]  # fmt: skip
    variables = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        line, cwd=place, env=variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def plan(root: Path, name: str, folder: Path) -> list[str]:
    """The jobs of a forced dry run, sorted, without their numbers and reasons."""
    place = folder / "plans" / hashlib.sha256(str(root).encode()).hexdigest()[:8] / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    config = yaml.safe_load((root / "config" / f"{name}.yaml").read_text())
    if name == "wrench":
        _tiny_wrench(config, place)
    (place / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = snakemake(root, place, "-n", "-F", "-p")
    if done.returncode:
        raise SystemExit(f"{name}: {done.stdout[-3000:]}")
    text = re.sub(r"(?m)^ +", "", done.stdout)
    jobs = [
        j
        for j in re.split(r"\n(?=\[\w{3} \w{3} +\d+ )", text)
        if re.search(r"(?m)^(?:local)?rule ", j)
    ]
    return sorted(
        _sorted_inputs(re.sub(rf"(?m)^(\[.*\]|{DROPPED}.*)\n", "", job).split("Job stats")[0])
        for job in jobs
    )


def _sorted_inputs(job: str) -> str:
    """A job as text; the inputs of `all` in their order by name, as it reads none of them."""
    if re.search(r"(?m)^(?:local)?rule all:", job):
        job = re.sub(r"(?m)^input: (.*)$", lambda m: f"input: {sorted(set(m[1].split(', ')))}", job)
    return job.strip()


def run(root: Path, name: str, folder: Path) -> Path:
    """The folder of a finished run."""
    place = made(root, name, folder)
    if not (place / "finished").is_file():
        done = snakemake(root, place, "--quiet", "all")
        if done.returncode:
            raise SystemExit(f"{name} in {place}: {done.stdout[-3000:]}")
        again = snakemake(root, place, "--dry-run")
        if "Nothing to be done" not in again.stdout:
            raise SystemExit(f"{name} in {place}: a second run has something to do")
        (place / "finished").touch()
    return place / "results"


def results(folder: Path) -> dict[str, str]:
    """A digest of each result but logs and benchmarks."""
    return {
        str(path.relative_to(folder)): content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("logs", "benchmarks")
    }


def content(path: Path) -> str:
    """Digest of a file's bytes, or of an artifact's kind, facts and arrays."""
    sha = hashlib.sha256()
    if path.suffix in (".parquet", ".safetensors"):
        parts: Iterable[bytes] = _artifact(path)
    else:  # figures name where they are from
        parts = [re.sub(rb"(?s)<dc:description>.*?</dc:description>", b"", path.read_bytes())]
    for part in parts:
        sha.update(part)
    return sha.hexdigest()


def _artifact(path: Path) -> Iterator[bytes]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        metadata = json.loads(table.schema.metadata[b"w2s"])
        for name in table.column_names:
            yield f"{name} {table[name].type} {table[name].to_pylist()}".encode()
    else:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            metadata = json.loads(header.pop("__metadata__")["w2s"])
            yield json.dumps(header, sort_keys=True).encode()
            while block := file.read(1 << 22):
                yield block
    kept = {name: metadata[name] for name in ("kind", "format", "facts") if name in metadata}
    yield json.dumps(kept, sort_keys=True).encode()


if __name__ == "__main__":
    sys.exit(main())
