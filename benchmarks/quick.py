"""The key ratios in under a minute, on small problems: one table, printed and not kept.

Run `make bench-quick`, or `python benchmarks/quick.py`, after a default run. It asserts nothing:
times depend on the machine and on what else it does.
"""

import importlib.util

import extraction
import probes
import scores
from measure import alternate, finished_run, machine, markdown

RESULTS = "results/demo"
TEXTS = 150


def row(what, baseline, theirs, ours):
    return {
        "what": what,
        "baseline": baseline,
        "baseline (s)": f"{theirs:.3g}",
        "ours (s)": f"{ours:.3g}",
        "ratio": f"{theirs / ours:.1f}",
    }


def probe_row():
    x, y = probes.real_matrix(RESULTS)
    ours, theirs = probes.compare("", x, y, 100, 4, 2)
    return row(
        f"100 probes of {len(x):,} x {x.shape[1]}",
        "torch L-BFGS one by one (4 fits, scaled)",
        float(theirs["seconds"]),
        float(ours["seconds"]),
    )


def score_rows():
    size = (6_000, 6_000, 384)
    found = list(scores.similarity_rows(*size, repeats=2, peers=False, blocks=(scores.BLOCK,)))
    theirs, ours = (float(one["seconds"]) for one in found)
    yield row("overlap scores, {:,} x {:,} x {}".format(*size), scores.FULL, theirs, ours)
    found = list(scores.change_point_rows(5_000, jumps=(5,), repeats=3))
    theirs, ours = (float(one["seconds"]) for one in found)
    yield row("change point of 5,000 values", "ruptures Binseg, jump 5", theirs, ours)


def extraction_row():
    problem = extraction.load_problem("resources", TEXTS)
    seconds, _, _ = extraction.compare(problem, budgets=(2048,), repeats=1)
    theirs, ours = seconds.values()
    return row(f"extraction of {TEXTS} texts", extraction.BASE, theirs, ours)


def prefix_rows():
    """Shared prefixes, where the project has them."""
    if importlib.util.find_spec("w2s.models.prefixes") is None:
        return
    import prefixes

    encoder = prefixes.model()
    start, token = prefixes.texts(1, 300, 10, 30)
    seconds, _ = alternate(
        {
            "plain": lambda: prefixes.plain(encoder, start, token),
            "shared": lambda: prefixes.shared(encoder, start, token),
        },
        repeats=2,
    )
    what = "10 texts of 300 + 30 tokens, the first 300 in common"
    yield row(what, "plain batches", seconds["plain"], seconds["shared"])


def main():
    finished_run(RESULTS)
    rows = [probe_row(), *score_rows(), extraction_row(), *prefix_rows()]
    print(f"{machine()}\n\n{markdown(rows)}")


if __name__ == "__main__":
    main()
