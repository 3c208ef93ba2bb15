"""Fine-tuning as a user runs it: a section in the configuration, tables and figures at the end."""

import re

import numpy as np
import pandas as pd
import pytest
from project import RECIPE, contents, copy_project, finished_project, kill_run, snakemake

from w2s.files.artifacts import load

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow")]

SEEDS = (0, 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finished_project(tmp_path_factory)


def table(folder, name):
    return pd.read_csv(folder / f"results/tables/{name}.csv")


def test_table_has_a_row_for_every_training_beside_the_probe_in_its_place(finished):
    found, probes = table(finished, "finetuning"), table(finished, "main").set_index("dataset")
    arms = ["arm random 0.5", "arm rp high 0.5"]
    assert list(found["dataset"]) == ["plain"] * 7 + ["flat"] * 7
    assert list(found["control"]) == ["floor", "ceiling", "xent", "logconf", "s2s_1", *arms] * 2
    for dataset, rows in found.groupby("dataset"):
        places = ["floor", "ceiling", *["w2s"] * 5]
        expected = [probes[place][dataset] for place in places]
        known = rows["accuracy"].notna().to_numpy()
        assert np.allclose(rows["probe_accuracy"][known], np.array(expected)[known], atol=1e-5)
        assert (rows["reason"].notna() | known).all()  # labels of one class teach nothing
    plain = found[found["dataset"] == "plain"].set_index("control")
    assert plain["accuracy"].notna().all()
    assert plain["auroc"]["floor"] > 0.7  # the words of the texts tell their labels
    assert (plain["accuracy_lo"] <= plain["accuracy"]).all()


def test_accuracies_follow_from_the_predictions(finished):
    """Means over the seeds, computed anew from their artifacts."""
    examples = load(finished / "results/plain/examples.parquet").frame.set_index("id")
    right = {}
    for seed in SEEDS:
        folder = finished / f"results/plain/finetuned/small--large/seed{seed}"
        predictions, runs = load(folder / "predictions.safetensors"), load(folder / "runs.parquet")
        label = examples["label"].loc[predictions["id"]].to_numpy()
        for control, proba in zip(runs["control"], predictions["proba"], strict=True):
            right.setdefault(control, []).append(np.mean((proba >= 0.5) == label))
    found = table(finished, "finetuning").query("dataset == 'plain'").set_index("control")
    for control, each in right.items():
        assert len(each) == len(SEEDS)
        assert abs(np.mean(each) - found["accuracy"][control]) < 1e-5


def test_the_models_learned_and_the_best_look_was_kept(finished):
    for where in ("small", "small--large"):
        for seed in SEEDS:
            path = finished / f"results/plain/finetuned/{where}/seed{seed}/training.parquet"
            training = load(path).frame
            for control, looks in training.groupby("control"):
                assert len(looks) == RECIPE["looks"]
                kept = looks[looks["kept"]]
                assert len(kept) == 1
                assert kept["val_auroc"].iloc[0] == looks["val_auroc"].max()
                if control in ("floor", "ceiling"):
                    assert looks["loss"].iloc[-1] < looks["loss"].iloc[0]


def test_a_run_killed_while_it_trains_ends_like_an_undisturbed_one(finished, tmp_path):
    folder = copy_project(finished, tmp_path / "project")
    tuned = folder / "results/plain/finetuned/small--large/seed0"
    for path in (folder / "results").rglob("*"):
        if {"finetuned", "seed0"} <= set(path.parts) and path.is_file():
            path.unlink()
    target = "results/plain/finetuned/small--large/seed0/predictions.safetensors"
    # ceiling is done, xent has looked once
    kill_run(folder, target, lambda: list(tuned.glob(".work-*/xent.safetensors")))
    assert snakemake(folder, "--unlock").returncode == 0
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    log = (folder / "results/logs/plain/finetuned/small--large-seed0.log").read_text("utf-8")
    assert "ceiling:" not in log  # its predictions were kept
    assert re.search(r"xent: continuing at step \d+ of \d+", log) or "xent:" not in log
    assert contents(folder) == contents(finished)
    assert not list(tuned.glob(".work-*"))
