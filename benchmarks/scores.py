"""Overlap scores and change points, against the full matrix and ruptures.

Run `python benchmarks/scores.py` (about two minutes).
"""

import resource
import time

import numpy as np
from baselines.change_point import binseg
from baselines.similarity import max_cosine
from measure import alternate, matrix_rate, write_table

from w2s.methods.change_point import change_point
from w2s.methods.similarity import max_similarity


def similarity_rows(rng):
    rate = matrix_rate()
    for n, k, d in ((10_000, 10_000, 384), (4_000, 4_000, 4_096)):
        x, h = (rng.normal(size=(m, d)).astype(np.float32) for m in (n, k))
        seconds, results = alternate(
            {
                "full matrix (torch)": lambda x=x, h=h: max_cosine(x, h),
                "blocks": lambda x=x, h=h: max_similarity(x, h),
                "blocks of 1,000": lambda x=x, h=h: max_similarity(x, h, block=1000),
            }
        )
        for name, value in seconds.items():
            yield {
                "problem": f"max cosine, {n:,} x {k:,} x {d:,}",
                "way": name,
                "seconds": f"{value:.3f}",
                "ratio": f"{seconds['full matrix (torch)'] / value:.1f}",
                "share of matrix rate": f"{2 * n * k * d / value / 1e9 / rate:.2f}",
                "largest difference": f"{np.abs(results[name] - results['blocks']).max():.0e}",
            }


def change_point_rows(rng):
    for n in (5_000, 50_000):
        values = np.concatenate([rng.beta(2, 5, n // 2), rng.beta(5, 2, n - n // 2)])
        seconds, results = alternate(
            {
                "ruptures Binseg, jump 5": lambda v=values: np.sort(v)[binseg(v, jump=5)],
                "ruptures Binseg, jump 1": lambda v=values: np.sort(v)[binseg(v, jump=1)],
                "prefix sums": lambda v=values: change_point(v),
            },
            repeats=5 if n < 10_000 else 3,
        )
        for name, value in seconds.items():
            yield {
                "problem": f"change point, {n:,} values",
                "way": name,
                "seconds": f"{value:.4f}",
                "ratio": f"{seconds['ruptures Binseg, jump 5'] / value:.0f}",
                "share of matrix rate": "",
                "largest difference": f"{abs(results[name] - results['prefix sums']):.0e}",
            }
    values = rng.random(10_000_000)
    start = time.perf_counter()
    change_point(values)
    yield {
        "problem": "change point, 10,000,000 values",
        "way": "prefix sums",
        "seconds": f"{time.perf_counter() - start:.2f}",
        "ratio": "",
        "share of matrix rate": "",
        "largest difference": "",
    }


def main():
    rng = np.random.default_rng(0)
    rows = [*change_point_rows(rng), *similarity_rows(rng)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    write_table(
        "scores",
        "Overlap scores and change points",
        rows,
        notes=[
            "Medians of 5 (3 for 50,000 values) in one process, taking turns.",
            f"Peak resident memory of the whole script, full matrices included: {peak:.1f} GB.",
        ],
    )


if __name__ == "__main__":
    main()
