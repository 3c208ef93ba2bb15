"""Models of sentence-transformers: what of theirs is not used is told."""

import json

import numpy as np

from w2s.models.source import Source, tell_length, tell_pooling

MEAN = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}


def write(folder, pooling, *more):
    """The files that such a model has beside those of `transformers`."""
    kinds = ["Transformer", "Pooling", *more]
    paths = ["", *(f"{i}_{kind}" for i, kind in enumerate(kinds) if i)]
    modules = [
        {"idx": i, "path": path, "type": "sentence_transformers.models." + kind}
        for i, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 256}')
    return Source(str(folder))


def test_another_pooling_and_layers_behind_it_are_told(tmp_path, caplog, subtests):
    cases = [
        (MEAN, "mean", ""),
        (MEAN, "last", "mean"),
        ({"pooling_mode_cls_token": True}, "first", ""),
        ({"pooling_mode_lasttoken": True}, "last", ""),
        ({"pooling_mode_lasttoken": True}, "first", "last"),
        ({"pooling_mode": "cls"}, "mean", "first"),
        ({"pooling_mode_max_tokens": True}, "mean", "max_tokens"),
        (MEAN | {"pooling_mode_max_tokens": True}, "mean", "mean and max_tokens"),
        ([], "mean", ""),
    ]
    for number, (own, pooling, said) in enumerate(cases):
        folder = tmp_path / str(number)
        caplog.clear()
        tell_pooling(write(folder, own, "Normalize"), pooling)
        expected = f"its own pooling is {said}; `pooling: {pooling}` is used instead"
        with subtests.test(own=own, pooling=pooling):
            assert caplog.messages == ([f"model {folder}: {expected}"] if said else [])
    caplog.clear()
    tell_pooling(write(tmp_path / "m", MEAN, "Dense", "Normalize"), "mean")
    assert caplog.messages == [f"model {tmp_path / 'm'}: its part 2_Dense (Dense) is left out"]


def test_texts_beyond_its_own_length_are_told(tmp_path, caplog):
    source = write(tmp_path / "m", MEAN)
    tell_length(source, np.array([3, 256]))
    assert not caplog.messages
    tell_length(source, np.array([3, 257]))
    (said,) = caplog.messages
    assert "1 of 2 texts have more than the 256 tokens" in said


def test_other_models_and_other_files_of_these_names_say_nothing(tmp_path, caplog):
    source = Source(str(tmp_path))
    for content in (None, "{}", "[]", "[1]", '[{"type": 3}]', '{"max_seq_length": "a"}'):
        for name in ("modules.json", "sentence_bert_config.json") if content else ():
            (tmp_path / name).write_text(content)
        tell_pooling(source, "mean")
        tell_length(source, np.array([1000]))
        assert not caplog.messages, content
