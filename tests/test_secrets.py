"""Neither the user's token nor the user's folders get into artifacts and logs."""

import os
import shutil
import subprocess
import sys

import pytest
import tiny

pytestmark = pytest.mark.slow
TOKEN = "secret-token-value"
SOMEBODY, FOLDER = "home-of-somebody", "folder-of-somebody"
REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = f"hub:tiny/bert@{REVISION}"


class Place:
    """A user's home with a hub cache, and a folder with the same model, in which commands run."""

    def __init__(self, folder, chain):
        self.home, self.here = folder / SOMEBODY, folder / FOLDER
        cache = self.home / ".cache" / "huggingface"
        self.cached = cache / "hub" / "models--tiny--bert" / "snapshots" / REVISION
        tiny.write_model(self.cached)
        shutil.copytree(self.cached, self.here / "model")
        shutil.copy(chain / "examples.parquet", self.here)
        shutil.copy(chain / "tokens-small.safetensors", self.here / "tokens.safetensors")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            **{"HF_TOKEN": TOKEN, "HOME": str(self.home), "HF_HUB_OFFLINE": "1"},
        }

    def w2s(self, *arguments):
        """Run a command in the user's folder.

        Returns it, and all that it has written: to the terminal, and into files.
        """
        done = subprocess.run(
            [sys.executable, "-m", "w2s", *arguments],
            capture_output=True, text=True, check=False, cwd=self.here, env=self.environment,
        )  # fmt: skip
        files = (path for path in self.here.rglob("*") if path.is_file())
        made = b"".join(path.read_bytes() for path in files if "model" not in path.parts)
        return done, done.stdout + done.stderr + made.decode("latin-1")

    def tokenize(self, model):
        return self.w2s("tokenize", "--examples", "examples.parquet", "--model", model,
                        "--tokens", "tokens.safetensors")  # fmt: skip

    def activations(self, model):
        return self.w2s("activations", "--tokens", "tokens.safetensors", "--model", model,
                        "--activations", "a.safetensors", "--settings", "{}")  # fmt: skip


@pytest.fixture
def place(chain, tmp_path):
    return Place(tmp_path, chain)


def clean(text):
    return not any(word in text for word in (TOKEN, SOMEBODY, FOLDER))


def refused(done, why):
    """One line said why, and nothing else went wrong before."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "error:" in line]
    assert why in line


@pytest.mark.parametrize("model", ["model", HUB])
def test_nothing_personal_in_artifacts_and_logs(model, place):
    for stage in (place.tokenize, place.activations):
        done, told = stage(model)
        assert done.returncode == 0, done.stderr
        assert clean(told)
    assert (place.here / "a.safetensors").exists()


def test_the_test_would_see_a_leak(place):
    done, told = place.tokenize(str(place.here / "model" / "nothing"))
    refused(done, "found no config.json")
    assert not clean(told)  # the user typed it


@pytest.mark.parametrize(
    ("model", "file", "size"),
    [
        ("model", "config.json", 50),
        ("model", "model.safetensors", 50),
        (HUB, "config.json", 50),
        (HUB, "tokenizer_config.json", 50),
        (HUB, "model.safetensors", 50),
        (HUB, "model.safetensors", None),
    ],
)
def test_nothing_personal_in_errors(model, file, size, place):
    """Where a file is cut to a size, or gone."""
    for folder in (place.here / "model", place.cached):
        content = (folder / file).read_bytes()
        (folder / file).unlink()
        if size is not None:
            (folder / file).write_bytes(content[:size])
    done, told = place.tokenize(model) if "token" in file else place.activations(model)
    refused(done, "cannot be loaded")
    assert clean(told)


def test_nothing_personal_where_the_hub_has_no_such_model(place):
    for model in ("hub:tiny/absent@main", f"hub:tiny/bert@{REVISION[::-1]}"):
        done, told = place.tokenize(model)
        refused(done, "check name, revision, access and network")
        assert clean(told)
