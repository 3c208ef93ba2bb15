"""What the Snakefile asks: the settings, inputs and code digest of every job.

It reads the configuration only, and imports nothing that takes long: Snakemake parses the Snakefile
anew for every job.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from w2s.config import Config
from w2s.data.sources import (
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
from w2s.declare import Plain, option, output_option
from w2s.digest import code_digest
from w2s.finetuning.track import finetuned_datasets
from w2s.overlap.track import titles
from w2s.selection.track import experiment_labels, experiment_titles
from w2s.tracks import FILES, JOBS, OWN, STAGES
from w2s.weak_supervision.track import features_of, label_models_of, labeled_datasets, students_of

__all__ = [
    "Job", "beside_source", "command", "dataset_source", "experiment_labels", "experiment_titles",
    "features_of", "finetuned_datasets", "hub_datasets", "job_labels", "jobs", "label_models_of",
    "labeled_datasets", "model_files", "model_reference", "packages", "roles", "rows_file",
    "settings", "students_of", "task_files", "tasks", "titles", "wrench_datasets",
]  # fmt: skip


def settings(config: Config, stage: str, **job: str) -> str:
    """Settings of one job as sorted JSON: the same text for the same settings.

    Args:
        config: The configuration.
        stage: Name of the stage.
        job: Its wildcards: dataset, model, weak, strong, seed, resource.
    """
    text = json.dumps(told(config, stage, job), sort_keys=True, ensure_ascii=False)
    return text.replace("<", "\\u003c")  # Snakemake's report puts it into a script as it is


def told(config: Config, stage: str, job: Mapping[str, str]) -> dict[str, Any]:
    """What a job is told, by the names of the fields of its stage's settings.

    Each is looked up in what the stage adds, the job's wildcards and the configuration, in this
    order; one that is nowhere is left to its default.
    """
    row = STAGES[stage]
    wildcards: dict[str, Any] = {**job, "seed": int(job["seed"])} if "seed" in job else {**job}
    code = {"code": code_digest(row.code_of)} if row.code_of else {}
    places = (*row.adds(config, job), code, wildcards, config)
    found = {}
    for name in row.settings.model_fields:
        for place in places:
            values = place if isinstance(place, Mapping) else _fields(place)
            if name in values:
                found[name] = _plain(values[name])
                break
    return found


def _fields(section: BaseModel) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(value) if isinstance(value, tuple) else value


def job_labels(config: Config, *, dataset: str, weak: str, strong: str, seed: str) -> str:
    """The weak labels of a pair of models, or those of a label model, whatever its student."""
    folder = f"{config.results}/{dataset}"
    if weak in label_models_of(config):
        return f"{folder}/label_models/{weak}/seed{seed}/weak_labels.parquet"
    return f"{folder}/{weak}--{strong}/seed{seed}/weak_labels.parquet"


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    Attributes:
        rule: Its rule.
        of: The wildcards of the rule.
        files: What it writes.
    """

    rule: str
    of: dict[str, str]
    files: tuple[Path, ...]

    @property
    def stage(self) -> str:
        """The stage that its rule runs."""
        return "evaluate" if self.rule == "evaluate_finetuned" else self.rule


def jobs(config: Config) -> Iterator[Job]:
    """All jobs, but for downloads of packages and shards, whose files do not stay."""
    for name in tasks(config):
        yield Job("fetch_task", {"task": name}, (rows_file(config, name),))
    for rule, wildcards in (job for of_track in JOBS for job in of_track(config)):
        files = tuple(Path(config.results, file.format(**wildcards)) for file in FILES[rule])
        yield Job(rule, wildcards, files)


def roles(config: Config) -> dict[str, list[str]]:
    """What may stand for a weak and a strong model in paths: label models and students too."""
    return {
        "weak": [*config.models, *label_models_of(config)],
        "strong": [*config.models, *students_of(config)],
    }


def command(stage: str) -> str:
    """The command of a stage's rule, with Snakemake's names in the place of values."""
    row = STAGES[stage]
    own = OWN.get(row.module)
    words = [
        f"w2s {stage}"
        if own is None
        else f"w2s --track {shlex.quote(os.path.relpath(own))} {stage}"
    ]
    for name, what in row.inputs.items():
        place = "params" if what is Plain.MODEL else "input"
        words.append(f"{option(name)} {{{place}.{name}:q}}")
    words += [f"{output_option(row, name)} {{output.{name}:q}}" for name in row.outputs]
    words.append("--settings {params.settings:q}")
    if row.runtime:
        names = ("device", "batch_tokens", "device_map")
        words += [f"{option(name)} {{resources.{name}}}" for name in names]
    return " ".join(words)
