"""The probes of a source-selection run as one problem, against one torch L-BFGS after another.

Run `python benchmarks/selection.py` (some minutes; `--narrow` leaves the wide matrix out). A run
has 3 policies, 50 rounds of 80 points and 2 training sets: all points collected so far, and the
overlap points among them. The sources are drawn here, the policies choose among them.
"""

import argparse
from itertools import chain

import numpy as np
from baselines.probes import fit_one
from measure import alternate, write_table
from probes import L2, heavy_tailed, objective, real_rows

from w2s.probes.probes import fit_columns
from w2s.rng import stream
from w2s.selection.paths import Plan, collected, simulate
from w2s.selection.sources import Source, supply

ROUNDS, BATCH, TEST = 50, 80, 500
POLICIES = ("random", "ucb", "oracle")
DENSITY = (0.6, 0.2)  # of overlap points in the two sources


def training_sets(n):
    """Rows of every policy, round and training set, as masks (n, 300)."""
    rng = stream(0, "benchmark")
    dense = rng.random(n) < 0.5
    overlap = rng.random(n) < np.where(dense, *DENSITY)
    sources = [Source("dense", np.flatnonzero(dense)), Source("sparse", np.flatnonzero(~dense))]
    market = supply(sources, overlap, overlap)
    plan = Plan(ROUNDS, BATCH)
    paths = [
        simulate(policy, market, plan=plan, repeat=0, streams=lambda *names: stream(0, *names))
        for policy in POLICIES
    ]
    masks = np.zeros((n, 2 * ROUNDS * len(POLICIES)))
    for column, rows in enumerate(chain(*collected(paths, overlap))):
        masks[rows, column] = 1
    return masks


def best_known(together, x, y, rows, j):
    """A certified lower bound of the minimum of a probe's objective."""
    found = objective(x[rows[j]], y[rows[j]], together.coef[:, j], together.intercept[j])
    return found * (1 - together.gap[j])


def compare(name, x, y, every, repeats):
    """One row: all probes together, against every `every`-th one by one."""
    test, x, y = x[:TEST], x[TEST:], y[TEST:]
    masks = training_sets(len(x))
    targets = np.repeat(y[:, None], masks.shape[1], axis=1)
    chosen = np.arange(every // 2, masks.shape[1], every)
    rows = {j: np.flatnonzero(masks[:, j]) for j in chosen}
    seconds, results = alternate(
        {
            "together": lambda: fit_columns(x, targets, weights=masks, l2=L2),
            "one by one": lambda: [fit_one(x[rows[j]], y[rows[j]], L2) for j in chosen],
        },
        repeats=repeats,
    )
    proba = results["together"].predict_proba(test)
    alone = [1 / (1 + np.exp(-(test @ w + b))) for w, b in results["one by one"]]
    difference = max(np.abs(proba[:, j] - p).max() for j, p in zip(chosen, alone, strict=True))
    gap = max(
        objective(x[rows[j]], y[rows[j]], w, b) / best_known(results["together"], x, y, rows, j) - 1
        for j, (w, b) in zip(chosen, results["one by one"], strict=True)
    )
    naive = seconds["one by one"] * masks.shape[1] / len(chosen)
    return {
        "matrix": name,
        "probes": masks.shape[1],
        "rows of a probe": f"{masks.sum(0).min():.0f} to {masks.sum(0).max():.0f}",
        "one by one (s)": f"{naive:.2f}",
        "together (s)": f"{seconds['together']:.2f}",
        "ratio": f"{naive / seconds['together']:.0f}",
        "gap one by one": f"{gap:.0e}",
        "gap together (certified)": f"{results['together'].gap.max():.0e}",
        "largest difference of test probabilities": f"{difference:.0e}",
        "measured one by one": len(chosen),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--narrow", action="store_true", help="leave the wide matrix out")
    parser.add_argument("--results", default="results/demo", help="a finished default run")
    options = parser.parse_args()
    x, y = real_rows(options.results)
    rows = [compare(f"movies {x.shape[0] - TEST} x {x.shape[1]}", x, y, 1, 5)]
    if not options.narrow:
        big, target = heavy_tailed(6000, 4096)
        rows.append(compare(f"heavy-tailed {6000 - TEST} x 4096", big, target, 12, 3))
    write_table(
        "selection",
        "The probes of a source-selection run: 3 policies x 50 rounds x 2 training sets",
        rows,
        notes=[
            "One by one: torch L-BFGS, strong Wolfe, float32, zero start, on the rows of each set; "
            "where not all are measured, scaled up from evenly spaced ones.",
            "Together: `fit_columns` on all sets, preparation of the matrix included. Medians of 5 "
            "(narrow) or 3 (wide), taking turns in one process.",
        ],
    )


if __name__ == "__main__":
    main()
