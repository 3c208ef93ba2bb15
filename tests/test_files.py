"""The user's own tables: CSV, JSONL and Parquet."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.files import read_file
from w2s.errors import DataError

COLUMNS: dict[str, list[Any]] = {
    "words": ["one, two", 'he said "no"', "naïve café", "NA"],
    "target": [0, 1, 1, 0],
    "document": ["a", "a", "b", "c"],
    "part": ["train", "val", "test", "pool"],
}
FORMATS = ("csv", "jsonl", "parquet")


def write(folder: Path, ending: str, columns: Any = None) -> Path:
    frame = pd.DataFrame(COLUMNS if columns is None else columns)
    path = folder / f"table.{ending}"
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "jsonl":
        records = frame.to_dict("records")
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    else:
        frame.to_parquet(path)
    return path


def refusal(path: Path, **columns: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_file(path, **{"text": "words", "label": "target", **columns})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_rows(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, ending)
    rows = read_file(path, text="words", label="target", group="document", split="part")
    assert rows.text == COLUMNS["words"]  # "NA" is a text, not a missing value
    assert rows.label == [0, 1, 1, 0]
    assert rows.group == ["a", "a", "b", "c"]
    assert rows.part == ["pool", "val", "test", "pool"]
    assert rows.source_id == ["row 1", "row 2", "row 3", "row 4"]
    assert rows.dropped == {}


@pytest.mark.parametrize("ending", FORMATS)
def test_reading_warns_of_nothing(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, ending)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_file(path, text="words", label="target").label == [0, 1, 1, 0]


@pytest.mark.parametrize("ending", FORMATS)
def test_group_and_split_are_nothing_unless_named(ending: str, tmp_path: Path) -> None:
    rows = read_file(write(tmp_path, ending), text="words", label="target")
    assert rows.group is None
    assert rows.part is None


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("setting", ["text", "label", "group", "split"])
def test_missing_column_is_refused_with_the_columns_found(
    ending: str, setting: str, tmp_path: Path
) -> None:
    line = refusal(write(tmp_path, ending), **{setting: "nothing"})
    assert "found columns words, target, document, part" in line
    assert f"expected 'nothing' ({setting})" in line


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("label", ["positive", 0.5, float("nan"), "", "inf"])
def test_label_that_is_no_whole_number_is_refused_with_its_row(
    ending: str, label: Any, tmp_path: Path
) -> None:
    labels = [0, 1, label]
    if ending == "parquet":  # a Parquet column has one type
        labels = [str(x) for x in labels] if isinstance(label, str) else [float(x) for x in labels]
    line = refusal(write(tmp_path, ending, {"words": ["a", "b", "c"], "target": labels}))
    assert re.search(", row 3: found (label .+|no label), ", line)
    assert line.endswith("expected 0 or 1")


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("labels", [[0, 1], [0.0, 1.0], [False, True], ["0", "1"]])
def test_whole_numbers_of_any_type_are_labels(
    ending: str, labels: list[Any], tmp_path: Path
) -> None:
    path = write(tmp_path, ending, {"words": ["a", "b"], "target": labels})
    if ending == "csv" and isinstance(labels[0], bool):
        path.write_text("words,target\na,False\nb,True\n", encoding="utf-8")
    assert read_file(path, text="words", label="target").label == [0, 1]


@pytest.mark.parametrize("ending", FORMATS)
def test_empty_text_is_read_as_empty_so_that_it_is_refused_later(
    ending: str, tmp_path: Path
) -> None:
    path = write(tmp_path, ending, {"words": ["a", ""], "target": [0, 1]})
    assert read_file(path, text="words", label="target").text == ["a", ""]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_missing_text_is_read_as_empty_and_not_as_a_word(ending: str, tmp_path: Path) -> None:
    path = write(tmp_path, ending, {"words": ["a", None], "target": [0, 1]})
    assert read_file(path, text="words", label="target").text == ["a", ""]


def test_texts_that_look_like_numbers_or_dates_stay_as_they_are(tmp_path: Path) -> None:
    texts = ["0012", "2020-01-01", "1e5"]
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"words": text, "target": i % 2}) for i, text in enumerate(texts)]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_file(path, text="words", label="target").text == texts
    frame = pd.DataFrame({"words": texts, "target": [0, 1, 0]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert read_file(tmp_path / "a.csv", text="words", label="target").text == texts


def test_csv_of_numbers_only_keeps_their_spelling(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("words,target\n007,0\n1.50,1\n", encoding="utf-8")
    assert read_file(path, text="words", label="target").text == ["007", "1.50"]


@given(st.lists(st.text(min_size=1, alphabet=st.characters(codec="utf-8")), min_size=1, max_size=5))
def test_csv_of_any_text_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    content = "".join(f"{text},1\n" for text in quoted)
    path.write_text("words,target\n" + content, encoding="utf-8", newline="")
    assert read_file(path, text="words", label="target").text == texts


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "found no file" in refusal(tmp_path / "none.csv")


@pytest.mark.parametrize("name", ["table.txt", "table", "table.xlsx"])
def test_unknown_ending_is_refused_with_the_known_ones(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("words,target\na,0\n")
    line = refusal(tmp_path / name)
    assert "expected .csv, .jsonl, .parquet" in line


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x00", b'{"words": "a", \n"b"\n\xff'])
def test_unreadable_content_is_refused(ending: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"table.{ending}"
    path.write_bytes(content)
    assert refusal(path)


@pytest.mark.parametrize(("row", "fields"), [("b,1,2,3", 4), ("b,1,", 3), ("b", 1)])
def test_csv_whose_rows_do_not_fit_its_header_is_refused(
    row: str, fields: int, tmp_path: Path
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(f"words,target\na,0\n{row}\n", encoding="utf-8")
    assert refusal(path) == f"{path}, row 2: found {fields} fields, expected 2 as in the header"
    every = f"words,more,target,most\n{'a,b,0,1,' if len(row) > 1 else 'a,b'}\n"
    path.write_text(every, encoding="utf-8")
    assert "row 1: found " in refusal(path)


def frame_of(kind: str, values: list[Any]) -> pd.DataFrame:
    """Texts of a type that pandas keeps apart from missing values."""
    return pd.DataFrame({"words": pd.array(values, dtype=kind), "target": [0, 1, 0, 1]})


@pytest.mark.parametrize("kind", ["object", "string", "string[python]", "category", "str"])
def test_a_missing_text_of_any_type_is_an_empty_one(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame_of(kind, ["a", "NA", None, "null"]).to_parquet(path)
    assert read_file(path, text="words", label="target").text == ["a", "NA", "", "null"]


def test_bytes_are_texts_in_utf8_or_refused_with_their_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame_of("object", [b"good film", "na\u00efve".encode(), None, b""]).to_parquet(path)
    assert read_file(path, text="words", label="target").text == ["good film", "naïve", "", ""]
    frame_of("object", [b"good film", b"fine", b"\xff\xfe", b"\xff"]).to_parquet(path)
    assert refusal(path).endswith(r"row 3: found b'\xff\xfe', expected text in UTF-8")


LARGE = 2**53 + 1


@pytest.mark.parametrize("kind", ["Int64", "UInt64", "int64[pyarrow]", "object"])
def test_groups_keep_all_their_digits_beside_missing_ones(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"words": list("abcd"), "target": [0, 1, 0, 1]})
    frame["doc"] = pd.array([LARGE, LARGE - 1, None, 7], dtype=kind)
    frame.to_parquet(tmp_path / "a.parquet")
    lines = [
        json.dumps({"words": "a", "target": 0, "doc": doc} | ({} if doc else {"more": 1}))
        for doc in (LARGE, LARGE - 1, None, 7)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    frame.to_csv(tmp_path / "a.csv", index=False)
    for ending in FORMATS:
        found = read_file(tmp_path / f"a.{ending}", text="words", label="target", group="doc")
        assert found.group == [str(LARGE), str(LARGE - 1), "", "7"]


@pytest.mark.parametrize("labels", [[True, None], [1, None], ["1", None], [1.0, None]])
def test_a_missing_label_is_refused_with_its_row(labels: list[Any], tmp_path: Path) -> None:
    pd.DataFrame({"words": ["a", "b"], "target": labels}).to_parquet(tmp_path / "a.parquet")
    assert refusal(tmp_path / "a.parquet").endswith("row 2: found no label, expected 0 or 1")


@pytest.mark.parametrize("label", ["0_1", "0.99999999999999999999", "1e999999999", "x", "nan"])
def test_a_label_is_a_whole_number_to_the_last_digit(label: str, tmp_path: Path) -> None:
    path = write(tmp_path, "csv", {"words": ["a", "b"], "target": ["1", label]})
    assert refusal(path).endswith(f"row 2: found label '{label}', expected 0 or 1")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("value", [["good", "film"], {"good": "film"}])
def test_a_list_or_an_object_is_no_text(ending: str, value: Any, tmp_path: Path) -> None:
    path = write(tmp_path, ending, {"words": [value, value], "target": [0, 1]})
    assert "row 1: found " in refusal(path)
    assert refusal(path).endswith("expected a text")
