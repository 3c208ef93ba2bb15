"""Stage `synthetic`: one sweep of the synthetic study."""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.methods.synthetic import DESIGNS, SWEEPS
from w2s.methods.synthetic_study import Recipe, run_setting
from w2s.progress import bar
from w2s.settings import SyntheticSettings


def synthetic(*, settings: SyntheticSettings) -> dict[str, Artifact]:
    """Train and measure weak floor, strong ceiling and w2s in all repetitions of all settings."""
    recipe = Recipe(**settings.recipe.model_dump())
    found = []
    with bar(f"synthetic {settings.study}", len(SWEEPS[settings.study]), "settings") as advance:
        for counts in SWEEPS[settings.study]:
            found.append(
                run_setting(
                    counts,
                    design=DESIGNS[settings.study],
                    recipe=recipe,
                    seed=settings.seed,
                    repetitions=range(settings.repetitions),
                )
            )
            advance(1)
    arrays = {
        "counts": np.array([one.counts for one in found], dtype=np.int32),
        "accuracy": np.stack([one.region for one in found]),
        "constant": np.stack([one.constant for one in found]).astype(np.int8),
        "label_accuracy": np.stack([one.label_accuracy for one in found]),
    }
    facts = settings.model_dump(mode="json", include={"study", "seed", "recipe"})
    return {"accuracies": Artifact("synthetic_accuracies", arrays, facts)}
