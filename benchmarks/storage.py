"""What storing activations in half the bits costs, and how much memory reading some rows takes.

Run `python benchmarks/storage.py` after the default run: it stores the vectors of its four domains
in each format, and trains the same probes on them. `--rows 1000000` (the default; 8.2 GB of
temporary disk) is the size of the matrix that is written and read by rows.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import peak_memory, write_table

from w2s.files.artifacts import Artifact, load, save
from w2s.files.matrix import STORAGE, Rounded, loss
from w2s.probes.probes import fit_probes

WIDTH, BLOCK, TAKEN = 4096, 2048, 10_000
GB = 1000**3


def proba_of(x, examples, half):
    """Ceiling probe on one half of the pool: probabilities of the test texts."""
    rows = np.isin(examples["id"], half)
    fitted = fit_probes(x[rows], examples["label"][rows].astype(np.float64)[:, None])
    return fitted.predict_proba(x[examples["part"] == "test"])[:, 0]


def stored_row(name, storage, x, examples, half):
    """One row of the first table: the same probe on vectors as they come back."""
    back = np.concatenate(list(Rounded(x, storage).blocks()))
    label = examples["label"][examples["part"] == "test"]
    n = len(label)
    exact, found = (proba_of(values, examples, half) for values in (x, back))
    right = [float(np.mean((proba > 0.5) == label)) for proba in (exact, found)]
    return {
        "dataset": name,
        "storage": storage,
        "loss": f"{loss(x, storage).error:.1e}",
        "largest change of a test probability": f"{np.abs(found - exact).max():.1e}",
        "changed test predictions": f"{int(np.sum((found > 0.5) != (exact > 0.5)))} of {n}",
        "accuracy": f"{right[1]:.4f} ({right[1] - right[0]:+.4f})",
    }


class Drawn:
    """A matrix of random rows that is nowhere in memory."""

    dtype, ndim = np.dtype(np.float32), 2

    def __init__(self, n, storage):
        self.shape, self.storage = (n, WIDTH), storage

    def __len__(self):
        return self.shape[0]

    def blocks(self):
        """The same blocks every time."""
        block = np.random.default_rng(0).standard_normal((BLOCK, WIDTH), dtype=np.float32)
        for first in range(0, len(self), BLOCK):
            yield Rounded(block[: len(self) - first], self.storage).source


def child(step, path, n):
    """Write the matrix, or read some rows of it, in a process of its own."""
    base, begin = peak_memory(), time.perf_counter()
    if step == "write":
        facts = {"dataset": "random", "model": {}, "storage": "bfloat16", "loss": {}}
        x = Rounded(Drawn(n, "bfloat16"), "bfloat16")
        save(Artifact("activations", {"id": np.arange(n), "layer_-1": x}, facts), path)
    else:
        x = load(path, by_rows=True)["layer_-1"]
        rows = np.random.default_rng(1).permutation(n)[:TAKEN]
        assert x[rows].shape == (TAKEN, WIDTH)
    grown = (peak_memory() - base) * 2**30 / GB
    sys.stdout.write(f"{time.perf_counter() - begin} {grown}")


def large_rows(n):
    """The rows of the second table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "large.safetensors"
        for step, what in (("write", "write all"), ("read", f"check all, take {TAKEN:,} rows")):
            command = [sys.executable, __file__, "--child", step, "--path", str(path)]
            done = subprocess.run(
                [*command, "--rows", str(n)], check=True, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            seconds, grown = map(float, done.stdout.split())
            rows.append(
                {
                    "step": what,
                    "matrix": f"{n:,} x {WIDTH:,}",
                    "file, GB": f"{path.stat().st_size / GB:.1f}",
                    "seconds": f"{seconds:.0f}",
                    "memory beside libraries, GB": f"{grown:.2f}",
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results/demo"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.path, options.rows)
        return
    found = []
    for path in sorted(options.results.glob("*/activations/minilm-6.safetensors")):
        folder = path.parent.parent
        examples, vectors = load(folder / "examples.parquet"), load(path)
        split = load(folder / "splits" / "seed0.parquet")
        half = split["id"][split["half"] == "strong_train"]
        for storage in STORAGE:
            x = vectors["layer_-1"]
            found.append(stored_row(folder.name, storage, x, examples, half))
    write_table("storage", "The ceiling probe of seed 0 on vectors stored in fewer bits", found)
    write_table(
        "rows", "A matrix in bfloat16 that is larger than memory may be", large_rows(options.rows)
    )


if __name__ == "__main__":
    main()
