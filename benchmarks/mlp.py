"""Networks of the weak-supervision mixing experiment trained together, against one after another.

Run `python benchmarks/mlp.py` (a minute or two). The sets have the sizes and the width of the
default run: a whole pool with two kinds of labels, and mixes of some hundreds of its rows. One
after another means what one writes first: torch.nn, torch.optim.Adam, one network, one minibatch.
"""

import argparse
from itertools import pairwise

import numpy as np
import torch
from measure import alternate, write_table

from w2s.probes.mlp import BATCH, EPOCHS, HIDDEN, RATE, WIDTH, fit_mlps

POOL, TEST, FEATURES = 2000, 1000, 384
SIZES = (300, 700, 1100, 1500)  # of mixes
NETWORKS = (60, 300)


def problem(networks, rng):
    """A matrix, labels it tells, masks of training rows (n, networks), and test points."""
    x = rng.normal(size=(POOL + TEST, FEATURES)).astype(np.float32)
    label = (x[:, :8].sum(axis=1) + 2 * rng.normal(size=len(x)) > 0).astype(float)
    masks = np.zeros((POOL, networks))
    for j in range(networks):
        size = POOL if j < 2 else SIZES[j % len(SIZES)]
        masks[rng.permutation(POOL)[:size], j] = 1
    return x[:POOL], label[:POOL], masks, x[POOL:], label[POOL:]


def train_one(x, label, seed):
    """One network by a plain loop, on standardised rows."""
    torch.manual_seed(seed)
    sizes = [x.shape[1], *[WIDTH] * HIDDEN]
    modules = []
    for inputs, outputs in pairwise(sizes):
        modules += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    net = torch.nn.Sequential(*modules, torch.nn.Linear(WIDTH, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    loss = torch.nn.BCEWithLogitsLoss()
    rows, target = torch.from_numpy(x), torch.from_numpy(label).float()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(rows)).split(BATCH):
            optimizer.zero_grad()
            loss(net(rows[batch])[:, 0], target[batch]).backward()
            optimizer.step()
    return net


def one_by_one(x, label, masks, chosen):
    """Networks of some columns, one after another."""
    standard = (x - x.mean(axis=0)) / x.std(axis=0)
    return [train_one(standard[masks[:, j] > 0], label[masks[:, j] > 0], j) for j in chosen]


def accuracies(nets, x, points, truth):
    """Test accuracy of networks trained one by one."""
    rows = torch.from_numpy((points - x.mean(axis=0)) / x.std(axis=0))
    with torch.no_grad():
        return [float(np.mean((net(rows)[:, 0].numpy() >= 0) == truth)) for net in nets]


def compare(networks, repeats):
    """One row: all networks together, against a dozen one by one."""
    x, label, masks, points, truth = problem(networks, np.random.default_rng(0))
    chosen = np.arange(networks // 30, networks, networks // 12)
    seconds, results = alternate(
        {
            "together": lambda: fit_mlps(x, label, masks, seed=0),
            "one by one": lambda: one_by_one(x, label, masks, chosen),
        },
        repeats=repeats,
    )
    steps = np.ceil(masks.sum(axis=0) / BATCH)
    naive = seconds["one by one"] * steps.sum() / steps[chosen].sum()
    proba = results["together"].predict_proba(points)[:, chosen]
    together = np.mean((proba >= 0.5) == truth[:, None])
    alone = np.mean(accuracies(results["one by one"], x, points, truth))
    return {
        "networks": networks,
        "rows of a network": f"{masks.sum(0).min():.0f} to {masks.sum(0).max():.0f}",
        "features": FEATURES,
        "one by one (s)": f"{naive:.1f}",
        "together (s)": f"{seconds['together']:.2f}",
        "ratio": f"{naive / seconds['together']:.0f}",
        "accuracy one by one": f"{alone:.3f}",
        "accuracy together": f"{together:.3f}",
        "measured one by one": len(chosen),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the smaller number of networks")
    options = parser.parse_args()
    sizes = NETWORKS[:1] if options.quick else NETWORKS
    write_table(
        "mlp",
        "Networks on one matrix: 3 hidden layers of 32, 10 epochs of minibatches of 32",
        [compare(networks, 5) for networks in sizes],
        notes=[
            "One by one: torch.nn and fused Adam; measured on evenly spaced networks and scaled up "
            "by the number of minibatches.",
            "Together: `fit_mlps` on all of them, standardising and drawing included. Medians of "
            "5, taking turns in one process. Draws differ, so accuracies agree only on average; "
            "`tests/test_mlp.py` compares them under the same draws.",
        ],
    )


if __name__ == "__main__":
    main()
