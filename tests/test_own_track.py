"""A track of a user's own: one Python file and one page of rules, outside of the repository."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from project import make_project, planned, snakemake

from w2s import dag, tracks
from w2s.config import parse
from w2s.errors import ConfigError

TRACK = '''
"""How often the first student beats its weak model."""

import numpy as np

from w2s.declare import Array, ForPeople, Kind, Many, Stage, Strict, number
from w2s.results.track import METRICS
from w2s.files.artifacts import Artifact

WINS_TABLE = Kind("wins_table", "Wins of w2s.", {"dataset": Array("str", "the dataset"),
                  "wins": number("share of seeds")}, ids=False)
BONUS = 0.0


class WinsSettings(Strict):
    """By what wins are multiplied."""

    scale: float = 1.0


def wins(metrics, *, settings):
    """Share of seeds in which w2s is better than the floor, by dataset."""
    names = sorted({item.facts["dataset"] for item in metrics})
    won = {name: [] for name in names}
    for item in metrics:
        frame = item.frame[(item.frame.metric == "accuracy") & (item.frame.group == "overall")]
        won[item.facts["dataset"]].append(better(frame))
    arrays = {"dataset": np.array(names, dtype=object),
              "wins": np.array([settings.scale * np.mean(won[name]) + BONUS for name in names])}
    return {"wins": Artifact("wins_table", arrays, {})}


def mean(frame, control):
    return frame.value[frame.control == control].mean()


def better(frame):
    return float(mean(frame, "w2s") > mean(frame, "floor"))


STAGES = {
    "wins": Stage(
        summary="count how often w2s is better than the floor", per="experiment",
        function="toytrack:wins", settings=WinsSettings,
        inputs={"metrics": Many(METRICS)}, outputs={"wins": ForPeople(WINS_TABLE)},
    )
}
FILES = {"wins": ("tables/wins.parquet", "tables/wins.csv", "tables/wins.md")}


def jobs(config):
    yield "wins", {}
'''
TRIVIAL = "STAGES = {}\nFILES = {}\njobs = print"
NAMED = """
from w2s.declare import Plain, Stage, Strict
class MineSettings(Strict):
    pass
def mine():
    pass
STAGES = {"mine": Stage("do", "once", "named:mine", MineSettings, {}, {"settings": Plain.FIGURE})}
FILES = {}
jobs = print
"""
PAGE = '''
rule wins:
    """Metrics of all jobs -> how often w2s wins."""
    input:
        metrics=every_job(rules.evaluate.output.metrics),
    output:
        **tables("wins"),
    log:
        "<logs>/wins.log",
    resources:
        **needs(1, 5),
    params:
        **told("wins"),
    shell:
        call("wins")
'''


def verified(folder, *options, strange=0):
    """Verify all results: nothing is damaged or deleted, and so many files are of others."""
    line = [sys.executable, "-m", "w2s", "verify", *options, "results"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f", 0 damaged, {strange} not artifacts" in done.stdout


@pytest.mark.slow
@pytest.mark.xdist_group("own track")
def test_a_track_in_a_file_and_a_page_runs_through_the_dag_into_the_report(tmp_path):
    own = {"custom_tracks": ["toytrack.py"], "custom_rules": ["toy.smk"]}
    folder = make_project(tmp_path / "p", seeds=(0,), **own)
    (folder / "toytrack.py").write_text(TRACK, encoding="utf-8")
    (folder / "toy.smk").write_text(PAGE, encoding="utf-8")
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    table = (folder / "results/tables/wins.csv").read_text(encoding="utf-8").split()
    assert table[0] == "dataset,wins"
    assert re.fullmatch(r"flat,(0|1|NaN)", table[1])
    assert re.fullmatch(r"plain,(0|1)", table[2])
    assert planned(folder) == {}
    verified(folder, "--config", "config.yaml", "--delete")
    verified(folder, "--delete", strange=1)
    assert planned(folder) == {}
    edited = TRACK.replace("scale: float = 1.0", "scale: float = 2.0")
    (folder / "toytrack.py").write_text(edited, encoding="utf-8")
    assert planned(folder) == {"wins": 1}
    edited = TRACK.replace("BONUS = 0.0", "BONUS = 1.0")
    (folder / "toytrack.py").write_text(edited, encoding="utf-8")
    assert planned(folder) == {"wins": 1}
    done = snakemake(folder, "--report", "report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wins.csv" in (folder / "report.html").read_text(encoding="utf-8")


def test_jobs_that_raise_are_one_line(tmp_path, subtests):
    for body, message in (
        ("return [config.nothing]", "AttributeError: .* has no attribute 'nothing' of jobs"),
        ("raise ValueError('no such')", "ValueError: no such of jobs"),
        ("yield 'losses', {}", "KeyError: 'losses' of jobs"),
        ("yield 'wins'", "ValueError: too many values to unpack .* of jobs"),
        ("return None", "TypeError: 'NoneType' object is not iterable of jobs"),
    ):
        folder = tmp_path / message[:12].replace(" ", "")
        with subtests.test(body=body):
            own = {"custom_tracks": ["toytrack.py"], "custom_rules": ["toy.smk"]}
            make_project(folder, seeds=(0,), **own)
            text = TRACK.replace('yield "wins", {}', body)
            (folder / "toytrack.py").write_text(text, encoding="utf-8")
            (folder / "toy.smk").write_text(PAGE, encoding="utf-8")
            done = snakemake(folder, "--dry-run")
            told = done.stdout + done.stderr
            assert done.returncode
            assert "Traceback" not in told
            assert re.search(f"configuration: toytrack.py: found {message}.*, expected pairs", told)


def test_a_file_that_is_no_track_is_one_line(tmp_path, subtests):
    cases = {
        "lacks": (None, "found ValueError: no Python file there, expected a track"),
        "empty": ("", "found no STAGES, expected a table by name"),
        "jobless": ("STAGES = {}\nFILES = {}", "found no jobs, expected a function of the"),
        "dying": ("1 / 0", "found ZeroDivisionError: division by zero, expected a track"),
        "a-b": ("", "found ValueError: the name a-b, which no module can have"),
        "clash": (
            f"{TRIVIAL}\nfrom w2s.declare import Kind\nKind('metrics', 'Mine.', {{}})",
            "found kind metrics, expected one that no other track has",
        ),
        "afile": (f"{TRIVIAL}\nFILES = {{'tables': ()}}", "found stage tables, expected one that"),
        "broken": ("def f(", "found SyntaxError: .*, expected a track"),
        "named": (NAMED, "found settings of mine, expected another name of a file"),
        "json": ("", "found ValueError: the name of another module, expected"),
        "twice": ("from w2s.tracks import *\njobs = print", "found stage .*, expected one that"),
    }
    known, kinds = dict(tracks.STAGES), dict(tracks.KINDS)
    for name, (text, message) in cases.items():
        path = tmp_path / f"{name}.py"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with subtests.test(name=name), pytest.raises(ConfigError, match=message):
            tracks.add(path)
    assert known == tracks.STAGES
    page = {"results": "r", "synthetic": {}, "custom_rules": ["no.smk"]}
    with pytest.raises(ConfigError, match=r"^custom_rules: found no file no.smk, expected a page"):
        dag.check(parse(page))
    assert kinds == tracks.KINDS
