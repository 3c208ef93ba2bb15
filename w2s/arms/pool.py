"""What a selector sees: the points of strong_train, their weak labels, and both models' vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from w2s.checks import Array, same_length
from w2s.probes.cross_fit import folds_of, out_of_fold


@dataclass(frozen=True, eq=False)
class Pool:
    """The n points that a budget is spent on.

    Attributes:
        id: Example ids, int64 (n,).
        n_tokens: Length of the texts, int64 (n,).
        weak_proba: P(y = 1) by the weak model, which has not seen these points, float64 (n,).
        weak, strong: Activations of the two models, (n, dw) and (n, ds).
        region: `easy`, `hard` or `overlap`, or `undefined` where the detector is, str (n,).
        overlap_score: Closeness to the hard points, NaN for these, float64 (n,).
        group: Number of what belongs together, as questions on one passage, int64 (n,); all
            different where there are no groups.
        trained_weak: Weak activations of what the weak model was trained on, (m, dw).
        trained_label: True labels of these, 0 or 1, (m,).
        label: True labels, 0 or 1, (n,). For oracles only; None where nobody may look.
        streams: A random generator for each name.

    Raises:
        W2SError: arrays of different lengths.
    """

    id: Array
    n_tokens: Array
    weak_proba: Array
    weak: Array
    strong: Array
    region: Array
    overlap_score: Array
    group: Array
    trained_weak: Array
    trained_label: Array
    label: Array | None
    streams: Callable[[str], np.random.Generator]

    def __post_init__(self) -> None:
        names = ("n_tokens", "weak_proba", "weak", "strong", "region", "overlap_score", "group")
        for name in (*names, *(["label"] if self.label is not None else [])):
            same_length(name, getattr(self, name), "id", len(self.id))
        same_length("trained_label", self.trained_label, "trained_weak", len(self.trained_weak))

    @cached_property
    def weak_label(self) -> Array:
        """The weak labels as they are learned from: 1 above 1/2, else 0, int64 (n,)."""
        return (self.weak_proba > 0.5).astype(np.int64)

    @cached_property
    def fold(self) -> Array:
        """Fold of each point, 0 to 4, int64 (n,): a group is in one fold."""
        return folds_of(self.group, rng=self.streams("folds"))

    @cached_property
    def weak_oof(self) -> Array:
        """P(weak label = 1) by probes of the weak vectors that saw other folds, float64 (n,)."""
        return out_of_fold(self.weak, self.weak_label, self.fold)

    @cached_property
    def strong_oof(self) -> Array:
        """P(weak label = 1) by probes of the strong vectors that saw other folds, float64 (n,)."""
        return out_of_fold(self.strong, self.weak_label, self.fold)
