"""Bootstrap intervals: by hand, against a loop, planted coverage, and missing seeds and points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bootstrap import draws as loop_draws
from reference.bootstrap import mean_over_seeds

from w2s.evaluation.intervals import Bootstrap, estimate, interval
from w2s.rng import stream


def case(seed, *, n_seeds=3, n_rows=4, n=12, missing=0.2):
    """Correctness with missing rows, and masks that may be empty."""
    rng = np.random.default_rng(seed)
    correct = (rng.integers(0, 4, (n_seeds, n_rows, n)) / 3).astype(np.float32)
    correct[rng.random((n_seeds, n_rows)) < missing] = np.nan
    mask = rng.random((n_seeds, n)) < rng.choice([0.1, 0.5, 1.0])
    return correct, mask


def everywhere(correct):
    return np.ones((correct.shape[0], correct.shape[2]), dtype=bool)


def test_by_hand():
    correct = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 0]]], dtype=np.float32)
    bootstrap = Bootstrap(
        seeds=np.array([[1, 1], [2, 0], [0, 2]], dtype=np.float32),
        examples=np.array([[1, 1, 1, 1], [0, 4, 0, 0], [2, 0, 1, 1]], dtype=np.float32),
    )
    found = estimate(correct, everywhere(correct), bootstrap)
    np.testing.assert_allclose(found.mean, [0.5])
    np.testing.assert_allclose(found.draws[:, 0], [0.5, 0, 0.25])
    np.testing.assert_array_equal(found.n_seeds, [2])


def test_by_hand_with_masks_and_a_missing_row():
    correct = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 0]], [[np.nan] * 4]], dtype=np.float32)
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=bool)
    bootstrap = Bootstrap(
        seeds=np.array([[1, 1, 1], [2, 1, 0], [1, 1, 1], [0, 0, 3]], dtype=np.float32),
        examples=np.array(
            [[1, 1, 1, 1], [3, 1, 0, 0], [0, 0, 3, 1], [1, 1, 1, 1]], dtype=np.float32
        ),
    )
    found = estimate(correct, mask, bootstrap)
    np.testing.assert_allclose(found.mean, [0.5])
    # the second draw has no point of seed 1's mask, the third none of seed 0's, the last no seed
    np.testing.assert_allclose(found.draws[:, 0], [0.5, 0.75, 0.75, np.nan])
    np.testing.assert_array_equal(found.n_seeds, [2])


@pytest.mark.parametrize(("n_seeds", "n"), [(1, 1), (1, 50), (5, 1), (5, 300)])
def test_counts_add_up(n_seeds, n):
    found = Bootstrap.draw(n_seeds, n, 200, np.random.default_rng(0))
    assert found.seeds.shape == (200, n_seeds)
    assert found.examples.shape == (200, n)
    assert np.all(found.seeds.sum(axis=1) == n_seeds)
    assert np.all(found.examples.sum(axis=1) == n)
    assert min(found.seeds.min(), found.examples.min()) >= 0
    np.testing.assert_allclose(found.examples.mean(axis=0), 1, atol=0.45)


def test_counts_of_seeds_and_examples_are_independent():
    found = Bootstrap.draw(20, 20, 4000, np.random.default_rng(0))
    assert abs(np.corrcoef(found.seeds[:, 0], found.examples[:, 0])[0, 1]) < 0.06
    # Poisson-like: variance 1 - 1/n
    assert found.examples[:, 3].var() == pytest.approx(0.95, abs=0.1)


def test_fault_draws_are_seeded_and_differ_between_names():
    one, again, other = (
        Bootstrap.draw(5, 40, 10, stream(0, "bootstrap", name)) for name in ("a", "a", "b")
    )
    np.testing.assert_array_equal(one.examples, again.examples)
    assert np.any(one.examples != other.examples)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 15))
def test_equals_the_loop(seed, n_seeds, n):
    correct, mask = case(seed, n_seeds=n_seeds, n=n)
    bootstrap = Bootstrap.draw(n_seeds, n, 12, np.random.default_rng(seed))
    found = estimate(correct, mask, bootstrap)
    assert found.draws.shape == (12, 4)
    for row in range(4):
        expected = loop_draws(correct[:, row], mask, bootstrap.seeds, bootstrap.examples)
        np.testing.assert_allclose(found.draws[:, row], expected, atol=1e-6)
        mean = mean_over_seeds(correct[:, row], mask, range(n_seeds), range(n))
        assert found.mean[row] == pytest.approx(np.nan if mean is None else mean, nan_ok=True)
        known = np.isfinite(correct[:, row]).all(axis=1) & mask.any(axis=1)
        assert found.n_seeds[row] == known.sum()


def test_many_points_are_added_up_without_loss():
    rng = np.random.default_rng(0)
    correct = (rng.random((2, 1, 20_000)) < 0.9).astype(np.float32)
    bootstrap = Bootstrap.draw(2, 20_000, 3, rng)
    found = estimate(correct, everywhere(correct), bootstrap)
    expected = loop_draws(correct[:, 0], everywhere(correct), bootstrap.seeds, bootstrap.examples)
    np.testing.assert_allclose(found.draws[:, 0], expected, atol=1e-6)
    assert found.mean[0] == pytest.approx(correct.astype(np.float64).mean(), abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_order_of_seeds_does_not_matter(seed):
    correct, mask = case(seed)
    bootstrap = Bootstrap.draw(3, 12, 20, np.random.default_rng(seed))
    turned = Bootstrap(bootstrap.seeds[:, ::-1], bootstrap.examples)
    one, other = estimate(correct, mask, bootstrap), estimate(correct[::-1], mask[::-1], turned)
    np.testing.assert_allclose(other.mean, one.mean)
    np.testing.assert_allclose(other.draws, one.draws, atol=1e-6)


def test_differences_are_paired():
    # two rows that differ on a tenth of the points: far less spread than two independent rows
    rng = np.random.default_rng(0)
    first = (rng.random(500) < 0.6).astype(np.float32)
    second = first.copy()
    second[:50] = 1 - second[:50]
    correct = np.stack([first, second])[None]
    found = estimate(correct, everywhere(correct), Bootstrap.draw(1, 500, 2000, rng))
    difference = found.draws[:, 0] - found.draws[:, 1]
    direct = estimate(
        correct[:, :1] - correct[:, 1:], everywhere(correct), Bootstrap.draw(1, 500, 2000, rng)
    )
    assert difference.std() == pytest.approx(direct.draws.std(), rel=0.15)
    assert difference.std() < 0.75 * np.hypot(*found.draws.std(axis=0))
    same = estimate(correct[:, [0, 0]], everywhere(correct), Bootstrap.draw(1, 500, 50, rng))
    np.testing.assert_array_equal(same.draws[:, 0], same.draws[:, 1])


def test_planted_accuracy_is_covered_as_often_as_stated():
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        correct = (rng.random((1, 1, 200)) < 0.7).astype(np.float32)
        found = estimate(correct, everywhere(correct), Bootstrap.draw(1, 200, 400, rng))
        low, high = interval(found.draws[:, 0], 0.95)
        covered += low <= 0.7 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_planted_spread_of_seeds_widens_the_interval():
    rng = np.random.default_rng(0)
    accuracy = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    apart = (rng.random((5, 1, 400)) < accuracy[:, None, None]).astype(np.float32)
    alike = (rng.random((5, 1, 400)) < 0.7).astype(np.float32)
    drawn = Bootstrap.draw(5, 400, 2000, rng)
    stds = [estimate(c, everywhere(c), drawn).draws.std() for c in (apart, alike)]
    # seeds alone: the standard deviation of their mean, 0.141 / sqrt 5
    assert stds[0] == pytest.approx(0.063, abs=0.012)
    assert stds[1] < 0.5 * stds[0]


def test_one_seed_and_one_point():
    correct = np.ones((1, 1, 1), dtype=np.float32)
    found = estimate(
        correct, everywhere(correct), Bootstrap.draw(1, 1, 10, np.random.default_rng(0))
    )
    np.testing.assert_array_equal(found.mean, [1])
    np.testing.assert_array_equal(found.draws, np.ones((10, 1)))


@pytest.mark.parametrize("value", [0.0, 1.0, np.float32(1 / 3)])
def test_constant_correctness_has_no_spread(value):
    correct = np.full((3, 2, 40), value, dtype=np.float32)
    found = estimate(
        correct, everywhere(correct), Bootstrap.draw(3, 40, 100, np.random.default_rng(0))
    )
    np.testing.assert_allclose(found.draws, value, atol=1e-6)


def test_no_seed_with_the_row_is_nan():
    correct = np.full((2, 1, 5), np.nan, dtype=np.float32)
    drawn = Bootstrap.draw(2, 5, 10, np.random.default_rng(0))
    found = estimate(correct, everywhere(correct), drawn)
    assert np.isnan(found.mean).all()
    assert np.isnan(found.draws).all()
    assert found.n_seeds.tolist() == [0]


def test_no_point_in_the_mask_is_nan():
    correct = np.ones((2, 1, 5), dtype=np.float32)
    drawn = Bootstrap.draw(2, 5, 10, np.random.default_rng(0))
    found = estimate(correct, np.zeros((2, 5), dtype=bool), drawn)
    assert np.isnan(found.mean).all()
    assert np.isnan(found.draws).all()
    assert found.n_seeds.tolist() == [0]


def test_a_missing_row_does_not_touch_the_others():
    correct, _ = case(0, missing=0)
    drawn = Bootstrap.draw(3, 12, 10, np.random.default_rng(0))
    whole = estimate(correct, everywhere(correct), drawn)
    correct[1, 2, 7] = np.nan
    found = estimate(correct, everywhere(correct), drawn)
    for row in (0, 1, 3):
        np.testing.assert_array_equal(found.draws[:, row], whole.draws[:, row])
    assert found.n_seeds.tolist() == [3, 3, 2, 3]


def test_interval_by_hand():
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert interval(np.arange(101.0)[::-1], 0.95) == pytest.approx((2.5, 97.5))
    assert interval(np.array([3.0]), 0.95) == (3, 3)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.floats(0.5, 0.99))
def test_interval_is_ordered_and_grows_with_the_level(values, level):
    low, high = interval(np.array(values), level)
    assert min(values) <= low <= high <= max(values)
    wider = interval(np.array(values), 0.5 + level / 2)
    assert wider[0] <= low + 1e-9
    assert wider[1] >= high - 1e-9


def test_interval_with_missing_draws():
    draws = np.arange(1000.0)
    draws[:25] = np.nan  # a tail of 2.5 %
    low, high = interval(draws, 0.95)
    assert 25 < low < high < 1000
    draws[25] = np.nan
    assert all(math.isnan(bound) for bound in interval(draws, 0.95))
    assert all(math.isnan(bound) for bound in interval(np.full(10, np.nan), 0.95))
