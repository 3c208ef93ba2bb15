"""Label models: from the votes of labeling functions (LFs) to P(y = 1), without true labels.

Each is fitted on one label matrix and applied to any other of the same LFs. What a model does with
a point that no LF votes on, and with ties, is said at each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from w2s.checks import Array
from w2s.errors import DegenerateError, W2SError
from w2s.weak_supervision.labeling_functions import ABSTAIN, checked_votes
from w2s.weak_supervision.track import MIN_LFS

EPOCHS = 500  # with Snorkel's default of 100 steps some datasets are not yet where they settle
SETTLED = 0.1  # mean coverage below which Snorkel's fit depends on its seed: see `mean_coverage`
PSEUDO_VOTES = 1.0  # Laplace's rule: a rare LF is never certain
CONVERGED = 1e-10  # change of the objective by EM, relative
MAX_ITERATIONS = 2000


class LabelModel(Protocol):
    """A fitted label model."""

    def predict_proba(self, votes: npt.ArrayLike) -> Array:
        """P(y = 1) of points by their votes (n, m): float64 (n,), in [0, 1]."""


@dataclass(frozen=True)
class MajorityVote:
    """Share of the votes that say 1; nothing is fitted.

    Attributes:
        m: Number of LFs.
    """

    m: int

    def predict_proba(self, votes: npt.ArrayLike) -> Array:
        """Votes for 1 / votes; a tie, or no vote at all, gives 1/2. See `LabelModel`.

        Raises:
            W2SError: another number of LFs than fitted, or values other than -1, 0, 1.
        """
        matrix = _fitting(votes, self.m)
        count = (matrix != ABSTAIN).sum(axis=1)
        half = np.full(len(matrix), 0.5)
        share: Array = np.divide((matrix == 1).sum(axis=1), count, out=half, where=count > 0)
        return share


@dataclass(frozen=True)
class NaiveBayes:
    """LFs that vote independently given y; votes count, abstentions do not.

    Attributes:
        likelihood: P(LF j votes v | y), float64 (m, 2, 2) over j, v, y; up to a factor for each j,
            which cancels.
        prior: P(y = 1) of any point.
        unvoted: What a point without votes gets: the prior where it is known, 1/2 where it is an
            estimate from the votes. As a label, a lopsided estimate would be a confident one, of
            points that nothing is known of.
        objective: Log posterior density by iteration of EM, (t,); empty for Snorkel.
        converged: Whether EM ended before its last iteration; true for Snorkel, whose number of
            steps is given.
    """

    likelihood: Array
    prior: float
    unvoted: float
    objective: Array
    converged: bool

    def predict_proba(self, votes: npt.ArrayLike) -> Array:
        """P(y = 1 | votes) by Bayes' rule; `unvoted` without votes. See `LabelModel`.

        Raises:
            W2SError: another number of LFs than fitted, or values other than -1, 0, 1.
        """
        matrix = _fitting(votes, len(self.likelihood))
        proba = _posterior(matrix == 0, matrix == 1, self.likelihood, self.prior)[0]
        proba[(matrix == ABSTAIN).all(axis=1)] = self.unvoted
        return proba


def fit_majority_vote(votes: npt.ArrayLike, *, seed: int = 0) -> MajorityVote:
    """Majority vote, as the share of votes so that close calls have low confidence.

    Rounded it is Snorkel's `MajorityLabelVoter`; a tie or no vote is 1/2.

    Args:
        votes: Label matrix, shape (n, m), values -1 (abstain), 0, 1.
        seed: Not used.

    Raises:
        W2SError: another shape or other values.
        DegenerateError: all votes are for one class.
    """
    matrix = checked_votes(votes)
    _refuse_one_class(matrix, "majority_vote")
    return MajorityVote(matrix.shape[1])


def fit_snorkel(votes: npt.ArrayLike, *, seed: int = 0, epochs: int = EPOCHS) -> NaiveBayes:
    """Snorkel's `LabelModel` (Ratner et al., 2019), by the package of that name, on the CPU.

    It matches the rates at which pairs of LFs vote together to those of LFs that are independent
    given y, by gradient descent from a random point; classes are taken to be equally frequent, so a
    point without votes, or with votes that balance, gets 1/2. The package seeds the global random
    generators; nothing here reads them. Where LFs vote rarely the result depends on the seed: see
    `mean_coverage`.

    Args:
        votes: Label matrix, shape (n, m), values -1 (abstain), 0, 1, with at least 3 LFs.
        seed: Of the starting point, 0 to 2**32 - 1.
        epochs: Gradient steps.

    Raises:
        W2SError: fewer than 3 LFs, another shape or other values, a seed out of range, or the
            package is not installed.
        DegenerateError: fewer than 3 LFs that ever vote, votes for one class only, or so many LFs
            that the descent diverges.
    """
    if not 0 <= seed < 2**32:
        raise W2SError(f"seed: found {seed}, expected 0 to 2**32 - 1")
    matrix = _enough(votes, "snorkel")
    try:
        from snorkel.labeling.model.label_model import LabelModel as Snorkel
    except ModuleNotFoundError as error:
        raise W2SError(
            f"label model 'snorkel': found no package '{error.name}', expected it installed"
        ) from None
    model = Snorkel(cardinality=2, verbose=False, device="cpu")
    model._loss_mu = _finite(model._loss_mu)
    model.fit(matrix.astype(np.int64), n_epochs=epochs, seed=seed, progress_bar=False)
    table = np.asarray(model.get_conditional_probs(), dtype=np.float64)  # (m, 3, 2), abstain first
    return NaiveBayes(table[:, 1:], 0.5, 0.5, np.empty(0), True)


def mean_coverage(votes: npt.ArrayLike) -> float:
    """Share of points that an LF votes on, mean over the LFs that ever vote; 0 if none does.

    Below `SETTLED` the descent of `fit_snorkel` ends where it happens to begin: with 5 to 13 LFs
    that are right 95 times of 100, P(y = 1) of a lone vote for 1 strays by .03 at a coverage of
    10 %, and by .05 to .08 at 5 % and less, between seeds, and lies as low as .62; from 20 % on by
    less than .005, as it does where some LFs are rare and others are not.

    Args:
        votes: Label matrix, shape (n, m), values -1 (abstain), 0, 1.

    Raises:
        W2SError: another shape or other values.
    """
    share = (checked_votes(votes) != ABSTAIN).mean(axis=0)
    return float(share[share > 0].mean()) if share.any() else 0.0


def _finite(loss: Callable[..., Any]) -> Callable[..., Any]:
    """The loss of Snorkel's model with an error of its own: the package raises a bare Exception."""

    def checked(**options: Any) -> Any:
        value = loss(**options)
        if not bool(value.isfinite()):
            raise DegenerateError(
                "label model 'snorkel': found a loss that is not finite, expected descent; it "
                "diverges on label matrices of very many labeling functions that vote often"
            )
        return value

    return checked


def fit_dawid_skene(
    votes: npt.ArrayLike, *, seed: int = 0, balance: float | None = None
) -> NaiveBayes:
    """Dawid & Skene (1979) for two classes, by EM: two coins for each LF, one for each class.

    LF j that votes says 1 with a probability that depends on y alone; whether it votes is taken to
    be independent of y (missing at random). As a third outcome, silence would be evidence: a text
    that no LF knows a word of would get a label, often a confident one, where the detector needs
    it to be hard, and LFs that are silent on the same texts would count as many witnesses.

    EM starts at the majority vote, which names the classes and makes the fit deterministic. Each
    coin has one pseudo-vote for either side, and so has the prior. A point without votes gets the
    balance where it is given, else 1/2; an LF that never votes counts nothing.

    Args:
        votes: Label matrix, shape (n, m), values -1 (abstain), 0, 1, with at least 3 LFs.
        seed: Not used.
        balance: P(y = 1), in (0, 1); estimated where not given.

    Raises:
        W2SError: fewer than 3 LFs, another shape or other values, or a balance out of range.
        DegenerateError: fewer than 3 LFs that ever vote, or votes for one class only.
    """
    matrix = _enough(votes, "dawid_skene")
    if balance is not None and not 0 < balance < 1:
        raise W2SError(f"balance: found {balance}, expected a number between 0 and 1")
    zeros, ones = (matrix == 0).astype(np.float64), (matrix == 1).astype(np.float64)  # (n, m)
    belief = MajorityVote(matrix.shape[1]).predict_proba(matrix)  # (n,)
    objective: list[float] = []
    converged = False
    while not converged and len(objective) < MAX_ITERATIONS:
        likelihood = _coins(zeros, ones, belief)
        prior = (belief.sum() + PSEUDO_VOTES) / (len(belief) + 2 * PSEUDO_VOTES)
        prior = float(prior if balance is None else balance)
        belief, evidence = _posterior(zeros, ones, likelihood, prior)
        penalty = np.log(likelihood).sum() + np.log([prior, 1 - prior]).sum()
        objective.append(float(evidence.sum() + PSEUDO_VOTES * penalty))
        converged = len(objective) > 1 and (
            objective[-1] - objective[-2] <= CONVERGED * abs(objective[-1])
        )
    unvoted = 0.5 if balance is None else balance
    return NaiveBayes(likelihood, prior, unvoted, np.array(objective), converged)


def _coins(zeros: Array, ones: Array, belief: Array) -> Array:
    """P(vote | y, it votes), most likely given the beliefs and pseudo-votes: (m, 2, 2)."""
    sides = np.stack([1 - belief, belief], axis=1)  # (n, 2)
    counts = np.stack([zeros.T @ sides, ones.T @ sides], axis=1) + PSEUDO_VOTES  # (m, v, y)
    coins: Array = counts / counts.sum(axis=1, keepdims=True)
    return coins


def _posterior(zeros: Array, ones: Array, likelihood: Array, prior: float) -> tuple[Array, Array]:
    """P(y = 1 | votes) and log P(votes), each (n,)."""
    log = np.log(likelihood)  # (m, v, y)
    joint = zeros @ log[:, 0] + ones @ log[:, 1] + np.log([1 - prior, prior])  # (n, y)
    evidence = np.logaddexp(joint[:, 0], joint[:, 1])
    return np.exp(joint[:, 1] - evidence), evidence


def _enough(votes: npt.ArrayLike, model: str) -> Array:
    """The label matrix, if it has three LFs that vote."""
    matrix = checked_votes(votes)
    if matrix.shape[1] < MIN_LFS:
        raise W2SError(
            f"label model '{model}': found {matrix.shape[1]} labeling functions, expected at least "
            f"{MIN_LFS}; majority_vote needs one"
        )
    voting = int((matrix != ABSTAIN).any(axis=0).sum())
    if voting < MIN_LFS:
        raise DegenerateError(
            f"label model '{model}': found {voting} labeling functions that vote, expected at "
            f"least {MIN_LFS}"
        )
    _refuse_one_class(matrix, model)
    return matrix


def _refuse_one_class(matrix: Array, model: str) -> None:
    """Raise where votes speak for one class only: any model would find it everywhere."""
    found = np.unique(matrix[matrix != ABSTAIN])
    if len(found) == 1:
        raise DegenerateError(
            f"label model '{model}': found votes for class {found[0]} only, expected both classes"
        )


def _fitting(votes: npt.ArrayLike, m: int) -> Array:
    """The label matrix, if it has the LFs of the fit."""
    matrix = checked_votes(votes)
    if matrix.shape[1] != m:
        raise W2SError(
            f"label matrix: found {matrix.shape[1]} labeling functions, expected {m} as fitted"
        )
    return matrix


FITS: dict[str, Callable[..., LabelModel]] = {
    "majority_vote": fit_majority_vote,
    "snorkel": fit_snorkel,
    "dawid_skene": fit_dawid_skene,
}
