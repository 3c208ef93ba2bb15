"""Selection arms: students of the weak labels that each selector keeps, beside random ones.

Needs examples, splits, tokens, activations, weak labels and regions. Writes under
DATASET/WEAK--STRONG/seed*/arms/ the artifacts scores, runs and correct, then
tables/{arms,negative_controls}.{parquet,csv,md} and figures/WEAK--STRONG/arms_*.{svg,png}.
"""

ARMS = "<results>/{dataset}/{weak}--{strong}/seed{seed}/arms"


rule arms:
    """Vectors and weak labels -> scores of every selector, and students of what each one keeps."""
    input:
        examples=rules.examples.output.examples,
        split=rules.split.output.split,
        tokens="<results>/{dataset}/tokens/{strong}.safetensors",
        weak_labels=rules.weak_labels.output.weak_labels,
        regions=rules.overlap.output.regions,
        weak_activations="<results>/{dataset}/activations/{weak}.safetensors",
        strong_activations="<results>/{dataset}/activations/{strong}.safetensors",
    output:
        scores=f"{ARMS}/scores.parquet",
        runs=f"{ARMS}/runs.parquet",
        correct=f"{ARMS}/correct.safetensors",
    log:
        "<logs>/{dataset}/{weak}--{strong}/arms-seed{seed}.log",
    wildcard_constraints:
        **PAIR_OF_MODELS,
    group:
        "seeds"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 60),
    params:
        **told("arms"),
    shell:
        call("arms")


rule arms_tables:
    """Runs and what they get right -> differences to matched random points, with intervals."""
    input:
        runs=every_job(rules.arms.output.runs, dataset=dag.datasets_of(CONFIG, "arms")),
        correct=every_job(
            rules.arms.output.correct, dataset=dag.datasets_of(CONFIG, "arms")
        ),
    output:
        **tables("arms", "negative_controls"),
    log:
        "<logs>/arms_tables.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(8, 30),
    params:
        **told("arms_tables"),
    shell:
        call("arms_tables")


rule arms_figures:
    """The table of arms -> the figures of one pair."""
    input:
        arms=rules.arms_tables.output.arms,
    output:
        **figures(budgets="arms_budgets", forest="arms_forest"),
    log:
        "<logs>/arms_figures-{weak}--{strong}.log",
    group:
        "report"
    conda:
        ENVIRONMENT
    resources:
        **needs(2, 10),
    params:
        **told("arms_figures"),
    shell:
        call("arms_figures")
