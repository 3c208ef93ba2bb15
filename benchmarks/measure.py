"""What the benchmark scripts share: fair timing, the machine, and the tables."""

import os
import platform
import resource
import time
from pathlib import Path

import numpy as np

TABLES = Path(__file__).parent / "tables"


def alternate(functions, *, repeats=5, warm_up=True):
    """Median seconds of each function and its last result, the functions taking turns.

    Taking turns spreads the noise of the machine. Each is called once before, unmeasured; long ones
    may do without (`warm_up=False`) where a smaller call has warmed up what they use.
    """
    results = {name: function() for name, function in functions.items()} if warm_up else {}
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


def best_rate(shapes):
    """The best of `matrix_rate` over some shapes (n, d, k)."""
    return max(matrix_rate(*shape) for shape in shapes)


def peak_memory():
    """Largest resident memory of this process so far, in GiB.

    Read from /proc where there is one: what `getrusage` tells of a child process on Linux is at
    least the size of the process that started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (li for li in status.read_text().splitlines() if li.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    unit = 1 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def finished_run(results):
    """The folder of a finished default run, or the end of the script in one line."""
    folder = Path(results)
    if not (folder / "tables" / "main.parquet").is_file():
        raise SystemExit(f"{folder}: found no finished run, expected that of `make demo`")
    return folder


def threads():
    """Threads of the two libraries that compute, as they are set in this process."""
    import torch
    from threadpoolctl import threadpool_info

    found = {torch.get_num_threads()}
    found |= {pool["num_threads"] for pool in threadpool_info() if "numpy" in pool["filepath"]}
    return " or ".join(map(str, sorted(found)))


def machine():
    """One line about the machine and the versions."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":")[1].strip() if names else model
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return (
        f"{model}, {cores} cores, {threads()} threads, no GPU used; Python "
        f"{platform.python_version()}, NumPy {np.__version__}, torch {torch.__version__}; "
        f"matrix product {matrix_rate():.0f} GFLOP/s"
    )


def markdown(rows):
    """Rows, all with the same keys, as a Markdown table."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row[c]) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def write_table(name, title, rows, *, notes=()):
    """Print a Markdown table and keep it under benchmarks/tables/."""
    lines = [f"# {title}", "", machine(), "", markdown(rows), "", *(f"- {note}" for note in notes)]
    text = "\n".join(lines).rstrip() + "\n"
    TABLES.mkdir(exist_ok=True)
    (TABLES / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
