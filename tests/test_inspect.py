"""`w2s inspect`: kind, facts, provenance, ranges and rows with their own text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import Chain

from w2s.errors import ArtifactError
from w2s.files.artifacts import load, save
from w2s.inspect import describe
from w2s.overlap.similarity import dominant_coordinate
from w2s.tracks import KINDS


def test_kind_facts_and_provenance_are_shown(chain: Chain) -> None:
    path = chain / "regions-0.parquet"
    text = describe(path)
    artifact = load(path)
    assert text.startswith(f"{path}\n  kind        regions: {KINDS['regions'].doc}\n")
    assert f"tau_hard    {artifact.facts['tau_hard']}" in text
    assert "status      ok" in text
    assert f"made by     w2s overlap (code {artifact.provenance['code']})" in text
    assert "packages    " in text
    assert "settings    " in text
    assert "inputs      " in text


def test_arrays_are_shown_with_type_shape_range_and_missing_values(chain: Chain) -> None:
    path = chain / "regions-0.parquet"
    artifact = load(path)
    lines = describe(path).splitlines()
    (score,) = [line for line in lines if line.startswith("  · score ")]
    known = artifact["score"][np.isfinite(artifact["score"])]
    assert f"float64  {artifact['score'].shape}" in score
    assert f"{known.min():.6g} to {known.max():.6g}, mean {known.mean():.6g}" in score
    assert f"{len(artifact) - len(known)} NaN" in score
    (region,) = [line for line in lines if line.startswith("  · region ")]
    for word, count in zip(
        *np.unique(artifact["region"].astype(str), return_counts=True), strict=True
    ):
        assert f"{word} {count}" in region
    (ids,) = [line for line in lines if line.startswith("  · id ")]
    assert "mean" not in ids


def test_vectors_are_shown_with_the_coordinate_that_counts_most(chain: Chain) -> None:
    path = chain / "activations-small.safetensors"
    (line,) = [line for line in describe(path).splitlines() if line.startswith("  · layer_-1 ")]
    assert line.endswith(f"; {dominant_coordinate([load(path)['layer_-1']])}")


def test_rows_are_shown_with_the_text_of_their_id(chain: Chain) -> None:
    examples = load(chain / "examples.parquet")
    texts = dict(zip(examples["id"].tolist(), examples["text"], strict=True))
    for name in ("weak_labels-0.parquet", "split-0.parquet", "activations-small.safetensors"):
        ids = load(chain / name)["id"][:3].tolist()
        rows = describe(chain / name, rows=3).splitlines()[-3:]
        for row, number in zip(rows, ids, strict=True):
            assert f"id={number}" in row
            whole = texts[number]
            assert row.endswith(f"«{whole}»" if len(whole) <= 60 else f"«{whole[:59]}…»")


def test_text_is_shown_only_beside_its_own_id(chain: Chain) -> None:
    examples = load(chain / "examples.parquet")
    numbers = dict(zip(examples["text"], examples["id"].tolist(), strict=True))
    for name in ("correct-0.safetensors", "predictions-0.safetensors", "runs-0.parquet"):
        for row in describe(chain / name, rows=5).splitlines():
            if "«" in row:
                text = row.split("«")[1].removesuffix("»")
                assert f"id={numbers[text]}" in row, name


def test_more_rows_than_test_points_are_no_fault(chain: Chain, tmp_path: Path) -> None:
    whole = load(chain / "correct-0.safetensors")
    arrays = dict(whole.arrays)
    for name in ("id", "region", "group"):
        arrays[name] = arrays[name][:2].copy()
    arrays["correct"] = arrays["correct"][:, :2].copy()
    path = tmp_path / "correct.safetensors"
    save(replace(whole, arrays=arrays), path)
    text = describe(path, rows=10)
    assert f"float32  ({len(arrays['correct'])}, 2)" in text


def test_artifact_without_its_examples_is_shown_without_texts(chain: Chain, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes((chain / "weak_labels-0.parquet").read_bytes())
    assert "«" not in describe(path)
    (tmp_path / "examples.parquet").write_bytes(b"damaged")
    assert "«" not in describe(path)


def test_long_and_broken_texts_take_one_line_each(chain: Chain, tmp_path: Path) -> None:
    examples = load(chain / "examples.parquet")
    texts = examples["text"].copy()
    texts[0], texts[1] = "word " * 100, "first line\nsecond line\r\nthird\tline"
    path = tmp_path / "examples.parquet"
    save(replace(examples, arrays={**examples.arrays, "text": texts}), path)
    lines = describe(path, rows=4).splitlines()
    assert all(line.startswith("  id=") for line in lines[-4:])
    assert "…" in lines[-4]
    assert len(lines[-4]) < 400


def test_empty_artifact_is_shown(chain: Chain, tmp_path: Path) -> None:
    nothing = load(chain / "split-0.parquet").where(np.zeros(0, dtype=np.int64))
    save(nothing, tmp_path / "a.parquet")
    assert "(0,)" in describe(tmp_path / "a.parquet")


def test_artifact_that_no_stage_made_is_shown_without_provenance(
    chain: Chain, tmp_path: Path
) -> None:
    save(replace(load(chain / "split-0.parquet"), provenance={}), tmp_path / "a.parquet")
    text = describe(tmp_path / "a.parquet")
    assert "made by" not in text
    assert "kind        split" in text


def test_signs_of_a_terminal_are_shown_as_escapes(chain: Chain, tmp_path: Path) -> None:
    artifact = load(chain / "split-0.parquet")
    made = {"stage": "a\x1b[31m\nb", "settings": {"x": "\x1b"}}
    facts = {**artifact.facts, "dataset": "c\x1b[0m\rd"}
    save(replace(artifact, provenance=made, facts=facts), tmp_path / "a.parquet")
    text = describe(tmp_path / "a.parquet")
    assert "made by     w2s a\\x1b[31m\\nb (code ?)" in text
    assert "dataset     c\\x1b[0m\\rd" in text
    assert "\x1b" not in text


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(ArtifactError):
        describe(tmp_path / "a.parquet")
