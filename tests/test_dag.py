"""What the Snakefile asks: every job's settings hold what it depends on, and nothing else."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import tiny

# MOVER: from w2s import settings
from w2s import dag
from w2s.config import Config, parse, parse_as
from w2s.declare import Plain
from w2s.errors import ConfigError
from w2s.run import _identity
from w2s.tracks import STAGES

MINILM = {"name": "minilm", "version": "0.1.0", "sha256": "a" * 64, "folder": "model"}
TABLES = {"tables", "metric_tables"} | {
    f"{track}_tables"
    for track in ("arms", "selection", "weak_supervision", "finetuning", "label_noise", "gain")
}
READERS = {"overlap", "strong", "select", "student", "arms", "label_noise", "transfer"}
PROBES = READERS - {"overlap"} | {"weak_labels", "corpora_labels"}
EXTRACTION = {"activations", "gather_activations"}
Job = tuple[str, tuple[tuple[str, str], ...]]


def example() -> dict[str, Any]:
    return {
        "results": "results",
        "seeds": [0, 1],
        "datasets": {
            "films": {"source": "file", "path": "films.csv", "title": "Films"},
            "tweets": {"source": "icwsm14", "part": "tweets"},
            "yes": {"source": "hub", "task": "boolq", "title": "BoolQ"},
            "again": {"source": "hub", "task": "boolq", "grouped": False, "pool": 100},
        },
        "models": {
            "one": {"source": "package", "package": MINILM, "num_layers": 1},
            "six": {"source": "package", "package": MINILM, "pooling": "mean", "layers": [3, -1]},
            "here": {"source": "local", "path": "models/here"},
            "there": {"source": "hub", "id": "a/b", "revision": "0123"},
        },
        "pairs": [{"weak": "one", "strong": "six"}, {"weak": "one", "strong": "here"}],
        "weak_supervision": {"datasets": ["films", "tweets"], "features": "six"},
        "synthetic": {"studies": ["first", "hard"]},
        "arms": {},
        "finetuning": {"datasets": ["films"]},
        "gain": {"datasets": ["films", "tweets"]},
        "label_noise": {"datasets": ["films"]},
        "selection": {
            "experiments": {
                "cut": {"sources": "partition", "dataset": "films"},
                "both": {
                    "sources": "corpora",
                    "datasets": ["films", "tweets"],
                    "targets": ["films"],
                },
            }
        },
    }


def jobs(config: Config) -> dict[Job, str]:
    """Settings of every job of the workflow."""
    assert config.synthetic is not None
    assert config.weak_supervision is not None
    pairs = [{"weak": pair.weak, "strong": pair.strong} for pair in config.pairs]
    used = {name for pair in pairs for name in pair.values()}
    per: dict[str, list[dict[str, str]]] = {
        "fetch": [{"resource": key} for key in dag.packages(config)],
        "examples": [{"dataset": n} for n, d in config.datasets.items() if d.source != "hub"],
        "fetch_task": [{"task": key} for key in dag.tasks(config)],
        "task_examples": [{"dataset": name} for name in dag.hub_datasets(config)],
        "tables": [{}],
        "metric_tables": [{}],
        "figures": pairs,
        "selection_tables": [{}],
        "synthetic": [{"study": name} for name in config.synthetic.studies],
        **{f"synthetic_{name}": [{}] for name in ("detection", "controls", "tables", "figures")},
        "selection_figures": pairs,
        "arms_tables": [{}],
        "arms_figures": pairs,
        "label_noise_tables": [{}],
        "label_noise_figures": pairs,
    }
    datasets = [*per["examples"], *per["task_examples"]]
    per["split"] = [{**d, "seed": str(s)} for d in datasets for s in config.seeds]
    per["tokenize"] = [{**d, "model": m} for d in datasets for m in sorted(used)]
    per["activations"] = per["gather_activations"] = per["tokenize"]
    per |= {
        stage: [{**split, **pair} for split, pair in itertools.product(per["split"], pairs)]
        for stage in ("weak_labels", "overlap", "strong", "evaluate")
    }
    per["arms"] = per["weak_labels"]
    per |= {
        stage: [
            {"experiment": name, "seed": str(seed), **pair}
            for name, seed, pair in itertools.product(experiments, config.seeds, pairs)
        ]
        for stage, experiments in (
            ("select", list(config.selection.experiments)),
            ("corpora_labels", [n for n, e in config.selection.experiments.items()
                                if e.sources == "corpora"]),
        )
    }  # fmt: skip
    labeled = config.weak_supervision
    per |= {
        "label_matrix": [{"dataset": name} for name in labeled.datasets],
        "wrench_votes": [],
        "wrench_features": [],
        "label_model": [
            {"dataset": d, "weak": w, "seed": str(s)}
            for d, w, s in itertools.product(labeled.datasets, labeled.label_models, config.seeds)
        ],
        "weak_supervision_tables": [{}],
        "weak_supervision_figures": [{}],
        "finetuning_tables": [{}],
        "finetuning_figures": [{}],
        "gain_tables": [{}],
        "gain_figures": [{}],
    }
    gained = [job for job in per["weak_labels"] if job["dataset"] in ("films", "tweets")]
    per["gain_predictors"] = gained
    per["transfer"] = [
        {"seed": str(s), **pair} for s, pair in itertools.product(config.seeds, pairs)
    ]
    tuned = [job for job in per["weak_labels"] if job["dataset"] == "films"]
    per["finetune_strong"] = per["label_noise"] = tuned
    per["finetune_weak"] = [
        {name: job[name] for name in ("dataset", "weak", "seed")} for job in tuned
    ]
    per["student"] = [
        {**job, "strong": strong} for job in per["label_model"] for strong in labeled.students
    ]
    assert set(per) == set(STAGES)
    return {
        (stage, tuple(sorted(job.items()))): dag.settings(config, stage, **job)
        for stage, found in per.items()
        for job in found
    }


def changed(path: str, value: Any) -> dict[str, Any]:
    data = copy.deepcopy(example())
    node: Any = data
    *above, last = path.split(".")
    for key in above:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    node[last] = value
    return data


def affected(path: str, value: Any) -> set[Job]:
    """Jobs of the example whose settings an edit changes; none may go away."""
    before, after = jobs(parse(example())), jobs(parse(changed(path, value)))
    assert set(before) <= set(after)
    return {job for job, text in before.items() if after[job] != text}


def stages(found: set[Job]) -> set[str]:
    return {stage for stage, _ in found}


def test_settings_are_sorted_json_that_the_stage_accepts() -> None:
    for (stage, _), text in jobs(parse(example())).items():
        content = json.loads(text)
        assert text == json.dumps(content, sort_keys=True, ensure_ascii=False)
        parsed = parse_as(STAGES[stage].settings, content)
        again = json.loads(parsed.model_dump_json(exclude_unset=True))
        assert json.dumps(again, sort_keys=True) == json.dumps(content, sort_keys=True), stage
        # an edit of a default is noticed only where the default is told
        unread = {"restarts"} if stage == "student" and content["strong"] == "probe" else set()
        assert set(content) == set(STAGES[stage].settings.model_fields) - unread


def test_settings_are_the_same_text_whatever_the_order_of_the_file() -> None:
    data = example()
    turned = {key: data[key] for key in reversed(data)}
    turned["models"] = {key: data["models"][key] for key in reversed(data["models"])}
    assert jobs(parse(turned)) == jobs(parse(data))


def test_title_of_a_dataset_changes_only_figures() -> None:
    found = affected("datasets.films.title", "Movies")
    tracks = {"weak_supervision_figures", "finetuning_figures", "gain_figures"}
    assert stages(found) == {"figures", "arms_figures", "label_noise_figures", *tracks}
    assert len(found) == 9


def test_title_of_a_model_changes_only_figures() -> None:
    found = stages(affected("models.six.title", "MiniLM"))
    assert found == {"figures", "selection_figures", "arms_figures", "label_noise_figures"}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("mixing.repeats", 7, {"strong", "student"}),
        ("mixing.controls", ["plain"], {"strong", "student"}),
        ("mixing.proportions", [0, 1], {"strong", "student"}),
        ("probe.l2", 0.1, PROBES),
        ("arms.budgets", [0.3], {"arms"}),
        ("arms.datasets", ["films"], {"arms_figures"}),
        ("finetuning.arms", [{"selector": "rp"}], {"finetune_strong"}),
        ("overlap.similarity", "dot", {"overlap", "select", "student"}),
        ("overlap.tau_hard", {"quantile": 0.2}, {"overlap", "select", "student"}),
        ("weak_supervision.lfs", ["afinn", "vader", "negation"], {"label_matrix"}),
        ("weak_supervision.lexicons", "mended", {"label_matrix"}),
        ("weak_supervision.restarts", 3, {"student"}),
        ("weak_supervision.proportions", [0, 1], {"student"}),
        ("selection.paths", {"rounds": 7}, {"select"}),
        ("selection.experiments.cut.counts", "rebalanced", {"select"}),
        ("selection.experiments.cut.title", "Cut", {"selection_figures"}),
        ("selection.experiments.both.targets", ["tweets"], {"corpora_labels", "select"}),
        ("synthetic.repetitions", 7, {"synthetic"}),
        ("synthetic.recipe", {"c": 2}, {"synthetic", "synthetic_controls"}),
        ("synthetic.detection_repetitions", 7, {"synthetic_detection"}),
        ("evaluation.bootstrap", 500, TABLES),
        ("evaluation.level", 0.9, {*TABLES, "synthetic_tables"}),
        ("finetuning.recipe", {"rank": 4}, {"finetune_weak", "finetune_strong"}),
        ("finetuning.losses", ["xent", "kl"], {"finetune_strong"}),
        ("finetuning.self_training", 2, {"finetune_strong"}),
        ("finetuning.auxiliary", {"radius": 0.1}, {"finetune_strong"}),
        ("label_noise.rates", [0.2], {"label_noise"}),
        ("label_noise.neighbors", 5, {"label_noise"}),
        ("datasets.films.test", 0.3, {"examples"}),
        ("datasets.films.text", "words", {"examples"}),
        ("datasets.tweets.min_rating", 1, {"examples"}),
        ("datasets.yes.title", "Yes or no", {"figures", "arms_figures"}),
        ("datasets.yes.val", 300, {"task_examples"}),
        ("datasets.yes.grouped", False, {"task_examples"}),
        ("datasets.yes.candidates", "all", {"task_examples"}),
        ("extraction", {"shards": 4}, set()),
        ("models.six.estimate", {"tokens_per_second": 7, "width": 9}, set()),
        ("models.six.device_map", "auto", set()),
        ("models.six.max_length", 9, {"tokenize"}),
        ("models.six.truncation", "left", {"tokenize"}),
        ("models.six.pooling", "first", {*EXTRACTION, "finetune_strong"}),
        ("models.six.dtype", "bfloat16", {*EXTRACTION, "finetune_strong"}),
        ("models.six.num_layers", 3, {*EXTRACTION, "finetune_strong"}),
        ("models.one.num_layers", 3, {*EXTRACTION, "finetune_weak"}),
        ("models.six.storage", "float16", EXTRACTION),
        ("pairs.0.strong_layer", 3, READERS - {"student"} | {"gain_predictors"}),
        ("gain.datasets", ["films", "tweets", "yes"], {"gain_figures"}),
        ("runtime.device", "cpu", set()),
        ("runtime.batch_tokens", 7, set()),
        ("runtime.training_tokens", 7, set()),
        ("results", "elsewhere", set()),
        ("resources", "elsewhere", set()),
        ("datasets.films.path", "moved/films.csv", set()),
        ("datasets.films.path", "other.csv", {"examples"}),
        ("models.here.path", "moved", set()),
        ("models.there.revision", "4567", set()),
        ("seeds", [0, 1, 2], set()),
        ("seeds", [5, 1, 0], set()),
        ("pairs", [*example()["pairs"], {"weak": "here", "strong": "six"}], set()),
        ("models.new", {"source": "local", "path": "x"}, set()),
        ("datasets.books", {"source": "file", "path": "books.csv"}, {"figures", "arms_figures"}),
    ],
)
def test_edit_changes_the_settings_of_the_stages_it_concerns(
    path: str, value: Any, expected: set[str]
) -> None:
    assert stages(affected(path, value)) == expected


@pytest.mark.parametrize(
    ("chosen", "sides"),
    [(None, ("left", "right")), ("right", ("right", "right")), ("left", ("left", "left"))],
)
def test_texts_of_tasks_are_cut_where_question_and_answer_are_not(
    chosen: str | None, sides: tuple[str, str]
) -> None:
    data = example()
    data["models"]["six"]["truncation"] = chosen
    found = [
        json.loads(dag.settings(parse(data), "tokenize", dataset=name, model="six"))["truncation"]
        for name in ("yes", "films")
    ]
    assert tuple(found) == sides


def test_edit_of_one_dataset_or_model_or_pair_concerns_no_other() -> None:
    assert affected("datasets.films.val", 50) == {("examples", (("dataset", "films"),))}
    model = affected("models.six.pooling", "last")
    assert {dict(job).get("model", dict(job).get("strong")) for _, job in model} == {"six"}
    pair = affected("pairs.0.strong_layer", 3)
    assert {dict(job)["strong"] for _, job in pair} == {"six"}


@pytest.mark.parametrize(("name", "value"), [("restarts", 3), ("proportions", [0, 0.5, 1])])
def test_restarts_and_proportions_of_weak_supervision_concern_perceptrons_only(
    name: str, value: Any
) -> None:
    found = affected(f"weak_supervision.{name}", value)
    assert {dict(job)["strong"] for _, job in found} == {"mlp"}
    labels = 2 * 3 * 2  # datasets, label models, seeds
    assert len(found) == labels
    assert affected("weak_supervision.restarts", 5) == set()  # the default


def test_proportions_of_the_mixing_experiment_leave_perceptrons_that_have_their_own() -> None:
    data = example()
    data["weak_supervision"]["proportions"] = [0, 1]
    other = copy.deepcopy(data)
    other["mixing"] = {"proportions": [0, 0.5]}
    before, after = jobs(parse(data)), jobs(parse(other))
    found = {job for job, text in before.items() if after[job] != text}
    assert {dict(job)["strong"] for stage, job in found if stage == "student"} == {"probe"}
    assert stages(found) == {"strong", "student"}


def test_another_cached_layer_changes_activations_and_who_reads_the_last() -> None:
    readers = READERS | {"gain_predictors"}
    assert stages(affected("models.six.layers", [-1, 3])) == {*EXTRACTION, *readers}
    assert stages(affected("models.six.layers", [0, 3, -1])) == EXTRACTION


def test_settings_of_a_pair_name_the_layer_that_is_read() -> None:
    data = example()
    data["models"]["one"]["layers"] = [0, 1]
    data["pairs"][0] |= {"weak_layer": 0}
    config = parse(data)
    job = {"dataset": "films", "weak": "one", "strong": "six", "seed": "1"}
    assert json.loads(dag.settings(config, "weak_labels", **job))["layer"] == 0
    assert json.loads(dag.settings(config, "overlap", **job))["layer"] == -1
    found = json.loads(dag.settings(config, "strong", **job))
    assert (found["weak_layer"], found["strong_layer"]) == (0, -1)


def test_packages_are_those_in_use_each_once() -> None:
    assert list(dag.packages(parse(example()))) == ["vaderSentiment-0.5", "minilm-0.1.0"]


def test_two_descriptions_of_a_package_are_refused_in_one_line() -> None:
    data = changed("models.six.package", {**MINILM, "sha256": "b" * 64})
    with pytest.raises(
        ConfigError, match=r"package minilm-0\.1\.0: found two descriptions"
    ) as caught:
        dag.packages(parse(data))
    assert "\n" not in str(caught.value)


def test_sources_of_datasets_and_models() -> None:
    config = parse(changed("resources", "downloads"))
    assert dag.dataset_source(config, "films") == "films.csv"
    assert dag.dataset_source(config, "tweets") == "downloads/vaderSentiment-0.5/manifest.json"
    assert dag.model_files(config, "six") == ["downloads/minilm-0.1.0/manifest.json"]
    assert dag.model_files(config, "there") == []
    references = {name: dag.model_reference(config, name) for name in config.models}
    assert references == {
        "one": "downloads/minilm-0.1.0",
        "six": "downloads/minilm-0.1.0",
        "here": "models/here",
        "there": "hub:a/b@0123",
    }


def test_files_of_a_local_model_are_its_weights_and_tokenizer(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "here", "llama")
    config = parse(changed("models.here.path", str(folder)))
    expected = ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"]
    identity = _identity(Plain.MODEL, str(folder))
    for name in NOT_READ:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("not read by anything")
        assert dag.model_files(config, "here") == [str(folder / name) for name in expected]
        assert _identity(Plain.MODEL, str(folder)) == identity
    for name in ("merges.txt", "spm.model", "mine.py", "model.safetensors.index.json"):
        (folder / name).write_text("read")
    assert len(dag.model_files(config, "here")) == len(expected) + 4
    assert _identity(Plain.MODEL, str(folder)) != identity


NOT_READ = [
    *("README.md", "trainer_state.json", "notes.txt", ".DS_Store", ".config.json", "LICENSE.txt"),
    *(".cache/config.json", "onnx/model.onnx", "generation_config.json", "results.json"),
]


def test_files_of_a_local_copy_are_its_tables(tmp_path: Path) -> None:
    read = ["README.md", "data/test.csv", "test/0.arrow", "train.jsonl.gz"]
    left = [
        *(".DS_Store", ".cache/huggingface/train.parquet.metadata", ".cache/a.parquet"),
        *("__pycache__/a.json", "notes.md", "LICENSE", "train.parquet.part", ".~train.csv"),
    ]
    for name in read + left:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    config = of_hub(a={"task": "boolq", "local": str(tmp_path)})
    found = dag.task_files(config, next(iter(dag.tasks(config))))
    assert found == [str(tmp_path / name) for name in read]


def test_local_model_that_is_not_there_is_refused_with_its_setting(tmp_path: Path) -> None:
    config = parse(changed("models.here.path", str(tmp_path)))
    with pytest.raises(ConfigError, match=r"^models\.here\.path: found no .*config\.json"):
        dag.model_files(config, "here")


def test_titles_are_in_the_order_of_the_file_and_default_to_the_name() -> None:
    assert dag.titles(parse(example())) == [
        ["films", "Films"],
        ["tweets", "tweets"],
        ["yes", "BoolQ"],
        ["again", "again"],
    ]


def of_hub(**datasets: dict[str, Any]) -> Config:
    """The example with these datasets of the hub alone."""
    data = example()
    data["datasets"] = {name: {"source": "hub", **fields} for name, fields in datasets.items()}
    for track in (
        "weak_supervision",
        "synthetic",
        "selection",
        "finetuning",
        "gain",
        "label_noise",
    ):
        del data[track]
    return parse(data)


def test_task_is_fetched_once_for_all_its_datasets() -> None:
    config = of_hub(a={"task": "boolq"}, b={"task": "boolq", "val": 7}, c={"task": "sst2"})
    boolq, sst2 = dag.tasks(config)
    assert (boolq[:-9], sst2[:-9]) == ("boolq", "sst2")
    assert dag.hub_datasets(config) == ["a", "b", "c"]
    assert dag.dataset_source(config, "b") == f"resources/tasks/{boolq}.parquet"
    assert dag.beside_source(config, "b") == []


@pytest.mark.parametrize(
    ("field", "value"), [("revision", "abc"), ("max_rows", 7), ("local", "copy")]
)
def test_what_is_read_of_the_hub_changes_the_fetch_and_not_the_texts(
    field: str, value: Any
) -> None:
    plain, other = of_hub(a={"task": "boolq"}), of_hub(a={"task": "boolq", field: value})
    names = [next(iter(dag.tasks(config))) for config in (plain, other)]
    assert names[0] != names[1]  # experiments with one `resources` do not overwrite each other
    fetched = [
        json.loads(dag.settings(c, "fetch_task", task=name))
        for c, name in zip((plain, other), names, strict=True)
    ]
    assert fetched[1] == {**fetched[0], field: value}
    made = [dag.settings(c, "task_examples", dataset="a") for c in (plain, other)]
    assert made[0] == made[1]


def test_a_task_read_in_two_ways_is_two_files() -> None:
    config = of_hub(a={"task": "boolq"}, b={"task": "boolq", "max_rows": 7})
    files = [dag.dataset_source(config, name) for name in ("a", "b")]
    assert files == [f"resources/tasks/{name}.parquet" for name in dag.tasks(config)]
    assert files[0] != files[1]


def test_the_tables_own_revision_may_be_given() -> None:
    config = of_hub(a={"task": "boolq"}, b={"task": "boolq", "revision": "main"})
    assert len(dag.tasks(config)) == 1


def test_unknown_task_is_refused_with_its_setting_and_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"^datasets\.a\.task: found 'boolk'.*did you mean 'boolq'\?$"
    ):
        dag.tasks(of_hub(a={"task": "boolk"}))


OWN = """
from w2s.data.task import Task
TASKS = {"mine": Task(summary="Is it good?", hub="me/mine", columns=("words",), label="good",
                      format=lambda row, rng: None)}
"""


def test_an_edit_of_the_users_tasks_changes_the_texts_and_not_the_fetch(tmp_path: Path) -> None:
    path = tmp_path / "own.py"

    def told(text: str, fields: dict[str, Any]) -> list[str]:
        path.write_text(text, encoding="utf-8")
        config = of_hub(a={"task": "mine", "tasks_file": str(path), **fields})
        return [dag.settings(config, "fetch_task", task=next(iter(dag.tasks(config)))),
                dag.settings(config, "task_examples", dataset="a")]  # fmt: skip

    first, edited = told(OWN, {}), told(OWN + "# a comment\n", {})
    assert first[0] == edited[0]
    assert first[1] != edited[1]
    other = told(OWN.replace('"words",', '"words", "more"'), {})
    assert other[0] != first[0]


def test_a_shard_is_in_the_settings_of_its_job_alone() -> None:
    config = parse(example())
    job = {"dataset": "films", "model": "six"}
    whole = json.loads(dag.settings(config, "activations", **job))
    shard = json.loads(dag.settings(config, "activations", **job, scatteritem="2-of-3"))
    assert shard == {**whole, "shard": "2-of-3"}
    assert parse_as(STAGES["activations"].settings, whole).shard == "1-of-1"
