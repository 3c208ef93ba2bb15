"""The table of contents: every stage with what it reads, writes and depends on.

The command line, its help, the checks on inputs and outputs, the provenance in the artifacts and
`docs/cli.md` all come from this table. A stage's function takes its loaded inputs in this order and
`settings=`, and returns its outputs by name; it touches no output file.
"""

from w2s.stages.declaration import ForPeople, Input, Many, Output, Plain, Stage
from w2s.stages.finetuning import FINETUNING
from w2s.stages.selection import SELECTION
from w2s.stages.spine import DATA_STAGES, MODEL_STAGES, OVERLAP_STAGES
from w2s.stages.synthetic import SYNTHETIC
from w2s.stages.weak_supervision import WEAK_SUPERVISION

STAGES: dict[str, Stage] = {
    **DATA_STAGES,
    **MODEL_STAGES,
    **OVERLAP_STAGES,
    **SELECTION,
    **SYNTHETIC,
    **WEAK_SUPERVISION,
    **FINETUNING,
}

__all__ = ["STAGES", "ForPeople", "Input", "Many", "Output", "Plain", "Stage"]
