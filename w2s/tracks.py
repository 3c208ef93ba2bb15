"""The tracks: their stages, the kinds of their files, and their jobs.

The command line, its help, the checks on inputs and outputs, the provenance in the artifacts and
`docs/cli.md` all come from `STAGES`. A stage's function takes its loaded inputs in this order and
`settings=`, and returns its outputs by name; it touches no output file.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from functools import partial
from keyword import iskeyword
from pathlib import Path
from typing import Any

from w2s.arms import track as arms
from w2s.data import track as data
from w2s.data.own_tasks import MISTAKES, told_error
from w2s.declare import KINDS, Jobs, Kind, Stage
from w2s.errors import ConfigError
from w2s.finetuning import track as finetuning
from w2s.gain import track as gain
from w2s.label_noise import track as label_noise
from w2s.models import track as models
from w2s.overlap import track as overlap
from w2s.selection import track as selection
from w2s.synthetic import track as synthetic
from w2s.weak_supervision import track as weak_supervision

__all__ = ["FILES", "JOBS", "KINDS", "OWN", "STAGES", "add"]

TRACKS = (
    data, models, overlap, arms, selection, synthetic, weak_supervision, finetuning, label_noise,
    gain,
)  # fmt: skip

STAGES: dict[str, Stage] = {name: stage for track in TRACKS for name, stage in track.STAGES.items()}
FILES: dict[str, tuple[str, ...]] = {  # what rules write below `results`
    rule: files for track in TRACKS for rule, files in track.FILES.items()
}
JOBS = [track.jobs for track in TRACKS]  # of a configuration
OWN: dict[str, Path] = {}  # files of tracks of a user's own, by the name of the module


def add(path: str | Path) -> None:
    """Add a track of a user's own: one Python file with `STAGES`, `FILES` and `jobs`.

    Its code runs with all rights of the process, as that of any file of the user's.

    Raises:
        ConfigError: no such file, one that does not run, or one that is no track or clashes with
            another; nothing is added then.
    """
    file = Path(path).resolve()
    name = file.stem
    if OWN.get(name) == file:
        return
    known = dict(KINDS)
    try:
        track = _loaded(file, name)
        mistake = _mistake(track, name, known)
    except MISTAKES as error:
        mistake = f"found {told_error(error)}, expected a track"
    if mistake:
        if getattr(sys.modules.get(name), "__file__", None) == str(file):
            del sys.modules[name]
        KINDS.clear()
        KINDS.update(known)
        raise ConfigError(f"{path}: {mistake}")
    OWN[name] = file
    STAGES.update(track.STAGES)
    FILES.update(track.FILES)
    JOBS.append(partial(_jobs, path, track))


def _jobs(path: str | Path, track: Any, config: Any) -> Jobs:
    """Jobs of a track of a user's own.

    Raises:
        ConfigError: its function raises, or gives something else than rules of FILES and wildcards.
    """
    try:
        found = [(rule, dict(wildcards)) for rule, wildcards in track.jobs(config)]
        for rule, wildcards in found:
            [file.format(**wildcards) for file in track.FILES[rule]]
    except MISTAKES as error:
        raise ConfigError(
            f"{path}: found {told_error(error)} of jobs(config), expected pairs of a rule of FILES "
            "and the wildcards of its files"
        ) from error
    yield from found


def _loaded(file: Path, name: str) -> Any:
    """The module in a file, under the file's name: rows name their functions so."""
    if not file.is_file() or file.suffix != ".py":
        raise ValueError("no Python file there")
    if not name.isidentifier() or iskeyword(name):
        raise ValueError(f"the name {name}, which no module can have")
    other = None if name in sys.modules else importlib.util.find_spec(name)
    if name in sys.modules or (other is not None and other.origin != str(file)):
        raise ValueError("the name of another module")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError("no Python file there")
    track = importlib.util.module_from_spec(spec)
    sys.modules[name] = track
    spec.loader.exec_module(track)
    return track


def _mistake(track: Any, name: str, known: Mapping[str, Kind]) -> str:
    """What is wrong with a track; "" if nothing is."""
    for part, what in (("STAGES", dict), ("FILES", dict)):
        if not isinstance(getattr(track, part, None), what):
            return f"found no {part}, expected a table by name"
    if not callable(getattr(track, "jobs", None)):
        return "found no jobs, expected a function of the configuration"
    if twice := sorted(STAGES.keys() & track.STAGES.keys() | FILES.keys() & track.FILES.keys()):
        return f"found stage {twice[0]}, expected one that no other track has"
    if changed := sorted(kind for kind in known if KINDS.get(kind) is not known[kind]):
        return f"found kind {changed[0]}, expected one that no other track has"
    for stage, row in track.STAGES.items():
        module, _, function = row.function.partition(":")
        if module != name or not callable(getattr(track, function, None)):
            return f"found {row.function} of {stage}, expected {name}:FUNCTION, in this file"
        if "settings" in {*row.inputs, *row.outputs}:
            return f"found settings of {stage}, expected another name of a file"
    return ""
