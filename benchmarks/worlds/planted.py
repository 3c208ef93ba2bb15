"""Null worlds of the synthetic study: scores that know no hard point, labels without a pattern."""

import numpy as np

from w2s.overlap.detect import detect_overlap
from w2s.probes.knn import unit_rows
from w2s.results.metrics import REGIONS, auroc
from w2s.rng import stream
from w2s.synthetic.detection import Cell, draw_cell
from w2s.synthetic.mixture import DESIGNS, draw_populations, draw_samples
from w2s.synthetic.study import train_w2s, train_weak
from w2s.synthetic.track import RecipeConfig
from worlds.jobs import README, SYNTHETIC
from worlds.verdicts import judged

REPETITIONS = 20
CELLS = {
    ("dot", "variance 5"): Cell(),
    ("dot", "saliency 1.5"): Cell(saliency=1.5),
    ("cosine", "variance 1"): Cell(variance=1),
    ("cosine", "variance 0.5"): Cell(variance=0.5),
    ("cosine", "80 + 80 coordinates"): Cell(dimension=80),
}
NORM = "the norm of a point"  # which no cosine sees
HARD, OVERLAP = REGIONS.index("hard"), REGIONS.index("overlap")


def detection(results):
    """The score finds planted overlap points: without any hard point to compare with."""
    del results
    for (similarity, name), cell in CELLS.items():
        points, proba = draw_cell(cell, seed=0, repetitions=range(REPETITIONS))
        found = {}
        for r, (x, confidence) in enumerate(zip(points.x, proba, strict=True)):
            score = detect_overlap(confidence, x, similarity=similarity).score
            scored = ~np.isnan(score)
            rng = stream(r, "null worlds", "detection")
            scores = {"": score, **_ignorant(x, scored, similarity, rng)}
            for world, values in scores.items():
                planted = points.region[scored] == OVERLAP
                found.setdefault(world, []).append(auroc(values[scored], planted))
        claimed = np.array(found.pop(""))
        for world, null in found.items():
            yield judged(
                f"AUROC of overlap points, {similarity}, {name}",
                f"{README}, {SYNTHETIC}",
                world,
                claimed=claimed,
                null=np.array(null),
                nothing=0.5,
                verdict="for comparison" if (similarity, world) == ("cosine", NORM) else None,
            )


def _ignorant(x, scored, similarity, rng):
    """Scores of all points that look at no hard point, by name."""
    rows = unit_rows(x) if similarity == "cosine" else x
    noise = rng.normal(size=(np.sum(~scored), x.shape[1]))
    others = rng.permutation(np.flatnonzero(scored))[: np.sum(~scored)]
    near = np.abs(rows @ rows[others].T)
    near[others, np.arange(len(others))] = 0  # no point is compared with itself
    return {
        NORM: np.linalg.norm(x, axis=1),
        "as many random vectors instead of the hard points": np.abs(rows @ noise.T).max(axis=1),
        "as many random points that are not hard instead": near.max(axis=1),
    }


def teaching(results, repetitions=range(300)):
    """Overlap points teach the hard patterns; with little penalty more of them harm."""
    del results
    worlds = {(k, c): _taught(k, c, repetitions) for k, c in ((95, 0.01), (25, 1.0), (95, 1.0))}
    known = worlds[95, 0.01]
    names = {
        "hard": "as many hard-only points, given labels as often right (the weak model has none)",
        "shuffled": "the overlap points' weak labels shuffled",
    }
    for key, world in names.items():
        yield judged(
            "w2s on hard points with 95 overlap points: all of the rise is theirs",
            f"{README}, {SYNTHETIC}, synthetic_purity.rst",
            world,
            claimed=known["w2s"],
            null=known[key],
            nothing=0.5,
            verdict="by construction",
        )
    more = {key: worlds[95, 1.0][key] - worlds[25, 1.0][key] for key in ("w2s", "anywhere")}
    yield judged(
        "C = 1: 95 overlap points - 25, w2s on hard points (easy coordinates explain the labels)",
        SYNTHETIC,
        "labels as often right, wrong ones anywhere: no coordinate explains them",
        claimed=more["w2s"],
        null=more["anywhere"],
    )


def _taught(k, c, repetitions):
    """Accuracy on hard points of w2s on k overlap points and of null worlds, (R,) by name."""
    design, recipe = DESIGNS["overlap"], RecipeConfig(w2s_c=c)
    populations = draw_populations(design, seed=0, repetitions=repetitions)
    train, points = (
        draw_samples(populations, counts, seed=0, repetitions=repetitions, part=part)
        for part, counts in (("train", (100, 100, k)), ("pseudo", (0, k, k)))
    )
    overlap, hard = (points.region == code for code in (OVERLAP, HARD))
    logits = train_weak(train, c=recipe.c).logits(points.weak_part)[:, overlap]
    right = (logits >= 0) == points.label[:, overlap]
    rng = stream(0, "null worlds", "teaching")
    anywhere = rng.permuted(right, axis=1)

    def accuracy(kind, targets):
        rules = train_w2s(points.x[:, kind], targets, recipe)
        return populations.accuracy(rules.coef, rules.intercept)[:, HARD]

    def labels(kind, good):
        return np.where(good, points.label[:, kind], 1 - points.label[:, kind]) - 0.5

    return {
        "w2s": accuracy(overlap, logits),
        "anywhere": accuracy(overlap, labels(overlap, anywhere)),
        "hard": accuracy(hard, labels(hard, anywhere)),
        "shuffled": accuracy(overlap, rng.permuted(logits, axis=1)),
    }
