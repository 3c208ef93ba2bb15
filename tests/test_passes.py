"""Passes: every text once, done ones left out, and a full memory is no end."""

import itertools
import logging
import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from w2s.errors import DataError
from w2s.models.forward import Memory, passes, token_batches

LENGTHS = st.lists(st.integers(1, 60), max_size=40).map(
    lambda lengths: np.array(lengths, dtype=int)
)
WHOLE = 10_000  # tokens: everything fits into one pass


def values(rows):
    """What the passes of these tests compute: the position of each text."""
    return {-1: np.asarray(rows, dtype=np.float32)[:, None]}


def run(lengths, budget, compute=values, **options):
    """Rows of each pass, and the array they fill."""
    into = Memory(len(lengths))
    told = []
    options = {"done": into.done, **options}
    for rows, pooled in passes(compute, lengths, budget, **options):
        told.append(rows.tolist())
        into.write(rows, pooled)
    return told, into.result()


def full(limit, lengths, error):
    """A device that has room for so many padded tokens."""

    def compute(rows):
        if len(rows) * lengths[rows].max() > limit:
            raise error
        return values(rows)

    return compute


GPU = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allo")


@given(LENGTHS, st.integers(1, 300))
def test_passes_are_the_batches_and_fill_every_row(lengths, budget):
    told, result = run(lengths, budget)
    assert told == [rows.tolist() for rows in token_batches(lengths, budget)]
    found = {layer: values.ravel().tolist() for layer, values in result.items()}
    assert found == ({-1: list(range(len(lengths)))} if len(lengths) else {})


@given(LENGTHS, st.integers(1, 300), st.integers(0, 2**40 - 1))
def test_pass_is_left_out_if_all_its_texts_are_done_else_as_it_is(lengths, budget, bits):
    done = np.array([bits >> i & 1 for i in range(len(lengths))], dtype=bool)
    told, _ = run(lengths, budget, done=done)
    assert told == [r.tolist() for r in token_batches(lengths, budget) if not done[r].all()]


@pytest.mark.parametrize("error", [GPU, CPU], ids=["gpu", "cpu"])
def test_out_of_memory_halves_the_budget_for_the_rest_and_is_told_once(error, caplog):
    lengths = np.array([2] * 30 + [10] * 10)
    told, result = run(lengths, 100, full(60, lengths, error))
    assert told == [list(range(30, 35)), list(range(35, 40)), list(range(25)), list(range(25, 30))]
    assert result[-1].ravel().tolist() == list(range(40))
    (record,) = caplog.records
    said = "out of memory with 100 tokens in a pass; going on with 50"
    assert (record.getMessage(), record.levelno) == (said, logging.WARNING)


@given(LENGTHS, st.integers(1, 300), st.integers(60, 300))
def test_all_texts_are_computed_whatever_memory_there_is(lengths, budget, limit):
    told, _ = run(lengths, budget, full(limit, lengths, GPU))
    assert sorted(row for rows in told for row in rows) == list(range(len(lengths)))


def test_memory_may_run_out_again_and_at_the_last_pass(caplog):
    lengths = np.array([9, 3, 3, 3])
    told, _ = run(lengths, WHOLE, full(9, lengths, CPU))
    assert told == [[0], [1, 2, 3]]
    assert len(caplog.records) == 2  # 36 tokens, then 18


def test_text_without_room_of_its_own_is_one_line_and_any_other_error_passes_through():
    lengths = np.array([50, 3])
    with pytest.raises(DataError) as caught:
        run(lengths, WHOLE, full(40, lengths, GPU))
    assert str(caught.value) == (
        "device: found no room for 50 tokens in one pass, expected room for the longest text; "
        "lower max_length"
    )
    lengths = np.array([5, 5])
    with pytest.raises(RuntimeError, match="shape mismatch"):
        run(lengths, WHOLE, full(1, lengths, RuntimeError("shape mismatch")))


def test_what_torch_says_of_a_full_main_memory_is_understood():
    lengths = np.array([5, 5])

    def compute(rows):
        if len(rows) > 1:
            torch.empty(1 << 60, dtype=torch.int8)
        return values(rows)

    assert run(lengths, WHOLE, compute)[0] == [[0], [1]]


def test_units_of_several_texts_stay_together():
    owned = [np.array([4, 0]), np.array([2]), np.array([1, 3])]
    sizes = np.array([30, 10, 20])

    def texts(units):
        return np.concatenate([owned[i] for i in units])

    computed = []

    def compute(units):
        computed.append(units.tolist())
        return values(texts(units))

    into = Memory(5)
    done = np.array([True, False, False, False, True])
    for rows, pooled in passes(compute, sizes, 40, done, texts):
        into.write(rows, pooled)
    assert computed == [[2, 1]]  # unit 0 is done
    assert into.result()[-1][[1, 3, 2]].ravel().tolist() == [1, 3, 2]


@given(LENGTHS, st.integers(1, 300), st.integers(2, 4), st.integers(0, 2**40 - 1))
def test_passes_at_once_are_those_one_after_another(lengths, budget, at_once, bits):
    done = np.array([bits >> i & 1 for i in range(len(lengths))], dtype=bool)
    told, result = run(lengths, budget, done=done, at_once=at_once)
    expected, alone = run(lengths, budget, done=done)
    assert told == expected
    assert list(result) == list(alone)
    rows = list(itertools.chain(*told))
    for layer, array in alone.items():
        np.testing.assert_array_equal(result[layer][rows], array[rows])


def test_passes_are_at_once_and_come_in_their_order_whichever_ends_first():
    meet, lengths = threading.Barrier(2, timeout=60), np.array([4, 3, 2, 1])

    def compute(rows):
        meet.wait()  # ends only if another pass is computed meanwhile
        time.sleep(0.01 * int(lengths[rows].max()))
        return values(rows)

    assert run(lengths, 1, compute, at_once=2)[0] == [[0], [1], [2], [3]]


@pytest.fixture
def threads():
    """Torch's threads; set back at the end."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield torch.get_num_threads
    torch.set_num_threads(before)


def test_threads_are_shared_among_passes_and_set_back_also_after_an_end_in_the_middle(threads):
    seen, lengths = [], np.ones(20, dtype=int)

    def compute(rows):
        seen.append(threads())
        if rows[0] == 12:
            raise ValueError("a bug")
        return values(rows)

    running = passes(compute, lengths, 1, np.zeros(20, dtype=bool), at_once=2)
    next(running)
    running.close()
    assert threads() == 4
    assert len(seen) < 12
    with pytest.raises(ValueError, match="a bug"):
        run(lengths, 1, compute, at_once=2)
    assert threads() == 4
    assert set(seen) == {2}


@given(LENGTHS, st.integers(1, 300), st.integers(60, 300))
def test_memory_that_runs_out_in_one_of_several_passes_loses_no_text(lengths, budget, limit):
    told, _ = run(lengths, budget, full(limit, lengths, CPU), at_once=3)
    assert told == run(lengths, budget, full(limit, lengths, CPU))[0]
