"""The digest of a stage's code: what makes Snakemake rerun a stage when the library changes.

From the stage's function it follows the names of functions, classes and constants through the
modules of the project, and covers what it reaches, as syntax trees without docstrings and comments:
an edit of those, or of anything that is not reached, reruns nothing. Left out are declarations of
settings (their values are compared themselves), of kinds and artifacts (files are checked on load;
the format version is in), and errors, progress bars and unfinished work, which change no number.

What is named by a string cannot be followed, as by `getattr` on a module of the project; a test
compares what stages were seen to call with what is reached.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from w2s import HOMES
from w2s.declare import FORMAT
from w2s.tracks import OWN, STAGES

PACKAGE = Path(__file__).parent
LATER = frozenset({"type_params"})  # fields of syntax trees that Python 3.11 does not have
ROWS = {("w2s.files.matrix", "Matrix"), ("w2s.files.matrix", "decode")}  # checked by checksums
OPENED = frozenset(f"w2s.files.{name}" for name in ("artifacts", "formats", "resume", "spool"))
LEFT_OUT = OPENED | {"w2s.config", "w2s.declare", "w2s.errors", "w2s.progress"}
DECLARED = ("Kind", "Annotated")  # what tracks make of them is compared or checked elsewhere
DEFINES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
IMPORTS = (ast.Import, ast.ImportFrom)
NONE: frozenset[str] = frozenset()
WHOLE = "*"  # in the place of a name: all definitions of a module
Definition = tuple[str, str]  # module and name


def code_digest(stage: str) -> str:
    """Digest of a stage's code, 16 hex digits."""
    return _digest(*STAGES[stage].function.split(":"))


@cache
def _digest(module: str, function: str) -> str:
    sha, found = hashlib.sha256(str(FORMAT).encode()), reached(module, function)
    for name in sorted({home for home, _ in found}):
        sha.update(f"{name}\x1f{_text(name, '')}\x1e".encode())
    for home, name in found:
        sha.update(f"{home}\x1f{name}\x1f{_text(home, name)}\x1e".encode())
    return sha.hexdigest()[:16]


def reached(module: str, function: str) -> list[Definition]:
    """What a function reaches: definitions of the project, itself included, sorted."""
    seen: set[Definition] = set()
    waiting = [(module, function)]
    while waiting:
        at = waiting.pop()
        if at not in seen and not _left_out(*at):
            seen.add(at)
            waiting.extend(_named(*at))
    return sorted(seen)


def _left_out(module: str, name: str) -> bool:
    """Whether a definition changes no number, or is compared by its value: settings and kinds."""
    if module in LEFT_OUT or (module, name) in ROWS or not module.endswith(".track"):
        return module in LEFT_OUT or (module, name) in ROWS
    for node in _source(module).bound.get(name, []):
        value = getattr(node, "value", None)
        made = getattr(value, "func", getattr(value, "value", None))
        if isinstance(node, ast.ClassDef):  # values are compared; what methods do is not
            return not any(isinstance(x, DEFINES) and not _validates(x) for x in node.body)
        if getattr(made, "id", "") in DECLARED:
            return True
    return False


def _validates(method: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a method of settings only refuses some."""
    return any("validator" in ast.unparse(decorator) for decorator in method.decorator_list)


@dataclass(frozen=True)
class _Source:
    """A module: what binds each of its names, what its imports name, and what binds no name."""

    bound: dict[str, list[ast.AST]]
    imported: dict[str, set[Definition]]
    loose: list[ast.AST]


@cache
def _source(module: str) -> _Source:
    path = _path(module)
    tree = ast.parse(path.read_text(encoding="utf-8") if path else "")
    found = _Source({}, {}, [])
    for node in tree.body[ast.get_docstring(tree) is not None :]:
        for name in set(_bindings(node)):
            found.bound.setdefault(name, []).append(node)
        for syntax, name, target in () if isinstance(node, DEFINES) else _imports(ast.walk(node)):
            if target is None:
                found.bound.setdefault(name, []).append(syntax)
            else:
                found.imported.setdefault(name, set()).add(target)
        if not _only_names(node):
            found.loose.append(node)  # may fill what other statements bind
    for node in tree.body:  # decorators of the project may register what they decorate
        decorators = getattr(node, "decorator_list", ())
        heads = {word.partition(".")[0] for d in decorators for word in _used(d, NONE)}
        own = {name for name, by in found.bound.items() if not isinstance(by[0], IMPORTS)}
        if heads & (own | found.imported.keys()):
            found.loose.append(node)
    return found


def _imports(nodes: Iterable[ast.AST]) -> Iterator[tuple[ast.AST, str, Definition | None]]:
    """Of each import among nodes: its syntax, the name it binds, what of the project that is."""
    for child in nodes:
        if isinstance(child, ast.Import):
            for alias in child.names:
                name = alias.asname or alias.name.split(".")[0]
                whole = alias.name if alias.asname else name
                yield ast.Import([alias]), name, (whole, WHOLE) if _path(whole) else None
        elif isinstance(child, ast.ImportFrom) and child.module:
            for alias in child.names:
                inner = f"{child.module}.{alias.name}"
                target: Definition | None = (child.module, alias.name)
                if _path(inner):
                    target = (inner, WHOLE)
                elif not _path(child.module):
                    target = None
                yield ast.ImportFrom(child.module, [alias], 0), alias.asname or alias.name, target


def _bindings(node: ast.AST) -> Iterator[str]:
    """Names that a statement of a module defines, at any depth but that of functions."""
    if isinstance(node, DEFINES):
        yield node.name
        return
    if isinstance(node, (ast.Lambda, *COMPREHENSIONS)):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    for child in ast.iter_child_nodes(node):
        yield from _bindings(child)


def _only_names(node: ast.AST) -> bool:
    """Whether a statement does nothing but define, import, or give names a value."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return all(isinstance(target, ast.Name) for target in targets)
    typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    return typing or isinstance(node, (*IMPORTS, *DEFINES))


@cache
def _named(module: str, name: str) -> frozenset[Definition]:
    """The definitions of the project that a definition names."""
    source = _source(module)
    if name == WHOLE:
        return frozenset((module, other) for other in (*source.bound, *source.imported))
    if module == PACKAGE.name:  # the stable names
        return frozenset({(HOMES[name], name)} if name in HOMES else ())
    found = set(source.imported.get(name, ()))  # imported here from elsewhere
    for node in [*source.bound.get(name, []), *source.loose]:
        known = {word: set(targets) for word, targets in source.imported.items()}
        for _, word, imported in _imports(ast.walk(node)):
            if imported:
                known.setdefault(word, set()).add(imported)
        for used in _used(node, NONE):
            word, *attributes = used.split(".")
            for target in known.get(word, ()):
                found.add(_inside(target, attributes))
            if word in source.bound:
                found.add((module, word))
    return frozenset(found)


def _inside(target: Definition, attributes: list[str]) -> Definition:
    """What an import names, with attributes behind it: of a module the definition, at any depth."""
    home, name = target
    for attribute in attributes:
        if name != WHOLE:
            break
        inner = f"{home}.{attribute}"
        home, name = (inner, WHOLE) if _path(inner) else (home, attribute)
    return home, name


def _used(node: ast.AST, hidden: frozenset[str]) -> Iterator[str]:
    """Names below a node, and `name.attribute`, but for variables of functions."""
    if isinstance(node, ast.Name):
        yield from {node.id} - hidden
    elif isinstance(node, ast.Attribute) and (chain := _dotted(node)):
        yield from () if chain.partition(".")[0] in hidden else (chain,)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        body = node.body if isinstance(node.body, list) else [node.body]
        own = hidden | frozenset(_variables(node))
        for child in ast.iter_child_nodes(node):
            yield from _used(child, own if child in body else hidden)
    elif isinstance(node, COMPREHENSIONS):
        yield from _used(node.generators[0].iter, hidden)
        targets = (name for each in node.generators for name in _bindings(each.target))
        own = hidden | frozenset(targets)
        for child in ast.iter_child_nodes(node):
            yield from _used(child, own)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _used(child, hidden)


def _dotted(node: ast.expr) -> str:
    """`name.attribute...` as text; "" for attributes of anything but a name."""
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return inner and f"{inner}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _variables(function: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> Iterator[str]:
    """What a function binds in its own scope, but for imports, which are followed, and globals."""
    given = function.args
    own = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    bound, outer = {item.arg for item in own if item}, set()
    waiting: list[ast.AST] = list(function.body) if isinstance(function.body, list) else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, DEFINES):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.Global):
            outer.update(node.names)
        elif isinstance(node, IMPORTS):
            outer.update(name for _, name, target in _imports([node]) if target)
        elif not isinstance(node, (ast.Lambda, *COMPREHENSIONS)):
            waiting.extend(ast.iter_child_nodes(node))
    yield from bound - outer


@cache
def _path(module: str) -> Path | None:
    """Source file of a module of the project; None for anything else."""
    if module in OWN:
        return OWN[module]
    package, *parts = module.split(".")
    if package != PACKAGE.name:
        return None
    file, folder = PACKAGE.joinpath(*parts), PACKAGE.joinpath(*parts, "__init__.py")
    places = (folder, file.with_suffix(".py")) if parts else (folder,)
    return next(filter(Path.is_file, places), None)


@cache
def _text(module: str, name: str) -> str:
    """The syntax trees that bind a name, or those that bind none, as text without positions."""
    source = _source(module)
    return dump(source.bound.get(name, []) if name else source.loose)


def dump(node: object) -> str:
    """A syntax tree as text without docstrings: that of `ast.dump` in 3.11, under every Python.

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
        if isinstance(node, ast.JoinedStr):
            value = _joined(value)
        elif name == "body" and isinstance(node, DEFINES) and ast.get_docstring(node) is not None:
            value = value[1:]
        fields.append(f"{name}={dump(value)}")
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
