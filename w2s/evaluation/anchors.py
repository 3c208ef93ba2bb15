"""The means of the original synthetic study, and how far ours are from them.

Moving mixture: means over 500 repetitions of the original study, with n = [100, 100, k]. Fixed
mixture: the same models on a test set of 40 % easy, 40 % hard and 20 % overlap points, means over
200 repetitions.
"""

from __future__ import annotations

import math

from w2s.checks import Array

REPETITIONS = {"moving": 500, "fixed": 200}
TEST_POINTS = 200  # of the fixed mixture; the moving one is taken to be as large as the training
WITHIN = 3  # standard errors
PUBLISHED = {  # mean by number of overlap points, of (mixture, model, group)
    ("moving", "weak", "overall"): {5: 0.666, 10: 0.671, 15: 0.677, 20: 0.682, 25: 0.685},
    ("moving", "strong", "overall"): {5: 0.823, 10: 0.827, 15: 0.832, 20: 0.834, 25: 0.834},
    ("moving", "w2s", "overall"): {5: 0.515, 10: 0.592, 15: 0.639, 20: 0.673, 25: 0.709},
    ("moving", "w2s", "hard"): {5: 0.510, 10: 0.570, 15: 0.603, 20: 0.627, 25: 0.650},
    ("fixed", "weak", "overall"): {5: 0.695, 95: 0.708},
    ("fixed", "strong", "overall"): {5: 0.839, 95: 0.852},
    ("fixed", "w2s", "overall"): {5: 0.520, 10: 0.590, 20: 0.693, 50: 0.788, 95: 0.819},
    ("fixed", "w2s", "hard"): {5: 0.507, 10: 0.557, 20: 0.634, 50: 0.721, 95: 0.759},
}


def standard_error(accuracy: Array, *, mixture: str, shares: Array, n_train: int) -> float:
    """Standard error of the difference between a mean of ours and a published one.

    Ours has the spread over repetitions only, as accuracies are exact. The original counts right
    test points: its mean has the same spread, and the noise of its test draws. Their number is not
    known and taken to be that of the training points (`moving`), or 200 (`fixed`).

    Args:
        accuracy: Our accuracies by region, (R, k), of the k regions that are tested.
        mixture: `moving` or `fixed`.
        shares: Share of each of these regions in the whole test mixture, (k,).
        n_train: Training points of the setting.
    """
    n_test = n_train if mixture == "moving" else TEST_POINTS
    weight = shares / shares.sum()
    spread = float((accuracy @ weight).var(ddof=1))
    noise = float((accuracy * (1 - accuracy) @ weight).mean()) / (n_test * float(shares.sum()))
    return math.sqrt(spread / len(accuracy) + (spread + noise) / REPETITIONS[mixture])
