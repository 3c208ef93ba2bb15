"""Weak supervision: labeling functions, label models, and students on their labels.

Needs examples, splits and activations. Writes DATASET/label_matrix.safetensors,
DATASET/label_models/NAME/seed*/weak_labels.parquet, and under DATASET/LABEL_MODEL--STUDENT/seed*/ the
artifacts of a pair of models; then tables/{lf_analysis,weak_supervision*,published}.{parquet,csv,md}
and figures/weak_supervision/*.{svg,png}.
"""

LABELED = dag.labeled_datasets(CONFIG)
WRENCH = dag.wrench_datasets(CONFIG)
STUDENTS = dict(
    weak=names(dag.label_models_of(CONFIG)), strong=names(dag.students_of(CONFIG))
)
ALL_STUDENTS = dict(
    dataset=LABELED,
    weak=dag.label_models_of(CONFIG),
    strong=dag.students_of(CONFIG),
    seed=CONFIG.seeds,
)


rule label_matrix:
    """A dataset's texts -> the votes of all labeling functions."""
    input:
        examples=rules.examples.output.examples,
    output:
        label_matrix="<results>/{dataset}/label_matrix.safetensors",
    log:
        "<logs>/{dataset}/label_matrix.log",
    wildcard_constraints:
        dataset=names(name for name in CONFIG.datasets if name not in WRENCH),
    group:
        "data"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("label_matrix"),
    shell:
        call("label_matrix")


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
    wildcard_constraints:
        dataset=names(WRENCH),
    group:
        "data"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("wrench_votes"),
    shell:
        call("wrench_votes")


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
    wildcard_constraints:
        dataset=names(
            name for name in WRENCH if dag.features_of(CONFIG, name) == "features"
        ),
    group:
        "data"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("wrench_features"),
    shell:
        call("wrench_features")


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
    wildcard_constraints:
        weak=STUDENTS["weak"],
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("label_model"),
    shell:
        call("label_model")


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
    wildcard_constraints:
        **STUDENTS,
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 60),
    params:
        **told("student"),
    shell:
        call("student")


rule weak_supervision_tables:
    """Label matrices and metrics of all students -> the tables of weak supervision."""
    input:
        examples=every(rules.examples.output.examples, dataset=LABELED),
        label_matrix=every(rules.label_matrix.output.label_matrix, dataset=LABELED),
        metrics=every(rules.evaluate.output.metrics, **ALL_STUDENTS),
        correct=every(rules.evaluate.output.correct, **ALL_STUDENTS),
    output:
        **tables(
            lf_analysis="lf_analysis",
            weak_supervision="weak_supervision",
            comparisons="weak_supervision_comparisons",
            published="published",
        ),
    log:
        "<logs>/weak_supervision_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("weak_supervision_tables"),
    shell:
        call("weak_supervision_tables")


rule weak_supervision_figures:
    """The tables of weak supervision -> its figures."""
    input:
        lf_analysis=rules.weak_supervision_tables.output.lf_analysis,
        weak_supervision=rules.weak_supervision_tables.output.weak_supervision,
        comparisons=rules.weak_supervision_tables.output.comparisons,
    output:
        **figures("lfs", "mixes", "contrasts", folder="weak_supervision"),
    log:
        "<logs>/weak_supervision_figures.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("weak_supervision_figures"),
    shell:
        call("weak_supervision_figures")
