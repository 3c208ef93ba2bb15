"""The cross-validated penalty: against fits one by one, folds, and limits."""

import numpy as np
import pytest
from reference.logistic import newton
from scipy.special import expit

from w2s.errors import DegenerateError, W2SError
from w2s.probes.columns import CANDIDATES, FOLDS, choose_l2, columns_of
from w2s.probes.probes import fit_columns, fit_probes
from w2s.probes.solver import Solver

RNG = np.random.default_rng(3)
X = RNG.normal(size=(90, 8))
SOFT = expit(X @ RNG.normal(size=(8, 2)) + RNG.normal(size=(90, 2)))
WEIGHTS = (RNG.random((90, 2)) < 0.7) * RNG.exponential(size=(90, 2))
NUMBER = RNG.permutation(90) % FOLDS


def chosen(y, weights=None, folds=NUMBER, **options):
    return choose_l2(Solver(X, "cpu"), columns_of(X, y, weights), folds, **options)


def losses_one_by_one(y, u, folds, l2):
    """Weighted mean BCE of every row under the fit without its fold, by Newton's method."""
    total = weight = 0.0
    for k in np.unique(folds):
        out = folds == k
        coef, bias = newton(X[~out], y[~out], u[~out], l2)
        logits = X[out] @ coef + bias
        total += u[out] @ (np.logaddexp(0, logits) - y[out] * logits)
        weight += u[out].sum()
    return total / weight


def test_losses_are_those_of_fits_one_by_one():
    penalty, losses = chosen(SOFT, WEIGHTS)
    assert losses.shape == (len(CANDIDATES), 2)
    for j in range(2):
        tried = np.flatnonzero(~np.isnan(losses[:, j]))
        expected = [
            losses_one_by_one(SOFT[:, j], WEIGHTS[:, j], NUMBER, CANDIDATES[i]) for i in tried
        ]
        np.testing.assert_allclose(losses[tried, j], expected, rtol=2e-4)
        assert penalty[j] == CANDIDATES[tried[np.argmin(expected)]]


def test_noise_gets_the_largest_penalty_after_all_are_tried_and_a_clear_column_a_smaller_one():
    noise = np.random.default_rng(0).integers(0, 2, 90)
    penalty, losses = chosen(noise)
    assert penalty[0] == CANDIDATES[0]
    assert not np.isnan(losses).any()
    clear = expit(6 * X @ np.ones(8))
    assert chosen(clear)[0][0] < chosen(np.random.default_rng(0).random(90))[0][0]
    both = chosen(SOFT, WEIGHTS)[0]
    for j in range(2):  # and columns do not influence each other
        assert chosen(SOFT[:, j], WEIGHTS[:, j])[0][0] == both[j]


def small_clean_direction(seed, n=200):
    """Rows (n, 20) whose first feature, the smallest by far, tells the label; labels; more rows."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 2 * n).astype(float)
    x = rng.normal(size=(2 * n, 20))
    x[:, 0] = 0.03 * (2 * y - 1) * (1 + 0.2 * rng.random(2 * n))
    return x[:n], y[:n], x[n:], y[n:]


@pytest.mark.parametrize("seed", range(5))
def test_fault_others_decided_where_the_search_of_a_column_ends(seed):
    """Losses rise with the noise that is fitted first, then the clean feature brings them down."""
    x, y, new, label = small_clean_direction(seed)
    rng = np.random.default_rng(100 + seed)
    noise = rng.integers(0, 2, (200, 2))
    easy = x[:, 1:5] @ rng.normal(size=(4, 2)) + 0.3 * rng.normal(size=(200, 2)) > 0
    targets = np.column_stack([y, noise, easy])
    folds = rng.permutation(200) % FOLDS
    planted = fit_probes(x, y, l2="cv", folds=folds)
    assert planted.l2[0] == CANDIDATES[-1]
    assert np.mean((planted.predict_proba(new) > 0.5) == label) > 0.95
    alone = [fit_probes(x, column, l2="cv", folds=folds).l2[0] for column in targets.T]
    for together in ([0, 1, 2], [0, 3, 4], [4, 3, 2, 1, 0]):
        found = fit_probes(x, targets[:, together], l2="cv", folds=folds)
        assert list(found.l2) == [alone[j] for j in together]


@pytest.mark.parametrize(("seed", "column"), [(58, 16), (113, 16), (142, 12), (276, 16)])
def test_fault_looser_fits_alone_than_together_decided_between_near_losses(seed, column):
    """Best losses .3 to .4 % apart: fits with a gap of 1e-4 chose one alone, another together."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(50, 80)) * np.exp(rng.normal(size=80))
    z = x @ rng.normal(size=(80, 20))
    y = expit(3 * rng.random(20) * z / z.std(axis=0) + rng.normal(size=(50, 20)))
    folds = rng.permutation(50) % FOLDS
    solver = Solver(x / x.std(), "cpu")
    together, losses = choose_l2(solver, columns_of(x / x.std(), y, None), folds)
    alone, own = choose_l2(solver, columns_of(x / x.std(), y[:, column], None), folds)
    assert alone[0] == together[column]
    np.testing.assert_allclose(losses[:, column], own[:, 0], rtol=3e-3)


def test_each_probe_is_fitted_with_its_own_penalty():
    targets = np.column_stack([SOFT, np.random.default_rng(0).random(90)])
    probes = fit_probes(X, targets, l2="cv", folds=NUMBER)
    assert len(set(probes.l2)) > 1
    assert (probes.gap <= 1e-6).all()
    for j in range(3):
        alone = fit_probes(X, targets[:, j], l2=float(probes.l2[j]))
        np.testing.assert_allclose(probes.coef[:, j], alone.coef[:, 0], atol=2e-3)
        assert probes.l2[j] == chosen(targets[:, j])[0][0]


def test_folds_at_random_are_the_same_each_time_and_a_fixed_penalty_is_reported():
    first, second = (fit_probes(X, SOFT, l2="cv") for _ in range(2))
    np.testing.assert_array_equal(first.coef, second.coef)
    probes = fit_columns(X, SOFT, weights=[[1, 0]] * 90, l2=0.5)
    np.testing.assert_array_equal(probes.l2, [0.5, np.nan])


def test_rows_that_belong_together_share_a_fold():
    """Copies of a row in other folds make overfitting look good; in the same fold they do not."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(40, 30)), 5, axis=0)
    y = np.repeat(rng.integers(0, 2, 40), 5)  # noise
    torn = fit_probes(x, y, l2="cv", folds=np.tile(np.arange(5), 40))
    kept = fit_probes(x, y, l2="cv", folds=np.repeat(np.arange(40) % 5, 5))
    assert torn.l2[0] < kept.l2[0]


def test_columns_without_folds_to_score_are_nan_with_the_reason():
    one_each = np.zeros(90)
    one_each[0] = 1
    weights = np.ones((90, 3))
    weights[2:, 1] = 0  # two rows, one of each class
    targets = np.column_stack([SOFT[:, 0], one_each, np.ones(90)])
    probes = fit_columns(X, targets, weights=weights, l2="cv", folds=np.arange(90) % 5)
    assert probes.reason[0] == ""
    assert probes.reason[1].startswith("found no fold to cross-validate on")
    assert probes.reason[2] == "found only targets equal to 1, expected both classes"
    assert np.isnan(probes.l2[1:]).all()
    assert np.isnan(probes.coef[:, 1:]).all()
    with pytest.raises(DegenerateError, match="no fold"):
        fit_probes(X, one_each, weights=weights[:, 1], l2="cv", folds=np.arange(90) % 5)


def test_bad_input_is_refused():
    with pytest.raises(W2SError, match="folds: found 3 rows, expected 90"):
        fit_probes(X, SOFT, l2="cv", folds=[0, 1, 2])
    with pytest.raises(W2SError, match="l2: found 0, expected a value above 0, or cv"):
        fit_probes(X, SOFT, l2=0)
