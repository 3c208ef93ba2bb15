"""Null worlds of fine-tuned models: chance, no stronger model, a probe with a better penalty."""

import numpy as np

import w2s
from w2s.checks import rows_of
from w2s.methods.probes import fit_columns
from worlds.jobs import DATASETS, METHOD, PAIR, STRONG, WEAK, correct, loaded, vectors
from worlds.verdicts import judged, spread

SEEDS, FRESH = (0, 1, 2), (3, 4, 5)
SAME = f"{WEAK}--{WEAK}"


def finetuned(results, fresh):
    """Of `config/finetuning.yaml`; `fresh` is the same with other seeds and `xent` alone."""
    for dataset in DATASETS:
        right = _right(results, dataset, SEEDS)
        points = {"group": _group(results, dataset)}
        gain = right["xent"] - right["floor"]
        again = _right(results, dataset, SEEDS, pair=SAME)
        yield judged(
            f"fine-tuned w2s - floor, {dataset}",
            METHOD,
            "the weak model in the strong one's place",
            claimed=gain,
            null=again["xent"] - again["floor"],
            **points,
        )
        yield judged(
            f"fine-tuning beats a probe on true labels, {dataset}",
            METHOD,
            "a probe with its penalty by cross-validation, trained on val too",
            claimed=right["ceiling"] - right["probe ceiling"],
            null=_tuned(results, dataset) - right["probe ceiling"],
            **points,
        )
        if (fresh / dataset).is_dir():
            others = _right(fresh, dataset, FRESH)
            for claim, (first, second) in {
                "fine-tuned w2s - floor": ("xent", "floor"),
                "fine-tuned w2s - probe w2s": ("xent", "probe w2s"),
            }.items():
                claimed, found = right[first] - right[second], others[first] - others[second]
                yield judged(
                    f"{claim}, {dataset}",
                    METHOD,
                    "chance: three other seeds",
                    claimed=claimed,
                    null=found,
                    verdict=_replicated(claimed, found, **points),
                    **points,
                )


def _replicated(claimed, found, **points):
    """An effect that other seeds have too is not that of some seeds."""
    sign = np.sign(spread(claimed, **points)[0])
    return "stands" if spread(sign * found, **points)[1] > 0 else "falls"


def _right(results, dataset, seeds, *, pair=PAIR):
    """What fine-tuned models and, as `probe NAME`, probes get right, (seeds, n_test) by name."""
    found = {}
    for seed in seeds:
        for folder, prefix in (("finetuned/", ""), ("", "probe ")):
            path = results / dataset / f"{folder}{pair}" / f"seed{seed}" / "correct.safetensors"
            item = w2s.load(path)
            for name in ("floor", "xent", "w2s", "ceiling"):
                if name in item.facts["control"]:
                    row = item["correct"][item.facts["control"].index(name)]
                    found.setdefault(prefix + name, []).append(row.astype(float))
    return {name: np.stack(rows) for name, rows in found.items()}


def _group(results, dataset):
    item = w2s.load(results / dataset / PAIR / "seed0" / "correct.safetensors")
    return item["group"]


def _tuned(results, dataset):
    """What a probe on the true labels of strong_train and val gets right, (seeds, n_test)."""
    examples = loaded(results / dataset / "examples.parquet")
    found = []
    for seed in SEEDS:
        folder = results / dataset / PAIR / f"seed{seed}"
        test = w2s.load(folder / "correct.safetensors")["id"]
        weak = w2s.load(folder / "weak_labels.parquet")
        pool = weak.where(np.isin(weak["part"], ("strong_train", "val")))
        truth = examples["label"][rows_of(test, examples["id"], what="examples")]
        x, x_test = (vectors(results, dataset, STRONG, ids) for ids in (pool["id"], test))
        probe = fit_columns(x, pool["label"].astype(float)[:, None], l2="cv")
        found.append(correct(probe.predict_proba(x_test), truth)[0])
    return np.stack(found)
