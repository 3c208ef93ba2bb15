"""Files with tasks of one's own, and local copies of datasets of the hub."""

import json

from fuzzing import mutate
from fuzzing.case import Case

FILE = '''"""Tasks of my own."""
from w2s.data.task import Task
from w2s.data.task_formats import yes_no
from w2s.data.task_formats import is_true

def form(row, rng):
    return "Question: " + row["question"], int(row["answer"])

TASKS = {
    "mine": Task(
        summary="Is the answer yes?",
        hub="me/mine",
        columns=("question", "passage", "answer"),
        label="yes",
        format=form,
        train=("train",),
        test=("validation",),
        group="passage",
    ),
}
'''
FIELDS = ("summary", "hub", "columns", "label", "format", "train", "test", "group")
MORE = (
    "x.jsonl", "train.csv", "train.parquet", "test-00000-of-00002.jsonl", "train.jsonl.gz",
    "dataset_info.json", "state.json",
)  # fmt: skip
PAGE = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: train.jsonl
---
"""
FORMS = (
    "row", "None", "'text', 1", "('text', 2)", "('', 1)", "(1, 1)", "('x', None)", "('x',)",
    "('x', 1, 2)", "('x', True)", "['x', 1]", "row['nothing'], 1", "1 / 0, 1", "('x', 'y')",
    "('\\ud800', 1)", "int('x'), 1", "('x', 1.5)", "(b'x', 1)", "rng.nothing",
    "('x', float('nan'))",
)  # fmt: skip


def tasks_file(shared, rng, folder):
    """A file of tasks, listed or used."""
    text = FILE.replace("from w2s.data.task_formats import is_true\n", "")
    way = mutate.pick(rng, ("field", "field", "form", "form", "text", "data"))
    content = text.encode()
    if way == "field":
        name, value = mutate.pick(rng, FIELDS), mutate.odd(rng)
        lines = [
            f"        {name}={_python(value)}," if line.strip().startswith(f"{name}=") else line
            for line in text.splitlines()
        ]
        content, told = "\n".join(lines).encode(), f"odd {name}"
    elif way == "form":
        form = mutate.pick(rng, FORMS)
        old = 'return "Question: " + row["question"], int(row["answer"])'
        content, told = text.replace(old, f"return {form}").encode(), f"format returns {form}"
    elif way == "text":
        text, told = mutate.text(text, rng)
        content = text.encode(errors="replace")
    else:
        content, told = mutate.data(content, rng)
    path = folder / "tasks.py"
    path.write_bytes(content)
    if way == "data" or rng.random() < 0.3:
        return Case(f"tasks.py: {told}", ["tasks", "--file", str(path)], folder)
    data = {"source": "hub", "task": "mine", "tasks_file": str(path), "pool": 10, "val": 4}
    out = folder / "out" / "examples.parquet"
    rows = rows_of_mine(shared)
    settings = json.dumps({"dataset": "m", "data": {**data, "test": 10}})
    line = ["task_examples", "--rows", str(rows), "--examples", str(out), "--settings", settings]
    return Case(f"tasks.py: {told}", line, folder, [out])


def _python(value):
    return repr(value).replace("nan", "float('nan')").replace("inf", "float('inf')")


def rows_of_mine(shared):
    """The fetched rows under the name of the task; made once."""
    from w2s.files.artifacts import Artifact, load, save

    path = shared.folder / "rows-of-mine.parquet"
    if not path.is_file():
        rows = load(shared.chain / "task-rows.parquet")
        facts = {**rows.facts, "task": "mine"}
        save(Artifact(rows.kind, rows.arrays, facts, rows.provenance), path)
    return path


def local_copy(shared, rng, folder):
    """A local copy of a dataset of the hub."""
    copy = folder / "boolq"
    copy.mkdir()
    names = ("train.jsonl", "validation.jsonl")
    for name in names:
        lines = (shared.inputs / "boolq" / name).read_text(encoding="utf-8").splitlines()[:12]
        (copy / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    path = copy / mutate.pick(rng, names)
    way = mutate.pick(rng, ("data", "data", "value", "value", "text", "names", "page"))
    content = path.read_bytes()
    if way == "value":
        rows = [json.loads(line) for line in content.splitlines()]
        tree, told = mutate.tree(rows, rng)
        content = "\n".join(json.dumps(row) for row in tree).encode()
    elif way == "text":
        text, told = mutate.text(content.decode(), rng)
        content = text.encode(errors="replace")
    elif way == "data":
        content, told = mutate.data(content, rng)
    elif way == "names":
        name = mutate.pick(rng, MORE)
        path, told = copy / name, f"also {name}"
    else:
        text, told = mutate.text(PAGE, rng)
        path, content = copy / "README.md", text.encode(errors="replace")
    path.write_bytes(content)
    settings = {**shared.chain.jobs["fetch_task"].settings, "local": str(copy), "max_rows": 10}
    out = folder / "out" / "rows.parquet"
    line = ["fetch_task", "--rows", str(out), "--settings", json.dumps(settings)]
    return Case(f"local copy, {path.name}: {told}", line, folder, [out])
