"""Named random streams: the same for the same name, independent for any other."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from w2s.rng import stream

names = st.lists(st.text(alphabet="abc=01", min_size=1, max_size=4), max_size=3)


def state(seed, *what):
    return stream(seed, *what).bit_generator.state["state"]["state"]


def test_by_hand_the_generator_is_seeded_with_the_hash_of_the_names():
    digest = hashlib.sha256(b"3\x1fmixing\x1ffilms").digest()
    expected = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    np.testing.assert_array_equal(stream(3, "mixing", "films").random(5), expected.random(5))


def test_numbers_of_a_stream_never_change():
    # results of the project depend on them: a change here changes every result
    assert stream(0, "mixing", "films").integers(0, 1000, size=4).tolist() == [296, 276, 438, 240]
    assert isinstance(stream(0).bit_generator, np.random.PCG64)
    assert state(np.int64(5), "a") == state(np.uint8(5), "a") == state(5, "a")


@given(st.integers(0, 2**70), names)
def test_the_same_name_gives_the_same_stream(seed, what):
    np.testing.assert_array_equal(stream(seed, *what).random(3), stream(seed, *what).random(3))


@given(st.integers(0, 30), names, st.integers(0, 30), names)
def test_other_names_give_other_streams(seed, what, other_seed, other):
    same = (seed, what) == (other_seed, other)
    assert (state(seed, *what) == state(other_seed, *other)) == same


def test_names_are_not_glued_together():
    for first, second in (
        ((0, "a", "b"), (0, "b", "a")),
        ((0, "ab", "c"), (0, "a", "bc")),
        ((0, "ab"), (0, "a", "b")),
        ((0, "a"), (0, "a", "")),
        ((1, "2"), (12,)),
        ((0,), (0, "0")),
    ):
        assert state(*first) != state(*second)


def test_fault_draws_do_not_share_randomness_between_seeds():
    draws = np.array([stream(seed, "mixing", "films").random(2000) for seed in range(30)])
    correlations = np.corrcoef(draws)[np.triu_indices(30, 1)]
    assert np.abs(correlations).max() < 0.12
    assert len(np.unique(draws)) == draws.size
    assert abs(draws.mean() - 0.5) < 0.01


def test_neither_other_streams_nor_the_global_generator_are_read_or_moved():
    alone = stream(0, "b").random(3)
    stream(0, "a").random(1000)
    np.random.seed(1)  # noqa: NPY002
    first = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(stream(0, "b").random(3), alone)
    assert np.random.random() == first  # noqa: NPY002
