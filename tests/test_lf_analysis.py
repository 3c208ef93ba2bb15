"""Analysis of label matrices: by hand, against Snorkel's, and at the limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from snorkel.labeling import LFAnalysis as Peer

from w2s.errors import W2SError
from w2s.weak_supervision.tables import analyze_lfs

VOTES = np.array([[1, 1, -1, -1], [0, 1, 0, -1], [-1, -1, 1, -1], [-1, -1, -1, -1]])


def matrix(seed, n, m):
    return np.random.default_rng(seed).integers(-1, 2, (n, m))


def test_by_hand():
    found = analyze_lfs(VOTES, [1, 1, 0, 0])
    np.testing.assert_allclose(found["coverage"], [0.5, 0.5, 0.5, 0])
    np.testing.assert_allclose(found["lf_overlaps"], [0.5, 0.5, 0.25, 0])  # the third row: one vote
    np.testing.assert_allclose(found["conflicts"], [0.25, 0.25, 0.25, 0])
    np.testing.assert_allclose(found["accuracy"], [0.5, 1, 0, np.nan])  # the last has no vote
    found = analyze_lfs([[1], [0], [-1]], [1, 1, 1])  # a single LF overlaps with none
    assert (found["coverage"][0], found["lf_overlaps"][0], found["conflicts"][0]) == (2 / 3, 0, 0)
    assert found["accuracy"][0] == 0.5


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 6))
def test_it_is_snorkels_where_an_lf_votes(seed, n, m):
    votes = matrix(seed, n, m)
    label = np.random.default_rng(seed + 1).integers(0, 2, n)
    found, peer = analyze_lfs(votes, label), Peer(votes)
    np.testing.assert_allclose(found["coverage"], peer.lf_coverages())
    np.testing.assert_allclose(found["lf_overlaps"], peer.lf_overlaps())
    np.testing.assert_allclose(found["conflicts"], peer.lf_conflicts())
    voting = found["coverage"] > 0
    with np.errstate(invalid="ignore"):
        theirs = peer.lf_empirical_accuracies(label)
    np.testing.assert_allclose(found["accuracy"][voting], theirs[voting])
    assert np.isnan(found["accuracy"][~voting]).all()
    assert (found["conflicts"] <= found["lf_overlaps"]).all()
    assert (found["lf_overlaps"] <= found["coverage"]).all()
    assert (found["coverage"] <= 1).all()


@given(st.integers(0, 2**32 - 1))
def test_the_order_of_points_and_the_names_of_the_classes_do_not_matter(seed):
    votes, rng = matrix(seed, 20, 4), np.random.default_rng(seed)
    label, turn = rng.integers(0, 2, 20), rng.permutation(20)
    swapped = np.where(votes == -1, -1, 1 - votes)
    first = analyze_lfs(votes, label)
    for other in (analyze_lfs(votes[turn], label[turn]), analyze_lfs(swapped, 1 - label)):
        for name in ("coverage", "lf_overlaps", "conflicts", "accuracy"):
            np.testing.assert_allclose(other[name], first[name])


def test_planted_coverage_and_accuracy_are_found():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 20000)
    right, voting = rng.random((20000, 2)) < [0.9, 0.6], rng.random((20000, 2)) < [0.3, 0.8]
    votes = np.where(voting, np.where(right, label[:, None], 1 - label[:, None]), -1)
    found = analyze_lfs(votes, label)
    np.testing.assert_allclose(found["coverage"], [0.3, 0.8], atol=0.02)
    np.testing.assert_allclose(found["accuracy"], [0.9, 0.6], atol=0.02)
    np.testing.assert_allclose(found["lf_overlaps"], 0.24, atol=0.02)


REFUSED = [
    ([[2, 0]], [0], "label matrix: found the value 2, expected -1"),
    ([[0.5, 0]], [0], "label matrix: found the value 0.5, expected -1"),
    ([[np.nan, 0]], [0], "label matrix: found the value nan, expected -1"),
    ([0, 1], [0], "label matrix: found shape \\(2,\\), expected rows and"),
    (np.zeros((0, 3)), [0], "label matrix: found shape \\(0, 3\\), expected rows and"),
    (np.zeros((3, 0)), [0], "label matrix: found shape \\(3, 0\\), expected rows and"),
    ([[0, 1]], [0, 1], "label: found 2 rows, expected 1 as in label matrix"),
    ([[0, 1]], [-1], "label: found values other than 0 and 1"),
    ([[0, 1], [1, -1]], 1, "label: found 0 dimensions .*, expected 1"),
    ([[0, 1], [1, -1]], [[0], [1]], "label: found 2 dimensions .*, expected 1"),
]


def test_bad_input_is_refused(subtests):
    for votes, label, message in REFUSED:
        with subtests.test(message), pytest.raises(W2SError, match=message):
            analyze_lfs(votes, label)
