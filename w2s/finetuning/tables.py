"""The tables of fine-tuning: models that were trained themselves, beside probes in their place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.finetuning.track import ARM, PLAIN
from w2s.overlap.track import TablesSettings
from w2s.results.intervals import DIGITS, Bootstrap, estimate, known_mean
from w2s.results.metrics import MODELS
from w2s.results.outcome import KEY, Outcome, Row, Seeds, by_seed, each_outcome, outcome_of, table
from w2s.results.rows import corrected, difference_rows, minus, pgr_row, spread

BOUNDS = ("floor", "ceiling")  # all other fine-tuned rows are w2s: by a loss, or self-trained
SELF_TRAINED = "s2s_"
PROBE = "probe "  # begins the names of the probes' rows


def with_probes(finetuned: Outcome, probes: Outcome, points: Array) -> Outcome:
    """The fine-tuned rows, then the probes' floor, w2s and ceiling as `probe floor` and so on.

    All that is not a row (regions, seeds) is that of the fine-tuned models.

    Args:
        finetuned: Fine-tuned models.
        probes: Probes of the same dataset, pair and seeds, in the same order.
        points: Where the probes have each test point of `finetuned`, (n,).
    """
    rows = [probes.row(name) for name in MODELS]
    reasons = zip(finetuned.row_reason, probes.row_reason, strict=True)
    return replace(
        finetuned,
        control=[*finetuned.control, *(PROBE + name for name in MODELS)],
        proportion=np.concatenate([finetuned.proportion, probes.proportion[rows]]),
        correct=np.concatenate(
            [finetuned.correct, probes.correct[:, rows][:, :, points]], axis=1
        ),
        columns={
            name: np.concatenate([values, probes.columns[name][:, rows]], axis=1)
            for name, values in finetuned.columns.items()
        },
        row_reason=[[*own, *(other[i] for i in rows)] for own, other in reasons],
    )  # fmt: skip


def students(outcome: Outcome) -> list[str]:
    """The fine-tuned rows of w2s: every loss, and self-training."""
    return [c for c in outcome.control if c not in BOUNDS and not c.startswith(PROBE)]


def finetuning_rows(
    outcome: Outcome, auroc: Array, bootstrap: Bootstrap, level: float
) -> list[Row]:
    """Accuracy, AUROC and PGR of every fine-tuned row, and the accuracy of the probe in its place.

    Means are over the seeds that have the row, of the probe over those among them that have it
    too. PGR is that of the means over the seeds that have floor, ceiling and the row.

    Args:
        outcome: As `with_probes` gives it.
        auroc: Test AUROC of the fine-tuned rows, (seeds, rows), NaN where undefined.
        bootstrap: Draws for the same seeds and test points.
        level: Coverage of the intervals.
    """
    found = estimate(outcome.correct, outcome.groups()["overall"], bootstrap)
    share = outcome.correct.mean(axis=2, dtype=np.float64)  # (seeds, rows)
    rows = []
    for i, control in enumerate(outcome.control[: auroc.shape[1]]):
        probe = outcome.row(PROBE + (control if control in BOUNDS else "w2s"))
        pgr, why_pgr = _pgr(outcome, control, bootstrap, level)
        mine = np.isfinite(share[:, i])
        unranked = int(np.sum(mine & ~np.isfinite(auroc[:, i])))
        reasons = [outcome.why_row(i), *why_pgr]
        if unranked:
            reasons.append(f"auroc: undefined in {unranked} of {len(mine)} seeds, see the metrics")
        if why := outcome.why_row(probe):
            reasons.append(f"{outcome.control[probe]}: {why}")
        rows.append(
            {
                **outcome.names,
                "control": control,
                **spread("accuracy", found.mean[i], found.draws[:, i], level),
                "auroc": known_mean(auroc[:, i]),
                **pgr,
                "probe_accuracy": round(known_mean(share[mine, probe]), DIGITS),
                **{name: known_mean(values[mine, i]) for name, values in outcome.columns.items()},
                "n_seeds": int(found.n_seeds[i]),
                "reason": "; ".join(filter(None, reasons)),
            }
        )
    return rows


def _pgr(
    outcome: Outcome, control: str, bootstrap: Bootstrap, level: float
) -> tuple[Row, list[str]]:
    """PGR of a row, and why it or its seeds are missing; floor and ceiling have none."""
    if control in BOUNDS:
        return dict.fromkeys(("pgr", "pgr_lo", "pgr_hi"), math.nan), []
    rows = [outcome.row(name) for name in ("floor", control, "ceiling")]
    correct = outcome.correct[:, rows]
    row = pgr_row(correct, outcome.groups()["overall"], bootstrap, level)
    bounds = {name: outcome.why_row(outcome.row(name)) for name in BOUNDS}
    reasons = [f"pgr: {name}: {why}" for name, why in bounds.items() if why]
    share = correct.mean(axis=2, dtype=np.float64)  # (seeds, 3)
    complete = share[np.isfinite(share).all(axis=1)]
    if math.isnan(row["pgr"]) and len(complete):
        gap = round(float(np.mean(complete[:, 2] - complete[:, 0])), DIGITS) + 0.0  # no "-0.000"
        reasons.append(f"pgr: ceiling - floor = {gap:.3f} is not above 0")
    elif math.isnan(row["pgr_lo"]) and len(complete) == len(share):
        reasons.append("pgr interval: ceiling - floor is not above 0 in too many bootstrap draws")
    elif math.isnan(row["pgr_lo"]) and len(complete):
        reasons.append(
            f"pgr interval: undefined in too many bootstrap draws, as {len(complete)} of "
            f"{len(share)} seeds have floor, ceiling and {control}"
        )
    return row, reasons


def finetuning_comparisons(outcome: Outcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """Paired differences among fine-tuned rows, and to the probes in their place.

    Args:
        outcome: As `with_probes` gives it.
        bootstrap: Draws for the same seeds and test points.
        level: Coverage of the intervals.
    """
    names = students(outcome)
    arms = [name for name in names if name.startswith(ARM)]
    names = [name for name in names if name not in arms]
    pairs = [(name, "floor") for name in (*names, *arms)]
    if PLAIN in names:
        pairs.append(("ceiling", PLAIN))
        pairs += [(name, PLAIN) for name in names if name != PLAIN]
    losses = [name for name in names if not name.startswith(SELF_TRAINED)]
    probes = [("floor", "floor"), *((loss, "w2s") for loss in losses), ("ceiling", "ceiling")]
    pairs += [(own, PROBE + other) for own, other in probes]
    for name in arms:
        beside = f"{ARM}random {name.split()[-1]}"
        pairs += [(name, beside)] if name != beside and beside in arms else []
    named = {f"{a} - {b}": minus(outcome.row(a), outcome.row(b)) for a, b in pairs}
    return difference_rows(outcome, named, bootstrap, level)


def finetuning_tables(
    metrics: Sequence[Artifact],
    correct: Sequence[Artifact],
    probe_metrics: Sequence[Artifact],
    probe_correct: Sequence[Artifact],
    *,
    settings: TablesSettings,
) -> dict[str, Artifact]:
    """Fine-tuned models beside the probes in their place, and paired differences.

    Probes of other jobs or seeds are not used.
    """
    rows: list[Row] = []
    differences: list[Row] = []
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    jobs = by_seed(metrics, correct, key=KEY)
    probes = {_job(seeds[0]): seeds for seeds in by_seed(probe_metrics, probe_correct, key=KEY)}

    def beside_probes(seeds: Seeds) -> Outcome:
        return _beside_probes(seeds, probes.get(_job(seeds[0]), []))

    what = "fine-tuning tables"
    found = each_outcome(jobs, beside_probes, draws=draws, what=what, unit="outcomes")
    for seeds, (outcome, drawn) in zip(jobs, found, strict=True):
        rows += finetuning_rows(outcome, _auroc(seeds), drawn, level)
        differences += finetuning_comparisons(outcome, drawn, level)
    return {
        "finetuning": table("finetuning_table", rows),
        "comparisons": table("comparisons_table", corrected(differences)),
    }


def _job(seed: tuple[Artifact, Artifact]) -> tuple[str, ...]:
    return tuple(seed[0].facts[name] for name in KEY)


def _beside_probes(seeds: Seeds, probes: Seeds) -> Outcome:
    """The outcome of a job's seeds with the rows of its probes, matched by seed and id.

    Raises:
        ArtifactError: rows of another kind of training, or probes that lack a seed or test point.
    """
    own = outcome_of(seeds)
    dataset, weak, strong = _job(seeds[0])
    where = f"{dataset}, {weak}--{strong}"
    if "w2s" in own.control:
        raise ArtifactError(
            f"finetuning_tables: found the row w2s in {where}, expected fine-tuned models; are "
            f"these probes?"
        )
    _need(own, BOUNDS, f"fine-tuned models of {where}")
    by_number = {seed[0].facts["seed"]: seed for seed in probes}
    lacking = [rows.facts["seed"] for rows, _ in seeds if rows.facts["seed"] not in by_number]
    if lacking:
        raise ArtifactError(
            f"finetuning_tables: found no probes of {where}, seed {lacking[0]}, expected their "
            f"metrics and correct"
        )
    mine = [by_number[rows.facts["seed"]] for rows, _ in seeds]
    theirs = outcome_of(mine)
    _need(theirs, MODELS, f"probes of {where}")
    ids, probe_ids = seeds[0][1]["id"], mine[0][1]["id"]
    if len(ids) != len(probe_ids):
        raise ArtifactError(
            f"finetuning_tables: found {len(ids)} test points of fine-tuned models and "
            f"{len(probe_ids)} of probes of {where}, expected the same"
        )
    return with_probes(own, theirs, rows_of(ids, probe_ids, what="probe_correct"))


def _need(outcome: Outcome, controls: Sequence[str], what: str) -> None:
    lacking = [name for name in controls if name not in outcome.control]
    if lacking:
        raise ArtifactError(
            f"finetuning_tables: found {what} without {lacking[0]}, expected {', '.join(controls)}"
        )


def _auroc(seeds: Seeds) -> Array:
    """Test AUROC of each row, (seeds, rows); NaN where it is undefined or was not computed."""
    found = np.full((len(seeds), len(seeds[0][1].facts["control"])), np.nan)
    for s, (metrics, correct) in enumerate(seeds):
        wanted = (metrics["group"] == "overall") & (metrics["metric"] == "auroc")
        values = dict(zip(metrics["control"][wanted], metrics["value"][wanted], strict=True))
        found[s] = [values.get(name, np.nan) for name in correct.facts["control"]]
    return found
