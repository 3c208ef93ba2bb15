"""Stage `metric_tables`: floor, w2s and ceiling by metrics beside accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from w2s.checks import Array, rows_of
from w2s.data.candidates import MARK
from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact
from w2s.files.inputs import group_codes, same_job
from w2s.overlap.track import TablesSettings
from w2s.results.intervals import Bootstrap, Estimates, estimate
from w2s.results.metrics import MODELS, correct_rows, prior_matched_rows, question_rows
from w2s.results.outcome import KEY, Row, Seeds, by_seed, each_outcome, table
from w2s.results.ranking import estimate_auroc
from w2s.results.rows import value_of
from w2s.rng import stream

Job = tuple[str, ...]  # dataset, weak, strong and seed


@dataclass(frozen=True)
class Scored:
    """Test predictions of floor, w2s and ceiling of all seeds of one dataset and pair.

    Attributes:
        names: The columns the table begins with.
        proba: P(y = 1), float32 (seeds, 3, n), NaN where a seed lacks the model.
        label: True labels, (n,).
        question: Question of each test point, text (n,); its own name where it has none.
        group: Group of each test point, (n,).
        reason: Why a seed lacks a model, [seeds][3], "" if it does not.
    """

    names: Row
    proba: Array
    label: Array
    question: Array
    group: Array
    reason: Sequence[Sequence[str]]

    def bootstrap(self, draws: int) -> Bootstrap:
        """The draws of the other tables (`w2s.results.outcome.Outcome`)."""
        rng = stream(0, "bootstrap", *self.names.values())
        return Bootstrap.draw(len(self.reason), len(self.label), draws, rng, groups=self.group)


def metric_tables(
    examples: Sequence[Artifact],
    weak_labels: Sequence[Artifact],
    runs: Sequence[Artifact],
    predictions: Sequence[Artifact],
    *,
    settings: TablesSettings,
) -> dict[str, Artifact]:
    """Every metric of the three models; weak labels, runs and predictions in the same order."""
    if len(weak_labels) != len(runs):
        raise ArtifactError(
            f"metric_tables: found {len(weak_labels)} files of weak_labels and {len(runs)} of "
            "runs, expected as many"
        )
    texts = {item.facts["dataset"]: item for item in examples}
    floors: dict[Job, Artifact] = {}
    for floor, mine in zip(weak_labels, runs, strict=True):
        same_job(weak_labels=floor, runs=mine)
        floors[_job(mine)] = floor
    level, draws = settings.evaluation.level, settings.evaluation.bootstrap

    def scored(seeds: Seeds) -> Scored:
        return _scored(seeds, texts, floors)

    rows: list[Row] = []
    jobs = by_seed(runs, predictions, key=KEY)
    for found, drawn in each_outcome(jobs, scored, draws=draws, what="metrics", unit="outcomes"):
        rows += metric_rows(found, drawn, level)
    return {"metrics": table("metrics_table", rows)}


def _job(item: Artifact) -> Job:
    return tuple(str(item.facts[name]) for name in (*KEY, "seed"))


def metric_rows(scored: Scored, bootstrap: Bootstrap, level: float) -> list[Row]:
    """A row for each of the three models and each metric."""
    rows = []
    for metric, found in _estimates(scored, bootstrap).items():
        for i, model in enumerate(MODELS):
            why = next(filter(None, (unit[i] for unit in scored.reason)), "")
            if metric == "question" and np.isnan(found.mean[i]):
                why = why or "found no question with several candidates in the test part"
            value = value_of("value", found, i, level, why=why)
            names = {**scored.names, "model": model, "metric": metric}
            rows.append({**names, **value, "n_seeds": int(found.n_seeds[i])})
    return rows


def _estimates(scored: Scored, bootstrap: Bootstrap) -> dict[str, Estimates]:
    """Each metric of the three models, in the order of the table."""
    proba, label = scored.proba, scored.label
    every = np.ones((len(proba), len(label)), dtype=np.float32)
    answers, part = question_rows(proba, label, scored.question)
    error = (proba.astype(np.float64) - label) ** 2
    return {
        "accuracy": estimate(correct_rows(proba, label), every, bootstrap),
        "auroc": estimate_auroc(proba, label, bootstrap),
        "prior_matched": estimate(prior_matched_rows(proba, label), every, bootstrap),
        "brier": estimate(error, every, bootstrap),
        "question": estimate(answers, every * part.astype(np.float32), bootstrap),
    }


def _scored(seeds: Seeds, texts: Mapping[str, Artifact], floors: Mapping[Job, Artifact]) -> Scored:
    """The predictions of all seeds, test points in the first seed's order."""
    first = seeds[0][1]
    dataset, ids = first.facts["dataset"], first["id"]
    if dataset not in texts:
        raise ArtifactError(f"examples: found none of {dataset}, expected those of every job")
    known = texts[dataset]
    place = rows_of(ids, known["id"], what="examples")
    names = [name.partition(MARK)[0] for name in known["source_id"][place]]
    proba, reason = zip(
        *(_models(floors[_job(runs)], runs, found, ids) for runs, found in seeds), strict=True
    )
    return Scored(
        names={name: first.facts[name] for name in KEY},
        proba=np.stack(proba),
        label=known["label"][place],
        question=np.array(names, dtype=object),
        group=group_codes(known["group"][place]),
        reason=reason,
    )


def _models(
    floor: Artifact, runs: Artifact, predictions: Artifact, ids: Array
) -> tuple[Array, list[str]]:
    """P(y = 1) of floor, w2s and ceiling for the test points, (3, n), and why one is lacking."""
    if list(runs["run"]) != list(predictions["run"]):
        raise ArtifactError("predictions: found other runs than in runs, expected the same")
    order = rows_of(ids, predictions["id"], what="predictions")
    weak = floor["weak_proba"][rows_of(ids, floor["id"], what="weak_labels")]
    rows = [int(np.flatnonzero(runs["control"] == model)[0]) for model in MODELS[1:]]
    reason = [floor.facts["reason"], *runs["reason"][rows]]
    proba = np.concatenate([weak[None], predictions["proba"][rows][:, order]])
    proba[[bool(why) for why in reason]] = np.nan
    return proba, reason
