"""The commands beside the stages: tasks, estimate, and configurations that cannot be read."""

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


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, *line):
    """The one line of a refused command, without its own name."""
    assert main(list(line)) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (message,) = shown.err.splitlines()
    start = f"w2s {line[0]}: error: "
    assert message.startswith(start)
    return message.removeprefix(start)


def test_tasks_are_listed_in_columns(capsys):
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


def test_tasks_of_a_file_come_too_and_one_that_cannot_be_used_is_one_line(capsys):
    assert refused(capsys, "tasks", "--file", "own.py").startswith("own.py")
    for content in ("TASKS = 1", "this is not Python"):
        Path("own.py").write_text(content, encoding="utf-8")
        assert refused(capsys, "tasks", "--file", "own.py").startswith("own.py")
    Path("own.py").write_text(OWN, encoding="utf-8")
    assert main(["tasks", "--file", "own.py"]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.split() == ["mine", "me/mine", "-", "good", "Is", "it", "good?"]


def test_estimate_tells_what_the_library_says(capsys):
    model = {"source": "hub", "id": "a/b", "revision": "main"}
    data = {
        "results": "results", "seeds": [0], "models": {"a": model, "b": model},
        "datasets": {"x": {"source": "hub", "task": "sst2"}},
        "pairs": [{"weak": "a", "strong": "b"}],
    }  # fmt: skip
    Path("config.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    assert main(["estimate", "--config", "config.yaml"]) == 0
    assert capsys.readouterr().out.splitlines() == list(estimate(parse(data)))


def test_a_configuration_that_cannot_be_read_is_one_line(capsys, subtests):
    # without a name it is that of the workflow
    assert refused(capsys, "estimate").startswith("config/config.yaml: cannot be read")
    for content, expected in (
        (None, "config.yaml: cannot be read (["),
        (b"\xff\xfe\x00", "config.yaml: cannot be read ("),
        (b"a: [", "config.yaml: cannot be read (while parsing"),
        (b"- a", "config.yaml: found list, expected settings by name"),
        (b"", "config.yaml: found NoneType, expected settings by name"),
        (b"results: r\ndatsets: {}", "datsets is not a setting; did you mean 'datasets'?"),
    ):
        if content is not None:
            Path("config.yaml").write_bytes(content)
        for command in ("estimate", "preflight"):
            with subtests.test(f"{command} {content}"):
                message = refused(capsys, command, "--config", "config.yaml")
                assert message.startswith(expected)
