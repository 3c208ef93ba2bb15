"""The code digest changes with the code a stage runs, and with nothing else."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from w2s import digest
from w2s.digest import LEFT_OUT, code_digest, imported_modules
from w2s.stages import STAGES

Digests = dict[str, str]


def clear() -> None:
    for cached in (digest._digest, digest._tree, digest._syntax):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the library that the digests are taken from."""
    copy = tmp_path / "w2s"
    shutil.copytree(digest.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    clear()
    monkeypatch.setattr(digest, "PACKAGE", copy)
    yield copy
    clear()


def digests() -> Digests:
    clear()
    return {stage: code_digest(stage) for stage in STAGES}


@cache
def unchanged() -> Digests:
    """The digests of the library as it is: those of the copy before its edit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "PACKAGE", ORIGINAL)
        return digests()


ORIGINAL = digest.PACKAGE


def changed_by(edit: Callable[[], object]) -> set[str]:
    """The stages whose digest an edit changes."""
    before = unchanged()
    edit()
    after = digests()
    return {stage for stage in STAGES if before[stage] != after[stage]}


def append(path: Path, text: str) -> None:
    assert path.is_file()
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


BESIDE = {"gather_activations": {"w2s.checks"}}  # a type that modules left out import from there
CODE = "\n\nADDED_BY_A_TEST = 1\n"


def test_digest_is_16_hex_digits_and_that_of_any_copy(package: Path) -> None:
    copied = digests()
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in copied.values())
    program = (
        "import json; from w2s.stages import STAGES; from w2s.digest import code_digest\n"
        "print(json.dumps({stage: code_digest(stage) for stage in STAGES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert json.loads(done.stdout) == copied


def with_other_words(text: str) -> str:
    """The source with every docstring edited, comments added and more empty lines."""
    lines = text.split("\n")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = node.body[0]
            if ast.get_docstring(node) is not None:
                line = lines[first.lineno - 1]
                lines[first.lineno - 1] = line.replace('"""', '"""Edited. ', 1)
    text = "\n".join(lines)
    return re.sub(r"\n(def |class )", r"\n# a comment\n\n\n\1", text) + "\n\n\n# the end\n"


def test_comments_docstrings_and_layout_of_all_modules_change_nothing(package: Path) -> None:
    edited = []

    def edit() -> None:
        for path in package.rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            path.write_text(with_other_words(text), encoding="utf-8")
            edited.append(path.read_text(encoding="utf-8").count("Edited. "))

    assert changed_by(edit) == set()
    assert sum(edited) > 200


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("models/encoder.py", {"activations", "finetune_weak", "finetune_strong"}),
        ("models/loader.py", {"activations", "finetune_weak", "finetune_strong"}),
        ("models/family_check.py", {"activations", "finetune_weak", "finetune_strong"}),
        ("models/finetune.py", {"finetune_weak", "finetune_strong"}),
        ("models/losses.py", {"finetune_weak", "finetune_strong"}),
        ("models/scaling.py", {"finetune_weak", "finetune_strong"}),
        ("steps/finetune_strong.py", {"finetune_strong"}),
        ("checkpoint.py", set()),
        ("models/tokenizer.py", {"tokenize"}),
        ("models/source.py", {"tokenize", "activations", "finetune_weak", "finetune_strong"}),
        ("data/icwsm14.py", {"examples"}),
        ("data/files.py", {"examples"}),
        ("data/splits.py", {"examples", "task_examples", "split"}),
        ("data/hub.py", {"fetch_task"}),
        ("data/hub_files.py", {"fetch_task"}),
        ("data/task_choices.py", {"task_examples"}),
        ("data/task_labels.py", {"task_examples"}),
        ("data/task_sizes.py", set()),
        ("models/passes.py", {"activations", "finetune_weak", "finetune_strong"}),
        ("preflight.py", set()),
        ("estimate.py", set()),
        ("data/fetch.py", {"fetch"}),
        (
            "methods/mixing.py",
            {"strong", "select", "student", "synthetic_detection", "synthetic_tables"},
        ),
        (
            "evaluation/intervals.py",
            {
                *("tables", "selection_tables", "synthetic_tables"),
                *("weak_supervision_tables", "finetuning_tables"),
            },
        ),
        ("evaluation/figures.py", {"figures", "weak_supervision_figures"}),
        ("steps/evaluate.py", {"evaluate"}),
    ],
)
def test_edit_of_code_changes_the_stages_that_import_it(
    package: Path, module: str, expected: set[str]
) -> None:
    assert changed_by(lambda: append(package / module, CODE)) == expected


def test_edit_of_the_change_point_changes_overlap_and_nothing_before_it(package: Path) -> None:
    changed = changed_by(lambda: append(package / "methods" / "change_point.py", CODE))
    assert "overlap" in changed
    assert not changed & {"fetch", "examples", "split", "tokenize", "activations", "weak_labels"}


def test_edit_of_the_probes_changes_the_stages_that_fit_some(package: Path) -> None:
    changed = changed_by(lambda: append(package / "methods" / "probes.py", CODE))
    assert changed == {"weak_labels", "strong", "corpora_labels", "select", "student"}


def test_edit_of_an_expression_counts(package: Path) -> None:
    path = package / "methods" / "change_point.py"
    text = path.read_text(encoding="utf-8")
    assert "MIN_VALUES = 4" in text

    def edit() -> None:
        path.write_text(text.replace("MIN_VALUES = 4", "MIN_VALUES = 5"), encoding="utf-8")

    assert "overlap" in changed_by(edit)


def test_edit_of_declarations_changes_nothing(package: Path) -> None:
    def edit() -> None:
        for name in LEFT_OUT:
            path = package / name.removeprefix("w2s.")
            for module in path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
                append(module, CODE)

    assert changed_by(edit) == set()


def test_format_version_is_in_every_digest(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed_by(lambda: monkeypatch.setattr(digest, "FORMAT", digest.FORMAT + 1)) == set(
        STAGES
    )


def test_import_inside_a_function_counts(package: Path) -> None:
    text = "\n\ndef late():\n    from w2s.evaluation import intervals\n\n    return intervals\n"
    append(package / "steps" / "split.py", text)
    assert "w2s.evaluation.intervals" in imported_modules(STAGES["split"].module)
    before = digests()
    append(package / "evaluation" / "intervals.py", CODE)
    assert digests()["split"] != before["split"]


def test_modules_loaded_when_a_stage_is_imported_are_all_in_its_digest() -> None:
    program = """
import importlib, json, sys
from w2s.stages import STAGES
found = {}
for name, stage in STAGES.items():
    for module in [m for m in sys.modules if m.partition(".")[0] == "w2s"]:
        del sys.modules[module]
    importlib.import_module(stage.module)
    found[name] = [m for m in sys.modules if m.startswith("w2s.")]
print(json.dumps(found))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    clear()
    for stage, loaded in json.loads(done.stdout).items():
        code = {
            name for name in loaded if not (digest.PACKAGE / "/".join(name.split(".")[1:])).is_dir()
        }
        known = set(imported_modules(STAGES[stage].module))
        assert STAGES[stage].module in known
        tracked = {name for name in code if ".".join(name.split(".")[:2]) not in LEFT_OUT}
        assert tracked - BESIDE.get(stage, set()) <= known, stage


ODD = """
async def f(a, /, b: int = 3, *c, d=None, **e) -> "x":
    match a:
        case {"x": None, **rest} if b: return f"a{b!r:>{c}.{d}}{{}}" "b" f'{d=}{e:}é'
        case [1, *_] | Point(y=-1.5j): del e[1:2, ..., ::3]
    async with a as b, c: yield lambda: (yield)
class C(B, metaclass=M): x: int = 0x10; y = {**x, "k": None}, 1e400, u"u", rb"\\0" b"", not x
"""
DUMPED = "b8cf31acacf7c71d"


def sha(tree: ast.Module) -> str:
    return hashlib.sha256(digest.dump(tree).encode()).hexdigest()[:16]


def test_dump_of_a_tree_is_that_of_python_3_11() -> None:
    assert sha(ast.parse(ODD)) == DUMPED
    if sys.version_info[:2] == (3, 11):
        assert digest.dump(ast.parse(ODD)) == ast.dump(ast.parse(ODD))


def test_what_later_pythons_write_into_trees_changes_no_dump() -> None:
    """Fields that 3.11 lacks, and text of f-strings cut otherwise, as by 3.12.1."""
    tree = ast.parse(ODD)
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.ClassDef):
            node.type_params = []  # type: ignore[attr-defined]
            node._fields = (*node._fields, "type_params")
        if isinstance(node, ast.JoinedStr):
            letters: list[ast.expr] = []
            for part in node.values:
                text = str(part.value) if isinstance(part, ast.Constant) else ""
                letters += map(ast.Constant, text) if text else [part]
            node.values = [*letters, ast.Constant("")]
    assert sha(tree) == DUMPED
    tree.body[0].type_params = [ast.Name("T")]  # type: ignore[attr-defined]
    assert sha(tree) != DUMPED  # one that is there counts


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_digests_are_the_same_under_every_python_of_this_machine(version: str) -> None:
    program = (
        "import json; from w2s.stages import STAGES; from w2s.digest import code_digest\n"
        "print(json.dumps({stage: code_digest(stage) for stage in STAGES}))"
    )
    pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    places = [*filter(None, [shutil.which(f"python{version}")]), *map(str, pyenv)]
    where = {**os.environ, "PYTHONPATH": str(ORIGINAL.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    for place in places:
        line = [place, "-c", program]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=where)
        if done.returncode != 127:  # that of a shim without the version behind it
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == unchanged()
            return
    pytest.skip(f"no Python {version} here")
