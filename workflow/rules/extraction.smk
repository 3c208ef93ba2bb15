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
        "w2s tokenize --examples {input.examples} --model {params.model:q} --tokens {output.tokens}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


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
        # not in params: device and batches change no number, so changing them reruns nothing
        device=CONFIG.runtime.device,
        batch_tokens=CONFIG.runtime.batch_tokens,
        gpu=1,
        mem="8GB",
        runtime=240,
    params:
        model=lambda wildcards: dag.model_reference(CONFIG, wildcards.model),
        settings=settings("activations"),
        code=code("activations"),
    shell:
        "w2s activations --tokens {input.tokens} --model {params.model:q}"
        " --activations {output.activations} --settings {params.settings:q}"
        " --device {resources.device} --batch-tokens {resources.batch_tokens} 2>&1 | tee {log}"
