"""What the Snakefile asks: settings, commands and files of jobs, and checks before any.

It reads the configuration only, and imports nothing that takes long: Snakemake parses the Snakefile
anew for every job.
"""

from __future__ import annotations

import importlib.util
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
from w2s.declare import UNTOLD, Plain, nearest_of, option, output_option
from w2s.digest import code_digest
from w2s.errors import ConfigError, W2SError
from w2s.finetuning.track import arm_scores
from w2s.models.track import HubModel, Model
from w2s.overlap.track import titles
from w2s.results.track import datasets_of
from w2s.selection.track import experiment_labels, experiment_titles
from w2s.tracks import FILES, JOBS, OWN, STAGES
from w2s.weak_supervision.track import features_of, label_models_of, labeled_datasets, students_of

__all__ = [
    "Job", "arm_scores", "beside_source", "check", "command", "dataset_source", "datasets_of",
    "experiment_labels", "experiment_titles", "features_of", "hub_datasets", "job_labels", "jobs",
    "label_models_of", "labeled_datasets", "model_files", "model_reference", "packages", "roles",
    "rows_file", "settings", "students_of", "task_files", "tasks", "titles", "wrench_datasets",
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
    order; one that is nowhere is told by its default, so that an edit of that is noticed too.
    """
    row = STAGES[stage]
    wildcards: dict[str, Any] = {**job, "seed": int(job["seed"])} if "seed" in job else {**job}
    code = {"code": code_digest(row.code_of)} if row.code_of else {}
    fields = row.settings.model_fields
    defaults = {
        name: field.get_default(call_default_factory=True)
        for name, field in fields.items()
        if not field.is_required()
    }
    places = (*row.adds(config, job), code, wildcards, config, defaults)
    found: dict[str, Any] = {}
    for name in fields:
        for place in places:
            values = place if isinstance(place, Mapping) else _fields(place)
            if name in values:
                found |= {} if values[name] is UNTOLD else {name: _plain(values[name])}
                break
    return found


def _fields(section: BaseModel) -> dict[str, Any]:
    return {name: getattr(section, name) for name in type(section).model_fields}


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    return list(map(_plain, value)) if isinstance(value, tuple) else value


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
    """What may stand in paths for each word of the tracks: label models for weak models too."""
    return {
        "weak": [*config.models, *label_models_of(config)],
        "strong": [*config.models, *students_of(config)],
        "experiment": [*config.selection.experiments],
        "study": [*config.synthetic.studies] if config.synthetic else [],
    }


def command(stage: str) -> str:
    """The command of a stage's rule, with Snakemake's names in the place of values."""
    row = STAGES[stage]
    words = ["w2s"]
    for file in OWN.values() if row.module in OWN else ():  # one may import another before it
        words.append(f"--track {shlex.quote(os.path.relpath(file))}")
    words.append(stage)
    for name, what in row.inputs.items():
        place = "params" if what is Plain.MODEL else "input"
        words.append(f"{option(name)} {{{place}.{name}:q}}")
    words += [f"{output_option(row, name)} {{output.{name}:q}}" for name in row.outputs]
    words.append("--settings {params.settings:q}")
    if row.runtime:
        names = ("device", "batch_tokens", "device_map")
        words += [f"{option(name)} {{resources.{name}}}" for name in names]
    return " ".join(words)


# what families of models call it in their config.json
DEPTH = ("num_hidden_layers", "n_layer", "n_layers")
POSITIONS = ("max_position_embeddings", "n_positions")


def check(config: Config, *, packages: bool = True) -> None:
    """Check what can be known of models and packages before they are loaded.

    Models of the hub, and packages that are not fetched yet, are known to the jobs alone.

    Args:
        config: The experiment; its paths are relative to the current folder.
        packages: Whether the packages of this environment are those of the jobs.

    Raises:
        ConfigError: one line for each mistake.
    """
    for _ in jobs(config):  # those of a user's own track may not be told
        pass
    mistakes = [
        f"{name}: found the file {folder}, expected a folder"
        for name, folder in (("results", config.results), ("resources", config.resources))
        if not is_folder(Path(folder))
    ]
    mistakes += [
        f"custom_rules: found no file {page}, expected a page of rules"
        for page in config.custom_rules
        if not Path(page).is_file()
    ]
    mistakes += [
        f"models.{name}.{mistake}"
        for name, model in config.models.items()
        if not isinstance(model, HubModel)
        for mistake in _of_model(model, _read(Path(model_reference(config, name))))
    ]
    mistakes += [*_of_own_selectors(config)]
    mistakes += _of_packages(config) if packages else []
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def is_folder(path: Path) -> bool:
    """Whether a folder is there, or can be made: nothing on the way to it is a file."""
    return next(p for p in (path, *path.parents) if p.exists()).is_dir()


def _read(folder: Path) -> dict[str, Any]:
    """The configuration of a model; nothing where it cannot be read, which its jobs tell."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(told: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((told[name] for name in names if isinstance(told.get(name), int)), None)


def _of_model(model: Model, told: dict[str, Any]) -> Iterator[str]:
    depth, positions = _number(told, DEPTH), _number(told, POSITIONS)
    if depth is not None and model.num_layers is not None and model.num_layers > depth:
        yield f"num_layers: found {model.num_layers}, expected at most {depth}"
    elif depth is not None:
        depth = model.num_layers or depth
        for layer in model.layers:
            if not -depth - 1 <= layer <= depth:
                yield f"layers: found {layer}, expected {-depth - 1} to {depth}"
    asked = model.max_length if "max_length" in model.model_fields_set else 0
    if positions is not None and asked > positions:  # the default is more than some texts need
        yield f"max_length: found {asked}, expected at most {positions}, which is all it can read"


def _of_own_selectors(config: Config) -> Iterator[str]:
    """What is wrong with selectors and scores of a user's own, without any pool."""
    arms, tuned = config.arms, config.finetuning
    for name, path in arms.scores.items() if arms else ():
        if not Path(path).is_file() or Path(path).suffix not in (".parquet", ".npz"):
            yield f"arms.scores.{name}: found {path}, expected a file .parquet or .npz"
    if arms is None or arms.selectors_file is None:
        return
    from w2s.arms.own import own_selectors  # imports NumPy

    try:
        own = own_selectors(arms.selectors_file, arms.scores)
    except W2SError as error:
        yield f"arms.selectors_file: {error}"
        return
    known = [*arms.selectors, *arms.scores, *own]
    for number, arm in enumerate(tuned.arms if tuned else ()):
        if arm.selector not in known:
            hint = nearest_of(arm.selector, known)
            yield (
                f"finetuning.arms.{number}.selector: '{arm.selector}' is not a selector of `arms`; "
                f"{hint}"
            )


def _of_packages(config: Config) -> Iterator[str]:
    tuned = config.finetuning
    if tuned and tuned.recipe.method == "lora" and importlib.util.find_spec("peft") is None:
        yield (
            "finetuning.recipe.method: found no package peft, expected it for lora; "
            "pip install 'w2s[finetune]', or train all weights: `method: full`"
        )
    spread = [name for name, model in config.models.items() if model.device_map]
    if spread and importlib.util.find_spec("accelerate") is None:
        yield (
            f"models.{spread[0]}.device_map: found no package accelerate, expected it for auto; "
            f"pip install 'w2s[gpu]'"
        )
