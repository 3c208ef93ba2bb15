"""The profile for a server with GPUs: one card for each extraction, and larger passes."""

import re

import pytest
import yaml
from project import REPOSITORY, change, make_project, planned, snakemake

PROFILE = REPOSITORY / "workflow" / "profiles" / "gpu"
USE = ("--workflow-profile", str(PROFILE))


def read(name):
    path = PROFILE.parent / name / "config.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs(output):
    """Resources of the jobs of a dry run, as written: rule -> name -> value, one of each job."""
    output = re.sub(r"(?m)^    (?=(?:local)?rule |    )", "", output)  # jobs of a group
    blocks = re.findall(r"^(?:local)?rule (\w+):\n((?:    .+\n)+)", output, flags=re.MULTILINE)
    found = {}
    for rule, block in blocks:
        line = re.search(r"^    resources: (.+)$", block, flags=re.MULTILINE)
        needs = dict(item.split("=", 1) for item in line[1].split(", ")) if line else {}
        found.setdefault(rule, []).append(needs)
    return found


def test_the_profile_has_all_that_the_default_one_has():
    default, gpu = read("default"), read("gpu")
    assert {name: gpu[name] for name in default} == default


@pytest.mark.slow
def test_each_extraction_asks_for_a_card_and_no_other_job_does(tmp_path):
    for shards, rule in ((1, "activations"), (3, "activations_shard")):
        folder = make_project(tmp_path / str(shards), extraction={"shards": shards})
        done = snakemake(folder, "--dry-run", *USE)
        assert done.returncode == 0, done.stdout + done.stderr
        found = jobs(done.stdout + done.stderr)
        assert len(found[rule]) == 4 * shards  # two datasets, two models
        for needs in found.pop(rule):
            assert needs["gpu"] == "1"
            assert int(needs["batch_tokens"]) == read("gpu")["set-resources"][rule]["batch_tokens"]
            assert needs["device_map"] == "none"
        assert len(found) > 4
        assert not [rule for rule, needs in found.items() if any("gpu" in n for n in needs)]


@pytest.mark.slow
def test_what_the_profile_made_is_up_to_date_without_it_and_with_a_device_map(tmp_path):
    folder = make_project(tmp_path / "p")
    target = "results/plain/activations/small.safetensors"
    done = snakemake(folder, *USE, "--resources", "gpu=2", "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    change(folder, lambda config: config["models"]["small"].update(device_map="auto"))
    jobs_left = planned(folder)
    assert jobs_left["tokenize"] == jobs_left["activations"] == 3  # of four
    (folder / target).unlink()
    done = snakemake(folder, *USE, "--", target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / target).exists()
    assert "device_map=auto" in done.stdout + done.stderr


@pytest.mark.slow
def test_extractions_share_the_cores_up_to_the_most_each_may_have(tmp_path):
    for most, cores, options, each in ((16, 16, (), 4), (3, 16, (), 3), (16, 2, (), 1),
                                       (16, 16, USE, 1)):  # fmt: skip
        folder = make_project(tmp_path / f"{most}-{cores}-{each}", runtime={"threads": most})
        done = snakemake(folder, "--dry-run", *options, cores=cores)
        blocks = re.findall(r"rule activations:\n((?:    .+\n)+)", done.stdout + done.stderr)
        assert len(blocks) == 4  # two datasets, two models
        told = [re.findall(r"^    threads: (\d+)$", block, flags=re.MULTILINE) for block in blocks]
        assert told == [[str(each)] if each > 1 else []] * 4
