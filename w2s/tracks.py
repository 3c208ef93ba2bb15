"""The seven tracks: their stages, the kinds of their files, and their jobs.

The command line, its help, the checks on inputs and outputs, the provenance in the artifacts and
`docs/cli.md` all come from `STAGES`. A stage's function takes its loaded inputs in this order and
`settings=`, and returns its outputs by name; it touches no output file.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from w2s.data import track as data
from w2s.declare import KINDS, Stage
from w2s.errors import ConfigError
from w2s.finetuning import track as finetuning
from w2s.models import track as models
from w2s.overlap import track as overlap
from w2s.selection import track as selection
from w2s.synthetic import track as synthetic
from w2s.weak_supervision import track as weak_supervision

__all__ = ["FILES", "JOBS", "KINDS", "OWN", "STAGES", "add"]

TRACKS = (data, models, overlap, selection, synthetic, weak_supervision, finetuning)

STAGES: dict[str, Stage] = {name: stage for track in TRACKS for name, stage in track.STAGES.items()}
FILES: dict[str, tuple[str, ...]] = {  # what rules write below `results`
    rule: files for track in TRACKS for rule, files in track.FILES.items()
}
JOBS = [track.jobs for track in TRACKS]  # of a configuration
OWN: dict[str, Path] = {}  # files of tracks of a user's own, by the name of the module


def add(path: str | Path) -> None:
    """Add a track of a user's own: a Python file with `STAGES`, and with `FILES` and `jobs`.

    Its code runs with all rights of the process, as that of any file of the user's.

    Raises:
        ConfigError: no such file, one that does not run, or one without stages, or with the name
            or a stage of another track.
    """
    file = Path(path).resolve()
    name = file.stem
    if OWN.get(name) == file:
        return
    if name in OWN or name in sys.modules or not name.isidentifier():
        raise ConfigError(f"{path}: found a file named {name}, expected a name no module has")
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise ConfigError(f"{path}: found no Python file, expected a track")
    track = importlib.util.module_from_spec(spec)
    sys.modules[name] = track
    try:
        spec.loader.exec_module(track)
        stages, files = track.STAGES, track.FILES
    except (SyntaxError, ImportError, AttributeError, NameError, TypeError, ValueError) as error:
        del sys.modules[name]
        told = " ".join(str(error).split())
        raise ConfigError(
            f"{path}: found {type(error).__name__}: {told}, expected a track"
        ) from None
    if twice := sorted(STAGES.keys() & stages.keys()):
        del sys.modules[name]
        raise ConfigError(f"{path}: found stage {twice[0]}, expected one that no other track has")
    OWN[name] = file
    STAGES.update(stages)
    FILES.update(files)
    JOBS.append(track.jobs)
