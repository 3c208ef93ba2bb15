"""Overlap scores and change points, against the full matrix, FAISS and ruptures.

Run `python benchmarks/scores.py` (about six minutes, half of them for ruptures). The large problem
runs in a process of its own (`--large POINTS REFERENCES WIDTH`), which reports its peak memory.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
from baselines.change_point import binseg
from baselines.flat_index import max_cosine as flat_index
from baselines.similarity import max_cosine
from measure import alternate, matrix_rate, peak_memory, write_table

from w2s.overlap.scores import BLOCK, change_point, max_similarity

PROBLEMS = ((10_000, 10_000, 384), (4_000, 4_000, 4_096))
LARGE = (200_000, 20_000, 1_024)
BLOCKS = (512, 1024, 2048, 4096)
FULL, OURS = "full matrix (torch)", f"blocks of {BLOCK:,}"


def row(problem, way, seconds, **rest):
    """A row of the table, empty where nothing is told."""
    columns = ("ratio", "share of matrix rate", "largest difference", "peak memory (GiB)")
    return {"problem": problem, "way": way, "seconds": seconds} | {
        c: rest.get(c, "") for c in columns
    }


def product_rate(d):
    """GFLOP/s of one tile's product."""
    return matrix_rate(BLOCK, d, BLOCK)


def similarity_rows(n, k, d, *, repeats=5, peers=True, blocks=BLOCKS):
    """The full matrix, FAISS and blocks of several sizes on one problem."""
    rng = np.random.default_rng(0)
    x, h = (rng.standard_normal((m, d), dtype=np.float32) for m in (n, k))
    functions = {FULL: lambda: max_cosine(x, h)}
    if peers:
        functions["FAISS IndexFlatIP, searches for x and -x"] = lambda: flat_index(x, h)
        functions["FAISS IndexFlatIP, signed only"] = lambda: flat_index(x, h, absolute=False)
    functions |= {f"blocks of {b:,}": lambda b=b: max_similarity(x, h, block=b) for b in blocks}
    before = product_rate(d)
    seconds, results = alternate(functions, repeats=repeats)
    rate = max(before, product_rate(d))
    signed = max_similarity(x, h, absolute=False) if peers else None
    for name, value in seconds.items():
        reference = signed if "signed" in name else results[OURS]
        searches = 2 if "-x" in name else 1
        yield row(
            f"max cosine, {n:,} x {k:,} x {d:,}",
            name,
            f"{value:.3f}",
            **{
                "ratio": f"{seconds[FULL] / value:.1f}",
                "share of matrix rate": f"{searches * 2 * n * k * d / value / 1e9 / rate:.2f}",
                "largest difference": f"{np.abs(results[name] - reference).max():.0e}",
            },
        )


def run_large(n, k, d):
    """One call on a large problem, its peak memory, and blocks compared on a part of the points."""
    rng = np.random.default_rng(0)
    x, h = (rng.standard_normal((m, d), dtype=np.float32) for m in (n, k))
    start = time.perf_counter()
    best = max_similarity(x, h)
    seconds, peak = time.perf_counter() - start, peak_memory()
    part = slice(0, 2 * max(BLOCKS))
    gaps = [float(np.abs(max_similarity(x[part], h, block=b) - best[part]).max()) for b in BLOCKS]
    rate = product_rate(d)
    return {
        "seconds": seconds,
        "peak": peak,
        "input": (x.nbytes + h.nbytes) / 2**30,
        "share": 2 * n * k * d / seconds / 1e9 / rate,
        "gap": max(gaps),
    }


def large_rows(n, k, d):
    command = [sys.executable, __file__, "--large", str(n), str(k), str(d)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    yield row(
        f"max cosine, {n:,} x {k:,} x {d:,} ({found['input']:.2f} GiB of input)",
        f"{OURS}, a process of its own",
        f"{found['seconds']:.1f}",
        **{
            "share of matrix rate": f"{found['share']:.2f}",
            "largest difference": f"{found['gap']:.0e}",
            "peak memory (GiB)": f"{found['peak']:.2f}",
        },
    )


def change_point_rows(n, *, jumps=(5, 1), repeats=5):
    """Ruptures with some jumps, and prefix sums."""
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.beta(2, 5, n // 2), rng.beta(5, 2, n - n // 2)])
    ordered = np.sort(values)
    functions = {
        f"ruptures Binseg, jump {j}": lambda j=j: ordered[binseg(values, jump=j)] for j in jumps
    }
    functions["prefix sums"] = lambda: change_point(values)
    seconds, results = alternate(functions, repeats=repeats)
    base = seconds[f"ruptures Binseg, jump {jumps[0]}"]
    for name, value in seconds.items():
        yield row(
            f"change point, {n:,} values",
            name,
            f"{value:.4f}",
            **{
                "ratio": f"{base / value:.3g}",
                "largest difference": f"{abs(results[name] - results['prefix sums']):.0e}",
            },
        )


def largest_change_point(n=10_000_000):
    values = np.random.default_rng(0).random(n)
    start = time.perf_counter()
    change_point(values)
    seconds = time.perf_counter() - start
    yield row(f"change point, {n:,} values", "prefix sums, one call", f"{seconds:.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.large:
        print(json.dumps(run_large(*options.large)))
        return
    rows = [*change_point_rows(5_000), *change_point_rows(50_000, repeats=3)]
    rows += largest_change_point()
    for problem in PROBLEMS:
        rows += similarity_rows(*problem)
    rows += large_rows(*LARGE)
    write_table(
        "scores",
        "Overlap scores and change points",
        rows,
        notes=[
            "Medians of 5 (3 for 50,000 values; one call for the large problems) in one process, "
            "taking turns. Ratio: to the first way of each problem; a signed search does less.",
            "Cosines are absolute, and scaling the rows to norm 1 is included everywhere. FAISS' "
            "inner product is signed: absolute values take it two searches. It also returns which "
            "row was nearest, which the others do not.",
            f"Share: of the best measured product of {BLOCK:,} x d by d x {BLOCK:,} in float32 "
            "(NumPy or torch, the better of 10, before and after), in the same run; both searches "
            "of FAISS count.",
            "Largest difference: change points to prefix sums; cosines to the blocks of "
            f"{BLOCK:,} rows (signed to signed), those of the large problem between blocks of "
            f"{', '.join(map(str, BLOCKS))} on its first {2 * max(BLOCKS):,} points.",
            "Peak memory: the input, the imports and the call; the input was drawn in float32.",
        ],
    )


if __name__ == "__main__":
    main()
