"""From the hub to tables: every task's rows become examples, and the workflow around them."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import hub_rows
import numpy as np
import pandas as pd
import pytest
import tiny
import yaml
from hub_server import HubServer
from project import (
    BIN,
    REPOSITORY,
    command,
    copy_library,
    edit_function,
    environment,
    foreign_files,
    planned,
    snakemake,
    write_config,
)
from test_runner import refused

from w2s import dag
from w2s.config import parse
from w2s.data.files import text_id
from w2s.data.tasks import TASKS
from w2s.files.artifacts import load
from w2s.rng import stream

pytestmark = pytest.mark.xdist_group("hub workflow")  # its fixtures are made once

# Runs a list of stages in one process: (stage, inputs, outputs, settings).
STAGES = """
import json, sys
from w2s.errors import W2SError
from w2s.run import run
for job in json.load(sys.stdin):
    try:
        run(*job)
    except W2SError as error:
        sys.exit(f"{job[0]} {job[1]}: {error}")
"""
TRAIN, TEST = 120, 48


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Every task's dataset, and two models."""
    folder = tmp_path_factory.mktemp("models")
    with HubServer() as server:
        hub_rows.serve(server, TRAIN, TEST)
        for family in ("qwen2", "llama"):
            server.add_model(f"tiny/{family}", tiny.write_model(folder / family, family))
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The caches of the hub's clients, shared so that nothing is fetched twice."""
    return tmp_path_factory.mktemp("home")


def run(data, env, folder):
    """Fetch the rows of the datasets' tasks, and make examples of them, in one process."""
    config = parse({
        "results": "results", "seeds": [0], "datasets": data,
        "models": {"m": {"source": "hub", "id": "tiny/llama", "revision": "main"}},
        "pairs": [{"weak": "m", "strong": "m"}],
    })  # fmt: skip
    jobs = []
    for name in dag.tasks(config):
        told = json.loads(dag.settings(config, "fetch_task", task=name))
        jobs.append(["fetch_task", {}, {"rows": f"tasks/{told['task']}.parquet"}, told])
    for name in data:
        told = json.loads(dag.settings(config, "task_examples", dataset=name))
        rows = {"rows": f"tasks/{told['data']['task']}.parquet"}
        jobs.append(["task_examples", rows, {"examples": f"{name}.parquet"}, told])
    done = subprocess.run([sys.executable, "-c", STAGES], input=json.dumps(jobs), env=env,
                          capture_output=True, text=True, check=False, cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


SIZES = {"val": 20, "test": 40}
DATA = {
    **{key: {"source": "hub", "task": key, **SIZES} for key in TASKS},
    **{f"{key}-mixed": {"source": "hub", "task": key, "grouped": False, **SIZES}
       for key, task in TASKS.items() if task.group},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(hub, home, tmp_path_factory):
    """Rows and examples of every task, grouped and not."""
    return run(DATA, hub.environment(home), tmp_path_factory.mktemp("made"))


def test_examples_of_a_task_are_balanced_and_of_their_sides(made, subtests):
    for name, data in DATA.items():
        with subtests.test(name):
            rows = load(made / f"tasks/{data['task']}.parquet")
            found = load(made / f"{name}.parquet")
            frame = found.frame
            sizes = frame.groupby(["part", "label"]).size().unstack()
            assert set(sizes.index) == {"pool", "val", "test"}
            assert (sizes[0] == sizes[1]).all()
            assert sizes.loc["test"].sum() <= 40
            assert sizes.loc["val"].sum() <= 20
            side = dict(zip(rows["source_id"], rows["side"], strict=True))
            expected = np.where(frame["part"] == "test", "test", "train")
            assert [side[row] for row in frame["source_id"]] == expected.tolist()
            assert frame["id"].tolist() == [text_id(text) for text in frame["text"]]
            assert frame["text"].is_unique
            assert len(rows) == len(frame) + sum(found.facts["dropped"].values())


def test_labels_are_those_of_the_rows_as_the_task_reads_them(made, hub, subtests):
    for key, task in TASKS.items():
        with subtests.test(key):
            rows = load(made / f"tasks/{key}.parquet")
            row = dict(zip(rows["source_id"], rows["row"], strict=True))
            found = load(made / f"{key}.parquet")
            columns = (found["source_id"], found["text"], found["label"])
            for name, text, label in zip(*columns, strict=True):
                expected = task.format(json.loads(row[name]), stream(0, "text", key, name))
                assert expected == (text, label)
            facts = rows.facts  # and the rows say where they come from
            branches = hub.repositories["datasets", task.hub].branches
            assert facts["commit"] == branches[task.revision]
            assert facts["hub"] == task.hub
            assert (facts["task"], facts["revision"]) == (key, task.revision)
            assert set(facts["n_rows"]) == {*task.train, *task.test}


def test_no_passage_is_on_both_sides_where_groups_are_kept(made, subtests):
    for key, task in TASKS.items():
        with subtests.test(key):
            found = load(made / f"{key}.parquet")
            assert found.facts["leaks"] == 0
            assert found.facts["grouped"] is (task.group is not None)
            if task.group is None:
                assert found["group"].tolist() == found["source_id"].tolist()
                continue
            rows = load(made / f"tasks/{key}.parquet")
            shown = [json.dumps(json.loads(row)[task.group]) for row in rows["row"]]
            passage = dict(zip(rows["source_id"], shown, strict=True))
            mixed = load(made / f"{key}-mixed.parquet")
            parts, mixed_parts = (
                {part: [passage[row] for row in rows["source_id"]]
                 for part, rows in examples.frame.groupby("part")} for examples in (found, mixed)
            )  # fmt: skip
            pool, val, test = (set(parts[part]) for part in ("pool", "val", "test"))
            assert not pool & test
            assert not pool & val
            assert not val & test
            pool = set(mixed_parts["pool"])
            assert mixed.facts["leaks"] == sum(item in pool for item in mixed_parts["test"])
            assert mixed.facts["grouped"] is False
    # of a task whose test part is held out of its train split by rows, not by passages
    assert load(made / "sciq_with_support-mixed.parquet").facts["leaks"] > 5


def test_rows_of_another_task_are_refused(made, tmp_path, capsys):
    line = ["task_examples", "--rows", str(made / "tasks/sst2.parquet")]
    line += ["--examples", str(tmp_path / "out" / "e.parquet")]
    line += ["--settings", json.dumps({"dataset": "a", "data": DATA["boolq"]})]
    message = refused(line, capsys, tmp_path / "out")
    assert message.endswith("rows: found task sst2, expected boolq")


def test_what_is_drawn_for_a_row_stays_when_fewer_rows_are_read(made, hub, home, tmp_path):
    data = {"source": "hub", "task": "hellaswag", "max_rows": 60, **SIZES}
    run({"few": data}, hub.environment(home), tmp_path)
    few, many = (load(path).frame.set_index("source_id")
                 for path in (tmp_path / "few.parquet", made / "hellaswag.parquet"))  # fmt: skip
    both = few.index.intersection(many.index)
    assert len(both) > 20
    assert few.loc[both, ["text", "label"]].equals(many.loc[both, ["text", "label"]])


# The workflow.

MODEL = {"source": "hub", "revision": "main", "max_length": 64}


def configuration(**datasets):
    return {
        "results": "results", "seeds": [0], "datasets": datasets,
        "models": {
            "small": {"id": "tiny/qwen2", **MODEL},
            "large": {"id": "tiny/llama", "storage": "bfloat16", "pooling": "mean", **MODEL},
        },
        "pairs": [{"weak": "small", "strong": "large"}],
        "mixing": {"proportions": [0, 1], "repeats": 1}, "evaluation": {"bootstrap": 100},
    }  # fmt: skip


THREE = {
    "boolq": {"title": "BoolQ", "source": "hub", "task": "boolq", "val": 20},
    "hellaswag": {"source": "hub", "task": "hellaswag", "pool": 80, "val": 20, "test": 40},
    "sciq": {"source": "hub", "task": "sciq", "pool": 100, "val": 20, "test": 100},
}


def workflow(folder, env, *targets):
    done = subprocess.run(command(folder, *targets), capture_output=True, text=True, check=False,
                          cwd=folder, env=env)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(hub, home, tmp_path_factory):
    """A project of three datasets and two models of the hub that has run once."""
    folder = tmp_path_factory.mktemp("workflow") / "finished"
    folder.mkdir()
    write_config(folder, configuration(**THREE))
    code, output = workflow(folder, hub.environment(home))
    assert code == 0, output[-5000:]
    assert "estimate:" not in output
    return folder


@pytest.fixture
def project(finished, tmp_path):
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.mark.slow
def test_tables_come_from_the_hub_and_a_second_run_asks_nobody(finished, hub, home):
    main = pd.read_csv(finished / "results/tables/main.csv")
    assert main["dataset"].tolist() == list(THREE)
    assert main[["floor", "w2s", "ceiling"]].notna().all().all()
    assert (finished / "results/figures/small--large/mixing.svg").is_file()
    names = sorted(path.name for path in (finished / "resources/tasks").iterdir())
    assert [name[: -len("-12345678.parquet")] for name in names] == ["boolq", "hellaswag", "sciq"]
    found = load(finished / "results/boolq/activations/large.safetensors").facts
    assert found["storage"] == "bfloat16"
    assert hub.repositories["models", "tiny/llama"].branches["main"] in json.dumps(found["model"])
    for path in [*finished.rglob("*.parquet"), *finished.rglob("*.safetensors")]:
        found = load(path)
        told = json.dumps([dict(found.provenance), dict(found.facts)])
        for folder in (finished, home, "/tmp"):
            assert str(folder) not in told
    before = len(hub.requests)
    assert planned(finished) == {}
    assert foreign_files(finished) == []
    code, output = workflow(finished, hub.environment(home))
    assert code == 0
    assert "Nothing to be done" in output
    assert len(hub.requests) == before


def change(folder, name, **fields):
    write_config(folder, configuration(**{**THREE, name: {**THREE[name], **fields}}))


@pytest.mark.slow
def test_an_edit_of_a_dataset_fetches_again_only_what_it_must(project, tmp_path, subtests):
    for fields, expected in [
        ({"revision": "another"}, {"fetch_task": 1, "task_examples": 1}),
        ({"max_rows": 100}, {"fetch_task": 1, "task_examples": 1}),
        ({"val": 30}, {"task_examples": 1}),
        ({"grouped": False}, {"task_examples": 1}),
        ({"title": "Other"}, {}),
    ]:
        with subtests.test(**fields):
            change(project, "hellaswag", **fields)
            rules = {"fetch_task", "task_examples", "examples"}
            jobs = planned(project)
            assert {rule: n for rule, n in jobs.items() if rule in rules} == expected
    # another wording makes the texts anew and fetches nothing
    write_config(project, configuration(**THREE))
    library = copy_library(tmp_path / "library")
    edit_function(library / "w2s/data/examples.py", "task_examples")
    edit_function(library / "w2s/data/hub.py", "fetch_task")
    jobs = planned(project, repository=library, library=library)
    assert jobs["task_examples"] == 3
    assert "fetch_task" not in jobs


def fresh(project):
    """The project before its first run."""
    for name in ("results", "resources", ".snakemake"):
        shutil.rmtree(project / name)
    return project


@pytest.mark.slow
def test_without_a_network_the_cache_gives_the_same_examples(finished, project, hub, home):
    before = len(hub.requests)
    code, output = workflow(fresh(project), hub.environment(home, HF_HUB_OFFLINE="1"), "texts")
    assert code == 0, output[-3000:]
    assert len(hub.requests) == before
    for name in THREE:
        path = f"results/{name}/examples.parquet"
        assert (project / path).read_bytes() == (finished / path).read_bytes()


@pytest.mark.slow
def test_with_nothing_cached_a_task_fails_in_one_line_and_a_local_copy_goes_on(
    project, hub, tmp_path
):
    (project / "boolq").mkdir()
    for name, table in hub_rows.splits("boolq", TRAIN, TEST).items():
        table.to_parquet(project / "boolq" / f"{name}.parquet")
    change(fresh(project), "boolq", local="boolq")
    code, output = workflow(project, hub.environment(tmp_path, HF_HUB_OFFLINE="1"), "texts")
    assert code == 1
    for name, repository in (("hellaswag", "Rowan/hellaswag"), ("sciq", "allenai/sciq")):
        (log,) = project.glob(f"results/logs/fetch_task/{name}-*.log")
        (line,) = log.read_text(encoding="utf-8").splitlines()
        assert line.startswith(f"w2s fetch_task: error: dataset {repository}: found no answer")
        assert not list(project.glob(f"resources/tasks/{name}-*.parquet"))
    assert "Traceback" not in output
    found = load(project / "results/boolq/examples.parquet")
    assert len(found) > 50
    (rows,) = project.glob("resources/tasks/boolq-*.parquet")
    assert load(rows).facts["commit"] == ""
    assert str(project) not in json.dumps(dict(found.provenance))


OWN = """
from w2s.data.task import Task

def text(row, rng):
    return f"WORDING {{row['words']}}", int(row["good"])

TASKS = {{"mine": Task(summary="Is it good?", hub="me/mine", columns=("words", "good"),
                     label="good", format=text, test=("test",){more})}}
"""


def write_own(folder, wording="Text:", more=""):
    text = OWN.format(more=more).replace("WORDING", wording)
    (folder / "own" / "tasks.py").write_text(text, encoding="utf-8")


def texts(folder, *arguments):
    done = snakemake(folder, *arguments, "texts")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return {rule: int(n) for rule, n in re.findall(r"^(\w*task\w*) +(\d+)$", output, flags=re.M)}


@pytest.mark.slow
def test_a_task_of_the_users_own_and_its_edits(tmp_path):
    own = tmp_path / "own project"  # the task and its data are on this machine
    (own / "own" / "data").mkdir(parents=True)
    for name, n in (("train", 60), ("test", 20)):
        rows = [json.dumps({"words": f"{name} number {i}", "good": i % 2, "more": 1})
                for i in range(n)]  # fmt: skip
        (own / "own/data" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    write_own(own)
    data = {"source": "hub", "task": "mine", "tasks_file": "own/tasks.py", "local": "own/data"}
    write_config(own, configuration(texts=data))
    texts(own)
    found = load(own / "results/texts/examples.parquet")
    assert all(text.startswith("Text: t") for text in found["text"])
    told = json.dumps([dict(found.provenance), dict(found.facts)])
    assert str(own) not in told
    assert "own/" not in told
    assert texts(own, "--dry-run") == {}
    write_own(own, wording="Words:")
    assert texts(own, "--dry-run") == {"task_examples": 1}
    texts(own)
    again = load(own / "results/texts/examples.parquet")
    assert all(text.startswith("Words: t") for text in again["text"])
    assert again["source_id"].tolist() == found["source_id"].tolist()
    write_own(own, wording="Words:", more=", group='words'")
    assert texts(own, "--dry-run") == {"task_examples": 1}
    with (own / "own/data/train.jsonl").open("a", encoding="utf-8") as table:
        table.write('{"words": "one more", "good": 1, "more": 1}\n')
    assert texts(own, "--dry-run") == {"fetch_task": 1, "task_examples": 1}


@pytest.mark.slow
def test_a_mistake_stops_before_any_job(tmp_path, subtests):
    for fields, expected in [
        ({"task": "hellaswog"}, "datasets.hellaswag.task: found 'hellaswog', which is not a task; "
         "did you mean 'hellaswag'?"),
        ({"tasks_file": "none.py", "task": "mine"}, "none.py: found no file"),
        ({"max_rows": 1}, "datasets.hellaswag.max_rows: found 1"),
    ]:  # fmt: skip
        with subtests.test(**fields):
            change(tmp_path, "hellaswag", **fields)
            done = snakemake(tmp_path)
            assert done.returncode != 0
            assert expected in done.stdout + done.stderr
            assert "Traceback" not in done.stderr
            assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "paper-smoke"])
def test_the_papers_experiment_can_be_planned_without_a_network(name, tmp_path):
    path = REPOSITORY / "config" / f"{name}.yaml"
    config = parse(yaml.safe_load(path.read_text(encoding="utf-8")))
    env = {**environment(), "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1",
           "HF_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}  # fmt: skip
    line = [BIN / "snakemake", "--snakefile", REPOSITORY / "workflow/Snakefile"]
    line += ["--directory", tmp_path, "--configfile", path, "--cores", "2", "--dry-run"]
    done = subprocess.run(list(map(str, line)), capture_output=True, text=True, check=False,
                          cwd=tmp_path, env=env)  # fmt: skip
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    jobs = {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", output, flags=re.M)}
    datasets, seeds, pairs = len(config.datasets), len(config.seeds), len(config.pairs)
    extracted = datasets * len({name for pair in config.pairs for name in (pair.weak, pair.strong)})
    each = dict.fromkeys(("weak_labels", "overlap", "strong", "evaluate"), datasets * seeds * pairs)
    assert jobs == {
        "fetch_task": datasets, "task_examples": datasets, "split": datasets * seeds,
        "tokenize": extracted, "activations": extracted, **each,
        "select": len(config.selection.experiments) * seeds * pairs,
        "tables": 1, "metric_tables": 1, "figures": pairs,
        "selection_tables": 1, "selection_figures": pairs,
        "all": 1, "total": jobs["total"],
    }  # fmt: skip
    assert jobs["total"] == sum(jobs.values()) - jobs["total"]
    told = [line for line in done.stderr.splitlines() if line.startswith("estimate: ")]
    assert len(told) == 2 + extracted // datasets
    assert len(set(told)) == len(told)
    assert "estimate: " not in done.stdout
    assert [found.name for found in tmp_path.iterdir()] == [".snakemake"]


def test_the_papers_datasets_are_its_tasks_with_titles():
    for name in ("paper", "paper-smoke"):
        path = REPOSITORY / "config" / f"{name}.yaml"
        config = parse(yaml.safe_load(path.read_text(encoding="utf-8")))
        for key, data in config.datasets.items():
            assert (data.source, data.task) == ("hub", key)
            assert data.title
        found, paper = set(config.datasets), hub_rows.PAPER
        assert found == paper if name == "paper" else found < paper
        for model in {model for pair in config.pairs for model in (pair.weak, pair.strong)}:
            assert config.models[model].estimate.tokens_per_second
            assert config.models[model].estimate.width
