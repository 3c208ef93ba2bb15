"""The table of label noise: means over seeds with intervals, and differences to noisy labels.

Accuracies have a bootstrap over seeds and test points. AUROC exists once a seed, and has Student's
t over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array, rows_of
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.label_noise.track import USES, LabelNoiseTablesSettings
from w2s.results.intervals import Bootstrap, Estimates, estimate, holm, p_value
from w2s.results.metrics import correct_rows
from w2s.results.outcome import KEY, Row, Seeds, by_seed, each_outcome, table
from w2s.results.rows import over_seeds, spread, too_few
from w2s.rng import stream

Key = tuple[str, str, str, str]  # noise, rate, method, use: repeats of one are averaged
CEILING = ("", "nan", "", "ceiling")


@dataclass(frozen=True)
class NoiseOutcome:
    """All seeds of one dataset and pair.

    Attributes:
        names: The columns the table begins with.
        keys: Noise, rate, method and use of each of k rows.
        correct: Share of repeats that get a test point right, float32 (seeds, k, n), NaN where a
            repeat has no predictions.
        auroc: Mean over repeats, (seeds, k), NaN where there is none.
        reason: Why a seed lacks a row, [seeds][k], "" if it does not.
        group: Group of each test point, (n,).
    """

    names: Row
    keys: Sequence[Key]
    correct: Array
    auroc: Array
    reason: Sequence[Sequence[str]]
    group: Array

    def bootstrap(self, draws: int) -> Bootstrap:
        """Draws of the outcome's own stream; test points of a group are drawn together."""
        rng = stream(0, "bootstrap", "label_noise", *self.names.values())
        n = self.correct.shape[2]
        return Bootstrap.draw(len(self.reason), n, draws, rng, groups=self.group)

    def why(self, *rows: int) -> str:
        """Why some seed lacks one of these rows, "" if none does."""
        return next((told[i] for told in self.reason for i in rows if told[i]), "")


def label_noise_tables(
    runs: Sequence[Artifact], predictions: Sequence[Artifact], *, settings: LabelNoiseTablesSettings
) -> dict[str, Artifact]:
    """A row for each dataset, pair, noise, rate and method.

    All differences of the table, of filtered and of relabelled labels, are one family.
    """
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap
    jobs = by_seed(runs, predictions, key=KEY)
    rows: list[Row] = []
    what = "label noise tables"
    for found, drawn in each_outcome(jobs, noise_outcome, draws=draws, what=what, unit="outcomes"):
        rows += noise_rows(found, drawn, level)
    names = [f"{use}_p" for use in USES]
    adjusted = holm(np.array([row[name] for row in rows for name in names]))
    for row, values in zip(rows, adjusted.reshape(len(rows), -1), strict=True):
        row |= {f"{name}_holm": p for name, p in zip(names, values.tolist(), strict=True)}
    return {"label_noise": table("label_noise_table", rows)}


def noise_rows(outcome: NoiseOutcome, bootstrap: Bootstrap, level: float) -> list[Row]:
    """What each method finds of each noise, and what its filtered and relabelled labels gain."""
    place = {key: i for i, key in enumerate(outcome.keys)}
    pairs = [
        (place[noise, rate, method, use], place[noise, rate, "", "noisy"])
        for noise, rate, method, use in outcome.keys
        if use in USES
    ]
    here, there = np.array(pairs).T
    values = outcome.correct[:, here] - outcome.correct[:, there]
    every = np.ones((len(values), values.shape[2]), dtype=np.float32)
    gain, level_of = estimate(values, every, bootstrap), estimate(outcome.correct, every, bootstrap)
    at = {outcome.keys[row]: i for i, row in enumerate(here)}
    rows = []
    for noise, rate, method, use in outcome.keys:
        if use != USES[0]:
            continue
        mine = [place[noise, rate, method, name] for name in USES]
        auroc, noisy = outcome.auroc[:, mine[0]], place[noise, rate, "", "noisy"]
        row = {**outcome.names, "noise": noise, "rate": float(rate), "method": method}
        row |= over_seeds("auroc", auroc, level)
        n_seeds = int(np.isfinite(auroc).sum())
        whys = (outcome.why(*mine, noisy), too_few(auroc))
        row |= {
            "ceiling": float(level_of.mean[place[CEILING]]),
            "noisy": float(level_of.mean[noisy]),
            "n_seeds": n_seeds,
            "reason": "; ".join(why for why in whys if why),
        }
        for name in USES:
            row |= _difference(gain, at[noise, rate, method, name], name, level)
        rows.append(row)
    return rows


def _difference(gain: Estimates, i: int, use: str, level: float) -> Row:
    """The columns of one difference to noisy labels, but for the corrected p."""
    mean, draws = float(gain.mean[i]), gain.draws[:, i]
    return {
        **spread(f"{use}_minus_noisy", mean, draws, level),
        f"{use}_p": p_value(mean, draws, level=level),
    }


def noise_outcome(seeds: Seeds) -> NoiseOutcome:
    """All seeds of one dataset and pair, test points in the first seed's order."""
    first, found = seeds[0][1], []
    keys = list(dict.fromkeys(_keys(seeds[0][0])))
    for runs, predictions in seeds:
        known = _keys(runs)
        if list(dict.fromkeys(known)) != keys:
            raise ArtifactError("tables: found seeds with different rows, expected the same")
        if list(runs["run"]) != list(predictions["run"]):
            raise ArtifactError("predictions: found other runs than in runs, expected the same")
        order = rows_of(first["id"], predictions["id"], what="predictions")
        right = correct_rows(predictions["proba"], predictions["label"])[:, order]
        rows = [np.flatnonzero([key == mine for mine in known]) for key in keys]
        found.append(
            (
                np.stack([right[mine].mean(axis=0) for mine in rows]),
                np.array([runs["auroc"][mine].mean() for mine in rows]),
                [next(filter(None, runs["reason"][mine]), "") for mine in rows],
            )
        )
    correct, auroc, reason = zip(*found, strict=True)
    names = {name: first.facts[name] for name in KEY}
    return NoiseOutcome(names, keys, np.stack(correct), np.stack(auroc), reason, first["group"])


def _keys(runs: Artifact) -> list[Key]:
    rates = map(str, runs["rate"].tolist())
    return list(zip(runs["noise"], rates, runs["method"], runs["use"], strict=True))
