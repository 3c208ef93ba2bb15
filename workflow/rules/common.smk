"""What all rules share: the checked configuration, and each job's settings and code digest.

Needs the global `config`. What can be asked without Snakemake is in `w2s.dag`, where it is tested.
"""

import re
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import IOFile

import w2s.config
from w2s import dag, digest, estimate, provenance, tracks, warm

from w2s.errors import W2SError

try:
    CONFIG = w2s.config.parse(config)
    for track in CONFIG.custom_tracks:
        tracks.add(track)
    PACKAGES = dag.packages(CONFIG)
    TASKS = dag.tasks(CONFIG)
    MODEL_FILES = {
        model: local(dag.model_files(CONFIG, model)) for model in CONFIG.models
    }
    # jobs run in this environment
    OWN = not workflow.deployment_settings.deployment_method
    if workflow.is_main_process:
        dag.check(CONFIG, packages=OWN)
except W2SError as error:
    raise WorkflowError(f"configuration: {error}") from None


# priorities: of what leads to the main table, which then comes long before the end; and of long jobs
# that few others wait for, which would be left alone at the end
FIRST, NEXT = 2, 1
TRIES = 3  # of a job on a cluster: the first and the retries of its profile
RECORD = 6  # version of Snakemake's records from which it compares a job's parameters

# documents what a job needs; built only with --software-deployment-method conda
ENVIRONMENT = "../envs/w2s.yaml"

# the jobs' shells find the `w2s` of the environment snakemake runs in, activated or not
BIN = shlex.quote(str(Path(sys.executable).parent))
shell.prefix(f'set -euo pipefail; export PATH={BIN}:"$PATH"; ')


def names(known):
    """A pattern that matches exactly these names, or nothing if there are none."""
    return "|".join(map(re.escape, known)) or "(?!)"


# a pair of models; label models and students may stand in for them, see `dag.roles`
PAIR_OF_MODELS = dict(weak=names(CONFIG.models), strong=names(CONFIG.models))


# once: another on a page, after rules, takes those of rules away whose outputs lie in S3 (findings/)
wildcard_constraints:
    **{role: names(known) for role, known in dag.roles(CONFIG).items()},
    dataset=names(CONFIG.datasets),
    model=names(CONFIG.models),
    seed=r"\d+",
    resource=names(PACKAGES),
    task=names(TASKS),


def call(stage):
    """The command of a stage, for `shell`: its options are those of its row."""
    return dag.command(stage) + " 2>&1 | tee {log:q}"


def told(stage, model=""):
    """Settings and code digest of a job, for `params`: it reruns when they change.

    With the wildcard that names its model, where it reads one, also what to load that from.
    """
    found = dict(settings=lambda wildcards: dag.settings(CONFIG, stage, **wildcards))
    if model:
        found["model"] = lambda wildcards: dag.model_reference(CONFIG, wildcards[model])
    if not tracks.STAGES[stage].pinned:
        found["code"] = digest.code_digest(stage)
    return found


def needs(memory, minutes):
    """Gigabytes and minutes of a job, for `resources`; each further try has as much again."""
    return dict(
        mem_mb=lambda wildcards, attempt: attempt * memory * 1000, runtime=minutes
    )


def card(model, tokens, *, memory, minutes):
    """The same of a job that takes a GPU if there is one. It runs a model, named by a wildcard.

    None of it is in params: devices and batches change no number, so changing them reruns nothing.
    All jobs of a SLURM array get what the first asks for, so each asks for the last try's at once.
    """
    return dict(
        device=CONFIG.runtime.device,
        batch_tokens=tokens,
        device_map=lambda wildcards: CONFIG.models[wildcards[model]].device_map
        or "none",
        gpu=1,
        mem_mb=TRIES * memory * 1000,
        runtime=minutes,
    )


@cache
def threads_each():
    """Threads of an extraction, for `threads`: those not made when the run begins share the cores.

    They change no byte. Beside cards, which compute, one; a cluster's profile sets its own.
    """
    most, cores = CONFIG.runtime.threads, workflow.resource_settings.cores
    if "gpu" in workflow.global_resources:
        return 1
    made = ("activations", "gather_activations")
    missing = sum(
        not path.is_file()
        for job in dag.jobs(CONFIG)
        for path in job.files
        if job.rule in made
    )
    return max(
        1, min(most, (cores or most) // max(1, missing * CONFIG.extraction.shards))
    )


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


# `--report` of a run that is over, in whole or in part, in a folder
REPORTING = (
    any(word.partition("=")[0] == "--report" for word in sys.argv)
    and not workflow.storage_settings.default_storage_provider
)
TARGETS = []  # what pages of a user's own add to the experiment's


def every_target(wildcards):
    """All artifacts of the experiment, so that a run also makes those again that were deleted.

    Snakemake alone makes a missing file only if something asked for must be made from it. Results
    in storage are not listed but for tables and figures: all of them would be fetched.
    """
    stored = workflow.storage_settings.default_storage_provider
    wanted = [
        job
        for job in dag.jobs(CONFIG)
        if job.rule != "fetch_task"  # its rows are among the downloads
        and (not stored or job.rule.endswith(("tables", "figures")))
    ]
    return [str(path) for job in wanted for path in job.files] + TARGETS


def tell_estimate(wildcards):
    """Nothing; a dry run tells on the way what the experiment will take, a report what it lacks."""
    wanted = every_target(wildcards) if REPORTING else []
    for path in wanted:
        if path.endswith((".csv", ".svg")) and not Path(path).is_file():
            print(f"report: left out {path}, which is not there", file=sys.stderr)
    if workflow.dryrun:
        for line in estimate.estimate(CONFIG):
            print(f"estimate: {line}", file=sys.stderr)
    return []


def every(pattern, **wildcards):
    """The pattern for every combination of the wildcards, the last fastest, each path once."""
    return list(dict.fromkeys(expand(pattern_of(pattern), **wildcards)))


def every_job(pattern, **slowest):
    """The pattern for every pair and seed, of every dataset or what else is named, each once."""
    ((wildcard, names),) = (slowest or dict(dataset=CONFIG.datasets)).items()
    found = (
        path
        for name in names
        for pair in CONFIG.pairs
        for path in every(
            pattern,
            **{wildcard: name},
            weak=pair.weak,
            strong=pair.strong,
            seed=CONFIG.seeds,
        )
    )
    return list(dict.fromkeys(found))


def of_datasets(experiments, pattern):
    """The function that gives a job a file of each of its experiment's datasets."""
    return lambda wildcards: expand(
        pattern_of(pattern),
        dataset=experiments[wildcards.experiment].datasets,
        **wildcards,
    )


def of_each(datasets, pattern):
    """The function that gives a job a file of each of these datasets."""
    return lambda wildcards: expand(pattern_of(pattern), dataset=datasets, **wildcards)


def reported(path, pairs=None, **labels):
    """An output for the report; while that is written, only if it is there.

    Snakemake writes no report where one file lacks, as after a run of which some jobs failed.
    """
    files = [path] if pairs is None else expand(path, zip, **pairs)
    made = [Path(CONFIG.results, file.removeprefix("<results>/")) for file in files]
    there = all(file.is_file() for file in made)
    return report(path, **labels) if there or not REPORTING else path


def captioned(name):
    """The caption of a table or figure of the report, if there is one; a user's own may lack it."""
    page = Path(workflow.basedir) / "report" / f"{name}.rst"
    return dict(caption=f"../report/{name}.rst") if page.is_file() else {}


def tables(*same, **named):
    """Tables as outputs of a rule, by name and file: Parquet, CSV for the report, Markdown."""
    found = {}
    for output, name in {**{name: name for name in same}, **named}.items():
        found[output] = f"<results>/tables/{name}.parquet"
        found[f"{output}_csv"] = reported(
            f"<results>/tables/{name}.csv",
            **captioned(f"table_{name}"),
            category="Tables",
            labels={"table": name},
        )
        found[f"{output}_md"] = f"<results>/tables/{name}.md"
    return found


def figures(*same, folder="{weak}--{strong}", **named):
    """Figures as outputs of a rule, by name and file: SVG for the report, PNG.

    Those of each pair of models; in another folder, those of a track.
    """
    files = {**{name: name for name in same}, **named}
    of_pairs = folder == "{weak}--{strong}"
    pair = dict(
        weak="{weak}" if of_pairs else "", strong="{strong}" if of_pairs else ""
    )
    pairs = dict(
        weak=[pair.weak for pair in CONFIG.pairs],
        strong=[pair.strong for pair in CONFIG.pairs],
    )
    found = {}
    for output, name in files.items():
        found[output] = reported(
            f"<results>/figures/{folder}/{name}.svg",
            pairs=pairs if of_pairs else None,
            **captioned(name if of_pairs else f"{folder}_{name}"),
            category="Figures",
            labels={"figure": name if of_pairs else f"{folder} {name}", **pair},
        )
    found["png"] = [f"<results>/figures/{folder}/{name}.png" for name in files.values()]
    return found
