"""Activations in shards: the same texts and numbers as in one job, each shard used once."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MODELS, Chain
from hypothesis import given
from hypothesis import strategies as st
from project import (
    command,
    contents,
    copy_library,
    copy_project,
    environment,
    foreign_files,
    make_project,
    planned,
    read_config,
    snakemake,
    write_config,
)
from safetensors.numpy import load_file, save_file
from test_runner import refused

from w2s.cli import main
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact, load, save
from w2s.models.activations import activations, gather_activations
from w2s.models.forward import shard_of
from w2s.models.track import ActivationsSettings, GatherActivationsSettings, JobRuntime

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60).map(np.array)


@given(LENGTHS, st.data())
def test_shards_are_a_partition_in_order_and_none_is_empty(lengths: Any, data: Any) -> None:
    count = data.draw(st.integers(1, len(lengths)))
    found = [shard_of(lengths, number, count) for number in range(1, count + 1)]
    assert found[0][0] == 0
    assert found[-1][1] == len(lengths)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
    assert all(first < end for first, end in found)


@given(LENGTHS, st.data())
def test_shards_have_like_tokens(lengths: Any, data: Any) -> None:
    count = data.draw(st.integers(1, len(lengths)))
    sizes = [
        int(lengths[slice(*shard_of(lengths, number, count))].sum())
        for number in range(1, count + 1)
    ]
    # a cut is at most a text away from its place, or further where each shard needs a text
    crowded = lengths.max() * count > lengths.sum()
    if not crowded:
        assert max(abs(size - lengths.sum() / count) for size in sizes) <= lengths.max()


def test_shards_of_equal_texts_are_equal() -> None:
    lengths = np.full(12, 7)
    assert [shard_of(lengths, k, 4) for k in range(1, 5)] == [(0, 3), (3, 6), (6, 9), (9, 12)]
    assert shard_of(lengths, 1, 1) == (0, 12)


def test_one_long_text_leaves_a_text_to_each_of_the_others() -> None:
    for place in range(5):
        lengths = np.ones(5, dtype=int)
        lengths[place] = 1000
        assert [shard_of(lengths, k, 5) for k in range(1, 6)] == [(i, i + 1) for i in range(5)]


@pytest.mark.parametrize("n", [0, 1, 4])
def test_more_shards_than_texts_are_refused(n: int) -> None:
    with pytest.raises(DataError, match=f"found 5 for {n} texts, expected one text each") as caught:
        shard_of(np.ones(n, dtype=int), 1, 5)
    assert "\n" not in str(caught.value)


def extracted(chain: Chain, model: str, shard: str, **changes: Any) -> Artifact:
    """What the stage makes of a shard, in memory."""
    job = chain.jobs[f"activations-{model}"]
    settings = ActivationsSettings(**MODELS[model] | {"shard": shard} | changes)
    runtime = JobRuntime(batch_tokens=changes.get("batch_tokens", 64))
    made = activations(load(job.inputs["tokens"]), str(job.inputs["model"]), settings=settings,
                       runtime=runtime, work=None)  # fmt: skip
    return made["activations"]


def on_disk(artifacts: list[Artifact], folder: Path) -> list[Artifact]:
    """The same, read by rows from files, as the runner gives them."""
    folder.mkdir(exist_ok=True)
    for number, artifact in enumerate(artifacts):
        save(artifact, folder / f"{number}.safetensors")
    return [load(folder / f"{n}.safetensors", by_rows=True) for n in range(len(artifacts))]


def gathered(tokens: Artifact, shards: list[Artifact]) -> Artifact:
    return gather_activations(tokens, shards, settings=GatherActivationsSettings())["activations"]


@pytest.mark.parametrize("model", list(MODELS))
@pytest.mark.parametrize("count", [2, 3, 7])
def test_gathered_shards_are_the_unsharded_rows_in_their_order(
    count: int, model: str, chain: Chain, tmp_path: Path
) -> None:
    tokens = load(chain / f"tokens-{model}.safetensors")
    shards = [extracted(chain, model, f"{k}-of-{count}") for k in range(1, count + 1)]
    found = gathered(tokens, on_disk(shards, tmp_path)[::-1])  # their order is of no account
    save(found, tmp_path / "all.safetensors")
    written, expected = load(tmp_path / "all.safetensors"), extracted(chain, model, "1-of-1")
    assert set(written.arrays) == set(expected.arrays)
    np.testing.assert_array_equal(written["id"], expected["id"])
    for name in set(expected.arrays) - {"id"}:
        np.testing.assert_allclose(written[name], expected[name], rtol=0, atol=1e-5)
    assert written.facts == expected.facts


def test_a_pass_for_each_text_gives_the_same_bits_in_shards(chain: Chain, tmp_path: Path) -> None:
    tokens = load(chain / "tokens-large.safetensors")
    arrays = {"id": tokens["id"][:30], "start": tokens["start"][:31],
              "token": tokens["token"][: tokens["start"][30]]}  # fmt: skip
    few = Artifact("tokens", arrays, tokens.facts)

    def made(shard: str) -> Artifact:
        settings = ActivationsSettings(**MODELS["large"], shard=shard)
        model = str(chain.inputs / "large")
        return activations(few, model, settings=settings, runtime=JobRuntime(batch_tokens=1),
                           work=None)["activations"]  # fmt: skip

    shards = on_disk([made(f"{k}-of-4") for k in range(1, 5)], tmp_path)
    save(gathered(few, shards), tmp_path / "all.safetensors")
    found, expected = load(tmp_path / "all.safetensors"), made("1-of-1")
    for name in expected.arrays:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.parametrize("storage", ["float16", "bfloat16"])
def test_shards_keep_their_bits_and_the_largest_loss_is_told(
    storage: str, chain: Chain, tmp_path: Path
) -> None:
    tokens = load(chain / "tokens-large.safetensors")
    made = [extracted(chain, "large", f"{k}-of-3", storage=storage) for k in (1, 2, 3)]
    shards = on_disk(made, tmp_path)
    save(gathered(tokens, shards), tmp_path / "all.safetensors")
    found = load(tmp_path / "all.safetensors", by_rows=True)
    for name in ("layer_0", "layer_-1"):
        assert found[name].storage == storage
        np.testing.assert_array_equal(
            found[name][:], np.concatenate([shard[name][:] for shard in shards])
        )
        losses = [shard.facts["loss"][name] for shard in shards]
        assert found.facts["loss"][name] == max(losses) > 0


@pytest.fixture(scope="module")
def three(chain: Chain) -> list[Artifact]:
    return [extracted(chain, "small", f"{k}-of-3") for k in (1, 2, 3)]


def changed(artifact: Artifact, **facts: Any) -> Artifact:
    return replace(artifact, facts={**artifact.facts, **facts})


def test_shards_that_lack_or_come_twice_are_refused(three: list[Artifact], chain: Chain) -> None:
    tokens = load(chain / "tokens-small.safetensors")
    a, b, c = three
    for shards in ([a, b], [b, c], [a, c], [a], [a, b, b, c], [a, a, b, c], [a, b, c, c]):
        with pytest.raises(ArtifactError, match=r"texts that are not the dataset's 400") as caught:
            gathered(tokens, shards)
        assert "\n" not in str(caught.value)


def test_shards_of_another_number_of_shards_are_refused(
    three: list[Artifact], chain: Chain
) -> None:
    other = extracted(chain, "small", "2-of-4")
    with pytest.raises(ArtifactError, match="expected each once"):
        gathered(load(chain / "tokens-small.safetensors"), [three[0], other, three[2]])


@pytest.mark.parametrize(
    ("fact", "value"), [("dataset", "books"), ("model", {"id": "x"}), ("storage", "float16")]
)
def test_shards_of_another_dataset_or_model_or_storage_are_refused(
    fact: str, value: Any, three: list[Artifact], chain: Chain
) -> None:
    shards = [*three[:2], changed(three[2], **{fact: value})]
    with pytest.raises(ArtifactError, match=f"shards: found {fact} ") as caught:
        gathered(load(chain / "tokens-small.safetensors"), shards)
    assert "\n" not in str(caught.value)


def test_shards_of_other_layers_are_refused(three: list[Artifact], chain: Chain) -> None:
    more = replace(three[1], arrays={**three[1].arrays, "layer_0": three[1]["layer_-1"]})
    with pytest.raises(ArtifactError, match=r"layer_-1, layer_0.* expected the same"):
        gathered(load(chain / "tokens-small.safetensors"), [three[0], more, three[2]])


def test_shards_of_another_dataset_altogether_are_refused(
    three: list[Artifact], chain: Chain
) -> None:
    moved = [replace(s, arrays={**s.arrays, "id": s["id"] ^ 1}) for s in three]
    with pytest.raises(ArtifactError, match="expected each once"):
        gathered(load(chain / "tokens-small.safetensors"), moved)


@pytest.mark.parametrize("shard", ["0-of-2", "1-of-0", "3", "1of2", "-1-of-2", "1-of-2 "])
def test_shard_that_is_no_shard_is_refused(
    shard: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["activations-small"]
    line = job.line(settings=job.settings | {"shard": shard}, **job.elsewhere(tmp_path / "out"))
    assert "shard: found" in refused(line, capsys, tmp_path / "out")


def test_shard_beyond_the_last_is_refused(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["activations-small"]
    line = job.line(settings=job.settings | {"shard": "3-of-2"}, **job.elsewhere(tmp_path / "out"))
    message = refused(line, capsys)
    assert message.endswith("shard: found 3-of-2, expected a number up to 2")


def test_gathered_file_of_the_chain_is_that_of_one_job(chain: Chain) -> None:
    found = load(chain / "activations-gathered.safetensors")
    expected = load(chain / "activations-small.safetensors")
    np.testing.assert_array_equal(found["id"], expected["id"])
    np.testing.assert_allclose(found["layer_-1"], expected["layer_-1"], rtol=0, atol=1e-5)


def test_shards_of_other_settings_are_refused(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["activations-1-of-2"]
    other = tmp_path / "1.safetensors"
    assert main(job.line(settings=job.settings | {"pooling": "mean"}, activations=other)) == 0
    gather = chain.jobs["gather_activations"]
    line = gather.line(shards=[other, gather.inputs["shards"][1]],
                       activations=tmp_path / "out" / "a.safetensors")  # fmt: skip
    assert "shards: found settings" in refused(line, capsys, tmp_path / "out")


# The workflow with shards.


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one dataset and seed, with three jobs for the activations of each model."""
    folder = make_project(
        tmp_path_factory.mktemp("shards") / "finished", seeds=(0,), extraction={"shards": 3}
    )
    config = read_config(folder)
    del config["datasets"]["flat"]
    write_config(folder, config)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(folder)


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(copy_project(finished, tmp_path / "project"))


SLOW = [pytest.mark.slow, pytest.mark.xdist_group("shards")]
AFTER = {"overlap": 1, "strong": 1, "evaluate": 1, "tables": 1, "figures": 1}


def slow(test: Any) -> Any:
    for mark in SLOW:
        test = mark(test)
    return test


def edit(folder: Path, **changes: Any) -> None:
    write_config(folder, {**read_config(folder), **changes})


@slow
def test_workflow_deletes_shards_and_a_second_run_does_nothing(finished: Path) -> None:
    found = sorted(path.name for path in (finished / "results/plain/activations").rglob("*"))
    assert found == ["large.safetensors", "small.safetensors"]
    logs = {path.name for path in (finished / "results/logs/plain").iterdir()}
    for model in ("small", "large"):
        assert {f"activations-{model}-{k}-of-3.log" for k in (1, 2, 3)} <= logs
        assert f"activations-{model}.log" not in logs
        assert f"gather_activations-{model}.log" in logs
    assert planned(finished) == {}
    assert foreign_files(finished) == []


@slow
@pytest.mark.parametrize(
    ("shards", "jobs"),
    [
        (1, {"activations": 2}),
        (2, {"activations_shard": 4, "gather_activations": 2}),
    ],
)
def test_another_number_of_shards_reruns_the_extraction_and_nothing_before_it(
    shards: int, jobs: dict[str, int], project: Path
) -> None:
    edit(project, extraction={"shards": shards})
    assert planned(project) == {**jobs, "weak_labels": 1, **AFTER}


@slow
def test_one_job_after_three_gives_nearly_the_same_and_then_has_nothing_to_do(
    finished: Path, project: Path
) -> None:
    edit(project, extraction={"shards": 1})
    done = snakemake(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(project) == {}
    for model in ("small", "large"):
        path = f"results/plain/activations/{model}.safetensors"
        old, new = (load(folder / path) for folder in (finished, project))
        np.testing.assert_array_equal(old["id"], new["id"])
        np.testing.assert_allclose(old["layer_-1"], new["layer_-1"], rtol=0, atol=1e-5)


@slow
def test_what_shards_depend_on_reruns_them_though_they_are_deleted(
    project: Path,
) -> None:
    config = read_config(project)
    config["models"]["large"]["pooling"] = "last"
    once = {"activations_shard": 3, "gather_activations": 1, **AFTER}
    write_config(project, config)
    assert planned(project) == once
    config["models"]["large"]["pooling"] = "mean"
    write_config(project, config)
    assert planned(project) == {}
    path = project / "models/large/model.safetensors"
    weights = {name: value * np.float32(1.01) for name, value in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})
    assert planned(project) == {**once, "tokenize": 1}


@slow
def test_code_of_the_encoder_reruns_deleted_shards(project: Path, tmp_path: Path) -> None:
    library = copy_library(tmp_path / "library")
    with (library / "w2s/models/encoder.py").open("a", encoding="utf-8") as module:
        module.write("\n\nADDED = 1\n")
    found = planned(project, repository=library, library=library)
    assert found == {"activations_shard": 6, "gather_activations": 2, "weak_labels": 1, **AFTER}


@slow
def test_a_killed_shard_goes_on_and_the_results_are_those_of_an_undisturbed_run(
    finished: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(finished, tmp_path / "killed"))
    for made in ("results", ".snakemake"):
        shutil.rmtree(folder / made)
    edit(folder, runtime={"batch_tokens": 1})
    log = folder / "results/logs/plain/activations-large-2-of-3.log"
    target = "results/plain/activations/large/shard-2-of-3.safetensors"
    running = subprocess.Popen(
        command(folder, target, cores=1), cwd=folder, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (log.is_file() and "activations plain" in log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, "extraction did not begin"
        assert running.poll() is None, "snakemake ended before it was killed"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (folder / target).exists()
    assert snakemake(folder, "--unlock").returncode == 0
    edit(folder, runtime={})
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    undisturbed, healed = contents(finished), contents(folder)
    assert undisturbed.keys() == healed.keys()
    assert [name for name in healed if healed[name] != undisturbed[name]] == []


@slow
def test_more_shards_than_texts_stop_in_one_line(finished: Path, tmp_path: Path) -> None:
    folder = copy_project(finished, tmp_path / "many")
    edit(folder, extraction={"shards": 1000})
    target = "results/plain/activations/large/shard-7-of-1000.safetensors"
    done = snakemake(folder, target)
    assert done.returncode != 0
    assert "expected one text each at least" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
