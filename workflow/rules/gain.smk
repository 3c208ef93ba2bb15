"""The gain: what may tell it beforehand, and whether models gain on other datasets too.

Needs weak labels, runs, predictions and activations of every pair. Writes
DATASET/WEAK--STRONG/seed*/gain.parquet and gain/WEAK--STRONG/seed*/transfer.parquet, then
tables/{predictors,quadrants,gain,transfer}.{parquet,csv,md} and figures/gain/*.{svg,png}.
"""

GAINED = dag.datasets_of(CONFIG, "gain")


rule gain_predictors:
    """Weak labels, test predictions and vectors -> the gain, and what may tell it."""
    input:
        weak_labels=rules.weak_labels.output.weak_labels,
        runs=rules.strong.output.runs,
        predictions=rules.strong.output.predictions,
        weak_activations="<results>/{dataset}/activations/{weak}.safetensors",
        strong_activations="<results>/{dataset}/activations/{strong}.safetensors",
    output:
        gain="<results>/{dataset}/{weak}--{strong}/seed{seed}/gain.parquet",
    log:
        "<logs>/{dataset}/{weak}--{strong}/gain_predictors-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("gain_predictors"),
    shell:
        call("gain_predictors")


rule transfer:
    """All datasets of a pair and seed -> predictions of each one's models on all test parts."""
    input:
        examples=of_each(GAINED, rules.examples.output.examples),
        split=of_each(GAINED, rules.split.output.split),
        weak_labels=of_each(GAINED, rules.weak_labels.output.weak_labels),
        runs=of_each(GAINED, rules.strong.output.runs),
        predictions=of_each(GAINED, rules.strong.output.predictions),
        weak_activations=of_each(
            GAINED, "<results>/{dataset}/activations/{weak}.safetensors"
        ),
        strong_activations=of_each(
            GAINED, "<results>/{dataset}/activations/{strong}.safetensors"
        ),
    output:
        transfer="<results>/gain/{weak}--{strong}/seed{seed}/transfer.parquet",
    log:
        "<logs>/gain/{weak}--{strong}/transfer-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    group:
        "transfer"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 60),
    params:
        **told("transfer"),
    shell:
        call("transfer")


rule gain_tables:
    """Predictors and transfer of all jobs -> the tables, with intervals over test points."""
    input:
        predictors=every_job(rules.gain_predictors.output.gain, dataset=GAINED),
        transfer=every_job(rules.transfer.output.transfer),
    output:
        **tables(
            correlations="predictors",
            quadrants="quadrants",
            points="gain",
            matrix="transfer",
        ),
    log:
        "<logs>/gain_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("gain_tables"),
    shell:
        call("gain_tables")


rule gain_figures:
    """The tables -> predictors against the gain, and the transfer matrix."""
    input:
        correlations=rules.gain_tables.output.correlations,
        points=rules.gain_tables.output.points,
        matrix=rules.gain_tables.output.matrix,
    output:
        **figures("predictors", "transfer", folder="gain"),
    log:
        "<logs>/gain_figures.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("gain_figures"),
    shell:
        call("gain_figures")
