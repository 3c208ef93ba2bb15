"""All candidates of a test question: whole questions, and nothing else of the examples moves."""

import json
from collections import Counter
from random import Random

import numpy as np
import pytest
from hub_rows import ROWS

from w2s.data.candidates import with_candidates
from w2s.data.examples import task_examples
from w2s.data.files import text_id
from w2s.data.tasks import TASKS
from w2s.data.track import HubDataset, TaskExamplesSettings
from w2s.errors import DataError
from w2s.files.artifacts import Artifact, check
from w2s.overlap.metric_tables import metric_tables
from w2s.overlap.track import TablesSettings
from w2s.rng import stream

SIZES = {"cosmos_qa": 4, "sciq": 4, "dream": 3, "piqa": 2}


def task_rows(key, n=80):
    """Rows of both sides of a task, as `fetch_task` gives them."""
    names = [f"train/{i}" for i in range(n)] + [f"validation/{i}" for i in range(n)]
    made = [ROWS[key](Random(f"{key} {i}"), i) for i in range(2 * n)]
    lines = [json.dumps({name: row[name] for name in TASKS[key].columns}) for row in made]
    columns = {"source_id": names, "side": ["train"] * n + ["test"] * n, "row": lines}
    facts = dict.fromkeys(("hub", "config", "revision", "commit", "n_rows"), "")
    arrays = {name: np.array(values, dtype=object) for name, values in columns.items()}
    return Artifact("task_rows", arrays, {**facts, "task": key})


def examples(key, candidates):
    data = HubDataset(source="hub", task=key, candidates=candidates)
    found = task_examples(
        task_rows(key), settings=TaskExamplesSettings(dataset="asked", data=data)
    )["examples"]
    check(found, "examples")
    return found


@pytest.mark.parametrize("key", SIZES)
def test_questions_of_the_test_part_are_whole_and_the_rest_is_as_drawn(key):
    drawn, every = (examples(key, how) for how in ("drawn", "all"))
    further = np.array(["#" in name for name in every["source_id"]])
    assert {name: values[~further].tolist() for name, values in every.arrays.items()} == {
        name: values.tolist() for name, values in drawn.arrays.items()
    }
    assert set(every["part"][further]) == {"test"}
    test = every.where(every["part"] == "test")
    question = [name.partition("#")[0] for name in test["source_id"]]
    assert set(Counter(question).values()) == {SIZES[key]}
    positive = [name for name, label in zip(question, test["label"], strict=True) if label]
    assert len(positive) == len(set(positive)) == len(set(question))
    home = dict(zip(drawn["source_id"], drawn["group"], strict=True))
    assert [home[name] for name in question] == test["group"].tolist()
    assert every["id"].tolist() == [text_id(text) for text in every["text"]]


def test_a_question_that_is_asked_twice_stays_as_drawn():
    # each of the two rows shows another of the two answers: neither gets a further one
    row = {"goal": "Open", "sol1": "pull", "sol2": "push", "label": 0}
    texts = [text for text, _ in TASKS["piqa"].format.candidates(row)]
    columns = {
        "id": np.array([text_id(text) for text in texts]),
        "source_id": np.array(["test/0", "test/1"], dtype=object),
        "text": np.array(texts, dtype=object),
        "label": np.array([1, 0], dtype=np.int8),
        "group": np.array(["g", "g"], dtype=object),
        "part": np.array(["test", "test"], dtype=object),
    }
    lines = dict.fromkeys(("test/0", "test/1"), json.dumps(row))
    found = with_candidates(columns, lines, TASKS["piqa"], dataset="asked")
    assert found["source_id"].tolist() == ["test/0", "test/1"]


@pytest.mark.parametrize("key", sorted(ROWS))
def test_what_is_drawn_is_one_of_the_candidates(key):
    task = TASKS[key]
    if not hasattr(task.format, "candidates"):
        with pytest.raises(DataError, match="'asked', candidates: found a task without choices"):
            with_candidates({}, {}, task, dataset="asked")
        return
    seen = set()
    for i in range(40):
        row = ROWS[key](Random(f"{key} {i}"), i)
        every = task.format.candidates(row)
        assert [label for _, label in every].count(1) == 1
        made = task.format(row, stream(0, key, str(i)))
        assert made in every
        seen.add(made[1])
    assert seen == {0, 1}


def test_a_row_that_cannot_be_used_has_no_candidates():
    ask = TASKS["piqa"].format
    for row in (
        {"goal": "", "sol1": "a", "sol2": "b", "label": 0},
        {"goal": "g", "sol1": "a", "sol2": "a", "label": 0},
        {"goal": "g", "sol1": "", "sol2": "b", "label": 0},
        {"goal": "g", "sol1": "a", "sol2": "b", "label": -1},
    ):
        assert ask.candidates(row) == []
        assert ask(row, stream(0)) is None


def test_questions_are_judged_by_the_predictions_of_whole_questions():
    """From rows of the hub to the table: models that are right on every second question."""
    found = examples("dream", "all")
    test = found.where(found["part"] == "test")
    stems = np.array([name.partition("#")[0] for name in test["source_id"]], dtype=object)
    number = np.unique(stems, return_inverse=True)[1]
    job = {"dataset": "asked", "weak": "small", "strong": "large", "seed": 0}
    knows = np.where(number % 2 == 0, 0.3, -0.3) * (2.0 * test["label"] - 1)
    proba = np.stack([0.5 + 0.0 * knows, 0.5 + knows, test["label"]]).astype(np.float32)
    lacking = {"status": "ok", "reason": ""}
    weak = Artifact(
        "weak_labels",
        {"id": test["id"], "weak_proba": proba[0]},
        {"dataset": "asked", "seed": 0} | lacking,
    )
    runs = Artifact("runs", {
        "run": np.arange(2), "control": np.array(["ceiling", "w2s"], dtype=object),
        "reason": np.array(["", ""], dtype=object),
    }, job | lacking)  # fmt: skip
    made = Artifact(
        "predictions", {"id": test["id"], "run": np.arange(2), "proba": proba[[2, 1]]}, job
    )
    table = metric_tables([found], [weak], [runs], [made], settings=TablesSettings())["metrics"]
    shown = table.frame.query("metric == 'question'").set_index("model")["value"]
    questions = len(set(number))
    assert shown["floor"] == pytest.approx(1 / 3)  # all three answers share the highest P
    assert shown["w2s"] == pytest.approx(((questions + 1) // 2) / questions, abs=1e-6)
    assert shown["ceiling"] == 1
    drawn = examples("dream", "drawn")
    table = metric_tables(
        [drawn], *drawn_only(drawn, [weak], [runs], [made]), settings=TablesSettings()
    )
    assert table["metrics"].frame.query("metric == 'question'")["value"].isna().all()


def drawn_only(drawn, weak, runs, made):
    """The same files without the further candidates."""
    kept = np.isin(made[0]["id"], drawn["id"])
    arrays = {**made[0].arrays, "id": made[0]["id"][kept], "proba": made[0]["proba"][:, kept]}
    return (
        [item.where(kept) for item in weak],
        runs,
        [Artifact("predictions", arrays, made[0].facts)],
    )
