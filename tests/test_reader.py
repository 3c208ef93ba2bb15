"""One reader of tables, against `csv`, `json` and `pyarrow`: right, or refused with the row."""

import contextlib
import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from w2s.data.reader import csv_rows, json_object, json_rows, read_table, texts_of
from w2s.errors import DataError


def refusal(path):
    with pytest.raises(DataError) as caught:
        read_table(path, {"text": "a"})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_by_hand(tmp_path):
    path = write(tmp_path / "t.csv", "a\n" + "x" * 200_000)  # a field may be long
    assert read_table(path, {"text": "a"}) == {"text": ["x" * 200_000]}
    content = '\ufeffa,b\r\n007,"x, ""y"""\r\n\r\n"two\nlines",\0\r1,"\u2028"\n  \n ,'
    path = write(tmp_path / "t.csv", content)
    assert read_table(path, {"one": "b", "two": "a"}) == {
        "one": ['x, "y"', "\0", "\u2028", ""],
        "two": ["007", "two\nlines", "1", " "],
    }
    assert next(csv_rows(path)) == ["a", "b"]


def test_csv_that_is_refused(tmp_path, subtests):
    for content, told in [
        ("", ": found no columns; expected 'a' (text)"),
        ("b,c\n1,2\n", ": found columns b, c; expected 'a' (text)"),
        ("a,b,a\n1,2,3\n", ": found the column 'a' twice, expected it once (text)"),
        ("a,b\n1,2\n3\n", ", row 2: found 1 fields, expected 2 as in the header"),
        ("a,b\n\n1,2,\n", ", row 1: found 3 fields, expected 2 as in the header"),
        ('a,b\n1,"2\n3,4\n', ", row 1: cannot be read as CSV (unexpected end of data)"),
        ('a,b\n1,2\n"3"x,4\n', ", row 2: cannot be read as CSV (',' expected after '\"')"),
        (b"a,b\n1,2\n\xe9,4\n", r", line 3: found b'\xe9', expected text in UTF-8"),
    ]:
        with subtests.test(content):
            assert refusal(write(tmp_path / "t.csv", content)) == told


def test_json_lines_by_hand(tmp_path):
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


def test_json_lines_that_are_refused(tmp_path, subtests):
    for content, told in [
        ("", ": found no columns; expected 'a' (text)"),
        ('{"b": 1}\n{"c": 2}', ": found columns b, c; expected 'a' (text)"),
        ('{"a": 1}\n\n[1]\n', ", row 2: found [1], expected an object"),
        ('{"a": 1, "a": 2}', ", row 1: found the key 'a' twice, expected it once"),
        ('{"a": 1} {"a": 2}', ", row 1: cannot be read as JSON (Extra data: line 1 column 10"),
        ("[" * 100_000, ", row 1: cannot be read as JSON ("),
        ('{"a": ' + "1" * 5000 + "}", ", row 1: cannot be read as JSON (Exceeds the limit"),
        (b'{"a": 1}\n{"a": "\xff"}', r", line 2: found b'\xff', expected text in UTF-8"),
    ]:
        with subtests.test(content[:20]):
            assert refusal(write(tmp_path / "t.jsonl", content)).startswith(told)
    with pytest.raises(DataError, match="here: found the key 'b' twice"):  # at any depth
        json_object('{"a": {"b": 1, "b": 2}}', "here")


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return path


WORDS = ["a", None, "", "NA"]


def test_parquet_of_every_type_of_text_and_of_numbers(tmp_path, subtests):
    kinds = [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()]
    plain = [pa.array(WORDS, kind) for kind in kinds]
    cases = [(array, WORDS) for array in [*plain, *(a.dictionary_encode() for a in plain[:2])]]
    for array, values in [
        *cases,
        (pa.array([2**53 + 1, None]), [2**53 + 1, None]),
        (pa.array([2**64 - 1, None], pa.uint64()), [2**64 - 1, None]),
        (pa.array([1.5, float("nan"), None]), [1.5, None, None]),
        (pa.array([True, None]), [True, None]),
        (pa.array([None, None]), [None, None]),
    ]:
        with subtests.test(str(array.type)):
            path = parquet(tmp_path / "t.parquet", a=array)
            assert read_table(path, {"text": "a"}) == {"text": values}


def test_parquet_columns_are_those_of_the_file_each_once(tmp_path):
    (tmp_path / "a=1").mkdir()  # names of folders make no column
    path = parquet(tmp_path / "a=1" / "t.parquet", b=["x"])
    assert refusal(path) == ": found columns b; expected 'a' (text)"
    pq.write_table(pa.table([pa.array(["x"]), pa.array(["y"])], names=["a", "a"]), path)
    assert refusal(path) == ": found the column 'a' twice, expected it once (text)"


def test_what_is_no_text_is_refused_with_its_row():
    for value in ([1], {"b": 1}, "half of a pair \ud83d"):
        with pytest.raises(DataError, match=r"t.csv, row 2: found "):
            texts_of(Path("t.csv"), ["a", value])
    assert texts_of(Path("t.csv"), ["a", None, 7, True]) == ["a", "", "7", "True"]


# Against the reference of each format: the same values, or a refusal that names the row.

ANY = st.text(st.characters(codec="utf-8"), max_size=12)
SIGNS = st.text(st.sampled_from(list('a1,"\n\r \t;\0é')), max_size=8)
WORDS_OR_SIGNS = ANY | SIGNS | st.sampled_from(["NA", "null", "", "007", "1.0", "1e5", "nan"])


def read_or_row(path, columns):
    """What is read, or the place a refusal names."""
    try:
        return read_table(path, columns)
    except DataError as error:
        return str(error).removeprefix(str(path)).split(":")[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@given(
    st.lists(st.tuples(WORDS_OR_SIGNS, WORDS_OR_SIGNS), max_size=6),
    st.sampled_from(csv.list_dialects()),
)
def test_csv_that_is_written_is_read(folder, rows, name):
    """What `csv` writes in any dialect with commas, quotes where they are needed."""
    text = io.StringIO(newline="")
    table = csv.writer(text, dialect=name, delimiter=",")
    table.writerows([("a", "b"), *rows])
    path = write(folder / "t.csv", text.getvalue())
    found = read_table(path, {"x": "b", "y": "a"})
    assert found == {"x": [b for _, b in rows], "y": [a for a, _ in rows]}


@given(st.text(st.sampled_from(list('ab1,"\n\r ')), max_size=40))
def test_csv_of_any_signs_is_read_as_csv_does_or_refused_with_the_row(folder, text):
    path = write(folder / "t.csv", "a,b\n" + text)
    rows = []
    wrong = ""
    reader = csv.reader(io.StringIO("a,b\n" + text, newline=""), strict=True)
    next(reader)
    try:
        for row in reader:
            if (len(row) == 1 and not row[0].strip()) or not row:
                continue
            if len(row) != 2:
                wrong = f", row {len(rows) + 1}"
                break
            rows.append(row)
    except csv.Error:
        wrong = f", row {len(rows) + 1}"
    expected = {"x": [row[0] for row in rows], "y": [row[1] for row in rows]}
    assert read_or_row(path, {"x": "a", "y": "b"}) == (wrong or expected)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | ANY
VALUES = st.recursive(
    SCALARS, lambda x: st.lists(x, max_size=3) | st.dictionaries(ANY, x, max_size=3), max_leaves=6
)
OBJECTS = st.fixed_dictionaries({"a": VALUES}, optional={"b": VALUES, "c": SCALARS})


def same(found, expected):
    """Equal and of one type; a missing value for a number that is none."""
    if isinstance(expected, float) and expected != expected:
        return found is None
    return type(found) is type(expected) and repr(found) == repr(expected)


@given(st.lists(OBJECTS, min_size=1, max_size=6), st.booleans(),
       st.sampled_from(["\n", "\r\n", "\n\n"]))  # fmt: skip
def test_json_lines_are_what_json_says(folder, rows, ascii_only, end):
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    path = write(folder / "t.jsonl", end.join(lines))
    found = read_table(path, {"x": "a"})["x"]
    assert all(same(x, json.loads(line)["a"]) for x, line in zip(found, lines, strict=True))
    if any("b" in row for row in rows):
        found = read_table(path, {"x": "b"})["x"]
        assert all(same(x, row.get("b")) for x, row in zip(found, rows, strict=True))


@given(st.lists(OBJECTS, min_size=1, max_size=4), st.integers(0, 3),
       st.text(st.sampled_from(list('{}[]",:a1\\')), max_size=9))  # fmt: skip
def test_a_line_that_json_refuses_is_refused_with_its_row(folder, rows, place, bad):
    lines = [json.dumps(row) for row in rows]
    place = min(place, len(lines))
    lines.insert(place, "{" + bad)
    with contextlib.suppress(ValueError):
        assume(not isinstance(json.loads(lines[place]), dict))
    path = write(folder / "t.jsonl", "\n".join(lines))
    assert read_or_row(path, {"x": "a"}) == f", row {place + 1}"


TYPES = [
    (pa.string(), ANY), (pa.large_string(), ANY), (pa.binary(), ANY), (pa.large_binary(), ANY),
    (pa.dictionary(pa.int32(), pa.string()), ANY), (pa.bool_(), st.booleans()),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)), (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.int8(), st.integers(-128, 127)), (pa.float64(), st.floats()),
    (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=3)),
]  # fmt: skip


@st.composite
def arrays(draw):
    """An array of any type with missing values, and its values."""
    kind, values = draw(st.sampled_from(TYPES))
    drawn = draw(st.lists(st.none() | values, max_size=6))
    return pa.array(drawn, kind), drawn


@given(arrays())
def test_parquet_is_what_was_written(folder, drawn):
    array, values = drawn
    path = parquet(folder / "t.parquet", a=array, b=array)
    found = read_table(path, {"x": "b"})["x"]
    assert all(same(x, value) for x, value in zip(found, values, strict=True))


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=5))
def test_bytes_are_decoded_as_python_does_or_refused_with_the_row(folder, values):
    expected = {"x": []}
    for number, value in enumerate(values, start=1):
        try:
            expected["x"].append(value.decode())
        except UnicodeDecodeError:
            expected = f", row {number}"
            break
    path = parquet(folder / "t.parquet", a=pa.array(values, pa.binary()))
    assert read_or_row(path, {"x": "a"}) == expected
