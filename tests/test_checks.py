"""Checks on arrays: what passes, and what each message says was found and expected."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import w2s
from w2s.checks import array_of, finite, probabilities, rows_of, same_length
from w2s.errors import ArtifactError, ConfigError, DataError, DegenerateError, W2SError
from w2s.results.metrics import METRICS

ids = st.lists(st.integers(-(2**62), 2**62), unique=True, min_size=1, max_size=40)


def test_every_error_of_a_user_is_a_w2s_error():
    for error in (ConfigError, DataError, ArtifactError, DegenerateError):
        assert issubclass(error, W2SError)
    assert not issubclass(W2SError, ValueError)


def test_finite_returns_the_values_in_the_wanted_dtype():
    values = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(finite(values, "x", ndim=2), values)
    assert finite(values, "x", ndim=2, dtype=np.float32).dtype == np.float32
    assert finite(np.ones(3, np.float16), "x", ndim=1).dtype == np.float16
    assert finite([], "x", ndim=1).shape == (0,)
    assert finite(np.empty((0, 5)), "x", ndim=2).shape == (0, 5)
    assert finite([1e308, -1e308, 5e-324], "x", ndim=1).max() == 1e308
    fitting = np.arange(4.0)
    assert finite(fitting, "x", ndim=1, dtype=np.float64) is fitting


def test_finite_counts_what_is_not_and_wants_its_dimensions():
    message = "^weights: found 2 values that are NaN or infinite, expected none$"
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(W2SError, match=message):
            finite([1, bad, 3, bad], "weights", ndim=1)
    with pytest.raises(W2SError, match="found 1 values"), np.errstate(over="ignore"):
        finite([1.0, 1e300], "x", ndim=1, dtype=np.float32)  # too large for the wanted dtype
    for values, ndim in ((3.0, 1), ([1.0], 2), ([[1.0]], 1), ([[1.0]], 3)):
        shape = np.shape(values)
        with pytest.raises(W2SError) as caught:
            finite(values, "x", ndim=ndim)
        assert str(caught.value) == f"x: found {len(shape)} dimensions {shape}, expected {ndim}"


@given(st.lists(st.floats(0, 1), max_size=20))
def test_probabilities_pass_as_float64(values):
    found = probabilities(values, "p")
    assert found.dtype == np.float64
    assert found.tolist() == values
    assert probabilities(np.float32(values), "p").dtype == np.float64


def test_values_that_are_not_probabilities_are_refused():
    for values, message in (
        ([0.5, 1.25], r"p: found values in \[0.5, 1.25\], expected \[0, 1\]"),
        ([-0.5, 0.5], r"p: found values in \[-0.5, 0.5\], expected \[0, 1\]"),
        ([0.5, np.nan], "p: found 1 values that are NaN or infinite"),
        ([[0.5]], "p: found 2 dimensions"),
        ([0.5, 1.00001], r"p: found values in \[0.5, 1.00001\], expected"),
        ([-0.0000011], r"p: found values in \[-1.1e-06, -1.1e-06\], expected"),
    ):
        with pytest.raises(W2SError, match=message):
            probabilities(values, "p")


def test_probabilities_that_rounding_moved_outside_are_moved_back():
    found = probabilities([1 + 1e-7, 0.25, -1e-6, 1 + 1e-6], "p")
    assert found.tolist() == [1, 0.25, 0, 1]
    inside = np.array([0.0, 0.25, 1.0])
    assert probabilities(inside, "p") is inside


TENSORS = {
    "bfloat16": lambda values: torch.tensor(values).bfloat16(),
    "with gradients": lambda values: torch.tensor(values, requires_grad=True),
    "both": lambda values: torch.tensor(values).bfloat16().requires_grad_(),
    "a list of them": lambda values: list(torch.tensor(values, requires_grad=True)),
}


def test_a_tensor_keeps_the_digits_that_numpy_can_hold():
    third = torch.tensor([1 / 3], dtype=torch.float64, requires_grad=True)
    assert array_of(third, "x").tolist() == [1 / 3]
    assert array_of(torch.tensor([1, 2]), "x").dtype == np.int64


@pytest.mark.parametrize("tensor", TENSORS.values(), ids=TENSORS)
def test_public_functions_take_tensors(tensor):
    values = [[0.5, 0.25], [1.0, 0.0], [0.75, 0.5]]
    found = array_of(tensor(values), "x")
    assert found.dtype == np.float32
    assert found.tolist() == values
    rng = np.random.default_rng(0)
    x = (rng.integers(-8, 9, (40, 3)) / 4).astype(np.float32)  # exact in bfloat16
    proba = ((x[:, 0] + 2.5 + rng.integers(0, 3, 40) / 8) / 8).astype(np.float32)
    label = (x[:, 0] > 0).astype(np.float32)
    shown = w2s.detect_overlap(tensor(proba), tensor(x))
    assert shown.region.tolist() == w2s.detect_overlap(proba, x).region.tolist()
    fitted = w2s.fit_probes(tensor(x), tensor(proba), weights=tensor(label + 1))
    expected = w2s.fit_probes(x, proba, weights=label + 1).predict_proba(x)
    np.testing.assert_array_equal(fitted.predict_proba(tensor(x)), expected)
    assert w2s.change_point(tensor(proba)) == w2s.change_point(proba)
    assert w2s.pgr(*tensor([0.5, 0.625, 0.75])) == 0.5
    for metric in METRICS.values():
        assert metric(tensor(proba), tensor(label)) == pytest.approx(metric(proba, label), abs=1e-7)


def test_what_is_no_number_is_refused_in_one_line():
    for bad in ("text", ["a", "b"], [[1, 2], [3]], [1 + 2j], {"a": 1}, [[None]]):
        with pytest.raises(W2SError, match=r"^x: found .*, expected .*$") as caught:
            finite(bad, "x", ndim=1)
        assert "\n" not in str(caught.value)
    sparse = torch.ones(3).to_sparse()
    for bad in (torch.ones(3, device="meta"), sparse, [sparse]):
        with pytest.raises(W2SError, match=r"^x: found no numbers .*, expected .*$"):
            finite(bad, "x", ndim=1)


def test_same_length():
    same_length("targets", np.ones((3, 2)), "activations", 3)
    same_length("targets", [], "activations", 0)
    for n in (0, 2, 4):
        with pytest.raises(W2SError) as caught:
            same_length("targets", [1] * n, "activations", 3)
        assert str(caught.value) == f"targets: found {n} rows, expected 3 as in activations"


def test_rows_of_by_hand():
    available, nothing = np.array([30, 10, 20]), np.empty(0, dtype=np.int64)
    np.testing.assert_array_equal(rows_of(np.array([20, 30, 20]), available, what="x"), [2, 0, 2])
    assert rows_of(np.array([10]), available, what="x").dtype == np.int64
    for rows in (available, nothing):
        assert rows_of(nothing, rows, what="x").shape == (0,)
    with pytest.raises(ArtifactError, match="found no row for 2 of 2 example ids"):
        rows_of(np.array([1, 2]), nothing, what="x")


@given(ids, st.data())
def test_fault_rows_are_matched_by_id_never_by_position(available, data):
    available = np.array(available, dtype=np.int64)
    wanted = np.array(data.draw(st.lists(st.sampled_from(available.tolist()))), dtype=np.int64)
    np.testing.assert_array_equal(available[rows_of(wanted, available, what="x")], wanted)


@given(ids, st.integers(-(2**62), 2**62))
def test_an_id_without_a_row_is_refused(available, missing):
    if missing in available:
        available.remove(missing)
    wanted = np.array([*available[:1], missing], dtype=np.int64)
    with pytest.raises(ArtifactError) as caught:
        rows_of(wanted, np.array(available, dtype=np.int64), what="regions")
    expected = f"regions: found no row for 1 of {len(wanted)} example ids (first: {missing}), "
    assert str(caught.value).startswith(expected)
