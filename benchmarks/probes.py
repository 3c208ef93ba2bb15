"""Probes: all columns of a job as one problem, against one torch L-BFGS after another.

Run `python benchmarks/probes.py` (some minutes).
"""

import argparse

import numpy as np
from baselines.probes import fit_one
from measure import alternate, write_table

import w2s
from w2s.checks import rows_of
from w2s.probes.probes import fit_probes

L2 = 1e-3
BASE = "torch L-BFGS"


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


def compare(name, x, y, n_columns, n_baseline, repeats, peers=()):
    """Rows for all columns together, and for `n_baseline` of them one after another."""
    rng = np.random.default_rng(2)
    masks = rng.random((len(x), n_columns)) < np.linspace(0.2, 0.9, n_columns)
    subsets = [np.flatnonzero(masks[:, j]) for j in range(n_columns)]
    chosen = np.linspace(0, n_columns - 1, n_baseline).astype(int)
    targets = np.repeat(y[:, None], n_columns, axis=1)
    ways = {"batched": lambda: fit_probes(x, targets, weights=masks, l2=L2)}
    for way, fit in ((BASE, fit_one), *peers):
        ways[way] = lambda fit=fit: [fit(x[subsets[j]], y[subsets[j]], L2) for j in chosen]
    seconds, results = alternate(ways, repeats=repeats)
    batch = results.pop("batched")
    yield {
        "problem": name,
        "probes": n_columns,
        "way": "batched",
        "seconds": f"{seconds['batched']:.3f}",
        "ratio": f"{seconds[BASE] * n_columns / n_baseline / seconds['batched']:.0f}",
        "largest gap": f"{batch.gap.max():.0e}",
    }
    for way, found in results.items():
        gap = 0.0
        for j, (coef, bias) in zip(chosen, found, strict=True):
            rows = x[subsets[j]]
            ours = objective(rows, y[subsets[j]], batch.coef[:, j], batch.intercept[j])
            least = ours * (1 - batch.gap[j])  # the certified lower bound of the minimum
            gap = max(gap, objective(rows, y[subsets[j]], coef, bias) / least - 1)
        yield {
            "problem": name,
            "probes": n_columns,
            "way": way,
            "seconds": f"{seconds[way] * n_columns / n_baseline:.2f}",
            "ratio": f"{seconds[BASE] / seconds[way]:.1f}",
            "largest gap": f"{gap:.0e}",
        }


def main():
    from baselines.peers import fit_scipy, fit_sklearn

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results/demo", help="a finished default run")
    options = parser.parse_args()
    x, y = real_matrix(options.results)
    big, target = heavy_tailed(5000, 4096)
    peers = (("scikit-learn LogisticRegression", fit_sklearn), ("SciPy L-BFGS-B", fit_scipy))
    write_table(
        "probes",
        "Probes: batched against one by one",
        [
            *compare(f"movies {x.shape[0]} x {x.shape[1]}", x, y, 100, 20, 5, peers),
            *compare("heavy-tailed 5000 x 4096", big, target, 11, 3, 5),
            *compare("heavy-tailed 5000 x 4096", big, target, 100, 3, 5),
        ],
        notes=[
            "torch L-BFGS: strong Wolfe, float32, zero start; scikit-learn: lbfgs on a row of each "
            "class for a soft label; SciPy: float64. One probe after another on the gathered rows "
            "of its subset; timed on a part of the probes (20 of 100, 3 of the wide ones), scaled "
            "up.",
            "Ratio: to torch L-BFGS. Batched: `fit_probes` on all columns, preconditioner "
            "included; medians of 5, taking turns in one process.",
            "Gap: (f - lower bound) / f in float64; the bound is the batched solution's duality "
            "bound, so it overstates all, by up to the gap of the batched one.",
        ],
    )


if __name__ == "__main__":
    main()
