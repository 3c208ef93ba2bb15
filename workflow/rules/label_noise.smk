"""Label noise: true labels with planted errors, scores that look for them, and students.

Needs examples, weak labels and activations. Writes under DATASET/WEAK--STRONG/seed*/ the artifacts
label_noise_runs and label_noise_predictions, then tables/label_noise.{parquet,csv,md} and
figures/WEAK--STRONG/label_noise.{svg,png}.
"""


rule label_noise:
    """True labels with planted noise -> scores of the labels, and predictions of students."""
    input:
        examples=rules.examples.output.examples,
        weak_labels=rules.weak_labels.output.weak_labels,
        activations="<results>/{dataset}/activations/{strong}.safetensors",
    output:
        runs="<results>/{dataset}/{weak}--{strong}/seed{seed}/label_noise_runs.parquet",
        predictions="<results>/{dataset}/{weak}--{strong}/seed{seed}/label_noise_predictions.safetensors",
    log:
        "<logs>/{dataset}/{weak}--{strong}/label_noise-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 60),
    params:
        **told("label_noise"),
    shell:
        call("label_noise")


rule label_noise_tables:
    """Scores and predictions of all jobs -> the table, with intervals over seeds."""
    input:
        runs=every_job(
            rules.label_noise.output.runs,
            dataset=dag.datasets_of(CONFIG, "label_noise"),
        ),
        predictions=every_job(
            rules.label_noise.output.predictions,
            dataset=dag.datasets_of(CONFIG, "label_noise"),
        ),
    output:
        **tables("label_noise"),
    log:
        "<logs>/label_noise_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("label_noise_tables"),
    shell:
        call("label_noise_tables")


rule label_noise_figures:
    """The table -> the figure of one pair."""
    input:
        table=rules.label_noise_tables.output.label_noise,
    output:
        **figures("label_noise"),
    log:
        "<logs>/label_noise_figures-{weak}--{strong}.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("label_noise_figures"),
    shell:
        call("label_noise_figures")
