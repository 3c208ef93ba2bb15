"""Named random streams: every draw in the project comes from one, none from a global seed."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str) -> np.random.Generator:
    """A random generator that depends on the seed and on what it is for, and on nothing else.

    Different names give independent streams, so that adding a dataset, a proportion or an
    experiment moves no number of the others.

    Args:
        seed: The user's seed, any integer >= 0.
        names: What is drawn, from general to particular, e.g. `"mixing", "movies", "repeat=3"`.

    Returns:
        A PCG64 generator.
    """
    text = "\x1f".join((str(seed), *names))
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
