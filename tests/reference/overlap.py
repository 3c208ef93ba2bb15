"""Algorithm 2 with the whole similarity matrix in float64 and a loop over the points."""

import math

import numpy as np

from reference.change_point import change_point


def similarity_matrix(points, references, similarity="cosine"):
    matrix = np.zeros((len(points), len(references)))
    for i, a in enumerate(np.asarray(points, dtype=np.float64)):
        for j, b in enumerate(np.asarray(references, dtype=np.float64)):
            dot = float(a @ b)
            norms = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
            matrix[i, j] = dot if similarity == "dot" else dot / norms if norms else 0.0
    return matrix


def detect_overlap(weak_proba, activations, similarity="cosine", absolute=True):
    """Words of the points, scores (NaN for hard points) and the two thresholds."""
    confidence = [abs(2 * float(p) - 1) for p in weak_proba]
    tau_hard = change_point(confidence)
    hard = [i for i, c in enumerate(confidence) if c < tau_hard]
    others = [i for i, c in enumerate(confidence) if c >= tau_hard]
    matrix = similarity_matrix(activations[others], activations[hard], similarity)
    matrix = np.abs(matrix) if absolute else matrix
    score = np.full(len(confidence), np.nan)
    score[others] = matrix.max(axis=1)
    tau_overlap = change_point(score[others])
    words = [
        "hard" if i in hard else "overlap" if score[i] >= tau_overlap else "easy"
        for i in range(len(confidence))
    ]
    return words, score, tau_hard, tau_overlap
