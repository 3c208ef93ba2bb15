"""Folders of models."""

import json
import shutil

from fuzzing import mutate
from fuzzing.case import Case
from fuzzing.shared import FAMILIES
from w2s.files.artifacts import load, save

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
TEXTS = 12


def model(shared, rng, folder):
    """A folder of a model, by the stages that read it."""
    family = mutate.pick(rng, FAMILIES)
    place = folder / "model"
    shutil.copytree(shared.models / family, place)
    path = place / mutate.pick(rng, FILES)
    content = path.read_bytes()
    told = ""
    if path.suffix == ".json" and rng.random() < 0.6:
        tree, told = mutate.tree(json.loads(content), rng)
        content = json.dumps(tree).encode()
    elif path.suffix == ".safetensors" and rng.random() < 0.6:
        content, told = _header(content, rng)
    else:
        content, told = mutate.data(content, rng)
    path.write_bytes(content)
    if rng.random() < 0.05:
        path.unlink()
        told = "no file"
    about = f"{family}/{path.name}: {told}"
    out = folder / "out" / "file.safetensors"
    examples, tokens = few(shared)
    if path.name.startswith("tokenizer"):
        line = ["tokenize", "--examples", str(examples), "--tokens", str(out)]
        settings = {"max_length": 16}
    else:
        line = ["activations", "--tokens", str(tokens), "--activations", str(out)]
        line += ["--device", "cpu"]
        settings = {"pooling": "mean"}
    line += ["--model", str(place), "--settings", json.dumps(settings)]
    return Case(about, line, folder, [out])


def _header(content, rng):
    """Weights with a changed header."""
    end = 8 + int.from_bytes(content[:8], "little")
    tree, told = mutate.tree(json.loads(content[8:end]), rng)
    line = json.dumps(tree).encode()
    return len(line).to_bytes(8, "little") + line + content[end:], f"header, {told}"


def few(shared):
    """A few examples and tokens; made once."""
    from w2s.cli import main

    examples, tokens = shared.folder / "few.parquet", shared.folder / "few.safetensors"
    if not tokens.is_file():
        save(load(shared.chain / "examples.parquet").where(slice(0, TEXTS)), examples)
        line = ["tokenize", "--examples", str(examples), "--tokens", str(tokens)]
        main([*line, "--model", str(shared.models / "bert"), "--settings", '{"max_length": 16}'])
    return examples, tokens
