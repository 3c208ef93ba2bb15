"""A small perceptron for regression, held down by weight decay: step 1 or 2 of RADS.

Two hidden layers with GELU, one output, squared error, AdamW with rate 1e-3, 60 epochs of
minibatches of 256, on standardised columns (SprocketLab/rads-w2s-generalization, `score_rads.py`
and `screen_mlpstep2.py`). With a decay of 30 every step takes 3 % off each weight, so that only
what the data insist on is learned.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from w2s.checks import Array

RATE, EPOCHS, BATCH = 1e-3, 60, 256


def regress(
    x: Array, y: Array, at: Array, *, hidden: int, decay: float, rng: np.random.Generator
) -> Array:
    """Predictions at other rows of a perceptron.

    Columns are standardised by the mean and the standard deviation of the training rows; one that
    is constant there counts for nothing. The start is that of `torch.nn.Linear`, uniform within
    1 / sqrt(inputs). Rounding, as of another number of threads, moves the result a little.

    Args:
        x: Training rows, (n, d), at least one.
        y: Targets, (n,).
        at: Rows to predict, (m, d).
        hidden: Width of either hidden layer.
        decay: Weight decay of AdamW, of biases too.
        rng: Draws the start, and the order of the rows in each epoch.

    Returns:
        Float64 (m,).
    """
    import torch  # which other selectors do without

    centre = x.mean(axis=0, dtype=np.float64)
    scale = x.std(axis=0, dtype=np.float64)
    varies = np.ptp(x, axis=0) > 0
    scale = np.where(varies, scale, 1)

    def standard(rows: Array) -> Any:
        return torch.from_numpy(((rows - centre) * varies / scale).astype(np.float32))

    layers = [torch.from_numpy(a).requires_grad_() for a in _start((x.shape[1], hidden), rng)]
    optimizer = torch.optim.AdamW(layers, lr=RATE, weight_decay=decay, fused=True)
    rows, target = standard(x), torch.from_numpy(y.astype(np.float32))
    for _ in range(EPOCHS):
        for batch in torch.from_numpy(rng.permutation(len(x))).split(BATCH):
            optimizer.zero_grad()
            (_output(layers, rows[batch]) - target[batch]).square().mean().backward()
            optimizer.step()
    with torch.no_grad():
        found: Array = _output(layers, standard(at)).numpy().astype(np.float64)
    return found


def _start(sizes: tuple[int, int], rng: np.random.Generator) -> list[Array]:
    """Weights (out, in) and biases (out,) by turns, float32; of inputs and hidden units."""
    inputs, hidden = sizes
    arrays = []
    for i, o in pairwise((inputs, hidden, hidden, 1)):
        for shape in ((o, i), (o,)):
            arrays.append((rng.uniform(-1, 1, shape) / np.sqrt(i)).astype(np.float32))
    return arrays


def _output(layers: list[Any], rows: Any) -> Any:
    """Output of each row, (n,)."""
    import torch

    functional = torch.nn.functional
    for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
        rows = functional.gelu(functional.linear(rows, weight, bias))
    return functional.linear(rows, layers[-2], layers[-1])[:, 0]
