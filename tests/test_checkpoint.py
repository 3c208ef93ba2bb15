"""Unfinished trainings on disk: whole or not at all, and used only where they fit."""

import json
import logging
import shutil

import numpy as np
import pytest
from faults import flipped, mounted
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save_file

from w2s.errors import ArtifactError
from w2s.files.formats import KEY
from w2s.files.resume import Checkpoint

DTYPES = ("float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool")
ARRAYS = {
    "now/head.weight": np.array([[1.5, -0.0, np.nan, np.inf]], dtype=np.float32),
    "loss/recent": np.empty(0, dtype=np.float32),
    "empty": np.empty((0, 3), dtype=np.float64),
    "scalar": np.array(2.5, dtype=np.float32),
    "transposed": np.arange(6.0).reshape(2, 3).T,
    "every second": np.arange(10, dtype=np.int64)[::-2],
    "mask": np.array([True, False]),
}
FACTS = {"step": 3, "kept": 0, "looks": [{"loss": 0.7, "val_auroc": float("nan")}], "é": None}
WHY = ("cannot be read", "differs from its checksum")
ANEW = [f"{why}; the training begins anew" for why in WHY]


def place(folder, identity="a training"):
    return Checkpoint(folder / "floor.safetensors", identity)


def kept(folder):
    """A place with a state."""
    found = place(folder)
    found.save(ARRAYS, FACTS)
    return found


def same(found, arrays=ARRAYS, facts=FACTS):
    """Whether names, dtypes, shapes, bits and facts are those that were saved."""
    got, told = (
        ({n: (a.dtype, a.shape, np.ascontiguousarray(a).tobytes()) for n, a in some.items()},
         json.dumps(said, sort_keys=True))
        for some, said in (found, (arrays, facts))
    )  # fmt: skip
    return got == told


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from(DTYPES).flatmap(
            lambda dtype: arrays_of.arrays(
                dtype, arrays_of.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
            )
        ),
        max_size=4,
    ),
    st.recursive(
        st.none() | st.integers(-(2**40), 2**40) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=4,
    ),
)
def test_any_state_comes_back(tmp_path_factory, arrays, facts):
    held = place(tmp_path_factory.getbasetemp() / "any state")
    held.save(arrays, facts)
    assert same(held.load(), arrays, facts)


def test_last_state_comes_back_bit_for_bit_and_can_be_changed(tmp_path):
    held = kept(tmp_path)
    found = held.load()
    assert same(found)
    found[0]["transposed"][0, 0] = 9  # what is loaded belongs to the caller
    later = {"other": np.arange(3)}
    held.save(later, {"step": 4})
    assert same(held.load(), later, {"step": 4})
    assert [path.name for path in tmp_path.iterdir()] == ["floor.safetensors"]


def test_same_state_is_the_same_bytes_anywhere_and_no_pickle(tmp_path):
    first, second = (kept(tmp_path / name).path.read_bytes() for name in ("a", "deeper/b"))
    assert first == second
    header = int.from_bytes(first[:8], "little")
    assert json.loads(first[8 : 8 + header])["__metadata__"].keys() == {KEY}
    assert str(tmp_path).encode() not in first


def test_no_state_or_that_of_another_training_is_not_used_and_is_replaced(tmp_path, caplog):
    assert place(tmp_path).load() is None
    assert place(tmp_path / "no folder").load() is None
    assert not (tmp_path / "no folder").exists()
    kept(tmp_path)
    other = place(tmp_path, "another training")
    assert other.load() is None
    assert same(place(tmp_path).load())  # a look does no harm
    other.save({}, [1])
    assert other.load() == ({}, [1])
    assert place(tmp_path).load() is None
    assert caplog.records == []


def test_damage_anywhere_is_a_warning_and_no_state(tmp_path, caplog):
    held = kept(tmp_path)
    content = held.path.read_bytes()
    cuts = [content[:cut] for cut in range(0, len(content), 3)]
    changed = [flipped(content, i) for i in range(len(content))]
    places = [i for i in range(0, len(content), 3) if content[i]]
    changed += [content[:i] + b"\0" + content[i + 1 :] for i in places]
    unread = 0
    for damaged in [*cuts, *changed, content + b"\0", b"", bytes(1000)]:
        held.path.write_bytes(damaged)
        caplog.clear()
        found = held.load()
        if found is not None:  # hexadecimal digits of JSON's escapes have two cases
            unread += 1
            assert same(found)
            continue
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().removeprefix("floor.safetensors: ") in ANEW
    assert unread < 5
    held.save(ARRAYS, FACTS)
    assert same(held.load())


def test_files_of_others_are_no_state(tmp_path, caplog, subtests):
    held = place(tmp_path)
    texts = [
        "no JSON",
        "[]",
        '["checksum", "identity", "facts"]',
        "null",
        "3",
        "{}",
        '{"identity": "a training", "facts": {}}',
        '{"identity": "a training", "checksum": "0"}',
        '{"identity": "a training", "checksum": null, "facts": {}}',
    ]
    for metadata in (None, {"other": "{}"}, *({KEY: text} for text in texts)):
        caplog.clear()
        save_file({"a": np.zeros(2)}, held.path, metadata)
        with subtests.test(metadata=metadata):
            assert held.load() is None
            assert len(caplog.records) == 1
    held = kept(tmp_path)
    held.path.write_bytes(held.path.read_bytes().replace(b"a training", b"b training"))
    assert place(tmp_path, "b training").load() is None  # the checksum is of the identity too
    assert "differs from its checksum" in caplog.text


@pytest.mark.parametrize("free", [0, 4096, 20 * 4096])
def test_full_disk_is_one_line_and_the_state_before_stays(free, small_disk):
    held = kept(small_disk)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - free))
    large = {"weights": np.ones(30_000, dtype=np.float32)}  # 120 kB
    for _ in range(2):
        with pytest.raises(ArtifactError) as caught:
            held.save(large, {"step": 4})
        assert str(caught.value).startswith(f"{held.path}: cannot be written (")
        assert "No space left on device" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert same(held.load())
        assert {path.name for path in small_disk.iterdir()} == {held.path.name, "ballast"}
    ballast.unlink()
    held.save(large, {"step": 4})
    assert same(held.load(), large, {"step": 4})


def test_read_only_disk_is_one_line_and_the_state_stays(tmp_path):
    held = kept(tmp_path)
    try:
        with mounted(tmp_path, "--bind", "-o", "ro", str(tmp_path)):
            for there in (held, place(tmp_path / "deeper")):
                with pytest.raises(ArtifactError) as caught:
                    there.save({}, {})
                expected = f"{there.path}: cannot be written (Read-only file system)"
                assert str(caught.value) == expected
            assert same(held.load())
    except PermissionError as error:
        pytest.skip(f"no read-only disk: {error}")


def test_folder_in_its_place_is_no_state_and_one_line(tmp_path):
    held = place(tmp_path)
    held.path.mkdir()
    assert held.load() is None
    with pytest.raises(ArtifactError, match=r"floor\.safetensors: cannot be written \(Is a dir"):
        held.save(ARRAYS, FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["floor.safetensors"]
