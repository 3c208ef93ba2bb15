"""Stage `label_matrix`: the votes of all labeling functions on the texts of a dataset."""

from __future__ import annotations

from w2s.artifacts import Artifact
from w2s.data.labeling_functions import beginning
from w2s.data.labeling_functions import label_matrix as votes_of
from w2s.progress import bar
from w2s.settings import LabelMatrixSettings


def label_matrix(examples: Artifact, *, settings: LabelMatrixSettings) -> dict[str, Artifact]:
    """Let every labeling function read every text; of long ones VADER reads the beginning."""
    texts, dataset = examples["text"], examples.facts["dataset"]
    with bar(f"labeling functions {dataset}", len(texts) * len(settings.lfs), "votes") as advance:
        votes = votes_of(texts, settings.lfs, mended=settings.lexicons == "mended", advance=advance)
    cut = sum(beginning(text) != text for text in texts) if "vader" in settings.lfs else 0
    facts = {"dataset": dataset, "lfs": list(settings.lfs), "cut": cut}
    return {"label_matrix": Artifact("label_matrix", {"id": examples["id"], "votes": votes}, facts)}
