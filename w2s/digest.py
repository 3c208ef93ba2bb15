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

from w2s.kinds import FORMAT
from w2s.stages import STAGES

PACKAGE = Path(__file__).parent
LEFT_OUT = frozenset(
    f"w2s.{name}"
    for name in (
        "artifacts",
        "checkpoint",
        "config",
        "config_finetuning",
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
    return ast.dump(tree)
