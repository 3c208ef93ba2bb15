"""From the hub to tables: every task's rows become examples, and the workflow around them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from w2s.data.tasks import PAPER, TASKS
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
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """Every task's dataset, and two models."""
    folder = tmp_path_factory.mktemp("models")
    with HubServer() as server:
        list(hub_rows.serve(server, TRAIN, TEST))
        for family in ("qwen2", "llama"):
            model = tiny.write_model(folder / family, family)
            server.add_model(f"tiny/{family}", model)
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The caches of the hub's clients, shared so that nothing is fetched twice."""
    return tmp_path_factory.mktemp("home")


def settings_of(data: dict[str, dict[str, Any]], **more: Any) -> tuple[dict[str, Any], Any]:
    """Settings of `fetch_task` by task, and of `task_examples` by dataset."""
    config = parse({
        "results": "results", "seeds": [0], "datasets": data,
        "models": {"m": {"source": "hub", "id": "tiny/llama", "revision": "main"}},
        "pairs": [{"weak": "m", "strong": "m"}], **more,
    })  # fmt: skip
    told = [json.loads(dag.settings(config, "fetch_task", task=name)) for name in dag.tasks(config)]
    fetched = {fields["task"]: fields for fields in told}
    made = {name: json.loads(dag.settings(config, "task_examples", dataset=name)) for name in data}
    return fetched, made


def run(jobs: list[Any], env: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", STAGES], input=json.dumps(jobs), env=env,
                          capture_output=True, text=True, check=False, cwd=folder)  # fmt: skip


SIZES = {"val": 20, "test": 40}
DATA = {
    **{key: {"source": "hub", "task": key, **SIZES} for key in TASKS},
    **{f"{key}-mixed": {"source": "hub", "task": key, "grouped": False, **SIZES}
       for key, task in TASKS.items() if task.group},
}  # fmt: skip


@pytest.fixture(scope="module")
def made(hub: HubServer, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows and examples of every task, grouped and not."""
    folder = tmp_path_factory.mktemp("made")
    fetched, examples = settings_of(DATA)
    jobs: list[Any] = [
        ["fetch_task", {}, {"rows": f"tasks/{key}.parquet"}, told] for key, told in fetched.items()
    ]
    jobs += [
        ["task_examples", {"rows": f"tasks/{told['data']['task']}.parquet"},
         {"examples": f"{name}.parquet"}, told]
        for name, told in examples.items()
    ]  # fmt: skip
    done = run(jobs, hub.environment(home), folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", list(DATA))
def test_examples_of_a_task_are_balanced_and_of_their_sides(name: str, made: Path) -> None:
    key: Any = DATA[name]["task"]
    rows = load(made / f"tasks/{key}.parquet")
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


@pytest.mark.parametrize("key", list(TASKS))
def test_labels_are_those_of_the_rows_as_the_task_reads_them(key: str, made: Path) -> None:
    rows = load(made / f"tasks/{key}.parquet")
    row = dict(zip(rows["source_id"], rows["row"], strict=True))
    found = load(made / f"{key}.parquet")
    for name, text, label in zip(found["source_id"], found["text"], found["label"], strict=True):
        expected = TASKS[key].format(json.loads(row[name]), stream(0, "text", key, name))
        assert expected == (text, label)


@pytest.mark.parametrize("key", [key for key, task in TASKS.items() if task.group])
def test_no_passage_is_on_both_sides_where_groups_are_kept(key: str, made: Path) -> None:
    group: Any = TASKS[key].group
    rows = load(made / f"tasks/{key}.parquet")
    passage = {name: json.dumps(json.loads(row)[group])
               for name, row in zip(rows["source_id"], rows["row"], strict=True)}  # fmt: skip

    def passages(name: str, part: str) -> list[str]:
        frame = load(made / f"{name}.parquet").frame
        return [passage[row] for row in frame[frame["part"] == part]["source_id"]]

    parts = {part: set(passages(key, part)) for part in ("pool", "val", "test")}
    assert not parts["pool"] & parts["test"]
    assert not parts["pool"] & parts["val"]
    assert not parts["val"] & parts["test"]
    facts = load(made / f"{key}.parquet").facts
    assert facts["leaks"] == 0
    assert facts["grouped"] is True
    mixed = load(made / f"{key}-mixed.parquet").facts
    pool = set(passages(f"{key}-mixed", "pool"))
    assert mixed["leaks"] == sum(item in pool for item in passages(f"{key}-mixed", "test"))
    assert mixed["grouped"] is False


def test_leaks_are_counted_where_passages_are_on_both_sides(made: Path) -> None:
    """Of a task whose test part is held out of its train split by rows, not by passages."""
    assert load(made / "sciq_with_support-mixed.parquet").facts["leaks"] > 5


def test_tasks_without_passages_have_no_groups(made: Path) -> None:
    for key, task in TASKS.items():
        found = load(made / f"{key}.parquet")
        if task.group is None:
            assert found["group"].tolist() == found["source_id"].tolist()
            assert found.facts["leaks"] == 0
            assert found.facts["grouped"] is False


def test_rows_say_where_they_come_from(made: Path, hub: HubServer) -> None:
    for key, task in TASKS.items():
        facts = load(made / f"tasks/{key}.parquet").facts
        repository = hub.repositories["datasets", task.hub]
        assert facts["commit"] == repository.branches[task.revision]
        assert facts["hub"] == task.hub
        assert (facts["task"], facts["revision"]) == (key, task.revision)
        assert set(facts["n_rows"]) == {*task.train, *task.test}


def test_rows_of_another_task_are_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, examples = settings_of({"a": {"source": "hub", "task": "boolq"}})
    line = ["task_examples", "--rows", str(made / "tasks/sst2.parquet")]
    line += ["--examples", str(tmp_path / "out" / "e.parquet")]
    line += ["--settings", json.dumps(examples["a"])]
    message = refused(line, capsys, tmp_path / "out")
    assert message.endswith("rows: found task sst2, expected boolq")


def test_what_is_drawn_for_a_row_stays_when_fewer_rows_are_read(
    made: Path, hub: HubServer, home: Path, tmp_path: Path
) -> None:
    fetched, examples = settings_of(
        {"hellaswag": {"source": "hub", "task": "hellaswag", "max_rows": 60, **SIZES}}
    )
    jobs = [
        ["fetch_task", {}, {"rows": "rows.parquet"}, fetched["hellaswag"]],
        ["task_examples", {"rows": "rows.parquet"}, {"examples": "few.parquet"},
         examples["hellaswag"]],
    ]  # fmt: skip
    done = run(jobs, hub.environment(home), tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    few, many = (load(path).frame.set_index("source_id")
                 for path in (tmp_path / "few.parquet", made / "hellaswag.parquet"))  # fmt: skip
    both = few.index.intersection(many.index)
    assert len(both) > 20
    assert few.loc[both, "text"].equals(many.loc[both, "text"])
    assert few.loc[both, "label"].equals(many.loc[both, "label"])


# The workflow.

MODEL = {"source": "hub", "revision": "main", "max_length": 64}


def configuration(**datasets: Any) -> dict[str, Any]:
    return {
        "results": "results",
        "seeds": [0],
        "datasets": datasets,
        "models": {
            "small": {"id": "tiny/qwen2", **MODEL},
            "large": {"id": "tiny/llama", "storage": "bfloat16", "pooling": "mean", **MODEL},
        },
        "pairs": [{"weak": "small", "strong": "large"}],
        "mixing": {"proportions": [0, 1], "repeats": 1},
        "evaluation": {"bootstrap": 100},
    }


THREE = {
    "boolq": {"title": "BoolQ", "source": "hub", "task": "boolq", "val": 20},
    "hellaswag": {"source": "hub", "task": "hellaswag", "pool": 80, "val": 20, "test": 40},
    "sciq": {"source": "hub", "task": "sciq", "pool": 100, "val": 20, "test": 100},
}


def workflow(folder: Path, env: dict[str, str], *targets: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(folder, *targets), capture_output=True, text=True, check=False,
                          cwd=folder, env=env)  # fmt: skip


@pytest.fixture(scope="module")
def finished(hub: HubServer, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of three datasets and two models of the hub that has run once."""
    folder = tmp_path_factory.mktemp("workflow") / "finished"
    folder.mkdir()
    write_config(folder, configuration(**THREE))
    done = workflow(folder, hub.environment(home))
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-5000:]
    assert "estimate:" not in output
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.mark.slow
def test_tables_come_from_the_hub(finished: Path, hub: HubServer) -> None:
    main = pd.read_csv(finished / "results/tables/main.csv")
    assert main["dataset"].tolist() == list(THREE)
    assert main[["floor", "w2s", "ceiling"]].notna().all().all()
    assert (finished / "results/figures/small--large/mixing.svg").is_file()
    names = sorted(path.name for path in (finished / "resources/tasks").iterdir())
    assert [name[: -len("-12345678.parquet")] for name in names] == ["boolq", "hellaswag", "sciq"]
    found = load(finished / "results/boolq/activations/large.safetensors").facts
    assert found["storage"] == "bfloat16"
    assert hub.repositories["models", "tiny/llama"].branches["main"] in json.dumps(found["model"])


@pytest.mark.slow
def test_a_second_run_does_nothing_and_asks_nobody(
    finished: Path, hub: HubServer, home: Path
) -> None:
    before = len(hub.requests)
    assert planned(finished) == {}
    assert foreign_files(finished) == []
    done = workflow(finished, hub.environment(home))
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr
    assert len(hub.requests) == before


@pytest.mark.slow
def test_nothing_that_is_written_names_a_folder_of_the_user(finished: Path, home: Path) -> None:
    for path in [*finished.rglob("*.parquet"), *finished.rglob("*.safetensors")]:
        found = load(path)
        told = json.dumps([dict(found.provenance), dict(found.facts)])
        assert str(finished) not in told
        assert str(home) not in told
        assert "/tmp" not in told


def change(folder: Path, name: str, **fields: Any) -> None:
    data = {**THREE, name: {**THREE[name], **fields}}
    write_config(folder, configuration(**data))


def of_rules(folder: Path, *rules: str) -> dict[str, int]:
    """Planned jobs of these rules."""
    return {rule: n for rule, n in planned(folder).items() if rule in rules}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"revision": "another"}, {"fetch_task": 1, "task_examples": 1}),
        ({"max_rows": 100}, {"fetch_task": 1, "task_examples": 1}),
        ({"val": 30}, {"task_examples": 1}),
        ({"grouped": False}, {"task_examples": 1}),
        ({"title": "Other"}, {}),
    ],
    ids=str,
)
def test_an_edit_of_a_dataset_fetches_again_only_what_it_must(
    fields: dict[str, Any], expected: dict[str, int], project: Path
) -> None:
    change(project, "hellaswag", **fields)
    assert of_rules(project, "fetch_task", "task_examples", "examples") == expected


@pytest.mark.slow
def test_another_wording_makes_the_texts_anew_and_fetches_nothing(
    project: Path, tmp_path: Path
) -> None:
    library = copy_library(tmp_path / "library")
    for name in ("task_formats.py", "hub.py"):
        with (library / "w2s/data" / name).open("a", encoding="utf-8") as module:
            module.write("\n\nADDED = 1\n")
    jobs = planned(project, repository=library, library=library)
    assert jobs["task_examples"] == 3
    assert "fetch_task" not in jobs


def fresh(project: Path) -> Path:
    """The project before its first run."""
    for name in ("results", "resources", ".snakemake"):
        shutil.rmtree(project / name)
    return project


@pytest.mark.slow
def test_without_a_network_the_cache_gives_the_same_examples(
    finished: Path, project: Path, hub: HubServer, home: Path
) -> None:
    before = len(hub.requests)
    done = workflow(fresh(project), hub.environment(home, HF_HUB_OFFLINE="1"), "texts")
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert len(hub.requests) == before
    for name in THREE:
        path = f"results/{name}/examples.parquet"
        assert (project / path).read_bytes() == (finished / path).read_bytes()


@pytest.mark.slow
def test_with_nothing_cached_a_task_fails_in_one_line_and_a_local_copy_goes_on(
    project: Path, hub: HubServer, tmp_path: Path
) -> None:
    for name, table in hub_rows.splits("boolq", TRAIN, TEST).items():
        (project / "boolq").mkdir(exist_ok=True)
        table.to_parquet(project / "boolq" / f"{name}.parquet")
    change(fresh(project), "boolq", local="boolq")
    done = workflow(project, hub.environment(tmp_path, HF_HUB_OFFLINE="1"), "texts")
    assert done.returncode == 1
    for name, repository in (("hellaswag", "Rowan/hellaswag"), ("sciq", "allenai/sciq")):
        (log,) = project.glob(f"results/logs/fetch_task/{name}-*.log")
        (line,) = log.read_text(encoding="utf-8").splitlines()
        assert line.startswith(f"w2s fetch_task: error: dataset {repository}: found no answer")
        assert not list(project.glob(f"resources/tasks/{name}-*.parquet"))
    assert "Traceback" not in done.stdout + done.stderr
    found = load(project / "results/boolq/examples.parquet")
    assert len(found) > 50
    (rows,) = project.glob("resources/tasks/boolq-*.parquet")
    assert load(rows).facts["commit"] == ""
    told = json.dumps(dict(found.provenance))
    assert str(project) not in told


OWN = """
from w2s.data.task import Task

def text(row, rng):
    return f"WORDING {{row['words']}}", int(row["good"])

TASKS = {{"mine": Task(summary="Is it good?", hub="me/mine", columns=("words", "good"),
                     label="good", format=text, test=("test",){more})}}
"""


def write_own(folder: Path, wording: str = "Text:", more: str = "") -> None:
    text = OWN.format(more=more).replace("WORDING", wording)
    (folder / "own" / "tasks.py").write_text(text, encoding="utf-8")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A project with a task of the user's own and its data on this machine, up to its examples."""
    folder = tmp_path / "own project"
    (folder / "own" / "data").mkdir(parents=True)
    for name, n in (("train", 60), ("test", 20)):
        rows = [json.dumps({"words": f"{name} number {i}", "good": i % 2, "more": 1})
                for i in range(n)]  # fmt: skip
        (folder / "own/data" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    write_own(folder)
    data = {"source": "hub", "task": "mine", "tasks_file": "own/tasks.py", "local": "own/data"}
    write_config(folder, configuration(texts=data))
    done = snakemake(folder, "texts")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def planned_texts(folder: Path) -> dict[str, int]:
    done = snakemake(folder, "--dry-run", "texts")
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return {rule: int(n) for rule, n in re.findall(r"^(\w*task\w*) +(\d+)$", output, flags=re.M)}


@pytest.mark.slow
def test_a_task_of_the_users_own_and_its_edits(own: Path) -> None:
    found = load(own / "results/texts/examples.parquet")
    assert all(text.startswith("Text: t") for text in found["text"])
    told = json.dumps([dict(found.provenance), dict(found.facts)])
    assert str(own) not in told
    assert "own/" not in told
    assert planned_texts(own) == {}
    write_own(own, wording="Words:")
    assert planned_texts(own) == {"task_examples": 1}
    done = snakemake(own, "texts")
    assert done.returncode == 0, done.stdout + done.stderr
    again = load(own / "results/texts/examples.parquet")
    assert all(text.startswith("Words: t") for text in again["text"])
    assert again["source_id"].tolist() == found["source_id"].tolist()
    write_own(own, wording="Words:", more=", group='words'")
    assert planned_texts(own) == {"task_examples": 1}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"task": "hellaswog"}, "datasets.hellaswag.task: found 'hellaswog', which is not a task; "
         "did you mean 'hellaswag'?"),
        ({"tasks_file": "none.py", "task": "mine"}, "none.py: found no file"),
        ({"max_rows": 1}, "datasets.hellaswag.max_rows: found 1"),
    ],
    ids=["task", "file", "rows"],
)  # fmt: skip
def test_a_mistake_stops_before_any_job(
    fields: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    change(tmp_path, "hellaswag", **fields)
    done = snakemake(tmp_path)
    assert done.returncode != 0
    assert expected in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "paper-smoke"])
def test_the_papers_experiment_can_be_planned_without_a_network(name: str, tmp_path: Path) -> None:
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
        "tables": 1, "figures": pairs, "selection_tables": 1, "selection_figures": pairs,
        "all": 1, "total": jobs["total"],
    }  # fmt: skip
    assert jobs["total"] == sum(jobs.values()) - jobs["total"]
    told = [line for line in done.stderr.splitlines() if line.startswith("estimate: ")]
    assert len(told) == 2 + extracted // datasets
    assert len(set(told)) == len(told)
    assert "estimate: " not in done.stdout
    assert [found.name for found in tmp_path.iterdir()] == [".snakemake"]


def test_the_papers_datasets_are_its_tasks_with_titles() -> None:
    for name in ("paper", "paper-smoke"):
        path = REPOSITORY / "config" / f"{name}.yaml"
        config = parse(yaml.safe_load(path.read_text(encoding="utf-8")))
        for key, data in config.datasets.items():
            assert data.source == "hub"
            assert data.task == key
            assert data.title
        expected = set(PAPER)
        assert (
            set(config.datasets) == expected if name == "paper" else expected > set(config.datasets)
        )
        for pair in config.pairs:
            for model in (pair.weak, pair.strong):
                assert config.models[model].estimate.tokens_per_second
                assert config.models[model].estimate.width
