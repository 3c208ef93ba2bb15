"""What null worlds read: the artifacts of a dataset and seed of a finished default run."""

import functools
from dataclasses import dataclass

import numpy as np

import w2s
from w2s.checks import rows_of
from w2s.overlap.mixing import nearest
from w2s.probes.probes import fit_columns

DATASETS, SEEDS = ("movies", "amazon", "nyt", "tweets"), range(5)
WEAK, STRONG = "minilm-1", "minilm-6"
PAIR = f"{WEAK}--{STRONG}"
DRAWS = 6  # of every random training set
CURVES = ("plain", "purity_matched", "label_balanced")
README, METHOD, SYNTHETIC = "README.md", "docs/method.md", "docs/synthetic.md"
EVIDENCE = "docs/evidence.md"

loaded = functools.cache(w2s.load)  # for the files that all seeds share


@dataclass(frozen=True)
class Job:
    """A dataset and seed: the n points of strong_train with weak labels, and the test points.

    Attributes:
        x, x_test: Vectors by model, (n, d) and (n_test, d).
        proba, label, region: Weak labels, true labels and regions of strong_train, (n,).
        truth, test_region, group: True labels, regions and groups of the test points, (n_test,).
        floor: What the weak model gets right, (n_test,).
        ends: What mixes without overlap points and of nothing else get right, by curve and end.
        size: Points of a mix, by curve.
    """

    x: dict
    x_test: dict
    proba: np.ndarray
    label: np.ndarray
    region: np.ndarray
    truth: np.ndarray
    test_region: np.ndarray
    group: np.ndarray
    floor: np.ndarray
    ends: dict
    size: dict

    @property
    def right(self):
        """Whether each weak label is right, (n,)."""
        return (self.proba >= 0.5) == (self.label == 1)

    def students(self, targets, *, rows=None, model=STRONG, fit=fit_columns):
        """What students get right, float (b, n_test).

        Args:
            targets: Labels, (n, b), or (n,) for all of them.
            rows: Training rows of each; all rows if not given.
            model: Whose vectors they read.
            fit: How they are trained.
        """
        weights = None
        if rows is not None:
            weights = np.zeros((len(self.label), len(rows)))
            for column, mine in enumerate(rows):
                weights[mine, column] = 1
            targets = np.repeat(targets[:, None], len(rows), axis=1)
        fitted = fit(self.x[model], targets.astype(float), weights=weights)
        return correct(fitted.predict_proba(self.x_test[model]), self.truth)


def correct(proba, truth):
    """Which points each column of probabilities (n, b) gets right, float (b, n); NaN says 1/2."""
    return ((np.nan_to_num(proba, nan=0.5).T >= 0.5) == (truth == 1)).astype(float)


def vectors(results, dataset, model, ids):
    """Cached vectors of texts, float64 (n, d); the default run caches one layer of each model."""
    item = loaded(results / dataset / "activations" / f"{model}.safetensors")
    (layer,) = (name for name in item.arrays if name.startswith("layer_"))
    return np.asarray(item[layer][rows_of(ids, item["id"], what="activations")], dtype=np.float64)


@functools.cache
def load_job(results, dataset, seed, pair=PAIR):
    """Read a job of the probes' study, or of weak supervision where `pair` begins so."""
    folder = results / dataset / pair / f"seed{seed}"
    label_model = results / dataset / "label_models" / pair.split("--")[0] / f"seed{seed}"
    place = label_model if label_model.is_dir() else folder
    weak, regions = (w2s.load(file) for file in (place / "weak_labels.parquet",
                                                 folder / "regions.parquet"))  # fmt: skip
    pool, test = (weak.where(weak["part"] == part) for part in ("strong_train", "test"))
    where = [regions["region"][rows_of(part["id"], regions["id"], what="regions")]
             for part in (pool, test)]  # fmt: skip
    examples = loaded(results / dataset / "examples.parquet")
    models = (WEAK, STRONG)
    return Job(
        x={model: vectors(results, dataset, model, pool["id"]) for model in models},
        x_test={model: vectors(results, dataset, model, test["id"]) for model in models},
        proba=pool["weak_proba"].astype(float),
        label=pool["label"],
        region=where[0],
        truth=test["label"],
        test_region=where[1],
        group=examples["group"][rows_of(test["id"], examples["id"], what="examples")],
        floor=correct(test["weak_proba"][:, None], test["label"])[0],
        **dict(zip(("ends", "size"), ends_of(folder, test), strict=True)),
    )


def ends_of(folder, test):
    """What both ends of each curve get right, means over their draws, and the points of a mix."""
    runs, found = w2s.load(folder / "runs.parquet"), w2s.load(folder / "predictions.safetensors")
    proba = found["proba"][:, rows_of(test["id"], found["id"], what="predictions")]
    ends, size = {}, {}
    for curve in CURVES:
        for end in (0, 1):
            mine = (runs["control"] == curve) & (runs["proportion"] == end)
            ends[curve, end] = correct(proba[mine].T, test["label"]).mean(axis=0)
            size[curve] = int(runs["n_train"][mine].min())
    return ends, size


def in_their_place(job, candidates, curve, rng, *, size=None):
    """Random candidates in the place of a mix of overlap points, with what the curve keeps equal.

    As many as the mix has (or `size`), or as many as there are; the share of right weak labels or
    of positive ones is the curve's.
    """
    member, share = _kept(job, curve)
    size = room(job, candidates, curve) if size is None else size
    inside = nearest(share * size)
    sides = ((candidates & member, inside), (candidates & ~member, size - inside))
    return np.concatenate([rng.permutation(np.flatnonzero(side))[:n] for side, n in sides])


def room(job, candidates, curve):
    """Points of a mix of the curve, or as many as the candidates can be drawn from."""
    member, share = _kept(job, curve)
    inside, outside = np.sum(candidates & member), np.sum(candidates & ~member)
    sizes = np.arange(job.size[curve] + 1)
    needed = nearest(share * sizes)
    return int(sizes[(needed <= inside) & (sizes - needed <= outside)].max())


def _kept(job, curve):
    """The class whose share a curve keeps equal, bool (n,), and that share."""
    everything = np.ones(len(job.label), dtype=bool)
    return {
        "plain": (everything, 1.0),
        "purity_matched": (job.right, job.right.mean()),
        "label_balanced": (job.proba >= 0.5, 0.5),
    }[curve]
