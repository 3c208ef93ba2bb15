"""Projections of RADS without n x n matrices, and the probes of all arms as one problem.

Run `python benchmarks/arms.py` (some minutes). The projections are measured against their
formula as one writes it first: K = X X' / n of centred rows, K (K + r I)^-1 y by LAPACK's solve,
all in float64. The probes of arms, each trained on its own rows of one pool, are measured against
one torch L-BFGS after another.
"""

import numpy as np
from baselines.probes import fit_one
from measure import alternate, write_table
from probes import L2, heavy_tailed, objective

from w2s.arms.pool import Pool
from w2s.arms.selectors import rp
from w2s.probes.probes import fit_columns
from w2s.rng import stream

POOL = 6000
WIDTHS = ((4096, 4096), (384, 4096), (384, 384))  # of weak and strong vectors
ARMS, ARM_POOL, FEATURES = 1000, 4000, 384
BUDGETS = {"a quarter and a half": (0.25, 0.5), "a tenth": (0.1,)}  # of the pool, by turns
ALONE = 25  # arms that are measured one by one


def pool_of(weak_width, strong_width):
    """A pool whose weak labels the strong vectors tell, with noise."""
    weak, _ = heavy_tailed(POOL, weak_width)
    strong, proba = (side[POOL:] for side in heavy_tailed(2 * POOL, strong_width))
    noise, empty = np.random.default_rng(3), np.zeros(POOL)
    return Pool(
        id=np.arange(POOL),
        n_tokens=empty,
        weak_proba=np.clip(proba + noise.normal(scale=0.3, size=POOL), 0, 1),
        weak=weak,
        strong=strong,
        region=empty,
        overlap_score=empty,
        group=np.arange(POOL),
        trained_weak=weak[:1],
        trained_label=empty[:1],
        label=None,
        streams=lambda name: stream(0, name),
    )


def smoothed_plainly(x, y):
    """K (K + r I)^-1 y."""
    rows = x.astype(np.float64)
    rows = rows - rows.mean(axis=0)
    kernel = rows @ rows.T / len(rows)
    ridge = 0.1 * np.trace(kernel) / len(rows)
    return kernel @ np.linalg.solve(kernel + ridge * np.eye(len(rows)), y)


def rp_plainly(pool):
    y = pool.weak_label - pool.weak_label.mean()
    return np.abs(smoothed_plainly(pool.strong, y - smoothed_plainly(pool.weak, y)))


def projection_row(weak_width, strong_width, repeats):
    """One row: rp, against the n x n formula."""
    pool = pool_of(weak_width, strong_width)
    seconds, scores = alternate(
        {"plain": lambda: rp_plainly(pool), "ours": lambda: rp(pool)}, repeats=repeats
    )
    plain, ours = scores["plain"], scores["ours"]
    return {
        "what": f"rp, {POOL:,} points, vectors of {weak_width:,} and {strong_width:,}",
        "baseline": "n x n formula, LAPACK solve",
        "baseline (s)": f"{seconds['plain']:.2f}",
        "ours (s)": f"{seconds['ours']:.3g}",
        "ratio": f"{seconds['plain'] / seconds['ours']:.1f}",
        "difference": f"{np.abs(ours - plain).max() / plain.max():.0e} of the largest score",
    }


def arms_row(name, budgets, repeats):
    """One row: the probes of all arms, against some of them one by one."""
    x, proba = heavy_tailed(ARM_POOL, FEATURES)
    rng = np.random.default_rng(4)
    label = (proba + rng.normal(scale=0.3, size=ARM_POOL) > 0.5).astype(np.float64)
    masks = np.zeros((ARM_POOL, ARMS))
    for j in range(ARMS):
        masks[rng.permutation(ARM_POOL)[: int(budgets[j % len(budgets)] * ARM_POOL)], j] = 1
    targets = np.repeat(label[:, None], ARMS, axis=1)
    chosen = np.linspace(0, ARMS - 1, ALONE).astype(int)  # as many of either budget, or one more
    rows = {j: np.flatnonzero(masks[:, j]) for j in chosen}
    seconds, found = alternate(
        {
            "together": lambda: fit_columns(x, targets, weights=masks, l2=L2),
            "alone": lambda: [fit_one(x[rows[j]], label[rows[j]], L2) for j in chosen],
        },
        repeats=repeats,
    )
    together, naive = found["together"], seconds["alone"] * ARMS / ALONE
    gap = max(
        objective(x[rows[j]], label[rows[j]], *one)
        / objective(x[rows[j]], label[rows[j]], together.coef[:, j], together.intercept[j])
        - 1
        for j, one in zip(chosen, found["alone"], strict=True)
    )
    return {
        "what": f"probes of {ARMS:,} arms on {name} of {ARM_POOL:,} x {FEATURES}",
        "baseline": f"torch L-BFGS one by one ({ALONE} arms measured, scaled up)",
        "baseline (s)": f"{naive:.2f}",
        "ours (s)": f"{seconds['together']:.3g}",
        "ratio": f"{naive / seconds['together']:.1f}",
        "difference": f"gap {gap:.0e}, ours certified to {together.gap.max():.0e}",
    }


def main():
    rows = [projection_row(*widths, repeats=3 if max(widths) > 384 else 5) for widths in WIDTHS]
    rows += [arms_row(name, budgets, repeats=3) for name, budgets in BUDGETS.items()]
    write_table(
        "arms",
        "Selectors and the probes of arms",
        rows,
        notes=[
            "rp: `rp` of `w2s/arms/selectors.py`, centring included; a float32 Gram matrix of the "
            "columns, its Cholesky factor, and conjugate gradients in float64. Heavy-tailed "
            "spectrum, float32 vectors.",
            "Arms: random rows, hard weak labels; a quarter and a half of the pool by turns. "
            "Together: `fit_columns` on all arms, preparation of the matrix included.",
            "Medians of 5 (rp of 384) and 3, taking turns in one process with the same threads.",
        ],
    )


if __name__ == "__main__":
    main()
