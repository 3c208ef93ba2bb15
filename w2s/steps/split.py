"""Stage `split`: the two halves of the training pool."""

from __future__ import annotations

from w2s.artifacts import Artifact
from w2s.data.splits import draw_halves
from w2s.rng import stream
from w2s.settings import SplitSettings


def split(examples: Artifact, *, settings: SplitSettings) -> dict[str, Artifact]:
    """Divide the pool; groups stay together if they do in the examples."""
    pool = examples.where(examples["part"] == "pool")
    groups = pool["group"] if examples.facts["grouped"] else pool["source_id"]
    rng = stream(settings.seed, "split", settings.dataset)
    halves = draw_halves(pool["label"], groups, rng)
    facts = {
        "dataset": settings.dataset,
        "seed": settings.seed,
        "grouped": examples.facts["grouped"],
    }
    return {"split": Artifact("split", {"id": pool["id"], "half": halves}, facts)}
