"""Scores of given labels: by hand, against plain loops and peers, planted errors, and limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components
from sklearn.neighbors import NearestNeighbors

from w2s.errors import DegenerateError, W2SError
from w2s.probes.label_quality import (
    confident_learning,
    graph_agreement,
    knn_agreement,
    knn_mixed,
    neighbor_graph,
    self_confidence,
    topological,
)
from w2s.results.metrics import auroc

VECTORS = (knn_agreement, topological, graph_agreement)


def on_circle(*degrees):
    """Points on a circle: the nearest by cosine are the nearest by angle."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def clouds(seed=0, n=300, flips=30, apart=2.0, d=6):
    """Two clouds by label, of which some labels are flipped: vectors, given labels, flipped."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    x = rng.normal(size=(n, d)) + apart * np.where(truth, 1, -1)[:, None] * np.eye(d)[0]
    flipped = np.zeros(n, dtype=bool)
    flipped[rng.choice(n, flips, replace=False)] = True
    return x, np.where(flipped, 1 - truth, truth), flipped


def shared(x, y, k, fold=None):
    """Share of the k nearest others with the same label, point by point."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    fold = np.arange(len(x)) if fold is None else fold
    found = []
    for i in range(len(x)):
        others = np.flatnonzero(fold != fold[i])
        near = others[np.argsort(-(unit[others] @ unit[i]), kind="stable")[:k]]
        found.append(np.mean(y[near] == y[i]))
    return np.array(found)


def test_agreement_by_hand():
    # the nearest of 0 is 10, of 10 both 0 and 20 (equally near), of 20 it is 10, of 90 it is 20
    x, y = on_circle(0, 10, 20, 90), [1, 1, 0, 0]
    assert neighbor_graph(x, k=1).toarray().tolist() == [
        [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0],
    ]  # fmt: skip
    np.testing.assert_allclose(knn_agreement(x, y, k=1), [1, 0.5, 0, 1])
    np.testing.assert_allclose(knn_agreement(x * [[1], [7], [0.1], [3]], y, k=1), [1, 0.5, 0, 1])
    np.testing.assert_allclose(knn_agreement(x, y, k=3), [1 / 3] * 4)


def test_divided_neighbours_score_highest_and_those_of_the_own_fold_do_not_count():
    x, y = on_circle(0, 1, 2, 50, 51, 52), [1, 1, 0, 0, 0, 0]
    fold = [0, 1, 2, 0, 1, 2]
    found = knn_mixed(x, y, k=2, fold=fold)
    # of 0 the neighbours are 1 (its label) and 2 (not); of 2 they are 0 and 1, both not
    np.testing.assert_allclose(found, [0, 0, -0.5, -0.5, -0.5, -0.5])
    np.testing.assert_allclose(knn_mixed(x, y, k=2, fold=[0, 0, 1, 1, 2, 2])[1], -0.5)  # 2 and 50


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_agreement_is_that_of_a_plain_loop_and_of_scikit_learn(seed, k):
    x, y, _ = clouds(seed, n=60, flips=6)
    found = knn_agreement(x, y, k=k)
    np.testing.assert_allclose(found, shared(x, y, k), atol=1e-9)
    peer = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(x)
    np.testing.assert_array_equal(
        neighbor_graph(x, k=k).toarray(), peer.kneighbors_graph().toarray()
    )
    fold = np.random.default_rng(seed).integers(4, size=60)
    np.testing.assert_allclose(
        knn_mixed(x, y, k=k, fold=fold), -abs(shared(x, y, k, fold) - 0.5), atol=1e-9
    )


def test_blocks_change_nothing(monkeypatch):
    x, y, _ = clouds(n=90)
    whole = [score(x, y) for score in VECTORS]
    monkeypatch.setattr("w2s.probes.label_quality.BLOCK", 90 * 7)
    for score, expected in zip(VECTORS, whole, strict=True):
        np.testing.assert_array_equal(score(x, y), expected)


def test_confidence_by_hand():
    proba, y = [0.9, 0.3, 0.2, 0.6], [1, 1, 0, 0]
    np.testing.assert_allclose(self_confidence(proba, y), [0.9, 0.3, 0.8, 0.4])
    # usual are .6 for both: P of the given label + (.6 - .6)
    np.testing.assert_allclose(confident_learning(proba, y), [0.9, 0.3, 0.8, 0.4])
    # usual are .8 for 1 and .7 for 0: (own - usual + .8) / 1.1
    found = confident_learning([0.9, 0.7, 0.2, 0.4], y)
    np.testing.assert_allclose(found, np.array([0.9, 0.7, 0.9, 0.7]) / 1.1)


def test_classes_that_a_model_is_less_sure_of_are_not_doubted_as_a_whole():
    rng = np.random.default_rng(0)
    truth = np.arange(2000) % 2
    flipped = rng.random(2000) < 0.2
    y = np.where(flipped, 1 - truth, truth)
    sure = np.clip(rng.normal(np.where(truth == 1, 0.95, 0.5), 0.1), 0.01, 0.99)
    plain, fair = (
        auroc(-score(sure, y), flipped) for score in (self_confidence, confident_learning)
    )
    assert fair > plain + 0.05


@given(
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=4, max_size=40).filter(
        lambda rows: len({label for _, label in rows}) == 2
    )
)
def test_confident_learning_is_cleanlabs_score(rows):
    rank = pytest.importorskip("cleanlab.rank")
    proba, y = map(np.array, zip(*rows, strict=True))
    expected = rank.get_label_quality_scores(
        y, np.stack([1 - proba, proba], axis=1), method="self_confidence", adjust_pred_probs=True
    )
    np.testing.assert_allclose(
        confident_learning(proba, y), expected, atol=1e-5
    )  # it clips at 2e-6


def test_a_component_by_hand():
    # 0..3 and 6 are positive in a chain and an outlier; 5 is negative among positive points
    x = on_circle(0, 2, 5, 9, 60, 4, 100, 62, 64, 67)
    y = np.array([1, 1, 1, 1, 0, 0, 1, 0, 0, 0])
    found = topological(x, y, k=2, voters=3)
    assert (found < 0).tolist() == [False] * 4 + [False, True, True] + [False] * 3
    near = (neighbor_graph(x, k=3) + neighbor_graph(x, k=3).T).toarray() > 0
    inside = found >= 0
    for i in range(len(x)):
        heard = near[i] & inside
        share = np.mean(y[heard] == y[i])
        assert found[i] == pytest.approx(share if inside[i] else share - 1)


def largest(x, y, k):
    """Points of the largest component of each label, by a dense graph of its own points."""
    graph = neighbor_graph(x, k=k).toarray()
    both, kept = (graph + graph.T) > 0, np.zeros(len(x), dtype=bool)
    for label in (0, 1):
        rows = np.flatnonzero(y == label)
        _, number = connected_components(both[np.ix_(rows, rows)], directed=False)
        sizes = np.bincount(number)
        kept[rows[sizes[number] == sizes.max()]] = True
    return kept


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_components_are_those_of_a_dense_graph(seed, k):
    x, y, _ = clouds(seed, n=60, flips=9)
    found = topological(x, y, k=k, voters=8)
    kept = largest(x, y, k)
    assert (found[kept] >= 0).all()
    assert (found[~kept] <= 0).all()
    assert found.min() >= -1
    assert found.max() <= 1


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.99])
def test_smoothed_labels_solve_their_equation(alpha):
    x, y, _ = clouds(n=80)
    graph = neighbor_graph(x, k=5).toarray().astype(np.float64)
    both = np.maximum(graph, graph.T)
    walk = both / both.sum(axis=1, keepdims=True)
    smooth = (1 - alpha) * np.linalg.solve(np.eye(80) - alpha * walk, y.astype(float))
    found = graph_agreement(x, y, k=5, alpha=alpha)
    np.testing.assert_allclose(found, np.where(y == 1, smooth, 1 - smooth), atol=1e-8)


@pytest.mark.parametrize("score", VECTORS)
def test_planted_errors_are_found_and_noise_is_not(score):
    x, y, flipped = clouds(n=600, flips=60)
    assert auroc(-score(x, y), flipped) > 0.93
    rng = np.random.default_rng(1)
    lost = [auroc(-score(rng.normal(size=x.shape), y), flipped) for _ in range(8)]
    assert abs(np.mean(lost) - 0.5) < 0.04


@pytest.mark.parametrize("score", VECTORS)
def test_many_columns_are_many_calls_and_order_and_names_of_labels_do_not_matter(score):
    x, y, _ = clouds(n=100)
    other = clouds(1, n=100)[1]
    found = score(x, np.stack([y, other], axis=1))
    np.testing.assert_allclose(found[:, 0], score(x, y), atol=1e-8)
    np.testing.assert_allclose(found[:, 1], score(x, other), atol=1e-8)
    order = np.random.default_rng(0).permutation(100)
    np.testing.assert_allclose(score(x[order], y[order]), found[order, 0], atol=1e-8)
    np.testing.assert_allclose(score(x, 1 - y), found[:, 0], atol=1e-8)


def test_many_columns_of_probabilities():
    rng = np.random.default_rng(0)
    proba, y = rng.random((50, 3)), rng.integers(2, size=(50, 3))
    y[:, 2] = 1
    for score in (self_confidence, confident_learning):
        found = score(proba, y)
        for j in range(3):
            np.testing.assert_allclose(found[:, j], score(proba[:, j], y[:, j]))
    np.testing.assert_allclose(confident_learning(proba, y)[:, 2], proba[:, 2])  # of one class


def test_ties_constants_and_zeros():
    x, y = np.ones((6, 3)), np.array([1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(knn_agreement(x, y, k=1), 2 / 5)  # all others are as near
    np.testing.assert_allclose(topological(x, y, k=1), 2 / 5)
    assert len(set(np.round(graph_agreement(x, y, k=1), 12))) == 1
    zeros = np.concatenate([np.zeros((1, 3)), np.eye(3)])
    assert neighbor_graph(zeros, k=1).toarray().tolist() == (1 - np.eye(4)).tolist()
    one = np.ones(6, dtype=int)
    for score in VECTORS:
        np.testing.assert_allclose(score(clouds(n=6, flips=0)[0], one, k=2), 1)


def test_unknown_probabilities_stay_unknown():
    found = self_confidence([0.2, np.nan], [1, 0])
    assert found[0] == pytest.approx(0.2)
    assert np.isnan(found[1])
    assert np.isnan(confident_learning([[0.2, 0.5], [np.nan, 0.5]], [[1, 1], [0, 0]])[:, 0]).all()


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: knn_agreement(np.eye(3), [0, 1, 0], k=3), DegenerateError,
         "neighbors: found 2 other points, expected at least 3"),
        (lambda: knn_agreement(np.empty((0, 2)), [], k=1), DegenerateError, "found 0 other points"),
        (lambda: knn_mixed(np.eye(3), [0, 1, 0], k=2, fold=[0, 0, 1]), DegenerateError,
         "found 1 other points, expected at least 2"),
        (lambda: knn_mixed(np.eye(3), [0, 1, 0], k=1, fold=[0, 1]), W2SError,
         "fold: found 2 rows, expected 3"),
        (lambda: topological(np.eye(3), [0, 1], k=1), W2SError, "labels: found 2 rows, expected 3"),
        (lambda: graph_agreement(np.eye(3), [0, 1, 0.5], k=1), W2SError,
         "labels: found 0.5, expected 0 or 1"),
        (lambda: graph_agreement(np.eye(3), [0, 1, 0], k=1, alpha=1), W2SError,
         "alpha: found 1, expected 0 or more and less than 1"),
        (lambda: knn_agreement(np.eye(3), [0, 1, 0], k=0), W2SError,
         "found 0, expected at least 1"),
        (lambda: knn_agreement([[np.nan]], [0], k=1), W2SError, "activations: found 1 values"),
        (lambda: self_confidence([0.5], [[1]]), W2SError, r"proba: found shape \(1,\)"),
        (lambda: self_confidence([1.5], [1]), W2SError, r"expected \[0, 1\]"),
        (lambda: self_confidence([[[0.5]]], [[[1]]]), W2SError, "labels: found 3 dimensions"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_told(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_shares_that_are_equal_are_equal_whichever_label_they_are_seen_from():
    """1 - 4/5 is not 1/5 in floating point: then the label would decide between equal scores."""
    x, y, _ = clouds(n=120, flips=30)
    fold = np.arange(120) % 5
    for k in (5, 20):
        graph = neighbor_graph(x, k=k).toarray()
        agreeing = np.where(y == 1, graph @ y, graph @ (1 - y))
        found = knn_agreement(x, y, k=k)
        votes = graph.sum(axis=1)
        for share in np.unique(agreeing / votes):
            assert len(np.unique(found[agreeing / votes == share])) == 1
        assert np.array_equal(found, knn_agreement(x, 1 - y, k=k))
        mixed = knn_mixed(x, y, k=k, fold=fold)
        assert np.array_equal(mixed, knn_mixed(x, 1 - y, k=k, fold=fold))
        assert len(np.unique(mixed)) <= k // 2 + 1
    assert np.array_equal(graph_agreement(x, y), graph_agreement(x, 1 - y))
