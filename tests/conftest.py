"""Shared fixtures: tiny models, and every stage of the workflow run once on tiny texts."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy and torch count the cores

import json
import random
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tiny
from faults import mounted
from hypothesis import HealthCheck, settings

import w2s
from w2s.cli import main
from w2s.data.tasks import TASKS
from w2s.declare import output_option
from w2s.tracks import STAGES

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background by a script
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile(  # the machine is shared: no example fails for being slow
    "w2s", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("w2s")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, so that none is left over for one process at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


SEEDS = (0, 1)
PACKAGE = str(Path(w2s.__file__).parent)
MIXING = {"proportions": [0.0, 0.5, 1.0], "repeats": 2}
FILES = {  # names of outputs that another stage has too
    ("corpora_labels", "weak_labels"): "corpora-labels",
    ("select", "predictions"): "selected",
    ("arms", "scores"): "arm-scores",
    ("arms", "runs"): "arm-runs",
    ("arms", "correct"): "arm-correct",
    ("label_noise", "runs"): "noise-runs",
    ("label_noise", "predictions"): "noise-predictions",
    ("finetune_weak", "weak_labels"): "tuned-labels",
    ("finetune_weak", "training"): "weak-training",
    ("finetune_strong", "runs"): "tuned-runs",
    ("finetune_strong", "predictions"): "tuned-predictions",
    ("evaluate-tuned", "metrics"): "tuned-metrics",
    ("evaluate-tuned", "correct"): "tuned-correct",
}
RECIPE = {"epochs": 2, "looks": 2, "rank": 4, "batch_size": 8, "learning_rate": 0.01}
CUT = {"sources": "partition", "dataset": "films"}
PATHS = {"rounds": 6, "batch": 4}
ARMS = {
    "selectors": ["overlap", "confidence", "rp", "weak_right"],
    "bands": ["high", "low"],
    "budgets": [0.5, 1.0],
    "random": 2,
    "matched": 1,
    "purities": [0.9],
}
PAIR = {"weak": "small", "strong": "large"}
MODELS: dict[str, dict[str, Any]] = {  # and the settings of their activations
    "small": {"num_layers": 1},
    "large": {"layers": [0, -1], "pooling": "mean"},
}


@dataclass(frozen=True)
class Job:
    """One call of `w2s`: its stage, its settings, and the paths of inputs and outputs by name."""

    stage: str
    settings: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, Path]

    def line(self, **changes: Any) -> list[str]:
        """Arguments of the command line, with some inputs, outputs or settings changed."""
        line = [self.stage]
        for name, value in self.inputs.items():
            value = changes.pop(name, value) if name not in self.outputs else value
            line += [_option(name), *map(str, value if isinstance(value, list) else [value])]
        for name, value in self.outputs.items():
            line += [output_option(STAGES[self.stage], name), str(changes.pop(name, value))]
        line += ["--settings", json.dumps(changes.pop("settings", self.settings))]
        assert not changes, f"{self.stage} has no {changes}"
        return line

    def elsewhere(self, folder: Path) -> dict[str, Path]:
        """The outputs in another folder: changes for `line`."""
        return {name: folder / path.name for name, path in self.outputs.items()}


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclass(frozen=True)
class Chain:
    """Every artifact of a tiny experiment and the jobs that make them.

    Attributes:
        inputs: Folder with `texts.csv` and the models `small` and `large`.
        folder: Where the artifacts are.
        jobs: In the order of a run; names of jobs of a seed end in `-SEED`, of a model in `-MODEL`.
        ran: Of each stage the functions and classes of the project that its jobs called.
    """

    inputs: Path
    folder: Path
    jobs: dict[str, Job]
    ran: dict[str, set[tuple[str, str]]] = field(default_factory=dict)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def copy(self, folder: Path) -> Chain:
        """All artifacts in another folder, to be changed there."""
        shutil.copytree(self.folder, folder)
        return Chain(self.inputs, folder, chain_jobs(self.inputs, folder))

    def run(self, first: str = "") -> None:
        """Run the jobs, from the first one whose name begins so."""
        names = list(self.jobs)
        start = next(i for i, name in enumerate(names) if name.startswith(first))
        for name in names[start:]:
            ran = self.ran.setdefault(self.jobs[name].stage, set())
            with watched(STAGES[self.jobs[name].stage].function, ran):
                assert main(self.jobs[name].line()) == 0, name


@contextmanager
def watched(function: str, ran: set[tuple[str, str]]) -> Iterator[None]:
    """Note which definitions of the project are called while a function runs: module and name."""
    inside: list[Any] = []

    def note(frame: Any, event: str, _: object) -> None:
        if event not in ("call", "return") or PACKAGE not in frame.f_code.co_filename:
            return
        at = (frame.f_globals["__name__"], frame.f_code.co_qualname.split(".")[0])
        if event == "return" and inside and frame is inside[0]:
            inside.clear()
        if event == "call" and ":".join(at) == function and not inside:
            inside.append(frame)
        if inside and not at[1].startswith("<"):
            ran.add(at)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


def chain_jobs(inputs: Path, folder: Path) -> dict[str, Job]:
    """The jobs of two seeds of one dataset and pair, from a CSV file to tables and figures."""
    examples = {"examples": folder / "examples.parquet"}
    data = {"source": "file", "path": "texts.csv", "val": 0.1, "test": 0.3}
    jobs = {
        "examples": Job(
            "examples",
            {"dataset": "films", "data": data},
            {"source": inputs / "texts.csv"},
            examples,
        )
    }
    for model, chosen in MODELS.items():
        where = {"model": inputs / model}
        tokens = {"tokens": folder / f"tokens-{model}.safetensors"}
        activations = {"activations": folder / f"activations-{model}.safetensors"}
        jobs[f"tokenize-{model}"] = Job("tokenize", {"max_length": 32}, examples | where, tokens)
        jobs[f"activations-{model}"] = Job("activations", chosen, tokens | where, activations)
    jobs |= _shard_jobs(inputs, folder) | _task_jobs(inputs, folder)
    for seed in SEEDS:
        jobs |= _seed_jobs(folder, seed)
    jobs |= _labeling_jobs(inputs, folder) | _finetuning_jobs(inputs, folder)
    return jobs | _final_jobs(folder) | _synthetic_jobs(folder)


def _shard_jobs(inputs: Path, folder: Path) -> dict[str, Job]:
    """The activations of the small model once more, by two jobs and a third."""
    tokens = {"tokens": folder / "tokens-small.safetensors"}
    shards = {k: folder / f"activations-small-{k}.safetensors" for k in ("1-of-2", "2-of-2")}
    jobs = {
        f"activations-{k}": Job(
            "activations",
            MODELS["small"] | {"shard": k},
            tokens | {"model": inputs / "small"},
            {"activations": path},
        )
        for k, path in shards.items()
    }
    jobs["gather_activations"] = Job(
        "gather_activations",
        {},
        tokens | {"shards": list(shards.values())},
        {"activations": folder / "activations-gathered.safetensors"},
    )
    return jobs


def _task_jobs(inputs: Path, folder: Path) -> dict[str, Job]:
    """A task of the hub from a local copy."""
    rows = {"rows": folder / "task-rows.parquet"}
    fields = ("hub", "columns", "train", "test")
    fetch = {
        "task": "boolq",
        **{name: getattr(TASKS["boolq"], name) for name in fields},
        "local": str(inputs / "boolq"),
        "max_rows": 100,
    }
    data = {"source": "hub", "task": "boolq", "pool": 40, "val": 8, "test": 20}
    made = {"examples": folder / "task-examples.parquet"}
    return {
        "fetch_task": Job("fetch_task", fetch, {}, rows),
        "task_examples": Job("task_examples", {"dataset": "b", "data": data}, rows, made),
    }


def write_boolq(folder: Path) -> None:
    """A local copy of that task's dataset."""
    folder.mkdir()
    draw = random.Random(0)
    for name, n in (("train", 120), ("validation", 40)):
        rows = [
            {
                "question": " ".join(draw.choices(tiny.PLAIN, k=6)),
                "passage": f"{draw.choice(tiny.PLAIN)} {name} {i // 3}",
                "answer": i % 2 == 0,
            }
            for i in range(n)
        ]
        text = "\n".join(map(json.dumps, rows)) + "\n"
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def _labeling_jobs(inputs: Path, folder: Path) -> dict[str, Job]:
    """Weak supervision on the same texts, and a dataset that brings votes and features."""
    examples = {"examples": folder / "examples.parquet"}
    matrix = {"label_matrix": folder / "label_matrix.safetensors"}
    jobs = {
        "label_matrix": Job("label_matrix", {"lfs": ["afinn", "negation", "intensity", "vader"]},
                            examples, matrix)
    }  # fmt: skip
    for seed in SEEDS:
        split = {"split": folder / f"split-{seed}.parquet"}
        labels = {"weak_labels": folder / f"lf-labels-{seed}.parquet"}
        made = {
            name: folder / f"lf-{name}-{seed}{kind.suffix}"  # type: ignore[union-attr]
            for stage in ("student", "evaluate")
            for name, kind in STAGES[stage].outputs.items()
        }
        large = {"activations": folder / "activations-large.safetensors"}
        names = {"weak": "majority_vote", "strong": "mlp"}
        runs = {name: made[name] for name in STAGES["student"].outputs}
        jobs[f"label_model-{seed}"] = Job(
            "label_model", {"label_model": "majority_vote"}, {**examples, **split, **matrix}, labels
        )
        jobs[f"student-{seed}"] = Job(
            "student", {**names, "mixing": MIXING, "restarts": 2}, {**labels, **large}, runs
        )
        jobs[f"evaluate-lf-{seed}"] = Job(
            "evaluate",
            {},
            {**examples, **labels, **runs},
            {name: made[name] for name in STAGES["evaluate"].outputs},
        )
    jobs |= _labeling_reports(folder)
    source = {"source": inputs / "wrench" / "train.json"}
    wrench = {"examples": folder / "wrench-examples.parquet"}
    data = {"source": "wrench", "path": "wrench", "holds": "features"}
    jobs["examples-wrench"] = Job("examples", {"dataset": "w", "data": data}, source, wrench)
    for stage, name in (("wrench_votes", "label_matrix"), ("wrench_features", "activations")):
        outputs = {name: folder / f"wrench-{name}.safetensors"}
        jobs[stage] = Job(stage, {}, wrench | source, outputs)
    return jobs


def _finetuning_jobs(inputs: Path, folder: Path) -> dict[str, Job]:
    """Fine-tuned models of two seeds, their tables and figures."""
    jobs: dict[str, Job] = {}
    examples = {"examples": folder / "examples.parquet"}

    def of(stage: str, seed: int, name: str = "") -> dict[str, Path]:
        kinds = {key: kind.suffix for key, kind in STAGES[stage].outputs.items()}  # type: ignore[union-attr]
        return {
            key: folder / f"{FILES.get((name or stage, key), key)}-{seed}{suffix}"
            for key, suffix in kinds.items()
        }

    for seed in SEEDS:
        split = {"split": folder / f"split-{seed}.parquet"}
        small, large = (
            {"tokens": folder / f"tokens-{model}.safetensors", "model": inputs / model}
            for model in MODELS
        )
        weak, strong = of("finetune_weak", seed), of("finetune_strong", seed)
        labels = {"weak_labels": weak["weak_labels"]}
        regions = {"regions": folder / f"regions-{seed}.parquet"}
        runs = {name: strong[name] for name in ("runs", "predictions")}
        jobs[f"finetune_weak-{seed}"] = Job(
            "finetune_weak", {"recipe": RECIPE}, {**examples, **split, **small}, weak
        )
        jobs[f"finetune_strong-{seed}"] = Job(
            "finetune_strong",
            {**PAIR, "pooling": "mean", "losses": ["xent", "logconf"], "recipe": RECIPE},
            {**labels, "tokens": large["tokens"], "scores": [], "model": large["model"]},
            strong,
        )
        jobs[f"evaluate-tuned-{seed}"] = Job(
            "evaluate",
            {},
            {**examples, **labels, **regions, **runs},
            of("evaluate", seed, "evaluate-tuned"),
        )
    return jobs | _finetuning_reports(folder)


def _finetuning_reports(folder: Path) -> dict[str, Job]:
    read = {
        f"{prefix}{name}": [folder / f"{file}{name}-{seed}{suffix}" for seed in SEEDS]
        for prefix, file in (("", "tuned-"), ("probe_", ""))
        for name, suffix in (("metrics", ".parquet"), ("correct", ".safetensors"))
    }
    learned = [f"{name}-{seed}.parquet" for name in ("weak-training", "training") for seed in SEEDS]
    tables = {
        name: folder / f"table-tuned-{name}.parquet" for name in STAGES["finetuning_tables"].outputs
    }
    return {
        "finetuning_tables": Job(
            "finetuning_tables", {"evaluation": {"bootstrap": 200}}, read, tables
        ),
        "finetuning_figures": Job(
            "finetuning_figures",
            {"titles": [["films", "Films"]]},
            {"finetuning": tables["finetuning"], "training": [folder / name for name in learned]},
            {name: folder / f"tuned-{name}.svg" for name in STAGES["finetuning_figures"].outputs},
        ),
    }


def _labeling_reports(folder: Path) -> dict[str, Job]:
    tables = {
        name: folder / f"table-lf-{name}.parquet"
        for name in STAGES["weak_supervision_tables"].outputs
    }
    read = {
        "examples": [folder / "examples.parquet"],
        "label_matrix": [folder / "label_matrix.safetensors"],
        "metrics": [folder / f"lf-metrics-{seed}.parquet" for seed in SEEDS],
        "correct": [folder / f"lf-correct-{seed}.safetensors" for seed in SEEDS],
    }
    return {
        "weak_supervision_tables": Job(
            "weak_supervision_tables", {"evaluation": {"bootstrap": 200}}, read, tables
        ),
        "weak_supervision_figures": Job(
            "weak_supervision_figures",
            {"titles": [["films", "Films"]]},
            {name: tables[name] for name in STAGES["weak_supervision_figures"].inputs},
            {
                name: folder / f"lf-{name}.svg"
                for name in STAGES["weak_supervision_figures"].outputs
            },
        ),
    }


def _synthetic_jobs(folder: Path) -> dict[str, Job]:
    """The synthetic study with two repetitions of everything."""

    def of(stage: str) -> dict[str, Path]:
        return {
            name: folder / f"{stage}-{name}{getattr(kind, 'suffix', '.parquet')}"
            for name, kind in STAGES[stage].outputs.items()
        }

    few = {"repetitions": 2}
    rows = {**of("synthetic_detection"), **of("synthetic_controls")}
    tables = of("synthetic_tables")
    plans: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Path]]] = {
        "synthetic": (few | {"study": "overlap"}, {}, of("synthetic")),
        "synthetic_detection": (few, {}, of("synthetic_detection")),
        "synthetic_controls": (few, {}, of("synthetic_controls")),
        "synthetic_tables": (
            {},
            {"accuracies": [of("synthetic")["accuracies"]], **rows},
            tables,
        ),
        "synthetic_figures": (
            {},
            {name: tables[name] for name in STAGES["synthetic_figures"].inputs},
            {
                name: folder / f"synthetic-{name}.svg"
                for name in STAGES["synthetic_figures"].outputs
            },
        ),
    }
    return {stage: Job(stage, *plan) for stage, plan in plans.items()}


def _seed_jobs(folder: Path, seed: int) -> dict[str, Job]:
    def of(stage: str) -> dict[str, Path]:
        """Outputs of the stage for this seed."""
        kinds = {name: kind.suffix for name, kind in STAGES[stage].outputs.items()}  # type: ignore[union-attr]
        return {
            name: folder / f"{FILES.get((stage, name), name)}-{seed}{suffix}"
            for name, suffix in kinds.items()
        }

    examples = {"examples": folder / "examples.parquet"}
    small, large = (folder / f"activations-{model}.safetensors" for model in MODELS)
    plans: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "split": ({"dataset": "films", "seed": seed}, examples),
        "weak_labels": ({}, {**examples, **of("split"), "activations": small}),
        "overlap": ({}, {**of("weak_labels"), "activations": large}),
        "strong": (
            {**PAIR, "mixing": MIXING},
            {
                **of("weak_labels"),
                **of("overlap"),
                "weak_activations": small,
                "strong_activations": large,
            },
        ),
        "evaluate": ({}, {**examples, **of("weak_labels"), **of("overlap"), **of("strong")}),
        "arms": (
            {**PAIR, "arms": ARMS},
            {
                **examples,
                **of("split"),
                "tokens": folder / "tokens-large.safetensors",
                **of("weak_labels"),
                **of("overlap"),
                "weak_activations": small,
                "strong_activations": large,
            },
        ),
        "gain_predictors": (
            {},
            {
                **of("weak_labels"),
                **of("strong"),
                "weak_activations": small,
                "strong_activations": large,
            },
        ),
        "transfer": (
            PAIR,
            {
                name: [path]
                for name, path in {
                    **examples,
                    **of("split"),
                    **of("weak_labels"),
                    **of("strong"),
                    "weak_activations": small,
                    "strong_activations": large,
                }.items()
            },
        ),
        "corpora_labels": (
            {"experiment": "domains", "targets": ["films"]},
            {
                name: [path]
                for name, path in {**examples, **of("split"), "activations": small}.items()
            },
        ),
        "label_noise": (
            {**PAIR, "rates": [0.1, 0.3], "kinds": ["uniform", "confidence"]},
            {**examples, **of("weak_labels"), "activations": large},
        ),
        "select": (
            {**PAIR, "experiment": "cut", "sources": CUT, "paths": PATHS},
            {**of("weak_labels"), "activations": [large], "examples": [*examples.values()]},
        ),
    }
    return {
        f"{stage}-{seed}": Job(stage, chosen, inputs, of(stage))
        for stage, (chosen, inputs) in plans.items()
    }


def _final_jobs(folder: Path) -> dict[str, Job]:
    tables = {name: folder / f"table-{name}.parquet" for name in STAGES["tables"].outputs}
    read: dict[str, Any] = {
        "metrics": [folder / f"metrics-{seed}.parquet" for seed in SEEDS],
        "correct": [folder / f"correct-{seed}.safetensors" for seed in SEEDS],
    }
    drawn = {
        "main": tables["main"],
        "mixing_table": tables["mixing"],
        "region_table": tables["regions"],
        "comparisons": tables["comparisons"],
        "regions": [folder / f"regions-{SEEDS[0]}.parquet"],
    }
    figures = {name: folder / f"{name}.svg" for name in STAGES["figures"].outputs}
    selected = {
        name: folder / f"table-selection-{name}.parquet"
        for name in STAGES["selection_tables"].outputs
    }
    paths: dict[str, Any] = {
        "paths": [folder / f"paths-{seed}.parquet" for seed in SEEDS],
        "predictions": [folder / f"selected-{seed}.safetensors" for seed in SEEDS],
    }
    arms = {name: folder / f"table-{name}.parquet" for name in STAGES["arms_tables"].outputs}
    armed: dict[str, Any] = {
        "runs": [folder / f"arm-runs-{seed}.parquet" for seed in SEEDS],
        "correct": [folder / f"arm-correct-{seed}.safetensors" for seed in SEEDS],
    }
    curves = {name: selected[name] for name in STAGES["selection_figures"].inputs}
    scored: dict[str, Any] = {
        "examples": [folder / "examples.parquet"],
        "weak_labels": [folder / f"weak_labels-{seed}.parquet" for seed in SEEDS],
        "runs": [folder / f"runs-{seed}.parquet" for seed in SEEDS],
        "predictions": [folder / f"predictions-{seed}.safetensors" for seed in SEEDS],
    }
    noise = folder / "table-label-noise.parquet"
    noisy: dict[str, Any] = {
        "runs": [folder / f"noise-runs-{seed}.parquet" for seed in SEEDS],
        "predictions": [folder / f"noise-predictions-{seed}.safetensors" for seed in SEEDS],
    }
    return _gain_reports(folder) | {
        "label_noise_tables": Job(
            "label_noise_tables", {"evaluation": {"bootstrap": 200}}, noisy, {"label_noise": noise}
        ),
        "label_noise_figures": Job(
            "label_noise_figures",
            {**PAIR, "titles": [["films", "Films"]]},
            {"table": noise},
            {"label_noise": folder / "label-noise.svg"},
        ),
        "tables": Job("tables", {"evaluation": {"bootstrap": 200}}, read, tables),
        "metric_tables": Job(
            "metric_tables",
            {"evaluation": {"bootstrap": 200}},
            scored,
            {"metrics": folder / "table-metrics.parquet"},
        ),
        "figures": Job("figures", {**PAIR, "titles": [["films", "Films"]]}, drawn, figures),
        "arms_tables": Job("arms_tables", {"evaluation": {"bootstrap": 200}}, armed, arms),
        "arms_figures": Job(
            "arms_figures",
            {**PAIR, "titles": [["films", "Films"]]},
            {"arms": arms["arms"]},
            {name: folder / f"{name}.svg" for name in STAGES["arms_figures"].outputs},
        ),
        "selection_tables": Job(
            "selection_tables", {"evaluation": {"bootstrap": 200}}, paths, selected
        ),
        "selection_figures": Job(
            "selection_figures",
            {**PAIR, "titles": [["cut", "Films, cut"]]},
            curves,
            {name: folder / f"{name}.svg" for name in STAGES["selection_figures"].outputs},
        ),
    }


def _gain_reports(folder: Path) -> dict[str, Job]:
    tables = {name: folder / f"table-{name}.parquet" for name in STAGES["gain_tables"].outputs}
    read: dict[str, Any] = {
        name: [folder / f"{file}-{seed}.parquet" for seed in SEEDS]
        for name, file in (("predictors", "gain"), ("transfer", "transfer"))
    }
    return {
        "gain_tables": Job("gain_tables", {"evaluation": {"bootstrap": 200}}, read, tables),
        "gain_figures": Job(
            "gain_figures",
            {"titles": [["films", "Films"]]},
            {name: tables[name] for name in STAGES["gain_figures"].inputs},
            {name: folder / f"gain-{name}.svg" for name in STAGES["gain_figures"].outputs},
        ),
    }


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model of each family, by name."""
    folder = tmp_path_factory.mktemp("models")
    return {family: tiny.write_model(folder / family, family) for family in tiny.FAMILIES}


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """Every stage run once: treat the files as read-only."""
    inputs, folder = (tmp_path_factory.mktemp(name) for name in ("inputs", "chain"))
    tiny.write_dataset(inputs / "texts.csv", n=400)
    tiny.write_model(inputs / "small", "bert")
    tiny.write_model(inputs / "large", "llama")
    tiny.write_wrench(inputs / "wrench")
    write_boolq(inputs / "boolq")
    made = Chain(inputs, folder, chain_jobs(inputs, folder))
    made.run()
    return made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few hundred kilobytes."""
    try:
        with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=512k", "tmpfs") as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"no small disk: {error}")
