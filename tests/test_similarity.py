"""Largest similarities in blocks: by hand, against the whole matrix, and at limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from reference.overlap import similarity_matrix

from w2s.errors import W2SError
from w2s.overlap.scores import (
    dominant_coordinate,
    largest_similarity,
    max_similarity,
    mean_similarity,
)

LIGHT = settings(max_examples=100)
ROOT_HALF = np.sqrt(0.5)


def matrices(rows):
    entries = st.integers(-8, 8).map(float)
    return arrays(np.float32, st.tuples(rows, st.just(3)), elements=entries)


def test_by_hand():
    points, references = [[-4, 0], [3, 3], [0, 2], [0, 0]], [[1, 0], [0, 1]]
    for similarity, absolute, expected in (
        ("cosine", True, [1, ROOT_HALF, 1, 0]),
        ("cosine", False, [0, ROOT_HALF, 1, 0]),
        ("dot", True, [4, 3, 2, 0]),
        ("dot", False, [0, 3, 2, 0]),
    ):
        found = max_similarity(points, references, similarity=similarity, absolute=absolute)
        np.testing.assert_allclose(found, expected, atol=1e-7)
        assert found.dtype == np.float32
    found = max_similarity([[1, 0]], [[-1, 0], [-3, 4]], absolute=False)  # all negative
    np.testing.assert_allclose(found, [-0.6], atol=1e-7)
    found = max_similarity([[2.0], [-3.0], [0.0]], [[5.0]], absolute=False)
    np.testing.assert_array_equal(found, [1, -1, 0])
    assert max_similarity(np.empty((0, 3)), np.ones((2, 3))).shape == (0,)
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])  # zeros are similar to nothing
    np.testing.assert_allclose(max_similarity(rows, rows), [0, 1], atol=1e-7)
    for absolute in (True, False):
        found = max_similarity(rows, np.zeros((2, 2)), absolute=absolute)
        np.testing.assert_array_equal(found, [0, 0])


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("absolute", [True, False])
def test_equals_the_whole_matrix_in_float64_in_blocks_of_any_size(similarity, absolute):
    options = {"similarity": similarity, "absolute": absolute}
    for n, k, d in ((1, 1, 1), (40, 1, 5), (1, 40, 5), (33, 29, 17), (31, 30, 8)):
        rng = np.random.default_rng(n + k)
        points, references = rng.normal(size=(n, d)) + 0.5, rng.normal(size=(k, d))
        matrix = similarity_matrix(points, references, similarity)
        expected = (np.abs(matrix) if absolute else matrix).max(axis=1)
        found = max_similarity(points, references, **options)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        for block in (1, 2, 7, 30, 31, 64):
            parts = max_similarity(points, references, block=block, **options)
            np.testing.assert_allclose(parts, found, rtol=1e-5, atol=1e-6)


@LIGHT
@given(matrices(st.integers(1, 9)), matrices(st.integers(1, 9)), st.integers(1, 4))
def test_equals_the_whole_matrix_on_small_integers(points, references, block):
    matrix = points @ references.T  # exact in float32
    signed = max_similarity(points, references, similarity="dot", absolute=False, block=block)
    np.testing.assert_array_equal(signed, matrix.max(axis=1))
    absolute = max_similarity(points, references, similarity="dot", block=block)
    np.testing.assert_array_equal(absolute, np.abs(matrix).max(axis=1))


@LIGHT
@given(matrices(st.integers(1, 9)), matrices(st.integers(1, 9)))
def test_cosines_are_bounded_and_grow_with_more_references(points, references):
    all_of_them = max_similarity(points, references)
    assert np.all((all_of_them >= 0) & (all_of_them <= 1 + 1e-6))
    assert np.all(max_similarity(points, references[:1]) <= all_of_them + 1e-6)
    assert np.all(max_similarity(points, references, absolute=False) <= all_of_them + 1e-6)


@LIGHT
@given(
    matrices(st.integers(1, 6)),
    matrices(st.integers(1, 6)),
    st.lists(st.sampled_from([-1.0, 1.0]), min_size=6, max_size=6),
)
def test_absolute_similarities_ignore_signs(points, references, signs):
    flipped = references * np.array(signs)[: len(references), None]
    np.testing.assert_allclose(
        max_similarity(-points, flipped), max_similarity(points, references), atol=1e-6
    )


def test_cosines_of_any_scale():
    rng = np.random.default_rng(1)
    points, references = rng.normal(size=(20, 6)), rng.normal(size=(10, 6))
    expected = max_similarity(points, references)
    for scale in (1e-30, 1e-20, 1e-6, 1e6, 1e20, 1e30):
        for scaled in ((points * scale, references), (points, references * scale)):
            np.testing.assert_allclose(max_similarity(*scaled), expected, rtol=1e-5)


def test_planted_copies_have_cosine_one():
    rng = np.random.default_rng(2)
    references = rng.normal(size=(50, 20))
    copies = references[[3, 41]] * [[7.0], [-0.1]]
    np.testing.assert_allclose(max_similarity(copies, references), 1, atol=1e-6)
    signed = max_similarity(copies, references, absolute=False)
    assert signed[0] == pytest.approx(1, abs=1e-6)
    assert signed[1] < 0.9


def test_dtypes_and_no_change_of_the_input():
    for dtype in (np.float16, np.float32, np.float64, np.int32):
        points = np.array([[3, 4], [0, 0]], dtype=dtype)
        references = np.array([[4, 3]], dtype=dtype)
        np.testing.assert_allclose(max_similarity(points, references), [0.96, 0], atol=1e-6)
        np.testing.assert_array_equal(points, [[3, 4], [0, 0]])
        np.testing.assert_array_equal(references, [[4, 3]])


def test_dominant_coordinate_by_hand_in_blocks_of_any_size():
    rows = np.tile(np.float32([1, -3, 0, 2] + [0] * 96), (100, 1))
    for size in (1, 7, 100):
        found = dominant_coordinate(rows[i : i + size] for i in range(0, 100, size))
        assert (found.coordinate, found.share, found.strong) == (1, pytest.approx(9 / 14), True)
        assert str(found) == "coordinate 1 holds 64.3% of the squared norm"
    assert dominant_coordinate([np.zeros((3, 2))]).share == 0
    assert not dominant_coordinate([np.zeros((0, 2), np.float32)]).strong
    huge = dominant_coordinate([np.full((2, 3), 1e30, np.float32)])  # squares beyond float32
    assert huge.share == pytest.approx(1 / 3)


def test_an_offset_of_one_coordinate_is_told_where_it_changes_regions():
    for offset, width, strong in ((0, 256, False), (3, 256, False), (10, 256, True), (0, 4, False)):
        rows = np.random.default_rng(0).normal(size=(1000, width)).astype(np.float32)
        rows[:, 2] += offset
        found = dominant_coordinate([rows])
        assert found.strong is strong
        if offset:
            assert found.coordinate == 2
            assert found.share == pytest.approx((1 + offset**2) / (width + offset**2), abs=0.02)


def test_mean_similarity_by_hand():
    points, references = np.array([[3.0, 4], [0, 0], [0, -2]]), np.array([[1.0, 0], [0, 2]])
    found = mean_similarity(points, references)
    np.testing.assert_allclose(found, [np.sqrt(0.5), 0, np.sqrt(0.5)], rtol=1e-6)
    found = mean_similarity(points, references, similarity="dot")
    np.testing.assert_allclose(found, [np.sqrt((9 + 64) / 2), 0, np.sqrt(8)], rtol=1e-6)
    assert found.dtype == np.float32
    assert mean_similarity(np.empty((0, 3)), np.ones((2, 3))).shape == (0,)
    with pytest.raises(W2SError, match="expected cosine or dot"):
        mean_similarity(points, references, similarity="l2")


def test_mean_similarity_is_below_the_largest_and_does_not_depend_on_blocks():
    rng = np.random.default_rng(3)
    points, references = rng.normal(size=(50, 6)), rng.normal(size=(40, 6))
    for similarity in ("cosine", "dot"):
        whole = mean_similarity(points, references, similarity=similarity)
        assert (whole < max_similarity(points, references, similarity=similarity)).all()
        for block in (1, 7, 40):
            parts = mean_similarity(points, references, similarity=similarity, block=block)
            np.testing.assert_allclose(parts, whole, rtol=1e-6)
        many = np.tile(references, (3, 1))  # references may repeat
        np.testing.assert_allclose(
            mean_similarity(-points, many, similarity=similarity), whole, rtol=1e-6
        )


def test_the_largest_possible_similarity():
    x = np.array([[3.0, 4], [1, 0], [0, 2]])
    assert largest_similarity(x[:1], x[1:], "cosine") == 1
    assert largest_similarity(x[:1], x[1:], "dot") == 10
