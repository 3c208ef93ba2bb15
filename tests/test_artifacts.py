"""Artifacts: what is saved is what is loaded, and anything else is refused with one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save_file

from w2s.data.track import EXAMPLES, SPLIT
from w2s.declare import FORMAT, Kind
from w2s.errors import ArtifactError
from w2s.files import artifacts, spool
from w2s.files.artifacts import Artifact, digest, load, save, whole
from w2s.files.formats import KEY
from w2s.files.spool import RowFile
from w2s.overlap.track import REGIONS
from w2s.results.track import PREDICTIONS
from w2s.tracks import KINDS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@st.composite
def made(draw: st.DrawFn, kind: Kind) -> Artifact:
    """An artifact of a kind with arbitrary content."""
    sizes = {axis: draw(st.integers(0, 5)) for spec in kind.arrays.values() for axis in spec.axes}
    arrays = {}
    for name, spec in kind.arrays.items():
        shape = tuple(sizes[axis] for axis in spec.axes)
        if spec.dtype == "str":
            words = [draw(st.text(max_size=6)) for _ in range(shape[0])]
            arrays[name] = np.array([*words, None], dtype=object)[:-1]
        elif spec.dtype.startswith("float"):
            width: Any = int(spec.dtype.removeprefix("float"))
            numbers = st.floats(allow_nan=spec.nan, allow_infinity=False, width=width)
            arrays[name.replace("*", "-1")] = draw(hnp.arrays(spec.dtype, shape, elements=numbers))
        else:
            unique = name == "id"
            arrays[name] = draw(hnp.arrays(spec.dtype, shape, unique=unique))
    facts = {name: draw(JSON) for name in kind.facts}
    return Artifact(kind.name, arrays, facts, {"stage": draw(st.text(max_size=5))})


def equal(a: Artifact, b: Artifact) -> bool:
    return (
        a.kind == b.kind
        and _json(a.facts) == _json(b.facts)
        and _json(a.provenance) == _json(b.provenance)
        and set(a.arrays) == set(b.arrays)
        and all(_same(a[name], b[name]) for name in a.arrays)
    )


def _json(values: Any) -> str:
    return json.dumps(dict(values), sort_keys=True)  # tells False from 0


def _same(a: Any, b: Any) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return a.tolist() == b.tolist() if a.dtype == object else a.tobytes() == b.tobytes()


def regions() -> Artifact:
    """A valid row artifact."""
    words = np.array(["easy", "hard", "overlap"], dtype=object)
    arrays = {
        "id": np.array([7, 3, 9], dtype=np.int64),
        "part": np.array(["test", "test", "strong_train"], dtype=object),
        "confidence": np.array([0.9, 0.1, 0.8]),
        "score": np.array([0.2, np.nan, 0.7]),
        "region": words,
    }
    facts = dict.fromkeys(REGIONS.facts, 0) | {"dataset": "films", "status": "ok", "reason": ""}
    return Artifact("regions", arrays, facts, {"stage": "overlap", "code": "abc"})


def predictions() -> Artifact:
    """A valid tensor artifact."""
    arrays = {
        "id": np.arange(4),
        "run": np.arange(2, dtype=np.int32),
        "proba": np.linspace(0, 1, 8, dtype=np.float32).reshape(2, 4),
    }
    facts = {"dataset": "films", "weak": "a", "strong": "b", "seed": 0}
    return Artifact("predictions", arrays, facts, {"stage": "strong", "code": "abc"})


VALID = {".parquet": regions, ".safetensors": predictions}


def with_array(artifact: Artifact, name: str, array: Any) -> Artifact:
    return replace(artifact, arrays={**artifact.arrays, name: array})


def refusal(path: Path, kind: Kind | None = None) -> str:
    """The one line with which a file is refused; it begins with the file."""
    with pytest.raises(ArtifactError) as caught:
        load(path, kind)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    return message


def write_unchecked(artifact: Artifact, path: Path, **meta: Any) -> Path:
    """What `save` would write if it checked nothing, with a checksum that fits."""
    text = json.dumps(
        {
            "kind": artifact.kind,
            "format": FORMAT,
            "digest": digest(artifact),
            "facts": dict(artifact.facts),
            "provenance": {},
            **meta,
        }
    )
    if path.suffix == ".parquet":
        table = pa.table({name: pa.array(array) for name, array in artifact.arrays.items()})
        pq.write_table(table.replace_schema_metadata({KEY: text}), path)
    else:
        save_file(dict(artifact.arrays), path, metadata={KEY: text})
    return path


@pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))
def test_load_gives_back_what_was_saved_in_the_same_bytes(
    kind: Kind, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp(kind.name)

    @settings(max_examples=25)
    @given(made(kind))
    def check(artifact: Artifact) -> None:
        first, second = folder / f"a{kind.suffix}", folder / f"b{kind.suffix}"
        save(artifact, first)
        loaded = load(first, kind)
        assert equal(loaded, artifact)
        assert loaded.checksum == digest(artifact)
        save(loaded, second)
        assert first.read_bytes() == second.read_bytes()

    check()
    assert sorted(path.name for path in folder.iterdir()) == [f"a{kind.suffix}", f"b{kind.suffix}"]


@settings(max_examples=60)
@given(st.sampled_from(list(KINDS.values())).flatmap(lambda k: st.tuples(made(k), made(k))))
def test_digest_tells_every_change_of_content(pair: tuple[Artifact, Artifact]) -> None:
    a, b = (replace(artifact, provenance={}) for artifact in pair)
    assert (digest(a) == digest(b)) == equal(a, b)
    assert digest(a) != digest(replace(a, provenance={"stage": "other"}))


def test_digest_tells_where_one_text_ends_and_the_next_begins() -> None:
    texts = [np.array(words, dtype=object) for words in (["ab", "c"], ["a", "bc"])]
    digests = [digest(with_array(regions(), "region", words)) for words in texts]
    assert digests[0] != digests[1]


@pytest.mark.parametrize("suffix", VALID)
def test_metadata_is_one_key_of_sorted_json(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save(VALID[suffix](), path)
    if suffix == ".parquet":
        metadata = {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items()}
    else:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
    assert list(metadata) == [KEY]
    content = json.loads(metadata[KEY])
    assert list(content) == sorted(content)
    assert set(content) == {"digest", "facts", "format", "kind", "provenance"}


def test_files_of_a_run_hold_no_path_and_no_time(chain: Any) -> None:
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


def test_provenance_names_stage_code_settings_inputs_and_versions(chain: Any) -> None:
    made_by = load(chain / "weak_labels-0.parquet").provenance
    assert made_by["stage"] == "weak_labels"
    assert re.fullmatch("[0-9a-f]{16}", made_by["code"])
    assert made_by["settings"]["probe"]["l2"] == 0.001
    assert made_by["inputs"]["examples"] == load(chain / "examples.parquet").checksum
    assert {"numpy", "torch", "w2s"} <= set(made_by["packages"])


def test_another_kind_is_refused(tmp_path: Path) -> None:
    save(regions(), tmp_path / "a.parquet")
    assert "found kind 'regions', expected 'examples'" in refusal(tmp_path / "a.parquet", EXAMPLES)
    save(predictions(), tmp_path / "a.safetensors")
    line = refusal(tmp_path / "a.safetensors", SPLIT)
    assert "found kind 'predictions', expected 'split'" in line


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        ({"kind": ["regions"]}, "found kind '['regions']' in format"),
        ({"kind": None}, "found kind 'None' in format"),
        ({"format": {}}, "found kind 'regions' in format {}"),
        ({"facts": [1]}, "damaged (found facts that are no object)"),
        ({"provenance": 1}, "damaged (found other provenance than a stage's)"),
        ({"provenance": {"stage": 1}}, "damaged (found other provenance than a stage's)"),
        ({"provenance": {"settings": [1]}}, "damaged (found other provenance than a stage's)"),
        ({"digest": {"a": 1}}, "content differs from its checksum"),
    ],
)
def test_metadata_of_other_types_are_refused(
    meta: dict[str, Any], told: str, tmp_path: Path
) -> None:
    assert told in refusal(write_unchecked(regions(), tmp_path / "a.parquet", **meta))


def without(items: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in items.items() if key != name}


def broken(name: str) -> Artifact:
    """An artifact that breaks its declaration in one way."""
    rows, tensors = regions(), predictions()
    several = {
        "missing column": replace(rows, arrays=without(rows.arrays, "part")),
        "extra column": with_array(rows, "more", np.zeros(3)),
        "missing tensor": replace(tensors, arrays=without(tensors.arrays, "run")),
        "extra tensor": with_array(tensors, "more", np.zeros(3)),
        "missing fact": replace(rows, facts=without(rows.facts, "seed")),
        "extra fact": replace(rows, facts={**rows.facts, "more": 1}),
        "float32 for float64": with_array(rows, "confidence", rows["confidence"].astype("float32")),
        "numbers for words": with_array(rows, "region", np.arange(3)),
        "words for numbers": with_array(rows, "confidence", rows["region"]),
        "int32 for int64": with_array(rows, "id", rows["id"].astype("int32")),
        "float64 for float32": with_array(tensors, "proba", tensors["proba"].astype("float64")),
        "flat for two axes": with_array(tensors, "proba", tensors["proba"].ravel()),
        "other length of an axis": with_array(tensors, "proba", tensors["proba"][:, :3].copy()),
        "NaN": with_array(rows, "confidence", np.array([0.1, np.nan, 0.2])),
        "infinite": with_array(rows, "score", np.array([0.1, np.inf, 0.2])),
        "id twice": with_array(rows, "id", np.array([7, 3, 7])),
        "id twice in tensors": with_array(tensors, "id", np.array([1, 2, 3, 1])),
    }  # fmt: skip
    return several[name]


BROKEN = {
    "missing column": "part",
    "extra column": "found 'more'",
    "missing tensor": "run",
    "extra tensor": "found 'more'",
    "missing fact": "seed",
    "extra fact": "more",
    "float32 for float64": "confidence: found float32 of shape (3,), expected float64 of shape (n)",
    "numbers for words": "region: found int64",
    "words for numbers": "confidence: found str",
    "int32 for int64": "id: found int32",
    "float64 for float32": "proba: found float64",
    "flat for two axes": "proba: found float32 of shape (8,), expected float32 of shape (runs, n)",
    "other length of an axis": "along axis n, expected",
    "NaN": "confidence: found 1 values that are NaN or infinite, expected none",
    "infinite": "score: found 1 infinite values, expected none",
    "id twice": "found an example id twice, expected each once",
    "id twice in tensors": "found an example id twice, expected each once",
}


@pytest.mark.parametrize(("name", "expected"), BROKEN.items(), ids=list(BROKEN))
def test_broken_content_is_refused_by_load(name: str, expected: str, tmp_path: Path) -> None:
    artifact = broken(name)
    path = write_unchecked(artifact, tmp_path / f"a{KINDS[artifact.kind].suffix}")
    assert expected in refusal(path)


@pytest.mark.parametrize(("name", "expected"), BROKEN.items(), ids=list(BROKEN))
def test_broken_content_is_refused_by_save_and_nothing_is_left(
    name: str, expected: str, tmp_path: Path
) -> None:
    artifact = broken(name)
    with pytest.raises(ArtifactError) as caught:
        save(artifact, tmp_path / f"a{KINDS[artifact.kind].suffix}")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_columns_of_unequal_length_are_refused_by_save(tmp_path: Path) -> None:
    artifact = with_array(regions(), "confidence", np.zeros(2))
    with pytest.raises(ArtifactError, match="along axis n, expected"):
        save(artifact, tmp_path / "a.parquet")


def test_missing_text_in_a_column_of_words_is_refused(tmp_path: Path) -> None:
    artifact = with_array(regions(), "region", np.array(["easy", None, "hard"], dtype=object))
    with pytest.raises(ArtifactError, match="region"):
        save(artifact, tmp_path / "a.parquet")


def test_message_tells_a_missing_fact_from_a_column_of_its_name(chain: Any, tmp_path: Path) -> None:
    runs = load(chain / "runs-0.parquet")
    with pytest.raises(ArtifactError) as caught:
        save(replace(runs, facts=without(runs.facts, "reason")), tmp_path / "a.parquet")
    found, expected = re.split(r"; .* expects ", str(caught.value).split(": found ")[1])
    assert found != expected


@pytest.mark.parametrize("suffix", VALID)
def test_truncated_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    save(VALID[suffix](), path)
    content = path.read_bytes()
    for size in {0, 1, 4, 8, 100, len(content) // 2, len(content) - 8, len(content) - 1}:
        path.write_bytes(content[:size])
        assert "damaged" in refusal(path)


def outcomes_of_flipped_bits(artifact: Artifact, path: Path) -> dict[str, tuple[int, str]]:
    """What happens when bits of the file are flipped: an example (byte, message) of each."""
    save(artifact, path)
    content = path.read_bytes()
    found: dict[str, tuple[int, str]] = {}
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
    return found


@pytest.mark.parametrize("suffix", VALID)
def test_flipped_bit_is_harmless_or_refused_in_one_line(suffix: str, tmp_path: Path) -> None:
    found = outcomes_of_flipped_bits(VALID[suffix](), tmp_path / f"a{suffix}")
    assert "refused" in found
    assert set(found) <= {"refused", "same"}, found


@pytest.mark.parametrize("suffix", VALID)
def test_flipped_bit_of_the_values_is_told_by_the_checksum(suffix: str, tmp_path: Path) -> None:
    artifact = VALID[suffix]()
    name = "confidence" if suffix == ".parquet" else "proba"
    other = artifact[name].copy()
    other.flat[0] = 0.25
    path = write_unchecked(
        with_array(artifact, name, other), tmp_path / f"a{suffix}", digest=digest(artifact)
    )
    assert "content differs from its checksum" in refusal(path)


def test_changed_fact_is_told_by_the_checksum(tmp_path: Path) -> None:
    changed = {**regions().facts, "tau_hard": 0.5}
    path = write_unchecked(regions(), tmp_path / "a.parquet", facts=changed)
    assert "content differs from its checksum" in refusal(path)


@pytest.mark.parametrize("suffix", VALID)
def test_foreign_file_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"id": [1, 2]}), path)
    else:
        save_file({"id": np.arange(2)}, path)
    assert "without w2s metadata" in refusal(path)


@pytest.mark.parametrize("suffix", VALID)
@pytest.mark.parametrize("text", ["not json", "[1, 2]", "3", "{}", '{"kind": "regions"}'])
def test_file_with_foreign_metadata_under_our_key_is_refused(
    suffix: str, text: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"id": [1]}).replace_schema_metadata({KEY: text}), path)
    else:
        save_file({"id": np.arange(2)}, path, metadata={KEY: text})
    assert refusal(path)


@pytest.mark.parametrize("suffix", VALID)
def test_other_format_version_or_kind_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write_unchecked(VALID[suffix](), path, format=FORMAT + 1)
    assert f"in format {FORMAT + 1}, expected" in refusal(path)
    write_unchecked(VALID[suffix](), path, kind="unheard of")
    assert "found kind 'unheard of'" in refusal(path)


def test_metadata_without_provenance_is_refused(tmp_path: Path) -> None:
    rows = regions()
    text = json.dumps({"kind": "regions", "format": FORMAT, "digest": digest(rows)})
    table = pa.table({name: pa.array(array) for name, array in rows.arrays.items()})
    pq.write_table(table.replace_schema_metadata({KEY: text}), tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet")


def test_column_name_twice_is_not_blamed_on_the_ending(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    pq.write_table(table.replace_schema_metadata({KEY: "{}"}), tmp_path / "a.parquet")
    assert "ending" not in refusal(tmp_path / "a.parquet")


def test_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "found no file" in refusal(tmp_path / "none.parquet")
    assert "found no file" in refusal(tmp_path)


def test_other_ending_is_refused_on_load_and_save(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id\n1\n")
    assert "found the ending '.csv'" in refusal(path)
    with pytest.raises(ArtifactError, match=r"found the ending '\.safetensors', expected '\.parq"):
        save(regions(), tmp_path / "b.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize("suffix", VALID)
def test_parquet_and_safetensors_are_told_apart_by_content(suffix: str, tmp_path: Path) -> None:
    other = ".parquet" if suffix == ".safetensors" else ".safetensors"
    save(VALID[suffix](), tmp_path / f"a{suffix}")
    (tmp_path / f"a{suffix}").rename(tmp_path / f"a{other}")
    assert "damaged" in refusal(tmp_path / f"a{other}")


def test_failure_while_writing_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    save(regions(), path)
    before = path.read_bytes()

    def fail(beside: Path, *_: Any) -> None:
        beside.write_bytes(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setitem(artifacts.WRITERS, ".parquet", fail)
    with pytest.raises(OSError, match="no space left"):
        save(with_array(regions(), "confidence", np.zeros(3)), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_facts_that_are_not_json_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save(
            replace(regions(), facts={**regions().facts, "seed": object()}), tmp_path / "a.parquet"
        )
    assert list(tmp_path.iterdir()) == []


def test_whole_removes_the_temporary_file_on_any_error(tmp_path: Path) -> None:
    def interrupted() -> None:
        with whole(tmp_path / "deep" / "a.txt") as beside:
            beside.write_text("half")
            assert beside.parent == tmp_path / "deep"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list((tmp_path / "deep").iterdir()) == []


def test_whole_replaces_and_gives_ordinary_permissions(tmp_path: Path) -> None:
    path, ordinary = tmp_path / "a.txt", tmp_path / "b.txt"
    ordinary.write_text("")
    path.write_text("old")
    with whole(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode == ordinary.stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2


def test_where_selects_rows_and_keeps_the_facts() -> None:
    rows = regions()
    test = rows.where(rows["part"] == "test")
    assert test["id"].tolist() == [7, 3]
    assert test.facts == rows.facts
    assert len(test) == 2
    assert rows.where(np.array([2, 0]))["id"].tolist() == [9, 7]


def test_frame_has_the_columns_and_rows() -> None:
    frame = regions().frame
    assert list(frame.columns) == list(REGIONS.arrays)
    assert frame["id"].tolist() == [7, 3, 9]


def test_round_trip_does_not_depend_on_memory_layout(tmp_path: Path) -> None:
    plain = predictions()
    turned = with_array(plain, "proba", np.asfortranarray(plain["proba"]))
    assert digest(turned) == digest(plain)
    save(turned, tmp_path / "a.safetensors")
    assert equal(load(tmp_path / "a.safetensors", PREDICTIONS), plain)


def on_disk(artifact: Artifact, path: Path) -> Artifact:
    """The same artifact with its layer in a row file."""
    values = artifact["layer_-1"]
    file = RowFile.create(path, values.shape, "")
    file.write(np.arange(len(values)), values)
    return with_array(artifact, "layer_-1", file)


def activations(n: int = 100, d: int = 6) -> Artifact:
    values = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    facts = {"dataset": "films", "model": {}, "storage": "float32", "loss": {}}
    return Artifact("activations", {"id": np.arange(n), "layer_-1": values}, facts)


@pytest.mark.parametrize("block", [1, 100, 1 << 22])
def test_rows_on_disk_have_the_digest_and_the_bytes_of_their_array(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = activations()
    expected = digest(memory)
    save(memory, tmp_path / "a.safetensors")
    monkeypatch.setattr(spool, "BLOCK", block)
    disk = on_disk(memory, tmp_path / "a.rows")
    assert digest(disk) == digest(memory) == expected
    save(disk, tmp_path / "b.safetensors")
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    assert equal(load(tmp_path / "b.safetensors"), memory)


def test_values_that_are_not_finite_are_counted_over_all_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "BLOCK", 100)
    memory = activations()
    memory["layer_-1"][[3, 50, 99], 2] = np.nan
    for artifact in (memory, on_disk(memory, tmp_path / "a.rows")):
        with pytest.raises(ArtifactError, match="layer_-1: found 3 values that are NaN or inf"):
            save(artifact, tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.rows"]


def test_rows_on_disk_of_another_number_are_refused(tmp_path: Path) -> None:
    disk = on_disk(activations(), tmp_path / "a.rows")
    with pytest.raises(ArtifactError, match="layer_-1: found 100 along axis n, expected 99"):
        save(with_array(disk, "id", np.arange(99)), tmp_path / "a.safetensors")


def test_row_that_is_missing_on_disk_leaves_no_file(tmp_path: Path) -> None:
    artifact = activations()
    file = RowFile.create(tmp_path / "a.rows", artifact["layer_-1"].shape, "")
    with pytest.raises(ArtifactError, match="row 0 differs from its checksum"):
        save(with_array(artifact, "layer_-1", file), tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.rows"]
