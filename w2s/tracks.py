"""The seven tracks: their stages, the kinds of their files, and their jobs.

The command line, its help, the checks on inputs and outputs, the provenance in the artifacts and
`docs/cli.md` all come from `STAGES`. A stage's function takes its loaded inputs in this order and
`settings=`, and returns its outputs by name; it touches no output file.
"""

from __future__ import annotations

from w2s.data import track as data
from w2s.declare import KINDS, Stage
from w2s.finetuning import track as finetuning
from w2s.models import track as models
from w2s.overlap import track as overlap
from w2s.selection import track as selection
from w2s.synthetic import track as synthetic
from w2s.weak_supervision import track as weak_supervision

__all__ = ["FILES", "JOBS", "KINDS", "STAGES"]

TRACKS = (data, models, overlap, selection, synthetic, weak_supervision, finetuning)

STAGES: dict[str, Stage] = {name: stage for track in TRACKS for name, stage in track.STAGES.items()}
FILES: dict[str, tuple[str, ...]] = {  # what rules write below `results`
    rule: files for track in TRACKS for rule, files in track.FILES.items()
}
JOBS = tuple(track.jobs for track in TRACKS)  # of a configuration
