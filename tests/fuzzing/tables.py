"""Tables of texts: CSV, JSON lines and Parquet, and folders of the WRENCH benchmark."""

import csv
import datetime
import decimal
import io
import json
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing import mutate
from fuzzing.case import Case

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252", "utf-7", "cp037")
SPLITS = ("train", "train", "val", "test")


def table(shared, rng, folder):
    """A table of texts, read by the stage `examples`."""
    n = int(mutate.pick(rng, (24, 24, 24, 4, 2, 1, 0)))
    rows = [
        {"text": f"Film {i}: ünusual, “quoted” words", "label": i // 4 % 2, "group": f"d{i // 8}",
         "split": SPLITS[i % 4]} for i in range(n)
    ]  # fmt: skip
    ending = mutate.pick(rng, ("csv", "jsonl", "parquet"))
    write = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[ending]
    content, told = write(rows, rng)
    if rng.random() < 0.4:
        content, more = mutate.data(content, rng)
        told = f"{told}; {more}"
    path = folder / f"texts.{ending}"
    path.write_bytes(content)
    data = {"source": "file", "path": path.name, "val": 2, "test": 4}
    for name in ("group", "split"):
        if rng.random() < 0.3:
            data[name] = name
    if rng.random() < 0.1:
        odd = ("text", "label", "split", *mutate.WORDS)
        chosen = mutate.pick(rng, odd)
        data[mutate.pick(rng, ("text", "label", "group", "split"))] = chosen
    out = folder / "out" / "examples.parquet"
    settings = json.dumps({"dataset": "m", "data": data})
    line = ["examples", "--source", str(path), "--examples", str(out), "--settings", settings]
    return Case(f"{path.name}: {told}", line, folder, [out])


def _spoilt(rows, rng):
    """Change some values in place."""
    told = []
    for _ in range(int(rng.integers(3))):
        if rows:
            row = mutate.pick(rng, rows)
            name = mutate.pick(rng, ("text", "label", "group", "split"))
            row[name] = mutate.odd(rng)
            told.append(f"odd {name}")
    if rng.random() < 0.2:
        way = mutate.pick(rng, ("drop", "rename", "more"))
        name = mutate.pick(rng, ("text", "label", "split"))
        for row in rows if rng.random() < 0.5 else rows[:1]:
            if way == "drop":
                row.pop(name, None)
            elif way == "rename":
                row[mutate.misspelt(name, np.random.default_rng(0))] = row.pop(name, None)
            else:
                row["more"] = mutate.odd(rng)
        told.append(f"{way} {name}")
    return ", ".join(told) or "values as they were"


def _csv(rows, rng):
    told = _spoilt(rows, rng)
    file = io.StringIO()
    delimiter = mutate.pick(rng, (",", ",", ",", ";", "\t"))
    end = mutate.pick(rng, ("\n", "\n", "\r\n", "\r"))
    quoting = mutate.pick(rng, (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE))
    writer = csv.writer(
        file, delimiter=delimiter, lineterminator=end, quoting=quoting, escapechar="\\"
    )
    writer.writerow(list(rows[0]) if rows and rng.random() < 0.9 else ["text", "label"])
    for row in rows:
        values = list(row.values())
        if rng.random() < 0.01:
            values = mutate.pick(rng, (values[:-1], [*values, ""], [], [""], values * 2))
        with suppress(csv.Error):  # what cannot be written without quotes
            writer.writerow(values)
    encoding = mutate.pick(rng, ("utf-8",) * 6 + ENCODINGS)
    return file.getvalue().encode(encoding, errors="replace"), f"{told}, {encoding}"


def _jsonl(rows, rng):
    told = _spoilt(rows, rng)
    lines = list(rows)
    if lines and rng.random() < 0.2:
        lines[int(rng.integers(len(lines)))] = mutate.odd(rng)
        told += ", odd row"
    ascii_ = bool(rng.random() < 0.5)
    text = mutate.pick(rng, ("\n", "\r\n", "\n\n")).join(
        json.dumps(line, ensure_ascii=ascii_) for line in lines
    )
    if rng.random() < 0.2:
        text, more = mutate.text(text, rng)
        told += f", {more}"
    if rng.random() < 0.1:
        text = text.replace("Film", "\\ud83d", 1)
    encoding = mutate.pick(rng, ("utf-8",) * 6 + ENCODINGS)
    return text.encode(encoding, errors="replace"), f"{told}, {encoding}"


def _columns(n):
    """Columns of many types with n values."""
    k = range(n)
    return [
        pa.array([float(i % 2) for i in k]),
        pa.array([i % 2 for i in k], pa.uint8()),
        pa.array([bool(i % 2) for i in k]),
        pa.array([None] * n, pa.null()),
        pa.array([None] * n, pa.string()),
        pa.array([str(i % 2) for i in k]),
        pa.array([f"text {i}".encode() for i in k]),
        pa.array([b"\xff\xfe%d" % i for i in k]),
        pa.array([f"text {i}" for i in k]).dictionary_encode(),
        pa.array([f"text {i}" for i in k], pa.large_string()),
        pa.array([f"text {i}" for i in k], pa.string_view()),
        pa.array([[f"text {i}"] for i in k]),
        pa.array([{"text": f"text {i}"} for i in k], pa.struct([("text", pa.string())])),
        pa.array([[("a", i)] for i in k], pa.map_(pa.string(), pa.int64())),
        pa.array([decimal.Decimal(i % 2) for i in k], pa.decimal128(20, 2)),
        pa.array([datetime.datetime(2020, 1, 1 + i % 28) for i in k], pa.timestamp("ns", "UTC")),
        pa.array([2**62 + i for i in k], pa.timestamp("s")),
        pa.array([2**62 + i for i in k], pa.duration("s")),
        pa.array([10**6 * i for i in k], pa.date32()),
        pa.array([i for i in k], pa.time64("ns")),
        pa.array([float("nan")] * n, pa.float32()),
        pa.array([np.float16(i % 2) for i in k], pa.float16()),
        pa.array([1e300 * (i % 2) for i in k]),
    ]


def _parquet(rows, rng):
    columns = {
        name: pa.array([row[name] for row in rows]) for name in ("text", "label", "group", "split")
    }
    names, arrays = list(columns), list(columns.values())
    told = "columns as they were"
    for _ in range(int(rng.integers(3))):
        at = int(rng.integers(len(names)))
        way = mutate.pick(rng, ("type", "type", "type", "drop", "rename", "twice"))
        if way == "type":
            arrays[at] = mutate.pick(rng, _columns(len(rows)))
            told = f"{names[at]} as {arrays[at].type}"
        elif way == "drop" and len(names) > 1:
            del names[at], arrays[at]
            told = "a column less"
        elif way == "rename":
            names[at] = mutate.pick(rng, mutate.WORDS)
            told = "a column renamed"
        else:
            names.append(names[at])
            arrays.append(arrays[at])
            told = "a column twice"
    file = pa.BufferOutputStream()
    try:
        made = pa.Table.from_arrays(arrays, names=names)
        pq.write_table(made, file, compression=mutate.pick(rng, ("none", "snappy", "zstd")))
    except (pa.ArrowException, UnicodeEncodeError):  # a type or a name that Parquet lacks
        return b"PAR1", "four bytes"
    return file.getvalue().to_pybytes(), told


def wrench(shared, rng, folder):
    """A folder of votes, by the stages that read it."""
    holds = mutate.pick(rng, ("text", "features"))
    source = shared.folder / "votes" if holds == "text" else shared.inputs / "wrench"
    place = folder / "votes"
    place.mkdir()
    for part in ("train", "valid", "test"):
        (place / f"{part}.json").write_bytes((source / f"{part}.json").read_bytes())
    part = mutate.pick(rng, ("train", "valid", "test", "label"))
    path = place / f"{part}.json"
    text = path.read_text(encoding="utf-8") if part != "label" else '{"0": "bad", "1": "good"}'
    if rng.random() < 0.6:
        tree, told = mutate.tree(json.loads(text), rng)
        content = json.dumps(tree).encode()
    else:
        content, told = mutate.data(text.encode(), rng)
    path.write_bytes(content)
    if rng.random() < 0.05:
        path.unlink()
        told = "no file"
    out = folder / "out" / "file.parquet"
    data = {"source": "wrench", "path": "votes", "holds": holds}
    settings = json.dumps({"dataset": "w", "data": data})
    train = str(place / "train.json")
    lines = [["examples", "--source", train, "--examples", str(out), "--settings", settings]]
    if holds == "features":
        examples = str(shared.chain / "wrench-examples.parquet")
        for stage, name in (("wrench_votes", "label-matrix"), ("wrench_features", "activations")):
            written = str(out.with_suffix(".safetensors"))
            lines.append([stage, "--examples", examples, "--source", train, f"--{name}", written])
    line = mutate.pick(rng, lines)
    outputs = [out if line[0] == "examples" else out.with_suffix(".safetensors")]
    return Case(f"{line[0]}, {path.name}: {told}", line, folder, outputs)
