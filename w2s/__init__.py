"""Weak-to-strong generalization through the data-centric lens.

The stable names of the library are loaded on first use, so that importing the package costs
nothing:

- `change_point(values)`, `detect_overlap(weak_proba, activations)`, `fit_probes(x, targets)`,
- `pgr(floor, w2s, ceiling)`, `load(path)` for any artifact, and `W2SError`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from w2s.errors import W2SError
    from w2s.files.artifacts import load
    from w2s.overlap.detect import detect_overlap
    from w2s.overlap.scores import change_point
    from w2s.probes.probes import fit_probes
    from w2s.results.metrics import pgr

__version__ = "0.1.0"
__all__ = ["W2SError", "change_point", "detect_overlap", "fit_probes", "load", "pgr"]

HOMES = {
    "W2SError": "w2s.errors",
    "change_point": "w2s.overlap.scores",
    "detect_overlap": "w2s.overlap.detect",
    "fit_probes": "w2s.probes.probes",
    "load": "w2s.files.artifacts",
    "pgr": "w2s.results.metrics",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'w2s' has no attribute '{name}'")
    return getattr(importlib.import_module(HOMES[name]), name)
