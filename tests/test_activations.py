"""Stage `activations` on disk: the same bytes as in memory, also after a kill."""

import ctypes
import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from safetensors.numpy import load_file, save_file
from test_runner import refused

from w2s.cli import main
from w2s.files import spool
from w2s.files.artifacts import Artifact, digest, load, save
from w2s.files.spool import RowFile
from w2s.models import encoder
from w2s.models.activations import activations
from w2s.models.track import ActivationsSettings, JobRuntime

BUDGET = ["--batch-tokens", "64"]  # many small passes, so that there is a middle to be killed in
TEXTS = 400

# runs `w2s` and ends it like `kill -9` in the middle of a write of the rows of a pass
KILLED = """
import os, signal, sys
from w2s.cli import main
real, calls = os.pwrite, []
def pwrite(handle, content, place):
    calls.append(place)
    if len(calls) == int(sys.argv[1]):
        real(handle, content[: len(content) // 2], place)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(handle, content, place)
os.pwrite = pwrite
main(sys.argv[2:])
"""


def line_of(chain, folder, **changes):
    """The command that writes `a.safetensors` into a folder."""
    job = chain.jobs["activations-large"]
    return [*job.line(activations=folder / "a.safetensors", **changes), *BUDGET]


def w2s(line, kill_at=0):
    """Run a command in a process of its own, killed at its n-th write of a row."""
    command = [sys.executable, "-c", KILLED, str(kill_at), *line]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def work_of(folder):
    return sorted(folder.glob(".work-a.safetensors-*"))


@pytest.fixture(scope="module")
def undisturbed(chain, tmp_path_factory):
    """The file of a run of its own."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(line_of(chain, folder)) == 0
    assert [path.name for path in folder.iterdir()] == ["a.safetensors"]
    return (folder / "a.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unfinished(chain, tmp_path_factory):
    """What a killed run leaves; to be copied."""
    folder = tmp_path_factory.mktemp("unfinished")
    done = w2s(line_of(chain, folder), kill_at=301)  # two layers: in the 151st text or after
    assert done.returncode == -9, done.stderr
    assert not list(folder.glob("*.safetensors"))
    assert len(work_of(folder)) == 1
    return folder


@pytest.fixture
def killed(unfinished, tmp_path):
    shutil.copytree(unfinished, tmp_path / "killed")
    return tmp_path / "killed"


@pytest.mark.parametrize("allocator", ["glibc", "another"])
def test_threads_and_allocator_change_no_byte(allocator, chain, tmp_path, undisturbed, monkeypatch):
    if allocator == "another":
        monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert main(line_of(chain, tmp_path)) == 0
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "a.safetensors").read_bytes() == undisturbed


def count_passes(monkeypatch):
    """The number of texts of every forward pass from now on."""
    sizes = []
    real = encoder.hidden_states

    def forward(model, texts, layers):
        sizes.append(len(texts))
        return real(model, texts, layers)

    monkeypatch.setattr(encoder, "hidden_states", forward)
    return sizes


def goes_on(chain, folder, undisturbed):
    """The command ends with the file of an undisturbed run, and nothing beside it."""
    assert main(line_of(chain, folder)) == 0
    assert (folder / "a.safetensors").read_bytes() == undisturbed
    assert [path.name for path in folder.iterdir()] == ["a.safetensors"]


def test_killed_run_goes_on(chain, killed, undisturbed, monkeypatch, caplog, capsys):
    sizes = count_passes(monkeypatch)
    with caplog.at_level(logging.WARNING):
        goes_on(chain, killed, undisturbed)
    assert TEXTS - 150 <= sum(sizes) <= TEXTS - 130
    (told,) = [text for text in caplog.messages if "continuing" in text]
    found = re.fullmatch(r"activations films: continuing at text (\d+) of 400", told)
    assert 130 < int(found[1]) <= 150
    first, *_, last = capsys.readouterr().err.splitlines()
    assert not re.search(r" 0%\|", first)  # the bar begins where the work does
    assert "100%" in last


@contextmanager
def held(line, folder):
    """A process that has written some rows and waits at a write."""
    waiting = "    while len(calls) > 99: time.sleep(0.01)\n"
    program = "import time" + KILLED.replace("    if", waiting + "    if")
    command = [sys.executable, "-c", program, "0", *line]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            while rows_in(folder) < 40:
                assert running.poll() is None
                time.sleep(0.01)
            yield running
        finally:
            running.kill()


def rows_in(folder):
    """How many rows an unfinished run has written, counted by their checksums."""
    for path in folder.glob(".work*/layer_0.rows"):
        values = path.read_bytes()[spool.TAG :]
        size = 4 * (tiny.HIDDEN + 1)
        table = np.frombuffer(values[: len(values) // size * size], np.uint32)
        return int(np.count_nonzero(table.reshape(-1, tiny.HIDDEN + 1)[:, -1]))
    return 0


def test_two_runs_do_not_meet_and_one_killed_from_outside_goes_on(chain, tmp_path, undisturbed):
    with held(line_of(chain, tmp_path), tmp_path) as running:
        second = w2s(line_of(chain, tmp_path))
        running.kill()
        assert running.wait() == -9
    assert second.stderr.splitlines() == [
        f"w2s activations: error: {tmp_path / 'a.safetensors'}: found another process at work on "
        f"it, expected none; wait for its end"
    ]
    assert rows_in(tmp_path) < TEXTS
    assert not (tmp_path / "a.safetensors").exists()
    goes_on(chain, tmp_path, undisturbed)


def flip(path):
    """Change one bit of a row that was written."""
    content = bytearray(path.read_bytes())
    written = np.flatnonzero(np.frombuffer(content, dtype=np.uint8)[64:]) + 64
    content[written[len(written) // 2]] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        Path.unlink,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-4]),
        lambda path: path.write_bytes(path.read_bytes() + b"more"),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]),
    ],
    ids=["bit", "gone", "empty", "short", "long", "zeros", "other identity"],
)
def test_damaged_work_is_not_trusted(damage, chain, killed, undisturbed):
    damage(work_of(killed)[0] / "layer_-1.rows")
    goes_on(chain, killed, undisturbed)


def other_tokens(chain, folder):
    tokens = load(chain / "tokens-large.safetensors")
    changed = tokens["token"].copy()
    changed[-1] = changed[0]
    arrays = {**tokens.arrays, "token": changed}
    assert changed.tolist() != tokens["token"].tolist()
    save(Artifact("tokens", arrays, tokens.facts), folder / "t.safetensors")
    return {"tokens": folder / "t.safetensors"}


def other_weights(chain, folder):
    model = shutil.copytree(chain.inputs / "large", folder / "model")
    weights = load_file(model / "model.safetensors")
    changed = {name: value * np.float32(1.01) for name, value in weights.items()}
    save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
    return {"model": model}


@pytest.mark.parametrize("what", ["settings", "batches", "tokens", "weights"])
def test_other_settings_or_inputs_begin_anew(what, chain, killed, tmp_path, monkeypatch):
    change = {
        "settings": lambda *_: {"settings": {"layers": [0, -1], "pooling": "last"}},
        "batches": lambda *_: {},
        "tokens": other_tokens,
        "weights": other_weights,
    }[what](chain, tmp_path)
    batch = "128" if what == "batches" else BUDGET[1]
    sizes = count_passes(monkeypatch)
    assert main([*line_of(chain, killed, **change)[:-1], batch]) == 0
    assert sum(sizes) == TEXTS
    assert [path.name for path in killed.iterdir()] == ["a.safetensors"]


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_one_line_and_the_work_stays(chain, killed, undisturbed, capsys, monkeypatch):
    for patched, value, name in (
        ("os.pwrite", full, "layer_0.rows"),  # during the passes
        ("w2s.files.artifacts.WRITERS", {".safetensors": full}, "a.safetensors"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(patched, value)
            message = refused(line_of(chain, killed), capsys)
        assert message.endswith(f"{name}: cannot be written (No space left on device)")
        assert [path.name for path in killed.iterdir()] == [work_of(killed)[0].name]
    sizes = count_passes(monkeypatch)
    goes_on(chain, killed, undisturbed)
    assert sizes == []


def test_what_is_not_finite_is_refused_and_not_kept(chain, killed, undisturbed, capsys):
    real = encoder.pool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "pool", lambda *inputs: real(*inputs) / 0)
        message = refused(line_of(chain, killed), capsys)
    assert "values that are NaN or infinite, expected none" in message
    goes_on(chain, killed, undisturbed)


def step(job, work):
    tokens, model = load(job.inputs["tokens"]), str(job.inputs["model"])
    options = {"settings": ActivationsSettings(**job.settings), "work": work}
    return activations(tokens, model, runtime=JobRuntime(batch_tokens=64), **options)["activations"]


@pytest.mark.parametrize("model", ["small", "large"])
def test_stage_gives_the_same_on_disk_and_in_memory(model, chain, tmp_path):
    job = chain.jobs[f"activations-{model}"]
    work = tmp_path / "work"
    work.mkdir()
    disk, memory = step(job, work), step(job, None)
    layers = [name for name in memory.arrays if name != "id"]
    assert all(isinstance(disk[name], RowFile) for name in layers)
    assert all(isinstance(memory[name], np.ndarray) for name in layers)
    assert digest(disk) == digest(memory)
    for name, artifact in (("disk", disk), ("memory", memory)):
        save(artifact, tmp_path / f"{name}.safetensors")
    written = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("disk", "memory")]
    assert written[0] == written[1]
    assert load(tmp_path / "disk.safetensors").checksum == digest(memory)


def test_out_of_memory_changes_rounding_only(chain, tmp_path, undisturbed, monkeypatch, caplog):
    import torch

    real = encoder.hidden_states

    def forward(model, texts, layers):
        if sum(map(len, texts)) > 40:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return real(model, texts, layers)

    monkeypatch.setattr(encoder, "hidden_states", forward)
    assert main(line_of(chain, tmp_path)) == 0
    assert "out of memory with" in caplog.text
    (tmp_path / "b.safetensors").write_bytes(undisturbed)
    found, expected = (load(tmp_path / f"{name}.safetensors") for name in "ab")
    assert found["layer_-1"].shape == (TEXTS, tiny.HIDDEN)
    np.testing.assert_allclose(found["layer_-1"], expected["layer_-1"], rtol=0, atol=1e-5)


def test_weights_that_are_not_the_models_end_it_with_nothing_written(chain, tmp_path, capsys):
    folder = tiny.write_model(tmp_path / "m")
    path = folder / "model.safetensors"
    save_file({f"wrapper.{name}": values for name, values in load_file(path).items()}, path)
    job = chain.jobs["activations-small"]
    assert main(job.line(model=folder, **job.elsewhere(tmp_path))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"w2s activations: error: model {folder}: found no values for ")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
