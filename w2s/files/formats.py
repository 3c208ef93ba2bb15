"""The two file formats of artifacts: Parquet for rows, safetensors for tensors.

Both hold named arrays and one metadata key with text. What the arrays must be is checked elsewhere.
Safetensors is written here block by block, to the same bytes as by its own library, which wants all
tensors in memory. Its tensors are read rather than mapped, so that they are in memory once, or are
left on disk, to be read by rows.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from w2s.files.matrix import STORAGE, Matrix, OpenFile, encode
from w2s.files.spool import blocks

ByRows = Callable[[str], bool]  # says of a tensor by its name whether it is left in the file
KEY = "w2s"  # of the metadata; several keys would make the bytes of safetensors vary


def _read_parquet(path: Path, by_rows: ByRows | None = None) -> tuple[dict[str, Any], str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    del by_rows  # tables of rows are small
    try:
        table = pq.ParquetFile(path).read()
        text = (table.schema.metadata or {}).get(KEY.encode())
        arrays = {name: _column(table.column(i)) for i, name in enumerate(table.column_names)}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if len(arrays) != len(table.column_names):
        raise ValueError("found a column twice")
    return arrays, None if text is None else text.decode()


def _parquet_text(path: Path) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        text = (pq.read_metadata(path).metadata or {}).get(KEY.encode())
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    return None if text is None else text.decode()


def _column(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    array, name = column.combine_chunks(), str(column.type)
    dtype = np.dtype(FLOATS.get(name, name if name in DTYPES else object))
    if dtype.kind in "biufc" and name != "bool" and not array.null_count:
        # what to_numpy does, without its import of pandas in every job
        at = array.offset * dtype.itemsize
        return np.frombuffer(array.buffers()[1], dtype, len(array), at)
    return array.to_numpy(zero_copy_only=False)


def _write_parquet(path: Path, arrays: Mapping[str, Any], text: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: _arrow(np.ascontiguousarray(array)) for name, array in arrays.items()}
    table = pa.table(columns).replace_schema_metadata({KEY: text})
    pq.write_table(table, path, compression="zstd")


def _arrow(array: Any) -> Any:
    """An Arrow array from its buffers: `pyarrow.array` would import pandas, in every job."""
    import pyarrow as pa

    if array.dtype == bool:
        return pa.array(array)
    if array.dtype != object:
        kind = pa.from_numpy_dtype(array.dtype)
        return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(array)])
    words = [word.encode() for word in array]
    ends = np.cumsum([0, *map(len, words)])
    whole = pa.py_buffer(b"".join(words))
    kind = pa.large_string()
    if ends[-1] < 2**31:
        kind, ends = pa.string(), ends.astype(np.int32)
    return pa.Array.from_buffers(kind, len(words), [None, pa.py_buffer(ends), whole])


# by name in NumPy, in the order in which safetensors' library writes them: largest elements first
DTYPES = {
    "uint64": "U64", "int64": "I64", "float64": "F64", "complex64": "C64", "float32": "F32",
    "uint32": "U32", "int32": "I32", "bfloat16": "BF16", "float16": "F16", "uint16": "U16",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip
FLOATS = {"halffloat": "float16", "float": "float32", "double": "float64"}  # as Arrow calls them
LENGTH = 8  # bytes of the header's length, little-endian; tensors begin at a multiple of it


def _read_safetensors(
    path: Path, by_rows: ByRows | None = None
) -> tuple[dict[str, Any], str | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:  # checks the whole header
            names, text = sorted(file.keys()), (file.metadata() or {}).get(KEY)
    except SafetensorError as error:
        raise ValueError(str(error)) from None
    opened = OpenFile(path)
    with open(os.dup(opened.handle), "rb") as raw:  # noqa: PTH123 - a handle has no path
        length = int.from_bytes(raw.read(LENGTH), "little")
        header = json.loads(raw.read(length))
        data = LENGTH + length
        arrays = {
            name: _matrix(opened, data, header[name])
            if by_rows is not None and by_rows(name)
            else _tensor(raw, data, header[name])
            for name in names
        }
    return arrays, text


def safetensors_header(path: Path) -> Any:
    """The JSON value at the beginning of a file, unchecked."""
    with path.open("rb") as file:
        length = min(int.from_bytes(file.read(LENGTH), "little"), path.stat().st_size)
        return json.loads(file.read(length))


def _safetensors_text(path: Path) -> str | None:
    header = safetensors_header(path)
    told = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    text = told.get(KEY) if isinstance(told, dict) else None
    return text if isinstance(text, str) else None


def svg_metadata(text: str) -> dict[str, str | None]:
    """What a figure is saved with, so that it says where it is from; and no date."""
    return {"Date": None, "Description": f"{KEY} {text}"}


def _svg_text(path: Path) -> str | None:
    content = path.read_text(encoding="utf-8")
    found = re.search(rf"<dc:description>{KEY} (.*?)</dc:description>", content, flags=re.S)
    return html.unescape(found[1]) if found else None


def _matrix(file: OpenFile, data: int, spec: Mapping[str, Any]) -> Matrix:
    """One matrix of the file, left there."""
    storage = {code: name for name, code in DTYPES.items()}.get(spec["dtype"], "")
    if len(spec["shape"]) != 2 or storage not in STORAGE:
        raise ValueError(
            f"found a tensor of {spec['dtype']} and shape {spec['shape']}, expected a matrix of "
            f"{', '.join(STORAGE)}"
        )
    return Matrix(file, data + spec["data_offsets"][0], tuple(spec["shape"]), storage)


def _tensor(file: Any, data: int, spec: Mapping[str, Any]) -> Any:
    """Read one tensor of the file, whose data begins at that byte."""
    names = {code: name for name, code in DTYPES.items() if name != "bfloat16"}
    if spec["dtype"] not in names:
        raise ValueError(f"found a tensor of {spec['dtype']}, which NumPy does not have")
    dtype = np.dtype(names[spec["dtype"]]).newbyteorder("<")
    begin, end = spec["data_offsets"]
    file.seek(data + begin)
    values = np.fromfile(file, dtype, (end - begin) // dtype.itemsize)
    return values.reshape(spec["shape"]).astype(dtype.newbyteorder("="), copy=False)


def _write_safetensors(path: Path, arrays: Mapping[str, Any], text: str) -> None:
    ranks = {name: rank for rank, name in enumerate(DTYPES)}
    kinds = {name: getattr(array, "storage", str(array.dtype)) for name, array in arrays.items()}
    names = sorted(arrays, key=lambda name: (ranks[kinds[name]], name))
    header: dict[str, Any] = {"__metadata__": {KEY: text}}
    end = 0
    for name in names:
        shape, kind = list(arrays[name].shape), kinds[name]
        width = np.dtype(STORAGE.get(kind, kind)).itemsize
        begin, end = end, end + int(np.prod(shape, dtype=np.int64)) * width
        header[name] = {"dtype": DTYPES[kind], "shape": shape, "data_offsets": [begin, end]}
    line = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    line += b" " * (-len(line) % LENGTH)
    with path.open("wb") as file:
        file.write(len(line).to_bytes(LENGTH, "little") + line)
        for name in names:
            for block in blocks(arrays[name]):
                if hasattr(arrays[name], "storage"):
                    block = encode(block, kinds[name])
                file.write(block.astype(block.dtype.newbyteorder("<"), copy=False).data)


READERS: dict[str, Callable[..., tuple[dict[str, Any], str | None]]] = {
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
}
WRITERS: dict[str, Callable[[Path, Mapping[str, Any], str], None]] = {
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
}
TEXTS: dict[str, Callable[[Path], str | None]] = {  # of the metadata alone, unchecked
    ".parquet": _parquet_text,
    ".safetensors": _safetensors_text,
    ".svg": _svg_text,
}
