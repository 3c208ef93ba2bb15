"""Selectors of the user's own: functions of a Python file, and scores of a file by id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from w2s.arms.pool import Pool
from w2s.arms.track import DRAWN, SELECTORS
from w2s.checks import Array, rows_of
from w2s.data.own_tasks import MISTAKES, run_file, told_error
from w2s.errors import DataError

Own = Callable[[Pool, Array], Array]  # of a pool and the true labels, which oracles see


def own_selectors(path: str) -> dict[str, Own]:
    """Selectors of a Python file with `SELECTORS`, and `ORACLES`, functions of a pool by name.

    Those of ORACLES are given the true labels too, as `pool.label`. The file runs with the rights
    of whoever calls this.

    Raises:
        DataError: a file that does not run or defines something else, or a name that is taken; the
            functions raise one for what they raise, and for scores that are none.
    """
    names = run_file(Path(path), "SELECTORS = {NAME: FUNCTION}")
    found: dict[str, Own] = {}
    for table in ("SELECTORS", "ORACLES"):
        given = names.get(table, {})
        if not isinstance(given, Mapping) or not all(map(callable, given.values())):
            raise DataError(f"{path}, {table}: expected {{NAME: FUNCTION}}")
        for name, function in given.items():
            if not isinstance(name, str) or name in (*SELECTORS, DRAWN, *found):
                raise DataError(f"{path}, {table}: found {name!r}, expected a name not taken")
            found[name] = _checked(f"{path}, {name}", function, oracle=table == "ORACLES")
    if not found:
        raise DataError(f"{path}: found no SELECTORS, expected SELECTORS = {{NAME: FUNCTION}}")
    return found


def _checked(where: str, function: Callable[[Pool], Array], *, oracle: bool) -> Own:
    def score(pool: Pool, label: Array) -> Array:
        try:
            given = np.asarray(function(replace(pool, label=label) if oracle else pool))
        except MISTAKES as error:
            raise DataError(f"{where}: found {told_error(error)}, expected scores") from error
        return _scores(given, len(label), where)

    return score


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
    except MISTAKES as error:
        raise DataError(f"{path}: found {told_error(error)}, {expected}") from error
    lacking = [name for name in ("id", "score") if name not in columns]
    if lacking or columns["id"].dtype.kind not in "iu":
        told = f"no {lacking[0]}" if lacking else f"id of {columns['id'].dtype}"
        raise DataError(f"{path}: found {told}, {expected} (id int64)")
    known, first = np.unique(columns["id"], return_index=True)
    if len(known) < len(columns["id"]):
        raise DataError(f"{path}: found an id twice, expected each once")
    score = _scores(columns["score"], len(columns["id"]), f"{path}, score")
    return score[first][rows_of(ids, known.astype(np.int64), what=str(path))]


def _read(path: Path) -> dict[str, Array]:
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}
