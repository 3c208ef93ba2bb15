"""The commands beside the stages: tasks, estimate, and configurations that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from w2s.cli import main
from w2s.config import parse
from w2s.data.tasks import TASKS
from w2s.estimate import estimate

OWN = """
from w2s.data.task import Task
TASKS = {"mine": Task(summary="Is it good?", hub="me/mine", columns=("words",), label="good",
                      format=lambda row, rng: None)}
"""


def test_tasks_are_listed_in_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tasks"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TASKS)
    columns = [head.index(word) for word in ("repository", "together", "label 1", "what is asked")]
    for line, task in zip(lines, TASKS.values(), strict=True):
        assert line[columns[0] :].startswith(task.hub)
        assert line[columns[1] :].startswith(task.group or "-")
        assert line[columns[2] :].startswith(task.label)
        assert line[columns[3] :] == task.summary
        assert all(line[column - 1] == " " for column in columns)


def test_tasks_of_a_file_come_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    assert main(["tasks", "--file", str(tmp_path / "own.py")]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.split() == ["mine", "me/mine", "-", "good", "Is", "it", "good?"]


@pytest.mark.parametrize("content", [None, "TASKS = 1", "this is not Python"])
def test_a_file_of_tasks_that_cannot_be_used_is_one_line(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "own.py"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert main(["tasks", "--file", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith(f"w2s tasks: error: {path}")


def test_estimate_tells_what_the_library_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = {"source": "hub", "id": "a/b", "revision": "main"}
    data = {
        "results": "results", "seeds": [0], "models": {"a": model, "b": model},
        "datasets": {"x": {"source": "hub", "task": "sst2"}},
        "pairs": [{"weak": "a", "strong": "b"}],
    }  # fmt: skip
    Path("config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    assert main(["estimate", "--config", "config.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == list(estimate(parse(data)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "config.yaml: cannot be read (["),
        (b"\xff\xfe\x00", "config.yaml: cannot be read ("),
        (b"a: [", "config.yaml: cannot be read (while parsing"),
        (b"- a", "config.yaml: found list, expected settings by name"),
        (b"", "config.yaml: found NoneType, expected settings by name"),
        (b"results: r\ndatsets: {}", "datsets is not a setting; did you mean 'datasets'?"),
    ],
)
@pytest.mark.parametrize("command", ["estimate", "preflight"])
def test_a_configuration_that_cannot_be_read_is_one_line(
    command: str, content: bytes | None, expected: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("config.yaml").write_bytes(content)
    assert main([command, "--config", "config.yaml"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith(f"w2s {command}: error: {expected}")


def test_without_a_name_the_configuration_of_the_workflow_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["estimate"]) == 2
    assert "config/config.yaml: cannot be read" in capsys.readouterr().err
