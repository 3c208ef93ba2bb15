"""Result tables: rows by hand, paired differences, planted effects, and undefined results."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bootstrap import draws as loop_draws

from w2s.evaluation.intervals import Bootstrap
from w2s.evaluation.tables import (
    Outcome,
    comparison_rows,
    main_row,
    mixing_rows,
    region_rows,
)

CONTROLS = ("floor", "w2s", "ceiling", "plain", "plain", "plain", "random", "true_labels")
PROPORTIONS = (np.nan, np.nan, np.nan, 0.0, 0.5, 1.0, np.nan, np.nan)
LEVEL = 0.95


def outcome(correct, *, region=None, **changes):
    """The outcome of correctness (seeds, rows, n) for the rows above."""
    correct = np.asarray(correct, dtype=np.float32)
    seeds, rows, n = correct.shape
    return replace(
        Outcome(
            dataset="films",
            weak="small",
            strong="large",
            control=CONTROLS[:rows],
            proportion=np.array(PROPORTIONS[:rows]),
            correct=correct,
            region=np.zeros((seeds, n), np.int8) if region is None else np.int8(region),
            n_train=np.full((seeds, rows), 50.0),
            label_accuracy=np.full((seeds, rows), 0.75),
            row_reason=[[""] * rows for _ in range(seeds)],
            shares=np.tile([0.5, 0.25, 0.25], (seeds, 1)),
            reason=[""] * seeds,
            n_pool=200,
        ),
        **changes,
    )


def by_hand():
    """Two seeds, three models, four test points: easy, easy, hard, overlap in seed 0."""
    correct = [
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]],
        [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    ]
    return outcome(correct, region=[[0, 0, 1, 2], [0, 1, 1, 1]])


def random_outcome(seed, *, seeds=3, rows=8, n=40, accuracy=None):
    rng = np.random.default_rng(seed)
    share = np.full(rows, 0.7) if accuracy is None else np.array(accuracy)
    correct = rng.random((seeds, rows, n)) < share[None, :, None]
    return outcome(correct, region=rng.integers(-1, 3, (seeds, n)))


def drawn(found, draws=400, seed=0):
    seeds, _, points = found.correct.shape
    return Bootstrap.draw(seeds, points, draws, np.random.default_rng(seed))


def comparisons(found, **options):
    rows = comparison_rows(found, drawn(found, **options), LEVEL)
    return {(row["comparison"], row["group"]): row for row in rows}


def test_main_row_by_hand():
    row = main_row(by_hand(), drawn(by_hand()), LEVEL)
    assert (row["dataset"], row["weak"], row["strong"]) == ("films", "small", "large")
    assert (row["floor"], row["w2s"], row["ceiling"]) == (0.375, 0.625, 0.875)
    assert row["pgr"] == 0.5
    assert (row["n_seeds"], row["n_pool"]) == (2, 200)
    assert (row["easy_share"], row["hard_share"], row["overlap_density"]) == (0.5, 0.25, 0.25)
    assert row["status"] == "ok"


def test_region_rows_by_hand():
    rows = region_rows(by_hand(), drawn(by_hand()), LEVEL)
    found = {(row["region"], row["model"]): row for row in rows}
    assert len(rows) == len(found) == 9
    assert found["easy", "floor"]["accuracy"] == 0.75  # 1/2 in seed 0, 1/1 in seed 1
    assert found["hard", "w2s"]["accuracy"] == pytest.approx((0 + 2 / 3) / 2)
    assert found["overlap", "ceiling"]["accuracy"] == 0  # of seed 0, the only one with such points
    assert [found[name, "w2s"]["n"] for name in ("easy", "hard", "overlap")] == [1.5, 2, 1]
    assert [found[name, "w2s"]["n_seeds"] for name in ("easy", "hard", "overlap")] == [2, 2, 1]
    assert found["easy", "w2s"]["reason"] == ""
    assert found["overlap", "w2s"]["reason"] == "seeds without overlap test points"


def test_mixing_rows_by_hand():
    rows = np.eye(8)[None, :, :4]
    found = outcome(rows, n_train=np.arange(8.0)[None], label_accuracy=np.arange(8.0)[None] / 10)
    table = mixing_rows(found, drawn(found), LEVEL)
    assert [row["control"] for row in table] == ["plain"] * 3 + ["random", "true_labels"]
    np.testing.assert_array_equal([row["proportion"] for row in table], [0, 0.5, 1, np.nan, np.nan])
    assert [row["accuracy"] for row in table] == [0.25, 0, 0, 0, 0]
    assert [row["n_train"] for row in table] == [3, 4, 5, 6, 7]
    assert [row["label_accuracy"] for row in table] == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7])
    assert {row["n_seeds"] for row in table} == {1}
    assert {row["reason"] for row in table} == {""}


def test_comparison_rows_by_hand():
    found = comparisons(by_hand())
    assert {name for name, _ in found} == {"w2s - floor", "ceiling - w2s", "ceiling - floor"}
    assert {group for _, group in found} == {"overall", "easy", "hard", "overlap"}
    assert found["ceiling - floor", "overall"]["difference"] == 0.5
    assert found["w2s - floor", "easy"]["difference"] == 0.25
    assert found["ceiling - w2s", "hard"]["difference"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["ceiling - w2s", "overlap"]["difference"] == 0
    assert found["ceiling - w2s", "overlap"]["n_seeds"] == 1


def test_curves_are_compared_at_their_ends_and_with_random_points():
    found = comparisons(random_outcome(0))
    assert {name for name, _ in found} == {
        "w2s - floor",
        "ceiling - w2s",
        "ceiling - floor",
        "plain: p=1 - p=0",
        "plain p=1 - random",
        "true_labels - random",
    }
    rows = random_outcome(0).correct.astype(float).mean(axis=(0, 2))
    assert found["plain: p=1 - p=0", "overall"]["difference"] == pytest.approx(rows[5] - rows[3])
    assert found["plain p=1 - random", "overall"]["difference"] == pytest.approx(rows[5] - rows[6])
    assert found["true_labels - random", "overall"]["difference"] == pytest.approx(
        rows[7] - rows[6]
    )


def test_ends_of_a_curve_are_those_of_least_and_largest_proportion():
    turned = replace(
        random_outcome(0), proportion=np.array([np.nan] * 3 + [0.75, 0.25, 0.5] + [np.nan] * 2)
    )
    rows = turned.correct.astype(float).mean(axis=(0, 2))
    found = comparisons(turned)
    assert found["plain: p=0.75 - p=0.25", "overall"]["difference"] == pytest.approx(
        rows[3] - rows[4]
    )


def test_a_curve_of_one_point_has_no_ends():
    one = random_outcome(0, rows=4)
    assert {name for name, _ in comparisons(one)} == {
        "w2s - floor",
        "ceiling - w2s",
        "ceiling - floor",
    }


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_means_are_those_of_the_correctness(seed):
    found = random_outcome(seed)
    row = main_row(found, drawn(found, 100), LEVEL)
    means = found.correct.astype(float).mean(axis=(0, 2))
    for i, name in enumerate(("floor", "w2s", "ceiling")):
        assert row[name] == pytest.approx(means[i])
        assert row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"]
    gap = means[2] - means[0]
    expected = (means[1] - means[0]) / gap if gap > 1e-9 else np.nan
    assert row["pgr"] == pytest.approx(expected, nan_ok=True)
    for region in region_rows(found, drawn(found, 100), LEVEL):
        inside = found.region == ("easy", "hard", "overlap").index(region["region"])
        i = ("floor", "w2s", "ceiling").index(region["model"])
        shares = [found.correct[s, i, inside[s]].mean() for s in range(3) if inside[s].any()]
        assert region["accuracy"] == pytest.approx(np.mean(shares))


def test_intervals_are_quantiles_of_the_loop():
    found = random_outcome(3, n=25)
    bootstrap = drawn(found, 200)
    row = main_row(found, bootstrap, 0.9)
    mask = np.ones(found.region.shape, dtype=bool)
    floor, w2s, ceiling = (
        loop_draws(found.correct[:, i], mask, bootstrap.seeds, bootstrap.examples) for i in range(3)
    )
    assert row["w2s_lo"] == pytest.approx(np.quantile(w2s, 0.05), abs=1e-6)
    assert row["w2s_hi"] == pytest.approx(np.quantile(w2s, 0.95), abs=1e-6)
    rows = {(r["comparison"], r["group"]): r for r in comparison_rows(found, bootstrap, 0.9)}
    difference = rows["w2s - floor", "overall"]
    assert difference["lo"] == pytest.approx(np.quantile(w2s - floor, 0.05), abs=1e-6)
    assert difference["hi"] == pytest.approx(np.quantile(w2s - floor, 0.95), abs=1e-6)
    del ceiling


def test_planted_effects_are_outside_and_no_effects_inside_the_intervals():
    accuracy = [0.6, 0.75, 0.9, 0.6, 0.7, 0.8, 0.7, 0.7]
    found = random_outcome(1, seeds=5, n=600, accuracy=accuracy)
    row = main_row(found, drawn(found, 1000), LEVEL)
    assert 0.3 < row["pgr_lo"] < 0.5 < row["pgr_hi"] < 0.7
    table = comparisons(found, draws=1000)
    assert table["plain: p=1 - p=0", "overall"]["lo"] > 0.1
    nothing = table["true_labels - random", "overall"]
    assert nothing["lo"] < 0 < nothing["hi"]


def test_paired_differences_are_sharper_than_two_intervals():
    rng = np.random.default_rng(0)
    first = rng.random((5, 500)) < 0.7
    second = first ^ (rng.random((5, 500)) < 0.02)
    found = outcome(np.stack([first, second, second], axis=1))
    row, table = main_row(found, drawn(found), LEVEL), comparisons(found)
    width = table["w2s - floor", "overall"]["hi"] - table["w2s - floor", "overall"]["lo"]
    assert width < 0.5 * (row["floor_hi"] - row["floor_lo"])
    same = table["ceiling - w2s", "overall"]
    assert (same["lo"], same["difference"], same["hi"]) == (0, 0, 0)


@pytest.mark.parametrize("ceiling", [[1, 1, 0, 0], [1, 0, 0, 0]])
def test_fault_pgr_without_gap_is_nan(ceiling):
    found = outcome([[[1, 1, 0, 0], [1, 1, 1, 0], ceiling]])
    row = main_row(found, drawn(found), LEVEL)
    assert all(math.isnan(row[name]) for name in ("pgr", "pgr_lo", "pgr_hi"))
    gap = np.mean(ceiling) - 0.5
    assert row["reason"] == f"pgr: ceiling - floor = {gap:.3f} is not above 0"
    assert row["w2s"] == 0.75


def test_fault_pgr_of_a_gap_of_rounding_only_is_nan():
    # floor .3 and 0, ceiling .1 and .2: the means are equal, but not in floating point
    correct = np.zeros((2, 3, 10))
    correct[0, 0, :3] = 1
    correct[0, 2, 9], correct[1, 2, 8:] = 1, 1
    correct[:, 1] = 1
    row = main_row(outcome(correct), drawn(outcome(correct)), LEVEL)
    assert row["ceiling"] == pytest.approx(row["floor"], abs=1e-12)
    assert math.isnan(row["pgr"])


def test_fault_draws_of_pgr_without_gap_are_nan_whatever_the_rounding():
    # with 3 seeds and 12 points every gap is a multiple of 1/36: no defined PGR is beyond 36
    rng = np.random.default_rng(0)
    found = outcome(rng.random((3, 3, 12)) < np.array([0.4, 0.6, 0.7])[None, :, None])
    rows = [main_row(found, drawn(found, 200, seed), 0.999) for seed in range(20)]
    bounds = [abs(row[name]) for row in rows for name in ("pgr_lo", "pgr_hi")]
    assert np.isfinite(bounds).any()
    assert np.nanmax(bounds) <= 36.1


def test_an_interval_of_pgr_is_undefined_where_many_draws_have_no_gap():
    # ceiling and floor are right on 15 and 14 other points of 30: many draws turn the gap around
    floor, ceiling = np.arange(30) < 14, np.arange(30) >= 15
    found = outcome([[floor, np.arange(30) < 20, ceiling]])
    row = main_row(found, drawn(found), 0.6)  # a tail of 20 %
    assert row["pgr"] == pytest.approx(6)
    assert math.isnan(row["pgr_lo"])
    assert math.isnan(row["pgr_hi"])
    assert row["reason"] == (
        "pgr interval: ceiling - floor is not above 0 in too many bootstrap draws"
    )
    assert row["status"] == "ok"


def degenerate(seeds, which):
    """Regions are undefined in some seeds, and with them the rows of the mixing experiment."""
    found = random_outcome(0, seeds=seeds, accuracy=[0.5, 0.7, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7])
    why = "overlap: constant"
    for seed in which:
        found.correct[seed, 3:] = np.nan
        found.region[seed] = -1
        found.shares[seed] = np.nan
        found.n_train[seed, 3:] = 0
        found.label_accuracy[seed, 3:] = np.nan
        found.row_reason[seed][3:] = [why] * 5
        found.reason[seed] = why
    return found


def test_a_degenerate_seed_is_reported_and_the_others_go_on():
    found = degenerate(3, [1])
    row = main_row(found, drawn(found), LEVEL)
    assert row["status"] == "partial"
    assert row["reason"] == "1 of 3 seeds: overlap: constant"
    assert row["floor"] == pytest.approx(found.correct[:, 0].mean())
    assert row["overlap_density"] == 0.25
    for mix in mixing_rows(found, drawn(found), LEVEL):
        assert mix["n_seeds"] == 2
        assert mix["reason"] == "overlap: constant"
        assert mix["label_accuracy"] == 0.75
        assert math.isfinite(mix["accuracy"])
    for region in region_rows(found, drawn(found), LEVEL):
        assert region["n_seeds"] == 2
        assert region["reason"] == "overlap: constant"


def test_size_of_the_mixes_is_that_of_the_seeds_that_have_them():
    found = degenerate(3, [1])
    assert {row["n_train"] for row in mixing_rows(found, drawn(found), LEVEL)} == {50}


def test_degenerate_in_every_seed_is_nan_with_the_reason():
    found = degenerate(2, [0, 1])
    row = main_row(found, drawn(found), LEVEL)
    assert row["status"] == "degenerate"
    assert row["reason"].startswith("2 of 2 seeds: overlap: constant")
    assert math.isnan(row["overlap_density"])
    assert math.isfinite(row["w2s"])
    for table in (mixing_rows, region_rows):
        for line in table(found, drawn(found), LEVEL):
            assert all(math.isnan(line[name]) for name in ("accuracy", "lo", "hi"))
            assert line["n_seeds"] == 0
            assert line["reason"] == "overlap: constant"
    for (_, group), line in comparisons(found).items():
        if group != "overall":
            assert math.isnan(line["difference"])
            assert line["reason"] == "overlap: constant"
    overall = comparisons(found)["w2s - floor", "overall"]
    assert math.isfinite(overall["difference"])
    assert overall["reason"] == ""


def without(model, *, seeds=2, which=(0, 1)):
    """One of floor, w2s and ceiling could not be trained in some seeds."""
    found = random_outcome(0, seeds=seeds, accuracy=[0.6, 0.7, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7])
    for seed in which:
        found.correct[seed, CONTROLS.index(model)] = np.nan
        found.row_reason[seed][CONTROLS.index(model)] = "found only targets equal to 1"
    return found


def test_a_model_that_could_not_be_trained_leaves_the_others():
    found = without("w2s")
    row = main_row(found, drawn(found), LEVEL)
    assert all(math.isnan(row[name]) for name in ("w2s", "w2s_lo", "w2s_hi", "pgr", "pgr_lo"))
    assert math.isfinite(row["floor"])
    assert math.isfinite(row["ceiling_hi"])
    table = comparisons(found)
    assert math.isnan(table["w2s - floor", "overall"]["difference"])
    assert table["w2s - floor", "overall"]["reason"] == "found only targets equal to 1"
    assert math.isfinite(table["ceiling - floor", "overall"]["difference"])


@pytest.mark.parametrize("model", ["w2s", "ceiling"])
def test_the_reason_of_a_missing_pgr_is_true(model):
    row = main_row(without(model), drawn(without(model)), LEVEL)
    assert math.isnan(row["pgr"])
    assert "is not above 0" not in row["reason"]
    assert "found only targets equal to 1" in row["reason"]


def test_the_reason_of_a_missing_model_in_a_region_is_true():
    for row in region_rows(without("ceiling"), drawn(without("ceiling")), LEVEL):
        expected = "found only targets equal to 1" if row["model"] == "ceiling" else ""
        assert row["reason"] == expected


def test_pgr_compares_the_models_on_the_same_seeds():
    # w2s fails in the seed where the others get everything right: its mean lacks that seed
    seed_0 = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    seed_1 = [[1, 1, 1, 1], [np.nan] * 4, [1, 1, 1, 1]]
    found = outcome([seed_0, seed_1])
    assert main_row(found, drawn(found), LEVEL)["pgr"] == pytest.approx(0.5)


def test_one_seed_and_one_test_point():
    found = outcome([[[0], [1], [1]]])
    row = main_row(found, drawn(found), LEVEL)
    assert (row["floor"], row["w2s"], row["ceiling"], row["pgr"]) == (0, 1, 1, 1)
    assert (row["pgr_lo"], row["pgr_hi"]) == (1, 1)
    assert region_rows(found, drawn(found), LEVEL)[0]["n"] == 1


def test_order_of_seeds_and_points_does_not_matter():
    found = random_outcome(5, seeds=3)
    bootstrap = drawn(found)
    points = np.random.default_rng(0).permutation(40)
    turned = replace(
        found,
        correct=found.correct[::-1][:, :, points],
        region=found.region[::-1][:, points],
    )
    turned_draws = Bootstrap(bootstrap.seeds[:, ::-1], bootstrap.examples[:, points])
    for table in (mixing_rows, region_rows, comparison_rows):
        for a, b in zip(
            table(found, bootstrap, LEVEL), table(turned, turned_draws, LEVEL), strict=True
        ):
            assert a == pytest.approx(b, abs=1e-6, nan_ok=True)
