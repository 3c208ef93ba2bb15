"""The synthetic study: Gaussian mixtures with planted easy, hard and overlap points.

Needs the configuration's `synthetic` only. Writes under synthetic/ the rows of every repetition, then
tables/{synthetic,anchors,detection,thresholds,purity,expansion}.{parquet,csv,md} and
figures/synthetic/*.{svg,png}.
"""

STUDY_FIGURES = "<results>/figures/synthetic"


rule synthetic:
    """Nothing -> accuracies of weak, strong and w2s along one sweep."""
    input:
        beginning,
    output:
        accuracies="<results>/synthetic/{study}.safetensors",
    log:
        "<logs>/synthetic/{study}.log",
    benchmark:
        "<benchmarks>/synthetic/{study}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=60,
    params:
        settings=settings("synthetic"),
        code=code("synthetic"),
    shell:
        "w2s synthetic --accuracies {output.accuracies:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule synthetic_detection:
    """Nothing -> how well the detector finds planted regions."""
    input:
        beginning,
    output:
        detection="<results>/synthetic/detection.safetensors",
        thresholds="<results>/synthetic/thresholds.safetensors",
    log:
        "<logs>/synthetic/detection.log",
    benchmark:
        "<benchmarks>/synthetic/detection.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=60,
    params:
        settings=settings("synthetic_detection"),
        code=code("synthetic_detection"),
    shell:
        "w2s synthetic_detection --detection {output.detection:q} --thresholds {output.thresholds:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule synthetic_controls:
    """Nothing -> the purity control and the expansion estimates."""
    input:
        beginning,
    output:
        purity="<results>/synthetic/purity.safetensors",
        expansion="<results>/synthetic/expansion.safetensors",
    log:
        "<logs>/synthetic/controls.log",
    benchmark:
        "<benchmarks>/synthetic/controls.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=60,
    params:
        settings=settings("synthetic_controls"),
        code=code("synthetic_controls"),
    shell:
        "w2s synthetic_controls --purity {output.purity:q} --expansion {output.expansion:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule synthetic_tables:
    """Rows of all repetitions -> the tables of the study."""
    input:
        accuracies=lambda wildcards: expand(
            pattern_of(rules.synthetic.output.accuracies),
            study=CONFIG.synthetic.studies,
        ),
        detection=rules.synthetic_detection.output.detection,
        thresholds=rules.synthetic_detection.output.thresholds,
        purity=rules.synthetic_controls.output.purity,
        expansion=rules.synthetic_controls.output.expansion,
    output:
        synthetic=f"{TABLES}/synthetic.parquet",
        synthetic_csv=table("synthetic"),
        synthetic_md=f"{TABLES}/synthetic.md",
        anchors=f"{TABLES}/anchors.parquet",
        anchors_csv=table("anchors"),
        anchors_md=f"{TABLES}/anchors.md",
        detection_table=f"{TABLES}/detection.parquet",
        detection_table_csv=table("detection"),
        detection_table_md=f"{TABLES}/detection.md",
        thresholds_table=f"{TABLES}/thresholds.parquet",
        thresholds_table_csv=table("thresholds"),
        thresholds_table_md=f"{TABLES}/thresholds.md",
        purity_table=f"{TABLES}/purity.parquet",
        purity_table_csv=table("purity"),
        purity_table_md=f"{TABLES}/purity.md",
        expansion_table=f"{TABLES}/expansion.parquet",
        expansion_table_csv=table("expansion"),
        expansion_table_md=f"{TABLES}/expansion.md",
    log:
        "<logs>/synthetic_tables.log",
    benchmark:
        "<benchmarks>/synthetic_tables.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("synthetic_tables"),
        code=code("synthetic_tables"),
    shell:
        "w2s synthetic_tables --accuracies {input.accuracies:q} --detection {input.detection:q}"
        " --thresholds {input.thresholds:q} --purity {input.purity:q} --expansion {input.expansion:q}"
        " --synthetic {output.synthetic:q} --anchors {output.anchors:q}"
        " --detection-table {output.detection_table:q}"
        " --thresholds-table {output.thresholds_table:q} --purity-table {output.purity_table:q}"
        " --expansion-table {output.expansion_table:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"


rule synthetic_figures:
    """The tables of the study -> its figures."""
    input:
        synthetic=rules.synthetic_tables.output.synthetic,
        detection_table=rules.synthetic_tables.output.detection_table,
        thresholds_table=rules.synthetic_tables.output.thresholds_table,
        purity_table=rules.synthetic_tables.output.purity_table,
    output:
        sweeps=track_figure("synthetic", "sweeps"),
        detection=track_figure("synthetic", "detection"),
        thresholds=track_figure("synthetic", "thresholds"),
        purity=track_figure("synthetic", "purity"),
        png=expand(
            f"{STUDY_FIGURES}/{{name}}.png",
            name=["sweeps", "detection", "thresholds", "purity"],
        ),
    log:
        "<logs>/synthetic_figures.log",
    benchmark:
        "<benchmarks>/synthetic_figures.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem="2GB",
        runtime=10,
    params:
        settings=settings("synthetic_figures"),
        code=code("synthetic_figures"),
    shell:
        "w2s synthetic_figures --synthetic {input.synthetic:q}"
        " --detection-table {input.detection_table:q} --thresholds-table {input.thresholds_table:q}"
        " --purity-table {input.purity_table:q} --sweeps {output.sweeps:q}"
        " --detection {output.detection:q} --thresholds {output.thresholds:q} --purity {output.purity:q}"
        " --settings {params.settings:q} 2>&1 | tee {log:q}"
