"""Stage `synthetic_controls`: is it the overlap points, or their cleaner labels?"""

from __future__ import annotations

from typing import Any

import numpy as np

from w2s.artifacts import Artifact
from w2s.methods.expansion import expansion_study
from w2s.methods.purity_control import purity_control
from w2s.methods.synthetic import DESIGNS
from w2s.methods.synthetic_study import Recipe
from w2s.progress import bar
from w2s.settings import SyntheticControlsSettings

N_OVERLAP = (5, 10, 25, 50, 95)  # beside 100 easy and 100 hard points
OTHERS: tuple[tuple[str, ...], ...] = ((), ("easy",), ("hard",))
ESTIMATES = ("right", "wrong", "lowest", "low", "agreement")


def synthetic_controls(*, settings: SyntheticControlsSettings) -> dict[str, Artifact]:
    """The purity control, and the expansion estimate, as the number of overlap points grows."""
    recipe = Recipe(**settings.recipe.model_dump())
    draws: dict[str, Any] = {"seed": settings.seed, "repetitions": range(settings.repetitions)}
    draws["design"] = DESIGNS["overlap"]
    trained = [(others, n) for others in OTHERS for n in N_OVERLAP]
    purity, expansion = [], []
    with bar("synthetic controls", len(trained) + len(N_OVERLAP), "settings") as advance:
        for others, n in trained:
            purity.append(purity_control((100, 100, n), recipe=recipe, others=others, **draws))
            advance(1)
        for n in N_OVERLAP:
            expansion.append(expansion_study((100, 100, n), c=recipe.c, **draws))
            advance(1)
    facts = settings.model_dump(mode="json", include={"seed", "recipe"})
    control = {
        "n_overlap": np.array([n for _, n in trained], dtype=np.int32),
        "overlap": np.stack([one.overlap for one in purity]),
        "easy": np.stack([one.easy for one in purity]),
        "label_accuracy": np.stack([one.label_accuracy for one in purity]),
    }
    estimates = [[getattr(one, name) for name in ESTIMATES] for one in expansion]
    graph = {
        "n_overlap": np.array(N_OVERLAP, dtype=np.int32),
        "estimate": np.moveaxis(np.array(estimates), 1, 2),  # (settings, repetitions, estimates)
    }
    named = {"others": [" + ".join(others) or "none" for others, _ in trained]}
    return {
        "purity": Artifact("purity_rows", control, facts | named),
        "expansion": Artifact("expansion_rows", graph, facts | {"estimates": list(ESTIMATES)}),
    }
