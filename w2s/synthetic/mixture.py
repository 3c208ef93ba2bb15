"""The Gaussian mixture with planted easy, hard and overlap points (Shin et al., 2025, synthetic).

theta ~ U[0, 1]^(d_easy + d_hard); y uniform in {0, 1}; x = (2 y - 1) theta + N(0, variance I). An
easy point has its hard coordinates zeroed, noise included, a hard point its easy ones, an overlap
point neither. The weak model sees no hard coordinate. One linear rule through the origin with
coefficients 2 theta / variance is optimal on all three kinds of points at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.errors import W2SError
from w2s.results.metrics import REGIONS
from w2s.rng import stream

Counts = tuple[int, int, int]  # easy, hard and overlap points, in the order of REGIONS
FIXED = (0.4, 0.4, 0.2)  # shares of the test mixture that is the same for every training mixture


@dataclass(frozen=True)
class Design:
    """What all repetitions of a study share.

    Attributes:
        d_easy: Easy coordinates, 1 or more.
        d_hard: Hard coordinates, 1 or more.
        variance: Of the noise of each coordinate, above 0.
        saliency: Factor on the easy coordinates, signal and noise, above 0. It changes norms and
            angles, and what a penalty costs, but not what can be known.
    """

    d_easy: int = 20
    d_hard: int = 20
    variance: float = 5.0
    saliency: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range.

        Raises:
            W2SError: no coordinate of a kind, or a variance or saliency that is not above 0.
        """
        if min(self.d_easy, self.d_hard) < 1:
            raise W2SError(
                f"synthetic: found {self.d_easy} easy and {self.d_hard} hard coordinates, "
                "expected 1 or more of each"
            )
        if not (0 < self.variance < math.inf and 0 < self.saliency < math.inf):
            raise W2SError(
                f"synthetic: found variance {self.variance:g} and saliency {self.saliency:g}, "
                "expected numbers above 0"
            )


@dataclass(frozen=True)
class Population:
    """Where points come from: one repetition's mixture, or those of many.

    Attributes:
        theta: Mean of the points with y = 1 before saliency, the easy coordinates first, float64
            in [0, 1], (d,) or (R, d).
        design: What the repetitions share.
    """

    theta: Array
    design: Design

    @property
    def scale(self) -> Array:
        """Factor on each coordinate, (d,)."""
        design = self.design
        return np.repeat([design.saliency, 1.0], [design.d_easy, design.d_hard])

    @property
    def present(self) -> Array:
        """Whether a coordinate is not zeroed in a region, bool (3, d), in the order of REGIONS."""
        easy = np.arange(self.theta.shape[-1]) < self.design.d_easy
        return np.array([easy, ~easy, np.ones_like(easy)])

    def accuracy(self, coef: Array, intercept: Array) -> Array:
        """Expected accuracy in each region of the rule "1 where x coef + intercept >= 0".

        Exact, so no test points are drawn: with w, t the coordinates present (both scaled) and
        s^2 the variance, x w ~ N(+-t w, s^2 |w|^2), and the two classes are equally frequent.

        Args:
            coef: Coefficients, (d,) or (R, d).
            intercept: A number or (R,); infinite for a rule that always says the same.

        Returns:
            float64 in [0, 1], (3,) or (R, 3); 1/2 where no coefficient is left; NaN where a
            coefficient is.
        """
        weight = (np.asarray(coef) * self.scale)[..., None, :] * self.present  # (..., 3, d)
        signal = (weight * self.theta[..., None, :]).sum(axis=-1)
        noise = np.sqrt(self.design.variance * (weight**2).sum(axis=-1))
        bias = np.asarray(intercept, dtype=np.float64)[..., None]
        flat = noise == 0  # the sign of the intercept alone: right for one class, wrong for one
        safe = np.where(flat, 1.0, noise)
        right = (normal_cdf((signal + bias) / safe) + normal_cdf((signal - bias) / safe)) / 2
        return np.where(flat, 0.5, right)


@dataclass(frozen=True)
class Sample:
    """Points with their truth.

    Attributes:
        x: Strong view, float64 (n, d) or (R, n, d); zeroed coordinates are exactly 0.
        label: 0 or 1, int64 (n,) or (R, n).
        region: Codes of REGIONS, int64 (n,): all repetitions have the same, in this order.
        d_easy: Coordinates that the weak model sees, the first ones.
    """

    x: Array
    label: Array
    region: Array
    d_easy: int

    @property
    def weak_part(self) -> Array:
        """What the weak model sees, (..., n, d_easy): with hard coordinates of 0 it is the same."""
        return self.x[..., : self.d_easy]

    @property
    def names(self) -> Array:
        """Region names as `detect_overlap` gives them, object (n,)."""
        return np.array(REGIONS, dtype=object)[self.region]


def draw_population(design: Design, *, seed: int, repetition: int) -> Population:
    """The mixture of one repetition; it depends on seed, repetition and dimensions only."""
    rng = stream(seed, "synthetic", f"repetition={repetition}", "theta")
    return Population(rng.random(design.d_easy + design.d_hard), design)


def draw_populations(design: Design, *, seed: int, repetitions: Sequence[int]) -> Population:
    """The mixtures of some repetitions, theta (R, d); those of `draw_population`."""
    drawn = [draw_population(design, seed=seed, repetition=r).theta for r in repetitions]
    return Population(np.reshape(drawn, (len(drawn), design.d_easy + design.d_hard)), design)


def draw_sample(
    population: Population, counts: Sequence[int], *, seed: int, repetition: int, part: str
) -> Sample:
    """Points of one repetition.

    Each kind of point has its own stream, read point by point. So a larger count only adds points:
    settings of a sweep share points, and their differences carry less noise.

    Args:
        population: With theta (d,).
        counts: Easy, hard and overlap points, 0 or more each.
        seed: The user's seed.
        repetition: Number of the repetition.
        part: What the points are for; other parts are independent.

    Raises:
        W2SError: not three counts of 0 or more.
    """
    n_points = checked_counts(counts)
    d = population.theta.shape[-1]
    names = ("synthetic", f"repetition={repetition}", part)
    sizes = zip(REGIONS, n_points, strict=True)
    noise = np.concatenate(
        [stream(seed, *names, kind).normal(size=(n, d + 1)) for kind, n in sizes]
    )  # (n, 1 + d), the first for the class
    label = (noise[:, 0] > 0).astype(np.int64)
    region = np.repeat(np.arange(len(REGIONS)), n_points)
    mean = (2 * label - 1)[:, None] * population.theta
    x = mean + math.sqrt(population.design.variance) * noise[:, 1:]
    x *= population.scale
    x[~population.present[region]] = 0
    return Sample(x, label, region, population.design.d_easy)


def draw_samples(
    populations: Population,
    counts: Sequence[int],
    *,
    seed: int,
    repetitions: Sequence[int],
    part: str,
) -> Sample:
    """Points of some repetitions, stacked: x (R, n, d), label (R, n); those of `draw_sample`.

    A repetition's numbers depend neither on which others are asked for nor on their number.
    """
    n, d = sum(checked_counts(counts)), populations.theta.shape[-1]
    x, label = np.empty((len(repetitions), n, d)), np.empty((len(repetitions), n), dtype=np.int64)
    for i, repetition in enumerate(repetitions):
        one = Population(populations.theta[i], populations.design)
        drawn = draw_sample(one, counts, seed=seed, repetition=repetition, part=part)
        x[i], label[i] = drawn.x, drawn.label
    region = np.repeat(np.arange(len(REGIONS)), checked_counts(counts))
    return Sample(x, label, region, populations.design.d_easy)


def checked_counts(counts: Sequence[int]) -> Counts:
    """Three counts of 0 or more.

    Raises:
        W2SError: anything else.
    """
    if len(counts) != len(REGIONS) or any(c != int(c) or c < 0 for c in counts):
        raise W2SError(f"counts: found {list(counts)}, expected three counts of 0 or more")
    easy, hard, overlap = (int(c) for c in counts)
    return easy, hard, overlap


def mixture(name: str, counts: Sequence[int]) -> Array:
    """Shares of the regions in a test mixture, float64 (3,), adding up to 1.

    Args:
        name: `moving`, the shares of the training points, as in the original study, where the test
            gets easier or harder along a sweep; or `fixed`, 40 / 40 / 20 whatever the training.
        counts: Training counts.

    Raises:
        W2SError: another name, or no training point at all.
    """
    if name == "fixed":
        return np.array(FIXED)
    if name != "moving":
        raise W2SError(f"mixture: found {name}, expected moving or fixed")
    n_points = np.array(checked_counts(counts), dtype=np.float64)
    if not n_points.sum():
        raise W2SError("counts: found no point, expected some for a moving mixture")
    shares: Array = n_points / n_points.sum()
    return shares


MIXTURES = ("moving", "fixed")
_STEPS = range(5, 100, 5)  # from 5: with 0 a region is missing, and w2s has nothing to learn from
# counts of the four sweeps; the first study stops at 900 easy points taken away, so that there are
# easy points in every setting
SWEEPS: Mapping[str, tuple[Counts, ...]] = {
    "first": tuple((1000 - 100 * k, 1000, 300 + 100 * k) for k in range(10)),
    "overlap": tuple((100, 100, k) for k in _STEPS),
    "easy": tuple((k, 100, 10) for k in _STEPS),
    "hard": tuple((100, k, 10) for k in _STEPS),
}
DESIGNS: Mapping[str, Design] = {
    study: Design(10, 10) if study == "first" else Design() for study in SWEEPS
}


def normal_cdf(z: Array) -> Array:
    """The standard normal distribution function, float64 of the shape of `z`; NaN stays NaN."""
    flat = [math.erf(value / math.sqrt(2)) for value in np.ravel(z)]
    return (1 + np.reshape(flat, np.shape(z))) / 2
