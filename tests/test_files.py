"""The user's own tables: CSV, JSONL and Parquet."""

import json
import re
import warnings

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.files import read_file
from w2s.errors import DataError

COLUMNS = {
    "words": ["one, two", 'he said "no"', "naïve café", "NA"],
    "target": [0, 1, 1, 0],
    "document": ["a", "a", "b", "c"],
    "part": ["train", "val", "test", "pool"],
}
FORMATS = ("csv", "jsonl", "parquet")


def write(folder, ending, columns=None):
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


def refusal(path, **columns):
    with pytest.raises(DataError) as caught:
        read_file(path, **{"text": "words", "label": "target", **columns})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def read(path, **columns):
    return read_file(path, text="words", label="target", **columns)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_gives_the_same_rows(ending, tmp_path):
    path = write(tmp_path, ending)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = read(path, group="document", split="part")
    assert rows.text == COLUMNS["words"]  # "NA" is a text, not a missing value
    assert rows.label == [0, 1, 1, 0]
    assert rows.group == ["a", "a", "b", "c"]
    assert rows.part == ["pool", "val", "test", "pool"]
    assert rows.source_id == ["row 1", "row 2", "row 3", "row 4"]
    assert rows.dropped == {}
    rows = read(path)
    assert (rows.group, rows.part) == (None, None)
    for setting in ("text", "label", "group", "split"):
        line = refusal(path, **{setting: "nothing"})
        assert "found columns words, target, document, part" in line
        assert f"expected 'nothing' ({setting})" in line
    # an empty or missing text is read as empty, so that it is refused later, and not as a word
    for text in [""] if ending == "csv" else ["", None]:
        path = write(tmp_path, ending, {"words": ["a", text], "target": [0, 1]})
        assert read(path).text == ["a", ""]


@pytest.mark.parametrize("ending", FORMATS)
def test_labels_are_whole_numbers_of_any_type(ending, tmp_path, subtests):
    for labels in ([0, 1], [0.0, 1.0], [False, True], ["0", "1"]):
        with subtests.test(str(labels)):
            path = write(tmp_path, ending, {"words": ["a", "b"], "target": labels})
            if ending == "csv" and isinstance(labels[0], bool):
                path.write_text("words,target\na,False\nb,True\n", encoding="utf-8")
            assert read(path).label == [0, 1]
    for label in ("positive", 0.5, float("nan"), "", "inf"):
        with subtests.test(label):
            labels = [0, 1, label]
            if ending == "parquet":  # a Parquet column has one type
                labels = list(map(str if isinstance(label, str) else float, labels))
            line = refusal(write(tmp_path, ending, {"words": ["a", "b", "c"], "target": labels}))
            assert re.search(", row 3: found (label .+|no label), ", line)
            assert line.endswith("expected 0 or 1")


def test_texts_that_look_like_numbers_or_dates_stay_as_they_are(tmp_path):
    texts = ["0012", "2020-01-01", "1e5"]
    for ending in ("jsonl", "csv"):
        path = write(tmp_path, ending, {"words": texts, "target": [0, 1, 0]})
        assert read(path).text == texts
    path.write_text("words,target\n007,0\n1.50,1\n", encoding="utf-8")  # of numbers only
    assert read(path).text == ["007", "1.50"]


@given(st.lists(st.text(min_size=1, alphabet=st.characters(codec="utf-8")), min_size=1, max_size=5))
def test_csv_of_any_text_is_read_as_written(tmp_path_factory, texts):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    content = "".join(f"{text},1\n" for text in quoted)
    path.write_text("words,target\n" + content, encoding="utf-8", newline="")
    assert read(path).text == texts


def test_unreadable_content_is_refused(tmp_path, subtests):
    assert "found no file" in refusal(tmp_path / "none.csv")
    for name in ("table.txt", "table", "table.xlsx"):
        (tmp_path / name).write_text("words,target\na,0\n")
        assert "expected .csv, .jsonl, .parquet" in refusal(tmp_path / name)
    for ending in FORMATS:
        for content in (b"", b"\x00\xff\xfe\x00", b'{"words": "a", \n"b"\n\xff'):
            with subtests.test(ending, content=content):
                (tmp_path / f"table.{ending}").write_bytes(content)
                assert refusal(tmp_path / f"table.{ending}")


def test_csv_whose_rows_do_not_fit_its_header_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    for row, fields in (("b,1,2,3", 4), ("b,1,", 3), ("b", 1)):
        path.write_text(f"words,target\na,0\n{row}\n", encoding="utf-8")
        assert refusal(path) == f"{path}, row 2: found {fields} fields, expected 2 as in the header"
    for row in ("a,b,0,1,", "a,b"):
        path.write_text(f"words,more,target,most\n{row}\n", encoding="utf-8")
        assert "row 1: found " in refusal(path)


def frame_of(kind, values):
    """Texts of a type that pandas keeps apart from missing values."""
    return pd.DataFrame({"words": pd.array(values, dtype=kind), "target": [0, 1, 0, 1]})


@pytest.mark.parametrize("kind", ["object", "string", "string[python]", "category", "str"])
def test_a_missing_text_of_any_type_is_an_empty_one(kind, tmp_path):
    path = tmp_path / "a.parquet"
    frame_of(kind, ["a", "NA", None, "null"]).to_parquet(path)
    assert read(path).text == ["a", "NA", "", "null"]


def test_bytes_are_texts_in_utf8_or_refused_with_their_row(tmp_path):
    path = tmp_path / "a.parquet"
    frame_of("object", [b"good film", "na\u00efve".encode(), None, b""]).to_parquet(path)
    assert read(path).text == ["good film", "naïve", "", ""]
    frame_of("object", [b"good film", b"fine", b"\xff\xfe", b"\xff"]).to_parquet(path)
    assert refusal(path).endswith(r"row 3: found b'\xff\xfe', expected text in UTF-8")


LARGE = 2**53 + 1


@pytest.mark.parametrize("kind", ["Int64", "UInt64", "int64[pyarrow]", "object"])
def test_groups_keep_all_their_digits_beside_missing_ones(kind, tmp_path):
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


def test_a_missing_or_odd_label_is_refused_with_its_row(tmp_path):
    for label in (True, 1, "1", 1.0):
        path = write(tmp_path, "parquet", {"words": ["a", "b"], "target": [label, None]})
        assert refusal(path).endswith("row 2: found no label, expected 0 or 1")
    for label in ("0_1", "0.99999999999999999999", "1e999999999", "x", "nan"):  # to the last digit
        path = write(tmp_path, "csv", {"words": ["a", "b"], "target": ["1", label]})
        assert refusal(path).endswith(f"row 2: found label '{label}', expected 0 or 1")


def test_a_list_or_an_object_is_no_text(tmp_path):
    for ending in ("jsonl", "parquet"):
        for value in (["good", "film"], {"good": "film"}):
            path = write(tmp_path, ending, {"words": [value, value], "target": [0, 1]})
            assert re.search("row 1: found .*expected a text$", refusal(path))
