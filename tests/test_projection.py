"""Ridge projections without an n x n matrix: against the n x n formula, and what moves nothing."""

import numpy as np
import pytest

from w2s.arms import projection
from w2s.arms.projection import smoothed
from w2s.errors import DegenerateError


def full_smoother(x):
    """P of all rows as written: K (K + a tenth of its mean eigenvalue)^-1, K of centred rows."""
    rows = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    kernel = rows @ rows.T / len(rows)
    ridge = 0.1 * np.trace(kernel) / len(rows)
    return kernel @ np.linalg.inv(kernel + ridge * np.eye(len(rows)))


def rows_and_targets(n, d, seed=0):
    """Columns with eigenvalues like 1/i and a large common mean."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.sqrt(100 / np.arange(1, d + 1)) + 30
    return x.astype(np.float32), rng.normal(size=(n, 2))


def test_by_hand():
    x = np.array([[-1.0], [0.0], [1.0]])  # K has the eigenvalue 2/3, its mean is 2/9
    share = (2 / 3) / (2 / 3 + 0.1 * 2 / 9)
    found = smoothed(x, np.array([[0.0], [0.0], [1.0]]))[:, 0]
    np.testing.assert_allclose(found, np.array([-0.5, 0, 0.5]) * share, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("n", "d"), [(300, 7), (150, 140), (60, 200), (2, 3)])
def test_it_is_the_n_x_n_formula(n, d):
    x, y = rows_and_targets(n, d)
    expected = full_smoother(x) @ y
    np.testing.assert_allclose(
        smoothed(x, y), expected, rtol=0, atol=1e-10 * np.abs(expected).max()
    )


@pytest.mark.parametrize(("n", "d"), [(200, 12), (60, 90)])
def test_columns_with_training_sets_are_ridge_regressions_on_these(n, d):
    x, y = rows_and_targets(n, d)
    training = (np.random.default_rng(1).random((n, 2)) < [0.8, 0.5]).astype(float)
    found = smoothed(x, y, training=training)
    rows = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    for j in range(2):
        some = rows[training[:, j] == 1]
        m = len(some)
        kernel = some @ some.T / m + 0.1 * np.square(some).sum() / m**2 * np.eye(m)
        alone = rows @ some.T / m @ np.linalg.solve(kernel, y[training[:, j] == 1, j])
        np.testing.assert_allclose(found[:, j], alone, rtol=0, atol=1e-10 * np.abs(alone).max())


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1, 1e6, 1e30])
def test_scale_rotation_and_shift_move_nothing(scale):
    x, y = rows_and_targets(80, 10)
    x = x.astype(np.float64)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(10, 10)))[0]
    np.testing.assert_allclose(smoothed((x @ turn + 5) * scale, y), smoothed(x, y), atol=1e-9)


def test_columns_are_solved_as_if_alone_and_a_target_of_zeros_is_zero():
    x, y = rows_and_targets(90, 20)
    both = smoothed(x, np.column_stack([y, np.zeros(90)]))
    np.testing.assert_array_equal(both[:, 2], 0)
    np.testing.assert_allclose(both[:, 1], smoothed(x, y[:, 1:])[:, 0], atol=1e-11)


def test_constant_rows_give_zero_and_constant_columns_count_for_nothing():
    x, y = rows_and_targets(50, 4)
    np.testing.assert_array_equal(smoothed(np.full((50, 3), 0.1), y), 0)
    wider = np.column_stack([x, np.full(50, 7.3)])
    np.testing.assert_allclose(smoothed(wider, y), smoothed(x, y), atol=1e-11)
    np.testing.assert_array_equal(smoothed(x[:1], y[:1]), 0)


def test_steps_without_end_are_told(monkeypatch):
    x, y = rows_and_targets(70, 9)
    monkeypatch.setattr(projection, "MAX_STEPS", 1)
    with pytest.raises(DegenerateError, match="projection: found no solution in 1 steps"):
        smoothed(x, y)
