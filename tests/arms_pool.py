"""A pool of points with a weak model of its own, made on the spot."""

from dataclasses import replace

import numpy as np

from w2s.arms.pool import Pool
from w2s.probes.probes import fit_probes
from w2s.rng import stream


def make_pool(seed=0, n=240, m=200, dw=6, ds=10):
    """Points whose class the strong vectors tell better than the weak ones do.

    Both see a signal, the weak ones behind more noise; the weak model is a probe on other points.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n + m)
    signal = 2.0 * label - 1
    weak = rng.normal(size=(n + m, dw)) * 1.5
    weak[:, 0] += signal
    strong = rng.normal(size=(n + m, ds))
    strong[:, 0] += 2.5 * signal
    strong[:, 1] += 0.8 * weak[:, 0]
    model = fit_probes(weak[n:], label[n:].astype(float))
    proba = model.predict_proba(weak[:n])
    region = np.where(np.abs(proba - 0.5) < 0.15, "hard", "easy").astype(object)
    region[(region == "easy") & (rng.random(n) < 0.3)] = "overlap"
    return Pool(
        id=rng.permutation(10 * n)[:n],
        n_tokens=rng.integers(3, 90, n),
        weak_proba=proba,
        weak=weak[:n].astype(np.float32),
        strong=strong[:n].astype(np.float32),
        region=region,
        overlap_score=np.where(region == "hard", np.nan, rng.random(n)),
        group=np.arange(n),
        trained_weak=weak[n:].astype(np.float32),
        trained_label=label[n:],
        label=label[:n],
        streams=lambda name: stream(seed, "arms", name),
    )


def of_rows(pool, rows):
    """The pool of some of its rows, in their order."""
    names = ("id", "n_tokens", "weak_proba", "weak", "strong", "region", "overlap_score", "group")
    return replace(pool, label=pool.label[rows], **{k: getattr(pool, k)[rows] for k in names})
