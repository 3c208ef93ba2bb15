"""Source selection: sources, the paths of all policies over them, and what comes of these.

Needs weak labels and activations; for experiments on corpora also examples and splits. Writes under
selection/EXPERIMENT/WEAK--STRONG/seed*/ the artifacts points, paths and predictions, then
tables/selection*.{parquet,csv,md} and figures/WEAK--STRONG/selection_*.{svg,png}.
"""

SELECTION = "<results>/selection/{experiment}/{weak}--{strong}/seed{seed}"


rule corpora_labels:
    """The targets' true labels -> one weak model's probabilities for the points of all datasets."""
    input:
        examples=of_datasets(rules.examples.output.examples),
        split=of_datasets(rules.split.output.split),
        activations=of_datasets("<results>/{dataset}/activations/{weak}.safetensors"),
    output:
        weak_labels=f"{SELECTION}/weak_labels.parquet",
    log:
        "<logs>/selection/{experiment}/{weak}--{strong}/corpora_labels-seed{seed}.log",
    benchmark:
        "<benchmarks>/selection/{experiment}/{weak}--{strong}/corpora_labels-seed{seed}.tsv"
    wildcard_constraints:
        experiment=names(
            name for name, chosen in EXPERIMENTS.items() if chosen.sources == "corpora"
        ),
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=30,
    params:
        settings=settings("corpora_labels"),
        code=code("corpora_labels"),
    shell:
        "w2s corpora_labels --examples {input.examples:q} --split {input.split:q}"
        " --activations {input.activations:q} --weak-labels {output.weak_labels:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule select:
    """Weak labels and strong activations -> the paths of all policies, with test predictions."""
    input:
        weak_labels=lambda wildcards: dag.experiment_labels(CONFIG, **wildcards),
        activations=of_datasets("<results>/{dataset}/activations/{strong}.safetensors"),
        examples=of_datasets(rules.examples.output.examples),
    output:
        points=f"{SELECTION}/points.parquet",
        paths=f"{SELECTION}/paths.parquet",
        predictions=f"{SELECTION}/predictions.safetensors",
    log:
        "<logs>/selection/{experiment}/{weak}--{strong}/select-seed{seed}.log",
    benchmark:
        "<benchmarks>/selection/{experiment}/{weak}--{strong}/select-seed{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=60,
    params:
        settings=settings("select"),
        code=code("select"),
    shell:
        "w2s select --weak-labels {input.weak_labels:q} --activations {input.activations:q}"
        " --examples {input.examples:q}"
        " --points {output.points:q} --paths {output.paths:q} --predictions {output.predictions:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule selection_tables:
    """Paths and predictions of all experiments -> tables, with intervals over seeds."""
    input:
        paths=every_selection(rules.select.output.paths),
        predictions=every_selection(rules.select.output.predictions),
    output:
        selection=f"{TABLES}/selection.parquet",
        selection_csv=table("selection"),
        selection_md=f"{TABLES}/selection.md",
        rounds=f"{TABLES}/selection_rounds.parquet",
        rounds_csv=table("selection_rounds"),
        rounds_md=f"{TABLES}/selection_rounds.md",
        sources=f"{TABLES}/selection_sources.parquet",
        sources_csv=table("selection_sources"),
        sources_md=f"{TABLES}/selection_sources.md",
    log:
        "<logs>/selection_tables.log",
    benchmark:
        "<benchmarks>/selection_tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=30,
    params:
        settings=settings("selection_tables"),
        code=code("selection_tables"),
    shell:
        "w2s selection_tables --paths {input.paths:q} --predictions {input.predictions:q}"
        " --selection {output.selection:q} --rounds {output.rounds:q} --sources {output.sources:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule selection_figures:
    """The curves of the selection experiments -> the figures of one pair."""
    input:
        rounds=rules.selection_tables.output.rounds,
        sources=rules.selection_tables.output.sources,
    output:
        accuracy=figure("selection_accuracy"),
        regret=figure("selection_regret"),
        pulls=figure("selection_pulls"),
        png=expand(
            f"{FIGURES}/selection_{{name}}.png",
            name=["accuracy", "regret", "pulls"],
            allow_missing=True,
        ),
    log:
        "<logs>/selection_figures-{weak}--{strong}.log",
    benchmark:
        "<benchmarks>/selection_figures-{weak}--{strong}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("selection_figures"),
        code=code("selection_figures"),
    shell:
        "w2s selection_figures --rounds {input.rounds:q} --sources {input.sources:q}"
        " --accuracy {output.accuracy:q} --regret {output.regret:q} --pulls {output.pulls:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"
