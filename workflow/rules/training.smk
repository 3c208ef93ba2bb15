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
    benchmark:
        "<benchmarks>/{dataset}/{weak}--{strong}/weak_labels-seed{seed}.tsv"
    wildcard_constraints:
        **PAIR_OF_MODELS,
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        settings=settings("weak_labels"),
        code=code("weak_labels"),
    shell:
        "w2s weak_labels --examples {input.examples:q} --split {input.split:q}"
        " --activations {input.activations:q} --weak-labels {output.weak_labels:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule overlap:
    """Weak labels and strong activations -> easy, hard and overlap points."""
    input:
        weak_labels=rules.weak_labels.output.weak_labels,
        activations="<results>/{dataset}/activations/{strong}.safetensors",
    output:
        regions="<results>/{dataset}/{weak}--{strong}/seed{seed}/regions.parquet",
    log:
        "<logs>/{dataset}/{weak}--{strong}/overlap-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/{weak}--{strong}/overlap-seed{seed}.tsv"
    wildcard_constraints:
        **PAIR_OF_MODELS,
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        settings=settings("overlap"),
        code=code("overlap"),
    shell:
        "w2s overlap --weak-labels {input.weak_labels:q} --activations {input.activations:q}"
        " --regions {output.regions:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


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
    benchmark:
        "<benchmarks>/{dataset}/{weak}--{strong}/strong-seed{seed}.tsv"
    wildcard_constraints:
        **PAIR_OF_MODELS,
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=60,
    params:
        settings=settings("strong"),
        code=code("strong"),
    shell:
        "w2s strong --weak-labels {input.weak_labels:q} --regions {input.regions:q}"
        " --weak-activations {input.weak_activations:q}"
        " --strong-activations {input.strong_activations:q}"
        " --runs {output.runs:q} --predictions {output.predictions:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


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
    benchmark:
        "<benchmarks>/{dataset}/{weak}--{strong}/evaluate-seed{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("evaluate"),
        code=code("evaluate"),
    shell:
        "w2s evaluate --examples {input.examples:q} --weak-labels {input.weak_labels:q}"
        " --regions {input.regions:q} --runs {input.runs:q} --predictions {input.predictions:q}"
        " --metrics {output.metrics:q} --correct {output.correct:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"
