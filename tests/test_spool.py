"""Rows on disk: what was written whole is read back, anything else is not taken for done."""

import errno
import os
import subprocess
import sys
from pathlib import Path

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


def matrix(n=N, d=D, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def filled(path, values, rows=None):
    """A row file with some rows, written in several calls and in no order."""
    file = RowFile.create(path, values.shape, IDENTITY)
    rows = np.arange(len(values)) if rows is None else np.asarray(rows)
    order = np.random.default_rng(1).permutation(rows)
    for some in np.array_split(order, 4):
        file.write(some, values[some])
    return file


def whole(file):
    return np.concatenate(list(file.blocks()))


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)),
    st.integers(1, 200),
)
def test_rows_written_in_any_order_are_read_in_theirs(tmp_path_factory, values, block):
    path = tmp_path_factory.mktemp("rows") / "a.rows"
    file = filled(path, values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", block)
        assert whole(file).tobytes() == values.tobytes()
        found = RowFile.find(path, len(values), IDENTITY)
        assert found == file
        assert found.done().tolist() == np.isfinite(values).all(axis=1).tolist()


def test_row_file_looks_like_its_array_and_the_last_values_of_a_row_count(tmp_path):
    values = matrix()
    file = filled(tmp_path / "a.rows", np.zeros_like(values))
    assert (len(file), file.shape, file.ndim, file.dtype) == (N, (N, D), 2, values.dtype)
    assert all(block.dtype == np.float32 for block in file.blocks())
    file.write(np.arange(N), values)
    np.testing.assert_array_equal(whole(file), values)


def test_rows_that_were_not_written_or_are_not_finite_are_not_done(tmp_path):
    file = filled(tmp_path / "a.rows", np.zeros((N, D), dtype=np.float32), rows=range(7, N))
    assert np.flatnonzero(~file.done()).tolist() == list(range(7))
    with pytest.raises(ArtifactError, match=r"a\.rows: row 0 differs from its checksum"):
        list(file.blocks())
    values = matrix()
    values[3, 1], values[8, 0] = np.nan, np.inf
    file = filled(tmp_path / "a.rows", values)
    assert np.flatnonzero(~file.done()).tolist() == [3, 8]
    np.testing.assert_array_equal(whole(file), values)  # to be refused by those who read it


def test_flipped_bit_undoes_its_row(tmp_path):
    file = filled(tmp_path / "a.rows", matrix())
    content = file.path.read_bytes()
    for place in (0, 5, 4 * D - 1, 4 * D, 4 * D + 3):
        changed = bytearray(content)
        changed[spool.TAG + 11 * 4 * (D + 1) + place] ^= 4
        file.path.write_bytes(changed)
        assert np.flatnonzero(~file.done()).tolist() == [11]
        with pytest.raises(ArtifactError, match="row 11 differs"):
            list(file.blocks())


def test_file_of_another_size_identity_or_number_of_texts_is_not_used(tmp_path):
    path = filled(tmp_path / "a.rows", matrix()).path
    content = path.read_bytes()
    changes = (-1, -4, -4 * (D + 1), -4 * N, 4 * N, 1)
    for size in (*(len(content) + change for change in changes), 0, 10, 32, 33):
        path.write_bytes(content)
        os.truncate(path, size)
        assert RowFile.find(path, N, IDENTITY) is None, size
    path.write_bytes(content)
    assert RowFile.find(path, N, IDENTITY) is not None
    assert RowFile.find(path, N, "another model") is None
    assert RowFile.find(path, N // 2, IDENTITY) is None
    assert RowFile.find(path, 0, IDENTITY) is None
    assert RowFile.find(tmp_path / "none", N, IDENTITY) is None


def test_write_goes_on_where_the_disk_took_a_part(tmp_path, monkeypatch):
    values, real = matrix(), os.pwrite
    file = RowFile.create(tmp_path / "a.rows", values.shape, IDENTITY)
    monkeypatch.setattr(os, "pwrite", lambda handle, content, at: real(handle, content[:5], at))
    file.write(np.arange(N), values)
    np.testing.assert_array_equal(whole(file), values)


def test_full_disk_and_file_that_is_cut_or_missing_are_one_line(tmp_path):
    file = filled(tmp_path / "a.rows", matrix())

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(ArtifactError) as caught:
            file.write(np.arange(2), matrix(2))
    assert str(caught.value) == f"{file.path}: cannot be written (No space left on device)"
    os.truncate(file.path, 100)
    with pytest.raises(ArtifactError, match="found fewer rows than 50"):
        list(file.blocks())
    file.path.unlink()
    with pytest.raises(ArtifactError, match=r"a\.rows: cannot be written \(No such file"):
        file.write(np.arange(2), matrix(2))
    with pytest.raises(ArtifactError, match=r"a\.rows: cannot be read \(No such file"):
        list(file.blocks())
    with pytest.raises(ArtifactError, match="cannot be written"):
        RowFile.create(tmp_path / "none" / "a.rows", (2, 2), IDENTITY)


@pytest.mark.parametrize("size", [1, 60, 1 << 20])
def test_blocks_of_an_array_are_its_pieces_in_order(size, monkeypatch, subtests):
    monkeypatch.setattr(spool, "BLOCK", size)
    for shape in ((0,), (7,), (0, 4), (7, 4), (7, 0), (7, 2, 2)):
        array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
        for view in (array, np.asfortranarray(array), array[::-1]):
            pieces = list(blocks(view))
            with subtests.test(shape=shape, strides=view.strides):
                assert b"".join(piece.tobytes() for piece in pieces) == view.tobytes()
                assert all(piece.flags.c_contiguous for piece in pieces)
                assert all(len(piece) == 1 or piece.nbytes <= size for piece in pieces)


LAYERS = (0, -1)


def spooled(folder, rows=range(N), **options):
    """A spool of two layers with some of the texts."""
    made = Spool(folder, N, options.pop("layers", LAYERS), identity=IDENTITY, **options)
    rows = np.asarray(rows)
    made.write(rows, {0: matrix()[rows], -1: matrix(d=5, seed=1)[rows]})
    return made


def test_spool_goes_on_with_what_is_there(tmp_path):
    first = spooled(tmp_path, range(20))
    assert not first.done.any()
    second = Spool(tmp_path, N, LAYERS, identity=IDENTITY)
    assert np.flatnonzero(second.done).tolist() == list(range(20))
    spooled(tmp_path, range(20, N))
    result = Spool(tmp_path, N, LAYERS, identity=IDENTITY).result()
    assert list(result) == list(LAYERS)
    np.testing.assert_array_equal(whole(result[0]), matrix())
    np.testing.assert_array_equal(whole(result[-1]), matrix(d=5, seed=1))


def test_text_is_done_if_it_is_in_every_layer_under_the_same_identity(tmp_path):
    made = spooled(tmp_path, range(20))
    made.write(np.arange(30, 40), {0: matrix()[30:40]})
    assert Spool(tmp_path, N, LAYERS, identity=IDENTITY).done.sum() == 20
    assert Spool(tmp_path, N, (0,), identity=IDENTITY).done.sum() == 30
    (tmp_path / "layer_0.rows").unlink()
    assert not Spool(tmp_path, N, LAYERS, identity=IDENTITY).done.any()
    spooled(tmp_path)
    other = Spool(tmp_path, N, LAYERS, identity="another model")
    assert not other.done.any()
    assert other.result() == {}
    other.write(np.arange(5), {0: matrix(5), -1: matrix(5, 2)})
    assert Spool(tmp_path, N, LAYERS, identity="another model").done.sum() == 5
    empty = Spool(tmp_path / "empty", 0, LAYERS, identity=IDENTITY)  # without texts no layers
    assert (empty.done.shape, empty.result()) == ((0,), {})


def test_a_kill_in_the_middle_of_a_write_leaves_the_rows_before_it(tmp_path):
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
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    line = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(line, check=False, env={**os.environ, "PYTHONPATH": path})
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
def test_memory_holds_those_rows_alone_that_are_asked_for_and_all_of_them_once(tmp_path):
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written, by_rows, read, size = map(float, done.stdout.split())
    assert written < 0.4 * size  # blocks, ids and their sorting
    assert by_rows < 0.4 * size
    assert read < 1.4 * size
