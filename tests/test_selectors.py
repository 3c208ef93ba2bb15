"""Selectors: by hand, against formulas written out, planted wrong labels, and at the limits."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from arms_pool import make_pool, of_rows
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression, Ridge
from test_projection import full_smoother

from w2s.arms import perceptron, selectors
from w2s.arms.alignment import map_residual
from w2s.arms.perceptron import regress
from w2s.arms.selectors import METHODS
from w2s.errors import DegenerateError, W2SError
from w2s.probes import cross_fit
from w2s.probes.probes import fit_probes
from w2s.results.metrics import auroc
from w2s.rng import stream

SLOW = ("mlpstep1", "mlpstep2")  # whose minibatches go by the order of the rows
ORACLES = ("weak_right",)


@pytest.fixture(scope="module")
def pool():
    return make_pool()


@pytest.fixture(scope="module")
def scores(pool):
    return {name: method(pool) for name, method in METHODS.items()}


@pytest.mark.parametrize(
    ("name", "sign", "least"),
    [
        ("excess_loss", 1, 0.7),  # high where the strong vectors speak against the label
        ("committee_disagree", 1, 0.6),
        ("trust", -1, 0.62),
        ("self_entropy", -1, 0.65),
        ("weak_right", -1, 1.0),
        ("token_length", 1, 0.45),
    ],
)
def test_planted_wrong_labels_are_found(name, sign, least):
    """Of weak labels of which a quarter is wrong, in four worlds."""
    for seed in range(4):
        pool = make_pool(seed, n=1000)
        wrong = (pool.weak_label != pool.label).astype(int)
        found = auroc(sign * METHODS[name](pool), wrong)
        assert found >= least
        assert name != "token_length" or found <= 0.55  # which knows nothing


def test_every_score_is_a_number_for_each_point(pool, scores):
    assert len(scores) == len(METHODS)
    for name, score in scores.items():
        assert score.dtype == np.float64, name
        assert score.shape == (len(pool.id),), name
        assert np.isfinite(score).all(), name
        assert np.ptp(score) > 0, name


def test_true_labels_are_seen_by_oracles_only(pool, scores):
    turned = replace(pool, label=np.random.default_rng(1).permutation(pool.label))
    blind = replace(pool, label=None)
    for name in set(METHODS) - set(ORACLES):
        np.testing.assert_array_equal(METHODS[name](turned), scores[name], err_msg=name)
        np.testing.assert_array_equal(METHODS[name](blind), scores[name], err_msg=name)
    np.testing.assert_array_equal(scores["weak_right"], pool.weak_label == pool.label)
    assert (METHODS["weak_right"](turned) != scores["weak_right"]).any()
    with pytest.raises(W2SError, match="weak_right: found no true labels, expected them"):
        METHODS["weak_right"](blind)


def test_the_order_of_the_rows_does_not_matter(pool, scores):
    turn = np.random.default_rng(3).permutation(len(pool.id))
    other = of_rows(pool, turn)
    for name in set(METHODS) - set(SLOW):
        found = METHODS[name](other)
        np.testing.assert_allclose(found, scores[name][turn], atol=1e-3, err_msg=name)


def test_simple_scores_by_hand(pool):
    p = np.array([0.5, 0.0, 1.0, 0.75])
    small = replace(
        of_rows(pool, np.arange(4)),
        weak_proba=p,
        n_tokens=np.array([3, 1, 2, 2]),
        region=np.array(["hard", "easy", "overlap", "easy"], dtype=object),
        overlap_score=np.array([np.nan, 0.2, 0.9, 0.0]),
    )
    np.testing.assert_array_equal(small.weak_label, [0, 0, 1, 1])
    np.testing.assert_allclose(METHODS["confidence"](small), [0, 1, 1, 0.5])
    three_quarters = 0.75 * np.log(0.75) + 0.25 * np.log(0.25)
    np.testing.assert_allclose(METHODS["entropy"](small), [-np.log(2), 0, 0, three_quarters])
    np.testing.assert_array_equal(METHODS["token_length"](small), [3, 1, 2, 2])
    np.testing.assert_allclose(METHODS["overlap"](small), [0, 1.2, 1.9, 1])
    signed = replace(small, overlap_score=np.array([np.nan, -0.5, 0.9, -4.0]))
    np.testing.assert_allclose(METHODS["overlap"](signed), [0, 4.5, 5.9, 1])
    undefined = replace(small, region=np.full(4, "undefined", dtype=object))
    with pytest.raises(DegenerateError, match="overlap: found undefined regions"):
        METHODS["overlap"](undefined)


@pytest.mark.parametrize("shape", [{"n": 200, "dw": 6, "ds": 9}, {"n": 60, "dw": 80, "ds": 90}])
def test_rp_and_linstep1_are_the_n_x_n_formulas(shape):
    pool = make_pool(4, **shape)
    y = pool.weak_label - pool.weak_label.mean()
    strong = full_smoother(pool.strong)
    expected = np.abs(strong @ (y - full_smoother(pool.weak) @ y))
    np.testing.assert_allclose(METHODS["rp"](pool), expected, atol=1e-9 * expected.max(), rtol=0)
    rows = pool.weak.astype(float) - pool.weak.mean(axis=0, dtype=float)
    residual = np.empty(len(y))
    for k in range(5):
        train, test = pool.fold != k, pool.fold == k
        kernel = rows[train] @ rows[train].T / train.sum()
        kernel += 0.1 * np.trace(kernel) / train.sum() * np.eye(train.sum())
        alpha = np.linalg.solve(kernel, y[train] - y[train].mean())
        told = rows[test] @ rows[train].T / train.sum() @ alpha + y[train].mean()
        residual[test] = y[test] - told
    expected = np.abs(strong @ residual)
    found = METHODS["linstep1"](pool)
    np.testing.assert_allclose(found, expected, atol=1e-9 * expected.max(), rtol=0)


def test_rp_does_not_see_rotations_shifts_scales_or_which_class_is_one(pool, scores):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(10, 10)))[0]
    other = replace(
        pool,
        strong=(pool.strong.astype(float) @ turn - 4) * 3,
        weak=pool.weak.astype(float) + 7,
        weak_proba=1 - pool.weak_proba,
    )
    np.testing.assert_allclose(METHODS["rp"](other), scores["rp"], atol=1e-9)
    np.testing.assert_allclose(METHODS["linstep1"](other), scores["linstep1"], atol=1e-9)


def test_step_one_of_rads_sees_other_folds_only(pool, monkeypatch):
    seen = []

    def nothing(x, y, at, *, hidden, decay, rng):
        seen.append((x, at, hidden, decay, rng.random()))
        return np.zeros(len(at))

    monkeypatch.setattr(selectors, "regress", nothing)
    y = pool.weak_label - pool.weak_label.mean()
    expected = np.abs(full_smoother(pool.strong) @ y)
    np.testing.assert_allclose(METHODS["mlpstep1"](pool), expected, atol=1e-9)
    assert len(seen) == 15
    assert len({draw for *_, draw in seen}) == 15  # a stream each
    for x, at, hidden, decay, _ in seen:
        assert (hidden, decay) == (256, 30)
        assert len(x) + len(at) == len(pool.id)
        assert not {row.tobytes() for row in x} & {row.tobytes() for row in at}


def test_steps_of_rads_are_means_of_perceptrons(pool, monkeypatch):
    monkeypatch.setattr(selectors, "regress", lambda x, y, at, **_: np.full(len(at), y.mean()))
    y = pool.weak_label - pool.weak_label.mean()
    told = np.array([y[pool.fold != k].mean() for k in range(5)])[pool.fold]
    expected = np.abs(full_smoother(pool.strong) @ (y - told))
    np.testing.assert_allclose(METHODS["mlpstep1"](pool), expected, atol=1e-9)
    monkeypatch.setattr(selectors, "regress", lambda x, y, at, hidden, decay, rng: y * hidden / 64)
    expected = np.abs(y - full_smoother(pool.weak) @ y)
    np.testing.assert_allclose(METHODS["mlpstep2"](pool), expected, atol=1e-9)


def test_mlpstep2_of_a_nothing_is_nothing(pool):
    same = replace(pool, weak_proba=np.full(len(pool.id), 0.9))
    np.testing.assert_array_equal(METHODS["mlpstep2"](same), 0)


def test_a_perceptron_is_that_of_torch():
    rng = np.random.default_rng(0)
    x, at = rng.normal(size=(300, 5)) * 3 + 2, rng.normal(size=(40, 5))
    y = np.sin(x[:, 0])
    found = regress(x, y, at, hidden=8, decay=0.5, rng=stream(0, "p"))
    draws = stream(0, "p")
    start = perceptron._start((5, 8), draws)
    linear, gelu = torch.nn.Linear, torch.nn.GELU
    net = torch.nn.Sequential(linear(5, 8), gelu(), linear(8, 8), gelu(), linear(8, 1))
    for parameter, values in zip(net.parameters(), start, strict=True):
        assert parameter.shape == values.shape
        bound = parameter.detach().abs().max()  # of torch's own start, uniform too
        assert values.size < 8 or 0.6 * bound < np.abs(values).max() < 1.7 * bound
        parameter.data = torch.from_numpy(values)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.5)
    rows = torch.tensor((x - x.mean(0)) / x.std(0), dtype=torch.float32)
    for _ in range(60):
        order = draws.permutation(300)
        for part in (order[:256], order[256:]):
            optimizer.zero_grad()
            told = net(rows[part])[:, 0]
            torch.nn.MSELoss()(told, torch.tensor(y[part], dtype=torch.float32)).backward()
            optimizer.step()
    expected = net(torch.tensor((at - x.mean(0)) / x.std(0), dtype=torch.float32))[:, 0]
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)


def test_a_perceptron_learns_a_bend_and_heavy_decay_makes_it_flat():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 3))
    y = np.abs(x[:, 0])
    free = regress(x, y, x, hidden=32, decay=0.0, rng=stream(0, "free"))
    assert np.corrcoef(free, y)[0, 1] > 0.9
    held = regress(x, y, x, hidden=32, decay=300.0, rng=stream(0, "held"))
    assert np.ptp(held) < 0.1 * np.ptp(free)


def test_a_perceptron_does_not_use_what_is_constant_in_training():
    x = np.column_stack([np.arange(20.0), np.full(20, 0.1)])
    at = np.array([[3.0, 0.1], [3.0, 1e6]])
    found = regress(x, x[:, 0], at, hidden=4, decay=0.0, rng=stream(0, "c"))
    assert found[0] == found[1]
    alone = regress(x[:1], x[:1, 0], at, hidden=4, decay=0.0, rng=stream(0, "c"))
    assert np.isfinite(alone).all()


def test_folds_hold_whole_groups_and_are_as_many_as_there_can_be(pool):
    group = np.repeat(np.arange(48) * 10, 5)
    grouped = replace(pool, group=group)
    assert all(len(np.unique(grouped.fold[group == g])) == 1 for g in np.unique(group))
    assert sorted(np.bincount(grouped.fold) // 5) == [9, 9, 10, 10, 10]
    assert (np.bincount(pool.fold) == 48).all()
    few = replace(pool, group=np.arange(len(pool.id)) % 3)
    assert set(few.fold) == {0, 1, 2}
    for name, method in METHODS.items():
        if name not in SLOW:
            assert np.isfinite(method(few)).all(), name
    one = replace(pool, group=np.zeros(len(pool.id), dtype=int))
    for name in ("linstep1", "mlpstep1", "l2_residual", "excess_loss", "cca", "self_entropy"):
        with pytest.raises(DegenerateError, match="folds: found 1 groups of rows, expected 2"):
            METHODS[name](one)


def test_out_of_fold_probes_are_those_of_the_other_folds(pool):
    for proba, x in ((pool.weak_oof, pool.weak), (pool.strong_oof, pool.strong)):
        for k in range(5):
            train = pool.fold != k
            probe = fit_probes(x[train], pool.weak_label[train].astype(float))
            alone = probe.predict_proba(x[~train])
            np.testing.assert_allclose(proba[~train], alone, atol=2e-3)


def test_training_rows_of_one_class_predict_their_share(pool):
    rare = np.full(len(pool.id), 0.2)
    first = np.flatnonzero(pool.fold == 2)
    rare[first] = 0.8  # the other folds hold no 1, so fold 2 learns from one class
    one = replace(pool, weak_proba=rare)
    np.testing.assert_array_equal(one.strong_oof[one.fold == 2], 0)
    assert (one.strong_oof[one.fold != 2] > 0).all()
    np.testing.assert_allclose(METHODS["excess_loss"](one)[one.fold == 2], 0)
    same = replace(pool, weak_proba=np.full(len(pool.id), 0.8))
    np.testing.assert_array_equal(same.weak_oof, 1)
    for name in set(METHODS) - {"mlpstep1"}:
        assert np.isfinite(METHODS[name](same)).all(), name


def test_a_probe_without_rows_or_without_a_solution_is_told(pool, monkeypatch):
    x, y = pool.weak, pool.weak_label
    nobody = np.column_stack([np.ones(len(y)), np.zeros(len(y))])
    with pytest.raises(DegenerateError, match="probes: found no rows to learn from"):
        cross_fit.predictions(x, y, nobody, x)
    found = fit_probes(x, y.astype(float))
    monkeypatch.setattr(
        cross_fit, "fit_columns", lambda *_, **__: replace(found, reason=("why",), single=False)
    )
    with pytest.raises(DegenerateError, match="probes: why"):
        cross_fit.predictions(x, y, np.ones((len(y), 1)), x)


def test_excess_loss_is_the_difference_of_logarithms(pool, scores):
    label = pool.weak_label
    of_label = [np.where(label, p, 1 - p) for p in (pool.weak_oof, pool.strong_oof)]
    expected = np.log(of_label[0]) - np.log(of_label[1])
    np.testing.assert_allclose(scores["excess_loss"], expected, rtol=1e-6)


def test_a_committee_is_probes_on_rows_drawn_with_replacement(pool, scores):
    m = len(pool.trained_label)
    counts = pool.streams("committee").multinomial(m, [1 / m] * m, size=8)
    assert (counts.sum(axis=1) == m).all()
    members = []
    for count in counts:
        rows = np.repeat(np.arange(m), count)
        probe = fit_probes(pool.trained_weak[rows], pool.trained_label[rows].astype(float))
        members.append(probe.predict_proba(pool.weak))
    ones = (np.array(members) > 0.5).sum(axis=0)
    entropies = {k: -sum(q * np.log(q) for q in (k / 8, 1 - k / 8) if q) for k in range(9)}
    votes = np.array([entropies[k] for k in ones])
    spread = np.std(members, axis=0)
    found = scores["committee_disagree"]
    np.testing.assert_allclose(found, votes + 0.05 * spread, atol=1e-3)
    order = np.lexsort((spread, votes))  # votes first, then their spread
    assert (np.diff(found[order]) > -1e-3).all()
    np.testing.assert_array_equal(scores["committee_agree"], -found)


def test_spread_never_outweighs_a_vote():
    entropies = selectors._entropy(np.arange(5) / 8)
    assert np.diff(entropies).min() > 0.5 * selectors.SPREAD


def plain_whitener(x, shrink=0.1):
    mean = x.mean(axis=0)
    _, size, axes = np.linalg.svd(x - mean, full_matrices=False)
    variance = size**2 / (len(x) - 1)
    keep = np.cumsum(variance) / variance.sum() <= 0.999
    keep[0] = True
    variance = variance[keep]
    shrunk = (1 - shrink) * variance + shrink * variance.mean()
    return lambda rows: (rows - mean) @ (axes[keep].T / np.sqrt(shrunk))


def plain_cca(weak, strong):
    """Distance of variates as a function of rows, by singular values of the rows themselves."""
    white = plain_whitener(weak), plain_whitener(strong)
    left, _, right = np.linalg.svd(white[0](weak).T @ white[1](strong) / len(weak))
    k = min(64, left.shape[1], right.shape[0])
    return lambda a, b: np.linalg.norm(
        white[0](a) @ left[:, :k] - white[1](b) @ right[:k].T, axis=1
    )


@pytest.mark.parametrize("trim", [0, 0.1])
@pytest.mark.parametrize("shape", [{"dw": 6, "ds": 10}, {"n": 90, "dw": 100, "ds": 8}])
def test_cca_is_that_by_singular_values_of_other_folds(shape, trim):
    pool = make_pool(7, **shape)
    weak, strong = pool.weak.astype(float), pool.strong.astype(float)
    found = METHODS["cca_robust" if trim else "cca"](pool)
    for k in range(5):
        train, test = np.flatnonzero(pool.fold != k), pool.fold == k
        distance = plain_cca(weak[train], strong[train])
        if trim:
            apart = distance(weak[train], strong[train])
            train = train[apart <= np.quantile(apart, 0.9)]
            distance = plain_cca(weak[train], strong[train])
        np.testing.assert_allclose(found[test], distance(weak[test], strong[test]), rtol=1e-6)


def test_cca_finds_rows_whose_vectors_do_not_belong_together(pool):
    shared = np.random.default_rng(0).normal(size=(240, 5))
    strong = shared @ np.random.default_rng(1).normal(size=(5, 10))
    strong[:24] = strong[np.r_[1:24, 0]]  # of another row
    mixed = replace(pool, weak=shared, strong=strong)
    swapped = np.arange(240) < 24
    for name in ("cca", "cca_robust", "l2_residual"):
        assert auroc(METHODS[name](mixed), swapped) > 0.9, name


def test_cca_of_vectors_that_do_not_differ_is_told(pool):
    with pytest.raises(DegenerateError, match="cca: found strong vectors of a training set that"):
        METHODS["cca"](replace(pool, strong=np.ones((len(pool.id), 3))))
    flat = replace(pool, weak=np.full((len(pool.id), 2), 0.3))
    expected = (
        pool.strong
        - np.array([pool.strong[pool.fold != k].mean(axis=0, dtype=float) for k in range(5)])[
            pool.fold
        ]
    )
    np.testing.assert_allclose(
        METHODS["l2_residual"](flat), np.linalg.norm(expected, axis=1), rtol=1e-6
    )


def test_the_map_is_a_ridge_regression_of_scikit_learn():
    pool = make_pool(8, n=120, dw=30, ds=4)
    found = map_residual(pool.weak, pool.strong, pool.fold)
    weak = pool.weak.astype(float)
    for k in range(5):
        train, test = pool.fold != k, pool.fold == k
        squares = np.square(weak[train] - weak[train].mean(axis=0)).sum()
        ridge = Ridge(alpha=0.1 * squares / train.sum()).fit(weak[train], pool.strong[train])
        missed = np.linalg.norm(ridge.predict(weak[test]) - pool.strong[test], axis=1)
        np.testing.assert_allclose(found[test], missed, rtol=1e-5)


def test_trust_is_learned_for_each_label_on_weak_train_alone(pool, scores):
    m = len(pool.trained_label)
    fold = cross_fit.folds_of(np.arange(m), rng=pool.streams("trust"))
    said = np.empty(m, dtype=int)
    model = LogisticRegression(C=1, tol=1e-10, max_iter=10_000)
    for k in range(5):
        train = fold != k
        model.C = 1 / (2e-3 * train.sum())  # l2 = 1e-3 of the mean loss
        model.fit(pool.trained_weak[train], pool.trained_label[train])
        said[~train] = model.predict(pool.trained_weak[~train])
    for label in (0, 1):
        rows = said == label
        model.C = 1 / (2e-3 * rows.sum())
        model.fit(pool.trained_weak[rows], pool.trained_label[rows] == label)
        mine = pool.weak_label == label
        expected = model.predict_proba(pool.weak[mine])[:, 1]
        np.testing.assert_allclose(scores["trust"][mine], expected, atol=5e-3)


def test_a_label_that_was_never_said_has_no_record(pool):
    never = replace(pool, trained_label=np.zeros(len(pool.trained_label), dtype=int))
    with pytest.raises(DegenerateError, match="probes: found no rows to learn from"):
        METHODS["trust"](never)


def generalised(theta, x, y, q=0.7, l2=1e-3):
    """Mean of (1 - p^q) / q and a ridge, relative to the mean of p^q at the same point."""
    p = 1 / (1 + np.exp(-(x @ theta[:-1] + theta[-1]) * (2 * y - 1)))
    return p, np.mean((1 - p**q) / q), l2 * np.sum(theta[:-1] ** 2) * np.mean(p**q)


def test_the_refit_is_a_stationary_point_of_the_generalised_loss(pool, monkeypatch):
    """Against the minimum over theta, the weight of the ridge held at its value there."""
    monkeypatch.setattr(selectors, "ROUNDS", 60)
    found = METHODS["self_entropy"](pool)
    sure = np.abs(pool.strong_oof - 0.5)
    certain = sure >= np.median(sure)
    k = 1
    rows = certain & (pool.fold != k)
    x, y = pool.strong[rows].astype(float), pool.weak_label[rows]
    weight, theta = 0.5**0.7, np.zeros(x.shape[1] + 1)
    for _ in range(60):

        def loss(point, weight=weight):
            _, mean, _ = generalised(point, x, y)
            return mean + 1e-3 * weight * np.sum(point[:-1] ** 2)

        theta = minimize(loss, theta, method="BFGS", options={"gtol": 1e-9}).x
        p, *_ = generalised(theta, x, y)
        weight = np.mean(p**0.7)
    mine = pool.fold == k
    p = 1 / (1 + np.exp(-(pool.strong[mine] @ theta[:-1] + theta[-1])))
    np.testing.assert_allclose(found[mine], p * np.log(p) + (1 - p) * np.log(1 - p), atol=5e-3)


def test_wrong_labels_move_the_refit_less_than_a_plain_one(pool, monkeypatch):
    """Labels flipped among the certain points cost certainty; the loss takes some of it back."""
    flipped = pool.weak_proba.copy()
    flip = np.random.default_rng(2).random(len(flipped)) < 0.2
    flipped[flip] = 1 - flipped[flip]
    noisy = replace(pool, weak_proba=flipped)
    robust = METHODS["self_entropy"](noisy)
    monkeypatch.setattr(selectors, "POWER", 0)
    plain = METHODS["self_entropy"](noisy)
    assert robust.mean() > plain.mean() + 0.02


def test_a_pool_of_different_lengths_is_refused(pool):
    for name, value in (("weak_proba", np.ones(3)), ("label", np.ones(3))):
        with pytest.raises(W2SError, match=f"{name}: found 3 rows, expected 240 as in id"):
            replace(pool, **{name: value})
    with pytest.raises(W2SError, match="trained_label: found 3 rows, expected 200"):
        replace(pool, trained_label=np.ones(3))
