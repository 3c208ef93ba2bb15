"""Weak supervision: labeling functions, label models, and students on their labels.

Needs examples, splits and activations. Writes DATASET/label_matrix.safetensors,
DATASET/label_models/NAME/seed*/weak_labels.parquet, and under DATASET/LABEL_MODEL--STUDENT/seed*/ the
artifacts of a pair of models; then tables/{lf_analysis,weak_supervision*,published}.{parquet,csv,md}
and figures/weak_supervision/*.{svg,png}.
"""

WS_FIGURES = "<results>/figures/weak_supervision"


rule label_matrix:
    """A dataset's texts -> the votes of all labeling functions."""
    input:
        examples=rules.examples.output.examples,
    output:
        label_matrix="<results>/{dataset}/label_matrix.safetensors",
    log:
        "<logs>/{dataset}/label_matrix.log",
    benchmark:
        "<benchmarks>/{dataset}/label_matrix.tsv"
    wildcard_constraints:
        dataset=names(name for name in CONFIG.datasets if name not in WRENCH),
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        settings=settings("label_matrix"),
        code=code("label_matrix"),
    shell:
        "w2s label_matrix --examples {input.examples:q} --label-matrix {output.label_matrix:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule wrench_votes:
    """A dataset in WRENCH's format -> the votes of its own labeling functions."""
    input:
        examples=rules.examples.output.examples,
        source=source_of,
        beside=beside_source_of,
    output:
        label_matrix="<results>/{dataset}/label_matrix.safetensors",
    log:
        "<logs>/{dataset}/wrench_votes.log",
    benchmark:
        "<benchmarks>/{dataset}/wrench_votes.tsv"
    wildcard_constraints:
        dataset=names(WRENCH),
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        settings=settings("wrench_votes"),
        code=code("wrench_votes"),
    shell:
        "w2s wrench_votes --examples {input.examples:q} --source {input.source:q}"
        " --label-matrix {output.label_matrix:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


rule wrench_features:
    """A dataset in WRENCH's format -> its features, in the place of activations."""
    input:
        examples=rules.examples.output.examples,
        source=source_of,
        beside=beside_source_of,
    output:
        activations="<results>/{dataset}/activations/features.safetensors",
    log:
        "<logs>/{dataset}/wrench_features.log",
    benchmark:
        "<benchmarks>/{dataset}/wrench_features.tsv"
    wildcard_constraints:
        dataset=names(OWN),
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        settings=settings("wrench_features"),
        code=code("wrench_features"),
    shell:
        "w2s wrench_features --examples {input.examples:q} --source {input.source:q}"
        " --activations {output.activations:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


rule label_model:
    """weak_train's votes -> a label model's probabilities for all other points."""
    input:
        examples=rules.examples.output.examples,
        split=rules.split.output.split,
        label_matrix=rules.label_matrix.output.label_matrix,
    output:
        weak_labels="<results>/{dataset}/label_models/{weak}/seed{seed}/weak_labels.parquet",
    log:
        "<logs>/{dataset}/label_models/{weak}-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/label_models/{weak}-seed{seed}.tsv"
    wildcard_constraints:
        weak=names(dag.label_models_of(CONFIG)),
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        settings=settings("label_model"),
        code=code("label_model"),
    shell:
        "w2s label_model --examples {input.examples:q} --split {input.split:q}"
        " --label-matrix {input.label_matrix:q} --weak-labels {output.weak_labels:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule student:
    """A label model's labels -> regions, and test predictions of all runs of a student."""
    input:
        weak_labels=rules.label_model.output.weak_labels,
        activations=lambda wildcards: (
            f"{CONFIG.results}/{wildcards.dataset}/activations/"
            f"{dag.features_of(CONFIG, wildcards.dataset)}.safetensors"
        ),
    output:
        regions="<results>/{dataset}/{weak}--{strong}/seed{seed}/regions.parquet",
        runs="<results>/{dataset}/{weak}--{strong}/seed{seed}/runs.parquet",
        predictions="<results>/{dataset}/{weak}--{strong}/seed{seed}/predictions.safetensors",
    log:
        "<logs>/{dataset}/{weak}--{strong}/student-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/{weak}--{strong}/student-seed{seed}.tsv"
    wildcard_constraints:
        weak=names(dag.label_models_of(CONFIG)),
        strong=names(dag.students_of(CONFIG)),
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=60,
    params:
        settings=settings("student"),
        code=code("student"),
    shell:
        "w2s student --weak-labels {input.weak_labels:q} --activations {input.activations:q}"
        " --regions {output.regions:q} --runs {output.runs:q} --predictions {output.predictions:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule weak_supervision_tables:
    """Label matrices and metrics of all students -> the tables of weak supervision."""
    input:
        examples=expand(pattern_of(rules.examples.output.examples), dataset=LABELED),
        label_matrix=expand(
            pattern_of(rules.label_matrix.output.label_matrix), dataset=LABELED
        ),
        metrics=every_student(rules.evaluate.output.metrics),
        correct=every_student(rules.evaluate.output.correct),
    output:
        lf_analysis=f"{TABLES}/lf_analysis.parquet",
        lf_analysis_csv=table("lf_analysis"),
        lf_analysis_md=f"{TABLES}/lf_analysis.md",
        weak_supervision=f"{TABLES}/weak_supervision.parquet",
        weak_supervision_csv=table("weak_supervision"),
        weak_supervision_md=f"{TABLES}/weak_supervision.md",
        comparisons=f"{TABLES}/weak_supervision_comparisons.parquet",
        comparisons_csv=table("weak_supervision_comparisons"),
        comparisons_md=f"{TABLES}/weak_supervision_comparisons.md",
        published=f"{TABLES}/published.parquet",
        published_csv=table("published"),
        published_md=f"{TABLES}/published.md",
    log:
        "<logs>/weak_supervision_tables.log",
    benchmark:
        "<benchmarks>/weak_supervision_tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=30,
    params:
        settings=settings("weak_supervision_tables"),
        code=code("weak_supervision_tables"),
    shell:
        "w2s weak_supervision_tables --examples {input.examples:q}"
        " --label-matrix {input.label_matrix:q} --metrics {input.metrics:q} --correct {input.correct:q}"
        " --lf-analysis {output.lf_analysis:q} --weak-supervision {output.weak_supervision:q}"
        " --comparisons {output.comparisons:q} --published {output.published:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule weak_supervision_figures:
    """The tables of weak supervision -> its figures."""
    input:
        lf_analysis=rules.weak_supervision_tables.output.lf_analysis,
        weak_supervision=rules.weak_supervision_tables.output.weak_supervision,
        comparisons=rules.weak_supervision_tables.output.comparisons,
    output:
        lfs=track_figure("weak_supervision", "lfs"),
        mixes=track_figure("weak_supervision", "mixes"),
        contrasts=track_figure("weak_supervision", "contrasts"),
        png=expand(f"{WS_FIGURES}/{{name}}.png", name=["lfs", "mixes", "contrasts"]),
    log:
        "<logs>/weak_supervision_figures.log",
    benchmark:
        "<benchmarks>/weak_supervision_figures.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("weak_supervision_figures"),
        code=code("weak_supervision_figures"),
    shell:
        "w2s weak_supervision_figures --lf-analysis {input.lf_analysis:q}"
        " --weak-supervision {input.weak_supervision:q} --comparisons {input.comparisons:q}"
        " --lfs {output.lfs:q} --mixes {output.mixes:q} --contrasts {output.contrasts:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"
