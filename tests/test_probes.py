"""Probes: by hand, against Newton, scikit-learn and scipy, certified gaps, and limits."""

from itertools import product

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
ONE_CLASS = "found only targets equal to {}, expected both classes"


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


def test_certificates_hold_where_only_the_bias_is_wrong():
    x, y, u = np.zeros((10, 2)), np.linspace(0.1, 0.8, 10), np.full(10, 0.1)
    for away in (-50.0, -2.02, -0.6, -0.2, 0.0, 0.2, 0.6, 2.02, 2.2, 3.0, 50.0):
        start = np.array([[0.0], [0.0], [logit(y.mean()) + away]])
        theta, gap = certify(problem_of(x, y, u, 0.01), start)
        assert gap[0] >= true_gap(x, y, u, 0.01, theta[:-1, 0], theta[-1, 0]) - ROUNDING, away
        assert np.isfinite(gap[0]) == (abs(away) < 0.4), away  # the bound is proved for small steps


def test_by_hand():
    # without information: the logit of the mean
    probes = fit_probes(np.zeros((4, 2)), [0.0, 0.5, 1.0, 0.1], weights=[1, 2, 1, 0])
    np.testing.assert_allclose(probes.coef, 0, atol=1e-9)
    assert probes.intercept[0] == pytest.approx(0, abs=1e-6)
    probes = fit_probes(np.ones((4, 1)), [0.0, 1.0, 1.0, 1.0])
    assert probes.intercept[0] + probes.coef[0, 0] == pytest.approx(np.log(3), abs=1e-4)
    # x = 1 with label 1 and x = -1 with label 0: 1 - sigmoid(w) = 2 l2 w, and b = 0
    probes = fit_probes([[1.0], [-1.0]], [1.0, 0.0], l2=expit(-1.5) / 3)
    assert probes.coef[0, 0] == pytest.approx(1.5, abs=1e-3)
    assert probes.intercept[0] == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(probes.predict_proba([[0.0], [1.0]]), [0.5, expit(1.5)], atol=1e-3)
    # soft labels that a probe can meet are met
    x = np.linspace(-2, 2, 41)[:, None]
    probes = fit_probes(x, expit(1.5 * x[:, 0] - 0.5), l2=1e-9)
    assert probes.coef[0, 0] == pytest.approx(1.5, abs=1e-2)
    assert probes.intercept[0] == pytest.approx(-0.5, abs=1e-2)


@pytest.mark.parametrize("targets", [SOFT, HARD])
def test_solutions_are_those_of_newton(targets, subtests):
    for l2, weights in product((1e-1, 1e-3, 1e-5), (None, WEIGHTS)):
        with subtests.test(l2=l2, weighted=weights is not None):
            probes = assert_solved(X, targets, weights=weights, l2=l2)
            for j in range(4):
                u = None if weights is None else weights[:, j]
                coef, intercept = newton(X, targets[:, j], u, l2)
                found = X @ probes.coef[:, j] + probes.intercept[j]
                np.testing.assert_allclose(expit(found), expit(X @ coef + intercept), atol=2e-3)


@pytest.mark.parametrize("weights", [np.ones_like(WEIGHTS), WEIGHTS])
def test_hard_labels_are_fitted_as_by_scikit_learn(weights):
    l2 = 1e-2
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


def test_weights_count_rows():
    x, y = X.copy(), SOFT[:, 0].copy()
    x[60:], y[60:] = 1e3, 1.0
    probes = assert_solved(x, y, weights=np.repeat([1.0, 0.0], 60))
    alone = fit_probes(X[:60], SOFT[:60, 0])  # rows of weight 0 may hold anything
    np.testing.assert_allclose(probes.predict_proba(X), alone.predict_proba(X), atol=5e-3)
    weights = np.repeat([2.0, 1.0], [30, 90])
    weighted = fit_probes(X, SOFT[:, 0], weights=weights)
    repeated = fit_probes(np.vstack([X, X[:30]]), np.append(SOFT[:, 0], SOFT[:30, 0]))
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-3)
    once, thrice = fit_probes(X, SOFT), assert_solved(np.tile(X, (3, 1)), np.tile(SOFT, (3, 1)))
    np.testing.assert_allclose(thrice.predict_proba(X), once.predict_proba(X), atol=2e-3)


def test_shared_weights_and_shared_targets_are_broadcast():
    ours = fit_probes(X, SOFT, weights=WEIGHTS[:, 0])
    spelled_out = fit_probes(X, SOFT, weights=np.repeat(WEIGHTS[:, :1], 4, axis=1))
    np.testing.assert_allclose(ours.coef, spelled_out.coef, rtol=1e-9)
    many = fit_probes(X, SOFT[:, 0], weights=WEIGHTS)
    assert many.coef.shape == (6, 4)
    assert many.predict_proba(X).shape == (120, 4)


def test_the_bias_is_not_penalised_and_coefficients_are():
    shifted = assert_solved(X + 1000.0, SOFT, l2=0.1)
    probes = assert_solved(X, SOFT, l2=0.1)
    np.testing.assert_allclose(shifted.coef, probes.coef, atol=1e-3)
    strong = fit_probes(X, np.full(120, 0.9), l2=1e6)
    np.testing.assert_allclose(strong.predict_proba(X), 0.9, atol=1e-6)
    norms = [np.linalg.norm(fit_probes(X, HARD[:, 0], l2=l2).coef) for l2 in (1e-4, 1e-2, 1.0)]
    assert norms[0] > norms[1] > 5 * norms[2]


def hard_problems():
    """Name, activations, targets and options of problems that solvers fail on."""
    x, labels = heavy_tailed()
    for l2, y in product((1e-1, 1e-3, 1e-5), (labels, np.round(labels))):
        yield f"heavy tails and a large mean, {l2}", x, y, {"l2": l2}
    x, labels = heavy_tailed(seed=1)
    weights = (np.random.default_rng(0).random(labels.shape) < 0.2).astype(float)
    yield "mixes as weights", x.astype(np.float32), np.round(labels), {"weights": weights}
    for scale, y in product((1e-6, 1e-3, 1e3, 1e6), (SOFT, HARD)):
        yield f"scale {scale}", X * scale, y, {}
    coin = np.random.default_rng(0).integers(0, 2, size=(120, 2)).astype(float)
    for scale in (1e-6, 1e6):
        yield f"scale {scale}, not separable", X * scale, coin, {}
    yield "very different scales", X * np.logspace(-6, 6, 6), SOFT, {}
    for seed in range(3):  # almost no penalty
        x = np.random.default_rng(seed).normal(size=(200, 10))
        y = (x[:, :2] > 0).astype(float)
        yield f"separable {seed}", x, y, {"l2": 1e-12}
        yield f"separable and large {seed}", x * 1e6, y, {}
    for seed in (4, 37, 46, 77, 121):
        rng = np.random.default_rng(seed)
        x = rng.standard_t(1, size=(40, 15)) * 1e3
        yield f"outliers {seed}", x, rng.integers(0, 2, size=(40, 2)).astype(float), {}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 150))
    yield "wide, hard", x, rng.integers(0, 2, size=(12, 3)).astype(float), {}
    yield "wide, soft", x, rng.random((12, 3)), {}
    yield "two rows", X[:2], [0.0, 1.0], {}
    rng = np.random.default_rng(0)  # a wide matrix with mixes of all sizes
    n, d = 300, 1100
    x = rng.normal(size=(n, d)) * np.sqrt(100 / np.arange(1, d + 1)) + 3 * rng.normal(size=d)
    labels = expit((x - x.mean(0)) @ rng.normal(size=d) / 10)
    weights = rng.random((n, 6)) < np.linspace(0.1, 1, 6)
    targets = np.column_stack([labels, np.round(labels)] * 3)
    for l2 in (1e-3, 1e-1):
        yield f"mixes, {l2}", x.astype(np.float32), targets, {"weights": weights, "l2": l2}
    rare = np.zeros((3000, 2))
    rare[0, 0], rare[1:, 1] = 1, 1
    yield "rare classes", np.random.default_rng(0).normal(size=(3000, 4)), rare, {}
    yield "next to no positive", X, np.full(120, 1e-12), {}


def test_hard_problems_are_solved(subtests):
    for name, x, targets, options in hard_problems():
        with subtests.test(name):
            assert_solved(x, targets, **options)


def test_planted_direction_is_recovered():
    rng = np.random.default_rng(3)
    x, direction = rng.normal(size=(4000, 8)), np.array([2.0, -1, 0.5, 0, 0, 0, 0, 1])
    y = (rng.random(4000) < expit(x @ direction - 0.7)).astype(float)
    probes = fit_probes(x, y, l2=1e-6)
    np.testing.assert_allclose(probes.coef[:, 0], direction, atol=0.2)
    assert probes.intercept[0] == pytest.approx(-0.7, abs=0.15)


def test_dtypes_and_that_inputs_are_not_changed():
    for dtype in (np.float16, np.float32, np.float64):
        probes = assert_solved(X.astype(dtype), SOFT)
        assert probes.coef.dtype == probes.intercept.dtype == probes.gap.dtype == np.float64
        assert probes.predict_proba(X.astype(dtype)).dtype == np.float64
        np.testing.assert_allclose(probes.coef, fit_probes(X, SOFT).coef, atol=2e-2)
    expected = fit_probes(X, HARD[:, 0]).coef
    for dtype in (np.int64, np.bool_, np.float32):
        np.testing.assert_allclose(fit_probes(X, HARD[:, 0].astype(dtype)).coef, expected)
    x, y, weights = X.copy(), SOFT.copy(), WEIGHTS.copy()
    fit_probes(x, y, weights=weights)
    for now, before in ((x, X), (y, SOFT), (weights, WEIGHTS)):
        np.testing.assert_array_equal(now, before)


def test_separable_labels():
    for l2 in (1e-3, 1e-6, 1e-9):
        probes = assert_solved(X, (X[:, :1] > 3).astype(float), l2=l2)
        assert np.mean((probes.predict_proba(X) >= 0.5) == (X[:, :1] > 3)) == 1, l2


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


def test_one_row_alone_or_of_weight_above_zero():
    one = assert_solved(X[:1], [0.3])
    np.testing.assert_allclose(one.predict_proba(X[:1]), [0.3], atol=1e-6)
    probes = assert_solved(X, SOFT[:, 0], weights=3.0 * (np.arange(120) == 5))
    assert probes.predict_proba(X)[5] == pytest.approx(SOFT[5, 0], abs=1e-5)


def test_constants_get_no_weight(subtests):
    probes = assert_solved(np.hstack([X, np.full((120, 1), 0.1)]), SOFT)
    np.testing.assert_allclose(probes.coef[-1], 0, atol=1e-9)
    for value in (0.0, 0.1, 1e6, 1e-6, 3e-6, 1e-20):
        with subtests.test(value=value):
            x = np.full((13, 3), value)
            proba = assert_solved(x, SOFT[:13]).predict_proba(x)
            np.testing.assert_allclose(proba[0], SOFT[:13].mean(axis=0), atol=1e-6)
    for scale in (1e-310, 1e-200, 1e-151):  # too small for float64
        with subtests.test(scale=scale):
            probes = fit_probes(X * scale, SOFT)
            np.testing.assert_array_equal(probes.coef, 0)
            np.testing.assert_allclose(expit(probes.intercept), SOFT.mean(axis=0), atol=1e-6)


def test_columns_of_one_class_are_nan_with_the_reason(subtests):
    # 1/n summed n times is not always 1
    for n, value in product((1, 2, 3, 6, 7, 10, 49, 100, 120), (0, 1)):
        with subtests.test(n=n, value=value):
            x = np.tile(X, (2, 1))[:n]
            y = np.stack([np.full(n, float(value)), np.linspace(0.2, 0.7, n)], axis=1)
            probes = fit_probes(x, y)
            assert probes.reason == (ONE_CLASS.format(value), "")
            assert np.isnan(probes.coef[:, 0]).all()
            assert np.isnan([probes.intercept[0], probes.gap[0]]).all()
            proba, alone = (fit.predict_proba(x) for fit in (probes, fit_probes(x, y[:, 1])))
            assert np.isnan(proba[:, 0]).all()
            np.testing.assert_allclose(proba[:, 1], alone, atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_columns_that_weights_leave_without_a_class_or_a_row_are_nan_with_the_reason():
    one_class = np.where(HARD[:, 0] == 1, WEIGHTS[:, 0], 0)
    weights = np.stack([one_class, np.zeros(120), WEIGHTS[:, 1]], axis=1)
    probes = fit_probes(X, HARD[:, 0], weights=weights)
    assert probes.reason == (ONE_CLASS.format(1), "found no row with a weight above 0", "")
    for values in (probes.coef, probes.predict_proba(X)):
        assert np.isnan(values).all(axis=0).tolist() == [True, True, False]
        assert np.isfinite(values[:, 2]).all()


def test_columns_are_fitted_without_an_error_where_none_has_a_solution():
    probes = fit_columns(X, np.stack([np.zeros(120), np.ones(120)], axis=1))
    assert probes.reason == (ONE_CLASS.format(0), ONE_CLASS.format(1))
    assert np.isnan(probes.coef).all()
    assert np.isnan(probes.predict_proba(X)).all()
    same, expected = (fit(X, SOFT, weights=WEIGHTS) for fit in (fit_columns, fit_probes))
    np.testing.assert_array_equal(same.coef, expected.coef)


def test_inputs_that_do_not_fit_are_refused(subtests):
    degenerate = [
        ({"targets": np.zeros(120)}, "found only targets equal to 0"),
        ({"x": X[:10], "targets": np.ones(10)}, "found only targets equal to 1"),
        ({"weights": np.zeros(120)}, "found no row with a weight above 0"),
    ]
    refused = [
        ({"x": X[:, 0]}, "activations: found 1 dimensions"),
        *(
            ({"x": X * scale}, r"activations: found differences of .*, expected below")
            for scale in (1e151, 1e300)
        ),
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
    ]
    for error, cases in ((DegenerateError, degenerate), (W2SError, refused)):
        for changes, message in cases:
            arguments = {"x": X, "targets": SOFT} | changes
            with subtests.test(message), pytest.raises(error, match=message):
                fit_probes(arguments.pop("x"), arguments.pop("targets"), **arguments)


def test_predictions_are_sigmoids_of_the_logits():
    probes = fit_probes(X, SOFT)
    expected = expit(X @ probes.coef + probes.intercept)
    np.testing.assert_allclose(probes.predict_proba(X), expected, atol=1e-12)
    np.testing.assert_allclose(probes.predict_proba(X[:1]), expected[:1], atol=1e-12)
    assert probes.predict_proba(X[:0]).shape == (0, 4)
    assert fit_probes(X, SOFT[:, 0]).predict_proba(X).shape == (120,)
    with pytest.raises(W2SError, match="activations: found width 5, expected 6"):
        probes.predict_proba(X[:, :5])
    with pytest.raises(W2SError, match="NaN or infinite"):
        probes.predict_proba(np.full((1, 6), np.nan))
    probes = fit_probes(X, HARD[:, 0])
    far = 1e8 * np.outer([-1, 1], probes.coef[:, 0])
    np.testing.assert_array_equal(probes.predict_proba(far), [0, 1])


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


def test_separable_data_under_next_to_no_penalty_take_few_newton_steps(monkeypatch):
    steps = []
    real = np.linalg.lstsq
    monkeypatch.setattr(
        np.linalg, "lstsq", lambda *a, **options: steps.append(1) or real(*a, **options)
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 40)).astype(np.float32)
    y = (x @ rng.normal(size=40) > 0).astype(float)
    for l2 in (1e-9, 1e-13):
        steps.clear()
        fitted = fit_probes(x, y, l2=l2)
        assert fitted.gap <= 1e-6
        assert 10 <= len(steps) <= 45
        np.testing.assert_array_equal(fitted.predict_proba(x) > 0.5, y == 1)


def test_wide_columns_that_take_longest_go_on_with_their_rows_alone(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 1100)) * np.sqrt(100 / np.arange(1, 1101)) + rng.normal(size=1100)
    targets = rng.random((400, 5))
    weights = (rng.random((400, 5)) < [0.1, 0.3, 0.9, 1, 1]).astype(float)
    rows, of_rows = [], Problem.of_rows
    monkeypatch.setattr(
        Problem, "of_rows", lambda self, used: rows.append(used.sum()) or of_rows(self, used)
    )
    together = fit_probes(x, targets, weights=weights, l2=1e-3)
    assert rows
    assert max(rows) < 0.6 * 400
    assert (together.gap <= 1e-6).all()
    for j in range(5):
        alone = fit_probes(x, targets[:, j], weights=weights[:, j], l2=1e-3)
        gap = together.predict_proba(x)[:, j] - alone.predict_proba(x)
        assert np.abs(gap).max() < 0.05
