"""The public functions of the library, on arrays of odd shapes, types and values.

Arrays may be anything; options have the type that they are declared with, and any value.
"""

import inspect

import numpy as np
import torch

import w2s
from fuzzing import mutate
from fuzzing.case import Case
from w2s.overlap.detect import detect_overlap, fit_detector
from w2s.overlap.scores import change_point
from w2s.probes.knn import fit_neighbors
from w2s.probes.probes import fit_columns, fit_probes
from w2s.results.metrics import accuracy, auroc, brier, calibration_error
from w2s.weak_supervision.label_models import fit_dawid_skene, fit_majority_vote, fit_snorkel
from w2s.weak_supervision.labeling_functions import label_matrix
from w2s.weak_supervision.tables import analyze_lfs

N, D = 40, 5


def _arrays():
    """Good values of every argument."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)).astype(np.float32)
    y = (x[:, 0] + rng.normal(size=N) > 0).astype(float)
    votes = np.where(
        rng.random((N, 4)) < 0.3, -1, np.where(rng.random((N, 4)) < 0.8, y[:, None], 0)
    )
    return {
        "x": x, "activations": x, "targets": y, "label": y.astype(int),
        "weak_proba": rng.random(N), "proba": rng.random(N), "values": rng.random(N),
        "weights": np.ones(N), "folds": np.arange(N) % 5, "votes": votes.astype(np.int8),
        "texts": ["a good film", "a bad film", "", "it is not so bad"],
    }  # fmt: skip


FUNCTIONS = (
    change_point, detect_overlap, fit_detector, fit_probes, fit_columns, accuracy, brier, auroc,
    calibration_error, fit_neighbors, fit_majority_vote, fit_dawid_skene,
    analyze_lfs, label_matrix, w2s.pgr, w2s.load, fit_snorkel,
)  # fmt: skip
OPTIONS = {
    "similarity": ("cosine", "dot", "euclid", ""),
    "absolute": (True, False),
    "center": ("none", "mean", "whiten", "median", ""),
    "aggregate": ("max", "mean", "sum"),
    "tau_hard": ("change_point", 0.5, {"quantile": 0.2}, {"quantile": 2}, {}, "x", -1.0,
                 float("nan"), {"quantile": float("nan")}),
    "tau_overlap": ("change_point", 0.5, {"quantile": 0.9}, "nothing", 10**40, True),
    "l2": (1e-3, "cv", 0, -1, float("nan"), float("inf"), "x", 1e-300, 1e300),
    "tolerance": (0.0, 0.1, float("nan"), -1.0, float("inf")),
    "neighbors": (1, 3, 0, -1, 10**9),
    "epochs": (1, 3, 0, -1),
    "seed": (0, 1, -1, 2**70),
    "names": (None, ["vader"], [], ["x"], ["afinn", "afinn"]),
    "device": ("cpu", "cpu", "cpu", "cuda:99", "tpu", ""),
    "mended": (True, False),
}  # fmt: skip


def function(shared, rng, folder):
    """A public function with one or two arguments spoilt."""
    call = mutate.pick(rng, FUNCTIONS)
    good = _arrays()
    given = {}
    for name, parameter in inspect.signature(call).parameters.items():
        if name in good and (parameter.default is parameter.empty or rng.random() < 0.3):
            given[name] = good[name]
        elif name in OPTIONS and rng.random() < 0.3:
            given[name] = mutate.pick(rng, OPTIONS[name])
        elif parameter.default is parameter.empty:
            given[name] = str(folder) if call is w2s.load else mutate.pick(rng, (0.5, 0.9, 1.0))
    told = []
    arrays = [name for name in given if name in good or call in (w2s.pgr, w2s.load)]
    for name in rng.choice(arrays, size=min(len(arrays), int(rng.integers(1, 3))), replace=False):
        given[name], way = array(given[name], rng)
        told.append(f"{name}: {way}")
    rest = {name: value for name, value in given.items() if name in OPTIONS}
    about = f"{call.__name__}({', '.join(told)}; {rest})"
    required = [
        name for name, parameter in inspect.signature(call).parameters.items()
        if parameter.kind is not parameter.KEYWORD_ONLY and name in given
    ]  # fmt: skip
    first = [given.pop(name) for name in required]
    return Case(about, lambda: call(*first, **given), folder)


def array(value, rng):
    """Another shape, type or other values."""
    if isinstance(value, list):
        return [mutate.pick(rng, mutate.WORDS) for _ in range(int(rng.integers(4)))], "odd words"
    if isinstance(value, str):
        return mutate.pick(rng, mutate.WORDS), "an odd path"
    if not isinstance(value, np.ndarray):
        return mutate.odd(rng), "odd"
    ways = {
        "empty": lambda: value[:0],
        "one row": lambda: value[:1],
        "two rows": lambda: value[:2],
        "fewer rows": lambda: value[:-3],
        "no columns": lambda: value.reshape(len(value), -1)[:, :0],
        "one more axis": lambda: value[..., None],
        "no axis": lambda: value.ravel()[0],
        "transposed": lambda: value.T,
        "reversed": lambda: value[::-1],
        "in Fortran's order": lambda: np.asfortranarray(value),
        "every other": lambda: np.repeat(value, 2, axis=0)[::2],
        "other bytes": lambda: value.astype(value.dtype.newbyteorder()),
        "read-only": lambda: _locked(value),
        "a list": value.tolist,
        "ragged": lambda: [*value.tolist(), [1, 2, 3]],
        "words": lambda: value.astype(str),
        "objects": lambda: value.astype(object),
        "complex": lambda: value.astype(complex),
        "dates": lambda: value.astype(np.int64).astype("datetime64[s]"),
        "masked": lambda: np.ma.masked_array(value, value > 0.5),
        "constant": lambda: np.ones_like(value),
        "zeros": lambda: np.zeros_like(value),
        "huge": lambda: value.astype(np.float64) * 1e300,
        "tiny": lambda: value.astype(np.float64) * 1e-310,
        "negative": lambda: -value,
        "nan": lambda: _with(value, rng, np.nan),
        "infinite": lambda: _with(value, rng, -np.inf),
        "all nan": lambda: np.full(value.shape, np.nan),
        "a tensor": lambda: torch.tensor(value.copy()),
        "a tensor of bfloat16": lambda: torch.tensor(value.copy()).to(torch.bfloat16),
        "a sparse tensor": lambda: torch.tensor(value.copy()).to_sparse(),
        "a meta tensor": lambda: torch.tensor(value.copy()).to("meta"),
        "odd": lambda: mutate.odd(rng),
        **{f"as {kind}": lambda kind=kind: value.astype(kind)
           for kind in ("float16", "float64", "longdouble", "bool", "int8", "uint8", "int64")},
    }  # fmt: skip
    way = mutate.pick(rng, list(ways))
    with np.errstate(all="ignore"):
        return ways[way](), way


def _locked(value):
    value = value.copy()
    value.setflags(write=False)
    return value


def _with(value, rng, what):
    value = value.astype(np.float64)
    value.ravel()[int(rng.integers(value.size))] = what
    return value
