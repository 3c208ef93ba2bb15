"""Extraction on a GPU: models of the paper's shapes with random weights, against one text a pass.

Run `python benchmarks/gpu.py` on a machine with a card (16 GB of weights for the large one; about
ten minutes). The share is of the best bfloat16 matrix product measured on the same card in the same
run. `--tiny` runs every line on small shapes, also without a card; its numbers mean nothing.
"""

import argparse
import time

import numpy as np
import torch
from measure import write_table
from transformers import AutoModel, LlamaConfig, Qwen2Config

from w2s.models.encoder import extract
from w2s.models.forward import Encoder

LENGTHS = (30, 100, 400)
BUDGETS = (4096, 16384, 65536)
TOKENS = 2**18  # of a measurement: seconds for the large model
ALONE = 64  # texts of the baseline
SHAPES = {
    "Qwen1.5-0.5B": Qwen2Config(
        hidden_size=1024, intermediate_size=2816, num_hidden_layers=24, num_attention_heads=16,
        num_key_value_heads=16, vocab_size=151936,
    ),
    "Llama-3.1-8B": LlamaConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=128256,
    ),
}  # fmt: skip
TINY = {
    "tiny": LlamaConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=1000,
    )
}  # fmt: skip


def wait(device):
    """Until the card has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def best_matrix_rate(device, size):
    """The best rate of a bfloat16 product of square matrices, in FLOP/s."""
    a = torch.randn(size, size, device=device, dtype=torch.bfloat16)
    seconds = []
    for _ in range(20):
        wait(device)
        begin = time.perf_counter()
        a @ a
        wait(device)
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds)


def random_texts(config, length, tokens):
    """Texts of about that many tokens: half to one and a half times."""
    draw = np.random.default_rng(0)
    lengths = draw.integers(length // 2, length + length // 2 + 1, max(tokens // length, 8))
    start = np.concatenate([[0], np.cumsum(lengths)])
    return start, draw.integers(0, config.vocab_size, start[-1], dtype=np.int32)


def work(config, start):
    """Floating-point operations of all texts: two a weight and token, and attention."""
    d, kv = config.hidden_size, config.num_key_value_heads / config.num_attention_heads
    layer = d * d * (2 + 2 * kv) + 3 * d * config.intermediate_size
    lengths = np.diff(start).astype(np.float64)
    pairs = 2 * 2 * d * np.square(lengths).sum() / 2  # causal: half of all pairs
    return config.num_hidden_layers * (2 * layer * lengths.sum() + pairs)


def measured(encoder, start, token, budget):
    """Seconds of an extraction after one that is not measured."""
    few = start[: min(len(start), 33)]
    extract(encoder, few, token[: few[-1]], batch_tokens=budget)
    wait(encoder.model.device)
    begin = time.perf_counter()
    found = extract(encoder, start, token, batch_tokens=budget)
    wait(encoder.model.device)
    assert np.isfinite(found[-1]).all()
    return time.perf_counter() - begin


def rows_of(name, config, device, options):
    """The rows of a model."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModel.from_config(config, dtype=torch.bfloat16).eval()
    encoder = Encoder(model, config.num_hidden_layers, 0)
    peak = best_matrix_rate(device, options.matrix)
    for length in LENGTHS:
        start, token = random_texts(config, length, options.tokens)
        first = start[: ALONE + 1]
        alone = first[-1] / measured(encoder, first, token[: first[-1]], 1)
        for budget in BUDGETS:
            seconds = measured(encoder, start, token, budget)
            rate = start[-1] / seconds
            yield {
                "model": name,
                "tokens a text": str(length),
                "tokens a pass": f"{budget:,}",
                "tokens/s": f"{rate:,.0f}",
                "one text a pass": f"{alone:,.0f}",
                "ratio": f"{rate / alone:.1f}",
                "share of the matrix rate": f"{work(config, start) / seconds / peak:.2f}",
            }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small shapes, nothing is written")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not options.tiny:
        raise SystemExit("found no GPU, expected one; --tiny runs without")
    options.tokens, options.matrix = (2**12, 512) if options.tiny else (TOKENS, 8192)
    shapes = TINY if options.tiny else SHAPES
    rows = [
        row for name, config in shapes.items() for row in rows_of(name, config, device, options)
    ]
    if options.tiny:
        print(*rows, sep="\n")
        return
    write_table(
        "gpu",
        f"Extraction in bfloat16 on {torch.cuda.get_device_name()}, random weights",
        rows,
        notes=["One text a pass: the same code with a budget of one token, on 64 texts."],
    )


if __name__ == "__main__":
    main()
