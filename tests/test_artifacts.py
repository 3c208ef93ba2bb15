"""Artifacts: what is saved is what is loaded, and anything else is refused with one line."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save_file

from w2s.data.track import EXAMPLES
from w2s.declare import FORMAT, KINDS
from w2s.errors import ArtifactError
from w2s.files import artifacts, spool
from w2s.files.artifacts import Artifact, digest, load, save, whole
from w2s.files.formats import KEY
from w2s.files.spool import RowFile
from w2s.overlap.track import REGIONS
from w2s.results.track import PREDICTIONS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def made(draw, kind):
    """An artifact of a kind with arbitrary content."""
    sizes = {axis: draw(st.integers(0, 5)) for spec in kind.arrays.values() for axis in spec.axes}
    arrays = {}
    for name, spec in kind.arrays.items():
        shape = tuple(sizes[axis] for axis in spec.axes)
        if spec.dtype == "str":
            words = [draw(st.text(max_size=6)) for _ in range(shape[0])]
            arrays[name] = np.array([*words, None], dtype=object)[:-1]
        elif spec.dtype.startswith("float"):
            width = int(spec.dtype.removeprefix("float"))
            numbers = st.floats(allow_nan=spec.nan, allow_infinity=False, width=width)
            arrays[name.replace("*", "-1")] = draw(hnp.arrays(spec.dtype, shape, elements=numbers))
        else:
            unique = name == "id"
            arrays[name] = draw(hnp.arrays(spec.dtype, shape, unique=unique))
    facts = {name: draw(JSON) for name in kind.facts}
    return Artifact(kind.name, arrays, facts, {"stage": draw(st.text(max_size=5))})


def equal(a, b):
    told = [  # JSON tells False from 0
        (x.kind, json.dumps([dict(x.facts), dict(x.provenance)], sort_keys=True), set(x.arrays))
        for x in (a, b)
    ]
    return told[0] == told[1] and all(_same(a[name], b[name]) for name in a.arrays)


def _same(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()


def regions():
    """A valid row artifact."""
    arrays = {
        "id": np.array([7, 3, 9], dtype=np.int64),
        "part": np.array(["test", "test", "strong_train"], dtype=object),
        "confidence": np.array([0.9, 0.1, 0.8]),
        "score": np.array([0.2, np.nan, 0.7]),
        "region": np.array(["easy", "hard", "overlap"], dtype=object),
    }
    facts = dict.fromkeys(REGIONS.facts, 0) | {"dataset": "films", "status": "ok", "reason": ""}
    return Artifact("regions", arrays, facts, {"stage": "overlap", "code": "abc"})


def predictions():
    """A valid tensor artifact."""
    arrays = {
        "id": np.arange(4),
        "run": np.arange(2, dtype=np.int32),
        "proba": np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4),
    }
    facts = {"dataset": "films", "weak": "a", "strong": "b", "seed": 0}
    return Artifact("predictions", arrays, facts, {"stage": "strong", "code": "abc"})


VALID = {".parquet": regions, ".safetensors": predictions}
suffixes = pytest.mark.parametrize("suffix", VALID)


def with_array(artifact, name, array):
    return replace(artifact, arrays={**artifact.arrays, name: array})


def refusal(path, kind=None):
    """The one line with which a file is refused; it begins with the file."""
    with pytest.raises(ArtifactError) as caught:
        load(path, kind)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def write(arrays, path, metadata):
    """A file of arrays, with or without our metadata."""
    if path.suffix == ".parquet":
        table = pa.table({name: pa.array(array) for name, array in arrays.items()})
        pq.write_table(table.replace_schema_metadata(metadata), path)
    else:
        save_file(dict(arrays), path, metadata=metadata)
    return path


def write_unchecked(artifact, path, **meta):
    """What `save` would write if it checked nothing, with a checksum that fits."""
    told = {"kind": artifact.kind, "format": FORMAT, "digest": digest(artifact)}
    told |= {"facts": dict(artifact.facts), "provenance": {}, **meta}
    return write(artifact.arrays, path, {KEY: json.dumps(told)})


def round_trip(kind, folder):
    first, second = (folder / f"{letter}{kind.suffix}" for letter in "ab")

    @settings(max_examples=25)
    @given(made(kind))
    def check(artifact):
        save(artifact, first)
        loaded = load(first, kind)
        assert equal(loaded, artifact)
        assert loaded.checksum == digest(artifact)
        save(loaded, second)
        assert first.read_bytes() == second.read_bytes()

    check()
    assert sorted(folder.iterdir()) == [first, second]


def test_load_gives_back_what_was_saved_in_the_same_bytes(subtests, tmp_path):
    for name, kind in KINDS.items():
        with subtests.test(kind=name):
            round_trip(kind, tmp_path / name)


@settings(max_examples=60)
@given(st.sampled_from(list(KINDS.values())).flatmap(lambda k: st.tuples(made(k), made(k))))
def test_digest_tells_every_change_of_content(pair):
    a, b = (replace(artifact, provenance={}) for artifact in pair)
    assert (digest(a) == digest(b)) == equal(a, b)
    assert digest(a) != digest(replace(a, provenance={"stage": "other"}))
    # where one text ends and the next begins is told too
    texts = [np.array(words, dtype=object) for words in (["ab", "c"], ["a", "bc"])]
    assert len({digest(with_array(regions(), "region", words)) for words in texts}) == 2


@suffixes
def test_metadata_is_one_key_of_sorted_json(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    save(VALID[suffix](), path)
    if suffix == ".parquet":
        metadata = {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items()}
    else:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    assert list(metadata) == [KEY]
    assert list(json.loads(metadata[KEY])) == ["digest", "facts", "format", "kind", "provenance"]


def test_files_of_a_run_name_what_made_them_but_no_path_and_no_time(chain):
    files = [p for p in chain.folder.iterdir() if p.suffix in (".parquet", ".safetensors")]
    assert len(files) > 20
    paths = [str(chain.folder), str(chain.inputs), "/tmp", "/home", str(Path.home())]
    clock = re.compile(r"\b\d{2}:\d{2}:\d{2}\b|\b20\d{2}-\d{2}-\d{2}\b|\b1[6-9]\d{8}\b")
    for path in files:
        artifact = load(path)
        text = json.dumps([dict(artifact.facts), dict(artifact.provenance)])
        assert artifact.provenance["stage"]
        assert not [word for word in paths if word in text], path.name
        assert not clock.search(text), path.name
    made_by = load(chain / "weak_labels-0.parquet").provenance
    assert made_by["stage"] == "weak_labels"
    assert re.fullmatch("[0-9a-f]{16}", made_by["code"])
    assert made_by["settings"]["probe"]["l2"] == 0.001
    assert made_by["inputs"]["examples"] == load(chain / "examples.parquet").checksum
    assert {"numpy", "torch", "w2s"} <= set(made_by["packages"])


def test_metadata_that_are_no_artifacts_are_refused(subtests, tmp_path):
    foreign = "damaged (found other provenance than a stage's)"
    differs = "content differs from its checksum"
    for meta, told in (
        ({"kind": ["regions"]}, "found kind '['regions']' in format"),
        ({"kind": None}, "found kind 'None' in format"),
        ({"format": {}}, "found kind 'regions' in format {}"),
        ({"facts": [1]}, "damaged (found facts that are no object)"),
        ({"provenance": 1}, foreign),
        ({"provenance": {"stage": 1}}, foreign),
        ({"provenance": {"settings": [1]}}, foreign),
        ({"digest": {"a": 1}}, differs),
        ({"facts": {**regions().facts, "tau_hard": 0.5}}, differs),
    ):
        with subtests.test(meta=meta):
            assert told in refusal(write_unchecked(regions(), tmp_path / "a.parquet", **meta))
    rows = regions()
    text = json.dumps({"kind": "regions", "format": FORMAT, "digest": digest(rows)})
    with subtests.test("no provenance"):
        assert refusal(write(rows.arrays, tmp_path / "a.parquet", {KEY: text}))
    for suffix, valid in VALID.items():
        path = tmp_path / f"b{suffix}"
        save(valid(), path)
        line = refusal(path, EXAMPLES)
        assert f"found kind '{valid().kind}', expected 'examples'" in line
        for text in ("not json", "[1, 2]", "3", "{}", '{"kind": "regions"}'):
            with subtests.test(suffix=suffix, text=text):
                assert refusal(write({"id": np.arange(1)}, path, {KEY: text}))
        with subtests.test(suffix=suffix):
            assert "without w2s metadata" in refusal(write({"id": np.arange(2)}, path, None))
            write_unchecked(valid(), path, format=FORMAT + 1)
            assert f"in format {FORMAT + 1}, expected" in refusal(path)
            write_unchecked(valid(), path, kind="unheard of")
            assert "found kind 'unheard of'" in refusal(path)


def without(items, name):
    return {key: value for key, value in items.items() if key != name}


def broken():
    """Artifacts that break their declaration in one way, and what is said of them."""
    rows, tensors = regions(), predictions()
    score, proba, twice = (
        rows["confidence"],
        tensors["proba"],
        "found an example id twice, expected",
    )

    def row(name, values):
        return with_array(rows, name, values)

    def tensor(name, values):
        return with_array(tensors, name, values)

    return {
        "missing column": (replace(rows, arrays=without(rows.arrays, "part")), "part"),
        "extra column": (row("more", np.zeros(3)), "found 'more'"),
        "missing tensor": (replace(tensors, arrays=without(tensors.arrays, "run")), "run"),
        "extra tensor": (tensor("more", np.zeros(3)), "found 'more'"),
        "missing fact": (replace(rows, facts=without(rows.facts, "seed")), "seed"),
        "extra fact": (replace(rows, facts={**rows.facts, "more": 1}), "more"),
        "float32 for float64": (row("confidence", score.astype("float32")),
            "confidence: found float32 of shape (3,), expected float64 of shape (n)"),
        "numbers for words": (row("region", np.arange(3)), "region: found int64"),
        "words for numbers": (row("confidence", rows["region"]), "confidence: found str"),
        "int32 for int64": (row("id", rows["id"].astype("int32")), "id: found int32"),
        "float64 for float32": (tensor("proba", proba.astype("float64")), "proba: found float64"),
        "flat for two axes": (tensor("proba", proba.ravel()),
            "proba: found float32 of shape (8,), expected float32 of shape (runs, n)"),
        "other length of an axis": (tensor("proba", proba[:, :3].copy()), "along axis n, expected"),
        "NaN": (row("confidence", np.array([0.1, np.nan, np.inf])),
            "confidence: found 2 values that are NaN or infinite, expected none"),
        "infinite": (row("score", np.array([0.1, np.inf, 0.2])),
            "score: found 1 infinite values, expected none"),
        "id twice": (row("id", np.array([7, 3, 7])), f"{twice} each once"),
        "id twice in tensors": (tensor("id", np.array([1, 2, 3, 1])), f"{twice} each once"),
    }  # fmt: skip


def test_broken_content_is_refused_by_load_and_by_save_which_leaves_nothing(subtests, tmp_path):
    words = np.array(["easy", None, "hard"], dtype=object)
    unwritable = {
        "lengths": (with_array(regions(), "confidence", np.zeros(2)), "along axis n, expected"),
        "no text among words": (with_array(regions(), "region", words), "region"),
    }
    for name, (artifact, expected) in (broken() | unwritable).items():
        suffix = KINDS[artifact.kind].suffix
        with subtests.test(name):
            (tmp_path / name).mkdir()
            with pytest.raises(ArtifactError) as caught:
                save(artifact, tmp_path / name / f"a{suffix}")
            assert expected in str(caught.value)
            assert "\n" not in str(caught.value)
            assert list((tmp_path / name).iterdir()) == []
            if name not in unwritable:
                assert expected in refusal(write_unchecked(artifact, tmp_path / f"a{suffix}"))


def test_message_tells_a_missing_fact_from_a_column_of_its_name(chain, tmp_path):
    runs = load(chain / "runs-0.parquet")
    with pytest.raises(ArtifactError) as caught:
        save(replace(runs, facts=without(runs.facts, "reason")), tmp_path / "a.parquet")
    found, expected = re.split(r"; .* expects ", str(caught.value).split(": found ")[1])
    assert found != expected


@suffixes
def test_truncated_renamed_or_changed_file_is_refused(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    save(VALID[suffix](), path)
    content = path.read_bytes()
    for size in {0, 1, 4, 8, 100, len(content) // 2, len(content) - 8, len(content) - 1}:
        path.write_bytes(content[:size])
        assert "damaged" in refusal(path)
    (other,) = (tmp_path / f"a{each}" for each in VALID if each != suffix)
    other.write_bytes(content)
    assert "damaged" in refusal(other)
    # a value that was changed is told by the checksum
    artifact = VALID[suffix]()
    name = "confidence" if suffix == ".parquet" else "proba"
    values = artifact[name].copy()
    values.flat[0] = 0.25
    write_unchecked(with_array(artifact, name, values), path, digest=digest(artifact))
    assert "content differs from its checksum" in refusal(path)


@suffixes
def test_flipped_bit_is_harmless_or_refused_in_one_line(suffix, tmp_path):
    artifact, path = VALID[suffix](), tmp_path / f"a{suffix}"
    save(artifact, path)
    content = path.read_bytes()
    found = {}
    for place in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        try:
            loaded = load(path)
            what, message = ("same" if equal(loaded, artifact) else "other content"), ""
        except ArtifactError as error:
            message = str(error)
            what = "refused" if "\n" not in message else "refused in several lines"
        except Exception as error:  # noqa: BLE001 - whatever else it is, it is reported
            what, message = f"traceback of {type(error).__name__}", str(error)
        found.setdefault(what, (place, message))
    assert "refused" in found
    assert set(found) <= {"refused", "same"}, found


def test_file_that_is_none_of_ours_is_not_blamed_on_another_thing(tmp_path):
    assert "found no file" in refusal(tmp_path / "none.parquet")
    assert "found no file" in refusal(tmp_path)
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    pq.write_table(table.replace_schema_metadata({KEY: "{}"}), tmp_path / "a.parquet")
    assert "ending" not in refusal(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").unlink()
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    assert "found the ending '.csv'" in refusal(path)
    with pytest.raises(ArtifactError, match=r"found the ending '\.safetensors', expected '\.parq"):
        save(regions(), tmp_path / "b.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_failure_while_writing_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    save(regions(), path)
    before = path.read_bytes()
    with pytest.raises(TypeError):  # facts that are not JSON
        save(replace(regions(), facts={**regions().facts, "seed": object()}), path)

    def fail(beside, *_):
        beside.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setitem(artifacts.WRITERS, ".parquet", fail)
    with pytest.raises(OSError, match="no space left"):
        save(with_array(regions(), "confidence", np.zeros(3)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_whole_is_on_disk_before_it_takes_its_place(tmp_path, monkeypatch):
    path, synced = tmp_path / "a.txt", []

    def fsync(handle):
        told = os.fstat(handle)
        synced.append((told.st_ino, told.st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with whole(path) as beside:
        beside.write_text("new")
    assert synced == [(path.stat().st_ino, len("new"), False)]


def test_whole_replaces_with_ordinary_permissions_and_leaves_nothing_on_any_error(tmp_path):
    def interrupted():
        with whole(tmp_path / "deep" / "a.txt") as beside:
            beside.write_text("half")
            assert beside.parent == tmp_path / "deep"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "deep").iterdir()) == []
    path, ordinary = tmp_path / "a.txt", tmp_path / "b.txt"
    ordinary.write_text("")
    path.write_text("old")
    with whole(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode == ordinary.stat().st_mode
    assert len(list(tmp_path.iterdir())) == 3


def test_where_selects_rows_and_frame_has_them_all_and_memory_layout_does_not_matter(tmp_path):
    rows = regions()
    test = rows.where(rows["part"] == "test")
    assert (test["id"].tolist(), len(test)) == ([7, 3], 2)
    assert test.facts == rows.facts
    assert rows.where(np.array([2, 0]))["id"].tolist() == [9, 7]
    assert list(rows.frame.columns) == list(REGIONS.arrays)
    assert rows.frame["id"].tolist() == [7, 3, 9]
    plain = predictions()
    turned = with_array(plain, "proba", np.asfortranarray(plain["proba"]))
    assert digest(turned) == digest(plain)
    save(turned, tmp_path / "a.safetensors")
    assert equal(load(tmp_path / "a.safetensors", PREDICTIONS), plain)


def on_disk(artifact, path):
    """The same artifact with its layer in a row file."""
    values = artifact["layer_-1"]
    file = RowFile.create(path, values.shape, "")
    file.write(np.arange(len(values)), values)
    return with_array(artifact, "layer_-1", file)


def activations(n=100, d=6):
    values = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    facts = {"dataset": "films", "model": {}, "storage": "float32", "loss": {}}
    return Artifact("activations", {"id": np.arange(n), "layer_-1": values}, facts)


@pytest.mark.parametrize("block", [1, 100, 1 << 22])
def test_rows_on_disk_have_the_digest_and_the_bytes_of_their_array(block, tmp_path, monkeypatch):
    memory = activations()
    expected = digest(memory)
    save(memory, tmp_path / "a.safetensors")
    monkeypatch.setattr(spool, "BLOCK", block)
    disk = on_disk(memory, tmp_path / "a.rows")
    assert digest(disk) == digest(memory) == expected
    save(disk, tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    assert equal(load(tmp_path / "b.safetensors"), memory)


def test_rows_on_disk_that_are_wrong_are_refused_and_leave_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "BLOCK", 100)  # values are counted over all blocks
    memory = activations()
    shorter = with_array(on_disk(memory, tmp_path / "a.rows"), "id", np.arange(99))
    missing = RowFile.create(tmp_path / "b.rows", memory["layer_-1"].shape, "")
    nan = activations()
    nan["layer_-1"][[3, 50, 99], 2] = np.nan
    for artifact, told in (
        (nan, "layer_-1: found 3 values that are NaN or inf"),
        (on_disk(nan, tmp_path / "c.rows"), "layer_-1: found 3 values that are NaN or inf"),
        (shorter, "layer_-1: found 100 along axis n, expected 99"),
        (with_array(memory, "layer_-1", missing), "row 0 differs from its checksum"),
    ):
        with pytest.raises(ArtifactError, match=told):
            save(artifact, tmp_path / "a.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.rows", "b.rows", "c.rows"]
