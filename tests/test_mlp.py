"""Networks trained together: equal to one plain torch loop each, planted labels, and limits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from w2s.errors import W2SError
from w2s.overlap.controls import Pool, whole_pool_runs
from w2s.overlap.detect import detect_overlap
from w2s.overlap.strong import train
from w2s.probes import mlp
from w2s.probes.mlp import MLPs, fit_mlps
from w2s.rng import stream

N, D, M = 150, 12, 60
SIZES = (100, 33, 150, 64, 97)  # minibatches that are full, of one row, of some


def problem(seed=0):
    """A matrix, hard labels that it tells, columns of training rows, and test points."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N + M, D)) * rng.uniform(0.1, 9, D) + rng.normal(size=D) * 3
    centred = (x - x.mean(0)) / x.std(0)
    label = (centred[:, 0] * centred[:, 1] + 0.3 * rng.normal(size=N + M) > 0).astype(float)
    used = np.zeros((N, len(SIZES)))
    for j, size in enumerate(SIZES):
        used[rng.permutation(N)[:size], j] = 1
    return x[:N].astype(np.float32), label[:N], used, x[N:].astype(np.float32), label[N:]


def torch_loop(x, label, rows, *, seed, name):
    """One network by torch.nn, torch.optim and nothing else, with the draws of its name."""
    mean, std = x.astype(np.float64).mean(0), x.astype(np.float64).std(0)
    features = torch.tensor((x - mean) / std, dtype=torch.float32)
    start, order = (stream(seed, "mlp", name, what) for what in ("start", "order"))
    modules = []
    for inputs, outputs in ((x.shape[1], 32), (32, 32), (32, 32), (32, 1)):
        linear = torch.nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(start.uniform(-1, 1, (inputs, outputs)).T))
            linear.bias.copy_(torch.tensor(start.uniform(-1, 1, outputs)))
            for parameter in linear.parameters():
                parameter /= inputs**0.5
        modules += [linear, torch.nn.ReLU()]
    net = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    target = torch.tensor(label, dtype=torch.float32)
    for _ in range(10):
        shuffled = order.permutation(rows)
        for first in range(0, len(rows), 32):
            batch = torch.tensor(shuffled[first : first + 32])
            optimizer.zero_grad()
            logits = net(features[batch])[:, 0]
            torch.nn.BCEWithLogitsLoss()(logits, target[batch]).backward()
            optimizer.step()

    def apply(points):
        """P(y = 1) and the last hidden layer."""
        with torch.no_grad():
            hidden = net[:-1](torch.tensor((points - mean) / std, dtype=torch.float32))
            return torch.sigmoid(net[-1](hidden))[:, 0].numpy(), hidden.numpy()

    return apply


def test_each_is_what_a_plain_loop_gives():
    x, label, used, points, _ = problem()
    names = [f"set {j}" for j in range(len(SIZES))]
    found = fit_mlps(x, label, used, seed=7, names=names)
    proba = found.predict_proba(points)
    assert proba.shape == (M, len(SIZES))
    for j, name in enumerate(names):
        alone = torch_loop(x, label, np.flatnonzero(used[:, j]), seed=7, name=name)
        expected, hidden = alone(points)
        np.testing.assert_allclose(proba[:, j], expected, atol=1e-4)
        np.testing.assert_allclose(found.hidden(points, column=j), hidden, atol=1e-3)


def test_one_step_by_hand(monkeypatch):
    monkeypatch.setattr(mlp, "EPOCHS", 1)
    x = np.array([[-1.0], [1.0]], dtype=np.float32)
    rng = stream(0, "mlp", "a", "start")
    shapes = ((1, 32), (1, 32), (32, 32), (1, 32), (32, 32), (1, 32), (32, 1), (1, 1))
    start = [rng.uniform(-1, 1, s) / (1 if i < 2 else 32**0.5) for i, s in enumerate(shapes)]
    hidden = x
    for number in (0, 2, 4):
        hidden = np.maximum(hidden @ start[number] + start[number + 1], 0)
    logit = (hidden @ start[6] + start[7])[:, 0]
    slope = (1 / (1 + np.exp(-logit)) - [0, 1]).mean()  # of the loss in the last bias
    found = fit_mlps(x, [0.0, 1.0], seed=0, names=["a"])
    # Adam's first step has the size of the rate, against the sign of the slope
    assert found.layers[7][0, 0, 0] == pytest.approx(start[7][0, 0] - 1e-3 * np.sign(slope))


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.permutations(range(len(SIZES))), st.integers(1, 5))
def test_a_network_does_not_depend_on_those_beside_it(seed, turn, group):
    x, label, used, points, _ = problem(seed)
    together = fit_mlps(x, label, used, seed=seed)
    kept = turn[:3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "GROUP", group)
        fewer = fit_mlps(x, label, used[:, kept], seed=seed)
    expected = together.predict_proba(points)[:, kept]
    np.testing.assert_allclose(fewer.predict_proba(points), expected, atol=1e-4)


def test_equal_sets_give_equal_networks_and_names_and_seeds_give_others():
    x, label, used, points, _ = problem()
    twice = np.column_stack([used[:, 0], used[:, 0]])
    proba = fit_mlps(x, label, twice, seed=0).predict_proba(points)
    np.testing.assert_allclose(proba[:, 0], proba[:, 1], atol=1e-6)
    named = fit_mlps(x, label, twice, seed=0, names=["a", "b"]).predict_proba(points)
    assert np.abs(named[:, 0] - named[:, 1]).max() > 0.01
    other = fit_mlps(x, label, twice, seed=1).predict_proba(points)
    assert np.abs(other - proba).max() > 0.01
    first, second = (fit_mlps(x, label, used, seed=0) for _ in range(2))
    for one, two in zip(first.layers, second.layers, strict=True):
        assert one.tobytes() == two.tobytes()


def test_what_is_not_a_training_row_does_not_matter_but_for_the_standard():
    x, label, used, points, _ = problem()
    noise = np.where(used[:, :1] == 1, label[:, None], 1 - label[:, None])
    first = fit_mlps(x, label[:, None], used[:, :1], seed=0)
    second = fit_mlps(x, noise, used[:, :1], seed=0)
    np.testing.assert_array_equal(first.predict_proba(points), second.predict_proba(points))


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100))
def test_units_of_the_features_do_not_matter(seed, scale):
    x, label, used, points, _ = problem(seed)
    first = fit_mlps(x, label, used[:, :1], seed=0).predict_proba(points)
    other = fit_mlps(scale * x + 2, label, used[:, :1], seed=0).predict_proba(scale * points + 2)
    np.testing.assert_allclose(other, first, atol=0.01)


def test_soft_targets_are_trained_on_as_hard_ones():
    x, label, _, points, _ = problem()
    soft = np.where(label == 1, 0.51, 0.49)
    first, second = (fit_mlps(x, y, seed=0).predict_proba(points) for y in (label, soft))
    assert first.shape == (M,)
    np.testing.assert_array_equal(first, second)


def test_a_row_of_exactly_one_half_is_left_out():
    x, label, _, points, _ = problem()
    kept = np.random.default_rng(3).random(N) < 0.8
    halves = np.where(kept, label, 0.5)
    first = fit_mlps(x, halves, seed=0)
    for y in (label, 1 - label, halves):  # of what is not kept, any label
        mixed = np.where(kept, label, y)
        second = fit_mlps(x, mixed, kept.astype(float), seed=0)
        np.testing.assert_array_equal(first.predict_proba(points), second.predict_proba(points))
    every = fit_mlps(x, np.where(kept, label, 1.0), seed=0)
    assert np.abs(every.predict_proba(points) - first.predict_proba(points)).max() > 0.01


def test_each_restart_is_another_network_and_restart_0_the_one_without_a_number():
    x, label, used, points, _ = problem()

    def fitted(**options):
        return fit_mlps(x, label, used[:, :2], seed=7, names=["set", "b"], **options)

    found = [fitted(restart=number) for number in range(4)]
    proba = [each.predict_proba(points) for each in found]
    np.testing.assert_array_equal(proba[0], fitted().predict_proba(points))
    np.testing.assert_array_equal(proba[3], fitted(restart=3).predict_proba(points))
    for number, one in enumerate(proba):
        for other in proba[:number]:
            assert (np.abs(one - other).max(axis=0) > 0.01).all()
    # each is what a plain loop gives with its draws
    alone = torch_loop(x, label, np.flatnonzero(used[:, 0]), seed=7, name="set, restart 2")
    expected, hidden = alone(points)
    np.testing.assert_allclose(proba[2][:, 0], expected, atol=1e-4)
    np.testing.assert_allclose(found[2].hidden(points), hidden, atol=1e-3)


def test_fault_training_amplifies_rounding_and_a_mean_over_restarts_hardly_notices():
    """One network's results are not those of another machine: their digits are no evidence."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1000).astype(float)
    x = rng.normal(size=(1000, 64)) + 0.25 * (2 * label - 1)[:, None] * (np.arange(64) < 20)
    x = x.astype(np.float32)
    moved = (x * (1 + 1e-6 * rng.choice([-1, 1], size=x.shape))).astype(np.float32)
    noisy = np.where(rng.random(600) < 0.4, 1 - label[:600], label[:600])
    names = [f"network {j}" for j in range(6)]

    def probabilities(features):
        """Of the 400 other points, (restarts, points, networks)."""
        targets = np.repeat(noisy[:, None], len(names), axis=1)
        every = [
            fit_mlps(features[:600], targets, seed=0, restart=number, names=names)
            for number in range(5)
        ]
        return np.stack([found.predict_proba(features[600:]) for found in every])

    first, second = probabilities(x), probabilities(moved)
    assert np.abs(first - second).max() > 1e-3  # a millionth became a thousand times as much
    accuracy, other = (
        ((proba >= 0.5) == (label[600:, None] == 1)).mean(axis=1) for proba in (first, second)
    )  # (restarts, networks)
    spread = np.sqrt(accuracy.var(axis=0, ddof=1).mean())  # between restarts
    assert spread > 0.01
    assert np.abs(accuracy.mean(axis=0) - other.mean(axis=0)).max() < spread / 2


def test_a_curved_boundary_is_found():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 2))
    label = (np.linalg.norm(x, axis=1) > 1.2).astype(float)  # no line separates the classes
    fitted = fit_mlps(x[:2000], label[:2000], seed=0)
    assert np.mean((fitted.predict_proba(x[2000:]) >= 0.5) == label[2000:]) > 0.95


def test_it_is_a_fit_of_the_strong_models_trainings():
    x, *_ = problem()
    label, points = (x[:, 0] > x[:, 0].mean()).astype(float), x[:50]

    def fit(x, y, u):
        return fit_mlps(x, y, u, seed=0)

    proba = np.where(label == 1, 0.9, 0.2)
    both = {"strong": (x, points), "weak": (x, points)}
    pool = Pool(np.full(N, "easy"), proba, label, hard_labels=True)
    draws = {"few": 0, "streams": lambda control: lambda repeat: stream(0, control, repeat)}
    runs = whole_pool_runs(pool, same_capacity=False, **draws)
    trained = train(runs, proba, label, **both, fit=fit)
    assert trained.reason == ["", ""]
    np.testing.assert_array_equal(trained.proba[0], trained.proba[1])  # the same hard labels
    assert np.isnan(trained.gap).all()
    assert np.isnan(trained.l2).all()
    assert np.mean((trained.proba[0] >= 0.5) == label[:50]) > 0.7


def test_the_last_hidden_layer_has_scores_even_where_it_is_all_zeros():
    x, label, *_ = problem()
    fitted = fit_mlps(x, label, seed=0)
    hidden = fitted.hidden(x)
    assert hidden.shape == (N, 32)
    assert hidden.dtype == np.float32
    assert hidden.min() == 0
    hidden[:10] = 0  # points at which no unit is active
    confidence = np.concatenate([np.full(50, 0.55), np.linspace(0.9, 1, N - 50)])
    score = detect_overlap(confidence, hidden).score
    assert np.isfinite(score[50:]).all()
    zeros = MLPs(tuple(0 * a for a in fitted.layers), fitted.mean, fitted.scale, ("",), True)
    np.testing.assert_array_equal(zeros.hidden(x), 0)
    np.testing.assert_array_equal(zeros.predict_proba(x), 0.5)


def test_a_column_that_cannot_be_trained_is_nan_with_the_reason():
    x, label, used, points, _ = problem()
    found = fit_mlps(
        x,
        np.column_stack([label, label, np.ones(N), np.zeros(N), label]),
        used * (np.arange(5) != 1),
        seed=0,
    )
    none, one_class = "found no row with a weight above 0", "found only targets equal to {}, {}"
    both = "expected both classes"
    assert found.reason == ("", none, one_class.format(1, both), one_class.format(0, both), "")
    gone = np.isnan(found.predict_proba(points)).all(axis=0)
    np.testing.assert_array_equal(gone, [False, True, True, True, False])
    halves = np.column_stack([np.full(N, 0.5), np.where(label == 1, 1, 0.5), label])
    found = fit_mlps(x, halves, seed=0)
    assert found.reason == (none, one_class.format(1, both), "")
    gone = np.isnan(found.predict_proba(points)).all(axis=0)
    np.testing.assert_array_equal(gone, [True, True, False])
    nothing = fit_mlps(x, np.ones(N), seed=0)
    assert np.isnan(nothing.predict_proba(points)).all()


def test_two_rows_a_constant_feature_and_large_activations():
    x = np.array([[0.1, -1], [0.1, 1]], dtype=np.float32)
    fitted = fit_mlps(x, [0, 1], seed=0)
    assert np.isfinite(fitted.predict_proba(x + 5)).all()
    np.testing.assert_array_equal(fitted.scale, [1, 1])
    x, label, _, points, _ = problem()
    proba = fit_mlps(x, label, seed=0).predict_proba(points * 1e30)
    assert set(np.unique(proba)) <= {0.0, 1.0}


def test_bad_input_is_refused():
    x = np.arange(6.0)[:, None]
    good = {"x": x, "targets": np.arange(6) % 2, "seed": 0}
    for changes, message in (
        ({"targets": np.zeros(5)}, "targets: found 5 rows, expected 6 as in activations"),
        ({"targets": np.full(6, 1.5)}, "targets: found values in"),
        ({"targets": np.full(6, np.nan)}, "targets: found 6 values that are NaN"),
        ({"weights": np.full(6, 0.5)}, "weights: found values other than 0 and 1"),
        ({"weights": np.ones(5)}, "weights: found 5 rows, expected 6"),
        ({"targets": np.ones((6, 2)), "weights": np.ones((6, 3))}, "weights: found 3 columns"),
        ({"names": ["a", "b"]}, "names: found 2 rows, expected 1 as in targets"),
    ):
        with pytest.raises(W2SError, match=message):
            fit_mlps(**good | changes)
    fitted = fit_mlps(**good)
    for apply in (fitted.predict_proba, fitted.hidden):
        with pytest.raises(W2SError, match="found width 2, expected 1"):
            apply(np.zeros((2, 2)))
