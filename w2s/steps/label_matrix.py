"""Stage `label_matrix`: the votes of all labeling functions on the texts of a dataset."""

from __future__ import annotations

from w2s.artifacts import Artifact
from w2s.data.labeling_functions import label_matrix as votes_of
from w2s.settings import LabelMatrixSettings


def label_matrix(examples: Artifact, *, settings: LabelMatrixSettings) -> dict[str, Artifact]:
    """Let every labeling function read every text."""
    arrays = {"id": examples["id"], "votes": votes_of(examples["text"], settings.lfs)}
    facts = {"dataset": examples.facts["dataset"], "lfs": list(settings.lfs)}
    return {"label_matrix": Artifact("label_matrix", arrays, facts)}
