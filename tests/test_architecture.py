"""The rules of the source: imports point down, tracks stand apart, nothing is hard-coded."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "w2s"
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {
    "w2s." + path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
    for path in FILES
    if path.name not in ("__init__.py", "__main__.py")
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

# a module imports modules of the rows above its own, and of its own folder; tracks of one row never
# import each other
LAYERS = [
    {"errors", "rng", "progress"},
    {"checks", "declare"},
    {"files"},
    {"results"},
    {"probes"},
    {"data"},
    {"models"},
    {"overlap"},
    {"arms", "selection", "synthetic", "weak_supervision", "finetuning", "label_noise", "gain"},
    {"config"},
    {"tracks"},
    {"digest"},
    {"dag"},
    {"provenance"},
    {"run", "preflight", "estimate", "inspect"},
    {"commands"},
    {"cli"},
    {"warm"},
]
MAX_FILES, MAX_ALL, MAX_LINES, MAX_FUNCTION, MAX_STAGE = 151, 28_200, 300, 40, 60
MAX_DECLARED = 460  # lines of a module that only declares
# what one module alone may: jobs ask it, it counts its threads, and a fork ends as Python does
INTERPRETER = {"w2s.warm": {"socket", "/proc/self/task", "Exception"}}


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
    return set(imports(TREES[module])) & set(MODULES) - {module}


def others(module: str) -> set[str]:
    """Top-level packages a module imports beside the project."""
    return {name.split(".")[0] for name in imports(TREES[module])} - {"w2s"}


def stage_functions() -> dict[str, set[str]]:
    """Functions of stages by module, as the rows of all tracks name them."""
    from w2s.tracks import STAGES

    found: dict[str, set[str]] = {}
    for stage in STAGES.values():
        module, _, function = stage.function.partition(":")
        found.setdefault(module, set()).add(function)
    return found


def test_imports_point_down() -> None:
    assert {part(module) for module in MODULES} == set().union(*LAYERS)
    for module in MODULES:
        for imported in own_imports(module):
            same = part(module) == part(imported)
            assert same or layer(imported) < layer(module), f"{module} imports {imported}"


def test_no_modules_import_each_other_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above, module])
        if module not in done:
            for imported in own_imports(module):
                visit(imported, (*above, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_methods_know_no_files_and_no_command_line() -> None:
    """Only the modules that rows name, and tables, figures and results of them, open artifacts."""
    shells = {*stage_functions(), "w2s.results.outcome", "w2s.overlap.weak_labels"}
    folders = {"probes", "results", "data", "models", "overlap", "selection", "synthetic"}
    for module in MODULES:
        if part(module) in folders | {
            "arms",
            "weak_supervision",
            "finetuning",
            "label_noise",
            "gain",
        }:
            assert not others(module) & {"argparse", "snakemake"}, module
            known = own_imports(module)
            assert module.endswith(".track") or "pydantic" not in others(module), module
            assert "w2s.files.artifacts" not in known or module in shells, module


def test_tracks_are_listed_without_numpy_and_torch() -> None:
    program = "import sys, w2s.cli, w2s.dag; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True).split()
    assert not {"numpy", "torch", "pandas", "sklearn", "transformers", "pyarrow"} & set(loaded)


def test_only_models_import_transformers_and_only_networks_torch_nn() -> None:
    for module, tree in TREES.items():
        if part(module) not in ("models", "finetuning"):
            assert "transformers" not in others(module), module
            networks = [name for name in imports(tree) if name.startswith("torch.nn")]
            assert not networks or module == "w2s.probes.mlp", module


def test_nobody_imports_pickle_or_loads_with_torch() -> None:
    safe = {"w2s.arms.own": "np.load(path, allow_pickle=False)"}  # scores of a user's own
    for module, tree in TREES.items():
        forbidden = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
        assert not others(module) & forbidden, module
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node) != safe.get(module):
                called = ast.unparse(node.func)
                assert called not in ("torch.load", "torch.save", "np.save", "np.load"), module
                assert not called.endswith((".to_pickle", ".read_pickle")), module
                assert not [k for k in node.keywords if k.arg == "allow_pickle"], module


def test_nothing_in_a_result_can_come_from_clock_user_or_machine() -> None:
    for module, tree in TREES.items():
        forbidden = {"time", "datetime", "socket", "getpass", "platform", "uuid"}
        assert not others(module) & forbidden - INTERPRETER.get(module, set()), module
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                name = ast.unparse(node)
                assert name not in ("os.getcwd", "os.getlogin", "Path.cwd", "Path.home"), module


def test_random_numbers_come_from_named_streams_only() -> None:
    for module, tree in TREES.items():
        assert "random" not in others(module), module
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                drawn = re.match(r"(np|numpy)\.random\.\w+|torch\.(rand\w*|manual_seed)", called)
                assert module == "w2s.rng" or not drawn, (module, called)


DEVICE = re.compile(r"\b(cuda|xpu|mps):\d+\b")
ABSOLUTE = re.compile(r"^(/|~/|[A-Za-z]:\\)\w")


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string of the source; of an f-string what it begins with."""
    inner = {id(v) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for v in n.values[1:]}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value


def test_no_device_number_and_no_absolute_path_is_in_the_source() -> None:
    for module, tree in TREES.items():
        for text in texts(tree):
            assert not DEVICE.search(text), (module, text)
            assert not ABSOLUTE.match(text) or text in INTERPRETER.get(module, ()), (module, text)


def test_the_library_is_small() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert len(FILES) <= MAX_FILES
    assert sum(lines.values()) <= MAX_ALL
    declared = {path for path in FILES if path.stem in ("track", "declare")}
    most = {path: MAX_DECLARED if path in declared else MAX_LINES for path in FILES}
    assert not {str(path): n for path, n in lines.items() if n > most[path]}


def lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert node.end_lineno is not None
    lines = node.end_lineno - node.lineno + 1
    if ast.get_docstring(node) is not None:
        first = node.body[0]
        assert first.end_lineno is not None
        lines -= first.end_lineno - first.lineno + 1
    return lines


def test_functions_are_short() -> None:
    stages = stage_functions()
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                most = MAX_STAGE if node.name in stages.get(module, ()) else MAX_FUNCTION
                assert lines_without_docstring(node) <= most, (module, node.name)


def test_modules_and_their_public_names_have_docstrings() -> None:
    for module, tree in TREES.items():
        assert ast.get_docstring(tree), module
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), (module, node.name)


def test_no_assert_no_broad_except_and_no_print() -> None:
    for module, tree in TREES.items():
        for node in ast.walk(tree):
            assert not isinstance(node, ast.Assert), module
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, module
                broad = {"Exception", "BaseException"} - INTERPRETER.get(module, set())
                assert ast.unparse(node.type) not in broad, module
            if isinstance(node, ast.Call):
                assert ast.unparse(node.func) != "print", module


def test_no_module_is_a_box_of_odds_and_ends() -> None:
    assert not {path.stem for path in FILES} & {"utils", "util", "helpers", "misc", "common"}


@pytest.mark.parametrize("folder", ["workflow", "config"])
def test_no_home_or_temporary_path_is_in_any_file_of_the_workflow(folder: str) -> None:
    found = [*(PACKAGE.parent / folder).rglob("*")]
    files = [path for path in found if path.suffix in (".smk", ".yaml") or path.stem == "Snakefile"]
    assert len(files) > 4
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.>}])/(home|root|tmp|Users|work|mnt|data)/", text), path
        assert not DEVICE.search(text), path
