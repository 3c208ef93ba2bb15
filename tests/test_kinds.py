"""The declarations of the artifact kinds are complete and consistent."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from w2s import tracks as kinds
from w2s.declare import ForPeople, Kind, Many
from w2s.tracks import KINDS, STAGES

ALL = pytest.mark.parametrize("kind", list(KINDS.values()), ids=list(KINDS))


def test_kinds_holds_every_declaration_under_its_name() -> None:
    declared = [value for value in vars(kinds).values() if isinstance(value, Kind)]
    assert {kind.name: kind for kind in declared} == KINDS
    assert len(declared) == len(KINDS)


@ALL
def test_every_kind_and_array_says_what_it_is(kind: Kind) -> None:
    assert re.fullmatch("[a-z_]+", kind.name)
    assert kind.doc.endswith(".")
    assert "\n" not in kind.doc
    for name, spec in kind.arrays.items():
        assert re.fullmatch(r"[a-z0-9_]+\*?", name)
        assert spec.doc
        assert spec.axes
    assert all(kind.facts.values())


@ALL
def test_every_dtype_is_one_that_numpy_and_the_format_know(kind: Kind) -> None:
    for spec in kind.arrays.values():
        assert spec.dtype == "str" or str(np.dtype(spec.dtype)) == spec.dtype
        if spec.nan:
            assert spec.dtype.startswith("float")
    if kind.suffix == ".safetensors":
        assert "str" not in [spec.dtype for spec in kind.arrays.values()]


@ALL
def test_rows_are_parquet_and_one_dimensional_and_tensors_safetensors(kind: Kind) -> None:
    assert kind.suffix in (".parquet", ".safetensors")
    if kind.suffix == ".parquet":
        assert {spec.axes for spec in kind.arrays.values()} == {("n",)}


@ALL
def test_rows_with_ids_have_an_id_array(kind: Kind) -> None:
    if kind.ids:
        assert kind.arrays["id"] == kinds.ID
    else:
        assert "id" not in kind.arrays


def test_every_kind_is_written_by_one_stage_and_read_only_after_it() -> None:
    twice = {
        ("examples", "task_examples"),
        ("activations", "gather_activations"),
        ("weak_labels", "corpora_labels"),  # of one dataset, of several
        ("weak_labels", "label_model"),
        ("activations", "wrench_features"),
        ("label_matrix", "wrench_votes"),
        ("tables", "weak_supervision_tables"),  # comparisons
        ("tables", "finetuning_tables"),
        ("weak_labels", "finetune_weak"),
        ("finetune_weak", "finetune_strong"),  # training
        ("strong", "finetune_strong"),
    } | {(stage, "student") for stage in ("overlap", "strong")}
    written: dict[str, str] = {}
    for name, stage in STAGES.items():
        for source in stage.inputs.values():
            kind = source.kind if isinstance(source, Many) else source
            if isinstance(kind, Kind):
                assert kind.name in written, f"{name} reads {kind.name}, which nobody wrote before"
        for output in stage.outputs.values():
            kind = output.kind if isinstance(output, ForPeople) else output
            if isinstance(kind, Kind):
                first = written.setdefault(kind.name, name)
                assert first == name or (first, name) in twice
    assert set(written) == set(KINDS)


def test_declarations_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        kinds.ID.dtype = "int32"  # type: ignore[misc]


def test_declarations_can_be_shown_as_json() -> None:
    for kind in KINDS.values():
        shown = json.loads(json.dumps({name: spec.doc for name, spec in kind.arrays.items()}))
        assert set(shown) == set(kind.arrays)
