"""Stage `tables`: the result tables over all datasets, pairs and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from w2s.files.artifacts import Artifact
from w2s.overlap.track import TablesSettings
from w2s.progress import bar
from w2s.results.outcome import with_references
from w2s.results.rows import comparison_rows, corrected, main_row, mixing_rows, region_rows
from w2s.results.seeds import KEY, by_seed, outcome_of, table


def tables(
    metrics: Sequence[Artifact], correct: Sequence[Artifact], *, settings: TablesSettings
) -> dict[str, Artifact]:
    """Main, mixing, regions and comparisons table, one bootstrap per dataset and pair."""
    outcomes = [with_references(outcome_of(seeds)) for seeds in by_seed(metrics, correct, key=KEY)]
    level = settings.evaluation.level
    rows: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("main", "mixing", "regions", "comparisons")
    }
    with bar("tables", len(outcomes), "outcomes") as advance:
        for outcome in outcomes:
            drawn = outcome.bootstrap(settings.evaluation.bootstrap)
            rows["main"].append(main_row(outcome, drawn, level))
            rows["mixing"] += mixing_rows(outcome, drawn, level)
            rows["regions"] += region_rows(outcome, drawn, level)
            rows["comparisons"] += comparison_rows(outcome, drawn, level)
            advance(1)
    rows["comparisons"] = corrected(rows["comparisons"])
    return {name: table(f"{name}_table", found) for name, found in rows.items()}
