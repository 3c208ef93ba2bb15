"""The synthetic study's logistic regressions, stacked, against one scikit-learn fit after another.

Run `python benchmarks/synthetic.py` (about two minutes; `--repetitions` and `--settings` make it
smaller). The same draws, the same objective (scikit-learn's C), the same hard labels.
"""

import argparse
import time

import numpy as np
from measure import alternate, write_table
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from w2s.synthetic.mixture import Design, draw_populations, draw_samples
from w2s.synthetic.newton import fit_batch
from w2s.synthetic.study import run_setting, train_weak
from w2s.synthetic.track import RecipeConfig

SETTINGS = {"k = 10": (100, 100, 10), "k = 50": (100, 100, 50), "k = 95": (100, 100, 95)}
SWEEP = [(100, 100, k) for k in range(5, 105, 5)]  # 20 settings
RECIPE = RecipeConfig()


def problems(counts, repetitions):
    """Rows, labels and C of the three models: x (R, n, d), labels (R, n)."""
    populations = draw_populations(Design(), seed=0, repetitions=range(repetitions))
    train, pseudo = (
        draw_samples(populations, counts, seed=0, repetitions=range(repetitions), part=part)
        for part in ("train", "pseudo")
    )
    labels = train_weak(train, c=RECIPE.c).logits(pseudo.weak_part) >= 0
    overlap = pseudo.names == "overlap"
    return {
        "weak": (np.ascontiguousarray(train.weak_part), train.label, RECIPE.c),
        "strong": (train.x, train.label, RECIPE.c),
        "w2s": (pseudo.x[:, overlap], labels[:, overlap].astype(float), RECIPE.w2s_c),
    }


def stacked(models):
    return {m: fit_batch(x, y, l2=1 / (2 * x.shape[1] * c)) for m, (x, y, c) in models.items()}


def one_by_one(models, solver):
    """Coefficients and intercept of every fit; None where there is one class only."""
    return {
        model: [
            LogisticRegression(C=c, solver=solver).fit(rows, labels)
            if labels.min() < labels.max()
            else None
            for rows, labels in zip(x, y, strict=True)
        ]
        for model, (x, y, c) in models.items()
    }


def objective(rows, labels, l2, coef, intercept):
    logits = rows @ coef + intercept
    return np.mean(np.logaddexp(0, logits) - labels * logits) + l2 * coef @ coef


def largest_gap(models, ours, theirs):
    """Largest relative gap of scikit-learn's fits to the certified lower bound of ours."""
    gaps = []
    for model, (x, y, c) in models.items():
        l2 = 1 / (2 * x.shape[1] * c)
        for r, other in enumerate(theirs[model]):
            if other is not None:
                mine = objective(x[r], y[r], l2, ours[model].coef[r], ours[model].intercept[r])
                found = objective(x[r], y[r], l2, other.coef_[0], other.intercept_[0])
                gaps.append(found / (mine * (1 - ours[model].gap[r])) - 1)
    return max(gaps)


@threadpool_limits.wrap(limits=1)  # more make fits as small as these slower
def compare(name, counts, repetitions, turns):
    models = problems(counts, repetitions)
    solvers = ("lbfgs", "newton-cholesky")
    seconds, results = alternate(
        {"stacked": lambda: stacked(models)}
        | {solver: lambda solver=solver: one_by_one(models, solver) for solver in solvers},
        repeats=turns,
    )
    ours = results["stacked"]
    row = {
        "setting": name,
        "fits": 3 * repetitions,
        "stacked (s)": f"{seconds['stacked']:.2f}",
        "gap (certified)": f"{max(np.nanmax(fits.gap) for fits in ours.values()):.0e}",
    }
    for solver in solvers:
        row[f"{solver} (s)"] = f"{seconds[solver]:.2f}"
        row[f"ratio to {solver}"] = f"{seconds[solver] / seconds['stacked']:.1f}"
        row[f"gap {solver}"] = f"{largest_gap(models, ours, results[solver]):.0e}"
    return row


def whole_sweep(settings, repetitions):
    """Seconds of a sweep with draws, trainings and accuracies."""
    start = time.perf_counter()
    for counts in SWEEP[:settings]:
        run_setting(counts, design=Design(), recipe=RECIPE, seed=0, repetitions=range(repetitions))
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--settings", type=int, default=len(SWEEP))
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--print", action="store_true", help="print, and keep no table")
    options = parser.parse_args()
    rows = [
        compare(name, counts, options.repetitions, options.turns)
        for name, counts in SETTINGS.items()
    ]
    seconds = whole_sweep(options.settings, options.repetitions)
    whole = (
        f"A sweep of {options.settings} settings x {options.repetitions} repetitions x 3 models "
        f"with draws, trainings and exact accuracies: {seconds:.1f} s."
    )
    if options.print:
        print(*rows, whole, sep="\n")
        return
    write_table(
        "synthetic",
        "The fits of the synthetic study: 3 models in every repetition of a setting",
        rows,
        notes=[
            whole,
            "One by one: scikit-learn's `LogisticRegression` with its default tolerance, by its "
            "default solver and by the one for few coordinates. All see the same arrays; the weak "
            f"model's without its zeroed coordinates. One thread, as more make fits this small "
            f"slower, lbfgs above all. Medians of {options.turns}, taking turns.",
        ],
    )


if __name__ == "__main__":
    main()
