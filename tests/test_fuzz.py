"""The script that spoils inputs: what it takes for a fault, and equal inputs from equal seeds."""

import re

import numpy as np
import pytest
from fuzzing import artifacts, configurations, mutate, shared, tables, tasks
from fuzzing.case import Case, perform

from w2s.errors import ConfigError, W2SError

OUT, WRONG = "case/out.csv", W2SError("found 1, expected 2")
TWO = ConfigError("a: found 1\nb: found 2")
TRACEBACK = "Traceback (most recent call last):\nKeyError"
CASES = [  # the file that a function writes, what it raises, options, how it ends, what is told
    ("", WRONG, {}, "refused", "found 1, expected 2"),
    ("", W2SError("a\nb"), {}, "refused", r"error: a\\nb"),
    ("", TWO, {"several": True}, "refused", "b: found 2"),
    ("", TWO, {"several": False}, "fault", "2 lines of errors"),
    ("", W2SError(""), {}, "fault", "an empty line"),
    ("", KeyError("x"), {}, "fault", "raised KeyError"),
    ("", MemoryError(), {}, "fault", "raised MemoryError"),
    ("", SystemExit(1), {}, "fault", "exit code 1"),
    ("", SystemExit("words"), {}, "fault", "SystemExit 'words'"),
    ("", KeyboardInterrupt(), {}, "fault", "raised KeyboardInterrupt"),
    (OUT, None, {"outputs": [OUT]}, "taken", "^$"),
    ("", None, {"outputs": [OUT]}, "fault", r"^did not write out\.csv$"),
    ("case/.out-abc.csv", None, {}, "fault", r"^left \.out-abc\.csv$"),
    ("case/input.csv", None, {}, "fault", r"^changed input\.csv$"),
    ("other/new", None, {}, "fault", "^left new$"),
    (OUT, WRONG, {"outputs": [OUT]}, "fault", r"^left out\.csv \(error: found 1"),  # half of it
    ("stderr.txt", None, {}, "fault", "^a traceback on standard error$"),
]


def test_how_an_input_ends(tmp_path, subtests):
    for number, (name, error, options, state, told) in enumerate(CASES):
        place = tmp_path / str(number)
        for folder in (place / "case", place / "other"):
            folder.mkdir(parents=True)
        (place / "case" / "input.csv").write_text("text,label\n", encoding="utf-8")

        def run(place=place, name=name, error=error):
            if name:
                (place / name).write_text(TRACEBACK, encoding="utf-8")
            if error:
                raise error

        options = {**options, "outputs": [place / path for path in options.get("outputs", ())]}
        with subtests.test(f"{name} {error!r}", **options):
            case = Case("", run, place / "case", **options)
            result = perform(case, place / "other", place / "stderr.txt", alone=False)
            assert result.state == state
            assert re.search(told, result.told)
    # a command of its own is looked at in the same way
    case = Case("", ["inspect", "nothing.parquet"], place / "case")
    result = perform(case, place / "other", place / "stderr.txt", alone=True)
    assert result.state == "refused"
    assert result.told.startswith("w2s inspect: error: nothing.parquet: found no file")


MAKERS = {
    "configuration": configurations.configuration,
    "command": configurations.command_line,
    "table": tables.table,
    "artifact": artifacts.artifact,
    "folder": artifacts.folder_of,
    "copy": tasks.local_copy,
}


@pytest.fixture(scope="module")
def files(chain, tmp_path_factory):
    return shared.Shared(tmp_path_factory.mktemp("shared"), chain)


@pytest.mark.parametrize("name", MAKERS)
def test_equal_numbers_give_equal_inputs(name, files, tmp_path, monkeypatch):
    made = []
    for turn in range(2):
        abouts, contents = [], []
        for number in range(6):
            folder = tmp_path / str(turn) / str(number)
            folder.mkdir(parents=True)
            monkeypatch.chdir(folder)
            case = MAKERS[name](files, np.random.default_rng([0, number]), folder)
            abouts.append(case.about)
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            own = f"/{turn}/{number}".encode()
            contents += [path.read_bytes().replace(own, b"") for path in paths]
        made.append((abouts, contents))
    assert made[0] == made[1]
    assert len(set(made[0][0])) > 3


def test_spoilt_bytes_texts_and_trees_differ_from_what_they_were():
    content, line, tree = b"some bytes of a file" * 9, "a: 1\nb: 2\nc: 3\n", {"a": [1, {"b": "c"}]}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        changes = [
            (mutate.data(content, rng)[0] != content)
            + (mutate.text(line, rng)[0] != line)
            + (mutate.tree(tree, rng)[0] != tree)
            for _ in range(20)
        ]
        assert np.mean(changes) > 2
        assert tree == {"a": [1, {"b": "c"}]}
