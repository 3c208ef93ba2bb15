"""The synthetic study: against scikit-learn one by one, what must hold, and limits."""

import numpy as np
import pytest
from reference.bayes import bayes_accuracy
from sklearn.linear_model import LogisticRegression

from w2s.errors import W2SError
from w2s.synthetic.mixture import Design, Population, draw_population, draw_sample, mixture
from w2s.synthetic.study import blocks, fit_rules, run_setting
from w2s.synthetic.track import RecipeConfig

SMALL = Design(4, 3, variance=2.0)
PLAIN = RecipeConfig()


def run(counts=(30, 20, 12), *, design=SMALL, recipe=PLAIN, seed=0, repetitions=range(8)):
    return run_setting(counts, design=design, recipe=recipe, seed=seed, repetitions=repetitions)


def weak_view(points):
    """What the weak model sees, with hard coordinates of 0."""
    view = points.x.copy()
    view[..., points.d_easy :] = 0
    return view


def one_by_one(counts, recipe, repetition):
    """Accuracies (3, 3) of one repetition by scikit-learn, the weak model on its whole view."""
    population = draw_population(SMALL, seed=0, repetition=repetition)
    train, pseudo = (
        draw_sample(population, counts, seed=0, repetition=repetition, part=part)
        for part in ("train", "pseudo")
    )
    options = {"tol": 1e-10, "max_iter": 5000}
    weak = LogisticRegression(C=recipe.c, **options).fit(weak_view(train), train.label)
    strong = LogisticRegression(C=recipe.c, **options).fit(train.x, train.label)
    used = np.isin(pseudo.names, recipe.w2s_on)
    labels = weak.predict(weak_view(pseudo)[used])
    w2s = LogisticRegression(C=recipe.w2s_c, **options).fit(pseudo.x[used], labels)
    return [population.accuracy(m.coef_[0], m.intercept_[0]) for m in (weak, strong, w2s)]


@pytest.mark.parametrize(
    "recipe", [RecipeConfig(), RecipeConfig(c=0.5, w2s_c=1.0, w2s_on=("easy", "hard", "overlap"))]
)
def test_equals_scikit_learn_one_repetition_after_another(recipe):
    found = run(recipe=recipe, repetitions=range(5))
    for repetition in range(5):
        if not found.constant[repetition].any():
            expected = one_by_one((30, 20, 12), recipe, repetition)
            np.testing.assert_allclose(found.region[repetition], expected, atol=2e-3)
    assert found.constant.sum() < 3


def test_a_repetition_depends_neither_on_the_others_nor_on_blocks(monkeypatch):
    whole = run(repetitions=range(9))
    for some in ([7, 2], [5]):
        part = run(repetitions=some)
        np.testing.assert_allclose(part.region, whole.region[some], atol=1e-12)
    monkeypatch.setattr("w2s.synthetic.study.BLOCK", 1000)
    np.testing.assert_allclose(run(repetitions=range(9)).region, whole.region, atol=1e-12)
    assert [list(b) for b in blocks(range(5), 400)] == [[0, 1], [2, 3], [4]]
    assert [list(b) for b in blocks(range(2), 10**9)] == [[0], [1]]


def test_the_same_twice_and_another_seed_or_soft_labels_differ():
    first = run()
    np.testing.assert_array_equal(first.region, run().region)
    assert (first.region != run(seed=1).region).any()
    hard, soft = (run(recipe=RecipeConfig(w2s_c=1.0, soft=soft)) for soft in (False, True))
    assert (hard.region[:, 2] != soft.region[:, 2]).any()
    np.testing.assert_array_equal(hard.region[:, :2], soft.region[:, :2])


def test_order_of_the_coordinates_does_not_matter():
    population = draw_population(SMALL, seed=0, repetition=0)
    points = draw_sample(population, (40, 40, 40), seed=0, repetition=0, part="train")
    order = np.array([2, 0, 3, 1, 6, 4, 5])  # within the easy and within the hard coordinates
    turned = Population(population.theta[order], SMALL)
    rules = [fit_rules(x[None], points.label[None], c=1.0) for x in (points.x, points.x[:, order])]
    np.testing.assert_allclose(rules[1].coef[0], rules[0].coef[0, order], atol=1e-8)
    np.testing.assert_allclose(
        turned.accuracy(rules[1].coef[0], rules[1].intercept[0]),
        population.accuracy(rules[0].coef[0], rules[0].intercept[0]),
        atol=1e-8,
    )


def test_with_many_points_the_models_reach_what_they_can():
    found = run((3000, 3000, 3000), repetitions=range(3), recipe=RecipeConfig(w2s_c=1e-4))
    populations = [draw_population(SMALL, seed=0, repetition=r) for r in range(3)]
    bayes = np.array([bayes_accuracy(p) for p in populations])
    weak, strong, w2s = np.moveaxis(found.region, 1, 0)
    np.testing.assert_allclose(strong, bayes, atol=0.004)
    np.testing.assert_allclose(weak[:, 0], bayes[:, 0], atol=0.004)
    np.testing.assert_array_equal(weak[:, 1], 0.5)
    np.testing.assert_allclose(weak[:, 2], weak[:, 0], atol=1e-12)
    assert (w2s[:, 1] > 0.6).all()  # hard points, which the weak model knows nothing about
    assert (w2s <= bayes + 1e-12).all()


def test_lands_on_published_means():
    """Original study, moving mixture, 100 easy, 100 hard and 25 overlap points."""
    found = run((100, 100, 25), design=Design(), repetitions=range(150))
    mean = found.region.mean(axis=0)  # (models, regions)
    overall = mean @ mixture("moving", (100, 100, 25))
    assert overall[0] == pytest.approx(0.685, abs=0.006)
    assert overall[1] == pytest.approx(0.834, abs=0.006)
    assert overall[2] == pytest.approx(0.709, abs=0.03)
    assert mean[2, 1] == pytest.approx(0.650, abs=0.03)


def test_more_overlap_points_help_on_hard_points_but_not_hard_ones_among_the_training_points():
    few, many = (run((100, 100, k), design=Design(), repetitions=range(40)) for k in (10, 80))
    assert (many.region - few.region)[:, 2, 1].mean() > 0.1
    assert few.label_accuracy.mean() == pytest.approx(0.8, abs=0.06)
    # to the weak model all hard points look the same, so they get one label
    recipe = RecipeConfig(w2s_c=1.0, w2s_on=("easy", "hard", "overlap"))
    found = run((100, 100, 40), design=Design(), recipe=recipe, repetitions=range(40))
    assert found.region[:, 2, 1].mean() == pytest.approx(0.5, abs=0.02)


def test_weak_labels_of_one_class_give_a_rule_that_always_says_it_and_no_points_none():
    found = run((20, 20, 1))
    assert found.constant[:, 2].all()
    np.testing.assert_array_equal(found.region[:, 2], 0.5)
    rules = fit_rules(np.ones((2, 3, 2)), np.array([[1.0, 1, 1], [0, 0, 0]]), c=1.0)
    np.testing.assert_array_equal(rules.proba(np.ones((2, 4, 2))), [[1] * 4, [0] * 4])
    soft = fit_rules(np.ones((1, 3, 2)), np.full((1, 3), 0.3), c=1.0)
    assert not soft.constant[0]
    found = run((20, 20, 0))  # without overlap points w2s is undefined
    assert np.isnan(found.region[:, 2]).all()
    assert np.isnan(found.label_accuracy).all()
    assert np.isfinite(found.region[:, :2]).all()


def test_bad_input_is_refused():
    for call, message in (
        (lambda: run(repetitions=[]), "found 0 repetitions"),
        (lambda: run((0, 0, 0)), "of 0 points"),
        (lambda: run((1, 2)), "three counts"),
    ):
        with pytest.raises(W2SError, match=message):
            call()
