"""Fine-tuning as a user runs it: a section in the configuration, tables and figures at the end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from project import (
    command,
    contents,
    copy_project,
    environment,
    foreign_files,
    make_project,
    planned,
    read_config,
    snakemake,
    write_config,
)

from w2s.files.artifacts import load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("finetuning")]

RECIPE = {"epochs": 4, "looks": 4, "rank": 4, "batch_size": 8, "learning_rate": 0.01}
FINETUNING = {"losses": ["xent", "logconf"], "self_training": 1, "recipe": RECIPE}
CONTROLS = ["floor", "ceiling", "xent", "logconf", "s2s_1"]
REPORTS = {"finetuning_tables": 1, "finetuning_figures": 1}
STRONG = {"finetune_strong": 2, "evaluate_finetuned": 2, **REPORTS}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has run once."""
    folder = tmp_path_factory.mktemp("finetuning") / "finished"
    make_project(folder, seeds=(0,), finetuning=FINETUNING)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def changed(finished: Path, folder: Path, change: dict[str, Any]) -> Path:
    """A copy of the project with another configuration."""
    project = Path(copy_project(finished, folder))
    write_config(project, read_config(project) | change)
    return project


def table(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"results/tables/{name}.csv")


def test_table_has_a_row_for_every_training_beside_the_probe_in_its_place(finished: Path) -> None:
    found, probes = table(finished, "finetuning"), table(finished, "main").set_index("dataset")
    assert list(found["dataset"]) == ["plain"] * 5 + ["flat"] * 5
    assert list(found["control"]) == CONTROLS * 2
    for dataset, rows in found.groupby("dataset"):
        places = ["floor", "ceiling", "w2s", "w2s", "w2s"]
        expected = [probes[place][dataset] for place in places]
        known = rows["accuracy"].notna().to_numpy()
        assert np.allclose(rows["probe_accuracy"][known], np.array(expected)[known], atol=1e-5)
        assert (rows["reason"].notna() | known).all()  # labels of one class teach nothing
    plain = found[found["dataset"] == "plain"].set_index("control")
    assert plain["accuracy"].notna().all()
    assert plain["auroc"]["floor"] > 0.7  # the words of the texts tell their labels
    assert (plain["accuracy_lo"] <= plain["accuracy"]).all()


def test_accuracies_follow_from_the_predictions(finished: Path) -> None:
    folder = finished / "results/plain/finetuned/small--large/seed0"
    predictions, runs = load(folder / "predictions.safetensors"), load(folder / "runs.parquet")
    examples = load(finished / "results/plain/examples.parquet").frame.set_index("id")
    label = examples["label"].loc[predictions["id"]].to_numpy()
    found = table(finished, "finetuning").query("dataset == 'plain'").set_index("control")
    for control, proba in zip(runs["control"], predictions["proba"], strict=True):
        assert abs(np.mean((proba >= 0.5) == label) - found["accuracy"][control]) < 1e-5


def test_the_models_learned_and_the_best_look_was_kept(finished: Path) -> None:
    for where in ("small", "small--large"):
        path = finished / "results/plain/finetuned" / where / "seed0/training.parquet"
        training = load(path).frame
        for _, looks in training.groupby("control"):
            assert len(looks) == RECIPE["looks"]
            kept = looks[looks["kept"]]
            assert len(kept) == 1
            assert kept["val_auroc"].iloc[0] == looks["val_auroc"].max()
        learned = training[training["control"].isin(["floor", "ceiling"])]
        assert learned["loss"].iloc[-1] < learned["loss"].iloc[0]


def test_a_second_run_has_nothing_to_do(finished: Path) -> None:
    assert planned(finished) == {}
    assert foreign_files(finished) == []


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ({"finetuning": {**FINETUNING, "losses": ["xent", "kl"]}}, STRONG),
        (
            {"finetuning": {**FINETUNING, "recipe": {**RECIPE, "epochs": 1}}},
            {"finetune_weak": 2, **STRONG},
        ),
        (
            {"overlap": {"tau_hard": {"quantile": 0.2}}},
            {
                **dict.fromkeys(("overlap", "strong", "evaluate", "evaluate_finetuned"), 2),
                **{"tables": 1, "figures": 1, **REPORTS},
            },
        ),
        ({"runtime": {"training_tokens": 64, "device": "cpu"}}, {}),
        (
            {"finetuning": {**FINETUNING, "datasets": ["plain"]}},
            REPORTS,
        ),
    ],
)
def test_an_edit_reruns_what_depends_on_it(
    finished: Path, tmp_path: Path, change: dict[str, Any], jobs: dict[str, int]
) -> None:
    assert planned(changed(finished, tmp_path / "project", change)) == jobs


def test_a_run_killed_while_it_trains_ends_like_an_undisturbed_one(
    finished: Path, tmp_path: Path
) -> None:
    folder = Path(copy_project(finished, tmp_path / "project"))
    tuned = folder / "results/plain/finetuned/small--large/seed0"
    for path in (folder / "results").rglob("*"):
        if "finetuned" in path.parts and path.is_file():
            path.unlink()
    target = "results/plain/finetuned/small--large/seed0/predictions.safetensors"
    line = command(folder, target)
    process = subprocess.Popen(
        line, cwd=folder, env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not list(tuned.glob(".work-*/xent.safetensors")):  # ceiling is done, xent has looked once
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tuned / "predictions.safetensors").exists()
    assert snakemake(folder, "--unlock").returncode == 0
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    log = (folder / "results/logs/plain/finetuned/small--large-seed0.log").read_text("utf-8")
    assert "ceiling:" not in log  # its predictions were kept
    assert re.search(r"xent: continuing at step \d+ of \d+", log) or "xent:" not in log
    assert contents(folder) == contents(finished)
    assert not list(tuned.glob(".work-*"))


@pytest.mark.parametrize(
    ("finetuning", "expected"),
    [
        ({"losses": ["crossent"]}, "finetuning.losses.0: found 'crossent'"),
        ({"datasets": ["plane"]}, "finetuning.datasets: 'plane' is not a dataset; did you mean"),
        ({"recipe": {"rate": 1}}, "finetuning.recipe.rate is not a setting"),
    ],
)
def test_mistake_stops_the_workflow_with_one_line(
    tmp_path: Path, finetuning: dict[str, Any], expected: str
) -> None:
    folder = make_project(tmp_path / "project", finetuning=finetuning)
    done = snakemake(folder)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert expected in output
    assert "Traceback" not in output
    assert not (folder / "results").exists()
