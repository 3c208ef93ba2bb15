"""Null worlds: each claimed effect beside the same number where its claimed cause is absent.

Run `python benchmarks/null_worlds.py [RESULTS]` (3 minutes on 2 cores) after the default run and
after that of `config/finetuning.yaml`, without which its claims are left out.
"""

import argparse
from pathlib import Path

from measure import finished_run, write_table
from worlds.choices import counts, domains, regrets
from worlds.finetuning import finetuned
from worlds.jobs import DRAWS
from worlds.perceptrons import perceptrons
from worlds.planted import REPETITIONS, detection, teaching
from worlds.probes import gains, mixes, regions, repeated
from worlds.verdicts import RULE

STUDIES = (
    gains, regions, mixes, repeated, counts, domains, regrets, detection, teaching, perceptrons,
)  # fmt: skip
FINETUNED = Path("results/finetuning")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", default="results/demo")
    results = finished_run(parser.parse_args().results)
    rows = []
    for study in STUDIES:
        rows += study(results)
        print(f"{study.__name__}: {len(rows)} rows", flush=True)
    told = f"Fine-tuned models: not run, as there is no {FINETUNED}."
    if FINETUNED.is_dir():
        told = "Fine-tuned models: 3 seeds; the other division is that of commit a6cb16f."
        rows += finetuned(FINETUNED)
    write_table(
        "null_worlds",
        "Null worlds: claimed effects where their cause is absent",
        rows,
        notes=[
            RULE,
            "Test accuracies: 95% intervals of a bootstrap over 5 seeds and groups of test points, "
            "with the same draws on both sides. Regrets and the synthetic study: Student's t over "
            "seeds or repetitions. None is corrected for the number of rows.",
            f"Random training sets are drawn {DRAWS} times a seed; detection has {REPETITIONS} "
            "repetitions, teaching 300. Few easy points make their mixes smaller.",
            "Draws and resampled points are the scripts' own: intervals differ in the last digit "
            "from those of the run's tables.",
            told,
        ],
    )


if __name__ == "__main__":
    main()
