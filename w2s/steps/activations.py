"""Stage `activations`: every text of a dataset through a model, once."""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.config import RuntimeConfig
from w2s.models.encoder import extract, load_encoder
from w2s.models.source import describe, parse_source
from w2s.progress import bar
from w2s.settings import ActivationsSettings


def activations(
    tokens: Artifact, model: str, *, settings: ActivationsSettings, runtime: RuntimeConfig
) -> dict[str, Artifact]:
    """Pooled hidden states of the configured layers."""
    name, source = tokens.facts["dataset"], parse_source(model)
    encoder = load_encoder(
        source, num_layers=settings.num_layers, dtype=settings.dtype, device=runtime.device
    )
    what = f"activations {name} ({encoder.n_layers} layers)"
    lengths = np.diff(tokens["start"])
    with bar(what, int(lengths.sum()), "tokens") as advance:
        layers = extract(
            encoder,
            tokens["start"],
            tokens["token"],
            layers=settings.layers,
            pooling=settings.pooling,
            batch_tokens=runtime.batch_tokens,
            on_batch=lambda rows: advance(int(lengths[rows].sum())),
        )
    arrays = {"id": tokens["id"]} | {f"layer_{k}": array for k, array in layers.items()}
    facts = {"dataset": name, "model": describe(source)}
    return {"activations": Artifact("activations", arrays, facts)}
