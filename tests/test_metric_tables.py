"""Metrics beside accuracy: by hand, against plain loops and scikit-learn, and as a stage."""

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import SEEDS
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from test_steps import changed, files, renamed, run_stage

from w2s.errors import ArtifactError
from w2s.overlap.metric_tables import Scored, metric_rows
from w2s.results.intervals import Bootstrap, estimate
from w2s.results.metrics import auroc, prior_matched_rows, question_rows
from w2s.results.ranking import estimate_auroc, ranks

MODELS = ("floor", "w2s", "ceiling")
METRICS = ("accuracy", "auroc", "prior_matched", "brier", "question")


def test_prior_matched_by_hand():
    label = np.array([1, 1, 0, 0])
    for proba, expected in (
        ([0.9, 0.8, 0.7, 0.6], [1, 1, 1, 1]),  # at 1/2 only two are right
        ([0.9, 0.1, 0.8, 0.2], [1, 0, 0, 1]),
        ([0.9, 0.5, 0.5, 0.1], [1, 0.5, 0.5, 1]),  # two share one positive
        ([0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]),
        ([0.9, np.nan, 0.5, 0.1], [np.nan] * 4),
    ):
        np.testing.assert_allclose(prior_matched_rows(np.array(proba), label), expected)
    three = np.array([1, 1, 1, 0])
    np.testing.assert_allclose(prior_matched_rows(np.full(4, 0.2), three), [0.75] * 3 + [0.25])
    np.testing.assert_allclose(prior_matched_rows(np.array([0.1, 0.2]), np.array([0, 0])), 1)
    np.testing.assert_allclose(prior_matched_rows(np.array([0.1, 0.2]), np.array([1, 1])), 1)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), min_size=2, max_size=30),
    st.integers(0, 1000),
)
def test_prior_matched_is_the_mean_over_orders_of_ties_and_of_the_scores_order_only(rows, seed):
    score, label = (np.array(side) for side in zip(*rows, strict=True))
    found = prior_matched_rows(score / 4, label)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((400, len(rows)))
    for right in drawn:
        order = np.lexsort((rng.random(len(rows)), -score))
        called = np.zeros(len(rows))
        called[order[: label.sum()]] = 1
        right[:] = called == label
    np.testing.assert_allclose(found, drawn.mean(axis=0), atol=0.15)
    np.testing.assert_allclose(prior_matched_rows(score**3 - 7.0, label), found)
    called = np.where(label == 1, found, 1 - found)
    assert called.sum() == pytest.approx(label.sum())  # as many are positive as there are


def test_questions_by_hand():
    question = np.array(["a", "b", "a", "b", "c", "a", "d", "d"], dtype=object)
    label = np.array([1, 0, 0, 1, 1, 0, 1, 1])  # c has one candidate, d two right ones
    proba = np.array([0.4, 0.9, 0.3, 0.8, 0.9, 0.1, 0.5, 0.6])
    values, part = question_rows(proba, label, question)
    np.testing.assert_allclose(part, [1 / 3, 1 / 2, 1 / 3, 1 / 2, 0, 1 / 3, 0, 0])
    np.testing.assert_allclose(values[[0, 2, 5]], 1)
    np.testing.assert_allclose(values[[1, 3]], 0)
    assert (values * part).sum() / part.sum() == pytest.approx(0.5)
    tied = np.array([0.4, 0.8, 0.4, 0.8, 0.9, 0.4, 0.5, 0.6])
    values, _ = question_rows(np.stack([tied, np.where(question == "b", np.nan, tied)]), label,
                              question)  # fmt: skip
    np.testing.assert_allclose(values[0, [0, 1]], [1 / 3, 1 / 2])
    assert np.isnan(values[1]).all()


def sample(seed, n=40, levels=6, units=3, rows=2, draws=60):
    rng = np.random.default_rng(seed)
    label = rng.integers(2, size=n)
    proba = (rng.integers(levels, size=(units, rows, n)) + label) / (levels + 1)
    return proba, label, Bootstrap.draw(units, n, draws, rng)


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_drawn_auroc_is_scikit_learns_with_weights(seed, levels):
    proba, label, bootstrap = sample(seed, levels=levels)
    counts = bootstrap.examples.T
    found = ranks(proba[0, 0], label).auroc(counts)
    for j in range(0, counts.shape[1], 7):
        weight = counts[:, j]
        drawn = np.repeat(np.arange(len(label)), weight.astype(int))
        if len(set(label[drawn])) < 2:
            assert math.isnan(found[j])
            continue
        assert found[j] == pytest.approx(
            roc_auc_score(label, proba[0, 0], sample_weight=weight), abs=1e-12
        )
        assert found[j] == pytest.approx(auroc(proba[0, 0][drawn], label[drawn]), abs=1e-12)


def test_auroc_of_draws_is_a_plain_loop_over_seeds(monkeypatch):
    monkeypatch.setattr("w2s.results.ranking.DRAWS", 7)
    proba, label, bootstrap = sample(0)
    proba[1, 1, 3] = np.nan  # the second unit lacks the second row
    found = estimate_auroc(proba, label, bootstrap)
    assert found.n_seeds.tolist() == [3, 2]
    for i, units in enumerate(([0, 1, 2], [0, 2])):
        alone = [auroc(proba[u, i], label) for u in units]
        assert found.mean[i] == pytest.approx(np.mean(alone))
        for d in range(60):
            times = bootstrap.examples[d].astype(int)
            drawn = np.repeat(np.arange(len(label)), times)
            weight = bootstrap.seeds[d][units]
            if not weight.sum():
                assert np.isnan(found.draws[d, i])
                continue
            values = [auroc(proba[u, i][drawn], label[drawn]) for u in units]
            assert found.draws[d, i] == pytest.approx(np.average(values, weights=weight))


def test_auroc_of_one_class_is_unknown():
    proba, _, bootstrap = sample(0)
    found = estimate_auroc(proba, np.ones(40), bootstrap)
    assert np.isnan(found.mean).all()
    assert np.isnan(found.draws).all()
    assert found.n_seeds.tolist() == [0, 0]


def scored(seed=0, seeds=5, n=200, strength=(0.5, 1.0, 2.0), candidates=1):
    """Predictions of three models, each with its own strength; groups are questions."""
    rng = np.random.default_rng(seed)
    question = np.arange(n) // candidates
    label = np.arange(n) % 2 if candidates == 1 else (np.arange(n) % candidates == 0) * 1
    logits = rng.normal(size=(seeds, 3, n)) + np.array(strength)[:, None] * (2 * label - 1)
    return Scored(
        names={"dataset": "films", "weak": "small", "strong": "large"},
        proba=(1 / (1 + np.exp(-logits))).astype(np.float32),
        label=label,
        question=question.astype(str).astype(object),
        group=question,
        reason=[["", "", ""]] * seeds,
    )


def rows_of(found, draws=400):
    rows = metric_rows(found, found.bootstrap(draws), 0.95)
    assert [(row["metric"], row["model"]) for row in rows] == [
        (metric, model) for metric in METRICS for model in MODELS
    ]
    return {(row["metric"], row["model"]): row for row in rows}


def test_better_models_are_better_by_every_metric_and_intervals_hold_the_value():
    for candidates in (1, 4):
        found = rows_of(scored(n=800, strength=(0.25, 0.5, 1.0), candidates=candidates))
        for metric in METRICS[: 4 + (candidates > 1)]:
            floor, w2s, ceiling = (found[metric, model]["value"] for model in MODELS)
            assert floor > w2s > ceiling if metric == "brier" else floor < w2s < ceiling
            for model in MODELS:
                row = found[metric, model]
                assert row["lo"] < row["value"] < row["hi"]
                assert row["hi"] - row["lo"] < 0.25
                assert (row["n_seeds"], row["reason"]) == (5, "")


def test_a_moved_threshold_changes_accuracy_and_neither_auroc_nor_prior_matched():
    plain = scored()
    logit = np.log(plain.proba / (1 - plain.proba)) + 2
    moved = replace(plain, proba=(1 / (1 + np.exp(-logit.astype(np.float64)))))
    before, after = rows_of(plain), rows_of(moved)
    for model in MODELS:
        assert after["accuracy", model]["value"] < before["accuracy", model]["value"] - 0.05
        for metric in ("auroc", "prior_matched"):
            for column in ("value", "lo", "hi"):
                assert after[metric, model][column] == pytest.approx(
                    before[metric, model][column], abs=1e-6
                )


def test_questions_are_drawn_whole():
    found = scored(candidates=4, n=80)
    bootstrap = found.bootstrap(50)
    values, part = question_rows(found.proba, found.label, found.question)
    assert (part == 0.25).all()
    counts = bootstrap.examples.reshape(50, 20, 4)
    assert (counts == counts[..., :1]).all()
    mine = estimate(values, np.tile(part.astype(np.float32), (5, 1)), bootstrap)
    each = values[:, 1].reshape(5, 20, 4)[..., 0]  # (seeds, questions)
    expected = [
        np.average(each @ counts[d, :, 0] / counts[d, :, 0].sum(), weights=bootstrap.seeds[d])
        for d in range(50)
    ]
    np.testing.assert_allclose(mine.draws[:, 1], expected, atol=1e-6)


def test_what_is_lacking_has_its_reason():
    found = scored(seeds=3)
    proba = found.proba.copy()
    proba[1, 0] = np.nan
    proba[:, 2] = np.nan
    why = [["", "", "no"], ["weak probe: found only targets equal to 1", "", "no"], ["", "", "no"]]
    rows = rows_of(replace(found, proba=proba, reason=why))
    assert rows["auroc", "floor"]["n_seeds"] == rows["accuracy", "floor"]["n_seeds"] == 2
    assert rows["brier", "floor"]["reason"] == why[1][0]
    assert rows["brier", "w2s"]["reason"] == ""
    for metric in METRICS:
        row = rows[metric, "ceiling"]
        assert (row["n_seeds"], row["reason"]) == (0, "no")
        assert np.isnan([row["value"], row["lo"], row["hi"]]).all()
    alone = rows["question", "w2s"]
    assert math.isnan(alone["value"])
    assert alone["reason"] == "found no question with several candidates in the test part"


def inputs(chain):
    names = ("weak_labels-{}.parquet", "runs-{}.parquet", "predictions-{}.safetensors")
    lists = [files(chain, *(name.format(seed) for seed in SEEDS)) for name in names]
    return [files(chain, "examples.parquet"), *lists]


def made(read):
    return run_stage("metric_tables", *read, evaluation={"bootstrap": 200})["metrics"].frame


def test_accuracy_is_that_of_the_main_table_and_values_are_those_of_the_metrics(chain):
    (main,), (metrics,) = files(chain, "table-main.parquet"), files(chain, "table-metrics.parquet")
    shown = metrics.frame.set_index(["metric", "model"])
    one = main.frame.iloc[0]
    for model in MODELS:
        row = shown.loc["accuracy", model]
        assert [row["value"], row["lo"], row["hi"]] == [one[model], one[f"{model}_lo"],
                                                        one[f"{model}_hi"]]  # fmt: skip
    rows = [
        item.frame.query("group == 'overall'").set_index(["control", "metric"])["value"]
        for item in files(chain, *(f"metrics-{seed}.parquet" for seed in SEEDS))
    ]
    for metric in ("auroc", "brier"):
        for model in MODELS:
            expected = np.mean([values.loc[model, metric].item() for values in rows])
            assert shown.loc[metric, model]["value"] == pytest.approx(expected, abs=1e-6)


def test_the_order_of_files_and_points_changes_nothing(chain):
    read = inputs(chain)
    before = made(read)
    turned = [side[::-1] for side in read]
    np.testing.assert_allclose(made(turned)["value"], before["value"])
    order = np.random.default_rng(0).permutation(len(read[0][0]))
    moved = [[read[0][0].where(order)], *read[1:]]
    assert made(moved).equals(before)


def test_mismatched_files_are_one_line(chain):
    texts, weak, runs, found = inputs(chain)
    for read, expected in (
        ([texts, weak[:1], runs, found], "found 1 files of weak_labels and 2 of runs"),
        ([texts, weak[::-1], runs, found], "found seed"),
        ([texts, weak, runs, found[::-1]], "of different jobs, in this order"),
        (
            [[renamed(texts[0], dataset="other")], weak, runs, found],
            "examples: found none of films",
        ),
        ([texts, weak, [changed(runs[0], run=runs[0]["run"][::-1]), runs[1]], found], "other runs"),
    ):
        with pytest.raises(ArtifactError, match=expected) as caught:
            made(read)
        assert "\n" not in str(caught.value)
