"""Stage `tokenize`: every text of a dataset as token ids."""

from __future__ import annotations

from w2s.artifacts import Artifact
from w2s.models.source import parse_source
from w2s.models.tokenizer import tokenize as tokenize_texts
from w2s.progress import bar
from w2s.settings import TokenizeSettings


def tokenize(examples: Artifact, model: str, *, settings: TokenizeSettings) -> dict[str, Artifact]:
    """Tokenise each text once, whatever the number of seeds."""
    name = examples.facts["dataset"]
    with bar(f"tokenize {name}", len(examples), "texts") as advance:
        start, token, cut = tokenize_texts(
            examples["text"],
            parse_source(model, trust_remote_code=settings.trust_remote_code),
            max_length=settings.max_length,
            truncation=settings.truncation,
            on_chunk=advance,
        )
    arrays = {"id": examples["id"], "start": start, "token": token}
    return {"tokens": Artifact("tokens", arrays, {"dataset": name, "truncated": cut})}
