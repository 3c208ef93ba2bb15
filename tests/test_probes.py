"""Probes: by hand, against Newton, scikit-learn and scipy, certified gaps, and limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.logistic import newton, objective, true_gap
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from w2s.errors import DegenerateError, W2SError
from w2s.probes.arrays import backend
from w2s.probes.probes import fit_columns, fit_probes
from w2s.probes.problem import Dense, Problem, certify

LIGHT = settings(max_examples=60)
TOLERANCE = 1e-6
ROUNDING = 1e-12  # of an objective computed twice in float64
RNG = np.random.default_rng(7)
X = RNG.normal(size=(120, 6)) + 3
SOFT = expit((X - 3) @ RNG.normal(size=(6, 4)) + RNG.normal(size=(120, 4)))
HARD = (SOFT > 0.5).astype(float)
WEIGHTS = RNG.exponential(size=(120, 4)) ** 2


def heavy_tailed(n=400, d=300, seed=0):
    """Rows with covariance eigenvalues 1 / i and a large common mean, and soft labels."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    centred = rng.normal(size=(n, d)) / np.sqrt(np.arange(1, d + 1)) @ rotation
    labels = expit(2 * centred @ rng.normal(size=(d, 5)))
    return centred + 30 * rng.normal(size=d), labels


def assert_solved(x, targets, *, weights=None, l2=1e-3, **options):
    """Every column has a gap of at most 1e-6, and the certificate is not below the true gap."""
    probes = fit_probes(x, targets, weights=weights, l2=l2, **options)
    y = np.asarray(targets, dtype=float).reshape(len(x), -1)
    u = np.ones((len(x), 1)) if weights is None else np.asarray(weights, float).reshape(len(x), -1)
    y, u = np.broadcast_arrays(y, u)
    assert probes.reason == ("",) * y.shape[1]
    for j in range(y.shape[1]):
        gap = true_gap(x, y[:, j], u[:, j], l2, probes.coef[:, j], probes.intercept[j])
        assert gap >= -1e-9, f"column {j}: Newton did not find the minimum"
        assert gap <= probes.gap[j] + ROUNDING, f"column {j}: the certificate is below the gap"
        assert probes.gap[j] <= TOLERANCE, f"column {j}: certified gap {probes.gap[j]:g}"
    return probes


@st.composite
def problems(draw):
    """A small matrix of any scale, two columns of soft or hard targets, weights and a penalty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, d = draw(st.integers(2, 30)), draw(st.integers(1, 12))
    x = rng.normal(size=(n, d)) * 10.0 ** draw(st.integers(-3, 2)) + draw(st.sampled_from([0, 5]))
    if draw(st.booleans()):
        x = x.astype(np.float32)
    y = rng.random((n, 2))
    if draw(st.booleans()):
        y = np.round(y)
        y[0], y[1] = 0, 1
    weights = rng.exponential(size=(n, 2)) ** draw(st.integers(0, 3))
    return x, y, weights, 10.0 ** draw(st.integers(-4, 0))


def problem_of(x, y, u, l2):
    """The solver's problem of one column whose rows are centred and scaled already."""
    inverse = Dense(np.linalg.inv(x.T @ x + np.eye(x.shape[1])))
    return Problem(backend("cpu"), x, x.astype(np.float32), y[:, None], u[:, None], inverse, l2)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 3.0, 100.0]))
def test_certificates_hold_wherever_the_solver_stops(seed, away):
    rng = np.random.default_rng(seed)
    x, y, u = rng.normal(size=(15, 3)), rng.random(15), rng.dirichlet(np.ones(15))
    x -= x.mean(axis=0)
    coef, intercept = newton(x, y, u, 0.01)
    start = (np.append(coef, intercept) + away * rng.normal(size=4))[:, None]
    theta, gap = certify(problem_of(x, y, u, 0.01), start)
    np.testing.assert_array_equal(theta[:-1], start[:-1])
    assert gap[0] >= true_gap(x, y, u, 0.01, theta[:-1, 0], theta[-1, 0]) - ROUNDING
    if not away:
        assert gap[0] <= 1e-9


@pytest.mark.parametrize("away", [-50.0, -2.02, 0.0, 2.02, 2.2, 3.0, 50.0])
def test_certificates_hold_where_only_the_bias_is_wrong(away):
    x, y, u = np.zeros((10, 2)), np.linspace(0.1, 0.8, 10), np.full(10, 0.1)
    start = np.array([[0.0], [0.0], [logit(y.mean()) + away]])
    theta, gap = certify(problem_of(x, y, u, 0.01), start)
    assert gap[0] >= true_gap(x, y, u, 0.01, theta[:-1, 0], theta[-1, 0]) - ROUNDING


def test_by_hand_without_information_the_intercept_is_the_logit_of_the_mean():
    probes = fit_probes(np.zeros((4, 2)), [0.0, 0.5, 1.0, 0.1], weights=[1, 2, 1, 0])
    np.testing.assert_allclose(probes.coef, 0, atol=1e-9)
    assert probes.intercept[0] == pytest.approx(0, abs=1e-6)
    probes = fit_probes(np.ones((4, 1)), [0.0, 1.0, 1.0, 1.0])
    assert probes.intercept[0] + probes.coef[0, 0] == pytest.approx(np.log(3), abs=1e-4)


def test_by_hand_two_opposite_points():
    # x = 1 with label 1 and x = -1 with label 0: 1 - sigmoid(w) = 2 l2 w, and b = 0
    l2 = expit(-1.5) / 3
    probes = fit_probes([[1.0], [-1.0]], [1.0, 0.0], l2=l2)
    assert probes.coef[0, 0] == pytest.approx(1.5, abs=1e-3)
    assert probes.intercept[0] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(probes.predict_proba([[0.0], [1.0]]), [0.5, expit(1.5)], atol=1e-3)


def test_by_hand_soft_labels_that_a_probe_can_meet_are_met():
    x = np.linspace(-2, 2, 41)[:, None]
    probes = fit_probes(x, expit(1.5 * x[:, 0] - 0.5), l2=1e-9)
    assert probes.coef[0, 0] == pytest.approx(1.5, abs=1e-2)
    assert probes.intercept[0] == pytest.approx(-0.5, abs=1e-2)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("targets", [SOFT, HARD])
@pytest.mark.parametrize("l2", [1e-1, 1e-3, 1e-5])
def test_solutions_are_those_of_newton(targets, weighted, l2):
    weights = WEIGHTS if weighted else None
    probes = assert_solved(X, targets, weights=weights, l2=l2)
    for j in range(4):
        coef, intercept = newton(X, targets[:, j], WEIGHTS[:, j] if weighted else None, l2)
        found = X @ probes.coef[:, j] + probes.intercept[j]
        expected = X @ coef + intercept
        np.testing.assert_allclose(expit(found), expit(expected), atol=2e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_hard_labels_are_fitted_as_by_scikit_learn(weighted):
    l2 = 1e-2
    weights = WEIGHTS if weighted else np.ones_like(WEIGHTS)
    probes = fit_probes(X, HARD, weights=weights, l2=l2)
    for j in range(4):
        u = weights[:, j] / weights[:, j].sum()
        sklearn = LogisticRegression(C=1 / (2 * l2), tol=1e-10, max_iter=10_000)
        sklearn.fit(X, HARD[:, j], sample_weight=u)
        ours = probes.predict_proba(X)[:, j]
        np.testing.assert_allclose(ours, sklearn.predict_proba(X)[:, 1], atol=1e-3)
        theirs = objective(X, HARD[:, j], u, l2, sklearn.coef_[0], sklearn.intercept_[0])
        found = objective(X, HARD[:, j], u, l2, probes.coef[:, j], probes.intercept[j])
        assert found == pytest.approx(theirs, rel=2e-6)


def test_soft_labels_with_weights_are_fitted_as_by_scipy():
    probes = fit_probes(X, SOFT[:, 0], weights=WEIGHTS[:, 0])
    found = minimize(
        lambda theta: objective(X, SOFT[:, 0], WEIGHTS[:, 0], 1e-3, theta[:-1], theta[-1]),
        np.zeros(7),
        method="BFGS",
    )
    ours = objective(X, SOFT[:, 0], WEIGHTS[:, 0], 1e-3, probes.coef[:, 0], probes.intercept[0])
    assert ours <= found.fun * (1 + TOLERANCE)


def test_the_references_agree_with_each_other():
    for j in range(4):
        coef, intercept = newton(X, HARD[:, j], l2=1e-2)
        sklearn = LogisticRegression(
            C=1 / (2 * 1e-2 * 120), tol=1e-12, max_iter=10_000, solver="newton-cholesky"
        ).fit(X, HARD[:, j])
        np.testing.assert_allclose(coef, sklearn.coef_[0], atol=1e-5)
        assert intercept == pytest.approx(sklearn.intercept_[0], abs=1e-4)


@LIGHT
@given(problems())
def test_every_gap_is_certified_and_small(problem):
    x, y, weights, l2 = problem
    assert_solved(x, y, weights=weights, l2=l2)


@LIGHT
@given(problems(), st.floats(1e-6, 1e6))
def test_the_scale_of_the_weights_does_not_matter(problem, factor):
    x, y, weights, l2 = problem
    ours, scaled = (fit_probes(x, y, weights=w, l2=l2) for w in (weights, weights * factor))
    for j in range(2):
        values = [
            objective(x, y[:, j], weights[:, j], l2, probes.coef[:, j], probes.intercept[j])
            for probes in (ours, scaled)
        ]
        assert values[0] == pytest.approx(values[1], rel=2 * TOLERANCE)


@LIGHT
@given(problems())
def test_swapping_the_classes_swaps_the_predictions(problem):
    x, y, weights, l2 = problem
    swapped = fit_probes(x, 1 - y, weights=weights, l2=l2)
    for j in range(2):
        # minus the coefficients solve the problem as well as the certificate says
        gap = true_gap(x, y[:, j], weights[:, j], l2, -swapped.coef[:, j], -swapped.intercept[j])
        assert gap <= swapped.gap[j] + ROUNDING


def test_many_columns_at_once_are_one_by_one():
    batched = assert_solved(X, SOFT, weights=WEIGHTS)
    assert batched.coef.shape == (6, 4)
    assert batched.intercept.shape == batched.gap.shape == (4,)
    for j in range(4):
        single = assert_solved(X, SOFT[:, j], weights=WEIGHTS[:, j])
        assert single.coef.shape == (6, 1)
        np.testing.assert_allclose(
            single.predict_proba(X), batched.predict_proba(X)[:, j], atol=1e-3
        )


@pytest.mark.parametrize(
    "device",
    [
        "cpu:0",  # torch without a GPU
        pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="GPU")),
    ],
)
@pytest.mark.parametrize("targets", [SOFT, HARD])
def test_torch_finds_what_numpy_finds(device, targets):
    found = assert_solved(X, targets, weights=WEIGHTS, device=device)
    expected = fit_probes(X, targets, weights=WEIGHTS)
    np.testing.assert_allclose(found.predict_proba(X), expected.predict_proba(X), atol=2e-3)
    x, labels = heavy_tailed()
    assert_solved(x, np.round(labels), device=device)


def test_columns_do_not_influence_each_other():
    # a hard, badly weighted neighbour must not stop or spoil an easy column
    neighbour = (X[:, 0] > 3).astype(float)
    y = np.stack([SOFT[:, 0], neighbour, SOFT[:, 0]], axis=1)
    weights = np.stack([WEIGHTS[:, 0], np.full(120, 1e-9), WEIGHTS[:, 0]], axis=1)
    probes = assert_solved(X, y, weights=weights, l2=1e-6)
    np.testing.assert_allclose(probes.coef[:, 0], probes.coef[:, 2], rtol=1e-6)


@pytest.mark.parametrize("targets", [SOFT, HARD])
def test_weights_of_zero_and_one_fit_the_subset(targets):
    rows = [np.flatnonzero(np.random.default_rng(j).random(120) < 0.4) for j in range(4)]
    weights = np.zeros((120, 4))
    for j, chosen in enumerate(rows):
        weights[chosen, j] = 1
    probes = assert_solved(X, targets, weights=weights)
    for j, chosen in enumerate(rows):
        subset = assert_solved(X[chosen], targets[chosen, j])
        np.testing.assert_allclose(
            probes.predict_proba(X)[:, j], subset.predict_proba(X), atol=5e-3
        )


def test_values_in_rows_of_weight_zero_do_not_matter():
    x, y = X.copy(), SOFT[:, 0].copy()
    x[60:], y[60:] = 1e3, 1.0
    weights = np.repeat([1.0, 0.0], 60)
    probes = assert_solved(x, y, weights=weights)
    alone = fit_probes(X[:60], SOFT[:60, 0])
    np.testing.assert_allclose(probes.predict_proba(X), alone.predict_proba(X), atol=5e-3)


def test_a_weight_of_two_is_a_repeated_row():
    weights = np.ones(120)
    weights[:30] = 2
    weighted = fit_probes(X, SOFT[:, 0], weights=weights)
    repeated = fit_probes(np.vstack([X, X[:30]]), np.append(SOFT[:, 0], SOFT[:30, 0]))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-3)


def test_duplicate_rows_change_nothing():
    once, thrice = fit_probes(X, SOFT), assert_solved(np.tile(X, (3, 1)), np.tile(SOFT, (3, 1)))
    np.testing.assert_allclose(thrice.predict_proba(X), once.predict_proba(X), atol=2e-3)


def test_shared_weights_and_shared_targets_are_broadcast():
    ours = fit_probes(X, SOFT, weights=WEIGHTS[:, 0])
    spelled_out = fit_probes(X, SOFT, weights=np.repeat(WEIGHTS[:, :1], 4, axis=1))
    np.testing.assert_allclose(ours.coef, spelled_out.coef, rtol=1e-9)
    many = fit_probes(X, SOFT[:, 0], weights=WEIGHTS)
    assert many.coef.shape == (6, 4)
    assert many.predict_proba(X).shape == (120, 4)


def test_the_bias_is_not_penalised():
    shifted = assert_solved(X + 1000.0, SOFT, l2=0.1)
    probes = assert_solved(X, SOFT, l2=0.1)
    np.testing.assert_allclose(shifted.coef, probes.coef, atol=1e-3)
    strong = fit_probes(X, np.full(120, 0.9), l2=1e6)
    np.testing.assert_allclose(strong.predict_proba(X), 0.9, atol=1e-6)


def test_a_larger_penalty_gives_smaller_coefficients():
    norms = [np.linalg.norm(fit_probes(X, HARD[:, 0], l2=l2).coef) for l2 in (1e-4, 1e-2, 1.0)]
    assert norms[0] > norms[1] > 5 * norms[2]


@pytest.mark.parametrize("l2", [1e-1, 1e-3, 1e-5])
@pytest.mark.parametrize("hard", [False, True])
def test_heavy_tailed_activations_with_a_large_mean(l2, hard):
    x, labels = heavy_tailed()
    assert_solved(x, np.round(labels) if hard else labels, l2=l2)


def test_heavy_tailed_activations_with_mixes_as_weights():
    x, labels = heavy_tailed(seed=1)
    weights = (np.random.default_rng(0).random(labels.shape) < 0.2).astype(float)
    assert_solved(x.astype(np.float32), np.round(labels), weights=weights)


def test_planted_direction_is_recovered():
    rng = np.random.default_rng(3)
    x, direction = rng.normal(size=(4000, 8)), np.array([2.0, -1, 0.5, 0, 0, 0, 0, 1])
    y = (rng.random(4000) < expit(x @ direction - 0.7)).astype(float)
    probes = fit_probes(x, y, l2=1e-6)
    np.testing.assert_allclose(probes.coef[:, 0], direction, atol=0.2)
    assert probes.intercept[0] == pytest.approx(-0.7, abs=0.15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_of_the_activations(dtype):
    probes = assert_solved(X.astype(dtype), SOFT)
    assert probes.coef.dtype == probes.intercept.dtype == probes.gap.dtype == np.float64
    assert probes.predict_proba(X.astype(dtype)).dtype == np.float64
    np.testing.assert_allclose(probes.coef, fit_probes(X, SOFT).coef, atol=2e-2)


def test_targets_may_be_integers_booleans_or_float32():
    expected = fit_probes(X, HARD[:, 0]).coef
    for dtype in (np.int64, np.bool_, np.float32):
        np.testing.assert_allclose(fit_probes(X, HARD[:, 0].astype(dtype)).coef, expected)


def test_inputs_are_not_changed():
    x, y, weights = X.copy(), SOFT.copy(), WEIGHTS.copy()
    fit_probes(x, y, weights=weights)
    for now, before in ((x, X), (y, SOFT), (weights, WEIGHTS)):
        np.testing.assert_array_equal(now, before)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
@pytest.mark.parametrize("targets", [SOFT, HARD])
def test_any_scale_of_the_activations(scale, targets):
    assert_solved(X * scale, targets)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_any_scale_with_labels_that_no_probe_can_separate(scale):
    labels = np.random.default_rng(0).integers(0, 2, size=(120, 2)).astype(float)
    assert_solved(X * scale, labels)


def test_features_of_very_different_scales():
    assert_solved(X * np.logspace(-6, 6, 6), SOFT)


@pytest.mark.parametrize("l2", [1e-3, 1e-6, 1e-9])
def test_separable_labels(l2):
    probes = assert_solved(X, (X[:, :1] > 3).astype(float), l2=l2)
    assert np.mean((probes.predict_proba(X) >= 0.5) == (X[:, :1] > 3)) == 1


@pytest.mark.parametrize("seed", range(3))
def test_separable_labels_with_almost_no_penalty(seed):
    # the solver promises a "relative optimality gap that every column reaches"
    x = np.random.default_rng(seed).normal(size=(200, 10))
    assert_solved(x, (x[:, :2] > 0).astype(float), l2=1e-12)
    assert_solved(x * 1e6, (x[:, :2] > 0).astype(float))


@pytest.mark.parametrize("seed", [4, 37, 46, 77, 121])
def test_activations_with_outliers(seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_t(1, size=(40, 15)) * 1e3
    assert_solved(x, rng.integers(0, 2, size=(40, 2)).astype(float))


@pytest.mark.parametrize("seed", [0, 108, 1038, 2645, 5093])
def test_steps_that_overshoot_do_not_end_in_a_certified_wrong_solution(seed):
    # rare targets, uneven weights, long tails: float32 steps may run off to a bias of 1e53
    rng = np.random.default_rng(seed)
    x = rng.standard_t(2, size=(12, 2)) * 1e3
    targets, weights = rng.random(12) ** 50, rng.exponential(size=12) ** 4
    probes = assert_solved(x, targets, weights=weights)
    of_zeros = objective(x, targets, weights, 1e-3, np.zeros(2), 0.0)
    found = objective(x, targets, weights, 1e-3, probes.coef[:, 0], probes.intercept[0])
    assert found < of_zeros


def test_more_features_than_rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 150))
    assert_solved(x, rng.integers(0, 2, size=(12, 3)).astype(float))
    assert_solved(x, rng.random((12, 3)))


def test_one_row_and_two_rows():
    one = assert_solved(X[:1], [0.3])
    np.testing.assert_allclose(one.predict_proba(X[:1]), [0.3], atol=1e-6)
    assert_solved(X[:2], [0.0, 1.0])


def test_one_row_of_weight_above_zero():
    weights = np.zeros(120)
    weights[5] = 3
    probes = assert_solved(X, SOFT[:, 0], weights=weights)
    assert probes.predict_proba(X)[5] == pytest.approx(SOFT[5, 0], abs=1e-5)


def test_a_constant_feature_gets_no_weight():
    probes = assert_solved(np.hstack([X, np.full((120, 1), 0.1)]), SOFT)
    np.testing.assert_allclose(probes.coef[-1], 0, atol=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, 1e-6, 3e-6, 1e-20])
def test_constant_activations_predict_the_mean(value):
    x = np.full((13, 3), value)
    probes = assert_solved(x, SOFT[:13])
    np.testing.assert_allclose(probes.predict_proba(x)[0], SOFT[:13].mean(axis=0), atol=1e-6)


def test_very_rare_classes():
    y = np.zeros((3000, 2))
    y[0, 0], y[1:, 1] = 1, 1
    assert_solved(np.random.default_rng(0).normal(size=(3000, 4)), y)
    assert_solved(X, np.full(120, 1e-12))


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("n", [1, 2, 3, 6, 7, 10, 49, 100, 120])
def test_columns_of_one_class_are_nan_with_the_reason(n, value):
    # 1/n summed n times is not always 1
    x = np.tile(X, (2, 1))[:n]
    y = np.stack([np.full(n, float(value)), np.linspace(0.2, 0.7, n)], axis=1)
    probes = fit_probes(x, y)
    assert probes.reason == (f"found only targets equal to {value}, expected both classes", "")
    assert np.isnan(probes.coef[:, 0]).all()
    assert np.isnan([probes.intercept[0], probes.gap[0]]).all()
    assert np.isnan(probes.predict_proba(x)[:, 0]).all()
    np.testing.assert_allclose(
        probes.predict_proba(x)[:, 1], fit_probes(x, y[:, 1]).predict_proba(x), atol=1e-3
    )


@pytest.mark.filterwarnings("error")
def test_columns_without_a_solution_do_not_warn():
    y = np.stack([np.ones(120), SOFT[:, 0], SOFT[:, 1]], axis=1)
    weights = np.stack([np.ones(120), np.zeros(120), np.ones(120)], axis=1)
    proba = fit_probes(X, y, weights=weights).predict_proba(X)
    assert np.isnan(proba).all(axis=0).tolist() == [True, True, False]


def test_one_class_among_the_rows_that_count_is_nan_with_the_reason():
    weights = np.where(HARD[:, 0] == 1, WEIGHTS[:, 0], 0)
    probes = fit_probes(X, HARD[:, 0], weights=np.stack([weights, WEIGHTS[:, 1]], axis=1))
    assert probes.reason == ("found only targets equal to 1, expected both classes", "")


def test_columns_without_weight_are_nan_with_the_reason():
    probes = fit_probes(X, SOFT[:, 0], weights=np.stack([np.zeros(120), np.ones(120)], axis=1))
    assert probes.reason == ("found no row with a weight above 0", "")
    assert np.isnan(probes.coef[:, 0]).all()
    assert np.isfinite(probes.coef[:, 1]).all()


def test_no_column_with_a_solution_is_degenerate():
    with pytest.raises(DegenerateError, match="found only targets equal to 0"):
        fit_probes(X, np.zeros(120))
    with pytest.raises(DegenerateError, match="found only targets equal to 1"):
        fit_probes(X[:10], np.ones(10))
    with pytest.raises(DegenerateError, match="found no row with a weight above 0"):
        fit_probes(X, SOFT, weights=np.zeros(120))


def test_columns_are_fitted_without_an_error_where_none_has_a_solution():
    probes = fit_columns(X, np.stack([np.zeros(120), np.ones(120)], axis=1))
    assert probes.reason == (
        "found only targets equal to 0, expected both classes",
        "found only targets equal to 1, expected both classes",
    )
    assert np.isnan(probes.coef).all()
    assert np.isnan(probes.predict_proba(X)).all()
    same, expected = (fit(X, SOFT, weights=WEIGHTS) for fit in (fit_columns, fit_probes))
    np.testing.assert_array_equal(same.coef, expected.coef)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": X[:, 0]}, "activations: found 1 dimensions"),
        ({"x": np.full((120, 6), np.nan)}, "activations: found 720 values that are NaN"),
        ({"targets": SOFT[:100]}, "targets: found 100 rows, expected 120 as in activations"),
        ({"targets": SOFT * 2}, r"targets: found values in .*expected \[0, 1\]"),
        ({"targets": SOFT - 1}, r"targets: found values in .*expected \[0, 1\]"),
        ({"targets": np.full(120, np.nan)}, "targets: found 120 values that are NaN"),
        ({"weights": np.ones(3)}, "weights: found 3 rows, expected 120 as in activations"),
        ({"weights": -np.ones(120)}, "weights: found -1, expected values of 0 or more"),
        ({"weights": np.full(120, np.inf)}, "weights: found 120 values that are NaN or infinite"),
        ({"weights": np.ones((120, 3))}, "weights: found 3 columns"),
        ({"targets": np.ones((120, 0))}, "targets: found none, expected one for each row"),
        ({"targets": SOFT[:, 0], "weights": np.ones((120, 0))}, "weights: found none, expected"),
        ({"x": np.ones((0, 6)), "targets": []}, "targets: found none"),
        ({"l2": 0.0}, "l2: found 0, expected a value above 0"),
        ({"l2": -1.0}, "l2: found -1, expected a value above 0"),
        ({"l2": np.nan}, "l2: found nan, expected a value above 0"),
        ({"l2": np.inf}, "l2: found inf, expected a value above 0"),
        ({"l2": "best"}, "l2: found best, expected a value above 0, or cv"),
        ({"device": "nothing"}, "device: found 'nothing' .*, expected cpu or a GPU"),
        ({"device": "cuda:99"}, "device: found 'cuda:99' .*, expected cpu or a GPU"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(changes, message):
    arguments = {"x": X, "targets": SOFT} | changes
    with pytest.raises(W2SError, match=message):
        fit_probes(arguments.pop("x"), arguments.pop("targets"), **arguments)


@pytest.mark.parametrize("scale", [1e-310, 1e-200, 1e-151])
def test_columns_too_small_for_float64_are_constant(scale):
    probes = fit_probes(X * scale, SOFT)
    np.testing.assert_array_equal(probes.coef, 0)
    np.testing.assert_allclose(expit(probes.intercept), SOFT.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("scale", [1e151, 1e300])
def test_columns_too_large_for_float64_are_refused(scale):
    with pytest.raises(W2SError, match=r"activations: found differences of .*, expected below"):
        fit_probes(X * scale, SOFT)


def test_predictions_are_sigmoids_of_the_logits():
    probes = fit_probes(X, SOFT)
    expected = expit(X @ probes.coef + probes.intercept)
    np.testing.assert_allclose(probes.predict_proba(X), expected, atol=1e-12)
    np.testing.assert_allclose(probes.predict_proba(X[:1]), expected[:1], atol=1e-12)
    assert probes.predict_proba(X[:0]).shape == (0, 4)
    single = fit_probes(X, SOFT[:, 0])
    assert single.predict_proba(X).shape == (120,)


def test_predictions_far_away_stay_probabilities():
    probes = fit_probes(X, HARD[:, 0])
    far = 1e8 * np.outer([-1, 1], probes.coef[:, 0])
    np.testing.assert_array_equal(probes.predict_proba(far), [0, 1])


def test_predictions_need_activations_as_fitted():
    probes = fit_probes(X, SOFT)
    with pytest.raises(W2SError, match="activations: found width 5, expected 6"):
        probes.predict_proba(X[:, :5])
    with pytest.raises(W2SError, match="NaN or infinite"):
        probes.predict_proba(np.full((1, 6), np.nan))


def test_probes_fit_soft_labels_better_than_hardened_ones():
    # the loss is on the soft labels themselves: hardening them gives another, worse solution
    soft, hardened = (
        fit_probes(X, y, l2=1e-6).predict_proba(X) for y in (SOFT[:, 0], np.round(SOFT[:, 0]))
    )
    assert np.mean((soft - SOFT[:, 0]) ** 2) < np.mean((hardened - SOFT[:, 0]) ** 2)
    assert logit(np.clip(hardened, 1e-9, 1 - 1e-9)).std() > logit(soft).std()


def test_more_columns_than_a_chunk_in_any_order():
    """Columns go to chunks by their rows in use; what comes back is in the order given."""
    rng = np.random.default_rng(0)
    sizes = rng.permutation(np.linspace(5, 120, 70).astype(int))
    weights = (rng.permuted(np.arange(120)[:, None].repeat(70, 1), axis=0) < sizes).astype(float)
    targets = np.clip(SOFT[:, :1] + rng.normal(scale=0.2, size=(120, 70)), 0, 1)
    probes = assert_solved(X, targets, weights=weights, l2=1e-2)
    for j in (0, 31, 32, 69):
        alone = fit_probes(X, targets[:, j], weights=weights[:, j], l2=1e-2)
        np.testing.assert_allclose(alone.coef[:, 0], probes.coef[:, j], atol=2e-3)


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_wide_matrices_with_mixes_of_all_sizes(penalty):
    rng = np.random.default_rng(0)
    n, d = 300, 1100
    x = rng.normal(size=(n, d)) * np.sqrt(100 / np.arange(1, d + 1)) + 3 * rng.normal(size=d)
    labels = expit((x - x.mean(0)) @ rng.normal(size=d) / 10)
    weights = rng.random((n, 6)) < np.linspace(0.1, 1, 6)
    targets = np.column_stack([labels, np.round(labels)] * 3)
    assert_solved(x.astype(np.float32), targets, weights=weights, l2=penalty)


@pytest.mark.parametrize(("l2", "least", "most"), [(1e-9, 10, 45), (1e-13, 10, 45)])
def test_separable_data_under_next_to_no_penalty_take_few_newton_steps(
    l2, least, most, monkeypatch
):
    steps = []
    real = np.linalg.lstsq
    monkeypatch.setattr(
        np.linalg, "lstsq", lambda *a, **options: steps.append(1) or real(*a, **options)
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 40)).astype(np.float32)
    y = (x @ rng.normal(size=40) > 0).astype(float)
    fitted = fit_probes(x, y, l2=l2)
    assert fitted.gap <= 1e-6
    assert least <= len(steps) <= most
    np.testing.assert_array_equal(fitted.predict_proba(x) > 0.5, y == 1)
