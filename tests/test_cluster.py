"""The SLURM profile against the workflow's rules, and a run on a real one-node cluster."""

import os
import re
import subprocess

import pytest
import yaml
from project import REPOSITORY, make_project, snakemake

WORKFLOW = REPOSITORY / "workflow"


@pytest.fixture(scope="module")
def profile():
    text = (WORKFLOW / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def sources():
    paths = [WORKFLOW / "Snakefile", *sorted((WORKFLOW / "rules").glob("*.smk"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths) + "\n"


def needs():
    """Gigabytes, minutes, group and whether it takes a card, of every rule for the cluster."""
    text = sources()
    blocks = re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, flags=re.M)
    here = {name for block in blocks for name in re.findall(r"\w+", block)}
    found = {}
    for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, flags=re.M | re.S):
        if rule not in here:
            told = re.search(r"\*\*(needs|card)\((.*?)\),\n    \w", body, flags=re.S)
            memory, minutes = re.findall(r"\b\d+\b", told[2])
            group = re.search(r'^    group:\n        "(\w+)"', body, flags=re.M)
            card = told[1] == "card"
            found[rule] = (int(memory), int(minutes), group[1] if group else "", card)
    for of, rule, body in re.findall(
        r"^use rule (\w+) as (\w+) with:\n(.*?)(?=^\S|\Z)", text, flags=re.M | re.S
    ):
        group = re.search(r'^    group:\n        "(\w+)"', body, flags=re.M)
        found[rule] = (*found[of][:2], group[1] if group else found[of][2], found[of][3])
    return found


def test_rules_say_what_they_need_and_those_of_arrays_take_a_card(profile):
    assert len(needs()) > 30
    assert all(memory > 0 and minutes > 0 for memory, minutes, _, _ in needs().values())
    arrays = profile["slurm-array-jobs"].split(",")
    assert sorted(arrays) == sorted(rule for rule, (*_, card) in needs().items() if card)
    cpus = {rule: told["cpus_per_task"] for rule, told in profile["set-resources"].items()}
    cpus |= profile["set-threads"]  # of an extraction, which uses them
    assert cpus == dict.fromkeys(arrays, profile["cores"])
    for rule in arrays:
        assert needs()[rule][2] == "", "the plugin submits no groups as arrays"
    # otherwise the plugin keeps back jobs that are ready and never submits them
    per_second = int(re.fullmatch(r"(\d+)/1s", profile["max-jobs-per-timespan"])[1])
    assert profile["jobs"] >= 500
    assert per_second >= profile["jobs"]
    assert "gpu" not in profile["resources"]


def test_a_group_has_room_for_the_last_try_of_its_largest_rule(profile):
    assert f"TRIES = {profile['retries'] + 1}" in sources()
    largest = max(memory for memory, _, group, _ in needs().values() if group)
    assert (profile["retries"] + 1) * largest * 1000 <= profile["resources"]["mem_mb"]
    assert profile["set-resource-scopes"] == {"mem_mb": "local"}
    groups = {group for _, _, group, _ in needs().values() if group}
    assert set(profile["group-components"]) == groups - {"report"}


def test_190_jobs_wait_in_the_queue_19_times(profile):
    chain = ("split", "weak_labels", "overlap", "strong", "evaluate")
    assert {needs()[rule][2] for rule in chain} == {"seeds"}
    assert -(-190 // profile["group-components"]["seeds"]) == 19


@pytest.mark.slow
def test_each_try_asks_for_as_much_memory_again_and_an_array_for_the_last_at_once(tmp_path):
    folder = make_project(tmp_path / "p", seeds=(0,))
    done = snakemake(folder, "--dry-run", "--quiet", "progress")
    told = (done.stdout + done.stderr).split("\n\n")
    for rule, memory in (("weak_labels", 4000), ("activations", 3 * 8000)):
        jobs = [job for job in told if re.search(rf"rule {rule}:", job)]
        assert jobs
        assert all(f"mem_mb={memory}," in job for job in jobs)


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
