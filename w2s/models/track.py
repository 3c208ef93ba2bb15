"""Models: what the user writes of them, what tokens and activations hold, and their stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from w2s.data.track import EXAMPLES, PackageFile, holds_features
from w2s.declare import DATASET, ID, Array, InputPath, Jobs, Kind, Many, Plain, Stage, Strict, each

Pooling = Literal["last", "mean", "first"]
Format = Literal["float32", "bfloat16", "float16"]


class ModelEstimate(Strict):
    """What a dry run reckons with until it is measured; no result depends on it."""

    tokens_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Tokens of a forward pass in a second, on one GPU of yours."
    )
    width: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Numbers in a vector; a local model's own config.json tells it."
    )
    gigabytes: Annotated[float, Field(ge=0)] | None = Field(
        None, description="Size of the download."
    )


class ModelBase(Strict):
    """Settings every model has, whatever its source."""

    title: str = Field("", description="Name in figures; the key if empty.")
    pooling: Pooling = Field(
        "last", description="Which tokens make a text's activation: last, mean of all, or first."
    )
    num_layers: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Use only this many of the model's first layers; all if not given."
    )
    layers: Annotated[tuple[int, ...], Field(min_length=1)] = Field(
        (-1,),
        description="Hidden layers to cache: 0 is the embedding, -1 the last. One tensor each.",
    )
    max_length: Annotated[int, Field(ge=1)] = Field(
        512, description="Longest text in tokens; longer ones are cut and counted."
    )
    truncation: Literal["right", "left"] | None = Field(
        None,
        description="Side that is cut. If not given, texts of tasks of the hub are cut on the left "
        "(they end in question and answer), others on the right.",
    )
    dtype: Format = Field(
        "float32", description="Number format of the forward pass; vectors leave it as float32."
    )
    storage: Format = Field(
        "float32",
        description="Number format of the vectors on disk: the others take half the room; the "
        "artifact says what is lost.",
    )
    device_map: Literal["auto"] | None = Field(
        None,
        description="auto spreads a model that is larger than one GPU over all of them, and over "
        "memory and disk if need be (needs the extra gpu).",
    )
    estimate: ModelEstimate = Field(
        ModelEstimate(), description="What a dry run reckons with until it is measured."
    )


class PackageModel(ModelBase):
    """A model folder shipped inside a pinned file of the Python package index."""

    source: Literal["package"] = Field(description="This kind of source.")
    package: PackageFile = Field(description="The file and the model folder in it.")


TRUST = (
    "Run Python code that comes with the model; it can do all that you can. A model that needs "
    "such code is refused otherwise."
)


class LocalModel(ModelBase):
    """A model folder on this machine (config.json, tokenizer, safetensors)."""

    source: Literal["local"] = Field(description="This kind of source.")
    path: InputPath = Field(description="The folder.")
    trust_remote_code: bool = Field(False, description=TRUST)


class HubModel(ModelBase):
    """A model of the Hugging Face hub at a pinned revision."""

    source: Literal["hub"] = Field(description="This kind of source.")
    id: str = Field(description="Repository, e.g. Qwen/Qwen1.5-0.5B.")
    revision: str = Field(
        description="Commit hash or tag; required, so that a run can be repeated."
    )
    trust_remote_code: bool = Field(False, description=TRUST)


Model = Annotated[PackageModel | LocalModel | HubModel, Field(discriminator="source")]


class ExtractionConfig(Strict):
    """How the texts of a dataset are divided among jobs."""

    shards: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Jobs for each model and dataset, each with a like share of the tokens. "
        "Numbers move within rounding.",
    )


class DeviceConfig(Strict):
    """Where models compute, and how much at once."""

    device: str = Field(
        "auto", description="auto, cpu, cuda, or cuda:N.", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$"
    )
    batch_tokens: Annotated[int, Field(ge=1)] = Field(
        2048, description="Padded tokens of one forward pass."
    )


class RuntimeConfig(DeviceConfig):
    """Settings that cannot change numbers beyond rounding: they are in no artifact's identity."""

    training_tokens: Annotated[int, Field(ge=1)] = Field(
        512, description="Padded tokens of one pass forward and back, in fine-tuning."
    )
    threads: Annotated[int, Field(ge=1)] = Field(
        16,
        description="Most threads of an extraction on a CPU. Extractions share the cores of a run; "
        "all other jobs have one thread each.",
    )


class JobRuntime(DeviceConfig):
    """What a job is told beside its settings: the same, and what its model says of devices."""

    device_map: Literal["auto"] | None = Field(
        None, description="auto to spread the model over all GPUs."
    )


TOKENS = Kind(
    "tokens",
    "The token ids of every text of a dataset, one after another.",
    {
        "id": ID,
        "start": Array("int64", "text i is token[start[i]:start[i + 1]]", ("n+1",)),
        "token": Array("int32", "token ids, special tokens included", ("tokens",)),
    },
    {
        **DATASET,
        "truncated": "texts that were longer than max_length and were cut",
        "side": "left or right: where they were cut",
    },
    suffix=".safetensors",
)
ACTIVATIONS = Kind(
    "activations",
    "One vector per text from each cached layer of a model.",
    {
        "id": ID,
        "layer_*": Array(
            "float32", "pooled hidden states; layer_-1 is the last", ("n", "d"), by_rows=True
        ),
    },
    {
        **DATASET,
        "model": "where the model comes from, and its revision or weight hashes",
        "storage": "float32, float16 or bfloat16: how the vectors are stored",
        "loss": "what that changes, by layer: root mean square of the changes / of the values",
    },
    suffix=".safetensors",
)


class TokenizeSettings(Strict):
    """How texts become tokens."""

    max_length: int = Field(512, description="Longest text in tokens.", ge=1)
    truncation: Literal["right", "left"] = Field("right", description="Side that is cut.")
    trust_remote_code: bool = Field(False, description=TRUST)


class ReadSettings(Strict):
    """How texts go through a model."""

    num_layers: int | None = Field(None, description="Keep only this many first layers.")
    pooling: Pooling = Field("last", description="Token pooling.")
    trust_remote_code: bool = Field(False, description=TRUST)
    dtype: Format = Field("float32", description="Number format of the forward pass.")


class ShardsSettings(ReadSettings):
    """Which activations to take."""

    layers: tuple[int, ...] = Field((-1,), description="Hidden layers to cache.")
    storage: Format = Field("float32", description="Number format of the vectors on disk.")


class ActivationsSettings(ShardsSettings):
    """Which activations to take."""

    shard: str = Field(
        "1-of-1",
        description="Which part of the texts: neighbours, with a like share of the tokens.",
        pattern=r"^[1-9][0-9]*-of-[1-9][0-9]*$",
    )


class GatherActivationsSettings(ShardsSettings):
    """What the shards must be, as they do not stay."""

    code: str = Field("", description="Digest of their code; any shards will do where it is empty.")


def _tokenized(config: Any, job: Mapping[str, str]) -> list[Any]:
    model, task = config.models[job["model"]], config.datasets[job["dataset"]].source == "hub"
    return [{"truncation": model.truncation or ("left" if task else "right")}, model]


def _extracted(config: Any, job: Mapping[str, str]) -> list[Any]:
    shard = [{"shard": job["scatteritem"]}] if "scatteritem" in job else []
    return [*shard, config.models[job["model"]]]


STAGES: dict[str, Stage] = {
    "tokenize": Stage(
        summary="turn every text into token ids, once for all seeds",
        per="dataset, model",
        function="w2s.models.activations:tokenize",
        settings=TokenizeSettings,
        inputs={"examples": EXAMPLES, "model": Plain.MODEL},
        outputs={"tokens": TOKENS},
        adds=_tokenized,
    ),
    "activations": Stage(
        summary="run every text through a model, once for all seeds, and keep a vector per layer",
        per="dataset, model",
        function="w2s.models.activations:activations",
        settings=ActivationsSettings,
        inputs={"tokens": TOKENS, "model": Plain.MODEL},
        outputs={"activations": ACTIVATIONS},
        runtime=True,
        work=True,
        adds=_extracted,
    ),
    "gather_activations": Stage(
        summary="put the shards of a dataset's activations into one file",
        per="dataset, model",
        function="w2s.models.activations:gather_activations",
        settings=GatherActivationsSettings,
        inputs={"tokens": TOKENS, "shards": Many(ACTIVATIONS)},
        outputs={"activations": ACTIVATIONS},
        adds=_extracted,
        code_of="activations",
    ),
}

FILES = {  # below `results`, by rule
    "tokenize": ("{dataset}/tokens/{model}.safetensors",),
    "activations": ("{dataset}/activations/{model}.safetensors",),
    "gather_activations": ("{dataset}/activations/{model}.safetensors",),
}


def jobs(config: Any) -> Jobs:
    """All texts by all models of pairs, and by the one that students of label models read."""
    paired = sorted({name for pair in config.pairs for name in (pair.weak, pair.strong)})
    rules = ("tokenize", "gather_activations" if config.extraction.shards > 1 else "activations")
    yield from each(*rules, dataset=[*config.datasets], model=paired)
    chosen = config.weak_supervision
    for name in chosen.datasets if chosen else ():
        if chosen.features not in (None, *paired) and not holds_features(config.datasets[name]):
            yield from each(*rules, dataset=name, model=chosen.features)
