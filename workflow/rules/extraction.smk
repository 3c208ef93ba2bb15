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
    benchmark:
        "<benchmarks>/{dataset}/tokenize-{model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=30,
    params:
        model=lambda wildcards: dag.model_reference(CONFIG, wildcards.model),
        settings=settings("tokenize"),
        code=code("tokenize"),
    shell:
        "w2s tokenize --examples {input.examples:q} --model {params.model:q} --tokens {output.tokens:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule activations:
    """A dataset's tokens -> one vector per text and cached layer of one model."""
    input:
        tokens=rules.tokenize.output.tokens,
        model=lambda wildcards: MODEL_FILES[wildcards.model],
    output:
        activations="<results>/{dataset}/activations/{model}.safetensors",
    log:
        "<logs>/{dataset}/activations-{model}.log",
    benchmark:
        "<benchmarks>/{dataset}/activations-{model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        # not in params: devices and batches change no number, so changing them reruns nothing
        device=CONFIG.runtime.device,
        batch_tokens=CONFIG.runtime.batch_tokens,
        device_map=device_map,
        gpu=1,
        mem="8GB",
        runtime=240,
    params:
        model=lambda wildcards: dag.model_reference(CONFIG, wildcards.model),
        settings=settings("activations"),
        code=code("activations"),
    shell:
        "w2s activations --tokens {input.tokens:q} --model {params.model:q}"
        " --activations {output.activations:q} --settings {params.settings:q}"
        " --device {resources.device} --batch-tokens {resources.batch_tokens}"
        " --device-map {resources.device_map} 2>&1 | tee {log:q}"


rule activations_shard:
    """A part of a dataset's tokens -> its vectors; `extraction.shards` says how many parts."""
    input:
        tokens=rules.tokenize.output.tokens,
        model=lambda wildcards: MODEL_FILES[wildcards.model],
    output:
        activations=temp(
            "<results>/{dataset}/activations/{model}/shard-{scatteritem}.safetensors"
        ),
    log:
        "<logs>/{dataset}/activations-{model}-{scatteritem}.log",
    benchmark:
        "<benchmarks>/{dataset}/activations-{model}-{scatteritem}.tsv"
    conda:
        ENVIRONMENT
    resources:
        device=CONFIG.runtime.device,
        batch_tokens=CONFIG.runtime.batch_tokens,
        device_map=device_map,
        gpu=1,
        mem="8GB",
        runtime=240,
    params:
        model=lambda wildcards: dag.model_reference(CONFIG, wildcards.model),
        settings=settings("activations"),
        code=code("activations"),
    shell:
        "w2s activations --tokens {input.tokens:q} --model {params.model:q}"
        " --activations {output.activations:q} --settings {params.settings:q}"
        " --device {resources.device} --batch-tokens {resources.batch_tokens}"
        " --device-map {resources.device_map} 2>&1 | tee {log:q}"


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
    benchmark:
        "<benchmarks>/{dataset}/gather_activations-{model}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=60,
    params:
        settings=settings("gather_activations"),
        code=code("gather_activations"),
    shell:
        "w2s gather_activations --tokens {input.tokens:q} --shards {input.shards:q}"
        " --activations {output.activations:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


# both make a dataset's activations: one job, or as many as there are shards
if CONFIG.extraction.shards == 1:

    ruleorder: activations > gather_activations

else:

    ruleorder: gather_activations > activations
