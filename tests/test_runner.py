"""Running stages: the library's result in a file, the same bytes twice, all outputs or none."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
from conftest import SEEDS, Chain, chain_jobs
from safetensors.numpy import load_file, save_file

from w2s.cli import main
from w2s.config import parse_as
from w2s.data.track import EXAMPLES
from w2s.declare import FORMAT, KINDS, ForPeople, Kind, Many, Plain
from w2s.digest import code_digest
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, digest, load, save
from w2s.files.formats import KEY
from w2s.files.spool import blocks
from w2s.models.track import JobRuntime
from w2s.run import run
from w2s.tracks import STAGES

JOBS = [name for name in chain_jobs(Path(), Path()) if not name.endswith("-1")]


def refused(line, capsys, *folders):
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


@pytest.fixture
def refusal(chain, tmp_path, capsys):
    """The one line that refuses a job of the chain with some changes; it writes nothing."""

    def of(name, **changes):
        job, out = chain.jobs[name], tmp_path / "out"
        return refused(job.line(**job.elsewhere(out) | changes), capsys, out)

    return of


def test_every_stage_has_a_job():
    assert {job.stage for job in chain_jobs(Path(), Path()).values()} == set(STAGES) - {"fetch"}


def computed(job):
    """What the library returns for a job."""
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
    return getattr(importlib.import_module(module), function)(*loaded, settings=chosen, **extra)


def test_command_line_writes_what_the_library_returns(chain, subtests):
    for name in JOBS:
        job = chain.jobs[name]
        stage = STAGES[job.stage]
        with subtests.test(name):
            results = computed(job)
            assert list(results) == list(stage.outputs)
            for output, path in job.outputs.items():
                if stage.outputs[output] is Plain.FIGURE:
                    assert path.read_text(encoding="utf-8").startswith("<?xml")
                    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
                    continue
                written, result = load(path), results[output]
                assert written.kind == result.kind
                assert json.loads(json.dumps(dict(result.facts))) == written.facts
                assert list(written.arrays) in (sorted(result.arrays), list(result.arrays))
                for array in result.arrays:
                    expected = result[array]
                    if hasattr(expected, "blocks"):
                        expected = np.concatenate(list(blocks(expected)))
                    np.testing.assert_array_equal(written[array], expected)


@pytest.mark.slow
def test_every_stage_gives_the_same_bytes_in_another_place_and_process(chain, tmp_path):
    inputs, folder = tmp_path / "other inputs", tmp_path / "other results"
    shutil.copytree(chain.inputs, inputs)
    jobs = [job.line() for job in chain_jobs(inputs, folder).values()]
    program = (
        "import json, sys; from w2s.cli import main; [main(line) for line in json.load(sys.stdin)]"
    )
    elsewhere = {"PYTHONHASHSEED": "11", "TZ": "Asia/Tokyo", "USER": "another"}
    subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(jobs), capture_output=True, text=True,
        check=True, cwd=tmp_path, env={**os.environ, **elsewhere, "HOME": str(tmp_path)},
    )  # fmt: skip
    names = sorted(path.name for path in chain.folder.iterdir())
    assert names == sorted(path.name for path in folder.iterdir())
    assert not [name for name in names if name.startswith(".")]
    different = [n for n in names if (folder / n).read_bytes() != (chain / n).read_bytes()]
    assert different == []


def test_run_over_old_outputs_replaces_them(chain, tmp_path):
    job = chain.jobs["split-0"]
    path = tmp_path / "split.parquet"
    path.write_bytes(b"something old")
    assert main(job.line(split=path)) == 0
    assert path.read_bytes() == job.outputs["split"].read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_missing_input_and_one_of_another_kind_are_refused(chain, tmp_path, refusal, subtests):
    sources = [
        (name, source, kind)
        for name in JOBS
        for source, kind in STAGES[name.partition("-")[0]].inputs.items()
        if isinstance(kind, Kind | Many)
    ]
    assert len(sources) > 50
    for name, source, kind in sources:
        with subtests.test(f"{name} {source}"):
            message = refusal(name, **{source: tmp_path / "none.parquet"})
            assert "none.parquet: found no file" in message
            expected = kind.kind if isinstance(kind, Many) else kind
            wrong = chain / ("split-0.parquet" if expected.name != "split" else "runs-0.parquet")
            many = isinstance(kind, Many)
            given = [*chain.jobs[name].inputs[source][1:], wrong] if many else wrong
            message = refusal(name, **{source: given})
            assert (
                f"{wrong}: found kind '{load(wrong).kind}', expected '{expected.name}'" in message
            )


def test_activations_with_nan_are_refused(chain, tmp_path, refusal, subtests):
    """In a file with a fitting checksum whose content nobody checked."""
    for name, source in (
        ("weak_labels-0", "activations"),
        ("overlap-0", "activations"),
        ("strong-0", "weak_activations"),
        ("strong-0", "strong_activations"),
    ):
        good, path = load(chain.jobs[name].inputs[source]), tmp_path / "bad.safetensors"
        spoiled = good["layer_-1"].copy()
        spoiled[3, 5] = np.nan
        bad = replace(good, arrays={**good.arrays, "layer_-1": spoiled})
        told = {"kind": bad.kind, "format": FORMAT, "digest": digest(bad)}
        told |= {"facts": dict(bad.facts), "provenance": {}}
        save_file(dict(bad.arrays), path, metadata={KEY: json.dumps(told)})
        with subtests.test(f"{name} {source}"):
            message = refusal(name, **{source: path})
            assert "layer_-1: found 1 values that are NaN or infinite, expected none" in message


SPINE = ("split-0", "weak_labels-0", "overlap-0", "strong-0")


def test_input_of_another_dataset_is_refused(chain, refusal, tmp_path_factory, subtests):
    inputs, folder = (tmp_path_factory.mktemp(name) for name in ("other-inputs", "other"))
    shutil.copytree(chain.inputs, inputs, dirs_exist_ok=True)
    tiny.write_dataset(inputs / "texts.csv", n=400, seed=5)
    for name, job in chain_jobs(inputs, folder).items():
        if name in SPINE or name.startswith(("examples", "tokenize", "activations")):
            assert main(job.line()) == 0
    for name, sources in {
        "weak_labels-0": ("examples", "split", "activations"),
        "overlap-0": ("weak_labels", "activations"),
        "strong-0": ("weak_labels", "regions", "weak_activations", "strong_activations"),
        "evaluate-0": ("examples", "weak_labels", "regions", "predictions"),
    }.items():
        for source in sources:
            with subtests.test(f"{name} {source}"):
                wrong = folder / Path(chain.jobs[name].inputs[source]).name
                assert "found no row for" in refusal(name, **{source: wrong})


def test_input_of_another_seed_is_refused(chain, refusal, subtests):
    for name, sources in {
        "strong-0": ("weak_labels", "regions"),
        "evaluate-0": ("weak_labels", "regions", "runs", "predictions"),
    }.items():
        for source in sources:
            with subtests.test(f"{name} {source}"):
                wrong = str(chain.jobs[name].inputs[source]).replace("-0.", "-1.")
                message = refusal(name, **{source: wrong})
                assert "seed" in message or "found no row for" in message


def test_tables_refuse_files_that_do_not_fit_together(chain, refusal):
    read = chain.jobs["tables"].inputs
    assert "different jobs" in refusal("tables", correct=read["correct"][::-1])
    message = refusal("tables", correct=read["correct"][:1])
    assert "2 and 1 files of correct and metrics" in message
    twice = {name: [paths[0], *paths] for name, paths in read.items()}
    assert "twice" in refusal("tables", **twice)


def test_settings_that_do_not_fit_are_refused(chain, refusal, subtests):
    pair = {"weak": "small", "strong": "large"}
    strange = {"source": "file", "path": "a.csv", "text": "nothing"}
    for name, settings, told in (
        # a layer that is not cached, beside those that are
        ("weak_labels-0", {**chain.jobs["weak_labels-0"].settings, "layer": 7}, "layer_-1"),
        ("overlap-0", {**chain.jobs["overlap-0"].settings, "layer": 1}, "layer_-1"),
        ("strong-0", {**chain.jobs["strong-0"].settings, "weak_layer": 0}, "layer_-1"),
        ("strong-0", {**chain.jobs["strong-0"].settings, "strong_layer": 5}, "layer_-1"),
        ("tokenize-small", {"max_lenght": 3}, "max_length"),
        ("split-0", {"dataset": "films"}, "seed"),
        ("split-0", {"dataset": "films", "seed": -1}, "found -1"),
        ("overlap-0", {"overlap": {"similarity": "euclid"}}, "euclid"),
        ("activations-small", {"layers": [9]}, "9"),
        ("activations-small", {"num_layers": 9}, "9"),
        ("figures", {"weak": "nobody", "strong": "large", "titles": [["films", "F"]]}, "nobody"),
        ("figures", {**pair, "titles": [["unheard of", "X"]]}, "unheard of"),
        ("figures", {**pair, "titles": []}, "titles"),
        ("tables", {"evaluation": {"bootstrap": 3}}, "found 3"),
        ("examples", {"dataset": "films", "data": strange}, "nothing"),
    ):
        with subtests.test(f"{name} {settings}"):
            assert told in refusal(name, settings=settings)


def test_all_outputs_are_written_or_none(chain, tmp_path, refusal, monkeypatch):
    for name, last in (("strong-0", "predictions"), ("evaluate-0", "correct"),
                       ("tables", "comparisons"), ("figures", "by_region")):  # fmt: skip
        path = chain.jobs[name].elsewhere(tmp_path / "out")[last].with_suffix(".txt")
        assert "found the ending '.txt'" in refusal(name, **{last: path})
    monkeypatch.delattr("w2s.models.activations.extract")  # it is told before the work
    message = refusal("activations-small", activations=tmp_path / "out" / "a.txt")
    assert message.endswith("a.txt: found the ending '.txt', expected '.safetensors'")


def test_an_output_that_cannot_be_written_is_told_before_the_work_and_none_is(
    chain, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("w2s.overlap.tables.evaluate", None)
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    job = chain.jobs["evaluate-0"]
    (tmp_path / "runs.safetensors").symlink_to(job.inputs["predictions"])
    for name, told in (
        ("folder.safetensors", "found a folder, expected a file to write"),
        ("file/below.safetensors", "expected a folder"),
        ("runs.safetensors", "found an input or another output, expected a new file"),
    ):
        outputs = {"metrics": tmp_path / "m.parquet", "correct": tmp_path / name}
        assert main(job.line(**outputs)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(told)
        assert not outputs["metrics"].exists()


def test_an_output_is_no_input_and_no_other_output(chain, tmp_path, refusal):
    taken = Path(chain.jobs["tables"].inputs["metrics"][1])
    before = taken.read_bytes()
    for path in (taken, tmp_path / "out" / "x" / ".." / "table-mixing.parquet"):
        message = refusal("tables", main=path)
        assert message.endswith("found an input or another output, expected a new file")
    assert taken.read_bytes() == before


def test_stage_that_works_in_a_folder_gets_one_beside_its_output_that_goes_with_success(
    chain, tmp_path, monkeypatch
):
    given = []
    real = importlib.import_module("w2s.models.activations").activations

    def watched(*inputs, work, **options):
        given.append(work)
        assert work.is_dir()
        return real(*inputs, work=work, **options)

    monkeypatch.setattr("w2s.models.activations.activations", watched)
    path = tmp_path / "a.safetensors"
    assert main(chain.jobs["activations-small"].line(activations=path)) == 0
    assert given[0].parent == tmp_path
    assert path.read_bytes() == (chain / "activations-small.safetensors").read_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_provenance_says_how_the_file_was_made(chain):
    for name in ("split-0", "strong-0", "tables"):
        job = chain.jobs[name]
        for path in job.outputs.values():
            made = load(path).provenance
            assert made["stage"] == job.stage
            assert made["code"] == code_digest(job.stage)
            cls = STAGES[job.stage].settings
            assert made["settings"] == parse_as(cls, job.settings).model_dump(mode="json")
            assert made["inputs"] == {
                source: [load(p).checksum for p in value]
                if isinstance(value, list)
                else load(value).checksum
                for source, value in job.inputs.items()
            }


def test_provenance_of_a_model_is_its_files_and_not_its_place(chain, tmp_path):
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


def test_folders_in_the_settings_are_not_written(chain, tmp_path):
    job, path = chain.jobs["examples"], tmp_path / "examples.parquet"
    settings = {"dataset": "films", "data": {**job.settings["data"], "path": "/home/me/texts.csv"}}
    assert main(job.line(settings=settings, examples=path)) == 0
    assert "/home/me" not in json.dumps(dict(load(path).provenance))
    job, path = chain.jobs["fetch_task"], tmp_path / "rows.parquet"
    moved = shutil.copytree(chain.inputs / "boolq", tmp_path / "elsewhere" / "boolq")
    assert main(job.line(settings={**job.settings, "local": str(moved)}, rows=path)) == 0
    assert path.read_bytes() == job.outputs["rows"].read_bytes()
    made = load(path).provenance["settings"]
    assert made["local"] == "boolq"
    assert str(tmp_path) not in json.dumps(made)


def test_device_and_batches_are_not_part_of_what_is_written(chain, tmp_path):
    job = chain.jobs["activations-large"]
    path = tmp_path / "activations.safetensors"
    line = [*job.line(activations=path), "--device", "cpu", "--batch-tokens", "333"]
    assert main(line) == 0
    found, expected = load(path), load(job.outputs["activations"])
    assert found.provenance == expected.provenance
    assert found.facts == expected.facts
    for layer in ("layer_0", "layer_-1"):
        np.testing.assert_allclose(found[layer], expected[layer], rtol=0, atol=1e-5)


def test_tables_for_people_hold_the_same_rows_and_nan_for_missing_numbers(chain):
    for name, kind in STAGES["tables"].outputs.items():
        assert isinstance(kind, ForPeople)
        frame = load(chain / f"table-{name}.parquet").frame
        read = pd.read_csv(chain / f"table-{name}.csv", keep_default_na=False, na_values=["NaN"])
        assert list(read.columns) == list(kind.kind.arrays)
        pd.testing.assert_frame_equal(read, frame, check_dtype=False, rtol=1e-5)
        lines = (chain / f"table-{name}.md").read_text(encoding="utf-8").splitlines()
        assert len(lines) == len(frame) + 2
        assert all(line.startswith("| ") for line in [lines[0], *lines[2:]])
    assert load(chain / "table-mixing.parquet").frame["proportion"].isna().any()
    rows = (chain / "table-mixing.csv").read_text(encoding="utf-8").splitlines()
    assert any(",NaN," in row for row in rows)
    assert "| nan" in (chain / "table-mixing.md").read_text(encoding="utf-8").lower()


@pytest.fixture(scope="module")
def flat(chain, tmp_path_factory) -> Chain:
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


def test_degenerate_input_is_an_outcome_with_its_reason_in_every_artifact(flat):
    reason = "overlap: confidences: change point: found 120 equal values, expected a change"
    for name in ("regions", "runs", "metrics", "correct"):
        for seed in SEEDS:
            artifact = load(flat / f"{name}-{seed}{KINDS[name].suffix}")
            assert artifact.facts["status"] == "degenerate"
            assert artifact.facts["reason"] == reason
    regions = load(flat / "regions-0.parquet")
    assert set(regions["region"]) == {"undefined"}
    assert np.isnan(regions["score"]).all()
    assert regions.facts["density"] is regions.facts["tau_hard"] is None
    for name in ("mixing", "controls", "curves", "by_region"):
        text = (flat / f"{name}.svg").read_text(encoding="utf-8")
        assert "equal values" in " ".join(text.split()), name


def test_degenerate_input_leaves_ceiling_and_w2s_and_undoes_the_mixes(flat):
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


def test_degenerate_input_is_told_in_the_tables(chain, flat, tmp_path):
    table = load(flat / "table-main.parquet")
    assert table["status"].tolist() == ["degenerate"]
    assert "equal values" in table["reason"][0]
    assert np.isfinite([table[name][0] for name in ("floor", "w2s", "ceiling")]).all()
    assert np.isnan(table["overlap_density"][0])
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

    job = chain.jobs["tables"]  # one degenerate seed makes them partial
    mixed = {name: [paths[0], flat / Path(paths[1]).name] for name, paths in job.inputs.items()}
    outputs = job.elsewhere(tmp_path)
    assert main(job.line(**mixed, **outputs)) == 0
    table = load(outputs["main"])
    assert table["status"].tolist() == ["partial"]
    assert table["reason"][0].startswith("1 of 2 seeds: ")
    assert np.isfinite(table["overlap_density"][0])


def test_artifact_that_does_not_fit_its_kind_is_not_written(chain, tmp_path, monkeypatch):
    def wrong(examples, **_):
        return {"split": Artifact("split", {"id": examples["id"]}, {})}

    monkeypatch.setattr("w2s.data.splits.split", wrong)
    examples = {"examples": str(chain / "examples.parquet")}
    made = {"split": str(tmp_path / "split.parquet")}
    with pytest.raises(ArtifactError, match="'split' expects"):
        run("split", examples, made, {"dataset": "films", "seed": 0})
    assert list(tmp_path.iterdir()) == []


def test_tensors_of_a_run_are_readable_without_this_library(chain):
    tensors = load_file(chain / "activations-large.safetensors")
    assert sorted(tensors) == ["id", "layer_-1", "layer_0"]
    n = len(load(chain / "examples.parquet", EXAMPLES))
    assert tensors["layer_0"].shape == (n, tiny.HIDDEN)
