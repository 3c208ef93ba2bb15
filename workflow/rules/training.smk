"""Training: weak labels, regions, all probes of the strong model, and their scores.

Needs examples, splits and activations. Writes under DATASET/WEAK--STRONG/seed*/ the artifacts
weak_labels, regions, runs, predictions, metrics and correct. One job does all probes of its kind.
"""


rule weak_labels:
    """weak_train's true labels -> the weak model's probabilities for all other points."""
    input:
        examples=rules.examples.output.examples,
        split=rules.split.output.split,
        activations="<results>/{dataset}/activations/{weak}.safetensors",
    output:
        weak_labels="<results>/{dataset}/{weak}--{strong}/seed{seed}/weak_labels.parquet",
    log:
        "<logs>/{dataset}/{weak}--{strong}/weak_labels-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    priority: FIRST
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("weak_labels"),
    shell:
        call("weak_labels")


rule overlap:
    """Weak labels and strong activations -> easy, hard and overlap points."""
    input:
        weak_labels=rules.weak_labels.output.weak_labels,
        activations="<results>/{dataset}/activations/{strong}.safetensors",
    output:
        regions="<results>/{dataset}/{weak}--{strong}/seed{seed}/regions.parquet",
    log:
        "<logs>/{dataset}/{weak}--{strong}/overlap-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    priority: FIRST
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("overlap"),
    shell:
        call("overlap")


rule strong:
    """Weak labels and regions -> test predictions of ceiling, w2s, all mixes and controls."""
    input:
        weak_labels=rules.weak_labels.output.weak_labels,
        regions=rules.overlap.output.regions,
        weak_activations="<results>/{dataset}/activations/{weak}.safetensors",
        strong_activations="<results>/{dataset}/activations/{strong}.safetensors",
    output:
        runs="<results>/{dataset}/{weak}--{strong}/seed{seed}/runs.parquet",
        predictions="<results>/{dataset}/{weak}--{strong}/seed{seed}/predictions.safetensors",
    log:
        "<logs>/{dataset}/{weak}--{strong}/strong-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    priority: FIRST
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 60),
    params:
        **told("strong"),
    shell:
        call("strong")


rule evaluate:
    """Test predictions -> metrics of every run, and which test points each row gets right."""
    input:
        examples=rules.examples.output.examples,
        weak_labels=lambda wildcards: dag.job_labels(CONFIG, **wildcards),
        regions=rules.overlap.output.regions,
        runs=rules.strong.output.runs,
        predictions=rules.strong.output.predictions,
    output:
        metrics="<results>/{dataset}/{weak}--{strong}/seed{seed}/metrics.parquet",
        correct="<results>/{dataset}/{weak}--{strong}/seed{seed}/correct.safetensors",
    log:
        "<logs>/{dataset}/{weak}--{strong}/evaluate-seed{seed}.log",
    priority: lambda wildcards: FIRST if wildcards.weak in CONFIG.models else 0
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("evaluate"),
    shell:
        call("evaluate")
