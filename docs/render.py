"""Markdown for the generated pages: tables, anchors, and settings classes by their JSON schema."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Link = Callable[[str], str]
BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
}
WORDS = {"string": "text", "boolean": "true or false"}
Schema = Mapping[str, Any]


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; `|` in cells is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    cells = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines]
    return "".join(f"| {line} |\n" for line in cells)


def code(value: object) -> str:
    """A value as inline code."""
    return f"`{value}`"


def slug(heading: str) -> str:
    """The anchor of a heading, as common Markdown renderers make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def settings_table(schema: Schema, link: Link, classes: Schema) -> str:
    """The keys of one settings class.

    Args:
        schema: The class.
        link: Gives the link to a class of the configuration.
        classes: The schemas of these classes.
    """
    rows = []
    for name, node in schema["properties"].items():
        required = name in schema.get("required", ())
        value = "**required**" if required else default(node, classes)
        rows.append([code(name), kind(node, link), limits(node), value, node["description"]])
    return table(["key", "type", "range", "default", "meaning"], rows)


def kind(node: Schema, link: Link) -> str:
    """The type of a setting."""
    if "$ref" in node:
        return link(owner(node))
    if "anyOf" in node or "oneOf" in node:
        return " or ".join(dict.fromkeys(kind(option, link) for option in options(node)))
    if "patternProperties" in node:
        return f"names, each with {kind(next(iter(node['patternProperties'].values())), link)}"
    if "prefixItems" in node:
        return f"[{', '.join(kind(item, link) for item in node['prefixItems'])}]"
    if node["type"] == "array":
        inner = kind(node["items"], link)
        return f"list of {inner}s" if inner.isalpha() else f"list of {inner}"
    if "const" in node or "enum" in node:
        return "word"
    return WORDS.get(node["type"], node["type"])


def owner(node: Schema) -> str:
    """The class a node refers to, "" if it refers to none."""
    return str(node.get("$ref", "")).rpartition("/")[2]


def options(node: Schema) -> list[Schema]:
    """The alternatives of a union; nothing at all is not one of them."""
    found = node.get("anyOf") or node.get("oneOf") or []
    return [option for option in found if option.get("type") != "null"]


def limits(node: Schema) -> str:
    """The range of a setting, "" if any value of its type will do."""
    several = options(node)
    if len(several) == 1:
        return limits(several[0])
    if several:
        known = [option for option in several if limits(option)]
        return "; ".join(f"{kind(option, owner)}: {limits(option)}" for option in known)
    parts = [text.format(node[key]) for key, text in BOUNDS.items() if key in node]
    words = [node["const"]] if "const" in node else node.get("enum", [])
    parts += map(code, words)
    if "pattern" in node:
        parts.append(f"matches {code(node['pattern'])}")
    if "patternProperties" in node:
        parts.append("at least 1")
    if "items" in node:
        parts += [f"at least {node['minItems']}"] if "minItems" in node else []
        parts += [f"each {limits(node['items'])}"] if limits(node["items"]) else []
    return ", ".join(parts)


def default(node: Schema, classes: Schema) -> str:
    """The default of a setting that has one."""
    value = node.get("default")
    known = classes.get(owner(node))
    if known and value == {key: part.get("default") for key, part in known["properties"].items()}:
        return "its defaults"
    return "none" if value is None else code(json.dumps(value))


def references(node: Any) -> Iterator[str]:
    """Names of the classes a part of a schema refers to, in order."""
    if isinstance(node, Mapping):
        if "$ref" in node:
            yield owner(node)
        node = [value for key, value in node.items() if key != "discriminator"]
    if isinstance(node, list):
        for value in node:
            yield from references(value)
