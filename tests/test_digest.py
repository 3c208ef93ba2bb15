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
from conftest import Chain

from w2s import digest
from w2s.digest import code_digest
from w2s.tracks import STAGES

Digests = dict[str, str]


def clear() -> None:
    for cached in (digest._digest, digest._source, digest._named, digest._text, digest._path):
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


def test_digest_is_16_hex_digits_and_that_of_any_copy(package: Path) -> None:
    copied = digests()
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in copied.values())
    program = (
        "import json; from w2s.tracks import STAGES; from w2s.digest import code_digest\n"
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


TUNING = {"finetune_weak", "finetune_strong"}
STUDENTS = {"strong", "student"}
EDITS = [  # a definition, and the stages that reach it
    ("models.encoder", "check_tokens", {"activations"} | TUNING),
    ("finetuning.losses", "_radius", TUNING),
    ("finetuning.strong", "finetune_strong", {"finetune_strong"}),
    ("files.resume", "Checkpoint", set()),
    ("models.tokenizer", "tokenize", {"tokenize"}),
    ("data.files", "LARGEST", {"examples"}),
    ("data.splits", "draw_halves", {"split"}),
    ("data.splits", "_members", {"examples", "task_examples", "split"}),
    ("estimate", "TYPICAL", set()),
    ("preflight", "preflight", set()),
    ("overlap.scores", "MIN_VALUES", {"overlap", "select", "student", "synthetic_detection"}),
    (
        "results.intervals",
        "holm",
        {
            *("tables", "arms_tables", "selection_tables", "weak_supervision_tables"),
            *("finetuning_tables", "label_noise_tables", "gain_tables"),
        },
    ),
    ("overlap.tables", "evaluate", {"evaluate"}),
    (
        "files.inputs",
        "layer_of",
        STUDENTS
        | {"weak_labels", "overlap", "arms", "corpora_labels", "select", "label_noise"}
        | {"gain_predictors", "transfer"},
    ),
    ("overlap.track", "OverlapConfig", set()),  # its values are compared
    ("overlap.track", "REGIONS", set()),  # files are checked on load
]


def definitions(path: Path) -> dict[str, ast.stmt]:
    """Functions, classes and single constants of a module by name."""
    found: dict[str, ast.stmt] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = node
    return found


def edited(path: Path, name: str) -> None:
    """Change one definition of a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            node.body.append(ast.parse("EDITED = 1").body[0])
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            node.value = ast.IfExp(ast.Constant(True), node.value, ast.Constant(None))
    path.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")


def place(package: Path, module: str) -> Path:
    return package.joinpath(*module.split(".")).with_suffix(".py")


def test_edit_of_a_definition_changes_the_stages_that_reach_it_and_no_others(
    package: Path, subtests: pytest.Subtests
) -> None:
    for module, name, expected in EDITS:
        path = place(package, module)
        before = path.read_text(encoding="utf-8")
        assert name in definitions(path), name
        with subtests.test(module=module, name=name):
            assert changed_by(lambda: edited(path, name)) == expected  # noqa: B023
        path.write_text(before, encoding="utf-8")


def test_every_definition_of_a_module_counts_where_it_is_reached_only(package: Path) -> None:
    """Of the modules that halves are drawn with, one by one."""
    stage = STAGES["split"]
    known = set(digest.reached(*stage.function.split(":")))
    modules = {module for module, _ in known}
    tried = {True: 0, False: 0}
    for module in modules:
        path = place(package, module.removeprefix("w2s."))
        text = path.read_text(encoding="utf-8")
        for name in definitions(path):
            edited(path, name)
            clear()
            changed = code_digest("split") != unchanged()["split"]
            assert changed == ((module, name) in known), (module, name)
            tried[changed] += 1
            path.write_text(text, encoding="utf-8")
    assert min(tried.values()) > 5


def test_all_code_that_ran_is_reached(chain: Chain) -> None:
    """Functions that stages were seen to call, which no reading of the source says."""
    clear()
    assert set(chain.ran) == set(STAGES) - {"fetch"}  # which needs a network
    for stage, ran in chain.ran.items():
        known = set(digest.reached(*STAGES[stage].function.split(":")))
        outside = {at for at in ran if not digest._left_out(*at)} - known
        assert ran, stage
        assert not outside, stage


def test_every_name_that_is_reached_is_defined_somewhere() -> None:
    clear()
    for stage in STAGES.values():
        for module, name in digest.reached(*stage.function.split(":")):
            source = digest._source(module)
            assert name == digest.WHOLE or name in source.bound or name in source.imported


def test_edit_of_declarations_changes_nothing(package: Path) -> None:
    def edit() -> None:
        for path in [*package.glob("*/track.py"), package / "declare.py"]:
            append(path, "\n\nADDED_BY_A_TEST = 1\n")
        for name in ("config", "files/artifacts", "files/matrix", "progress", "errors"):
            append(package / f"{name}.py", "\n\nADDED_BY_A_TEST = 1\n")

    assert changed_by(edit) == set()


def test_format_version_is_in_every_digest(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed_by(lambda: monkeypatch.setattr(digest, "FORMAT", digest.FORMAT + 1)) == set(
        STAGES
    )


HOMES = {
    "filled.py": """
TABLE = {}
for key in ("a", "b"):
    TABLE[key] = key


def register(function):
    TABLE[function.__name__] = function
    return function


@register
def registered():
    return 1


def read():
    return TABLE
""",
    "stable.py": """
import w2s
import w2s.named
from w2s import load as named


def stable():
    global COUNT
    COUNT = COUNT + 1
    return w2s.pgr, w2s.named.inner(), named


COUNT = 0
""",
    "named.py": "CONSTANT = 1\nUNUSED = 2\n\n\ndef inner():\n    return CONSTANT\n",
    "late.py": "def late():\n    return 1\n\n\ndef other():\n    return 2\n",
    "start.py": """
from w2s import named
from w2s.named import inner as renamed
SETUP = {}
SETUP["a"] = renamed


def start():
    from w2s import late

    return late.late(), SETUP


def whole():
    late = [inner for inner in range(2)]  # a variable, and none of the module
    return vars(named), late
""",
}


START = {"start.SETUP", "named.inner", "named.CONSTANT"}
FOLLOWED = {
    "start.start": START | {"start.start", "late.late"},
    "start.whole": START | {"start.whole", "named.*", "named.UNUSED"},
    "filled.read": {"filled.read", "filled.TABLE", "filled.register"},
    "stable.stable": {
        *("stable.stable", "stable.COUNT", "results.metrics.pgr", "named.inner", "named.CONSTANT"),
    },
}


def test_names_are_followed(package: Path, subtests) -> None:
    """Through imports in functions, other names, statements that fill tables, and whole modules."""
    for name, text in HOMES.items():
        (package / name).write_text(text, encoding="utf-8")
    for start, expected in FOLLOWED.items():
        module, function = start.split(".")
        with subtests.test(start=start):
            found = digest.reached(f"w2s.{module}", function)
            names = {f"{home}.{name}".removeprefix("w2s.") for home, name in found}
            assert expected <= names
            assert not names & ({"late.other", "named.UNUSED"} - expected)


def test_a_statement_that_fills_a_table_counts(package: Path, subtests) -> None:
    """Also where it binds a variable of its own."""
    fills = (
        "CURVES.update({name: curve for name, curve in CURVES.items()})",
        "for _name in list(CURVES):\n    CURVES[_name] = CURVES[_name]",
    )
    path = package / "overlap" / "controls.py"
    text = path.read_text(encoding="utf-8")
    for fill in fills:
        with subtests.test(fill=fill):
            path.write_text(f"{text}\n\n{fill}\n", encoding="utf-8")
            clear()
            assert code_digest("strong") != unchanged()["strong"]
            assert code_digest("overlap") == unchanged()["overlap"]


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


# where there is no pydantic: settings can be declared, and nothing can be done with them
STANDIN = """
class Anything:
    def __call__(self, *given, **named):
        return given[0] if given and callable(given[0]) and not named else self
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self
    def __or__(self, other):
        return self
    __ror__ = __or__


class BaseModel:
    def __init__(self, **given):
        pass


class PydanticCustomError(ValueError):
    pass


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return Anything()
"""


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_digests_are_the_same_under_every_python_of_this_machine(
    version: str, tmp_path: Path
) -> None:
    for name in ("pydantic", "pydantic_core"):
        (tmp_path / f"{name}.py").write_text(STANDIN, encoding="utf-8")
    program = (
        "import json; from w2s.tracks import STAGES; from w2s.digest import code_digest\n"
        "print(json.dumps({stage: code_digest(stage) for stage in STAGES}))"
    )
    pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    places = [*filter(None, [shutil.which(f"python{version}")]), *map(str, pyenv)]
    path = os.pathsep.join([str(tmp_path), str(ORIGINAL.parent)])
    where = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    for place in places:
        line = [place, "-c", program]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=where)
        if done.returncode != 127:  # that of a shim without the version behind it
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout) == unchanged()
            return
    pytest.skip(f"no Python {version} here")
