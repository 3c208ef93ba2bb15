"""Planted label noise: exact rates, scores out of fold, students by hand, tables and figure."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import PAIR, SEEDS
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bootstrap import draws as loop_draws
from test_steps import LARGE, changed, files, renamed, run_stage

from w2s.config import parse
from w2s.errors import ArtifactError, ConfigError
from w2s.label_noise.label_noise import columns_out_of_fold, quality_scores
from w2s.label_noise.plant import plant
from w2s.label_noise.tables import NoiseOutcome, noise_outcome, noise_rows
from w2s.label_noise.track import METHODS, USES
from w2s.probes.probes import fit_columns, fit_probes
from w2s.results.intervals import holm, p_value, t_interval
from w2s.results.metrics import auroc
from w2s.rng import stream

NOISE = {"rates": [0.1, 0.3], "kinds": ["uniform", "confidence"]}


@given(
    st.integers(1, 300), st.floats(0.01, 0.49), st.sampled_from(["uniform", "confidence"]),
    st.integers(0, 100),
)  # fmt: skip
def test_exactly_so_many_labels_are_flipped(n, rate, kind, seed):
    weak = np.random.default_rng(seed).choice([0, 0.2, 0.5, 1], size=n).astype(np.float32)
    flipped = plant(weak, rate=rate, kind=kind, rng=stream(seed))
    assert flipped.dtype == bool
    assert flipped.sum() == math.floor(rate * n + 0.5)
    np.testing.assert_array_equal(flipped, plant(weak, rate=rate, kind=kind, rng=stream(seed)))


def test_noise_lies_where_the_weak_model_is_unsure_only_if_it_is_asked_to():
    weak = np.repeat(np.array([0.5, 0.75, 1.0], dtype=np.float32), 400)  # weights 1, 1/2, 0
    counts = {
        kind: np.sum([
            plant(weak, rate=0.02, kind=kind, rng=stream(i)).reshape(3, 400).sum(axis=1)
            for i in range(300)
        ], axis=0) for kind in ("uniform", "confidence")
    }  # fmt: skip
    np.testing.assert_allclose(counts["uniform"] / 7200, 1 / 3, atol=0.03)
    np.testing.assert_allclose(counts["confidence"] / 7200, [2 / 3, 1 / 3, 0], atol=0.03)


def fit(x, targets, weights):
    return fit_columns(x, targets, weights=weights)


def pool(seed=0, n=200, d=5):
    rng = np.random.default_rng(seed)
    label = np.arange(n) % 2
    x = rng.normal(size=(n, d)) + 1.5 * np.where(label, 1, -1)[:, None] * np.eye(d)[0]
    flipped = plant(np.full(n, 0.5), rate=0.1, kind="uniform", rng=rng)
    return x.astype(np.float32), np.where(flipped, 1 - label, label), flipped


def test_probabilities_are_those_of_probes_that_did_not_see_the_point():
    x, y, _ = pool()
    both = np.stack([y, 1 - pool(1)[1]], axis=1)
    fold = np.random.default_rng(0).integers(5, size=len(x))
    proba, why = columns_out_of_fold(x, both, fold, fit=fit)
    assert why == ["", ""]
    for j in range(2):
        for k in range(5):
            rest = fold != k
            alone = fit_probes(x[rest], both[rest, j]).predict_proba(x[~rest])
            np.testing.assert_allclose(proba[~rest, j], alone, atol=2e-3)


def test_a_fold_without_a_probe_leaves_its_column_without_scores_and_others_as_they_are():
    x, y, _ = pool(n=40)
    one = np.zeros(40, dtype=int)
    one[:3] = 1
    fold = np.arange(40) % 5
    fold[:3] = 0  # all positives of the second column are in one fold
    proba, why = columns_out_of_fold(x, np.stack([y, one], axis=1), fold, fit=fit)
    assert why == ["", "found only targets equal to 0, expected both classes"]
    assert np.isfinite(proba[:, 0]).all()
    assert np.isnan(proba[:, 1]).all()
    found = quality_scores(x, np.stack([y, one], axis=1), fold, neighbors=60, fit=fit)
    assert found["knn"][1] == ["neighbors: found 39 other points, expected at least 60"] * 2
    assert np.isnan(found["graph"][0]).all()
    for name in ("logistic", "cleanlab"):
        assert np.isfinite(found[name][0][:, 0]).all()
        assert np.isnan(found[name][0][:, 1]).all()
    assert np.isfinite(found["topological"][0]).all()


def test_every_method_finds_planted_noise():
    x, y, flipped = pool(n=400)
    fold = np.random.default_rng(0).integers(5, size=400)
    found = quality_scores(x, y[:, None], fold, neighbors=20, fit=fit)
    assert set(found) == set(METHODS) - {"random", "oracle"}
    for scores, why in found.values():
        assert why == [""]
        assert auroc(-scores[:, 0], flipped) > 0.85


def made(chain, seed=0, **changes):
    read = files(chain, "examples.parquet", f"weak_labels-{seed}.parquet", LARGE)
    return run_stage("label_noise", *read, **PAIR, **NOISE | changes)


def test_runs_are_what_they_say(chain):
    found = made(chain)
    runs = found["runs"].frame
    n = runs["n_train"].iloc[0]
    assert len(runs) == 1 + 4 * (1 + 2 * len(METHODS))
    assert (runs["reason"] == "").all()
    assert (runs["gap"] < 1e-6).all()
    for (_, rate, method, use), rows in runs.groupby(
        ["noise", "rate", "method", "use"], dropna=False
    ):
        dropped = 0 if math.isnan(rate) else math.floor(rate * n + 0.5)
        assert rows["n_train"].tolist() == [n - dropped * (use == "filtered")]
        expected = {("", "ceiling"): 1, ("", "noisy"): 1 - dropped / n, ("oracle", "filtered"): 1,
                    ("oracle", "relabelled"): 1}  # fmt: skip
        if (method, use) in expected:
            assert rows["label_accuracy"].item() == pytest.approx(expected[method, use])
        assert math.isnan(rows["auroc"].item()) == (use not in USES)
    assert (runs.query("method == 'oracle'")["auroc"] == 1).all()
    assert abs(runs.query("method == 'random'")["auroc"].mean() - 0.5) < 0.15
    proba = found["predictions"]["proba"]
    oracle = runs.index[(runs["method"] == "oracle") & (runs["use"] == "relabelled")]
    np.testing.assert_allclose(proba[oracle], proba[[0] * 4], atol=2e-3)  # all labels are right
    known = runs.query("method in ['knn', 'logistic'] and use == 'filtered'")
    random = runs.query("method == 'random' and use == 'filtered'")
    assert known["label_accuracy"].mean() > random["label_accuracy"].mean() + 0.05


def test_students_are_those_of_single_probes_and_groups_share_folds(chain):
    found = made(chain, rates=[0.3], kinds=["uniform"])
    texts, weak, vectors = files(chain, "examples.parquet", "weak_labels-0.parquet", LARGE)
    frame = weak.frame.set_index("id")
    x = dict(zip(vectors["id"].tolist(), vectors["layer_-1"], strict=True))
    train = frame[frame["part"] == "strong_train"]
    rows = np.stack([x[i] for i in train.index])
    alone = fit_probes(rows, train["label"].to_numpy())
    test = np.stack([x[i] for i in found["predictions"]["id"].tolist()])
    np.testing.assert_allclose(
        found["predictions"]["proba"][0], alone.predict_proba(test), atol=2e-3
    )
    assert found["predictions"]["label"].tolist() == [
        frame.loc[i, "label"] for i in found["predictions"]["id"].tolist()
    ]
    grouped = changed(texts, group=np.array([f"g{i % 3}" for i in range(len(texts))], dtype=object))
    few = run_stage("label_noise", grouped, weak, vectors, **PAIR, **NOISE)
    assert set(few["predictions"]["group"]) == {0, 1, 2}
    assert (few["runs"]["reason"] == "").all()  # three folds of one group each
    assert not np.array_equal(few["runs"]["auroc"], made(chain)["runs"]["auroc"], equal_nan=True)


def test_noise_depends_on_its_name_and_not_on_the_noise_beside_it(chain):
    many, one = made(chain, repeats=2), made(chain, rates=[0.3], kinds=["confidence"])
    mine = many["runs"].frame.query("noise == 'confidence' and rate == 0.3 and repeat == 0")
    alone = one["runs"].frame.query("noise == 'confidence'")
    np.testing.assert_allclose(mine["auroc"], alone["auroc"], atol=2e-3)  # probes have a gap
    for column in ("auroc", "label_accuracy", "n_train"):
        both = [rows.query("method in ['knn', 'random']")[column] for rows in (mine, alone)]
        np.testing.assert_array_equal(*both)
    twice = many["runs"].frame.query("noise == 'confidence' and method == 'knn'")
    assert (
        twice.query("repeat == 0")["auroc"].tolist() != twice.query("repeat == 1")["auroc"].tolist()
    )


def test_what_cannot_be_done_has_its_reason(chain):
    read = files(chain, "examples.parquet", "weak_labels-0.parquet", LARGE)
    read[1] = renamed(read[1], status="degenerate", reason="weak probe: no")
    runs = run_stage("label_noise", *read, **PAIR, **NOISE)["runs"].frame
    assert set(runs.query("noise == 'confidence'")["reason"]) == {"weak probe: no"}
    assert set(runs.query("noise != 'confidence'")["reason"]) == {""}
    runs = made(chain, rates=[0.001])["runs"].frame
    assert runs["reason"].str.contains("of which a share of 0.001 is none").sum() == len(runs) - 1
    runs = made(chain, neighbors=5000)["runs"].frame
    assert set(runs.loc[runs["reason"] != "", "method"]) == {"knn", "graph"}


def test_points_of_one_group_have_no_folds_and_other_methods_go_on(chain):
    texts, *read = files(chain, "examples.parquet", "weak_labels-0.parquet", LARGE)
    one = changed(texts, group=np.full(len(texts), "g", dtype=object))
    runs = run_stage("label_noise", one, *read, **PAIR, **NOISE)["runs"].frame
    assert set(runs.loc[runs["reason"] != "", "method"]) == {"logistic", "cleanlab"}


def outcome(seeds=3, n=200, seed=0, **changes):
    """Seeds with a ceiling, and one noise with two methods."""
    rng = np.random.default_rng(seed)
    keys = [("", "nan", "", "ceiling"), ("uniform", "0.2", "", "noisy")]
    keys += [("uniform", "0.2", method, use) for method in ("knn", "random") for use in USES]
    share = np.array([0.9, 0.7, 0.85, 0.8, 0.7, 0.5])
    found = NoiseOutcome(
        names={"dataset": "films", "weak": "small", "strong": "large"},
        keys=keys,
        correct=(rng.random((seeds, 6, n)) < share[:, None]).astype(np.float32),
        auroc=np.tile([np.nan, np.nan, 0.9, 0.9, 0.5, 0.5], (seeds, 1))
        + 0.01 * np.arange(seeds)[:, None],
        reason=[[""] * 6] * seeds,
        group=np.arange(n) // 2,
    )
    return replace(found, **changes)


def test_rows_are_means_and_paired_differences_over_seeds():
    found = outcome()
    bootstrap = found.bootstrap(300)
    rows = {row["method"]: row for row in noise_rows(found, bootstrap, 0.95)}
    assert set(rows) == {"knn", "random"}
    mean = found.correct.mean(axis=(0, 2), dtype=np.float64)
    row = rows["knn"]
    assert (row["noise"], row["rate"], row["n_seeds"], row["reason"]) == ("uniform", 0.2, 3, "")
    assert row["ceiling"] == pytest.approx(mean[0])
    assert row["noisy"] == pytest.approx(mean[1])
    assert row["auroc"] == pytest.approx(0.91)
    assert (row["auroc_lo"], row["auroc_hi"]) == t_interval(np.array([0.9, 0.91, 0.92]), 0.95)
    for i, use in ((2, "filtered"), (3, "relabelled")):
        difference = found.correct[:, i].astype(np.float64) - found.correct[:, 1]
        assert row[f"{use}_minus_noisy"] == pytest.approx(difference.mean())
        every = np.ones(difference.shape, dtype=bool)
        drawn = loop_draws(difference, every, bootstrap.seeds, bootstrap.examples)
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert row[f"{use}_minus_noisy_lo"] == pytest.approx(low, abs=1e-6)
        assert row[f"{use}_minus_noisy_hi"] == pytest.approx(high, abs=1e-6)
        assert row[f"{use}_p"] == pytest.approx(p_value(difference.mean(), drawn), abs=1e-6)
    assert row["filtered_p"] < 0.01
    assert rows["random"]["relabelled_minus_noisy"] < -0.1


def test_a_seed_that_lacks_a_row_is_told_and_others_count():
    correct = outcome(seeds=4).correct.copy()
    correct[1, 2] = np.nan
    areas = outcome(seeds=4).auroc.copy()
    areas[1, 2:4] = np.nan
    why = [[""] * 6, ["", "", "too few", "", "", ""], [""] * 6, [""] * 6]
    found = outcome(seeds=4, correct=correct, auroc=areas, reason=why)
    rows = {row["method"]: row for row in noise_rows(found, found.bootstrap(200), 0.95)}
    assert (rows["knn"]["n_seeds"], rows["knn"]["reason"]) == (3, "too few")
    assert (rows["random"]["n_seeds"], rows["random"]["reason"]) == (4, "")
    left = np.delete(correct[:, 2] - correct[:, 1], 1, axis=0)
    assert rows["knn"]["filtered_minus_noisy"] == pytest.approx(left.mean())
    two = outcome(seeds=2)
    row = noise_rows(two, two.bootstrap(200), 0.95)[0]
    assert math.isnan(row["auroc_lo"])
    assert row["reason"] == "found 2 seeds, expected 3 or more for an interval over seeds"


def chain_files(chain):
    return [
        files(chain, *(f"noise-{name}-{seed}.{end}" for seed in SEEDS))
        for name, end in (("runs", "parquet"), ("predictions", "safetensors"))
    ]


def tables_of(runs, predictions):
    done = run_stage("label_noise_tables", runs, predictions, evaluation={"bootstrap": 200})
    return done["label_noise"]


def test_table_of_the_stages_files(chain):
    runs, predictions = chain_files(chain)
    shown = tables_of(runs, predictions).frame
    assert len(shown) == 4 * len(METHODS)
    one = runs[0].frame
    mine = one.query("noise == 'uniform' and rate == 0.3 and method == 'knn' and use == 'filtered'")
    other = runs[1].frame.loc[mine.index]
    row = shown.query("noise == 'uniform' and rate == 0.3 and method == 'knn'").iloc[0]
    assert row["auroc"] == pytest.approx((mine["auroc"].item() + other["auroc"].item()) / 2)
    right = [((item["proba"] > 0.5) == (item["label"] == 1)).mean(axis=1) for item in predictions]
    noisy = one.query("noise == 'uniform' and rate == 0.3 and use == 'noisy'").index[0]
    gains = [each[mine.index[0]] - each[noisy] for each in right]
    assert row["filtered_minus_noisy"] == pytest.approx(np.mean(gains))
    assert row["noisy"] == pytest.approx(np.mean([each[noisy] for each in right]))
    family = shown[[f"{use}_p" for use in USES]].to_numpy().ravel()
    np.testing.assert_allclose(
        shown[[f"{use}_p_holm" for use in USES]].to_numpy().ravel(), holm(family)
    )
    turned = tables_of(runs[::-1], predictions[::-1]).frame
    np.testing.assert_allclose(turned["auroc"], shown["auroc"])
    np.testing.assert_allclose(turned["filtered_minus_noisy"], shown["filtered_minus_noisy"])


def test_repeats_are_averaged(chain):
    found = made(chain, repeats=2)
    both = noise_outcome([(found["runs"], found["predictions"])])
    assert len(both.keys) == 1 + 4 * (1 + 2 * len(METHODS))
    rows = found["runs"].frame.query("noise == 'uniform' and rate == 0.1 and method == 'graph'")
    rows = rows[rows["use"] == "filtered"]
    assert len(rows) == 2
    place = both.keys.index(("uniform", "0.1", "graph", "filtered"))
    assert both.auroc[0, place] == pytest.approx(rows["auroc"].mean())
    label = found["predictions"]["label"]
    right = (found["predictions"]["proba"][rows.index] > 0.5) == (label == 1)
    np.testing.assert_allclose(both.correct[0, place], right.mean(axis=0))


def test_mismatched_files_are_one_line(chain):
    runs, predictions = chain_files(chain)
    fewer = runs[1].where(runs[1]["rate"] != 0.3)
    for first, second, expected in (
        (runs, predictions[::-1], "of different jobs, in this order"),
        ([runs[0], fewer], predictions, "seeds with different rows"),
        ([changed(runs[0], run=runs[0]["run"][::-1]), runs[1]], predictions, "other runs"),
    ):
        with pytest.raises(ArtifactError, match=expected) as caught:
            tables_of(first, second)
        assert "\n" not in str(caught.value)
    table = files(chain, "table-label-noise.parquet")[0]
    with pytest.raises(ArtifactError, match="found no rows of small--large for other"):
        run_stage("label_noise_figures", table, **PAIR, titles=[["other", "Other"]])


def test_the_figure_has_a_curve_for_each_method(chain):
    table = files(chain, "table-label-noise.parquet")[0]
    figure = run_stage("label_noise_figures", table, **PAIR, titles=[["films", "Films"]])[
        "label_noise"
    ]
    figure.draw_without_rendering()
    assert len(figure.axes) == 6  # two kinds of noise
    for ax in figure.axes:
        drawn = {line.get_label(): line for line in ax.get_lines() if line.get_label() in METHODS}
        assert set(drawn) >= set(METHODS) - {"random"}
        assert all(line.get_xdata().tolist() == [0.1, 0.3] for line in drawn.values())
    first = figure.axes[0]
    assert first.get_title() == "Films, uniform"
    rows = table.frame.query("noise == 'uniform' and method == 'knn'")
    line = next(line for line in first.get_lines() if line.get_label() == "knn")
    np.testing.assert_allclose(line.get_ydata(), rows["auroc"])
    empty = changed(table, auroc=np.full(len(table), np.nan))
    figure = run_stage("label_noise_figures", empty, **PAIR, titles=[["films", "Films"]])[
        "label_noise"
    ]
    assert [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"datasets": ["film"]}, "'film' is not a dataset; did you mean 'films'?"),
        ({"datasets": ["films"], "rates": [0.5]}, "label_noise.rates.0: found 0.5"),
        ({"datasets": ["films"], "kinds": ["any"]}, "label_noise.kinds.0: found 'any'"),
        ({"datasets": ["films", "films"]}, "datasets: found a value twice"),
    ],
)
def test_a_wrong_section_is_one_line(section, message):
    films = {"source": "file", "path": "f.csv"}
    base = {"results": "r", "seeds": [0], "datasets": {"films": films},
            "models": {name: {"source": "local", "path": name} for name in PAIR.values()},
            "pairs": [PAIR]}  # fmt: skip
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse(base | {"label_noise": section})


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_the_more_of_the_noise_is_found_the_cleaner_are_the_labels_that_stay(seed):
    """AUROC 1 leaves none; and at any score as many right labels go as wrong ones stay."""
    x, y, flipped = pool(seed)
    fold = np.random.default_rng(seed).integers(5, size=len(x))
    scores = quality_scores(x, y[:, None], fold, neighbors=10, fit=fit)["knn"][0][:, 0]
    doubted = np.zeros(len(x), dtype=bool)
    doubted[np.argsort(scores, kind="stable")[: flipped.sum()]] = True
    assert (doubted & ~flipped).sum() == (flipped & ~doubted).sum()
    assert (flipped & ~doubted).sum() < flipped.sum() / 2
