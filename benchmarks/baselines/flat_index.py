"""The peer of overlap scores: FAISS' exact index of inner products."""

import faiss
import numpy as np


def max_cosine(points, references, *, absolute=True):
    """Largest cosine of each point; FAISS' product is signed, so absolute ones need two searches.

    The library can normalise in place only, hence the copies.
    """
    points, references = points.copy(), references.copy()
    faiss.normalize_L2(points)
    faiss.normalize_L2(references)
    index = faiss.IndexFlatIP(points.shape[1])
    index.add(references)
    best = index.search(points, 1)[0][:, 0]
    if absolute:
        best = np.maximum(best, index.search(-points, 1)[0][:, 0])
    return best
