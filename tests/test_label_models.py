"""Label models: by hand, against Snorkel and a slow EM, planted votes, and at the limits."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from snorkel.labeling.model import LabelModel, MajorityLabelVoter

from w2s.errors import DegenerateError, W2SError
from w2s.weak_supervision import label_models
from w2s.weak_supervision.label_models import (
    FITS,
    SETTLED,
    fit_dawid_skene,
    fit_majority_vote,
    fit_snorkel,
    mean_coverage,
)
from w2s.weak_supervision.track import LABEL_MODELS

EVERY = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
NEED_THREE = pytest.mark.parametrize("fit", [fit_snorkel, fit_dawid_skene])
SEEDED = given(st.integers(0, 2**32 - 1))


def test_every_label_model_that_is_declared_has_a_fit():
    assert list(FITS) == list(LABEL_MODELS)


def matrix(seed, n=30, m=4):
    """Random votes; the last row has none, and the first LFs vote."""
    votes = np.random.default_rng(seed).integers(-1, 2, (n, m))
    votes[-1] = -1
    votes[0] = 1
    return votes


def planted(seed=0, n=4000, accuracy=(0.9, 0.75, 0.65, 0.7, 0.6), coverage=0.6, balance=0.5):
    """Votes that are independent given the label, and the label."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < balance).astype(int)
    right = rng.random((n, len(accuracy))) < accuracy
    votes = np.where(right, label[:, None], 1 - label[:, None])
    return np.where(rng.random(votes.shape) < coverage, votes, -1), label


# majority vote


def test_majority_vote_by_hand():
    votes = [[1, 1, 0], [0, -1, -1], [1, 0, -1], [-1, -1, -1], [1, -1, 1]]
    proba = fit_majority_vote(votes).predict_proba(votes)
    np.testing.assert_allclose(proba, [2 / 3, 0, 0.5, 0.5, 1])  # a tie and no vote: 1/2
    np.testing.assert_array_equal(fit_majority_vote([[1], [0], [-1]]).predict_proba([[0]]), [0])


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_majority_vote_is_snorkels(seed, m):
    votes = matrix(seed, m=m)
    proba = fit_majority_vote(votes).predict_proba(votes)
    peer = MajorityLabelVoter(cardinality=2).predict(votes, tie_break_policy="abstain")
    np.testing.assert_array_equal(np.where(proba == 0.5, -1, proba > 0.5), peer)


# Snorkel's label model


@settings(max_examples=10)
@SEEDED
def test_snorkel_is_the_package(seed):
    votes, others = matrix(seed, n=60), matrix(seed + 1)
    peer = LabelModel(cardinality=2, verbose=False)
    peer.fit(votes, n_epochs=50, seed=seed, progress_bar=False)
    found = fit_snorkel(votes, seed=seed, epochs=50)
    theirs = peer.predict_proba(others)[:, 1]  # in float32
    np.testing.assert_allclose(found.predict_proba(others), theirs, atol=1e-6)


def test_snorkel_is_quiet_gives_the_same_twice_and_settles_or_says_so(capfd):
    votes, _ = planted()
    first, second = fit_snorkel(votes[:300], seed=3), fit_snorkel(votes[:300], seed=3)
    assert capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(first.likelihood, second.likelihood)
    first = fit_snorkel(votes).predict_proba(votes)
    more = fit_snorkel(votes, seed=1, epochs=2000).predict_proba(votes)
    np.testing.assert_allclose(first, more, atol=0.01)
    votes, _ = planted(n=500, accuracy=(0.9,) * 200, coverage=1)
    with pytest.raises(DegenerateError, match="found a loss that is not finite"):
        fit_snorkel(votes)
    for seed in (-1, 2**32, 2**70):
        with pytest.raises(W2SError, match=f"seed: found {seed}, expected 0 to"):
            fit_snorkel(np.ones((4, 3), dtype=int), seed=seed)


@pytest.mark.parametrize(("coverage", "low", "high"), [(0.03, 0.02, 0.3), (0.3, 0, 0.01)])
def test_snorkel_depends_on_its_seed_where_votes_are_rare(coverage, low, high):
    votes, _ = planted(n=1500, accuracy=(0.95,) * 5, coverage=coverage)
    lone = np.where(np.eye(5) == 1, 1, -1)
    found = [fit_snorkel(votes, seed=seed).predict_proba(lone) for seed in range(3)]
    assert low <= np.ptp(found, axis=0).max() <= high
    assert (mean_coverage(votes) < SETTLED) == (low > 0)


def test_mean_coverage_leaves_out_what_never_votes():
    assert mean_coverage([[0, -1, -1], [1, -1, 1]]) == 0.75
    assert mean_coverage([[-1, -1]]) == 0


# Dawid and Skene


def slow_dawid_skene(votes, iterations):
    """EM by loops over points, LFs and classes, and the beliefs of each point."""
    belief = []
    for row in votes:
        said = [vote for vote in row if vote != -1]
        belief.append(sum(said) / len(said) if said else 0.5)
    for _ in range(iterations):
        prior = (sum(belief) + 1) / (len(belief) + 2)
        lfs = range(len(votes[0]))
        coin = {(j, y): slow_coin([r[j] for r in votes], belief, y) for j in lfs for y in (0, 1)}
        belief = [slow_belief(row, coin, prior) for row in votes]
    return [b if set(row) != {-1} else 0.5 for b, row in zip(belief, votes, strict=True)]


def slow_coin(column, belief, y):
    """P(vote 1 | y) of an LF."""
    count = [1.0, 1.0]
    for vote, b in zip(column, belief, strict=True):
        if vote != -1:
            count[vote] += b if y else 1 - b
    return count[1] / sum(count)


def slow_belief(row, coin, prior):
    """P(y = 1 | votes)."""
    joint = [1 - prior, prior]
    for j, vote in enumerate(row):
        for y in (0, 1):
            if vote != -1:
                joint[y] *= coin[j, y] if vote else 1 - coin[j, y]
    return joint[1] / sum(joint)


@settings(max_examples=25)
@SEEDED
def test_dawid_skene_is_the_slow_em(seed):
    votes = matrix(seed)
    found = fit_dawid_skene(votes)
    slow = slow_dawid_skene(votes.tolist(), len(found.objective))
    np.testing.assert_allclose(found.predict_proba(votes), slow, atol=1e-9)


def log_posterior(parameters, votes):
    """Log posterior density at logits of the prior and the coins, by its definition."""
    p = 1 / (1 + np.exp(-parameters))
    prior, coin = p[0], p[1:].reshape(-1, 2)  # (m, y)
    total = math.log(prior) + math.log(1 - prior) + np.log(coin * (1 - coin)).sum()
    for row in votes:
        joint = np.array([1 - prior, prior])
        for j, vote in enumerate(row):
            if vote != -1:
                joint = joint * (coin[j] if vote else 1 - coin[j])
        total += math.log(joint.sum())
    return total


def test_dawid_skene_ends_at_a_maximum_of_the_posterior():
    votes, _ = planted(n=150)
    found = fit_dawid_skene(votes)
    p = np.concatenate([[found.prior], found.likelihood[:, 1].ravel()])
    start = np.log(p / (1 - p))
    assert log_posterior(start, votes) == pytest.approx(found.objective[-1])
    peak = minimize(lambda z: -log_posterior(z, votes), start)
    assert -peak.fun == pytest.approx(found.objective[-1], rel=1e-6)


@settings(max_examples=25)
@SEEDED
def test_em_never_gets_worse_and_knows_no_class_by_its_name(seed):
    votes = matrix(seed)
    found = fit_dawid_skene(votes)
    objective = found.objective
    assert (np.diff(objective) >= -1e-9 * np.abs(objective[1:])).all()
    swapped = np.where(votes == -1, -1, 1 - votes)
    turned = fit_dawid_skene(swapped).predict_proba(swapped)
    np.testing.assert_allclose(turned, 1 - found.predict_proba(votes), atol=1e-6)


def test_dawid_skene_tells_enough_iterations_and_keeps_a_given_balance(monkeypatch):
    votes, _ = planted(balance=0.3)
    found = fit_dawid_skene(votes, balance=0.3)
    assert found.prior == 0.3
    np.testing.assert_allclose(found.predict_proba([[-1] * 5]), 0.3)
    with pytest.raises(W2SError, match="balance: found 1, expected a number between 0 and 1"):
        fit_dawid_skene(votes, balance=1)
    votes, _ = planted()
    assert fit_dawid_skene(votes).converged
    monkeypatch.setattr(label_models, "MAX_ITERATIONS", 2)
    assert not fit_dawid_skene(votes).converged


# planted truth


def test_planted_coins_and_balance_are_found():
    votes, _ = planted(n=20000, balance=0.35)
    found = fit_dawid_skene(votes)
    assert found.prior == pytest.approx(0.35, abs=0.04)
    accuracy = np.array([0.9, 0.75, 0.65, 0.7, 0.6])
    np.testing.assert_allclose(found.likelihood[:, 1, 1], accuracy, atol=0.05)
    np.testing.assert_allclose(found.likelihood[:, 0, 0], accuracy, atol=0.05)


@NEED_THREE
def test_a_model_that_knows_the_better_lf_beats_the_majority(fit):
    votes, label = planted(accuracy=(0.95, 0.6, 0.6, 0.6, 0.6), coverage=0.9)
    fresh, truth = planted(seed=1, accuracy=(0.95, 0.6, 0.6, 0.6, 0.6), coverage=0.9)

    def accuracy(model):
        return np.mean((model.predict_proba(fresh) >= 0.5) == truth)

    assert accuracy(fit(votes)) > accuracy(fit_majority_vote(votes)) + 0.05
    assert label.mean() == pytest.approx(0.5, abs=0.05)


@NEED_THREE
def test_probabilities_of_a_right_model_are_calibrated(fit):
    votes, label = planted(n=20000)
    proba = fit(votes).predict_proba(votes)
    for low in (0.1, 0.3, 0.5, 0.7):
        inside = (proba >= low) & (proba < low + 0.2)
        assert label[inside].mean() == pytest.approx(proba[inside].mean(), abs=0.07)


def test_silence_of_several_lfs_on_the_same_texts_is_no_class():
    votes, label = planted(accuracy=(0.75,) * 6, coverage=1)
    silent = np.random.default_rng(9).random(len(votes)) < 0.5  # has nothing to do with the label
    votes[silent, :5] = -1
    proba = fit_dawid_skene(votes).predict_proba(votes)
    assert np.mean((proba >= 0.5) == label) > 0.8
    assert abs(np.mean(proba[silent]) - np.mean(proba[~silent])) < 0.05


# limits


@EVERY
@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1))
def test_probabilities_lie_in_0_to_1_and_the_order_of_points_does_not_matter(fit, seed):
    votes, turn = matrix(seed), np.random.default_rng(seed).permutation(30)
    proba = fit(votes).predict_proba(votes)
    assert proba.shape == (30,)
    assert proba.dtype == np.float64
    assert 0 <= proba.min() <= proba.max() <= 1
    turned = fit(votes[turn]).predict_proba(votes[turn])
    np.testing.assert_allclose(turned, proba[turn], atol=1e-5)


@EVERY
def test_votes_are_fitted_on_one_half_and_applied_to_the_other(fit):
    votes, label = planted()
    model = fit(votes[:2000])
    alone = model.predict_proba(votes[2000:2001])
    np.testing.assert_allclose(alone, model.predict_proba(votes[2000:])[:1])
    assert np.mean((model.predict_proba(votes[2000:]) >= 0.5) == label[2000:]) > 0.7


@EVERY
def test_constant_columns_one_that_never_votes_and_few_points_do_no_harm(fit):
    votes, label = planted(accuracy=(0.9, 0.85, 0.8))
    more = np.column_stack([votes, np.ones(len(votes)), np.full(len(votes), -1)])
    proba = fit(more).predict_proba(more)
    assert np.mean((proba >= 0.5) == label) > 0.5
    for votes in (more, [[0, 1, 1]], np.eye(3)):
        assert np.isfinite(fit(votes).predict_proba(votes)).all()
    votes, _ = planted(balance=0.02, coverage=0.3)
    proba = fit(votes).predict_proba([[-1] * 5, [0] * 5])
    assert proba[0] == 0.5  # without votes, however lopsided those of others are
    assert proba[1] < 0.2


@EVERY
def test_votes_for_one_class_only_are_degenerate(fit):
    votes, _ = planted(n=300)
    for side in (0, 1):
        silent = np.where(votes == side, votes, -1)
        for unanimous in (silent, np.full((50, 4), side), np.full((1, 3), side)):
            with pytest.raises(DegenerateError, match=f"votes for class {side} only, expected"):
                fit(unanimous)
        silent[0] = 1 - side  # one point on the other side is enough to fit
        assert np.isfinite(fit(silent).predict_proba(silent)).all()


def test_no_vote_at_all_and_fewer_than_three_lfs():
    nothing = np.full((5, 4), -1)
    np.testing.assert_array_equal(fit_majority_vote(nothing).predict_proba(nothing), 0.5)
    for fit in (fit_snorkel, fit_dawid_skene):
        with pytest.raises(DegenerateError, match="found 0 labeling functions that vote"):
            fit(nothing)
        with pytest.raises(W2SError, match="2 labeling functions, expected at least 3") as caught:
            fit([[0, 1], [1, 1]])
        assert not isinstance(caught.value, DegenerateError)
        with pytest.raises(DegenerateError, match="2 labeling functions that vote, expected at"):
            fit([[0, 1, -1], [1, 1, -1]])


@EVERY
def test_bad_votes_are_refused(fit):
    with pytest.raises(W2SError, match="found the value 3, expected -1"):
        fit([[0, 1, 3]])
    with pytest.raises(W2SError, match="found 4 labeling functions, expected 3 as fitted"):
        fit([[0, 1, 1], [1, 0, 0]]).predict_proba(np.zeros((2, 4)))
