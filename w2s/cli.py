"""The command line: `w2s STAGE`, one option per input and output, and the commands beside."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from w2s import tracks
from w2s.commands import COMMANDS, MISTAKE, add_commands, tell
from w2s.declare import Many, Plain, Stage, option, output_option
from w2s.errors import ConfigError, W2SError, visible
from w2s.tracks import STAGES


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code is 0, or 2 after a mistake told in one line."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _check_unicode(words)
        while words[:1] == ["--track"] and len(words) > 1:  # its stages are commands too
            tracks.add(words[1])
            del words[:2]
        if taken := sorted(COMMANDS.keys() & STAGES.keys()):
            raise ConfigError(f"found stage {taken[0]}, expected one that is no command")
    except W2SError as error:
        tell("--track", *error.lines)
        return MISTAKE
    options = parser().parse_args(words)
    try:
        if options.command in COMMANDS:
            return COMMANDS[options.command](options)
        _run(options)
    except W2SError as error:
        tell(options.command, *error.lines)
        return MISTAKE
    except OSError as error:
        if error.filename is None:  # not about a file of the user's
            raise
        path = os.fsdecode(error.filename)
        tell(options.command, *W2SError(f"{path}: cannot be used ({error.strerror})").lines)
        return MISTAKE
    return 0


def _check_unicode(words: Sequence[str]) -> None:
    """Raise at the first argument that the libraries of the file formats could not pass on."""
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            raise ConfigError(f"found {word!r}, expected arguments in UTF-8") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell wrong usage in one line, whatever it quotes."""
        super().error(visible(message))


def parser() -> argparse.ArgumentParser:
    """The parser, built from the table of stages without importing what the stages need."""
    top = _Parser(
        prog="w2s",
        description="Weak-to-strong generalization through the data-centric lens: the stages of "
        "the workflow, one command each. Run the workflow itself with snakemake.",
    )
    top.add_argument(
        "--track", metavar="PATH", help="first of all: a Python file with stages of your own"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, stage in STAGES.items():
        _add_stage(
            commands.add_parser(name, help=stage.summary, description=_sentence(stage)), stage
        )
    add_commands(commands)
    return top


def _sentence(stage: Stage) -> str:
    return f"{stage.summary[0].upper()}{stage.summary[1:]}. One job per {stage.per}."


def _add_stage(command: argparse.ArgumentParser, stage: Stage) -> None:
    for name, kind in stage.inputs.items():
        optional = isinstance(kind, Many) and kind.optional
        several = {"nargs": "*" if optional else "+"} if isinstance(kind, Many) else {}
        command.add_argument(
            option(name), required=True, metavar="PATH", help=f"read: {_what(kind)}", **several
        )
    for name, output in stage.outputs.items():
        command.add_argument(
            output_option(stage, name),
            dest=f"output_{name}",
            required=True,
            metavar="PATH",
            help=f"write: {_what(output)}",
        )
    command.add_argument(
        "--settings",
        default="{}",
        metavar="JSON",
        help=f"settings as JSON text, see {stage.settings.__name__} in docs/cli.md (default: {{}})",
    )
    if stage.runtime:
        command.add_argument(
            "--device", default="auto", help="auto, cpu, cuda or cuda:N (default: auto)"
        )
        command.add_argument(
            "--batch-tokens",
            type=int,
            default=2048,
            help="tokens of a forward pass (default: 2048)",
        )
        command.add_argument(
            "--device-map",
            choices=("none", "auto"),
            default="none",
            help="auto: spread the model over all GPUs (default: none)",
        )


def _what(kind: Any) -> str:
    if isinstance(kind, Plain):
        return kind.value
    inner = getattr(kind, "kind", kind)
    number = "one or more of " if isinstance(kind, Many) else ""
    if isinstance(kind, Many) and kind.optional:
        number = "any number of "
    return f"{number}{inner.name} ({inner.suffix})"


def _run(options: argparse.Namespace) -> None:
    from w2s.config import parse_as
    from w2s.models.track import JobRuntime
    from w2s.run import run

    stage = STAGES[options.command]
    try:
        settings = json.loads(options.settings)
    except json.JSONDecodeError as error:
        raise ConfigError(f"--settings: found text that is not JSON ({error})") from None
    runtime: dict[str, Any] = {}
    if stage.runtime:
        runtime = {"device": options.device, "batch_tokens": options.batch_tokens}
        runtime["device_map"] = None if options.device_map == "none" else options.device_map
    run(
        options.command,
        {name: getattr(options, name) for name in stage.inputs},
        {name: getattr(options, f"output_{name}") for name in stage.outputs},
        settings,
        parse_as(JobRuntime, runtime),
    )
