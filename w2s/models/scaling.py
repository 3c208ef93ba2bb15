"""Gradients of a forward pass in float16, whose smallest number is larger than many of them."""

from __future__ import annotations

from collections.abc import Collection

import torch

from w2s.errors import DegenerateError

START = 2.0**16  # of the loss; gradients then use the upper half of the format's range


class Scale:
    """The factor of a loss, so that its gradients are neither 0 nor infinite in float16.

    It is a power of 2, so that nothing is rounded, and is halved where a gradient is infinite; the
    step is then computed anew. `torch.amp.GradScaler` leaves such a step out instead, which would
    shorten a training by some of its steps. Other formats need no factor: it is 1.

    Attributes:
        factor: The factor.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """For a forward pass in this format."""
        self._needed = dtype == torch.float16
        self.factor = START if self._needed else 1.0

    def undo(self, parameters: Collection[torch.nn.Parameter]) -> bool:
        """Divide the gradients by the factor; halve it instead, and say no, if one is infinite.

        Raises:
            DegenerateError: a gradient is infinite without a factor too.
        """
        if not self._needed:
            return True
        found = [p.grad for p in parameters if p.grad is not None]
        if all(bool(torch.isfinite(gradient).all()) for gradient in found):
            for gradient in found:
                gradient.div_(self.factor)
            return True
        if self.factor <= 1:
            raise DegenerateError("training: a gradient is not finite in float16; take bfloat16")
        self.factor /= 2
        return False
