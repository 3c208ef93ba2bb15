"""The workflow as a user runs it, on tiny models and texts."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from project import (
    FINETUNING,
    RECIPE,
    change,
    contents,
    copy_library,
    copy_project,
    edit_function,
    finished_project,
    foreign_files,
    kill_run,
    make_hostile,
    planned,
    read_config,
    snakemake,
    write_config,
)

import w2s
from w2s.overlap.mixing import FEW
from w2s.results.metrics import REFERENCES

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("workflow")]

# jobs that are planned, by rule
SEED = dict.fromkeys(("weak_labels", "overlap", "strong", "evaluate"), 2)
REPORTS = {"tables": 1, "figures": 1}
SELECTED = {"selection_tables": 1, "selection_figures": 1}
ARMED = {"arms_tables": 1, "arms_figures": 1}
TUNED = {"finetuning_tables": 1, "finetuning_figures": 1}
NOISY = {"label_noise_tables": 1, "label_noise_figures": 1}
GAINED = {"gain_tables": 1, "gain_figures": 1}
TRAINED = {"strong": 4, "evaluate": 4, "metric_tables": 1, "gain_predictors": 4, "transfer": 2}
TRAINED |= {**GAINED, **REPORTS, **TUNED}
STRONG = {"finetune_strong": 4, "evaluate_finetuned": 4, **TUNED}
OVERLAP = {
    **{"overlap": 4, "select": 6, "arms": 4, "finetune_strong": 4, "evaluate_finetuned": 4},
    **TRAINED, **SELECTED, **ARMED,
}  # fmt: skip
TITLED = dict.fromkeys(
    ("figures", "arms_figures", "finetuning_figures", "label_noise_figures", "gain_figures"), 1
)
OTHERS = r"selection|finetun|arms|negative|label_noise|gain|/(transfer|predictors|quadrants)\."
MATCHED = ("purity_matched", "brier_matched", "label_balanced")
CURVES = {
    *("plain", "placebo", "fixed_hard", "overlap_against_easy", "same_capacity", *MATCHED),
    *(f"{name}_placebo" for name in MATCHED),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return finished_project(tmp_path_factory)


@pytest.fixture
def project(finished, tmp_path):
    """A copy of the finished project for a test to change."""
    return copy_project(finished, tmp_path / "project")


def run(folder, *arguments, **options):
    done = snakemake(folder, *arguments, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def table(folder, name, *index):
    found = pd.read_csv(folder / f"results/tables/{name}.csv")
    return found.set_index(list(index)) if index else found


def of_pairs(found):
    """What a project has that does no more than train probes."""
    return {name: content for name, content in found.items() if not re.search(OTHERS, name)}


def only_pairs(config):
    for track in ("arms", "selection", "finetuning", "label_noise", "gain"):
        del config[track]


def test_tables_have_the_promised_columns_and_rows(finished):
    main = table(finished, "main")
    spread = [f"{n}{end}" for n in ("floor", "w2s", "ceiling", "pgr") for end in ("", "_lo", "_hi")]
    assert list(main.columns) == [
        *("dataset", "weak", "strong", "n_seeds", "n_pool", "n_test", "n_groups"),
        *spread,
        *("overlap_density", "easy_share", "hard_share", "stability"),
        *("status", "reason"),
    ]
    assert list(main["dataset"]) == ["plain", "flat"]
    row = main.set_index("dataset").loc["plain"]
    shares = row["overlap_density"] + row["easy_share"] + row["hard_share"]
    assert shares == pytest.approx(1, abs=1e-5)
    for name in ("floor", "w2s", "ceiling"):
        assert row[f"{name}_lo"] <= row[name] <= row[f"{name}_hi"]
    mixing = table(finished, "mixing")
    assert list(mixing.columns[:9]) == [
        *("dataset", "weak", "strong", "control", "proportion", "accuracy", "lo", "hi"),
        "label_accuracy",
    ]
    for control, rows in mixing[mixing["dataset"] == "plain"].groupby("control"):
        assert len(rows) == {"few_labels": len(FEW)}.get(control, 3 if control in CURVES else 1)
    single = {"random", "true_labels", "few_labels", "same_capacity_w2s", *REFERENCES}
    assert set(mixing["control"]) == CURVES | single
    assert len(table(finished, "regions")) == 2 * 3 * (3 + len(REFERENCES))


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
    row = table(finished, "main", "dataset").loc["plain"]
    for name, values in accuracies.items():
        assert row[name] == pytest.approx(np.mean(values), abs=1e-5)


def test_a_degenerate_dataset_is_an_outcome_and_the_others_complete(finished):
    main, mixing = (table(finished, name, "dataset") for name in ("main", "mixing"))
    assert main["status"].to_dict() == {"plain": "ok", "flat": "degenerate"}
    assert "equal values" in main.loc["flat", "reason"]
    assert main.loc["flat", "floor"] == pytest.approx(0.5)
    flat = mixing.loc["flat"].query("control in @CURVES or control in ('random', 'true_labels')")
    assert flat["accuracy"].isna().all()
    assert flat["reason"].str.contains("equal values").all()
    assert mixing[mixing["accuracy"].isna()]["reason"].notna().all()
    assert mixing.loc["plain"].query("control == 'plain'")["accuracy"].notna().all()


def test_each_text_is_extracted_once_and_artifacts_tell_nothing_of_the_machine(finished):
    plain = finished / "results/plain"
    examples = w2s.load(plain / "examples.parquet")
    activations = w2s.load(plain / "activations/large.safetensors")
    assert sorted(activations["id"]) == sorted(examples["id"])
    made = [path.name for path in sorted((plain / "activations").iterdir())]
    assert made == ["large.safetensors", "small.safetensors"]  # whatever the number of seeds
    for path in (finished / "results").rglob("*.parquet"):
        told = w2s.load(path).provenance
        assert set(told) == {"stage", "code", "settings", "inputs", "packages"}
        assert str(finished) not in json.dumps(dict(told))


def test_figures_exist_as_svg_and_png(finished):
    own = ("mixing", "controls", "contrasts", "curves", "by_region")
    selection = (f"selection_{name}" for name in ("accuracy", "regret", "pulls"))
    for name in (*own, *selection, "arms_budgets", "arms_forest"):
        figure = finished / "results/figures/small--large" / name
        assert figure.with_suffix(".svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")
        assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_second_run_has_nothing_to_do(finished):
    assert planned(finished) == {}
    assert foreign_files(finished) == []


EDITS = {
    "a new seed": (
        lambda c: c["seeds"].append(7),
        {"split": 2, **SEED, **REPORTS, "metric_tables": 1, "arms": 2, **ARMED, "label_noise": 2,
         **NOISY, "corpora_labels": 1, "select": 3, **SELECTED, **TUNED,
         **dict.fromkeys(("finetune_weak", "finetune_strong", "evaluate_finetuned"), 2),
         "gain_predictors": 2, "transfer": 1, **GAINED},
    ),
    # neither activations nor weak labels
    "proportions": (lambda c: c["mixing"].update(proportions=[0, 1]), TRAINED),
    "overlap": (lambda c: c.update(overlap={"tau_hard": {"quantile": 0.2}}), OVERLAP),
    "device and batches": (
        lambda c: c.update(runtime={"device": "cpu", "batch_tokens": 64, "training_tokens": 64}),
        {},
    ),
    "a new title": (
        lambda c: c["datasets"]["plain"].update(title="Another title"),
        TITLED,
    ),
    "budgets": (lambda c: c["arms"].update(budgets=[0.25, 1.0]), {"arms": 4, **ARMED, **STRONG}),
    "more rounds": (
        lambda c: c["selection"]["paths"].update(rounds=7), {"select": 6, **SELECTED},
    ),
    "losses": (lambda c: c["finetuning"].update(losses=["xent", "kl"]), STRONG),
    "recipe": (
        lambda c: c["finetuning"].update(recipe={**RECIPE, "epochs": 1}),
        {"finetune_weak": 4, **STRONG},
    ),
    "rates of label noise": (
        lambda c: c["label_noise"].update(rates=[0.1]), {"label_noise": 4, **NOISY},
    ),
    "fewer datasets": (lambda c: c["finetuning"].update(datasets=["plain"]), TUNED),
    "fewer to transfer to": (
        lambda c: c["gain"].update(datasets=["plain"]), {"transfer": 2, **GAINED},
    ),
}  # fmt: skip


def test_an_edit_reruns_what_depends_on_it(finished, project, subtests):
    for name, (edit, expected) in EDITS.items():
        write_config(project, read_config(finished))
        change(project, edit)
        with subtests.test(name):
            assert planned(project) == expected


def test_results_without_records_of_snakemake_are_known_by_what_they_say(project):
    """As they are when they were copied without .snakemake, or made by an older Snakemake."""
    shutil.rmtree(project / ".snakemake")
    assert planned(project) == {}
    change(project, lambda config: config["mixing"].update(proportions=[0, 1]))
    assert planned(project) == TRAINED
    assert len(foreign_files(project)) == 2 * 4
    done = snakemake(project, "--dry-run", "results/plain/small--large/seed0/regions.parquet")
    assert "Nothing to be done" in done.stdout + done.stderr  # only what is asked for
    change(project, lambda config: config["datasets"]["plain"].update(title="Another title"))
    change(project, lambda config: config["mixing"].update(proportions=[0, 0.5, 1]))
    assert planned(project) == TITLED
    change(project, only_pairs)
    change(project, lambda config: config["models"]["large"].update(pooling="last"))
    assert planned(project)["activations"] == 2
    (project / "results/figures/small--large/mixing.svg").unlink()
    done = run(project)
    assert 'activations/large.safetensors: made with pooling "mean", expected' in done.stderr
    assert planned(project) == {}
    told = foreign_files(project)  # of the tracks that are asked for no more
    assert told
    assert of_pairs(dict.fromkeys(told)) == {}


def test_records_of_an_older_snakemake_are_no_records(project, tmp_path):
    for path in (project / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            record = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps(record | {"record_format_version": 3}), encoding="utf-8")
    assert planned(project) == {}
    library = copy_library(tmp_path / "library")
    edit_function(library / "w2s/overlap/tables.py", "evaluate")
    evaluated = {"evaluate": 4, "evaluate_finetuned": 4, **REPORTS, **TUNED}
    assert planned(project, repository=library, library=library) == evaluated


def test_an_edit_of_the_library_reruns_the_stages_that_use_it(project, tmp_path):
    library = copy_library(tmp_path / "library")
    module = library / "w2s/overlap/scores.py"
    text = module.read_text(encoding="utf-8")
    edited = text.replace('"""The single', '"""The one and only') + "\n# a comment\n"
    assert edited != text
    module.write_text(edited, encoding="utf-8")
    assert planned(project, repository=library, library=library) == {}
    module.write_text(text.replace("MIN_VALUES = 4", "MIN_VALUES = 5"), encoding="utf-8")
    assert planned(project, repository=library, library=library) == OVERLAP


def test_a_new_dataset_moves_no_number_of_the_others(project):
    change(project, only_pairs)
    before, old = contents(project), table(project, "main")
    (project / "more.csv").write_bytes((project / "plain.csv").read_bytes())
    more = {"source": "file", "path": "more.csv"}
    change(project, lambda config: config["datasets"].update(more=more))
    assert planned(project)["activations"] == 2
    told = run(project, "--verbose")
    told = told.stdout + told.stderr
    # each look at the jobs that are ready finds some to run: none follows only because of another
    assert 0 < told.count("Ready jobs: ") <= told.count("Finished jobid: ")
    after = contents(project)
    moved = {name for name in before if before[name] != after[name]}
    assert all(name.startswith(("tables", "figures")) for name in moved)
    new = table(project, "main")
    assert list(new["dataset"]) == ["plain", "flat", "more"]
    pd.testing.assert_frame_equal(new[new["dataset"] != "more"], old)


STRANGE = "é & 'q\" #1; $HOME * ~"


def test_same_bytes_twice_with_another_number_of_cores_and_at_strange_paths(
    finished, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    again = make_hostile(
        tmp_path / f"inputs {STRANGE}",
        results=f"~/my results {STRANGE}",
        resources=f"downloads {STRANGE}/",
    )
    config = read_config(again)
    for item in (*config["datasets"].values(), *config["models"].values()):
        item["path"] = str(again / item["path"])
    write_config(again, config)
    run(again, cores=1)
    made = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert made == {again.name, f"my results {STRANGE}"}  # no stray file beside
    assert planned(again) == {}
    first = of_pairs(contents(finished))
    second = contents(again, tmp_path / f"my results {STRANGE}")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_a_run_killed_during_extraction_ends_like_an_undisturbed_one(finished, tmp_path):
    # a forward pass per text, so that there is a middle to be killed in
    folder = make_hostile(tmp_path / "killed", runtime={"batch_tokens": 1})
    log = folder / "results/logs/plain/activations-large.log"
    kill_run(
        folder, "results/plain/activations/large.safetensors", cores=1,
        reached=lambda: log.is_file() and "activations plain" in log.read_text(encoding="utf-8"),
    )  # fmt: skip
    told = snakemake(folder)
    assert told.returncode != 0
    assert "--unlock" in told.stdout + told.stderr
    run(folder, "--unlock")
    change(folder, lambda config: config.pop("runtime"))
    run(folder)
    assert contents(folder) == of_pairs(contents(finished))


MISTAKES = [  # those of one edit are told together
    (
        lambda c: c.update(
            overlap={"similarty": "dot"},
            mixing={"proportions": [2]},
            finetuning={"losses": ["crossent"], "recipe": {"rate": 1}},
        ),
        (
            "did you mean 'similarity'?",
            "mixing.proportions.0: found 2",
            "finetuning.losses.0: found 'crossent'",
            "finetuning.recipe.rate is not a setting",
        ),
    ),
    (
        lambda c: c.update(
            pairs=[{"weak": "smal", "strong": "large"}],
            finetuning={**FINETUNING, "datasets": ["plane"]},
        ),
        (
            "did you mean 'small'?",
            "finetuning.datasets: 'plane' is not a dataset; did you mean",
        ),
    ),
    (lambda c: c["models"]["small"].update(path="nowhere"), ("models.small.path",)),
    (lambda c: c.pop("seeds"), ("seeds: found none, expected at least 1 item",)),
]


def test_a_bad_configuration_fails_before_any_job(tmp_path, finished, subtests):
    folder = tmp_path / "bad"
    folder.mkdir()
    for part in ("models", "plain.csv", "flat.csv"):
        (folder / part).symlink_to(finished / part)
    for edit, expected in MISTAKES:
        write_config(folder, read_config(finished))
        change(folder, edit)
        with subtests.test(expected[0]):
            done = snakemake(folder)
            assert done.returncode != 0
            assert [part for part in expected if part not in done.stdout + done.stderr] == []
            assert "Traceback" not in done.stderr
            assert not (folder / "results").exists()


def test_bad_data_stops_its_dataset_only(finished, project):
    change(project, only_pairs)
    text = (project / "flat.csv").read_text(encoding="utf-8")
    (project / "flat.csv").write_text(text.replace(",1", ",2", 1), encoding="utf-8")
    for name in ("plain/splits", "plain/small--large"):
        shutil.rmtree(project / "results" / name)
    done = snakemake(project)
    assert done.returncode != 0
    assert "found label 2, expected 0 or 1" in done.stdout + done.stderr
    assert not (project / "results/flat/examples.parquet").exists()
    name = "plain/small--large/seed1/metrics.parquet"
    assert contents(project)[name] == contents(finished)[name]


def test_report_of_what_is_there_after_a_partly_failed_run(project):
    names = ("tables/mixing.csv", "figures/small--large/curves.svg")
    for name in names:
        (project / "results" / name).unlink()
    lines = run(project, "--report", "report.html").stderr.splitlines()
    assert {line for line in lines if line.startswith("report: ")} == {
        f"report: left out results/{name}, which is not there" for name in names
    }
    added = {line.split()[1] for line in lines if line.startswith("Adding ")}
    assert {"main.csv", "controls.svg"} <= added
    assert not added & {"mixing.csv", "curves.svg"}


def test_label_noise_and_other_metrics_have_tables(finished):
    found = table(finished, "label_noise", "dataset", "noise", "method")
    assert set(found["rate"]) == {0.2}
    assert set(found["n_seeds"]) == {2}  # texts that are all the same have scores too
    assert (found.loc[(slice(None), slice(None), "oracle"), "auroc"] == 1).all()
    known = found.loc[("plain", slice(None), "logistic"), "auroc"]
    assert known.mean() > 0.55  # of some dozens of points
    metrics = table(finished, "metrics", "dataset", "metric", "model")
    main = table(finished, "main", "dataset")
    for name in ("plain", "flat"):
        for model in ("floor", "w2s", "ceiling"):
            row = metrics.loc[(name, "accuracy", model)]
            assert row["value"] == main.loc[name, model]
            assert [row["lo"], row["hi"]] == [main.loc[name, f"{model}{end}"] for end in
                                              ("_lo", "_hi")]  # fmt: skip


def test_sources_are_selected_with_tables(finished):
    found = table(finished, "selection", "experiment", "policy", "measure")
    assert len(found) == 3 * 7 * 6
    assert list(dict.fromkeys(found.index.get_level_values(0))) == ["cut", "nothing", "both"]
    for experiment in ("cut", "both"):
        assert found.loc[experiment]["value"].notna().all()
        assert found.loc[(experiment, "oracle", "regret"), "value"] == 0
        assert found.loc[experiment].loc["random", "minus_random"].eq(0).all()
    rounds = table(finished, "selection_rounds")
    assert rounds.groupby(["experiment", "policy"]).size().eq(5).all()
    names = table(finished, "selection_sources").groupby("experiment")["source"].unique()
    assert {name: set(mine) for name, mine in names.items()} == {
        "cut": {"s1", "s2"},
        "both": {"plain", "flat"},
    }
    assert (finished / "results/tables/selection.md").is_file()


def test_degenerate_sources_are_an_outcome_and_the_other_experiments_go_on(finished):
    found = table(finished, "selection", "experiment")
    flat = found.loc["nothing"]
    assert flat[["value", "value_lo", "value_hi", "minus_random"]].isna().all().all()
    assert flat["reason"].str.contains("equal values").all()
    assert set(flat["n_seeds"]) == {0}
    others = found.drop("nothing")
    few = others["measure"].isin(["regret", "best_share"])  # of two seeds: no interval over seeds
    assert others["reason"][~few].isna().all()
    assert others["reason"][few].str.startswith("found 2 seeds, expected 3 or more").all()
    paths = w2s.load(finished / "results/selection/nothing/small--large/seed0/paths.parquet")
    assert len(paths) == 0
    assert paths.facts["status"] == "degenerate"


def test_a_change_of_one_experiment_reruns_and_moves_only_it(finished, project):
    before = contents(project)
    change(project, lambda c: c["selection"]["experiments"]["cut"].update(counts="rebalanced"))
    assert planned(project) == {"select": 2, **SELECTED}
    run(project)
    after = contents(project)
    assert before.keys() == after.keys()
    moved = {name for name in before if before[name] != after[name]}
    assert "selection/cut/small--large/seed0/paths.parquet" in moved
    assert all(name.startswith(("selection/cut/", "tables/", "figures/")) for name in moved)
    old, new = (
        table(folder, "selection").query("experiment != 'cut'") for folder in (finished, project)
    )
    pd.testing.assert_frame_equal(old, new)


def test_what_predicts_the_gain_and_how_it_transfers_is_in_tables(finished):
    main = table(finished, "main", "dataset")
    found = table(finished, "transfer", "train", "test")
    assert list(found.index) == [(a, b) for a in main.index for b in main.index]
    for name in main.index:  # on its own test part a dataset has the main table's numbers
        for column in (
            f"{n}{end}" for n in ("floor", "w2s", "ceiling") for end in ("", "_lo", "_hi")
        ):
            assert found.loc[(name, name), column] == main.loc[name, column], (name, column)
    across = found.loc[("plain", "flat")]
    assert across["floor"] == across["w2s"] == across["ceiling"]  # of one vector for all points
    points = table(finished, "gain", "dataset", "seed")
    assert points.index.tolist() == [(name, seed) for name in main.index for seed in (0, 1)]
    assert points.loc["plain", "gain"].mean() == pytest.approx(
        main.loc["plain", "w2s"] - main.loc["plain", "floor"], abs=1e-5
    )
    assert points.loc["flat", "cka"].isna().all()
    assert points.loc["flat", "reason"].str.contains("found the same vector for all").all()
    predictors = table(finished, "predictors", "predictor")
    assert predictors.loc["misfit", ["n_points", "n_means"]].tolist() == [4, 2]
    assert predictors.loc["cka", ["n_points", "n_means"]].tolist() == [2, 1]
    shares = table(finished, "quadrants").groupby("dataset")["share"].sum()
    assert shares.to_dict() == pytest.approx({"plain": 1, "flat": 1})
    for name in ("predictors", "transfer"):
        assert (finished / f"results/figures/gain/{name}.png").is_file()
