"""Rows on disk: what was written whole is read back, anything else is not taken for done."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from w2s.errors import ArtifactError
from w2s.files import spool
from w2s.files.spool import RowFile, Spool, blocks

N, D = 50, 3
IDENTITY = "a model and its texts"


def matrix(n: int = N, d: int = D, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def filled(path: Path, values: Any, rows: Any = None) -> RowFile:
    """A row file with some rows, written in several calls and in no order."""
    file = RowFile.create(path, values.shape, IDENTITY)
    rows = np.arange(len(values)) if rows is None else np.asarray(rows)
    order = np.random.default_rng(1).permutation(rows)
    for some in np.array_split(order, 4):
        file.write(some, values[some])
    return file


def whole(file: RowFile) -> Any:
    return np.concatenate(list(file.blocks()))


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.integers(1, 200),
)
def test_rows_written_in_any_order_are_read_in_theirs(
    tmp_path_factory: pytest.TempPathFactory, values: Any, block: int
) -> None:
    path = tmp_path_factory.mktemp("rows") / "a.rows"
    file = filled(path, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", block)
        assert whole(file).tobytes() == values.tobytes()
        found = RowFile.find(path, len(values), IDENTITY)
        assert found == file
        assert found.done().tolist() == np.isfinite(values).all(axis=1).tolist()


def test_row_file_looks_like_its_array(tmp_path: Path) -> None:
    values = matrix()
    file = filled(tmp_path / "a.rows", values)
    assert (len(file), file.shape, file.ndim, file.dtype) == (N, (N, D), 2, values.dtype)
    assert all(block.dtype == np.float32 for block in file.blocks())


def test_the_last_values_of_a_row_count(tmp_path: Path) -> None:
    values = matrix()
    file = filled(tmp_path / "a.rows", np.zeros_like(values))
    file.write(np.arange(N), values)
    np.testing.assert_array_equal(whole(file), values)


def test_rows_that_were_not_written_are_not_done_and_not_read(tmp_path: Path) -> None:
    file = filled(tmp_path / "a.rows", np.zeros((N, D), dtype=np.float32), rows=range(7, N))
    assert np.flatnonzero(~file.done()).tolist() == list(range(7))
    with pytest.raises(ArtifactError, match=r"a\.rows: row 0 differs from its checksum"):
        list(file.blocks())


@pytest.mark.parametrize("place", [0, 5, 4 * D - 1, 4 * D, 4 * D + 3])
def test_flipped_bit_undoes_its_row(place: int, tmp_path: Path) -> None:
    file = filled(tmp_path / "a.rows", matrix())
    content = bytearray(file.path.read_bytes())
    content[spool.TAG + 11 * 4 * (D + 1) + place] ^= 4
    file.path.write_bytes(content)
    assert np.flatnonzero(~file.done()).tolist() == [11]
    with pytest.raises(ArtifactError, match="row 11 differs"):
        list(file.blocks())


def test_row_that_is_not_finite_is_not_taken_for_done(tmp_path: Path) -> None:
    values = matrix()
    values[3, 1], values[8, 0] = np.nan, np.inf
    file = filled(tmp_path / "a.rows", values)
    assert np.flatnonzero(~file.done()).tolist() == [3, 8]
    np.testing.assert_array_equal(whole(file), values)  # to be refused by those who read it


@pytest.mark.parametrize("change", [-1, -4, -4 * (D + 1), -4 * N, 4 * N, 1])
def test_file_of_another_size_is_not_used(change: int, tmp_path: Path) -> None:
    file = filled(tmp_path / "a.rows", matrix())
    os.truncate(file.path, file.path.stat().st_size + change)
    assert RowFile.find(file.path, N, IDENTITY) is None


@pytest.mark.parametrize("size", [0, 10, 32, 33])
def test_file_that_was_hardly_begun_is_not_used(size: int, tmp_path: Path) -> None:
    file = filled(tmp_path / "a.rows", matrix())
    os.truncate(file.path, size)
    assert RowFile.find(file.path, N, IDENTITY) is None


def test_file_of_another_identity_or_number_of_texts_is_not_used(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.rows", matrix()).path
    assert RowFile.find(path, N, IDENTITY) is not None
    assert RowFile.find(path, N, "another model") is None
    assert RowFile.find(path, N // 2, IDENTITY) is None
    assert RowFile.find(path, 0, IDENTITY) is None
    assert RowFile.find(tmp_path / "none", N, IDENTITY) is None


def test_file_cut_while_it_is_read_is_one_line(tmp_path: Path) -> None:
    file = filled(tmp_path / "a.rows", matrix())
    os.truncate(file.path, 100)
    with pytest.raises(ArtifactError, match="found fewer rows than 50"):
        list(file.blocks())


def test_full_disk_is_one_line_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = filled(tmp_path / "a.rows", matrix())

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ArtifactError) as caught:
        file.write(np.arange(2), matrix(2))
    assert str(caught.value) == f"{file.path}: cannot be written (No space left on device)"


def test_write_goes_on_where_the_disk_took_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, real = matrix(), os.pwrite
    file = RowFile.create(tmp_path / "a.rows", values.shape, IDENTITY)
    monkeypatch.setattr(os, "pwrite", lambda handle, content, at: real(handle, content[:5], at))
    file.write(np.arange(N), values)
    np.testing.assert_array_equal(whole(file), values)


def test_missing_file_is_one_line(tmp_path: Path) -> None:
    file = filled(tmp_path / "a.rows", matrix())
    file.path.unlink()
    with pytest.raises(ArtifactError, match=r"a\.rows: cannot be written \(No such file"):
        file.write(np.arange(2), matrix(2))
    with pytest.raises(ArtifactError, match=r"a\.rows: cannot be read \(No such file"):
        list(file.blocks())
    with pytest.raises(ArtifactError, match="cannot be written"):
        RowFile.create(tmp_path / "none" / "a.rows", (2, 2), IDENTITY)


@pytest.mark.parametrize("size", [1, 60, 1 << 20])
@pytest.mark.parametrize("shape", [(0,), (7,), (0, 4), (7, 4), (7, 0), (7, 2, 2)])
def test_blocks_of_an_array_are_its_pieces_in_order(
    shape: tuple[int, ...], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "BLOCK", size)
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    for view in (array, np.asfortranarray(array), array[::-1]):
        pieces = list(blocks(view))
        assert b"".join(piece.tobytes() for piece in pieces) == view.tobytes()
        assert all(piece.flags.c_contiguous for piece in pieces)
        assert all(len(piece) == 1 or piece.nbytes <= size for piece in pieces)


LAYERS = (0, -1)


def spooled(folder: Path, rows: Any = range(N), **options: Any) -> Spool:
    """A spool of two layers with some of the texts."""
    made = Spool(folder, N, options.pop("layers", LAYERS), identity=IDENTITY, **options)
    rows = np.asarray(rows)
    made.write(rows, {0: matrix()[rows], -1: matrix(d=5, seed=1)[rows]})
    return made


def test_spool_goes_on_with_what_is_there(tmp_path: Path) -> None:
    first = spooled(tmp_path, range(20))
    assert not first.done.any()
    second = Spool(tmp_path, N, LAYERS, identity=IDENTITY)
    assert np.flatnonzero(second.done).tolist() == list(range(20))
    spooled(tmp_path, range(20, N))
    result = Spool(tmp_path, N, LAYERS, identity=IDENTITY).result()
    assert list(result) == list(LAYERS)
    np.testing.assert_array_equal(whole(result[0]), matrix())
    np.testing.assert_array_equal(whole(result[-1]), matrix(d=5, seed=1))


def test_text_is_done_if_it_is_in_every_layer(tmp_path: Path) -> None:
    made = spooled(tmp_path, range(20))
    made.write(np.arange(30, 40), {0: matrix()[30:40]})
    assert Spool(tmp_path, N, LAYERS, identity=IDENTITY).done.sum() == 20
    assert Spool(tmp_path, N, (0,), identity=IDENTITY).done.sum() == 30
    (tmp_path / "layer_0.rows").unlink()
    assert not Spool(tmp_path, N, LAYERS, identity=IDENTITY).done.any()


def test_spool_of_another_identity_begins_anew(tmp_path: Path) -> None:
    spooled(tmp_path)
    other = Spool(tmp_path, N, LAYERS, identity="another model")
    assert not other.done.any()
    assert other.result() == {}
    other.write(np.arange(5), {0: matrix(5), -1: matrix(5, 2)})
    assert Spool(tmp_path, N, LAYERS, identity="another model").done.sum() == 5


def test_spool_without_texts_has_no_layers(tmp_path: Path) -> None:
    empty = Spool(tmp_path, 0, LAYERS, identity=IDENTITY)
    assert empty.done.shape == (0,)
    assert empty.result() == {}


def test_a_kill_in_the_middle_of_a_write_leaves_the_rows_before_it(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from w2s.files import spool
from test_spool import spooled
real, calls = os.pwrite, []
def pwrite(handle, content, place):
    calls.append(place)
    if len(calls) == 10:
        real(handle, content[:6], place)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(handle, content, place)
os.pwrite = pwrite
spooled(Path(sys.argv[1]), layers=(0, -1))
"""
    tests = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=False, env={**os.environ, "PYTHONPATH": tests},
    )  # fmt: skip
    assert done.returncode == -9
    file = RowFile.find(tmp_path / "layer_0.rows", N, IDENTITY)
    assert file is not None
    assert np.flatnonzero(file.done()).tolist() == list(range(9))
    assert not Spool(tmp_path, N, LAYERS, identity=IDENTITY).done.any()


GROWTH = """
import sys
from pathlib import Path
import numpy as np
from w2s.files.artifacts import Artifact, load, save
from w2s.files.spool import Spool
def peak():
    line = next(li for li in open("/proc/self/status") if li.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
folder, n, d = Path(sys.argv[1]), 100_000, 256
def made(n):
    spool = Spool(folder, n, (-1,), identity=str(n))
    for rows in np.array_split(np.arange(n)[::-1], 100):
        spool.write(rows, {-1: np.ones((len(rows), d), dtype=np.float32)})
    arrays = {"id": np.arange(n), "layer_-1": spool.result()[-1]}
    facts = {"dataset": "films", "model": {}, "storage": "float32", "loss": {}}
    save(Artifact("activations", arrays, facts), folder / "a.safetensors")
made(1000), load(folder / "a.safetensors")
before = peak()
made(n)
written = peak()
layer = load(folder / "a.safetensors", by_rows=True)["layer_-1"]
layer[::100]
by_rows = peak()
load(folder / "a.safetensors")
print(written - before, by_rows - before, peak() - before, n * d * 4 / 2**20)
"""


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="asks Linux for the peak")
def test_memory_holds_no_rows_while_written_those_asked_for_when_read_and_all_of_them_once(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written, by_rows, read, size = map(float, done.stdout.split())
    assert written < 0.4 * size  # blocks, ids and their sorting
    assert by_rows < 0.4 * size
    assert read < 1.4 * size
