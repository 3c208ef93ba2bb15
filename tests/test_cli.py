"""The command line: one option per input and output, one line a mistake, nothing slow for help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import w2s
from w2s.cli import main, parser
from w2s.declare import Stage, output_option
from w2s.tracks import STAGES

HEAVY = ("torch", "transformers", "sklearn", "pandas", "matplotlib")
SPLIT = json.dumps({"dataset": "films", "seed": 0})


def python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def heavy_after(program):
    """Which of the slow packages a program imports."""
    tail = f"\nimport json, sys; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = python("-c", program + tail)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def told(capsys, line, code=2):
    """The lines that a call writes to standard error, without the command's name."""
    assert main(list(map(str, line))) == code
    lines = capsys.readouterr().err.splitlines()
    start = f"w2s {line[0]}: error: "
    assert all(message.startswith(start) for message in lines)
    return [message.removeprefix(start) for message in lines]


HELP = """
from contextlib import suppress
from w2s.cli import main
for line in {lines}:
    with suppress(SystemExit):
        main(line)
"""
SNAKEFILE = """
import w2s, w2s.config, w2s.errors
from w2s import dag, digest
from w2s.tracks import STAGES
digests = [digest.code_digest(stage) for stage in STAGES]
"""
FIRST_USE = """
import sys, w2s
assert not [name for name in sys.modules if name.startswith("w2s.")]
w2s.change_point([0, 0, 1, 1])
"""


def test_help_the_snakefile_and_a_bad_call_import_nothing_slow(chain):
    wrong = chain.jobs["overlap-0"].line(settings={"layers": 1}, regions="never.parquet")
    every = [["--help"], *([name, "--help"] for name in STAGES), ["inspect", "--help"], [], wrong]
    assert heavy_after(HELP.format(lines=every)) == []
    assert heavy_after(SNAKEFILE) == []
    assert heavy_after(FIRST_USE) == []  # the library itself is imported on first use


def test_every_stable_name_is_there():
    for name in w2s.__all__:
        assert getattr(w2s, name).__name__ == name
    with pytest.raises(AttributeError, match="module 'w2s' has no attribute 'nothing'"):
        w2s.nothing  # noqa: B018


def test_module_and_command_are_the_same_program():
    program = str(Path(sys.executable).parent / "w2s")
    command = subprocess.run([program, "--help"], capture_output=True, text=True, check=True)
    assert command.stdout == python("-m", "w2s", "--help").stdout
    shown = " ".join(command.stdout.split())
    for name, stage in STAGES.items():
        assert f" {name} {stage.summary} " in shown
    assert " inspect show what artifacts hold" in shown


def test_process_exits_with_2_and_one_line_after_a_mistake(tmp_path):
    missing, output = tmp_path / "none.parquet", tmp_path / "split.parquet"
    line = ["split", "--examples", str(missing), "--split", str(output), "--settings", SPLIT]
    done = python("-m", "w2s", *line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"w2s split: error: {missing}: found no file, expected an artifact; run the stage before\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_exits_with_2_and_says_what_is_missing(capsys):
    for line, expected in (
        ("", "required"),
        ("unheard-of", "invalid choice"),
        ("split", "required: --examples, --split"),
        ("split --examples a.parquet", "required: --split"),
        ("split --examples a.parquet --split b.parquet --more c", "--more c"),
        ("activations --batch-tokens many", "'many'"),
        ("split --device cpu", "--examples"),
        ("inspect", "required"),
    ):
        with pytest.raises(SystemExit) as done:
            main(line.split())
        assert done.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert "error: " in last
        assert expected in last
    with pytest.raises(SystemExit):
        main(["tasks", "a\x1b[31m\nb"])
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "w2s: error: unrecognized arguments: a\\x1b[31m\\nb"


def test_bad_settings_are_one_line(chain, tmp_path, capsys, subtests):
    line = ["split", "--examples", chain / "examples.parquet", "--split", tmp_path / "s.parquet"]
    sede = "sede is not a setting; did you mean 'seed'?"
    for settings, expected in (
        ("{", "--settings: found text that is not JSON"),
        ("", "--settings: found text that is not JSON"),
        ("seed: 3", "--settings: found text that is not JSON"),
        ("[1]", "settings: found [1]"),
        ("3", "settings: found 3"),
        ("null", "settings: found None"),
        ('{"dataset": "films"}', "seed: found nothing, expected a value"),
        ('{"dataset": "films", "seed": "x"}', "seed: found 'x'"),
        ('{"dataset": "films", "seed": 0, "sede": 1}', sede),
    ):
        with subtests.test(settings):
            (message,) = told(capsys, [*line, "--settings", settings])
            assert expected in message
            assert list(tmp_path.iterdir()) == []


def test_bad_runtime_is_one_line_and_several_mistakes_are_a_line_each(chain, tmp_path, capsys):
    line = chain.jobs["activations-small"].line(activations=tmp_path / "a.safetensors")
    for option, value in (("device", "gpu"), ("device", "cuda:x"), ("batch-tokens", "0")):
        (message,) = told(capsys, [*line, f"--{option}", value])
        assert message.startswith(f"{option.replace('-', '_')}: found ")
    settings = {"probe": {"l2": -1}, "mixing": {"repeats": 0}}
    line = chain.jobs["strong-0"].line(settings=settings, runs=tmp_path / "r.parquet")
    wrong = [message.split(": ")[0] for message in told(capsys, line)]
    assert wrong == ["probe.l2", "mixing.repeats"]
    assert list(tmp_path.iterdir()) == []


def test_every_stage_has_a_command_and_so_have_the_commands_beside_them():
    beside = ["inspect", "verify", "tasks", "preflight", "estimate"]
    assert list(parser()._subparsers._group_actions[0].choices) == [*STAGES, *beside]
    stage = Stage("s", "p", "m:f", "S", {"same": None}, {"same": None, "other_one": None})
    assert output_option(stage, "same") == "--to-same"  # an output never hides an input
    assert output_option(stage, "other_one") == "--other-one"


def test_a_fault_of_the_program_is_a_traceback_and_not_a_line(chain, tmp_path, monkeypatch):
    def fault(*_, **__):
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr("w2s.data.splits.split", fault)
    with pytest.raises(ZeroDivisionError):
        main(chain.jobs["split-0"].line(split=tmp_path / "split.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_whatever_a_message_quotes_it_is_one_line(tmp_path, capsys, subtests):
    source = tmp_path / "texts.jsonl"
    source.write_text('{"text": "a", "label": 1}\n', encoding="utf-8")
    for sign in ("\n", "\r", "\u2028", "\x0b", "\x85", "\x1b[31m", "\u202e"):
        data = {"source": "file", "path": "texts.jsonl", "text": f"a{sign}b"}
        settings = json.dumps({"dataset": "m", "data": data})
        line = ["examples", "--source", source, "--examples", tmp_path / "e.parquet"]
        with subtests.test(repr(sign)):
            (message,) = told(capsys, [*line, "--settings", settings])
            shown = repr(sign)[1:-1]
            assert message == f"{source}: found columns text, label; expected 'a{shown}b' (text)"
            assert message.isprintable()
    (tmp_path / "c.yaml").write_text('"a\\u2028b": 1\n"c\\nd": 1\nresults: r\n', encoding="utf-8")
    first, second = told(capsys, ["estimate", "--config", tmp_path / "c.yaml"])
    assert first.startswith("a\\u2028b is not a setting")
    assert second.startswith("c\\nd is not a setting")


def test_arguments_and_settings_that_are_not_utf_8_are_named(tmp_path, capsys):
    for command in ("inspect", "verify", "estimate --config", "tasks --file"):
        assert main([*command.split(), "a\udcff.parquet"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("found 'a\\udcff.parquet', expected arguments in UTF-8")
    data = {"source": "file", "path": "x", "text": "a\ud83d"}
    line = ["examples", "--source", "x.csv", "--examples", tmp_path / "e.parquet"]
    settings = json.dumps({"dataset": "\udcff", "data": data})
    first, second = told(capsys, [*line, "--settings", settings])
    assert first.startswith("dataset: found '\\udcff', expected signs of")
    assert second.startswith("data.text: found 'a\\ud83d', expected signs of")
    (tmp_path / "c.yaml").write_text('results: "a\\ud83d"\nsynthetic: {}\n', encoding="utf-8")
    (message,) = told(capsys, ["estimate", "--config", tmp_path / "c.yaml"])
    assert message.startswith("results: found 'a\\ud83d', expected signs of")


def test_a_path_that_the_system_does_not_look_up_is_one_line(tmp_path, capsys, subtests):
    long = tmp_path / ("x" * 300)
    data = {"source": "file", "path": "x"}
    settings = json.dumps({"dataset": "m", "data": data})
    for line in (
        ["inspect", long],
        ["verify", long],
        ["estimate", "--config", long],
        [
            "examples",
            "--source",
            long,
            "--examples",
            tmp_path / "e.parquet",
            "--settings",
            settings,
        ],
        ["overlap", "--weak-labels", long, "--activations", long, "--regions", long],
    ):
        with subtests.test(line[0]):
            (message,) = told(capsys, line)
            assert message.startswith(f"{long}: cannot be ")


def test_inspect_shows_every_artifact_and_as_many_rows_as_asked(chain, capsys):
    paths = [p for p in sorted(chain.folder.iterdir()) if p.suffix in (".parquet", ".safetensors")]
    assert main(["inspect", *map(str, paths)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for path in paths:
        assert f"{path}\n  kind " in shown.out
    for rows in (0, 3):
        assert main(["inspect", "--rows", str(rows), str(chain / "split-0.parquet")]) == 0
        assert capsys.readouterr().out.count("  id=") == rows


def test_inspect_goes_on_after_a_bad_file_and_exits_with_2(chain, tmp_path, capsys):
    good, bad = chain / "split-0.parquet", tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1")
    assert main(["inspect", str(bad), str(tmp_path / "none.parquet"), str(good)]) == 2
    shown = capsys.readouterr()
    lines = shown.err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("w2s inspect: error: ") for line in lines)
    assert shown.out.startswith(str(good))
