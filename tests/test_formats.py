"""The file formats: bytes of safetensors as of its own library, and rows without pandas."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load_file, save, save_file

from w2s.files import spool
from w2s.files.formats import DTYPES as STORED
from w2s.files.formats import KEY, READERS, WRITERS
from w2s.files.spool import RowFile

read, write = READERS[".safetensors"], WRITERS[".safetensors"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = TEXT.filter(lambda name: name != "__metadata__")
DTYPES = {name: code for name, code in STORED.items() if name != "bfloat16"}  # of NumPy
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_side=0, max_dims=3, max_side=4))
)


@given(st.dictionaries(NAMES, ARRAYS, max_size=5), TEXT, st.integers(1, 64))
def test_bytes_are_those_of_the_safetensors_library_and_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, arrays: Any, text: str, block: int
) -> None:
    path = tmp_path_factory.mktemp("a") / "a.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", block)
        write(path, arrays, text)
    assert path.read_bytes() == save(arrays, metadata={KEY: text})
    found, told = read(path)
    assert told == text
    assert list(found) == sorted(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_dtypes_are_in_the_order_of_the_library(tmp_path: Path) -> None:
    arrays = {f"{i:02}": np.zeros(1, dtype=name) for i, name in enumerate(sorted(DTYPES))}
    content = save(arrays)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert [spec["dtype"] for spec in header.values()] == list(DTYPES.values())


def test_rows_on_disk_give_the_bytes_of_their_array(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    file = RowFile.create(tmp_path / "a.rows", values.shape, "")
    for rows in np.array_split(np.random.default_rng(1).permutation(300), 11):
        file.write(rows, values[rows])
    ids = np.arange(300)
    write(tmp_path / "a.safetensors", {"id": ids, "layer_-1": file}, "{}")
    save_file({"layer_-1": values, "id": ids}, tmp_path / "b.safetensors", metadata={KEY: "{}"})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    np.testing.assert_array_equal(load_file(tmp_path / "a.safetensors")["layer_-1"], values)


def test_array_in_another_memory_order_gives_the_same_bytes(tmp_path: Path) -> None:
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    write(tmp_path / "a.safetensors", {"x": np.asfortranarray(array)}, "")
    write(tmp_path / "b.safetensors", {"x": array}, "")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_what_is_read_can_be_changed_and_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write(path, {"x": np.zeros(3)}, "")
    before = path.read_bytes()
    found, _ = read(path)
    found["x"][0] = 1
    assert path.read_bytes() == before


def test_number_format_that_numpy_does_not_have_is_told(tmp_path: Path) -> None:
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(ValueError, match="found a tensor of BF16"):
        read(path)


def test_rows_are_read_and_written_without_pandas(tmp_path: Path) -> None:
    """Importing pandas takes longer than most jobs compute."""
    code = (
        "import sys, numpy as np\n"
        "from w2s.files.formats import READERS, WRITERS\n"
        "from pathlib import Path\n"
        "path = Path(sys.argv[1])\n"
        "arrays = {'id': np.arange(3), 'x': np.array([0.5, np.nan, 2]),\n"
        "          'word': np.array(['a', 'b\\u00e9', ''], dtype=object)}\n"
        "WRITERS['.parquet'](path, arrays, 'text')\n"
        "found, text = READERS['.parquet'](path)\n"
        "for name, array in arrays.items():\n"
        "    np.testing.assert_array_equal(found[name], array)\n"
        "    assert found[name].dtype == array.dtype\n"
        "assert text == 'text'\n"
        "print('pandas' in sys.modules)\n"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "rows.parquet")]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float32", "float64", "bool", "uint8"])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_rows_of_every_dtype_come_back(dtype: str, n: int, tmp_path: Path) -> None:
    array = np.arange(n).astype(dtype)
    WRITERS[".parquet"](tmp_path / "a.parquet", {"a": array}, "")
    found = READERS[".parquet"](tmp_path / "a.parquet")[0]["a"]
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype


def test_foreign_files_with_several_chunks_and_nulls_are_read(tmp_path: Path) -> None:
    chunks = pa.chunked_array([[1.5, None], [2.5]])
    table = pa.table({"a": chunks, "b": pa.chunked_array([[1, 2], [3]]), "c": ["x", "y", "z"]})
    pq.write_table(table.cast(table.schema.set(2, pa.field("c", pa.large_string()))),
                   tmp_path / "a.parquet", row_group_size=2)  # fmt: skip
    found = READERS[".parquet"](tmp_path / "a.parquet")[0]
    np.testing.assert_array_equal(found["a"], [1.5, np.nan, 2.5])
    np.testing.assert_array_equal(found["b"], [1, 2, 3])
    assert found["c"].tolist() == ["x", "y", "z"]
