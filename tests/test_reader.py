"""One reader of tables, against `csv`, `json` and `pyarrow`: right, or refused with the row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from w2s.data.reader import csv_rows, json_object, json_rows, read_table, texts_of
from w2s.errors import DataError


def refusal(path: Path, **columns: str) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, columns or {"text": "a"})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_by_hand(tmp_path: Path) -> None:
    content = '\ufeffa,b\r\n007,"x, ""y"""\r\n\r\n"two\nlines",\0\r1,"\u2028"\n  \n ,'
    path = write(tmp_path / "t.csv", content)
    assert read_table(path, {"one": "b", "two": "a"}) == {
        "one": ['x, "y"', "\0", "\u2028", ""],
        "two": ["007", "two\nlines", "1", " "],
    }
    assert next(csv_rows(path)) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", ": found no columns; expected 'a' (text)"),
        ("b,c\n1,2\n", ": found columns b, c; expected 'a' (text)"),
        ("a,b,a\n1,2,3\n", ": found the column 'a' twice, expected it once (text)"),
        ("a,b\n1,2\n3\n", ", row 2: found 1 fields, expected 2 as in the header"),
        ("a,b\n\n1,2,\n", ", row 1: found 3 fields, expected 2 as in the header"),
        ('a,b\n1,"2\n3,4\n', ", row 1: cannot be read as CSV (unexpected end of data)"),
        ('a,b\n1,2\n"3"x,4\n', ", row 2: cannot be read as CSV (',' expected after '\"')"),
        (b"a,b\n1,2\n\xe9,4\n", r", line 3: found b'\xe9', expected text in UTF-8"),
    ],
)
def test_csv_that_is_refused(content: str | bytes, told: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "t.csv", content)) == told


def test_a_field_may_be_long(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "a\n" + "x" * 200_000)
    assert read_table(path, {"text": "a"}) == {"text": ["x" * 200_000]}


def test_json_lines_by_hand(tmp_path: Path) -> None:
    lines = [
        '\ufeff{"a": "0012", "b": 9007199254740993}',
        "",
        '{"b": 1.5, "a": "null"}\r',
        '{"a": null, "c": 2}',
        '{"a": NaN, "b": [1, {"c": 2}]}',
        '{"a": "\u2028\\u00e9", "b": true}',
    ]
    path = write(tmp_path / "t.jsonl", "\n".join(lines))
    assert read_table(path, {"x": "a", "y": "b"}) == {
        "x": ["0012", "null", None, None, "\u2028é"],
        "y": [2**53 + 1, 1.5, None, [1, {"c": 2}], True],
    }
    assert [list(row) for row in json_rows(path)][2] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", ": found no columns; expected 'a' (text)"),
        ('{"b": 1}\n{"c": 2}', ": found columns b, c; expected 'a' (text)"),
        ('{"a": 1}\n\n[1]\n', ", row 2: found [1], expected an object"),
        ('{"a": 1, "a": 2}', ", row 1: found the key 'a' twice, expected it once"),
        ('{"a": 1} {"a": 2}', ", row 1: cannot be read as JSON (Extra data: line 1 column 10"),
        ("[" * 100_000, ", row 1: cannot be read as JSON ("),
        ('{"a": ' + "1" * 5000 + "}", ", row 1: cannot be read as JSON (Exceeds the limit"),
        (b'{"a": 1}\n{"a": "\xff"}', r", line 2: found b'\xff', expected text in UTF-8"),
    ],
    ids=range(8),
)
def test_json_lines_that_are_refused(content: str | bytes, told: str, tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "t.jsonl", content)).startswith(told)


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


WORDS = ["a", None, "", "NA"]


@pytest.mark.parametrize(
    "array",
    [
        pa.array(WORDS),
        pa.array(WORDS, pa.large_string()),
        pa.array(WORDS).dictionary_encode(),
        pa.array(WORDS, pa.large_string()).dictionary_encode(),
        pa.array(WORDS, pa.binary()),
        pa.array(WORDS, pa.large_binary()),
    ],
    ids=lambda array: str(array.type),
)
def test_parquet_of_every_type_of_text(array: Any, tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", a=array)
    assert read_table(path, {"text": "a"}) == {"text": WORDS}


@pytest.mark.parametrize(
    ("array", "values"),
    [
        (pa.array([2**53 + 1, None]), [2**53 + 1, None]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([1.5, float("nan"), None]), [1.5, None, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array([None, None]), [None, None]),
    ],
    ids=str,
)
def test_parquet_of_numbers(array: Any, values: list[Any], tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", a=array)
    assert read_table(path, {"text": "a"}) == {"text": values}


def test_folders_of_a_parquet_file_make_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "a=1"
    folder.mkdir()
    path = parquet(folder / "t.parquet", b=["x"])
    assert refusal(path) == ": found columns b; expected 'a' (text)"


def test_parquet_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]), path)
    assert refusal(path) == ": found the column 'a' twice, expected it once (text)"


@pytest.mark.parametrize("value", [[1], {"b": 1}, "half of a pair \ud83d"])
def test_what_is_no_text_is_refused_with_its_row(value: Any) -> None:
    with pytest.raises(DataError, match=r"t.csv, row 2: found "):
        texts_of(Path("t.csv"), ["a", value])
    assert texts_of(Path("t.csv"), ["a", None, 7, True]) == ["a", "", "7", "True"]


def test_a_key_twice_is_refused_at_any_depth() -> None:
    with pytest.raises(DataError, match="here: found the key 'b' twice"):
        json_object('{"a": {"b": 1, "b": 2}}', "here")
