"""`w2s inspect`: kind, facts, provenance, ranges and rows with their own text."""

from dataclasses import replace

import numpy as np
import pytest

from w2s.declare import KINDS
from w2s.errors import ArtifactError
from w2s.files.artifacts import load, save
from w2s.inspect import describe
from w2s.overlap.scores import dominant_coordinate


def line_of(path, array):
    (line,) = [row for row in describe(path).splitlines() if row.startswith(f"  · {array} ")]
    return line


def test_kind_facts_and_provenance_are_shown(chain):
    path = chain / "regions-0.parquet"
    text, artifact = describe(path), load(path)
    assert text.startswith(f"{path}\n  kind        regions: {KINDS['regions'].doc}\n")
    for shown in (
        f"tau_hard    {artifact.facts['tau_hard']}",
        "status      ok",
        f"made by     w2s overlap (code {artifact.provenance['code']})",
        *("packages    ", "settings    ", "inputs      "),
    ):
        assert shown in text


def test_arrays_are_shown_with_type_shape_range_and_missing_values(chain):
    path = chain / "regions-0.parquet"
    artifact, score = load(path), line_of(path, "score")
    known = artifact["score"][np.isfinite(artifact["score"])]
    assert f"float64  {artifact['score'].shape}" in score
    assert f"{known.min():.6g} to {known.max():.6g}, mean {known.mean():.6g}" in score
    assert f"{len(artifact) - len(known)} NaN" in score
    words, counts = np.unique(artifact["region"].astype(str), return_counts=True)
    for word, count in zip(words, counts, strict=True):
        assert f"{word} {count}" in line_of(path, "region")
    assert "mean" not in line_of(path, "id")
    path = chain / "activations-small.safetensors"  # vectors: the coordinate that counts most
    told = dominant_coordinate([load(path)["layer_-1"]])
    assert line_of(path, "layer_-1").endswith(f"; {told}")


def test_rows_are_shown_with_the_text_of_their_id_and_no_other(chain):
    examples = load(chain / "examples.parquet")
    texts = dict(zip(examples["id"].tolist(), examples["text"], strict=True))
    numbers = dict(zip(examples["text"], examples["id"].tolist(), strict=True))
    for name in ("weak_labels-0.parquet", "split-0.parquet", "activations-small.safetensors"):
        ids = load(chain / name)["id"][:3].tolist()
        rows = describe(chain / name, rows=3).splitlines()[-3:]
        for row, number in zip(rows, ids, strict=True):
            assert f"id={number}" in row
            whole = texts[number]
            assert row.endswith(f"«{whole}»" if len(whole) <= 60 else f"«{whole[:59]}…»")
    for name in ("correct-0.safetensors", "predictions-0.safetensors", "runs-0.parquet"):
        for row in describe(chain / name, rows=5).splitlines():
            if "«" in row:
                text = row.split("«")[1].removesuffix("»")
                assert f"id={numbers[text]}" in row, name


def test_more_rows_than_test_points_and_no_row_are_no_fault(chain, tmp_path):
    whole = load(chain / "correct-0.safetensors")
    arrays = {name: whole[name][:2].copy() for name in ("id", "region", "group")}
    arrays = {**whole.arrays, **arrays, "correct": whole["correct"][:, :2].copy()}
    save(replace(whole, arrays=arrays), tmp_path / "correct.safetensors")
    text = describe(tmp_path / "correct.safetensors", rows=10)
    assert f"float32  ({len(arrays['correct'])}, 2)" in text
    nothing = load(chain / "split-0.parquet").where(np.zeros(0, dtype=np.int64))
    save(nothing, tmp_path / "a.parquet")
    assert "(0,)" in describe(tmp_path / "a.parquet")


def test_artifact_without_its_examples_is_shown_without_texts(chain, tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes((chain / "weak_labels-0.parquet").read_bytes())
    assert "«" not in describe(path)
    (tmp_path / "examples.parquet").write_bytes(b"damaged")
    assert "«" not in describe(path)


def test_long_and_broken_texts_take_one_line_each(chain, tmp_path):
    examples = load(chain / "examples.parquet")
    texts = examples["text"].copy()
    texts[0], texts[1] = "word " * 100, "first line\nsecond line\r\nthird\tline"
    path = tmp_path / "examples.parquet"
    save(replace(examples, arrays={**examples.arrays, "text": texts}), path)
    rows = describe(path, rows=4).splitlines()[-4:]
    assert all(row.startswith("  id=") for row in rows)
    assert "…" in rows[0]
    assert len(rows[0]) < 400


def test_artifacts_that_no_stage_made_and_signs_of_a_terminal(chain, tmp_path):
    artifact, path = load(chain / "split-0.parquet"), tmp_path / "a.parquet"
    save(replace(artifact, provenance={}), path)
    text = describe(path)
    assert "made by" not in text
    assert "kind        split" in text
    made = {"stage": "a\x1b[31m\nb", "settings": {"x": "\x1b"}}
    facts = {**artifact.facts, "dataset": "c\x1b[0m\rd"}
    save(replace(artifact, provenance=made, facts=facts), path)
    text = describe(path)
    assert "made by     w2s a\\x1b[31m\\nb (code ?)" in text
    assert "dataset     c\\x1b[0m\\rd" in text
    assert "\x1b" not in text
    path.write_bytes(b"nothing")
    with pytest.raises(ArtifactError):
        describe(path)
