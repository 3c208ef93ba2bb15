"""Losses on soft labels: by hand, against torch, NumPy and differences, properties, and limits."""

import re
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from w2s import config_finetuning
from w2s.errors import DegenerateError, W2SError
from w2s.models.losses import BUFFER, LOSSES, Loss, LossOptions

LABELS = np.array([0.1, 0.2, 0.4, 0.7, 0.9, 0.3])
AT_ONCE = LossOptions(coefficient=0.5, warmup=0, radius=0.3)
EVERY = pytest.mark.parametrize("name", LOSSES)
FEW = settings(max_examples=25, deadline=None)
LN3 = np.log(3)  # the logit of p = 3/4: -log p = .287682, -log(1 - p) = 1.386294
BATCH = st.lists(
    st.tuples(st.floats(-30, 30, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=20
)


def tensor(values, dtype=torch.float32):
    return torch.tensor(np.asarray(values, dtype=np.float64), dtype=dtype)


def make(name, labels=LABELS, buffer=BUFFER, **changed):
    return Loss(name, labels, options=replace(AT_ONCE, **changed), buffer=buffer)


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


@pytest.mark.parametrize(
    ("name", "value", "gradient"),
    [
        ("xent", 0.836988, 0.25),  # p - y
        ("logconf", 0.562335, 0.0),  # the target is (1/2 + 1) / 2 = 3/4 = p
        ("entropy", 0.699662, 0.125 - 0.102995),  # the mean; dH/dz = -log(3) * 3/4 * 1/4
        ("kl", 0.143841, 0.25),  # .836988 - .693147
        ("window", 0.836988, 0.25),  # 3/4 < .8
    ],
)
def test_by_hand(name, value, gradient):
    found, slope = values_and_gradients(make(name), [LN3], [0.5])
    np.testing.assert_allclose(found, [value], atol=2e-6)
    np.testing.assert_allclose(slope, [gradient], atol=2e-6)


def test_by_hand_a_prediction_below_the_threshold():
    found, slope = values_and_gradients(make("logconf"), [-LN3], [0.5])  # the target is 1/4 = p
    np.testing.assert_allclose(found, [0.562335], atol=2e-6)
    np.testing.assert_allclose(slope, [0], atol=2e-6)


def test_by_hand_outside_the_window():
    loss = make("window", radius=0.2)  # 3/4 and 1/4 are outside, 1/2 inside
    found, slope = values_and_gradients(loss, [LN3, 0, -LN3], [0.5, 1, 0.5])
    np.testing.assert_allclose(found, [0, 0.693147, 0], atol=2e-6)
    np.testing.assert_allclose(slope, [0, -0.5, 0], atol=2e-6)


def test_by_hand_the_warm_up():
    loss = make("logconf", coefficient=0.8, warmup=0.2)
    y, z = 0.0, LN3  # the target is c, so the loss is 1.386294 - c log(3)
    for progress, c in ((0, 0), (0.05, 0.2), (0.1, 0.4), (0.2, 0.8), (0.7, 0.8), (1, 0.8)):
        found, slope = values_and_gradients(loss, [z], [y], progress)
        np.testing.assert_allclose(found, [1.386294 - c * 1.098612], atol=2e-6)
        np.testing.assert_allclose(slope, [0.75 - c], atol=2e-6)


# equal to references


@FEW
@given(BATCH)
def test_xent_is_torchs(batch):
    logits, labels = map(np.array, zip(*batch, strict=True))
    found, _ = values_and_gradients(make("xent"), logits, labels)
    peer = functional.binary_cross_entropy_with_logits(tensor(logits), tensor(labels))
    np.testing.assert_allclose(found.mean(), peer, rtol=1e-5)


@EVERY
@FEW
@given(data=st.data())
def test_it_is_the_formula_in_float64(name, data):
    pairs = data.draw(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.01, 0.99)), min_size=1))
    c = data.draw(st.floats(0, 1))
    logits, labels = np.array(pairs, dtype=np.float32).astype(np.float64).T
    logits[np.abs(np.abs(logits) - np.log(4)) < 1e-4] = 0  # p = .8 is the edge of the window
    loss = make(name, coefficient=c)
    loss.step_done(tensor(np.linspace(-3.05, 3.95, 50)))  # no prediction is at the threshold
    logits[np.abs(logits - loss.threshold) < 1e-4] = 0
    expected = in_numpy(name, logits, labels, c=c, threshold=loss.threshold, radius=0.3)
    found, _ = values_and_gradients(loss, logits, labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6)
    found, _ = values_and_gradients(loss, logits, labels, dtype=torch.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@EVERY
def test_the_gradient_is_that_of_differences(name):
    loss = make(name)
    loss.step_done(tensor(np.linspace(-2.03, 2.9, 40)))
    z = tensor([-6, -2.5, -1.1, -0.3, 0, 0.2, 0.9, 1.3, 4, 7], torch.float64).requires_grad_()
    y = tensor([0, 1, 0.3, 0.5, 0.6, 0.2, 1, 0, 0.99, 0.4], torch.float64)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, y, progress=0.5), z)


# what a loss must be


@pytest.mark.parametrize("name", ["logconf", "entropy"])
@pytest.mark.parametrize("nothing", [{"coefficient": 0}, {"warmup": 0.2}])
@FEW
@given(batch=BATCH)
def test_coefficient_0_is_xent_to_the_bit(name, nothing, batch):
    logits, labels = map(np.array, zip(*batch, strict=True))
    progress = 0.0 if "warmup" in nothing else 0.5
    loss = make(name, **nothing)
    loss.step_done(tensor(logits))
    found = values_and_gradients(loss, logits, labels, progress)
    plain = values_and_gradients(make("xent"), logits, labels, progress)
    for ours, xents in zip(found, plain, strict=True):
        assert ours.tobytes() == xents.tobytes()


@pytest.mark.parametrize("name", ["logconf", "entropy"])
def test_a_small_coefficient_is_near_xent_and_a_large_one_is_not(name):
    logits, labels = [2.0, -1.0], [0.2, 0.6]
    plain, _ = values_and_gradients(make("xent"), logits, labels)
    near, _ = values_and_gradients(make(name, coefficient=1e-5), logits, labels)
    far, _ = values_and_gradients(make(name, coefficient=0.5), logits, labels)
    np.testing.assert_allclose(near, plain, atol=1e-4)
    assert (np.abs(far - plain) > 0.1).all()


@FEW
@given(st.lists(st.floats(0.001, 15) | st.floats(-15, -0.001), min_size=1))
def test_entropy_pushes_p_away_from_one_half(logits):
    _, slope = values_and_gradients(make("entropy", coefficient=1), logits, np.ones(len(logits)))
    assert (np.sign(slope) == -np.sign(logits)).all()  # a step against the gradient goes outwards


@FEW
@given(BATCH)
def test_logconf_has_the_gradient_of_a_fixed_target(batch):
    logits, labels = map(np.array, zip(*batch, strict=True))
    _, slope = values_and_gradients(make("logconf", coefficient=0.25), logits, labels)
    target = 0.75 * labels + 0.25 * (logits > 0)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(-logits)) - target, atol=1e-6)


@FEW
@given(BATCH)
def test_kl_has_the_gradient_of_xent_and_is_not_below_0(batch):
    logits, labels = map(np.array, zip(*batch, strict=True))
    found, slope = values_and_gradients(make("kl"), logits, labels)
    _, plain = values_and_gradients(make("xent"), logits, labels)
    assert slope.tobytes() == plain.tobytes()
    assert (found > -4e-6).all()


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
    whole, divided = make(name, buffer=50), make(name, buffer=50)
    for step in range(3):
        z, y = tensor(rng.normal(size=32)), tensor(rng.random(32))
        together = whole(z, y, progress=step / 3)
        whole.step_done(z)
        rows = np.split(np.arange(32), sorted(cuts))
        apart = torch.cat([divided(z[r], y[r], progress=step / 3) for r in rows])
        divided.step_done(z)
        np.testing.assert_allclose(apart, together, rtol=2e-6, atol=1e-7)


@EVERY
def test_other_examples_of_a_batch_do_not_matter(name):
    loss = make(name)
    loss.step_done(tensor([-1, 0.4, 2]))
    alone, _ = values_and_gradients(loss, [0.5], [0.2])
    beside, _ = values_and_gradients(loss, [9, 0.5, -9, 3], [1, 0.2, 0.5, 0])
    np.testing.assert_allclose(beside[1], alone[0], rtol=1e-6)


# the threshold


def hardened(loss, logits):
    """What the predictions harden to: with coefficient 1 the target, which is p - gradient."""
    _, slope = values_and_gradients(loss, logits, np.full(len(logits), 0.5))
    return 1 / (1 + np.exp(-np.asarray(logits))) - slope


def test_by_hand_the_threshold():
    loss = make("logconf", [0.6, 0.6, 0.0], coefficient=1)  # the prior is .4
    assert loss.threshold == 0
    loss.step_done(tensor([5, 1, 4, 2, 3]))  # .4 of 5 are 2: those above 3
    assert loss.threshold == 3.5
    np.testing.assert_allclose(hardened(loss, [0, 3.4, 3.5, 3.6, 6]), [0, 0, 0, 1, 1], atol=1e-6)


def test_a_step_is_hardened_by_the_steps_before_it():
    loss = make("logconf", [0.5], coefficient=1)
    z = [2.0, 3, 4, 5]
    np.testing.assert_allclose(hardened(loss, z), 1, atol=1e-6)  # above 1/2
    np.testing.assert_allclose(hardened(loss, z), 1, atol=1e-6)  # a call alone changes nothing
    loss.step_done(tensor(z))
    np.testing.assert_allclose(hardened(loss, z), [0, 0, 1, 1], atol=1e-6)


@FEW
@given(
    st.lists(st.floats(0, 1), min_size=1),
    st.lists(st.floats(-50, 50, width=32), min_size=1, unique=True),
)
def test_the_share_above_the_threshold_is_the_prior(labels, predictions):
    loss = make("logconf", labels, buffer=len(predictions))
    loss.step_done(tensor(predictions))
    above = np.count_nonzero(np.array(predictions) > loss.threshold)
    assert above <= loss.prior * len(predictions) + 1e-5
    assert above + 1 > loss.prior * len(predictions)


@FEW
@given(
    st.floats(0, 0.999),
    st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 40.0, 90.0]), min_size=1),
)
def test_with_ties_as_many_are_above_as_the_prior_allows(prior, predictions):
    loss = make("logconf", [prior], buffer=len(predictions))
    loss.step_done(tensor(predictions))
    allowed = prior * len(predictions) + 1e-6
    predictions = np.array(predictions)
    smallest = min(v for v in predictions if np.count_nonzero(predictions > v) <= allowed)
    np.testing.assert_array_equal(predictions > loss.threshold, predictions > smallest)


@pytest.mark.parametrize("prior", [0.1, 0.3, 0.5, 0.8])
def test_hardened_positives_are_as_frequent_as_in_the_labels(prior):
    rng = np.random.default_rng(0)
    labels = rng.beta(2 * prior, 2 * (1 - prior), 5000)
    loss, positive = make("logconf", labels, coefficient=1), []
    for step in range(200):
        z = rng.normal(-1, 2, 32)  # p is below 1/2 for most, whatever the prior
        if step * 32 >= BUFFER:
            positive.extend(hardened(loss, z) > 0.5)
        loss.step_done(tensor(z))
    assert abs(np.mean(positive) - prior) < 0.02


def test_where_the_prior_allows_none_the_largest_is_the_threshold():
    loss = make("logconf", [0.3], coefficient=1)
    loss.step_done(tensor([-2, 1, -1]))  # .3 of 3 is less than one
    np.testing.assert_allclose(hardened(loss, [-2, 1, 1.1]), [0, 0, 1], atol=1e-6)


def test_saturated_predictions_keep_their_order():
    loss = make("logconf", [0.5], coefficient=1)
    z = [30.0, 31, 32, 33]  # p is 1 for all in float32
    loss.step_done(tensor(z))
    targets = tensor(hardened(loss, z))
    np.testing.assert_allclose(targets, [0, 0, 1, 1], atol=1e-6)


def test_neighbouring_numbers_are_told_apart():
    for low in np.float32([1, 1.0000001, -7.3, 0, 3e38]):
        high = np.nextafter(low, np.float32(np.inf))
        loss = make("logconf", [0.5], coefficient=1)
        loss.step_done(torch.tensor([high, low]))
        assert low <= loss.threshold < high


def test_rounding_does_not_move_a_text_that_comes_again():
    rng = np.random.default_rng(1)
    loss, z = make("logconf", coefficient=1), rng.normal(size=64)
    loss.step_done(tensor(z))
    before = hardened(loss, z)
    for noise in rng.uniform(-1e-6, 1e-6, size=(20, 64)):
        np.testing.assert_allclose(hardened(loss, z + noise), before, atol=1e-5)


def test_equal_predictions_harden_to_0_and_others_to_their_side():
    loss = make("logconf", [0.5], coefficient=1)
    loss.step_done(tensor([1.5] * 8))
    np.testing.assert_allclose(hardened(loss, [1.5, 1.4, 1.6]), [0, 0, 1], atol=1e-6)


def test_one_class_only():
    ones, zeros = make("logconf", [1, 1], coefficient=1), make("logconf", [0, 0], coefficient=1)
    for loss in (ones, zeros):
        loss.step_done(tensor([-1, 0, 2]))
    np.testing.assert_allclose(hardened(ones, [-9, 0, 9]), [1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(hardened(zeros, [-9, 0, 2]), [0, 0, 0], atol=1e-6)


@FEW
@given(st.integers(1, 40), st.lists(st.integers(0, 60), max_size=12))
def test_the_buffer_holds_the_last_predictions_and_no_more(buffer, steps):
    loss, everything = make("logconf", buffer=buffer), np.empty(0, dtype=np.float32)
    for size in steps:
        new = np.arange(len(everything), len(everything) + size, dtype=np.float32)
        loss.step_done(torch.from_numpy(new))
        everything = np.concatenate([everything, new])
        assert len(loss.state()["recent"]) <= buffer
        np.testing.assert_array_equal(loss.state()["recent"], everything[-buffer:])


def test_only_logconf_remembers():
    for name in LOSSES:
        loss = make(name)
        for _ in range(40):
            loss.step_done(torch.linspace(-1, 1, 32))
        assert len(loss.state()["recent"]) == (BUFFER if name == "logconf" else 0)


def test_what_is_remembered_holds_no_graph_and_is_a_copy():
    loss, z = make("logconf"), tensor([1, 2, 3]).requires_grad_()
    loss.step_done(z * 1)
    with torch.no_grad():
        z.zero_()
    loss.state()["recent"][:] = 7
    np.testing.assert_array_equal(loss.state()["recent"], [1, 2, 3])
    given = np.ones(2, dtype=np.float32)
    loss.restore({"recent": given})
    given[:] = 7
    np.testing.assert_array_equal(loss.state()["recent"], [1, 1])


# a killed training


@EVERY
def test_a_restored_loss_goes_on_with_the_same_numbers(name):
    rng = np.random.default_rng(3)
    batches = [(tensor(rng.normal(size=16)), tensor(rng.random(16))) for _ in range(20)]
    whole, first = make(name, buffer=40, warmup=0.5), make(name, buffer=40, warmup=0.5)

    def go_on(loss, start, stop):
        found = []
        for step in range(start, stop):
            found.append(loss(*batches[step], progress=step / 20).numpy())
            loss.step_done(batches[step][0])
        return found

    expected = go_on(whole, 0, 20)
    start = go_on(first, 0, 7)
    resumed = make(name, buffer=40, warmup=0.5)
    resumed.restore(first.state())
    go_on(first, 7, 9)  # must not reach into the restored one
    for found, right in zip(start + go_on(resumed, 7, 20), expected, strict=True):
        assert found.tobytes() == right.tobytes()
    np.testing.assert_array_equal(resumed.state()["recent"], whole.state()["recent"])


@pytest.mark.parametrize(
    ("name", "state", "message"),
    [
        ("logconf", {"old": np.zeros(3)}, "loss state: found ['old'], expected recent"),
        ("logconf", {"recent": np.zeros(5)}, "loss state: found 5 predictions, expected at most 4"),
        ("xent", {"recent": np.zeros(1)}, "loss state: found 1 predictions, expected at most 0"),
        ("logconf", {"recent": np.array([np.nan])}, "loss state: found 1 values that are NaN"),
        ("logconf", {"recent": np.zeros((2, 2))}, "loss state: found 2 dimensions"),
    ],
)
def test_a_foreign_state_is_refused(name, state, message):
    loss = make(name, buffer=4)
    with pytest.raises(W2SError, match=re.escape(message)):
        loss.restore(state)


# the window


def test_the_median_is_that_of_all_labels():
    loss = make("window", [0.5, 0.45, 0.3, 0.9, 1.0], radius="median")  # 0 .05 .2 .4 .5
    assert loss.radius == pytest.approx(0.2)
    logit = np.log(0.7 / 0.3)
    found, _ = values_and_gradients(loss, [logit - 0.01, logit + 0.01, -logit + 0.01], [1, 1, 0])
    assert (found > 0).tolist() == [True, False, True]


def test_the_edge_of_the_window_is_outside():
    inside = make("window", radius=0.25)
    edge = tensor([LN3, -LN3], torch.float64)
    p = torch.sigmoid(edge.abs())
    assert float(inside(edge * (1 - 1e-9), edge * 0, progress=0).min()) > 0
    exact = make("window", radius=float(p[0]) - 0.5)
    assert float(exact(edge, edge * 0, progress=0).max()) == 0


def test_with_hard_labels_the_window_leaves_out_saturated_predictions_only():
    loss = make("window", [0, 1, 1, 0], radius="median")
    assert loss.radius == 0.5
    found, _ = values_and_gradients(loss, [-20, -16, 0, 16, 20], [1, 1, 1, 0, 0])
    np.testing.assert_allclose(found, [0, 16, 0.693147, 16, 0], rtol=1e-6)


def test_a_batch_outside_the_window_has_loss_and_gradient_0():
    found, slope = values_and_gradients(make("window", radius=0.1), [5, -5, 1e4, -1e4], [0, 1] * 2)
    assert found.tolist() == slope.tolist() == [0, 0, 0, 0]


def test_a_window_that_nothing_is_in_is_refused():
    with pytest.raises(DegenerateError, match="median"):
        make("window", [0.5, 0.5, 1], radius="median")
    assert make("window", [0.5, 0.5, 1], radius=0.1).radius == 0.1
    make("xent", [0.5, 0.5, 1], radius="median")  # has no window


# limits


@EVERY
def test_extreme_logits_and_hard_labels_are_finite(name):
    logits = np.array([1e4, -1e4, 1e4, -1e4, 100, -100, 0, 1e-30])
    labels = np.array([1, 0, 0, 1, 0.5, 0.25, 0, 1])
    loss = make(name)
    for _ in range(2):
        found, slope = values_and_gradients(loss, logits, labels)
        assert np.isfinite(found).all()
        assert np.isfinite(slope).all()
        assert (np.abs(slope) <= 1).all()
        assert (found >= 0).all()
        loss.step_done(tensor(logits))


def test_extreme_values_by_hand():
    logits, labels = [1e4, -1e4, 1e4, -1e4], [1, 0, 0, 0.25]
    right = {"xent": [0, 0, 1e4, 2500], "kl": [0, 0, 1e4, 2500 - 0.562335], "window": [0] * 4}
    right["entropy"] = [0, 0, 5000, 1250]  # entropy itself is 0
    right["logconf"] = [0, 0, 5000, 1250]  # own predictions are 1 0 1 0
    for name, expected in right.items():
        found, _ = values_and_gradients(make(name), logits, labels)
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@EVERY
def test_nan_is_not_hidden(name):
    found, _ = values_and_gradients(make(name), [np.nan, 0.1], [0.5, 0.5])
    assert np.isnan(found).tolist() == [True, False]


def test_logconf_refuses_to_remember_nan():
    with pytest.raises(W2SError, match="logits: found 1 values that are NaN or infinite"):
        make("logconf").step_done(tensor([0, np.nan]))


@EVERY
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bit_logits_give_float32_losses(name, dtype):
    loss, z, y = make(name), tensor([-3.3, 0.7, 2.1], dtype), tensor([0.1, 0.55, 1])
    loss.step_done(z)
    found = loss(z, y, progress=0.5)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found, loss(z.float(), y, progress=0.5))


@EVERY
def test_no_examples(name):
    loss = make(name)
    loss.step_done(torch.empty(0))
    assert loss(torch.empty(0), torch.empty(0), progress=0.5).shape == (0,)
    assert loss.threshold == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coefficient": -0.1}, "coefficient: found -0.1, expected a number from 0 to 1"),
        ({"coefficient": 1.5}, "coefficient: found 1.5, expected a number from 0 to 1"),
        ({"coefficient": np.nan}, "coefficient: found nan, expected a number from 0 to 1"),
        ({"warmup": 2}, "warmup: found 2, expected a number from 0 to 1"),
        ({"radius": 0}, "radius: found 0, expected a number above 0 and up to 0.5, or median"),
        ({"radius": 0.6}, "radius: found 0.6, expected a number above 0 and up to 0.5, or median"),
        ({"radius": "mean"}, "radius: found mean, expected a number above 0"),
    ],
)
def test_options_out_of_range_are_refused(changed, message):
    with pytest.raises(W2SError, match=re.escape(message)):
        LossOptions(**changed)


@pytest.mark.parametrize(
    ("name", "labels", "buffer", "message"),
    [
        ("hinge", [0.5], 4, "loss: found hinge, expected one of xent, logconf, entropy, kl"),
        ("xent", [], 4, "training labels: found none, expected at least one"),
        ("xent", [0.5, 1.1], 4, "training labels: found values in [0.5, 1.1], expected [0, 1]"),
        ("xent", [0.5, np.nan], 4, "training labels: found 1 values that are NaN"),
        ("xent", [[0.5]], 4, "training labels: found 2 dimensions"),
        ("logconf", [0.5], 0, "loss buffer: found 0, expected 1 or more predictions"),
    ],
)
def test_wrong_input_is_refused_in_one_line(name, labels, buffer, message):
    with pytest.raises(W2SError, match=re.escape(message)) as caught:
        Loss(name, labels, buffer=buffer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("logits", "labels", "progress", "message"),
    [
        ((4, 1), (4,), 0, "logits and labels: found shapes (4, 1) and (4,), expected (b,)"),
        ((4,), (3,), 0, "logits and labels: found shapes (4,) and (3,), expected (b,)"),
        ((4,), (4,), 1.1, "progress: found 1.1, expected a number from 0 to 1"),
        ((4,), (4,), np.nan, "progress: found nan, expected a number from 0 to 1"),
    ],
)
def test_a_wrong_call_is_refused(logits, labels, progress, message):
    with pytest.raises(W2SError, match=re.escape(message)):
        make("xent")(torch.zeros(logits), torch.zeros(labels), progress=progress)


def test_names_and_defaults_are_those_of_the_configuration():
    assert get_args(config_finetuning.LossName) == LOSSES
    assert LossOptions(**config_finetuning.AuxiliaryConfig().model_dump()) == LossOptions()
    assert Loss("xent", LABELS).options == LossOptions()
