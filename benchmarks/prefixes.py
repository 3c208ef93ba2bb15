"""Shared prefixes: texts that begin alike in packed rows, against plain batches, on a CPU.

Run `python benchmarks/prefixes.py` (about a minute). The model is a small Llama with random
weights, and so are the texts: time depends on their numbers of tokens only.
"""

import math
from functools import partial
from unittest.mock import patch

import numpy as np
import torch
from measure import alternate, write_table
from transformers import LlamaConfig, LlamaModel

from w2s.models import prefixes
from w2s.models.encoder import extract
from w2s.models.forward import Encoder

WIDTH, DEPTH, WORDS = 384, 4, 1000
BUDGET = 2048  # tokens of a forward pass
STRUCTURES = {  # name: passages, tokens of a passage, texts of each, their own tokens
    "22 texts of 300 + 30 tokens, as in MultiRC": (2, 300, 22, 30),
    "4 texts of 300 + 30 tokens": (6, 300, 4, 30),
    "2 texts of 150 + 20 tokens": (20, 150, 2, 20),
    "texts of 180 tokens, nothing in common": (20, 0, 1, 180),
}


def model():
    """A Llama with grouped keys and random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=6,
        num_key_value_heads=2,
    )
    return Encoder(LlamaModel(config).eval(), DEPTH, 0)


def texts(passages, shared, each, own):
    """Starts and tokens of the texts in random order."""
    draw = np.random.default_rng(0)
    found = []
    for _ in range(passages):
        passage = draw.integers(1, WORDS, shared)
        found += [np.concatenate([passage, draw.integers(1, WORDS, own)]) for _ in range(each)]
    found = [found[i] for i in draw.permutation(len(found))]
    return np.concatenate([[0], np.cumsum([len(t) for t in found])]), np.concatenate(found)


def plain(encoder, start, token):
    """Mean-pooled last hidden states from plain batches: no row saves enough."""
    with patch.object(prefixes, "MIN_SAVING", math.inf):
        return extract(encoder, start, token, pooling="mean", batch_tokens=BUDGET)[-1]


def shared(encoder, start, token):
    """The same with shared prefixes, the planning included."""
    plan = prefixes.plan(start, token, budget=BUDGET, width=WIDTH)
    if not plan.rows:
        return plain(encoder, start, token)
    result = np.empty((len(start) - 1, WIDTH), dtype=np.float32)
    options = {"layers": (-1,), "pooling": "mean", "budget": BUDGET}
    options["done"] = np.zeros(len(result), dtype=bool)
    for rows, pooled in prefixes.row_passes(encoder, start, token, plan.rows, **options):
        result[rows] = pooled[-1]
    if len(plan.plain):
        pieces = [token[start[i] : start[i + 1]] for i in plan.plain]
        starts = np.concatenate([[0], np.cumsum([len(p) for p in pieces])])
        result[plan.plain] = plain(encoder, starts, np.concatenate(pieces))
    return result


def main():
    encoder = model()
    rows = []
    for structure, sizes in STRUCTURES.items():
        start, token = texts(*sizes)
        predicted = prefixes.plan(start, token, budget=BUDGET, width=WIDTH).saving
        ways = {
            "plain batches": partial(plain, encoder, start, token),
            "shared prefixes": partial(shared, encoder, start, token),
        }
        seconds, results = alternate(ways, repeats=5)
        truth = results["plain batches"]
        for name, value in seconds.items():
            difference = np.abs(results[name] - truth).max() / np.abs(truth).max()
            rows.append(
                {
                    "structure": structure,
                    "way": name,
                    "seconds": f"{value:.2f}",
                    "ratio": f"{seconds['plain batches'] / value:.2f}",
                    "predicted ratio": "1" if name == "plain batches" else f"{predicted:.2f}",
                    "largest difference": f"{difference:.0e}",
                }
            )
    write_table(
        "prefixes",
        f"Shared prefixes: a random Llama of width {WIDTH} with {DEPTH} layers, float32",
        rows,
        notes=[
            f"Medians of 5 in one process, taking turns; at most {BUDGET} tokens a pass; planning "
            "is part of the time of shared prefixes.",
            "The largest difference is relative to the largest activation.",
        ],
    )


if __name__ == "__main__":
    main()
