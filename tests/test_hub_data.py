"""Rows of hub datasets: the real clients against a server on this machine, and local copies."""

import gzip
import io
import json
import subprocess
import sys

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from hub_server import EXPIRED, MEMBER, HubServer
from hypothesis import given, settings
from hypothesis import strategies as st

import w2s
from w2s.data.hub import load_rows
from w2s.data.hub_tables import splits_of
from w2s.data.task import Task
from w2s.errors import DataError
from w2s.models.source import Source
from w2s.models.tokenizer import tokenize

pytestmark = pytest.mark.xdist_group("hub data")  # its fixtures are made once
CONVERTED = "refs/convert/parquet"
SECRET = "hf_secretsecretsecret"

# Loads all jobs of standard input in one process; a traceback is a bug and fails the tests.
LOADER = """
import json, sys
from dataclasses import asdict
import datasets, numpy
from w2s.data.hub import load_rows
from w2s.data.task import Task
from w2s.errors import DataError

def load(job):
    task = Task(summary="test", label="yes", format=lambda row, rng: None, **{
        key: tuple(value) if isinstance(value, list) else value
        for key, value in job["task"].items()
    })
    if "plain" in job:
        table = datasets.load_dataset(task.hub, task.config, split=job["plain"],
                                      revision=job["revision"], data_dir=task.data_dir)
        return [json.dumps({column: row[column] for column in task.columns}, sort_keys=True,
                           ensure_ascii=False) for row in table]
    try:
        return asdict(load_rows(task, revision=job["revision"], copy=None, most=job["most"],
                                rng=numpy.random.default_rng(0)))
    except DataError as error:
        return {"error": str(error)}

print(json.dumps([load(job) for job in json.load(sys.stdin)]))
"""

GLUE = b"""---
dataset_info:
- config_name: cola
  features: &features
  - {name: sentence, dtype: string}
  - {name: label, dtype: {class_label: {names: {'0': 'no', '1': 'yes'}}}}
  - {name: endings, sequence: string}
  - {name: choices, sequence: [{name: text, dtype: string}, {name: label, dtype: string}]}
  - {name: answer, dtype: bool}
  splits:
  - {name: train, num_bytes: 2000, num_examples: 24}
  - {name: validation, num_bytes: 1000, num_examples: 12}
  - {name: test, num_bytes: 1000, num_examples: 12}
- config_name: ax
  features: *features
configs:
- config_name: ax
  data_files: [{split: test, path: ax/test-*}]
- config_name: cola
  data_files:
  - {split: train, path: cola/train-*}
  - {split: validation, path: cola/validation-*}
  - {split: test, path: cola/test-*}
---
# Several configurations, the first of which is not the one that is read
"""
TEXT = datasets.Value("string")


def table(seed=0, n=12):
    """Texts (not all ASCII), class labels, lists, a dict of lists and truth values."""
    columns = {
        "sentence": [f"naïve “text” {seed} {i}" for i in range(n)],
        "label": [i % 2 for i in range(n)],
        "endings": [[f"one {i}", f"two {i}"] for i in range(n)],
        "choices": [{"text": [f"a {i}", f"b {i}"], "label": ["A", "B"]} for i in range(n)],
        "answer": [i % 3 == 0 for i in range(n)],
    }
    features = {
        "sentence": TEXT,
        "label": datasets.ClassLabel(names=["no", "yes"]),
        "endings": datasets.List(TEXT),
        "choices": {"text": datasets.List(TEXT), "label": datasets.List(TEXT)},
        "answer": datasets.Value("bool"),
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


COLUMNS = ["sentence", "label", "endings", "choices", "answer"]


def parquet(rows):
    file = io.BytesIO()
    rows.to_parquet(file)
    return file.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def arrow(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def glue_files():
    return {
        "README.md": GLUE,
        ".gitattributes": b"*.parquet filter=lfs\n",
        "ax/test-00000-of-00001.parquet": parquet(table(9)),
        "cola/train-00000-of-00002.parquet": parquet(table(0)),
        "cola/train-00001-of-00002.parquet": parquet(table(1)),
        "cola/validation-00000-of-00001.parquet": parquet(table(2)),
        "cola/test-00000-of-00001.parquet": parquet(table(3)),
    }


def converted(train, test):
    return {"train/0000.parquet": parquet(table(train)), "test/0000.parquet": parquet(table(test))}


def below(folder, files):
    return {f"{folder}/{path}": data for path, data in files.items()}


@pytest.fixture(scope="module")
def hub():
    """A hub with a dataset for each case."""
    simple = converted(0, 1)
    with HubServer() as server:
        server.commits = {}

        def add(key, files, name="", **options):
            server.commits[key] = server.add_dataset(f"owner/{name or key}", files, **options)

        add("glue", glue_files())
        add("lines", {"train.jsonl": lines(table(0)), "validation.jsonl": lines(table(1))})
        add("zipped", {
            "good/train.jsonl.gz": gzip.compress(lines(table(0))),
            "bad/train.jsonl.gz": gzip.compress(lines(table(1))),
            "good/test.jsonl.gz": gzip.compress(lines(table(2))),
        })  # fmt: skip
        add("script", {"old.py": b"import datasets\n", "README.md": b"# Old\n"}, "old")
        add("old", below("default", simple), branch=CONVERTED)
        add("script of ethics", {"ethics.py": b"import datasets\n"}, "ethics")
        add("ethics", {**below("justice", simple), **below("virtue", converted(2, 3))},
            branch=CONVERTED)  # fmt: skip
        add("first", converted(4, 5), "two")
        add("two", converted(6, 7))
        add("gated", simple, gated=True)
        add("private", simple, private=True)
        add("damaged", {**simple, "train/0000.parquet": simple["train/0000.parquet"][:900]})
        add("mixed", {"train.jsonl": b'{"sentence": "a"}\n{"sentence": ["b"]}\n{"sent',
                      "test.jsonl": b'{"sentence": "a"}\n'})  # fmt: skip
        add("empty", {"README.md": b"# Nothing yet\n"})
        for name, column in (
            ("dates", pa.array([0, 1], pa.timestamp("s"))),
            ("scores", [0.5, float("nan")]),
        ):
            add(name, dict.fromkeys(["train.parquet", "test.parquet"], arrow(found=column)))
        yield server


def job(name, *, revision="main", **more):
    """What one load needs; keywords that are not the loader's are the task's."""
    own = {key: more.pop(key) for key in ("most", "plain") if key in more}
    task = {"hub": f"owner/{name}", "columns": COLUMNS, **more}
    return {"revision": revision, "most": 1000, "task": task, **own}


def process(environment, jobs):
    """Results of all jobs by name, loaded in one process, which says nothing but these."""
    done = subprocess.run([sys.executable, "-c", LOADER], input=json.dumps(list(jobs.values())),
                          capture_output=True, text=True, check=False, env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
    if not any("plain" in job for job in jobs.values()):
        assert done.stderr == ""
    return dict(zip(jobs, json.loads(done.stdout), strict=True))


GOOD = {
    "glue": job("glue", config="cola", test=["validation"]),
    "lines": job("lines", test=["validation"]),
    "zipped": job("zipped"),
    "old": job("old", revision=CONVERTED),
    "ethics": job("ethics", revision=CONVERTED, data_dir="virtue"),
    "two": job("two"),
    "joined": job("glue", config="cola", train=["train", "validation", "test"], test=[],
                  held_out=5, most=20),
}  # fmt: skip

BAD = {
    "missing": (job("absent"), "found no such repository on the hub, or a private one; check the "
                "name, or log in with `hf auth login`"),
    "private": (job("private"), "found no such repository on the hub, or a private one"),
    "gated": (job("gated"), "found a gated repository, expected access to it; accept the terms on "
              "its page of the hub and log in with `hf auth login`"),
    "revision": (job("two", revision="v9"), "found no revision 'v9', expected a branch, tag or"),
    "commit": (job("two", revision="0" * 40), f"found no revision '{'0' * 40}', expected"),
    "config": (job("glue", config="sst2"), "(sst2): found the configurations ax, cola, expected "
               "'sst2'"),
    "no config": (job("glue"), "found the configurations ax, cola, expected one to be chosen"),
    "config of none": (job("two", config="cola"), "found the configurations default, expected"),
    "data_dir": (job("ethics", revision=CONVERTED, data_dir="law"), "(law): found no data files"),
    "split": (job("two", test=["validation"]), "found the splits train, test, expected "
              "'validation'"),
    "column": (job("two", columns=["sentence", "title", "text"]), "split train: found the columns "
               "sentence, label, endings, choices, answer, expected also title, text"),
    "script": (job("old"), "found the loading script old.py, which `datasets` no longer runs, "
               "expected data files; use revision 'refs/convert/parquet'"),
    "damaged": (job("damaged"), "cannot be read (ArrowInvalid"),
    "mixed": (job("mixed", columns=["sentence"]), "train.jsonl, row 3: cannot be read as JSON ("),
    "empty": (job("empty"), "found no data files"),
    "dates": (job("dates", columns=["found"]), "row train/0: found what JSON cannot hold "
              "(Object of type datetime"),
    "scores": (job("scores", columns=["found"]), "row train/1: found what JSON cannot hold "
               "(Out of range float"),
    "held out": (job("two", test=[], held_out=12), "found 12 rows in train, expected more than the "
                 "12 that are held out"),
    "most": (job("two", most=0), "found at most 0 rows, expected 1 or more"),
    "name": (job("two", hub="owner/a..b"), "found a name that the hub does not allow"),
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home-of-user")


@pytest.fixture(scope="module")
def online(hub, home):
    """Everything that is asked of the hub, by a user whose token opens nothing."""
    jobs = {name: job for name, (job, _) in BAD.items()}
    jobs |= GOOD | {"first": job("two", revision=hub.commits["first"])}
    return process(hub.environment(home, HF_TOKEN=SECRET), jobs)


def rows_of(*tables):
    return [
        json.dumps(row, sort_keys=True, ensure_ascii=False) for table in tables for row in table
    ]


def test_all_rows_of_a_dataset_come_in_order_with_their_commit(hub, online, anonymous, subtests):
    for name, train, test in [
        ("glue", (0, 1), 2), ("lines", (0,), 1), ("zipped", (1, 0), 2), ("old", (0,), 1),
        ("ethics", (2,), 3), ("two", (6,), 7), ("first", (4,), 5),
    ]:  # fmt: skip
        with subtests.test(name):
            found = online[name]
            assert found["row"] == rows_of(*map(table, train), table(test))
            n = 12 * len(train)
            other = "validation" if name in ("glue", "lines") else "test"
            places = [f"train/{i}" for i in range(n)] + [f"{other}/{i}" for i in range(12)]
            assert found["source_id"] == places
            assert found["split"] == ["train"] * n + ["test"] * 12
            assert found["n_rows"] == {"train": n, other: 12}
            assert found["commit"] == hub.commits[name]
            if name != "first":  # and `datasets` loads the same from the hub
                plain = [row for split in ("train", other) for row in anonymous[name, split]]
                assert found["row"] == plain


def test_values_keep_their_types(online):
    row = json.loads(online["glue"]["row"][3])
    assert row == {
        "sentence": "naïve “text” 0 3",
        "label": 1,
        "endings": ["one 3", "two 3"],
        "choices": {"text": ["a 3", "b 3"], "label": ["A", "B"]},
        "answer": True,
    }
    assert type(row["label"]) is int
    assert type(row["answer"]) is bool
    assert "naïve “text”" in online["glue"]["row"][3]


def test_joined_splits_give_both_sides(online):
    found = online["joined"]
    assert found["split"].count("test") == 5
    assert len(set(found["source_id"])) == 25
    assert found["n_rows"] == {"train": 24, "validation": 12, "test": 12}
    rows = {"train": rows_of(table(0), table(1)), "validation": rows_of(table(2)),
            "test": rows_of(table(3))}  # fmt: skip
    for name, row in zip(found["source_id"], found["row"], strict=True):
        split, index = name.split("/")
        assert row == rows[split][int(index)]


def one_line(told, folder="/tmp"):
    """Check a message that must be one line without a path of the user."""
    assert len(told.splitlines()) == 1
    assert str(folder) not in told
    return told


def test_a_mistake_is_one_line_that_says_what_to_do(online, subtests):
    for name, (wrong, expected) in BAD.items():
        with subtests.test(name):
            message = one_line(online[name]["error"])
            assert expected in message
            assert message.startswith(f"dataset {wrong['task']['hub']}")


def test_no_secret_and_no_path_of_the_user_is_told(hub, online, home):
    assert SECRET in hub.authorization  # the client has used it
    told = json.dumps(online)
    assert "secret" not in told
    assert str(home) not in told
    assert "home-of-user" not in told
    assert "/tmp" not in told


@pytest.fixture(scope="module")
def anonymous(hub, tmp_path_factory):
    """What `datasets` loads itself, by name and split; and what is closed without a token."""
    jobs = {"gated": job("gated"), "private": job("private")}
    for name, own in GOOD.items():
        for split in ("train", *own["task"].get("test", ["test"])):
            jobs[name, split] = {**own, "plain": split}
    return process(hub.environment(tmp_path_factory.mktemp("anonymous")), jobs)


def test_a_gated_repository_opens_with_access_only(hub, anonymous, tmp_path):
    assert "found a gated repository" in anonymous["gated"]["error"]
    assert "found no such repository" in anonymous["private"]["error"]
    jobs = {"gated": job("gated"), "private": job("private")}
    member = process(hub.environment(tmp_path / "member", HF_TOKEN=MEMBER), jobs)
    assert member["gated"]["row"] == member["private"]["row"] == rows_of(table(0), table(1))
    old = process(hub.environment(tmp_path / "old", HF_TOKEN=EXPIRED), jobs)
    assert "found HTTP status 401 from the download" in old["gated"]["error"]
    assert "the token is not valid: log in with `hf auth login`" in old["gated"]["error"]


def test_offline_or_out_of_reach_gives_the_same_rows_of_the_same_commit(hub, online, home):
    before = len(hub.requests)
    jobs = GOOD | {"first": job("two", revision=hub.commits["first"]), "absent": job("absent"),
                   "other": job("ethics", revision=CONVERTED, data_dir="justice")}  # fmt: skip
    found = process(hub.environment(home, HF_HUB_OFFLINE="1"), jobs)
    assert len(hub.requests) == before
    for name in (*GOOD, "first"):
        assert found[name] == online[name]
    for name in ("absent", "other"):  # never asked for; only another folder of it is in the cache
        message = found[name]["error"]
        assert "found no answer of the hub (no network, offline mode, or a failure" in message
        assert "load it once on a machine with network, or give a copy as `local`" in message
    with HubServer() as gone:
        nowhere = gone.url
    jobs = {"two": GOOD["two"], "absent": job("absent")}
    found = process({**hub.environment(home), "HF_ENDPOINT": nowhere}, jobs)
    assert found["two"] == online["two"]
    assert "found no answer of the hub" in found["absent"]["error"]


def test_a_cache_without_a_list_of_its_files_is_read_only_if_it_is_known_to_be_whole(hub, tmp_path):
    """As versions of huggingface_hub before 2.4 leave it."""
    names = ("glue", "lines", "two")
    jobs = {name: GOOD[name] for name in names}
    environment = hub.environment(tmp_path)
    online = process(environment, jobs)
    trees = list(tmp_path.rglob("trees/*.json"))
    assert len(trees) == 3
    for path in trees:
        path.unlink()
    offline = {**environment, "HF_HUB_OFFLINE": "1"}
    found = process(offline, jobs)
    assert found["glue"] == online["glue"]  # README.md and the files' names say how many there are
    for name in ("lines", "two"):
        assert "without the list of those that belong to them" in found[name]["error"]
    (shard,) = tmp_path.rglob("cola/train-00001-of-00002.parquet")
    shard.unlink()
    assert "found 1 of 2 files train-*" in process(offline, {"": GOOD["glue"]})[""]["error"]
    assert process(environment, jobs) == online  # fetched again


def test_a_new_commit_is_noticed_and_an_old_one_is_not_fetched_again(hub, tmp_path):
    first = hub.add_dataset("owner/moving", converted(0, 1))
    assert process(hub.environment(tmp_path), {"": job("moving")})[""]["commit"] == first
    second = hub.add_dataset("owner/moving", converted(2, 3))
    before = len(hub.requests)
    jobs = {"old": job("moving", revision=first), "new": job("moving")}
    found = process(hub.environment(tmp_path), jobs)
    fetched = [request for request in hub.requests[before:] if request.startswith("GET /large/")]
    assert len(set(fetched)) == len(fetched) == 2
    assert (found["old"]["commit"], found["new"]["commit"]) == (first, second)
    assert found["old"]["row"] == rows_of(table(0), table(1))
    assert found["new"]["row"] == rows_of(table(2), table(3))


# local copies: in this process, without a network


def read(copy, most=1000, seed=0, **changes):
    values = {"summary": "test", "label": "yes", "format": lambda row, rng: None,
              "hub": "owner/name", "columns": tuple(COLUMNS), **changes}  # fmt: skip
    return load_rows(Task(**values), revision="main", copy=copy, most=most,
                     rng=np.random.default_rng(seed))  # fmt: skip


def refused(copy, **changes):
    """The message of a copy that cannot be read."""
    with pytest.raises(DataError) as error:
        read(copy, **changes)
    return one_line(str(error.value), copy.parent)


def write(folder, files):
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def save(folder, *seeds):
    datasets.disable_progress_bars()
    tables = dict(zip(("train", "test"), map(table, seeds), strict=True))
    datasets.DatasetDict(tables).save_to_disk(folder)
    return folder


ONE = {"test": (), "held_out": 1}  # of a copy with a train split alone


def test_local_copies_of_every_kind_give_the_rows_of_the_hub(online, tmp_path):
    files = glue_files()
    for folder, copy in {
        "clone": files,
        "one config": {name.removeprefix("cola/"): files[name] for name in files if "cola" in name},
        "folder of a config": {name: files[name] for name in files if name != "README.md"},
    }.items():
        found = read(write(tmp_path / folder, copy), config="cola", test=("validation",))
        assert list(found.row) == online["glue"]["row"]
        assert list(found.source_id) == online["glue"]["source_id"]
        assert found.commit == ""
    files = below("virtue", converted(2, 3)) | below("x", converted(0, 0))
    ethics = write(tmp_path / "ethics", files)
    for copy in (ethics, ethics / "virtue"):
        assert list(read(copy, data_dir="virtue").row) == online["ethics"]["row"]
    # tables that were saved to disk
    assert list(read(save(tmp_path / "two", 6, 7)).row) == online["two"]["row"]
    save(tmp_path / "configs" / "cola", 6, 7)
    save(tmp_path / "configs" / "rte", 8, 9)
    for copy in (tmp_path / "configs", tmp_path / "configs" / "cola"):
        assert list(read(copy, config="cola").row) == online["two"]["row"]
    # CSV and JSON Lines
    text = b"sentence,label\nfirst,1\nsecond,0\n"
    write(tmp_path / "csv", {"train.csv": text, "test.csv": text})
    found = read(tmp_path / "csv", columns=("sentence", "label"))
    rows = ['{"label": 1, "sentence": "first"}', '{"label": 0, "sentence": "second"}']
    assert list(found.row[:2]) == rows
    write(tmp_path / "json", {f"{name}.jsonl": lines(table(0)) for name in ("train", "test")})
    assert list(read(tmp_path / "json").row) == rows_of(table(0), table(0))


def values(folder, content, file, *columns):
    """Rows of a copy of one file, as Python objects."""
    content = content.encode() if isinstance(content, str) else content
    found = read(write(folder, {file: content}), columns=columns, **ONE)
    return sorted((json.loads(row) for row in found.row), key=lambda row: row["i"])


MIXED = [12, "0012", "1.50", "null", "word", 3.5, "true", None, True, 2**63 + 1, "2020-01-01"]


def test_mixed_columns_of_json_are_read_as_they_are_written(tmp_path, subtests):
    rows = [{"i": i, "t": value, "l": ["a", value]} for i, value in enumerate(MIXED)]
    for form, file, text in [
        ("lines", "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
        ("list", "train.json", json.dumps(rows)),
        ("indented", "train.json", json.dumps(rows, indent=1)),
    ]:
        with subtests.test(form):
            found = values(tmp_path / form, text, file, "i", "t", "l")
            assert found == rows
            assert [type(row["t"]) for row in found] == [type(value) for value in MIXED]


def test_a_key_that_a_row_lacks_is_missing_and_text_is_unicode(tmp_path):
    data = b'{"i": 0, "t": "007"}\n{"i": 1, "u": {"b": 1}}\n{"u": {"c": 2}, "i": 2}\n'
    for file, content in (("train.jsonl", data), ("train.jsonl.gz", gzip.compress(data))):
        assert values(tmp_path / file, content, file, "i", "t", "u") == [
            {"i": 0, "t": "007", "u": None}, {"i": 1, "t": None, "u": {"b": 1}},
            {"i": 2, "t": None, "u": {"c": 2}},
        ]  # fmt: skip
    with pytest.raises(DataError, match="row train/1: found text that is not Unicode"):
        values(tmp_path / "code", '{"t": "a"}\n{"t": "b\\ud83d"}\n', "train.jsonl", "t")


def test_columns_of_csv_are_numbers_only_where_nothing_is_lost(tmp_path, subtests):
    for words, expected in [
        (["1", "", "-20", str(2**53 + 1)], [1, None, -20, 2**53 + 1]),
        (["1", "007", "2", "3"], ["1", "007", "2", "3"]),
        (["1.5", "2", "", "0.1"], [1.5, 2, None, 0.1]),
        (["1.50", "2", "", "0.1"], ["1.50", "2", "", "0.1"]),
        (["True", "false", "", "TRUE"], [True, False, None, True]),
        (["NA", "null", "nan", ""], ["NA", "null", "nan", ""]),
        (["1", "true", "2", "3"], ["1", "true", "2", "3"]),
        (["2020-01-01", "inf", "1_0", "-0"], ["2020-01-01", "inf", "1_0", "-0"]),
        (["", "", "", ""], [None] * 4),
    ]:
        for file, sign in (("train.csv", ","), ("train.tsv", "\t")):
            with subtests.test(str(words), file=file):
                rows = [f"i{sign}t", *(f"{i}{sign}{word}" for i, word in enumerate(words))]
                found = values(tmp_path / file, "\n".join(rows), file, "i", "t")
                found = [row["t"] for row in found]
                assert found == expected
                assert list(map(type, found)) == list(map(type, expected))


TYPED = """---
dataset_info:
  features:
  - {name: i, dtype: int64}
  - {name: t, dtype: string}
---
"""


def test_a_readme_declares_the_types_of_csv(tmp_path):
    write(tmp_path / "copy", {"README.md": TYPED.encode(), "train.csv": b"i,t\n0,007\n1,NA\n,\n"})
    found = read(tmp_path / "copy", columns=("i", "t"), **ONE)
    expected = ['{"i": 0, "t": "007"}', '{"i": 1, "t": "NA"}', '{"i": null, "t": ""}']
    assert sorted(found.row) == expected
    write(tmp_path / "copy", {"train.csv": b"i,t\n0,1,\n1,2,\n"})
    told = refused(tmp_path / "copy", columns=("i", "t"), **ONE)
    assert "train.csv, row 1: found 3 fields, expected 2 as in" in told


def test_a_copy_is_read_as_it_is_now(tmp_path):
    copy = write(tmp_path / "here" / "glue", glue_files())
    task = {"config": "cola", "test": ("validation",)}
    assert list(read(copy, **task).row[24:]) == rows_of(table(2))
    write(copy, {"cola/validation-00000-of-00001.parquet": parquet(table(5))})
    assert list(read(copy, **task).row[24:]) == rows_of(table(5))
    other = write(tmp_path / "there" / "glue", glue_files())  # same name, same README.md
    assert list(read(other, **task).row[24:]) == rows_of(table(2))


def test_a_copy_that_lacks_a_file_is_noticed(tmp_path):
    copy = write(tmp_path / "copy", glue_files())
    (copy / "cola" / "train-00001-of-00002.parquet").unlink()
    task = {"config": "cola", "test": ("validation",)}
    assert "found 1 of 2 files train-*, expected also number 00001" in refused(copy, **task)
    (copy / "cola" / "train-00000-of-00002.parquet").rename(
        copy / "cola" / "train-00000-of-00001.parquet"
    )
    assert refused(copy, **task) == (
        "dataset owner/name (cola), split train: found 12 rows, expected 24 as `dataset_info` in "
        "README.md says; a file is missing or README.md is of other files: fetch all of it again, "
        "or correct README.md"
    )
    assert read(copy, **{**task, "train": ("test",)}).n_rows["test"] == 12
    (copy / "ax" / "test-00000-of-00001.parquet").unlink()
    assert "found no data files" in refused(copy, config="ax", train=("test",), **ONE)


def csv(*texts):
    return "".join(["sentence\n", *(f"{text}\n" for text in texts)]).encode()


PAIR = {"train.csv": csv("a", "b"), "test.csv": csv("c")}
LISTED = b"""---
configs:
- config_name: default
  data_files:
  - {split: train, path: train-test-split/a.csv}
  - {split: test, path: train-test-split/b.csv}
---
"""
ELSEWHERE = b"---\nconfigs:\n- config_name: default\n  data_dir: my-test\n---\n"


def test_names_of_folders_put_no_row_into_another_split(tmp_path, subtests):
    for i, files in enumerate([
        below("train-test-split", PAIR),
        below("run-test", PAIR),
        below("a[1]/test set", PAIR),
        {"train/x.csv": csv("a", "b"), "test/x.csv": csv("c")},
        {"Train.csv": csv("a", "b"), "x/v1.0-eval.csv": csv("c"), ".x/train.csv": csv("d")},
        {"data/train-00000-of-00002.csv": csv("a"), "data/train-00001-of-00002.csv": csv("b"),
         "data/test-00000-of-00001.csv": csv("c")},
        {"train-test-split/a.csv": csv("a", "b"), "train-test-split/b.csv": csv("c"),
         "README.md": LISTED},
        {**below("my-test", PAIR), "README.md": ELSEWHERE},
    ]):  # fmt: skip
        with subtests.test(",".join(files)):
            found = read(write(tmp_path / str(i), files), columns=("sentence",))
            assert list(found.source_id) == ["train/0", "train/1", "test/0"]
            assert [json.loads(row)["sentence"] for row in found.row] == ["a", "b", "c"]


def copy_of(files):
    return lambda folder: write(folder, files)


def test_a_copy_that_cannot_be_read_is_one_line(tmp_path, subtests):
    """A case makes the folder, and changes the task."""
    alone, words = {"columns": ("a",), **ONE}, {"columns": ("sentence",)}
    both = "which is named for test and train"
    for number, (make, changes, told) in enumerate([
        (lambda folder: None, {}, ": found no folder 'copy', expected the local copy"),
        (lambda folder: folder.mkdir(), {}, "found no data files in the local copy 'copy'"),
        (lambda folder: folder.mkdir(), {"config": "c"}, "found no data files in the local copy"),
        (lambda folder: table().save_to_disk(folder), {}, ": found one table, expected splits"),
        (copy_of(glue_files()), {"config": "sst2"}, "ax, cola, expected 'sst2'"),
        (copy_of({"name.py": b""}), {"config": "cola"}, "the loading script name.py"),
        (copy_of({"copy.py": b""}), {}, "found the loading script copy.py"),
        (copy_of(converted(0, 1)), {"test": ("dev",)}, "found the splits train, test"),
        (copy_of(converted(0, 1)), {"data_dir": "/"}, "cannot be read (ValueError)"),
        (copy_of({"README.md": b"---\na: [\n---\n"}), {}, "copy 'copy' cannot be"),
        # tables that cannot be read
        (copy_of({"train.csv": b"text,label\na,1,\nb,0,\n"}), alone,
         "name: train.csv, row 1: found 3 fields, expected 2"),
        (copy_of({"train.csv": b"a,a\n1,2\n"}), alone,
         "name: train.csv: found columns a, a, expected each once"),
        (copy_of({"train.jsonl": b'{"a": 1}\n[2]\n'}), alone,
         "name: train.jsonl, row 2: found [2], expected an object"),
        (copy_of({"data/train.json": b'[{"a": 1}, 2]'}), alone,
         "name: data/train.json, row 2: found no object"),
        (copy_of({"train-0.csv": b"a,b\n1,2\n", "train-1.csv": b"a,c\n1,2\n"}), alone,
         ": train-1.csv: found columns a, c, expected each once and those of train-0.csv: a, b"),
        # files that say two splits, or too little
        (copy_of({"train_test.csv": csv("a"), "test.csv": csv("b")}), words,
         f"name: found the file train_test.csv, {both}"),
        (copy_of({**PAIR, "train/test.csv": csv("c")}), words,
         f"name: found the file train/test.csv, {both}"),
        (copy_of({**PAIR, "run-test/x.csv": csv("c")}), words,
         "name: found the file run-test/x.csv, whose folder only names a split"),
        (copy_of({"data/train-00000-of-00002.csv": csv("a"), "test.csv": csv("b")}), words,
         "name: found 1 of 2 files train-*, expected also number 00001"),
    ]):  # fmt: skip
        with subtests.test(told, **changes):
            copy = tmp_path / str(number) / "copy"
            copy.parent.mkdir()
            make(copy)
            message = refused(copy, **changes)
            assert message.startswith("dataset owner/name")
            assert told in message
    for name in ("train/data-00000-of-00001.arrow", "test/dataset_info.json", "dataset_dict.json",
                 "train/state.json"):  # fmt: skip
        with subtests.test(name):
            copy = save(tmp_path / name.replace("/", "-"), 0, 1)
            content = (copy / name).read_bytes()
            (copy / name).write_bytes(content[: len(content) // 2])
            assert "cannot be read" in refused(copy)


def test_splits_of_one_folder_may_have_any_name_that_is_asked_for():
    files = ["validation_matched.csv", "validation_mismatched-00000-of-00001.csv", "train.csv",
             "notes.csv"]  # fmt: skip
    assert splits_of(files, ("train", "validation_matched", "validation_mismatched")) == {
        "train": ["train.csv"],
        "validation_matched": ["validation_matched.csv"],
        "validation_mismatched": ["validation_mismatched-00000-of-00001.csv"],
    }
    assert splits_of(["b.csv", "a.csv"], ("train",)) == {"train": ["a.csv", "b.csv"]}
    assert splits_of([], ("train",)) == {"train": []}


def test_settings_of_the_libraries_are_put_back(tmp_path):
    copy = save(tmp_path / "copy", 0, 1)
    level = datasets.utils.logging.get_verbosity()
    datasets.utils.logging.set_verbosity(datasets.utils.logging.DEBUG)
    datasets.enable_progress_bars()
    try:
        read(copy)
        with pytest.raises(DataError):
            read(tmp_path / "absent")
        assert datasets.utils.logging.get_verbosity() == datasets.utils.logging.DEBUG
        assert not datasets.are_progress_bars_disabled()
        datasets.disable_progress_bars()
        read(copy)
        assert datasets.are_progress_bars_disabled()
    finally:
        datasets.utils.logging.set_verbosity(level)
        datasets.enable_progress_bars()


# what is drawn


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return save(tmp_path_factory.mktemp("saved") / "copy", 0, 1)


def side(rows, name):
    return [i for i, s in zip(rows.source_id, rows.split, strict=True) if s == name]


def in_order(names):
    places = [(name.split("/")[0] == "test", int(name.split("/")[1])) for name in names]
    return places == sorted(set(places))


SEEDS = st.integers(0, 1000)


@settings(max_examples=25, deadline=None)
@given(most=st.integers(1, 14), seed=SEEDS)
def test_a_sample_has_at_most_so_many_rows_in_order_and_is_the_same_again(saved, most, seed):
    found = read(saved, most, seed)
    for name in ("train", "test"):
        names = side(found, name)
        assert len(names) == min(most, 12)
        assert in_order(names)
        assert {i.split("/")[0] for i in names} == {name}
    assert found == read(saved, most, seed)
    more = read(saved, most + 1, seed)
    assert set(found.source_id) <= set(more.source_id)
    rows = {"train": rows_of(table(0)), "test": rows_of(table(1))}
    for name, row in zip(found.source_id, found.row, strict=True):
        assert row == rows[name.split("/")[0]][int(name.split("/")[1])]


@settings(max_examples=25, deadline=None)
@given(most=st.integers(1, 30), seed=SEEDS, held_out=st.integers(1, 23))
def test_held_out_rows_do_not_depend_on_the_size_of_the_sample(saved, most, seed, held_out):
    both = {"train": ("train", "test"), "test": (), "held_out": held_out}
    whole, part = read(saved, 1000, seed, **both), read(saved, most, seed, **both)
    held = set(side(whole, "test"))
    assert len(held) == held_out
    assert len(side(whole, "train")) == 24 - held_out
    assert not held & set(side(whole, "train"))
    assert set(side(part, "test")) <= held
    assert len(side(part, "test")) == min(most, held_out)
    assert not held & set(side(part, "train"))
    assert len(side(part, "train")) == min(most, 24 - held_out)
    assert in_order(side(part, "train"))
    assert in_order(side(part, "test"))


def test_every_row_is_equally_likely(saved):
    counts = dict.fromkeys([f"train/{i}" for i in range(12)], 0)
    for seed in range(80):
        for name in side(read(saved, 3, seed), "train"):
            counts[name] += 1
    assert sum(counts.values()) == 240
    assert min(counts.values()) > 6  # 20 are expected, with a standard deviation below 4
    assert max(counts.values()) < 36


# models through the same server


@pytest.mark.slow
def test_a_model_of_the_hub_is_downloaded_and_used(hub, tmp_path):
    folder = tiny.write_model(tmp_path / "bert")
    hub.add_model("tiny/bert", folder)
    tiny.write_dataset(tmp_path / "texts.csv", n=60)
    data = {"source": "file", "path": "texts.csv", "val": 0.2, "test": 0.3}
    examples, tokens, vectors = (
        tmp_path / name for name in ("e.parquet", "t.safetensors", "v.safetensors")
    )

    def run(*arguments):
        command = [sys.executable, "-m", "w2s", *map(str, arguments)]
        environment = hub.environment(tmp_path / "home")
        done = subprocess.run(command, check=False, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    run("examples", "--source", tmp_path / "texts.csv", "--examples", examples,
        "--settings", json.dumps({"dataset": "texts", "data": data}))  # fmt: skip
    run("tokenize", "--examples", examples, "--model", "hub:tiny/bert@main", "--tokens", tokens)
    run("activations", "--tokens", tokens, "--model", "hub:tiny/bert@main",
        "--activations", vectors)  # fmt: skip
    found = w2s.load(tokens)
    texts = w2s.load(examples)["text"].tolist()
    start, token, _ = tokenize(texts, Source(str(folder)), max_length=64)
    np.testing.assert_array_equal(found["start"], start)
    np.testing.assert_array_equal(found["token"], token)
    assert w2s.load(vectors).facts["model"]["id"] == "tiny/bert"
    assert any("GET /large/" in request for request in hub.requests)
