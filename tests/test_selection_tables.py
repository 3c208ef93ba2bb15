"""Tables and figures of source selection: by hand, paired differences, and what is undefined."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import CUT, PAIR, SEEDS, Chain
from reference.bootstrap import draws as loop_draws
from scipy import stats
from test_figures import lines, words
from test_steps import LARGE, changed, files, renamed, run_stage

from w2s.errors import ArtifactError
from w2s.files.artifacts import Artifact, load
from w2s.results.intervals import Bootstrap, holm
from w2s.selection.figures import accuracy_figure, pulls_figure, regret_figure
from w2s.selection.tables import SelectionOutcome, round_rows, selection_rows, source_rows
from w2s.selection.track import POLICIES

LEVEL = 0.95
BANDS = [name for name, shown in POLICIES.items() if shown.band]
NAMES = {"experiment": "cut", "weak": "small", "strong": "large"}
PER_SEED = ("regret", "best_share")
MEASURES = ("accuracy_all", "auc_all", "accuracy_overlap", "auc_overlap", "regret", "best_share")


def outcome(correct, *, overlap=None, regret=None, best=None, policies=("ucb", "random")):
    """The outcome of correctness (seeds, policies, rounds, n); NaN rounds have no curves either."""
    correct = np.array(correct, dtype=np.float32)
    seeds, p, rounds, _ = correct.shape
    known = np.isfinite(correct[..., 0])
    curve = np.where(known, np.broadcast_to(np.arange(1.0, rounds + 1), known.shape), np.nan)
    return SelectionOutcome(
        names=NAMES,
        policies=policies[:p],
        sources=["s1", "s2"],
        correct={"all": correct, "overlap": correct if overlap is None else np.float32(overlap)},
        curves={
            "regret": curve if regret is None else np.array(regret, float),
            "best_share": curve / rounds if best is None else np.array(best, float),
            "density": curve / 10,
            "n_all": 4 * curve,
            "n_overlap": curve,
        },
        pulls=np.where(known[:, :, :1].any(axis=2, keepdims=True), [0.25, 0.75], np.nan),
        facts={
            name: np.full((seeds, 2), float(value))
            for name, value in (("n_points", 40), ("density", 0.5), ("right_density", 0.25),
                                ("label_accuracy", 0.75))
        },
        reason=[""] * seeds,
    )  # fmt: skip


def by_hand() -> SelectionOutcome:
    """Two seeds, ucb and random, two rounds, four test points."""
    correct = [
        [[[1, 0, 0, 0], [1, 1, 1, 0]], [[0, 0, 0, 0], [1, 0, 0, 0]]],
        [[[1, 1, 0, 0], [1, 1, 1, 1]], [[1, 0, 0, 0], [1, 1, 0.5, 0]]],
    ]
    overlap = np.zeros((2, 2, 2, 4))
    overlap[:, 0, 1] = 1
    return outcome(
        correct,
        overlap=overlap,
        regret=[[[0.5, 0.5], [0.5, 1.0]], [[0.0, 0.5], [0.5, 2.0]]],
        best=[[[0.0, 0.5], [0.0, 0.0]], [[1.0, 0.5], [0.0, 0.5]]],
    )


def random_outcome(seed: int = 0, *, n: int = 30) -> SelectionOutcome:
    """Three seeds, three policies, four rounds."""
    rng = np.random.default_rng(seed)
    shape = (3, 3, 4)
    return outcome(
        rng.integers(0, 3, (*shape, n)) / 2,
        overlap=rng.integers(0, 3, (*shape, n)) / 2,
        regret=np.cumsum(rng.random(shape), axis=2),
        best=rng.random(shape),
        policies=("ucb", "oracle", "random"),
    )


def drawn(found: SelectionOutcome, draws: int = 400) -> Bootstrap:
    seeds, _, _, points = found.correct["all"].shape
    return Bootstrap.draw(seeds, points, draws, np.random.default_rng(0))


def few(n: int) -> str:
    return f"found {n} seeds, expected 3 or more for an interval over seeds"


def rounds_of(found: SelectionOutcome) -> list[dict[str, Any]]:
    return round_rows(found, drawn(found), LEVEL)


def ends(row: dict[str, Any], name: str) -> list[float]:
    """A value with its interval."""
    return [row[f"{name}{end}"] for end in ("", "_lo", "_hi")]


def table(found: SelectionOutcome, **options: Any) -> dict[tuple[str, str], dict[str, Any]]:
    rows = selection_rows(found, drawn(found, **options), LEVEL)
    keyed = {(row["policy"], row["measure"]): row for row in rows}
    assert len(keyed) == len(rows) == len(found.policies) * len(MEASURES)
    return keyed


def test_selection_rows_by_hand():
    expected = {  # by policy and measure, in the order of the rows
        ("ucb", "accuracy_all"): (0.875, 0.875 - 0.4375),  # 3/4 and 4/4; 1/4 and 2.5/4
        ("ucb", "accuracy_overlap"): (1, 1),
        ("ucb", "auc_overlap"): (0.5, 0.5),
        ("ucb", "auc_all"): (0.625, 0.625 - 0.28125),  # (1/4 + 3/4) / 2 and (2/4 + 4/4) / 2
        ("ucb", "regret"): (0.5, -1),
        ("ucb", "best_share"): (0.5, 0.25),
        ("random", "accuracy_all"): (0.4375, 0),
        ("random", "auc_all"): (0.28125, 0),  # (0 + 1/4) / 2 and (1/4 + 2.5/4) / 2
        ("random", "accuracy_overlap"): (0, 0),
        ("random", "auc_overlap"): (0, 0),
        ("random", "regret"): (1.5, 0),
        ("random", "best_share"): (0.25, 0),
    }
    found = table(by_hand())
    assert {key: (row["value"], row["minus_random"]) for key, row in found.items()} == expected
    assert list(found) == [(policy, name) for policy in ("ucb", "random") for name in MEASURES]
    for row in found.values():
        assert {name: row[name] for name in NAMES} == NAMES
        assert (row["n_rounds"], row["n_seeds"]) == (2, 2)
        assert row["reason"] == (few(2) if row["measure"] in PER_SEED else "")


def test_round_rows_by_hand():
    rows = rounds_of(by_hand())
    expected = {
        "policy": ["ucb", "ucb", "random", "random"],
        "round": [1, 2, 1, 2],
        "accuracy_all": [0.375, 0.875, 0.125, 0.4375],
        "accuracy_overlap": [0, 1, 0, 0],
        "regret": [0.25, 0.5, 0.5, 1.5],
        "best_share": [0.5, 0.5, 0, 0.25],
        "n_all": [4, 8, 4, 8],
        "n_overlap": [1, 2, 1, 2],
        "density": [0.1, 0.2, 0.1, 0.2],
        "n_seeds": [2] * 4,
        "reason": [few(2)] * 4,
    }
    assert {name: [row[name] for row in rows] for name in expected} == expected
    assert all(math.isnan(row["regret_lo"]) and row["accuracy_all_lo"] >= 0 for row in rows)


def test_source_rows_by_hand():
    found = replace(
        by_hand(),
        pulls=np.array([[[0.5, 0.5], [1.0, 0.0]], [[0.25, 0.75], [0.0, 1.0]]]),
        facts={
            "n_points": np.array([[10.0, 30.0], [20.0, 20.0]]),
            "density": np.array([[0.0, 1.0], [0.5, 0.5]]),
            "right_density": np.array([[0.0, 0.5], [0.5, 0.0]]),
            "label_accuracy": np.array([[1.0, 0.5], [0.5, 0.5]]),
        },
    )
    rows = source_rows(found, LEVEL)
    assert [(row["source"], row["policy"], row["pulls"]) for row in rows] == [
        ("s1", "ucb", 0.375), ("s1", "random", 0.5), ("s2", "ucb", 0.625), ("s2", "random", 0.5),
    ]  # fmt: skip
    facts = [[row[name] for name in found.facts] for row in rows]
    assert facts == [[15, 0.25, 0.25, 0.75]] * 2 + [[25, 0.75, 0.25, 0.5]] * 2
    assert all(math.isnan(row[f"pulls_{end}"]) for row in rows for end in ("lo", "hi"))
    assert {(row["n_seeds"], row["reason"]) for row in rows} == {(2, few(2))}
    found = random_outcome()
    found.pulls[:, 0] = [[0.5, 0.5], [0.25, 0.75], [0.75, 0.25]]
    row = source_rows(found, 0.9)[0]
    assert (row["policy"], row["source"], row["pulls"], row["reason"]) == ("ucb", "s1", 0.5, "")
    margin = 2.9200 * 0.25 / math.sqrt(3)  # t of two degrees of freedom
    bounds = (0.5 - margin, 0.5 + margin)
    assert (row["pulls_lo"], row["pulls_hi"]) == pytest.approx(bounds, abs=1e-4)


def test_values_are_means_of_the_correctness():
    for found in map(random_outcome, range(5)):
        shown, rounds = table(found), rounds_of(found)
        for i, policy in enumerate(found.policies):
            for name, right in found.correct.items():
                exact = right[:, i].astype(float)
                accuracy, auc = (shown[policy, f"{what}_{name}"] for what in ("accuracy", "auc"))
                assert accuracy["value"] == pytest.approx(exact[:, -1].mean())
                assert auc["value"] == pytest.approx(exact.mean(), abs=1e-6)
                curve = [row[f"accuracy_{name}"] for row in rounds if row["policy"] == policy]
                np.testing.assert_allclose(curve, exact.mean(axis=(0, 2)))
                assert np.mean(curve) == pytest.approx(auc["value"], abs=1e-6)
                assert curve[-1] == accuracy["value"]
        for row in shown.values():
            for name in ("value", "minus_random"):
                middle, low, high = ends(row, name)
                assert low <= middle <= high
        for measure in MEASURES:
            row = shown["random", measure]
            assert ends(row, "minus_random") == [0, 0, 0]
            assert math.isnan(row["p"])  # nothing was compared


def test_intervals_are_quantiles_of_the_loop():
    found = random_outcome(1, n=15)
    bootstrap = drawn(found, 200)
    rows = selection_rows(found, bootstrap, 0.9)
    shown = {(row["policy"], row["measure"]): row for row in rows}
    everywhere = np.ones((3, 15), dtype=bool)
    right = found.correct["all"].astype(float)

    for measure, values in (("accuracy_all", right[:, :, -1]), ("auc_all", right.mean(axis=2))):
        paired = values[:, 0] - values[:, 2]
        for name, of_points in (("value", values[:, 0]), ("minus_random", paired)):
            draws = loop_draws(of_points, everywhere, bootstrap.seeds, bootstrap.examples)
            bounds = np.quantile(draws, [0.05, 0.95])
            assert ends(shown["ucb", measure], name)[1:] == pytest.approx(bounds, abs=1e-6)


def test_what_exists_once_a_seed_has_students_t_over_seeds():
    for measure in PER_SEED:
        found = random_outcome(1)
        shown = table(found)
        rounds = rounds_of(found)
        final = found.curves[measure][:, :, -1]
        for i, policy in enumerate(found.policies[:2]):
            row, value, paired = shown[policy, measure], final[:, i], final[:, i] - final[:, 2]
            for name, values in (("value", value), ("minus_random", paired)):
                bounds = stats.t.interval(LEVEL, 2, values.mean(), stats.sem(values))
                assert ends(row, name)[1:] == pytest.approx(bounds)
            assert row["p"] == pytest.approx(stats.ttest_1samp(paired, 0).pvalue)
            last = next(each for each in rounds if (each["policy"], each["round"]) == (policy, 4))
            assert ends(last, measure) == pytest.approx(ends(row, "value"))
            assert (row["reason"], last["reason"]) == ("", "")


def test_p_values_and_paired_differences_say_what_the_intervals_say():
    rng = np.random.default_rng(0)
    random = rng.random((5, 1, 2, 400)) < 0.6
    better = random | (rng.random(random.shape) < 0.1)
    alike = random ^ (rng.random(random.shape) < 0.1) & (rng.random(random.shape) < 0.5)
    correct = np.concatenate([better, alike, random], axis=1)
    shown = table(outcome(correct, policies=("ucb", "oracle", "random")))
    assert shown["ucb", "accuracy_all"]["p"] < 1e-4
    assert shown["ucb", "accuracy_all"]["minus_random_lo"] > 0
    for row in shown.values():
        if math.isfinite(row["p"]) and row["minus_random"] and abs(row["p"] - 0.05) > 0.03:
            apart = not row["minus_random_lo"] <= 0 <= row["minus_random_hi"]
            assert (row["p"] < 0.05) == apart
    rng = np.random.default_rng(0)
    first = rng.random((4, 1, 2, 400)) < 0.7
    second = first ^ (rng.random(first.shape) < 0.02)
    row = table(outcome(np.concatenate([first, second], axis=1)))["ucb", "accuracy_all"]
    difference, width = (row[f"{n}_hi"] - row[f"{n}_lo"] for n in ("minus_random", "value"))
    assert difference < 0.5 * width


def test_without_the_policy_random_its_differences_are_undefined():
    found = random_outcome()
    fewer = replace(found, policies=("ucb", "oracle", "thompson"))
    for key, row in table(fewer).items():
        assert all(map(math.isnan, ends(row, "minus_random"))), key
        assert math.isnan(row["p"])
        assert math.isfinite(row["value"])
    # and its own numbers are the same as with it
    for measure in MEASURES:
        values = [table(each)["ucb", measure]["value_lo"] for each in (found, fewer)]
        assert values[0] == values[1]


NO_SEED = "no interval: too many bootstrap draws hold no seed with a value"


def without_rounds(found: SelectionOutcome, seed: int, first: int, why: str) -> SelectionOutcome:
    """A seed whose paths end before a round, or, before the first, that has none."""
    for arrays in (found.correct, found.curves):
        for array in arrays.values():
            array[seed, :, first:] = np.nan
    if not first:
        found.pulls[seed] = np.nan
        for array in found.facts.values():
            array[seed] = np.nan
    reason = [why if s == seed else old for s, old in enumerate(found.reason)]
    return replace(found, reason=reason)


def test_a_degenerate_seed_is_reported_and_the_others_go_on():
    whole = random_outcome()
    found = without_rounds(random_outcome(), 1, 0, "overlap: constant")
    assert found.rounds.tolist() == [4, 0, 4]
    kept = [0, 2]
    for (policy, measure), row in table(found).items():
        assert (row["n_seeds"], row["n_rounds"]) == (2, 4)
        # (1/3)^3 of the draws of seeds hold none with a value, more than a tail
        lacking = few(2) if measure in PER_SEED else NO_SEED
        assert row["reason"] == f"overlap: constant; {lacking}"
        assert math.isfinite(row["value"])
        assert math.isnan(row["value_lo"])
        if measure == "accuracy_all":
            right = whole.correct["all"][kept, whole.policies.index(policy), -1]
            assert row["value"] == pytest.approx(right.astype(float).mean())
    for row in [*rounds_of(found), *source_rows(found, LEVEL)]:
        assert (row["n_seeds"], row["reason"]) == (2, few(2))
    assert {row["density"] for row in source_rows(found, LEVEL)} == {0.5}


def test_degenerate_in_every_seed_is_nan_with_the_reason():
    found = random_outcome()
    for seed in range(3):
        found = without_rounds(found, seed, 0, "overlap: constant")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = table(found)
        rounds = rounds_of(found)
        nowhere = replace(found, sources=[], pulls=found.pulls[:, :, :0], facts={
            name: values[:, :0] for name, values in found.facts.items()})  # fmt: skip
        assert source_rows(nowhere, LEVEL) == []
    for row in shown.values():
        for name in ("value", "minus_random"):
            assert all(map(math.isnan, ends(row, name)))
        assert (row["n_seeds"], row["reason"]) == (0, "overlap: constant")
        assert math.isnan(row["n_rounds"])
    assert len(rounds) == 12
    assert all(math.isnan(row["accuracy_all"]) for row in rounds)
    assert {row["n_seeds"] for row in rounds} == {0}


def test_a_seed_with_fewer_rounds_ends_at_its_last():
    whole = random_outcome()
    found = without_rounds(random_outcome(), 2, 2, "all sources dry after round 2 of 4")
    assert found.rounds.tolist() == [4, 4, 2]
    shown = table(found)
    for i, policy in enumerate(whole.policies):
        right = whole.correct["all"][:, i].astype(float)  # (seeds, rounds, n)
        last = np.mean([right[0, 3], right[1, 3], right[2, 1]])
        assert shown[policy, "accuracy_all"]["value"] == pytest.approx(last)
        area = np.mean([right[0].mean(), right[1].mean(), right[2, :2].mean()])
        assert shown[policy, "auc_all"]["value"] == pytest.approx(area, abs=1e-6)
        regret = whole.curves["regret"][:, i]
        mean = np.mean([regret[0, 3], regret[1, 3], regret[2, 1]])
        row = shown[policy, "regret"]
        assert row["value"] == pytest.approx(mean)
        assert row["n_rounds"] == pytest.approx(10 / 3)
        assert (row["n_seeds"], row["reason"]) == (3, "all sources dry after round 2 of 4")
    rounds = rounds_of(found)
    assert [row["n_seeds"] for row in rounds[:4]] == [3, 3, 2, 2]


def test_a_round_without_a_probe_is_nan_and_its_area_is_not_compared():
    """The probe of ucb has no solution in a round, as knn has none on few rows."""
    first, last = by_hand(), by_hand()
    for number, found in enumerate((first, last)):
        for right in found.correct.values():
            right[:, 0, number] = np.nan
    rows = rounds_of(first)[:2]
    assert math.isnan(rows[0]["accuracy_all"])
    assert rows[1]["accuracy_all"] == table(first)["ucb", "accuracy_all"]["value"] == 0.875
    # without its first, worst round the area of ucb is its last accuracy
    assert math.isnan(table(first)["ucb", "auc_all"]["minus_random"])
    row = table(last)["ucb", "accuracy_all"]
    assert math.isnan(row["value"])
    assert row["reason"]


# --- the steps ------------------------------------------------------------------------------------


def chain_files(chain: Chain) -> tuple[list[Artifact], list[Artifact]]:
    paths = files(chain, *(f"paths-{seed}.parquet" for seed in SEEDS))
    return paths, files(chain, *(f"selected-{seed}.safetensors" for seed in SEEDS))


def some(item: Artifact, rows: Any, names: tuple[str, ...] = ("all", "overlap")) -> Artifact:
    """Predictions with some rows of some arrays."""
    return changed(item, **{name: item[name][rows] for name in names})


def tables_of(paths: list[Artifact], predictions: list[Artifact]) -> Any:
    return run_stage("selection_tables", paths, predictions, evaluation={"bootstrap": 200})


def test_tables_follow_from_the_predictions(chain):
    paths, predictions = chain_files(chain)
    names = ["accuracy_all", "accuracy_overlap", "regret", "best_share", "n_overlap"]
    frames = []
    for path, proba in zip(paths, predictions, strict=True):
        told = path.facts["sources"]
        densest = max(told, key=lambda name: told[name]["density"])
        right = {name: (proba[name] >= 0.5) == (proba["label"] == 1) for name in ("all", "overlap")}
        frame = path.frame.assign(**{f"accuracy_{k}": v.mean(axis=1) for k, v in right.items()})
        frame = frame.sort_values("round")
        pulled = (frame["source"] == densest).groupby([frame["policy"], frame["repeat"]]).cumsum()
        frames.append(frame.assign(best_share=pulled / frame["round"]))
    every = pd.concat(frames)
    mean = every.groupby(["policy", "round"])[names].mean()
    selection, rounds, sources = (
        load(chain / f"table-selection-{name}.parquet").frame
        for name in ("selection", "rounds", "sources")
    )
    assert set(selection["policy"]) == set(POLICIES)
    for policy in POLICIES:
        curves = mean.loc[policy]
        expected = dict(curves.loc[6].drop("n_overlap"))
        expected |= {
            f"auc_{name}": curves[f"accuracy_{name}"].mean() for name in ("all", "overlap")
        }
        mine = selection[selection["policy"] == policy].set_index("measure")["value"]
        assert dict(mine) == pytest.approx(expected, abs=1e-6)
        mine = rounds[rounds["policy"] == policy]
        assert mine["round"].tolist() == [1, 2, 3, 4, 5, 6]
        np.testing.assert_allclose(mine[names], curves, atol=1e-6)
    assert len(sources) == 2 * len(POLICIES)
    for source, mine in sources.groupby("source"):
        for name, fact in (("n_points", "points"), ("density", "density"),
                           ("right_density", "right_density")):  # fmt: skip
            expected = np.mean([item.facts["sources"][source][fact] for item in paths])
            np.testing.assert_allclose(mine[name], expected)
        share = (every["source"] == source).groupby(every["policy"]).mean()
        np.testing.assert_allclose(mine["pulls"], share[mine["policy"]])


def test_rows_and_test_points_in_any_order_give_the_same_tables(chain):
    paths, predictions = chain_files(chain)
    before = tables_of(paths, predictions)
    rng = np.random.default_rng(0)
    points = rng.permutation(len(predictions[1]["id"]))
    other = some(predictions[1], points, ("id", "label", "group"))
    other = some(other, (slice(None), points))
    rows = rng.permutation(len(paths[0]))
    after = tables_of([paths[0].where(rows), paths[1]], [some(predictions[0], rows), other])
    for name, artifact in before.items():
        for column, values in artifact.arrays.items():
            np.testing.assert_array_equal(after[name][column], values)


def test_test_points_of_a_group_are_drawn_together(chain):
    paths, predictions = chain_files(chain)
    one = [changed(item, group=np.zeros_like(item["group"])) for item in predictions]
    shown, apart = (tables_of(paths, each)["selection"].frame for each in (one, predictions))
    alone = [tables_of([paths[i]], [one[i]])["selection"].frame["value"].to_numpy() for i in (0, 1)]
    # all test points in one group: nothing but the two seeds is drawn, one of them twice or both
    drawn_ = ~shown["measure"].isin(PER_SEED)
    for end, bound in (("lo", np.minimum), ("hi", np.maximum)):
        expected = bound(*alone)[drawn_]
        np.testing.assert_allclose(shown[f"value_{end}"][drawn_], expected, atol=1e-9)
    assert (apart["value_hi"] - apart["value_lo"] > 0)[drawn_].all()
    np.testing.assert_array_equal(apart["value"], shown["value"])


def test_an_experiment_moves_no_number_of_another(chain):
    paths, predictions = chain_files(chain)
    before = tables_of(paths, predictions)
    more = [[renamed(item, experiment="again") for item in side] for side in (paths, predictions)]
    after = tables_of(more[0] + paths, more[1] + predictions)
    for name, artifact in after.items():
        n = len(before[name])
        assert artifact["experiment"].tolist() == ["again"] * n + ["cut"] * n
        mine = artifact.where(artifact["experiment"] == "cut")
        for column in set(before[name].arrays) - {"p_holm"}:  # more comparisons: larger p values
            np.testing.assert_array_equal(mine[column], before[name][column])
    found, first = after["selection"], before["selection"]
    known = np.isfinite(first["p"])
    assert np.all(found["p_holm"][-len(first) :] >= first["p_holm"], where=known)
    np.testing.assert_array_equal(found["p_holm"], holm(found["p"]))


def test_leaving_a_policy_out_moves_no_other(chain):
    paths, predictions = chain_files(chain)
    before = tables_of(paths, predictions)
    kept = [policy for policy in POLICIES if policy != "thompson"]
    fewer, proba = [], []
    for path, prediction in zip(paths, predictions, strict=True):
        mask = path["policy"] != "thompson"
        fewer.append(renamed(path.where(mask), policies=kept))
        proba.append(changed(some(prediction, mask), row=np.arange(mask.sum(), dtype=np.int32)))
    after = tables_of(fewer, proba)
    for name, artifact in after.items():
        mine = before[name].where(before[name]["policy"] != "thompson")
        for column in set(artifact.arrays) - {"p_holm"}:  # fewer comparisons: smaller p values
            np.testing.assert_array_equal(mine[column], artifact[column])


def flat_files(chain: Chain, seed: int) -> list[Artifact]:
    """Paths and predictions of a seed whose weak labels are constant."""
    weak, x, texts = files(chain, f"weak_labels-{seed}.parquet", LARGE, "examples.parquet")
    flat = changed(weak, weak_proba=np.full(len(weak), 0.75, dtype=np.float32))
    chosen = {"experiment": "cut", "sources": CUT, "paths": {"rounds": 6, "batch": 4}}
    made = run_stage("select", flat, [x], [texts], **PAIR, **chosen)
    return [made["paths"], made["predictions"]]


def test_a_degenerate_seed_leaves_the_other_and_all_have_rows_and_figures(chain):
    paths, predictions = chain_files(chain)
    alone = tables_of(paths[1:], predictions[1:])["selection"].frame
    flat = flat_files(chain, 0)
    for order in (slice(None), slice(None, None, -1)):
        after = tables_of([flat[0], paths[1]][order], [flat[1], predictions[1]][order])
        shown = after["selection"].frame
        np.testing.assert_array_equal(shown["value"], alone["value"])
        assert set(shown["n_seeds"]) == {1}
        assert shown["reason"].str.contains("equal values").all()
        assert set(after["sources"]["source"]) == {"s1", "s2"}
    made = tables_of(*map(list, zip(flat, flat_files(chain, 1), strict=True)))
    shown = made["selection"].frame
    assert shown[["value", "value_lo", "minus_random"]].isna().all().all()
    assert len(shown) == len(POLICIES) * len(MEASURES)
    assert shown["reason"].str.contains("equal values").all()
    assert len(made["sources"]) == 0
    figures = draw(made["rounds"], made["sources"])
    for figure in figures.values():
        figure.draw_without_rendering()
        assert all(words(ax) == ["no rounds: see tables/selection.csv"] for ax in figure.axes)


def test_an_early_end_is_told(chain):
    paths, predictions = chain_files(chain)
    why = "all sources dry after round 4 of 6"
    early = paths[0]["round"] <= 4
    short = renamed(paths[0].where(early), ended=why)
    other = some(predictions[0], early, ("all", "overlap", "row"))
    made = tables_of([short, paths[1]], [other, predictions[1]])
    shown = made["selection"].frame
    assert set(shown["n_rounds"]) == {5}
    assert set(shown["reason"]) == {why, f"{why}; {few(2)}"}
    assert made["rounds"]["n_seeds"].tolist() == [2, 2, 2, 2, 1, 1] * len(POLICIES)


def test_mismatched_files_are_one_line(chain):
    paths, predictions = chain_files(chain)

    fewer = some(predictions[0], slice(50), ("row", "all", "overlap"))
    for first, second, expected in (
        (paths, predictions[:1], "found 2 and 1 files of"),
        (paths, predictions[::-1], "of different jobs, in this order"),
        ([paths[0]] * 2, [predictions[0]] * 2, "found seed 0 of a job twice"),
        ([paths[0], renamed(paths[1], policies=["ucb"])], predictions, "different policies"),
        ([paths[0], renamed(paths[1], rounds=7)], predictions, "different rounds"),
        (paths, [fewer, predictions[1]], "found 50 rows, expected those of"),
    ):
        with pytest.raises(ArtifactError, match=expected) as caught:
            tables_of(first, second)
        assert "\n" not in str(caught.value)


# --- figures --------------------------------------------------------------------------------------


def draw(rounds: Artifact, sources: Artifact, titles: Any = (("cut", "Films, cut"),)) -> Any:
    chosen = {**PAIR, "title": "Small → large", "titles": titles}
    return run_stage("selection_figures", rounds, sources, **chosen)


def chain_tables(chain: Chain) -> list[Artifact]:
    return files(chain, *(f"table-selection-{name}.parquet" for name in ("rounds", "sources")))


def test_figures_show_the_tables(chain):
    assert len({shown.color for shown in POLICIES.values()}) == len(POLICIES)
    rounds, sources = chain_tables(chain)
    frame = rounds.frame
    figures = draw(rounds, sources)
    panels = {
        "accuracy_all": figures["accuracy"].axes[0],
        "accuracy_overlap": figures["accuracy"].axes[1],
        "regret": figures["regret"].axes[0],
        "best_share": figures["pulls"].axes[0],
    }
    for column, ax in panels.items():
        shown = lines(ax)
        assert set(shown) == set(POLICIES)
        for policy, (t, value) in shown.items():
            mine = frame[frame["policy"] == policy]
            assert list(t) == [1, 2, 3, 4, 5, 6]
            np.testing.assert_array_equal(value, mine[column])
        assert len(ax.collections) == len(BANDS)
        assert words(ax) == []
    for figure in figures.values():
        assert figure.axes[0].get_title() == "Films, cut"
        assert figure.get_suptitle() == "Small → large"
        figure.draw_without_rendering()
    # regret per round stands beside its bound
    shown = lines(figures["regret"].axes[1])
    t = np.arange(1, 7)
    np.testing.assert_allclose(shown.pop("sqrt(K ln T / t)")[1], np.sqrt(2 * np.log(6) / t))
    for policy, (_, value) in shown.items():
        mine = frame[frame["policy"] == policy]
        np.testing.assert_allclose(value, mine["regret"] / t)


def two_experiments(chain: Chain) -> list[dict[str, Any]]:
    """Columns of the rounds and the sources, the second experiment without a value."""
    found = []
    for item in chain_tables(chain):
        flat = {
            name: np.full(len(item), np.nan) if values.dtype == np.float64 else values
            for name, values in item.arrays.items()
        }
        flat["experiment"] = np.full(len(item), "flat", dtype=object)
        found.append({name: np.concatenate([item[name], flat[name]]) for name in flat})
    return found


def test_panels_follow_the_titles_and_an_empty_one_says_why(chain):
    rounds, sources = two_experiments(chain)
    titles = {"flat": "Flat", "cut": "Cut"}
    for figure in (
        accuracy_figure(rounds, titles),
        regret_figure(rounds, sources, titles),
        pulls_figure(rounds, titles),
    ):
        with_title = [ax for ax in figure.axes if ax.get_title()]
        assert [ax.get_title() for ax in with_title] == ["Flat", "Cut"]
        flat, cut = with_title
        assert words(flat) == ["no rounds: see tables/selection.csv"]
        assert words(cut) == []
        assert set(lines(cut)) == set(POLICIES)
        figure.draw_without_rendering()


def test_an_experiment_or_pair_without_rows_is_one_line(chain):
    tables = chain_tables(chain)
    with pytest.raises(ArtifactError, match="found no rounds of small--large for other"):
        draw(*tables, titles=(("cut", "Cut"), ("other", "Other")))
    turned = {"weak": "large", "strong": "small", "titles": [["cut", "Cut"]]}
    with pytest.raises(ArtifactError, match="found no rounds of large--small for cut"):
        run_stage("selection_figures", *tables, **turned)
