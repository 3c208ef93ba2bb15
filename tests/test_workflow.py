"""The workflow as a user runs it, on tiny models and texts."""

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pandas as pd
import pytest
from project import (
    command,
    contents,
    copy_library,
    copy_project,
    environment,
    foreign_files,
    make_project,
    planned,
    read_config,
    snakemake,
    write_config,
)

import w2s
from w2s.overlap.mixing import FEW
from w2s.results.metrics import REFERENCES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow")]

EVERY_JOB = {"weak_labels", "overlap", "strong", "evaluate"}
AGGREGATES = {"tables", "figures"}
MATCHED = ("purity_matched", "brier_matched", "label_balanced")
CURVES = {
    *("plain", "placebo", "fixed_hard", "overlap_against_easy", "same_capacity", *MATCHED),
    *(f"{name}_placebo" for name in MATCHED),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project that has run once."""
    folder = make_project(tmp_path_factory.mktemp("workflow") / "finished")
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project for a test to change."""
    return copy_project(finished, tmp_path / "project")


def change(folder, edit):
    config = read_config(folder)
    edit(config)
    write_config(folder, config)


def test_tables_have_the_promised_columns_and_rows(finished):
    main = pd.read_csv(finished / "results/tables/main.csv")
    spread = [f"{n}{end}" for n in ("floor", "w2s", "ceiling", "pgr") for end in ("", "_lo", "_hi")]
    assert list(main.columns) == [
        *("dataset", "weak", "strong", "n_seeds", "n_pool", "n_test", "n_groups"),
        *spread,
        *("overlap_density", "easy_share", "hard_share", "status", "reason"),
    ]
    assert list(main["dataset"]) == ["plain", "flat"]
    mixing = pd.read_csv(finished / "results/tables/mixing.csv")
    assert list(mixing.columns[:9]) == [
        *("dataset", "weak", "strong", "control", "proportion", "accuracy", "lo", "hi"),
        "label_accuracy",
    ]
    for control, rows in mixing[mixing["dataset"] == "plain"].groupby("control"):
        assert len(rows) == {"few_labels": len(FEW)}.get(control, 3 if control in CURVES else 1)
    single = {"random", "true_labels", "few_labels", "same_capacity_w2s", *REFERENCES}
    assert set(mixing["control"]) == CURVES | single
    regions = pd.read_csv(finished / "results/tables/regions.csv")
    assert len(regions) == 2 * 3 * (3 + len(REFERENCES))


def test_shares_and_intervals_are_consistent(finished):
    row = pd.read_csv(finished / "results/tables/main.csv").set_index("dataset").loc["plain"]
    assert row["overlap_density"] + row["easy_share"] + row["hard_share"] == pytest.approx(
        1, abs=1e-5
    )
    for name in ("floor", "w2s", "ceiling"):
        assert row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"]


def test_tables_follow_from_the_predictions(finished):
    """The main table's numbers, computed anew from the artifacts of every seed."""
    accuracies = {"floor": [], "w2s": [], "ceiling": []}
    examples = w2s.load(finished / "results/plain/examples.parquet").frame.set_index("id")
    for seed in (0, 1):
        job = finished / f"results/plain/small--large/seed{seed}"
        predictions = w2s.load(job / "predictions.safetensors")
        runs = w2s.load(job / "runs.parquet").frame
        label = examples.loc[predictions["id"], "label"].to_numpy()
        for name in ("w2s", "ceiling"):
            (number,) = runs.index[runs["control"] == name]
            accuracies[name].append(np.mean((predictions["proba"][number] >= 0.5) == label))
        weak = w2s.load(job / "weak_labels.parquet").frame.set_index("id")
        proba = weak.loc[predictions["id"], "weak_proba"].to_numpy()
        accuracies["floor"].append(np.mean((proba >= 0.5) == label))
    row = pd.read_csv(finished / "results/tables/main.csv").set_index("dataset").loc["plain"]
    for name, values in accuracies.items():
        assert row[name] == pytest.approx(np.mean(values), abs=1e-5)


def test_a_degenerate_dataset_is_an_outcome_and_the_others_complete(finished):
    main = pd.read_csv(finished / "results/tables/main.csv").set_index("dataset")
    assert main.loc["flat", "status"] == "degenerate"
    assert "equal values" in main.loc["flat", "reason"]
    assert np.isnan(main.loc["flat", "overlap_density"])
    assert main.loc["flat", "floor"] == pytest.approx(0.5)
    assert main.loc["plain", "status"] == "ok"
    mixing = pd.read_csv(finished / "results/tables/mixing.csv").set_index("dataset")
    flat = mixing.loc["flat"].query("control in @CURVES or control in ('random', 'true_labels')")
    assert flat["accuracy"].isna().all()
    assert flat["reason"].str.contains("equal values").all()
    undefined = mixing[mixing["accuracy"].isna()]
    assert undefined["reason"].notna().all()
    assert mixing.loc["plain"].query("control == 'plain'")["accuracy"].notna().all()


def test_figures_exist_as_svg_and_png(finished):
    for name in ("mixing", "controls", "contrasts", "curves", "by_region"):
        figure = finished / "results/figures/small--large" / name
        assert figure.with_suffix(".svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_second_run_has_nothing_to_do(finished):
    assert planned(finished) == {}
    assert foreign_files(finished) == []


def test_results_without_records_of_snakemake_are_known_by_what_they_say(project, tmp_path):
    """As they are when they were copied without .snakemake, or made by an older Snakemake."""
    shutil.rmtree(project / ".snakemake")
    assert planned(project) == {}
    strong = dict.fromkeys(("strong", "evaluate"), 4) | dict.fromkeys(AGGREGATES, 1)
    change(project, lambda config: config["mixing"].update(proportions=[0, 1]))
    assert planned(project) == strong
    assert len(foreign_files(project)) == 2 * 4
    done = snakemake(project, "--dry-run", "results/plain/small--large/seed0/regions.parquet")
    assert "Nothing to be done" in done.stdout + done.stderr  # only what is asked for
    change(project, lambda config: config["datasets"]["plain"].update(title="Another title"))
    change(project, lambda config: config["mixing"].update(proportions=[0, 0.5, 1]))
    assert planned(project) == {"figures": 1}
    change(project, lambda config: config["models"]["large"].update(pooling="last"))
    assert planned(project)["activations"] == 2
    (project / "results/figures/small--large/mixing.svg").unlink()
    done = snakemake(project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'activations/large.safetensors: made with pooling "mean", expected' in done.stderr
    assert planned(project) == {}
    assert foreign_files(project) == []


def test_records_of_an_older_snakemake_are_no_records(project, tmp_path):
    for path in (project / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps(record | {"record_format_version": 3}), encoding="utf-8")
    assert planned(project) == {}
    library = copy_library(tmp_path / "library")
    with (library / "w2s/overlap/evaluate.py").open("a", encoding="utf-8") as module:
        module.write("\n\nADDED = 1\n")
    assert planned(project, repository=library, library=library) == {"evaluate": 4} | dict.fromkeys(
        AGGREGATES, 1
    )


def test_each_text_is_extracted_once_whatever_the_number_of_seeds(finished):
    examples = w2s.load(finished / "results/plain/examples.parquet")
    activations = w2s.load(finished / "results/plain/activations/large.safetensors")
    assert sorted(activations["id"]) == sorted(examples["id"])
    folder = finished / "results/plain/activations"
    assert sorted(path.name for path in folder.iterdir()) == [
        "large.safetensors",
        "small.safetensors",
    ]


def test_a_new_seed_runs_only_its_jobs_and_the_aggregates(project):
    change(project, lambda config: config["seeds"].append(7))
    jobs = planned(project)
    assert jobs == dict.fromkeys(EVERY_JOB | {"split"}, 2) | dict.fromkeys(AGGREGATES, 1)


def test_new_proportions_touch_neither_activations_nor_weak_labels(project):
    change(project, lambda config: config["mixing"].update(proportions=[0, 1]))
    assert set(planned(project)) == {"strong", "evaluate"} | AGGREGATES


def test_a_new_title_redraws_the_figures_only(project):
    change(project, lambda config: config["datasets"]["plain"].update(title="Another title"))
    assert set(planned(project)) <= AGGREGATES
    assert "figures" in planned(project)


def test_device_and_batches_rerun_nothing(project):
    change(project, lambda config: config.update(runtime={"device": "cpu", "batch_tokens": 64}))
    assert planned(project) == {}


def test_a_new_dataset_moves_no_number_of_the_others(project):
    before = contents(project)
    table = project / "results/tables/main.csv"
    old = pd.read_csv(table)
    (project / "more.csv").write_bytes((project / "plain.csv").read_bytes())
    more = {"source": "file", "path": "more.csv"}
    change(project, lambda config: config["datasets"].update(more=more))
    assert planned(project)["activations"] == 2
    done = snakemake(project)
    assert done.returncode == 0, done.stdout + done.stderr
    after = contents(project)
    assert {name for name in before if before[name] != after[name]} <= {
        name for name in before if name.startswith(("tables", "figures"))
    }
    new = pd.read_csv(table)
    assert list(new["dataset"]) == ["plain", "flat", "more"]
    pd.testing.assert_frame_equal(new[new["dataset"] != "more"], old)


def test_a_comment_or_docstring_in_the_library_reruns_nothing(project, tmp_path):
    library = copy_library(tmp_path / "library")
    module = library / "w2s/overlap/change_point.py"
    text = module.read_text(encoding="utf-8")
    edited = text.replace('"""The single', '"""The one and only') + "\n# a comment\n"
    module.write_text(edited, encoding="utf-8")
    assert edited != text
    assert planned(project, repository=library, library=library) == {}


def test_code_of_the_change_point_reruns_overlap_and_what_follows(project, tmp_path):
    library = copy_library(tmp_path / "library")
    module = library / "w2s/overlap/change_point.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(text.replace("MIN_VALUES = 4", "MIN_VALUES = 5"), encoding="utf-8")
    jobs = planned(project, repository=library, library=library)
    assert set(jobs) == {"overlap", "strong", "evaluate"} | AGGREGATES


STRANGE = "é & 'q\" #1; $HOME * ~"


def test_same_bytes_twice_with_another_number_of_cores_and_at_strange_paths(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    again = make_project(
        tmp_path / f"inputs {STRANGE}",
        results=f"~/my results {STRANGE}",
        resources=f"downloads {STRANGE}/",
    )
    inputs = [*read_config(again)["datasets"].values(), *read_config(again)["models"].values()]
    assert all("path" in item for item in inputs)
    change(again, lambda config: [
        item.update(path=str(again / item["path"]))
        for group in ("datasets", "models") for item in config[group].values()
    ])  # fmt: skip
    done = snakemake(again, cores=1)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = contents(finished), contents(again, tmp_path / f"my results {STRANGE}")
    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert made == {again.name, f"my results {STRANGE}"}  # no stray file beside
    assert planned(again) == {}
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_run_killed_during_extraction_ends_like_an_undisturbed_one(finished, tmp_path):
    slowly = {
        "batch_tokens": 1
    }  # a forward pass per text, so that there is a middle to be killed in
    folder = make_project(tmp_path / "killed", runtime=slowly)
    log = folder / "results/logs/plain/activations-large.log"
    running = subprocess.Popen(
        command(folder, "results/plain/activations/large.safetensors", cores=1),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (log.is_file() and "activations plain" in log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, "extraction did not begin"
        assert running.poll() is None, "snakemake ended before it was killed"
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (folder / "results/plain/activations/large.safetensors").exists()
    told = snakemake(folder)
    assert told.returncode != 0
    assert "--unlock" in told.stdout + told.stderr
    assert snakemake(folder, "--unlock").returncode == 0
    change(folder, lambda config: config.pop("runtime"))
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    undisturbed, healed = contents(finished), contents(folder)
    assert healed == {name: undisturbed.get(name) for name in healed}
    assert healed.keys() == undisturbed.keys()


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda c: c.update(overlap={"similarty": "dot"}), "did you mean 'similarity'?"),
        (lambda c: c["pairs"][0].update(weak="smal"), "did you mean 'small'?"),
        (lambda c: c["mixing"].update(proportions=[2]), "mixing.proportions.0: found 2"),
        (lambda c: c["models"]["small"].update(path="nowhere"), "models.small.path"),
        (lambda c: c.pop("seeds"), "seeds: found none, expected at least 1 item"),
    ],
)
def test_a_bad_configuration_fails_before_any_job(tmp_path, finished, edit, expected):
    folder = tmp_path / "bad"
    folder.mkdir()
    for part in ("models", "plain.csv", "flat.csv"):
        (folder / part).symlink_to(finished / part)
    config = read_config(finished)
    edit(config)
    write_config(folder, config)
    done = snakemake(folder)
    assert done.returncode != 0
    assert expected in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()


def test_bad_data_stops_its_dataset_only(tmp_path, finished):
    folder = make_project(tmp_path / "bad")
    text = (folder / "flat.csv").read_text(encoding="utf-8")
    (folder / "flat.csv").write_text(text.replace(",1", ",2", 1), encoding="utf-8")
    done = snakemake(folder)
    assert done.returncode != 0
    assert "found label 2, expected 0 or 1" in done.stdout + done.stderr
    assert not (folder / "results/flat/examples.parquet").exists()
    assert (folder / "results/plain/small--large/seed1/metrics.parquet").is_file()


def test_report_is_one_file_that_needs_no_network(finished):
    report = finished / "results" / "report.html"
    done = snakemake(finished, "--report", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    page = report.read_text(encoding="utf-8")
    report.unlink()
    assert '<script src="http' not in page
    assert '<link rel="stylesheet" href="http' not in page
    assert "mixing.svg" in page


def test_report_of_what_is_there_after_a_partly_failed_run(project):
    for name in ("tables/mixing.csv", "figures/small--large/curves.svg"):
        (project / "results" / name).unlink()
    done = snakemake(project, "--report", "report.html")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if line.startswith("report: ")] == [
        f"report: left out results/{name}, which is not there"
        for name in ("tables/mixing.csv", "figures/small--large/curves.svg")
    ]
    added = {line.split()[1] for line in lines if line.startswith("Adding ")}
    assert {"main.csv", "controls.svg"} <= added
    assert not added & {"mixing.csv", "curves.svg"}


def test_artifacts_tell_where_they_come_from_and_nothing_of_the_machine(finished):
    job = finished / "results/plain/small--large/seed0"
    made = w2s.load(job / "regions.parquet").provenance
    assert made["stage"] == "overlap"
    assert set(made) == {"stage", "code", "settings", "inputs", "packages"}
    weak = w2s.load(job / "weak_labels.parquet")
    assert made["inputs"]["weak_labels"] == weak.checksum
    for path in (finished / "results").rglob("*.parquet"):
        text = json.dumps(dict(w2s.load(path).provenance))
        assert str(finished) not in text


SELECTION = {
    "paths": {"rounds": 5, "batch": 4, "repeats": 1},
    "experiments": {
        "cut": {"title": "Plain, cut", "sources": "partition", "dataset": "plain"},
        "nothing": {"sources": "partition", "dataset": "flat"},
        "both": {"sources": "corpora", "datasets": ["plain", "flat"], "targets": ["plain"]},
    },
}
AFTER_PATHS = {"selection_tables": 1, "selection_figures": 1}


@pytest.fixture(scope="module")
def selecting(tmp_path_factory):
    """A project with three selection experiments, one of them degenerate, that has run once."""
    folder = tmp_path_factory.mktemp("selection") / "finished"
    make_project(folder, seeds=(0,), selection=SELECTION)
    done = snakemake(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_sources_are_selected_with_tables_and_figures(selecting):
    tables = selecting / "results/tables"
    found = pd.read_csv(tables / "selection.csv").set_index(["experiment", "policy", "measure"])
    assert len(found) == 3 * 7 * 6
    assert list(dict.fromkeys(found.index.get_level_values(0))) == ["cut", "nothing", "both"]
    for experiment in ("cut", "both"):
        assert found.loc[experiment]["value"].notna().all()
        assert found.loc[(experiment, "oracle", "regret"), "value"] == 0
        assert found.loc[experiment].loc["random", "minus_random"].eq(0).all()
    rounds = pd.read_csv(tables / "selection_rounds.csv")
    assert rounds.groupby(["experiment", "policy"]).size().eq(5).all()
    sources = pd.read_csv(tables / "selection_sources.csv")
    names = sources.groupby("experiment")["source"].unique()
    assert {name: set(mine) for name, mine in names.items()} == {
        "cut": {"s1", "s2"},
        "both": {"plain", "flat"},
    }
    for name in ("selection_accuracy", "selection_regret", "selection_pulls"):
        figure = selecting / "results/figures/small--large" / name
        assert "<svg" in figure.with_suffix(".svg").read_text(encoding="utf-8")
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert (tables / "selection.md").is_file()


def test_degenerate_sources_are_an_outcome_and_the_other_experiments_go_on(selecting):
    found = pd.read_csv(selecting / "results/tables/selection.csv").set_index("experiment")
    flat = found.loc["nothing"]
    assert flat[["value", "value_lo", "value_hi", "minus_random"]].isna().all().all()
    assert flat["reason"].str.contains("equal values").all()
    assert set(flat["n_seeds"]) == {0}
    others = found.drop("nothing")
    once = others["measure"].isin(["regret", "best_share"])  # of one seed: no interval over seeds
    assert others["reason"][~once].isna().all()
    assert others["reason"][once].str.startswith("found 1 seeds, expected 3 or more").all()
    paths = w2s.load(selecting / "results/selection/nothing/small--large/seed0/paths.parquet")
    assert len(paths) == 0
    assert paths.facts["status"] == "degenerate"


def test_a_second_run_with_selection_has_nothing_to_do(selecting):
    assert planned(selecting) == {}


def test_more_rounds_rerun_the_paths_of_all_experiments_and_nothing_else(selecting, tmp_path):
    project = copy_project(selecting, tmp_path / "project")
    change(project, lambda config: config["selection"]["paths"].update(rounds=7))
    assert planned(project) == {"select": 3, **AFTER_PATHS}


def test_a_change_of_one_experiment_reruns_and_moves_only_it(selecting, tmp_path):
    project = copy_project(selecting, tmp_path / "project")
    before = contents(project)
    change(project, lambda c: c["selection"]["experiments"]["cut"].update(counts="rebalanced"))
    assert planned(project) == {"select": 1, **AFTER_PATHS}
    done = snakemake(project)
    assert done.returncode == 0, done.stdout + done.stderr
    after = contents(project)
    assert before.keys() == after.keys()
    moved = {name for name in before if before[name] != after[name]}
    assert "selection/cut/small--large/seed0/paths.parquet" in moved
    assert all(name.startswith(("selection/cut/", "tables/", "figures/")) for name in moved)
    old, new = (
        pd.read_csv(folder / "results/tables/selection.csv").query("experiment != 'cut'")
        for folder in (selecting, project)
    )
    pd.testing.assert_frame_equal(old, new)
