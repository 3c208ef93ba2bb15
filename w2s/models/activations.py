"""The stages that make token ids of every text of a dataset, and a vector per layer of those."""

from __future__ import annotations

import ctypes
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from w2s.checks import Array
from w2s.errors import ArtifactError, DataError
from w2s.files.artifacts import Artifact
from w2s.files.matrix import Rounded, Stacked, loss
from w2s.files.spool import Spool
from w2s.models.cards import own_card
from w2s.models.encoder import extract
from w2s.models.loader import load_encoder
from w2s.models.source import Source, describe, parse_source, tell_length, tell_pooling
from w2s.models.tokenizer import tokenize as tokenize_texts
from w2s.models.track import (
    ActivationsSettings,
    GatherActivationsSettings,
    JobRuntime,
    TokenizeSettings,
)
from w2s.progress import bar

FACTS = ("dataset", "model", "storage")  # that shards share
# of glibc's mallopt: memory stays with the process, and all threads take it from one place
ALLOCATOR = {-1: 2**30, -3: 2**30, -8: 1}  # trim threshold, mmap threshold, arenas
log = logging.getLogger(__name__)


def tokenize(examples: Artifact, model: str, *, settings: TokenizeSettings) -> dict[str, Artifact]:
    """Tokenise each text once, whatever the number of seeds."""
    name = examples.facts["dataset"]
    source = parse_source(model, trust_remote_code=settings.trust_remote_code)
    with bar(f"tokenize {name}", len(examples), "texts") as advance:
        start, token, cut = tokenize_texts(
            examples["text"],
            source,
            max_length=settings.max_length,
            truncation=settings.truncation,
            on_chunk=advance,
        )
    tell_length(source, np.diff(start))
    arrays = {"id": examples["id"], "start": start, "token": token}
    facts = {"dataset": name, "truncated": cut, "side": settings.truncation}
    return {"tokens": Artifact("tokens", arrays, facts)}


def activations(
    tokens: Artifact,
    model: str,
    *,
    settings: ActivationsSettings,
    runtime: JobRuntime,
    work: Path | None,
) -> dict[str, Artifact]:
    """Pooled hidden states of the configured layers, of all texts or of a shard of them.

    With a folder to work in they go to disk as they are computed, the returned arrays are
    `w2s.files.spool.RowFile`, and a job that was killed goes on where it stopped.
    """
    keep_memory()
    source = parse_source(model, trust_remote_code=settings.trust_remote_code)
    if settings.num_layers is None and settings.shard.startswith("1-of"):
        tell_pooling(source, settings.pooling)
    ids, start, token = _shard(tokens, settings.shard)
    facts = {"dataset": tokens.facts["dataset"], "model": describe(source)}
    with own_card(runtime.device, every=runtime.device_map is not None) as device:
        runtime = runtime.model_copy(update={"device": device})
        layers = _extract(source, start, token, facts, settings, runtime, work)
    lost = {name: _loss(name, values, settings.storage) for name, values in layers.items()}
    stored = {name: Rounded(values, settings.storage) for name, values in layers.items()}
    kept = layers if settings.storage == "float32" else stored
    facts = {**facts, "storage": settings.storage, "loss": lost}
    return {"activations": Artifact("activations", {"id": ids, **kept}, facts)}


def keep_memory() -> None:
    """Tell the C library to keep freed memory: every pass would fetch it again page by page."""
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; others do not have it
    if set_option is not None:
        for option, value in ALLOCATOR.items():
            set_option(option, value)


def shard_of(lengths: Array, number: int, count: int) -> tuple[int, int]:
    """The texts of shard `number`, 1 to `count`: neighbours, as they often share beginnings.

    Shards have like numbers of tokens, of `lengths` (n,), and a text each at least.

    Returns:
        First text and the one after the last.

    Raises:
        DataError: fewer texts than shards.
    """
    n = len(lengths)
    if count > n:
        raise DataError(f"shards: found {count} for {n} texts, expected one text each at least")
    ends = np.concatenate([[0], np.cumsum(lengths)])
    k = np.arange(count + 1)
    cuts = np.searchsorted(ends, ends[-1] * k / count)  # (count + 1,)
    cuts = np.maximum.accumulate(np.clip(cuts - k, 0, n - count)) + k  # a text in each
    return int(cuts[number - 1]), int(cuts[number])


def _shard(tokens: Artifact, shard: str) -> tuple[Array, Array, Array]:
    """Ids (n,) of the texts of a job, and their `start` and `token` as in the artifact."""
    number, count = map(int, shard.split("-of-"))
    if number > count:
        raise DataError(f"shard: found {shard}, expected a number up to {count}")
    start, token = tokens["start"], tokens["token"]
    first, end = shard_of(np.diff(start), number, count)
    own = start[first : end + 1]
    return tokens["id"][first:end], own - own[0], token[own[0] : own[-1]]


def _extract(
    source: Source,
    start: Array,
    token: Array,
    facts: dict[str, Any],
    settings: ActivationsSettings,
    runtime: JobRuntime,
    work: Path | None,
) -> dict[str, Any]:
    """Of each layer, by the name of its tensor, float32 (n, d) in memory or on disk."""
    options: Any = {"num_layers": settings.num_layers, "dtype": settings.dtype}
    encoder = load_encoder(source, device=runtime.device, device_map=runtime.device_map, **options)
    name, lengths = facts["dataset"], np.diff(start)
    done, spool = np.zeros(len(lengths), dtype=bool), None
    if work is not None:
        identity = json.dumps([facts, encoder.device.type], sort_keys=True)
        spool = Spool(work, len(lengths), settings.layers, identity=identity)
        done = spool.done
    if done.any():
        log.warning(
            "activations %s: continuing at text %s of %s",
            name, f"{np.count_nonzero(done):,}", f"{len(done):,}",
        )  # fmt: skip
    shard = "" if settings.shard == "1-of-1" else f", shard {settings.shard}"
    what = f"activations {name} ({encoder.n_layers} layers{shard})"
    with bar(what, int(lengths.sum()), "tokens", int(lengths[done].sum())) as advance:
        layers = extract(
            encoder,
            start,
            token,
            layers=settings.layers,
            pooling=settings.pooling,
            batch_tokens=runtime.batch_tokens,
            on_batch=lambda rows: advance(int(lengths[rows[~done[rows]]].sum())),
            sink=spool,
        )
    return {f"layer_{layer}": values for layer, values in layers.items()}


def _loss(name: str, values: Any, storage: str) -> float:
    """What storing a layer changes, relative to it; NaN where values are not finite already.

    Raises:
        DataError: values too large for the format.
    """
    if storage == "float32":
        return 0.0
    lost = loss(values, storage)
    if np.isnan(lost.error) and np.isfinite(lost.largest):
        most, instead = (65504, "bfloat16") if storage == "float16" else (3.38953e38, "float32")
        raise DataError(
            f"{name}: found values up to {lost.largest:.6g}, expected at most {most} to be stored "
            f"as {storage}; set `storage: {instead}`"
        )
    return float(f"{lost.error:.3g}")


def gather_activations(
    tokens: Artifact, shards: Sequence[Artifact], *, settings: GatherActivationsSettings
) -> dict[str, Artifact]:
    """All shards in the order of the tokens; rows go from file to file, a block at a time.

    Raises:
        ArtifactError: shards of different models, settings or layers, of others than the settings
            say, or texts that are lacking or too many.
    """
    place = {text: i for i, text in enumerate(tokens["id"].tolist())}
    shards = sorted(shards, key=lambda shard: place.get(int(shard["id"][0]), -1))
    for shard in shards:
        for fact in FACTS:
            if shard.facts[fact] != shards[0].facts[fact]:
                raise ArtifactError(
                    f"shards: found {fact} {shard.facts[fact]} and {shards[0].facts[fact]}, "
                    f"expected one"
                )
        made, code = _made(shard), shard.provenance.get("code")
        if made != _made(shards[0]):
            raise ArtifactError(
                f"shards: found settings {made} and {_made(shards[0])}, expected the same"
            )
        expected = settings.model_dump(mode="json", exclude={"code"})
        if settings.code and (code, made) != (settings.code, expected):
            raise ArtifactError(
                f"shards: found settings {made} of code {code}, "
                f"expected {expected} of code {settings.code}"
            )
        if set(shard.arrays) != set(shards[0].arrays):
            found = [", ".join(sorted(item.arrays)) for item in (shard, shards[0])]
            raise ArtifactError(f"shards: found {found[0]} and {found[1]}, expected the same")
    ids = np.concatenate([shard["id"] for shard in shards])
    if not np.array_equal(ids, tokens["id"]):
        raise ArtifactError(
            f"shards: found {len(ids)} texts that are not the dataset's {len(place)} in their "
            f"order, expected each once"
        )
    layers = [name for name in shards[0].arrays if name != "id"]
    arrays = {name: Stacked([shard[name] for shard in shards]) for name in layers}
    lost = {name: max(shard.facts["loss"][name] for shard in shards) for name in layers}
    facts = {**{fact: shards[0].facts[fact] for fact in FACTS}, "loss": lost}
    return {"activations": Artifact("activations", {"id": ids, **arrays}, facts)}


def _made(shard: Artifact) -> dict[str, Any]:
    """The settings a shard was made with, but for its number."""
    settings = shard.provenance.get("settings", {})
    return {name: value for name, value in settings.items() if name != "shard"}
