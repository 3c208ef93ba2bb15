"""Stacked logistic regressions: by hand, against scikit-learn and the probes, and at limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from w2s.errors import W2SError
from w2s.probes.probes import fit_probes
from w2s.synthetic import newton
from w2s.synthetic.newton import MAX_STEPS, TOLERANCE

LIGHT = settings(max_examples=40)


def problems(count=7, n=40, d=5, seed=0, strength=1.0):
    """Rows (R, n, d), hard labels and soft labels (R, n)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, n, d)) * rng.uniform(0.5, 3, size=(count, 1, d)) + rng.normal()
    truth = strength * rng.normal(size=(count, d))
    soft = expit(np.einsum("rnd,rd->rn", x, truth) + rng.normal(size=(count, n)))
    return x, (rng.random(soft.shape) < soft).astype(float), soft


def fit_batch(x, y, l2=1e-3):
    return newton.fit_batch(x, y, l2=l2)


def logits_of(fits, x):
    return np.einsum("rnd,rd->rn", x, fits.coef) + fits.intercept[:, None]


def objective(x, y, coef, intercept, l2):
    logits = x @ coef + intercept
    loss = y * np.logaddexp(0, -logits) + (1 - y) * np.logaddexp(0, logits)
    return loss.mean() + l2 * coef @ coef


def test_by_hand():
    # without coordinates: the logit of the mean
    fits = fit_batch(np.zeros((2, 4, 3)), [[1, 0, 0, 0], [1, 1, 0.5, 0.5]])
    np.testing.assert_array_equal(fits.coef, np.zeros((2, 3)))
    np.testing.assert_allclose(fits.intercept, logit([0.25, 0.75]), atol=1e-12)
    # rows -1 and 1 with labels 0 and 1: the slope solves 2 l2 w = sigmoid(-w), the bias is 0
    w = 1.3
    fits = fit_batch([[[-1.0], [1.0]]], [[0, 1]], l2=expit(-w) / (2 * w))
    assert fits.coef[0, 0] == pytest.approx(w, abs=1e-3)
    assert fits.intercept[0] == pytest.approx(0, abs=1e-9)
    assert fits.gap[0] <= TOLERANCE


def test_equals_scikit_learn_one_after_another():
    x, hard, _ = problems()
    c = 0.7
    fits = fit_batch(x, hard, l2=1 / (2 * x.shape[1] * c))
    for r in range(len(x)):
        one = LogisticRegression(C=c, tol=1e-10, max_iter=2000).fit(x[r], hard[r])
        np.testing.assert_allclose(fits.coef[r], one.coef_[0], atol=5e-3)
        np.testing.assert_allclose(fits.intercept[r], one.intercept_[0], atol=5e-3)
        proba = expit(logits_of(fits, x)[r])
        np.testing.assert_allclose(proba, one.predict_proba(x[r])[:, 1], atol=2e-3)


def test_equals_the_probes_with_soft_labels():
    x, _, soft = problems(count=3)
    fits = fit_batch(x, soft, l2=3e-3)
    for r in range(3):
        one = fit_probes(x[r], soft[r], l2=3e-3)
        ours, theirs = (
            objective(x[r], soft[r], w, b, 3e-3)
            for w, b in ((fits.coef[r], fits.intercept[r]), (one.coef[:, 0], one.intercept[0]))
        )
        assert abs(ours - theirs) <= 2e-6 * theirs


def test_zeroed_coordinates_may_be_left_out():
    x, hard, _ = problems(count=4)
    wide = fit_batch(np.concatenate([x, np.zeros((4, 40, 3))], axis=2), hard)
    np.testing.assert_allclose(wide.coef[:, :5], fit_batch(x, hard).coef, atol=1e-9)
    np.testing.assert_array_equal(wide.coef[:, 5:], 0)


def test_a_problem_depends_neither_on_others_nor_on_blocks(monkeypatch):
    x, hard, _ = problems(count=9, seed=5)
    whole = fit_batch(x, hard)
    np.testing.assert_allclose(fit_batch(x[4:5], hard[4:5]).coef[0], whole.coef[4], atol=1e-12)
    for block in (1, 700, 10**9):
        monkeypatch.setattr(newton, "BLOCK", block)
        np.testing.assert_allclose(fit_batch(x, hard).coef, whole.coef, atol=1e-12)


@LIGHT
@given(
    st.integers(0, 10**6),
    st.integers(1, 30),
    st.integers(1, 8),
    st.floats(-5, 1),
    st.sampled_from([0.1, 1.0, 30.0]),
)
def test_certified_gap_holds_for_any_problem(seed, n, d, log_l2, strength):
    x, hard, soft = problems(2, n, d, seed, strength)
    l2 = 10.0**log_l2
    for y in (hard, soft):
        fits = fit_batch(x, y, l2=l2)
        for r in np.flatnonzero(fits.reason == ""):
            assert 0 <= fits.gap[r] <= TOLERANCE
            value = objective(x[r], y[r], fits.coef[r], fits.intercept[r], l2)
            p = expit(x[r] @ fits.coef[r] + fits.intercept[r])
            gradient = x[r].T @ (p - y[r]) / n + 2 * l2 * fits.coef[r]
            assert gradient @ gradient / (4 * l2) <= 2e-6 * value + 1e-12
            assert abs(np.mean(p - y[r])) < 1e-4


@LIGHT
@given(st.integers(0, 10**6), st.permutations(range(5)))
def test_order_of_coordinates_rows_and_problems_does_not_matter(seed, order):
    x, _, soft = problems(seed=seed)
    fits = fit_batch(x, soft)
    permuted = fit_batch(x[..., order], soft)
    np.testing.assert_allclose(permuted.coef, fits.coef[:, order], rtol=1e-6, atol=1e-8)
    turned = fit_batch(x[::-1, ::-1], soft[::-1, ::-1])
    np.testing.assert_allclose(turned.coef[::-1], fits.coef, rtol=1e-6, atol=1e-8)


def test_one_class_has_no_solution_but_the_others_do():
    x, hard, _ = problems(count=4)
    hard[0], hard[1] = 0, 1
    fits = fit_batch(x, hard)
    assert fits.reason.tolist() == [
        "found only targets equal to 0, expected both classes",
        "found only targets equal to 1, expected both classes",
        *("", ""),
    ]
    assert np.isnan(fits.coef[:2]).all()
    assert np.isnan(fits.intercept[:2]).all()
    assert np.isfinite(fits.coef[2:]).all()


def test_separable_data_with_hardly_any_penalty_are_solved():
    rows = np.random.default_rng(0).normal(size=(5, 12, 20))  # more coordinates than rows
    y = np.tile([0.0, 1.0], (5, 6))
    for scale in (1e-3, 1.0, 1e3):
        fits = fit_batch(scale * rows, y, l2=1e-8 * scale**2)
        assert (fits.reason == "").all()
        assert (fits.gap <= TOLERANCE).all()
        np.testing.assert_array_equal(logits_of(fits, scale * rows) > 0, y == 1)


def test_what_is_not_certified_is_nan_with_its_reason(monkeypatch):
    monkeypatch.setattr("w2s.synthetic.newton.MAX_STEPS", 1)
    x, hard, _ = problems(count=2)
    fits = fit_batch(x, hard, l2=1e-6)
    assert all(why.startswith("found no solution within 1e-06") for why in fits.reason)
    assert np.isnan(fits.coef).all()
    assert np.isnan(fits.intercept).all()
    assert MAX_STEPS > 1


def test_no_problem_no_coordinate_and_one_row():
    assert fit_batch(np.empty((0, 3, 2)), np.empty((0, 3))).coef.shape == (0, 2)
    fits = fit_batch(np.empty((2, 3, 0)), [[0, 1, 1], [0, 0, 1]])
    np.testing.assert_allclose(fits.intercept, logit([2 / 3, 1 / 3]), atol=1e-9)
    fits = fit_batch(np.ones((1, 1, 2)), [[0.3]])
    assert expit(logits_of(fits, np.ones((1, 1, 2)))[0, 0]) == pytest.approx(0.3, abs=1e-4)
    assert fit_batch(np.empty((1, 0, 2)), np.empty((1, 0))).reason[0].startswith("found only")


X, Y = np.zeros((2, 3, 1)), np.full((2, 3), 0.5)
BAD = {
    "x: found 2 dimensions": (X[0], Y, {}),
    "x: found 1 values that are NaN": (np.where(np.arange(6).reshape(X.shape), X, np.nan), Y, {}),
    r"targets: found \(2, 2\)": (X, Y[:, :2], {}),
    "targets: found values in": (X, Y * 3, {}),
    "l2: found 0, expected a number above 0": (X, Y, {"l2": 0}),
}


def test_bad_input_is_refused(subtests):
    for message, (x, y, options) in BAD.items():
        with subtests.test(message), pytest.raises(W2SError, match=message):
            fit_batch(x, y, **options)
