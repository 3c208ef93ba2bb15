"""Fine-tuning: floor, ceiling and w2s with the models themselves in the place of probes.

Needs examples, splits, tokens, and the probes' regions. Writes DATASET/finetuned/WEAK/seed*/ (weak
labels and how the model learned) and DATASET/finetuned/WEAK--STRONG/seed*/ (runs, predictions, how
they learned, metrics, correct); then tables/finetuning*.{parquet,csv,md} and
figures/finetuning/*.{svg,png}.
"""

TUNED_WEAK = "<results>/{dataset}/finetuned/{weak}/seed{seed}"
TUNED_PAIR = "<results>/{dataset}/finetuned/{weak}--{strong}/seed{seed}"


rule finetune_weak:
    """weak_train's true labels -> the fine-tuned weak model's probabilities for all other points."""
    input:
        examples=rules.examples.output.examples,
        split=rules.split.output.split,
        tokens="<results>/{dataset}/tokens/{weak}.safetensors",
        model=lambda wildcards: MODEL_FILES[wildcards.weak],
    output:
        weak_labels=f"{TUNED_WEAK}/weak_labels.parquet",
        training=f"{TUNED_WEAK}/training.parquet",
    log:
        "<logs>/{dataset}/finetuned/{weak}-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/finetuned/{weak}-seed{seed}.tsv"
    wildcard_constraints:
        weak=names(CONFIG.models),
    conda:
        ENVIRONMENT
    resources:
        device=CONFIG.runtime.device,
        batch_tokens=CONFIG.runtime.training_tokens,
        device_map=lambda wildcards: device_map_of(wildcards.weak),
        gpu=1,
        mem="16GB",
        runtime=480,
    params:
        model=lambda wildcards: dag.model_reference(CONFIG, wildcards.weak),
        settings=settings("finetune_weak"),
        code=code("finetune_weak"),
    shell:
        "w2s finetune_weak --examples {input.examples:q} --split {input.split:q}"
        " --tokens {input.tokens:q} --model {params.model:q}"
        " --weak-labels {output.weak_labels:q} --training {output.training:q}"
        " --settings {params.settings:q} --device {resources.device}"
        " --batch-tokens {resources.batch_tokens} --device-map {resources.device_map}"
        " 2>&1 | tee {log:q}"


rule finetune_strong:
    """The fine-tuned weak model's labels -> test predictions of all fine-tuned strong models."""
    input:
        weak_labels=rules.finetune_weak.output.weak_labels,
        tokens="<results>/{dataset}/tokens/{strong}.safetensors",
        model=lambda wildcards: MODEL_FILES[wildcards.strong],
    output:
        runs=f"{TUNED_PAIR}/runs.parquet",
        predictions=f"{TUNED_PAIR}/predictions.safetensors",
        training=f"{TUNED_PAIR}/training.parquet",
    log:
        "<logs>/{dataset}/finetuned/{weak}--{strong}-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/finetuned/{weak}--{strong}-seed{seed}.tsv"
    wildcard_constraints:
        **PAIR_OF_MODELS,
    conda:
        ENVIRONMENT
    resources:
        device=CONFIG.runtime.device,
        batch_tokens=CONFIG.runtime.training_tokens,
        device_map=lambda wildcards: device_map_of(wildcards.strong),
        gpu=1,
        mem="16GB",
        runtime=1440,
    params:
        model=lambda wildcards: dag.model_reference(CONFIG, wildcards.strong),
        settings=settings("finetune_strong"),
        code=code("finetune_strong"),
    shell:
        "w2s finetune_strong --weak-labels {input.weak_labels:q} --tokens {input.tokens:q}"
        " --model {params.model:q} --runs {output.runs:q} --predictions {output.predictions:q}"
        " --training {output.training:q} --settings {params.settings:q}"
        " --device {resources.device} --batch-tokens {resources.batch_tokens}"
        " --device-map {resources.device_map} 2>&1 | tee {log:q}"


use rule evaluate as evaluate_finetuned with:
    input:
        examples=rules.examples.output.examples,
        weak_labels=rules.finetune_weak.output.weak_labels,
        regions=rules.overlap.output.regions,
        runs=rules.finetune_strong.output.runs,
        predictions=rules.finetune_strong.output.predictions,
    output:
        metrics=f"{TUNED_PAIR}/metrics.parquet",
        correct=f"{TUNED_PAIR}/correct.safetensors",
    log:
        "<logs>/{dataset}/finetuned/{weak}--{strong}-evaluate-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/finetuned/{weak}--{strong}-evaluate-seed{seed}.tsv"


rule finetuning_tables:
    """Metrics of fine-tuned models and of the probes in their place -> the tables of fine-tuning."""
    input:
        metrics=every_tuned(rules.evaluate_finetuned.output.metrics),
        correct=every_tuned(rules.evaluate_finetuned.output.correct),
        probe_metrics=every_tuned(rules.evaluate.output.metrics),
        probe_correct=every_tuned(rules.evaluate.output.correct),
    output:
        finetuning=f"{TABLES}/finetuning.parquet",
        finetuning_csv=table("finetuning"),
        finetuning_md=f"{TABLES}/finetuning.md",
        comparisons=f"{TABLES}/finetuning_comparisons.parquet",
        comparisons_csv=table("finetuning_comparisons"),
        comparisons_md=f"{TABLES}/finetuning_comparisons.md",
    log:
        "<logs>/finetuning_tables.log",
    benchmark:
        "<benchmarks>/finetuning_tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=30,
    params:
        settings=settings("finetuning_tables"),
        code=code("finetuning_tables"),
    shell:
        "w2s finetuning_tables --metrics {input.metrics:q} --correct {input.correct:q}"
        " --probe-metrics {input.probe_metrics:q} --probe-correct {input.probe_correct:q}"
        " --finetuning {output.finetuning:q} --comparisons {output.comparisons:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule finetuning_figures:
    """The table of fine-tuning, and how every model learned -> the figures of fine-tuning."""
    input:
        finetuning=rules.finetuning_tables.output.finetuning,
        training=every_tuned(rules.finetune_weak.output.training)
        + every_tuned(rules.finetune_strong.output.training),
    output:
        accuracy=track_figure("finetuning", "accuracy"),
        learning=track_figure("finetuning", "learning"),
        png=expand(
            "<results>/figures/finetuning/{name}.png", name=["accuracy", "learning"]
        ),
    log:
        "<logs>/finetuning_figures.log",
    benchmark:
        "<benchmarks>/finetuning_figures.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("finetuning_figures"),
        code=code("finetuning_figures"),
    shell:
        "w2s finetuning_figures --finetuning {input.finetuning:q} --training {input.training:q}"
        " --accuracy {output.accuracy:q} --learning {output.learning:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"
