"""What tracks declare fits together: rows with functions, settings, rules, jobs and kinds."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from w2s import dag
from w2s.cli import main
from w2s.config import parse
from w2s.declare import ID, KINDS, ForPeople, Kind, Many, Plain, Strict, option, output_option
from w2s.tracks import FILES, STAGES

RULES = Path(__file__).parents[1] / "workflow" / "rules"
MOST = 30  # lines of a rule, without its docstring
PINNED = {"fetch", "fetch_task"}  # a hash or a commit says what the content is


def rules() -> dict[str, dict[str, str]]:
    """Text of every directive of every rule of the workflow, by rule and directive."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(RULES.glob("*.smk")):
        blocks = re.split(r"^rule (\w+):\n", path.read_text("utf-8"), flags=re.M)
        for name, block in zip(blocks[1::2], blocks[2::2], strict=True):
            block = re.split(r"^\S", block, maxsplit=1, flags=re.M)[0]
            parts = re.split(r"^    (\w+):\n", block, flags=re.M)
            assert name not in found
            found[name] = {"doc": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    return found


def named(directive: str) -> list[str]:
    """Names of the items of an `input:` or `output:`, those of tables and figures too."""
    made = re.search(r"\*\*(?:tables|figures)\((.*?)\),\n", directive, flags=re.S)
    if made:
        words = re.sub(r'folder="\w+"', "", made[1])
        return re.findall(r"(\w+)=", words) or re.findall(r'"(\w+)"', words)
    return re.findall(r"^        (\w+)=", directive, flags=re.M)


def kind_of(what: object) -> object:
    return what.kind if isinstance(what, ForPeople | Many) else what


def test_functions_take_their_inputs_in_order_and_their_settings(subtests) -> None:
    for name, stage in STAGES.items():
        with subtests.test(stage=name):
            module, function = stage.function.split(":")
            found = getattr(importlib.import_module(module), function)
            assert function == name
            parameters = inspect.signature(found).parameters
            positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
            keywords = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
            if Plain.MANIFEST in stage.outputs.values():  # fills a folder instead
                assert positional == ["folder"]
            else:
                assert positional == list(stage.inputs)
            assert keywords == ["settings", *["runtime"] * stage.runtime, *["work"] * stage.work]
            assert all(p.default is p.empty for p in parameters.values())
            assert found.__doc__
            assert issubclass(stage.settings, Strict)
            assert found.__annotations__["settings"] == stage.settings.__name__


def test_rows_are_complete_and_come_in_the_order_of_a_run() -> None:
    made: set[str] = set()
    for stage in STAGES.values():
        assert re.fullmatch(r"[a-z].*[^.]", stage.summary)
        assert stage.per
        assert stage.outputs
        read = [kind_of(what) for what in stage.inputs.values()]
        assert {what.name for what in read if isinstance(what, Kind)} <= made
        made |= {w.name for w in map(kind_of, stage.outputs.values()) if isinstance(w, Kind)}
    assert made == set(KINDS)


def test_rules_are_those_of_the_stages_and_read_and_write_what_these_do(subtests) -> None:
    assert set(rules()) == set(STAGES)
    for name, rule in rules().items():
        stage = STAGES[name]
        with subtests.test(rule=name):
            beside = ["beside"] if "source" in stage.inputs else []  # files of the source's folder
            beside += ["local"] if name == "fetch_task" else []  # a copy, named by the settings
            assert named(rule.get("input", "")) == [*stage.inputs, *beside]
            assert named(rule["output"]) == list(stage.outputs)
            assert f'call("{name}")' in rule["shell"]
            assert re.match(rf'\s*\*\*told\("{name}"', rule["params"])
            assert ("model=" in rule["params"]) == (Plain.MODEL in stage.inputs.values())
            assert stage.pinned == (name in PINNED)
            assert ("**card(" in rule["resources"]) == stage.runtime
            assert '"""' in rule["doc"]
            assert "log" in rule
            parts = "".join(part for directive, part in rule.items() if directive != "doc")
            assert len(rule) + sum(bool(line.strip()) for line in parts.split("\n")) <= MOST


def test_commands_quote_every_path_and_name_every_option(subtests, capsys) -> None:
    for name, stage in STAGES.items():
        with subtests.test(stage=name):
            command = dag.command(name)
            assert command.startswith(f"w2s {name} --")
            places = re.findall(r"\{((?:input|output|log|params)[^{}]*)\}", command)
            assert [word for word in places if not word.endswith(":q")] == []
            with pytest.raises(SystemExit) as done:
                main([name, "--help"])
            assert done.value.code == 0
            shown = " ".join(capsys.readouterr().out.split())
            assert stage.summary[1:] in shown
            assert stage.settings.__name__ in shown
            for key, what in stage.inputs.items():
                place = "params" if what is Plain.MODEL else "input"
                assert f"{option(key)} {{{place}.{key}:q}}" in command
                path = "[PATH ...]" if getattr(what, "optional", False) else "PATH"
                assert f"{option(key)} {path}" in shown
            for key in stage.outputs:
                assert f"{output_option(stage, key)} {{output.{key}:q}}" in command
                assert f"{output_option(stage, key)} PATH" in shown
            assert "--settings {params.settings:q}" in command
            assert ("--batch-tokens" in shown) == ("--device-map" in command) == stage.runtime


def test_texts_are_read_by_a_model_once_for_all_seeds_and_pairs() -> None:
    for name in ("tokenize", "activations"):
        assert set(re.findall(r"{(\w+)}", "".join(FILES[name]))) == {"dataset", "model"}
    for name in ("weak_labels", "overlap", "strong", "evaluate"):
        wildcards = set(re.findall(r"{(\w+)}", "".join(FILES[name])))
        assert wildcards == {"dataset", "weak", "strong", "seed"}


def test_files_of_every_rule_are_those_that_its_page_writes() -> None:
    """By the paths in the text of the rules; those of tables and figures by name."""
    for name, rule in rules().items():
        if name in PINNED:
            continue
        own = re.findall(r'f?"((?:<results>/|\{\w+\}/)[^"]+)"', rule["output"])
        expected = [Path(file).name for file in FILES[name]]
        if own:
            assert [Path(path).name for path in own] == expected, name
        else:
            words = re.findall(r'(?<!folder=)"(\w+)"', rule["output"])
            assert list(dict.fromkeys(Path(file).stem for file in expected)) == words, name
    assert set(FILES) == {*STAGES, "evaluate_finetuned"} - PINNED


def test_jobs_of_an_empty_and_of_a_synthetic_configuration() -> None:
    config = parse({"results": "r", "synthetic": {"repetitions": 2}})
    found = list(dag.jobs(config))
    assert {job.rule for job in found} == {name for name in STAGES if name.startswith("synthetic")}
    assert all(str(path).startswith("r/") for job in found for path in job.files)


def test_kinds_say_what_they_hold_in_types_that_files_have(subtests) -> None:
    for kind in KINDS.values():
        with subtests.test(kind=kind.name):
            assert re.fullmatch("[a-z_]+", kind.name)
            assert kind.doc.endswith(".")
            assert "\n" not in kind.doc
            assert all(kind.facts.values())
            for name, spec in kind.arrays.items():
                assert re.fullmatch(r"[a-z0-9_]+\*?", name)
                assert spec.doc
                assert spec.axes
                assert spec.dtype == "str" or str(np.dtype(spec.dtype)) == spec.dtype
                assert spec.dtype.startswith("float") or not spec.nan
            dtypes = {spec.dtype for spec in kind.arrays.values()}
            if kind.suffix == ".parquet":
                assert {spec.axes for spec in kind.arrays.values()} == {("n",)}
            else:
                assert kind.suffix == ".safetensors"
                assert "str" not in dtypes
            assert kind.ids == ("id" in kind.arrays)
            assert not kind.ids or kind.arrays["id"] == ID
