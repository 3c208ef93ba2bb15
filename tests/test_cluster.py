"""The SLURM profile against the workflow's rules, and a run on a real one-node cluster."""

import os
import re
import subprocess

import pytest
import yaml
from project import REPOSITORY

WORKFLOW = REPOSITORY / "workflow"
TRIES = 3  # the first and the profile's retries


@pytest.fixture(scope="module")
def profile():
    text = (WORKFLOW / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def sources():
    paths = [WORKFLOW / "Snakefile", *sorted((WORKFLOW / "rules").glob("*.smk"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths) + "\n"


def resources():
    """Resources of every rule that can be a cluster job, as written: rule -> name -> value."""
    text = sources()
    blocks = re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, flags=re.M)
    here = {name for block in blocks for name in re.findall(r"\w+", block)}
    found = re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, flags=re.M | re.S)
    needs = {
        rule: dict(re.findall(r"^        (mem|runtime|gpu)=(.+),$", body, flags=re.M))
        for rule, body in found
        if rule not in here
    }
    same = re.findall(r"^use rule (\w+) as (\w+) with:", text, flags=re.M)
    return needs | {rule: needs[of] for of, rule in same}


def arrays(profile):
    return profile["slurm-array-jobs"].split(",")


def megabytes(text):
    return int(re.fullmatch(r'"(\d+)GB"', text)[1]) * 1000


def test_every_rule_says_what_it_needs_and_those_named_in_the_profile_exist(profile):
    assert len(resources()) > 20
    for rule, needs in resources().items():
        assert {"mem", "runtime"} <= set(needs), f"rule {rule} lacks mem or runtime"
        assert int(needs["runtime"]) > 0
    named = {*profile["groups"], *profile["set-resources"], *arrays(profile)}
    assert named <= set(resources())
    assert set(profile["group-components"]) <= set(profile["groups"].values())


def test_extraction_is_an_array_of_gpu_jobs(profile):
    for rule in arrays(profile):
        assert resources()[rule]["gpu"] == "1"
        assert rule not in profile["groups"], "the plugin submits no groups as arrays"
    # otherwise the plugin keeps back jobs that are ready and never submits them
    per_second = int(re.fullmatch(r"(\d+)/1s", profile["max-jobs-per-timespan"])[1])
    assert profile["jobs"] >= 500
    assert per_second >= profile["jobs"]
    assert "gpu" not in profile["resources"]


def test_retries_ask_for_more_than_the_rules_own_memory(profile):
    assert profile["retries"] == TRIES - 1
    assert set(profile["set-resources"]) == set(resources())
    for rule, changed in profile["set-resources"].items():
        own = megabytes(resources()[rule]["mem"])
        if rule in arrays(profile):  # the plugin gives all of an array what its first job asks for
            assert changed == {"mem_mb": TRIES * own, "cpus_per_task": profile["cores"]}
        else:
            assert changed == {"mem_mb": f"attempt * {own}"}, rule


def test_a_group_has_room_for_the_last_try_of_its_largest_rule(profile):
    largest = max(megabytes(resources()[rule]["mem"]) for rule in profile["groups"])
    assert TRIES * largest <= profile["resources"]["mem_mb"]
    assert profile["set-resource-scopes"] == {"mem_mb": "local"}


def test_190_jobs_wait_in_the_queue_19_times(profile):
    chain = ("split", "weak_labels", "overlap", "strong", "evaluate")
    assert {profile["groups"][rule] for rule in chain} == {"seeds"}
    assert -(-190 // profile["group-components"]["seeds"]) == 19


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("W2S_CLUSTER") != "1",
    reason="starts a SLURM of one node, installs packages, takes minutes: set W2S_CLUSTER=1",
)
def test_the_tiny_dag_on_a_real_cluster():
    script = REPOSITORY / "tests" / "cluster" / "run.sh"
    done = subprocess.run([str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if done.stdout.startswith("no SLURM run: "):
        pytest.skip(done.stdout.strip())
    assert "rerun after scancel: " in done.stdout, done.stdout
