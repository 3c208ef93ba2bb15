"""Where jobs read texts and models from, for the Snakefile and for the settings of jobs.

It reads a `w2s.config.Config` and the table of tasks only, and imports nothing that takes long.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from w2s.data.own_tasks import find_task
from w2s.errors import ConfigError, DataError

KEY = 8  # hex digits that tell files of one task apart
HUB_FIELDS = ("hub", "config", "data_dir", "columns", "train", "test", "held_out")
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
BESIDE_WEIGHTS = (  # what transformers reads of a model and of the tokenizers that it knows
    "config.json", "*.py", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json",
    "vocab*.json", "vocab.txt", "merges.txt", "*.model", "tekken.json", "*.spm", "bpe.codes",
    "dict.txt", "normalizer.json", "byte_maps.json", "emoji.json", "entity_vocab.json",
    "target_vocab.json", "prophetnet.tokenizer", "word_*.json",
)  # fmt: skip
TABLES = (  # what a copy of a dataset is read from
    ".parquet", ".arrow", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".gz", ".bz2", ".xz", ".zst",
    ".zip", "README.md",
)  # fmt: skip


def packages(config: Any) -> dict[str, Any]:
    """The files to fetch, by the name of their folder under `resources`.

    Raises:
        ConfigError: two datasets or models name the same file with different hashes or folders.
    """
    owners = [d for d in config.datasets.values() if d.source == "icwsm14"]
    owners += [m for m in config.models.values() if m.source == "package"]
    found: dict[str, Any] = {}
    for owner in owners:
        package = owner.package
        if found.setdefault(package.key, package) != package:
            raise ConfigError(f"package {package.key}: found two descriptions, expected one")
    return found


def dataset_source(config: Any, dataset: str) -> str:
    """The file a dataset is read from: a fetched manifest, or the user's own file."""
    data = config.datasets[dataset]
    if data.source == "icwsm14":
        return f"{config.resources}/{data.package.key}/manifest.json"
    if data.source == "hub":
        return str(rows_file(config, _rows_name(_task_fields(dataset, data))))
    return f"{data.path}/train.json" if data.source == "wrench" else str(data.path)


def rows_file(config: Any, task: str) -> Path:
    """The rows that are fetched for a task, by its name in `tasks`."""
    return Path(config.resources, "tasks", f"{task}.parquet")


def beside_source(config: Any, dataset: str) -> list[str]:
    """Files that are read together with the source of a dataset."""
    data = config.datasets[dataset]
    if data.source != "wrench":
        return []
    return [f"{data.path}/{part}.json" for part in ("valid", "test")]


def tasks(config: Any) -> dict[str, dict[str, Any]]:
    """Settings of `fetch_task` for what datasets read of the hub, by the name of the file.

    Raises:
        ConfigError: a key that is no task.
        DataError: a file of tasks that cannot be used.
    """
    found = [
        _task_fields(name, data) for name, data in config.datasets.items() if data.source == "hub"
    ]
    return {_rows_name(fields): fields for fields in found}


def task_files(config: Any, name: str) -> list[str]:
    """The files of the local copy that some rows are read from; none where the hub is asked."""
    local = tasks(config)[name]["local"]
    return [] if local is None else sorted(map(str, _tables(Path(local))))


def _tables(folder: Path) -> Iterator[Path]:
    """Its tables and their description: `datasets` passes over names that begin with . or __."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "__")) for part in parts)
        if path.name.endswith(TABLES) and not hidden and path.is_file():
            yield path


def _task_fields(dataset: str, data: Any) -> dict[str, Any]:
    try:
        task = find_task(data.task, None if data.tasks_file is None else Path(data.tasks_file))
    except DataError as error:
        raise ConfigError(f"datasets.{dataset}.{error}") from None
    return {
        "task": data.task,
        **{field: getattr(task, field) for field in HUB_FIELDS},
        "revision": data.revision or task.revision,
        "local": data.local,
        "max_rows": data.max_rows,
    }


def _rows_name(fields: dict[str, Any]) -> str:
    """Task and a digest of what is read: experiments that share `resources` share equal files."""
    digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
    return f"{fields['task']}-{digest[:KEY]}"


def hub_datasets(config: Any) -> list[str]:
    """Datasets that are tasks of the hub."""
    return [name for name, data in config.datasets.items() if data.source == "hub"]


def wrench_datasets(config: Any) -> list[str]:
    """Datasets that bring their own labeling functions."""
    return [name for name, data in config.datasets.items() if data.source == "wrench"]


def model_files(config: Any, model: str) -> list[str]:
    """The files a model is loaded from, as far as they are on this machine.

    Raises:
        ConfigError: a local model's folder without a config.json.
    """
    chosen = config.models[model]
    if chosen.source == "package":
        return [f"{config.resources}/{chosen.package.key}/manifest.json"]
    if chosen.source != "local":
        return []
    folder = Path(chosen.path)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"models.{model}.path: found no {folder}/config.json, expected a model")
    return [str(path) for path in [*beside_weights(folder), *_files(folder, WEIGHTS)]]


def beside_weights(folder: Path) -> list[Path]:
    """The files that a model's folder is read from, but for its weights, sorted."""
    return _files(folder, BESIDE_WEIGHTS)


def _files(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in found if not path.name.startswith("."))


def model_reference(config: Any, model: str) -> str:
    """What `w2s ... --model` is given for a model."""
    chosen = config.models[model]
    if chosen.source == "package":
        return f"{config.resources}/{chosen.package.key}"
    if chosen.source == "local":
        return str(chosen.path)
    return f"hub:{chosen.id}@{chosen.revision}"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache
def _hashed(path: Path, size: int, time: int) -> str:
    return sha256_of(path)


def known_sha256(path: Path) -> str:
    """The same, read once: the plan of many jobs asks for that of one file."""
    told = path.stat()
    return _hashed(path.resolve(), told.st_size, told.st_mtime_ns)
