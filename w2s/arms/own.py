"""Selectors of the user's own: functions of a Python file, and scores of a file by id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from w2s.arms.pool import Pool
from w2s.arms.track import DRAWN, SELECTORS
from w2s.checks import Array, rows_of
from w2s.data.own_tasks import MISTAKES, run_file, told_error
from w2s.data.task import shown
from w2s.declare import NAME
from w2s.errors import DataError, DegenerateError

FORMATS = (".parquet", ".npz")  # of files of scores
Own = Callable[[Pool, Array], Array]  # of a pool and the true labels, which oracles see


def own_selectors(path: str, taken: Iterable[str] = ()) -> dict[str, Own]:
    """Selectors of a Python file with `SELECTORS`, and `ORACLES`, functions of a pool by name.

    Those of ORACLES are given the true labels too, as `pool.label`; no array of a pool can be
    written to. One that is undefined on a pool raises `w2s.errors.DegenerateError`, and the tables
    tell its message. The file runs with the rights of whoever calls this.

    Args:
        path: The file.
        taken: Names beside those of this library's own selectors.

    Raises:
        DataError: a file that does not run or defines something else, or a name that is taken or
            none; the functions raise one for what they raise, and for scores that are none.
    """
    names = run_file(Path(path), "SELECTORS = {NAME: FUNCTION}")
    known = {*SELECTORS, DRAWN, *taken}
    found: dict[str, Own] = {}
    for table in ("SELECTORS", "ORACLES"):
        given = names.get(table, {})
        where = f"{path}, {table}: found"
        if not isinstance(given, Mapping):
            raise DataError(f"{where} {shown(given)}, expected {{NAME: FUNCTION}}")
        for name, function in given.items():
            if not isinstance(name, str) or not re.fullmatch(NAME, name):
                expected = "a name of letters and digits, with single . _ or - between them"
                raise DataError(f"{where} {shown(name)}, expected {expected}")
            if name in known or name in found:
                raise DataError(f"{where} {name!r}, expected a name not taken")
            if not callable(function):
                raise DataError(f"{where} {shown(function)} for {name!r}, expected a function")
            found[name] = _checked(f"{path}, {name}", function, oracle=table == "ORACLES")
    if not found:
        raise DataError(f"{path}: found no SELECTORS, expected SELECTORS = {{NAME: FUNCTION}}")
    return found


def _checked(where: str, function: Callable[[Pool], Array], *, oracle: bool) -> Own:
    def score(pool: Pool, label: Array) -> Array:
        try:
            given = np.asarray(function(_to_read(replace(pool, label=label if oracle else None))))
        except DegenerateError:
            raise
        except MISTAKES as error:
            raise DataError(f"{where}: found {told_error(error)}, expected scores") from error
        return _scores(given, len(label), where)

    return score


def _to_read(pool: Pool) -> Pool:
    """The pool with arrays that cannot be written to: others read the same ones."""
    arrays: dict[str, Any] = {}
    for field in fields(pool):
        value = getattr(pool, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = value.view()
            arrays[field.name].flags.writeable = False
    return replace(pool, **arrays)


def _scores(given: Array, n: int, where: str) -> Array:
    if given.shape != (n,) or given.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: found {given.dtype} of shape {given.shape}, expected {n} numbers"
        )
    bad = int(np.count_nonzero(~np.isfinite(given)))
    if bad:
        raise DataError(f"{where}: found {bad} scores that are NaN or infinite, expected none")
    return given.astype(np.float64)


def own_scores(path: Path, ids: Array) -> Array:
    """Scores of a file for these points, float64 (n,): `id` and `score` in .parquet or .npz.

    It may hold other points too, so that one file serves all datasets and seeds.

    Raises:
        DataError: no such file, another format, or scores that are none.
        ArtifactError: it lacks a point.
    """
    expected = "expected .parquet or .npz with id and score"
    if not path.is_file():
        raise DataError(f"{path}: found no file, {expected}")
    try:
        columns = _read(path)
    except (*MISTAKES, BadZipFile) as error:
        raise DataError(f"{path}: found {told_error(error)}, {expected}") from error
    lacking = [name for name in ("id", "score") if name not in columns]
    if lacking:
        raise DataError(f"{path}: found no {lacking[0]}, {expected}")
    id_ = columns["id"]
    if id_.dtype.kind not in "iu" or id_.ndim != 1:
        raise DataError(
            f"{path}: found id of {id_.dtype} and shape {id_.shape}, {expected} (id int64)"
        )
    known, first = np.unique(columns["id"], return_index=True)
    if len(known) < len(columns["id"]):
        raise DataError(f"{path}: found an id twice, expected each once")
    score = _scores(columns["score"], len(columns["id"]), f"{path}, score")
    return score[first][rows_of(ids, known.astype(np.int64), what=str(path))]


def _read(path: Path) -> dict[str, Array]:
    if path.suffix not in FORMATS:
        raise ValueError(f"the ending {path.suffix or 'of none'}")
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}
