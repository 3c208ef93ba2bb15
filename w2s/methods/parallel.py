"""Independent pieces of NumPy work side by side, one thread each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import numpy as np  # noqa: F401  (its BLAS must be loaded before threadpoolctl looks for it)
from threadpoolctl import ThreadpoolController

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(function: Callable[[Piece], Result], pieces: Sequence[Piece]) -> list[Result]:
    """The function of every piece, in order.

    As many threads as BLAS may use (OMP_NUM_THREADS, or all cores); with more than one piece each
    thread's own products use one, so that a result does not depend on how many threads there are.
    """
    blas = _blas()
    threads = max((library["num_threads"] for library in blas.info()), default=1)
    if len(pieces) < 2:
        return [function(piece) for piece in pieces]
    with blas.limit(limits=1), ThreadPoolExecutor(min(threads, len(pieces))) as pool:
        return list(pool.map(function, pieces))


@cache
def _blas() -> ThreadpoolController:
    """The BLAS library of NumPy."""
    return ThreadpoolController().select(user_api="blas")
