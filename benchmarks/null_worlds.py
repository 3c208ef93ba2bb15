"""Null worlds: each claimed effect beside the same number where its claimed cause is absent.

Run `python benchmarks/null_worlds.py [RESULTS]` (3 minutes on 2 cores) after the default run and
after those of fine-tuned models: `config/finetuning.yaml`, and the same with other seeds,

    snakemake --configfile config/finetuning.yaml --config seeds=[3,4,5]
        results=results/finetuning_fresh

Claims about runs that are not there are left out, and the notes say so.
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
FINETUNED = "results/finetuning"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", default="results/demo")
    results = finished_run(parser.parse_args().results)
    rows = []
    for study in STUDIES:
        rows += study(results)
        print(f"{study.__name__}: {len(rows)} rows", flush=True)
    folders = Path(FINETUNED), Path(f"{FINETUNED}_fresh")
    if lacking := [str(folder) for folder in folders if not folder.is_dir()]:
        told = f"Fine-tuned models: not run, as there is no {' and no '.join(lacking)}."
    else:
        told = "Fine-tuned models: 3 seeds, and 3 others of Amazon and tweets."
        rows += finetuned(*folders)
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
