"""Running stages: the library's result in a file, the same bytes twice, all outputs or none."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from conftest import SEEDS, Chain, chain_jobs
from safetensors.numpy import load_file, save_file

from w2s.cli import main
from w2s.config import parse_as
from w2s.data.track import EXAMPLES
from w2s.declare import FORMAT, ForPeople, Kind, Many, Plain
from w2s.digest import code_digest
from w2s.errors import ArtifactError

# MOVER: from w2s import settings
from w2s.files.artifacts import Artifact, digest, load, save
from w2s.files.formats import KEY
from w2s.files.spool import blocks
from w2s.models.track import JobRuntime
from w2s.run import run
from w2s.tracks import KINDS, STAGES

JOBS = [name for name in chain_jobs(Path(), Path()) if not name.endswith("-1")]
EVERY_JOB = pytest.mark.parametrize("name", JOBS)


def refused(line: list[str], capsys: pytest.CaptureFixture[str], *folders: Path) -> str:
    """The one line of a refused call; the folders for its outputs are empty or not there."""
    capsys.readouterr()
    assert main(line) == 2
    shown = capsys.readouterr()
    *progress, message = shown.err.splitlines()
    assert message.startswith(f"w2s {line[0]}: error: ")
    assert all(re.match(rf"{line[0]} .*\d+%\|", shown) for shown in progress)
    assert shown.out == ""
    for folder in folders:
        assert not folder.exists() or list(folder.iterdir()) == []
    return message


def write_unchecked(artifact: Artifact, path: Path) -> Path:
    """A tensor artifact with a fitting checksum whose content nobody checked."""
    text = json.dumps(
        {
            "kind": artifact.kind,
            "format": FORMAT,
            "digest": digest(artifact),
            "facts": dict(artifact.facts),
            "provenance": {},
        }
    )
    save_file(dict(artifact.arrays), path, metadata={KEY: text})
    return path


def test_every_stage_has_a_job() -> None:
    assert {job.stage for job in chain_jobs(Path(), Path()).values()} == set(STAGES) - {"fetch"}


@EVERY_JOB
def test_command_line_writes_what_the_library_returns(name: str, chain: Chain) -> None:
    job = chain.jobs[name]
    stage = STAGES[job.stage]
    module, function = stage.function.split(":")
    loaded = [
        [load(path) for path in value]
        if isinstance(kind, Many)
        else load(value, kind)
        if isinstance(kind, Kind)
        else str(value)
        if kind is Plain.MODEL
        else value
        for kind, value in zip(stage.inputs.values(), job.inputs.values(), strict=True)
    ]
    chosen = parse_as(stage.settings, job.settings)
    extra = {"runtime": JobRuntime()} if stage.runtime else {}
    extra |= {"work": None} if stage.work else {}
    results = getattr(importlib.import_module(module), function)(*loaded, settings=chosen, **extra)
    assert list(results) == list(stage.outputs)
    for output, path in job.outputs.items():
        if stage.outputs[output] is Plain.FIGURE:
            assert path.read_text(encoding="utf-8").startswith("<?xml")
            assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
            continue
        written, result = load(path), results[output]
        assert written.kind == result.kind
        assert json.loads(json.dumps(dict(result.facts))) == written.facts
        assert list(written.arrays) == sorted(result.arrays) or list(written.arrays) == list(
            result.arrays
        )
        for array in result.arrays:
            expected = result[array]
            if hasattr(expected, "blocks"):
                expected = np.concatenate(list(blocks(expected)))
            np.testing.assert_array_equal(written[array], expected)


@pytest.mark.slow
def test_every_stage_gives_the_same_bytes_in_another_place_and_process(
    chain: Chain, tmp_path: Path
) -> None:
    inputs, folder = tmp_path / "other inputs", tmp_path / "other results"
    shutil.copytree(chain.inputs, inputs)
    jobs = [job.line() for job in chain_jobs(inputs, folder).values()]
    program = (
        "import json, sys; from w2s.cli import main; [main(line) for line in json.load(sys.stdin)]"
    )
    elsewhere = {
        "PYTHONHASHSEED": "11",
        "TZ": "Asia/Tokyo",
        "USER": "another",
        "HOME": str(tmp_path),
    }
    subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(jobs),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, **elsewhere},
    )
    names = sorted(path.name for path in chain.folder.iterdir())
    assert names == sorted(path.name for path in folder.iterdir())
    assert not [name for name in names if name.startswith(".")]
    different = [n for n in names if (folder / n).read_bytes() != (chain / n).read_bytes()]
    assert different == []


def test_run_over_old_outputs_replaces_them(chain: Chain, tmp_path: Path) -> None:
    job = chain.jobs["split-0"]
    path = tmp_path / "split.parquet"
    path.write_bytes(b"something old")
    assert main(job.line(split=path)) == 0
    assert path.read_bytes() == job.outputs["split"].read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def artifact_inputs() -> list[tuple[str, str]]:
    return [
        (job, name)
        for job in JOBS
        for name, kind in STAGES[job.partition("-")[0]].inputs.items()
        if isinstance(kind, Kind | Many)
    ]


@pytest.mark.parametrize(("name", "source"), artifact_inputs())
def test_input_of_another_kind_is_refused(
    name: str, source: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs[name]
    kind: Any = STAGES[job.stage].inputs[source]
    expected = kind.kind if isinstance(kind, Many) else kind
    wrong = chain / ("split-0.parquet" if expected.name != "split" else "runs-0.parquet")
    given = [*job.inputs[source][1:], wrong] if isinstance(kind, Many) else wrong
    line = job.line(**{source: given}, **job.elsewhere(tmp_path / "out"))
    message = refused(line, capsys, tmp_path / "out")
    assert f"{wrong}: found kind '{load(wrong).kind}', expected '{expected.name}'" in message


@pytest.mark.parametrize(("name", "source"), artifact_inputs())
def test_missing_input_is_refused(
    name: str, source: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs[name]
    line = job.line(**{source: tmp_path / "none.parquet"}, **job.elsewhere(tmp_path / "out"))
    assert "none.parquet: found no file" in refused(line, capsys, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("weak_labels-0", "activations"),
        ("overlap-0", "activations"),
        ("strong-0", "weak_activations"),
        ("strong-0", "strong_activations"),
    ],
)
def test_activations_with_nan_are_refused(
    name: str, source: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs[name]
    good = load(job.inputs[source])
    spoiled = good["layer_-1"].copy()
    spoiled[3, 5] = np.nan
    bad = replace(good, arrays={**good.arrays, "layer_-1": spoiled})
    path = write_unchecked(bad, tmp_path / "bad.safetensors")
    line = job.line(**{source: path}, **job.elsewhere(tmp_path / "out"))
    message = refused(line, capsys, tmp_path / "out")
    assert "layer_-1: found 1 values that are NaN or infinite, expected none" in message


@pytest.fixture(scope="module")
def other(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The chain of another dataset up to its weak labels."""
    inputs, folder = (tmp_path_factory.mktemp(name) for name in ("other-inputs", "other"))
    shutil.copytree(chain.inputs, inputs, dirs_exist_ok=True)
    tiny.write_dataset(inputs / "texts.csv", n=400, seed=5)
    made = Chain(inputs, folder, chain_jobs(inputs, folder))
    for name, job in made.jobs.items():
        early = ("examples", "tokenize", "activations", "label_matrix")
        if job.stage in early or name.endswith("-0"):
            assert main(job.line()) == 0
    return made


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("weak_labels-0", "examples"),
        ("weak_labels-0", "split"),
        ("weak_labels-0", "activations"),
        ("overlap-0", "weak_labels"),
        ("overlap-0", "activations"),
        ("strong-0", "weak_labels"),
        ("strong-0", "regions"),
        ("strong-0", "weak_activations"),
        ("strong-0", "strong_activations"),
        ("evaluate-0", "examples"),
        ("evaluate-0", "weak_labels"),
        ("evaluate-0", "regions"),
        ("evaluate-0", "predictions"),
    ],
)
def test_input_of_another_dataset_is_refused(
    name: str, source: str, chain: Chain, other: Chain, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    job = chain.jobs[name]
    wrong = other.folder / Path(job.inputs[source]).name
    line = job.line(**{source: wrong}, **job.elsewhere(tmp_path / "out"))
    assert "found no row for" in refused(line, capsys, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("strong-0", "weak_labels"),
        ("strong-0", "regions"),
        ("evaluate-0", "weak_labels"),
        ("evaluate-0", "regions"),
        ("evaluate-0", "runs"),
        ("evaluate-0", "predictions"),
    ],
)
def test_input_of_another_seed_is_refused(
    name: str, source: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs[name]
    wrong = str(job.inputs[source]).replace("-0.", "-1.")
    line = job.line(**{source: wrong}, **job.elsewhere(tmp_path / "out"))
    message = refused(line, capsys, tmp_path / "out")
    assert "seed" in message or "found no row for" in message


def test_tables_refuse_metrics_and_correct_in_another_order(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["tables"]
    line = job.line(correct=job.inputs["correct"][::-1], **job.elsewhere(tmp_path / "out"))
    assert "different jobs" in refused(line, capsys, tmp_path / "out")


def test_tables_refuse_metrics_and_correct_of_different_number(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["tables"]
    line = job.line(correct=job.inputs["correct"][:1], **job.elsewhere(tmp_path / "out"))
    assert "2 and 1 files of correct and metrics" in refused(line, capsys, tmp_path / "out")


def test_tables_refuse_a_job_given_twice(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["tables"]
    twice = {name: [paths[0], *paths] for name, paths in job.inputs.items()}
    line = job.line(**twice, **job.elsewhere(tmp_path / "out"))
    assert "twice" in refused(line, capsys, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("weak_labels-0", {"layer": 7}),
        ("overlap-0", {"layer": 1}),
        ("strong-0", {"weak_layer": 0}),
        ("strong-0", {"strong_layer": 5}),
    ],
)
def test_layer_that_is_not_cached_is_refused_with_those_that_are(
    name: str, settings: dict[str, Any], chain: Chain, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    job = chain.jobs[name]
    line = job.line(settings={**job.settings, **settings}, **job.elsewhere(tmp_path / "out"))
    assert "layer_-1" in refused(line, capsys, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("tokenize-small", {"max_lenght": 3}),
        ("split-0", {"dataset": "films"}),
        ("split-0", {"dataset": "films", "seed": -1}),
        ("overlap-0", {"overlap": {"similarity": "euclid"}}),
        ("activations-small", {"layers": [9]}),
        ("activations-small", {"num_layers": 9}),
        ("figures", {"weak": "nobody", "strong": "large", "titles": [["films", "Films"]]}),
        ("figures", {"weak": "small", "strong": "large", "titles": [["unheard of", "X"]]}),
        ("figures", {"weak": "small", "strong": "large", "titles": []}),
        ("tables", {"evaluation": {"bootstrap": 3}}),
        (
            "examples",
            {"dataset": "films", "data": {"source": "file", "path": "a.csv", "text": "nothing"}},
        ),
    ],
)
def test_bad_settings_are_refused(
    name: str, settings: dict[str, Any], chain: Chain, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    job = chain.jobs[name]
    refused(
        job.line(settings=settings, **job.elsewhere(tmp_path / "out")), capsys, tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("name", "output"),
    [("strong-0", "predictions"), ("evaluate-0", "correct"), ("tables", "comparisons"),
     ("figures", "by_region")],
)  # fmt: skip
def test_all_outputs_are_written_or_none(
    name: str, output: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs[name]
    outputs = job.elsewhere(tmp_path / "out")
    outputs[output] = outputs[output].with_suffix(".txt")  # the last of the outputs
    capsys.readouterr()
    assert main(job.line(**outputs)) == 2
    assert "found the ending '.txt'" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_wrong_ending_is_refused_before_the_work(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delattr("w2s.models.activations.extract")
    line = chain.jobs["activations-small"].line(activations=tmp_path / "out" / "a.txt")
    message = refused(line, capsys, tmp_path / "out")
    assert message.endswith("a.txt: found the ending '.txt', expected '.safetensors'")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("folder.safetensors", "found a folder, expected a file to write"),
        ("file/below.safetensors", "expected a folder"),
        ("runs.safetensors", "found an input or another output, expected a new file"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_the_work_and_none_is(
    name: str, told: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("w2s.overlap.evaluate.evaluate", None)
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    job = chain.jobs["evaluate-0"]
    link = tmp_path / "runs.safetensors"
    link.symlink_to(job.inputs["predictions"])
    outputs = {"metrics": tmp_path / "m.parquet", "correct": tmp_path / name}
    assert main(job.line(**outputs)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(told)
    assert not outputs["metrics"].exists()


def test_an_output_is_no_input_and_no_other_output(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["tables"]
    before = Path(job.inputs["metrics"][1]).read_bytes()
    for line in (
        job.line(**job.elsewhere(tmp_path) | {"main": job.inputs["metrics"][1]}),
        job.line(
            **job.elsewhere(tmp_path) | {"main": tmp_path / "x" / ".." / "table-mixing.parquet"}
        ),
    ):
        assert main(line) == 2
        told = capsys.readouterr().err
        assert told.endswith("found an input or another output, expected a new file\n")
    assert Path(job.inputs["metrics"][1]).read_bytes() == before
    assert list(tmp_path.iterdir()) == []


def test_stage_that_works_in_a_folder_gets_one_beside_its_output_that_goes_with_success(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []
    real = importlib.import_module("w2s.models.activations").activations

    def watched(*inputs: Any, work: Path, **options: Any) -> Any:
        given.append(work)
        assert work.is_dir()
        return real(*inputs, work=work, **options)

    monkeypatch.setattr("w2s.models.activations.activations", watched)
    path = tmp_path / "a.safetensors"
    assert main(chain.jobs["activations-small"].line(activations=path)) == 0
    assert given[0].parent == tmp_path
    assert path.read_bytes() == (chain / "activations-small.safetensors").read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_output_that_cannot_be_written_is_one_line(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    line = chain.jobs["split-0"].line(split=tmp_path / "file" / "split.parquet")
    assert "file" in refused(line, capsys)


@pytest.mark.parametrize("name", ["split-0", "strong-0", "tables"])
def test_provenance_says_how_the_file_was_made(name: str, chain: Chain) -> None:
    job = chain.jobs[name]
    for path in job.outputs.values():
        made = load(path).provenance
        assert made["stage"] == job.stage
        assert made["code"] == code_digest(job.stage)
        cls = STAGES[job.stage].settings
        assert made["settings"] == parse_as(cls, job.settings).model_dump(mode="json")
        checksums = {
            source: [load(p).checksum for p in value]
            if isinstance(value, list)
            else load(value).checksum
            for source, value in job.inputs.items()
        }
        assert made["inputs"] == checksums


def test_provenance_of_a_model_is_its_files_and_not_its_place(chain: Chain, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(chain.inputs / "small", moved)
    job = chain.jobs["tokenize-small"]
    outputs = {"tokens": tmp_path / "tokens.safetensors"}
    assert main(job.line(model=moved, **outputs)) == 0
    assert outputs["tokens"].read_bytes() == job.outputs["tokens"].read_bytes()
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "note": 1}))
    assert main(job.line(model=moved, **outputs)) == 0
    before, after = (load(path).provenance for path in (job.outputs["tokens"], outputs["tokens"]))
    assert before["inputs"]["model"] != after["inputs"]["model"]


def test_path_in_the_settings_of_a_dataset_is_not_written(chain: Chain, tmp_path: Path) -> None:
    job = chain.jobs["examples"]
    settings = {"dataset": "films", "data": {**job.settings["data"], "path": "/home/me/texts.csv"}}
    path = tmp_path / "examples.parquet"
    assert main(job.line(settings=settings, examples=path)) == 0
    assert "/home/me" not in json.dumps(dict(load(path).provenance))


def test_folder_of_a_local_copy_is_not_written(chain: Chain, tmp_path: Path) -> None:
    job = chain.jobs["fetch_task"]
    moved = shutil.copytree(chain.inputs / "boolq", tmp_path / "elsewhere" / "boolq")
    path = tmp_path / "rows.parquet"
    settings = {**job.settings, "local": str(moved)}
    assert main(job.line(settings=settings, rows=path)) == 0
    assert path.read_bytes() == job.outputs["rows"].read_bytes()
    made = load(path).provenance["settings"]
    assert made["local"] == "boolq"
    assert str(tmp_path) not in json.dumps(made)


def test_device_and_batches_are_not_part_of_what_is_written(chain: Chain, tmp_path: Path) -> None:
    job = chain.jobs["activations-large"]
    path = tmp_path / "activations.safetensors"
    line = [*job.line(activations=path), "--device", "cpu", "--batch-tokens", "333"]
    assert main(line) == 0
    found, expected = load(path), load(job.outputs["activations"])
    assert found.provenance == expected.provenance
    assert found.facts == expected.facts
    for layer in ("layer_0", "layer_-1"):
        np.testing.assert_allclose(found[layer], expected[layer], rtol=0, atol=1e-5)


def test_tables_for_people_hold_the_same_rows(chain: Chain) -> None:
    import pandas as pd

    for name, kind in STAGES["tables"].outputs.items():
        assert isinstance(kind, ForPeople)
        frame = load(chain / f"table-{name}.parquet").frame
        read = pd.read_csv(chain / f"table-{name}.csv", keep_default_na=False, na_values=["NaN"])
        assert list(read.columns) == list(kind.kind.arrays)
        pd.testing.assert_frame_equal(read, frame, check_dtype=False, rtol=1e-5)
        lines = (chain / f"table-{name}.md").read_text(encoding="utf-8").splitlines()
        assert len(lines) == len(frame) + 2
        assert all(line.startswith("| ") for line in [lines[0], *lines[2:]])


def test_missing_numbers_are_written_as_nan_and_not_as_nothing(chain: Chain) -> None:
    frame = load(chain / "table-mixing.parquet").frame
    assert frame["proportion"].isna().any()
    rows = (chain / "table-mixing.csv").read_text(encoding="utf-8").splitlines()
    assert any(",NaN," in row for row in rows)
    assert "| nan" in (chain / "table-mixing.md").read_text(encoding="utf-8").lower()


@pytest.fixture(scope="module")
def flat(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The chain with a weak model that gives every point the same probability."""
    made = chain.copy(tmp_path_factory.mktemp("flat") / "chain")
    for seed in SEEDS:
        path = made / f"weak_labels-{seed}.parquet"
        good = load(path)
        arrays = {**good.arrays, "weak_proba": np.full(len(good), 0.7, dtype=np.float32)}
        save(replace(good, arrays=arrays), path)
    for name, job in made.jobs.items():
        if job.stage in ("overlap", "strong", "evaluate", "tables", "figures"):
            assert main(job.line()) == 0, name
    return made


def test_degenerate_input_is_an_outcome_with_its_reason_in_every_artifact(flat: Chain) -> None:
    reason = "overlap: confidences: change point: found 120 equal values, expected a change"
    for name in ("regions", "runs", "metrics", "correct"):
        suffix = KINDS[name].suffix
        for seed in SEEDS:
            artifact = load(flat / f"{name}-{seed}{suffix}")
            assert artifact.facts["status"] == "degenerate"
            assert artifact.facts["reason"] == reason
    regions = load(flat / "regions-0.parquet")
    assert set(regions["region"]) == {"undefined"}
    assert np.isnan(regions["score"]).all()
    assert regions.facts["density"] is regions.facts["tau_hard"] is None


def test_degenerate_input_leaves_ceiling_and_w2s_and_undoes_the_mixes(flat: Chain) -> None:
    runs, predictions = load(flat / "runs-0.parquet"), load(flat / "predictions-0.safetensors")
    few = runs["control"] == "few_labels"
    whole = np.isin(runs["control"], ("ceiling", "w2s", "same_capacity_w2s"))
    whole |= few & (runs["n_train"] >= 2)
    assert few[whole].sum() >= 6
    assert (runs["reason"][whole] == "").all()
    assert np.isfinite(predictions["proba"][whole]).all()
    assert (runs["reason"][~whole] != "").all()
    assert np.isnan(predictions["proba"][~whole]).all()
    metrics = load(flat / "metrics-0.parquet")
    assert (metrics["reason"][np.isnan(metrics["value"])] != "").all()


def test_degenerate_input_is_told_in_the_tables(flat: Chain) -> None:
    main_table = load(flat / "table-main.parquet")
    assert main_table["status"].tolist() == ["degenerate"]
    assert "equal values" in main_table["reason"][0]
    assert np.isfinite([main_table[name][0] for name in ("floor", "w2s", "ceiling")]).all()
    assert np.isnan(main_table["overlap_density"][0])
    mixing = load(flat / "table-mixing.parquet")
    whole = ("same_capacity_w2s", "few_labels", "reference", "reference_w2s")
    mixing = mixing.where(~np.isin(mixing["control"], whole))
    assert np.isnan(mixing["accuracy"]).all()
    assert (mixing["n_seeds"] == 0).all()
    assert all("equal values" in reason for reason in mixing["reason"])
    comparisons = load(flat / "table-comparisons.parquet")
    undefined = np.isnan(comparisons["difference"])
    assert 0 < undefined.sum() < len(comparisons)
    assert (comparisons["reason"][undefined] != "").all()


def test_degenerate_input_is_told_in_the_figures(flat: Chain) -> None:
    for name in ("mixing", "controls", "curves", "by_region"):
        text = (flat / f"{name}.svg").read_text(encoding="utf-8")
        assert "equal values" in " ".join(text.split()), name


def test_one_degenerate_seed_makes_the_tables_partial(
    chain: Chain, flat: Chain, tmp_path: Path
) -> None:
    job = chain.jobs["tables"]
    mixed = {name: [paths[0], flat / Path(paths[1]).name] for name, paths in job.inputs.items()}
    outputs = job.elsewhere(tmp_path)
    assert main(job.line(**mixed, **outputs)) == 0
    table = load(outputs["main"])
    assert table["status"].tolist() == ["partial"]
    assert table["reason"][0].startswith("1 of 2 seeds: ")
    assert np.isfinite(table["overlap_density"][0])


def test_artifact_that_does_not_fit_its_kind_is_not_written(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(examples: Artifact, **_: Any) -> dict[str, Artifact]:
        return {"split": Artifact("split", {"id": examples["id"]}, {})}

    monkeypatch.setattr("w2s.data.splits.split", wrong)
    with pytest.raises(ArtifactError, match="'split' expects"):
        run(
            "split",
            {"examples": str(chain / "examples.parquet")},
            {"split": str(tmp_path / "split.parquet")},
            {"dataset": "films", "seed": 0},
        )
    assert list(tmp_path.iterdir()) == []


def test_tensors_of_a_run_are_readable_without_this_library(chain: Chain) -> None:
    tensors = load_file(chain / "activations-large.safetensors")
    assert sorted(tensors) == ["id", "layer_-1", "layer_0"]
    assert tensors["layer_0"].shape == (
        len(load(chain / "examples.parquet", EXAMPLES)),
        tiny.HIDDEN,
    )
