"""Stage `activations`: every text of a dataset through a model, once."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np

from w2s.artifacts import Artifact
from w2s.config_spine import RuntimeConfig
from w2s.models.encoder import extract, load_encoder
from w2s.models.source import describe, parse_source
from w2s.progress import bar
from w2s.settings import ActivationsSettings
from w2s.spool import Spool

log = logging.getLogger(__name__)


def activations(
    tokens: Artifact,
    model: str,
    *,
    settings: ActivationsSettings,
    runtime: RuntimeConfig,
    work: Path | None,
) -> dict[str, Artifact]:
    """Pooled hidden states of the configured layers.

    With a folder to work in they go to disk as they are computed, the returned arrays are
    `w2s.spool.RowFile`, and a job that was killed goes on where it stopped.
    """
    name, source = tokens.facts["dataset"], parse_source(model)
    encoder = load_encoder(
        source, num_layers=settings.num_layers, dtype=settings.dtype, device=runtime.device
    )
    facts = {"dataset": name, "model": describe(source)}
    lengths = np.diff(tokens["start"])
    done, spool = np.zeros(len(lengths), dtype=bool), None
    if work is not None:
        identity = json.dumps([facts, encoder.model.device.type], sort_keys=True)
        spool = Spool(work, len(lengths), settings.layers, identity=identity)
        done = spool.done
    if done.any():
        log.warning(
            "activations %s: continuing at text %s of %s",
            name, f"{np.count_nonzero(done):,}", f"{len(done):,}",
        )  # fmt: skip
    what = f"activations {name} ({encoder.n_layers} layers)"
    with bar(what, int(lengths.sum()), "tokens", int(lengths[done].sum())) as advance:
        layers = extract(
            encoder,
            tokens["start"],
            tokens["token"],
            layers=settings.layers,
            pooling=settings.pooling,
            batch_tokens=runtime.batch_tokens,
            on_batch=lambda rows: advance(int(lengths[rows[~done[rows]]].sum())),
            sink=spool,
        )
    arrays = {"id": tokens["id"]} | {f"layer_{k}": array for k, array in layers.items()}
    return {"activations": Artifact("activations", arrays, facts)}
