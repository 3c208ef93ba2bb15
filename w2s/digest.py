"""The digest of a stage's code: what makes Snakemake rerun a stage when the library changes.

It covers the stage's module and every module of the project it imports, directly or not, as syntax
trees without docstrings and comments: an edit of those reruns nothing. Left out are declarations of
settings (their values are compared themselves), of kinds and artifacts (files are checked on load;
the format version is in), and errors, progress bars and rows on disk, which change no number.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from w2s.kinds import FORMAT
from w2s.stages import STAGES

PACKAGE = Path(__file__).parent
LATER = frozenset({"type_params"})  # fields of syntax trees that Python 3.11 does not have
LEFT_OUT = frozenset(
    f"w2s.{name}"
    for name in (
        "artifacts",
        "checkpoint",
        "config",
        "config_finetuning",
        "config_paths",
        "config_selection",
        "config_sources",
        "config_spine",
        "config_synthetic",
        "config_weak_supervision",
        "errors",
        "formats",
        "kinds",
        "matrix",
        "progress",
        "settings",
        "spool",
    )
)


def code_digest(stage: str) -> str:
    """Digest of a stage's code, 16 hex digits."""
    return _digest(STAGES[stage].module)


@cache
def _digest(module: str) -> str:
    sha = hashlib.sha256(str(FORMAT).encode())
    for name in imported_modules(module):
        sha.update(f"{name}\x1f{_syntax(name)}\x1e".encode())
    return sha.hexdigest()[:16]


def imported_modules(module: str) -> list[str]:
    """The module and all modules of the project it imports, at any depth and place, sorted."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen and ".".join(name.split(".")[:2]) not in LEFT_OUT:
            seen.add(name)
            waiting.extend(_imports(name))
    return sorted(seen)


def _path(module: str) -> Path | None:
    """Source file of a module of the project; None for anything else."""
    parts = module.split(".")[1:]
    for path in (
        PACKAGE.joinpath(*parts).with_suffix(".py"),
        PACKAGE.joinpath(*parts, "__init__.py"),
    ):
        if parts and path.is_file():
            return path
    return None


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(_tree(module)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.split(".")[0] == PACKAGE.name and _path(name) is not None:
                yield name


@cache
def _tree(module: str) -> ast.Module:
    path = _path(module)
    return ast.parse(path.read_text(encoding="utf-8") if path else "")


@cache
def _syntax(module: str) -> str:
    """The syntax tree as text, without positions, comments and docstrings."""
    tree = _tree(module)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = body[0] if body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                del node.body[0]
    return dump(tree)


def dump(node: object) -> str:
    """A syntax tree as text, the same under every Python: that of `ast.dump` in Python 3.11.

    Later ones leave out empty lists (3.13), have fields for syntax that 3.11 does not know (3.12),
    or cut the text in an f-string otherwise (3.12.0 and 3.12.1).
    """
    if isinstance(node, list):
        return f"[{', '.join(map(dump, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = []
    for name in node._fields:
        value: Any = getattr(node, name, None)
        optional = getattr(type(node), name, ...) is None
        if (value is None and optional) or (not value and name in LATER):
            continue
        fields.append(
            f"{name}={dump(_joined(value) if isinstance(node, ast.JoinedStr) else value)}"
        )
    return f"{type(node).__name__}({', '.join(fields)})"


def _joined(values: list[ast.expr]) -> list[ast.expr]:
    """Parts of an f-string with neighboring texts as one, and without empty ones."""
    found: list[ast.expr] = []
    for value in values:
        last = found[-1] if found else None
        if isinstance(value, ast.Constant) and isinstance(last, ast.Constant):
            found[-1] = ast.Constant(str(last.value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            found.append(value)
    return found
