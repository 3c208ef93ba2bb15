"""Result tables: rows by hand, paired differences, planted effects, and undefined results."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outcomes import drawn, lacking, make_outcome
from reference.bootstrap import draws as loop_draws

from w2s.overlap.tables import comparison_rows, main_row, mixing_rows, region_rows
from w2s.results.intervals import Bootstrap, interval
from w2s.results.metrics import LABEL_SCORES
from w2s.results.outcome import COLUMNS
from w2s.results.rows import corrected, with_references

CONTROLS = ("floor", "w2s", "ceiling", "plain", "plain", "plain", "random", "true_labels")
PROPORTIONS = (np.nan, np.nan, np.nan, 0.0, 0.5, 1.0, np.nan, np.nan)
REGIONS = ("easy", "hard", "overlap")
OF_MODELS = {"w2s - floor", "ceiling - w2s", "ceiling - floor"}
TABLES = (mixing_rows, region_rows, comparison_rows)
LEVEL = 0.95


def outcome(correct, **changes):
    """The outcome of correctness (units, rows, n) for the rows above."""
    return make_outcome(correct, CONTROLS, PROPORTIONS, **changes)


def by_hand():
    """Two seeds, three models, four test points.

    By the weak model of seed 1 those of seed 0 are easy, easy, hard, overlap.
    """
    correct = [
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]],
        [[1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]],
    ]
    return outcome(correct, region=[[0, 1, 1, 1], [0, 0, 1, 2]])


def random_outcome(seed, *, seeds=3, rows=8, n=40, accuracy=None, **changes):
    rng = np.random.default_rng(seed)
    share = np.full(rows, 0.7) if accuracy is None else np.array(accuracy)
    correct = rng.random((seeds * changes.get("restarts", 1), rows, n)) < share[:, None]
    return outcome(correct, region=rng.integers(0, 3, (seeds, n)), **changes)


def comparisons(found, **options):
    rows = comparison_rows(found, drawn(found, **options), LEVEL)
    return {(row["comparison"], row["group"]): row for row in rows}


def main_of(found):
    return main_row(found, drawn(found), LEVEL)


def mixes_of(found):
    return mixing_rows(found, drawn(found), LEVEL)


def regions_of(found):
    return region_rows(found, drawn(found), LEVEL)


def test_main_region_and_comparison_rows_by_hand():
    row = main_of(by_hand())
    assert (row["dataset"], row["weak"], row["strong"]) == ("films", "small", "large")
    assert (row["floor"], row["w2s"], row["ceiling"]) == (0.375, 0.625, 0.875)
    assert row["pgr"] == 0.5
    assert (row["n_seeds"], row["n_pool"]) == (2, 200)
    assert (row["n_test"], row["n_groups"]) == (4, 4)
    assert (row["easy_share"], row["hard_share"], row["overlap_density"]) == (0.5, 0.25, 0.25)
    assert row["status"] == "ok"

    rows = regions_of(by_hand())
    found = {(row["region"], row["model"]): row for row in rows}
    assert len(rows) == len(found) == 9
    assert found["easy", "floor"]["accuracy"] == 0.75  # 1/2 in seed 0, 1/1 in seed 1
    assert found["hard", "w2s"]["accuracy"] == pytest.approx((0 + 2 / 3) / 2)
    assert found["overlap", "ceiling"]["accuracy"] == 0  # of seed 0, the only one with such points
    assert [found[name, "w2s"]["n"] for name in REGIONS] == [1.5, 2, 1]
    assert [found[name, "w2s"]["n_seeds"] for name in REGIONS] == [2, 2, 1]
    assert found["easy", "w2s"]["reason"].startswith("no interval: ")  # of 3 points in all
    assert found["overlap", "w2s"]["reason"] == "seeds without overlap test points"

    found = comparisons(by_hand())
    assert {name for name, _ in found} == OF_MODELS
    assert {group for _, group in found} == {"overall", *REGIONS}
    assert found["ceiling - floor", "overall"]["difference"] == 0.5
    assert found["w2s - floor", "easy"]["difference"] == 0.25
    assert found["ceiling - w2s", "hard"]["difference"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["ceiling - w2s", "overlap"]["difference"] == 0
    assert found["ceiling - w2s", "overlap"]["n_seeds"] == 1


def test_mixing_rows_by_hand():
    rows = np.eye(8)[None, :, :4]
    columns = {name: np.arange(8.0)[None] / 10 + k for k, name in enumerate(LABEL_SCORES)}
    found = outcome(rows, columns=columns | {"n_train": np.arange(8.0)[None]})
    table = mixes_of(found)
    assert [row["control"] for row in table] == ["plain"] * 3 + ["random", "true_labels"]
    np.testing.assert_array_equal([row["proportion"] for row in table], [0, 0.5, 1, np.nan, np.nan])
    assert [row["accuracy"] for row in table] == [0.25, 0, 0, 0, 0]
    assert [row["n_train"] for row in table] == [3, 4, 5, 6, 7]
    for k, name in enumerate(LABEL_SCORES):
        expected = np.array([0.3, 0.4, 0.5, 0.6, 0.7]) + k
        assert [row[name] for row in table] == pytest.approx(expected)
    assert {row["n_seeds"] for row in table} == {1}
    assert {row["reason"] for row in table} == {""}


def test_curves_are_compared_at_their_ends_and_with_random_points():
    found = random_outcome(0)
    mean = found.correct.astype(float).mean(axis=(0, 2))
    table = comparisons(found)
    expected = {
        "plain: p=1 - p=0": mean[5] - mean[3],
        "plain p=1 - random": mean[5] - mean[6],
        "true_labels - random": mean[7] - mean[6],
    }
    assert {name for name, _ in table} == {*OF_MODELS, *expected}
    for name, difference in expected.items():
        assert table[name, "overall"]["difference"] == pytest.approx(difference)
    # the ends are those of the least and the largest proportion
    turned = np.array([np.nan] * 3 + [0.75, 0.25, 0.5] + [np.nan] * 2)
    row = comparisons(replace(found, proportion=turned))["plain: p=0.75 - p=0.25", "overall"]
    assert row["difference"] == pytest.approx(mean[3] - mean[4])
    # and a curve of one point has none
    assert {name for name, _ in comparisons(random_outcome(0, rows=4))} == OF_MODELS


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
        inside = found.region == REGIONS.index(region["region"])
        i = ("floor", "w2s", "ceiling").index(region["model"])
        shares = []
        for s in range(3):
            others = inside[[t for t in range(3) if t != s]].mean(axis=0)
            shares.append((found.correct[s, i] * others).sum() / others.sum())
        assert region["accuracy"] == pytest.approx(np.mean(shares))


def test_intervals_are_quantiles_of_the_loop():
    found = random_outcome(3, n=25)
    bootstrap = drawn(found, 200)
    row = main_row(found, bootstrap, 0.9)
    mask = np.ones(found.region.shape, dtype=bool)
    floor, w2s = (
        loop_draws(found.correct[:, i], mask, bootstrap.seeds, bootstrap.examples) for i in (0, 1)
    )
    assert row["w2s_lo"] == pytest.approx(np.quantile(w2s, 0.05), abs=1e-6)
    assert row["w2s_hi"] == pytest.approx(np.quantile(w2s, 0.95), abs=1e-6)
    rows = {(r["comparison"], r["group"]): r for r in comparison_rows(found, bootstrap, 0.9)}
    difference = rows["w2s - floor", "overall"]
    assert difference["lo"] == pytest.approx(np.quantile(w2s - floor, 0.05), abs=1e-6)
    assert difference["hi"] == pytest.approx(np.quantile(w2s - floor, 0.95), abs=1e-6)


def test_planted_effects_are_outside_and_no_effects_inside_the_intervals():
    """And p values tell them apart."""
    accuracy = [0.6, 0.75, 0.9, 0.6, 0.7, 0.8, 0.7, 0.7]
    found = random_outcome(1, seeds=5, n=600, accuracy=accuracy)
    row = main_row(found, drawn(found, 1000), LEVEL)
    assert 0.3 < row["pgr_lo"] < 0.5 < row["pgr_hi"] < 0.7
    table = comparisons(found, draws=1000)
    planted = table["plain: p=1 - p=0", "overall"]
    assert planted["lo"] > 0.1
    assert planted["p"] < 1e-6
    nothing = table["true_labels - random", "overall"]
    assert nothing["lo"] < 0 < nothing["hi"]
    assert nothing["p"] > 0.05
    row = table["w2s - floor", "overall"]
    sd = (row["hi"] - row["lo"]) / (2 * 1.96)
    z = row["difference"] / sd
    assert math.log(row["p"]) == pytest.approx(math.log(math.erfc(z / math.sqrt(2))), rel=0.15)


def test_paired_differences_are_sharper_than_two_intervals():
    rng = np.random.default_rng(0)
    first = rng.random((5, 500)) < 0.7
    second = first ^ (rng.random((5, 500)) < 0.02)
    found = outcome(np.stack([first, second, second], axis=1))
    row, table = main_of(found), comparisons(found)
    width = table["w2s - floor", "overall"]["hi"] - table["w2s - floor", "overall"]["lo"]
    assert width < 0.5 * (row["floor_hi"] - row["floor_lo"])
    same = table["ceiling - w2s", "overall"]
    assert (same["lo"], same["difference"], same["hi"]) == (0, 0, 0)


def test_fault_pgr_without_gap_is_nan():
    for ceiling in ([1, 1, 0, 0], [1, 0, 0, 0]):
        row = main_of(outcome([[[1, 1, 0, 0], [1, 1, 1, 0], ceiling]]))
        assert all(math.isnan(row[name]) for name in ("pgr", "pgr_lo", "pgr_hi"))
        gap = np.mean(ceiling) - 0.5
        assert row["reason"] == f"pgr: ceiling - floor = {gap:.3f} is not above 0"
        assert row["w2s"] == 0.75
    # floor .3 and 0, ceiling .1 and .2: the means are equal, but not in floating point
    correct = np.zeros((2, 3, 10))
    correct[0, 0, :3] = 1
    correct[0, 2, 9], correct[1, 2, 8:] = 1, 1
    correct[:, 1] = 1
    row = main_of(outcome(correct))
    assert row["ceiling"] == pytest.approx(row["floor"], abs=1e-12)
    assert math.isnan(row["pgr"])


def test_fault_draws_of_pgr_without_gap_are_nan_and_many_leave_no_interval():
    # with 3 seeds and 12 points every gap is a multiple of 1/36: no defined PGR is beyond 36
    rng = np.random.default_rng(0)
    found = outcome(rng.random((3, 3, 12)) < np.array([0.4, 0.6, 0.7])[None, :, None])
    rows = [main_row(found, drawn(found, 200, seed), 0.999) for seed in range(20)]
    bounds = [abs(row[name]) for row in rows for name in ("pgr_lo", "pgr_hi")]
    assert np.isfinite(bounds).any()
    assert np.nanmax(bounds) <= 36.1
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
        for name in COLUMNS:
            found.columns[name][seed, 3:] = 0 if name == "n_train" else np.nan
        found.row_reason[seed][3:] = [why] * 5
        found.reason[seed] = why
    return found


def test_a_degenerate_seed_is_reported_and_the_others_go_on():
    found = degenerate(3, [1])
    row = main_of(found)
    assert row["status"] == "partial"
    assert row["reason"] == "1 of 3 seeds: overlap: constant"
    assert row["floor"] == pytest.approx(found.correct[:, 0].mean())
    assert row["overlap_density"] == 0.25
    for mix in mixes_of(found):
        assert (mix["n_seeds"], mix["n_train"]) == (2, 50)
        assert mix["reason"] == "overlap: constant"
        assert mix["label_accuracy"] == 0.75
        assert math.isfinite(mix["accuracy"])
    for region in regions_of(found):  # its points are divided by the others
        assert (region["n_seeds"], region["reason"]) == (3, "")
    found = degenerate(2, [1])  # a seed that no other divides is left out of the regions
    for region in regions_of(found):
        inside = found.region[0] == REGIONS.index(region["region"])
        i = ("floor", "w2s", "ceiling").index(region["model"])
        assert region["accuracy"] == pytest.approx(found.correct[1, i, inside].mean())
        assert (region["n_seeds"], region["n"]) == (1, inside.sum())
        assert region["reason"] == "overlap: constant"


def test_degenerate_in_every_seed_is_nan_with_the_reason():
    found = degenerate(2, [0, 1])
    row = main_of(found)
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
    assert overall["reason"] == "of 2 seeds: expected 3 or more for p"


def without(model, *, which=(0, 1)):
    """One of floor, w2s and ceiling could not be trained in some of two seeds."""
    found = random_outcome(0, seeds=2, accuracy=[0.6, 0.7, 0.9, 0.7, 0.7, 0.7, 0.7, 0.7])
    for seed in which:
        found = lacking(found, seed, (model,), "found only targets equal to 1")
    return found


def test_a_model_that_could_not_be_trained_leaves_the_others():
    why = "found only targets equal to 1"
    found = without("w2s")
    row = main_of(found)
    assert all(math.isnan(row[name]) for name in ("w2s", "w2s_lo", "w2s_hi", "pgr", "pgr_lo"))
    assert math.isfinite(row["floor"])
    assert math.isfinite(row["ceiling_hi"])
    table = comparisons(found)
    assert math.isnan(table["w2s - floor", "overall"]["difference"])
    assert table["w2s - floor", "overall"]["reason"] == why
    assert math.isfinite(table["ceiling - floor", "overall"]["difference"])
    for model in ("w2s", "ceiling"):
        row = main_of(without(model))
        assert math.isnan(row["pgr"])
        assert "is not above 0" not in row["reason"]
        assert why in row["reason"]
    for row in regions_of(without("ceiling")):
        assert row["reason"] == (why if row["model"] == "ceiling" else "")


def test_pgr_compares_the_models_on_the_same_seeds():
    # w2s fails in the seed where the others get everything right: its mean lacks that seed
    seed_0 = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]]
    seed_1 = [[1, 1, 1, 1], [np.nan] * 4, [1, 1, 1, 1]]
    found = outcome([seed_0, seed_1])
    assert main_of(found)["pgr"] == pytest.approx(0.5)


def test_one_seed_and_one_test_point():
    found = outcome([[[0], [1], [1]]])
    row = main_of(found)
    assert (row["floor"], row["w2s"], row["ceiling"], row["pgr"]) == (0, 1, 1, 1)
    assert (row["pgr_lo"], row["pgr_hi"]) == (1, 1)
    table = comparisons(found)
    assert table["w2s - floor", "overall"]["difference"] == 1
    undefined = [*regions_of(found), table["w2s - floor", "easy"]]
    for line in undefined:
        assert math.isnan(line["lo"])
        assert line["n_seeds"] == 0
        assert line["reason"].startswith("found 1 seed with regions, expected 2 or more")
    assert math.isnan(undefined[0]["n"])


def assert_same_tables(first, second, expected=lambda row: row):
    """Rows of all tables of two pairs of an outcome and its bootstrap."""
    for table in TABLES:
        for a, b in zip(table(*first, LEVEL), table(*second, LEVEL), strict=True):
            assert b == pytest.approx(expected(a), nan_ok=True)


def test_order_of_seeds_and_points_does_not_matter():
    found = random_outcome(5, seeds=3)
    bootstrap = drawn(found)
    points = np.random.default_rng(0).permutation(40)
    turned = replace(
        found,
        correct=found.correct[::-1][:, :, points],
        region=found.region[::-1][:, points],
        group=found.group[points],
    )
    turned_draws = Bootstrap(bootstrap.seeds[:, ::-1], bootstrap.examples[:, points])
    assert_same_tables((found, bootstrap), (turned, turned_draws))


# --- groups and restarts --------------------------------------------------------------------------


def test_points_of_a_group_count_as_one_and_without_groups_each_point():
    once = random_outcome(2, n=30, accuracy=[0.3, 0.6, *[0.9] * 6])
    copies = replace(
        once,
        correct=np.repeat(once.correct, 4, axis=2),
        region=np.repeat(once.region, 4, axis=1),
        group=np.repeat(once.group, 4),
    )
    one, many = (main_row(found, found.bootstrap(300), LEVEL) for found in (once, copies))
    assert (many["n_test"], many["n_groups"]) == (120, 30)
    assert many == pytest.approx(one | {"n_test": 120})
    first, second = ((found, found.bootstrap(300)) for found in (once, copies))
    assert_same_tables(first, second, lambda row: row | ({"n": 4 * row["n"]} if "n" in row else {}))
    apart = replace(copies, group=np.arange(120))
    row = main_row(apart, apart.bootstrap(300), LEVEL)
    assert row["w2s_hi"] - row["w2s_lo"] < many["w2s_hi"] - many["w2s_lo"]
    found = random_outcome(2, n=30)
    row = main_row(found, found.bootstrap(300), LEVEL)
    assert row["n_groups"] == row["n_test"] == 30
    bootstrap = found.bootstrap(300)
    draws = loop_draws(found.correct[:, 1], np.ones((3, 30)), bootstrap.seeds, bootstrap.examples)
    assert (row["w2s_lo"], row["w2s_hi"]) == pytest.approx(interval(draws, LEVEL), abs=1e-6)


def test_restarts_are_averaged_and_seeds_are_counted():
    found = random_outcome(4, seeds=3, restarts=2)
    row = main_of(found)
    assert row["n_seeds"] == 3
    assert row["w2s"] == pytest.approx(found.correct[:, 1].mean(dtype=float))
    for table in TABLES:
        assert {line["n_seeds"] for line in table(found, drawn(found), LEVEL)} == {3}
    gone = found
    for unit in (2, 3):
        gone = lacking(gone, unit, ("plain",), "at most 3 points")
    counts = {line["control"]: line["n_seeds"] for line in mixing_rows(gone, drawn(gone), LEVEL)}
    assert counts == {"plain": 2, "random": 3, "true_labels": 3}


# --- contrasts ------------------------------------------------------------------------------------

EVERY = (
    *("floor", "w2s", "ceiling", "same_capacity_w2s"),
    *("plain", "plain", "plain", "placebo", "placebo", "placebo"),
    *("purity_matched", "purity_matched", "purity_matched_placebo", "purity_matched_placebo"),
    *("fixed_hard", "fixed_hard", "few_labels", "few_labels"),
)
SHARES = (*[np.nan] * 4, 0.25, 0.5, 0.75, 0.25, 0.5, 0.75, 0.25, 0.75, 0.25, 0.75, 0.25, 0.75,
          0.01, 0.5)  # fmt: skip


def every_row(seed=0):
    """Floor and w2s are between the two points of the learning curve."""
    rng = np.random.default_rng(seed)
    share = np.array([0.6, 0.7, 0.9, 0.65, *[0.7] * 12, 0.4, 0.85])
    correct = rng.random((3, len(EVERY), 200)) < share[:, None]
    return make_outcome(correct, EVERY, SHARES, region=rng.integers(0, 3, (3, 200)))


def without_rows(found, *gone):
    kept = [i for i, control in enumerate(found.control) if control not in gone]
    return replace(
        found,
        control=[found.control[i] for i in kept],
        proportion=found.proportion[kept],
        correct=found.correct[:, kept],
        columns={name: values[:, kept] for name, values in found.columns.items()},
        row_reason=[[why[i] for i in kept] for why in found.row_reason],
    )


def names_of(found):
    return [name for name, group in comparisons(found, draws=20) if group == "easy"]


def test_contrasts_by_hand():
    found = with_references(every_row())
    mean = found.correct.astype(float).mean(axis=(0, 2))
    floor, w2s, ceiling, capacity = mean[:4]
    plain, placebo = (dict(zip((0.25, 0.5, 0.75), mean[k : k + 3], strict=True)) for k in (4, 7))
    (pure_low, pure, pure_placebo_low, pure_placebo), (fixed_low, fixed) = mean[10:14], mean[14:16]
    expected = {
        "w2s - floor": w2s - floor,
        "w2s - same_capacity_w2s": w2s - capacity,
        "same_capacity_w2s - floor": capacity - floor,
        "ceiling - w2s": ceiling - w2s,
        "ceiling - floor": ceiling - floor,
        "plain: p=0.75 - p=0.25": plain[0.75] - plain[0.25],
        "plain: overlap - placebo, p=0.75": plain[0.75] - placebo[0.75],
        "plain: overlap - placebo, p=0.75 - p=0.25":
            plain[0.75] - placebo[0.75] - (plain[0.25] - placebo[0.25]),
        "placebo: p=0.75 - p=0.25": placebo[0.75] - placebo[0.25],
        "purity_matched: p=0.75 - p=0.25": pure - pure_low,
        "purity_matched: overlap - placebo, p=0.75": pure - pure_placebo,
        "purity_matched: overlap - placebo, p=0.75 - p=0.25":
            pure - pure_placebo - (pure_low - pure_placebo_low),
        "purity_matched_placebo: p=0.75 - p=0.25": pure_placebo - pure_placebo_low,
        "fixed_hard: p=0.75 - p=0.25": fixed - fixed_low,
    }  # fmt: skip
    table = comparisons(found)
    overall = {name: row for (name, group), row in table.items() if group == "overall"}
    assert {name: row["difference"] for name, row in overall.items()} == pytest.approx(
        expected, abs=1e-6
    )
    assert {row["reason"] for row in table.values()} == {""}
    assert {row["n_seeds"] for row in table.values()} == {3}


def test_curves_are_compared_with_placebos_that_have_their_ends():
    found = every_row()
    found.proportion[9] = 0.7  # placebo
    assert not [name for name in names_of(found) if name.startswith("plain: overlap")]
    assert "placebo: p=0.7 - p=0.25" in names_of(found)
    found = every_row()  # curves of one proportion
    for i in np.flatnonzero(found.proportion < 0.75):
        found.proportion[i] = 0.75
        found.control[i] = "few_labels"  # no curve of overlap points
    names = names_of(found)
    assert "plain: overlap - placebo, p=0.75" in names
    assert "purity_matched: overlap - placebo, p=0.75" in names
    assert not any(" - p=" in name for name in names)


def test_differences_to_references_are_of_regions_only_by_hand():
    found = with_references(every_row())
    table = comparisons(found)
    groups = {group for name, group in table if name == "w2s - reference"}
    assert groups == set(REGIONS)  # over all points it is known beforehand
    for code, region in enumerate(REGIONS):
        for name, i in (("reference", -2), ("reference_w2s", -1)):
            shares = []
            for s in range(3):
                weight = (found.region[[t for t in range(3) if t != s]] == code).mean(axis=0)
                difference = found.correct[s, 1].astype(float) - found.correct[s, i]
                shares.append((weight * difference).sum() / weight.sum())
            row = table[f"w2s - {name}", region]
            assert row["difference"] == pytest.approx(np.mean(shares), abs=1e-6)
            assert row["lo"] <= row["difference"] <= row["hi"]
    # references stand beside the models in the regions and mixes
    regions = regions_of(found)
    models = [row["model"] for row in regions if row["region"] == "hard"]
    assert models == ["floor", "w2s", "ceiling", "reference", "reference_w2s"]
    main = main_of(found)
    accuracy = {row["control"]: row["accuracy"] for row in mixes_of(found)}
    assert accuracy["reference"] == pytest.approx(main["floor"], abs=1e-6)
    assert accuracy["reference_w2s"] == pytest.approx(main["w2s"], abs=1e-6)


def test_what_a_curve_and_its_placebo_share_cancels_out_on_every_draw():
    found = every_row()
    found.correct[:, 7:10] = found.correct[:, 4:7]
    table = comparisons(found)
    for name in ("p=0.75", "p=0.75 - p=0.25"):
        row = table[f"plain: overlap - placebo, {name}", "overall"]
        assert (row["lo"], row["difference"], row["hi"], row["p"]) == (0, 0, 0, 1)


def test_controls_that_are_not_configured_leave_their_comparisons_out():
    ends, placebo = "p=0.75 - p=0.25", "overlap - placebo, p=0.75"
    pure = "purity_matched"
    expected = {
        "placebo": [f"plain: {placebo}", f"plain: {placebo} - p=0.25", f"placebo: {ends}"],
        "purity_matched_placebo": [
            f"{pure}: {placebo}", f"{pure}: {placebo} - p=0.25", f"{pure}_placebo: {ends}"],
        "same_capacity_w2s": ["w2s - same_capacity_w2s", "same_capacity_w2s - floor"],
        "fixed_hard": [f"fixed_hard: {ends}"],
        "few_labels": [],
    }  # fmt: skip
    before = names_of(every_row())
    for gone, lost in expected.items():
        after = names_of(without_rows(every_row(), gone))
        assert [name for name in before if name not in after] == lost, gone
        assert set(after) <= set(before)


def test_without_a_learning_curve_differences_to_references_are_nan_with_the_reason():
    found = with_references(without_rows(every_row(), "few_labels"))
    table = comparisons(found)
    for region in REGIONS:
        row = table["w2s - reference", region]
        assert all(math.isnan(row[name]) for name in ("difference", "lo", "hi", "p"))
        assert (row["n_seeds"], row["reason"]) == (0, "`mixing.controls` has no few_labels")
    known = mixes_of(found)
    assert [row["control"] for row in known[-2:]] == ["reference", "reference_w2s"]
    assert math.isnan(known[-1]["accuracy"])


# --- p values -------------------------------------------------------------------------------------


def test_corrected_by_hand():
    p = {"overall": [0.01, 0.04, np.nan], "easy": [0.02, np.nan], "hard": [0.03], "overlap": [0.5]}
    rows = [{"group": group, "p": value} for group in p for value in p[group]]
    found = corrected(rows[::-1])[::-1]
    np.testing.assert_allclose(
        [row["p_holm"] for row in found],
        # two values on all points: times 2, 1; three of regions: 3, 2, 1
        [0.02, 0.04, np.nan, 0.06, np.nan, 0.06, 0.5],
    )
    assert [row["p"] for row in found] == pytest.approx([row["p"] for row in rows], nan_ok=True)
    assert all("p_holm" not in row for row in rows)
    assert corrected([]) == []
    (row,) = corrected([{"group": "hard", "p": 0.04}])
    assert row["p_holm"] == 0.04
    two = corrected([{"group": "overall", "p": 0.9}] * 2)
    assert [row["p_holm"] for row in two] == [1, 1]


def test_a_mean_without_an_interval_says_why():
    """One of 40 points is hard: a third of the draws holds none."""
    rng = np.random.default_rng(0)
    region = np.zeros((3, 40), np.int8)
    region[:, 7] = 1
    found = make_outcome(rng.random((3, 3, 40)) < 0.7, ("floor", "w2s", "ceiling"), region=region)
    rows = region_rows(found, drawn(found), 0.95) + comparison_rows(found, drawn(found), 0.95)
    hard = [row for row in rows if "hard" in (row.get("region"), row.get("group"))]
    assert len(hard) == 3 + 3
    for row in hard:
        assert np.isfinite(row.get("accuracy", row.get("difference")))
        assert np.isnan(row["lo"])
        assert row["reason"].startswith("no interval: ")
    easy = [row for row in rows if "easy" in (row.get("region"), row.get("group"))]
    assert {row["reason"] for row in easy} == {""}
