"""Losses on soft labels: by hand, against torch, NumPy and differences, properties, and limits."""

import re
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.errors import W2SError
from w2s.finetuning import track as config_finetuning
from w2s.finetuning.losses import FUNCTIONS, Loss
from w2s.finetuning.track import LOSSES, AuxiliaryConfig

LABELS = np.array([0.1, 0.2, 0.4, 0.7, 0.9, 0.3])
AT_ONCE = AuxiliaryConfig(coefficient=0.5, warmup=0, radius=0.3)
EVERY = pytest.mark.parametrize("name", LOSSES)
FEW = settings(max_examples=25, deadline=None)
LN3 = np.log(3)  # the logit of p = 3/4: -log p = .287682, -log(1 - p) = 1.386294
BATCH = st.lists(
    st.tuples(st.floats(-30, 30, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=20
).map(lambda batch: tuple(map(np.array, zip(*batch, strict=True))))


def tensor(values, dtype=torch.float32):
    return torch.tensor(np.asarray(values, dtype=np.float64), dtype=dtype)


def test_every_loss_that_is_declared_has_a_function() -> None:
    assert list(FUNCTIONS) == list(LOSSES)


def make(name, labels=LABELS, **changed):
    return Loss(name, labels, options=AT_ONCE.model_copy(update=changed))


def values_and_gradients(loss, logits, labels, progress=0.5, dtype=torch.float32):
    """Losses (b,), and the gradient of their sum (b,)."""
    z = tensor(logits, dtype).requires_grad_()
    found = loss(z, tensor(labels, dtype), progress=progress)
    assert found.shape == z.shape
    assert found.dtype == dtype
    found.sum().backward()
    return found.detach().numpy(), z.grad.numpy()


def in_numpy(name, z, y, *, c, threshold, radius):
    """The definitions in float64, with p itself."""
    p = 1 / (1 + np.exp(-z))

    def cross_entropy(target, source):
        return -target * np.log(source) - (1 - target) * np.log(1 - source)

    if name == "logconf":
        return cross_entropy((1 - c) * y + c * (p > 1 / (1 + np.exp(-threshold))), p)
    if name == "entropy":
        return (1 - c) * cross_entropy(y, p) + c * cross_entropy(p, p)
    if name == "kl":
        return y * np.log(y / p) + (1 - y) * np.log((1 - y) / (1 - p))
    if name == "window":
        return np.where(np.maximum(p, 1 - p) < 0.5 + radius, cross_entropy(y, p), 0)
    return cross_entropy(y, p)


# by hand: p = 3/4 and y = 1/2, so BCE is (.287682 + 1.386294) / 2 = .836988, and
# H(3/4) = .75 * .287682 + .25 * 1.386294 = .562335; H(1/2) = .693147


def gives(loss, batch, values, gradients):
    found, slope = values_and_gradients(loss, *batch)
    np.testing.assert_allclose(found, values, atol=2e-6)
    np.testing.assert_allclose(slope, gradients, atol=2e-6)


def test_by_hand():
    for name, value, gradient in (
        ("xent", 0.836988, 0.25),  # p - y
        ("logconf", 0.562335, 0.0),  # the target is (1/2 + 1) / 2 = 3/4 = p
        ("entropy", 0.699662, 0.125 - 0.102995),  # the mean; dH/dz = -log(3) * 3/4 * 1/4
        ("kl", 0.143841, 0.25),  # .836988 - .693147
        ("window", 0.836988, 0.25),  # 3/4 < .8
    ):
        gives(make(name), ([LN3], [0.5]), [value], [gradient])
    # below the threshold, outside the window, and in the warm-up
    gives(make("logconf"), ([-LN3], [0.5]), [0.562335], [0])  # the target is 1/4 = p
    loss = make("window", radius=0.2)  # 3/4 and 1/4 are outside, 1/2 inside
    gives(loss, ([LN3, 0, -LN3], [0.5, 1, 0.5]), [0, 0.693147, 0], [0, -0.5, 0])
    loss = make("logconf", coefficient=0.8, warmup=0.2)
    for progress, c in ((0, 0), (0.05, 0.2), (0.1, 0.4), (0.2, 0.8), (0.7, 0.8), (1, 0.8)):
        # the target is c, so the loss is 1.386294 - c log(3)
        gives(loss, ([LN3], [0.0], progress), [1.386294 - c * 1.098612], [0.75 - c])


# equal to references


@EVERY
@FEW
@given(data=st.data())
def test_it_is_the_formula_in_float64(name, data):
    pairs = data.draw(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.01, 0.99)), min_size=1))
    c = data.draw(st.floats(0, 1))
    logits, labels = np.array(pairs, dtype=np.float32).astype(np.float64).T
    logits[np.abs(np.abs(logits) - np.log(4)) < 1e-4] = 0  # p = .8 is the edge of the window
    loss = make(name, coefficient=c)
    loss.begin(tensor(np.linspace(-3.05, 3.95, 50)))  # no prediction is at the threshold
    logits[np.abs(logits - loss.threshold) < 1e-4] = 0
    expected = in_numpy(name, logits, labels, c=c, threshold=loss.threshold, radius=0.3)
    found, _ = values_and_gradients(loss, logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6)
    found, _ = values_and_gradients(loss, logits, labels, dtype=torch.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@EVERY
def test_the_gradient_is_that_of_differences(name):
    loss = make(name)
    loss.begin(tensor(np.linspace(-2.03, 2.9, 40)))
    z = tensor([-6, -2.5, -1.1, -0.3, 0, 0.2, 0.9, 1.3, 4, 7], torch.float64).requires_grad_()
    y = tensor([0, 1, 0.3, 0.5, 0.6, 0.2, 1, 0, 0.99, 0.4], torch.float64)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, y, progress=0.5), z)


# what a loss must be


@pytest.mark.parametrize("name", ["logconf", "entropy"])
@FEW
@given(batch=BATCH)
def test_coefficient_0_is_xent_to_the_bit(name, batch):
    for nothing, progress in (({"coefficient": 0}, 0.5), ({"warmup": 0.2}, 0.0)):
        loss = make(name, **nothing)
        loss.begin(tensor(batch[0]))
        found = values_and_gradients(loss, *batch, progress)
        plain = values_and_gradients(make("xent"), *batch, progress)
        for ours, xents in zip(found, plain, strict=True):
            assert ours.tobytes() == xents.tobytes()


@FEW
@given(st.lists(st.floats(0.001, 15) | st.floats(-15, -0.001), min_size=1))
def test_entropy_pushes_p_away_from_one_half(logits):
    _, slope = values_and_gradients(make("entropy", coefficient=1), logits, np.ones(len(logits)))
    assert (np.sign(slope) == -np.sign(logits)).all()  # a step against the gradient goes outwards


@FEW
@given(BATCH)
def test_logconf_has_the_gradient_of_a_fixed_target_and_kl_that_of_xent(batch):
    logits, labels = batch
    _, slope = values_and_gradients(make("logconf", coefficient=0.25), logits, labels)
    target = 0.75 * labels + 0.25 * (logits > 0)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-logits)) - target, atol=1e-6)
    found, slope = values_and_gradients(make("kl"), *batch)
    _, plain = values_and_gradients(make("xent"), *batch)
    assert slope.tobytes() == plain.tobytes()
    assert (found > -4e-6).all()  # KL is not below 0


@FEW
@given(st.lists(st.floats(-12, 12), min_size=1))
def test_kl_is_0_where_the_prediction_is_the_label(logits):
    labels = 1 / (1 + np.exp(-np.array(logits)))
    found, slope = values_and_gradients(make("kl"), logits, labels)
    np.testing.assert_allclose(found, 0, atol=3e-6)
    np.testing.assert_allclose(slope, 0, atol=3e-7)
    away, _ = values_and_gradients(make("kl"), np.array(logits) + 2, labels)
    assert (away > found - 3e-6).all()


@EVERY
@FEW
@given(seed=st.integers(0, 2**32 - 1), cuts=st.sets(st.integers(1, 31)))
def test_how_a_step_is_divided_changes_nothing(name, seed, cuts):
    rng = np.random.default_rng(seed)
    loss = make(name)
    z, y = tensor(rng.normal(size=32)), tensor(rng.random(32))
    loss.begin(z)
    together = loss(z, y, progress=0.5)
    rows = np.split(np.arange(32), sorted(cuts))
    apart = torch.cat([loss(z[r], y[r], progress=0.5) for r in rows])
    np.testing.assert_allclose(apart, together, rtol=2e-6, atol=1e-7)
    # other examples of a batch do not matter
    loss.begin(tensor([-1, 0.4, 2]))
    alone, _ = values_and_gradients(loss, [0.5], [0.2])
    beside, _ = values_and_gradients(loss, [9, 0.5, -9, 3], [1, 0.2, 0.5, 0])
    np.testing.assert_allclose(beside[1], alone[0], rtol=1e-6)


# the threshold


def hardened(loss, logits):
    """What the predictions harden to: with coefficient 1 the target, which is p - gradient."""
    _, slope = values_and_gradients(loss, logits, np.full(len(logits), 0.5))
    return 1 / (1 + np.exp(-np.asarray(logits))) - slope


@pytest.mark.parametrize(
    ("labels", "step", "logits", "expected"),
    [
        ([0.6, 0.6, 0.0], [5, 1, 4, 2, 3], [0, 3.4, 3.5, 3.6, 6], [0, 0, 0, 1, 1]),  # prior .4: 2
        ([0.1], [-2, 1, -1], [-2, 1, 1.1], [0, 0, 1]),  # .1 of 3 is nearest to none
        ([0.5], [30, 31, 32, 33], [30, 31, 32, 33], [0, 0, 1, 1]),  # p is 1 for all in float32
        ([0.5], [1.5] * 8, [1.5, 1.4, 1.6], [0, 0, 1]),  # equal ones to 0, others to their side
        ([1, 1], [-1, 0, 2], [-9, 0, 9], [1, 1, 1]),
        ([0, 0], [-1, 0, 2], [-9, 0, 2], [0, 0, 0]),
    ],
)
def test_by_hand_the_threshold(labels, step, logits, expected):
    loss = make("logconf", labels, coefficient=1)
    assert loss.threshold == 0
    loss.begin(tensor(step))
    np.testing.assert_allclose(hardened(loss, logits), expected, atol=1e-6)
    assert loss.threshold == 3.5 or len(step) != 5


def test_a_step_is_hardened_by_its_own_predictions_alone():
    loss = make("logconf", [0.5], coefficient=1)
    for z in ([2.0, 3, 4, 5], [-9.0, -8, -7, -6], [2.0, 3, 4, 5]):
        loss.begin(tensor(z))
        for _ in range(2):  # a call changes nothing
            np.testing.assert_allclose(hardened(loss, z), [0, 0, 1, 1], atol=1e-6)
    rng = np.random.default_rng(2)
    for shift in range(40):  # a threshold of steps before it would harden all to 1
        z = rng.normal(3.0 * shift, 1, 32)
        loss.begin(tensor(z))
        assert np.mean(hardened(loss, z) > 0.5) == 0.5


@FEW
@given(
    st.lists(st.floats(0, 1), min_size=1),
    st.lists(st.floats(-50, 50, width=32), min_size=1, unique=True),
)
def test_the_share_above_the_threshold_is_the_prior(labels, predictions):
    loss = make("logconf", labels)
    loss.begin(tensor(predictions))
    above = np.count_nonzero(np.array(predictions) > loss.threshold)
    assert abs(above - loss.prior * len(predictions)) <= 0.5 + 1e-9


@FEW
@given(
    st.floats(0, 0.999), st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 40.0, 90.0]), min_size=1)
)
def test_with_ties_as_many_are_above_as_the_prior_allows(prior, predictions):
    loss = make("logconf", [prior])
    loss.begin(tensor(predictions))
    allowed = int(prior * len(predictions) + 0.5)
    predictions = np.array(predictions)
    smallest = min(v for v in predictions if np.count_nonzero(predictions > v) <= allowed)
    expected = (predictions > smallest) | (allowed == len(predictions))
    np.testing.assert_array_equal(predictions > loss.threshold, expected)


def test_hardened_positives_are_as_frequent_as_in_the_labels():
    for prior in (0.1, 0.3, 0.5, 0.8):
        rng = np.random.default_rng(0)
        labels = rng.beta(2 * prior, 2 * (1 - prior), 5000)
        loss, positive = make("logconf", labels, coefficient=1), []
        for _ in range(200):
            z = rng.normal(-1, 2, 32)  # p is below 1/2 for most, whatever the prior
            loss.begin(tensor(z))
            positive.extend(hardened(loss, z) > 0.5)
        assert abs(np.mean(positive) - prior) < 0.02, prior


def test_neighbouring_numbers_are_told_apart_and_rounding_moves_no_text_that_comes_again():
    for low in np.float32([1, 1.0000001, -7.3, 0, 3e38]):
        high = np.nextafter(low, np.float32(np.inf))
        loss = make("logconf", [0.5], coefficient=1)
        loss.begin(torch.tensor([high, low]))
        assert low <= loss.threshold < high
    rng = np.random.default_rng(1)
    loss, z = make("logconf", coefficient=1), rng.normal(size=64)
    loss.begin(tensor(z))
    before = hardened(loss, z)
    for noise in rng.uniform(-1e-6, 1e-6, size=(20, 64)):
        np.testing.assert_allclose(hardened(loss, z + noise), before, atol=1e-5)


def test_nothing_is_remembered_beyond_a_step_and_what_is_holds_no_graph_and_is_a_copy():
    loss = make("logconf")
    for size in (32, 5, 32):
        loss.begin(torch.linspace(-1, 1, size))
        assert sum(len(a) for a in vars(loss).values() if isinstance(a, np.ndarray)) == size
    loss, z = make("logconf", [0.5]), tensor([1, 2, 3]).requires_grad_()
    loss.begin(z * 1)
    with torch.no_grad():
        z.zero_()
    assert loss.threshold == 1.5


# limits


@EVERY
def test_extreme_logits_and_hard_labels_are_finite_but_nan_is_not_hidden(name):
    logits = np.array([1e4, -1e4, 1e4, -1e4, 100, -100, 0, 1e-30])
    labels = np.array([1, 0, 0, 1, 0.5, 0.25, 0, 1])
    loss = make(name)
    for _ in range(2):
        found, slope = values_and_gradients(loss, logits, labels)
        assert np.isfinite(found).all()
        assert np.isfinite(slope).all()
        assert (np.abs(slope) <= 1).all()
        assert (found >= 0).all()
        loss.begin(tensor(logits))
    found, _ = values_and_gradients(make(name), [np.nan, 0.1], [0.5, 0.5])
    assert np.isnan(found).tolist() == [True, False]


def test_extreme_values_by_hand():
    logits, labels = [1e4, -1e4, 1e4, -1e4], [1, 0, 0, 0.25]
    right = {"xent": [0, 0, 1e4, 2500], "kl": [0, 0, 1e4, 2500 - 0.562335], "window": [0] * 4}
    right["entropy"] = [0, 0, 5000, 1250]  # entropy itself is 0
    right["logconf"] = [0, 0, 5000, 1250]  # own predictions are 1 0 1 0
    for name, expected in right.items():
        found, _ = values_and_gradients(make(name), logits, labels)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@EVERY
def test_no_examples_and_16_bit_logits(name):
    for dtype in (torch.bfloat16, torch.float16):
        loss, z, y = make(name), tensor([-3.3, 0.7, 2.1], dtype), tensor([0.1, 0.55, 1])
        loss.begin(z)
        found = loss(z, y, progress=0.5)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found, loss(z.float(), y, progress=0.5))
    loss = make(name)
    loss.begin(torch.empty(0))
    assert loss(torch.empty(0), torch.empty(0), progress=0.5).shape == (0,)
    assert loss.threshold == 0


def refused(message, call, *args, **options):
    with pytest.raises(W2SError, match=re.escape(message)) as caught:
        call(*args, **options)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_is_refused_in_one_line(subtests):
    for name, labels, message in (
        ("hinge", [0.5], "loss: found hinge, expected one of xent, logconf, entropy, kl"),
        ("xent", [], "training labels: found none, expected at least one"),
        ("xent", [0.5, 1.1], "training labels: found values in [0.5, 1.1], expected [0, 1]"),
        ("xent", [0.5, np.nan], "training labels: found 1 values that are NaN"),
        ("xent", [[0.5]], "training labels: found 2 dimensions"),
    ):
        with subtests.test(message):
            refused(message, Loss, name, labels)
    for logits, labels, progress, message in (
        ((4, 1), (4,), 0, "logits and labels: found shapes (4, 1) and (4,), expected (b,)"),
        ((4,), (3,), 0, "logits and labels: found shapes (4,) and (3,), expected (b,)"),
        ((4,), (4,), 1.1, "progress: found 1.1, expected a number from 0 to 1"),
        ((4,), (4,), np.nan, "progress: found nan, expected a number from 0 to 1"),
    ):
        with subtests.test(message):
            batch = (torch.zeros(logits), torch.zeros(labels))
            refused(message, make("xent"), *batch, progress=progress)
    message = "logits: found 1 values that are NaN or infinite"
    refused(message, make("logconf").begin, tensor([0, np.nan]))


def test_names_and_defaults_are_those_of_the_configuration():
    assert get_args(config_finetuning.LossName) == tuple(LOSSES)
    assert Loss("xent", LABELS).options == AuxiliaryConfig()
