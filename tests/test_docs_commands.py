"""Every `snakemake` command line that pages and configurations name is one that works."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "config" / "README.md",
         ROOT / "results" / "README.md", *ROOT.glob("docs/*.md")]  # fmt: skip
FILES = [*ROOT.glob("config/*.yaml"), *ROOT.glob("workflow/profiles/*/config.yaml")]
MINE = "config/mine.yaml"  # a copy of the default, as the README says
ELSEWHERE = ("--report", "--unlock", "--lint")  # run by other tests, or by `make check`
PROGRAM = """
import json, os, sys
from snakemake.cli import main
for line in json.load(sys.stdin):
    child = os.fork()
    if not child:
        main(line)
    if os.waitpid(child, 0)[1]:
        sys.exit(f"snakemake {' '.join(line)}")
"""


def commands():
    """Arguments of every command line, without comments, each once and sorted."""
    texts = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        texts += re.findall(
            r"`(snakemake [^`]*)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        )
        texts += re.findall(r"^ {4}.*$|^```.*?^```", text, flags=re.M | re.S)
    for path in FILES:
        told = re.findall(r"^# *(.*)$", path.read_text(encoding="utf-8"), flags=re.M)
        texts += [re.sub(r"^.*`(snakemake .*)`.*$", r"\1", line) for line in told]
    lines = re.sub(r" *\\\n *", " ", "\n".join(texts)).splitlines()
    found = (re.match(r"(?:.*&& )?\s*snakemake( [^#]*)?", line) for line in lines)
    return sorted({" ".join((match[1] or "").split()) for match in found if match} - {""})


def mistakes(line):
    """Configurations and profiles that are no files, and targets that are no rules."""
    known = re.sub(r"--(slurm|storage)-\S+ \S+", "", line)  # options of plugins
    asked, _ = get_argument_parser().parse_known_args(shlex.split(known))
    files = [path for path in map(str, asked.configfile or ()) if path != MINE]
    files += [f"{asked.workflow_profile}/config.yaml"] if asked.workflow_profile else []
    rules = re.findall(r"^rule (\w+):", (ROOT / "workflow/Snakefile").read_text("utf-8"), re.M)
    return {path for path in files if not (ROOT / path).is_file()} | {*asked.targets} - {*rules}


def test_configurations_are_files_and_targets_are_rules(subtests):
    found = commands()
    assert len(found) > 12
    assert any("texts" in line for line in found)
    assert any("slurm_account" in line for line in found)
    for line in found:
        with subtests.test(line):
            assert mistakes(line) == set()
    # a target after the configuration is taken for another one
    assert mistakes("--cores all --configfile config/paper.yaml texts") == {"texts"}
    wrong = {"text", "config/papers.yaml"}
    assert mistakes("--cores all text --configfile config/papers.yaml") == wrong


def planned(line):
    """The command as a dry run; None where its plugin is not here, or it plans nothing."""
    words = shlex.split(line)
    slurm, s3 = "workflow/profiles/slurm" in words, "s3" in words
    plugins = ["snakemake_executor_plugin_slurm"] * slurm + ["snakemake_storage_plugin_s3"] * s3
    if any(importlib.util.find_spec(name) is None for name in plugins) or {*ELSEWHERE} & {*words}:
        return None
    return tuple(word for word in words if word not in ("--dry-run", "-n"))


@pytest.mark.slow
def test_every_command_plans_its_experiment(tmp_path):
    """In a folder without configurations; lines that differ in a profile alone once."""
    for name in yaml.safe_load((ROOT / "config/wrench.yaml").read_text("utf-8"))["datasets"]:
        for part in ("train", "valid", "test"):
            path = tmp_path / f"data/wrench/{name}/{part}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}", encoding="utf-8")
    mine = tmp_path / "mine.yaml"
    mine.write_bytes((ROOT / "config/config.yaml").read_bytes())
    different = {}
    for words in filter(None, map(planned, commands())):
        asked, _ = get_argument_parser().parse_known_args(list(words))
        key = (*(asked.configfile or ()), *(asked.targets or ()))
        line = [str(mine) if word == MINE else word for word in words]
        different.setdefault(key, [*line, "--dry-run", "--quiet", "--directory", str(tmp_path)])
    assert len(different) >= 6
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(list(different.values())), env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
