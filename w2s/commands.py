"""The commands beside the stages: what people ask of results, tasks and configurations."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from w2s.errors import ConfigError, W2SError

MISTAKE = 2  # exit code of a user's mistake, as of argparse's own
STRANGE = 1  # exit code where files do not belong to an experiment
CONFIG = "config/config.yaml"
Command = Callable[[argparse.Namespace], int]


def add_commands(commands: Any) -> None:
    """Add the parser of each command to those of the stages."""
    inspect = commands.add_parser(
        "inspect",
        help="show what artifacts hold: kind, shapes, provenance, ranges, a few rows",
        description="Show what artifacts hold: kind, facts, provenance, shapes, value ranges, "
        "and a few rows with their text.",
    )
    inspect.add_argument("paths", nargs="+", metavar="PATH", help="a .parquet or .safetensors file")
    inspect.add_argument("--rows", type=int, default=5, help="rows to show (default: 5)")
    verify = commands.add_parser(
        "verify",
        help="check all artifacts and downloads below folders against their checksums",
        description="Check all artifacts and downloads below folders against their checksums. With "
        "--config also say which files do not belong to an experiment: made with other settings, "
        "code or inputs, or none of its files. The exit code is 0 if all is well, 1 if files do "
        "not belong to it, and 2 if a damaged one is left.",
    )
    verify.add_argument("paths", nargs="+", metavar="PATH", help="a folder or a file")
    verify.add_argument(
        "--delete", action="store_true", help="delete damaged ones, so that the next run heals"
    )
    verify.add_argument("--config", metavar="PATH", help="the experiment; paths in it as it runs")
    _add_experiment_commands(commands)


def _add_experiment_commands(commands: Any) -> None:
    """Those about tasks and configurations."""
    tasks = commands.add_parser(
        "tasks",
        help="list the tasks of the hub that `source: hub` knows",
        description="List the tasks of the hub that `source: hub` knows: key, repository, which "
        "rows belong together, what label 1 means, and what is asked.",
    )
    tasks.add_argument("--file", metavar="PATH", help="a Python file of your own with TASKS")
    preflight = commands.add_parser(
        "preflight",
        help="say whether datasets are informative, before they cost GPU hours",
        description="Say whether datasets are informative for weak-to-strong generalization: size, "
        "balance, length, groups on both sides, and, after probing, floor and ceiling. Make the "
        "examples first, with `snakemake --cores 1 texts`. The exit code is 0 whatever is found.",
    )
    preflight.add_argument("datasets", nargs="*", metavar="DATASET", help="all if none is given")
    estimate = commands.add_parser(
        "estimate",
        help="say what an experiment will take: texts, tokens, GPU hours, disk",
        description="Say what an experiment will take. A dry run of the workflow tells the same.",
    )
    for command in (preflight, estimate):
        command.add_argument(
            "--config", default=CONFIG, metavar="PATH", help=f"the experiment (default: {CONFIG})"
        )


def tell(command: str, *lines: str) -> None:
    """Tell lines about mistakes on standard error."""
    sys.stderr.writelines(f"w2s {command}: error: {line}\n" for line in lines)


def _inspect(options: argparse.Namespace) -> int:
    """Show each artifact; a bad one is told in its place and the others go on."""
    from w2s.inspect import describe

    code = 0
    for path in options.paths:
        try:
            sys.stdout.write(describe(path, rows=options.rows))
        except W2SError as error:
            tell("inspect", *error.lines)
            code = MISTAKE
    return code


def _verify(options: argparse.Namespace) -> int:
    """Tell each damaged file in one line, and delete it if asked to."""
    from w2s.inspect import verify

    config = None if options.config is None else _read(options.config)  # first: it names own tracks
    report = verify(options.paths)
    for path, why in report.damaged.items():
        tell("verify", why)
        if options.delete:
            path.unlink()
            sys.stdout.write(f"deleted {path}\n")
    sys.stdout.write(
        f"{report.whole} whole, {len(report.damaged)} damaged"
        f"{' and deleted' if options.delete and report.damaged else ''}, "
        f"{report.foreign} not artifacts\n"
    )
    strange = 0 if config is None else _foreign(config, options)
    if report.damaged and not options.delete:
        return MISTAKE
    return STRANGE if strange else 0


def _foreign(config: Any, options: argparse.Namespace) -> int:
    """Tell each file that does not belong to the experiment; how many there are."""
    from w2s.provenance import foreign

    found = list(foreign(config, options.paths))
    for path, why in found:
        sys.stdout.write(f"{path}: {why}\n")
    sys.stdout.write(f"{len(found)} files do not belong to {options.config}\n")
    return len(found)


def _tasks(options: argparse.Namespace) -> int:
    """One line a task, in columns."""
    from w2s.data.own_tasks import all_tasks

    tasks = all_tasks(None if options.file is None else Path(options.file))
    rows = [("task", "repository", "together", "label 1", "what is asked")]
    for key, task in tasks.items():
        where = ", ".join(filter(None, (task.hub, task.config or task.data_dir)))
        rows.append((key, where, task.group or "-", task.label, task.summary))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        sys.stdout.write("  ".join([*cells, row[-1]]) + "\n")
    return 0


def _preflight(options: argparse.Namespace) -> int:
    """The checks of each dataset; one that cannot be read is told and the others go on."""
    from w2s.declare import nearest_of
    from w2s.preflight import preflight

    config, code = _read(options.config), 0
    for name in options.datasets or config.datasets:
        if name not in config.datasets:
            hint = nearest_of(name, config.datasets)
            raise ConfigError(f"'{name}' is not a dataset of {options.config}; {hint}")
        try:
            checks = preflight(config, name)
        except W2SError as error:
            tell("preflight", *error.lines)
            code = MISTAKE
            continue
        warned = [check.name for check in checks if check.good is False]
        verdict = f"look at: {', '.join(warned)}" if warned else "nothing speaks against it"
        sys.stdout.write("\n".join([f"{name}: {verdict}", *(c.line for c in checks)]) + "\n")
    return code


def _estimate(options: argparse.Namespace) -> int:
    from w2s.estimate import estimate

    sys.stdout.writelines(f"{line}\n" for line in estimate(_read(options.config)))
    return 0


def _read(path: str) -> Any:
    """The configuration in a file.

    Raises:
        ConfigError: no such file, not YAML, or a mistake in it.
    """
    import yaml

    from w2s import tracks
    from w2s.config import parse

    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: cannot be read ({reason})") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: found {type(data).__name__}, expected settings by name")
    config = parse(data)
    for track in config.custom_tracks:
        tracks.add(track)
    return config


COMMANDS: dict[str, Command] = {
    "inspect": _inspect,
    "verify": _verify,
    "tasks": _tasks,
    "preflight": _preflight,
    "estimate": _estimate,
}
