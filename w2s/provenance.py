"""What an artifact says of its making, and whether that is what a configuration asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from w2s.config import Config, parse_as
from w2s.dag import Job, jobs, settings
from w2s.data.sources import beside_weights, dataset_source, known_sha256, model_reference
from w2s.declare import Plain, Strict
from w2s.digest import code_digest
from w2s.files.artifacts import is_provenance
from w2s.files.formats import TEXTS
from w2s.tracks import STAGES

# settings that name a place on the user's machine
FOLDERS = ("path", "local", "tasks_file", "selectors_file", "scores")
WRITTEN = frozenset({".parquet", ".safetensors", ".csv", ".md", ".svg", ".png"})
BESIDE = frozenset({"logs", "benchmarks"})  # folders of Snakemake's
SHARD = "activations/*/shard-*.safetensors"  # there until all of them are
WIDTH = 40  # characters of a setting that are shown


def told_settings(chosen: Strict) -> Any:
    """Settings as the provenance tells them: files by their names, without the folders."""
    return _without_folders(chosen.model_dump(mode="json"))


def _without_folders(settings: Any) -> Any:
    if not isinstance(settings, dict):
        return settings
    return {
        key: _name(value) if key in FOLDERS and value else _without_folders(value)
        for key, value in settings.items()
    }


def _name(value: Any) -> Any:
    """Names of a file, or of files by name."""
    if isinstance(value, dict):
        return {key: Path(path).name for key, path in value.items()}
    return Path(value).name


def identity_of_model(reference: str) -> str:
    """What the provenance says of a model: its name on the hub, or a digest of its folder.

    The weights are not in it: artifacts made with them name them in their facts.
    """
    if reference.startswith("hub:"):
        return reference
    small = {path.name: known_sha256(path) for path in beside_weights(Path(reference))}
    return hashlib.sha256(json.dumps(small, sort_keys=True).encode()).hexdigest()


def metadata_of(path: Path) -> dict[str, Any] | None:
    """What a file says of itself, unchecked; None where it says nothing that can be read."""
    try:
        found = json.loads(TEXTS[path.suffix](path) or "null")
    except (OSError, ValueError):
        return None
    told = found.get("provenance") if isinstance(found, dict) else None
    return found if told and is_provenance(told) else None


def differing(
    config: Config, *, skip: Callable[[Path], bool] = lambda path: False
) -> Iterator[tuple[Path, str]]:
    """Files of an experiment that are not what it asks for, each with the reason.

    Args:
        config: The experiment.
        skip: Says of a file that it is not to be looked at.
    """
    here = [
        (job, path)
        for job in jobs(config)
        for path in job.files
        if path.suffix in TEXTS and path.is_file()
    ]
    asked = [(job, path) for job, path in here if not skip(path)]
    told = {path: metadata_of(path) for _, path in here} if asked else {}
    known = {str(found.get("digest")) for found in told.values() if found}
    for job, path in asked:
        why = _why(config, job, told[path], known)
        if why:
            yield path, why


def foreign(config: Config, paths: Iterable[str | Path]) -> Iterator[tuple[Path, str]]:
    """Files below some paths that do not belong to an experiment, each with the reason, sorted.

    Logs, benchmarks, hidden files and files that no rule writes by their ending are not looked at.

    Args:
        config: The experiment; its paths are relative to the current folder.
        paths: Files or folders.
    """
    below = [Path(path).resolve() for path in paths]
    results = Path(config.results).resolve()
    found = {path.resolve(): (path, why) for path, why in differing(config)}
    own = {path.resolve() for job in jobs(config) for path in job.files}
    for path in results.rglob("*"):
        inside = path.relative_to(results)
        hidden = any(part.startswith(".") for part in inside.parts)
        beside = hidden or inside.parts[0] in BESIDE or path.suffix not in WRITTEN
        beside |= inside.match(SHARD)
        if path not in own and not beside and path.is_file():
            found[path] = (Path(config.results) / inside, "no file of this experiment")
    for path in sorted(found):
        if any(path == folder or folder in path.parents for folder in below):
            yield found[path]


def _why(config: Config, job: Job, told: Any, known: Container[str]) -> str:
    """Why a file is not of a job; "" if it is. `known` holds the digests of all artifacts."""
    if told is None:
        return "it does not say where it is from"
    made, stage = told["provenance"], job.stage
    if {made.get("stage"), stage} == {"activations", "gather_activations"}:
        stage = made["stage"]  # by one job or by several: the same within rounding
    if made.get("stage") != stage:
        return f"made by {made.get('stage')}, expected {stage}"
    asked = json.loads(settings(config, stage, **job.of))
    expected = told_settings(parse_as(STAGES[stage].settings, asked))
    other = _other_setting(made.get("settings", {}), expected)
    if other:
        return other
    if not STAGES[stage].pinned and made.get("code") != code_digest(stage):
        return "made by other code"
    return _other_input(config, job, made.get("inputs", {}), told.get("facts", {}), known)


def _other_setting(found: Any, expected: Any, where: str = "") -> str:
    """The first setting that differs; "" if none does."""
    if not (isinstance(found, dict) and isinstance(expected, dict)):
        same = found == expected
        return "" if same else f"made with {where} {_short(found)}, expected {_short(expected)}"
    differ = (
        _other_setting(found.get(name), expected.get(name), f"{where}.{name}".lstrip("."))
        for name in sorted({*found, *expected})
    )
    return next(filter(None, differ), "")


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def has_weights(folder: Path, facts: Mapping[str, Any]) -> bool:
    """Whether the weights of a model's folder are those that an artifact names, if it names any."""
    hashes = facts.get("model")
    if not isinstance(hashes, dict):  # tokens are of no weights
        return True
    names = {*hashes, *(path.name for path in folder.glob("*.safetensors"))}
    paths = {name: folder / name for name in names}
    return all(path.is_file() and known_sha256(path) == hashes.get(n) for n, path in paths.items())


def _other_input(
    config: Config, job: Job, inputs: Any, facts: Mapping[str, Any], known: Container[str]
) -> str:
    """Which input is not there any more as it was read; "" if all are."""
    source = Path(dataset_source(config, job.of["dataset"])) if "source" in inputs else None
    if source is not None and source.is_file() and known_sha256(source) != inputs["source"]:
        return f"made from another {source.name}"
    if "model" in inputs:
        name = job.of.get("model") or job.of.get("strong") or job.of["weak"]
        model = model_reference(config, name)
        there = model.startswith("hub:") or Path(model).is_dir()
        same = not there or model.startswith("hub:") or has_weights(Path(model), facts)
        if there and (identity_of_model(model) != inputs["model"] or not same):
            return f"made with another model than {name} is now"
    for name, kind in STAGES[job.stage].inputs.items():
        read = inputs.get(name, []) if name != "shards" else []  # they do not stay
        digests = read if isinstance(read, list) else [read]
        if not isinstance(kind, Plain) and not all(digest in known for digest in digests):
            return f"made from other {name}"
    return ""
