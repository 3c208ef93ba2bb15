"""The synthetic study: weak floor, strong ceiling and w2s where the truth is known.

For each repetition the weak model and the strong ceiling train on one set with true labels, and w2s
on the weak labels of an independent set of the same counts (Shin et al., 2025, synthetic study).

Why the default recipe is what it is: docs/synthetic.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError
from w2s.files.artifacts import Artifact
from w2s.progress import bar
from w2s.results.metrics import REGIONS
from w2s.synthetic.mixture import (
    DESIGNS,
    SWEEPS,
    Counts,
    Design,
    Population,
    Sample,
    checked_counts,
    draw_populations,
    draw_samples,
)
from w2s.synthetic.newton import Fits, fit_batch
from w2s.synthetic.track import RecipeConfig, SyntheticSettings

MODELS = ("weak", "strong", "w2s")
GROUPS = ("overall", *REGIONS)
BLOCK = 2**22  # numbers of one part drawn at a time: 32 MB


@dataclass(frozen=True)
class Rules:
    """Linear rules of many repetitions: 1 where x coef + intercept >= 0.

    Attributes:
        coef: float64 (R, d); zeros where all training labels are equal.
        intercept: float64 (R,); infinite there, as the rule always says the same.
        constant: Whether all training labels were equal, bool (R,).
    """

    coef: Array
    intercept: Array
    constant: Array

    def logits(self, x: Array) -> Array:
        """Logits of rows (R, n, d), float64 (R, n); infinite for a constant rule."""
        logits: Array = np.matmul(x, self.coef[..., None])[..., 0] + self.intercept[:, None]
        return logits

    def proba(self, x: Array) -> Array:
        """P(y = 1) of rows (R, n, d), float64 (R, n)."""
        proba: Array = np.exp(-np.logaddexp(0, -self.logits(x)))
        return proba

    def right(self, points: Sample) -> Array:
        """Whether the labels of a weak model are right, bool (R, n)."""
        return np.asarray((self.logits(points.weak_part) >= 0) == points.label)


@dataclass(frozen=True)
class Accuracies:
    """One setting's exact expected accuracies, see `Population.accuracy`.

    Attributes:
        region: float64 (R, 3, 3): repetition, model of MODELS, region of REGIONS. NaN for w2s
            where it has no training point.
        constant: Whether a model's training labels were all equal, so that it predicts one class,
            bool (R, 3). Frequent for w2s with some 5 overlap points.
        label_accuracy: Share of right weak labels among the points w2s trains on, (R,).
    """

    region: Array
    constant: Array
    label_accuracy: Array


def run_setting(
    counts: Sequence[int],
    *,
    design: Design,
    recipe: RecipeConfig,
    seed: int,
    repetitions: Sequence[int],
) -> Accuracies:
    """Train and measure the three models of one setting in all repetitions.

    Deviation from the original: accuracies on the test mixture are computed from the Gaussian tail
    instead of being counted on drawn points. Their expectation is the same, and the noise of the
    test draw is gone, which makes up most of the spread over repetitions in small groups.

    Args:
        counts: Easy, hard and overlap points to train on; the pseudo-label set has as many.
        design: Dimensions, variance, saliency.
        recipe: How to train.
        seed: The user's seed.
        repetitions: Numbers of the repetitions. Each one's result depends on neither the others
            nor the setting's place in a sweep.

    Raises:
        W2SError: counts or repetitions that are none.
    """
    n_points = checked_counts(counts)
    if not len(repetitions) or not sum(n_points):
        raise W2SError(
            f"synthetic: found {len(repetitions)} repetitions of {sum(n_points)} points, "
            "expected 1 or more of each"
        )
    parts = [
        _run_block(n_points, design, recipe, seed, block)
        for block in blocks(repetitions, sum(n_points) * (design.d_easy + design.d_hard))
    ]
    region, constant, right = (np.concatenate(side) for side in zip(*parts, strict=True))
    return Accuracies(region, constant, right)


def blocks(repetitions: Sequence[int], numbers: int) -> Iterator[Sequence[int]]:
    """The repetitions in turn, as many at a time as memory allows at `numbers` each."""
    size = max(1, BLOCK // max(1, numbers))
    for start in range(0, len(repetitions), size):
        yield repetitions[start : start + size]


def _run_block(
    counts: Counts, design: Design, recipe: RecipeConfig, seed: int, repetitions: Sequence[int]
) -> tuple[Array, Array, Array]:
    """Accuracies (r, 3, 3), constant rules (r, 3) and weak-label accuracy (r,) of a block."""
    populations = draw_populations(design, seed=seed, repetitions=repetitions)
    # each kind has its own stream, so the kinds that nobody trains on need not be drawn
    used = [n if name in recipe.w2s_on else 0 for name, n in zip(REGIONS, counts, strict=True)]
    train, pseudo = (
        draw_samples(populations, size, seed=seed, repetitions=repetitions, part=part)
        for part, size in (("train", counts), ("pseudo", used))
    )
    weak = train_weak(train, c=recipe.c)
    strong = fit_rules(train.x, train.label, c=recipe.c)
    logits = weak.logits(pseudo.weak_part)
    w2s = train_w2s(pseudo.x, logits, recipe)
    rules = (padded(weak, populations), strong, w2s)
    region = np.stack([populations.accuracy(rule.coef, rule.intercept) for rule in rules], axis=1)
    right = (logits >= 0) == pseudo.label
    share = right.mean(axis=1) if any(used) else np.full(len(right), np.nan)
    return region, np.stack([rule.constant for rule in rules], axis=1), share


def train_weak(train: Sample, *, c: float) -> Rules:
    """The weak model, on the coordinates it sees: coef (R, d_easy)."""
    return fit_rules(train.weak_part, train.label, c=c)


def train_w2s(x: Array, logits: Array, recipe: RecipeConfig) -> Rules:
    """The strong model on weak labels; NaN where there is no point.

    Args:
        x: Strong view of the points to train on, (R, n, d).
        logits: The weak model's, (R, n).
        recipe: How to train; `w2s_on` is not read.
    """
    if not x.shape[1]:
        nothing = np.full((len(x), x.shape[2]), np.nan)
        return Rules(nothing, nothing[:, 0], np.zeros(len(x), dtype=bool))
    soft = np.exp(-np.logaddexp(0, -logits))
    targets = soft if recipe.soft else (logits >= 0).astype(np.float64)
    return fit_rules(x, targets, c=recipe.w2s_c)


def fit_rules(x: Array, targets: Array, *, c: float) -> Rules:
    """Logistic regressions (R, n, d), with the limit where all targets are 0 or all 1.

    There the bias has no finite minimum, and what it tends to is the rule that always says the one
    class.

    Raises:
        W2SError: a problem that is not solved to the tolerance.
    """
    fits: Fits = fit_batch(x, targets, l2=1 / (2 * x.shape[1] * c))
    constant = (targets == targets[:, :1]).all(axis=1) & np.isin(targets[:, 0], (0, 1))
    lost = (fits.reason != "") & ~constant
    if lost.any():
        raise W2SError(f"synthetic: {fits.reason[lost][0]}")
    one = np.where(targets[:, 0] == 1, np.inf, -np.inf)
    coef = np.where(constant[:, None], 0.0, fits.coef)
    return Rules(coef, np.where(constant, one, fits.intercept), constant)


def padded(weak: Rules, populations: Population) -> Rules:
    """The weak model as a rule on all coordinates, its hard ones without weight."""
    coef = np.zeros(populations.theta.shape)
    coef[:, : weak.coef.shape[1]] = weak.coef
    return Rules(coef, weak.intercept, weak.constant)


def synthetic(*, settings: SyntheticSettings) -> dict[str, Artifact]:
    """Train and measure weak floor, strong ceiling and w2s in all repetitions of all settings."""
    found = []
    with bar(f"synthetic {settings.study}", len(SWEEPS[settings.study]), "settings") as advance:
        for counts in SWEEPS[settings.study]:
            found.append(
                run_setting(
                    counts,
                    design=DESIGNS[settings.study],
                    recipe=settings.recipe,
                    seed=settings.seed,
                    repetitions=range(settings.repetitions),
                )
            )
            advance(1)
    arrays = {
        "counts": np.array(SWEEPS[settings.study], dtype=np.int32),
        "accuracy": np.stack([one.region for one in found]),
        "constant": np.stack([one.constant for one in found]).astype(np.int8),
        "label_accuracy": np.stack([one.label_accuracy for one in found]),
    }
    facts = settings.model_dump(mode="json", include={"study", "seed", "recipe"})
    return {"accuracies": Artifact("synthetic_accuracies", arrays, facts)}
