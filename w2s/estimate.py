"""What an experiment will take: texts, tokens, GPU hours and disk, before anything runs.

What is on disk already is counted: tokens from the token files, speed from the logs of jobs that
ran. The rest comes from the configuration and from the table of task sizes, and every
line says which it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from w2s.config import Config
from w2s.data.track import HubDataset
from w2s.files.formats import safetensors_header
from w2s.models.track import LocalModel
from w2s.progress import seconds

PARTS = ("pool", "val", "test")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
GIGA = 1e9


class Size(NamedTuple):
    """Rows of both sides, and tokens of a text."""

    train: int
    test: int
    tokens: int


TYPICAL = 100  # tokens of a text of which nothing is known
SIZES: dict[str, Size] = {
    "amazon_polarity": Size(3_600_000, 400_000, 110),
    "anli-r2": Size(45_460, 1_000, 110),
    "anthropic_hh": Size(160_800, 8_552, 220),
    "boolq": Size(9_427, 3_270, 160),
    "cola": Size(8_551, 1_043, 25),
    "cosmos_qa": Size(25_262, 2_985, 130),
    "dream": Size(6_116, 2_041, 190),
    "ethics-deontology": Size(18_164, 3_596, 50),
    "ethics-justice": Size(21_791, 2_704, 50),
    "ethics-utilitarianism": Size(13_738, 4_808, 60),
    "ethics-virtue": Size(28_245, 4_975, 50),
    "hellaswag": Size(39_905, 10_042, 120),
    "mc_taco": Size(9_442, 3_783, 60),
    "multirc": Size(27_243, 4_848, 370),
    "openbookqa": Size(4_957, 500, 50),
    "paws": Size(49_401, 8_000, 80),
    "piqa": Size(16_113, 1_838, 60),
    "quail": Size(10_246, 2_164, 430),
    "quartz": Size(2_696, 784, 80),
    "sciq": Size(10_679, 3_000, 45),
    "sciq_with_support": Size(10_679, 3_000, 150),
    "social_i_qa": Size(33_410, 1_954, 60),
    "sst2": Size(67_349, 872, 30),
    "twitter-sentiment": Size(1_570_000, 10_000, 35),
    "wic": Size(5_428, 638, 50),
}


@dataclass(frozen=True)
class Texts:
    """Texts of a dataset through a model.

    Attributes:
        texts: How many; None where it cannot be known before the dataset is read.
        tokens: Tokens of all of them; 0 where `texts` is None.
        counted: Whether they are counted from the token file.
        seconds: What the extraction took, if it has run.
    """

    texts: int | None
    tokens: int
    counted: bool
    seconds: float | None


def estimate(config: Config) -> Iterator[str]:
    """The estimate in lines, one for each model and one for each sum.

    Args:
        config: The experiment; paths are relative to the current folder.
    """
    models = sorted(_models(config))
    if not models:
        return
    used = {model: [_texts(config, name, model) for name in config.datasets] for model in models}
    known = [texts.texts for texts in used[models[0]] if texts.texts is not None]
    unknown = len(config.datasets) - len(known)
    later = f", and {unknown} more datasets that must be read first" if unknown else ""
    yield f"{len(known)} datasets with at most {sum(known):,} texts{later}"
    hours: list[float | None] = []
    disk = 0.0
    for model in models:
        line, time, room = _model(config, model, used[model])
        hours.append(time)
        disk += room
        yield line
    total = sum(time for time in hours if time is not None)
    some = "" if None not in hours else ", without the models of unknown speed"
    yield f"extraction: {total:.2g} hours of one GPU (or CPU){some}; vectors on disk: {disk:.2g} GB"


def _models(config: Config) -> set[str]:
    """Models that texts go through: those of the pairs, and the one whose vectors students read."""
    found = {name for pair in config.pairs for name in (pair.weak, pair.strong)}
    chosen = config.weak_supervision
    return found | ({chosen.features} if chosen and chosen.features else set())


def _model(config: Config, name: str, used: list[Texts]) -> tuple[str, float | None, float]:
    """The line of a model, its hours (None if unknown) and the gigabytes of its vectors."""
    model = config.models[name]
    tokens = sum(texts.tokens for texts in used)
    speed, source = _speed(config, name, used)
    hours = None if speed is None else tokens / speed / 3600
    width, gigabytes = _size(config, name)
    texts = sum(item.texts or 0 for item in used)
    room = texts * (width or 0) * BYTES[model.storage] * len(model.layers) / GIGA
    counted = sum(item.counted for item in used)
    time = (
        f"unknown time (set models.{name}.estimate.tokens_per_second)"
        if speed is None or hours is None
        else f"{hours:.2g} hours of one device at {speed:,.0f} tokens/s ({source})"
    )
    vectors = f"vectors {room:.2g} GB" if width else "vectors of unknown width"
    weights = "" if gigabytes is None else f", download {gigabytes:.1f} GB"
    line = (
        f"{name}: {tokens / 1e6:.1f} M tokens ({counted} of {len(used)} datasets counted), "
        f"{time}, {vectors}{weights}"
    )
    return line, hours, room


def _texts(config: Config, dataset: str, model: str) -> Texts:
    """Counted where the token file is there, else reckoned from the configuration."""
    folder = Path(config.results) / dataset
    header = _header(folder / "tokens" / f"{model}.safetensors")
    if header is not None:
        (texts,), (tokens,) = header["id"]["shape"], header["token"]["shape"]
        measured = Path(config.results) / "logs" / dataset
        return Texts(texts, tokens, True, _seconds(measured, model, config.extraction.shards))
    data = config.datasets[dataset]
    size = SIZES.get(data.task) if isinstance(data, HubDataset) else None
    number = _number(data, size)
    each = min(size.tokens if size else TYPICAL, config.models[model].max_length)
    return Texts(number, (number or 0) * each, False, None)


def _number(data: Any, size: Size | None) -> int | None:
    """Most texts that a dataset can have; None where its size is a share of what is not known."""
    if size is None:
        asked = [getattr(data, part) for part in PARTS]
        return sum(asked) if all(isinstance(part, int) for part in asked) else None
    most: int = data.max_rows
    train, test = min(size.train, most), _part(data.test, min(size.test, most))
    val = _part(data.val, train) if isinstance(data.val, float) else min(data.val, train // 5)
    pool = train - val if data.pool is None else min(_part(data.pool, train), train - val)
    return test + val + pool


def _part(asked: float, there: int) -> int:
    return min(round(asked * there) if isinstance(asked, float) else asked, there)


def _speed(config: Config, name: str, used: list[Texts]) -> tuple[float | None, str]:
    measured = [(texts.tokens, texts.seconds) for texts in used if texts.seconds]
    if measured:
        seconds = sum(second for _, second in measured if second)
        return sum(tokens for tokens, _ in measured) / seconds, "measured"
    return config.models[name].estimate.tokens_per_second, "given"


def _size(config: Config, name: str) -> tuple[int | None, float | None]:
    """Width of the vectors and gigabytes of the download, as far as they are known."""
    model = config.models[name]
    width, gigabytes = model.estimate.width, model.estimate.gigabytes
    if width is None and isinstance(model, LocalModel):
        width = _width(Path(model.path) / "config.json")
    for dataset in config.datasets if width is None else ():
        path = Path(config.results) / dataset / "activations" / f"{name}.safetensors"
        for tensor, spec in (_header(path) or {}).items():
            if tensor.startswith("layer_"):
                width = spec["shape"][1]
    return width, gigabytes


def _width(path: Path) -> int | None:
    """What a model's configuration says; None where it cannot be read or does not say."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # told by the stage that loads the model
        return None
    found = [told.get(name) for name in ("hidden_size", "n_embd")] if isinstance(told, dict) else []
    return next((width for width in found if isinstance(width, int)), None)


def _header(path: Path) -> Any:
    """The header of a safetensors file of texts; None where there is no such file yet."""
    try:
        header = safetensors_header(path)
    except (OSError, ValueError):  # a damaged file is told by the stage that reads it
        return None
    return header if isinstance(header, dict) and "id" in header else None


def _seconds(folder: Path, model: str, shards: int) -> float | None:
    """Seconds of the extraction by all its jobs, as their logs tell; None where one has not run."""
    jobs = [f"-{number}-of-{shards}" for number in range(1, shards + 1)] if shards > 1 else [""]
    total = 0.0
    for job in jobs:
        log = folder / f"activations-{model}{job}.log"
        found = seconds(log.read_text("utf-8", "replace")) if log.is_file() else None
        if found is None:
            return None
        total += found
    return total
