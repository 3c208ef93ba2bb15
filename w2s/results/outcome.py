"""All seeds of one dataset and pair, side by side: what every table of accuracies is made from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from w2s.checks import Array, rows_of
from w2s.declare import kinds
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.progress import bar
from w2s.results.intervals import Bootstrap
from w2s.results.metrics import LABEL_SCORES, REGIONS
from w2s.rng import stream

KEY = ("dataset", "weak", "strong")
COLUMNS = ("n_train", *LABEL_SCORES)  # of each row: means over its repeats
DIVIDERS = 2  # seeds with regions: one that is asked, and another that divides its test points
Row = dict[str, Any]
Seeds = list[tuple[Artifact, Artifact]]  # two artifacts of each seed, side by side


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
        shares: Share of easy, hard and overlap points in the pool, and of points that keep their
            region when it is drawn again, (seeds, 4), NaN if undefined.
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


def by_seed(
    first: Sequence[Artifact], second: Sequence[Artifact], *, key: Sequence[str]
) -> list[Seeds]:
    """The seeds of each job: two artifacts of a seed side by side.

    Args:
        first: An artifact of each seed of each job.
        second: Another, in the same order.
        key: The facts that name a job.

    Raises:
        ArtifactError: artifacts that are not side by side, or a seed twice.
    """
    if len(first) != len(second):
        kinds = " and ".join(sorted({item.kind for item in [*first, *second]}))
        raise ArtifactError(
            f"tables: found {len(first)} and {len(second)} files of {kinds}, expected as many"
        )
    jobs: dict[tuple[str, ...], Seeds] = {}
    for one, other in zip(first, second, strict=True):
        if any(one.facts[name] != other.facts[name] for name in (*key, "seed")):
            raise ArtifactError(
                f"tables: found {one.kind} and {other.kind} of different jobs, in this order"
            )
        seeds = jobs.setdefault(tuple(one.facts[name] for name in key), [])
        if any(one.facts["seed"] == known.facts["seed"] for known, _ in seeds):
            raise ArtifactError(f"tables: found seed {one.facts['seed']} of a job twice")
        seeds.append((one, other))
    return list(jobs.values())


def outcome_of(seeds: Seeds) -> Outcome:
    """All seeds of one dataset and pair, test points in the first seed's order.

    Rows that differ only in their restart become units of one row; a row with a single restart, as
    the floor, is the same in all units of its seed.
    """
    facts = [rows.facts for rows, _ in seeds]
    first = seeds[0][1]
    keys = _keys(first)
    if any(_keys(right) != keys for _, right in seeds):
        raise ArtifactError("tables: found seeds with different rows, expected the same in each")
    names = list(dict.fromkeys(key[:2] for key in keys))
    numbers = sorted({restart for *_, restart in keys})
    place = {key: i for i, key in enumerate(keys)}
    units = [
        [place.get((*name, number), place.get((*name, 0))) for name in names] for number in numbers
    ]  # position of each row, [restarts][rows]

    def by_unit(name: str) -> Array:
        return np.stack([right[name][unit] for _, right in seeds for unit in units])

    order = [rows_of(first["id"], right["id"], what="correct") for _, right in seeds]
    correct = [
        right["correct"][unit][:, o]
        for (_, right), o in zip(seeds, order, strict=True)
        for unit in units
    ]
    told = ("easy_share", "hard_share", "density", "stability")
    shares = [[f[name] for name in told] for f in facts]
    return Outcome(
        **{key: facts[0][key] for key in KEY},
        control=[control for control, _ in names],
        proportion=first["proportion"][units[0]],
        correct=np.stack(correct),
        region=np.stack([right["region"][o] for (_, right), o in zip(seeds, order, strict=True)]),
        group=first["group"],
        columns={name: by_unit(name) for name in COLUMNS},
        row_reason=[
            [right.facts["row_reason"][i] for i in unit] for _, right in seeds for unit in units
        ],
        shares=np.array(shares, dtype=np.float64),
        reason=[f["reason"] for f in facts],
        n_pool=facts[0]["n_pool"],
        restarts=len(numbers),
    )


def _keys(correct: Artifact) -> list[tuple[str, str, int]]:
    """Control, proportion and restart of each row.

    Raises:
        ArtifactError: a row twice.
    """
    facts, proportions = correct.facts, map(str, correct["proportion"].tolist())
    keys = list(zip(facts["control"], proportions, correct["restart"].tolist(), strict=True))
    if len(set(keys)) < len(keys):
        name = next(key[0] for i, key in enumerate(keys) if key in keys[:i])
        raise ArtifactError(
            f"tables: found the row {name} of {facts['dataset']}, {facts['weak']}--"
            f"{facts['strong']} twice, expected each row once"
        )
    return keys


class Drawn(Protocol):
    """What a bootstrap can be drawn for: an `Outcome`, or another with a stream of its own."""

    def bootstrap(self, draws: int) -> Bootstrap:
        """Draws of the outcome's own stream."""


AnyOutcome = TypeVar("AnyOutcome", bound=Drawn)


def each_outcome(
    jobs: Sequence[Seeds], made: Callable[[Seeds], AnyOutcome], *, draws: int, what: str, unit: str
) -> Iterator[tuple[AnyOutcome, Bootstrap]]:
    """The outcome of each job with its bootstrap: one for all that is said of it.

    Args:
        jobs: As `by_seed` gives them.
        made: Makes the outcome of a job's seeds, as `outcome_of`.
        draws: Draws of the bootstrap.
        what: Label of the progress bar.
        unit: Its unit.
    """
    with bar(what, len(jobs), unit) as advance:
        for seeds in jobs:
            outcome = made(seeds)
            yield outcome, outcome.bootstrap(draws)
            advance(1)


def table(kind: str, rows: list[Row]) -> Artifact:
    """Rows as columns of the declared dtypes."""
    arrays = {}
    for name, spec in kinds()[kind].arrays.items():
        dtype = object if spec.dtype == "str" else spec.dtype
        arrays[name] = np.array([row[name] for row in rows], dtype=dtype)
    return Artifact(kind, arrays, {})
