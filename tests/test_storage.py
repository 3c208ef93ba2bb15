"""Results in S3 instead of a folder: the same workflow, the same bytes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from project import (
    command,
    contents,
    environment,
    make_project,
    read_config,
    snakemake,
    write_config,
)

MISSING = [
    name
    for name in ("moto", "flask", "boto3", "snakemake_storage_plugin_s3")
    if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("storage"),
    pytest.mark.skipif(
        bool(MISSING), reason=f"needs the s3 extra and moto[server]; lacks {', '.join(MISSING)}"
    ),
]
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
BUCKET = "runs"


@dataclass(frozen=True)
class Server:
    """A server of S3 on this machine."""

    url: str

    def objects(self) -> dict[str, bytes]:
        """Content of every object of the bucket that is an artifact, by its name in `results`."""
        import boto3

        resource: Any = boto3.resource(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )
        found = {
            item.key.removeprefix("results/"): item.get()["Body"].read()
            for item in resource.Bucket(BUCKET).objects.all()
        }
        return {
            name: content
            for name, content in found.items()
            if not name.startswith(("logs/", "benchmarks/"))
        }

    def run(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run snakemake on a project with its results in the bucket."""
        line = command(folder, *arguments)
        # a `snakemake` of another environment would not find the plugin
        line[:1] = [sys.executable, "-m", "snakemake"]
        line += ["--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}"]
        line += ["--storage-s3-endpoint-url", self.url]
        return subprocess.run(
            line, cwd=folder, env=environment() | KEYS, capture_output=True, text=True, check=False
        )


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    host, port = started.get_host_and_port()
    yield Server(f"http://{host}:{port}")
    started.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run in a folder."""
    folder = project(tmp_path_factory.mktemp("storage") / "local")
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def project(folder: Path) -> Path:
    plain = {"title": "Plain", "source": "file", "path": "plain.csv"}
    return make_project(folder, seeds=(0,), datasets={"plain": plain})


def test_results_in_storage_are_those_of_a_folder(
    server: Server, local: Path, tmp_path: Path
) -> None:
    folder = project(tmp_path / "remote")
    done = server.run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert server.objects() == contents(local)
    assert not (folder / "results").exists()  # nothing but Snakemake's records stays here
    again = server.run(folder, "--dry-run")
    assert "Nothing to be done" in again.stdout + again.stderr

    config = read_config(folder)
    config["datasets"]["plain"]["title"] = "Another title"
    write_config(folder, config)
    changed = server.run(folder)
    assert changed.returncode == 0, changed.stdout + changed.stderr
    after, before = server.objects(), contents(local)
    moved = {name for name in before if before[name] != after[name]}
    assert moved
    assert all(name.startswith("figures/") for name in moved)


def test_every_track_can_be_planned_with_storage(server: Server, tmp_path: Path) -> None:
    """Patterns that are expanded from other rules' outputs are those Snakemake refuses first."""
    experiments = {"cut": {"sources": "partition", "dataset": "plain"}}
    folder = project(tmp_path / "all")
    config = read_config(folder)
    config["selection"] = {"experiments": experiments}
    config["synthetic"] = {"repetitions": 2}
    config["weak_supervision"] = {"datasets": ["plain"], "features": "large"}
    write_config(folder, config)
    done = server.run(folder, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    for rule in ("selection_tables", "synthetic_tables", "weak_supervision_tables"):
        assert rule in done.stdout + done.stderr
