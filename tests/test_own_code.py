"""Code that comes with a model runs only where the user says so."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny

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

    def __init__(self, folder, kind):
        self.folder, self.marker = tiny.write_model(folder / "model"), folder / "marker"
        names = {"AutoConfig": "mine.MineConfig", "AutoModel": "mine.MineModel"}
        self._change("config.json", model_type=kind, auto_map=names)
        code = CODE.format(marker=str(self.marker), kind=kind)
        (self.folder / "mine.py").write_text(code, encoding="utf-8")

    def with_tokenizer(self):
        code = TOKENIZER.format(marker=str(self.marker))
        (self.folder / "own.py").write_text(code, encoding="utf-8")
        own = {"AutoTokenizer": [None, "own.MineTokenizer"]}
        self._change("tokenizer_config.json", tokenizer_class="MineTokenizer", auto_map=own)
        return self

    def _change(self, name, **values):
        path = self.folder / name
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | values), encoding="utf-8")

    def run(self, job, **settings):
        """Run a stage on the small model's inputs in a process that finds this model.

        Returns exit code and standard error, which tells of no fault.
        """
        line = job.line(model=self.folder, settings=settings, **job.elsewhere(self.folder.parent))
        home = str(self.folder.parent / "home")
        done = subprocess.run(
            [sys.executable, "-m", "w2s", *line],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "HF_HOME": home, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr.splitlines()


def about_code(lines):
    return [line for line in lines if "trust_remote_code" in line]


def test_code_of_a_model_or_tokenizer_is_refused_with_the_setting_that_runs_it(chain, tmp_path):
    model = Model(tmp_path, "mine")
    code, lines = model.run(chain.jobs["activations-small"])
    assert code == 2
    assert about_code(lines) == [
        f"w2s activations: error: model {model.folder}: found code of its own, expected none; read "
        f"it, and run it with the model's setting trust_remote_code: true"
    ]
    code, lines = model.with_tokenizer().run(chain.jobs["tokenize-small"])
    assert code == 2
    (line,) = [line for line in lines if "error: model" in line]
    assert "trust_remote_code: true" in line
    assert not model.marker.exists()


@pytest.mark.parametrize("stage", ["tokenize", "activations"])
def test_trusted_code_runs_with_a_warning(stage, chain, tmp_path):
    model = Model(tmp_path, "mine").with_tokenizer()
    job = chain.jobs[f"{stage}-small"]
    code, lines = model.run(job, **job.settings | TRUST)
    assert code == 0, lines
    warning = f"model {model.folder}: code that comes with it is run (trust_remote_code)"
    assert about_code(lines) == [warning]
    assert model.marker.exists()
    (path,) = job.outputs.values()
    found, expected = w2s.load(tmp_path / path.name), w2s.load(path)
    for array in expected.arrays:  # the code only inherits
        np.testing.assert_array_equal(found[array], expected[array])
    if stage == "activations":
        assert set(found.facts["model"]) == {"mine.py", "model.safetensors", "own.py"}


def test_a_known_kind_of_model_is_loaded_without_its_code(chain, tmp_path):
    model, job = Model(tmp_path, "bert"), chain.jobs["activations-small"]
    code, lines = model.run(job, **job.settings)
    assert code == 0, lines
    assert not about_code(lines)
    assert not model.marker.exists()


def test_the_setting_is_part_of_what_both_stages_are_told(tmp_path):
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
