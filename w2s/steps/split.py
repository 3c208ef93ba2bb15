"""Stage `split`: the two halves of the training pool."""

from __future__ import annotations

from w2s.artifacts import Artifact
from w2s.data.splits import draw_halves
from w2s.rng import stream
from w2s.settings import SplitSettings


def split(examples: Artifact, *, settings: SplitSettings) -> dict[str, Artifact]:
    """Divide the pool; rows of one group in the examples stay together."""
    pool = examples.where(examples["part"] == "pool")
    rng = stream(settings.seed, "split", settings.dataset)
    halves = draw_halves(pool["label"], pool["group"], rng)
    facts = {
        "dataset": settings.dataset,
        "seed": settings.seed,
        "grouped": examples.facts["grouped"],
    }
    return {"split": Artifact("split", {"id": pool["id"], "half": halves}, facts)}
