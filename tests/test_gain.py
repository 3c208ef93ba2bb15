"""Predictors of the gain, transfer between datasets, and the tables and figures of both."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from conftest import PAIR, SEEDS
from hypothesis import given
from hypothesis import strategies as st
from lmsim.metrics import CAPA, EC
from scipy import stats
from scipy.optimize import lsq_linear, minimize_scalar
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from scipy.stats import ortho_group
from test_figures import words
from test_steps import changed, files, renamed, run_stage, shuffled

from w2s import dag
from w2s.config import parse
from w2s.errors import ArtifactError, ConfigError, DegenerateError, W2SError
from w2s.gain.correlation import (
    partial_correlation,
    permutation_p,
    rank_correlation,
    rank_correlations,
)
from w2s.gain.figures import predictors_figure, transfer_figure
from w2s.gain.predictors import (
    jensen_shannon,
    kappa,
    misfit,
    misfit_kl,
    on_truth,
    quadrants,
)
from w2s.gain.representations import (
    intrinsic_dimension,
    linear_cka,
    principal,
    projected_residual,
    residual_norm,
    shared_dimension,
)
from w2s.gain.tables import CLUSTERS, predictor_rows
from w2s.gain.track import MEASURES, PREDICTORS, QUADRANTS
from w2s.probes.probes import fit_probes
from w2s.results.intervals import holm
from w2s.results.metrics import accuracy, correct_rows, pgr
from w2s.synthetic.mixture import Design, draw_population, draw_sample

RNG = np.random.default_rng(0)
probability = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)


def two(draws):
    """Two models' probabilities on as many points."""
    n = min(map(len, draws))
    return [np.array(side[:n]) for side in draws]


# predictions


def test_misfit_and_divergences_by_hand():
    student, teacher = [0.9, 0.2], [0.7, 0.4]
    assert misfit(student, teacher) == pytest.approx(0.04)
    terms = [
        0.9 * math.log(9 / 7) + 0.1 * math.log(1 / 3),
        0.2 * math.log(1 / 2) + 0.8 * math.log(4 / 3),
    ]
    assert misfit_kl(student, teacher) == pytest.approx(sum(terms) / 2)
    assert misfit_kl(teacher, student) != pytest.approx(sum(terms) / 2)  # which one is first counts
    assert jensen_shannon([1, 0], [0, 0]) == pytest.approx(math.log(2) / 2)


@given(st.tuples(probability, probability).map(two))
def test_divergences_are_those_of_scipy(both):
    a, b = both
    inside = [np.clip(side, 2.0**-24, 1 - 2.0**-24) for side in both]
    inside = [np.stack([p, 1 - p]) for p in inside]
    expected = rel_entr(*inside).sum(axis=0).mean()
    assert misfit_kl(a, b) == pytest.approx(expected, abs=1e-6)
    distance = jensenshannon(np.stack([a, 1 - a]), np.stack([b, 1 - b]), axis=0)
    assert jensen_shannon(a, b) == pytest.approx(np.mean(np.nan_to_num(distance) ** 2), abs=1e-7)


@given(st.tuples(probability, probability).map(two))
def test_divergences_have_their_ranges_and_are_0_for_a_copy(both):
    a, b = both
    assert 0 <= misfit(a, b) <= 1
    assert -1e-12 <= misfit_kl(a, b) <= 17
    assert 0 <= jensen_shannon(a, b) <= math.log(2) + 1e-12
    assert jensen_shannon(a, b) == jensen_shannon(b, a)
    for measure in (misfit, misfit_kl, jensen_shannon):
        assert measure(a, a) == pytest.approx(0, abs=1e-12)


def test_what_compares_predictions_refuses_what_it_cannot_compare():
    for measure in (misfit, misfit_kl, jensen_shannon, kappa):
        assert math.isnan(measure([], []))
        with pytest.raises(W2SError, match="second: found 1 rows, expected 2 as in first"):
            measure([0.5, 0.5], [0.5])
        with pytest.raises(W2SError, match="expected"):
            measure([1.5], [0.5])
        with pytest.raises(W2SError, match="NaN or infinite"):
            measure([np.nan], [0.5])
    with pytest.raises(W2SError, match="label: found values other than 0 and 1"):
        on_truth([0.5], [2])


@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_kappa_is_that_of_the_package_lm_sim(seed, n):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    first, second = rng.random((2, n))
    rows = [[np.array([1 - p, p]) for p in side] for side in (first, second)]
    truth = label.tolist()
    found = kappa(on_truth(first, label), on_truth(second, label))
    assert found == pytest.approx(CAPA().compute_k(*rows, truth), abs=1e-12)
    right = [correct_rows(side, label) for side in (first, second)]
    if len({*right[0], *right[1]}) > 1:  # else it is undefined
        assert kappa(*right) == pytest.approx(EC().compute_k(*rows, truth), abs=1e-12)


def test_kappa_by_hand_and_in_its_limits():
    # observed 3/4; expected 3/4 * 1/2 + 1/4 * 1/2 = 1/2
    assert kappa([1, 1, 1, 0], [1, 1, 0, 0]) == pytest.approx(0.5)
    assert kappa([1, 0, 1], [1, 0, 1]) == 1
    assert kappa([0, 1], [1, 0]) == -1
    assert math.isnan(kappa([1, 1], [1, 1]))
    assert math.isnan(kappa([0, 0], [0, 0]))
    a, b = RNG.random((2, 200_000)) < [[0.8], [0.6]]
    assert kappa(a, b) == pytest.approx(0, abs=0.01)  # independent errors
    copied = np.where(RNG.random(200_000) < 0.5, a, b)
    assert kappa(a, copied) > 0.4


def test_quadrants_divide_every_point():
    weak, ceiling = np.array([1, 1, 0, 0, 0.5, np.nan]), np.array([1, 0, 1, 0, 1, 1])
    found = quadrants(weak, ceiling)
    np.testing.assert_array_equal(found[:, :4], np.eye(4)[:, [0, 2, 1, 3]])
    np.testing.assert_array_equal(found[:, 4], [0.5, 0.5, 0, 0])
    assert np.isnan(found[:, 5]).all()
    assert QUADRANTS == ("both", "only ceiling", "only weak", "neither")


# the inequality


def spoilt(sample, seed):
    """A sample's vectors, the truth of a rule in [0, 1]^d, and a teacher that is none of them."""
    rng = np.random.default_rng(seed)
    truth = sample.x @ rng.random(sample.x.shape[1])
    teacher = 0.6 * truth - 3 * np.tanh(sample.x[:, 0] * 2) + rng.normal(size=len(truth))
    return truth, teacher


@pytest.mark.parametrize("seed", range(5))
def test_misfit_inequality_holds_on_a_convex_class_that_holds_the_truth(seed):
    """Linear rules with coefficients in [0, 1], as the mixtures' means have, on mixture points."""
    design = Design(d_easy=5, d_hard=5)
    population = draw_population(design, seed=seed, repetition=0)
    sample = draw_sample(population, (40, 40, 20), seed=seed, repetition=0, part="train")
    truth, teacher = spoilt(sample, seed)
    best = lsq_linear(sample.x, teacher, bounds=(0, 1), tol=1e-14, method="bvls").x
    student = sample.x @ best
    assert np.sum((best == 0) | (best == 1)) > 0  # a corner: more than a linear projection

    def error(f):
        return np.mean((f - truth) ** 2)

    apart = np.mean((student - teacher) ** 2)
    assert error(student) <= error(teacher) - apart + 1e-9
    assert error(student) < error(teacher) - apart  # strictly, at a corner


def test_misfit_inequality_is_an_equality_for_a_linear_class_and_fails_without_the_truth():
    x = RNG.normal(size=(60, 4))
    truth, teacher = x @ [1.0, -2, 0, 1], RNG.normal(size=60)
    student = x @ np.linalg.lstsq(x, teacher, rcond=None)[0]
    gain = np.mean((teacher - truth) ** 2) - np.mean((student - truth) ** 2)
    assert gain == pytest.approx(np.mean((student - teacher) ** 2), abs=1e-12)
    outside = teacher + 0.1 * truth  # no member of the class is near it
    gain = np.mean((teacher - outside) ** 2) - np.mean((student - outside) ** 2)
    assert gain < np.mean((student - teacher) ** 2)


@pytest.mark.parametrize("seed", range(5))
def test_misfit_inequality_of_divergences_holds_for_mixtures_of_two_models(seed):
    """The probabilities of mixtures are convex; the student is the member nearest to the teacher.

    Its distance has the student first. With the squared distance the functions are those above.
    """
    rng = np.random.default_rng(seed)
    one, other, teacher = np.clip(rng.beta(0.6, 0.6, size=(3, 300)), 0.01, 0.99)

    def member(share):
        return share * one + (1 - share) * other

    truth = member(rng.random())
    for distance, slack in ((misfit_kl, 1e-7), (misfit, 1e-9)):
        best = minimize_scalar(
            lambda a, d=distance: d(member(a), teacher), bounds=(0, 1), method="bounded",
            options={"xatol": 1e-12},
        ).x  # fmt: skip
        student = member(best)
        gain = distance(truth, teacher) - distance(truth, student)
        assert gain >= distance(student, teacher) - slack


# vectors


def turned(x, seed=0):
    """The vectors turned, scaled and moved."""
    return 3 * x @ ortho_group.rvs(x.shape[1], random_state=seed) + 7


def dense(x, ridge=0.1):
    """The projection of kernel ridge in sample, by the full kernel."""
    c = x - x.mean(axis=0)
    k = c @ c.T / len(x)
    return k @ np.linalg.inv(k + ridge * np.trace(k) / len(x) * np.eye(len(x)))


SHAPES = [(50, 6, 9), (12, 30, 5), (15, 40, 60)]  # points, widths: narrow, mixed, wide


@pytest.mark.parametrize(("n", "a", "b"), SHAPES)
def test_what_compares_vectors_is_what_full_kernels_give(n, a, b):
    rng = np.random.default_rng(n)
    weak = rng.normal(size=(n, a)) * np.linspace(1, 3, a)
    strong = rng.normal(size=(n, b))
    strong[:, : min(a, b)] += weak[:, : min(a, b)]
    one, other = principal(weak), principal(strong)
    centred = weak - weak.mean(axis=0)
    values = np.linalg.eigvalsh(centred @ centred.T / n)[::-1]
    np.testing.assert_allclose(one.variances, values[: len(one.variances)])
    np.testing.assert_allclose(one.vectors.T @ one.vectors, np.eye(len(one.variances)), atol=1e-9)
    kernels = [(c := x - x.mean(axis=0)) @ c.T for x in (weak, strong)]
    norms = np.prod([np.linalg.norm(k) for k in kernels])
    assert linear_cka(one, other) == pytest.approx(np.sum(kernels[0] * kernels[1]) / norms)
    y = rng.integers(0, 2, n).astype(float)
    operator = dense(strong) @ (np.eye(n) - dense(weak))
    left = operator @ (y - y.mean())
    assert projected_residual(one, other, y) == pytest.approx(np.sqrt(np.mean(left**2)))
    inner = np.eye(n) - np.ones((n, n)) / n  # of vectors that are centred, as labels are
    assert residual_norm(one, other) == pytest.approx(np.linalg.norm(operator @ inner, 2))


def test_rotation_scale_and_shift_change_nothing():
    x, z = RNG.normal(size=(40, 8)), RNG.normal(size=(40, 5))
    y = RNG.integers(0, 2, 40).astype(float)
    one, other = principal(x), principal(z)
    moved = principal(turned(x))
    assert linear_cka(one, moved) == pytest.approx(1)
    assert linear_cka(moved, other) == pytest.approx(linear_cka(one, other))
    assert linear_cka(other, one) == pytest.approx(linear_cka(one, other))
    for measure in (shared_dimension, residual_norm):
        assert measure(moved, other) == pytest.approx(measure(one, other))
    assert projected_residual(moved, other, y) == pytest.approx(projected_residual(one, other, y))
    assert intrinsic_dimension(moved) == intrinsic_dimension(one)


def test_planted_subspaces_are_found_again():
    n = 400
    basis = RNG.normal(size=(n, 8))
    basis -= basis.mean(axis=0)
    basis = np.linalg.qr(basis)[0]
    weak = basis[:, [0, 1, 2]] @ RNG.normal(size=(3, 20)) + 1e-4 * RNG.normal(size=(n, 20))
    strong = basis[:, [0, 1, 3, 4, 5]] @ RNG.normal(size=(5, 30)) + 1e-4 * RNG.normal(size=(n, 30))
    one, other = principal(weak), principal(strong)
    assert (intrinsic_dimension(one), intrinsic_dimension(other)) == (3, 5)
    assert shared_dimension(one, other) == pytest.approx(2, abs=0.01)
    told = {k: projected_residual(one, other, basis[:, k]) * math.sqrt(n) for k in (0, 3, 7)}
    assert told[0] < 0.3 * told[3]  # both models tell it: nothing is left
    assert told[3] > 0.8  # only the strong one does
    assert told[7] < 0.1  # neither does
    assert residual_norm(one, other) > 0.9
    assert residual_norm(other, other) <= 0.26  # s (1 - s) is at most 1/4


def test_intrinsic_dimension_holds_99_percent():
    rows = RNG.normal(size=(100, 4))
    rows = np.linalg.qr(rows - rows.mean(axis=0))[0]
    for variances, expected in (([98, 1.5, 0.5], 2), ([98.9, 0.6, 0.5], 2), ([99.1, 0.9], 1)):
        x = rows[:, : len(variances)] * np.sqrt(variances)
        assert intrinsic_dimension(principal(x)) == expected


@pytest.mark.parametrize(
    "x",
    [
        np.ones((5, 3)),
        np.zeros((5, 3)),
        np.ones((1, 3)),
        np.ones((30, 4), np.float32) * np.float32(0.3)
        + np.float32(3e-8) * RNG.integers(-1, 2, (30, 4)).astype(np.float32),
    ],
)
def test_vectors_that_are_all_the_same_have_no_components(x):
    with pytest.raises(DegenerateError, match=f"the same vector for all {len(x)} points"):
        principal(x)
    with pytest.raises(DegenerateError, match="all 0 points"):
        principal(x[:0])


# rank correlations

values = st.lists(st.integers(-3, 3), min_size=2, max_size=12)


@given(st.tuples(values, values).map(two), st.integers(0, 1000))
def test_rank_correlation_is_that_of_scipy_on_every_resample(both, seed):
    x, y = (side.astype(float) for side in both)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, len(x), size=(4, len(x)))
    counts = np.stack([np.bincount(row, minlength=len(x)) for row in rows]).astype(float)
    found = rank_correlations(x, y, counts)
    for value, a, b in zip(
        [rank_correlation(x, y), *found], [x, *x[rows]], [y, *y[rows]], strict=True
    ):
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            assert math.isnan(value)
        else:
            assert value == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_rank_correlation_of_one_point_and_of_none_is_undefined():
    for n in (0, 1):
        assert math.isnan(rank_correlation(np.zeros(n), np.ones(n)))
        assert math.isnan(partial_correlation(np.zeros(n), np.ones(n), np.ones(n)))


def test_partial_correlation_is_that_of_what_ranks_leave():
    x, y, z = RNG.normal(size=(3, 25))
    x, y = x + z, y + 2 * z
    rank = [stats.rankdata(side) for side in (x, y, z)]
    left = [side - np.polyval(np.polyfit(rank[2], side, 1), rank[2]) for side in rank[:2]]
    assert partial_correlation(x, y, z) == pytest.approx(np.corrcoef(left)[0, 1])
    assert math.isnan(partial_correlation(x, y, x**3))
    assert math.isnan(partial_correlation(x, y, np.ones(25)))


def test_permutation_p_counts_orders():
    rng = np.random.default_rng(0)
    up = np.arange(4.0)
    assert permutation_p(up, up**2, rng) == pytest.approx(2 / 24)
    x, y = np.array([0.0, 1, 2, 3, 3]), np.array([2.0, 1, 5, 4, 7])
    every = [rank_correlation(x, y[list(order)]) for order in itertools.permutations(range(5))]
    expected = np.mean(np.abs(every) >= abs(rank_correlation(x, y)) - 1e-12)
    assert permutation_p(x, y, rng) == pytest.approx(expected)
    assert permutation_p(np.arange(12.0), np.arange(12.0), rng) == pytest.approx(1 / 10_001)
    for a, b in ((up[:2], up[:2]), (up, np.ones(4)), (up[:0], up[:0])):
        assert math.isnan(permutation_p(a, b, rng))


def test_permutation_p_is_below_a_level_no_more_often_than_it_says():
    rng = np.random.default_rng(3)
    found = np.array([permutation_p(*rng.normal(size=(2, 6)), rng) for _ in range(150)])
    assert np.mean(found <= 0.1) < 0.18
    assert 0.4 < found.mean() < 0.65


# tables


def points(clusters, seeds=3, **given):
    """Columns of the gain table; predictors that are not given are noise."""
    rng = np.random.default_rng(1)
    n = clusters * seeds
    found = {name: rng.normal(size=n) for name in MEASURES if name != "reason"}
    name = np.repeat([f"d{k}" for k in range(clusters)], seeds)
    found |= {"dataset": name, "weak": np.full(n, "w"), "strong": np.full(n, "s")}
    return found | {"reason": np.full(n, "", dtype=object)} | given


def correlated(columns, name, draws=300):
    rows = predictor_rows(columns, draws=draws, level=0.95)
    assert [row["predictor"] for row in rows] == list(PREDICTORS)
    return next(row for row in rows if row["predictor"] == name)


def test_correlations_of_points_and_of_means():
    gain = np.array([0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.0, 0.0, 0.1])
    row = correlated(points(4, gain=gain, misfit=-(gain**3)), "misfit")
    assert (row["correlation"], row["correlation_of_means"]) == (-1, -1)
    assert (row["correlation_lo"], row["correlation_hi"]) == (-1, -1)
    assert (row["n_points"], row["n_means"]) == (12, 4)
    assert row["p"] == pytest.approx(2 / 24)  # of four means, however many seeds they have
    assert (row["uses_labels"], row["points"], row["expected"]) == ("no", "test", "+")
    assert row["reason"].startswith("interval: draws points as if independent, of 4 datasets")
    noise = correlated(points(4), "cka")
    assert noise["correlation_lo"] < noise["correlation"] < noise["correlation_hi"]
    assert noise["given_gap"] == pytest.approx(
        partial_correlation(*(points(4)[name] for name in ("cka", "gain", "gap")))
    )
    assert math.isnan(correlated(points(4), "gap")["given_gap"])


def test_a_predictor_that_tells_datasets_apart_tells_nothing_within_them():
    gain = np.repeat([0.0, 1, 2, 3], 3) + np.tile([0.1, 0.2, 0.3], 4)
    misleading = np.repeat([0.0, 1, 2, 3], 3) - np.tile([0.1, 0.2, 0.3], 4)
    row = correlated(points(4, gain=gain, cka=misleading), "cka")
    assert row["correlation_of_means"] == 1
    assert row["correlation_within"] == -1
    assert row["correlation"] > 0.8
    assert math.isnan(correlated(points(6, 2), "cka")["correlation_within"])  # of two seeds


def test_whole_datasets_are_drawn_where_there_are_enough():
    gain = np.repeat(RNG.normal(size=CLUSTERS), 10)
    noise = np.repeat(RNG.normal(size=CLUSTERS), 10)
    wide, narrow = (
        correlated(points(CLUSTERS if k else 4, 10 if k else CLUSTERS * 10 // 4,
                          gain=gain, jsd=noise), "jsd", draws=2000)
        for k in (1, 0)
    )  # fmt: skip
    assert wide["reason"] == "interval: draws datasets and pairs"
    size = [row["correlation_hi"] - row["correlation_lo"] for row in (wide, narrow)]
    assert size[0] > 2 * size[1]  # seeds that repeat each other are no observations


def test_points_without_a_value_are_left_out_and_named():
    columns = points(4)
    columns["cka"][:3] = np.nan
    columns["reason"][:3] = "weak activations: found the same vector"
    row = correlated(columns, "cka")
    assert (row["n_points"], row["n_means"]) == (9, 3)
    assert row["reason"].startswith("3 of 12 points lack it: weak activations: found the same")
    columns["gap"][5:7] = np.nan  # no ceiling: the others need none
    there = np.flatnonzero(np.isfinite(columns["gap"]))
    kept = [columns[name][there] for name in ("jsd", "gain", "gap")]
    assert correlated(columns, "jsd")["given_gap"] == pytest.approx(partial_correlation(*kept))
    assert correlated(columns, "jsd")["n_points"] == 12
    columns["cka"][:] = np.nan
    row = correlated(columns, "cka")
    assert (row["n_points"], row["n_means"]) == (0, 0)
    assert all(math.isnan(row[name]) for name in ("correlation", "correlation_lo", "p"))
    columns["jsd"][:] = 1
    assert math.isnan(correlated(columns, "jsd")["correlation"])


# stages


def spine(chain, seed):
    names = ("weak_labels-{}.parquet", "runs-{}.parquet", "predictions-{}.safetensors")
    vectors = ("activations-small.safetensors", "activations-large.safetensors")
    return files(chain, *(name.format(seed) for name in (*names, *vectors)))


def own_predictions(labels, runs, predictions):
    """Label, and probability by model, of the test points in the order of their ids."""
    test = labels.where(labels["part"] == "test")
    test = test.where(np.argsort(test["id"]))
    found = {"floor": test["weak_proba"]}
    for name in ("w2s", "ceiling"):
        (row,) = np.flatnonzero(runs["control"] == name)
        found[name] = predictions["proba"][row][np.argsort(predictions["id"])]
    return test["label"], found


def test_predictors_of_a_job_are_those_of_its_files(chain):
    labels, runs, predictions, small, large = spine(chain, 0)
    inputs = [labels, runs, predictions, small, large]
    found = run_stage("gain_predictors", *inputs)["gain"]
    label, proba = own_predictions(labels, runs, predictions)
    scores = {name: accuracy(p, label) for name, p in proba.items()}
    for name, value in scores.items():
        assert found[name][0] == pytest.approx(value)
    assert found["gain"][0] == pytest.approx(scores["w2s"] - scores["floor"])
    assert found["pgr"][0] == pytest.approx(pgr(*scores.values()), nan_ok=True)
    assert found["misfit"][0] == pytest.approx(misfit(proba["w2s"], proba["floor"]))
    truth = [on_truth(proba[name], label) for name in ("floor", "ceiling")]
    assert found["kappa_p"][0] == pytest.approx(kappa(*truth))
    pool = labels.where(labels["part"] == "strong_train")
    rows = [np.searchsorted(np.sort(x["id"]), pool["id"]) for x in (small, large)]
    weak, strong = (
        principal(x["layer_-1"][np.argsort(x["id"])][mine])
        for x, mine in zip((small, large), rows, strict=True)
    )
    assert found["cka"][0] == pytest.approx(linear_cka(weak, strong))
    hard = (pool["weak_proba"] > 0.5).astype(float)
    assert found["residual"][0] == pytest.approx(projected_residual(weak, strong, hard))
    assert found["dim_apart"][0] == pytest.approx(
        intrinsic_dimension(weak) - shared_dimension(weak, strong)
    )
    first = run_stage("gain_predictors", *inputs, strong_layer=0)["gain"]
    assert first["cka"][0] != found["cka"][0]
    assert first["misfit"][0] == found["misfit"][0]
    mixed = [shuffled(labels), runs, predictions, shuffled(small, 1), shuffled(large, 2)]
    again = run_stage("gain_predictors", *mixed)["gain"]
    for name in MEASURES:
        if name != "reason":
            np.testing.assert_allclose(again[name], found[name], rtol=1e-9)


def test_predictors_that_are_undefined_are_nan_with_a_reason(chain):
    labels, runs, predictions, small, large = spine(chain, 0)
    flat = changed(small, **{"layer_-1": np.ones_like(small["layer_-1"])})
    found = run_stage("gain_predictors", labels, runs, predictions, flat, large)["gain"]
    assert np.isnan(found["cka"][0])
    assert np.isfinite(found["misfit"][0])
    assert "weak activations: found the same vector for all" in found["reason"][0]
    mute = renamed(labels, status="degenerate", reason="weak probe: found one class")
    found = run_stage("gain_predictors", mute, runs, predictions, small, large)["gain"]
    lacking = ("floor", "gain", "pgr", "misfit", "kappa_p", "residual")
    assert all(np.isnan(found[name][0]) for name in lacking)
    assert np.isfinite(found["cka"][0])
    assert "floor: weak probe: found one class" in found["reason"][0]
    none = runs.where(runs["control"] != "w2s")
    with pytest.raises(ArtifactError, match="runs: found 0 runs of w2s, expected one"):
        run_stage("gain_predictors", labels, none, predictions, small, large)
    with pytest.raises(ArtifactError, match="predictions: found seed 7, expected 0"):
        run_stage("gain_predictors", labels, runs, renamed(predictions, seed=7), small, large)


def transfer_inputs(chain, seed):
    labels, runs, predictions, small, large = spine(chain, seed)
    examples, split = files(chain, "examples.parquet", f"split-{seed}.parquet")
    return [examples, split, labels, runs, predictions, small, large]


NAMES = (
    "examples", "split", "weak_labels", "runs", "predictions", "weak_activations",
    "strong_activations",
)  # fmt: skip


def other_way_round(inputs, name="films-2", *, shift=10**6):
    """The same dataset under another name and ids, each label the other one, and so all models."""
    found = []
    for item in inputs:
        arrays = {k: v + shift if k == "id" else v for k, v in item.arrays.items()}
        for key in ("weak_proba", "label", "proba"):
            if key in arrays:
                arrays[key] = (1 - arrays[key]).astype(arrays[key].dtype)
        if "dataset" in arrays:
            arrays["dataset"] = np.full(len(arrays["id"]), name, dtype=object)
        found.append(renamed(replace(item, arrays=arrays), dataset=name))
    return found


def moved(*datasets, **settings):
    """What the stage makes of some datasets' inputs."""
    inputs = [list(items) for items in zip(*datasets, strict=True)]
    return run_stage("transfer", *inputs, **PAIR, **settings)["transfer"]


def part(found, train, test):
    return found.where((found["train"] == train) & (found["test"] == test))


def test_transfer_to_its_own_test_part_is_the_spine(chain):
    inputs = transfer_inputs(chain, 0)
    found = moved(inputs)
    label, proba = own_predictions(*inputs[2:5])
    order = np.argsort(found["example"])
    np.testing.assert_array_equal(found["label"][order], label)
    for name, values in proba.items():
        np.testing.assert_array_equal(found[name][order], values)
    assert not found["seen"].any()
    assert found.facts["reasons"] == {"films": ""}


def test_transfer_is_that_of_probes_fitted_on_the_other_dataset(chain):
    inputs = transfer_inputs(chain, 0)
    found = moved(inputs, other_way_round(inputs))
    examples, split, labels, _, _, small, large = inputs
    across = part(found, "films", "films-2")
    own = part(found, "films", "films")
    np.testing.assert_array_equal(across["label"], 1 - own["label"])
    for name in ("floor", "w2s", "ceiling"):
        # the points have the vectors of the first one's: what is fitted here is near the spine's
        assert np.abs(across[name] - own[name]).max() < 0.01
    assert (
        accuracy(across["ceiling"], across["label"])
        < 0.3
        < 0.7
        < accuracy(own["ceiling"], own["label"])
    )

    def rows(x, ids):
        return x["layer_-1"][[x["id"].tolist().index(i) for i in ids.tolist()]]

    truth = dict(zip(examples["id"].tolist(), examples["label"].tolist(), strict=True))
    taught = split["id"][split["half"] == "weak_train"]
    pool = labels.where(labels["part"] == "strong_train")
    ids = across["example"] - 10**6
    weak = fit_probes(rows(small, taught), np.array([truth[i] for i in taught.tolist()]))
    np.testing.assert_allclose(across["floor"], weak.predict_proba(rows(small, ids)), atol=1e-3)
    for name, target in (("w2s", pool["weak_proba"]), ("ceiling", pool["label"])):
        probe = fit_probes(rows(large, pool["id"]), target)
        np.testing.assert_allclose(across[name], probe.predict_proba(rows(large, ids)), atol=1e-3)


def test_texts_that_were_trained_on_are_marked_where_they_are_tested_on(chain):
    inputs = transfer_inputs(chain, 0)
    other = other_way_round(inputs)
    pool = inputs[0]["id"][inputs[0]["part"] == "pool"]
    test = np.flatnonzero(other[0]["part"] == "test")[:5]
    known = dict(zip(other[0]["id"][test].tolist(), pool[:5].tolist(), strict=True))
    other = [
        changed(item, id=np.array([known.get(i, i) for i in item["id"].tolist()]))
        if "id" in item.arrays
        else item
        for item in other
    ]
    found = moved(inputs, other)
    assert part(found, "films", "films-2")["seen"].sum() == 5
    others = (("films", "films"), ("films-2", "films"), ("films-2", "films-2"))
    assert not any(part(found, *way)["seen"].any() for way in others)
    told = renamed(found, seed=1)
    tables = run_stage("gain_tables", [], [found, told], evaluation={"bootstrap": 100})
    rows = tables["matrix"].frame.set_index(["train", "test"])["n_test"]
    assert rows["films", "films-2"] == rows["films", "films"] - 5


def test_transfer_without_weak_labels_says_why_and_refuses_other_inputs(chain):
    inputs = transfer_inputs(chain, 0)
    other = other_way_round(inputs)
    mute = list(other)
    half = changed(other[2], weak_proba=np.full_like(other[2]["weak_proba"], 0.5))
    mute[2] = renamed(half, status="degenerate", reason="weak probe: found one class")
    found = moved(inputs, mute)
    across = part(found, "films-2", "films")
    assert np.isnan(across["w2s"]).all()
    assert np.isfinite(across["ceiling"]).all()
    assert found.facts["reasons"] == {"films": "", "films-2": "w2s: weak probe: found one class"}
    own = part(found, "films-2", "films-2")
    assert np.isnan(own["floor"]).all()
    tables = run_stage("gain_tables", [], [found], evaluation={"bootstrap": 100})
    row = tables["matrix"].frame.set_index(["train", "test"]).loc[("films-2", "films")]
    assert row[["w2s", "pgr", "gain", "p"]].isna().all()
    assert row["reason"] == "1 of 1 seeds lack it: w2s: weak probe: found one class"
    quarter = tables["quadrants"].frame.set_index("dataset").loc["films-2"]
    assert quarter[["share", "w2s"]].isna().all().all()
    for place, name in enumerate(NAMES):
        lists = [[one, two] for one, two in zip(inputs, other, strict=True)]
        lists[place] = lists[place][:1] if place else [inputs[0], inputs[0]]
        with pytest.raises(ArtifactError, match=r"each once" if not place else f"^{name}: found"):
            run_stage("transfer", *lists, **PAIR)


def test_tables_have_the_main_tables_numbers_where_a_dataset_is_tested_on_itself(chain):
    (main,) = files(chain, "table-main.parquet")
    (matrix,) = files(chain, "table-matrix.parquet")
    for name in ("floor", "w2s", "ceiling", "pgr"):
        for end in ("", "_lo", "_hi"):
            np.testing.assert_array_equal(matrix[f"{name}{end}"], main[f"{name}{end}"])
    assert matrix["n_test"].tolist() == main["n_test"].tolist()
    assert matrix["gain"][0] == pytest.approx(main["w2s"][0] - main["floor"][0])
    (comparisons,) = files(chain, "table-comparisons.parquet")
    rows = (comparisons["comparison"] == "w2s - floor") & (comparisons["group"] == "overall")
    assert matrix["p"][0] == comparisons["p"][rows][0]


def test_tables_follow_from_the_files_of_the_seeds(chain):
    gains = files(chain, *(f"gain-{seed}.parquet" for seed in SEEDS))
    kinds = ("correlations", "quadrants", "points", "matrix")
    correlations, quarters, found, _ = files(chain, *(f"table-{name}.parquet" for name in kinds))
    for name in ("gain", *PREDICTORS):
        np.testing.assert_array_equal(found[name], [item[name][0] for item in gains])
    assert found["seed"].tolist() == list(SEEDS)
    np.testing.assert_array_equal(correlations["p_holm"], holm(correlations["p"]))
    assert (correlations["n_means"] == 1).all()
    shares, right = {name: [] for name in QUADRANTS}, {name: [] for name in QUADRANTS}
    for seed in SEEDS:
        label, proba = own_predictions(*transfer_inputs(chain, seed)[2:5])
        ok = {name: (p > 0.5) == label for name, p in proba.items()}
        masks = (ok["floor"] & ok["ceiling"], ~ok["floor"] & ok["ceiling"],
                 ok["floor"] & ~ok["ceiling"], ~ok["floor"] & ~ok["ceiling"])  # fmt: skip
        for name, mask in zip(QUADRANTS, masks, strict=True):
            shares[name].append(mask.mean())
            right[name].append(ok["w2s"][mask].mean() if mask.any() else np.nan)
    for i, name in enumerate(QUADRANTS):
        assert quarters["quadrant"][i] == name
        assert quarters["share"][i] == pytest.approx(np.mean(shares[name]))
        known = [value for value in right[name] if not np.isnan(value)]
        assert quarters["n_seeds"][i] == len(known)
        if known:
            assert quarters["w2s"][i] == pytest.approx(np.mean(known))
        if len(known) < len(SEEDS):
            assert quarters["reason"][i].endswith("of 2 seeds have no such point")


def test_a_seed_twice_is_refused(chain):
    (found,) = files(chain, "transfer-0.parquet")
    with pytest.raises(ArtifactError, match="found seed 0 of a pair twice"):
        run_stage("gain_tables", [], [found, found])


# figures

TITLES = {"d0": "First", "d1": "Second", "d2": "Third"}


def matrix_of(pairs=(("w", "s"),)):
    rows = [(a, b, w, s) for w, s in pairs for a in TITLES for b in TITLES]
    train, test, weak, strong = (np.array(side, dtype=object) for side in zip(*rows, strict=True))
    gain = np.linspace(-0.1, 0.2, len(rows))
    p = np.where(gain > 0.15, 0.01, 0.5)
    return {"train": train, "test": test, "weak": weak, "strong": strong, "gain": gain,
            "w2s": np.linspace(0.5, 0.9, len(rows)), "p_holm": p}  # fmt: skip


def test_figure_of_predictors_has_a_dot_for_every_seed_and_says_what_needs_labels():
    columns = points(3)
    rows = predictor_rows(columns, draws=100, level=0.95)
    table = {name: np.array([row[name] for row in rows], dtype=object) for name in rows[0]}
    columns["cka"][:] = np.nan
    figure = predictors_figure(columns, table, TITLES)
    assert len(figure.axes) == len(PREDICTORS)
    for ax, (name, shown) in zip(figure.axes, PREDICTORS.items(), strict=True):
        assert ax.get_title() == name + " (true labels)" * shown.uses_labels
        dots = [line for line in ax.lines if line.get_marker() == "o"]
        assert [line.get_label() for line in dots] == list(TITLES.values())
        if name != "cka":
            drawn = np.concatenate([line.get_xdata() for line in dots])
            np.testing.assert_array_equal(drawn, columns[name])
    empty = next(ax for ax in figure.axes if ax.get_title() == "cka")
    assert "interval" in " ".join(words(empty))
    none = {**table, "correlation": np.full(len(PREDICTORS), np.nan)}
    assert "undefined" in predictors_figure(columns, none, TITLES).axes[0].get_xlabel()


def test_figure_of_transfer_has_every_number_in_its_place():
    matrix = matrix_of()
    figure = transfer_figure(matrix, TITLES)
    accuracy_panel, gain_panel = figure.axes
    shown = [text.get_text() for text in accuracy_panel.texts]
    assert shown == [f"{value:.3f}" for value in matrix["w2s"]]
    shown = [text.get_text() for text in gain_panel.texts]
    assert shown == [
        f"{g:+.3f}" + "*" * int(p < 0.05)
        for g, p in zip(matrix["gain"], matrix["p_holm"], strict=True)
    ]
    assert [t.get_text() for t in accuracy_panel.get_yticklabels()] == list(TITLES.values())
    several = transfer_figure(matrix_of((("w", "s"), ("v", "s"))), TITLES)
    assert [ax.get_title().split("\n")[-1] for ax in several.axes[::2]] == ["w → s", "v → s"]
    matrix["gain"][:] = np.nan
    told = " ".join(words(transfer_figure(matrix, TITLES).axes[1]))
    assert told.replace("\n", " ") == "see tables/transfer.csv"


def test_figures_refuse_tables_without_a_dataset(chain):
    kinds = ("correlations", "points", "matrix")
    inputs = files(chain, *(f"table-{name}.parquet" for name in kinds))
    with pytest.raises(ArtifactError, match="found no points of news, expected some"):
        run_stage("gain_figures", *inputs, titles=[["news", "News"]])
    drawn = run_stage("gain_figures", *inputs, titles=[["films", "Films"]])
    assert list(drawn) == ["predictors", "transfer"]


# configuration

TWO = {
    "results": "r",
    "seeds": [0, 1],
    "datasets": {name: {"source": "file", "path": f"{name}.csv"} for name in ("one", "two")},
    "models": {name: {"source": "local", "path": name} for name in ("small", "large")},
    "pairs": [{"weak": "small", "strong": "large"}],
}


def planned_jobs(gain):
    config = parse({**TWO, "gain": gain})
    return [job for job in dag.jobs(config) if "gain" in job.rule or job.rule == "transfer"]


def test_jobs_are_those_of_the_datasets_that_are_asked_for():
    for gain, names in (({}, ["one", "two"]), ({"datasets": ["two"]}, ["two"])):
        found = planned_jobs(gain)
        assert [job.of["dataset"] for job in found if "dataset" in job.of] == [
            name for name in names for _ in SEEDS
        ]
        rules = [job.rule for job in found]
        assert rules.count("transfer") == len(SEEDS)
        assert rules[-2:] == ["gain_tables", "gain_figures"]
    assert planned_jobs(None) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gain": {"datasets": ["tow"]}}, "gain.datasets: 'tow' is not a dataset; did you mean"),
        ({"gain": {"dataset": []}}, "gain.dataset is not a setting; did you mean 'datasets'"),
        ({"gain": {}, "pairs": []}, "pairs: found none, expected at least 1 item, as `gain` needs"),
        (
            {"datasets": {"gain": TWO["datasets"]["one"]}},
            "datasets: 'gain' is the name of a results folder",
        ),
    ],
)
def test_mistakes_in_the_section_are_told(changes, expected):
    with pytest.raises(ConfigError, match=re.escape(expected)):
        parse({**TWO, **changes})
