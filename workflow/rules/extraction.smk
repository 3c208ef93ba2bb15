"""Extraction: every text through every model, once for all seeds.

Needs examples.parquet. Writes per dataset tokens/MODEL.safetensors and activations/MODEL.safetensors.
"""


rule tokenize:
    """A dataset's texts -> the token ids of one model's tokenizer."""
    input:
        examples=rules.examples.output.examples,
        model=lambda wildcards: MODEL_FILES[wildcards.model],
    output:
        tokens="<results>/{dataset}/tokens/{model}.safetensors",
    log:
        "<logs>/{dataset}/tokenize-{model}.log",
    priority: FIRST
    group:
        "data"
    conda:
        ENVIRONMENT
    resources:
        **needs(4, 30),
    params:
        **told("tokenize", model="model"),
    shell:
        call("tokenize")


rule activations:
    """A dataset's tokens -> one vector per text and cached layer of one model."""
    input:
        tokens=rules.tokenize.output.tokens,
        model=lambda wildcards: MODEL_FILES[wildcards.model],
    output:
        activations="<results>/{dataset}/activations/{model}.safetensors",
    log:
        "<logs>/{dataset}/activations-{model}.log",
    priority: FIRST
    conda:
        ENVIRONMENT
    threads: threads_each()
    resources:
        **card("model", CONFIG.runtime.batch_tokens, memory=8, minutes=240),
    params:
        **told("activations", model="model"),
    shell:
        call("activations")


use rule activations as activations_shard with:
    """A part of a dataset's tokens -> its vectors; `extraction.shards` says how many parts."""
    output:
        activations=temp(
            "<results>/{dataset}/activations/{model}/shard-{scatteritem}.safetensors"
        ),
    log:
        "<logs>/{dataset}/activations-{model}-{scatteritem}.log",


rule gather_activations:
    """All shards of a dataset and model -> one file; the shards are deleted."""
    input:
        tokens=rules.tokenize.output.tokens,
        shards=gather.activations(
            "<results>/{{dataset}}/activations/{{model}}/shard-{scatteritem}.safetensors"
        ),
    output:
        activations="<results>/{dataset}/activations/{model}.safetensors",
    log:
        "<logs>/{dataset}/gather_activations-{model}.log",
    priority: FIRST
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 60),
    params:
        **told("gather_activations"),
    shell:
        call("gather_activations")


# both make a dataset's activations: one job, or as many as there are shards
if CONFIG.extraction.shards == 1:

    ruleorder: activations > gather_activations

else:

    ruleorder: gather_activations > activations
