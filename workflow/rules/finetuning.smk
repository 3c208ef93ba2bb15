"""Fine-tuning: floor, ceiling and w2s with the models themselves in the place of probes.

Needs examples, splits, tokens, and the probes' regions. Writes DATASET/finetuned/WEAK/seed*/ (weak
labels and how the model learned) and DATASET/finetuned/WEAK--STRONG/seed*/ (runs, predictions, how
they learned, metrics, correct); then tables/finetuning*.{parquet,csv,md} and
figures/finetuning/*.{svg,png}.
"""

TUNED = dag.datasets_of(CONFIG, "finetuning")
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
    wildcard_constraints:
        weak=names(CONFIG.models),
    conda:
        ENVIRONMENT
    resources:
        **card("weak", CONFIG.runtime.training_tokens, memory=16, minutes=480),
    params:
        **told("finetune_weak", model="weak"),
    shell:
        call("finetune_weak")


rule finetune_strong:
    """The fine-tuned weak model's labels -> test predictions of all fine-tuned strong models."""
    input:
        weak_labels=rules.finetune_weak.output.weak_labels,
        tokens="<results>/{dataset}/tokens/{strong}.safetensors",
        scores=lambda wildcards: dag.arm_scores(CONFIG, **wildcards),
        model=lambda wildcards: MODEL_FILES[wildcards.strong],
    output:
        runs=f"{TUNED_PAIR}/runs.parquet",
        predictions=f"{TUNED_PAIR}/predictions.safetensors",
        training=f"{TUNED_PAIR}/training.parquet",
    log:
        "<logs>/{dataset}/finetuned/{weak}--{strong}-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    conda:
        ENVIRONMENT
    resources:
        **card("strong", CONFIG.runtime.training_tokens, memory=16, minutes=1440),
    params:
        **told("finetune_strong", model="strong"),
    shell:
        call("finetune_strong")


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
    group:
        "tuned"  # not of `seeds`: jobs outside of that group come between


rule finetuning_tables:
    """Metrics of fine-tuned models and of the probes in their place -> the tables of fine-tuning."""
    input:
        metrics=every_job(rules.evaluate_finetuned.output.metrics, dataset=TUNED),
        correct=every_job(rules.evaluate_finetuned.output.correct, dataset=TUNED),
        probe_metrics=every_job(rules.evaluate.output.metrics, dataset=TUNED),
        probe_correct=every_job(rules.evaluate.output.correct, dataset=TUNED),
    output:
        **tables(finetuning="finetuning", comparisons="finetuning_comparisons"),
    log:
        "<logs>/finetuning_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("finetuning_tables"),
    shell:
        call("finetuning_tables")


rule finetuning_figures:
    """The table of fine-tuning, and how every model learned -> the figures of fine-tuning."""
    input:
        finetuning=rules.finetuning_tables.output.finetuning,
        training=every_job(rules.finetune_weak.output.training, dataset=TUNED)
        + every_job(rules.finetune_strong.output.training, dataset=TUNED),
    output:
        **figures("accuracy", "learning", folder="finetuning"),
    log:
        "<logs>/finetuning_figures.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("finetuning_figures"),
    shell:
        call("finetuning_figures")
