"""Every job of an experiment, with the files that its rule writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from w2s import dag
from w2s.config import Config
from w2s.weak_supervision.track import OWN_FEATURES

SEED = "seed{seed}"
PAIR = "{dataset}/{weak}--{strong}/" + SEED
TUNED = "{dataset}/finetuned/{weak}--{strong}/" + SEED
TUNED_WEAK = "{dataset}/finetuned/{weak}/" + SEED
SELECTION = "selection/{experiment}/{weak}--{strong}/" + SEED


def _tables(*names: str) -> tuple[str, ...]:
    """A table, and beside it the same for people."""
    return tuple(f"tables/{name}.{end}" for name in names for end in ("parquet", "csv", "md"))


def _figures(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"figures/{folder}/{name}.{end}" for name in names for end in ("svg", "png"))


FILES: dict[str, tuple[str, ...]] = {  # below `results`; by rule
    "examples": ("{dataset}/examples.parquet",),
    "task_examples": ("{dataset}/examples.parquet",),
    "split": ("{dataset}/splits/seed{seed}.parquet",),
    "tokenize": ("{dataset}/tokens/{model}.safetensors",),
    "activations": ("{dataset}/activations/{model}.safetensors",),
    "gather_activations": ("{dataset}/activations/{model}.safetensors",),
    "weak_labels": (f"{PAIR}/weak_labels.parquet",),
    "overlap": (f"{PAIR}/regions.parquet",),
    "strong": (f"{PAIR}/runs.parquet", f"{PAIR}/predictions.safetensors"),
    "evaluate": (f"{PAIR}/metrics.parquet", f"{PAIR}/correct.safetensors"),
    "tables": _tables("main", "mixing", "regions", "comparisons"),
    "figures": _figures(
        "{weak}--{strong}", "mixing", "controls", "contrasts", "curves", "by_region"
    ),
    "corpora_labels": (f"{SELECTION}/weak_labels.parquet",),
    "select": (
        *(f"{SELECTION}/points.parquet", f"{SELECTION}/paths.parquet"),
        f"{SELECTION}/predictions.safetensors",
    ),
    "selection_tables": _tables("selection", "selection_rounds", "selection_sources"),
    "selection_figures": _figures(
        "{weak}--{strong}", "selection_accuracy", "selection_regret", "selection_pulls"
    ),
    "synthetic": ("synthetic/{study}.safetensors",),
    "synthetic_detection": ("synthetic/detection.safetensors", "synthetic/thresholds.safetensors"),
    "synthetic_controls": ("synthetic/purity.safetensors", "synthetic/expansion.safetensors"),
    "synthetic_tables": _tables(
        "synthetic", "anchors", "detection", "thresholds", "purity", "expansion"
    ),
    "synthetic_figures": _figures("synthetic", "sweeps", "detection", "thresholds", "purity"),
    "label_matrix": ("{dataset}/label_matrix.safetensors",),
    "wrench_votes": ("{dataset}/label_matrix.safetensors",),
    "wrench_features": (f"{{dataset}}/activations/{OWN_FEATURES}.safetensors",),
    "label_model": ("{dataset}/label_models/{weak}/seed{seed}/weak_labels.parquet",),
    "student": (
        *(f"{PAIR}/regions.parquet", f"{PAIR}/runs.parquet"),
        f"{PAIR}/predictions.safetensors",
    ),
    "weak_supervision_tables": _tables(
        "lf_analysis", "weak_supervision", "weak_supervision_comparisons", "published"
    ),
    "weak_supervision_figures": _figures("weak_supervision", "lfs", "mixes", "contrasts"),
    "finetune_weak": (f"{TUNED_WEAK}/weak_labels.parquet", f"{TUNED_WEAK}/training.parquet"),
    "finetune_strong": (
        *(f"{TUNED}/runs.parquet", f"{TUNED}/training.parquet"),
        f"{TUNED}/predictions.safetensors",
    ),
    "evaluate_finetuned": (f"{TUNED}/metrics.parquet", f"{TUNED}/correct.safetensors"),
    "finetuning_tables": _tables("finetuning", "finetuning_comparisons"),
    "finetuning_figures": _figures("finetuning", "accuracy", "learning"),
}


@dataclass(frozen=True)
class Job:
    """A job of the workflow.

    Attributes:
        rule: Its rule.
        of: The wildcards of the rule.
        files: What it writes.
    """

    rule: str
    of: dict[str, str]
    files: tuple[Path, ...]

    @property
    def stage(self) -> str:
        """The stage that its rule runs."""
        return "evaluate" if self.rule == "evaluate_finetuned" else self.rule


def jobs(config: Config) -> Iterator[Job]:
    """All jobs, but for downloads of packages and shards, whose files do not stay."""
    for name in dag.tasks(config):
        yield Job("fetch_task", {"task": name}, (dag.rows_file(config, name),))
    for rule, wildcards in _jobs(config):
        files = tuple(Path(config.results, file.format(**wildcards)) for file in FILES[rule])
        yield Job(rule, wildcards, files)


def _jobs(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    """Rule and wildcards of each."""
    for track in (_texts, _probes, _selection, _synthetic, _weak_supervision, _finetuning):
        yield from track(config)


def _each(*rules: str, **names: object) -> Iterator[tuple[str, dict[str, str]]]:
    """Jobs of these rules for every combination of the names."""
    lists = [value if isinstance(value, list | tuple) else [value] for value in names.values()]
    for rule in rules:
        for values in product(*lists):
            yield rule, dict(zip(names, map(str, values), strict=True))


def _texts(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    hub, labeled = dag.hub_datasets(config), dag.labeled_datasets(config)
    yield from _each("examples", dataset=[name for name in config.datasets if name not in hub])
    yield from _each("task_examples", dataset=hub)
    used = list(config.datasets) if config.pairs else list(labeled)
    yield from _each("split", dataset=used, seed=config.seeds)
    paired = sorted({name for pair in config.pairs for name in (pair.weak, pair.strong)})
    rules = ("tokenize", "gather_activations" if config.extraction.shards > 1 else "activations")
    yield from _each(*rules, dataset=list(config.datasets), model=paired)
    for name in labeled:
        model = dag.features_of(config, name)
        if model not in (OWN_FEATURES, *paired):
            yield from _each(*rules, dataset=name, model=model)


def _probes(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    datasets, rules = list(config.datasets), ("weak_labels", "overlap", "strong", "evaluate")
    for pair in config.pairs:
        names = {"weak": pair.weak, "strong": pair.strong}
        yield from _each(*rules, dataset=datasets, seed=config.seeds, **names)
        yield from _each("figures", **names)
    yield from _each("tables") if config.pairs else ()


def _selection(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    experiments = config.selection.experiments
    corpora = [name for name, chosen in experiments.items() if chosen.sources == "corpora"]
    for pair in config.pairs if experiments else ():
        names = {"seed": config.seeds, "weak": pair.weak, "strong": pair.strong}
        yield from _each("corpora_labels", experiment=corpora, **names)
        yield from _each("select", experiment=list(experiments), **names)
        yield from _each("selection_figures", weak=pair.weak, strong=pair.strong)
    yield from _each("selection_tables") if experiments and config.pairs else ()


def _synthetic(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    if config.synthetic:
        yield from _each("synthetic", study=config.synthetic.studies)
        others = ("detection", "controls", "tables", "figures")
        yield from _each(*(f"synthetic_{name}" for name in others))


def _weak_supervision(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    labeled, wrench = dag.labeled_datasets(config), dag.wrench_datasets(config)
    own = [name for name in labeled if dag.features_of(config, name) == OWN_FEATURES]
    yield from _each("label_matrix", dataset=[name for name in labeled if name not in wrench])
    yield from _each("wrench_votes", dataset=[name for name in labeled if name in wrench])
    yield from _each("wrench_features", dataset=own)
    names = {"dataset": labeled, "weak": dag.label_models_of(config), "seed": config.seeds}
    yield from _each("label_model", **names)
    yield from _each("student", "evaluate", strong=dag.students_of(config), **names)
    if labeled:
        yield from _each("weak_supervision_tables", "weak_supervision_figures")


def _finetuning(config: Config) -> Iterator[tuple[str, dict[str, str]]]:
    tuned = dag.finetuned_datasets(config)
    weak = list(dict.fromkeys(pair.weak for pair in config.pairs))
    yield from _each("finetune_weak", dataset=tuned, weak=weak, seed=config.seeds)
    for pair in config.pairs:
        names = {"weak": pair.weak, "strong": pair.strong}
        rules = ("finetune_strong", "evaluate_finetuned")
        yield from _each(*rules, dataset=tuned, seed=config.seeds, **names)
    if tuned:
        yield from _each("finetuning_tables", "finetuning_figures")
