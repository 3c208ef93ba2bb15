"""Models of the hub: the real loading path, on a hub cache built by hand."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny

import w2s

REVISION = "0123456789abcdef0123456789abcdef01234567"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A cache that holds one repository at one revision, as a download leaves it."""
    home = tmp_path_factory.mktemp("hub")
    snapshot = home / "hub" / "models--tiny--bert" / "snapshots" / REVISION
    tiny.write_model(snapshot, family="bert")
    (home / "hub" / "models--tiny--bert" / "refs").mkdir()
    (home / "hub" / "models--tiny--bert" / "refs" / "main").write_text(REVISION, encoding="utf-8")
    tiny.write_dataset(home / "texts.csv", n=60)
    data = {"source": "file", "path": "texts.csv", "val": 0.2, "test": 0.3}
    run(home, "examples", "--source", home / "texts.csv", "--examples", home / "examples.parquet",
        "--settings", json.dumps({"dataset": "texts", "data": data}), check=True)  # fmt: skip
    return home, snapshot


def run(home, *arguments, check=False):
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-m", "w2s", *map(str, arguments)], check=check,
                          capture_output=True, text=True, env=environment)  # fmt: skip


def extract(home, model, name):
    tokens, activations = (home / f"{name}-{kind}.safetensors" for kind in ("tokens", "vectors"))
    run(home, "tokenize", "--examples", home / "examples.parquet", "--model", model,
        "--tokens", tokens, check=True)  # fmt: skip
    run(home, "activations", "--tokens", tokens, "--model", model,
        "--activations", activations, check=True)  # fmt: skip
    return w2s.load(activations)


def test_a_model_of_the_hub_gives_the_activations_of_its_files(hub):
    home, snapshot = hub
    remote = extract(home, f"hub:tiny/bert@{REVISION}", "remote")
    local = extract(home, snapshot, "local")
    np.testing.assert_array_equal(remote["layer_-1"], local["layer_-1"])
    assert remote.facts["model"] == {"id": "tiny/bert", "revision": REVISION}
    assert list(local.facts["model"]) == ["model.safetensors"]
    for name in ("remote", "local"):  # no path of the user is in the artifact
        assert str(home).encode() not in (home / f"{name}-vectors.safetensors").read_bytes()


def test_a_model_that_cannot_be_loaded_is_one_line(hub, subtests):
    home, _ = hub
    tokens = home / "none.safetensors"
    for model, expected in [
        ("hub:tiny/bert", "found no revision"),
        ("hub:tiny/absent@main", "check name, revision, access and network"),
        (f"hub:tiny/bert@{REVISION[::-1]}", "check name, revision, access and network"),
    ]:
        with subtests.test(model):
            done = run(home, "tokenize", "--examples", home / "examples.parquet", "--model", model,
                       "--tokens", tokens)  # fmt: skip
            errors = [line for line in done.stderr.splitlines() if "error:" in line]
            assert done.returncode == 2
            assert len(errors) == 1
            assert expected in errors[0]
            assert "Traceback" not in done.stderr
            assert not tokens.exists()
