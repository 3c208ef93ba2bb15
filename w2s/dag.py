"""What the Snakefile asks: the settings, inputs and code digest of every job.

It reads the configuration only, and imports nothing that takes long: Snakemake parses the Snakefile
anew for every job.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from w2s.config import Config
from w2s.dag_sources import (
    beside_source,
    dataset_source,
    hub_datasets,
    model_files,
    model_reference,
    packages,
    rows_file,
    task_files,
    tasks,
    wrench_datasets,
)
from w2s.data.fetch import sha256_of
from w2s.data.track import HubDataset, holds_features
from w2s.digest import code_digest
from w2s.overlap.track import Pair
from w2s.selection.track import Partition
from w2s.weak_supervision.track import OWN_FEATURES

__all__ = [
    "beside_source", "dataset_source", "experiment_labels", "experiment_titles", "features_of",
    "finetuned_datasets", "hub_datasets", "job_labels", "label_models_of", "labeled_datasets",
    "model_files", "model_reference", "packages", "rows_file", "settings", "students_of",
    "task_files", "tasks", "titles", "wrench_datasets",
]  # fmt: skip


def settings(config: Config, stage: str, **job: str) -> str:
    """Settings of one job as sorted JSON: the same text for the same settings.

    Args:
        config: The configuration.
        stage: Name of the stage.
        job: Its wildcards: dataset, model, weak, strong, seed, resource.
    """
    text = json.dumps(_SETTINGS[stage](config, job), sort_keys=True, ensure_ascii=False)
    return text.replace("<", "\\u003c")  # Snakemake's report puts it into a script as it is


def titles(config: Config) -> list[list[str]]:
    """Name and title of each dataset in the configuration's order; the name where it has none."""
    return [[name, data.title or name] for name, data in config.datasets.items()]


def experiment_titles(config: Config) -> list[list[str]]:
    """Name and title of each selection experiment; the name where it has none."""
    return [[name, item.title or name] for name, item in config.selection.experiments.items()]


def experiment_labels(config: Config, *, experiment: str, weak: str, strong: str, seed: str) -> str:
    """The weak labels that a selection experiment reads: its dataset's, or its own."""
    chosen = config.selection.experiments[experiment]
    folder = chosen.dataset if isinstance(chosen, Partition) else f"selection/{experiment}"
    return f"{config.results}/{folder}/{weak}--{strong}/seed{seed}/weak_labels.parquet"


def _pair(config: Config, job: Mapping[str, str]) -> tuple[Pair, int, int]:
    """The job's pair with the layers its weak and its strong probes read."""
    pair = next(p for p in config.pairs if (p.weak, p.strong) == (job["weak"], job["strong"]))
    weak, strong = (
        config.models[name].layers[-1] if layer is None else layer
        for name, layer in ((pair.weak, pair.weak_layer), (pair.strong, pair.strong_layer))
    )
    return pair, weak, strong


def _fields(config: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in config.model_dump(mode="json").items() if name in names}


def _examples(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    data = config.datasets[job["dataset"]].model_dump(mode="json", exclude={"title"})
    if "path" in data:  # the file itself is an input: in which folder it lies changes nothing
        data["path"] = Path(data["path"]).name
    return {"dataset": job["dataset"], "data": data}


def _task_examples(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    data = config.datasets[job["dataset"]].model_dump(
        mode="json",
        exclude={"title", "local", "max_rows", "revision"},  # of the rows
    )
    own = data["tasks_file"]
    code = "" if own is None else sha256_of(Path(own))
    return {"dataset": job["dataset"], "data": data, "tasks_file_sha256": code}


def _activations(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    names = ("num_layers", "layers", "pooling", "dtype", "storage", "trust_remote_code")
    fields = _fields(config.models[job["model"]], *names)
    shard = job.get("scatteritem")
    return {**fields, "shard": shard} if shard else fields


def _gather_activations(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    """Those of its shards, and their code: they do not stay to tell it themselves."""
    return {**_activations(config, job), "code": code_digest("activations")}


def _weak_labels(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    return {"layer": _pair(config, job)[1], **_fields(config, "probe")}


def _overlap(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    return {"layer": _pair(config, job)[2], **_fields(config, "overlap")}


def _figures(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    pair = {"weak": job["weak"], "strong": job["strong"]}
    models = " → ".join(config.models[name].title or name for name in pair.values())
    return {**pair, "title": models, "titles": titles(config)}


def _strong(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    pair, weak, strong = _pair(config, job)
    names = {"weak": pair.weak, "strong": pair.strong, "weak_layer": weak, "strong_layer": strong}
    return {**names, **_fields(config, "probe", "mixing")}


def _corpora_labels(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    name = job["experiment"]
    targets = list(getattr(config.selection.experiments[name], "targets", ()))
    return {"experiment": name, "targets": targets, **_weak_labels(config, job)}


def _select(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    pair, _, layer = _pair(config, job)
    names = {"experiment": job["experiment"], "weak": pair.weak, "strong": pair.strong}
    sources = config.selection.experiments[job["experiment"]]
    return {
        **names,
        "layer": layer,
        **_fields(config, "probe", "overlap"),
        "sources": sources.model_dump(mode="json", exclude={"title"}),
        "paths": config.selection.paths.model_dump(mode="json"),
    }


def _selection_figures(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    return {**_figures(config, job), "titles": experiment_titles(config)}


def _study(config: Config, repetitions: str, *names: str) -> dict[str, Any]:
    """Settings of a stage of the synthetic study, with its own number of repetitions."""
    fields = _fields(config.synthetic, repetitions, *names)
    return {"repetitions": fields.pop(repetitions), **fields}


def labeled_datasets(config: Config) -> tuple[str, ...]:
    """Datasets of weak supervision."""
    return config.weak_supervision.datasets if config.weak_supervision else ()


def label_models_of(config: Config) -> tuple[str, ...]:
    """Label models, which stand in for weak models in the paths of weak supervision."""
    return config.weak_supervision.label_models if config.weak_supervision else ()


def students_of(config: Config) -> tuple[str, ...]:
    """Students, which stand in for strong models there."""
    return config.weak_supervision.students if config.weak_supervision else ()


def job_labels(config: Config, *, dataset: str, weak: str, strong: str, seed: str) -> str:
    """The weak labels of a pair of models, or those of a label model, whatever its student."""
    folder = f"{config.results}/{dataset}"
    if weak in label_models_of(config):
        return f"{folder}/label_models/{weak}/seed{seed}/weak_labels.parquet"
    return f"{folder}/{weak}--{strong}/seed{seed}/weak_labels.parquet"


def features_of(config: Config, dataset: str) -> str:
    """What students read on a dataset: the name of a model, or `features` for its own."""
    chosen = config.weak_supervision
    own = holds_features(config.datasets[dataset])
    return OWN_FEATURES if own or not chosen or not chosen.features else chosen.features


def _student(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    chosen, model = config.weak_supervision, config.models.get(features_of(config, job["dataset"]))
    layer = -1  # of features that come with a dataset
    if chosen and model:
        layer = model.layers[-1] if chosen.layer is None else chosen.layer
    told: dict[str, Any] = {"weak": job["weak"], "strong": job["strong"], "layer": layer}
    told |= _fields(config, "probe", "overlap", "mixing")
    if chosen and job["strong"] == "mlp":
        told["restarts"] = chosen.restarts
        if chosen.proportions:
            told["mixing"]["proportions"] = list(chosen.proportions)
    return told


def _weak_supervision_titles(config: Config) -> list[list[str]]:
    chosen = config.weak_supervision
    return [pair for pair in titles(config) if chosen and pair[0] in chosen.datasets]


def _synthetic_controls(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    fields = _study(config, "control_repetitions", "seed", "recipe")
    recipe = {name: value for name, value in fields["recipe"].items() if name != "w2s_on"}
    return {**fields, "recipe": recipe}  # both arms are given: it is not read


def finetuned_datasets(config: Config) -> tuple[str, ...]:
    """Datasets on which models are fine-tuned."""
    if config.finetuning is None:
        return ()
    return config.finetuning.datasets or tuple(config.datasets)


def _finetune(config: Config, model: str, *names: str) -> dict[str, Any]:
    """How a model is fine-tuned: as it reads texts elsewhere, and these parts of the section."""
    own = ("num_layers", "pooling", "dtype", "trust_remote_code")
    return {**_fields(config.models[model], *own), **_fields(config.finetuning, *names)}


def _finetune_strong(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    names = ("recipe", "losses", "self_training", "auxiliary")
    pair = {"weak": job["weak"], "strong": job["strong"]}
    return {**pair, **_finetune(config, job["strong"], *names)}


def _tokenize(config: Config, job: Mapping[str, str]) -> dict[str, Any]:
    model = config.models[job["model"]]
    task = isinstance(config.datasets[job["dataset"]], HubDataset)
    side = model.truncation or ("left" if task else "right")
    return {**_fields(model, "max_length", "trust_remote_code"), "truncation": side}


_SETTINGS: dict[str, Callable[[Config, Mapping[str, str]], dict[str, Any]]] = {
    "fetch": lambda c, job: {"package": packages(c)[job["resource"]].model_dump(mode="json")},
    "examples": _examples,
    "fetch_task": lambda c, job: tasks(c)[job["task"]],
    "task_examples": _task_examples,
    "split": lambda c, job: {"dataset": job["dataset"], "seed": int(job["seed"])},
    "tokenize": _tokenize,
    "activations": _activations,
    "gather_activations": _gather_activations,
    "weak_labels": _weak_labels,
    "overlap": _overlap,
    "strong": _strong,
    "evaluate": lambda c, job: {},
    "tables": lambda c, job: _fields(c, "evaluation"),
    "figures": _figures,
    "corpora_labels": _corpora_labels,
    "select": _select,
    "selection_tables": lambda c, job: _fields(c, "evaluation"),
    "selection_figures": _selection_figures,
    "synthetic": lambda c, job: {
        "study": job["study"],
        **_study(c, "repetitions", "seed", "recipe"),
    },
    "synthetic_detection": lambda c, job: _study(c, "detection_repetitions", "seed"),
    "synthetic_controls": _synthetic_controls,
    "synthetic_tables": lambda c, job: _fields(c.evaluation, "level"),
    "synthetic_figures": lambda c, job: {},
    "wrench_votes": lambda c, job: {},
    "wrench_features": lambda c, job: {},
    "label_matrix": lambda c, job: _fields(c.weak_supervision, "lfs", "lexicons"),
    "label_model": lambda c, job: {"label_model": job["weak"]},
    "student": _student,
    "weak_supervision_tables": lambda c, job: _fields(c, "evaluation"),
    "finetune_weak": lambda c, job: _finetune(c, job["weak"], "recipe"),
    "finetune_strong": _finetune_strong,
    "finetuning_tables": lambda c, job: _fields(c, "evaluation"),
    "finetuning_figures": lambda c, job: {
        "titles": [pair for pair in titles(c) if pair[0] in finetuned_datasets(c)]
    },
    "weak_supervision_figures": lambda c, job: {"titles": _weak_supervision_titles(c)},
}
