"""Tables of the synthetic study: by hand, beside the original's means, and the page on them."""

import math
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from w2s.declare import KINDS
from w2s.results.metrics import REGIONS
from w2s.synthetic.detection import METRICS, TARGETS, Cell, detection_study
from w2s.synthetic.expansion import expansion_study
from w2s.synthetic.mixture import Design, mixture
from w2s.synthetic.purity import purity_control
from w2s.synthetic.study import GROUPS, MODELS, run_setting
from w2s.synthetic.tables import (
    PUBLISHED,
    REPETITIONS,
    TEST_POINTS,
    WITHIN,
    accuracy_rows,
    anchor_rows,
    detection_rows,
    expansion_rows,
    mean_row,
    purity_rows,
    standard_error,
    threshold_rows,
)
from w2s.synthetic.track import RecipeConfig

LEVEL = 0.95
Z = 1.959963984540054  # of the normal distribution at LEVEL
NAN = math.nan
COUNTS = np.array([(100, 100, k) for k in (5, 10, 15, 20, 25, 50, 95)])
PAGE = (Path(__file__).parents[1] / "docs" / "synthetic.md").read_text(encoding="utf-8")
HEADS = {  # columns of the page's table: model and group
    "weak": ("weak", "overall"),
    "strong": ("strong", "overall"),
    "w2s": ("w2s", "overall"),
    "w2s on hard points": ("w2s", "hard"),
}


def of_kind(kind, rows):
    """The rows, which have the columns that a kind declares, in their order."""
    assert {tuple(row) for row in rows} == {tuple(KINDS[kind].arrays)}
    return rows


def keys_of(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def only(rows, **wanted):
    """The one row with these values."""
    (row,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return row


def interval(row):
    return row["lo"], row["hi"]


def page_table(first):
    """Rows of the page's table whose header begins so, as lists of cells, the header first."""
    lines = PAGE[PAGE.index(f"\n| {first}") + 1 :].split("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if set("".join(row)) - set("-:")]


def page_anchors():
    """(mixture, overlap points, model, group) -> published, ours and z as the page has them."""
    head, *rows = page_table("mixture | k |")
    found = {}
    for name, k, *cells in rows:
        for column, cell in zip(head[2:], cells, strict=True):
            if cell:
                numbers = re.fullmatch(r"(\.\d{3}) / (\.\d{3}) \((?:z )?([+-]\d\.\d)\)", cell)
                assert numbers, cell
                found[name, int(k), *HEADS[column]] = tuple(map(float, numbers.groups()))
    return found


def test_spread_by_hand():
    found = mean_row("mean", np.array([0.5, 0.6, 0.7]), LEVEL)
    assert found == {
        "mean": pytest.approx(0.6),
        "lo": pytest.approx(0.6 - Z * 0.1 / math.sqrt(3)),
        "hi": pytest.approx(0.6 + Z * 0.1 / math.sqrt(3)),
    }
    for missing in (NAN, math.inf, -math.inf):  # what is not finite is left out
        assert mean_row("mean", np.array([0.5, missing, 0.6, 0.7, missing]), LEVEL) == found
    # one value has no interval, none have no mean, and equal ones have no width
    one = mean_row("mean", np.array([NAN, 0.25]), LEVEL)
    assert list(one) == ["mean", "lo", "hi"]
    np.testing.assert_equal(one, {"mean": 0.25, "lo": NAN, "hi": NAN})
    for nothing in (np.array([]), np.array([NAN, NAN])):
        np.testing.assert_equal(mean_row("m", nothing, LEVEL), {"m": NAN, "lo": NAN, "hi": NAN})
    assert mean_row("mean", np.full(4, 0.5), LEVEL) == {"mean": 0.5, "lo": 0.5, "hi": 0.5}


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=20).filter(lambda v: np.std(v) > 1e-6),
    st.floats(0.51, 0.99),
)
def test_spread_equals_scipy_at_any_level(values, level):
    found = mean_row("mean", np.array(values), level)
    expected = stats.norm.interval(level, np.mean(values), stats.sem(values))
    assert interval(found) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found["hi"] - found["mean"] == pytest.approx(found["mean"] - found["lo"])


def test_interval_covers_the_planted_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for level in (0.8, 0.95):
        found = [mean_row("m", draw, level) for draw in rng.normal(0.7, 0.1, (2000, 60))]
        share = np.mean([row["lo"] <= 0.7 <= row["hi"] for row in found])
        assert share == pytest.approx(level, abs=0.03)


def two_repetitions():
    """Counts (1, 1, 2); weak, strong and w2s in two repetitions, w2s known in the first only."""
    weak = [[0.8, 0.5, 0.6], [0.6, 0.5, 0.4]]
    strong = [[0.8, 0.8, 0.9], [0.8, 0.8, 0.9]]
    w2s = [[0.7, 0.6, 0.5], [NAN, NAN, NAN]]
    return np.array([(1, 1, 2)]), np.moveaxis(np.array([[weak, strong, w2s]]), 1, 2)


def test_accuracy_rows_by_hand_count_the_repetitions_that_have_a_value():
    rows = accuracy_rows("easy", *two_repetitions(), LEVEL)
    moving = only(rows, mixture="moving", model="weak", group="overall")  # 0.625 and 0.475
    assert moving == {
        **{"study": "easy", "mixture": "moving", "n_easy": 1, "n_hard": 1, "n_overlap": 2},
        **{"model": "weak", "group": "overall", "accuracy": pytest.approx(0.55)},
        **{"lo": pytest.approx(0.55 - Z * 0.075), "hi": pytest.approx(0.55 + Z * 0.075)},
        "n_repetitions": 2,
    }
    fixed = only(rows, mixture="fixed", model="weak", group="overall")  # 0.64 and 0.52
    assert fixed["accuracy"] == pytest.approx(0.58)
    assert interval(fixed) == pytest.approx((0.58 - Z * 0.06, 0.58 + Z * 0.06))
    strong = only(rows, mixture="moving", model="strong", group="overall")
    assert strong["accuracy"] == pytest.approx(0.85)
    assert interval(strong) == pytest.approx((0.85, 0.85))
    for name in ("moving", "fixed"):  # a region's accuracy does not depend on the mixture
        found = [only(rows, mixture=name, model="weak", group=group) for group in REGIONS]
        assert [row["accuracy"] for row in found] == pytest.approx([0.7, 0.5, 0.5])
    found = only(rows, mixture="fixed", model="w2s", group="overall")
    assert found["accuracy"] == pytest.approx(0.28 + 0.24 + 0.1)
    assert (found["n_repetitions"], *map(math.isnan, interval(found))) == (1, True, True)
    counts, accuracy = two_repetitions()
    accuracy[:, :, 2] = NAN
    rows = accuracy_rows("easy", counts, accuracy, LEVEL)
    for group in GROUPS:
        gone = only(rows, mixture="moving", model="w2s", group=group)
        assert math.isnan(gone["accuracy"])
        assert gone["n_repetitions"] == 0
        assert only(rows, mixture="moving", model="weak", group=group)["n_repetitions"] == 2


def test_accuracy_rows_are_ordered_and_complete_and_keep_settings_apart():
    counts = np.array([(3, 2, 1), (4, 2, 1), (5, 2, 1)])
    rows = accuracy_rows("hard", counts, np.full((3, 2, 3, 3), 0.5), LEVEL)
    names = ("mixture", "n_easy", "model", "group")
    every = list(product(("moving", "fixed"), (3, 4, 5), MODELS, GROUPS))
    assert keys_of(of_kind("synthetic_table", rows), *names) == every
    assert {type(row[name]) for row in rows for name in ("n_easy", "n_hard", "n_overlap")} == {int}

    counts, accuracy = (
        np.array([(3, 2, 1), (1, 2, 3)]),
        np.random.default_rng(0).random((2, 5, 3, 3)),
    )
    rows = accuracy_rows("hard", counts, accuracy, LEVEL)
    for i, name, (m, model) in product(range(2), ("moving", "fixed"), enumerate(MODELS)):
        key = {"mixture": name, "n_easy": int(counts[i, 0]), "model": model}
        overall = only(rows, **key, group="overall")["accuracy"]
        shares = mixture(name, counts[i])
        assert overall == pytest.approx((accuracy[i, :, m] @ shares).mean())
        for g, group in enumerate(REGIONS):
            found = only(rows, **key, group=group)["accuracy"]
            assert found == pytest.approx(accuracy[i, :, m, g].mean())


def test_all_tables_take_the_level():
    for level in [0.6, 0.9, 0.99]:
        z = stats.norm.ppf((1 + level) / 2)
        pair = np.array([0.4, 0.6])  # sd / sqrt(2) = 0.1
        accuracy = np.broadcast_to(pair[None, :, None, None], (1, 2, 3, 3))
        detection = np.broadcast_to(pair[None, None, :, None, None], (1, 1, 2, 2, 3))
        grid = {
            "metrics": np.broadcast_to(pair[:, None, None, None, None], (2, 1, 1, 2, 3)),
            "density": np.broadcast_to(pair[:, None, None], (2, 1, 1)),
        }
        arms = {
            "n_overlap": np.array([5]),
            "overlap": np.broadcast_to(pair[None, :, None], (1, 2, 3)),
            "easy": np.zeros((1, 2, 3)),
            "label_accuracy": pair[None],
        }
        one = np.array([0.5])
        rows = [
            *accuracy_rows("hard", np.array([(1, 1, 1)]), accuracy, level),
            *detection_rows([["a", 1]], ["v"], detection, [[{}]], level),
            *threshold_rows(one, one, grid, level),
            *purity_rows(["none"], arms, level),
            *expansion_rows(["right"], np.array([5]), pair[None, :, None], level),
        ]
        assert len(rows) == 24 + 6 + 6 + 1 + 1
        for row in rows:
            assert interval(row) == pytest.approx((0.5 - 0.1 * z, 0.5 + 0.1 * z))


def test_anchor_rows_by_hand():
    accuracy = np.full((len(COUNTS), 2, 3, 3), 0.5)
    accuracy[0, :, 2, 1] = [0.5, 0.52]
    row = only(anchor_rows(COUNTS, accuracy), mixture="moving", n_overlap=5, group="hard")
    # sd over repetitions beside 500 published ones, which counted 100 hard test points each
    se = math.sqrt(0.0002 / 2 + (0.0002 + 0.2498 / 100) / 500)
    assert row == {
        **{"mixture": "moving", "n_overlap": 5, "model": "w2s", "group": "hard"},
        **{"published": 0.51, "ours": pytest.approx(0.51)},
        **{"difference": pytest.approx(0, abs=1e-12), "se": pytest.approx(se)},
        **{"z": pytest.approx(0, abs=1e-9), "within": "yes", "n_repetitions": 2},
    }
    accuracy[:, 0, 0] = [0.8, 0.5, 0.6]
    accuracy[:, 1, 0] = [0.6, 0.5, 0.4]
    rows = anchor_rows(COUNTS, accuracy)
    row = only(rows, mixture="fixed", n_overlap=95, model="weak", group="overall")
    noise = (0.4 * 0.16 + 0.4 * 0.25 + 0.2 * 0.24 + 0.4 * 0.24 + 0.4 * 0.25 + 0.2 * 0.24) / 2 / 200
    se = math.sqrt(0.0072 / 2 + (0.0072 + noise) / 200)
    assert (row["ours"], row["published"]) == (pytest.approx(0.58), 0.708)
    assert (row["se"], row["z"]) == pytest.approx((se, (0.58 - 0.708) / se))


def test_anchor_rows_have_each_published_mean_and_agree_with_the_table_of_accuracies():
    accuracy = np.random.default_rng(0).random((len(COUNTS), 6, 3, 3))
    rows = of_kind("anchors_table", anchor_rows(COUNTS, accuracy))
    told = {(r["mixture"], r["model"], r["group"], r["n_overlap"]): r["published"] for r in rows}
    expected = {(*key, k): mean for key, means in PUBLISHED.items() for k, mean in means.items()}
    assert told == expected
    assert list(told) == list(expected)
    order = np.random.default_rng(1).permutation(len(COUNTS))
    assert anchor_rows(COUNTS[order], accuracy[order]) == rows
    table = accuracy_rows("overlap", COUNTS, accuracy, LEVEL)
    for row in rows:
        key = {name: row[name] for name in ("mixture", "n_overlap", "model", "group")}
        assert row["ours"] == pytest.approx(only(table, **key)["accuracy"])
        assert row["difference"] == pytest.approx(row["ours"] - row["published"])
        assert row["z"] == pytest.approx(row["difference"] / row["se"])
        assert row["within"] == ("yes" if abs(row["z"]) <= 3 else "no")


def test_within_is_three_standard_errors_to_either_side():
    def rows(value):
        """Accuracies of the anchors' settings are 1/2, but those of w2s on hard points."""
        accuracy = np.full((len(COUNTS), 2, 3, 3), 0.5)
        accuracy[:, :, MODELS.index("w2s"), REGIONS.index("hard")] = value
        return anchor_rows(COUNTS, accuracy)

    for shift, within in ((2.9, "yes"), (-2.9, "yes"), (3.1, "no"), (-3.1, "no")):
        # all repetitions equal: only the original's noise is left
        value = 0.51 + shift * math.sqrt(0.25 / 100 / 500)
        row = only(rows(value), mixture="moving", n_overlap=5, group="hard")
        assert row["within"] == within
        assert row["z"] == pytest.approx(shift, rel=0.01)
    row = only(rows(NAN), mixture="fixed", n_overlap=50, group="hard")
    assert math.isnan(row["z"])
    assert row["within"] == "no"


def test_standard_error_is_that_of_a_simulated_original(subtests):
    """Planted: accuracies vary over repetitions, and the original counts right test points."""
    for name, group in product(("moving", "fixed"), ("overall", "hard")):
        with subtests.test(name=name, group=group):
            rng = np.random.default_rng(0)
            tested = slice(None) if group == "overall" else slice(1, 2)
            counts, ours, low, width = (60, 100, 40), 20, np.array([0.5, 0.6, 0.7]), 0.2
            shares = mixture(name, counts)[tested]
            n_test = np.rint(shares * (200 if name == "moving" else TEST_POINTS)).astype(int)
            weight = shares / shares.sum()
            differences, errors = [], []
            for _ in range(600):
                drawn = low[tested] + width * rng.random((ours + REPETITIONS[name], 1))
                first, others = np.split(drawn, [ours])
                counted = rng.binomial(n_test, others) / n_test
                differences.append((first @ weight).mean() - (counted @ weight).mean())
                errors.append(standard_error(first, mixture=name, shares=shares, n_train=200))
            expected = np.sqrt(np.mean(np.square(errors)))
            assert np.std(differences) == pytest.approx(expected, rel=0.1)


def test_detection_rows_by_hand():
    metrics = np.full((2, 1, 3, 2, 3), 0.5)
    metrics[1, 0, :, 1, 2] = [0.7, NAN, 0.9]
    metrics[1, 0, 0, 0, 0] = NAN
    why = "constant confidences"
    cells = [["saliency", 1], ["variance", 0.5]]
    rows = detection_rows(cells, ["dot"], metrics, [[{}], [{why: 1}]], LEVEL)
    every = list(product(("saliency", "variance"), TARGETS, METRICS))
    assert keys_of(of_kind("detection_table", rows), "axis", "target", "metric") == every
    found = only(rows, axis="variance", target="overlap", metric="auroc")
    half = Z * math.sqrt(0.02) / math.sqrt(2)
    assert found == {
        **{"axis": "variance", "setting": 0.5, "variant": "dot", "target": "overlap"},
        **{"metric": "auroc", "value": pytest.approx(0.8)},
        **{"lo": pytest.approx(0.8 - half), "hi": pytest.approx(0.8 + half)},
        **{"n_repetitions": 2, "n_degenerate": 1, "reason": why},
    }
    whole = only(rows, axis="saliency", target="hard", metric="precision")
    assert (whole["value"], whole["lo"], whole["hi"]) == (0.5, 0.5, 0.5)
    assert (whole["n_repetitions"], whole["n_degenerate"], whole["reason"]) == (3, 0, "")


def test_detection_rows_without_any_region_are_undefined_with_every_reason():
    metrics = np.full((1, 2, 2, 2, 3), NAN)
    metrics[0, 1] = 0.25
    told = [[{"no hard point": 2}, {}]]
    rows = detection_rows([["variance", 5]], ["a", "b"], metrics, told, LEVEL)
    for row in rows:
        if row["variant"] == "a":
            assert all(math.isnan(row[name]) for name in ("value", "lo", "hi"))
            assert (row["n_repetitions"], row["n_degenerate"]) == (0, 2)
            assert row["reason"] == "no hard point"
        else:
            assert (row["value"], row["n_degenerate"], row["reason"]) == (0.25, 0, "")
    told = [[{"no hard point": 1, "constant scores": 2}]]
    rows = detection_rows([["variance", 5]], ["a"], np.full((1, 1, 3, 2, 3), NAN), told, LEVEL)
    assert {row["n_degenerate"] for row in rows} == {3}
    assert {row["reason"] for row in rows} <= set(told[0][0])


def test_detection_rows_hold_what_the_study_returns():
    cells = [Cell(points=40, variance=v) for v in (0.5, 5.0)]
    variants = {"default": {}, "dot": {"similarity": "dot"}}
    options = {"seed": 0, "repetitions": range(4), "variants": variants}
    found = [detection_study(cell, **options) for cell in cells]
    metrics = np.stack([[cell[v].metrics for v in variants] for cell in found])
    told = [[cell[v].reasons for v in variants] for cell in found]
    at = [["variance", 0.5], ["variance", 5]]
    rows = detection_rows(at, list(variants), metrics, told, LEVEL)
    assert len(rows) == 2 * 2 * 2 * 3
    for (value, cell), variant in product(zip((0.5, 5.0), found, strict=True), variants):
        for (t, target), (m, metric) in product(enumerate(TARGETS), enumerate(METRICS)):
            key = {"setting": value, "variant": variant, "target": target, "metric": metric}
            expected = np.nanmean(cell[variant].metrics[:, t, m])
            assert only(rows, **key)["value"] == pytest.approx(expected)


def test_threshold_rows_by_hand():
    hard, overlap = np.array([0.3, 0.5]), np.array([0.1, 0.6, 0.9])
    metrics, density = np.full((2, 2, 3, 2, 3), 0.5), np.full((2, 2, 3), 0.25)
    metrics[:, 1, 0, 1, 0] = [0.4, 0.8]
    density[:, 1, 0] = [0.1, 0.3]
    metrics[:, 0, 2, 0, 1], density[:, 0, 2] = [NAN, 0.6], [NAN, 0.2]
    rows = threshold_rows(hard, overlap, {"metrics": metrics, "density": density}, LEVEL)
    names = ("tau_hard", "tau_overlap", "target", "metric")
    every = list(product(hard, overlap, TARGETS, METRICS))
    assert keys_of(of_kind("thresholds_table", rows), *names) == every
    found = only(rows, tau_hard=0.5, tau_overlap=0.1, target="overlap", metric="precision")
    assert (found["value"], found["density"]) == pytest.approx((0.6, 0.2))
    half = Z * math.sqrt(0.08) / math.sqrt(2)
    assert interval(found) == pytest.approx((0.6 - half, 0.6 + half))
    assert found["n_repetitions"] == 2
    found = only(rows, tau_hard=0.3, tau_overlap=0.9, target="hard", metric="recall")
    assert (found["value"], found["density"], found["n_repetitions"]) == (0.6, 0.2, 1)
    assert math.isnan(found["lo"])


def test_purity_rows_by_hand_take_the_interval_of_paired_differences():
    overlap, easy = np.full((2, 3, 3), 0.9), np.full((2, 3, 3), 0.1)
    overlap[1, :, 1], easy[1, :, 1] = [0.6, 0.7, NAN], [0.5, 0.4, NAN]
    arms = {
        "n_overlap": np.array([5, 10]),
        "overlap": overlap,
        "easy": easy,
        "label_accuracy": np.array([[0.8, 0.8, 0.8], [0.6, 0.8, NAN]]),
    }
    rows = of_kind("purity_table", purity_rows(["none", "easy"], arms, LEVEL))
    assert [row["others"] for row in rows] == ["none", "easy"]
    half = Z * math.sqrt(0.02) / math.sqrt(2)  # of the paired differences 0.1 and 0.3
    assert rows[1] == {
        **{"n_overlap": 10, "others": "easy"},
        **{"with_overlap": pytest.approx(0.65), "with_easy": pytest.approx(0.45)},
        **{"difference": pytest.approx(0.2), "label_accuracy": pytest.approx(0.7)},
        **{"lo": pytest.approx(0.2 - half), "hi": pytest.approx(0.2 + half), "n_repetitions": 2},
    }
    assert interval(rows[0]) == pytest.approx((0.8, 0.8))
    # What both trainings share cancels: the interval is narrower than that of either mean.
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.1, (1, 200, 1))
    arms = {
        "n_overlap": np.array([5]),
        "overlap": 0.7 + shared + rng.normal(0, 0.01, (1, 200, 3)),
        "easy": 0.5 + shared + rng.normal(0, 0.01, (1, 200, 3)),
        "label_accuracy": np.full((1, 200), 0.8),
    }
    (row,) = purity_rows(["none"], arms, LEVEL)
    assert row["difference"] == pytest.approx(row["with_overlap"] - row["with_easy"])
    assert row["hi"] - row["lo"] < 0.01


def test_expansion_rows_by_hand():
    found = np.full((2, 3, 2), 1.0)
    found[1, :, 1] = [1.5, NAN, 2.5]
    found[0, :, 1] = NAN
    rows = expansion_rows(["right", "wrong"], np.array([5, 95]), found, LEVEL)
    every = list(product((5, 95), ("right", "wrong")))
    assert keys_of(of_kind("expansion_table", rows), "n_overlap", "estimate") == every
    half = Z * math.sqrt(0.5) / math.sqrt(2)
    assert rows[3] == {
        **{"n_overlap": 95, "estimate": "wrong", "value": 2.0},
        **{"lo": pytest.approx(2 - half), "hi": pytest.approx(2 + half), "n_repetitions": 2},
    }
    empty = {"value": NAN, "lo": NAN, "hi": NAN, "n_repetitions": 0}
    np.testing.assert_equal(rows[1], {"n_overlap": 5, "estimate": "wrong", **empty})


def test_page_has_every_published_mean_and_agrees_with_itself():
    found = page_anchors()
    expected = {
        (name, k, model, group): mean
        for (name, model, group), means in PUBLISHED.items()
        for k, mean in means.items()
    }
    assert {key: numbers[0] for key, numbers in found.items()} == expected
    assert f"All {len(expected)} are within {WITHIN} standard errors" in PAGE
    for key, (published, ours, z) in found.items():
        assert abs(z) <= WITHIN, key
        if round(ours - published, 3):
            assert (z > 0) == (ours > published), key


@pytest.mark.slow
def test_page_has_the_anchors_that_the_study_gives():
    """The full number of repetitions, as in config/synthetic.yaml."""
    options = {"design": Design(), "recipe": RecipeConfig(), "seed": 0, "repetitions": range(2000)}
    found = [run_setting(counts, **options).region for counts in COUNTS]
    rows = anchor_rows(COUNTS, np.stack(found))
    assert {row["within"] for row in rows} == {"yes"}
    page = page_anchors()
    for row in rows:
        key = tuple(row[name] for name in ("mixture", "n_overlap", "model", "group"))
        assert page[key][1] == pytest.approx(row["ours"], abs=0.00051), key
        assert page[key][2] == pytest.approx(row["z"], abs=0.051), key
    strong = [row["difference"] for row in rows if row["model"] == "strong"]
    assert "by .001 to .004" in PAGE
    assert (round(max(strong), 3), round(min(strong), 3)) == (-0.001, -0.004)


@pytest.mark.slow
def test_page_has_the_purity_control_and_the_expansion_that_the_study_gives():
    draws = {"design": Design(), "seed": 0, "repetitions": range(500)}
    head, *lines = page_table("overlap points, or easy ones instead")
    _, *estimates = page_table("overlap points | 5 |")
    for place, k in enumerate(map(int, head[1:]), start=1):
        found = purity_control((100, 100, k), recipe=RecipeConfig(), **draws)
        arms = {
            "n_overlap": np.array([k]),
            "overlap": found.overlap[None],
            "easy": found.easy[None],
            "label_accuracy": found.label_accuracy[None],
        }
        (row,) = purity_rows(["none"], arms, LEVEL)
        told = [float(n) for line in lines for n in re.findall(r"\.\d+", line[place])]
        named = ("with_overlap", "with_easy", "difference", "lo", "hi")
        assert told == pytest.approx([row[name] for name in named], abs=0.00051), k
        graph = expansion_study((100, 100, k), **draws)
        names = ("right", "wrong", "lowest", "agreement")
        means = [np.nanmean(getattr(graph, name)) for name in names]
        assert [float(line[place]) for line in estimates] == pytest.approx(means, abs=0.0051), k


def detected(cell, *options):
    """Precision, recall and AUROC of overlap points for some options, as the page has them."""
    chosen = {str(i): option for i, option in enumerate(options)}
    found = detection_study(cell, seed=0, repetitions=range(100), variants=chosen)
    overlap = TARGETS.index("overlap")
    return [np.nanmean(one.metrics[:, overlap], axis=0) for one in found.values()]


def test_page_has_the_detection_that_the_study_gives(subtests):
    _, *lines = page_table("options | precision of overlap")
    options = ({}, {"absolute": False}, {"similarity": "dot"})
    for line, found in zip(lines, detected(Cell(), *options), strict=True):
        assert [float(cell) for cell in line[1:]] == pytest.approx(found, abs=0.0051), line[0]
    for said, change in (  # of other cells
        (r"variance\s1:\s(\.\d+)", {"variance": 1.0}),
        (r"0\.5:\s(\.\d+)\)", {"variance": 0.5}),
        (r"80 \+ 80: (\.\d+)", {"dimension": 80}),
        (r"40% flipped: (\.\d+)", {"label_noise": 0.4}),
    ):
        with subtests.test(said=said):
            (told,) = re.findall(said, PAGE)
            ((_, _, auroc),) = detected(Cell(**change), {})
            assert float(told) == pytest.approx(auroc, abs=0.0051)
