"""Null worlds of the probes' study: gains, their regions, mixes, and repeated mixes."""

import numpy as np

import w2s
from w2s.checks import rows_of
from w2s.probes.probes import fit_columns
from w2s.rng import stream
from worlds.jobs import (
    CURVES,
    DATASETS,
    DRAWS,
    METHOD,
    README,
    SEEDS,
    STRONG,
    WEAK,
    correct,
    in_their_place,
    load_job,
    loaded,
    vectors,
)
from worlds.verdicts import filled, judged, spread

COPY = "student reads the weak model's own vectors"
EQUAL = "student no better than its teacher on true labels (fewer of the strong coordinates)"


def gains(results):
    """The student beats its teacher."""
    for dataset in DATASETS:
        jobs = [load_job(results, dataset, seed) for seed in SEEDS]
        found = [_students(results, dataset, *both) for both in zip(SEEDS, jobs, strict=True)]
        floor = np.stack([job.floor for job in jobs])
        worlds = {name: np.stack([one[name] for one in found]) - floor for name in found[0]}
        curves = np.stack(
            [_narrow(job, stream(s, "null worlds", dataset)) for s, job in enumerate(jobs)]
        )  # (seeds, weak or true labels, steps, n)
        worlds[EQUAL] = _between(curves[:, 1], floor.mean(), curves[:, 0]) - floor
        claimed = worlds.pop("w2s")
        for world, null in worlds.items():
            claim = f"w2s - floor, {dataset}"
            yield judged(claim, README, world, claimed=claimed, null=null, group=jobs[0].group)


def _students(results, dataset, seed, job):
    """What w2s and the students of null worlds get right, by name."""
    rng, proba = stream(seed, "null worlds", "labels", dataset), job.proba
    shuffled = np.stack([rng.permutation(proba) for _ in range(DRAWS)], axis=1)
    share = (proba >= 0.5).mean()
    coins = rng.random((len(proba), DRAWS)) < share
    strong = job.students(np.column_stack([proba, shuffled, coins]))
    return {
        "w2s": strong[0],
        COPY: job.students(proba[:, None], model=WEAK)[0],
        "weak labels shuffled": strong[1 : 1 + DRAWS].mean(axis=0),
        "random labels, as many of them positive": strong[1 + DRAWS :].mean(axis=0),
        "always the more frequent weak label": ((job.truth == 1) == (share >= 0.5)).astype(float),
        "no student: the teacher's penalty by cross-validation": _tuned(
            results, dataset, seed, job
        ),
    }


def _tuned(results, dataset, seed, job):
    """What the weak model gets right with a penalty chosen by cross-validation."""
    split = w2s.load(results / dataset / "splits" / f"seed{seed}.parquet")
    examples = loaded(results / dataset / "examples.parquet")
    ids = split["id"][split["half"] == "weak_train"]
    label = examples["label"][rows_of(ids, examples["id"], what="examples")].astype(float)
    probe = fit_columns(vectors(results, dataset, WEAK, ids), label[:, None], l2="cv")
    return correct(probe.predict_proba(job.x_test[WEAK]), job.truth)[0]


def _narrow(job, rng):
    """Students of some strong coordinates, on weak and on true labels, (2, steps, n_test)."""
    targets = np.column_stack([job.proba, job.label])
    steps = []
    for width in (16, 32, 64, 128, 256):
        found = []
        for _ in range(3):
            kept = rng.permutation(job.x[STRONG].shape[1])[:width]
            proba = fit_columns(job.x[STRONG][:, kept], targets).predict_proba(
                job.x_test[STRONG][:, kept]
            )
            found.append(correct(proba, job.truth))
        steps.append(np.mean(found, axis=0))
    return np.stack(steps, axis=1)


def _between(curve, level, reported):
    """`reported` (seeds, steps, n) between the two steps where the mean of `curve` is a level."""
    means = curve.mean(axis=(0, 2))
    i = int(np.clip(np.searchsorted(means, level), 1, len(means) - 1))
    share = np.clip((level - means[i - 1]) / (means[i] - means[i - 1]), 0, 1)
    return (1 - share) * reported[:, i - 1] + share * reported[:, i]


def regions(results):
    """The gain is on hard test points, the loss on easy ones: any strong model has both."""
    for dataset in DATASETS:
        jobs = [load_job(results, dataset, seed) for seed in SEEDS]
        claimed = np.stack([job.students(job.proba[:, None])[0] - job.floor for job in jobs])
        curve = np.stack(
            [_few(job, stream(s, "null worlds", "few", dataset)) for s, job in enumerate(jobs)]
        )
        for region in ("hard", "easy"):
            own = np.stack([job.test_region == region for job in jobs]).astype(float)
            cuts = {"own": own, "other seeds'": (own.sum(axis=0) - own) / (len(jobs) - 1)}
            for name, level in (("floor", 0.0), ("w2s", claimed.mean())):
                null = _between(curve, level, curve)
                for cut, weight in cuts.items():
                    yield judged(
                        f"w2s - floor on {region} points, {dataset}",
                        f"{README}, {METHOD}, by_region.rst",
                        f"strong probe on so few true labels that overall it equals {name}; "
                        f"regions by the {cut} weak model",
                        claimed=claimed,
                        null=null,
                        weight=weight,
                        group=jobs[0].group,
                    )


def _few(job, rng):
    """Strong probes on more and more true labels, less the floor, (steps, n_test)."""
    sizes = np.geomspace(20, 0.97 * len(job.label), 14).astype(int)
    orders = [rng.permutation(len(job.label)) for _ in range(DRAWS)]
    rows = [order[:size] for size in sizes for order in orders]
    found = job.students(job.label, rows=rows).reshape(len(sizes), DRAWS, -1)
    return found.mean(axis=1) - job.floor


def mixes(results):
    """More overlap points help: random other points in their place."""
    for dataset in DATASETS:
        jobs = [load_job(results, dataset, seed) for seed in SEEDS]
        for curve in CURVES:
            claimed = np.stack([job.ends[curve, 1] - job.ends[curve, 0] for job in jobs])
            for world in ("not hard", "easy"):
                null = []
                for seed, job in zip(SEEDS, jobs, strict=True):
                    rng = stream(seed, "null worlds", "mixes", dataset, curve, world)
                    others = job.region == "easy" if world == "easy" else job.region != "hard"
                    rows = [in_their_place(job, others, curve, rng) for _ in range(DRAWS)]
                    null.append(job.students(job.proba, rows=rows).mean(axis=0))
                yield judged(
                    f"{curve}: all overlap points - none, {dataset}",
                    f"{README}, controls.rst",
                    f"as many random points that are {world} instead of overlap points",
                    claimed=claimed,
                    null=np.stack(null) - np.stack([job.ends[curve, 0] for job in jobs]),
                    group=jobs[0].group,
                )


def repeated(results, pairs=60, repeats=3):
    """An interval that excludes 0 is evidence: two draws of the same random mixes."""
    for dataset in DATASETS:
        jobs = [load_job(results, dataset, seed) for seed in SEEDS]
        found = []
        for seed, job in zip(SEEDS, jobs, strict=True):
            rng, n = stream(seed, "null worlds", "repeated", dataset), len(job.label)
            rows = [rng.permutation(n)[: job.size["plain"]] for _ in range(2 * pairs * repeats)]
            right = job.students(job.proba, rows=rows).reshape(2, pairs, repeats, -1).mean(axis=2)
            found.append(right[0] - right[1])
        bounds = [spread(d, group=jobs[0].group)[1:] for d in np.stack(found, axis=1)]
        wrong = sum(low > 0 or high < 0 for low, high in bounds)
        yield filled(
            f"an interval that excludes 0 is evidence of a difference, {dataset}",
            "table_comparisons.rst",
            "both sides are random mixes, drawn twice",
            "5% exclude 0 by chance",
            f"{wrong} of {pairs}",
            "",
            "stands" if wrong <= 0.05 * pairs + 2 * (0.05 * 0.95 * pairs) ** 0.5 else "falls",
        )
