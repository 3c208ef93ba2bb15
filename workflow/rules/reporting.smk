"""Reporting: the tables over all datasets, pairs and seeds, and the figures of each pair.

Needs metrics and correct of every job. Writes tables/*.{parquet,csv,md} and
figures/WEAK--STRONG/*.{svg,png}; the report shows the CSV tables and the SVG figures.
"""


rule tables:
    """Metrics of all jobs -> the result tables, with intervals over test points and seeds."""
    input:
        metrics=every_job(rules.evaluate.output.metrics),
        correct=every_job(rules.evaluate.output.correct),
    output:
        main=f"{TABLES}/main.parquet",
        main_csv=table("main"),
        main_md=f"{TABLES}/main.md",
        mixing=f"{TABLES}/mixing.parquet",
        mixing_csv=table("mixing"),
        mixing_md=f"{TABLES}/mixing.md",
        regions=f"{TABLES}/regions.parquet",
        regions_csv=table("regions"),
        regions_md=f"{TABLES}/regions.md",
        comparisons=f"{TABLES}/comparisons.parquet",
        comparisons_csv=table("comparisons"),
        comparisons_md=f"{TABLES}/comparisons.md",
    log:
        "<logs>/tables.log",
    benchmark:
        "<benchmarks>/tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="8GB",
        runtime=30,
    params:
        settings=settings("tables"),
        code=code("tables"),
    shell:
        "w2s tables --metrics {input.metrics:q} --correct {input.correct:q}"
        " --main {output.main:q} --mixing {output.mixing:q} --regions {output.regions:q}"
        " --comparisons {output.comparisons:q} --settings {params.settings:q} 2>&1 | tee {log:q}"


rule figures:
    """Tables and regions -> the figures of one pair; score curves are those of the first seed."""
    input:
        main=rules.tables.output.main,
        mixing_table=rules.tables.output.mixing,
        region_table=rules.tables.output.regions,
        comparisons=rules.tables.output.comparisons,
        regions=lambda wildcards: expand(
            pattern_of(rules.overlap.output.regions),
            dataset=CONFIG.datasets,
            weak=wildcards.weak,
            strong=wildcards.strong,
            seed=CONFIG.seeds[0],
        ),
    output:
        mixing=figure("mixing"),
        controls=figure("controls"),
        contrasts=figure("contrasts"),
        curves=figure("curves"),
        by_region=figure("by_region"),
        png=expand(
            f"{FIGURES}/{{name}}.png",
            name=["mixing", "controls", "contrasts", "curves", "by_region"],
            allow_missing=True,
        ),
    log:
        "<logs>/figures-{weak}--{strong}.log",
    benchmark:
        "<benchmarks>/figures-{weak}--{strong}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("figures"),
        code=code("figures"),
    shell:
        "w2s figures --main {input.main:q} --mixing-table {input.mixing_table:q}"
        " --region-table {input.region_table:q} --comparisons {input.comparisons:q}"
        " --regions {input.regions:q} --mixing {output.mixing:q} --controls {output.controls:q}"
        " --contrasts {output.contrasts:q} --curves {output.curves:q}"
        " --by-region {output.by_region:q} --settings {params.settings:q} 2>&1 | tee {log:q}"
