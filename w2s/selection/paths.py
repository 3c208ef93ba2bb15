"""Source selection (Shin et al., 2025, Algorithm 1): paths first, then all their probes together.

The probes never influence which source is pulled next, so a path is simulated on the rewards
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array
from w2s.overlap.strong import Trained, train_on
from w2s.probes.columns import Fit
from w2s.selection.bandits import INDICES, Chance, Seen, choose
from w2s.selection.sources import Supply

UNTRAINED = "no overlap point yet: the probe is untrained and says 1/2"
Streams = Callable[..., np.random.Generator]  # a random stream by its names


@dataclass(frozen=True)
class Plan:
    """What a path is given.

    Attributes:
        rounds: Rounds T; the horizon of the policies that need one.
        batch: Points of a pull.
        epsilon: Share of random pulls of `epsilon_greedy`.
    """

    rounds: int
    batch: int
    epsilon: float = 0.1


@dataclass(frozen=True)
class Path:
    """The rounds of one policy, as many as were asked for unless all sources ran dry.

    Attributes:
        policy: Its name.
        repeat: Number of the path.
        source: Position of the source that was pulled, (rounds,).
        rows: Points drawn, positions in the pool, (rounds, batch).
        density: Share of overlap points among them, the reward, (rounds,).
        regret: Cumulative regret, (rounds,).
    """

    policy: str
    repeat: int
    source: Array
    rows: Array
    density: Array
    regret: Array


def simulate(policy: str, supply: Supply, *, plan: Plan, repeat: int, streams: Streams) -> Path:
    """Pull sources for a number of rounds.

    Each source hands out its points in a random order of its own, the same for every policy, so
    that policies differ in what they pull and not in luck. A source with fewer points left than a
    batch is not available any more. Regret of a round: the largest density of a source that is
    available, less the density of the one pulled; so that of the oracle is 0.

    Args:
        policy: One of `bandits.INDICES`.
        supply: The sources.
        plan: Rounds and batches.
        repeat: Number of the path; names its random streams.
        streams: Random streams by name: the order of a source; coins of the policy; its ties and
            draws for each source.
    """
    of = f"repeat={repeat}"
    names = supply.names
    order = [
        streams("order", name, of).permutation(np.sort(rows))
        for name, rows in zip(names, supply.rows, strict=True)
    ]
    chance = Chance(
        coins=streams("coins", policy, of),
        draws=[streams("draws", policy, name, of) for name in names],
        ties=[streams("ties", policy, name, of) for name in names],
    )
    pulls, overlap = np.zeros((2, len(names)))
    taken: list[tuple[int, Array, float, float]] = []
    for _ in range(plan.rounds):
        available = (pulls + 1) * plan.batch <= supply.points
        if not available.any():
            break
        seen = Seen(pulls, pulls * plan.batch, overlap, supply.density, supply.right_density)
        k = choose(INDICES[policy](seen, plan.rounds, plan.epsilon, chance), available, chance.ties)
        first = int(pulls[k]) * plan.batch
        rows = order[k][first : first + plan.batch]
        hits = int(supply.overlap[rows].sum())
        missed = float(supply.density[available].max() - supply.density[k])
        taken.append((k, rows, hits / plan.batch, missed))
        pulls[k] += 1
        overlap[k] += hits
    return _path(policy, repeat, taken, plan.batch)


def _path(
    policy: str, repeat: int, taken: Sequence[tuple[int, Array, float, float]], batch: int
) -> Path:
    source, rows, density, missed = zip(*taken, strict=True) if taken else ((), (), (), ())
    return Path(
        policy,
        repeat,
        np.array(source, dtype=np.int64),
        np.array(rows, dtype=np.int64).reshape(-1, batch),
        np.array(density, dtype=np.float64),
        np.cumsum(np.array(missed, dtype=np.float64)),
    )


def rounds_possible(supply: Supply, *, plan: Plan) -> int:
    """Rounds until the plan's end or until all sources are dry: the same for every policy."""
    return min(plan.rounds, int(np.sum(supply.points // plan.batch)))


def collected(paths: Sequence[Path], overlap: Array) -> tuple[list[Array], list[Array]]:
    """The training sets after every round of every path: all points so far, and the overlap points.

    Args:
        paths: Paths.
        overlap: Whether a point of the pool is an overlap point, bool (n,).
    """
    everything = [path.rows[: t + 1].ravel() for path in paths for t in range(len(path.source))]
    return everything, [rows[overlap[rows]] for rows in everything]


def train_rounds(
    paths: Sequence[Path],
    overlap: Array,
    weak_proba: Array,
    *,
    activations: tuple[Array, Array],
    fit: Fit,
) -> tuple[Trained, ...]:
    """Fit the probes of all rounds of the paths as one problem and predict the test points.

    Args:
        paths: Paths.
        overlap: Whether a point of the pool is an overlap point, bool (n,).
        weak_proba: Weak labels of the pool, (n,).
        activations: Strong activations of the pool (n, d) and of the test points (n_test, d).
        fit: How the probes of a matrix are fitted.

    Returns:
        The probes trained on all points so far and on the overlap points only, a row for each round
        of each path in their order. Before its first overlap point a probe is untrained, and so is
        one without a solution (a knn probe on fewer points than neighbors): it says 1/2, and
        `reason` says why.
    """
    both = collected(paths, overlap)
    rows = [*both[0], *both[1]]
    known = [i for i, mine in enumerate(rows) if len(mine)]
    proba = np.full((len(rows), len(activations[1])), 0.5, dtype=np.float32)
    gap, l2 = np.full((2, len(rows)), np.nan)
    reason = [UNTRAINED] * len(rows)
    if known:
        found = train_on(*activations, [weak_proba] * len(known), [rows[i] for i in known], fit=fit)
        gap[known], l2[known] = found.gap, found.l2
        for i, why, mine in zip(known, found.reason, found.proba, strict=True):
            proba[i], reason[i] = (0.5 if why else mine), why
    half = len(both[0])
    return tuple(
        Trained(proba[side], gap[side], l2[side], reason[side])
        for side in (slice(half), slice(half, None))
    )
