"""Matrices on disk: bits of the half formats, rows as of the array, and what storing costs."""

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import tiny
import torch
from conftest import MODELS
from faults import flipped
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save_file
from test_runner import refused

from w2s.cli import main
from w2s.errors import ArtifactError
from w2s.files import matrix, spool
from w2s.files.artifacts import Artifact, digest, load, save
from w2s.files.matrix import STORAGE, Rounded, Stacked, decode, encode, loss

HALVES = ("float16", "bfloat16")
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
EVERY = pytest.mark.parametrize("storage", list(STORAGE))
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 65504, 65519.99, 65520, 6e-8, 2.98e-8, 1e-45,
           3.4e38, -3.4028235e38, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-11, 1 + 3 * 2**-11]  # fmt: skip


def by_torch(values, storage):
    """Values as torch reads them after its own cast."""
    return torch.from_numpy(values).to(TORCH[storage]).to(torch.float32).numpy()


def same(found, expected):
    """Equal bit by bit, but that any NaN equals any other."""
    np.testing.assert_array_equal(found, expected)
    number = ~np.isnan(expected)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(np.signbit(found[number]), np.signbit(expected[number]))


def rounded_as_by_torch(values, storage):
    same(decode(encode(values, storage), storage), by_torch(values, storage))


@EVERY
@given(hnp.arrays(np.uint32, hnp.array_shapes(max_dims=2, max_side=9)))
def test_any_bits_are_rounded_as_by_torch(storage, bits):
    rounded_as_by_torch(bits.view(np.float32), storage)
    rounded_as_by_torch(np.array(SPECIAL, dtype=np.float32), storage)


@pytest.mark.parametrize("storage", HALVES)
def test_every_half_is_stored_as_its_own_bits_and_what_is_between_two_goes_to_the_nearest(storage):
    bits = np.arange(2**16, dtype=np.uint16)
    exact = torch.from_numpy(bits.view(np.int16)).view(TORCH[storage]).float().numpy()
    number = ~np.isnan(exact)
    stored = encode(exact, storage).view(np.uint16)
    np.testing.assert_array_equal(stored[number], bits[number])
    same(decode(encode(exact, storage), storage), exact)
    halves = exact[: 2**15]
    halves = halves[np.isfinite(halves)]
    ties = ((halves[1:].astype(np.float64) + halves[:-1]) / 2).astype(np.float32)  # to even
    for values in (ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(np.inf))):
        rounded_as_by_torch(values, storage)


def test_a_nan_stays_one_where_its_last_bits_are_cut():
    values = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(decode(encode(values, "bfloat16"), "bfloat16")).all()


def artifact_of(values, storage):
    """An artifact of activations, with an array before the matrix."""
    facts = {"dataset": "films", "model": {}, "storage": storage, "loss": {"layer_-1": 0.0}}
    return Artifact("activations", {"id": np.arange(len(values)), "layer_-1": values}, facts)


def file_of(path, values, storage="float32"):
    """The same on disk."""
    save(artifact_of(Rounded(values, storage), storage), path)
    return load(path, by_rows=True)


def random(n=50, d=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("matrices")


@pytest.fixture(scope="module", params=list(STORAGE))
def stored(request, folder):
    """A matrix on disk and the array that it should be."""
    storage = request.param
    found = file_of(folder / f"{storage}.safetensors", random(), storage)["layer_-1"]
    return found, by_torch(random(), storage)


@pytest.fixture(params=[spool.BLOCK, 1, 60, 100], ids=["wide", "row", "two rows", "three rows"])
def block(request, monkeypatch):
    """Bytes that are read at once."""
    size = request.param
    monkeypatch.setattr(spool, "BLOCK", size)
    monkeypatch.setattr(matrix, "BLOCK", size)
    return size


ROWS = {
    "all": slice(None), "ellipsis": ..., "slice": slice(3, 40, 3),
    "backwards": slice(None, None, -1),
    "none": slice(9, 3), "empty": [], "one of many": [49], "mask": np.arange(50) % 3 == 1,
    "no mask": np.zeros(50, dtype=bool), "full mask": np.ones(50, dtype=bool),
    "unsorted": [31, 2, 3, 4, 30, 0], "repeated": [5, 5, 6, 5, 49, 6], "negative": [-1, -50, 0],
    "first": 0, "last": -1, "number": np.int64(17), "list of truth": [True] * 25 + [False] * 25,
}  # fmt: skip


def test_rows_are_those_of_the_array(block, stored, subtests):
    found, expected = stored
    for name, rows in ROWS.items():
        with subtests.test(name):
            assert found[rows].shape == expected[rows].shape
            same(found[rows], np.ascontiguousarray(expected[rows]))


@given(st.lists(st.integers(-50, 49), max_size=80), st.sampled_from([1, 28, 100, 1 << 22]))
def test_any_positions_are_those_of_the_array(folder, rows, block):
    path = folder / "positions.safetensors"
    if not path.exists():
        file_of(path, random())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "BLOCK", block)
        found = load(path, by_rows=True)["layer_-1"][rows]
    np.testing.assert_array_equal(found, random()[rows])


def test_what_is_no_row_is_refused(stored, subtests):
    masks = (np.ones(49, bool), np.ones(51, bool))
    positions = (50, -51, [0, 50], [-51], (0, 1), [[0, 1]], (slice(None), 0), None, [0.5])
    for rows in (*masks, *positions):
        with subtests.test(rows=rows), pytest.raises(IndexError):
            stored[0][rows]


def test_blocks_are_all_rows_in_order(block, stored):
    found, expected = stored
    pieces = list(found.blocks())
    assert all(piece.flags.c_contiguous for piece in pieces)
    assert all(piece.nbytes <= max(block, 28) for piece in pieces)
    same(np.concatenate(pieces), expected)
    same(np.asarray(found), expected)
    assert np.asarray(found, dtype=np.float64).dtype == np.float64
    for name in ("shape", "ndim", "dtype", "size", "nbytes"):
        assert getattr(found, name) == getattr(expected, name)
    assert len(found) == len(expected)


def test_writing_over_a_write_of_blocks_gives_the_same_file(block, tmp_path):
    for storage in STORAGE:
        file_of(tmp_path / "a.safetensors", random(), storage)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(spool, "BLOCK", 1 << 22)
            patch.setattr(matrix, "BLOCK", 1 << 22)
            file_of(tmp_path / "b.safetensors", random(), storage)
        written = [(tmp_path / f"{name}.safetensors").read_bytes() for name in "ab"]
        assert written[0] == written[1]


def test_the_file_that_was_opened_is_read_after_another_took_its_name_but_not_when_cut(tmp_path):
    path = tmp_path / "a.safetensors"
    found = file_of(path, random())["layer_-1"]
    file_of(path, random(seed=1))
    np.testing.assert_array_equal(found[[3, 1]], random()[[3, 1]])
    path.unlink()
    np.testing.assert_array_equal(found[:], random())
    found = file_of(path, random())["layer_-1"]
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 30)
    found[:40]
    with pytest.raises(ValueError, match=r"^found \d+ bytes, expected \d+$"):
        found[:]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="asks Linux for open files")
def test_files_are_closed_with_the_last_reference(tmp_path):
    def opened():
        return len(list(Path("/proc/self/fd").iterdir()))

    path = tmp_path / "a.safetensors"
    file_of(path, random())
    before = opened()
    for _ in range(20):
        load(path, by_rows=True)["layer_-1"][3]
        load(path)
    assert opened() <= before + 1


@EVERY
def test_a_truncated_or_changed_file_is_refused_in_one_line(storage, tmp_path):
    path = tmp_path / "a.safetensors"
    file_of(path, random(), storage)
    content = path.read_bytes()
    for cut, by_rows in itertools.product((1, 100, 700, 1500), (True, False)):
        path.write_bytes(content[: max(0, len(content) - cut)])
        with pytest.raises(ArtifactError, match=r"a\.safetensors: damaged \(.*delete it") as caught:
            load(path, by_rows=by_rows)
        assert "\n" not in str(caught.value)
    path.write_bytes(flipped(content, len(content) - 20))
    with pytest.raises(ArtifactError, match="content differs from its checksum"):
        load(path, by_rows=True)
    values = random()
    values[3, 2] = np.inf
    with pytest.raises(ArtifactError, match=r"layer_-1: found 1 values that are NaN or infinite"):
        file_of(path, values, storage)


@EVERY
def test_safetensors_own_library_reads_the_same_values(storage, tmp_path):
    path = tmp_path / "a.safetensors"
    file_of(path, random(), storage)
    found = safetensors.torch.load_file(path)
    assert found["layer_-1"].dtype == TORCH[storage]
    assert torch.equal(found["layer_-1"], torch.from_numpy(random()).to(TORCH[storage]))
    assert found["id"].tolist() == list(range(50))
    # rounding twice changes nothing, and the digest is that of the values
    once = Rounded(random(), storage)
    values = np.concatenate(list(once.blocks()))
    same(np.concatenate(list(Rounded(values, storage).blocks())), values)
    several = (once, values, Rounded(once, storage))
    assert len({digest(artifact_of(each, storage)) for each in several}) == 1


def test_stacked_matrices_are_one_below_the_other(tmp_path):
    parts = [random(n, seed=n) for n in (3, 1, 8)]
    paths = [tmp_path / f"{len(part)}.safetensors" for part in parts]
    files = zip(paths, parts, strict=True)
    whole = Stacked([file_of(path, part, "bfloat16")["layer_-1"] for path, part in files])
    assert (whole.shape, len(whole), whole.storage) == ((12, 7), 12, "bfloat16")
    expected = np.concatenate([by_torch(part, "bfloat16") for part in parts])
    same(np.concatenate(list(whole.blocks())), expected)


def pieces(values, size):
    class Pieces:
        def blocks(self):
            for first in range(0, len(values), size):
                yield values[first : first + size]

    return Pieces()


@given(hnp.arrays(np.float32, (6, 3), elements=st.floats(-60000, 60000, width=32)))
def test_loss_is_that_by_hand_however_the_rows_come(values):
    for storage in STORAGE:
        exact = values.astype(np.float64)
        stored = by_torch(values, storage).astype(np.float64)
        scale = np.sqrt(np.mean(exact**2))
        expected = np.sqrt(np.mean((stored - exact) ** 2)) / scale if scale else 0.0
        for given_ in (values, pieces(values, 4)):
            found = loss(given_, storage)
            assert found.error == pytest.approx(expected, rel=1e-9, abs=1e-300)
            assert found.largest == np.abs(values).max()


def test_loss_of_ordinary_values_of_nothing_and_of_what_is_too_large_or_not_finite():
    values = random(1000, 20)
    assert loss(values, "float32").error == 0
    for storage, bits in (("float16", 11), ("bfloat16", 8)):
        assert 2.0 ** -(bits + 2) < loss(values, storage).error < 2.0**-bits
    for n in (3, 0):
        assert loss(np.zeros((n, 2), np.float32), "float16") == matrix.Loss(0.0, 0.0)
    large = np.array([[1, -65520]], np.float32)
    found = loss(large, "float16")
    assert (np.isnan(found.error), found.largest) == (True, 65520)
    assert np.isfinite(loss(large, "bfloat16").error)
    assert loss(np.array([[65519]], np.float32), "float16").error > 0
    for bad, storage in itertools.product((np.nan, np.inf, -np.inf), HALVES):
        for order in ([[bad, 1]], [[1], [bad]], [[bad], [1]]):
            found = loss(pieces(np.array(order, np.float32), 1), storage)
            assert np.isnan(found.error)
            assert not np.isfinite(found.largest)


# The stage, and those after it, on each format.


@pytest.fixture(scope="module", params=list(STORAGE))
def run(request, chain, tmp_path_factory):
    """The chain with both models' activations in one format, up to the probes of seed 0."""
    made = chain.copy(tmp_path_factory.mktemp("storage") / request.param)
    for model, settings in MODELS.items():
        job = made.jobs[f"activations-{model}"]
        assert main(job.line(settings=settings | {"storage": request.param})) == 0
    for name in ("weak_labels-0", "overlap-0", "strong-0", "evaluate-0"):
        assert main(made.jobs[name].line()) == 0, name
    return request.param, made


def test_stage_tells_storage_and_loss_and_numbers_differ_by_no_more(run, chain):
    storage, made = run
    exact, found = (load(c / "activations-large.safetensors") for c in (chain, made))
    assert found.facts["storage"] == storage
    assert set(found.facts["loss"]) == {"layer_0", "layer_-1"}
    for layer, told in found.facts["loss"].items():
        expected = loss(exact[layer], storage).error
        assert told == float(f"{expected:.3g}")
        same(found[layer], by_torch(exact[layer], storage))
        assert (told == 0) == (storage == "float32")
    rest = [{**a.facts, "storage": "", "loss": {}} for a in (exact, found)]
    assert rest[0] == rest[1]
    small = load(made / "activations-small.safetensors").provenance
    assert small["settings"]["storage"] == storage
    # the file is as large as its values
    path = made / "activations-large.safetensors"
    data = 400 * (8 + 2 * tiny.HIDDEN * (4 if storage == "float32" else 2))
    with path.open("rb") as file:
        header = 8 + int.from_bytes(file.read(8), "little")
    assert path.stat().st_size == header + data

    # stages after it give nearly the same
    exact, found = (load(c / "weak_labels-0.parquet")["weak_proba"] for c in (chain, made))
    largest = {"float32": 0, "float16": 0.003, "bfloat16": 0.03}[storage]
    assert np.abs(exact - found).max() <= largest
    runs = load(made / "runs-0.parquet")
    assert (runs["reason"][runs["control"] == "w2s"] == "").all()
    row = "control == 'ceiling' and group == 'overall' and metric == 'accuracy'"
    before, after = (
        load(c / "metrics-0.parquet").frame.query(row)["value"].item() for c in (chain, made)
    )
    assert before == pytest.approx(after, abs=0.05 if storage != "float32" else 0)


@pytest.mark.parametrize("storage", HALVES)
def test_stage_gives_the_same_bytes_in_another_process(storage, chain, tmp_path):
    job = chain.jobs["activations-small"]
    first, second = (tmp_path / f"{k}.safetensors" for k in range(2))
    options = {"settings": job.settings | {"storage": storage}}
    assert main(job.line(activations=first, **options)) == 0
    program = "import sys; from w2s.cli import main; sys.exit(main(sys.argv[1:]))"
    line = [sys.executable, "-c", program, *job.line(activations=second, **options)]
    hashed = {**os.environ, "PYTHONHASHSEED": "5"}
    subprocess.run(line, check=True, capture_output=True, env=hashed)
    assert first.read_bytes() == second.read_bytes()


def scaled(chain, folder, factor):
    """The large model with vectors made larger by its final norm."""
    shutil.copytree(chain.inputs / "large", folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = weights["model.norm.weight"] * np.float32(factor)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_values_too_large_for_float16_are_told_and_bfloat16_holds_them(chain, tmp_path, capsys):
    job = chain.jobs["activations-large"]
    model = scaled(chain, tmp_path / "model", 1e5)
    out = tmp_path / "out" / "a.safetensors"
    options = {"model": model, "activations": out}
    message = refused(job.line(**options, settings=job.settings | {"storage": "float16"}), capsys)
    assert "layer_-1: found values up to " in message
    assert message.endswith("at most 65504 to be stored as float16; set `storage: bfloat16`")
    assert not out.exists()
    assert main(job.line(**options, settings=job.settings | {"storage": "bfloat16"})) == 0
    assert np.abs(load(out)["layer_-1"]).max() > 65504
    out.unlink()
    options["model"] = scaled(chain, tmp_path / "infinite", np.inf)
    for storage in STORAGE:
        line = job.line(**options, settings=job.settings | {"storage": storage})
        assert "values that are NaN or infinite, expected none" in refused(line, capsys)
