"""All seeds of one dataset and pair, side by side: what every table of accuracies is made from."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any
import numpy as np
from w2s.checks import Array
from w2s.results.intervals import Bootstrap
from w2s.results.metrics import LABEL_SCORES, REFERENCES, REGIONS
from w2s.rng import stream
CURVE = "few_labels"  # the rows that references are made from
COLUMNS = ("n_train", *LABEL_SCORES)  # of each row: means over its repeats
DIVIDERS = 2  # seeds with regions: one that is asked, and another that divides its test points
Row = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """The results of all seeds of one dataset and pair.

    A unit is a restart of a seed, seed by seed; where models have no restarts it is the seed.

    Attributes:
        dataset, weak, strong: Names.
        control: Name of each row: floor, w2s, ceiling, or a curve, (rows,).
        proportion: Share of overlap points of each row, NaN where it has none, (rows,).
        correct: Share of repeats that get a test point right, float32 (units, rows, n), NaN where a
            unit lacks the row.
        region: Region code of each test point, int8 (seeds, n), -1 where undefined.
        group: Group of each test point, int64 (n,); all different where there are no groups.
        columns: Numbers of the trainings by name (`COLUMNS`), each (units, rows).
        row_reason: Why a unit lacks a row, [units][rows].
        shares: Share of easy, hard and overlap points in the pool, (seeds, 3), NaN if undefined.
        reason: Why a seed is degenerate, "" if it is not, [seeds].
        n_pool: Size of the training pool.
        restarts: Units of a seed.
    """

    dataset: str
    weak: str
    strong: str
    control: Sequence[str]
    proportion: Array
    correct: Array
    region: Array
    group: Array
    columns: Mapping[str, Array]
    row_reason: Sequence[Sequence[str]]
    shares: Array
    reason: Sequence[str]
    n_pool: int
    restarts: int = 1

    @property
    def names(self) -> Row:
        """The columns every table begins with."""
        return {"dataset": self.dataset, "weak": self.weak, "strong": self.strong}

    @property
    def n_groups(self) -> int:
        """What the bootstrap resamples: groups of test points, or the points."""
        return len(np.unique(self.group))

    def row(self, control: str) -> int:
        """Position of a row without proportion."""
        return list(self.control).index(control)

    def bootstrap(self, draws: int) -> Bootstrap:
        """Draws of the outcome's own stream: equal seeds and test points give equal draws."""
        rng = stream(0, "bootstrap", self.dataset, self.weak, self.strong)
        n = self.correct.shape[2]
        return Bootstrap.draw(
            len(self.reason), n, draws, rng, restarts=self.restarts, groups=self.group
        )

    def seeds_of(self, units: int) -> int:
        """The seeds that some units belong to; of a seed some restarts may have failed."""
        return -(-int(units) // self.restarts)

    def groups(self) -> dict[str, Array]:
        """How much each test point counts, overall and in each region: float32 (units, n).

        Regions are cut, for the trainings of a seed, by the weak models and detectors of the other
        seeds; a point's weight is the share of these that put it into the region. Cut by a seed's
        own weak model, its floor would be bad on hard points by selection, and any other model of
        equal accuracy would seem to gain there. What the weak models of all seeds share stays (a
        majority vote is the same in each), so a difference to the floor on a region is no evidence;
        one to a reference is, but a student that imitates its teacher looks worse there.
        """
        known = np.asarray((self.region >= 0).any(axis=1))  # (seeds,)
        others = known.sum() - known
        found = {"overall": np.ones(self.region.shape, dtype=np.float32)}
        for code, name in enumerate(REGIONS):
            member = (self.region == code) & known[:, None]
            weight = (member.sum(axis=0) - member) / np.maximum(others, 1)[:, None]
            found[name] = weight.astype(np.float32)
        return {name: np.repeat(each, self.restarts, axis=0) for name, each in found.items()}

    def why_row(self, *rows: int) -> str:
        """Why some unit lacks one of these rows, "" if none does."""
        return next((why[i] for why in self.row_reason for i in rows if why[i]), "")

    def why_group(self, n_seeds: int, group: str) -> str:
        """Why fewer than all seeds have a value on a group of test points, "" if all have."""
        known = int((self.region >= 0).any(axis=1).sum())
        if n_seeds == len(self.reason):
            return ""
        told = next(filter(None, self.reason), "")
        if group != "overall" and known < DIVIDERS:
            told = told or (
                f"found {known} seed with regions, expected {DIVIDERS} or more: test points are "
                f"divided by the weak models of other seeds"
            )
        return told or f"seeds without {group} test points"


def with_references(outcome: Outcome) -> Outcome:
    """The outcome with a row for each of `REFERENCES`: models of known accuracy, true labels.

    A reference is the strong model on so few true labels that it gets as many test points right as
    the floor, or as w2s. It is the draw between two neighbours of the learning curve `few_labels`
    (whose end is the ceiling) that has exactly this accuracy, mean over units; what is between
    two is not trained. A difference between w2s and such a model on some points cannot be due to
    how accurate either is.
    """
    for name, target in REFERENCES.items():
        outcome = _with_reference(outcome, name, target)
    return outcome


def _with_reference(outcome: Outcome, name: str, target: str) -> Outcome:
    curve = [
        i
        for i, control in enumerate(outcome.control)
        if control == CURVE and not outcome.why_row(i)
    ]
    curve = [*sorted(curve, key=lambda i: outcome.proportion[i]), outcome.row("ceiling")]
    wanted = outcome.row(target)
    share = outcome.correct[:, [*curve, wanted]].mean(axis=2, dtype=np.float64)  # (units, k + 1)
    whole = np.isfinite(share).all(axis=1)
    lost = [
        next((why[i] for i in (*curve, wanted) if why[i]), "") for why in outcome.row_reason
    ]  # a unit that lacks a side has no part in the comparison
    accuracy = share[whole].mean(axis=0) if whole.any() else np.full(len(curve) + 1, np.nan)
    goal = accuracy[-1]
    crossing = [
        k for k in range(len(curve) - 1) if accuracy[k] <= goal <= accuracy[k + 1]
    ]  # the first, where noise makes several
    if not crossing:
        few = [i for i, control in enumerate(outcome.control) if control == CURVE]
        told = outcome.why_row(*curve, wanted)
        if len(curve) == 1:
            told = outcome.why_row(*few) if few else f"`mixing.controls` has no {CURVE}"
        elif whole.any():
            told = (
                f"{name}: {target} has accuracy {goal:.3f}, outside of {accuracy[:-1].min():.3f} "
                f"to {accuracy[:-1].max():.3f}, from {CURVE} to the ceiling"
            )
        return _appended(outcome, name, (curve[-1], curve[-1]), 0.0, [told] * len(lost))
    below, above = curve[crossing[0]], curve[crossing[0] + 1]
    low, high = accuracy[crossing[0]], accuracy[crossing[0] + 1]
    part = float((goal - low) / (high - low)) if high > low else 0.0
    return _appended(outcome, name, (below, above), part, lost)


def _appended(
    outcome: Outcome, name: str, pair: tuple[int, int], part: float, whys: Sequence[str]
) -> Outcome:
    """The outcome with one more row: `part` of the second of a pair of rows, the rest of the first.

    NaN in units with a reason, [units].
    """
    below, above = pair
    lacking = np.array([bool(why) for why in whys])

    def mixed(values: Array) -> Array:
        row = (1 - part) * values[:, below] + part * values[:, above]
        row[lacking] = np.nan
        return np.concatenate([values, row[:, None].astype(values.dtype)], axis=1)

    return replace(
        outcome,
        control=[*outcome.control, name],
        proportion=np.append(outcome.proportion, np.nan),
        correct=mixed(outcome.correct),
        columns={key: mixed(values) for key, values in outcome.columns.items()},
        row_reason=[[*known, why] for known, why in zip(outcome.row_reason, whys, strict=True)],
    )
