"""The rules of the source: imports point down, one folder for networks, nothing hard-coded."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "w2s"
MODULES = {
    "w2s." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name not in ("__init__.py", "__main__.py")
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
EVERY = pytest.mark.parametrize("module", list(MODULES))

# a module imports modules of the layers above its own in this list, and of its own folder
LAYERS = [
    {"errors"},
    {"checks", "rng", "kinds"},
    {"config_paths"},
    {"config_sources"},
    {
        "config_spine",
        "config_finetuning",
        "config_selection",
        "config_synthetic",
        "config_weak_supervision",
    },
    {"config"},
    {"settings"},
    {"data", "methods", "models", "evaluation"},
    {"spool"},
    {"matrix"},
    {"formats"},
    {"artifacts", "progress"},
    {"checkpoint"},
    {"steps"},
    {"stages"},
    {"dag_sources", "digest"},
    {"inspect", "verify", "preflight", "estimate", "dag", "dag_checks", "work"},
    {"dag_jobs"},
    {"provenance"},
    {"runner"},
    {"commands"},
    {"cli"},
]
ARRAYS_ONLY = {"data", "methods", "models", "evaluation"}  # no artifacts, paths or command line
# imports between folders of one layer: hashes of files; columns of training sets; names of regions
BESIDE = {("models", "data"), ("models", "methods"), ("evaluation", "methods")}
MAX_LINES, MAX_FUNCTION = 300, 40


def part(module: str) -> str:
    """The folder or the module below `w2s` that a module belongs to."""
    return module.split(".")[1]


def layer(module: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if part(module) in names)


def imports(tree: ast.AST) -> Iterator[str]:
    """Every imported module, at any place: `from a import b` gives a and a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(module: str) -> set[str]:
    """Modules of the project that a module imports."""
    return set(imports(TREES[module])) & set(MODULES)


def parts() -> set[str]:
    return {part(module) for module in MODULES}


def others(module: str) -> set[str]:
    """Top-level packages a module imports beside the project."""
    return {name.split(".")[0] for name in imports(TREES[module])} - {"w2s"}


def test_every_module_has_a_layer() -> None:
    assert parts() <= set().union(*LAYERS)


@EVERY
def test_imports_point_down(module: str) -> None:
    for imported in own_imports(module) - {module}:
        beside = (part(module), part(imported))
        allowed = len(set(beside)) == 1 or beside in BESIDE
        assert allowed or layer(imported) < layer(module), f"{module} imports {imported}"


@EVERY
def test_functions_on_arrays_know_nothing_of_artifacts_and_settings(module: str) -> None:
    if part(module) in ARRAYS_ONLY:
        known = {part(name) for name in own_imports(module)}
        forbidden = {"artifacts", "progress", "steps", "stages", "runner", "cli", "dag", "digest",
                     "inspect", "config", "settings"}  # fmt: skip
        assert not known & forbidden
        assert not others(module) & {"argparse", "pydantic", "snakemake"}


@EVERY
def test_only_models_imports_transformers_and_networks(module: str) -> None:
    if part(module) != "models":
        names = set(imports(TREES[module]))
        assert "transformers" not in others(module)
        assert not [name for name in names if name.startswith("torch.nn")]


@EVERY
def test_nobody_imports_pickle_or_loads_with_torch(module: str) -> None:
    assert not others(module) & {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("torch.load", "torch.save", "np.save", "np.load", "numpy.load")
            assert not called.endswith((".to_pickle", ".read_pickle"))
            allowed = [k for k in node.keywords if k.arg == "allow_pickle"]
            assert not allowed


@EVERY
def test_nothing_in_a_result_can_come_from_clock_user_or_machine(module: str) -> None:
    assert not others(module) & {"time", "datetime", "socket", "getpass", "platform", "uuid"}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            assert name not in ("os.getcwd", "os.getlogin", "Path.cwd", "Path.home")


@EVERY
def test_random_numbers_come_from_named_streams_only(module: str) -> None:
    assert "random" not in others(module)
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            drawn = re.match(r"(np|numpy)\.random\.\w+|torch\.(rand\w*|manual_seed)", called)
            assert module == "w2s.rng" or not drawn, called


DEVICE = re.compile(r"\b(cuda|xpu|mps):\d+\b")
ABSOLUTE = re.compile(r"^(/|~/|[A-Za-z]:\\)\w")


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string of the source; of an f-string what it begins with."""
    inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values[1:]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


@EVERY
def test_no_device_number_and_no_absolute_path_is_in_the_source(module: str) -> None:
    for text in texts(TREES[module]):
        assert not DEVICE.search(text), text
        assert not ABSOLUTE.match(text), text


@EVERY
def test_module_is_short(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


@EVERY
def test_functions_are_short_and_take_few_arguments(module: str) -> None:
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert lines_without_docstring(node) <= MAX_FUNCTION, node.name


@EVERY
def test_module_and_its_public_names_have_docstrings(module: str) -> None:
    tree = TREES[module]
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@EVERY
def test_no_assert_no_broad_except_and_no_print(module: str) -> None:
    for node in ast.walk(TREES[module]):
        assert not isinstance(node, ast.Assert)
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            assert ast.unparse(node.type) not in ("Exception", "BaseException")
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) != "print"


def test_no_module_is_a_box_of_odds_and_ends() -> None:
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    assert not names & {"utils", "util", "helpers", "misc", "common"}


def test_no_home_or_temporary_path_is_in_any_file_of_the_workflow() -> None:
    root = PACKAGE.parent
    files = [root / "workflow" / "Snakefile", *root.glob("workflow/**/*.smk")]
    files += [*root.glob("workflow/**/*.yaml"), *root.glob("config/*.yaml")]
    assert len(files) > 5
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.>}])/(home|root|tmp|Users|work|mnt|data)/", text), path
        assert not DEVICE.search(text), path
