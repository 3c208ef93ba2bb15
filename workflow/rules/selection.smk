"""Source selection: sources, the paths of all policies over them, and what comes of these.

Needs weak labels and activations; for experiments on corpora also examples and splits. Writes under
selection/EXPERIMENT/WEAK--STRONG/seed*/ the artifacts points, paths and predictions, then
tables/selection*.{parquet,csv,md} and figures/WEAK--STRONG/selection_*.{svg,png}.
"""

EXPERIMENTS = CONFIG.selection.experiments
SELECTION = "<results>/selection/{experiment}/{weak}--{strong}/seed{seed}"


rule corpora_labels:
    """The targets' true labels -> one weak model's probabilities for the points of all datasets."""
    input:
        examples=of_datasets(EXPERIMENTS, rules.examples.output.examples),
        split=of_datasets(EXPERIMENTS, rules.split.output.split),
        activations=of_datasets(
            EXPERIMENTS, "<results>/{dataset}/activations/{weak}.safetensors"
        ),
    output:
        weak_labels=f"{SELECTION}/weak_labels.parquet",
    log:
        "<logs>/selection/{experiment}/{weak}--{strong}/corpora_labels-seed{seed}.log",
    wildcard_constraints:
        experiment=names(
            name for name, chosen in EXPERIMENTS.items() if chosen.sources == "corpora"
        ),
    group:
        "selection"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("corpora_labels"),
    shell:
        call("corpora_labels")


rule select:
    """Weak labels and strong activations -> the paths of all policies, with test predictions."""
    input:
        weak_labels=lambda wildcards: dag.experiment_labels(CONFIG, **wildcards),
        activations=of_datasets(
            EXPERIMENTS, "<results>/{dataset}/activations/{strong}.safetensors"
        ),
        examples=of_datasets(EXPERIMENTS, rules.examples.output.examples),
    output:
        points=f"{SELECTION}/points.parquet",
        paths=f"{SELECTION}/paths.parquet",
        predictions=f"{SELECTION}/predictions.safetensors",
    log:
        "<logs>/selection/{experiment}/{weak}--{strong}/select-seed{seed}.log",
    group:
        "selection"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 60),
    params:
        **told("select"),
    shell:
        call("select")


rule selection_tables:
    """Paths and predictions of all experiments -> tables, with intervals over seeds."""
    input:
        paths=every_job(rules.select.output.paths, experiment=EXPERIMENTS),
        predictions=every_job(rules.select.output.predictions, experiment=EXPERIMENTS),
    output:
        **tables(
            selection="selection",
            rounds="selection_rounds",
            sources="selection_sources",
        ),
    log:
        "<logs>/selection_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("selection_tables"),
    shell:
        call("selection_tables")


rule selection_figures:
    """The curves of the selection experiments -> the figures of one pair."""
    input:
        rounds=rules.selection_tables.output.rounds,
        sources=rules.selection_tables.output.sources,
    output:
        **figures(
            accuracy="selection_accuracy",
            regret="selection_regret",
            pulls="selection_pulls",
        ),
    log:
        "<logs>/selection_figures-{weak}--{strong}.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("selection_figures"),
    shell:
        call("selection_figures")
