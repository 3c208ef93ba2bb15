"""Weak supervision as a user runs it: texts, and WRENCH folders of features and of texts."""

import numpy as np
import pandas as pd
import pytest
import tiny
from project import change as edit
from project import contents, copy_project, foreign_files, planned, snakemake, write_config

import w2s
from w2s.overlap.mixing import FEW
from w2s.results.metrics import REFERENCES, correct_rows

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("weak supervision workflow")]

LABEL_MODELS = ["majority_vote", "dawid_skene"]
STUDENTS = ["mlp", "probe"]
DATASETS = ["plain", "census", "reviews"]
AGGREGATES = {"weak_supervision_tables": 1, "weak_supervision_figures": 1}
MIXING = {"proportions": [0, 0.5, 1], "repeats": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project without pairs that has run once."""
    folder = tmp_path_factory.mktemp("labeling") / "finished"
    tiny.write_model(folder / "model", family="llama")
    tiny.write_dataset(folder / "plain.csv", n=240)
    tiny.write_wrench(folder / "wrench" / "census")
    tiny.write_wrench(folder / "wrench" / "reviews", features=False)
    config = {
        "results": "results",
        "seeds": [0],
        "datasets": {
            "plain": {"title": "Plain", "source": "file", "path": "plain.csv"},
            "census": {"source": "wrench", "path": "wrench/census", "holds": "features"},
            "reviews": {"source": "wrench", "path": "wrench/reviews", "holds": "text"},
        },
        "models": {
            "large": {"source": "local", "path": "model", "max_length": 12, "pooling": "mean"}
        },
        "weak_supervision": {
            "datasets": DATASETS,
            "features": "large",
            "lfs": ["afinn", "vader", "textblob", "harvard_iv4"],
            "label_models": LABEL_MODELS,
            "students": STUDENTS,
            "restarts": 2,
        },
        "mixing": MIXING,
        "evaluation": {"bootstrap": 200},
    }
    write_config(folder, config)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project for a test to change."""
    return copy_project(finished, tmp_path / "project")


def change(folder, **changes):
    edit(folder, lambda config: config["weak_supervision"].update(changes))


def table(folder, name):
    return pd.read_csv(folder / f"results/tables/{name}.csv")


def test_tables_have_a_row_for_everything(finished):
    lfs = table(finished, "lf_analysis")
    names = {name: list(rows["lf"]) for name, rows in lfs.groupby("dataset")}
    own = ["lf1", "lf2", "lf3", "lf4"]
    texts = ["afinn", "vader", "textblob", "harvard_iv4"]
    assert names == {"plain": texts, "census": own, "reviews": own}
    shown = table(finished, "weak_supervision")
    jobs = shown.groupby(["dataset", "label_model", "strong"], sort=False)
    assert set(jobs.groups) == {(d, m, s) for d in DATASETS for m in LABEL_MODELS for s in STUDENTS}
    matched = ["purity_matched", "label_balanced", "brier_matched"]
    for job, rows in jobs:  # perceptrons train on hard labels: there is no Brier score to match
        used = matched if job[2] == "probe" else matched[:2]
        curves = ["plain", "placebo", "fixed_hard", "overlap_against_easy", *used]
        curves += [f"{name}_placebo" for name in used]
        single = {"label_model", "w2s", "ceiling", "random", "true_labels", *REFERENCES}
        assert set(rows["control"]) == {*curves, *single, "few_labels"}, job
        counts = rows.groupby("control").size()
        assert {name: counts[name] for name in curves} == dict.fromkeys(curves, 3)
        assert len(rows) == 3 * len(curves) + len(single) + len(FEW)
        trained = ~rows["control"].isin(["label_model"]) & rows["accuracy"].notna()
        assert (rows["restart_sd"][trained].notna() == (job[2] == "mlp")).all()
        undefined = rows["accuracy"].isna()
        assert rows["reason"][undefined].notna().all()
        assert set(rows["n_seeds"][~undefined]) == {1}
        inside = (rows["lo"] <= rows["accuracy"]) & (rows["accuracy"] <= rows["hi"])
        assert (inside | undefined).all()
    mixes = shown[(shown["control"] == "plain") & (shown["strong"] == "mlp")]
    assert mixes["accuracy"].notna().any()  # else all of the above is about nothing


def test_label_models_and_students_follow_from_the_artifacts(finished):
    shown = table(finished, "weak_supervision")
    shown = shown[shown["control"].isin(["label_model", "w2s", "ceiling"])]
    shown = shown.set_index(["dataset", "label_model", "strong", "control"]).sort_index()
    for dataset in DATASETS:
        for model in LABEL_MODELS:
            labels = finished / f"results/{dataset}/label_models/{model}/seed0/weak_labels.parquet"
            weak = w2s.load(labels).frame.set_index("id")
            right = correct_rows(weak["weak_proba"], weak["label"])  # 1/2 counts half
            for strong in STUDENTS:
                row = shown.loc[(dataset, model, strong, "label_model")]
                assert row["accuracy"] == pytest.approx(
                    right[weak["part"] == "test"].mean(), abs=1e-5
                )
                pool = right[weak["part"] == "strong_train"]
                assert row["label_accuracy"] == pytest.approx(pool[pool != 0.5].mean(), abs=1e-5)
                job = finished / f"results/{dataset}/{model}--{strong}/seed0"
                predictions = w2s.load(job / "predictions.safetensors")
                runs = w2s.load(job / "runs.parquet")
                label = weak.loc[predictions["id"], "label"].to_numpy()
                for control in ("w2s", "ceiling"):
                    numbers = np.flatnonzero(runs["control"] == control)
                    assert len(numbers) == (2 if strong == "mlp" else 1)
                    said = correct_rows(predictions["proba"][numbers], label)
                    accuracy = shown.loc[(dataset, model, strong, control), "accuracy"]
                    assert accuracy == pytest.approx(said.mean(), abs=1e-5)


def test_features_of_a_dataset_need_no_model(finished):
    for dataset in DATASETS:
        made = [path.name for path in (finished / f"results/{dataset}/activations").iterdir()]
        assert made == ["features.safetensors" if dataset == "census" else "large.safetensors"]
    assert not (finished / "results/census/tokens").exists()


def test_published_numbers_are_beside_ours(finished):
    shown = table(finished, "published")
    assert set(shown["dataset"]) == {"census"}
    jobs = shown.groupby(["label_model", "strong"])
    assert len(jobs) == len(LABEL_MODELS) * len(STUDENTS)
    for _, rows in jobs:
        assert rows.set_index("quantity").loc["pseudo", "published"] == 0.615
        assert len(rows) == 6


def test_figures_and_tables_exist_and_a_second_run_has_nothing_to_do(finished):
    for name in ("lfs", "mixes", "contrasts"):
        figure = finished / "results/figures/weak_supervision" / name
        text = figure.with_suffix(".svg").read_text(encoding="utf-8")
        assert text.lstrip().startswith("<?xml")
        assert "Plain" in text
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    for name in ("lf_analysis", "weak_supervision", "weak_supervision_comparisons", "published"):
        for ending in (".parquet", ".csv", ".md"):
            assert (finished / f"results/tables/{name}{ending}").is_file()
    assert not (finished / "results/tables/main.csv").exists()
    assert planned(finished) == {}
    assert foreign_files(finished) == []


def test_other_lfs_rerun_what_texts_of_ones_own_say_and_nothing_of_the_wrench_sets(
    project,
):
    before, old = contents(project), table(project, "weak_supervision")
    change(project, lfs=["afinn", "vader", "negation", "harvard_iv4"])
    assert planned(project) == {
        "label_matrix": 1,
        "label_model": len(LABEL_MODELS),
        "student": len(LABEL_MODELS) * len(STUDENTS),
        "evaluate": len(LABEL_MODELS) * len(STUDENTS),
        **AGGREGATES,
    }
    done = snakemake(project)
    assert done.returncode == 0, done.stdout + done.stderr
    after = contents(project)
    assert before.keys() == after.keys()
    moved = {name for name in before if before[name] != after[name]}
    assert "plain/label_matrix.safetensors" in moved
    assert all(name.startswith(("plain/", "tables/", "figures/")) for name in moved)
    assert not any("activations" in name or "tokens" in name for name in moved)
    new = table(project, "weak_supervision")
    others = (rows[rows["dataset"] != "plain"] for rows in (old, new))
    pd.testing.assert_frame_equal(*others)


def test_a_changed_file_of_a_wrench_folder_reruns_its_dataset_only(project):
    path = project / "wrench/census/valid.json"  # read beside train.json
    path.write_text(path.read_text(encoding="utf-8").replace('"label": 0', '"label": 1', 1))
    jobs = planned(project)
    assert jobs["examples"] == jobs["wrench_votes"] == jobs["wrench_features"] == 1
    assert jobs["label_model"] == len(LABEL_MODELS)
    assert not {"label_matrix", "activations", "tokenize"} & set(jobs)


def test_a_new_student_or_label_model_leaves_the_others(project):
    change(project, label_models=[*LABEL_MODELS, "snorkel"])
    assert planned(project) == {"label_model": 3, "student": 6, "evaluate": 6, **AGGREGATES}
    change(project, label_models=LABEL_MODELS, students=["mlp"])
    assert planned(project).keys() <= AGGREGATES.keys()
    change(project, lfs=["afinn", "vader"])  # too few for a label model: told in one line
    done = snakemake(project, "results/plain/label_models/dawid_skene/seed0/weak_labels.parquet")
    assert done.returncode != 0
    told = done.stdout + done.stderr
    assert "lfs: found 2, expected 3 or more for dawid_skene" in told
    assert "Traceback" not in told


def test_a_missing_file_is_told_before_any_job(finished, tmp_path):
    folder = tmp_path / "bad"
    folder.mkdir()
    for name in ("model", "plain.csv", "config.yaml"):
        (folder / name).symlink_to(finished / name)
    tiny.write_wrench(folder / "wrench" / "census", n=30)
    tiny.write_wrench(folder / "wrench" / "reviews", n=30, features=False)
    (folder / "wrench/census/valid.json").unlink()
    done = snakemake(folder)
    assert done.returncode != 0
    assert "wrench/census/valid.json" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()
