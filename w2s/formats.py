"""The two file formats of artifacts: Parquet for rows, safetensors for tensors.

Both hold named arrays and one metadata key with text. What the arrays must be is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

KEY = "w2s"  # of the metadata; several keys would make the bytes of safetensors vary


def _read_parquet(path: Path) -> tuple[dict[str, Any], str | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path).read()
        text = (table.schema.metadata or {}).get(KEY.encode())
        arrays = {name: _column(table.column(i)) for i, name in enumerate(table.column_names)}
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
    if len(arrays) != len(table.column_names):
        raise ValueError("found a column twice")
    return arrays, None if text is None else text.decode()


def _column(column: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), dtype=object)
    return column.combine_chunks().to_numpy(zero_copy_only=False)


def _write_parquet(path: Path, arrays: Mapping[str, Any], text: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        name: pa.array(array, type=pa.string() if array.dtype == object else None)
        for name, array in arrays.items()
    }
    table = pa.table(columns).replace_schema_metadata({KEY: text})
    pq.write_table(table, path, compression="zstd")


def _read_safetensors(path: Path) -> tuple[dict[str, Any], str | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
            return {name: file.get_tensor(name) for name in sorted(file.keys())}, text
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def _write_safetensors(path: Path, arrays: Mapping[str, Any], text: str) -> None:
    from safetensors.numpy import save_file

    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(tensors, path, metadata={KEY: text})


READERS: dict[str, Callable[[Path], tuple[dict[str, Any], str | None]]] = {
    ".parquet": _read_parquet,
    ".safetensors": _read_safetensors,
}
WRITERS: dict[str, Callable[[Path, Mapping[str, Any], str], None]] = {
    ".parquet": _write_parquet,
    ".safetensors": _write_safetensors,
}
