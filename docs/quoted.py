"""Numbers of finished runs for the pages that quote them, so that none is typed in.

`docs/results` holds tables of the default run (`demo`) and of `config/finetuning.yaml`
(`finetuning`). Pages that quote them are templates (`*.jinja`) with these functions. `python
docs/generate.py --results results/demo` takes the tables of a new run; a sentence whose condition
no longer holds then stops the pages.
"""

from __future__ import annotations

import csv
import math
import re
import shutil
from pathlib import Path
from typing import Any

import jinja2

TABLES = Path(__file__).parent / "results"
WORLDS = Path(__file__).parent.parent / "benchmarks" / "tables" / "null_worlds.md"
QUOTED = {
    "demo": ("main", "mixing", "comparisons", "regions", "selection", "detection",
             "weak_supervision", "weak_supervision_comparisons", "arms", "negative_controls"),
    "finetuning": ("finetuning", "finetuning_comparisons"),
}  # fmt: skip
Row = dict[str, Any]


def take(results: Path) -> None:
    """Copy the quoted tables of a finished run."""
    names = QUOTED.get(results.name)
    if names is None:
        raise SystemExit(f"{results}: found no quoted run, expected one of {', '.join(QUOTED)}")
    (TABLES / results.name).mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(results / "tables" / f"{name}.csv", path_of(name))


def path_of(table: str) -> Path:
    """Where a quoted table lies."""
    (run,) = (run for run, names in QUOTED.items() if table in names)
    return TABLES / run / f"{table}.csv"


def rows(table: str, **wanted: Any) -> list[Row]:
    """Rows of a table that have these values, numbers as numbers."""
    with path_of(table).open(encoding="utf-8", newline="") as file:
        found = [{key: _value(cell) for key, cell in line.items()} for line in csv.DictReader(file)]
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


def row(table: str, **wanted: Any) -> Row:
    """The one row that has these values."""
    found = rows(table, **wanted)
    if len(found) != 1:
        raise ValueError(f"{table}: found {len(found)} rows of {wanted}, expected one")
    return found[0]


def _value(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def world(claim: str, null: str) -> Row:
    """A row of `benchmarks/tables/null_worlds.md`: claimed, found in the null world, difference.

    Args:
        claim: All of its first column.
        null: A part of its third one.
    """
    lines = WORLDS.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    (found,) = [c for c in cells if len(c) == 7 and c[0] == claim and null in c[2]]
    shown = (re.sub(r"([+-])0\.", r"\1.", cell) for cell in found[3:])
    return dict(zip(("claimed", "found", "difference", "verdict"), shown, strict=True))


def verdicts(part: str) -> list[str]:
    """Verdicts of all rows whose claim begins with this, in order."""
    lines = WORLDS.read_text(encoding="utf-8").splitlines()
    return [line.strip("| ").split(" | ")[-1] for line in lines if line.startswith(f"| {part}")]


def plain(value: float) -> str:
    """A share with three digits, as .685."""
    return "none" if isinstance(value, str) or math.isnan(value) else f"{value:.3f}".lstrip("0")


def signed(value: float) -> str:
    """A difference with three digits, as +.039."""
    text = f"{value:+.3f}"
    return f"{text[0]}{text[1:].lstrip('0')}" if text[1:] != "0.000" else ".000"


def interval(found: Row, name: str = "") -> str:
    """The bounds of a row's interval, as [+.018, +.059]."""
    low, high = (found[f"{name}_{end}" if name else end] for end in ("lo", "hi"))
    return f"[{signed(low)}, {signed(high)}]"


def holm(found: Row) -> str:
    """The corrected p value of a row, in bold below .05."""
    p = found["p_holm"]
    text = "< .001" if p < 0.0005 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"
    return f"**{text}**" if p < 0.05 else text


def difference(found: Row) -> str:
    """A comparison with its interval and its corrected p value."""
    return f"{signed(found['difference'])} {interval(found)}, p {holm(found)}"


def sure(found: list[Row]) -> tuple[int, int]:
    """How many rows are above and below 0 after correction."""
    kept = [one["difference"] for one in found if one["p_holm"] < 0.05]
    return sum(value > 0 for value in kept), sum(value < 0 for value in kept)


def spread_of(found: list[Row]) -> str:
    """Range of comparisons, how many are above and below 0 after correction, and of what seeds."""
    values = [one["difference"] for one in found if not math.isnan(one["difference"])]
    above, below = sure(found)
    text = f"{signed(min(values))} to {signed(max(values))}; {above} above, {below} below"
    every = row("main", dataset=found[0]["dataset"])["n_seeds"]
    fewer = sum(one["n_seeds"] < every for one in found)
    return f"{text} ({fewer} of fewer seeds)" if fewer else text


def holds(condition: bool, sentence: str) -> str:
    """The sentence, if its condition holds in the tables.

    Raises:
        ValueError: it does not: the sentence is to be rewritten.
    """
    if not condition:
        raise ValueError(f"no longer true of docs/results: {sentence}")
    return sentence


def page(template: str, **values: Any) -> str:
    """A page from its template below this folder, with these values by name."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(
        loader=loader, undefined=strict, trim_blocks=True, lstrip_blocks=True, autoescape=False,
        keep_trailing_newline=True,
    )  # fmt: skip
    tools = (
        rows,
        row,
        world,
        verdicts,
        plain,
        signed,
        interval,
        holm,
        difference,
        sure,
        spread_of,
        holds,
    )
    environment.globals |= {tool.__name__: tool for tool in tools}
    return environment.get_template(template).render(values)
