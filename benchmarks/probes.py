"""Probes: all columns of a job as one problem, against one torch L-BFGS after another.

Run `python benchmarks/probes.py` (some minutes). Each way of each problem runs in a process of its
own, as threads of libraries that are loaded together get in each other's way.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from baselines.probes import fit_one
from measure import alternate, write_table

import w2s
from w2s.checks import rows_of
from w2s.probes.probes import fit_probes

L2 = 1e-3
TOGETHER, BASE = "batched", "torch L-BFGS"
SKLEARN, SCIPY = "scikit-learn LogisticRegression", "SciPy L-BFGS-B"


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


def subsets_of(n, n_columns):
    """Which rows each column uses, (n, n_columns): from a fifth to nine tenths of them."""
    return np.random.default_rng(2).random((n, n_columns)) < np.linspace(0.2, 0.9, n_columns)


def ways_of(x, y, n_columns, n_baseline, peers):
    """Functions by name: all columns together, and some of them one after another."""
    masks = subsets_of(len(x), n_columns)
    rows = [np.flatnonzero(masks[:, j]) for j in chosen(n_columns, n_baseline)]
    targets = np.repeat(y[:, None], n_columns, axis=1)
    ways = {TOGETHER: lambda: fit_probes(x, targets, weights=masks, l2=L2)}
    for way, fit in peers:
        ways[way] = lambda fit=fit: [fit(x[some], y[some], L2) for some in rows]
    return ways


def chosen(n_columns, n_baseline):
    return np.linspace(0, n_columns - 1, n_baseline).astype(int)


def gap_of(x, y, batch, found, columns):
    """The largest gap of solutions of some columns, by the bound that `batch` gives of each."""
    masks, gap = subsets_of(len(x), batch.coef.shape[1]), 0.0
    for j, (coef, bias) in zip(columns, found, strict=True):
        rows, labels = x[masks[:, j]], y[masks[:, j]]
        ours = objective(rows, labels, batch.coef[:, j], batch.intercept[j])
        least = ours * (1 - batch.gap[j])  # the certified lower bound of the minimum
        gap = max(gap, objective(rows, labels, coef, bias) / least - 1)
    return gap


def table_rows(name, x, y, n_columns, n_baseline, seconds, results):
    """A row for each way, the first one being all columns together."""
    batch, columns = results[TOGETHER], chosen(n_columns, n_baseline)
    scale = n_columns / n_baseline
    for way, found in results.items():
        together = way == TOGETHER
        scaled = seconds[way] if together else seconds[way] * scale
        gap = batch.gap.max() if together else gap_of(x, y, batch, found, columns)
        yield {
            "problem": name,
            "probes": n_columns,
            "way": way,
            "seconds": f"{scaled:.3f}",
            "ratio": f"{seconds[BASE] * scale / scaled:.1f}",
            "largest gap": f"{gap:.0e}",
        }


def compare(name, x, y, n_columns, n_baseline, repeats):
    """Rows for all columns together and for torch, in this process."""
    ways = ways_of(x, y, n_columns, n_baseline, ((BASE, fit_one),))
    seconds, results = alternate(ways, repeats=repeats)
    return table_rows(name, x, y, n_columns, n_baseline, seconds, results)


PROBLEMS = {  # columns together, and those that are timed one by one
    "movies 4000 x 384": (100, 20),
    "heavy-tailed 5000 x 4096": (11, 3),
    "heavy-tailed 5000 x 4096, many": (100, 3),
}


def rows_of_problem(name, results):
    return real_matrix(results) if name.startswith("movies") else heavy_tailed(5000, 4096)


def peers_of(name):
    """Ways to fit one column after another, by name; only what is used is imported."""
    if name == BASE:
        return ((BASE, fit_one),)
    from baselines.peers import fit_scipy, fit_sklearn

    return ((SKLEARN, fit_sklearn), (SCIPY, fit_scipy))


def run_alone(name, way, results, repeats, path):
    """Median processor seconds of one way in this process, and what it found, in a file."""
    x, y = rows_of_problem(name, results)
    peers = () if way == TOGETHER else peers_of(way)
    function, spent = ways_of(x, y, *PROBLEMS[name], peers)[way], []
    for _ in range(repeats + 1):
        start = time.process_time()
        found = function()
        spent.append(time.process_time() - start)
    if way == TOGETHER:
        arrays = {"coef": found.coef, "intercept": found.intercept, "gap": found.gap}
    else:
        arrays = {"coef": [one[0] for one in found], "intercept": [one[1] for one in found]}
    np.savez(path, **arrays)
    Path(path).with_suffix(".json").write_text(json.dumps(float(np.median(spent[1:]))))


class Batch:
    """What a process found for all columns."""

    def __init__(self, arrays):
        self.coef, self.intercept, self.gap = (arrays[k] for k in ("coef", "intercept", "gap"))


def measured(name, results, repeats):
    """Seconds and solutions of each way, from a process each."""
    ways = (TOGETHER, BASE, *((SKLEARN, SCIPY) if name.startswith("movies") else ()))
    seconds, found = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ways:
            path = Path(folder) / "found.npz"
            command = [sys.executable, __file__, "--results", results, "--repeats", str(repeats)]
            subprocess.run([*command, "--alone", name, way, str(path)], check=True)
            seconds[way] = json.loads(path.with_suffix(".json").read_text())
            with np.load(path) as arrays:
                pairs = zip(arrays["coef"], arrays["intercept"], strict=False)
                found[way] = Batch(arrays) if way == TOGETHER else list(pairs)
    return seconds, found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results/demo", help="a finished default run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        name, way, path = options.alone
        run_alone(name, way, options.results, options.repeats, path)
        return
    rows = []
    for name in PROBLEMS:
        x, y = rows_of_problem(name, options.results)
        seconds, found = measured(name, options.results, options.repeats)
        rows += table_rows(name, x, y, *PROBLEMS[name], seconds, found)
    write_table(
        "probes",
        "Probes: batched against one by one",
        rows,
        notes=[
            "torch L-BFGS: strong Wolfe, float32, zero start; scikit-learn: lbfgs on a row of each "
            "class for a soft label; SciPy: float64. One probe after another on the gathered rows "
            "of its subset; timed on a part of the probes (20 of 100, 3 of the wide ones), scaled "
            "up.",
            f"Processor seconds, medians of {options.repeats}, each way in a process of its own. "
            "Ratio: to torch L-BFGS. Batched: `fit_probes` on all columns, preconditioner "
            "included.",
            "Gap: (f - lower bound) / f in float64; the bound is the batched solution's duality "
            "bound, so it overstates all, by up to the gap of the batched one.",
        ],
    )


if __name__ == "__main__":
    main()
