"""What the benchmark scripts share: fair timing, the machine, and the tables."""

import os
import platform
import time
from pathlib import Path

import numpy as np

TABLES = Path(__file__).parent / "tables"


def alternate(functions, *, repeats=5):
    """Median seconds of each function and its last result, the functions taking turns.

    Taking turns spreads the noise of the machine. Each is called once before, unmeasured.
    """
    results = {name: function() for name, function in functions.items()}
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            results[name] = function()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}, results


def matrix_rate(n=4096, d=384, k=1536):
    """Best measured float32 matrix-product rate of NumPy and torch, in GFLOP/s."""
    import torch

    a, b = (np.random.default_rng(0).normal(size=s).astype(np.float32) for s in ((n, d), (d, k)))
    ta, tb = torch.from_numpy(a), torch.from_numpy(b)
    seconds = []
    for _ in range(10):
        for product in (lambda: a @ b, lambda: ta @ tb):
            start = time.perf_counter()
            product()
            seconds.append(time.perf_counter() - start)
    return 2 * n * d * k / min(seconds) / 1e9


def machine():
    """One line about the machine and the versions."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    return (
        f"{model}, {os.cpu_count()} cores, {threads} threads, no GPU used; Python "
        f"{platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}; "
        f"matrix product {matrix_rate():.0f} GFLOP/s"
    )


def write_table(name, title, rows, *, notes=()):
    """Print a Markdown table and keep it under benchmarks/tables/."""
    columns = list(rows[0])
    lines = [f"# {title}", "", machine(), ""]
    lines += ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    lines += ["", *(f"- {note}" for note in notes)]
    text = "\n".join(lines).rstrip() + "\n"
    TABLES.mkdir(exist_ok=True)
    (TABLES / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
