"""Selectors: how much each weak label deserves to be learned from, from cached vectors.

Each takes a pool and gives a score for each point, finite float64 (n,), higher ones kept first.
None but the oracle sees a true label of the pool. One that cannot be computed raises W2SError.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from w2s.arms.alignment import cca_distance, map_residual
from w2s.arms.perceptron import regress
from w2s.arms.pool import Pool
from w2s.arms.projection import smoothed
from w2s.checks import Array
from w2s.errors import DegenerateError, W2SError
from w2s.probes import label_quality
from w2s.probes.cross_fit import folds_of, others, out_of_fold, own, predictions

LEAST = 1e-12  # a probability whose logarithm is taken: RADS
NETWORKS = 3  # whose mean is taken, each fold (RADS)
STEP1 = {"hidden": 256, "decay": 30}
STEP2 = {"hidden": 64, "decay": 10}
MEMBERS = 8  # of the committee
SPREAD = 0.05  # times a deviation of at most 1/2 is below .031, the least step of their entropies
TRIM = 0.1
SHARE, POWER, ROUNDS = 0.5, 0.7, 5  # of the refit: see `self_entropy`


def overlap(pool: Pool) -> Array:
    """1 + closeness to the hard points, 0 for these: overlap points first, hard ones last.

    As in `score_overlap_density.py` of RADS, with this project's regions. Where the closeness can
    be negative (a signed similarity), it is counted from its least value.

    Raises:
        DegenerateError: the regions are undefined.
    """
    if (pool.region == "undefined").any():
        raise DegenerateError("overlap: found undefined regions, as the detector is degenerate")
    hard = pool.region == "hard"
    score = pool.overlap_score - min(0, pool.overlap_score[~hard].min(initial=0))
    return np.where(hard, 0, 1 + score)


def confidence(pool: Pool) -> Array:
    """2 |p - 1/2| of the weak probability, in [0, 1]."""
    return 2 * np.abs(pool.weak_proba - 0.5)


def entropy(pool: Pool) -> Array:
    """Minus the entropy of the weak probability, in [-log 2, 0]: the order of confidence."""
    return -_entropy(pool.weak_proba)


def token_length(pool: Pool) -> Array:
    """Number of tokens: a control that looks at no model (RADS)."""
    return pool.n_tokens.astype(np.float64)


def rp(pool: Pool) -> Array:
    """|P_s (I - P_w) y|: what the strong vectors tell of what the weak ones miss of weak labels.

    RADS-Lin (`score_rads_lin.py`, after arXiv 2502.00620), y the centred weak labels; `smoothed`
    says what P is.
    """
    return _projected(pool, _residual(pool))


def linstep1(pool: Pool) -> Array:
    """The same with step 1 out of fold: a linear RADS (`score_rads.py`).

    Weak vectors are centred by all rows and labels by the training rows, as there.
    """
    y, used = _centred(pool), others(pool.fold)
    mean = (y @ used) / used.sum(axis=0)  # (folds,)
    found = smoothed(pool.weak, y[:, None] - mean, training=used) + mean
    return _projected(pool, y - own(found, pool.fold))


def mlpstep1(pool: Pool) -> Array:
    """RADS: step 1 by perceptrons out of fold, the mean of 3, and step 2 as in `rp`."""
    y, found = _centred(pool), np.zeros(len(pool.id))
    for k in np.unique(pool.fold):
        train, test = pool.fold != k, pool.fold == k
        for model in range(NETWORKS):
            rng = pool.streams(f"mlpstep1, fold={k}, model={model}")
            guess = regress(pool.weak[train], y[train], pool.weak[test], **STEP1, rng=rng)
            found[test] += guess / NETWORKS
    return _projected(pool, y - found)


def mlpstep2(pool: Pool) -> Array:
    """Step 1 as in `rp`, and step 2 by perceptrons on the rows they predict, the mean of 3.

    `score_mlpstep2.py` of RADS: the residual is scaled to a standard deviation of 1 for the fit.
    """
    residual, found = _residual(pool), np.zeros(len(pool.id))
    scale = residual.std()
    if not scale:
        return found
    for model in range(NETWORKS):
        rng = pool.streams(f"mlpstep2, model={model}")
        guess = regress(pool.strong, residual / scale, pool.strong, **STEP2, rng=rng)
        found += guess * scale / NETWORKS
    return np.abs(found)


def l2_residual(pool: Pool) -> Array:
    """Length of what a map of the weak vectors misses of the strong one: see `map_residual`.

    yuxinjinito/w2s-overlap keeps the middle band.
    """
    return map_residual(pool.weak, pool.strong, pool.fold)


def excess_loss(pool: Pool) -> Array:
    """How much likelier a weak probe finds the weak label than a strong one: log q_w - log q_s.

    Probes out of fold. High where the strong vectors speak against the label and the weak ones for
    it. RADS (`score_excess_loss.py`) takes q from models that were not trained on the task, over
    the options of a question; here there are only vectors.
    """
    return _log_of_label(pool, pool.weak_oof) - _log_of_label(pool, pool.strong_oof)


def committee_disagree(pool: Pool) -> Array:
    """Entropy of the votes of 8 weak probes on bootstraps of weak_train; ties by their spread.

    Votes of 8 have five entropies only; among equals the standard deviation of the members'
    probabilities decides, which by itself is the score in RADS.
    """
    m = len(pool.trained_label)
    draws = pool.streams("committee").multinomial(m, np.full(m, 1 / m), size=MEMBERS)
    proba = predictions(pool.trained_weak, pool.trained_label, draws.T.astype(float), pool.weak)
    spread: Array = proba.std(axis=1)
    return _entropy((proba > 0.5).mean(axis=1)) + SPREAD * spread


def committee_agree(pool: Pool) -> Array:
    """Minus `committee_disagree`."""
    return -committee_disagree(pool)


def cca(pool: Pool) -> Array:
    """Distance of weak and strong canonical variates: see `cca_distance`. Disagreement is high."""
    return cca_distance(pool.weak, pool.strong, pool.fold)


def cca_robust(pool: Pool) -> Array:
    """The same, fitted again without the tenth of the training rows that lies farthest apart."""
    return cca_distance(pool.weak, pool.strong, pool.fold, trim=TRIM)


def trust(pool: Pool) -> Array:
    """P(the weak label is right), learned on weak_train from out-of-fold predictions.

    The neural trust function of arXiv 2606.01000 reads the weak model's vectors of points with
    true labels. There it is a perceptron; here it is a logistic probe for each predicted label,
    as whether a linear prediction is right is no linear question. Out-of-fold predictions stand
    for those of points that the weak model has not seen.
    """
    known = pool.trained_label == 1
    fold = folds_of(np.arange(len(known)), rng=pool.streams("trust"))
    said = out_of_fold(pool.trained_weak, pool.trained_label, fold) > 0.5
    by_label = np.column_stack([~said, said]).astype(np.float64)
    right = predictions(pool.trained_weak, (said == known).astype(float), by_label, pool.weak)
    return own(right, pool.weak_label)


def self_entropy(pool: Pool) -> Array:
    """Minus the entropy of a strong probe that is refitted on what the student is most certain of.

    After arXiv 2509.24005, which trains the student again on the share of the points it is most
    certain of, with the loss (1 - p^q) / q of the weak label's probability p, which wrong labels
    cost little (Zhang and Sabuncu, 2018). As a selector: the student is the out-of-fold strong
    probe, the share is half, q = .7, and the refit sees other folds. The loss is minimised by five
    rounds of logistic regression, each label weighted by p^q of the round before (the tangent in
    log p); the ridge is relative to the sum of the weights.
    """
    label, sure = pool.weak_label, np.abs(pool.strong_oof - 0.5)
    certain = others(pool.fold) * (sure >= np.quantile(sure, 1 - SHARE))[:, None]
    proba = np.full(certain.shape, 0.5)
    for _ in range(ROUNDS):
        of_label = np.where(label[:, None] == 1, proba, 1 - proba)
        weights = certain * np.maximum(of_label, LEAST) ** POWER
        proba = predictions(pool.strong, label, weights, pool.strong)
    return -_entropy(own(proba, pool.fold))


def weak_right(pool: Pool) -> Array:
    """Oracle: 1 where the weak label is the true one, else 0.

    Raises:
        W2SError: the pool has no true labels.
    """
    if pool.label is None:
        raise W2SError("weak_right: found no true labels, expected them for an oracle")
    right: Array = pool.weak_label == pool.label
    return right.astype(np.float64)


def knn_agreement(pool: Pool) -> Array:
    """Share of the 20 nearest strong vectors with the same weak label, in [0, 1]."""
    return label_quality.knn_agreement(pool.strong, pool.weak_label)


def knn_mixed(pool: Pool) -> Array:
    """How near that share is to a half among points of other folds, in [-1/2, 0]."""
    return label_quality.knn_mixed(pool.strong, pool.weak_label, fold=pool.fold)


def cleanlab(pool: Pool) -> Array:
    """Confident learning on strong vectors: what is unusual for the weak label comes last."""
    return label_quality.confident_learning(pool.strong_oof, pool.weak_label)


def self_confidence(pool: Pool) -> Array:
    """P(weak label) by a strong probe that saw other folds, in [0, 1]."""
    return label_quality.self_confidence(pool.strong_oof, pool.weak_label)


def topological(pool: Pool) -> Array:
    """Whether a point is in the main component of its weak label, and who agrees, in [-1, 1]."""
    return label_quality.topological(pool.strong, pool.weak_label)


def graph_agreement(pool: Pool) -> Array:
    """What weak labels smoothed over the graph of strong vectors say of the weak label."""
    return label_quality.graph_agreement(pool.strong, pool.weak_label)


METHODS: dict[str, Callable[[Pool], Array]] = {
    method.__name__: method
    for method in (
        overlap, confidence, entropy, token_length, rp, linstep1, mlpstep1, mlpstep2, l2_residual,
        excess_loss, committee_agree, committee_disagree, cca, cca_robust, trust, self_entropy,
        weak_right, knn_agreement, knn_mixed, cleanlab, self_confidence, topological,
        graph_agreement,
    )
}  # fmt: skip


def _centred(pool: Pool) -> Array:
    """The weak labels without their mean, (n,)."""
    centred: Array = pool.weak_label - pool.weak_label.mean()
    return centred


def _residual(pool: Pool) -> Array:
    """(I - P_w) y in sample, (n,)."""
    y = _centred(pool)
    return y - smoothed(pool.weak, y[:, None])[:, 0]


def _projected(pool: Pool, residual: Array) -> Array:
    """|P_s a| of a residual a, (n,)."""
    return np.abs(smoothed(pool.strong, residual[:, None])[:, 0])


def _entropy(proba: Array) -> Array:
    """Entropy of probabilities in nats, 0 at 0 and 1."""
    sides = np.stack([proba, 1 - proba])
    total: Array = -(sides * np.log(np.maximum(sides, np.finfo(float).tiny))).sum(axis=0)
    return total


def _log_of_label(pool: Pool, proba: Array) -> Array:
    """Logarithm of P(weak label), (n,)."""
    told: Array = np.where(pool.weak_label == 1, proba, 1 - proba)
    logarithm: Array = np.log(np.clip(told, LEAST, 1))
    return logarithm
