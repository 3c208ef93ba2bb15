"""Paths of all policies: equal to a plain loop, exact budgets, no influence, and their probes."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from reference.bandits import bandit
from reference.logistic import newton

from w2s.probes.probes import fit_columns, fit_probes
from w2s.rng import stream
from w2s.selection.paths import (
    UNTRAINED,
    Path,
    Plan,
    collected,
    rounds_possible,
    simulate,
    train_rounds,
)
from w2s.selection.sources import Source, supply
from w2s.selection.track import POLICIES

L2 = 1e-2


def streams(seed=0):
    return lambda *names: stream(seed, "selection", "cut", *names)


def market(sizes, densities, seed=0, rights=None):
    """Sources `a`, `b`, ... with round(size density) overlap points, at mixed positions."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    overlap, right = np.zeros((2, n), dtype=bool)
    rows = np.split(rng.permutation(n), np.cumsum(sizes)[:-1])
    rights = [0.8] * len(sizes) if rights is None else rights
    for mine, density, share in zip(rows, densities, rights, strict=True):
        overlap[mine[: round(density * len(mine))]] = True
        right[mine] = rng.random(len(mine)) < share
    names = "abcdefg"[: len(sizes)]
    sources = [Source(name, mine) for name, mine in zip(names, rows, strict=True)]
    return supply(sources, overlap, right), sources, right


def walk(policy, found, *, rounds=20, batch=4, repeat=0, seed=0, epsilon=0.1):
    plan = Plan(rounds, batch, epsilon)
    return simulate(policy, found, plan=plan, repeat=repeat, streams=streams(seed))


def names_of(path, found):
    return [found.names[k] for k in path.source]


markets = st.builds(
    lambda sides, seed: market(*zip(*sides, strict=True), seed=seed)[0],
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.1, 0.5, 0.5, 0.9, 1.0])),
        min_size=1,
        max_size=5,
    ),
    st.integers(0, 1000),
)  # many run dry within 20 rounds of 4
some_policy = st.sampled_from(sorted(POLICIES))


@given(st.sampled_from(["ucb", "original"]), markets, st.integers(0, 1000), st.integers(1, 30))
def test_paths_are_those_of_the_plain_loop(policy, found, seed, rounds):
    path = walk(policy, found, seed=seed, rounds=rounds)
    orders, numbers = {}, {}
    for name, rows in zip(found.names, found.rows, strict=True):
        orders[name] = streams(seed)("order", name, "repeat=0").permutation(sorted(rows)).tolist()
        rng = streams(seed)("ties", policy, name, "repeat=0")
        numbers[name] = iter(rng.random, None)
    expected = bandit(
        policy, orders, found.overlap.tolist(), rounds=rounds, batch=4, numbers=numbers
    )
    assert names_of(path, found) == [name for name, *_ in expected]
    assert path.rows.tolist() == [points for _, points, *_ in expected]
    np.testing.assert_allclose(path.density, [reward for *_, reward, _ in expected])
    np.testing.assert_allclose(path.regret, [regret for *_, regret in expected], atol=1e-12)


def test_paths_and_regret_by_hand():
    # a: 8 points, 2 of them overlap points; b: 4 points, all of them. Two points a round.
    found, _, _ = market([8, 4], [0.25, 1.0])
    path = walk("oracle", found, rounds=9, batch=2)
    assert names_of(path, found) == ["b", "b", "a", "a", "a", "a"]
    assert path.density[:2].tolist() == [1, 1]
    assert path.density[2:].sum() == 1  # 2 of 8, in batches of 2
    assert path.regret.tolist() == [0] * 6  # when b is dry, a is the best there is
    assert (path.policy, path.repeat) == ("oracle", 0)
    found, _, _ = market([40, 40, 0], [0.25, 0.75, 1.0])
    path = walk("random", found, rounds=12, batch=2)
    wrong = np.array(names_of(path, found)) == "a"
    assert 0 < wrong.sum() < 12
    np.testing.assert_allclose(path.regret, 0.5 * np.cumsum(wrong))


@given(some_policy, markets, st.integers(0, 1000), st.integers(1, 12), st.integers(1, 30))
def test_budget_is_exact_and_no_point_is_drawn_twice(policy, found, seed, batch, rounds):
    path = walk(policy, found, seed=seed, batch=batch, rounds=rounds)
    possible = rounds_possible(found, plan=Plan(rounds, batch))
    assert possible == min(rounds, sum(len(rows) // batch for rows in found.rows))
    assert path.rows.shape == (possible, batch)
    assert path.source.shape == path.density.shape == path.regret.shape == (possible,)
    drawn = path.rows.ravel().tolist()
    assert len(set(drawn)) == len(drawn) == possible * batch
    for k, rows, density in zip(path.source, path.rows, path.density, strict=True):
        assert set(rows.tolist()) <= set(found.rows[k].tolist())
        assert density == found.overlap[rows].mean()
    steps = np.diff(path.regret, prepend=0)
    assert np.all((steps >= -1e-12) & (steps <= 1))
    path = walk("oracle", found, seed=seed, batch=batch)
    assert path.regret.tolist() == [0] * len(path.source)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.5, 0.5, 1.0])),
        min_size=2,
        max_size=5,
    ),
    some_policy,
    st.randoms(use_true_random=False),
    st.integers(0, 1000),
)
def test_permuting_the_sources_permutes_the_result(sides, policy, random, seed):
    found, sources, right = market(*zip(*sides, strict=True))
    random.shuffle(sources)
    turned = supply(sources, found.overlap, right)
    first, second = (walk(policy, each, seed=seed, epsilon=0.4) for each in (found, turned))
    assert names_of(first, found) == names_of(second, turned)
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.regret, second.regret)


def test_the_order_of_the_points_in_a_source_does_not_matter():
    found, sources, right = market([40, 40], [0.2, 0.8])
    turned = supply([Source(s.name, s.rows[::-1]) for s in sources], found.overlap, right)
    np.testing.assert_array_equal(walk("ucb", found).rows, walk("ucb", turned).rows)


@given(st.integers(4, 100), st.floats(0, 1), st.integers(0, 100))
def test_with_one_source_all_policies_agree(size, density, seed):
    found, _, _ = market([size], [density])
    first, *others = (walk(policy, found, seed=seed) for policy in POLICIES)
    for other in others:
        np.testing.assert_array_equal(other.rows, first.rows)
        np.testing.assert_array_equal(other.density, first.density)
        assert other.regret.tolist() == [0] * len(first.source)


def test_planted_the_denser_of_two_sources_is_pulled_in_most_rounds():
    found, _, _ = market([1200, 1200], [0.1, 0.9])

    def shares(policy, **options):
        return [np.mean(walk(policy, found, seed=s, **options).source == 1) for s in range(20)]

    for policy in ("ucb", "thompson", "epsilon_greedy", "original"):
        most = shares(policy, rounds=50, batch=16)
        assert np.mean(most) > 0.8
        assert min(most) > 0.7
    assert 0.4 < np.mean(shares("random", rounds=50)) < 0.6


@pytest.mark.parametrize("policy", ["ucb", "original"])
def test_each_source_is_pulled_once_before_any_twice(policy):
    found, _, _ = market([40, 40, 2, 40], [0.1, 0.9, 1.0, 0.5])  # the third holds no batch
    for seed in range(10):
        path = walk(policy, found, rounds=8, seed=seed)
        assert sorted(path.source[:3].tolist()) == [0, 1, 3]
    firsts = {walk(policy, found, seed=seed).source[0] for seed in range(40)}
    assert firsts == {0, 1, 3}


def test_regret_of_ucb_lies_between_those_of_the_oracle_and_of_random_pulls():
    found, _, _ = market([900] * 4, [0.2, 0.4, 0.6, 0.8])
    final = {
        policy: np.mean([walk(policy, found, rounds=50, batch=16, seed=s).regret[-1]
                         for s in range(10)])
        for policy in POLICIES
    }  # fmt: skip
    assert final["oracle"] == 0
    assert 0 < final["ucb"] < 0.8 * final["random"]
    assert final["random"] == pytest.approx(50 * 0.3, rel=0.15)
    # the published bonus explores less
    assert final["original"] < final["ucb"]


def test_epsilon_is_the_share_of_random_pulls():
    found, _, _ = market([3000, 3000], [0.0, 1.0])
    for epsilon in (0.0, 0.4, 1.0):
        shares = [
            np.mean(walk("epsilon_greedy", found, rounds=200, epsilon=epsilon, seed=s).source == 0)
            for s in range(5)
        ]
        assert np.mean(shares) == pytest.approx(epsilon / 2, abs=0.05)


def test_the_label_oracle_pulls_where_overlap_points_have_right_labels():
    found, _, _ = market([40, 40], [0.9, 0.5], rights=[0.1, 1.0])
    assert names_of(walk("oracle", found, rounds=10), found) == ["a"] * 10
    path = walk("label_oracle", found, rounds=10)
    assert names_of(path, found) == ["b"] * 10
    np.testing.assert_allclose(path.regret, 0.4 * np.arange(1, 11))


def test_a_dry_source_is_not_available_and_the_path_ends_with_the_last():
    found, _, _ = market([11, 6, 3], [0.5, 0.5, 1.0])
    empty, _, _ = market([3, 2], [0.5, 0.5])
    assert rounds_possible(found, plan=Plan(50, 4)) == 3
    assert rounds_possible(empty, plan=Plan(20, 4)) == 0
    for policy in POLICIES:
        path = walk(policy, found, rounds=50)
        assert sorted(names_of(path, found)) == ["a", "a", "b"]  # 3, 2 and 3 points are left over
        path = walk(policy, empty)
        assert path.rows.shape == (0, 4)
        assert path.source.shape == path.density.shape == path.regret.shape == (0,)


def test_fault_draws_of_seeds_and_repeats_do_not_share_randomness():
    found, _, _ = market([400, 400], [0.1, 0.9])
    for policy in POLICIES:
        one, same, repeat, seed = (
            set(walk(policy, found, **changes).rows.ravel().tolist())
            for changes in ({}, {}, {"repeat": 1}, {"seed": 1})
        )
        assert one == same
        assert len(one) == 80
        for other in (repeat, seed):  # at most 80 of 400 points of a source: 16 shared on average
            assert len(one & other) < 32


def test_policies_differ_in_what_they_pull_and_not_in_luck():
    """Each source hands out the same points in the same order to every policy."""
    found, _, _ = market([40, 40], [0.3, 0.6])
    handed = {}
    for policy in POLICIES:
        path = walk(policy, found, rounds=8)
        for k in (0, 1):
            points = path.rows[path.source == k].ravel().tolist()
            longest = handed.setdefault(k, points)
            both = min(len(points), len(longest))
            assert points[:both] == longest[:both]
            handed[k] = max(points, longest, key=len)
    assert all(handed.values())


def test_fault_sources_do_not_influence_each_others_rewards():
    """The original fits a detector to each batch and the rest: here a reward is the batch's own."""
    found, _, _ = market([60, 60, 60], [0.2, 0.5, 0.8])
    rewards = {}
    for policy in POLICIES:
        path = walk(policy, found, rounds=15)
        for k in range(3):
            for pull, density in enumerate(path.density[path.source == k]):
                assert rewards.setdefault((k, pull), density) == density
    other, _, _ = market([60, 60, 60], [0.2, 0.5, 0.8])
    other.overlap[other.rows[2]] = False
    for (k, pull), density in rewards.items():
        if k != 2:
            path = walk("random", other, rounds=45)
            assert path.density[path.source == k][pull] == density


def test_sets_by_hand():
    overlap, two = np.array([1, 0, 0, 1, 1, 0], bool), np.zeros(2)
    found = [
        Path(name, 0, np.zeros(2, int), np.array(rows), two, two)
        for name, rows in (("ucb", [[0, 1], [4, 2]]), ("random", [[5, 2], [3, 0]]))
    ]
    everything, dense = collected(found, overlap)
    assert [rows.tolist() for rows in everything] == [[0, 1], [0, 1, 4, 2], [5, 2], [5, 2, 3, 0]]
    assert [rows.tolist() for rows in dense] == [[0], [0, 4], [], [3, 0]]


@given(some_policy, markets, st.integers(1, 10))
def test_sets_grow_by_a_batch_and_hold_the_observed_overlap_points(policy, found, batch):
    path = walk(policy, found, batch=batch)
    everything, dense = collected([path], found.overlap)
    rounds = len(path.source)
    assert [len(rows) for rows in everything] == [batch * (t + 1) for t in range(rounds)]
    hits = np.round(np.cumsum(path.density) * batch).astype(int)
    assert [len(rows) for rows in dense] == hits.tolist()
    assert all(found.overlap[rows].all() for rows in dense)


def problem(found, seed=0, d=5, n_test=30):
    """Weak labels and activations of a market's points, and activations of test points."""
    rng = np.random.default_rng(seed)
    n = len(found.overlap)
    label = rng.integers(0, 2, n)
    x = (rng.normal(size=(n, d)) + (2 * label - 1)[:, None]).astype(np.float32)
    x_test = rng.normal(size=(n_test, d)).astype(np.float32)
    return np.clip(0.5 + 0.3 * (2 * label - 1) + 0.1 * rng.normal(size=n), 0, 1), x, x_test


def probes(rows, y, u):
    return fit_columns(rows, y, weights=u, l2=L2)


def trained(paths, found, *, fit=probes, seed=0):
    weak_proba, x, x_test = problem(found, seed)
    both = train_rounds(paths, found.overlap, weak_proba, activations=(x, x_test), fit=fit)
    return both, weak_proba, x, x_test


def test_together_is_one_by_one_and_one_problem():
    found, _, _ = market([60, 60], [0.1, 0.6])
    paths = [walk(policy, found, rounds=6) for policy in ("ucb", "random")]
    shapes = []

    def fit(rows, y, u):
        shapes.append((y.shape, u.shape))
        return probes(rows, y, u)

    both, weak_proba, x, x_test = trained(paths, found, fit=fit)
    sets = collected(paths, found.overlap)
    size = (120, sum(len(rows) > 0 for side in sets for rows in side))
    assert size[1] > 20
    assert shapes == [(size, size)]
    for side, expected in zip(both, sets, strict=True):
        assert side.proba.shape == (12, 30)
        assert side.proba.dtype == np.float32
        for i, rows in enumerate(expected):
            if len(rows):
                alone = fit_probes(x[rows], weak_proba[rows], l2=L2).predict_proba(x_test)
                coef, intercept = newton(x[rows], weak_proba[rows], l2=L2)
                exact = 1 / (1 + np.exp(-(x_test @ coef + intercept)))
                np.testing.assert_allclose(side.proba[i], alone, atol=2e-3)
                np.testing.assert_allclose(side.proba[i], exact, atol=2e-3)
                assert side.reason[i] == ""
                assert 0 <= side.gap[i] <= 1e-6
                assert side.l2[i] == L2


def test_before_the_first_overlap_point_the_probe_says_one_half():
    found, _, _ = market([80, 80], [0.0, 1.0])
    walks = (walk("random", found, rounds=6, seed=seed) for seed in range(20))
    path = next(w for w in walks if w.density[:2].tolist() == [0, 0] and w.density.any())
    (everything, dense), *_ = trained([path], found)
    lead = int(np.argmax(path.density > 0))
    assert everything.reason == [""] * 6
    assert dense.reason == [UNTRAINED] * lead + [""] * (6 - lead)
    assert np.all(dense.proba[:lead] == 0.5)
    assert np.isnan(dense.gap[:lead]).all()
    assert np.isnan(dense.l2[:lead]).all()
    assert np.isfinite(dense.gap[lead:]).all()
    assert np.all(dense.proba[lead:].std(axis=1) > 0)
    found, _, _ = market([80], [0.0])  # none anywhere
    (everything, dense), *_ = trained([walk("ucb", found, rounds=3)], found)
    assert dense.reason == [UNTRAINED] * 3
    assert np.all(dense.proba == 0.5)
    assert everything.reason == [""] * 3


def test_a_probe_without_a_solution_says_half_with_its_reason_and_the_others_go_on():
    found, _, _ = market([80], [0.5])
    path = walk("ucb", found, rounds=3)
    weak_proba, *activations = problem(found)
    weak_proba[path.rows[0]] = 1.0  # one class only in the first round
    options = {"activations": activations, "fit": probes}
    everything, _ = train_rounds([path], found.overlap, weak_proba, **options)
    assert [bool(why) for why in everything.reason] == [True, False, False]
    assert "expected both classes" in everything.reason[0]
    assert (everything.proba[0] == 0.5).all()
    assert not (everything.proba[1:] == 0.5).all(axis=1).any()


@given(st.integers(0, 100))
@settings(max_examples=10)
def test_later_rounds_do_not_change_earlier_probes(seed):
    found, _, _ = market([60, 60], [0.3, 0.7])
    path = walk("random", found, rounds=6, seed=seed)
    short = Path(path.policy, 0, path.source[:3], path.rows[:3], path.density[:3], path.regret[:3])
    (first, first_dense), *_ = trained([short], found)
    (second, second_dense), *_ = trained([path], found)
    assume(all(not why for why in first_dense.reason))
    np.testing.assert_allclose(second.proba[:3], first.proba, atol=2e-3)
    np.testing.assert_allclose(second_dense.proba[:3], first_dense.proba, atol=2e-3)
