"""Small datasets in the exact schemas of the 25 hub tasks, with labels that show in the words."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from typing import Any

import datasets
import pyarrow.parquet as pq
from datasets import ClassLabel, Features, List, Value
from hub_server import HubServer
from tiny import BAD, GOOD, PLAIN

from w2s.data.task import PARQUET, Task
from w2s.data.tasks import TASKS

Make = Callable[[random.Random, int], dict[str, Any]]
TEXT, NUMBER = Value("string"), Value("int64")
LETTERS = "ABCD"


def words(draw: random.Random, good: bool | None = None, n: int = 6) -> str:
    """Plain words, most of them good or bad ones where it is said which."""
    kinds = PLAIN if good is None else (GOOD if good else BAD) * 2 + PLAIN
    return " ".join(draw.choice(kinds) for _ in range(n))


def passage(draw: random.Random, i: int) -> str:
    """A passage of plain words that four rows share."""
    own = random.Random(f"{i // 4}")
    return words(own, n=12) + f" {i // 4}"


def options(draw: random.Random, n: int) -> tuple[list[str], int]:
    """Answers to choose from and the number of the right one, whose words are good."""
    right = draw.randrange(n)
    return [words(draw, k == right) for k in range(n)], right


def _multiple(draw: random.Random, i: int, n: int, names: list[str], **more: Any) -> Any:
    texts, right = options(draw, n)
    return dict(zip(names, texts, strict=True)) | {k: f(right, texts) for k, f in more.items()}


def _lettered(draw: random.Random, i: int, n: int, **more: Any) -> dict[str, Any]:
    texts, right = options(draw, n)
    choices = {"text": texts, "label": list(LETTERS[:n])}
    return {"choices": choices, "answerKey": LETTERS[right], **more}


def _judged(draw: random.Random, i: int, *fields: str, **more: Any) -> dict[str, Any]:
    """Fields whose last one tells the label."""
    label = draw.randrange(2)
    row = {field: words(draw) for field in fields[:-1]} | {fields[-1]: words(draw, label == 1)}
    return {**row, "label": label, **more}


def _dream(draw: random.Random, i: int) -> dict[str, Any]:
    texts, right = options(draw, 3)
    said = [f"M: {passage(draw, i)}", f"W: {passage(draw, i + 4)}"]
    return {"dialogue": said, "question": words(draw), "choice": texts, "answer": texts[right]}


def _boolq(draw: random.Random, i: int) -> dict[str, Any]:
    answer = bool(draw.randrange(2))
    return {"question": words(draw, answer), "passage": passage(draw, i), "answer": answer}


def _sciq(draw: random.Random, i: int) -> dict[str, Any]:
    wrong = {f"distractor{k}": words(draw, False) for k in (1, 2, 3)}
    return {
        "question": words(draw) + f" {i}",
        "correct_answer": words(draw, True),
        "support": passage(draw, i),
        **wrong,
    }


def _hh(draw: random.Random, i: int) -> dict[str, Any]:
    asked = f"\n\nHuman: {words(draw)}\n\nAssistant: "
    return {"chosen": asked + words(draw, True), "rejected": asked + words(draw, False)}


CHOICES = Features(text=List(TEXT), label=List(TEXT))
ROWS: dict[str, Make] = {
    "amazon_polarity": lambda d, i: _judged(d, i, "title", "content"),
    "anli-r2": lambda d, i: (
        _judged(d, i, "hypothesis") | {"premise": passage(d, i), "uid": str(i)}
    ),
    "anthropic_hh": _hh,
    "boolq": _boolq,
    "cola": lambda d, i: _judged(d, i, "sentence", idx=i),
    "cosmos_qa": lambda d, i: (
        _multiple(d, i, 4, [f"answer{k}" for k in range(4)], label=lambda right, _: right)
        | {"context": passage(d, i), "question": words(d), "id": str(i)}
    ),
    "dream": _dream,
    "ethics-deontology": lambda d, i: _judged(d, i, "excuse", scenario=passage(d, i)),
    "ethics-justice": lambda d, i: _judged(d, i, "scenario"),
    "ethics-utilitarianism": lambda d, i: {
        "baseline": words(d, True), "less_pleasant": words(d, False)
    },
    "ethics-virtue": lambda d, i: (
        row := _judged(d, i, "scenario")
    ) | {"scenario": f"{row['scenario']} [SEP] {d.choice(GOOD)}"},
    "hellaswag": lambda d, i: _endings(d, i),
    "mc_taco": lambda d, i: _judged(d, i, "question", "answer", sentence=passage(d, i)),
    "multirc": lambda d, i: _judged(d, i, "question", "answer", paragraph=passage(d, i)),
    "openbookqa": lambda d, i: _lettered(d, i, 4, question_stem=words(d)),
    "paws": lambda d, i: _judged(d, i, "sentence1", "sentence2", id=i),
    "piqa": lambda d, i: (
        _multiple(d, i, 2, ["sol1", "sol2"], label=lambda right, _: right) | {"goal": words(d)}
    ),
    "quail": lambda d, i: _quail(d, i),
    "quartz": lambda d, i: _lettered(d, i, 2, question=words(d), para=passage(d, i)),
    "sciq": _sciq,
    "sciq_with_support": _sciq,
    "social_i_qa": lambda d, i: (
        _multiple(d, i, 3, ["answerA", "answerB", "answerC"], label=lambda r, _: str(r + 1))
        | {"context": passage(d, i), "question": words(d)}
    ),
    "sst2": lambda d, i: _judged(d, i, "sentence", idx=i),
    "twitter-sentiment": lambda d, i: _judged(d, i, "text"),
    "wic": lambda d, i: _judged(d, i, "sentence1", "sentence2", word=d.choice(PLAIN)),
}  # fmt: skip


def _endings(draw: random.Random, i: int) -> dict[str, Any]:
    texts, right = options(draw, 4)
    return {"ctx": words(draw), "endings": texts, "label": str(right), "activity_label": "x"}


def _quail(draw: random.Random, i: int) -> dict[str, Any]:
    texts, right = options(draw, 4)
    return {
        "context": passage(draw, i), "context_id": str(i // 4), "question": words(draw),
        "answers": texts, "correct_answer_id": right,
    }  # fmt: skip


CLASSES = {"cola": 2, "sst2": 2, "paws": 2, "wic": 2, "multirc": 2, "anli-r2": 3, "piqa": 2}


def splits(key: str, n_train: int, n_test: int, seed: int = 0) -> dict[str, datasets.Dataset]:
    """The splits that a task reads, as tables with the hub's types."""
    task, found = TASKS[key], {}
    for names, n in ((task.train, n_train), (task.test, n_test)):
        for name in names:
            draw = random.Random(f"{key} {name} {seed}")
            rows = [ROWS[key](draw, i + (0 if n == n_train else n_train)) for i in range(n)]
            table = datasets.Dataset.from_list(rows)
            if key in CLASSES:
                kinds = [str(i) for i in range(CLASSES[key])]
                table = table.cast_column("label", ClassLabel(names=kinds))
            found[name] = table
    return found


def files(task: Task, tables: dict[str, datasets.Dataset]) -> dict[str, bytes]:
    """The files of the repository that hold the splits, with a card that names them."""
    folder = task.config or task.data_dir or ("default" if task.revision == PARQUET else "data")
    card = [f"- config_name: {task.config or 'default'}", "  data_files:"]
    found = {}
    for name, table in tables.items():
        buffer = io.BytesIO()
        pq.write_table(table.with_format("arrow")[:], buffer)
        found[f"{folder}/{name}-00000-of-00001.parquet"] = buffer.getvalue()
        card += [f"  - split: {name}", f"    path: {folder}/{name}-*"]
    text = "\n".join(["---", "configs:", *card, "---", "# Made for a test"])
    return found if task.data_dir else {**found, "README.md": text.encode()}


def serve(server: HubServer, n_train: int, n_test: int) -> Iterator[str]:
    """Put every task's dataset on the server; tasks that share a repository share its files."""
    together: dict[tuple[str, str], dict[str, bytes]] = {}
    cards: dict[tuple[str, str], list[bytes]] = {}
    for key, task in TASKS.items():
        if key == "sciq_with_support":
            continue  # the dataset of sciq
        more = 1 + task.held_out // n_train  # what is held out is as large as on the hub
        made = files(task, splits(key, n_train * more, n_test))
        where = (task.hub, task.revision)
        if "README.md" in made:
            cards.setdefault(where, []).append(made.pop("README.md"))
        together.setdefault(where, {}).update(made)
        yield key
    for (hub, revision), content in together.items():
        if (hub, revision) in cards:
            content["README.md"] = _joined(cards[hub, revision])
        server.add_dataset(hub, content, branch=revision)


def _joined(cards: list[bytes]) -> bytes:
    """One card for several configurations."""
    bodies = [card.decode().split("configs:\n")[1].split("\n---")[0] for card in cards]
    return ("---\nconfigs:\n" + "\n".join(bodies) + "\n---\n").encode()
