"""Small multilayer perceptrons on activations, many trained together as one batched network.

Column j has its own training rows, labels, starting point and minibatches. Each is trained as it
would be alone: 3 hidden layers of 32, ReLU, one logit, binary cross-entropy of hard labels, Adam
with rate 1e-3, minibatches of 32, 10 epochs (Shin et al., 2025, weak supervision). A step of all
columns is one product of stacked matrices for each layer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from w2s.checks import Array, finite, same_length
from w2s.errors import W2SError
from w2s.probes.columns import Columns, columns_of, lacking
from w2s.rng import stream

WIDTH, HIDDEN = 32, 3
RATE, BATCH, EPOCHS = 1e-3, 32, 10
GROUP = 32  # columns trained together: their weights and moments stay near the cache
Layers = list[Any]  # weights (b, in, out) and biases (b, 1, out) by turns, torch or NumPy


@dataclass(frozen=True)
class MLPs:
    """Trained networks, one for each column of targets.

    Attributes:
        layers: Weights (b, in, out) and biases (b, 1, out) by turns, first layer first, float32;
            NaN in columns without a solution.
        mean, scale: Of the rows of the matrix they were trained on, float64 (d,).
        reason: Per column why it was not trained, "" if it was.
        single: Whether targets and weights were one-dimensional.
    """

    layers: tuple[Array, ...]
    mean: Array
    scale: Array
    reason: tuple[str, ...]
    single: bool

    @property
    def gap(self) -> Array:
        """NaN (b,): training stops after some epochs, not at a minimum."""
        return np.full(len(self.reason), np.nan)

    @property
    def l2(self) -> Array:
        """NaN (b,): there is no penalty."""
        return np.full(len(self.reason), np.nan)

    def predict_proba(self, x: npt.ArrayLike) -> Array:
        """P(y = 1), float64 in [0, 1], of shape (m,) for a single network and (m, b) for many.

        Args:
            x: Activations, shape (m, d), not standardised.

        Raises:
            W2SError: another width than trained on, or values that are not finite.
        """
        rows = self._rows(x)
        proba = np.empty((len(rows), len(self.reason)))
        for j in range(len(self.reason)):
            logit = self._last_hidden(rows, j) @ self.layers[-2][j] + self.layers[-1][j]  # (m, 1)
            with np.errstate(invalid="ignore"):  # columns without a solution are NaN
                proba[:, j] = np.exp(-np.logaddexp(0, -logit[:, 0].astype(np.float64)))
        return proba[:, 0] if self.single else proba

    def hidden(self, x: npt.ArrayLike, *, column: int = 0) -> Array:
        """Last hidden layer of a network, float32 (m, 32), 0 or more; a row may be all zeros.

        Args:
            x: Activations, shape (m, d), not standardised.
            column: Which network.

        Raises:
            W2SError: another width than trained on, or values that are not finite.
        """
        return self._last_hidden(self._rows(x), column)

    def _rows(self, x: npt.ArrayLike) -> Array:
        rows = finite(x, "activations", ndim=2)
        if rows.shape[1] != len(self.mean):
            raise W2SError(f"activations: found width {rows.shape[1]}, expected {len(self.mean)}")
        return ((rows - self.mean) / self.scale).astype(np.float32)

    def _last_hidden(self, rows: Array, column: int) -> Array:
        for weight, bias in zip(self.layers[:-2:2], self.layers[1:-2:2], strict=True):
            rows = np.maximum(rows @ weight[column] + bias[column], 0)
        return rows


def fit_mlps(
    x: npt.ArrayLike,
    targets: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    *,
    seed: int,
    restart: int = 0,
    names: Sequence[str] | None = None,
    device: str = "cpu",
) -> MLPs:
    """Train one network per column of targets on a shared matrix.

    Features are standardised by mean and standard deviation of all rows of `x`, which needs no
    label, so every column sees the same features; a constant feature becomes 0. Starting points are
    uniform in +-1/sqrt(inputs), as `torch.nn.Linear` draws them, and rows are shuffled anew in
    every epoch; the last minibatch of an epoch may be smaller. Both come from streams of the
    column's name. Training amplifies rounding: what is the same but for the last digits, as on
    another machine, beside other columns or with features moved by a millionth, ends at another
    network (see docs/method.md). Average restarts. Deviation from common code for two classes: one
    logit instead of two.

    Args:
        x: Activations, shape (n, d).
        targets: Labels in [0, 1], shape (n,) or (n, b); above 1/2 is trained on as 1, below as 0,
            and a row of exactly 1/2 is left out.
        weights: 1 for a training row and 0 for others, shape (n,) or (n, b); all rows if not given.
        seed: Of all draws.
        restart: Number of the starting point; each number has its own draws.
        names: Of the columns' random streams; where not given, a digest of the column's rows and
            labels, so equal training sets give equal networks.
        device: `cpu`, `cuda`, or `cuda:N`.

    Returns:
        The networks. A column without rows, or with one class only, is NaN with its reason.

    Raises:
        W2SError: shapes that do not fit, or values out of range.
    """
    columns = _columns(x, targets, weights)
    rows, label, used = columns.x, columns.y == 1, columns.u == 1
    reason = tuple(lacking(columns))
    names = _digests(label, used) if names is None else names
    same_length("names", names, "targets", label.shape[1])
    names = [f"{name}, restart {restart}" if restart else name for name in names]
    mean, scale = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    scale[np.ptp(rows, axis=0) == 0] = 1
    sizes = [rows.shape[1], *[WIDTH] * HIDDEN, 1]
    shapes = [s for i, o in pairwise(sizes) for s in ((i, o), (1, o))]
    result = [np.full((len(reason), *shape), np.nan, dtype=np.float32) for shape in shapes]
    trained = [j for j, why in enumerate(reason) if not why]
    trained.sort(key=lambda j: -np.count_nonzero(used[:, j]))  # those of like length together
    features = torch.from_numpy(((rows - mean) / scale).astype(np.float32)).to(device)
    for first in range(0, len(trained), GROUP):
        group = trained[first : first + GROUP]
        sets = [(np.flatnonzero(used[:, j]), label[:, j], names[j]) for j in group]
        for array, values in zip(result, _train(features, sets, sizes, seed), strict=True):
            array[group] = values
    return MLPs(tuple(result), mean, scale, reason, columns.single)


TrainingSet = tuple[Array, Array, str]  # positions of its rows, labels of all rows, name


def _train(features: Any, sets: list[TrainingSet], sizes: list[int], seed: int) -> Layers:
    """Train networks, the longest training first: one that is done is no longer looked at."""
    device = features.device
    starts = [_start(sizes, stream(seed, "mlp", name, "start")) for *_, name in sets]
    layers = [torch.from_numpy(np.stack(arrays)).to(device) for arrays in zip(*starts, strict=True)]
    batches = [_batches(rows, stream(seed, "mlp", name, "order")) for rows, _, name in sets]
    steps = [len(index) for index, _ in batches]
    index = np.zeros((steps[0], len(sets), BATCH), dtype=np.int64)
    weight, label = np.zeros((2, *index.shape, 1), dtype=np.float32)
    for j, ((rows, weights), (_, labels, _)) in enumerate(zip(batches, sets, strict=True)):
        index[: steps[j], j], weight[: steps[j], j, :, 0] = rows, weights
        label[: steps[j], j, :, 0] = labels[rows]
    tensors = [torch.from_numpy(a).to(device) for a in (index, label, weight)]
    state = [layers, *([torch.zeros_like(layer) for layer in layers] for _ in range(3))]
    counts = torch.arange(1, steps[0] + 1, dtype=torch.float32, device=device).unbind()
    for begin, end in pairwise([0, *sorted(set(steps))]):
        active = sum(count >= end for count in steps)
        views = [[array[:active] for array in arrays] for arrays in state]
        minibatches = (tensor[begin:end, :active].unbind() for tensor in tensors)
        for count, *minibatch in zip(counts[begin:end], *minibatches, strict=True):
            _slopes(features, *views[:2], *minibatch)
            _adam(*views, count=count)
    return [layer.cpu().numpy() for layer in layers]


def _slopes(
    features: Any, layers: Layers, slopes: Layers, index: Any, label: Any, weight: Any
) -> None:
    """Slopes of the sum over networks of their mean loss on a minibatch each, into `slopes`.

    What `backward` does, to the bit, without its bookkeeping, which costs more than small products.
    """
    # several times as fast as features[index], which takes a quarter of the time of a step
    hidden = [torch.nn.functional.embedding(index, features)]  # (k, BATCH, d)
    for number in range(0, len(layers) - 2, 2):
        hidden.append(torch.baddbmm(layers[number + 1], hidden[-1], layers[number]).relu_())
    slope = torch.baddbmm(layers[-1], hidden[-1], layers[-2])  # logits, (k, BATCH, 1)
    slope = slope.sigmoid_().sub_(label).mul_(weight)
    for number in range(len(layers) - 2, -1, -2):
        below = hidden.pop()
        torch.bmm(below.transpose(1, 2), slope, out=slopes[number])
        torch.sum(slope, 1, keepdim=True, out=slopes[number + 1])
        if number:
            slope = torch.bmm(slope, layers[number].transpose(1, 2))
            slope = torch.ops.aten.threshold_backward(slope, below, 0)


def _adam(layers: Layers, slopes: Layers, first: Layers, second: Layers, *, count: Any) -> None:
    """Step number `count` of Adam, in place, without the checks of `torch.optim.Adam.step`."""
    torch._fused_adam_(
        layers, slopes, first, second, [], [count] * len(layers), lr=RATE, beta1=0.9, beta2=0.999,
        weight_decay=0.0, eps=1e-8, amsgrad=False, maximize=False,
    )  # fmt: skip


def _start(sizes: list[int], rng: np.random.Generator) -> list[Array]:
    """Starting point of a network: weights (in, out) and biases (1, out) by turns, float32."""
    arrays = []
    for inputs, outputs in pairwise(sizes):
        for shape in ((inputs, outputs), (1, outputs)):
            arrays.append(rng.uniform(-1, 1, shape).astype(np.float32) / np.float32(inputs**0.5))
    return arrays


def _batches(rows: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rows of all minibatches and their weights in the mean loss, each (steps, BATCH).

    What is missing to a full minibatch is a row of weight 0.
    """
    steps = -(-len(rows) // BATCH)
    index = np.zeros((EPOCHS, steps * BATCH), dtype=np.int64)
    weight = np.zeros(index.shape, dtype=np.float32)
    for epoch in range(EPOCHS):
        index[epoch, : len(rows)] = rng.permutation(rows)
    weight[:, : len(rows)] = 1
    weight = weight.reshape(-1, BATCH)
    return index.reshape(-1, BATCH), weight / weight.sum(axis=1, keepdims=True)


def _columns(x: npt.ArrayLike, targets: npt.ArrayLike, weights: npt.ArrayLike | None) -> Columns:
    """Checked columns with hard labels and weights of 0 and 1; 0 where a label has no class."""
    columns = columns_of(x, targets, weights)
    if not np.isin(columns.u, (0, 1)).all():
        raise W2SError("weights: found values other than 0 and 1; a network takes rows or not")
    return replace(
        columns,
        y=(columns.y > 0.5).astype(np.float64),
        u=np.where(columns.y == 0.5, 0, columns.u),
    )


def _digests(label: Array, used: Array) -> list[str]:
    """A name for each column, by its rows and their labels."""
    parts: Iterator[bytes] = (
        np.packbits(np.stack([used[:, j], used[:, j] & label[:, j]])).tobytes()
        for j in range(label.shape[1])
    )
    return [hashlib.sha256(part).hexdigest()[:16] for part in parts]
