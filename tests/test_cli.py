"""The command line: one option per input and output, one line a mistake, nothing slow for help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Chain

import w2s
from w2s.cli import main, parser
from w2s.declare import Stage, output_option
from w2s.tracks import STAGES

HEAVY = ("torch", "transformers", "sklearn", "pandas", "matplotlib")


def python(program: str) -> str:
    """Standard output of a program in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def heavy_after(program: str) -> list[str]:
    """Which of the slow packages a program imports."""
    tail = f"\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    return list(json.loads(python(program + tail).splitlines()[-1].replace("'", '"')))


HELP = """
from contextlib import suppress
from w2s.cli import main
for line in {lines}:
    with suppress(SystemExit):
        main(line)
"""


@pytest.mark.parametrize(
    "lines", [[["--help"]], [[name, "--help"] for name in STAGES], [["inspect", "--help"]], [[]]]
)
def test_help_and_usage_import_nothing_slow(lines: list[list[str]]) -> None:
    assert heavy_after(HELP.format(lines=lines)) == []


def test_what_the_snakefile_imports_is_nothing_slow() -> None:
    program = """
import w2s, w2s.config, w2s.stages, w2s.kinds, w2s.settings, w2s.errors
from w2s import dag, digest
from w2s.tracks import STAGES
digests = [digest.code_digest(stage) for stage in STAGES]
"""
    assert heavy_after(program) == []


def test_library_is_imported_on_first_use() -> None:
    program = """
import w2s
assert not [name for name in sys.modules if name.startswith("w2s.")]
w2s.change_point([0, 0, 1, 1])
"""
    assert heavy_after("import sys" + program) == []


def test_every_stable_name_is_there() -> None:
    for name in w2s.__all__:
        assert getattr(w2s, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'w2s' has no attribute 'nothing'"):
        w2s.nothing  # noqa: B018


def test_checks_of_a_bad_call_import_nothing_slow(chain: Chain) -> None:
    line = chain.jobs["overlap-0"].line(settings={"layers": 1}, regions="never.parquet")
    assert heavy_after(HELP.format(lines=[line])) == []


def test_module_and_command_are_the_same_program() -> None:
    called = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout
        for command in ([str(Path(sys.executable).parent / "w2s")], [sys.executable, "-m", "w2s"])
    ]
    assert called[0] == called[1]
    for name, stage in STAGES.items():
        assert f" {name} {stage.summary} " in " ".join(called[0].split())
    assert " inspect show what artifacts hold" in " ".join(called[0].split())


def test_process_exits_with_2_and_one_line_after_a_mistake(tmp_path: Path) -> None:
    missing, output = tmp_path / "none.parquet", tmp_path / "split.parquet"
    line = ["split", "--examples", str(missing), "--split", str(output)]
    settings = json.dumps({"dataset": "films", "seed": 0})
    done = subprocess.run(
        [sys.executable, "-m", "w2s", *line, "--settings", settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"w2s split: error: {missing}: found no file, expected an artifact; run the stage before\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["unheard-of"],
        ["split"],
        ["split", "--examples", "a.parquet"],
        ["split", "--examples", "a.parquet", "--split", "b.parquet", "--more", "c"],
        ["activations", "--batch-tokens", "many"],
        ["split", "--device", "cpu"],
        ["inspect"],
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_missing(
    line: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as done:
        main(line)
    assert done.value.code == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("{", "--settings: found text that is not JSON"),
        ("", "--settings: found text that is not JSON"),
        ("seed: 3", "--settings: found text that is not JSON"),
        ("[1]", "found [1]"),
        ("3", "found 3"),
        ("null", "found None"),
        ('{"dataset": "films"}', "seed: found nothing, expected a value"),
        ('{"dataset": "films", "seed": "x"}', "seed: found 'x'"),
        (
            '{"dataset": "films", "seed": 0, "sede": 1}',
            "sede is not a setting; did you mean 'seed'?",
        ),
    ],
)
def test_bad_settings_are_one_line(
    settings: str, expected: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "split.parquet"
    line = ["split", "--examples", str(chain / "examples.parquet"), "--split", str(output)]
    assert main([*line, "--settings", settings]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith("w2s split: error: ")
    assert expected in message
    assert list(tmp_path.iterdir()) == []


def test_settings_that_are_not_a_mapping_name_the_option(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["split", "--examples", str(chain / "examples.parquet"), "--split", str(tmp_path / "x")]
    assert main([*line, "--settings", "[1]"]) == 2
    message = capsys.readouterr().err
    assert "error: : found" not in message
    assert "settings" in message


@pytest.mark.parametrize(
    ("option", "value"), [("--device", "gpu"), ("--device", "cuda:x"), ("--batch-tokens", "0")]
)
def test_bad_runtime_is_one_line(
    option: str, value: str, chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = chain.jobs["activations-small"]
    line = job.line(activations=tmp_path / "a.safetensors")
    assert main([*line, option, value]) == 2
    (message,) = capsys.readouterr().err.splitlines()
    assert message.startswith(f"w2s activations: error: {option[2:].replace('-', '_')}: found ")
    assert list(tmp_path.iterdir()) == []


def test_several_mistakes_are_a_line_each(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = chain.jobs["strong-0"].line(
        settings={"probe": {"l2": -1}, "mixing": {"repeats": 0}}, runs=tmp_path / "r.parquet"
    )
    assert main(line) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [message.split(": ")[2] for message in lines] == ["probe.l2", "mixing.repeats"]


def test_option_of_an_output_never_hides_an_input() -> None:
    stage = Stage("s", "p", "m:f", "S", {"same": None}, {"same": None, "other_one": None})  # type: ignore[dict-item]
    assert output_option(stage, "same") == "--to-same"
    assert output_option(stage, "other_one") == "--other-one"


def test_every_stage_has_a_command_and_so_have_the_commands_beside_them() -> None:
    action: Any = parser()._subparsers._group_actions[0]  # type: ignore[union-attr]
    beside = ["inspect", "verify", "tasks", "preflight", "estimate"]
    assert list(action.choices) == [*STAGES, *beside]


def test_a_fault_of_the_program_is_a_traceback_and_not_a_line(
    chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("w2s.data.splits.split", fault)
    with pytest.raises(ZeroDivisionError):
        main(chain.jobs["split-0"].line(split=tmp_path / "split.parquet"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sign", ["\n", "\r", "\u2028", "\x0b", "\x85", "\x1b[31m", "\u202e"])
def test_whatever_a_message_quotes_it_is_one_line(
    sign: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "a", "label": 1}\n', encoding="utf-8")
    data = {"source": "file", "path": "texts.jsonl", "text": f"a{sign}b"}
    line = ["examples", "--source", str(source), "--examples", str(tmp_path / "e.parquet")]
    assert main([*line, "--settings", json.dumps({"dataset": "m", "data": data})]) == 2
    told = capsys.readouterr().err
    shown = repr(sign)[1:-1]
    assert told.splitlines() == [
        f"w2s examples: error: {source}: found columns text, label; expected 'a{shown}b' (text)"
    ]
    assert told.removesuffix("\n").isprintable()


def test_usage_quotes_what_it_does_not_know_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["tasks", "a\x1b[31m\nb"])
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "w2s: error: unrecognized arguments: a\\x1b[31m\\nb"


@pytest.mark.parametrize("command", ["inspect", "verify", "estimate --config", "tasks --file"])
def test_an_argument_that_is_not_utf_8_is_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "a\udcff.parquet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("found 'a\\udcff.parquet', expected arguments in UTF-8")


def test_settings_of_half_signs_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"source": "file", "path": "x", "text": "a\ud83d"}
    line = ["examples", "--source", "x.csv", "--examples", str(tmp_path / "e.parquet")]
    settings = json.dumps({"dataset": "\udcff", "data": data})
    assert main([*line, "--settings", settings]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("w2s examples: error: dataset: found '\\udcff', expected signs of")
    assert second.startswith("w2s examples: error: data.text: found 'a\\ud83d', expected signs of")
    (tmp_path / "c.yaml").write_text('results: "a\\ud83d"\nsynthetic: {}\n', encoding="utf-8")
    assert main(["estimate", "--config", str(tmp_path / "c.yaml")]) == 2
    assert "results: found 'a\\ud83d', expected signs of" in capsys.readouterr().err


def test_a_wrong_setting_of_two_lines_is_told_in_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = '"a\\u2028b": 1\n"c\\nd": 1\nresults: r\n'
    (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
    assert main(["estimate", "--config", str(tmp_path / "c.yaml")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("w2s estimate: error: a\\u2028b is not a setting")
    assert second.startswith("w2s estimate: error: c\\nd is not a setting")


@pytest.mark.parametrize("command", ["inspect", "verify", "estimate", "examples", "overlap"])
def test_a_path_that_the_system_does_not_look_up_is_one_line(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = str(tmp_path / ("x" * 300))
    data = {"source": "file", "path": "x"}
    lines = {
        "inspect": [long],
        "verify": [long],
        "estimate": ["--config", long],
        "examples": ["--source", long, "--examples", str(tmp_path / "e.parquet"),
                     "--settings", json.dumps({"dataset": "m", "data": data})],
        "overlap": ["--weak-labels", long, "--activations", long, "--regions", long],
    }  # fmt: skip
    assert main([command, *lines[command]]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"w2s {command}: error: {long}: cannot be ")


def test_inspect_shows_every_artifact_of_a_run(
    chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [p for p in sorted(chain.folder.iterdir()) if p.suffix in (".parquet", ".safetensors")]
    assert main(["inspect", *map(str, paths)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for path in paths:
        assert f"{path}\n  kind " in shown.out


def test_inspect_goes_on_after_a_bad_file_and_exits_with_2(
    chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = chain / "split-0.parquet", tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1")
    assert main(["inspect", str(bad), str(tmp_path / "none.parquet"), str(good)]) == 2
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("w2s inspect: error: ") for line in lines)
    assert shown.out.startswith(str(good))


@pytest.mark.parametrize("rows", [0, 3])
def test_inspect_shows_as_many_rows_as_asked(
    rows: int, chain: Chain, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", "--rows", str(rows), str(chain / "split-0.parquet")]) == 0
    assert capsys.readouterr().out.count("  id=") == rows
