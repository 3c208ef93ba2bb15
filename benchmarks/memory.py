"""Memory of the activations stage for few and for many texts: to disk as computed, or in memory.

Run `python benchmarks/memory.py` (two to three minutes; a gigabyte of temporary disk). Each row is
a process of its own with one thread, and the two ways run side by side. The model has random
weights and the texts random tokens: neither matters to memory.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from measure import peak_memory, write_table

HIDDEN, LAYERS, WORDS = 384, 2, 1000
LENGTHS = (8, 17)  # tokens of a text: 8 to 16, 12 in the mean
SIZES = (10_000, 200_000)
WAYS = ("to disk (the stage)", "in memory (extract, then save)")
MB = 1000**2


def write_inputs(folder, n):
    """A model of two layers, and the tokens of n texts."""
    import torch
    from transformers import BertConfig, BertModel

    from w2s.files.artifacts import Artifact, save

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=6,
        intermediate_size=64,  # small: time is not what is measured
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder / "model")
    draw = np.random.default_rng(0)
    start = np.concatenate([[0], np.cumsum(draw.integers(*LENGTHS, n))])
    token = draw.integers(0, WORDS, start[-1], dtype=np.int32)
    arrays = {"id": np.arange(n), "start": start, "token": token}
    save(
        Artifact("tokens", arrays, {"dataset": "random", "truncated": 0}), folder / "t.safetensors"
    )


def child(way, folder):
    """Do one row's work in this process and print what it took, as JSON."""
    from w2s.files.artifacts import Artifact, load, save
    from w2s.models.encoder import extract
    from w2s.models.loader import load_encoder
    from w2s.models.source import parse_source
    from w2s.run import run

    tokens, model, output = folder / "t.safetensors", folder / "model", folder / "a.safetensors"
    encoder = load_encoder(parse_source(str(model)), device="cpu")
    few = np.array([0, 12], dtype=np.int64)
    extract(encoder, few, np.arange(12))  # warms up: the libraries are loaded before the base
    base, begin = peak_memory(), time.process_time()
    if way == WAYS[0]:
        inputs = {"tokens": str(tokens), "model": str(model)}
        run("activations", inputs, {"activations": str(output)}, {})
    else:
        read = load(tokens)
        found = extract(encoder, read["start"], read["token"])
        arrays = {"id": read["id"], "layer_-1": found[-1]}
        save(
            Artifact(
                "activations",
                arrays,
                {"dataset": "random", "model": {}, "storage": "float32", "loss": {}},
            ),
            output,
        )
    took = {"seconds": time.process_time() - begin, "base": base, "peak": peak_memory()}
    sys.stdout.write(json.dumps(took | {"size": output.stat().st_size}))


def row(way, n):
    """One row of the table, from a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        write = f"import sys, memory, pathlib; memory.write_inputs(pathlib.Path(sys.argv[1]), {n})"
        here = Path(__file__).parent
        subprocess.run([sys.executable, "-c", write, name], cwd=here, check=True)
        command = [sys.executable, __file__, "--child", way, "--folder", name]
        alone = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
    took = json.loads(done.stdout)
    unit = 2**30 / MB  # peak_memory tells GiB
    return {
        "way": way,
        "texts": f"{n:,}",
        "activations, MB": f"{4 * HIDDEN * n / MB:.0f}",
        "peak memory, MB": f"{took['peak'] * unit:.0f}",
        "of it beside libraries and model, MB": f"{(took['peak'] - took['base']) * unit:.0f}",
        "CPU seconds": f"{took['seconds']:.1f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder)
        return
    with ThreadPoolExecutor(len(WAYS)) as pool:
        rows = [found for n in SIZES for found in pool.map(row, WAYS, [n] * len(WAYS))]
    write_table(
        "memory",
        f"Memory of extraction: a BERT of {LAYERS} layers and width {HIDDEN}, 12 tokens a text",
        rows,
        notes=[
            "Largest resident memory of a process for each row. Libraries and model are what the "
            "process held after its first text.",
            "What still grows with the texts is read whole: 4 bytes a token, and about 40 bytes a "
            "text for ids, offsets, lengths and their order.",
            "To disk includes the checksum of every row, a second copy on disk until the output is "
            "complete, and hashing the model. CPU seconds are of one run with one thread.",
        ],
    )


if __name__ == "__main__":
    main()
