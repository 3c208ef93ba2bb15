"""Pieces side by side: their order, their threads, and their errors."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from w2s.methods.parallel import side_by_side


def blas_threads():
    return [library["num_threads"] for library in threadpool_info()
            if library["user_api"] == "blas"]  # fmt: skip


def test_results_come_in_the_order_of_the_pieces():
    assert side_by_side(lambda piece: piece**2, range(20)) == [i**2 for i in range(20)]
    assert side_by_side(lambda piece: piece, []) == []


def test_each_of_several_pieces_uses_one_blas_thread_and_the_rest_is_put_back():
    before = blas_threads()
    assert all(n == 1 for found in side_by_side(lambda _: blas_threads(), "abc") for n in found)
    assert blas_threads() == before


def test_one_piece_keeps_all_threads():
    assert side_by_side(lambda _: blas_threads(), "a") == [blas_threads()]


def test_pieces_run_at_once_where_blas_may_use_more_threads():
    both = threading.Barrier(2)
    with threadpool_limits(2, user_api="blas"):
        # each waits for the other: one after another this would time out
        found = side_by_side(lambda piece: both.wait(timeout=30) in (0, 1), "ab")
    assert found == [True, True]


def test_errors_are_raised_and_the_threads_put_back():
    before = blas_threads()
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda piece: 1 // piece, [1, 0, 2])
    assert blas_threads() == before
