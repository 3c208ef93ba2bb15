"""Null worlds of weak supervision: perceptrons on other points, and on other regions."""

import functools

import numpy as np

from w2s.overlap.detect import detect_overlap
from w2s.probes.mlp import fit_mlps
from w2s.rng import stream
from worlds.jobs import (
    DATASETS,
    DRAWS,
    METHOD,
    README,
    SEEDS,
    STRONG,
    in_their_place,
    load_job,
    room,
)
from worlds.verdicts import judged

CURVE = "purity_matched"
LABEL_MODELS = ("majority_vote", "snorkel")


def perceptrons(results):
    """With perceptrons, overlap points help even among equally accurate labels."""
    for dataset in DATASETS:
        for label_model in LABEL_MODELS:
            pair = f"{label_model}--mlp"
            jobs = [load_job(results, dataset, seed, pair) for seed in SEEDS]
            found = [_worlds(job, seed) for seed, job in zip(SEEDS, jobs, strict=True)]
            for world in found[0]:
                yield judged(
                    f"perceptrons, {CURVE}: all overlap points - none, {dataset}, {label_model}",
                    f"{README}, {METHOD}, weak_supervision_mixes.rst",
                    world,
                    claimed=np.stack([job.ends[CURVE, 1] - job.ends[CURVE, 0] for job in jobs]),
                    null=np.stack([one[world] for one in found]),
                    group=jobs[0].group,
                )


def _worlds(job, seed):
    """What the step from no overlap points to nothing else brings in each null world, (n_test,)."""
    rng = stream(seed, "null worlds", "perceptrons")
    fit = functools.partial(fit_mlps, seed=seed)
    noise = rng.integers(0, 2, len(job.label)).astype(float)
    hidden = fit(job.x[STRONG], noise).hidden(job.x[STRONG])
    overlap = detect_overlap(job.proba, hidden).region == "overlap"
    kinds = (job.region != "hard", overlap, ~overlap)
    both = min(room(job, kind, CURVE) for kind in kinds[1:])
    rows = [
        in_their_place(job, kind, CURVE, rng, size=size)
        for kind, size in zip(kinds, (None, both, both), strict=True)
        for _ in range(DRAWS)
    ]
    placebo, all_of_them, none = (
        job.students(job.proba, rows=rows, fit=fit).reshape(len(kinds), DRAWS, -1).mean(axis=1)
    )
    return {
        "as many random points that are not hard instead of overlap points": placebo
        - job.ends[CURVE, 0],
        "regions by the hidden layer of a network trained on random labels": all_of_them - none,
    }
