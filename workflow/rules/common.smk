"""What all rules share: the checked configuration, and each job's settings and code digest.

Needs the global `config`. The helpers themselves live in `w2s.dag`, where they are tested.
"""

import re
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile

import w2s.config
from w2s import dag, dag_checks, digest, estimate, provenance

from w2s.errors import W2SError

try:
    CONFIG = w2s.config.parse(config)
    PACKAGES = dag.packages(CONFIG)
    TASKS = dag.tasks(CONFIG)
    MODEL_FILES = {
        model: local(dag.model_files(CONFIG, model)) for model in CONFIG.models
    }
    if workflow.is_main_process:
        own = (
            not workflow.deployment_settings.deployment_method
        )  # jobs run in this environment
        dag_checks.check(CONFIG, packages=own)
except W2SError as error:
    raise WorkflowError(f"configuration: {error}") from None


RECORD = 6  # version of Snakemake's records from which it compares a job's parameters

# documents what a job needs; built only with --software-deployment-method conda
ENVIRONMENT = "../envs/w2s.yaml"

# the jobs' shells find the `w2s` of the environment snakemake runs in, activated or not
BIN = shlex.quote(str(Path(sys.executable).parent))
shell.prefix(f'set -euo pipefail; export PATH={BIN}:"$PATH"; ')


def names(known):
    """A pattern that matches exactly these names, or nothing if there are none."""
    return "|".join(map(re.escape, known)) or "(?!)"


# a pair of weak supervision is a label model and a student
PAIR_OF_MODELS = dict(weak=names(CONFIG.models), strong=names(CONFIG.models))


wildcard_constraints:
    dataset=names(CONFIG.datasets),
    model=names(CONFIG.models),
    weak=names([*CONFIG.models, *dag.label_models_of(CONFIG)]),
    strong=names([*CONFIG.models, *dag.students_of(CONFIG)]),
    seed=r"\d+",
    resource=names(PACKAGES),
    task=names(TASKS),
    experiment=names(CONFIG.selection.experiments),
    study=names(CONFIG.synthetic.studies if CONFIG.synthetic else []),


def settings(stage):
    """The function that gives a job its settings, for `params`."""
    return lambda wildcards: dag.settings(CONFIG, stage, **wildcards)


def device_map_of(model):
    """Whether a model is spread over several GPUs, for `resources`."""
    return CONFIG.models[model].device_map or "none"


def device_map(wildcards):
    """The same for the model of a job."""
    return device_map_of(wildcards.model)


def code(stage):
    """The digest of a stage's code, for `params`: a job reruns when it changes."""
    return digest.code_digest(stage)


def pattern_of(output):
    """The path pattern of a rule's output, or a pattern itself: what `expand` takes.

    Where results go to storage an output carries its object there, which `expand` refuses.
    """
    stored = getattr(output, "flags", {}).get("storage_object")
    if stored is None:
        return output
    prefix = workflow.storage_settings.default_storage_prefix or ""
    return stored.query.removeprefix(prefix).lstrip("/")


@cache
def remake_foreign():
    """Make what Snakemake has no record of again, where it says itself that it is not asked for.

    Snakemake takes such a file for good, whatever its settings: one that was copied without
    .snakemake, or whose record an older Snakemake wrote.
    """
    if (
        not workflow.is_main_process
        or workflow.storage_settings.default_storage_provider
    ):
        return

    def recorded(path):
        record = workflow.persistence.metadata(IOFile(str(path)))
        return record is not None and record.record_format_version >= RECORD

    found = list(provenance.differing(CONFIG, skip=recorded))
    workflow.dag.forcefiles.update(str(path) for path, _ in found)
    if found:
        path, why = found[0]
        print(
            f"{len(found)} files that .snakemake has no record of are not what is asked for "
            f"({path}: {why}), and are made again where they are needed; "
            "`w2s verify --config` tells which",
            file=sys.stderr,
        )


def beginning(wildcards):
    """No file, for jobs that read none: what all others ask for on their way too."""
    remake_foreign()
    return []


def source_of(wildcards):
    """The file a dataset is read from: the user's own, or a download, so never in storage."""
    remake_foreign()
    return local(dag.dataset_source(CONFIG, wildcards.dataset))


def local_copy_of(wildcards):
    """The files of a task's local copy, if it has one."""
    return local(dag.task_files(CONFIG, wildcards.task))


def beside_source_of(wildcards):
    """The files that are read together with it."""
    return local(dag.beside_source(CONFIG, wildcards.dataset))


def tell_estimate(wildcards):
    """Nothing; a dry run tells on the way what the experiment will take, a report what it lacks."""
    wanted = map(str, reports()) if REPORTING else []
    lacks = [
        path
        for path in wanted
        if path.endswith((".csv", ".svg")) and not Path(path).is_file()
    ]
    for path in lacks:
        print(f"report: left out {path}, which is not there", file=sys.stderr)
    if workflow.dryrun:
        for line in estimate.estimate(CONFIG):
            print(f"estimate: {line}", file=sys.stderr)
    return []


EXPERIMENTS = CONFIG.selection.experiments
LABELED = CONFIG.weak_supervision.datasets if CONFIG.weak_supervision else ()
TUNED = dag.finetuned_datasets(CONFIG)
WRENCH = dag.wrench_datasets(CONFIG)
HUB = dag.hub_datasets(CONFIG)
OWN = [name for name in WRENCH if dag.features_of(CONFIG, name) == "features"]
# `--report` of a run that is over, in whole or in part, in a folder
REPORTING = (
    any(word.partition("=")[0] == "--report" for word in sys.argv)
    and not workflow.storage_settings.default_storage_provider
)
TABLES = "<results>/tables"
FIGURES = "<results>/figures/{weak}--{strong}"


def every_tuned(pattern):
    """The pattern for every pair and seed of the datasets that models are fine-tuned on, once."""
    return list(dict.fromkeys(every_job(pattern, TUNED)))


def every_job(pattern, datasets=CONFIG.datasets):
    """The pattern for every dataset, pair and seed, datasets slowest, seeds fastest."""
    return [
        path
        for dataset in datasets
        for pair in CONFIG.pairs
        for path in expand(
            pattern_of(pattern),
            dataset=dataset,
            weak=pair.weak,
            strong=pair.strong,
            seed=CONFIG.seeds,
        )
    ]


def reported(path, pairs=None, **labels):
    """An output for the report; while that is written, only if it is there.

    Snakemake writes no report where one file lacks, as after a run of which some jobs failed.
    """
    files = [path] if pairs is None else expand(path, zip, **pairs)
    made = [Path(CONFIG.results, file.removeprefix("<results>/")) for file in files]
    there = all(file.is_file() for file in made)
    return report(path, **labels) if there or not REPORTING else path


def table(name):
    """A CSV table of the report with its caption."""
    return reported(
        f"{TABLES}/{name}.csv",
        caption=f"../report/table_{name}.rst",
        category="Tables",
        labels={"table": name},
    )


def figure(name):
    """An SVG figure of the report with its caption; of all pairs or of none."""
    pairs = dict(
        weak=[pair.weak for pair in CONFIG.pairs],
        strong=[pair.strong for pair in CONFIG.pairs],
    )
    return reported(
        f"{FIGURES}/{name}.svg",
        pairs=pairs,
        caption=f"../report/{name}.rst",
        category="Figures",
        labels={"figure": name, "weak": "{weak}", "strong": "{strong}"},
    )


def track_figure(track, name):
    """An SVG figure of a track that has no pairs of models, with its caption."""
    return reported(
        f"<results>/figures/{track}/{name}.svg",
        caption=f"../report/{track}_{name}.rst",
        category="Figures",
        labels={"figure": f"{track} {name}", "weak": "", "strong": ""},
    )


def of_datasets(pattern):
    """The function that gives a job a file of each of its experiment's datasets."""
    return lambda wildcards: expand(
        pattern_of(pattern),
        dataset=EXPERIMENTS[wildcards.experiment].datasets,
        **wildcards,
    )


def every_selection(pattern):
    """The pattern for every selection experiment, pair and seed, experiments slowest."""
    return [
        path
        for experiment in EXPERIMENTS
        for pair in CONFIG.pairs
        for path in expand(
            pattern_of(pattern),
            experiment=experiment,
            weak=pair.weak,
            strong=pair.strong,
            seed=CONFIG.seeds,
        )
    ]


def every_student(pattern):
    """The pattern for every dataset, label model, student and seed, seeds fastest."""
    return expand(
        pattern_of(pattern),
        dataset=LABELED,
        weak=dag.label_models_of(CONFIG),
        strong=dag.students_of(CONFIG),
        seed=CONFIG.seeds,
    )


def every_artifact(wildcards):
    """All artifacts of the experiment, so that a run also makes those again that were deleted.

    Snakemake alone makes a missing file only if something asked for must be made from it. Results
    in storage are not listed: all of them would be fetched.
    """
    if workflow.storage_settings.default_storage_provider:
        return []
    models = sorted(
        {name for pair in CONFIG.pairs for name in (pair.weak, pair.strong)}
    )
    seeds = dict(
        dataset=CONFIG.datasets if CONFIG.pairs else LABELED, seed=CONFIG.seeds
    )
    votes = dict(dataset=LABELED, weak=dag.label_models_of(CONFIG), seed=CONFIG.seeds)
    studies = CONFIG.synthetic.studies if CONFIG.synthetic else []
    once = [*rules.synthetic_detection.output, *rules.synthetic_controls.output]
    texts = [*rules.tokenize.output, *rules.activations.output]
    jobs = [*rules.weak_labels.output, *rules.overlap.output, *rules.strong.output]
    tuned = [
        *rules.finetune_weak.output,
        *rules.finetune_strong.output,
        *rules.evaluate_finetuned.output,
    ]
    return [
        *expand(rules.examples.output, dataset=seeds["dataset"]),
        *expand(rules.split.output, **seeds),
        *expand(texts, dataset=CONFIG.datasets, model=models),
        *(path for each in [*jobs, *rules.evaluate.output] for path in every_job(each)),
        *(path for each in rules.select.output for path in every_selection(each)),
        *expand(rules.label_matrix.output, dataset=LABELED),
        *expand(rules.label_model.output, **votes),
        *(
            path
            for each in [*rules.student.output, *rules.evaluate.output]
            for path in every_student(each)
        ),
        *(path for each in tuned for path in every_tuned(each)),
        *expand(rules.synthetic.output, study=studies),
        *(once if studies else []),
        *reports(),
    ]


def reports():
    """All tables and figures of the experiment."""
    tables, figures = [], []
    if CONFIG.pairs:
        tables, figures = [*rules.tables.output], [*rules.figures.output]
    if EXPERIMENTS:
        tables += rules.selection_tables.output
        figures += rules.selection_figures.output
    pairs = [(pair.weak, pair.strong) for pair in CONFIG.pairs]
    drawn = [expand(figures, weak=weak, strong=strong) for weak, strong in pairs]
    if CONFIG.synthetic:
        tables += [*rules.synthetic_tables.output, *rules.synthetic_figures.output]
    if CONFIG.weak_supervision:
        tables += rules.weak_supervision_tables.output
        tables += rules.weak_supervision_figures.output
    if TUNED:
        tables += rules.finetuning_tables.output + rules.finetuning_figures.output
    return [*tables, *(path for paths in drawn for path in paths)]
