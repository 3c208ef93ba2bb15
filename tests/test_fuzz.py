"""The script that spoils inputs: what it takes for a fault, and equal inputs from equal seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Chain
from fuzzing import artifacts, configurations, mutate, shared, tables, tasks
from fuzzing.case import Case, perform

from w2s.errors import ConfigError, W2SError


def ended(run: Callable[[], object], folder: Path, **options: object) -> tuple[str, str]:
    """How a function on a file ends, by the script."""
    place, other = folder / "case", folder / "other"
    for path in (place, other):
        path.mkdir()
    (place / "input.csv").write_text("text,label\n", encoding="utf-8")
    case = Case("", run, place, **options)  # type: ignore[arg-type]
    result = perform(case, other, folder / "stderr.txt", alone=False)
    return result.state, result.told


def raising(error: BaseException) -> Callable[[], object]:
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "several", "state", "told"),
    [
        (W2SError("found 1, expected 2"), False, "refused", "found 1, expected 2"),
        (W2SError("a\nb"), False, "refused", "error: a\\nb"),
        (ConfigError("a: found 1\nb: found 2"), True, "refused", "b: found 2"),
        (ConfigError("a: found 1\nb: found 2"), False, "fault", "2 lines of errors"),
        (W2SError(""), False, "fault", "an empty line"),
        (KeyError("x"), False, "fault", "raised KeyError"),
        (MemoryError(), False, "fault", "raised MemoryError"),
        (SystemExit(1), False, "fault", "exit code 1"),
        (SystemExit("words"), False, "fault", "SystemExit 'words'"),
        (KeyboardInterrupt(), False, "fault", "raised KeyboardInterrupt"),
    ],
)
def test_what_is_raised(
    error: BaseException, several: bool, state: str, told: str, tmp_path: Path
) -> None:
    found = ended(raising(error), tmp_path, several=several)
    assert found[0] == state
    assert told in found[1]


def test_files_that_are_left_changed_or_not_written(tmp_path: Path) -> None:
    def at(name: str) -> tuple[Path, Path]:
        place = tmp_path / name
        place.mkdir()
        return place, place / "case" / "out.csv"

    place, out = at("taken")
    assert ended(lambda: out.write_text("x"), place, outputs=[out]) == ("taken", "")
    place, out = at("lacking")
    assert ended(lambda: None, place, outputs=[out]) == ("fault", "did not write out.csv")
    place, out = at("hidden")
    hidden = out.with_name(".out-abc.csv")
    assert ended(lambda: hidden.write_text("x"), place) == ("fault", "left .out-abc.csv")
    place, out = at("changed")
    source = out.with_name("input.csv")
    assert ended(lambda: source.write_text("x"), place) == ("fault", "changed input.csv")
    place, out = at("other")
    source = place / "other" / "new"
    assert ended(lambda: source.write_text("x"), place) == ("fault", "left new")


def test_a_half_output_of_a_refused_input_is_a_fault(tmp_path: Path) -> None:
    out = tmp_path / "case" / "out.csv"

    def half() -> None:
        out.write_text("x", encoding="utf-8")
        raise W2SError("found 1, expected 2")

    state, told = ended(half, tmp_path, outputs=[out])
    assert state == "fault"
    assert told.startswith("left out.csv (error: found 1")


def test_a_traceback_on_standard_error_is_a_fault(tmp_path: Path) -> None:
    said = tmp_path / "stderr.txt"
    program = "Traceback (most recent call last):\nKeyError"
    assert ended(lambda: said.write_text(program), tmp_path)[0] == "fault"


def test_a_command_of_its_own_is_looked_at_in_the_same_way(tmp_path: Path) -> None:
    line = ["inspect", "nothing.parquet"]
    place, other = tmp_path / "case", tmp_path / "other"
    for path in (place, other):
        path.mkdir()
    result = perform(Case("", line, place), other, tmp_path / "stderr.txt", alone=True)
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
def files(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> shared.Shared:
    return shared.Shared(tmp_path_factory.mktemp("shared"), chain)


@pytest.mark.parametrize("name", MAKERS)
def test_equal_numbers_give_equal_inputs(
    name: str, files: shared.Shared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    for turn in range(2):
        abouts, contents = [], []
        for number in range(6):
            folder = tmp_path / str(turn) / str(number)
            folder.mkdir(parents=True)
            monkeypatch.chdir(folder)
            case = MAKERS[name](files, np.random.default_rng([0, number]), folder)
            abouts.append(case.about)
            contents += [
                path.read_bytes().replace(f"/{turn}/{number}".encode(), b"")
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            ]
        made.append((abouts, contents))
    assert made[0] == made[1]
    assert len(set(made[0][0])) > 3


@pytest.mark.parametrize("seed", range(20))
def test_spoilt_bytes_texts_and_trees_differ_from_what_they_were(seed: int) -> None:
    content, line, tree = b"some bytes of a file" * 9, "a: 1\nb: 2\nc: 3\n", {"a": [1, {"b": "c"}]}
    rng = np.random.default_rng(seed)
    changes = [
        (mutate.data(content, rng)[0] != content)
        + (mutate.text(line, rng)[0] != line)
        + (mutate.tree(tree, rng)[0] != tree)
        for _ in range(20)
    ]
    assert np.mean(changes) > 2
    assert tree == {"a": [1, {"b": "c"}]}
