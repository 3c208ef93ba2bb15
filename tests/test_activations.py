"""Stage `activations` on disk: the same bytes as in memory, also after a kill."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from conftest import Chain, Job
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


def line_of(chain: Chain, folder: Path, **changes: Any) -> list[str]:
    """The command that writes `a.safetensors` into a folder."""
    job = chain.jobs["activations-large"]
    return [*job.line(activations=folder / "a.safetensors", **changes), *BUDGET]


def w2s(line: list[str], kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, killed at its n-th write of a row."""
    command = [sys.executable, "-c", KILLED, str(kill_at), *line]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def work_of(folder: Path) -> list[Path]:
    return sorted(folder.glob(".work-a.safetensors-*"))


@pytest.fixture(scope="module")
def undisturbed(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a run of its own."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(line_of(chain, folder)) == 0
    assert [path.name for path in folder.iterdir()] == ["a.safetensors"]
    return (folder / "a.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unfinished(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a killed run leaves; to be copied."""
    folder = tmp_path_factory.mktemp("unfinished")
    done = w2s(line_of(chain, folder), kill_at=301)  # two layers: in the 151st text or after
    assert done.returncode == -9, done.stderr
    assert not list(folder.glob("*.safetensors"))
    assert len(work_of(folder)) == 1
    return folder


@pytest.fixture
def killed(unfinished: Path, tmp_path: Path) -> Path:
    shutil.copytree(unfinished, tmp_path / "killed")
    return tmp_path / "killed"


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts of every forward pass from now on."""
    sizes: list[int] = []
    real = encoder.hidden_states

    def forward(model: Any, texts: Any, layers: Any) -> Any:
        sizes.append(len(texts))
        return real(model, texts, layers)

    monkeypatch.setattr(encoder, "hidden_states", forward)
    return sizes


def test_killed_run_goes_on_and_gives_the_bytes_of_an_undisturbed_one(
    chain: Chain, killed: Path, undisturbed: bytes
) -> None:
    done = w2s(line_of(chain, killed))
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "continuing" in line]
    assert len(told) == 1
    found = re.fullmatch(r"activations films: continuing at text (\d+) of 400", told[0])
    assert found
    assert 130 < int(found[1]) <= 150
    assert (killed / "a.safetensors").read_bytes() == undisturbed
    assert [path.name for path in killed.iterdir()] == ["a.safetensors"]


def test_killed_run_computes_only_what_was_not_done(
    chain: Chain, killed: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_passes(monkeypatch)
    assert main(line_of(chain, killed)) == 0
    assert TEXTS - 150 <= sum(sizes) <= TEXTS - 130
    assert (killed / "a.safetensors").read_bytes() == undisturbed


@contextmanager
def held(line: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has written some rows and waits at a write until there is a file `go`."""
    waiting = "    while len(calls) > 99 and not os.path.exists(sys.argv[1]): time.sleep(0.01)\n"
    program = KILLED.replace("int(sys.argv[1])", "0").replace("    if", waiting + "    if")
    command = [sys.executable, "-c", "import time" + program, str(folder / "go"), *line]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True) as running:
        try:
            while rows_in(folder) < 40:
                assert running.poll() is None
                time.sleep(0.01)
            yield running
        finally:
            running.kill()


def rows_in(folder: Path) -> int:
    """How many rows an unfinished run has written, counted by their checksums."""
    for path in folder.glob(".work*/layer_0.rows"):
        values = path.read_bytes()[spool.TAG :]
        size = 4 * (tiny.HIDDEN + 1)
        table = np.frombuffer(values[: len(values) // size * size], np.uint32)
        return int(np.count_nonzero(table.reshape(-1, tiny.HIDDEN + 1)[:, -1]))
    return 0


def test_run_killed_from_outside_goes_on(chain: Chain, tmp_path: Path, undisturbed: bytes) -> None:
    with held(line_of(chain, tmp_path), tmp_path) as running:
        running.kill()
        assert running.wait() == -9
    assert rows_in(tmp_path) < TEXTS
    assert not (tmp_path / "a.safetensors").exists()
    assert main(line_of(chain, tmp_path)) == 0
    assert (tmp_path / "a.safetensors").read_bytes() == undisturbed
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def flip(path: Path) -> None:
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
def test_damaged_work_is_not_trusted(
    damage: Callable[[Path], object], chain: Chain, killed: Path, undisturbed: bytes
) -> None:
    damage(work_of(killed)[0] / "layer_-1.rows")
    assert main(line_of(chain, killed)) == 0
    assert (killed / "a.safetensors").read_bytes() == undisturbed
    assert work_of(killed) == []


@pytest.mark.parametrize(
    "change",
    [{"settings": {"layers": [0, -1], "pooling": "last"}}, {"batch": "128"}],
    ids=["settings", "batches"],
)
def test_other_settings_or_batches_begin_anew_and_clean_up(
    change: dict[str, Any], chain: Chain, killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_passes(monkeypatch)
    batch = change.pop("batch", BUDGET[1])
    line = [*line_of(chain, killed, **change)[:-1], batch]
    assert main(line) == 0
    assert sum(sizes) == TEXTS
    assert [path.name for path in killed.iterdir()] == ["a.safetensors"]


def test_other_tokens_begin_anew(
    chain: Chain, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = load(chain / "tokens-large.safetensors")
    changed = tokens["token"].copy()
    changed[-1] = changed[0]
    arrays = {**tokens.arrays, "token": changed}
    assert changed.tolist() != tokens["token"].tolist()
    save(Artifact("tokens", arrays, tokens.facts), tmp_path / "t.safetensors")
    sizes = count_passes(monkeypatch)
    assert main(line_of(chain, killed, tokens=tmp_path / "t.safetensors")) == 0
    assert sum(sizes) == TEXTS


def test_other_weights_under_the_same_configuration_begin_anew(
    chain: Chain, killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(chain.inputs / "large", tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    changed = {name: value * np.float32(1.01) for name, value in weights.items()}
    save_file(changed, model / "model.safetensors", metadata={"format": "pt"})
    sizes = count_passes(monkeypatch)
    assert main(line_of(chain, killed, model=model)) == 0
    assert sum(sizes) == TEXTS


def test_two_runs_on_one_output_do_not_meet(
    chain: Chain, tmp_path: Path, undisturbed: bytes
) -> None:
    with held(line_of(chain, tmp_path), tmp_path) as first:
        second = w2s(line_of(chain, tmp_path))
        (tmp_path / "go").touch()
        assert first.wait() == 0
    assert second.stderr.splitlines() == [
        f"w2s activations: error: {tmp_path / 'a.safetensors'}: found another process at work on "
        f"it, expected none; wait for its end"
    ]
    assert (tmp_path / "a.safetensors").read_bytes() == undisturbed


def full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_during_the_passes_is_one_line_and_the_work_stays(
    chain: Chain, killed: Path, undisturbed: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        message = refused(line_of(chain, killed), capsys)
    assert message.endswith("layer_0.rows: cannot be written (No space left on device)")
    assert [path.name for path in killed.iterdir()] == [work_of(killed)[0].name]
    assert main(line_of(chain, killed)) == 0
    assert (killed / "a.safetensors").read_bytes() == undisturbed


def test_full_disk_while_the_output_is_written_is_one_line_and_nothing_is_lost(
    chain: Chain, killed: Path, undisturbed: bytes, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("w2s.files.artifacts.WRITERS", {".safetensors": full})
        message = refused(line_of(chain, killed), capsys)
    assert message.endswith("a.safetensors: cannot be written (No space left on device)")
    assert [path.name for path in killed.iterdir()] == [work_of(killed)[0].name]
    sizes = count_passes(monkeypatch)
    assert main(line_of(chain, killed)) == 0
    assert sizes == []
    assert (killed / "a.safetensors").read_bytes() == undisturbed


def test_activations_that_are_not_finite_are_refused_and_not_kept(
    chain: Chain, killed: Path, undisturbed: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    real = encoder.pool
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoder, "pool", lambda *inputs: real(*inputs) / 0)
        message = refused(line_of(chain, killed), capsys)
    assert "values that are NaN or infinite, expected none" in message
    assert main(line_of(chain, killed)) == 0
    assert (killed / "a.safetensors").read_bytes() == undisturbed


def step(chain: Chain, job: Job, work: Path | None, budget: int = 64) -> Artifact:
    tokens = load(job.inputs["tokens"])
    settings = ActivationsSettings(**job.settings)
    runtime = JobRuntime(batch_tokens=budget)
    made = activations(tokens, str(job.inputs["model"]), settings=settings, runtime=runtime,
                       work=work)  # fmt: skip
    return made["activations"]


@pytest.mark.parametrize("model", ["small", "large"])
def test_stage_gives_the_same_on_disk_and_in_memory(
    model: str, chain: Chain, tmp_path: Path
) -> None:
    job = chain.jobs[f"activations-{model}"]
    work = tmp_path / "work"
    work.mkdir()
    disk, memory = step(chain, job, work), step(chain, job, None)
    layers = [name for name in memory.arrays if name != "id"]
    assert all(isinstance(disk[name], RowFile) for name in layers)
    assert all(isinstance(memory[name], np.ndarray) for name in layers)
    assert digest(disk) == digest(memory)
    for name, artifact in (("disk", disk), ("memory", memory)):
        save(artifact, tmp_path / f"{name}.safetensors")
    written = [(tmp_path / f"{name}.safetensors").read_bytes() for name in ("disk", "memory")]
    assert written[0] == written[1]
    assert load(tmp_path / "disk.safetensors").checksum == digest(memory)


def test_bar_begins_where_the_work_does_and_ends_at_all_of_it(
    chain: Chain, killed: Path, caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with caplog.at_level(logging.WARNING):
        assert main(line_of(chain, killed)) == 0
    assert sum("continuing at text" in record.getMessage() for record in caplog.records) == 1
    first, *_, last = capsys.readouterr().err.splitlines()
    assert not re.search(r" 0%\|", first)
    assert "100%" in last


def test_out_of_memory_changes_no_result_beyond_rounding(
    chain: Chain, tmp_path: Path, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    import torch

    real = encoder.hidden_states

    def forward(model: Any, texts: Any, layers: Any) -> Any:
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


def test_weights_that_are_not_the_models_end_it_with_one_line_and_nothing_written(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny.write_model(tmp_path / "m")
    path = folder / "model.safetensors"
    save_file({f"wrapper.{name}": values for name, values in load_file(path).items()}, path)
    job = chain.jobs["activations-small"]
    assert main(job.line(model=folder, **job.elsewhere(tmp_path))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"w2s activations: error: model {folder}: found no values for ")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
