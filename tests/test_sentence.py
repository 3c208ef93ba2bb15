"""Models of sentence-transformers: what of theirs is not used is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from w2s.models.source import Source, tell_length, tell_pooling

MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
TYPE = "sentence_transformers.models."


def write(folder: Path, pooling: Any, *more: str) -> Source:
    """The files that such a model has beside those of `transformers`."""
    kinds = ["Transformer", "Pooling", *more]
    modules = [
        {"idx": i, "path": f"{i}_{kind}" if i else "", "type": TYPE + kind}
        for i, kind in enumerate(kinds)
    ]
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    return Source(str(folder))


@pytest.mark.parametrize(
    ("own", "pooling", "said"),
    [
        (MEAN, "mean", ""),
        (MEAN, "last", "mean"),
        ({"pooling_mode_cls_token": True}, "first", ""),
        ({"pooling_mode_lasttoken": True}, "last", ""),
        ({"pooling_mode_lasttoken": True}, "first", "last"),
        ({"pooling_mode": "cls"}, "mean", "first"),
        ({"pooling_mode_max_tokens": True}, "mean", "max_tokens"),
        (MEAN | {"pooling_mode_max_tokens": True}, "mean", "mean and max_tokens"),
        ([], "mean", ""),
    ],
)
def test_another_pooling_is_told(
    own: Any, pooling: str, said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell_pooling(write(tmp_path / "m", own, "Normalize"), pooling)
    expected = f"its own pooling is {said}; `pooling: {pooling}` is used instead"
    assert caplog.messages == ([f"model {tmp_path / 'm'}: {expected}"] if said else [])


def test_layers_behind_the_pooling_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell_pooling(write(tmp_path / "m", MEAN, "Dense", "Normalize"), "mean")
    assert caplog.messages == [f"model {tmp_path / 'm'}: its part 2_Dense (Dense) is left out"]


@pytest.mark.parametrize(("longest", "said"), [(256, 0), (257, 1)])
def test_texts_beyond_its_own_length_are_told(
    longest: int, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tell_length(write(tmp_path / "m", MEAN), np.array([3, longest]))
    assert len(caplog.messages) == said
    if said:
        assert "1 of 2 texts have more than the 256 tokens" in caplog.messages[0]


@pytest.mark.parametrize("content", ["{}", "[]", "[1]", '[{"type": 3}]', '{"max_seq_length": "a"}'])
def test_other_models_and_other_files_of_these_names_say_nothing(
    content: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(str(tmp_path))
    for _ in range(2):
        tell_pooling(source, "mean")
        tell_length(source, np.array([1000]))
        for name in ("modules.json", "sentence_bert_config.json"):
            (tmp_path / name).write_text(content)
    assert not caplog.messages
