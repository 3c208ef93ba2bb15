"""What an experiment will take, reckoned by hand on small configurations."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from w2s.config import parse
from w2s.data.tasks import TASKS
from w2s.estimate import SIZES, TYPICAL, estimate
from w2s.files.artifacts import Artifact, save
from w2s.progress import bar

MODEL = {"source": "hub", "id": "a/b", "revision": "main"}
LOCAL = {"source": "local", "path": "model"}
BOOLQ = {"source": "hub", "task": "boolq"}
TRAIN, TEST, TOKENS = SIZES["boolq"]


def configuration(**changes):
    """A dataset of the hub with all sizes in rows, and two models."""
    return {
        "results": "results",
        "seeds": [0],
        "datasets": {"boolq": {**BOOLQ, "pool": 1000, "val": 200, "test": 500}},
        "models": {"small": MODEL, "large": MODEL},
        "pairs": [{"weak": "small", "strong": "large"}],
        **changes,
    }


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def told(**changes):
    """The first line, that of each model by its name, and the last."""
    first, *models, last = estimate(parse(configuration(**changes)))
    return first, {line.split(":")[0]: line for line in models}, last


def of_small(small=MODEL, **changes):
    return told(models={"small": small, "large": MODEL}, **changes)[1]["small"]


def texts(**changes):
    """Texts that are reckoned with for a dataset of one task."""
    words = told(datasets={"boolq": {**BOOLQ, **changes}})[0].removesuffix(" texts").split()
    return int(words[-1].replace(",", ""))


def test_texts_are_the_most_that_the_sizes_allow(subtests):
    for changes, expected in (
        ({"pool": 1000, "val": 200, "test": 500}, 1700),
        ({"pool": 10**6, "val": 200, "test": 500}, TRAIN + 500),
        ({"pool": 1000, "val": 200, "test": 10**6}, 1200 + TEST),
        ({"val": 200, "test": 500}, TRAIN + 500),
        ({"val": 0.1, "test": 500, "pool": 100}, 600 + round(TRAIN * 0.1)),
        ({"val": 0.3, "test": 500, "pool": 100}, 600 + round(TRAIN * 0.3)),
        ({"val": 200, "test": 0.5, "pool": 100}, 300 + round(TEST / 2)),
        ({"val": 200, "test": 500, "pool": 0.5}, 700 + round(TRAIN / 2)),
        ({"val": 10**6, "test": 500, "pool": 100}, 600 + TRAIN // 5),
        ({"val": 10, "test": 20, "max_rows": 50}, 50 + 20),
        ({"val": 10, "test": 2000, "max_rows": 50}, 50 + 50),
        ({"val": 0.5, "test": 0.5, "pool": 1000, "max_rows": 100}, 100 + 50),
    ):
        with subtests.test(str(changes)):
            assert texts(**changes) == expected


def test_every_task_has_its_size():
    assert set(SIZES) == set(TASKS)
    assert all(min(size) > 0 for size in SIZES.values())


def test_first_line_counts_datasets_and_those_not_known_yet():
    file = {"source": "file", "path": "a.csv"}
    rows = {**file, "pool": 100, "val": 10, "test": 20}
    data = configuration()["datasets"] | {"mine": file, "rows": rows}
    first, models, _ = told(datasets=data)
    assert first == (
        "2 datasets with at most 1,830 texts, and 1 more datasets that must be read first"
    )
    tokens = 1700 * TOKENS + 130 * TYPICAL
    assert f" {tokens / 1e6:.1f} M tokens (0 of 3 datasets counted)" in models["small"]


def test_tokens_are_cut_at_the_longest_text():
    sizes = {"pool": 9000, "val": 1000, "test": 1000}
    models = {"small": {**MODEL, "max_length": 20}, "large": MODEL}
    _, lines, _ = told(models=models, datasets={"boolq": {**BOOLQ, **sizes}})
    n = texts(**sizes)
    assert f" {n * 20 / 1e6:.1f} M tokens" in lines["small"]
    assert f" {n * TOKENS / 1e6:.1f} M tokens" in lines["large"]


def test_nothing_is_known_of_a_model_that_says_nothing():
    _, lines, last = told()
    for name, line in lines.items():
        assert f"unknown time (set models.{name}.estimate.tokens_per_second)" in line
        assert "vectors of unknown width" in line
        assert "download" not in line
    assert "without the models of unknown speed" in last
    for line in estimate(parse(configuration())):
        assert "\n" not in line
        assert "None" not in line
        assert json.dumps(line)
    assert list(estimate(parse({"results": "results", "synthetic": {"studies": ["first"]}}))) == []


def test_given_speed_width_and_size_are_used():
    given = {"tokens_per_second": 10, "width": 1000, "gigabytes": 1.5}
    models = {
        "small": {**MODEL, "estimate": given, "storage": "bfloat16", "layers": [0, -1]},
        "large": {**MODEL, "estimate": {**given, "tokens_per_second": 20, "gigabytes": 3}},
    }
    _, lines, last = told(models=models)
    hours = [1700 * TOKENS / speed / 3600 for speed in (10, 20)]
    rooms = [1700 * 1000 * 2 * 2 / 1e9, 1700 * 1000 * 4 / 1e9]
    for name, time, speed, room, size in zip(
        ("small", "large"), hours, (10, 20), rooms, (1.5, 3), strict=True
    ):
        expected = (
            f"{time:.2g} hours of one device at {speed} tokens/s (given), vectors {room:.2g} GB, "
            f"download {size:.1f} GB"
        )
        assert lines[name].endswith(expected)
    assert last == (
        f"extraction: {sum(hours):.2g} hours of one GPU (or CPU); "
        f"vectors on disk: {sum(rooms):.2g} GB"
    )


def test_width_of_a_local_model_is_in_its_configuration(tmp_path):
    for family in ("llama", "gpt2"):
        tiny.write_model(tmp_path / family, family)
        expected = f"vectors {1700 * tiny.HIDDEN * 4 / 1e9:.2g} GB"
        assert expected in of_small({**LOCAL, "path": family})
    (tmp_path / "model").mkdir()
    assert "vectors of unknown width" in of_small(LOCAL)
    for content in ("", "no JSON", "[1]", "{}", '{"hidden_size": "x"}'):
        (tmp_path / "model" / "config.json").write_text(content)
        assert "vectors of unknown width" in of_small(LOCAL)


def write_tokens(model, n, each):
    arrays = {"id": np.arange(n), "start": np.arange(n + 1) * each,
              "token": np.zeros(n * each, dtype=np.int32)}  # fmt: skip
    facts = {"dataset": "boolq", "truncated": 0, "side": "left"}
    save(Artifact("tokens", arrays, facts), f"results/boolq/tokens/{model}.safetensors")


def write_log(name, tokens, monkeypatch, rate):
    """The log of a job that did so many tokens at a rate, as its bar writes it."""
    path = Path("results/logs/boolq") / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with bar("activations boolq", tokens, "tokens") as advance:
        advance.__self__.start_t -= tokens / rate
        advance(tokens)
    path.write_text(f"a warning\n{sys.stderr.getvalue()}another\n", encoding="utf-8")
    return path


def test_tokens_that_are_there_are_counted_and_a_measured_speed_goes_before_the_given_one(
    monkeypatch,
):
    write_tokens("small", 300, 4000)
    first, lines, _ = told()
    assert "1.2 M tokens (1 of 1 datasets counted)" in lines["small"]
    assert "(0 of 1 datasets counted)" in lines["large"]
    assert first.startswith("1 datasets with at most ")
    path = write_log("activations-small", 1_200_000, monkeypatch, rate=2000)
    line = of_small({**MODEL, "estimate": {"tokens_per_second": 9}})
    assert "0.17 hours of one device at 2,000 tokens/s (measured)" in line
    for content in ("", "killed\n", "boolq: 0%| | 0.00/1.20M [00:00<?, ? tokens/s]\n", "\0\n"):
        path.write_text(content)
        assert "unknown time" in of_small()


def test_speed_of_shards_is_that_of_all_of_them(monkeypatch):
    write_tokens("small", 300, 4000)
    write_log("activations-small", 1_200_000, monkeypatch, rate=9)  # of a run without shards
    write_log("activations-small-1-of-2", 600_000, monkeypatch, rate=3000)
    assert "unknown time" in of_small(extraction={"shards": 2})
    write_log("activations-small-2-of-2", 600_000, monkeypatch, rate=1500)
    assert "at 2,000 tokens/s (measured" in of_small(extraction={"shards": 2})


def test_width_is_that_of_activations_that_are_there():
    values = np.ones((5, 48), dtype=np.float32)
    facts = {"dataset": "boolq", "model": {}, "storage": "float32", "loss": {}}
    path = "results/boolq/activations/small.safetensors"
    save(Artifact("activations", {"id": np.arange(5), "layer_-1": values}, facts), path)
    assert f"vectors {1700 * 48 * 4 / 1e9:.2g} GB" in of_small()


def test_a_damaged_file_is_as_good_as_none():
    expected = told()
    for content in (b"", b"\x08", b"\xff" * 9, b"\x02\0\0\0\0\0\0\0{}"):
        for path in ("activations/small.safetensors", "tokens/small.safetensors"):
            file = Path("results/boolq") / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        assert told() == expected
