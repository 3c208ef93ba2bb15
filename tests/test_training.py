"""Trainings of the strong model: which rows and labels, one by one the same, and failed runs."""

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.overlap import track
from w2s.overlap.controls import (
    CURVES,
    DRAWN,
    Pool,
    Run,
    mixing_runs,
    whole_pool_runs,
    without_labels,
)
from w2s.overlap.mixing import Mix
from w2s.overlap.strong import Trained, joined, targets_of, train
from w2s.probes.probes import fit_columns, fit_probes
from w2s.results.metrics import REGIONS
from w2s.rng import stream
from w2s.synthetic.mixture import Design, draw_population, draw_sample

CONTROLS = (
    "plain", "placebo", "fixed_hard", "overlap_against_easy", "purity_matched", "brier_matched",
    "label_balanced", "same_capacity", "random", "true_labels",
)  # fmt: skip
MATCHED = [name for name, curve in CURVES.items() if curve.matched]
PLACEBOS = {name: f"{name}_placebo" for name in MATCHED}
PROPORTIONS = (0.0, 0.5, 1.0)
TENTHS = tuple(i / 10 for i in range(11))
N, N_TEST = 200, 80


def streams(seed=0):
    return lambda control: lambda repeat: stream(seed, "mixing", "films", control, repeat)


def problem(seed=0, n=N):
    """Pool and test points: true labels, weak labels that are right on 80 %, activations."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n + N_TEST)
    right = rng.random(n + N_TEST) < 0.8
    weak_label = np.where(right, label, 1 - label)
    weak_proba = np.where(weak_label == 1, 0.5, 0.0) + 0.45 * rng.random(n + N_TEST) + 0.02
    strong = rng.normal(size=(n + N_TEST, 7)) + (2 * label - 1)[:, None]
    weak = rng.normal(size=(n + N_TEST, 3)) + 0.3 * (2 * label - 1)[:, None]
    region = rng.choice(np.array(REGIONS, dtype=object), size=n, p=[0.35, 0.25, 0.4])
    return {
        "pool": Pool(region, weak_proba[:n], label[:n]),
        "strong": (strong[:n], strong[n:]),
        "weak": (weak[:n], weak[n:]),
        "test_label": label[n:],
    }


def undecided(pool, share=0.2, seed=0):
    """The pool with weak labels of exactly 1/2 in places."""
    half = np.random.default_rng(seed).random(len(pool.label)) < share
    return replace(pool, weak_proba=np.where(half, 0.5, pool.weak_proba))


def whole(pool, few=0, same_capacity=False, seed=0):
    return whole_pool_runs(pool, few=few, same_capacity=same_capacity, streams=streams(seed))


def mixes_of(pool, controls=CONTROLS, repeats=2, seed=0, proportions=PROPORTIONS):
    options = {"controls": controls, "proportions": proportions, "repeats": repeats}
    return mixing_runs(pool, **options, streams=streams(seed))


def fit(x, y, u):
    return fit_columns(x, y, weights=u, l2=1e-2)


def train_on(data, runs):
    pool, sides = data["pool"], {name: data[name] for name in ("strong", "weak")}
    return train(runs, pool.weak_proba, pool.label, **sides, fit=fit)


def by_control(runs):
    names = dict.fromkeys(run.control for run in runs)
    return {name: [run for run in runs if run.control == name] for name in names}


def same_rows(runs, others):
    for a, b in zip(runs, others, strict=True):
        np.testing.assert_array_equal(a.mix.rows, b.mix.rows)


def half_up(value):
    return np.floor(value + 0.5)


def test_by_hand_the_whole_pool_is_trained_on_true_and_on_weak_labels():
    pool = Pool(np.full(4, "easy"), np.array([0.1, 0.5, 0.9, 0.6]), np.array([0, 1, 1, 0]))
    runs = whole(pool)
    told = [(run.control, run.labels, run.weak_activations, run.restart) for run in runs]
    assert told == [("ceiling", "true", False, 0), ("w2s", "soft", False, 0)]
    for run in runs:
        np.testing.assert_array_equal(run.mix.rows, [0, 1, 2, 3])
        assert np.isnan(run.mix.proportion)
        assert run.mix.reason == ""
    ceiling, w2s = whole(replace(pool, hard_labels=True))
    np.testing.assert_array_equal(ceiling.mix.rows, [0, 1, 2, 3])
    np.testing.assert_array_equal(w2s.mix.rows, [0, 2, 3])  # 1/2 is no hard label
    assert w2s.labels == "hard"


def test_the_whole_pool_on_weak_activations_and_few_true_labels():
    pool = problem()["pool"]
    runs = whole(pool, few=3, same_capacity=True)
    controls = ["ceiling", "w2s", "same_capacity_w2s", *["few_labels"] * 24]
    assert [run.control for run in runs] == controls
    same_rows(runs[2:3], runs[1:2])
    assert (runs[2].labels, runs[2].weak_activations) == ("soft", True)
    for run in runs[3:]:
        assert (run.labels, run.weak_activations) == ("true", False)
        size = int(half_up(run.mix.proportion * N))
        assert len(run.mix.rows) == (size if size >= 2 else 0)
        if size >= 2:
            assert set(pool.label[run.mix.rows]) == {0, 1}
    assert [run.mix.repeat for run in runs[3:]] == [0] * 8 + [1] * 8 + [2] * 8
    moved = undecided(replace(pool, region=pool.region[::-1]))
    same_rows(runs[3:], whole(moved, few=3)[2:])  # by the true labels only


def test_without_labels_leaves_what_needs_none():
    data = problem()
    runs = whole(data["pool"], few=1, same_capacity=True) + mixes_of(data["pool"])
    for before, after in zip(runs, without_labels(runs, "no votes"), strict=True):
        if before.control in ("ceiling", "few_labels"):
            assert after is before
        else:
            assert (len(after.mix.rows), after.mix.reason) == (0, "no votes")
            np.testing.assert_array_equal(after.mix.proportion, before.mix.proportion)
            assert after.mix.repeat == before.mix.repeat
            assert replace(after, mix=before.mix) == before


def test_every_control_that_is_declared_is_made():
    assert {*CURVES, *DRAWN, "few_labels"} == set(track.CONTROLS)


def test_every_control_has_its_runs():
    found = by_control(mixes_of(problem()["pool"]))
    expected = [name for control in CONTROLS for name in (control, PLACEBOS.get(control)) if name]
    assert list(found) == expected
    kinds = {"true_labels": {"true"}}
    hard = ("purity_matched", "label_balanced")
    kinds |= {name + suffix: {"hard"} for name in hard for suffix in ("", "_placebo")}
    for control, runs in found.items():
        curve = control not in ("random", "true_labels")
        assert len(runs) == (6 if curve else 2)
        assert {run.labels for run in runs} == kinds.get(control, {"soft"})
        assert {run.weak_activations for run in runs} == {control == "same_capacity"}
        assert all(run.mix.reason == "" for run in runs)
    assert mixes_of(problem()["pool"], controls=()) == []
    without = by_control(mixes_of(problem()["pool"], controls=("plain", *MATCHED)))
    assert list(without) == ["plain", *MATCHED]


def test_where_a_student_trains_on_hard_labels_all_weak_ones_are():
    pool = replace(undecided(problem()["pool"]), hard_labels=True)
    for run in whole(pool) + mixes_of(pool):
        true = run.control in ("ceiling", "true_labels")
        assert run.labels == ("true" if true else "hard")
        assert pool.decided[run.mix.rows].all() == (run.control != "ceiling")


def test_controls_are_what_they_say():
    pool = problem()["pool"]
    found = by_control(mixes_of(pool))
    overlap, hard = pool.region == "overlap", pool.region == "hard"
    size = min(overlap.sum(), (~overlap).sum())
    for control in ("plain", "placebo", "same_capacity", "random", "true_labels"):
        assert {len(run.mix.rows) for run in found[control]} == {size}
    for run in found["plain"]:
        assert overlap[run.mix.rows].sum() == half_up(run.mix.proportion * size)
    assert (size, hard.sum()) == (67, 52)
    for run in found["fixed_hard"]:
        n = len(run.mix.rows)
        constant = half_up(hard.mean() * n)
        assert hard[run.mix.rows].sum() == constant
        assert overlap[run.mix.rows].sum() == half_up(run.mix.proportion * (n - constant))
    for run in found["overlap_against_easy"]:
        assert not hard[run.mix.rows].any()
        n = len(run.mix.rows)
        assert n == min(overlap.sum(), (pool.region == "easy").sum())
        assert overlap[run.mix.rows].sum() == half_up(run.mix.proportion * n)


def test_fixed_hard_has_the_pools_share_of_hard_points_at_every_proportion():
    for seed, hard_labels in product(range(5), (False, True)):
        pool = replace(undecided(problem(seed)["pool"], 0.3, seed), hard_labels=hard_labels)
        runs = mixes_of(pool, ("fixed_hard", "overlap_against_easy"), proportions=TENTHS)
        hard = pool.region == "hard"
        share = hard[pool.usable].mean()
        for run in runs:
            rows = run.mix.rows
            assert len(rows) >= 10
            assert pool.usable[rows].all()
            kept = half_up(share * len(rows)) if run.control == "fixed_hard" else 0
            assert hard[rows].sum() == kept


def placebo_points(pool, **options):
    """Which points take the place of overlap points, by repeat: all of a mix of them only."""
    runs = by_control(mixes_of(pool, proportions=(1.0,), **options))["placebo"]
    return [set(run.mix.rows.tolist()) for run in runs]


def test_placebo_points_are_not_hard_are_drawn_anew_and_depend_on_no_other_control():
    pool = problem()["pool"]
    overlap = pool.region == "overlap"
    drawn = placebo_points(pool, repeats=4)
    for points in drawn:
        assert len(points) == overlap.sum()
        assert "hard" not in set(pool.region[sorted(points)])
        assert 0.3 < np.mean(overlap[sorted(points)]) < 0.6  # of points that are not hard: 0.45
    assert len(set(map(frozenset, drawn))) == 4
    assert placebo_points(pool, repeats=2) == drawn[:2]
    for controls in (("placebo",), ("label_balanced", "placebo"), ("placebo", "random", "plain")):
        assert placebo_points(pool, controls=controls, repeats=4) == drawn
    assert placebo_points(pool, seed=1) != drawn[:2]
    found = by_control(mixes_of(pool, proportions=(0.0, 1.0)))
    for name in PLACEBOS.values():  # all of their curves have the same points
        for run in found[name]:
            mine = set(run.mix.rows.tolist())
            assert (mine <= drawn[run.mix.repeat]) == (run.mix.proportion == 1)
            assert bool(mine & drawn[run.mix.repeat]) == (run.mix.proportion == 1)


def test_placebo_mixes_have_as_many_hard_points_as_plain_ones_in_expectation():
    pool = problem()["pool"]
    found = by_control(
        mixes_of(pool, ("plain", "placebo"), repeats=300, proportions=(0, 0.25, 0.5, 0.75, 1))
    )
    hard, share = pool.region == "hard", {}
    for control, runs in found.items():
        counts = np.reshape([hard[run.mix.rows].mean() for run in runs], (300, 5))
        share[control] = counts.mean(axis=0), counts.std(axis=0) / 300**0.5
    expected = hard.sum() / (pool.region != "overlap").sum() * np.array([1, 0.75, 0.5, 0.25, 0])
    for mean, error in share.values():
        assert np.all(np.abs(mean - expected) <= 4 * error + 0.005)  # the rest is rounding


def test_brier_matched_mixes_have_the_pools_brier_score_in_expectation():
    pool = problem()["pool"]
    # overlap points with surer labels, which are more often right too
    surer = (pool.region == "overlap") & (np.random.default_rng(1).random(N) < 0.7)
    proba = np.where(surer, np.where(pool.label == 1, 0.95, 0.05), pool.weak_proba)
    pool = replace(pool, weak_proba=proba)
    error = (pool.weak_proba - pool.label) ** 2
    runs = by_control(
        mixes_of(pool, ("plain", "placebo", "brier_matched"), repeats=200, proportions=TENTHS)
    )
    for control in ("brier_matched", "brier_matched_placebo"):
        found = np.reshape([error[run.mix.rows].mean() for run in runs[control]], (200, 11))
        off = np.abs(found.mean(axis=0) - error.mean())
        rounding = 0.5 / len(runs[control][0].mix.rows)
        assert np.all(off <= rounding + 4 * found.std(axis=0) / 200**0.5)
    plain = np.reshape([error[run.mix.rows].mean() for run in runs["plain"]], (200, 11)).mean(0)
    assert plain[0] - plain[10] > 0.05


def test_labels_of_one_half_are_in_no_mix_of_hard_labels_and_neither_right_nor_positive():
    for seed, share in ((0, 0), *((seed, 0.25) for seed in range(5))):
        pool = undecided(problem(seed)["pool"], share, seed)
        found = by_control(mixes_of(pool, proportions=TENTHS))
        positive = pool.weak_proba > 0.5
        right = positive == (pool.label == 1)
        for control, inside, kept in (
            ("purity_matched", right, right[pool.decided].mean()),
            ("label_balanced", positive, 0.5),
        ):
            for run in found[control] + found[control + "_placebo"]:
                assert pool.decided[run.mix.rows].all()
                assert inside[run.mix.rows].sum() == half_up(kept * len(run.mix.rows))
        soft = np.concatenate([run.mix.rows for run in found["plain"] + found["brier_matched"]])
        assert pool.decided[soft].all() == (share == 0)  # soft labels of 1/2 are labels


def test_matched_controls_without_hard_labels_say_why():
    pool = problem()["pool"]
    pool = replace(pool, weak_proba=np.full(N, 0.5))
    found = by_control(mixes_of(pool))
    for control in ("purity_matched", "label_balanced"):
        for name in (control, PLACEBOS[control]):
            assert all(len(run.mix.rows) == 0 for run in found[name])
            assert all("found 0 points" in run.mix.reason for run in found[name])
    assert all(run.mix.reason == "" for run in found["plain"])
    hard = by_control(mixes_of(replace(pool, hard_labels=True)))
    assert all(run.mix.reason for runs in hard.values() for run in runs)


def test_targets_by_hand():
    proba, label = np.array([0.2, 0.5, 0.6]), np.array([1, 0, 1])
    np.testing.assert_array_equal(targets_of("soft", proba, label), proba)
    np.testing.assert_array_equal(targets_of("hard", proba, label), [0, 0.5, 1])
    np.testing.assert_array_equal(targets_of("true", proba, label), [1, 0, 1])
    for labels in ("soft", "hard", "true"):
        assert targets_of(labels, proba, label).dtype == np.float64


def test_controls_are_paired_where_told_and_leaving_one_out_moves_no_other():
    pool = problem()["pool"]
    every = by_control(mixes_of(pool))
    for one, other in (("plain", "same_capacity"), ("random", "true_labels")):
        same_rows(every[one], every[other])
        assert [a.mix.repeat for a in every[one]] == [b.mix.repeat for b in every[other]]
    for control in CONTROLS:
        same_rows(every[control], mixes_of(pool, controls=[control]))


def test_fault_draws_do_not_share_randomness_between_seeds():
    # with one kind of points only, all of them may be taken: no randomness there
    options = {"repeats": 3, "proportions": (0.25, 0.5, 0.75)}
    rows = [
        [tuple(sorted(run.mix.rows)) for run in mixes_of(problem()["pool"], seed=seed, **options)]
        for seed in (0, 0, 1)
    ]
    assert rows[0] == rows[1]
    assert not any(a == b for a, b in zip(rows[0], rows[2], strict=True))


def test_together_is_one_by_one():
    data = problem()
    runs = whole(data["pool"], same_capacity=True) + mixes_of(data["pool"], repeats=1)
    found = train_on(data, runs)
    assert found.proba.shape == (len(runs), N_TEST)
    assert found.proba.dtype == np.float32
    assert found.reason == [""] * len(runs)
    assert np.all(found.gap <= 1e-6)
    for i, run in enumerate(runs):
        x, x_test = data["weak" if run.weak_activations else "strong"]
        y = targets_of(run.labels, data["pool"].weak_proba, data["pool"].label)
        alone = fit_probes(x[run.mix.rows], y[run.mix.rows], l2=1e-2).predict_proba(x_test)
        np.testing.assert_allclose(found.proba[i], alone, atol=2e-3)


@settings(max_examples=15)
@given(st.permutations(range(6)), st.integers(0, 100))
def test_order_of_the_runs_does_not_matter(order, seed):
    data = problem(seed, n=60)
    runs = mixes_of(data["pool"], controls=("plain", "same_capacity"), repeats=1)
    first = train_on(data, runs).proba
    second = train_on(data, [runs[i] for i in order]).proba
    np.testing.assert_allclose(second, first[list(order)], atol=2e-3)


def test_fault_true_baselines_are_trained_on_true_labels():
    data = problem()
    wrong = np.where(data["pool"].label == 1, 0.1, 0.9)
    data["pool"] = replace(data["pool"], weak_proba=wrong)
    runs = whole(data["pool"]) + mixes_of(data["pool"], ("random", "true_labels"), repeats=1)
    found = train_on(data, runs)
    accuracy = ((found.proba >= 0.5) == (data["test_label"] == 1)).mean(axis=1)
    by_name = dict(zip([run.control for run in runs], accuracy, strict=True))
    assert min(by_name["ceiling"], by_name["true_labels"]) > 0.9
    assert max(by_name["w2s"], by_name["random"]) < 0.1


def test_planted_the_strong_model_learns_from_overlap_points_only():
    # weak labels follow the first coordinate, which hard points lack and overlap points share
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    sign = (2 * label - 1)[:, None]
    overlap = np.repeat([True, False], 200)
    x = 0.5 * rng.normal(size=(400, 2)) + sign * np.stack([np.ones(400), overlap], axis=1)
    x_test = 0.5 * rng.normal(size=(N_TEST, 2)) + np.array([0.0, 1.0])  # hard points of class 1
    data = {
        "pool": Pool(np.where(overlap, "overlap", "easy"), np.where(label == 1, 0.9, 0.1), label),
        "strong": (x, x_test),
        "weak": (x[:, :1], x_test[:, :1]),
    }
    runs = mixes_of(data["pool"], controls=("plain", "same_capacity"), repeats=2)
    found = train_on(data, runs)
    accuracy = (found.proba >= 0.5).mean(axis=1)
    shown = {
        (run.control, run.mix.proportion): value for run, value in zip(runs, accuracy, strict=True)
    }
    assert shown["plain", 1.0] > shown["plain", 0.0] + 0.25
    assert shown["plain", 1.0] > 0.9
    assert abs(shown["same_capacity", 1.0] - 0.5) < 0.2


def test_only_the_rows_of_a_mix_are_trained_on():
    data = problem()
    rows = np.arange(0, N, 2)
    run = Run("plain", Mix(0.5, 0, rows))
    expected = train_on(data, [run]).proba
    proba = data["pool"].weak_proba.copy()
    proba[1::2] = 1 - proba[1::2]
    data["pool"] = replace(data["pool"], weak_proba=proba)
    np.testing.assert_allclose(train_on(data, [run]).proba, expected, atol=1e-6)


def test_mixes_without_rows_are_nan_with_their_reason():
    data = problem()
    region = np.where(np.arange(N) < 5, "overlap", np.where(np.arange(N) < 60, "hard", "easy"))
    data["pool"] = replace(data["pool"], region=region)
    runs = whole(data["pool"]) + mixes_of(data["pool"])
    found = train_on(data, runs)
    assert found.reason[:2] == ["", ""]
    assert np.isfinite(found.proba[:2]).all()
    assert np.isnan(found.proba[2:]).all()
    assert np.isnan(found.gap[2:]).all()
    reasons = {
        control: {found.reason[i] for i, run in enumerate(runs) if run.control == control}
        for control in (*CONTROLS, *PLACEBOS.values())
    }
    for control in ("plain", "placebo", "fixed_hard", "overlap_against_easy", "same_capacity"):
        (why,) = reasons[control]
        assert why.startswith(
            "found 5 points that a mix can trade, expected 10 or more: there are 5 "
        )
    few = {"found 5 points of a plain mix, expected 10 or more"}
    assert reasons["random"] == reasons["true_labels"] == few
    assert all("" not in why for why in reasons.values())


def test_a_run_of_one_class_fails_alone_and_each_has_its_own_reason(subtests):
    one_class = "found only targets equal to {}, expected both classes".format
    for value, n in ((0, N), *((1, n) for n in (10, 16, 49, 100, 160))):
        with subtests.test(value=value, n=n):
            data = problem(n=n)
            data["pool"] = replace(data["pool"], label=np.full(n, value))
            found = train_on(data, whole(data["pool"]))
            assert found.reason == [one_class(value), ""]
            assert np.isnan(found.proba[0]).all()
            assert np.isnan(found.gap[0])
            assert np.isfinite(found.proba[1]).all()
    data = problem(n=4)
    data["pool"] = replace(data["pool"], label=np.ones(4, dtype=int), weak_proba=np.zeros(4))
    found = train_on(data, whole(data["pool"]))
    assert np.isnan(found.proba).all()
    assert found.reason == [one_class(1), one_class(0)]


def test_no_runs_and_no_test_points():
    data = problem()
    assert train_on(data, []).proba.shape == (0, N_TEST)
    data["strong"] = (data["strong"][0], data["strong"][1][:0])
    assert train_on(data, whole(data["pool"])).proba.shape == (2, 0)


def test_parts_are_joined_one_after_another():
    first, second = (
        Trained(np.full((k, 3), k, np.float32), np.full(k, 0.1 * k), np.full(k, k), ["a"] * k)
        for k in (1, 2)
    )
    both = joined([first, second], 3)
    np.testing.assert_array_equal(both.proba[:, 0], [1, 2, 2])
    np.testing.assert_allclose(both.gap, [0.1, 0.2, 0.2])
    np.testing.assert_array_equal(both.l2, [1, 2, 2])
    assert both.reason == ["a"] * 3
    assert both.proba.dtype == np.float32
    assert joined([], 3).proba.shape == (0, 3)


# --- planted worlds: what the contrasts between curves say where the truth is known ---------------

WORLD_CURVES = ("plain", "placebo", "fixed_hard", "overlap_against_easy")
QUARTERS = (0, 0.25, 0.5, 0.75, 1)
SEEDS, REPEATS = 40, 4


def labelled(region, label, rng):
    """A pool whose weak labels are right on 90 % of easy and overlap points, of hard ones on half.

    They are as sure on all points, so the labels of hard points are worth nothing at all.
    """
    right = rng.random(len(label)) < np.where(region == "hard", 0.5, 0.9)
    return Pool(region, np.where(right == (label == 1), 0.9, 0.1), label)


def world_without_an_effect(seed):
    """Overlap points differ from easy ones in name only; hard points have useless labels."""
    n, rng = 500, stream(seed, "world without an effect")
    label = rng.integers(0, 2, n + 1000)
    sign = (2 * label - 1)[:, None]
    x = rng.normal(size=(n + 1000, 30)) + 0.3 * sign * (np.arange(30) < 15)
    region = rng.choice(np.array(REGIONS, dtype=object), size=n, p=[0.35, 0.4, 0.25])
    return labelled(region, label[:n], rng), (x[:n], x[n:]), label[n:]


def world_with_an_effect(seed):
    """The Gaussian mixture: only overlap points have coordinates that hard ones need, and labels.

    Their labels are as good as those of easy points; the regions are the true ones.
    """
    population = draw_population(Design(), seed=seed, repetition=0)
    train_points, test = (
        draw_sample(population, counts, seed=seed, repetition=0, part=part)
        for part, counts in (("train", (150, 200, 150)), ("test", (400, 400, 200)))
    )
    rng = stream(seed, "world with an effect")
    pool = labelled(train_points.names, train_points.label, rng)
    return pool, (train_points.x, test.x), test.label


def scores_of(values):
    """How many standard errors the mean over seeds is above 0."""
    return values.mean(axis=0) / (values.std(axis=0, ddof=1) / len(values) ** 0.5)


def curves_of(world):
    """Accuracy of each curve, (seeds, quarters), mean over draws."""
    found = []
    for seed in range(SEEDS):
        pool, sides, label = world(seed)
        runs = mixes_of(pool, WORLD_CURVES, repeats=REPEATS, seed=seed, proportions=QUARTERS)
        trained = train_on({"pool": pool, "strong": sides, "weak": sides}, runs)
        assert set(trained.reason) == {""}
        right = ((trained.proba >= 0.5) == (label == 1)).mean(axis=1)
        found.append(right.reshape(len(WORLD_CURVES), REPEATS, len(QUARTERS)).mean(axis=1))
    return dict(zip(WORLD_CURVES, np.swapaxes(found, 0, 1), strict=True))


def slopes(curve):
    """Least squares of accuracy on the proportion, one for each seed."""
    return np.polyfit(QUARTERS, curve.T, 1)[0]


def contrasts_of(curves):
    plain, control = curves["plain"], curves["placebo"]
    return {
        "at p = 1": plain[:, -1] - control[:, -1],
        "slope": slopes(plain) - slopes(control),
        "fixed_hard": slopes(curves["fixed_hard"]),
        "overlap_against_easy": slopes(curves["overlap_against_easy"]),
    }


def test_planted_without_an_effect_only_the_plain_curve_rises():
    """The fault of the plain curve: it shows the lack of hard points, and calls it overlap."""
    curves = curves_of(world_without_an_effect)
    rise = curves["plain"][:, -1] - curves["plain"][:, 0]
    assert scores_of(rise) > 6
    assert np.mean(rise) > 0.08
    flat = contrasts_of(curves)
    assert {name: value for name, value in flat.items() if abs(scores_of(value)) > 3} == {}
    assert {name: value for name, value in flat.items() if abs(value.mean()) > 0.03} == {}


def test_planted_with_an_effect_the_controls_show_it():
    shown = contrasts_of(curves_of(world_with_an_effect))
    assert {name: value for name, value in shown.items() if scores_of(value) < 3} == {}
    # the placebo is the smaller contrast: half of its points are overlap points too
    assert shown["slope"].mean() > 0.02
    assert shown["fixed_hard"].mean() > 0.04
    assert shown["overlap_against_easy"].mean() > 0.04
