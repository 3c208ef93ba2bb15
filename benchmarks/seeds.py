"""Many seeds: texts extracted once for all of them, against extracted again for each seed.

Run `python benchmarks/seeds.py` (about a minute) after the default run has fetched texts and model.
"""

import argparse
import time

import numpy as np
from extraction import BASE, compare, load_problem
from measure import write_table

from w2s.probes.probes import fit_probes

SEEDS = (1, 5, 10)
BATCHED = "budget 2048"
MIXES = 100  # about the trainings of one seed in the default configuration


def probes_of(x, label, seed):
    """What one seed trains: a weak probe on one half, all mixes on its labels of the other half."""
    rng = np.random.default_rng(seed)
    half = rng.permutation(len(x)) < len(x) // 2
    weak = fit_probes(x[half, :32], label[half])  # a probe of less information stands for weak
    proba = weak.predict_proba(x[~half, :32])
    mixes = rng.random((len(proba), MIXES)) < 0.6
    return fit_probes(x[~half], np.repeat(proba[:, None], MIXES, axis=1), weights=mixes)


def probe_seconds(x, label):
    """Seconds of each seed's probes."""
    probes_of(x, label, seed=0)  # warms up
    seconds = []
    for seed in range(max(SEEDS)):
        start = time.perf_counter()
        probes_of(x, label, seed)
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def rows(naive, batched, probes):
    """One row a number of seeds; the probes are the same and included on every side."""
    for n in SEEDS:
        training = float(probes[:n].sum())
        ours = batched + training
        yield {
            "seeds": n,
            "one text a pass, every seed (s)": f"{n * naive + training:.1f}",
            "batched, every seed (s)": f"{n * batched + training:.1f}",
            "batched, once (s)": f"{ours:.1f}",
            "of that, probes (s)": f"{training:.2f}",
            "ratio to one text a pass": f"{(n * naive + training) / ours:.1f}",
            "ratio to batched": f"{(n * batched + training) / ours:.1f}",
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", default="resources", help="downloads of a default run")
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    problem = load_problem(options.resources, options.texts)
    seconds, results, _ = compare(problem, budgets=(2048,), repeats=options.repeats)
    length = np.diff(problem.start)
    label = (length > np.median(length)).astype(float)  # any label will do: seconds are asked for
    write_table(
        "seeds",
        f"Seeds: {len(problem.texts)} movie texts through MiniLM, then {MIXES} mixes a seed",
        list(rows(seconds[BASE], seconds[BATCHED], probe_seconds(results[BATCHED], label))),
        notes=[
            "Each seed divides the pool anew, and its weak_train, strong_train, val and test "
            "together are all texts: the original code extracts them again for every seed.",
            f"One pass over the texts is measured (median of {options.repeats}, the two ways "
            "taking turns) and multiplied by the number of seeds where it is repeated; it is not "
            "run that often.",
            "The probes of all seeds are measured, fitted together within a seed, and added to "
            "every column: the original fits them one by one, which is not counted here.",
            "One model; tokenising and loading are not included.",
        ],
    )


if __name__ == "__main__":
    main()
