"""The table of stages agrees with the functions, the settings, the rules and the command line."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import pytest

# MOVER: from w2s import settings
from w2s.cli import main, output_option
from w2s.declare import ForPeople, Kind, Many, Plain, Strict
from w2s.tracks import STAGES

RULES = Path(__file__).parents[1] / "workflow" / "rules"
EVERY = pytest.mark.parametrize("name", list(STAGES))


def rules() -> dict[str, dict[str, str]]:
    """Text of every directive of every rule of the workflow, by rule and directive."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(RULES.glob("*.smk")):
        blocks = re.split(r"^(?:rule|checkpoint) (\w+):\n", path.read_text("utf-8"), flags=re.M)
        for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
            block = re.split(r"^\S", block, maxsplit=1, flags=re.M)[0]
            parts = re.split(r"^    (\w+):\n", block, flags=re.M)
            assert name not in found
            found[name] = {"doc": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    return found


def named(directive: str) -> list[str]:
    """Names of the items of an `input:`, `output:` or `params:`."""
    return re.findall(r"^        (\w+)=", directive, flags=re.M)


@EVERY
def test_function_takes_the_inputs_in_order_and_settings(name: str) -> None:
    stage = STAGES[name]
    module, function = stage.function.split(":")
    found = getattr(importlib.import_module(module), function)
    assert module == stage.module == f"w2s.steps.{name}"
    parameters = inspect.signature(found).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
    if Plain.MANIFEST in stage.outputs.values():  # fills a folder instead
        assert positional == ["folder"]
    else:
        assert positional == list(stage.inputs)
    extra = ["runtime"] * stage.runtime + ["work"] * stage.work
    assert keywords == ["settings", *extra]
    assert all(p.default is p.empty for p in parameters.values())
    assert found.__doc__


@EVERY
def test_settings_class_exists_and_is_what_the_function_takes(name: str) -> None:
    stage = STAGES[name]
    cls = stage.settings
    assert issubclass(cls, Strict)
    module, function = stage.function.split(":")
    annotations = getattr(importlib.import_module(module), function).__annotations__
    assert annotations["settings"] == cls.__name__
    assert len({other.settings for other in STAGES.values()}) == len(STAGES)


@EVERY
def test_row_of_the_table_is_complete(name: str) -> None:
    stage = STAGES[name]
    assert re.fullmatch(r"[a-z].*[^.]", stage.summary)
    assert stage.per
    assert stage.outputs
    for what in (*stage.inputs.values(), *stage.outputs.values()):
        assert isinstance(what, Kind | Many | ForPeople | Plain)
    options = [output_option(stage, output) for output in stage.outputs]
    options += ["--" + key.replace("_", "-") for key in stage.inputs]
    assert len(set(options)) == len(options)


@EVERY
def test_rule_of_the_same_name_has_the_same_inputs_and_outputs(name: str) -> None:
    stage, rule = STAGES[name], rules()[name]
    inputs = named(rule.get("input", ""))
    beside = ["beside"] if "source" in stage.inputs else []  # files of the source's folder
    beside += ["local"] if name == "fetch_task" else []  # of a local copy, named by the settings
    assert inputs == [*stage.inputs, *beside]
    outputs = named(rule["output"])
    assert [output for output in outputs if output in stage.outputs] == list(stage.outputs)
    extra = {output for output in outputs if output not in stage.outputs}
    people = {f"{o}_{end}" for o, kind in stage.outputs.items() if isinstance(kind, ForPeople)
              for end in ("csv", "md")}  # fmt: skip
    figures = {"png"} if Plain.FIGURE in stage.outputs.values() else set()
    assert extra == people | figures


@EVERY
def test_rule_calls_the_stage_with_every_option(name: str) -> None:
    stage, rule = STAGES[name], rules()[name]
    command = "".join(re.findall(r'"([^"\n]*)"', rule["shell"]))
    assert command.startswith(f"w2s {name} ")
    for key, kind in stage.inputs.items():
        place = "params" if kind is Plain.MODEL else "input"
        assert re.search(rf"--{key.replace('_', '-')} {{{place}\.{key}:q}}", command), key
    for key in stage.outputs:
        assert f"{output_option(stage, key)} {{output.{key}:q}}" in command
    assert "--settings {params.settings:q}" in command
    assert ("--device" in command) == ("--batch-tokens" in command) == stage.runtime


@EVERY
def test_rule_tracks_settings_and_code_and_keeps_a_log(name: str) -> None:
    rule = rules()[name]
    assert '"""' in rule["doc"]
    assert f'settings=settings("{name}")' in rule["params"]
    told = {"fetch", "fetch_task"}  # a hash or a commit says what the content is
    assert (f'code=code("{name}")' in rule["params"]) == (name not in told)
    assert "log" in rule
    assert "temp(" not in rule["output"]


def test_texts_are_read_by_a_model_once_for_all_seeds_and_pairs() -> None:
    for name in ("tokenize", "activations"):
        output = rules()[name]["output"]
        assert set(re.findall(r"{(\w+)}", output)) == {"dataset", "model"}
    for name in ("weak_labels", "overlap", "strong", "evaluate"):
        wildcards = set(re.findall(r"{(\w+)}", rules()[name]["output"]))
        assert wildcards == {"dataset", "weak", "strong", "seed"}


def test_every_rule_is_a_stage() -> None:
    assert set(rules()) == {*STAGES, "activations_shard"}


def test_rule_of_a_shard_is_that_of_all_texts_but_for_its_name_and_output() -> None:
    whole, shard = (dict(rules()[name]) for name in ("activations", "activations_shard"))
    for directives in (whole, shard):
        for name in ("doc", "output", "log", "benchmark"):
            directives.pop(name)
    assert {name: text.split() for name, text in shard.items()} == {
        name: re.sub("# not in params.*", "", text).split() for name, text in whole.items()
    }
    output = rules()["activations_shard"]["output"]
    assert "temp(" in output
    assert set(re.findall(r"{(\w+)}", output)) == {"dataset", "model", "scatteritem"}


@EVERY
def test_help_shows_the_summary_and_every_option(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = STAGES[name]
    with pytest.raises(SystemExit) as done:
        main([name, "--help"])
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert stage.summary[1:] in text
    assert stage.settings in text
    for key in stage.inputs:
        assert f"--{key.replace('_', '-')} PATH" in text
    for key in stage.outputs:
        assert f"{output_option(stage, key)} PATH" in text
    assert ("--batch-tokens" in text) == stage.runtime


def test_stages_come_in_the_order_of_a_run() -> None:
    made: set[str] = set()
    for stage in STAGES.values():
        for what in stage.inputs.values():
            kind = what.kind if isinstance(what, Many) else what
            assert not isinstance(kind, Kind) or kind.name in made
        for output in stage.outputs.values():
            kind = output.kind if isinstance(output, ForPeople) else output
            made |= {kind.name} if isinstance(kind, Kind) else set()


def test_commands_of_rules_quote_every_path() -> None:
    for name, parts in rules().items():
        named = re.findall(r"\{((?:input|output|log|params)[^{}]*)\}", parts.get("shell", ""))
        assert named, name
        assert [word for word in named if not word.endswith(":q")] == [], name
