"""Datasets in WRENCH's format: what is read, and refusal of what is not one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.data.wrench import PARTS, read_wrench
from w2s.errors import DataError
from w2s.weak_supervision.tables import analyze_lfs


def row(label=0, votes=(-1, 0, 1), **data):
    return {"label": label, "weak_labels": list(votes), "data": data or {"text": "some words"}}


def write(folder, **parts):
    """A dataset; parts that are not given have two rows of text."""
    for part in PARTS:
        rows = parts.get(part, {"0": row(0, text="good"), "1": row(1, text="bad")})
        content = rows if isinstance(rows, str) else json.dumps(rows)
        (folder / f"{part}.json").write_text(content, encoding="utf-8")
    return folder


def refusal(folder):
    with pytest.raises(DataError) as caught:
        read_wrench(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(folder))
    return message.removeprefix(f"{folder}/")


def test_texts_and_features_by_hand(tmp_path):
    train = {"7": row(1, (1, 0, -1), text="ça va"), "3": row(0, (0, 0, -1), text="non")}
    found = read_wrench(write(tmp_path, train=train))
    assert found.train.ids.tolist() == ["7", "3"]  # the order of the file
    assert found.train.text.tolist() == ["ça va", "non"]
    assert found.train.features is None
    np.testing.assert_array_equal(found.train.votes, [[1, 0, -1], [0, 0, -1]])
    np.testing.assert_array_equal(found.train.label, [1, 0])
    assert found.train.votes.dtype == found.train.label.dtype == np.int8
    assert found.test.ids.tolist() == ["0", "1"]
    # texts with more than texts are texts
    rows = {"a": row(text="one", entity1="x"), "b": row(1, text="two", feature=[1.0])}
    found = read_wrench(write(tmp_path, train=rows))
    assert found.train.text.tolist() == ["one", "two"]
    assert found.train.features is None
    rows = {"a": row(0, feature=[1, 2.5]), "b": row(1, feature=[-3e4, 0])}
    found = read_wrench(write(tmp_path, train=rows, valid=rows, test=rows))
    assert found.valid.text is None
    np.testing.assert_array_equal(found.valid.features, [[1, 2.5], [-30000, 0]])
    assert found.valid.features.dtype == np.float32


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 6), st.booleans())
def test_what_is_written_is_read(tmp_path_factory, seed, n, m, texts):
    rng = np.random.default_rng(seed)
    votes, label = rng.integers(-1, 2, (n, m)), rng.integers(0, 2, n)
    features = rng.normal(size=(n, 3)).astype(np.float32)
    data = [{"text": f"text {i}"} if texts else {"feature": features[i].tolist()} for i in range(n)]
    rows = {f"id{i}": row(int(label[i]), votes[i].tolist(), **data[i]) for i in rng.permutation(n)}
    folder = write(tmp_path_factory.mktemp("set"), train=rows, valid=rows, test=rows)
    found = read_wrench(folder).test
    order = [int(name[2:]) for name in found.ids]
    np.testing.assert_array_equal(found.votes, votes[order])
    np.testing.assert_array_equal(found.label, label[order])
    if not texts:
        np.testing.assert_array_equal(found.features, features[order])


def test_planted_accuracies_come_out_of_the_file(tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 3000)
    right = rng.random((3000, 2)) < [0.9, 0.6]
    votes = np.where(right, label[:, None], 1 - label[:, None])
    rows = {str(i): row(int(label[i]), votes[i].tolist()) for i in range(3000)}
    found = read_wrench(write(tmp_path, train=rows, valid=rows, test=rows)).train
    accuracy = analyze_lfs(found.votes, found.label)["accuracy"]
    np.testing.assert_allclose(accuracy, [0.9, 0.6], atol=0.03)


def test_names_of_two_classes_are_welcome_and_of_three_are_not(tmp_path):
    write(tmp_path)
    names = tmp_path / "label.json"
    names.write_text('{"0": "ham", "1": "spam"}')
    read_wrench(tmp_path)
    names.write_text('{"0": "a", "1": "b", "2": "c"}')
    assert refusal(tmp_path) == "label.json: found 3 classes, expected 2"


def test_every_part_is_needed_and_fits_the_others(tmp_path):
    for part in PARTS:
        (write(tmp_path) / f"{part}.json").unlink()
        assert refusal(tmp_path).startswith(f"{part}.json: found no file, expected a part")
    assert "train.json: found no file" in refusal(tmp_path / "nowhere")
    write(tmp_path, test={"0": row(votes=(0, 1))})
    told = "test.json: found 2 labeling functions, expected 3 as in train.json"
    assert refusal(tmp_path) == told
    write(tmp_path, valid={"0": row(feature=[1.0, 2.0])})
    assert refusal(tmp_path) == "valid.json: found 2 features, expected 0 as in train.json"


TWICE = '{"0": %s, "0": %s}' % (json.dumps(row()), json.dumps(row(1)))  # noqa: UP031


def test_bad_rows_are_refused(tmp_path, subtests):
    for rows, message in [
        ({"4": row(2)}, "row 4: found label 2, expected 0 or 1 (two classes)"),
        ({"4": row(-1)}, "row 4: found label -1, expected 0 or 1 (two classes)"),
        ({"4": row("1")}, "row 4: found label '1', expected 0 or 1 (two classes)"),
        ({"4": row(None)}, "row 4: found label None, expected 0 or 1 (two classes)"),
        ({"4": row([1])}, "row 4: found label [1], expected 0 or 1 (two classes)"),
        ({"4": row(votes=(0, 1, 2))}, "row 4: found weak label 2, expected -1 (abstain), 0 or 1"),
        ({"4": row(votes=(0, 1, None))}, "row 4: found weak label None, expected -1"),
        ({"4": row(votes=(0, 1, 0.5))}, "row 4: found weak label 0.5, expected -1"),
        ({"4": row(), "5": row(votes=(0, 1))}, "row 5: found 2 weak_labels, expected 3 as in the "),
        ({"4": row(votes=())}, "row 4: found no list of weak_labels, expected numbers"),
        ({"4": {**row(), "weak_labels": 1}}, "row 4: found no list of weak_labels"),
        ({"4": {"label": 0, "data": {}}}, "row 4: found no weak_labels, expected label, weak_la"),
        ({"4": [0, 1]}, "row 4: found no label, expected label, weak_labels, data"),
        ({"4": row(), "5": row(feature=[1.0])}, "row 5: found data without 'text', expected"),
        ({"4": row(feature=[1.0]), "5": row()}, "row 5: found data without 'feature', expected"),
        ({"4": {**row(), "data": "words"}}, "row 4: found data without 'feature', expected a text"),
        ({"4": row(text=" ")}, "row 4: found text ' ', expected words"),
        ({"4": row(text=3)}, "row 4: found text 3, expected words"),
        ({"4": row(feature=[1, 2]), "5": row(feature=[1])}, "row 5: found 1 features, expected 2"),
        ({"4": row(feature=[])}, "row 4: found no list of features, expected numbers"),
        ({"4": row(feature=[float("nan")])}, "row 4: found feature nan, expected finite numbers"),
        ({"4": row(feature=[1e39])}, "row 4: found feature 1e+39, expected finite numbers"),
        ({"4": row(feature=["1"])}, "row 4: found feature '1', expected finite numbers"),
        ({}, ": found no rows, expected one object from ids to rows"),
        ("[1, 2]", ": found [1, 2], expected an object"),
        ("{", ": cannot be read as JSON (Expecting property name"),
        (TWICE, ": found the key '0' twice, expected it once"),
    ]:
        with subtests.test(message, rows=rows):
            write(tmp_path, train=rows)
            separator = ", " if message.startswith("row") else ""
            assert refusal(tmp_path).startswith(f"train.json{separator}{message}")
    (tmp_path / "train.json").write_bytes(b'{"0": "\xff"}')  # not UTF-8
    assert refusal(tmp_path).startswith("train.json: cannot be read as JSON")
