"""Training losses of fine-tuned models on soft labels: one logit and one label for each text.

With p = sigmoid(logit) and y the label in [0, 1]:

- `xent`: binary cross-entropy BCE(p, y) = -y log p - (1 - y) log(1 - p).
- `logconf`: BCE(p, (1 - c) y + c h), where h is 1 if p is above a threshold and else 0: the model's
  own prediction, hardened. The auxiliary confidence loss of Burns et al., 2023, "Weak-to-strong
  generalization", appendix on the auxiliary confidence loss.
- `entropy`: the same without hardening, (1 - c) BCE(p, y) + c H(p), with H the entropy.
- `kl`: KL(y || p) = BCE(p, y) - H(y): the gradient of `xent`, and 0 where p = y.
- `window`: BCE(p, y) where the model is uncertain, max(p, 1 - p) < 1/2 + radius, and else 0.

Losses are per example. That of `logconf` depends on the predictions of its whole step, which it is
told first, the others on nothing else: so a step may be divided into batches in any way. c is a
coefficient with a linear warm-up; with 0 `logconf` and `entropy` are exactly `xent`. The radius
`median` is the median over all training labels of |y - 1/2|.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from w2s.checks import Array, finite, probabilities
from w2s.errors import DegenerateError, W2SError
from w2s.finetuning.track import LOSSES, AuxiliaryConfig, LossName

DEFAULTS = AuxiliaryConfig()


class Loss:
    """The loss of one training.

    Only `logconf` changes while it is used: the threshold is taken from the predictions of the step
    at work, so that hardened positives are as frequent among them as positives are in the labels.
    (It must not be that of earlier steps: while all predictions move to one side, all would be
    hardened to that side, and so move further.) Deviation from Burns et al.: theirs is that of a
    batch, here it is that of the step, however it is divided into batches.

    Ties and limits of `logconf`: predictions are compared as logits, so those that p rounds to 0 or
    1 keep their order. Of the m of a step the k largest are above the threshold, with k the whole
    number nearest to prior m (a half is rounded up). The threshold is midway between the smallest
    of these and the next one: so no text of the step is at the threshold, where rounding would
    decide. Where these two are equal the threshold is their value, and a prediction equal to it is
    hardened to 0: ties can only lower the share. Where k is 0 the threshold is the largest
    prediction; where it is m every prediction is hardened to 1.

    Limits of `window`: the bound is strict. Where most labels are hard, `median` is 1/2 and the
    window holds all predictions but saturated ones (p rounds to 0 or 1: in float32 logits beyond
    about 16.6). A mean over a batch counts the examples outside the window too, so that a batch
    without a point in the window has loss 0 and gradient 0.

    Attributes:
        name: Which loss.
        options: What it was told.
        prior: Mean of all training labels.
        radius: Of `window`, a number also where the option is `median`; NaN for other losses.
    """

    def __init__(
        self, name: LossName, labels: npt.ArrayLike, *, options: AuxiliaryConfig = DEFAULTS
    ) -> None:
        """Take what depends on all training labels.

        Args:
            name: Which loss, one of `LOSSES`.
            labels: All labels of the training, in [0, 1], shape (n,), n >= 1.
            options: Constants; each loss uses its own and ignores the rest.

        Raises:
            W2SError: an unknown name, no label, or labels outside [0, 1].
            DegenerateError: the median radius of `window` is 0, so that it would never learn.
        """
        if name not in LOSSES:
            raise W2SError(f"loss: found {name}, expected one of {', '.join(LOSSES)}")
        known = probabilities(labels, "training labels")
        if not len(known):
            raise W2SError("training labels: found none, expected at least one")
        self.name = name
        self.options = options
        self.prior = float(known.mean())
        self.radius = _radius(known, options) if name == "window" else np.nan
        self._step = np.empty(0, dtype=np.float32)  # logits

    @property
    def needs_step(self) -> bool:
        """Whether `begin` must be told of each step before its first batch."""
        return self.name == "logconf"

    def begin(self, logits: torch.Tensor) -> None:
        """Take the predictions of a whole step.

        Args:
            logits: Of all examples of the step, shape (k,), in any order.

        Raises:
            W2SError: `logconf` was given logits of another shape, NaN or infinite ones.
        """
        if self.needs_step:
            self._step = finite(logits.detach().float().cpu().numpy(), "logits", ndim=1)

    def __call__(
        self, logits: torch.Tensor, labels: torch.Tensor, *, progress: float
    ) -> torch.Tensor:
        """Loss of each example.

        Args:
            logits: Shape (b,), any floating dtype; b may be 0. NaN gives NaN.
            labels: Labels of the same examples, in [0, 1] (checked when the loss was made, not
                here), shape (b,).
            progress: Steps done / steps of the whole training, in [0, 1]; the same for all batches
                of a step.

        Returns:
            Shape (b,), on the device of the logits, float32 (float64 for float64 logits), at least
            0 but for rounding.

        Raises:
            W2SError: shapes other than (b,), or a progress outside [0, 1].
        """
        if logits.ndim != 1 or logits.shape != labels.shape:  # (b, 1) and (b,) would make (b, b)
            found = f"{tuple(logits.shape)} and {tuple(labels.shape)}"
            raise W2SError(f"logits and labels: found shapes {found}, expected (b,) for both")
        z = logits if logits.dtype == torch.float64 else logits.float()
        y = labels.to(z)
        return FUNCTIONS[self.name](self, z, y, self._share(progress))

    @property
    def threshold(self) -> float:
        """Logit above which `logconf` hardens to 1: 0 (p = 1/2) where it was told of no step."""
        count = len(self._step)
        if not count:
            return 0.0
        above = int(self.prior * count + 0.5)
        if above >= count:
            return -np.inf
        ordered = np.sort(self._step).astype(np.float64)
        if not above:
            return float(ordered[-1])
        low, high = ordered[count - above - 1 : count - above + 1]
        middle = np.float32((low + high) / 2)  # as torch rounds it when it compares
        return float(middle if middle < high else low)  # high must stay above

    def _share(self, progress: float) -> float:
        """The coefficient at this point of the training, in its warm-up or after it."""
        if not 0 <= progress <= 1:
            raise W2SError(f"progress: found {progress}, expected a number from 0 to 1")
        ramp = progress / self.options.warmup if progress < self.options.warmup else 1.0
        return self.options.coefficient * ramp


def _radius(labels: Array, options: AuxiliaryConfig) -> float:
    if options.radius != "median":
        return options.radius
    radius = float(np.median(np.abs(labels - 0.5)))
    if radius == 0:
        raise DegenerateError(
            "window loss: found a median |label - 1/2| of 0, so that no prediction is inside; "
            "expected one above 0, or a radius given as a number"
        )
    return radius


def _cross_entropy(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(z, y, reduction="none")


def _xent(loss: Loss, z: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    return _cross_entropy(z, y)


def _logconf(loss: Loss, z: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    if c == 0:
        return _cross_entropy(z, y)
    hardened = (z.detach() > loss.threshold).to(z.dtype)
    return _cross_entropy(z, (1 - c) * y + c * hardened)


def _entropy(loss: Loss, z: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    if c == 0:
        return _cross_entropy(z, y)
    size = z.abs()  # H(sigmoid(z)) with its gradient; two terms of 0 or more, so nothing cancels
    entropy = size * torch.sigmoid(-size) - functional.logsigmoid(size)
    return (1 - c) * _cross_entropy(z, y) + c * entropy


def _kl(loss: Loss, z: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    return _cross_entropy(z, y) - (-torch.xlogy(y, y) - torch.xlogy(1 - y, 1 - y))


def _window(loss: Loss, z: torch.Tensor, y: torch.Tensor, c: float) -> torch.Tensor:
    outside = torch.sigmoid(z.detach().abs()) >= 0.5 + loss.radius  # NaN stays NaN
    return torch.where(outside, 0.0, _cross_entropy(z, y))


# of the loss with its constants, logits and labels (b,), and the coefficient at this point
LossFunction = Callable[[Loss, torch.Tensor, torch.Tensor, float], torch.Tensor]
FUNCTIONS: dict[str, LossFunction] = {
    "xent": _xent,
    "logconf": _logconf,
    "entropy": _entropy,
    "kl": _kl,
    "window": _window,
}
