"""The single change point: by hand, by brute force, against ruptures, planted, and at limits."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
import ruptures
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reference.change_point import change_point as brute_force
from reference.change_point import split_costs

from w2s.errors import DegenerateError, W2SError
from w2s.overlap.scores import change_point

LIGHT = settings(max_examples=150)
small_integers = st.lists(st.integers(0, 12), min_size=4, max_size=12).filter(
    lambda values: min(values) < max(values)
)
any_floats = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=4, max_size=12).filter(
    lambda values: max(values) - min(values) > 1e-3
)


def rounding_cost(values):
    """Excess cost that the rounding of float64 in the values may make."""
    return 1e-12 + 1e-14 * np.abs(values).max() / np.ptp(values)


def excess_cost(values, threshold):
    """Cost of a threshold above the least one, relative to the cost without a split."""
    costs = split_costs(values)
    unsplit = np.var(values) * len(values)
    return (
        float(costs[min(costs, key=lambda t: abs(t - threshold))] - min(costs.values())) / unsplit
    )


BY_HAND = [
    ([0, 0, 0, 1, 1, 1], 1),
    ([0, 1, 10, 11], 10),  # 0.5 + 0.5, against 61.x for the other splits
    ([0, 1, 2, 9], 9),  # 2, against 38 and 25
    ([0, 7, 8, 9], 7),
    ([0.05, 0.1, 0.2, 0.8, 0.9, 0.95, 1.0], 0.8),
    ([-3, -2, 5, 6, 6, 6], 5),
    ([1, 0, 1, 0], 1),
    # of two equally good splits the first is taken
    ([0, 0, 1, 1, 2, 2], 1),
    ([0, 1, 2, 3], 2),
    ([0.4, 0.6, 0.6, 0.8], 0.6),  # 0.8 - 0.6 is not 0.6 - 0.4 in float64
    ([1000.4, 1000.6, 1000.6, 1000.8], 1000.6),
    # saturated values stay together
    ([0.2, 0.7, 0.9, *[1.0] * 100], 0.7),
    ([*[0.0] * 100, 0.1, 1.0], 1.0),
    *(([0.1, *[0.9] * (n - 1)], 0.9) for n in range(4, 10)),  # the shortest that are split
    *((np.array([1.0, 2.0, 3.0, 9.0, 11.0]) * scale, 9.0 * scale)
      for scale in (1e-300, 1e-6, 1e6, 1e150, 1e300, 2.0**1019)),
    ([1e308, 1.1e308, 1.2e308, 1.7e308], 1.7e308),  # as large as float64 holds
    ([-1.7e308, -1.6e308, 1.6e308, 1.7e308], 1.6e308),
    # small differences on a large common value
    (np.array([0, 1, 2, 3, 9, 10, 11, 12, 12, 13]) * 2.0**-20 + 2.0**20, 2.0**20 + 9 * 2.0**-20),
    *((np.array([0, 1, 8, 9], dtype), 8) for dtype in (np.float32, np.float64, np.int64)),
]  # fmt: skip


def test_by_hand(subtests):
    for values, threshold in BY_HAND:
        with subtests.test(str(values)):
            found = change_point(values)
            assert found == threshold
            assert isinstance(found, float)


def test_ties_of_many_values_are_those_of_their_counts():
    """Equal terms round alike, so the errors of a sum grow with its terms."""
    for n, sign in product((100, 10_000, 1_000_000), (-1, 1)):
        counts = [n // 10, n // 5, n // 5, n // 10]
        levels = sign * np.array([0.1, 0.4, 0.6, 0.9])
        assert change_point(np.repeat(levels, counts)) == np.sort(levels)[2]
        counts[1:3] = [2 * n // 5]  # now the splits on both sides of the middle are equally good
        levels = sign * np.array([0.1, 0.4, 0.7])
        assert change_point(np.repeat(levels, counts)) == np.sort(levels)[1]


@settings(max_examples=500)
@given(
    st.lists(st.integers(-12, 12), min_size=4, max_size=12).filter(lambda k: min(k) < max(k)),
    st.sampled_from([-1, 1]),
    st.integers(-20, 20),
    st.integers(-100_000, 100_000),
)
@example([4, 6, 6, 8], 1, 0, 0)
def test_ties_of_decimals_are_those_of_exact_arithmetic(tenths, sign, power, shift):
    exact = [Fraction(sign * k + shift, 10) * Fraction(2) ** power for k in tenths]
    values = np.array([(sign * k + shift) / 10 for k in tenths]) * 2.0**power
    assert change_point(values) == brute_force(exact)


def test_order_of_the_values_does_not_matter_and_they_are_not_changed():
    values = np.array([9.0, 0.0, 2.0, 1.0])
    before = values.copy()
    assert change_point(values) == change_point(values[::-1]) == 9
    np.testing.assert_array_equal(values, before)


@LIGHT
@given(small_integers)
def test_equals_brute_force_exactly_on_integers(values):
    assert change_point(values) == brute_force(values)


@LIGHT
@given(any_floats)
def test_cost_is_the_least_of_all_splits(values):
    threshold = change_point(values)
    assert threshold in values
    assert threshold > min(values)
    assert excess_cost(values, threshold) < rounding_cost(values)


@LIGHT
@given(small_integers, st.randoms(use_true_random=False))
def test_permutation_and_power_of_two_scale(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    assert change_point(shuffled) == change_point(values)
    assert change_point(np.array(values) * 0.25) == change_point(values) * 0.25


@LIGHT
@given(any_floats, st.floats(-1e3, 1e3), st.floats(0.01, 100))
def test_shifted_and_scaled_values_are_split_as_well(values, shift, scale):
    moved = np.array(values) * scale + shift
    if len(set(moved)) == len(set(values)):
        assert excess_cost(moved, change_point(moved)) < rounding_cost(moved)


@LIGHT
@given(small_integers)
def test_no_split_separates_equal_values(values):
    threshold = change_point(values)
    below, above = [v for v in values if v < threshold], [v for v in values if v >= threshold]
    assert below
    assert above
    assert not set(below) & set(above)


def test_neighbours_within_the_tolerance_are_not_separated():
    values = [0, 1, 1.25, 1.5, 3, 3.25]
    assert change_point(values) == 3
    assert change_point(values, tolerance=1.25) == 3
    assert change_point([0, 0, 4, 5, 6, 7], tolerance=1) == 4
    assert change_point([0, 1, 10, 12, 17], tolerance=8) == 10 == change_point([0, 1, 10, 12, 17])
    assert change_point([0, 9, 13, 14, 15, 24], tolerance=4) == 9
    assert change_point(values, tolerance=1.5) == 3  # 3 is more than 1.5 above 0, its group's first
    with pytest.raises(DegenerateError, match="equal values"):
        change_point(values, tolerance=3.25)
    with pytest.raises(DegenerateError, match="equal values"):
        change_point([1, 1 + 1e-9, 1 - 1e-9, 1], tolerance=1e-6)


@LIGHT
@given(small_integers, st.integers(0, 3))
def test_with_a_tolerance_the_best_of_the_allowed_splits_is_taken(values, tolerance):
    ordered = sorted(values)
    first, allowed = ordered[0], set()
    for value in ordered:
        if value - first > tolerance:  # a new group of values that count as equal
            first = value
            allowed.add(value)
    if not allowed:
        with pytest.raises(DegenerateError):
            change_point(values, tolerance=tolerance)
        return
    costs = split_costs(values)
    threshold = change_point(values, tolerance=tolerance)
    assert threshold in allowed
    least = min(costs[each] for each in allowed)
    assert float(costs[threshold]) == pytest.approx(float(least), abs=1e-9)


def test_equals_ruptures_on_distinct_values():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = np.sort(rng.beta(0.6, 0.5, size=int(rng.integers(10, 120))))
        assert len(set(values)) == len(values)
        fitted = ruptures.Binseg(model="l2", jump=1, min_size=1).fit(values)
        assert change_point(values) == values[fitted.predict(n_bkps=1)[0]]


def test_planted_gap_is_found():
    for n_low, n_high in ((50, 50), (5, 200), (200, 5), (1, 30), (30, 1)):
        rng = np.random.default_rng(n_low)
        low, high = 0.1 * rng.random(n_low), 0.9 + 0.1 * rng.random(n_high)
        assert change_point(rng.permutation(np.concatenate([low, high]))) == high.min()


def test_fault_thresholds_are_not_on_multiples_of_five():
    values = np.concatenate([np.linspace(0, 0.1, 7), np.linspace(0.9, 1, 9)])
    original = ruptures.Binseg(model="l2").fit(values).predict(n_bkps=1)[0]
    assert original % 5 == 0
    assert change_point(values) == values[7] != values[original]


def test_what_has_no_change_point(subtests):
    short = "found {} values, expected at least 4"
    equal = "found 10 equal values, expected a change"
    degenerate = [
        *((values, short.format(len(values))) for values in ([], [0.5], [0, 1], [0, 0, 1])),
        *(([value] * 10, equal) for value in (0.0, 0.1, 1.0, 1e6, 1e-6, -3.0)),
    ]
    refused = [
        *(
            ([0, 1, 2, bad], "1 values that are NaN or infinite")
            for bad in (np.nan, np.inf, -np.inf)
        ),
        (np.zeros((4, 4)), "dimensions"),
        (3.0, "dimensions"),
    ]
    for error, cases in ((DegenerateError, degenerate), (W2SError, refused)):
        for values, message in cases:
            with subtests.test(str(values)), pytest.raises(error, match=message):
                change_point(values)
    for tolerance in (-1.0, -1e-300, np.nan):
        with pytest.raises(W2SError, match=r"tolerance: found .*, expected 0 or more"):
            change_point([0.0, 0.1, 0.8, 0.9], tolerance=tolerance)
