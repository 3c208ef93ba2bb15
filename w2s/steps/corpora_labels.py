"""Stage `corpora_labels`: one weak model's labels for several datasets, its sources of data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from w2s.artifacts import Artifact
from w2s.checks import Array
from w2s.errors import ArtifactError
from w2s.settings import CorporaLabelsSettings
from w2s.steps.inputs import same_job, same_width
from w2s.steps.weak_labels import label_rest, labelled

ORDER = ("test", "weak_train", "val", "strong_train")  # which part keeps a text that several hold


def corpora_labels(
    examples: Sequence[Artifact],
    split: Sequence[Artifact],
    activations: Sequence[Artifact],
    *,
    settings: CorporaLabelsSettings,
) -> dict[str, Artifact]:
    """Fit the weak probe on weak_train of the targets; predict their tests and every source.

    A text that several datasets hold counts once, so that nothing a model is tested on was in its
    training: the test parts keep it first.
    """
    if not len(examples) == len(split) == len(activations):
        raise ArtifactError(
            f"corpora_labels: found {len(examples)} examples, {len(split)} splits and "
            f"{len(activations)} activations, expected one of each for every dataset"
        )
    sides: list[tuple[dict[str, Array], Array]] = []
    for files in zip(examples, split, activations, strict=True):
        columns, x = labelled(*files, layer=settings.layer)
        target = files[0].facts["dataset"] in settings.targets
        kept = np.full(len(x), target) | np.isin(columns["part"], ("val", "strong_train"))
        sides.append(({name: column[kept] for name, column in columns.items()}, x[kept]))
    same_job(**{f"split of {item.facts['dataset']}": _seed_of(item) for item in split})
    same_width([x for _, x in sides], [item.facts["dataset"] for item in examples])
    names = [item.facts["dataset"] for item in examples]
    if missing := [name for name in settings.targets if name not in names]:
        raise ArtifactError(f"corpora_labels: found no examples of {missing[0]}, expected some")
    together = {
        name: np.concatenate([columns[name] for columns, _ in sides])
        for name in ("id", "part", "label", "dataset")
    }
    once = _once(together["id"], together["part"])
    x = np.concatenate([x for _, x in sides])[once]
    found = label_rest(
        {name: column[once] for name, column in together.items()},
        x,
        dataset=settings.experiment,
        seed=split[0].facts["seed"],
        settings=settings,
    )
    return {"weak_labels": found}


def _seed_of(split: Artifact) -> Artifact:
    """The split with its seed for its only fact."""
    return Artifact(split.kind, {}, {"seed": split.facts["seed"]})


def _once(ids: Array, part: Array) -> Array:
    """Positions that keep each id once, that of the first part in `ORDER`; in ascending order."""
    rank = np.array([ORDER.index(word) for word in part])
    order = np.argsort(rank, kind="stable")
    _, first = np.unique(ids[order], return_index=True)
    return np.sort(order[first])
