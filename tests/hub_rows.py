"""Small datasets in the exact schemas of the 25 hub tasks, with labels that show in the words."""

import io
import random

import datasets
import pyarrow.parquet as pq
from datasets import ClassLabel
from tiny import BAD, GOOD, PLAIN

from w2s.data.task import PARQUET
from w2s.data.tasks import TASKS

LETTERS = "ABCD"
NOT_IN_PAPER = {"openbookqa", "sciq_with_support", *(key for key in TASKS if "ethics" in key)}
PAPER = set(TASKS) - NOT_IN_PAPER


def words(draw, good=None, n=6):
    """Plain words, most of them good or bad ones where it is said which."""
    kinds = PLAIN if good is None else (GOOD if good else BAD) * 2 + PLAIN
    return " ".join(draw.choice(kinds) for _ in range(n))


def passage(i):
    """A passage of plain words that four rows share."""
    return words(random.Random(f"{i // 4}"), n=12) + f" {i // 4}"


def options(draw, n):
    """Answers to choose from and the number of the right one, whose words are good."""
    right = draw.randrange(n)
    return [words(draw, k == right) for k in range(n)], right


def _multiple(draw, names, first=0):
    texts, right = options(draw, len(names))
    return dict(zip(names, texts, strict=True)) | {"label": right + first}


def _lettered(draw, n, **more):
    texts, right = options(draw, n)
    choices = {"text": texts, "label": list(LETTERS[:n])}
    return {"choices": choices, "answerKey": LETTERS[right], **more}


def _judged(draw, *fields, **more):
    """Fields whose last one tells the label."""
    label = draw.randrange(2)
    row = {field: words(draw) for field in fields[:-1]} | {fields[-1]: words(draw, label == 1)}
    return {**row, "label": label, **more}


def _dream(draw, i):
    texts, right = options(draw, 3)
    said = [f"M: {passage(i)}", f"W: {passage(i + 4)}"]
    return {"dialogue": said, "question": words(draw), "choice": texts, "answer": texts[right]}


def _boolq(draw, i):
    answer = bool(draw.randrange(2))
    return {"question": words(draw, answer), "passage": passage(i), "answer": answer}


def _sciq(draw, i):
    wrong = {f"distractor{k}": words(draw, False) for k in (1, 2, 3)}
    right = {"question": words(draw) + f" {i}", "correct_answer": words(draw, True)}
    return {**right, "support": passage(i), **wrong}


def _hh(draw, i):
    asked = f"\n\nHuman: {words(draw)}\n\nAssistant: "
    return {"chosen": asked + words(draw, True), "rejected": asked + words(draw, False)}


def _endings(draw, i):
    texts, right = options(draw, 4)
    return {"ctx": words(draw), "endings": texts, "label": str(right), "activity_label": "x"}


def _quail(draw, i):
    texts, right = options(draw, 4)
    asked = {"context": passage(i), "context_id": str(i // 4), "question": words(draw)}
    return {**asked, "answers": texts, "correct_answer_id": right}


def _cosmos(draw, i):
    row = _multiple(draw, [f"answer{k}" for k in range(4)])
    return row | {"context": passage(i), "question": words(draw), "id": str(i)}


def _siqa(draw, i):
    row = _multiple(draw, ["answerA", "answerB", "answerC"], first=1)
    return row | {"context": passage(i), "question": words(draw), "label": str(row["label"])}


def _virtue(draw, i):
    row = _judged(draw, "scenario")
    return row | {"scenario": f"{row['scenario']} [SEP] {draw.choice(GOOD)}"}


ROWS = {
    "amazon_polarity": lambda d, i: _judged(d, "title", "content"),
    "anli-r2": lambda d, i: _judged(d, "hypothesis") | {"premise": passage(i), "uid": str(i)},
    "anthropic_hh": _hh,
    "boolq": _boolq,
    "cola": lambda d, i: _judged(d, "sentence", idx=i),
    "cosmos_qa": _cosmos,
    "dream": _dream,
    "ethics-deontology": lambda d, i: _judged(d, "excuse", scenario=passage(i)),
    "ethics-justice": lambda d, i: _judged(d, "scenario"),
    "ethics-utilitarianism": lambda d, i: {
        "baseline": words(d, True), "less_pleasant": words(d, False)
    },
    "ethics-virtue": _virtue,
    "hellaswag": _endings,
    "mc_taco": lambda d, i: _judged(d, "question", "answer", sentence=passage(i)),
    "multirc": lambda d, i: _judged(d, "question", "answer", paragraph=passage(i)),
    "openbookqa": lambda d, i: _lettered(d, 4, question_stem=words(d)),
    "paws": lambda d, i: _judged(d, "sentence1", "sentence2", id=i),
    "piqa": lambda d, i: _multiple(d, ["sol1", "sol2"]) | {"goal": words(d)},
    "quail": _quail,
    "quartz": lambda d, i: _lettered(d, 2, question=words(d), para=passage(i)),
    "sciq": _sciq,
    "sciq_with_support": _sciq,
    "social_i_qa": _siqa,
    "sst2": lambda d, i: _judged(d, "sentence", idx=i),
    "twitter-sentiment": lambda d, i: _judged(d, "text"),
    "wic": lambda d, i: _judged(d, "sentence1", "sentence2", word=d.choice(PLAIN)),
}  # fmt: skip
CLASSES = {"cola": 2, "sst2": 2, "paws": 2, "wic": 2, "multirc": 2, "anli-r2": 3, "piqa": 2}


def splits(key, n_train, n_test):
    """The splits that a task reads, as tables with the hub's types."""
    task, found = TASKS[key], {}
    for names, n in ((task.train, n_train), (task.test, n_test)):
        for name in names:
            draw = random.Random(f"{key} {name} 0")
            rows = [ROWS[key](draw, i + (0 if n == n_train else n_train)) for i in range(n)]
            table = datasets.Dataset.from_list(rows)
            if key in CLASSES:
                kinds = [str(i) for i in range(CLASSES[key])]
                table = table.cast_column("label", ClassLabel(names=kinds))
            found[name] = table
    return found


def files(task, tables):
    """The files of the repository that hold the splits, and the lines of a card that names them."""
    folder = task.config or task.data_dir or ("default" if task.revision == PARQUET else "data")
    card = [f"- config_name: {task.config or 'default'}", "  data_files:"]
    found = {}
    for name, table in tables.items():
        buffer = io.BytesIO()
        pq.write_table(table.with_format("arrow")[:], buffer)
        found[f"{folder}/{name}-00000-of-00001.parquet"] = buffer.getvalue()
        card += [f"  - split: {name}", f"    path: {folder}/{name}-*"]
    return found, [] if task.data_dir else card


def serve(server, n_train, n_test):
    """Put every task's dataset on the server; tasks that share a repository share its files."""
    together = {}
    for key, task in TASKS.items():
        if key == "sciq_with_support":
            continue  # the dataset of sciq
        more = 1 + task.held_out // n_train  # what is held out is as large as on the hub
        found, card = files(task, splits(key, n_train * more, n_test))
        content, cards = together.setdefault((task.hub, task.revision), ({}, []))
        content.update(found)
        cards += card
    for (hub, revision), (content, cards) in together.items():
        if cards:
            text = "\n".join(["---", "configs:", *cards, "---", "# Made for a test"])
            content["README.md"] = text.encode()
        server.add_dataset(hub, content, branch=revision)
