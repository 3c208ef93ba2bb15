"""Selection arms: draws by hand, controls that match, students, tables, and own selectors."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.arms.own import own_scores, own_selectors
from w2s.arms.plans import Plan, arm_plans, whole_pool
from w2s.arms.pool import Pool
from w2s.arms.selectors import METHODS
from w2s.arms.stages import described, scored, student_of, trained
from w2s.arms.tables import Armed, arm_rows, arms_tables, whole_rows
from w2s.arms.track import MATCHED, SELECTORS, WHOLE, ArmsConfig, ArmsSettings
from w2s.config import parse_as
from w2s.errors import ArtifactError, ConfigError, DataError
from w2s.files.artifacts import Artifact
from w2s.overlap.draws import cells_of, chosen, flipped, like, relabelled, unteaching
from w2s.overlap.track import TablesSettings
from w2s.results.intervals import holm, p_value
from w2s.results.outcome import table
from w2s.rng import stream

LEVEL = 0.95


def streams(name):
    return stream(0, name)


def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def points():
    """A pool whose strong vectors tell the label, whose weak labels err, and its test points."""
    draw = np.random.default_rng(3)
    n, m = 300, 200
    label = draw.integers(0, 2, n + m)
    sign = 2.0 * label - 1
    strong = draw.normal(size=(n + m, 6))
    strong[:, 0] += 1.5 * sign
    weak = draw.normal(size=(n + m, 4))
    weak[:, 0] += 0.8 * sign
    proba = 1 / (1 + np.exp(-2 * weak[:, 0]))
    pool = Pool(
        id=np.arange(n),
        n_tokens=draw.integers(3, 30, n),
        weak_proba=proba[:n],
        weak=weak[:n],
        strong=strong[:n],
        region=np.array(["easy", "hard", "overlap"], dtype=object)[draw.integers(0, 3, n)],
        overlap_score=draw.normal(size=n),
        group=np.arange(n),
        trained_weak=weak[n:],
        trained_label=label[n:],
        label=None,
        streams=streams,
    )
    return pool, label[:n], (weak[:n], weak[n:]), (strong[:n], strong[n:]), label[n:], proba[n:]


@pytest.mark.parametrize(
    ("band", "expected"), [("high", {3, 5}), ("low", {0, 2}), ("middle", {4, 1})]
)
def test_bands_of_scores_by_hand(band, expected):
    score, positive = np.array([0.0, 3, 1, 5, 2, 4]), np.zeros(6, dtype=bool)
    rows = chosen(score, positive, budget=1 / 3, band=band, balanced=False, rng=rng())
    assert set(rows.tolist()) == expected


def test_balanced_arms_take_the_best_of_each_label_as_far_as_the_rarer_one_goes():
    score = np.arange(10.0)
    positive = np.array([False] * 7 + [True] * 3)
    rows = chosen(score, positive, budget=0.4, band="high", balanced=True, rng=rng())
    assert sorted(rows.tolist()) == [5, 6, 8, 9]
    rows = chosen(score, positive, budget=1, band="low", balanced=True, rng=rng())
    assert sorted(rows.tolist()) == [0, 1, 2, 7, 8, 9]
    assert not len(chosen(score, positive & False, budget=1, band="low", balanced=True, rng=rng()))


def test_equal_scores_are_kept_by_chance_and_not_by_their_order():
    kept = [
        chosen(np.zeros(40), np.zeros(40, bool), budget=0.5, band="high", balanced=False,
               rng=np.random.default_rng(seed))
        for seed in range(30)
    ]  # fmt: skip
    share = np.mean([np.isin(np.arange(40), rows) for rows in kept], axis=0)
    assert share.min() > 0.1
    assert share.max() < 0.9


@given(
    st.integers(20, 60), st.floats(0.1, 1), st.sampled_from(["high", "low", "middle"]),
    st.booleans(), st.integers(0, 9),
)  # fmt: skip
def test_arms_hold_each_point_once_and_their_controls_match_them(n, budget, band, balanced, seed):
    draw = np.random.default_rng(seed)
    positive, right = draw.random(n) < 0.4, draw.random(n) < 0.7
    n_tokens = draw.integers(1, 5, n)
    rows = chosen(draw.normal(size=n), positive, budget=budget, band=band, balanced=balanced,
                  rng=draw)  # fmt: skip
    assert len(set(rows.tolist())) == len(rows)
    if balanced:
        assert positive[rows].sum() * 2 == len(rows)
    else:
        assert len(rows) == round(budget * n)
    for name, cell in cells_of(positive, right, n_tokens, rng=draw).items():
        for mine in like(rows, cell, 2, name=name, streams=streams):
            assert len(set(mine.tolist())) == len(mine)
            assert np.array_equal(np.sort(cell[mine]), np.sort(cell[rows]))
            assert positive[mine].sum() == positive[rows].sum()
            if name == "purity_matched":
                assert right[mine].sum() == right[rows].sum()


def test_tenths_of_token_length_hold_as_many_points_each_whatever_the_ties():
    cell = cells_of(np.zeros(200, bool), np.ones(200, bool), np.full(200, 7), rng=rng())
    assert np.bincount(cell["length_matched"]).tolist() == [20] * 10


def test_arms_of_equal_counts_share_their_random_points():
    cell = np.array([0, 0, 1, 1] * 5)
    first, second = (
        like(np.array(rows), cell, 3, name="random", streams=streams)
        for rows in ([0, 1, 2, 3], [4, 5, 6, 7])
    )
    assert all(map(np.array_equal, first, second))
    assert not np.array_equal(first[0], first[1])


def test_labels_of_a_purity_have_it_and_keep_what_they_should():
    label = np.array([0, 1] * 50)
    weak = label.copy()
    weak[:30] = 1 - weak[:30]
    mended = relabelled(weak, label, 0.9, rng())
    assert np.mean(mended == label) == 0.9
    assert np.all(mended[30:] == label[30:])  # errors left are where the weak model errs
    assert relabelled(weak, label, 0.6, rng()) is None
    assert np.mean(flipped(label, 0.9, rng()) == label) == 0.9
    assert np.mean(flipped(label, 0.9, rng())[30:] != label[30:]) > 0


def test_unteaching_labels_are_the_pools_own_in_another_order():
    proba = np.linspace(0.05, 0.95, 30)
    found = unteaching(proba, 2, streams=streams)
    for mine in found["shuffled"]:
        assert np.array_equal(np.sort(mine), proba)
        assert not np.array_equal(mine, proba)
    assert all(mine.sum() == 15 for mine in found["random_labels"])


def fit_of(pool, student="logistic", **changes):
    settings = ArmsSettings(arms=ArmsConfig(**changes))
    return student_of(student, settings, pool)


def test_trainings_together_are_what_each_is_alone_and_the_same_ones_are_made_once(points):
    pool, _label, weak, strong, truth, _ = points
    rows = [np.arange(0, 100), np.arange(50, 200)]
    sets = [(mine, pool.weak_proba) for mine in rows]
    plans = [
        Plan("arm", sets=sets[:1]),
        Plan("random", sets=sets),
        Plan("weak_vectors", sets=sets[:1], on_weak=True),
        Plan("arm", reason="none"),
        Plan("floor", known=np.full(len(truth), 0.5)),
    ]
    made = []
    fit = fit_of(pool)

    def counted(x, targets, weights):
        made.append(weights.shape[1])
        return fit(x, targets, weights)

    correct, told = trained(plans, counted, weak, strong, label=truth)
    assert made == [1, 2]
    alone = [trained([Plan("arm", sets=[s])], fit, weak, strong, label=truth)[0] for s in sets]
    assert np.array_equal(correct[0], alone[0][0])
    assert np.array_equal(correct[1], (alone[0][0] + alone[1][0]) / 2)
    assert not np.array_equal(correct[2], correct[0])
    assert np.isnan(correct[3]).all()
    assert told == ["", "", "", "none", ""]
    assert (correct[4] == 0.5).all()


def test_unbalanced_arms_of_the_whole_budget_are_w2s_whatever_the_selector(points):
    pool, label, weak, strong, truth, proba = points
    arms = ArmsConfig(selectors=("confidence",), budgets=(1,), balanced=False, random=2)
    scores, reasons = scored(pool, label, arms)
    plans = [
        *whole_pool(pool, label, proba, arms, ""),
        *arm_plans(pool, label, scores, reasons, arms, ""),
    ]
    correct, _ = trained(plans, fit_of(pool), weak, strong, label=truth)
    w2s = next(i for i, plan in enumerate(plans) if plan.control == "w2s")
    same = [i for i, p in enumerate(plans) if p.selector and p.control != "weak_vectors"]
    assert len(same) == 1 + 3 * 4  # confidence calls no label wrong
    for i in same:
        assert np.array_equal(correct[i], correct[w2s])


def test_weak_labels_that_are_right_teach_more_but_no_more_than_random_right_ones(points):
    pool, label, weak, strong, truth, _proba = points
    arms = ArmsConfig(selectors=("weak_right",), bands=("high", "low"), budgets=(0.3,))
    scores, reasons = scored(pool, label, arms)
    plans = list(arm_plans(pool, label, scores, reasons, arms, ""))
    correct, told = trained(plans, fit_of(pool), weak, strong, label=truth)
    assert not any(told)
    mean = {(p.selector, p.band, p.control): correct[i].mean() for i, p in enumerate(plans)}
    high = mean["weak_right", "high", "arm"]
    assert high > mean["random", "", "arm"] + 0.02
    assert abs(high - mean["weak_right", "high", "purity_matched"]) < 0.03
    assert mean["weak_right", "low", "arm"] < mean["random", "", "arm"] - 0.1
    rows = [described(p, "logistic", "", label) for p in plans]
    purity = {(row["selector"], row["band"], row["control"]): row["label_accuracy"] for row in rows}
    assert purity["weak_right", "high", "arm"] == 1
    for band in ("high", "low"):
        arm, matched = (purity["weak_right", band, name] for name in ("arm", "purity_matched"))
        assert arm == matched
    assert all(row["class_balance"] == 0.5 for row in rows)


def test_labels_that_a_selector_doubts_are_flipped_and_so_are_as_many_of_its_controls(points):
    pool, label, *_ = points
    arms = ArmsConfig(selectors=("weak_right", "rp"), bands=("relabel",), budgets=(0.9, 1.0))
    scores, reasons = scored(pool, label, arms)
    plans = [p for p in arm_plans(pool, label, scores, reasons, arms, "") if p.selector != "random"]
    assert {plan.selector for plan in plans} == {"weak_right"}  # rp calls no label wrong
    rows = {(p.control, p.budget): described(p, "logistic", "", label) for p in plans}
    assert all(row["n"] == len(label) for row in rows.values())
    weak = pool.weak_proba > 0.5
    for plan in plans:
        for every, target in plan.sets:
            changed = target != pool.weak_proba
            assert len(every) == len(label)
            assert changed.sum() == round((1 - plan.budget) * len(label))
            assert np.array_equal(target[changed], 1 - pool.weak_proba[changed])
            first = plans[0].sets[0][1] != pool.weak_proba
            if plan.budget == 0.9:
                assert weak[changed].sum() == weak[first].sum()
    before = np.mean(weak == (label == 1))
    right = {key: row["label_accuracy"] for key, row in rows.items()}
    assert right["arm", 0.9] == pytest.approx(before + 0.1) == right["purity_matched", 0.9]
    assert right["random", 0.9] < before < right["arm", 0.9]
    assert right["arm", 1.0] == pytest.approx(before)


def test_no_selector_but_an_oracle_is_given_true_labels(points):
    pool, label, *_ = points
    seen = {}

    def spy(name):
        def score(given):
            seen[name] = given.label
            return np.zeros(len(given.id))

        return score

    with pytest.MonkeyPatch.context() as patch:
        for name in SELECTORS:
            patch.setitem(METHODS, name, spy(name))
        scored(pool, label, ArmsConfig())
    oracles = {name for name, selector in SELECTORS.items() if selector.oracle}
    assert {name for name, given in seen.items() if given is not None} == oracles == {"weak_right"}


def test_every_selector_that_is_declared_is_there_and_says_what_it_is():
    assert set(METHODS) == set(SELECTORS)
    for name, selector in SELECTORS.items():
        assert all((selector.label, selector.sentence, selector.sees, selector.color)), name
    looks = [(selector.color, selector.style) for selector in SELECTORS.values()]
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("student", ["logistic", "knn", "perceptron"])
def test_students_learn_and_shuffled_labels_teach_nothing(student, points):
    pool, label, weak, strong, truth, proba = points
    arms = ArmsConfig(random=6, purities=(1.0, 0.7, 0.1))
    plans = list(whole_pool(pool, label, proba, arms, ""))
    correct, told = trained(plans, fit_of(pool, student), weak, strong, label=truth)
    mean = {(p.control, str(p.purity)): c.mean() for p, c in zip(plans, correct, strict=True)}
    nothing = mean["shuffled", "nan"], mean["random_labels", "nan"], mean["constant", "nan"]
    assert mean["w2s", "nan"] > 0.8
    assert mean["ceiling", "nan"] > 0.85
    assert all(0.3 < value < 0.65 for value in nothing)
    assert mean["relabel", "1.0"] == mean["iid", "1.0"]
    reason = {(p.control, p.purity): why for p, why in zip(plans, told, strict=True)}
    assert reason["relabel", 0.1] == "more than 0.1 of the weak labels are right already"
    assert not reason["iid", 0.1]


def test_a_selector_that_is_undefined_tells_why_and_loses_nothing_else(points):
    pool, label, *_ = points
    arms = ArmsConfig(selectors=("overlap", "confidence"), budgets=(0.5, 0.02), bands=("high",))
    given = replace(pool, region=np.full(len(label), "undefined", dtype=object))
    scores, reasons = scored(given, label, arms)
    assert np.isnan(scores["overlap"]).all()
    assert list(reasons) == ["overlap"]
    plans = list(arm_plans(given, label, scores, reasons, arms, ""))
    told = {(p.selector, p.budget): p.reason for p in plans if p.control == "arm"}
    assert told["overlap", 0.5] == reasons["overlap"]
    assert told["confidence", 0.5] == ""
    assert "expected 10 or more" in told["confidence", 0.02]
    assert all(bool(p.sets) != bool(p.reason) for p in plans)


def test_own_selectors_are_functions_of_a_file_and_oracles_alone_see_labels(tmp_path, points):
    pool, label, *_ = points
    path = tmp_path / "mine.py"
    path.write_text(
        "def longest(pool):\n    return pool.n_tokens\n\n"
        "def told(pool):\n    return pool.label\n\n"
        "SELECTORS = {'longest': longest}\nORACLES = {'told': told}\n"
    )
    scores, _ = scored(pool, label, ArmsConfig(selectors=(), selectors_file=str(path)))
    assert np.array_equal(scores["longest"], pool.n_tokens)
    assert np.array_equal(scores["told"], label)


def test_the_selector_of_the_page_on_arms_is_one(tmp_path, points):
    pool, label, *_ = points
    page = (Path(__file__).parents[1] / "docs/arms.md").read_text(encoding="utf-8")
    (tmp_path / "mine.py").write_text(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1])
    arms = ArmsConfig(selectors=(), selectors_file=str(tmp_path / "mine.py"))
    score = scored(pool, label, arms)[0]["sure_neighbours"]
    unit = pool.strong / np.linalg.norm(pool.strong, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    near = np.argsort(-cosine, axis=1)[:, :10]
    assert np.allclose(score, (2 * abs(pool.weak_proba - 0.5))[near].mean(axis=1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(pool)\n", "SyntaxError"),
        ("X = 1\n", "found no SELECTORS"),
        ("SELECTORS = {'rp': len}\n", "'rp', expected a name not taken"),
        ("SELECTORS = {'mine': len}\n", "'mine', expected a name not taken"),
        ("SELECTORS = {'a/b': len}\n", "'a/b', expected a name of letters"),
        ("SELECTORS = [len]\n", r"found \[.*, expected {NAME: FUNCTION}"),
        ("SELECTORS = {'f': 3}\n", "found 3 for 'f', expected a function"),
        ("SELECTORS = {'f': lambda pool: next(iter([]))}\n", "found StopIteration, expected"),
        ("raise SystemExit\n", "found SystemExit, expected a file that runs"),
        ("def f(pool):\n    pool.strong[:] = 0\nSELECTORS = {'f': f}\n", "is read-only"),
        ("def f(pool):\n    pool.weak_proba[:] = 0\nORACLES = {'f': f}\n", "is read-only"),
        ("def f(pool):\n    pool.label[:] = 0\nORACLES = {'f': f}\n", "is read-only"),
        ("SELECTORS = {'f': lambda pool: pool.nothing}\n", "f: found AttributeError"),
        (
            "SELECTORS = {'f': lambda pool: [1, 2]}\n",
            "expected 300 numbers",
        ),
        ("SELECTORS = {'f': lambda pool: pool.weak_proba / 0}\n", "300 scores that are NaN or inf"),
        ("SELECTORS = {'f': lambda pool: pool.label}\n", "expected 300 numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_mistakes_of_own_selectors_are_told_in_one_line(text, message, tmp_path, points):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        scored(
            points[0],
            points[1],
            ArmsConfig(selectors=(), selectors_file=str(path), scores={"mine": "a.npz"}),
        )
    with pytest.raises(DataError, match="found no file"):
        own_selectors(str(tmp_path / "other.py"))


def test_scores_of_a_file_are_matched_by_id(tmp_path):
    ids, score = np.array([7, 3, 9, 1]), np.array([0.7, 0.3, 0.9, 0.1])
    np.savez(tmp_path / "a.npz", id=ids, score=score)
    pd.DataFrame({"id": ids, "score": score}).to_parquet(tmp_path / "a.parquet")
    for name in ("a.npz", "a.parquet"):
        assert own_scores(tmp_path / name, np.array([1, 9])).tolist() == [0.1, 0.9]
        with pytest.raises(ArtifactError, match="found no row for 1 of 2"):
            own_scores(tmp_path / name, np.array([1, 2]))


def test_an_own_selector_may_be_undefined_and_loses_nothing_else(tmp_path, points):
    pool, label, *_ = points
    path = tmp_path / "mine.py"
    path.write_text(
        "from w2s.errors import DegenerateError\n"
        "def mine(pool):\n    raise DegenerateError('too few')\n"
        "SELECTORS = {'mine': mine}\n"
    )
    arms = ArmsConfig(selectors=("confidence",), selectors_file=str(path))
    scores, reasons = scored(pool, label, arms)
    assert reasons == {"mine": "too few"}
    assert np.isnan(scores["mine"]).all()
    assert np.isfinite(scores["confidence"]).all()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [1, 2]}, "found no score"),
        ({"id": [0.5, 2], "score": [1, 2]}, "id of float64"),
        ({"id": [[1], [2]], "score": [1, 2]}, r"id of int64 and shape \(2, 1\)"),
        ({"id": 1, "score": [1, 2]}, r"id of int64 and shape \(\)"),
        ({"id": [1, 1], "score": [1, 2]}, "an id twice"),
        ({"id": [1, 2], "score": [1, math.nan]}, "1 scores that are NaN"),
        ({"id": [1, 2], "score": ["a", "b"]}, "expected 2 numbers"),
    ],
)
def test_bad_files_of_scores_are_told_in_one_line(columns, message, tmp_path):
    np.savez(tmp_path / "a.npz", **{name: np.array(values) for name, values in columns.items()})
    with pytest.raises(DataError, match=message):
        own_scores(tmp_path / "a.npz", np.array([1]))
    (tmp_path / "b.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-30])
    (tmp_path / "c.csv").write_text("id,score\n1,2\n")
    (tmp_path / "d.npz").write_bytes(b"")
    for name in ("b.npz", "c.csv", "d.npz", "e.npz"):
        with pytest.raises(DataError, match=r"expected \.parquet or \.npz"):
            own_scores(Path(tmp_path / name), np.array([1]))


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"selectors": ["rpp"]}, "rpp"),
        ({"budgets": [0]}, "greater than 0"),
        ({"budgets": [0.5, 0.5]}, "a value twice"),
        ({"scores": {"rp": "a.npz"}}, "a name that is not taken"),
    ],
)
def test_mistakes_in_the_settings_are_told(given_, message):
    with pytest.raises(ConfigError, match=message):
        parse_as(ArmsConfig, given_)


def armed(correct, names, **changes):
    """An outcome of correctness (seeds, rows, n); names are selector and control."""
    correct = np.array(correct, dtype=np.float32)
    seeds, k, n = correct.shape
    rows = [
        {"student": "logistic", "selector": selector, "band": "high" if selector else "",
         "budget": 0.5, "control": control, "purity": math.nan}
        for selector, control in names
    ]  # fmt: skip
    return Armed(
        names={"dataset": "films", "weak": "small", "strong": "large"},
        rows=rows,
        correct=correct,
        numbers={name: np.full((seeds, k), 0.5) for name in
                 ("n", "label_accuracy", "class_balance")},
        reason=changes.get("reason", [[""] * k for _ in range(seeds)]),
        group=np.arange(n),
    )  # fmt: skip


def test_differences_are_of_an_arm_and_its_own_controls_paired():
    draw = np.random.default_rng(0)
    names = [("random", "arm"), ("rp", "arm"), *(("rp", name) for name in MATCHED)]
    correct = draw.integers(0, 2, (4, len(names), 50))
    outcome = armed(correct, names)
    bootstrap = outcome.bootstrap(300)
    first, row = arm_rows(outcome, bootstrap, LEVEL)
    mean = correct.mean(axis=(0, 2))
    assert row["accuracy"] == pytest.approx(mean[1])
    for k, name in enumerate(("random", "purity_matched", "length_matched")):
        assert row[f"minus_{name}"] == pytest.approx(mean[1] - mean[2 + k])
    assert row["weak_vectors"] == pytest.approx(mean[5])
    both = correct[:, 1] - correct[:, 3]
    weight = bootstrap.seeds @ both  # (draws, n)
    draws = (weight * bootstrap.examples).sum(1) / 4 / 50
    assert row["p"] == pytest.approx(p_value(both.mean(), draws))
    assert row["minus_purity_matched_lo"] == pytest.approx(np.quantile(draws, 0.025))
    assert math.isnan(first["minus_random"])
    assert math.isnan(first["p"])
    assert first["accuracy"] == pytest.approx(mean[0])


def test_a_seed_that_lacks_a_control_has_no_part_in_the_difference():
    correct = np.zeros((3, 2, 8))
    correct[:, 0] = [[1] * 8, [0] * 8, [1] * 8]
    correct[2, 1] = np.nan
    outcome = armed(
        correct, [("rp", "arm"), ("rp", "random")], reason=[["", ""]] * 2 + [["", "no"]]
    )
    (row,) = arm_rows(outcome, outcome.bootstrap(200), LEVEL)
    assert row["accuracy"] == pytest.approx(2 / 3)
    assert row["minus_random"] == 0.5
    assert row["reason"] == "no"


def test_the_gap_that_is_recovered_is_that_of_the_students_own_ceiling():
    correct = np.zeros((2, 3, 10))
    correct[:, 0, :6], correct[:, 1, :8], correct[:, 2, :5] = 1, 1, 1
    outcome = armed(correct, [("", "floor"), ("", "ceiling"), ("", "shuffled")])
    rows = {row["labels"]: row for row in whole_rows(outcome, outcome.bootstrap(200), LEVEL)}
    assert rows["floor"]["pgr"] == 0
    assert rows["ceiling"]["pgr"] == 1
    assert rows["shuffled"]["pgr"] == pytest.approx(-0.5)


def test_a_gap_that_is_none_and_too_few_seeds_for_p_are_told():
    correct = np.zeros((2, 3, 10))
    correct[:, 0, :6], correct[:, 1, :5], correct[:, 2, :8] = 1, 1, 1
    outcome = armed(correct, [("", "floor"), ("", "ceiling"), ("", "w2s")])
    for row in whole_rows(outcome, outcome.bootstrap(200), LEVEL):
        assert math.isnan(row["pgr"])
        assert row["reason"] == "pgr: ceiling - floor is not above 0"
    outcome = armed(correct[:, :2], [("rp", "arm"), ("rp", "purity_matched")])
    (row,) = arm_rows(outcome, outcome.bootstrap(200), LEVEL)
    assert math.isfinite(row["p"])
    assert row["reason"] == "of 2 seeds: expected 3 or more for p"


def artifacts(points, seed, **changes):
    """The runs of a tiny study as artifacts."""
    pool, label, weak, strong, truth, proba = points
    arms = ArmsConfig(selectors=("confidence", "token_length"), budgets=(0.5,), bands=("high",),
                      random=2, matched=1, purities=(), **changes)  # fmt: skip
    scores, reasons = scored(pool, label, arms)
    plans = [
        *whole_pool(pool, label, proba, arms, ""),
        *arm_plans(pool, label, scores, reasons, arms, ""),
    ]
    correct, told = trained(plans, fit_of(pool), weak, strong, label=truth)
    rows = [described(p, "logistic", why, label) for p, why in zip(plans, told, strict=True)]
    facts = {"dataset": "films", "weak": "small", "strong": "large", "seed": seed}
    ids = np.arange(len(truth))
    return (
        Artifact("arm_runs", table("arm_runs", rows).arrays, facts),
        Artifact("arm_correct", {"id": ids, "group": ids, "correct": correct}, facts),
    )


def test_tables_of_two_seeds_hold_every_arm_and_p_values_are_corrected(points):
    pairs = [artifacts(points, seed) for seed in (0, 1)]
    made = arms_tables(*map(list, zip(*pairs, strict=True)), settings=TablesSettings())
    arms = made["arms"].arrays
    assert arms["selector"].tolist() == ["random", "confidence", "token_length"]
    assert np.isfinite(arms["minus_length_matched"][1:]).all()
    assert (arms["n_seeds"] == 2).all()
    for column in ("p", "p_random"):
        expected = holm(arms[column])
        assert np.array_equal(arms[f"{column}_holm"], expected, equal_nan=True)
    labels = made["negative_controls"]["labels"].tolist()
    assert labels == [name for name in WHOLE if name not in ("relabel", "iid")]
    other = artifacts(points, 1, students=("logistic",))
    other[0].arrays["budget"][:] = 0.25
    with pytest.raises(ArtifactError, match="different rows"):
        arms_tables([pairs[0][0], other[0]], [pairs[0][1], other[1]], settings=TablesSettings())


def test_test_points_of_a_group_are_drawn_together():
    outcome = replace(
        armed(np.zeros((2, 1, 6)), [("rp", "arm")]), group=np.array([0, 0, 0, 1, 1, 1])
    )
    drawn = outcome.bootstrap(50).examples
    assert np.array_equal(drawn[:, 0], drawn[:, 2])
    assert not np.array_equal(drawn[:, 0], drawn[:, 3])
