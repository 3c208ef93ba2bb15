"""Null worlds of fine-tuned models: no stronger model, a better penalty, another division."""

import numpy as np

import w2s
from w2s.checks import rows_of
from w2s.probes.probes import fit_columns
from worlds.jobs import DATASETS, EVIDENCE, PAIR, STRONG, WEAK, correct, loaded, vectors
from worlds.verdicts import filled, judged, shown, spread

SEEDS = (0, 1, 2)
SAME = f"{WEAK}--{WEAK}"
EARLIER = {  # the same run with another division of the texts, at commit a6cb16f (docs/method.md)
    ("fine-tuned w2s - floor", "amazon"): (0.035, 0.006, 0.067),
    ("fine-tuned w2s - floor", "tweets"): (-0.004, -0.028, 0.021),
    ("fine-tuned w2s - probe w2s", "tweets"): (-0.065, -0.118, -0.018),
}


def finetuned(results):
    """Of a finished run of `config/finetuning.yaml`."""
    for dataset in DATASETS:
        right = _right(results, dataset, SEEDS)
        points = {"group": _group(results, dataset)}
        gain = right["xent"] - right["floor"]
        again = _right(results, dataset, SEEDS, pair=SAME)
        yield judged(
            f"fine-tuned w2s - floor, {dataset}",
            EVIDENCE,
            "the weak model in the strong one's place",
            claimed=gain,
            null=again["xent"] - again["floor"],
            **points,
        )
        yield judged(
            f"fine-tuning beats a probe on true labels, {dataset}",
            EVIDENCE,
            "a probe with its penalty by cross-validation, trained on val too",
            claimed=right["ceiling"] - right["probe ceiling"],
            null=_tuned(results, dataset) - right["probe ceiling"],
            **points,
        )
        for claim, second in (("floor", "floor"), ("probe w2s", "probe w2s")):
            earlier = EARLIER.get((f"fine-tuned w2s - {claim}", dataset))
            if earlier:
                yield _divided(claim, dataset, right["xent"] - right[second], earlier, points)


def _divided(claim, dataset, difference, earlier, points):
    """An effect that is there in one division of the texts and not in another is none of theirs."""
    now = spread(difference, **points)
    there = [np.sign(low) == np.sign(high) for _, low, high in (now, earlier)]
    same = np.sign(now[0]) == np.sign(earlier[0])
    verdict = "stands" if all(there) and same else "falls" if any(there) else "no effect to explain"
    world = "chance: another division of the texts"
    name = f"fine-tuned w2s - {claim}, {dataset}"
    return filled(name, EVIDENCE, world, shown(*now), shown(*earlier), "", verdict)


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
