"""Probes: all columns of a job as one problem, against one torch L-BFGS after another.

Run `python benchmarks/probes.py` (about five minutes), or with `--quick` for the key ratio only.
"""

import argparse
import sys
import time

import numpy as np
from baselines.probes import fit_one
from measure import alternate, write_table

import w2s
from w2s.checks import rows_of
from w2s.methods.probes import fit_probes

L2 = 1e-3


def objective(x, y, coef, bias):
    logits = x.astype(np.float64) @ coef + bias
    return np.mean(np.logaddexp(0, logits) - y * logits) + L2 * np.sum(coef**2)


def real_rows(results):
    """Strong activations of all movie texts and soft labels, from the finished default run.

    The soft labels are true labels drawn towards 1/2, with noise, as those of a weak model.
    """
    activations = w2s.load(f"{results}/movies/activations/minilm-6.safetensors")
    examples = w2s.load(f"{results}/movies/examples.parquet")
    label = examples["label"][rows_of(activations["id"], examples["id"], what="examples")]
    noise = np.random.default_rng(0).normal(scale=0.15, size=len(label))
    return activations["layer_-1"], np.clip(0.3 + 0.4 * label + noise, 0, 1)


def real_matrix(results, n=4000):
    """The first rows of these: as many as a default pool has."""
    x, y = real_rows(results)
    return x[:n], y[:n]


def heavy_tailed(n, d):
    """Columns with eigenvalues like 1/i and a large common mean, as in a large language model."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, d)) * np.sqrt(100 / np.arange(1, d + 1)) + 3 * rng.normal(size=d)
    logits = (x - x.mean(0)) @ rng.normal(size=d)
    return x.astype(np.float32), 1 / (1 + np.exp(-2 * logits / logits.std()))


def compare(name, x, y, n_columns, n_baseline, repeats):
    """One row: the batch of columns against `n_baseline` of them fitted one after another."""
    rng = np.random.default_rng(2)
    masks = rng.random((len(x), n_columns)) < np.linspace(0.2, 0.9, n_columns)
    subsets = [np.flatnonzero(masks[:, j]) for j in range(n_columns)]
    chosen = np.linspace(0, n_columns - 1, n_baseline).astype(int)
    targets = np.repeat(y[:, None], n_columns, axis=1)
    seconds, results = alternate(
        {
            "batched": lambda: fit_probes(x, targets, weights=masks, l2=L2),
            "one by one": lambda: [fit_one(x[subsets[j]], y[subsets[j]], L2) for j in chosen],
        },
        repeats=repeats,
    )
    batch, single = results["batched"], results["one by one"]
    best, worst_ours, worst_theirs = {}, 0.0, 0.0
    for j, (coef, bias) in zip(chosen, single, strict=True):
        rows = x[subsets[j]].astype(np.float64)
        ours = objective(rows, y[subsets[j]], batch.coef[:, j], batch.intercept[j])
        theirs = objective(rows, y[subsets[j]], coef, bias)
        best[j] = ours * (1 - batch.gap[j])  # the certified lower bound of the minimum
        worst_ours = max(worst_ours, batch.gap[j])
        worst_theirs = max(worst_theirs, theirs / best[j] - 1)
    scale = n_columns / n_baseline
    naive, ours = seconds["one by one"] * scale, seconds["batched"]
    return {
        "problem": name,
        "probes": n_columns,
        "one by one (s)": f"{naive:.2f}",
        "batched (s)": f"{ours:.3f}",
        "ratio": f"{naive / ours:.0f}",
        "gap one by one": f"{worst_theirs:.0e}",
        "gap batched (certified)": f"{worst_ours:.0e}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--results", default="results/demo", help="a finished default run")
    options = parser.parse_args()
    x, y = real_matrix(options.results)
    rows = [compare(f"movies {x.shape[0]} x {x.shape[1]}", x, y, 100, 20, 5)]
    if not options.quick:
        big, target = heavy_tailed(5000, 4096)
        start = time.perf_counter()
        rows.append(compare("heavy-tailed 5000 x 4096", big, target, 11, 3, 5))
        rows.append(compare("heavy-tailed 5000 x 4096", big, target, 100, 3, 5))
        sys.stderr.write(f"{time.perf_counter() - start:.0f} s for the wide problems\n")
    write_table(
        "probes-quick" if options.quick else "probes",
        "Probes: batched against one by one",
        rows,
        notes=[
            "One by one: torch L-BFGS, strong Wolfe, float32, zero start, on the rows of each "
            "subset; timed on a part of the probes (20 of 100, 3 of the wide ones), scaled up.",
            "Batched: `fit_probes` on all columns, preconditioner included; medians of 5, taking "
            "turns in one process.",
            "Gap: (f - lower bound) / f in float64; the bound is the batched solution's duality "
            "bound, so it overstates both.",
        ],
    )


if __name__ == "__main__":
    main()
