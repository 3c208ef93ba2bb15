"""Stage `tokenize`: every text of a dataset as token ids."""

from __future__ import annotations

import numpy as np

from w2s.artifacts import Artifact
from w2s.models.sentence import tell_length
from w2s.models.source import parse_source
from w2s.models.tokenizer import tokenize as tokenize_texts
from w2s.progress import bar
from w2s.settings import TokenizeSettings


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
