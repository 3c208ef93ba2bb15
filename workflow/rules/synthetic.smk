"""The synthetic study: Gaussian mixtures with planted easy, hard and overlap points.

Needs the configuration's `synthetic` only. Writes under synthetic/ the rows of every repetition, then
tables/{synthetic,anchors,detection,thresholds,purity,expansion}.{parquet,csv,md} and
figures/synthetic/*.{svg,png}.
"""


rule synthetic:
    """Nothing -> accuracies of weak, strong and w2s along one sweep."""
    input:
        beginning,
    output:
        accuracies="<results>/synthetic/{study}.safetensors",
    log:
        "<logs>/synthetic/{study}.log",
    priority: NEXT
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 60),
    params:
        **told("synthetic"),
    shell:
        call("synthetic")


rule synthetic_detection:
    """Nothing -> how well the detector finds planted regions."""
    input:
        beginning,
    output:
        detection="<results>/synthetic/detection.safetensors",
        thresholds="<results>/synthetic/thresholds.safetensors",
    log:
        "<logs>/synthetic/detection.log",
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 60),
    params:
        **told("synthetic_detection"),
    shell:
        call("synthetic_detection")


rule synthetic_controls:
    """Nothing -> the purity control and the expansion estimates."""
    input:
        beginning,
    output:
        purity="<results>/synthetic/purity.safetensors",
        expansion="<results>/synthetic/expansion.safetensors",
    log:
        "<logs>/synthetic/controls.log",
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 60),
    params:
        **told("synthetic_controls"),
    shell:
        call("synthetic_controls")


rule synthetic_tables:
    """Rows of all repetitions -> the tables of the study."""
    input:
        accuracies=every(
            rules.synthetic.output.accuracies, study=CONFIG.synthetic.studies
        ),
        detection=rules.synthetic_detection.output.detection,
        thresholds=rules.synthetic_detection.output.thresholds,
        purity=rules.synthetic_controls.output.purity,
        expansion=rules.synthetic_controls.output.expansion,
    output:
        **tables(
            synthetic="synthetic",
            anchors="anchors",
            detection_table="detection",
            thresholds_table="thresholds",
            purity_table="purity",
            expansion_table="expansion",
        ),
    log:
        "<logs>/synthetic_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("synthetic_tables"),
    shell:
        call("synthetic_tables")


rule synthetic_figures:
    """The tables of the study -> its figures."""
    input:
        synthetic=rules.synthetic_tables.output.synthetic,
        detection_table=rules.synthetic_tables.output.detection_table,
        thresholds_table=rules.synthetic_tables.output.thresholds_table,
        purity_table=rules.synthetic_tables.output.purity_table,
    output:
        **figures("sweeps", "detection", "thresholds", "purity", folder="synthetic"),
    log:
        "<logs>/synthetic_figures.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("synthetic_figures"),
    shell:
        call("synthetic_figures")
