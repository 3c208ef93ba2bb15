"""How likely the given labels are right: from vectors, or from probabilities out of fold.

Each function gives one score a point, and a higher one says that the given label is more likely
right; but for `knn_mixed`, which looks for labels that neighbours are divided about. Labels are 0
or 1, one column (n,) or many (n, b) on the same points, which then share one graph. Scores are
float64 of the shape of the labels. Nearest is by cosine, where a row of zeros has cosine 0 with
everything; all points as near as the last of the k nearest are neighbours too, as in
`w2s.probes.knn`, so the order of the points does not matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from w2s.checks import Array, array_of, finite, in_unit_interval, same_length
from w2s.errors import DegenerateError, W2SError
from w2s.probes.knn import BLOCK, SAME, unit_rows

CLOSE, DIGITS = 1e-9, 8  # of smoothed labels to their limit


def knn_agreement(x: npt.ArrayLike, y: npt.ArrayLike, *, k: int = 20) -> Array:
    """Share of the k nearest other points that have the point's label (yuxinjinito/w2s-overlap).

    Args:
        x: Activations, shape (n, d).
        y: Given labels, shape (n,) or (n, b).
        k: Neighbours of a point, at least 1.

    Returns:
        In [0, 1].

    Raises:
        DegenerateError: fewer than k other points.
        W2SError: shapes that do not fit, labels that are not 0 or 1, or values that are not finite.
    """
    agreeing, votes = _agreeing(neighbor_graph(x, k=k), _labels(y))
    share: Array = agreeing / votes
    return share


def knn_mixed(x: npt.ArrayLike, y: npt.ArrayLike, *, k: int = 20, fold: npt.ArrayLike) -> Array:
    """How evenly the k nearest points of other folds are divided: -|share with its label - 1/2|.

    0 where half of them have the point's label, -1/2 where all or none have. The published code
    (yuxinjinito/w2s-overlap) counts neighbours among the weak model's training points, with labels
    out of fold; here the points of other folds are the reference.

    Args:
        x: Activations, shape (n, d).
        y: Given labels, shape (n,) or (n, b).
        k: Neighbours of a point, at least 1.
        fold: Number of each point's fold, (n,).

    Returns:
        In [-1/2, 0].

    Raises:
        DegenerateError: fewer than k points in the other folds of a point.
        W2SError: as `knn_agreement`.
    """
    agreeing, votes = _agreeing(neighbor_graph(x, k=k, fold=fold), _labels(y))
    result: Array = -np.abs(2 * agreeing - votes) / (2 * votes)
    return result


def self_confidence(proba: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """Probability of the given label.

    Args:
        proba: P(y = 1) by a model that was not trained on the point, shape (n,) or (n, b).
        y: Given labels, of the same shape.

    Returns:
        In [0, 1]; NaN where the probability is.

    Raises:
        W2SError: shapes that differ, probabilities outside of [0, 1], labels that are not 0 or 1.
    """
    given, labels = array_of(proba, "proba", dtype=np.float64), _labels(y)
    if given.shape != labels.shape:
        raise W2SError(f"proba: found shape {given.shape}, expected {labels.shape} as of labels")
    known = in_unit_interval(np.nan_to_num(given, nan=0.5), "proba")
    result: Array = np.where(np.isnan(given), np.nan, np.where(labels == 1, known, 1 - known))
    return result


def confident_learning(proba: npt.ArrayLike, y: npt.ArrayLike) -> Array:
    """The same less what is usual for the label: the score of confident learning.

    The threshold t_j of class j is the mean P(y = j) of the points labelled j (Northcutt et al.,
    2021, arXiv 1911.00068). A model that is surer of one class than of the other would have all
    labels of the latter doubted. The score is P(given) - t_given, moved and scaled to [0, 1] as
    `cleanlab.rank.get_label_quality_scores(method="self_confidence", adjust_pred_probs=True)` does.
    Where all labels are of one class, there is nothing to level: it is `self_confidence`.

    Args:
        proba: P(y = 1) by a model that was not trained on the point, shape (n,) or (n, b).
        y: Given labels, of the same shape.

    Returns:
        In [0, 1]; NaN in columns with a probability that is.

    Raises:
        W2SError: as `self_confidence`.
    """
    own, labels = self_confidence(proba, y), _labels(y)
    members = [labels == j for j in (0, 1)]
    counts = np.array([mine.sum(axis=0) for mine in members])  # (2,) or (2, b)
    sums = np.array([np.where(mine, own, 0).sum(axis=0) for mine in members])
    usual = sums / np.maximum(counts, 1)
    usual = np.where(counts == 0, usual[::-1], usual)
    most, apart = usual.max(axis=0), np.abs(usual[1] - usual[0])
    result: Array = (own - np.where(labels == 1, usual[1], usual[0]) + most) / (1 + apart)
    return result


def topological(x: npt.ArrayLike, y: npt.ArrayLike, *, k: int = 4, voters: int = 32) -> Array:
    """Whether a point is in the largest connected component of its label, and who agrees there.

    The filter of Wu et al. (2020, "A Topological Filter for Learning with Label Noise"): an edge
    joins two points of which one is among the k nearest of the other; of each label only the
    largest component of the graph of its own points stays (all of several as large), and of these
    points those go whose neighbours have another label. The paper gives a yes or no. The score
    here is the order in which points would go: those outside of the components first, all below 0,
    and among them as among those inside, by the share of points with their label among those of the
    components that are near. Near are points of which one is among the `voters` nearest of the
    other; where none of them is in a component, the share is 0. The paper's code (pxiangwu/
    TopoFilter) searches for its 32 nearest among the points of the components alone.

    Args:
        x: Activations, shape (n, d).
        y: Given labels, shape (n,) or (n, b).
        k: Neighbours of a point in the graph whose components are taken, at least 1.
        voters: Those that vote, at least k; all others where there are fewer.

    Returns:
        The share inside of the components, the share less 1 outside: in [-1, 1].

    Raises:
        DegenerateError: fewer than k other points.
        W2SError: as `knn_agreement`.
    """
    labels, graph = _labels(y), neighbor_graph(x, k=k)
    n = graph.shape[0]
    same_length("labels", labels, "activations", n)
    near = _both_ways(neighbor_graph(x, k=min(max(voters, k), n - 1)))
    edges = _both_ways(graph).tocoo()
    columns = labels.reshape(n, -1)
    inside = np.stack([_largest(edges, column) for column in columns.T], axis=1)  # (n, b)
    heard = near @ inside.astype(np.float64)
    ones = near @ (inside & (columns == 1)).astype(np.float64)
    same = np.where(columns == 1, ones, heard - ones)
    share = np.divide(same, heard, out=np.zeros_like(same), where=heard > 0)
    result: Array = np.where(inside, share, share - 1).reshape(labels.shape)
    return result


def _largest(edges: Any, label: Array) -> Array:
    """Whether a point is in the largest component of the points of its label, bool (n,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    mine = label[edges.row] == label[edges.col]
    places = (edges.row[mine], edges.col[mine])
    kept = coo_array((np.ones(mine.sum(), dtype=np.float32), places), shape=edges.shape)
    _, component = connected_components(kept.tocsr(), directed=False)
    size = np.bincount(component)[component]  # of each point's component, (n,)
    most = np.array([size[label == j].max(initial=0) for j in (0, 1)])
    result: Array = size == most[label.astype(np.int64)]
    return result


def graph_agreement(
    x: npt.ArrayLike, y: npt.ArrayLike, *, k: int = 20, alpha: float = 0.5
) -> Array:
    """What labels smoothed over the graph of neighbours say of the given label.

    An edge joins two points of which one is among the k nearest of the other. The smoothed labels
    F = (1 - alpha) (I - alpha P)^-1 Y, with P the mean over neighbours, are those of random walks
    that end with chance 1 - alpha at each step (Zhou et al., 2004, "Learning with Local and Global
    Consistency", with the rows of P adding up to 1). "Selective Weak-to-Strong Generalization"
    (arXiv 2511.14166) smooths weak labels over a graph; which formula it takes we could not read.
    Long walks (alpha near 1) end anywhere: all points then tend to the pool's share of ones, and
    the labels of one class are doubted as a whole.

    Args:
        x: Activations, shape (n, d).
        y: Given labels, shape (n,) or (n, b).
        k: Neighbours of a point, at least 1.
        alpha: Chance of a further step, in [0, 1); 0 gives 1 everywhere: labels agree with
            themselves.

    Returns:
        Smoothed share of the point's label, in [0, 1], within 1e-9 of the limit.

    Raises:
        DegenerateError: fewer than k other points.
        W2SError: as `knn_agreement`, or another alpha.
    """
    if not 0 <= alpha < 1:
        raise W2SError(f"alpha: found {alpha:g}, expected 0 or more and less than 1")
    labels = _labels(y)
    graph = _both_ways(neighbor_graph(x, k=k))
    same_length("labels", labels, "activations", graph.shape[0])
    start = labels.reshape(len(labels), -1).astype(np.float64)
    degree = np.asarray(graph.sum(axis=1), dtype=np.float64)[:, None]
    smooth, change = start, 1.0
    while change * alpha > CLOSE * (1 - alpha):  # what all further steps add up to
        before, smooth = smooth, (1 - alpha) * start + alpha * (graph @ smooth) / degree
        change = float(np.abs(smooth - before).max(initial=0))
    # within the limit's distance equal ones are equal, whichever label they are seen from
    result: Array = np.where(start == 1, smooth, 1 - smooth).round(DIGITS).reshape(labels.shape)
    return result


def neighbor_graph(x: npt.ArrayLike, *, k: int, fold: npt.ArrayLike | None = None) -> Any:
    """The neighbours of each point, as a sparse matrix (n, n).

    Memory for cosines is bounded, whatever the number of points; that of the matrix is not where
    very many points are equally near.

    Args:
        x: Activations, shape (n, d).
        k: Neighbours of a point, at least 1.
        fold: Number of each point's fold, (n,), whose points are no neighbours of each other; each
            point has its own where not given.

    Returns:
        float32 `scipy.sparse.csr_array` with 1 in row i for the neighbours of point i.

    Raises:
        DegenerateError: fewer than k points in the other folds of a point.
        W2SError: k below 1, shapes that do not fit, or values that are not finite.
    """
    from scipy.sparse import csr_array  # takes longer to import than the rest of this

    if k < 1:
        raise W2SError(f"neighbors: found {k}, expected at least 1")
    rows = finite(x, "activations", ndim=2)
    n = len(rows)
    part = np.arange(n) if fold is None else array_of(fold, "fold")
    same_length("fold", part, "activations", n)
    fewest = n - int(np.unique(part, return_counts=True)[1].max(initial=0))
    if fewest < k:
        raise DegenerateError(f"neighbors: found {fewest} other points, expected at least {k}")
    unit = unit_rows(rows.astype(np.float64)).astype(np.float32)
    step = max(1, BLOCK // n)
    counts, columns = [], []
    for first in range(0, n, step):
        block = slice(first, first + step)
        near = unit[block] @ unit.T  # (m, n)
        near[part[block, None] == part] = -np.inf
        last = np.partition(near, n - k, axis=1)[:, n - k, None]
        chosen = near >= last - SAME
        counts.append(np.count_nonzero(chosen, axis=1))
        columns.append(np.nonzero(chosen)[1].astype(np.int32))
    ends = np.cumsum(np.concatenate([[0], *counts]))
    found = np.concatenate(columns)
    return csr_array((np.ones(len(found), dtype=np.float32), found, ends), shape=(n, n))


def _both_ways(graph: Any) -> Any:
    """The graph with an edge wherever one of two points is a neighbour of the other."""
    return graph.maximum(graph.T).tocsr()


def _agreeing(graph: Any, labels: Array) -> tuple[Array, Array]:
    """Neighbours of each point with its label, of the shape of the labels, and all of them."""
    same_length("labels", labels, "activations", graph.shape[0])
    columns = labels.reshape(len(labels), -1)
    votes = np.asarray(graph.sum(axis=1), dtype=np.float64)[:, None]
    ones = graph @ columns.astype(np.float64)
    agreeing: Array = np.where(columns == 1, ones, votes - ones)  # counts: equal ones are equal
    return agreeing.reshape(labels.shape), np.broadcast_to(votes, ones.shape).reshape(labels.shape)


def _labels(y: npt.ArrayLike) -> Array:
    """Labels as an array of one or two dimensions, all 0 or 1."""
    labels = array_of(y, "labels")
    if labels.ndim not in (1, 2):
        raise W2SError(f"labels: found {labels.ndim} dimensions {labels.shape}, expected 1 or 2")
    wrong = labels[(labels != 0) & (labels != 1)]
    if wrong.size:
        raise W2SError(f"labels: found {wrong.flat[0]:g}, expected 0 or 1")
    return labels
