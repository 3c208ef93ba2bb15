"""Code that comes with a model runs only where the user says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from conftest import Chain

import w2s
from w2s import dag
from w2s.config import parse

pytestmark = pytest.mark.slow
TRUST = {"trust_remote_code": True}
CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel
Path({marker!r}).touch()
class MineConfig(BertConfig):
    model_type = {kind!r}
class MineModel(BertModel):
    config_class = MineConfig
"""
TOKENIZER = """
from pathlib import Path
from transformers import PreTrainedTokenizerFast
Path({marker!r}).touch()
class MineTokenizer(PreTrainedTokenizerFast):
    pass
"""


class Model:
    """A model folder with code of its own, which leaves a file when it is run."""

    def __init__(self, folder: Path, kind: str, tokenizer: bool = False) -> None:
        self.folder = tiny.write_model(folder / "model")
        self.marker = folder / "marker"
        names = {"AutoConfig": "mine.MineConfig", "AutoModel": "mine.MineModel"}
        self._change("config.json", model_type=kind, auto_map=names)
        code = CODE.format(marker=str(self.marker), kind=kind)
        (self.folder / "mine.py").write_text(code, encoding="utf-8")
        if tokenizer:
            code = TOKENIZER.format(marker=str(self.marker))
            (self.folder / "own.py").write_text(code, encoding="utf-8")
            own = {"AutoTokenizer": [None, "own.MineTokenizer"]}
            self._change("tokenizer_config.json", tokenizer_class="MineTokenizer", auto_map=own)

    def _change(self, name: str, **values: Any) -> None:
        path = self.folder / name
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | values), encoding="utf-8")

    def run(
        self, chain: Chain, stage: str, settings: dict[str, Any]
    ) -> subprocess.CompletedProcess[str]:
        """A stage on the small model's inputs, in a process that finds this model."""
        job = chain.jobs[f"{stage}-small"]
        line = job.line(model=self.folder, settings=settings, **job.elsewhere(self.folder.parent))
        return subprocess.run(
            [sys.executable, "-m", "w2s", *line],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "HF_HOME": str(self.folder.parent / "home"), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip


def lines(done: subprocess.CompletedProcess[str], word: str) -> list[str]:
    assert "Traceback" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if word in line]


def test_code_of_a_model_is_refused_with_the_setting_that_runs_it(
    chain: Chain, tmp_path: Path
) -> None:
    model = Model(tmp_path, "mine")
    done = model.run(chain, "activations", {})
    assert done.returncode == 2
    assert lines(done, "trust_remote_code") == [
        f"w2s activations: error: model {model.folder}: found code of its own, expected none; read "
        f"it, and run it with the model's setting trust_remote_code: true"
    ]
    assert not model.marker.exists()


def test_code_of_a_tokenizer_is_refused_too(chain: Chain, tmp_path: Path) -> None:
    model = Model(tmp_path, "mine", tokenizer=True)
    done = model.run(chain, "tokenize", {})
    assert done.returncode == 2
    assert len(lines(done, "error: model")) == 1
    assert "trust_remote_code: true" in done.stderr
    assert not model.marker.exists()


@pytest.mark.parametrize("stage", ["tokenize", "activations"])
def test_trusted_code_runs_with_a_warning(stage: str, chain: Chain, tmp_path: Path) -> None:
    model = Model(tmp_path, "mine", tokenizer=True)
    job = chain.jobs[f"{stage}-small"]
    done = model.run(chain, stage, job.settings | TRUST)
    assert done.returncode == 0, done.stderr
    warning = f"model {model.folder}: code that comes with it is run (trust_remote_code)"
    assert lines(done, "trust_remote_code") == [warning]
    assert model.marker.exists()
    (name,) = job.outputs
    found, expected = w2s.load(tmp_path / job.outputs[name].name), w2s.load(job.outputs[name])
    for array in expected.arrays:  # the code only inherits
        np.testing.assert_array_equal(found[array], expected[array])
    if stage == "activations":
        assert set(found.facts["model"]) == {"mine.py", "model.safetensors", "own.py"}


def test_a_known_kind_of_model_is_loaded_without_its_code(chain: Chain, tmp_path: Path) -> None:
    model = Model(tmp_path, "bert")
    done = model.run(chain, "activations", chain.jobs["activations-small"].settings)
    assert done.returncode == 0, done.stderr
    assert not lines(done, "trust_remote_code")
    assert not model.marker.exists()


def test_the_setting_is_part_of_what_both_stages_are_told(tmp_path: Path) -> None:
    model = Model(tmp_path, "mine")
    base = {"source": "local", "path": str(model.folder)}
    texts = {"source": "file", "path": "texts.csv"}
    both = {"plain": base, "trusted": base | TRUST}
    config = parse({"results": "r", "seeds": [0], "datasets": {"d": texts}, "models": both,
                    "pairs": [{"weak": "plain", "strong": "trusted"}]})  # fmt: skip
    for stage in ("tokenize", "activations"):
        told = [json.loads(dag.settings(config, stage, dataset="d", model=name)) for name in both]
        assert [settings["trust_remote_code"] for settings in told] == [False, True]
    assert str(model.folder / "mine.py") in dag.model_files(config, "trusted")
