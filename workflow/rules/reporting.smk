"""Reporting: the tables over all datasets, pairs and seeds, and the figures of each pair.

Needs metrics, correct and predictions of every job. Writes tables/*.{parquet,csv,md} and
figures/WEAK--STRONG/*.{svg,png}; the report shows the CSV tables and the SVG figures.
"""


rule tables:
    """Metrics of all jobs -> the result tables, with intervals over test points and seeds."""
    input:
        metrics=every_job(rules.evaluate.output.metrics),
        correct=every_job(rules.evaluate.output.correct),
    output:
        **tables("main", "mixing", "regions", "comparisons"),
    log:
        "<logs>/tables.log",
    priority: FIRST
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("tables"),
    shell:
        call("tables")


rule metric_tables:
    """Test predictions of all jobs -> AUROC and other metrics of floor, w2s and ceiling."""
    input:
        examples=every(rules.examples.output.examples, dataset=CONFIG.datasets),
        weak_labels=every_job(rules.weak_labels.output.weak_labels),
        runs=every_job(rules.strong.output.runs),
        predictions=every_job(rules.strong.output.predictions),
    output:
        **tables("metrics"),
    log:
        "<logs>/metric_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("metric_tables"),
    shell:
        call("metric_tables")


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
        **figures("mixing", "controls", "contrasts", "curves", "by_region"),
    log:
        "<logs>/figures-{weak}--{strong}.log",
    priority: FIRST
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("figures"),
    shell:
        call("figures")
