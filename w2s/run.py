"""Run a stage: load and check its inputs, call its function, write all its outputs or none."""

from __future__ import annotations

import importlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from w2s.config import parse_as
from w2s.data.fetch import file_hashes, is_fetched
from w2s.data.sources import sha256_of
from w2s.declare import ForPeople, Input, Kind, Many, Output, Plain, Stage
from w2s.digest import code_digest
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact, check, load, save, whole
from w2s.files.formats import svg_metadata
from w2s.files.resume import work_folder
from w2s.models.track import JobRuntime
from w2s.provenance import identity_of_model, told_settings
from w2s.tracks import STAGES

PACKAGES = ("w2s", "numpy", "pyarrow", "safetensors", "torch", "transformers")


def run(
    name: str,
    inputs: Mapping[str, str | Sequence[str]],
    outputs: Mapping[str, str],
    settings: Mapping[str, Any],
    runtime: JobRuntime | None = None,
) -> None:
    """Run one stage.

    Args:
        name: The stage.
        inputs: Path of each input; several where the stage takes many.
        outputs: Path of each output.
        settings: The stage's settings, unchecked.
        runtime: Device and batches, for stages that take them.

    Raises:
        W2SError: bad settings or inputs; no output is left then.
    """
    stage = STAGES[name]
    chosen = parse_as(stage.settings, settings)
    loaded = {key: _load(kind, inputs[key]) for key, kind in stage.inputs.items()}
    module, function = stage.function.split(":")
    call = getattr(importlib.import_module(module), function)
    provenance = {
        "stage": name,
        "code": code_digest(name),
        "settings": told_settings(chosen),
        "inputs": {key: _identity(kind, loaded[key]) for key, kind in stage.inputs.items()},
        "packages": _versions(),
    }
    if Plain.MANIFEST in stage.outputs.values():
        with _telling(outputs["manifest"]):
            _write_folder(call, chosen, Path(outputs["manifest"]))
        return
    _check_outputs(stage, inputs, outputs)
    with _extra(stage, outputs, provenance, runtime or JobRuntime()) as extra:
        results = call(*loaded.values(), settings=chosen, **extra)
        _write(stage, results, outputs, provenance)


@contextmanager
def _extra(
    stage: Stage, outputs: Mapping[str, str], provenance: Any, runtime: JobRuntime
) -> Iterator[dict[str, Any]]:
    """What a stage is given beside inputs and settings: the runtime, and a folder to work in."""
    extra: dict[str, Any] = {"runtime": runtime} if stage.runtime else {}
    if not stage.work:
        yield extra
        return
    # batches move results within rounding: work done in others would give other bytes
    identity = {"provenance": provenance, "runtime": runtime.model_dump(mode="json")}
    with work_folder(Path(next(iter(outputs.values()))), identity) as folder:
        yield {**extra, "work": folder}


def _load(kind: Input, value: Any) -> Any:
    if isinstance(kind, Many):
        return [load(path, kind.kind, by_rows=True) for path in value]
    if isinstance(kind, Kind):
        return load(value, kind, by_rows=True)
    return Path(value) if kind is Plain.FILE else str(value)


def _identity(kind: Input, value: Any) -> Any:
    """What the provenance says of an input: digests, never paths."""
    if isinstance(kind, Many):
        return [artifact.checksum for artifact in value]
    if isinstance(kind, Kind):
        return value.checksum
    if kind is Plain.FILE:
        return sha256_of(value) if value.is_file() else None
    return identity_of_model(value)


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            continue
    return found


def _write(
    stage: Stage, results: Mapping[str, Any], outputs: Mapping[str, str], provenance: Any
) -> None:
    ready: dict[str, Any] = {}
    for key, result in results.items():
        if isinstance(result, Artifact):
            ready[key] = Artifact(result.kind, result.arrays, result.facts, provenance)
            check(ready[key], f"{key} (not written)")
        else:
            ready[key] = result
    for key, output in stage.outputs.items():
        with _telling(outputs[key]):
            _write_one(output, ready[key], Path(outputs[key]), provenance)


@contextmanager
def _telling(path: str) -> Iterator[None]:
    """Tell in one line that a disk is full, read-only or gone."""
    try:
        yield
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror})") from None


def _check_outputs(
    stage: Stage, inputs: Mapping[str, str | Sequence[str]], outputs: Mapping[str, str]
) -> None:
    """Raise before the work where an output could not be written, so that none is."""
    given = [[paths] if isinstance(paths, str) else paths for paths in inputs.values()]
    taken = {Path(path).resolve() for paths in given for path in paths}
    for key, output in stage.outputs.items():
        path = Path(outputs[key])
        _check_ending(output, path)
        if path.is_dir():
            raise ArtifactError(f"{path}: found a folder, expected a file to write")
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise ArtifactError(f"{path}: found the file {above}, expected a folder")
        if path.resolve() in taken:
            raise ArtifactError(f"{path}: found an input or another output, expected a new file")
        taken.add(path.resolve())


def _check_ending(output: Output, path: Path) -> None:
    kind = getattr(output, "kind", output)
    expected = kind.suffix if isinstance(kind, Kind) else ".svg"
    if path.suffix != expected:
        raise ArtifactError(f"{path}: found the ending '{path.suffix}', expected '{expected}'")


def _write_one(output: Output, result: Any, path: Path, provenance: Any) -> None:
    if isinstance(output, Kind):
        save(result, path)
    elif isinstance(output, ForPeople):
        save(result, path)
        _write_for_people(result, path)
    else:
        _write_figure(result, path, provenance)


def _write_for_people(table: Artifact, path: Path) -> None:
    """The same rows as CSV and Markdown, numbers to four digits after the point."""
    frame = table.frame
    with whole(path.with_suffix(".csv")) as beside:
        frame.to_csv(beside, index=False, float_format="%.6g", na_rep="NaN")
    with whole(path.with_suffix(".md")) as beside:
        text = frame.to_markdown(index=False, floatfmt=".3f", missingval="NaN")
        beside.write_text(text + "\n", encoding="utf-8")


def _write_figure(figure: Any, path: Path, provenance: Any) -> None:
    import matplotlib as mpl

    told = svg_metadata(json.dumps({"provenance": provenance}, sort_keys=True))
    with mpl.rc_context({"svg.hashsalt": "w2s", "svg.fonttype": "none"}):  # the same bytes twice
        with whole(path) as beside:
            figure.savefig(beside, format="svg", metadata=told)
        with whole(path.with_suffix(".png")) as beside:
            figure.savefig(beside, format="png", dpi=110)


def _write_folder(call: Any, settings: Any, manifest: Path) -> None:
    """Fill a folder beside the manifest's and put it in its place."""
    folder = manifest.resolve().parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
        filled = Path(temporary) / folder.name
        filled.mkdir()
        content = call(filled, settings=settings)["manifest"]
        text = json.dumps(content, indent=2, sort_keys=True)
        (filled / manifest.name).write_text(text + "\n", encoding="utf-8")
        if folder.exists():
            strange = sorted(set(file_hashes(folder)) - set(file_hashes(filled)))
            if strange and not is_fetched(folder):  # what stands there is not ours to delete
                raise DataError(f"{folder}: found {strange[0]}, expected an empty folder")
            folder.replace(Path(temporary) / "replaced")  # a kill leaves it whole or not there
        filled.replace(folder)
