"""Artifacts: damaged files, files of another kind, and whole files with strange content."""

import json
import shutil
from pathlib import Path

import numpy as np
import yaml

from fuzzing import mutate
from fuzzing.case import Case
from fuzzing.configurations import own
from w2s.config import parse
from w2s.dag import jobs
from w2s.declare import KINDS
from w2s.files import artifacts
from w2s.files.artifacts import Artifact
from w2s.files.formats import TEXTS, WRITERS


def artifact(shared, rng, folder):
    """A damaged or strange artifact, by what reads it."""
    name = mutate.pick(rng, list(shared.chain.jobs))
    job = shared.chain.jobs[name]
    read = {
        option: Path(value[0] if isinstance(value, list) else value)
        for option, value in job.inputs.items()
    }
    read = {option: path for option, path in read.items() if path.parent == shared.chain.folder}
    if not read:
        return artifact(shared, rng, folder)
    option = mutate.pick(rng, list(read))
    path = folder / read[option].name
    shutil.copyfile(read[option], path)
    told = mutate.pick(rng, (_damage, _damage, _swap, _strange, _strange))(shared, rng, path)
    about = f"{name}, {option} ({path.name}): {told}"
    command = mutate.pick(rng, ("inspect", "verify", "stage", "stage"))
    if command != "stage":
        return Case(about, [command, str(path)], folder)
    old = job.inputs[option]
    new = [str(path), *map(str, old[1:])] if isinstance(old, list) else str(path)
    changed = type(job)(job.stage, job.settings, {**job.inputs, option: new}, job.outputs)
    outputs = job.elsewhere(folder / "out")
    return Case(about, changed.line(**outputs), folder, list(outputs.values()))


def _damage(shared, rng, path):
    content, told = mutate.data(path.read_bytes(), rng)
    path.write_bytes(content)
    return told


def _swap(shared, rng, path):
    """Another artifact of the same ending, or of another with the name of this."""
    others = sorted(shared.chain.folder.glob("*.*"))
    other = mutate.pick(rng, [other for other in others if other.suffix in WRITERS])
    shutil.copyfile(other, path)
    return f"is {other.name}"


def _strange(shared, rng, path):
    """A file with a right checksum and other metadata, facts, or provenance."""
    old = artifacts.load(path)
    meta = {
        "kind": old.kind, "format": artifacts.FORMAT, "facts": dict(old.facts),
        "provenance": dict(old.provenance),
    }  # fmt: skip
    part = mutate.pick(rng, ("facts", "provenance", "meta", "text"))
    if part == "meta":
        kept = meta["facts"]
        meta, told = mutate.tree({**meta, "facts": {}}, rng)
        if meta.get("facts") == {}:
            meta["facts"] = kept
    elif part == "provenance":
        tree, told = mutate.tree({"only": meta[part]}, rng)
        meta[part] = tree.get("only", {})
    elif part == "facts":  # other names: what each may hold is not declared
        name = mutate.pick(rng, [*meta[part], "more"])
        meta[part].pop(name, None)
        told = f"without {name}"
        if rng.random() < 0.5:
            meta[part] = mutate.odd(rng)
            told = "odd"
    facts, provenance = meta.get("facts"), meta.get("provenance")
    if isinstance(facts, dict) and isinstance(provenance, dict) and old.kind in KINDS:
        made = Artifact(str(meta.get("kind")), old.arrays, facts, provenance)
        try:
            meta["digest"] = artifacts.digest(made)
        except (TypeError, ValueError):  # keys of several types: no digest can be made
            meta["digest"] = ""
    else:
        meta["digest"] = mutate.pick(rng, ("", None, "0" * 64))
    text = json.dumps(meta)
    if part == "text":
        text, told = mutate.text(text, rng)
    WRITERS[path.suffix](path, old.arrays, text.encode(errors="replace").decode())
    return f"{part}, {told}"


def results(shared, rng, folder):
    """Results of an experiment with files of others among them, for `verify --config`."""
    config = own(shared)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    asked = [path for job in jobs(parse(config)) for path in job.files]
    made = sorted(shared.chain.folder.iterdir())
    told = []
    for _ in range(3):
        path = folder / mutate.pick(rng, [path for path in asked if path.suffix in TEXTS])
        path.parent.mkdir(parents=True, exist_ok=True)
        alike = [other for other in made if other.stem.split("-")[0] == path.stem]
        others = [other for other in made if other.suffix == path.suffix]
        shutil.copyfile(mutate.pick(rng, alike or others), path)
        ways = (_damage, None) if path.suffix == ".svg" else (_strange, _strange, _damage, None)
        way = mutate.pick(rng, ways)
        told.append(f"{path.name} {'as it was' if way is None else way(shared, rng, path)}")
    line = ["verify", "results", "--config", "config.yaml"]
    return Case("; ".join(told), line, folder, several=True)


def folder_of(shared, rng, folder):
    """A folder of artifacts, some of them damaged, for `verify`."""
    if rng.random() < 0.4:
        return results(shared, rng, folder)
    names = sorted(path for path in shared.chain.folder.iterdir() if path.suffix in WRITERS)
    told = []
    for path in rng.choice(np.array(names, dtype=object), size=3, replace=False):
        copied = folder / path.name
        shutil.copyfile(path, copied)
        way = mutate.pick(rng, (_damage, _swap, _strange, None))
        told.append("as it was" if way is None else way(shared, rng, copied))
    tree, _ = mutate.tree({"files": {"a": "0" * 64}, "package": "x"}, rng)
    (folder / "manifest.json").write_text(json.dumps(tree), encoding="utf-8")
    return Case("; ".join(told), ["verify", str(folder)], folder, several=True)
