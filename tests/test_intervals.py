"""Intervals: by hand, against loops and scipy, planted coverage, and missing seeds and points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bootstrap import draws as loop_draws
from reference.bootstrap import mean_over_seeds
from scipy import stats

from w2s.errors import W2SError
from w2s.results.intervals import (
    Bootstrap,
    estimate,
    holm,
    interval,
    p_value,
    t_interval,
    t_p_value,
)
from w2s.results.rows import pgr_row
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


def drawing(*counts, seed=0, **options):
    """Draws of so many seeds and examples."""
    return Bootstrap.draw(*counts, np.random.default_rng(seed), **options)


def test_by_hand_with_masks_and_a_missing_row():
    correct = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 0]], [[np.nan] * 4]], dtype=np.float32)
    bootstrap = Bootstrap(
        seeds=np.array([[1, 1], [2, 0], [0, 2]], dtype=np.float32),
        examples=np.array([[1, 1, 1, 1], [0, 4, 0, 0], [2, 0, 1, 1]], dtype=np.float32),
    )
    found = estimate(correct[:2], everywhere(correct[:2]), bootstrap)
    np.testing.assert_allclose(found.mean, [0.5])
    np.testing.assert_allclose(found.draws[:, 0], [0.5, 0, 0.25])
    np.testing.assert_array_equal(found.n_seeds, [2])
    mask = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=bool)
    ones = [1, 1, 1, 1]
    bootstrap = Bootstrap(
        seeds=np.array([[1, 1, 1], [2, 1, 0], [1, 1, 1], [0, 0, 3]], dtype=np.float32),
        examples=np.array([ones, [3, 1, 0, 0], [0, 0, 3, 1], ones], dtype=np.float32),
    )
    found = estimate(correct, mask, bootstrap)
    np.testing.assert_allclose(found.mean, [0.5])
    # the second draw has no point of seed 1's mask, the third none of seed 0's, the last no seed
    np.testing.assert_allclose(found.draws[:, 0], [0.5, 0.75, 0.75, np.nan])
    np.testing.assert_array_equal(found.n_seeds, [2])


def test_counts_add_up_are_independent_and_seeded():
    for n_seeds, n in ((1, 1), (1, 50), (5, 1), (5, 300)):
        found = drawing(n_seeds, n, 200)
        assert found.seeds.shape == (200, n_seeds)
        assert found.examples.shape == (200, n)
        assert np.all(found.seeds.sum(axis=1) == n_seeds)
        assert np.all(found.examples.sum(axis=1) == n)
        assert min(found.seeds.min(), found.examples.min()) >= 0
        np.testing.assert_allclose(found.examples.mean(axis=0), 1, atol=0.45)
    found = drawing(20, 20, 4000)
    assert abs(np.corrcoef(found.seeds[:, 0], found.examples[:, 0])[0, 1]) < 0.06
    # Poisson-like: variance 1 - 1/n
    assert found.examples[:, 3].var() == pytest.approx(0.95, abs=0.1)
    one, again, other = (
        Bootstrap.draw(5, 40, 10, stream(0, "bootstrap", name)) for name in ("a", "a", "b")
    )
    np.testing.assert_array_equal(one.examples, again.examples)
    assert np.any(one.examples != other.examples)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 15))
def test_equals_the_loop(seed, n_seeds, n):
    correct, mask = case(seed, n_seeds=n_seeds, n=n)
    bootstrap = drawing(n_seeds, n, 12, seed=seed)
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


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_quarters_are_added_up_exactly_whatever_is_beside_them(seed):
    rng = np.random.default_rng(seed)
    quarters = rng.integers(-8, 9, (1, 3, 400))
    correct = (quarters / 4).astype(np.float32)
    bootstrap = drawing(1, 400, 20, seed=seed)
    alone = estimate(correct, everywhere(correct), bootstrap)
    total = bootstrap.examples.astype(np.int64) @ quarters[0].T  # (draws, rows)
    np.testing.assert_array_equal(alone.draws, np.round(total / 4 / 400, 12))
    thirds = np.concatenate([correct, (quarters[:, :1] / 3).astype(np.float32)], axis=1)
    beside = estimate(thirds, everywhere(correct), bootstrap)
    np.testing.assert_array_equal(beside.draws[:, :3], alone.draws)


@given(st.integers(0, 2**32 - 1))
def test_order_of_seeds_does_not_matter(seed):
    correct, mask = case(seed)
    bootstrap = drawing(3, 12, 20, seed=seed)
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
    mask = everywhere(correct)
    found = estimate(correct, mask, Bootstrap.draw(1, 500, 2000, rng))
    difference = found.draws[:, 0] - found.draws[:, 1]
    direct = estimate(correct[:, :1] - correct[:, 1:], mask, Bootstrap.draw(1, 500, 2000, rng))
    assert difference.std() == pytest.approx(direct.draws.std(), rel=0.15)
    assert difference.std() < 0.75 * np.hypot(*found.draws.std(axis=0))
    same = estimate(correct[:, [0, 0]], mask, Bootstrap.draw(1, 500, 50, rng))
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


def test_limits():
    one = np.ones((1, 1, 1), dtype=np.float32)
    found = estimate(one, everywhere(one), drawing(1, 1, 10))
    np.testing.assert_array_equal(found.mean, [1])
    np.testing.assert_array_equal(found.draws, np.ones((10, 1)))
    for value in (0.0, 1.0, np.float32(1 / 3)):  # constants have no spread
        correct = np.full((3, 2, 40), value, dtype=np.float32)
        found = estimate(correct, everywhere(correct), drawing(3, 40, 100))
        np.testing.assert_allclose(found.draws, value, atol=1e-6)
    # no seed with the row, no point in the mask
    for value, inside in ((np.nan, True), (1, False)):
        correct = np.full((2, 1, 5), value, dtype=np.float32)
        found = estimate(correct, np.full((2, 5), inside), drawing(2, 5, 10))
        assert np.isnan(found.mean).all()
        assert np.isnan(found.draws).all()
        assert found.n_seeds.tolist() == [0]


def test_a_missing_row_does_not_touch_the_others():
    correct, _ = case(0, missing=0)
    drawn = drawing(3, 12, 10)
    whole = estimate(correct, everywhere(correct), drawn)
    correct[1, 2, 7] = np.nan
    found = estimate(correct, everywhere(correct), drawn)
    np.testing.assert_array_equal(found.draws[:, [0, 1, 3]], whole.draws[:, [0, 1, 3]])
    assert found.n_seeds.tolist() == [3, 3, 2, 3]


def test_interval_by_hand():
    assert interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert interval(np.arange(101.0)[::-1], 0.95) == pytest.approx((2.5, 97.5))
    assert interval(np.array([3.0]), 0.95) == (3, 3)
    draws, normal = np.arange(1000.0), np.random.default_rng(0).normal(size=1000)
    draws[:25] = normal[:25] = np.nan  # a tail of 2.5 %
    low, high = interval(draws, 0.95)
    assert 25 < low < high < 1000
    assert p_value(1, normal) == pytest.approx(0.317, abs=0.03)
    assert math.isnan(p_value(1, normal, level=0.99))
    draws[25] = normal[25] = np.nan
    assert math.isnan(p_value(1, normal))
    for missing in (draws, np.full(10, np.nan)):
        assert all(math.isnan(bound) for bound in interval(missing, 0.95))


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.floats(0.5, 0.99))
def test_interval_is_ordered_and_grows_with_the_level(values, level):
    low, high = interval(np.array(values), level)
    assert min(values) <= low <= high <= max(values)
    wider = interval(np.array(values), 0.5 + level / 2)
    assert wider[0] <= low + 1e-9
    assert wider[1] >= high - 1e-9


def test_without_groups_and_restarts_counts_are_those_of_two_multinomials():
    single = np.arange(40)
    for groups in (None, single, single[::-1] * 3, np.array([f"q{i}" for i in single])):
        found = Bootstrap.draw(5, 40, 30, stream(0, "a"), groups=groups)
        rng = stream(0, "a")
        for n, dtype, counts in ((5, "float32", found.seeds), (40, "float64", found.examples)):
            expected = rng.multinomial(n, np.full(n, 1 / n), size=30).astype(dtype)
            assert counts.dtype == dtype
            assert counts.tobytes() == expected.tobytes()


def test_examples_of_a_group_are_drawn_together():
    groups = np.array([7, 3, 7, 7, 3, 9])
    found = drawing(2, 6, 3000, groups=groups)
    seven, three, nine = (found.examples[:, groups == g] for g in (7, 3, 9))
    for same in (seven, three):
        np.testing.assert_array_equal(same, same[:, [0]].repeat(same.shape[1], axis=1))
    # three groups of three are drawn, however large they are
    np.testing.assert_array_equal(seven[:, 0] + three[:, 0] + nine[:, 0], np.full(3000, 3))
    np.testing.assert_allclose(found.examples.mean(axis=0), 1, atol=0.05)
    alone = drawing(2, 3, 3000)
    np.testing.assert_array_equal(found.seeds, alone.seeds)
    np.testing.assert_array_equal(found.examples[:, [1, 0, 5]], alone.examples)
    found = drawing(3, 4, 50, groups=np.zeros(4))  # one group of all leaves the seeds only
    np.testing.assert_array_equal(found.examples, np.ones((50, 4)))
    assert len(np.unique(found.seeds, axis=0)) > 5
    with pytest.raises(W2SError, match="groups: found 3 rows, expected 4 as in examples"):
        drawing(3, 4, 50, groups=np.zeros(3))


def test_restarts_are_drawn_inside_their_seed():
    found, plain = drawing(4, 6, 4000, restarts=3), drawing(4, 6, 4000)
    units = found.seeds.reshape(4000, 4, 3)
    assert found.seeds.dtype == np.float32
    # a seed drawn k times has 3 k draws of its restarts; seeds and examples are those without
    np.testing.assert_array_equal(units.sum(axis=2), 3 * plain.seeds)
    np.testing.assert_array_equal(found.examples, plain.examples)
    once = units[plain.seeds[:, 0] == 1, 0]
    assert once[:, 0].var() == pytest.approx(2 / 3, abs=0.08)  # of three draws of one in three
    twice = units[plain.seeds[:, 0] == 2, 0]
    assert twice[:, 0].var() == pytest.approx(4 / 3, abs=0.2)
    one = drawing(4, 6, 4000, restarts=1)  # is none
    np.testing.assert_array_equal(one.seeds, plain.seeds)
    np.testing.assert_array_equal(one.examples, plain.examples)


def test_weights_by_hand():
    correct = np.array([[[1, 0, 1, 1]], [[0, 0, 1, 0]], [[1, 1, 1, 1]]], dtype=np.float32)
    weight = np.array([[1, 0.5, 0, 0.5], [0, 0.25, 0.75, 0], [0, 0, 0, 0]])
    bootstrap = Bootstrap(
        seeds=np.array([[1, 1, 1], [2, 1, 0]], dtype=np.float32),
        examples=np.array([[1, 1, 1, 1], [0, 2, 0, 2]], dtype=np.float32),
    )
    found = estimate(correct, weight, bootstrap)
    np.testing.assert_allclose(found.mean, [0.75])  # 1.5 / 2 and .75 / 1
    # of the second draw: 2 (.5 of .5 + .5) and 1 (0 of .25)
    np.testing.assert_allclose(found.draws[:, 0], [0.75, 1 / 3])
    np.testing.assert_array_equal(found.n_seeds, [2])


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_weights_groups_and_restarts_equal_the_loop(seed, n_seeds, restarts):
    correct, _ = case(seed, n_seeds=n_seeds * restarts)
    rng = np.random.default_rng(seed)
    weight = rng.random((n_seeds * restarts, 12)) * (rng.random(12) < 0.7)
    groups = rng.integers(0, 6, 12)
    bootstrap = Bootstrap.draw(n_seeds, 12, 12, rng, restarts=restarts, groups=groups)
    found = estimate(correct, weight, bootstrap)
    for row in range(4):
        expected = loop_draws(correct[:, row], weight, bootstrap.seeds, bootstrap.examples)
        np.testing.assert_allclose(found.draws[:, row], expected, atol=1e-6)


def test_the_same_weight_everywhere_is_a_mask():
    correct, _ = case(3)
    drawn = drawing(3, 12, 20)
    masked = estimate(correct, everywhere(correct), drawn)
    for weight in (True, 1.0, np.float32(0.5)):
        found = estimate(correct, np.full((3, 12), weight), drawn)
        np.testing.assert_array_equal(found.mean, masked.mean)
        np.testing.assert_array_equal(found.draws, masked.draws)


def test_p_value_by_hand():
    draws = np.array([-1.0, 1.0, -1.0, 1.0]) + 5
    assert p_value(1.959964, draws) == pytest.approx(0.05, abs=1e-6)
    assert p_value(-1.959964, draws) == p_value(1.959964, draws)
    assert p_value(0, draws) == 1
    assert p_value(3.290527, draws) == pytest.approx(0.001, abs=1e-6)
    for mean, values, expected in (
        (0.0, [0.0, 0.0, 0.0], 1),
        (0.5, [0.5, 0.5, 0.5], 0),
        (0.1, [0.1] * 3, 0),
        (math.nan, [0.0, 1.0], math.nan),
        (0.5, [math.nan, 0.0, 1.0], math.nan),
        (0.5, [math.nan, math.nan], math.nan),
    ):
        found = p_value(mean, np.array(values))
        assert found == pytest.approx(expected, nan_ok=True), (mean, values)


def test_p_value_and_interval_say_the_same():
    rng = np.random.default_rng(0)
    for mean in (0.1, 0.19, 0.2, 0.3):
        draws = rng.normal(mean, 0.1, 20_000)
        low, high = interval(draws, 0.95)
        assert (p_value(mean, draws) < 0.05) == (not low <= 0 <= high)


def test_holm_by_hand():
    nan = np.nan
    for p, expected in (
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.6, 0.5], [1, 1]),
        ([nan, 0.02, nan, 0.01], [nan, 0.02, nan, 0.02]),  # leaves out what is undefined
        ([nan] * 3, [nan] * 3),
        ([], []),
    ):
        np.testing.assert_allclose(holm(np.array(p)), expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_as_the_steps_do(p):
    adjusted = holm(np.array(p))
    assert np.all((adjusted >= np.array(p)) & (adjusted <= 1))
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(adjusted[order]) >= 0)
    rejected = 0  # Holm's own words: stop at the first that is not below alpha / (those left)
    while rejected < len(p) and p[order[rejected]] * (len(p) - rejected) <= 0.05:
        rejected += 1
    assert (adjusted <= 0.05).sum() == rejected


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=10), st.floats(0.5, 0.99))
def test_student_equals_scipy(values, level):
    values = np.round(values, 6)
    if np.ptp(values) == 0:
        return
    sem = stats.sem(values)
    expected = stats.t.interval(level, len(values) - 1, np.mean(values), sem)
    assert t_interval(values, level) == pytest.approx(expected)
    assert t_p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_student_by_hand():
    three, missing = np.array([1.0, 2.0, 3.0]), np.array([1.0, math.nan, 2.0, 3.0])
    # mean 2, standard error 1 / sqrt 3, 4.3027 of them
    assert t_interval(three, 0.95) == pytest.approx((-0.4841, 4.4841), abs=1e-4)
    assert t_interval(missing, 0.95) == t_interval(three, 0.95)
    assert t_p_value(missing) == t_p_value(three)
    for values in ([], [1.0], [1.0, 2.0], [1.0, 2.0, math.nan]):  # it needs three seeds
        assert all(math.isnan(bound) for bound in t_interval(np.array(values), 0.95))
        assert math.isnan(t_p_value(np.array(values)))
    assert t_interval(np.full(3, 0.3), 0.95) == pytest.approx((0.3, 0.3))  # seeds that agree
    assert t_p_value(np.full(3, 0.3)) == 0
    assert t_p_value(np.zeros(3)) == 1
    # sums in another order: nothing but the last digits differ
    assert t_p_value(np.array([0.1 + 0.2 - 0.3, 0.0, 0.0])) == 1


# --- how often intervals hold a planted truth -----------------------------------------------------
# benchmarks/coverage.py has more cases, with more repetitions


def probit(rng, accuracies, *, reps, seeds, groups, shares=(0.1, 0.4, 0.2), spread=0.0):
    """Correct points of models side by side, (seeds, reps, models, n); their accuracies are exact.

    What makes a point difficult has variance `shares` by group, by point, and by point for a model;
    all seeds have it in common. A seed moves the accuracy of each model by about `spread`.
    """
    n, models = len(groups), len(accuracies)
    mean = stats.norm.ppf(accuracies)[:, None]
    seed = (spread / stats.norm.pdf(mean[:, 0]))[:, None]
    z = mean + np.sqrt(shares[0]) * rng.standard_normal((reps, 1, groups.max() + 1))[..., groups]
    z = z + np.sqrt(shares[1]) * rng.standard_normal((reps, 1, n))
    z = z + np.sqrt(shares[2]) * rng.standard_normal((reps, models, n))
    rest = np.sqrt(1 - sum(shares) - seed**2)
    right = [
        z + seed * rng.standard_normal((reps, models, 1)) + rest * rng.standard_normal(
            (reps, models, n)
        ) > 0
        for _ in range(seeds)
    ]  # fmt: skip
    return np.array(right, dtype=np.float32)


def held(bounds, truth):
    """Share of the intervals that hold the truth; all must be defined."""
    assert np.isfinite(bounds).all()
    return np.mean([low <= truth <= high for low, high in bounds])


def bounds_of(values, bootstrap):
    """Intervals of values (seeds, reps, n)."""
    draws = estimate(values, everywhere(values), bootstrap).draws
    return [interval(column, 0.95) for column in draws.T]


def test_groups_hold_the_truth_where_single_points_do_not():
    groups = np.repeat(np.arange(60), 15)
    rng = stream(0, "test", "groups")
    # this variance of groups makes points of one group correlate by 0.1
    right = probit(rng, [0.72], reps=400, seeds=3, groups=groups, shares=(0.17, 0.4, 0))[:, :, 0]
    both = right[0].reshape(400, 60, 15)
    pairs = np.corrcoef(both[..., 0].ravel(), both[..., 1].ravel())[0, 1]
    assert pairs == pytest.approx(0.1, abs=0.02)
    found = {
        by is None: held(bounds_of(right, Bootstrap.draw(3, 900, 500, rng, groups=by)), 0.72)
        for by in (groups, None)
    }
    assert found[False] >= 0.90
    assert found[True] <= 0.85


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_student_holds_the_truth_where_the_bootstrap_over_seeds_does_not(n_seeds):
    rng = stream(0, "test", "student", str(n_seeds))
    values = rng.normal(1, 2, (1500, n_seeds))
    assert held([t_interval(each, 0.95) for each in values], 1) == pytest.approx(0.95, abs=0.015)
    drawn = Bootstrap.draw(n_seeds, 1, 500, rng)
    assert held(bounds_of(values.T[:, :, None], drawn), 1) <= 0.88
    small = np.mean([t_p_value(each - 1) < 0.05 for each in values])
    assert small == pytest.approx(0.05, abs=0.015)


def test_paired_differences_hold_the_truth_and_p_values_of_none_are_seldom_small():
    rng = stream(0, "test", "paired")
    right = probit(rng, [0.75, 0.7, 0.7], reps=300, seeds=5, groups=np.arange(500), spread=0.005)
    drawn = Bootstrap.draw(5, 500, 1000, rng)
    paired = right[:, :, 0] - right[:, :, 1]
    assert 0.93 <= held(bounds_of(paired, drawn), 0.05) <= 0.995
    # not because they are wide: unpaired ones, each with draws of its own, are wider
    other = Bootstrap.draw(5, 500, 1000, rng)
    sides = [
        estimate(right[:, :, i], everywhere(right[:, :, i]), by).draws.std(axis=0)
        for i, by in ((0, drawn), (1, other))
    ]
    widths = estimate(paired, everywhere(paired), drawn).draws.std(axis=0)
    assert np.mean(widths / np.hypot(*sides)) < 0.85
    none = right[:, :, 1] - right[:, :, 2]
    made = estimate(none, everywhere(none), drawn)
    p = [p_value(float(mean), draws) for mean, draws in zip(made.mean, made.draws.T, strict=True)]
    assert np.mean(np.array(p) < 0.05) <= 0.07
    assert np.mean(np.array(p) < 0.5) >= 0.3


def test_pgr_of_a_gap_of_a_tenth_is_held():
    rng = stream(0, "test", "pgr")
    right = probit(rng, [0.7, 0.75, 0.8], reps=200, seeds=5, groups=np.arange(600), spread=0.005)
    drawn = Bootstrap.draw(5, 600, 400, rng)
    mask = np.ones((5, 600), dtype=bool)
    rows = [pgr_row(right[:, i], mask, drawn, 0.95) for i in range(200)]
    bounds = [(row["pgr_lo"], row["pgr_hi"]) for row in rows]
    assert 0.92 <= held(bounds, 0.5) <= 0.995
    assert np.median([high - low for low, high in bounds]) < 0.8
