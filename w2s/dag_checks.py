"""What jobs would stop at, told before any job: folders, models whose files are here, packages."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from w2s.config import Config
from w2s.data.sources import model_reference
from w2s.errors import ConfigError
from w2s.models.track import HubModel, Model

# what families of models call it in their config.json
DEPTH = ("num_hidden_layers", "n_layer", "n_layers")
POSITIONS = ("max_position_embeddings", "n_positions")


def check(config: Config, *, packages: bool = True) -> None:
    """Check what can be known of models and packages before they are loaded.

    Models of the hub, and packages that are not fetched yet, are known to the jobs alone.

    Args:
        config: The experiment; its paths are relative to the current folder.
        packages: Whether the packages of this environment are those of the jobs.

    Raises:
        ConfigError: one line for each mistake.
    """
    mistakes = [
        f"{name}: found the file {folder}, expected a folder"
        for name, folder in (("results", config.results), ("resources", config.resources))
        if not is_folder(Path(folder))
    ]
    mistakes += [
        f"models.{name}.{mistake}"
        for name, model in config.models.items()
        if not isinstance(model, HubModel)
        for mistake in _of_model(model, _read(Path(model_reference(config, name))))
    ]
    mistakes += _of_packages(config) if packages else []
    if mistakes:
        raise ConfigError("\n".join(mistakes))


def is_folder(path: Path) -> bool:
    """Whether a folder is there, or can be made: nothing on the way to it is a file."""
    return next(p for p in (path, *path.parents) if p.exists()).is_dir()


def _read(folder: Path) -> dict[str, Any]:
    """The configuration of a model; nothing where it cannot be read, which its jobs tell."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(told: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((told[name] for name in names if isinstance(told.get(name), int)), None)


def _of_model(model: Model, told: dict[str, Any]) -> Iterator[str]:
    depth, positions = _number(told, DEPTH), _number(told, POSITIONS)
    if depth is not None and model.num_layers is not None and model.num_layers > depth:
        yield f"num_layers: found {model.num_layers}, expected at most {depth}"
    elif depth is not None:
        depth = model.num_layers or depth
        for layer in model.layers:
            if not -depth - 1 <= layer <= depth:
                yield f"layers: found {layer}, expected {-depth - 1} to {depth}"
    asked = model.max_length if "max_length" in model.model_fields_set else 0
    if positions is not None and asked > positions:  # the default is more than some texts need
        yield f"max_length: found {asked}, expected at most {positions}, which is all it can read"


def _of_packages(config: Config) -> Iterator[str]:
    tuned = config.finetuning
    if tuned and tuned.recipe.method == "lora" and importlib.util.find_spec("peft") is None:
        yield (
            "finetuning.recipe.method: found no package peft, expected it for lora; "
            "pip install 'w2s[finetune]', or train all weights: `method: full`"
        )
    spread = [name for name, model in config.models.items() if model.device_map]
    if spread and importlib.util.find_spec("accelerate") is None:
        yield (
            f"models.{spread[0]}.device_map: found no package accelerate, expected it for auto; "
            f"pip install 'w2s[gpu]'"
        )
