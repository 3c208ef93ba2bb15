"""Results in S3 instead of a folder: the same workflow, the same bytes."""

import importlib.util
import subprocess
import sys

import pytest
from project import change, command, contents, environment, make_project, snakemake

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


class Server:
    """A server of S3 on this machine."""

    def __init__(self, host, port):
        self.url = f"http://{host}:{port}"

    def objects(self):
        """Content of every object of the bucket that is an artifact, by its name in `results`."""
        import boto3

        keys = {name.lower(): value for name, value in KEYS.items()}
        place = {"endpoint_url": self.url, "region_name": "us-east-1"}
        bucket = boto3.resource("s3", **place, **keys).Bucket(BUCKET)
        found = {item.key.removeprefix("results/"): item for item in bucket.objects.all()}
        return {
            name: item.get()["Body"].read()
            for name, item in found.items()
            if not name.startswith(("logs/", "benchmarks/"))
        }

    def run(self, folder, *arguments):
        """Run snakemake on a project with its results in the bucket: all that it says."""
        line = command(folder, *arguments)
        # a `snakemake` of another environment would not find the plugin
        line[:1] = [sys.executable, "-m", "snakemake"]
        line += ["--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}"]
        line += ["--storage-s3-endpoint-url", self.url]
        done = subprocess.run(
            line, cwd=folder, env=environment() | KEYS, capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        return said


@pytest.fixture(scope="module")
def server():
    from moto.server import ThreadedMotoServer

    started = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    started.start()
    yield Server(*started.get_host_and_port())
    started.stop()


def project(folder):
    plain = {"title": "Plain", "source": "file", "path": "plain.csv"}
    return make_project(folder, seeds=(0,), datasets={"plain": plain})


def test_results_in_storage_are_those_of_a_folder(server, tmp_path):
    local, folder = project(tmp_path / "local"), project(tmp_path / "remote")
    done = snakemake(local)
    assert done.returncode == 0, done.stdout + done.stderr
    server.run(folder)
    before = contents(local)
    assert server.objects() == before
    assert not (folder / "results").exists()  # nothing but Snakemake's records stays here
    assert "Nothing to be done" in server.run(folder, "--dry-run")

    change(folder, lambda config: config["datasets"]["plain"].update(title="Another title"))
    server.run(folder)
    after = server.objects()
    moved = {name for name in before if before[name] != after[name]}
    assert moved
    assert all(name.startswith("figures/") for name in moved)


def test_every_track_can_be_planned_with_storage(server, tmp_path):
    """Patterns that are expanded from other rules' outputs are those Snakemake refuses first."""
    experiments = {"cut": {"sources": "partition", "dataset": "plain"}}
    folder = project(tmp_path / "all")
    change(folder, lambda config: config.update(
        selection={"experiments": experiments}, synthetic={"repetitions": 2},
        weak_supervision={"datasets": ["plain"], "features": "large"}, gain={},
    ))  # fmt: skip
    said = server.run(folder, "--dry-run")
    for rule in ("selection_tables", "synthetic_tables", "weak_supervision_tables", "gain_tables"):
        assert rule in said
