"""Configurations, settings of stages, and command lines."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import yaml

from fuzzing import mutate
from fuzzing.case import Case
from w2s import dag
from w2s import dag as dag_checks
from w2s.cli import parser
from w2s.commands import _read
from w2s.dag import jobs
from w2s.errors import ConfigError, DataError
from w2s.tracks import STAGES

CONFIG = Path(__file__).resolve().parents[2] / "config"
NAMES = ("config", "finetuning", "paper", "paper-smoke", "synthetic", "wrench", "own", "own")
QUICK = ("examples", "task_examples", "split", "label_matrix", "weak_labels", "overlap")
SLOW = ("repeats", "rounds", "epochs", "restarts", "bootstrap", "repetitions")  # more take longer


def configuration(shared, rng, folder):
    """A configuration, as the commands and the workflow read it."""
    name = mutate.pick(rng, NAMES)
    text = yaml.safe_dump(own(shared), sort_keys=False)
    if name != "own":
        text = (CONFIG / f"{name}.yaml").read_text(encoding="utf-8")
    way = mutate.pick(rng, ("tree", "tree", "tree", "text", "data"))
    content = text.encode()
    if way == "tree":
        tree, told = mutate.tree(yaml.safe_load(text), rng, yaml=True)
        content = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True).encode()
    elif way == "text":
        text, told = mutate.text(text, rng)
        content = text.encode(errors="surrogatepass")
    else:
        content, told = mutate.data(content, rng)
    path = folder / "config.yaml"
    path.write_bytes(content)
    runs = (
        ["estimate", "--config", "config.yaml"],
        ["preflight", "--config", "config.yaml"],
        ["verify", str(shared.chain / "examples.parquet"), "--config", "config.yaml"],
        lambda: workflow("config.yaml"),
        lambda: workflow("config.yaml"),
    )
    run = mutate.pick(rng, runs)
    return Case(f"{name}.yaml: {told}", run, folder, several=True, errors=(ConfigError, DataError))


def workflow(path):
    """What the workflow asks of a configuration before any job."""
    config = _read(path)
    dag.packages(config)
    for task in dag.tasks(config):
        dag.task_files(config, task)
    for model in config.models:
        dag.model_files(config, model)
    dag_checks.check(config)
    for number, job in enumerate(jobs(config)):
        if number < 300:  # the paper's are many, and alike
            dag.settings(config, job.stage, **job.of)


def own(shared):
    """A configuration of local files with every track."""
    models = {"small": {"pooling": "mean"}, "large": {"layers": [0, -1], "num_layers": 2}}
    return {
        "results": "results",
        "seeds": [0, 1],
        "datasets": {
            "films": {"source": "file", "path": str(shared.folder / "few.csv"), "group": "group"},
            "votes": {"source": "wrench", "path": str(shared.folder / "votes"), "holds": "text"},
            "yes": {"source": "hub", "task": "boolq", "local": str(shared.inputs / "boolq")},
        },
        "models": {
            name: {"source": "local", "path": str(shared.inputs / name), "max_length": 32, **chosen}
            for name, chosen in models.items()
        },
        "pairs": [{"weak": "small", "strong": "large", "strong_layer": -1}],
        "probe": {"kind": "logistic", "l2": "cv"},
        "overlap": {"tau_hard": {"quantile": 0.3}, "tau_overlap": 0.5},
        "mixing": {"proportions": [0, 0.5, 1], "repeats": 2},
        "selection": {
            "experiments": {
                "cut": {"sources": "partition", "dataset": "films"},
                "many": {
                    "sources": "corpora",
                    "datasets": ["films", "votes"],
                    "targets": ["films"],
                },
            }
        },
        "weak_supervision": {"datasets": ["films"], "features": "large"},
        "finetuning": {"datasets": ["films"], "recipe": {"epochs": 1}},
        "evaluation": {"bootstrap": 200, "level": 0.9},
        "extraction": {"shards": 2},
        "runtime": {"device": "cpu", "batch_tokens": 512},
    }


def settings(shared, rng, folder):
    """The settings of a stage, on whole inputs."""
    names = [name for name, job in shared.chain.jobs.items() if job.stage != "finetune_strong"]
    names = [*names, *(name for name in names if shared.chain.jobs[name].stage in QUICK)]
    name = mutate.pick(rng, names)
    job = shared.chain.jobs[name]
    tree, told = mutate.tree({"settings": job.settings}, rng, numbers=mutate.SMALL)
    text = json.dumps(_bounded(tree).get("settings", {}))
    if rng.random() < 0.1:
        text, told = mutate.text(text, rng)
    line = job.line(**job.elsewhere(folder / "out"))
    line[-1] = text.replace("\0", "")
    outputs = list(job.elsewhere(folder / "out").values())
    return Case(f"settings of {name}: {told}", line, folder, outputs, several=True)


def _bounded(tree):
    """The tree without whole numbers that only make work."""
    for holder, key in mutate.places(tree):
        value = holder[key]
        if key in SLOW and isinstance(value, int) and not isinstance(value, bool):
            holder[key] = min(value, 300 if key == "bootstrap" else 3)
    return tree


def command_line(shared, rng, folder):
    """A command line with arguments dropped, doubled, swapped or replaced."""
    lines = [
        lambda: ["inspect", str(shared.chain / "examples.parquet"), "--rows", "2"],
        lambda: ["verify", str(shared.chain / "examples.parquet")],
        lambda: ["tasks"],
        lambda: ["estimate", "--config", str(CONFIG / "config.yaml")],
        lambda: ["preflight", "movies", "--config", str(CONFIG / "config.yaml")],
    ]
    names = "examples split-0 overlap-0 tokenize-small tables activations-large"
    for name in names.split():
        job = shared.chain.jobs[name]
        lines.append(lambda job=job: job.line(**job.elsewhere(Path("out"))))
    line = mutate.pick(rng, lines)()
    (folder / "folder.parquet").mkdir()
    (folder / "empty.parquet").write_bytes(b"")
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "text.parquet").write_text("words\n" * 50, encoding="utf-8")
    strange = [
        *mutate.WORDS, ".", "/", "/dev/null", "folder.parquet", "empty.parquet", "text.parquet",
        "empty.safetensors", "x" * 300, "a/" * 3000, *(f"{number!r}" for number in mutate.NUMBERS),
        "--settings", "--help", "[]", "{}", "-1",
    ]  # fmt: skip
    told = []
    for _ in range(int(rng.integers(1, 3))):
        at = int(rng.integers(len(line)))
        way = mutate.pick(rng, ("odd", "odd", "odd", "drop", "double", "swap", "misspell"))
        told.append(f"{way} at {at}")
        if way == "odd":
            line[at] = mutate.pick(rng, strange)
        elif way == "drop" and len(line) > 1:
            del line[at]
        elif way == "double":
            line.insert(at, line[at])
        elif way == "misspell":
            line[at] = mutate.misspelt(line[at], rng)
        else:
            other = int(rng.integers(len(line)))
            line[at], line[other] = line[other], line[at]
    line = [word.replace("\0", "") for word in line]  # which no command line can hold
    about = f"{line[:1]}: {'; '.join(told)}"
    return Case(about, line, folder, _outputs(line, folder), several=True)


def _outputs(line, folder):
    """What a command line asks to be written."""
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
            options = parser().parse_args(line)
    except SystemExit:
        return []
    names = STAGES[options.command].outputs if options.command in STAGES else ()
    return [(folder / getattr(options, f"output_{name}")).resolve() for name in names]
