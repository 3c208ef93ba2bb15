"""Policies: indices by hand, a posterior that concentrates, and ties among available sources."""

import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from w2s.rng import stream
from w2s.selection.bandits import (
    INDICES,
    Chance,
    Seen,
    choose,
    greedy_index,
    original_index,
    thompson_index,
    ucb_index,
)
from w2s.selection.track import Policy

E2 = math.e**2  # a horizon with ln T = 2


def generators(k, seed=0, what="ties"):
    return [stream(seed, what, f"s{i}") for i in range(k)]


def chance(k, seed=0):
    return Chance(stream(seed, "coins"), generators(k, seed, "draws"), generators(k, seed, "ties"))


def seen(pulls, overlap, *, density=None, right_density=None):
    """What is known after batches of 10."""
    pulls, overlap = np.array(pulls, float), np.array(overlap, float)
    unknown = np.full(len(pulls), np.nan)
    known = [unknown if each is None else np.array(each) for each in (density, right_density)]
    return Seen(pulls, pulls * 10, overlap, *known)


def test_policies_are_those_of_the_configuration():
    assert tuple(INDICES) == get_args(Policy)


def test_indices_by_hand():
    np.testing.assert_array_equal(seen([2, 1, 0], [5, 10, 0]).means, [0.25, 1, 0])
    # ln T = 2: the bonus is sqrt(4 / n), and the original's 2 / n
    means, pulls = np.array([0.5, 0.25, 0.75]), np.array([1, 4, 16])
    np.testing.assert_allclose(ucb_index(means, pulls, horizon=E2), [2.5, 1.25, 1.25])
    np.testing.assert_allclose(original_index(means, pulls, horizon=E2), [2.5, 0.75, 0.875])
    # 2 ln 50 = 7.824046; / 9 = 0.8693384, the root of that 0.9323832
    found = ucb_index(np.array([0.1, 0.9]), np.array([9, 1]), horizon=50)
    np.testing.assert_allclose(found, [1.0323832, 3.6971497], atol=1e-6)
    for index in (ucb_index, original_index):
        # sources never pulled come first whatever their mean
        found = index(np.array([0.0, 1.0, 7.0]), np.array([0, 1, 0]), horizon=50)
        np.testing.assert_array_equal(np.isposinf(found), [True, False, True])
        # without a horizon to explore it is the mean
        found = index(np.array([0.2, 0.7]), np.array([3, 1]), horizon=1)
        np.testing.assert_array_equal(found, [0.2, 0.7])


def test_fault_the_bonus_is_the_root_of_the_whole_quotient():
    # the original divides by n outside the root, so that it stops exploring too early
    zero, pulls = np.zeros(5), np.array([1, 2, 5, 25, 50])
    bonus = ucb_index(zero, pulls, horizon=50)
    assert bonus == pytest.approx([math.sqrt(2 * math.log(50) / n) for n in pulls])
    assert bonus / original_index(zero, pulls, horizon=50) == pytest.approx(np.sqrt(pulls))


@given(st.floats(0, 1), st.integers(1, 1000), st.integers(2, 1000))
def test_bonus_falls_with_pulls_and_grows_with_the_horizon(mean, n, horizon):
    for index in (ucb_index, original_index):
        few, many = index(np.array([mean, mean]), np.array([n, n + 1]), horizon=horizon)
        assert few > many > mean - 1e-12
        longer = index(np.array([mean]), np.array([n]), horizon=horizon + 1)
        assert longer[0] >= few


def test_greedy_index_by_hand():
    means, pulls = np.array([0.2, 0.9, 0.0]), np.array([1, 3, 0])
    for coin, expected in ((0.1, [0.2, 0.9, np.inf]), (0.09, [0, 0, 0])):
        found = greedy_index(means, pulls, epsilon=0.1, coin=coin)
        np.testing.assert_array_equal(found, expected)


@given(st.floats(0, 1, exclude_max=True))
def test_greedy_is_never_random_with_epsilon_0_and_always_with_1(coin):
    means, pulls = np.array([0.2, 0.9]), np.array([1, 1])
    assert greedy_index(means, pulls, epsilon=0.0, coin=coin).tolist() == [0.2, 0.9]
    assert greedy_index(means, pulls, epsilon=1.0, coin=coin).tolist() == [0, 0]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=5), st.integers(0, 2**32 - 1))
def test_thompson_draws_are_densities(hits, seed):
    overlap = np.array(hits, float)
    draws = thompson_index(overlap, np.full(len(hits), 400.0), generators(len(hits), seed))
    assert draws.shape == (len(hits),)
    assert np.all((draws > 0) & (draws < 1))


def test_thompson_draws_follow_the_posterior():
    for hits, points in ((0, 0), (0, 16), (3, 16), (16, 16), (200, 1000)):
        rngs = [stream(0, "thompson", str(i)) for i in range(2000)]
        draws = thompson_index(np.full(2000, float(hits)), np.full(2000, float(points)), rngs)
        posterior = beta(1 + hits, 1 + points - hits)
        assert draws.mean() == pytest.approx(posterior.mean(), abs=4 * posterior.std() / 2000**0.5)
        for level in (0.1, 0.5, 0.9):  # +- 4.5 standard deviations of a share of 2000
            assert np.mean(draws <= posterior.ppf(level)) == pytest.approx(level, abs=0.05)


def test_thompson_concentrates_with_data():
    spread = []
    for points in (10, 1000, 100_000):
        rngs = [stream(0, "thompson", str(i)) for i in range(200)]
        draws = thompson_index(np.full(200, 0.3 * points), np.full(200, float(points)), rngs)
        spread.append(np.abs(draws - 0.3).max())
    assert spread[0] > 3 * spread[1] > 9 * spread[2]
    assert spread[2] < 0.01


def test_thompson_draw_of_a_source_depends_on_its_own_generator_only():
    hits, points = np.array([3.0, 5.0, 0.0]), np.array([10.0, 10.0, 0.0])
    draws = thompson_index(hits, points, generators(3))
    turned = thompson_index(hits[::-1], points[::-1], generators(3)[::-1])
    np.testing.assert_array_equal(turned[::-1], draws)


def test_every_policy_reads_what_it_should():
    pulls, overlap = [4, 1, 0], [10, 5, 0]
    known = seen(pulls, overlap, density=[0.3, 0.5, 0.1], right_density=[0.2, 0.1, 0.05])
    index = {name: policy(known, 50, 0.0, chance(3)) for name, policy in INDICES.items()}
    bonus = 2 * math.log(50)
    last = [0.5 + math.sqrt(bonus), np.inf]
    exact = {
        "oracle": [0.3, 0.5, 0.1],
        "label_oracle": [0.2, 0.1, 0.05],
        "random": [0, 0, 0],
        "epsilon_greedy": [0.25, 0.5, np.inf],
        "thompson": thompson_index(np.array(overlap), np.array([40, 10, 0]), chance(3).draws),
    }
    rounded = {
        "ucb": [0.25 + math.sqrt(bonus / 4), *last],
        "original": [0.25 + math.sqrt(bonus) / 4, *last],
    }
    assert index.keys() == exact.keys() | rounded.keys()
    for name, expected in exact.items():
        np.testing.assert_array_equal(index[name], expected)
    for name, expected in rounded.items():
        np.testing.assert_allclose(index[name], expected)
    for name in set(INDICES) - {"oracle", "label_oracle"}:  # only these know true densities
        for epsilon in (0.0, 0.1):
            told, untold = (
                INDICES[name](what, 50, epsilon, chance(3))
                for what in (known, seen(pulls, overlap))
            )
            np.testing.assert_array_equal(told, untold)


indices = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 1.0, math.inf]), st.booleans()), min_size=1, max_size=6
).filter(lambda sources: any(available for _, available in sources))


@given(indices, st.integers(0, 2**32 - 1))
def test_chosen_is_available_and_the_largest(sources, seed):
    index, available = (np.array(side) for side in zip(*sources, strict=True))
    k = choose(index, available, generators(len(index), seed))
    assert available[k]
    assert index[k] == max(i for i, free in sources if free)


def test_ties_are_broken_at_random_among_the_available_only():
    index = np.array([1.0, np.inf, 1.0, 0.5, 1.0, np.inf])
    available = np.array([True, False, True, True, True, False])
    counts = np.bincount(
        [choose(index, available, generators(6, seed)) for seed in range(600)], minlength=6
    )
    assert counts[[1, 3, 5]].tolist() == [0, 0, 0]
    np.testing.assert_allclose(counts[[0, 2, 4]], 200, atol=50)  # 4.3 standard deviations


@given(st.permutations(range(5)), st.integers(0, 2**32 - 1))
def test_the_order_of_the_sources_does_not_decide_a_tie(order, seed):
    index = np.array([0.0, 1.0, 1.0, 1.0, np.inf])
    available = np.array([True, True, True, True, False])
    first = choose(index, available, generators(5, seed))
    mixed = [generators(5, seed)[i] for i in order]
    second = choose(index[list(order)], available[list(order)], mixed)
    assert order[second] == first


def test_each_choice_takes_one_number_of_every_source():
    rngs, same = generators(3), generators(3)
    choose(np.array([0.0, 1.0, 0.0]), np.array([True, True, False]), rngs)
    assert [rng.random() for rng in rngs] == [(rng.random(), rng.random())[1] for rng in same]
    assert choose(np.array([-np.inf]), np.array([True]), generators(1)) == 0
