"""Trainings of the strong model: which rows and labels, one by one the same, and failed runs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.methods.mixing import Mix
from w2s.methods.probes import fit_columns, fit_probes
from w2s.methods.training import Run, mixing_runs, train, whole_pool_runs
from w2s.rng import stream

CONTROLS = ("plain", "purity_matched", "label_balanced", "same_capacity", "random", "true_labels")
PROPORTIONS = (0.0, 0.5, 1.0)
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
    overlap = rng.random(n) < 0.4
    return {
        "overlap": overlap,
        "weak_proba": weak_proba[:n],
        "label": label[:n],
        "strong": (strong[:n], strong[n:]),
        "weak": (weak[:n], weak[n:]),
        "test_label": label[n:],
    }


def runs_of(data, controls=CONTROLS, repeats=2, seed=0, proportions=PROPORTIONS):
    return mixing_runs(
        data["overlap"],
        data["weak_proba"],
        data["label"],
        controls=controls,
        proportions=proportions,
        repeats=repeats,
        streams=streams(seed),
    )


def train_on(data, runs, l2=1e-2):
    return train(
        runs,
        data["weak_proba"],
        data["label"],
        strong=data["strong"],
        weak=data["weak"],
        fit=lambda x, y, u: fit_columns(x, y, weights=u, l2=l2),
    )


def by_control(runs):
    found = {}
    for run in runs:
        found.setdefault(run.control, []).append(run)
    return found


def test_by_hand_the_whole_pool_is_trained_on_true_and_on_weak_labels():
    ceiling, w2s = whole_pool_runs(4)
    assert (ceiling.control, ceiling.true_labels, ceiling.weak_activations) == (
        "ceiling",
        True,
        False,
    )
    assert (w2s.control, w2s.true_labels, w2s.weak_activations) == ("w2s", False, False)
    for run in (ceiling, w2s):
        np.testing.assert_array_equal(run.mix.rows, [0, 1, 2, 3])
        assert np.isnan(run.mix.proportion)
        assert run.mix.reason == ""


def test_every_control_has_its_runs():
    found = by_control(runs_of(problem()))
    assert list(found) == list(CONTROLS)
    for control, runs in found.items():
        curve = control not in ("random", "true_labels")
        assert len(runs) == (6 if curve else 2)
        assert {run.true_labels for run in runs} == {control == "true_labels"}
        assert {run.weak_activations for run in runs} == {control == "same_capacity"}
        assert all(run.mix.reason == "" for run in runs)
    assert runs_of(problem(), controls=()) == []


def test_controls_are_what_they_say():
    data = problem()
    found = by_control(runs_of(data))
    weak_label = data["weak_proba"] >= 0.5
    right = weak_label == (data["label"] == 1)
    for run in found["purity_matched"]:
        assert abs(right[run.mix.rows].mean() - right.mean()) <= 0.5 / len(run.mix.rows)
    for run in found["label_balanced"]:
        assert abs(weak_label[run.mix.rows].mean() - 0.5) <= 0.5 / len(run.mix.rows)
    size = min(data["overlap"].sum(), (~data["overlap"]).sum())
    for control in ("plain", "same_capacity", "random", "true_labels"):
        assert {len(run.mix.rows) for run in found[control]} == {size}
    for run in found["plain"]:
        assert data["overlap"][run.mix.rows].sum() == np.floor(run.mix.proportion * size + 0.5)


def test_paired_controls_use_the_same_rows():
    found = by_control(runs_of(problem()))
    for one, other in (("plain", "same_capacity"), ("random", "true_labels")):
        for a, b in zip(found[one], found[other], strict=True):
            np.testing.assert_array_equal(a.mix.rows, b.mix.rows)
            assert a.mix.repeat == b.mix.repeat


def test_leaving_a_control_out_moves_no_other():
    data = problem()
    every = by_control(runs_of(data))
    for control in CONTROLS:
        for a, b in zip(every[control], runs_of(data, controls=[control]), strict=True):
            np.testing.assert_array_equal(a.mix.rows, b.mix.rows)


def test_fault_draws_do_not_share_randomness_between_seeds():
    rows = [
        [tuple(sorted(run.mix.rows)) for run in runs_of(problem(), seed=seed, repeats=3)]
        for seed in (0, 0, 1)
    ]
    assert rows[0] == rows[1]
    # of a plain mix with only one kind of points, all of them may be taken: no randomness there
    assert sum(a == b for a, b in zip(rows[0], rows[2], strict=True)) <= 3 * 2


def test_together_is_one_by_one():
    data = problem()
    runs = whole_pool_runs(N) + runs_of(data, repeats=1)
    found = train_on(data, runs)
    assert found.proba.shape == (len(runs), N_TEST)
    assert found.proba.dtype == np.float32
    assert found.reason == [""] * len(runs)
    assert np.all(found.gap <= 1e-6)
    for i, run in enumerate(runs):
        x, x_test = data["weak" if run.weak_activations else "strong"]
        y = data["label"] if run.true_labels else data["weak_proba"]
        alone = fit_probes(x[run.mix.rows], y[run.mix.rows], l2=1e-2).predict_proba(x_test)
        np.testing.assert_allclose(found.proba[i], alone, atol=2e-3)


@settings(max_examples=15)
@given(st.permutations(range(6)), st.integers(0, 100))
def test_order_of_the_runs_does_not_matter(order, seed):
    data = problem(seed, n=60)
    runs = runs_of(data, controls=("plain", "same_capacity"), repeats=1)
    first = train_on(data, runs).proba
    second = train_on(data, [runs[i] for i in order]).proba
    np.testing.assert_allclose(second, first[list(order)], atol=2e-3)


def test_fault_true_baselines_are_trained_on_true_labels():
    data = problem()
    data["weak_proba"] = np.where(data["label"] == 1, 0.1, 0.9)  # always wrong
    runs = whole_pool_runs(N) + runs_of(data, controls=("random", "true_labels"), repeats=1)
    found = train_on(data, runs)
    accuracy = ((found.proba >= 0.5) == (data["test_label"] == 1)).mean(axis=1)
    by_name = dict(zip([run.control for run in runs], accuracy, strict=True))
    assert by_name["ceiling"] > 0.9
    assert by_name["true_labels"] > 0.9
    assert by_name["w2s"] < 0.1
    assert by_name["random"] < 0.1


def test_planted_the_strong_model_learns_from_overlap_points_only():
    # weak labels follow the first coordinate, which hard points lack and overlap points share
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    sign = (2 * label - 1)[:, None]
    overlap = np.repeat([True, False], 200)
    x = 0.5 * rng.normal(size=(400, 2)) + sign * np.stack([np.ones(400), overlap], axis=1)
    x_test = 0.5 * rng.normal(size=(N_TEST, 2)) + np.array([0.0, 1.0])  # hard points of class 1
    data = {
        "overlap": overlap,
        "weak_proba": np.where(label == 1, 0.9, 0.1),
        "label": label,
        "strong": (x, x_test),
        "weak": (x[:, :1], x_test[:, :1]),
    }
    runs = runs_of(data, controls=("plain", "same_capacity"), repeats=2)
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
    data["weak_proba"][1::2] = 1 - data["weak_proba"][1::2]
    np.testing.assert_allclose(train_on(data, [run]).proba, expected, atol=1e-6)


def test_mixes_without_rows_are_nan_with_their_reason():
    data = problem()
    data["overlap"] = np.arange(N) < 5
    runs = whole_pool_runs(N) + runs_of(data)
    found = train_on(data, runs)
    assert found.reason[:2] == ["", ""]
    assert np.isfinite(found.proba[:2]).all()
    assert np.isnan(found.proba[2:]).all()
    assert np.isnan(found.gap[2:]).all()
    reasons = {
        control: {found.reason[i] for i, run in enumerate(runs) if run.control == control}
        for control in CONTROLS
    }
    assert reasons["plain"] == {"at most 5 points with a share of 1.000 points in every mix"}
    assert reasons["random"] == reasons["true_labels"] == {"a mix has at most 5 points"}
    assert all("" not in why for why in reasons.values())


def test_a_run_of_one_class_fails_alone():
    data = problem()
    data["label"] = np.zeros(N, dtype=int)
    runs = whole_pool_runs(N)
    found = train_on(data, runs)
    assert found.reason == ["found only targets equal to 0, expected both classes", ""]
    assert np.isnan(found.proba[0]).all()
    assert np.isnan(found.gap[0])
    assert np.isfinite(found.proba[1]).all()


@pytest.mark.parametrize("n", [10, 16, 49, 100, 160])
def test_a_run_of_the_positive_class_fails_alone(n):
    data = problem(n=n)
    data["label"] = np.ones(n, dtype=int)
    found = train_on(data, whole_pool_runs(n))
    assert found.reason == ["found only targets equal to 1, expected both classes", ""]
    assert np.isfinite(found.proba[1]).all()


def test_where_every_run_fails_each_has_its_own_reason():
    data = problem(n=4)
    data["label"], data["weak_proba"] = np.ones(4, dtype=int), np.zeros(4)
    found = train_on(data, whole_pool_runs(4))
    assert np.isnan(found.proba).all()
    assert [why[-35:] for why in found.reason] == [
        "targets equal to 1, expected both classes"[-35:],
        "targets equal to 0, expected both classes"[-35:],
    ]


def test_no_runs_and_no_test_points():
    data = problem()
    assert train_on(data, []).proba.shape == (0, N_TEST)
    data["strong"] = (data["strong"][0], data["strong"][1][:0])
    assert train_on(data, whole_pool_runs(N)).proba.shape == (2, 0)
