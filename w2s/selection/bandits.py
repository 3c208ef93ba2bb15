"""Policies that choose the next source to ask for data.

A policy is an index of each source: the available source with the largest index is pulled, ties at
random. Each source has random streams of its own, so the order of the sources changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array

Generators = Sequence[np.random.Generator]


@dataclass(frozen=True)
class Seen:
    """What is known of k sources before a round.

    Attributes:
        pulls: Pulls so far, (k,).
        points: Points drawn so far, (k,).
        overlap: Overlap points among them, (k,).
        density: True overlap density of each source, for the oracles only, (k,).
        right_density: Overlap points with a right weak label / all points, likewise, (k,).
    """

    pulls: Array
    points: Array
    overlap: Array
    density: Array
    right_density: Array

    @property
    def means(self) -> Array:
        """Mean observed reward, the overlap density of the batches, (k,); 0 if never pulled."""
        return self.overlap / np.maximum(self.points, 1)


def ucb_index(means: Array, pulls: Array, *, horizon: int) -> Array:
    """Mean + sqrt(2 ln T / n): UCB1 (Auer et al., 2002) with the round replaced by the horizon T.

    This is Algorithm 1 of Shin et al. (2025).

    Args:
        means: Mean observed reward of each source, (k,); ignored where `pulls` is 0.
        pulls: Pulls of each source, (k,).
        horizon: Number of rounds T, 1 or more.

    Returns:
        Indices, (k,); infinite for a source never pulled.
    """
    return _with_bonus(means, pulls, np.sqrt(2 * np.log(horizon) / np.maximum(pulls, 1)))


def original_index(means: Array, pulls: Array, *, horizon: int) -> Array:
    """Mean + sqrt(2 ln T) / n: what the published code computes, to compare with its curves.

    Its bonus shrinks faster than that of `ucb_index`, so it explores less; see there for the rest.
    """
    return _with_bonus(means, pulls, np.sqrt(2 * np.log(horizon)) / np.maximum(pulls, 1))


def _with_bonus(means: Array, pulls: Array, bonus: Array) -> Array:
    return np.where(pulls > 0, means + bonus, np.inf)


def thompson_index(overlap: Array, points: Array, generators: Generators) -> Array:
    """A draw of each source's density from its posterior (Thompson, 1933).

    The posterior is Beta(1 + overlap points, 1 + other points): points of a batch count as
    independent, and the prior is uniform.

    Args:
        overlap: Overlap points drawn from each source, (k,).
        points: All points drawn from each source, (k,).
        generators: A random generator for each source.
    """
    counts = zip(generators, overlap, points, strict=True)
    return np.array([rng.beta(1 + hits, 1 + drawn - hits) for rng, hits, drawn in counts])


def greedy_index(means: Array, pulls: Array, *, epsilon: float, coin: float) -> Array:
    """The mean reward, or 0 for all, and so a random source, where the coin is below epsilon.

    Args:
        means: Mean observed reward, (k,).
        pulls: Pulls, (k,); a source never pulled comes first.
        epsilon: Share of random pulls, in [0, 1].
        coin: Uniform random number in [0, 1).
    """
    if coin < epsilon:
        return np.zeros(len(means))
    return np.where(pulls > 0, means, np.inf)


@dataclass(frozen=True)
class Chance:
    """The random numbers of one path.

    Attributes:
        coins: Of the policy.
        draws, ties: Of each source: for its index, and for ties between indices.
    """

    coins: np.random.Generator
    draws: Generators
    ties: Generators


Index = Callable[[Seen, int, float, Chance], Array]  # of what is seen, horizon, epsilon, chance
INDICES: dict[str, Index] = {
    "ucb": lambda seen, horizon, _, chance: ucb_index(seen.means, seen.pulls, horizon=horizon),
    "thompson": lambda seen, horizon, _, chance: thompson_index(
        seen.overlap, seen.points, chance.draws
    ),
    "epsilon_greedy": lambda seen, horizon, epsilon, chance: greedy_index(
        seen.means, seen.pulls, epsilon=epsilon, coin=chance.coins.random()
    ),
    "random": lambda seen, horizon, _, chance: np.zeros(len(seen.pulls)),
    "oracle": lambda seen, horizon, _, chance: seen.density,
    "label_oracle": lambda seen, horizon, _, chance: seen.right_density,
    "original": lambda seen, horizon, _, chance: original_index(
        seen.means, seen.pulls, horizon=horizon
    ),
}


def choose(index: Array, available: Array, ties: Generators) -> int:
    """The available source with the largest index, ties by a random number of each source.

    Args:
        index: Index of each source, (k,).
        available: Which sources can be pulled, bool (k,), at least one.
        ties: A random generator for each source; each gives one number.
    """
    number = np.array([rng.random() for rng in ties])
    best = available & (index == index[available].max())
    return int(np.argmax(np.where(best, number, -1.0)))
