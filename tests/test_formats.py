"""The file formats: bytes of safetensors as of its own library, and rows without pandas."""

import json
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from w2s.files import spool
from w2s.files.formats import DTYPES as STORED
from w2s.files.formats import KEY, READERS, WRITERS

read, write = READERS[".safetensors"], WRITERS[".safetensors"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NAMES = TEXT.filter(lambda name: name != "__metadata__")
DTYPES = {name: code for name, code in STORED.items() if name != "bfloat16"}  # of NumPy
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_side=0, max_dims=3, max_side=4))
)


@given(st.dictionaries(NAMES, ARRAYS, max_size=5), TEXT, st.integers(1, 64))
def test_bytes_are_those_of_the_library_and_are_read_back(tmp_path_factory, arrays, text, block):
    path = tmp_path_factory.mktemp("a") / "a.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "BLOCK", block)
        write(path, arrays, text)
    assert path.read_bytes() == save(arrays, metadata={KEY: text})
    found, told = read(path)
    assert told == text
    assert list(found) == sorted(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_dtypes_are_in_the_order_of_the_library(tmp_path):
    arrays = {f"{i:02}": np.zeros(1, dtype=name) for i, name in enumerate(sorted(DTYPES))}
    content = save(arrays)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert [spec["dtype"] for spec in header.values()] == list(DTYPES.values())


def test_memory_order_does_not_matter_and_what_is_read_can_be_changed(tmp_path):
    path, array = tmp_path / "a.safetensors", np.arange(12, dtype=np.float32).reshape(3, 4)
    write(path, {"x": np.asfortranarray(array)}, "")
    write(tmp_path / "b.safetensors", {"x": array}, "")
    before = path.read_bytes()
    assert before == (tmp_path / "b.safetensors").read_bytes()
    found, _ = read(path)
    found["x"][0] = 1
    assert path.read_bytes() == before
    # a number format that NumPy does not have is told
    header = b'{"x":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(ValueError, match="found a tensor of BF16"):
        read(path)


def test_rows_are_read_and_written_without_pandas(tmp_path):
    """Importing pandas takes longer than most jobs compute."""
    code = """
import sys, numpy as np
from w2s.files.formats import READERS, WRITERS
from pathlib import Path
path = Path(sys.argv[1])
arrays = {'id': np.arange(3), 'x': np.array([0.5, np.nan, 2]),
          'word': np.array(['a', 'b\\u00e9', ''], dtype=object)}
WRITERS['.parquet'](path, arrays, 'text')
found, text = READERS['.parquet'](path)
for name, array in arrays.items():
    np.testing.assert_array_equal(found[name], array)
    assert found[name].dtype == array.dtype
assert text == 'text'
print('pandas' in sys.modules)
"""
    line = [sys.executable, "-c", code, str(tmp_path / "rows.parquet")]
    assert subprocess.run(line, capture_output=True, text=True, check=True).stdout == "False\n"


def test_rows_of_every_dtype_come_back(tmp_path):
    for n in (0, 1, 5):
        for dtype in ("int8", "int32", "int64", "float32", "float64", "bool", "uint8"):
            array = np.arange(n).astype(dtype)
            WRITERS[".parquet"](tmp_path / "a.parquet", {"a": array}, "")
            found = READERS[".parquet"](tmp_path / "a.parquet")[0]["a"]
            np.testing.assert_array_equal(found, array)
            assert found.dtype == array.dtype


def test_foreign_files_with_several_chunks_and_nulls_are_read(tmp_path):
    chunks = pa.chunked_array([[1.5, None], [2.5]])
    table = pa.table({"a": chunks, "b": pa.chunked_array([[1, 2], [3]]), "c": ["x", "y", "z"]})
    table = table.cast(table.schema.set(2, pa.field("c", pa.large_string())))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    found = READERS[".parquet"](tmp_path / "a.parquet")[0]
    np.testing.assert_array_equal(found["a"], [1.5, np.nan, 2.5])
    np.testing.assert_array_equal(found["b"], [1, 2, 3])
    assert found["c"].tolist() == ["x", "y", "z"]
