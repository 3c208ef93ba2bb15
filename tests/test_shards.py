"""Activations in shards: the same texts and numbers as in one job, each shard used once."""

import itertools
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import MODELS
from hypothesis import given
from hypothesis import strategies as st
from project import (
    command,
    contents,
    copy_library,
    copy_project,
    edit_function,
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
from w2s.models.activations import activations, gather_activations, shard_of
from w2s.models.track import ActivationsSettings, GatherActivationsSettings, JobRuntime


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60).map(np.array), st.data())
def test_shards_are_a_partition_in_order_of_like_tokens_and_none_is_empty(lengths, data):
    count = data.draw(st.integers(1, len(lengths)))
    found = [shard_of(lengths, number, count) for number in range(1, count + 1)]
    assert found[0][0] == 0
    assert found[-1][1] == len(lengths)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(found))
    assert all(first < end for first, end in found)
    sizes = [int(lengths[first:end].sum()) for first, end in found]
    # a cut is at most a text away from its place, or further where each shard needs a text
    crowded = lengths.max() * count > lengths.sum()
    if not crowded:
        assert max(abs(size - lengths.sum() / count) for size in sizes) <= lengths.max()


def test_shards_by_hand_and_more_than_texts_are_refused():
    lengths = np.full(12, 7)
    assert [shard_of(lengths, k, 4) for k in range(1, 5)] == [(0, 3), (3, 6), (6, 9), (9, 12)]
    assert shard_of(lengths, 1, 1) == (0, 12)
    for place in range(5):  # one long text leaves a text to each of the others
        lengths = np.ones(5, dtype=int)
        lengths[place] = 1000
        assert [shard_of(lengths, k, 5) for k in range(1, 6)] == [(i, i + 1) for i in range(5)]
    for n in (0, 1, 4):
        told = f"found 5 for {n} texts, expected one text each"
        with pytest.raises(DataError, match=told) as caught:
            shard_of(np.ones(n, dtype=int), 1, 5)
        assert "\n" not in str(caught.value)


def stage(tokens, model, settings, batch_tokens):
    options = {"settings": settings, "runtime": JobRuntime(batch_tokens=batch_tokens)}
    return activations(tokens, str(model), work=None, **options)["activations"]


def extracted(chain, model, shard, **changes):
    """What the stage makes of a shard, in memory."""
    job = chain.jobs[f"activations-{model}"]
    settings = ActivationsSettings(**MODELS[model] | {"shard": shard} | changes)
    return stage(load(job.inputs["tokens"]), job.inputs["model"], settings, 64)


def on_disk(artifacts, folder):
    """The same, read by rows from files, as the runner gives them."""
    folder.mkdir(exist_ok=True)
    for number, artifact in enumerate(artifacts):
        save(artifact, folder / f"{number}.safetensors")
    return [load(folder / f"{n}.safetensors", by_rows=True) for n in range(len(artifacts))]


def gathered(tokens, shards):
    return gather_activations(tokens, shards, settings=GatherActivationsSettings())["activations"]


def like(found, expected):
    """The same rows, to rounding."""
    assert set(found.arrays) == set(expected.arrays)
    np.testing.assert_array_equal(found["id"], expected["id"])
    for name in set(expected.arrays) - {"id"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", list(MODELS))
def test_gathered_shards_are_the_unsharded_rows_in_their_order(model, chain, tmp_path):
    tokens = load(chain / f"tokens-{model}.safetensors")
    expected = extracted(chain, model, "1-of-1")
    for count in (2, 3, 7):
        shards = [extracted(chain, model, f"{k}-of-{count}") for k in range(1, count + 1)]
        found = gathered(tokens, on_disk(shards, tmp_path)[::-1])  # their order is of no account
        save(found, tmp_path / "all.safetensors")
        written = load(tmp_path / "all.safetensors")
        like(written, expected)
        assert written.facts == expected.facts
    # those of two jobs of the chain too
    found, expected = (
        load(chain / f"activations-{name}.safetensors") for name in ("gathered", "small")
    )
    like(found, expected)


def test_a_pass_for_each_text_gives_the_same_bits_in_shards(chain, tmp_path):
    tokens = load(chain / "tokens-large.safetensors")
    arrays = {"id": tokens["id"][:30], "start": tokens["start"][:31]}
    arrays["token"] = tokens["token"][: tokens["start"][30]]
    few = Artifact("tokens", arrays, tokens.facts)

    def made(shard):
        settings = ActivationsSettings(**MODELS["large"], shard=shard)
        return stage(few, chain.inputs / "large", settings, 1)

    shards = on_disk([made(f"{k}-of-4") for k in range(1, 5)], tmp_path)
    save(gathered(few, shards), tmp_path / "all.safetensors")
    found, expected = load(tmp_path / "all.safetensors"), made("1-of-1")
    for name in expected.arrays:
        np.testing.assert_array_equal(found[name], expected[name])


def test_shards_keep_their_bits_and_the_largest_loss_is_told(chain, tmp_path):
    tokens = load(chain / "tokens-large.safetensors")
    for storage in ("float16", "bfloat16"):
        made = [extracted(chain, "large", f"{k}-of-3", storage=storage) for k in (1, 2, 3)]
        shards = on_disk(made, tmp_path)
        save(gathered(tokens, shards), tmp_path / "all.safetensors")
        found = load(tmp_path / "all.safetensors", by_rows=True)
        for name in ("layer_0", "layer_-1"):
            assert found[name].storage == storage
            rows = np.concatenate([shard[name][:] for shard in shards])
            np.testing.assert_array_equal(found[name][:], rows)
            losses = [shard.facts["loss"][name] for shard in shards]
            assert found.facts["loss"][name] == max(losses) > 0


def changed(artifact, **facts):
    return replace(artifact, facts={**artifact.facts, **facts})


def test_shards_that_are_not_all_of_one_dataset_model_and_storage_are_refused(chain, subtests):
    tokens = load(chain / "tokens-small.safetensors")
    a, b, c = (extracted(chain, "small", f"{k}-of-3") for k in (1, 2, 3))
    lacking = ([a, b], [b, c], [a, c], [a], [a, b, b, c], [a, a, b, c], [a, b, c, c])
    more = replace(b, arrays={**b.arrays, "layer_0": b["layer_-1"]})
    moved = [replace(s, arrays={**s.arrays, "id": s["id"] ^ 1}) for s in (a, b, c)]
    for shards, told in (
        *((shards, "texts that are not the dataset's 400") for shards in lacking),
        ([a, extracted(chain, "small", "2-of-4"), c], "expected each once"),
        ([a, b, changed(c, dataset="books")], "shards: found dataset "),
        ([a, b, changed(c, model={"id": "x"})], "shards: found model "),
        ([a, b, changed(c, storage="float16")], "shards: found storage "),
        ([a, more, c], r"layer_-1, layer_0.* expected the same"),
        (moved, "expected each once"),
    ):
        with subtests.test(told), pytest.raises(ArtifactError, match=told) as caught:
            gathered(tokens, shards)
        assert "\n" not in str(caught.value)


def test_shard_that_is_no_shard_is_refused(chain, tmp_path, capsys):
    job, out = chain.jobs["activations-small"], tmp_path / "out"
    for shard in ("0-of-2", "1-of-0", "3", "1of2", "-1-of-2", "1-of-2 ", "3-of-2"):
        line = job.line(settings=job.settings | {"shard": shard}, **job.elsewhere(out))
        message = refused(line, capsys, out)
        assert "shard: found" in message
    assert message.endswith("shard: found 3-of-2, expected a number up to 2")


def test_shards_of_other_settings_are_refused(chain, tmp_path, capsys):
    job = chain.jobs["activations-1-of-2"]
    other = tmp_path / "1.safetensors"
    assert main(job.line(settings=job.settings | {"pooling": "mean"}, activations=other)) == 0
    gather = chain.jobs["gather_activations"]
    both = [other, gather.inputs["shards"][1]]
    line = gather.line(shards=both, activations=tmp_path / "out" / "a.safetensors")
    assert "shards: found settings" in refused(line, capsys, tmp_path / "out")


# The workflow with shards.


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project of one dataset and seed, with three jobs for the activations of each model."""
    place = tmp_path_factory.mktemp("shards") / "finished"
    folder = make_project(place, seeds=(0,), extraction={"shards": 3})
    config = read_config(folder)
    del config["datasets"]["flat"]
    write_config(folder, config)
    ran(folder)
    return Path(folder)


def ran(folder):
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def project(finished, tmp_path):
    return Path(copy_project(finished, tmp_path / "project"))


AFTER = dict.fromkeys(("overlap", "strong", "evaluate", "tables", "metric_tables", "figures"), 1)


def slow(test):
    return pytest.mark.slow(pytest.mark.xdist_group("shards")(test))


def edit(folder, **changes):
    write_config(folder, {**read_config(folder), **changes})


@slow
def test_workflow_deletes_shards_and_a_second_run_does_nothing(finished):
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
def test_another_number_of_shards_reruns_and_gives_nearly_the_same(finished, project):
    two, one = {"activations_shard": 4, "gather_activations": 2}, {"activations": 2}
    for shards, jobs in ((2, two), (1, one)):
        edit(project, extraction={"shards": shards})
        assert planned(project) == {**jobs, "weak_labels": 1, **AFTER}
    ran(project)
    assert planned(project) == {}
    for model in ("small", "large"):
        path = f"results/plain/activations/{model}.safetensors"
        like(*(load(folder / path) for folder in (finished, project)))


@slow
def test_what_shards_depend_on_reruns_them_though_they_are_deleted(finished, project, tmp_path):
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
    # and the code of the encoder
    library = copy_library(tmp_path / "library")
    edit_function(library / "w2s/models/encoder.py", "extract")
    folder = copy_project(finished, tmp_path / "other")
    found = planned(folder, repository=library, library=library)
    assert found == {"activations_shard": 6, "gather_activations": 2, "weak_labels": 1, **AFTER}


@slow
def test_a_killed_shard_goes_on_and_the_results_are_those_of_an_undisturbed_run(finished, tmp_path):
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
    ran(folder)
    undisturbed, healed = contents(finished), contents(folder)
    assert undisturbed.keys() == healed.keys()
    assert [name for name in healed if healed[name] != undisturbed[name]] == []


@slow
def test_more_shards_than_texts_stop_in_one_line(finished, tmp_path):
    folder = copy_project(finished, tmp_path / "many")
    edit(folder, extraction={"shards": 1000})
    target = "results/plain/activations/large/shard-7-of-1000.safetensors"
    done = snakemake(folder, target)
    assert done.returncode != 0
    assert "expected one text each at least" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
