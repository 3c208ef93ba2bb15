"""Training losses of fine-tuned models on soft labels: one logit and one label for each text.

With p = sigmoid(logit) and y the label in [0, 1]:

- `xent`: binary cross-entropy BCE(p, y) = -y log p - (1 - y) log(1 - p).
- `logconf`: BCE(p, (1 - c) y + c h), where h is 1 if p is above a threshold and else 0: the model's
  own prediction, hardened. The auxiliary confidence loss of Burns et al., 2023, "Weak-to-strong
  generalization", appendix on the auxiliary confidence loss.
- `entropy`: the same without hardening, (1 - c) BCE(p, y) + c H(p), with H the entropy.
- `kl`: KL(y || p) = BCE(p, y) - H(y): the gradient of `xent`, and 0 where p = y.
- `window`: BCE(p, y) where the model is uncertain, max(p, 1 - p) < 1/2 + radius, and else 0.

Losses are per example, and that of one example depends on no other of its step, so a step may be
divided into batches in any way. c is a coefficient with a linear warm-up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from w2s.checks import Array, finite, probabilities
from w2s.errors import DegenerateError, W2SError

LossName = Literal["xent", "logconf", "entropy", "kl", "window"]
LOSSES: tuple[LossName, ...] = get_args(LossName)
BUFFER = 256  # 8 steps of 32: the model has hardly moved since, and a share of 1/2 is known to 3%
ROUNDING = 1e-6  # the prior is a rounded mean, and 0.3 of 10 predictions are 3


@dataclass(frozen=True)
class LossOptions:
    """What the losses can be told; each uses its own part and ignores the rest.

    Attributes:
        coefficient: Of `logconf` and `entropy`: c after the warm-up, in [0, 1]; with 0 both are
            exactly `xent`.
        warmup: Of `logconf` and `entropy`: share of the training over which c rises from 0 to the
            coefficient, in [0, 1]; with 0 there is no warm-up.
        radius: Of `window`: half its width, in (0, 1/2]; or `median`, the median over all training
            labels of |y - 1/2|.

    Raises:
        W2SError: a value outside its range.
    """

    coefficient: float = 0.5
    warmup: float = 0.2
    radius: float | Literal["median"] = "median"

    def __post_init__(self) -> None:
        for name, value in (("coefficient", self.coefficient), ("warmup", self.warmup)):
            if not 0 <= value <= 1:
                raise W2SError(f"{name}: found {value}, expected a number from 0 to 1")
        if self.radius != "median" and (isinstance(self.radius, str) or not 0 < self.radius <= 0.5):
            raise W2SError(
                f"radius: found {self.radius}, expected a number above 0 and up to 0.5, or median"
            )


DEFAULTS = LossOptions()


class Loss:
    """The loss of one training.

    Only `logconf` changes while it is used: it remembers the predictions of the last `buffer`
    examples, so that its threshold makes hardened positives as frequent as positives are in the
    labels. Deviation from Burns et al., who take the quantile of each batch: there a loss depends
    on how a step is divided into batches. Here the threshold is that of earlier steps, so it is
    fixed within a step, and what is remembered is bounded.

    Ties and limits of `logconf`: predictions are compared as logits, so those that p rounds to 0 or
    1 keep their order. Of m remembered ones the largest floor(prior m) are above the threshold,
    which is midway between the smallest of these and the next one: so a text that comes again is
    not at the threshold, where rounding would decide. Where these two are equal the threshold is
    their value, and a prediction equal to it is hardened to 0: ties can only lower the share.
    Where floor(prior m) is 0 the threshold is the largest remembered prediction; where it is m
    every prediction is hardened to 1.

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
        self,
        name: LossName,
        labels: npt.ArrayLike,
        *,
        options: LossOptions = DEFAULTS,
        buffer: int = BUFFER,
    ) -> None:
        """Take what depends on all training labels.

        Args:
            name: Which loss, one of `LOSSES`.
            labels: All labels of the training, in [0, 1], shape (n,), n >= 1.
            options: See `LossOptions`.
            buffer: How many predictions `logconf` remembers, 1 or more.

        Raises:
            W2SError: an unknown name, no label, labels outside [0, 1], or a buffer below 1.
            DegenerateError: the median radius of `window` is 0, so that it would never learn.
        """
        if name not in LOSSES:
            raise W2SError(f"loss: found {name}, expected one of {', '.join(LOSSES)}")
        if buffer < 1:
            raise W2SError(f"loss buffer: found {buffer}, expected 1 or more predictions")
        known = probabilities(labels, "training labels")
        if not len(known):
            raise W2SError("training labels: found none, expected at least one")
        self.name = name
        self.options = options
        self.prior = float(known.mean())
        self.radius = _radius(known, options) if name == "window" else np.nan
        self._limit = buffer if name == "logconf" else 0
        self._recent = np.empty(0, dtype=np.float32)  # logits, the oldest first

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
        c = self._share(progress)
        if self.name == "window":
            outside = torch.sigmoid(z.detach().abs()) >= 0.5 + self.radius  # NaN stays NaN
            return torch.where(outside, 0.0, _cross_entropy(z, y))
        if self.name == "kl":
            return _cross_entropy(z, y) - _entropy_of_labels(y)
        if self.name == "xent" or c == 0:
            return _cross_entropy(z, y)
        if self.name == "entropy":
            return (1 - c) * _cross_entropy(z, y) + c * _entropy(z)
        hardened = (z.detach() > self.threshold).to(z.dtype)
        return _cross_entropy(z, (1 - c) * y + c * hardened)

    def step_done(self, logits: torch.Tensor) -> None:
        """Take the predictions of a whole step; call it once the step's last batch is through.

        Args:
            logits: Of all examples of the step, shape (k,), in an order that does not depend on
                how the step was divided: where the buffer cannot hold them all, the last are kept.

        Raises:
            W2SError: `logconf` was given logits of another shape, NaN or infinite ones.
        """
        if self._limit:
            new = finite(logits.detach().float().cpu().numpy(), "logits", ndim=1)
            self._recent = np.concatenate([self._recent, new])[-self._limit :]

    @property
    def threshold(self) -> float:
        """Logit above which `logconf` hardens to 1: 0 (p = 1/2) before the first finished step."""
        count = len(self._recent)
        if not count:
            return 0.0
        above = int(self.prior * count + ROUNDING)
        if above >= count:
            return -np.inf
        ordered = np.sort(self._recent).astype(np.float64)
        if not above:
            return float(ordered[-1])
        low, high = ordered[count - above - 1 : count - above + 1]
        middle = np.float32((low + high) / 2)  # as torch rounds it when it compares
        return float(middle if middle < high else low)  # high must stay above

    def state(self) -> dict[str, Array]:
        """What a killed training needs to go on with the same numbers.

        Returns:
            `recent`: remembered logits, the oldest first, float32 (m,), m <= `buffer`; empty for
            losses other than `logconf`.
        """
        return {"recent": self._recent.copy()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from what `state` gave.

        Raises:
            W2SError: not a state of this loss: no `recent`, values that are not finite, or more of
                them than it remembers.
        """
        if "recent" not in state:
            raise W2SError(f"loss state: found {sorted(state)}, expected recent")
        recent = finite(state["recent"], "loss state", ndim=1, dtype=np.float32)
        if len(recent) > self._limit:
            raise W2SError(
                f"loss state: found {len(recent)} predictions, expected at most {self._limit}; "
                "was it written by another loss?"
            )
        self._recent = recent.copy()

    def _share(self, progress: float) -> float:
        """The coefficient at this point of the training, in its warm-up or after it."""
        if not 0 <= progress <= 1:
            raise W2SError(f"progress: found {progress}, expected a number from 0 to 1")
        ramp = progress / self.options.warmup if progress < self.options.warmup else 1.0
        return self.options.coefficient * ramp


def _radius(labels: Array, options: LossOptions) -> float:
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


def _entropy(z: torch.Tensor) -> torch.Tensor:
    """H(sigmoid(z)), with its gradient; two terms of 0 or more, so nothing cancels."""
    size = z.abs()
    return size * torch.sigmoid(-size) - functional.logsigmoid(size)


def _entropy_of_labels(y: torch.Tensor) -> torch.Tensor:
    return -torch.xlogy(y, y) - torch.xlogy(1 - y, 1 - y)
