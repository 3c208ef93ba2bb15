"""The Gaussian mixture: planted truth, closed forms, named streams, and limits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.bayes import bayes_accuracy
from scipy.stats import norm

from w2s.errors import W2SError
from w2s.results.metrics import REGIONS
from w2s.synthetic.mixture import (
    DESIGNS,
    FIXED,
    MIXTURES,
    SWEEPS,
    Design,
    draw_population,
    draw_populations,
    draw_sample,
    draw_samples,
    mixture,
    normal_cdf,
)
from w2s.synthetic.newton import fit_batch

LIGHT = settings(max_examples=40)
DESIGN = Design(d_easy=3, d_hard=2, variance=2.0)


def sample(counts, *, design=DESIGN, seed=0, repetition=0, part="train"):
    population = draw_population(design, seed=seed, repetition=repetition)
    return draw_sample(population, counts, seed=seed, repetition=repetition, part=part)


def batch(counts, repetitions, *, design=DESIGN, seed=0, part="train"):
    populations = draw_populations(design, seed=seed, repetitions=repetitions)
    drawn = draw_samples(populations, counts, seed=seed, repetitions=repetitions, part=part)
    return populations, drawn


def test_regions_have_the_right_zeroed_coordinates_and_the_weak_view_no_hard_one():
    drawn = sample((4, 5, 6))
    assert drawn.x.shape == (15, 5)
    assert drawn.x.dtype == np.float64
    assert drawn.label.dtype == np.int64
    np.testing.assert_array_equal(drawn.region, [0] * 4 + [1] * 5 + [2] * 6)
    assert list(drawn.names[[0, 4, 9]]) == list(REGIONS)
    there = np.repeat([[1, 0], [0, 1], [1, 1]], [4, 5, 6], axis=0) == 1  # easy and hard ones
    np.testing.assert_array_equal(drawn.x != 0, np.repeat(there, [3, 2], axis=1))
    np.testing.assert_array_equal(drawn.weak_part, drawn.x[:, :3])


def test_planted_mean_variance_and_class_balance():
    design = Design(2, 3, variance=0.7, saliency=1.5)
    population = draw_population(design, seed=3, repetition=4)
    drawn = draw_sample(population, (0, 0, 200_000), seed=3, repetition=4, part="train")
    signed = (2 * drawn.label - 1)[:, None] * drawn.x
    np.testing.assert_allclose(signed.mean(axis=0), population.theta * population.scale, atol=0.02)
    spread = np.cov(signed.T)
    expected = np.diag(0.7 * population.scale**2)
    np.testing.assert_allclose(spread, expected, atol=0.03)
    assert drawn.label.mean() == pytest.approx(0.5, abs=0.005)
    assert ((population.theta >= 0) & (population.theta <= 1)).all()


def test_thetas_are_uniform_and_differ_between_repetitions():
    theta = draw_populations(Design(), seed=0, repetitions=range(500)).theta
    assert theta.shape == (500, 40)
    assert theta.mean() == pytest.approx(0.5, abs=0.01)
    assert theta.var() == pytest.approx(1 / 12, abs=0.002)
    assert len(np.unique(theta)) == theta.size


def test_a_repetition_depends_neither_on_the_others_nor_on_their_number():
    _, whole = batch((3, 2, 4), range(6))
    _, some = batch((3, 2, 4), [4, 1])
    np.testing.assert_array_equal(some.x, whole.x[[4, 1]])
    np.testing.assert_array_equal(some.label, whole.label[[4, 1]])
    one = sample((3, 2, 4), repetition=4)
    np.testing.assert_array_equal(one.x, whole.x[4])
    np.testing.assert_array_equal(one.label, whole.label[4])
    np.testing.assert_array_equal(one.region, whole.region)


@LIGHT
@given(st.tuples(*[st.integers(0, 6)] * 3), st.tuples(*[st.integers(0, 6)] * 3))
def test_more_points_of_one_kind_leave_all_others_alone(counts, more):
    few, many = sample(counts), sample([a + b for a, b in zip(counts, more, strict=True)])
    for code in range(3):
        mine, theirs = few.region == code, many.region == code
        np.testing.assert_array_equal(few.x[mine], many.x[theirs][: mine.sum()])
        np.testing.assert_array_equal(few.label[mine], many.label[theirs][: mine.sum()])


def test_parts_seeds_and_kinds_are_independent():
    others = ({}, {"part": "pseudo"}, {"repetition": 1}, {"seed": 1})
    draws = [sample((50, 50, 50), **options) for options in others]
    values = [np.abs(d.x[d.x != 0]) for d in draws]
    assert len(np.unique(np.concatenate(values))) == sum(map(len, values))
    assert len({d.label.tobytes() for d in draws}) == 4


def test_saliency_scales_easy_coordinates_and_nothing_else():
    plain, salient = sample((3, 3, 3)), sample((3, 3, 3), design=Design(3, 2, 2.0, saliency=2.5))
    np.testing.assert_allclose(salient.x[:, :3], 2.5 * plain.x[:, :3])
    np.testing.assert_array_equal(salient.x[:, 3:], plain.x[:, 3:])
    np.testing.assert_array_equal(salient.label, plain.label)


@LIGHT
@given(st.integers(0, 10**6), st.floats(0.3, 3.0), st.floats(0.1, 9.0))
def test_no_rule_beats_the_bayes_rule_and_the_bayes_rule_reaches_it(seed, saliency, variance):
    design = Design(3, 2, variance, saliency)
    population = draw_population(design, seed=seed, repetition=0)
    best = bayes_accuracy(population)
    rule = population.theta / population.scale  # 2 theta / variance on unscaled coordinates
    np.testing.assert_allclose(population.accuracy(rule, 0.0), best, atol=1e-12)
    rng = np.random.default_rng(seed)
    other = population.accuracy(rng.normal(size=5), rng.normal())
    assert (other <= best + 1e-12).all()
    assert (other >= 0).all()


def test_accuracy_of_a_rule_is_the_share_of_points_it_gets_right():
    design = Design(3, 2, variance=2.0, saliency=1.7)
    population = draw_population(design, seed=1, repetition=0)
    coef, intercept = np.array([0.5, -0.2, 0.4, 0.8, 0.1]), 0.6
    drawn = draw_sample(population, (40_000,) * 3, seed=1, repetition=0, part="test")
    right = (drawn.x @ coef + intercept >= 0) == drawn.label
    counted = [right[drawn.region == code].mean() for code in range(3)]
    np.testing.assert_allclose(population.accuracy(coef, intercept), counted, atol=0.01)


def test_rules_without_coefficients_are_right_half_of_the_time():
    population = draw_population(DESIGN, seed=0, repetition=0)
    for intercept in (-np.inf, -1.0, 0.0, 2.0, np.inf):
        np.testing.assert_array_equal(population.accuracy(np.zeros(5), intercept), 0.5)
    easy_only = population.accuracy(np.array([1.0, 1, 1, 0, 0]), 0.0)
    assert easy_only[1] == 0.5
    assert easy_only[0] == easy_only[2] > 0.5
    assert np.isnan(population.accuracy(np.full(5, np.nan), np.nan)).all()


@pytest.mark.parametrize("saliency", [1.0, 3.0])
def test_a_ceiling_with_many_points_reaches_the_bayes_accuracy(saliency):
    design = Design(4, 3, variance=2.0, saliency=saliency)
    populations, train = batch((4000,) * 3, range(6), design=design)
    fits = fit_batch(train.x, train.label, l2=1e-6)
    gap = bayes_accuracy(populations) - populations.accuracy(fits.coef, fits.intercept)
    assert (gap > -1e-12).all()
    assert gap.max() < 0.002
    _, test = batch((3000,) * 3, range(6), design=design, part="test")
    logits = np.einsum("rnd,rd->rn", test.x, fits.coef) + fits.intercept[:, None]
    right = (logits >= 0) == test.label
    for code in range(3):
        mine = right[:, test.region == code]
        bayes = bayes_accuracy(populations)[:, code]
        error = np.sqrt(bayes * (1 - bayes) / mine.shape[1])
        assert (np.abs(mine.mean(axis=1) - bayes) < 4 * error + 0.002).all()


def test_sweeps_are_those_of_the_paper():
    assert set(SWEEPS) == set(DESIGNS) == {"first", "overlap", "easy", "hard"}
    assert (SWEEPS["overlap"][0], SWEEPS["overlap"][-1]) == ((100, 100, 5), (100, 100, 95))
    assert (SWEEPS["easy"][3], SWEEPS["hard"][3]) == ((20, 100, 10), (100, 20, 10))
    assert [len(SWEEPS[name]) for name in SWEEPS] == [10, 19, 19, 19]
    assert (SWEEPS["first"][0], SWEEPS["first"][-1]) == ((1000, 1000, 300), (100, 1000, 1200))
    assert {sum(counts) for counts in SWEEPS["first"]} == {2300}
    assert min(min(counts) for sweep in SWEEPS.values() for counts in sweep) > 0
    assert (DESIGNS["first"].d_easy, DESIGNS["first"].d_hard) == (10, 10)
    assert DESIGNS["overlap"] == Design(20, 20, 5.0, 1.0)


@LIGHT
@given(st.tuples(*[st.integers(0, 50)] * 3).filter(any))
def test_mixtures_add_up_to_one(counts):
    for name in MIXTURES:
        assert mixture(name, counts).sum() == pytest.approx(1)
    np.testing.assert_array_equal(mixture("fixed", counts), FIXED)
    np.testing.assert_allclose(mixture("moving", counts) * sum(counts), counts)


def test_normal_distribution_function():
    z = np.array([[-40.0, -1.96, 0.0], [0.3, 5.0, np.inf]])
    np.testing.assert_allclose(normal_cdf(z), norm.cdf(z), atol=1e-15)
    assert np.isnan(normal_cdf(np.array([np.nan]))[0])


REFUSED = [
    (lambda: Design(0, 3), "found 0 easy and 3 hard coordinates"),
    (lambda: Design(variance=0), "found variance 0"),
    (lambda: Design(saliency=math.nan), "saliency nan"),
    (lambda: sample((1, 2)), r"counts: found \[1, 2\]"),
    (lambda: sample((1, 2, -1)), "expected three counts of 0 or more"),
    (lambda: sample((1, 2, 0.5)), "expected three counts of 0 or more"),
    (lambda: mixture("own", (1, 1, 1)), "expected moving or fixed"),
    (lambda: mixture("moving", (0, 0, 0)), "found no point"),
]


def test_nothing_is_drawn_and_bad_input_is_refused(subtests):
    assert sample((0, 0, 0)).x.shape == (0, 5)
    populations, drawn = batch((1, 1, 1), [])
    assert populations.theta.shape == (0, 5)
    assert drawn.x.shape == (0, 3, 5)
    for call, message in REFUSED:
        with subtests.test(message), pytest.raises(W2SError, match=message):
            call()
