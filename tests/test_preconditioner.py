"""The first inverse Hessian: near the true one, positive, and the sketch's ridge as defined."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2s.probes.arrays import BLOCK, FEW, WIDE, backend
from w2s.probes.problem import (
    FEW_RANK,
    RANK,
    Dense,
    Preconditioner,
    Sketched,
    effective_ridge,
)

CURVATURE, L2 = 0.15, 1e-3
OPS = backend("cpu")


def rows_of(n, d, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, d)) * np.sqrt(10 / np.arange(1, d + 1))
    return (rows - rows.mean(axis=0)).astype(np.float32)


def equal_weights(n, *sizes):
    u = np.zeros((n, len(sizes)))
    for j, size in enumerate(sizes):
        u[:size, j] = 1 / size
    return u


def hessian(rows, ridge):
    wide = rows.astype(np.float64)
    return CURVATURE / len(rows) * wide.T @ wide + ridge * np.eye(rows.shape[1])


def test_narrow_matrices_get_the_inverse():
    rows = rows_of(200, 30)
    inverse = Preconditioner(OPS, rows, CURVATURE).inverse(L2, equal_weights(200, 50, 200))
    assert isinstance(inverse, Dense)
    product = inverse.times(hessian(rows, 2 * L2))
    np.testing.assert_allclose(product, np.eye(30), atol=1e-4)
    assert inverse.select([1]) is inverse
    assert inverse.single(OPS).matrix.dtype == np.float32


@pytest.fixture(scope="module")
def wide():
    """A wide matrix, its sketch for columns of 100, 400 and all rows, and its covariance."""
    rows = rows_of(700, WIDE)
    inverse = Preconditioner(OPS, rows, CURVATURE).inverse(L2, equal_weights(700, 100, 400, 700))
    assert isinstance(inverse, Sketched)
    return rows, inverse


def test_the_sketch_is_its_formula_and_the_same_in_float32_to_rounding(wide):
    inverse = wide[1]
    gradient = np.random.default_rng(1).normal(size=(WIDE, 3))
    found = inverse.times(gradient)
    for j in range(3):
        matrix = inverse.basis @ np.diag(inverse.change[:, j]) @ inverse.basis.T + np.eye(WIDE)
        np.testing.assert_allclose(found[:, j], matrix @ gradient[:, j] / inverse.ridge[j])
        assert np.linalg.eigvalsh(matrix).min() > 0
    part = inverse.select([2, 0])
    np.testing.assert_allclose(part.times(gradient[:, [2, 0]]), found[:, [2, 0]])
    narrow = gradient.astype(np.float32)
    single = inverse.single(OPS).times(narrow)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, inverse.times(narrow), rtol=1e-3, atol=1e-2)


def test_the_sketch_inverts_the_leading_directions_and_smaller_samples_get_larger_ridges(wide):
    rows, inverse = wide
    assert inverse.ridge[0] > inverse.ridge[1] > inverse.ridge[2] > 2 * L2
    value, vector = np.linalg.eigh(hessian(rows, 0))
    leading = vector[:, -10:]
    expected = leading[:, :, None] / (value[-10:, None] + inverse.ridge)  # (d, 10, 3)
    for i in range(10):
        found = inverse.times(np.repeat(leading[:, i : i + 1], 3, axis=1))
        assert np.abs(found - expected[:, i]).max() < 0.2 * np.abs(expected[:, i]).max()


@given(
    st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=8),
    st.floats(0, 1),
    st.integers(2, 500),
    st.floats(1e-6, 1),
)
def test_the_effective_ridge_solves_its_equation_or_meets_its_cap(value, left, rows, ridge):
    value, d = np.array(value), len(value) + 5
    share = np.array([0.0, 1 / rows])
    found = effective_ridge(value, left, d, ridge, share=share)
    freedom = (value / (value + found[:, None])).sum(1) + 5 * left / (left + found)
    assert found[0] == ridge  # the whole matrix is no sample
    assert found[1] >= ridge
    if share[1] * freedom[1] < 0.9:  # well away from more directions than rows
        np.testing.assert_allclose(found, ridge + share * freedom * found, rtol=1e-2)


def test_the_effective_ridge_is_that_of_a_sample():
    """The mean inverse of samples is that of the whole with the effective ridge, times a factor."""
    rng = np.random.default_rng(0)
    d, m, ridge = 60, 120, 0.05
    value = 1 / np.arange(1, d + 1)
    mean = np.zeros(d)
    for _ in range(300):
        x = rng.normal(size=(m, d)) * np.sqrt(value)
        mean += np.diag(np.linalg.inv(x.T @ x / m + ridge * np.eye(d))) / 300
    effective = effective_ridge(value, 0.0, d, ridge, share=np.array([1 / m]))[0]
    np.testing.assert_allclose(mean, effective / ridge / (value + effective), rtol=0.03)


@pytest.mark.parametrize("b", [1, 2, 7, 8, 63, 64, 70])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_of_wide_matrices_are_those_of_the_library(b, dtype):
    draw = np.random.default_rng(b)
    x = draw.normal(size=(2 * BLOCK + 3, WIDE)).astype(dtype)
    columns, other = (draw.normal(size=(size, b)).astype(dtype) for size in x.shape[::-1])
    out, near = np.empty((len(x), b), dtype=dtype), {"rtol": 1e-3, "atol": 1e-2}
    assert OPS.matmul(x, columns, out=out) is out
    np.testing.assert_allclose(out, x @ columns, **near)
    assert OPS.matmul(x, columns).tobytes() == out.tobytes()
    found = OPS.transposed(x, other)
    assert found.dtype == out.dtype == dtype
    np.testing.assert_allclose(found, x.T @ other, **near)


def test_many_columns_get_more_directions_and_each_rank_is_found_once():
    made = Preconditioner(OPS, rows_of(600, WIDE), CURVATURE)
    few = made.inverse(L2, equal_weights(600, 300, 600))
    many = made.inverse(L2, equal_weights(600, *[600] * (FEW + 1)))
    assert few.basis.shape[1] == FEW_RANK
    assert many.basis.shape[1] == RANK
    for found in (few, many):
        k = found.basis.shape[1]
        np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(k), atol=1e-6)
        assert (np.diff(found.change, axis=0) <= 0).all()  # larger eigenvalues change more
    assert made.inverse(2 * L2, equal_weights(600, 300)).basis is few.basis


def test_the_sketch_of_rows_of_few_directions_has_no_more():
    draw = np.random.default_rng(0)
    rows = (draw.normal(size=(300, 5)) @ draw.normal(size=(5, WIDE))).astype(np.float32)
    inverse = Preconditioner(OPS, rows, CURVATURE).inverse(L2, equal_weights(300, 300))
    assert inverse.basis.shape[1] == 5
    assert np.isfinite(inverse.times(rows[:1].T)).all()
    nothing = Preconditioner(OPS, 0 * rows, CURVATURE).inverse(L2, equal_weights(300, 9))
    assert np.isfinite(nothing.times(rows[:1].T)).all()
