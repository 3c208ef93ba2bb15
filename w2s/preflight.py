"""`w2s preflight`: whether a dataset can say something about weak-to-strong generalization.

The first checks need the examples only, so they cost no GPU time: size, balance, length, groups or
near-duplicates on both sides, and whether the label shows in the length of a text. Others need
token ids, and vectors: whether one coordinate decides their cosines. The last ones need the probes
of some pair: a floor above always giving the more frequent label, a ceiling above both, and a gap
between them that PGR can be a share of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from w2s.checks import Array
from w2s.config import Config
from w2s.data.track import EXAMPLES, HubDataset
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, load
from w2s.files.spool import blocks
from w2s.models.track import ACTIVATIONS, TOKENS
from w2s.overlap.scores import dominant_coordinate
from w2s.results.track import METRICS

SMALL = 500  # texts of the pool: with fewer, chance decides more than the data
CUT = 0.05  # share of texts that lose words
TOLD = 0.1  # of the errors of always the same label, what a rule on length alone may avoid
SAFE = 2  # times its chance error, that a gap should have for a PGR
Z = 1.96  # standard errors of a two-sided 95 % interval


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: Of the check.
        good: Whether a run makes sense as far as this goes; None where it is not known yet.
        told: What was found.
    """

    name: str
    good: bool | None
    told: str

    @property
    def line(self) -> str:
        """The check as a line for people."""
        word = {True: "ok", False: "warn", None: "-"}[self.good]
        return f"  {word:<5} {self.name:<9} {self.told}"


def preflight(config: Config, dataset: str) -> list[Check]:
    """All checks of one dataset.

    Args:
        config: The experiment; paths are relative to the current folder.
        dataset: One of its datasets.

    Raises:
        ArtifactError: its examples have not been made yet, or a file is damaged.
    """
    folder = Path(config.results) / dataset
    path = folder / "examples.parquet"
    if not path.is_file():
        raise ArtifactError(
            f"{path}: found no file, expected the dataset's examples; make them with "
            f"`snakemake --cores 1 texts` and your --configfile"
        )
    examples = load(path, EXAMPLES)
    checks = [*_examples(examples), *_tokens(config, dataset), *_norms(config, dataset)]
    return [*checks, *_probes(config, folder, examples["label"][examples["part"] == "test"])]


def _examples(examples: Artifact) -> Iterator[Check]:
    part, label, text = examples["part"], examples["label"], examples["text"]
    sizes = {name: int(np.sum(part == name)) for name in ("pool", "val", "test")}
    told = ", ".join(f"{name} {size:,}" for name, size in sizes.items())
    yield Check("size", sizes["pool"] >= SMALL, told)
    share = {name: float(label[part == name].mean()) for name in sizes}
    told = ", ".join(f"{name} {value:.1%}" for name, value in share.items())
    even = all(abs(value - 0.5) < CUT for value in share.values())
    yield Check("balance", even, f"label 1 in {told}")
    most = majority(label[part == "test"])
    yield Check("majority", None, f"always the same label: {most:.1%} right on test")
    length = np.array(list(map(len, text)))
    low, middle, high = np.quantile(length, (0.05, 0.5, 0.95)).astype(int)
    told = f"characters of a text: {low:,} to {high:,} (5 to 95 %), median {middle:,}"
    yield Check("length", None, told)
    right = length_rule(length[part == "pool"], label[part == "pool"])
    found = float(np.mean(right(length[part == "test"]) == label[part == "test"]))
    limit = most + TOLD * (1 - most)
    told = f"a rule on the length of a text alone: {found:.1%} right on test"
    yield Check("form", found <= limit + error(limit, sizes["test"]), told)
    leaks = int(examples.facts["leaks"])
    told = f"{leaks:,} of {sizes['test']:,} test texts are of a group (passage, document) of the "
    hint = "pool" if leaks == 0 else "pool; `grouped: true` keeps them apart"
    yield Check("groups", leaks == 0, told + hint)
    near, torn = int(examples.facts["near_duplicates"]), int(examples.facts["near_leaks"])
    told = f"{near:,} of {len(text):,} texts differ from another in white space, case, punctuation "
    told += f"only; {torn:,} of {sizes['test']:,} test texts from one of the pool"
    hint = "" if torn == 0 else "; `drop_near_duplicates: true` leaves them out"
    yield Check("repeats", torn == 0, told + hint)


def majority(label: Array) -> float:
    """Share of right answers of always giving the more frequent label; labels 0 or 1, (n,)."""
    ones = float(label.mean())
    return max(ones, 1 - ones)


def error(share: float, n: int) -> float:
    """What n texts may show beside a share of right answers by chance: Z standard errors of it."""
    return Z * float(np.sqrt(share * (1 - share) / n))


def length_rule(length: Array, label: Array) -> Callable[[Array], Array]:
    """Labels of lengths by the cut, and side, that gets most labels (n,) of these (n,) right.

    The smallest such cut; label 1 is on one side of it.
    """
    order = np.argsort(length, kind="stable")
    values, ones = length[order], np.cumsum(label[order])
    last = np.append(values[1:] != values[:-1], True)  # a cut may not separate equal lengths
    n, k = len(values), np.arange(1, len(values) + 1)
    above = (k - ones) + (ones[-1] - ones)  # right labels if label 1 is above a cut at k
    above = np.where(last, above, -1)
    below = np.where(last, n - above, -1)
    best = int(np.argmax(np.maximum(above, below)))
    cut, up = values[best], above[best] >= below[best]
    return lambda lengths: np.asarray((lengths > cut) == up, dtype=np.int8)


def _files_of(config: Config, dataset: str, what: str) -> Iterator[Path]:
    """Files of the configured models that are there."""
    for model in sorted(config.models):
        path = Path(config.results) / dataset / what / f"{model}.safetensors"
        if path.is_file():
            yield path


def _tokens(config: Config, dataset: str) -> Iterator[Check]:
    """What each tokenizer cuts; a text of a task must not lose its end, question and answer."""
    task = isinstance(config.datasets[dataset], HubDataset)
    for path in _files_of(config, dataset, "tokens"):
        tokens = load(path, TOKENS)
        n = len(tokens["id"])
        cut = int(tokens.facts["truncated"])
        ends = {"left": "the beginning", "right": "the end"}[tokens.facts["side"]]
        asked = task and tokens.facts["side"] == "right"
        told = f"{path.stem} cuts {ends}{', question and answer,' * asked} of {cut:,} of {n:,} "
        told += f"texts, {len(tokens['token']):,} tokens in all"
        yield Check("tokens", cut <= CUT * n * (not asked), told)


def _norms(config: Config, dataset: str) -> Iterator[Check]:
    """Whether one coordinate decides the cosines of a model's vectors."""
    for path in _files_of(config, dataset, "activations"):
        activations = load(path, ACTIVATIONS, by_rows=True)
        for name, layer in activations.arrays.items():
            if name != "id":
                found = dominant_coordinate(blocks(layer))
                yield Check("norm", not found.strong, f"{path.stem}, {name}: {found}")


def _probes(config: Config, folder: Path, label: Array) -> Iterator[Check]:
    """Floor and ceiling of each pair, as far as they are there; `label` of the test texts."""
    most, n = majority(label), len(label)
    for pair in config.pairs:
        made = [folder / pair.name / f"seed{seed}" / "metrics.parquet" for seed in config.seeds]
        paths = [path for path in made if path.is_file()]
        if not paths:
            needed = SAFE * float(np.hypot(error(0.5, n), error(0.5, n)))
            told = f"{pair.name}: not trained yet; with {n:,} test texts PGR needs a gap of up to "
            yield Check("probes", None, f"{told}{needed:.3f}")
            continue
        floor, ceiling = (
            float(np.mean([_accuracy(load(path, METRICS), name) for path in paths]))
            for name in ("floor", "ceiling")
        )
        chance = error(most, n)
        told = f"{pair.name}: weak floor {floor:.3f}, {len(paths)} seed{'s' * (len(paths) > 1)}, "
        told += f"always the same label {most:.3f} ± {chance:.3f}"
        yield Check("floor", floor > most + chance, told)
        base, what = (most, "always the same label") if floor < most else (floor, "the floor")
        chance = error(base, n)
        told = f"{pair.name}: strong ceiling {ceiling:.3f}, {ceiling - base:+.3f} to {what}"
        yield Check("ceiling", ceiling > base + chance, f"{told} ± {chance:.3f}")
        yield _gap(pair.name, floor, ceiling, n)


def _gap(pair: str, floor: float, ceiling: float, n: int) -> Check:
    """Whether ceiling - floor, which PGR is a share of, is large beside what n texts may show.

    PGR has an interval where at most a tail of the bootstrap has a gap of 0 or less, so from a gap
    of Z standard errors on; of gaps that are as small as that, chance puts half below it. At twice
    that much it puts a tail there.
    """
    gap = ceiling - floor
    margin = float(np.hypot(error(floor, n), error(ceiling, n)))
    if not np.isfinite(gap):
        return Check("gap", False, f"{pair}: PGR is undefined, as floor or ceiling is")
    told = f"{pair}: PGR is a share of a gap of {gap:.3f} ± {margin:.3f}"
    if gap > SAFE * margin:
        return Check("gap", True, told)
    lack = "often without an interval" if gap > 0 else "undefined"
    hint = f"it needs {SAFE * margin:.3f}: more test texts, or models further apart"
    return Check("gap", False, f"{told}, {lack}; {hint}")


def _accuracy(metrics: Artifact, control: str) -> float:
    """Of all test points, mean over the runs of a control."""
    mine = (
        (metrics["control"] == control)
        & (metrics["group"] == "overall")
        & (metrics["metric"] == "accuracy")
    )
    return float(metrics["value"][mine].mean())
