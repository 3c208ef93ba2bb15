"""Null worlds of source selection: counts alone, single domains, regions without sources."""

import numpy as np

import w2s
from w2s.probes.probes import fit_columns
from w2s.rng import stream
from w2s.selection.paths import Plan, simulate
from w2s.selection.sources import Source, supply
from worlds.jobs import DRAWS, METHOD, PAIR, README, SEEDS, STRONG, correct, vectors
from worlds.verdicts import judged

EXPERIMENTS = (
    "movies-cut", "amazon-cut", "nyt-cut", "tweets-cut", "movies-rebalanced", "domains-movies",
    "domains-all",
)  # fmt: skip
BATCH, ROUNDS, REPEATS = 16, 25, 2


def read(results, experiment, seed):
    """Points, paths and predictions of one seed."""
    folder = results / "selection" / experiment / PAIR / f"seed{seed}"
    names = ("points.parquet", "paths.parquet", "predictions.safetensors")
    return [w2s.load(folder / name) for name in names]


def counts(results, experiment="movies-cut", dataset="movies"):
    """Students of the overlap points learn sooner: random points that are as many each round."""
    claimed, worlds = {}, {"not hard": {}, "of any kind": {}}
    policies = ("random", "ucb", "thompson")
    for seed in SEEDS:
        points, paths, found = read(results, experiment, seed)
        sizes = {name: paths["n_overlap"][paths["policy"] == name] for name in policies}
        for name in policies:
            right = correct(found["overlap"][paths["policy"] == name].T, found["label"])
            claimed.setdefault(name, []).append(right.mean(axis=0))
        for world, null in worlds.items():
            others = (points["region"] != "hard") | (world == "of any kind")
            rng = stream(seed, "null worlds", "counts", world)
            by_size = _of_sizes(results, dataset, (points, found), others, sizes, rng)
            for name in policies:
                null.setdefault(name, []).append(np.mean([by_size[n] for n in sizes[name]], axis=0))
    for policy in policies[1:]:
        for world, null in worlds.items():
            yield judged(
                f"{policy} - random, area under the curve of overlap points only, {experiment}",
                f"{README}, selection_accuracy.rst",
                f"as many random points {'that are ' * (world == 'not hard')}{world}",
                claimed=np.stack(claimed[policy]) - np.stack(claimed["random"]),
                null=np.stack(null[policy]) - np.stack(null["random"]),
            )


def _of_sizes(results, dataset, artifacts, candidates, sizes, rng):
    """What students of n random candidates get right, by n; the same ones for every policy."""
    points, test = artifacts
    needed = np.unique(np.concatenate([*sizes.values(), [1]]))
    needed = needed[needed > 0]
    orders = [rng.permutation(np.flatnonzero(candidates)) for _ in range(DRAWS)]
    rows = [order[:size] for order in orders for size in needed]
    proba = _predicted(results, (dataset,) * len(points), points, rows, test["id"], dataset)
    right = correct(proba, test["label"]).reshape(DRAWS, len(needed), -1).mean(axis=0)
    untrained = (test["label"] == 1).astype(float)  # 1/2 says 1
    return {0: untrained, **dict(zip(needed, right, strict=True))}


def _predicted(results, homes, points, rows, test_ids, target):
    """Test predictions (n_test, b) of students of some rows, points being from datasets `homes`."""
    used, homes = np.unique(np.concatenate(rows)), np.asarray(homes)
    width = vectors(results, target, STRONG, test_ids[:1]).shape[1]
    x, weights = np.empty((len(used), width)), np.zeros((len(used), len(rows)))
    for home in np.unique(homes[used]):
        mine = homes[used] == home
        x[mine] = vectors(results, home, STRONG, points["id"][used][mine])
    for column, mine in enumerate(rows):
        weights[np.searchsorted(used, mine), column] = 1
    targets = np.repeat(points["weak_proba"][used].astype(float)[:, None], len(rows), axis=1)
    probes = fit_columns(x, targets, weights=weights)
    return probes.predict_proba(vectors(results, target, STRONG, test_ids))


def domains(results, experiment="domains-movies", target="movies"):
    """Always asking the densest domain costs: always asking another one."""
    claimed, nulls = [], {"one domain drawn at random": [], "another domain, not movies": []}
    for seed in SEEDS:
        points, paths, test = read(results, experiment, seed)
        policy = {name: paths["policy"] == name for name in ("oracle", "random")}
        curve = {
            name: correct(test["all"][mine].T, test["label"]).mean(axis=0)
            for name, mine in policy.items()
        }
        claimed.append(curve["oracle"] - curve["random"])
        rng, names = stream(seed, "null worlds", "domains"), paths.facts["source_names"]
        orders = [
            rng.permutation(np.flatnonzero(points["source"] == name))
            for name in names
            for _ in range(REPEATS)
        ]
        rows = [order[: BATCH * (t + 1)] for order in orders for t in range(ROUNDS)]
        proba = _predicted(results, points["source"], points, rows, test["id"], target)
        right = correct(proba, test["label"]).reshape(len(names), REPEATS * ROUNDS, -1).mean(axis=1)
        densest = str(paths["source"][policy["oracle"]][0])
        others = [i for i, name in enumerate(names) if name not in (target, densest)]
        for null, kept in zip(nulls.values(), (slice(None), others), strict=True):
            null.append(right[kept].mean(axis=0) - curve["random"])
    for world, null in nulls.items():
        yield judged(
            "always the densest domain - random, area under the curve, domains-movies",
            f"{README}, {METHOD}",
            f"always {world}, whatever its density",
            claimed=np.stack(claimed),
            null=np.stack(null),
        )


def regrets(results):
    """UCB and Thompson sampling find denser sources: regions shuffled over all points."""
    for experiment in EXPERIMENTS:
        claimed, null = [], []
        for seed in SEEDS:
            points, paths, _ = read(results, experiment, seed)
            names, overlap = paths.facts["source_names"], points["region"] == "overlap"
            held = [Source(name, np.flatnonzero(points["source"] == name)) for name in names]
            claimed.append(_regret_of(paths))
            rng = stream(seed, "null worlds", "regrets", experiment)
            drawn = [_without_density(held, rng.permutation(overlap), rng) for _ in range(DRAWS)]
            null.append(np.mean(drawn, axis=0))
        for i, policy in enumerate(("ucb", "thompson")):
            yield judged(
                f"regret of {policy} - random, {experiment}",
                README,
                "regions shuffled over all points, so that no source is denser",
                claimed=np.array(claimed)[:, i],
                null=np.array(null)[:, i],
            )


def _regret_of(paths):
    """Last regrets of UCB and Thompson sampling less that of random pulls, means over paths."""
    last = paths["round"] == paths["round"].max()
    ucb, thompson, random = (
        paths["regret"][last & (paths["policy"] == name)].mean()
        for name in ("ucb", "thompson", "random")
    )
    return ucb - random, thompson - random


def _without_density(held, overlap, rng):
    """The same of simulated paths over sources with the given overlap points."""
    market = supply(held, overlap, overlap)
    seed = int(rng.integers(2**31))

    def regret(policy):
        paths = [
            simulate(
                policy,
                market,
                plan=Plan(ROUNDS, BATCH),
                repeat=repeat,
                streams=lambda *names: stream(seed, *names),
            )
            for repeat in range(REPEATS)
        ]
        return np.mean([path.regret[-1] for path in paths])

    random = regret("random")
    return regret("ucb") - random, regret("thompson") - random
