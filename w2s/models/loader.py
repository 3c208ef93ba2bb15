"""A model from its files: what was loaded, and whether that is all it needs."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Collection, Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES

from w2s.errors import DataError, DegenerateError
from w2s.models.cards import visible
from w2s.models.encoder import apart, padded, vocabulary
from w2s.models.forward import Encoder
from w2s.models.source import Source, loading, refuse_adapters

UNUSED = re.compile(r"(^|\.)pooler\.")  # weights behind the last hidden state
log = logging.getLogger(__name__)


def load_encoder(
    source: Source,
    *,
    num_layers: int | None = None,
    dtype: str = "float32",
    device: str = "auto",
    device_map: Any = None,
) -> Encoder:
    """Load a model's weights (safetensors only) without its head.

    No weight that an activation depends on is left to chance: all come from the files. A pooler,
    which nothing here reads, may be missing; heads and layers past `num_layers` may be too many.

    Args:
        source: The model.
        num_layers: Keep only this many first layers.
        dtype: Number format of weights and forward pass.
        device: `auto` (a GPU if there is one), `cpu`, `cuda`, or `cuda:N`.
        device_map: None for one device; `auto` to spread the layers over all visible GPUs, and over
            memory and disk where these are too small; or what else `transformers` takes for it.

    Raises:
        DataError: more layers asked for than the model has, an encoder-decoder model, a model that
            cannot be loaded or whose files lack a weight or have it in another shape, a GPU that is
            not there, or a device map without `accelerate` or for one GPU.
    """
    one, spread = _placement(device, device_map)
    code = {"revision": source.revision, "trust_remote_code": source.trust_remote_code}
    with loading(source):
        refuse_adapters(source)
        config = AutoConfig.from_pretrained(source.name, **code)
        depth = _depth(config, num_layers)
        _attend_to_all(config)
        model, found = AutoModel.from_pretrained(
            source.name,
            config=config,
            dtype=getattr(torch, dtype),
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # all weights that do not fit are told, in one line
            output_loading_info=True,
            **code,
            **spread,
        )
    _check_weights(source, model, found, cut=num_layers is not None)
    with loading(source, "run on a short text"):
        model = model.eval() if spread else model.eval().to(one)
        own = Encoder(model, depth, _pad(model), apart=apart(model.config))
        encoder: Encoder = padded(own)
    log.info(
        "model %s: %s of %d layers, %s, attention %s, all weights from its files",
        source.name, type(model).__name__, depth, dtype, model.config._attn_implementation,
    )  # fmt: skip
    return encoder


def _pad(model: Any) -> int:
    """The token that fills short rows: the model's own, where it has such an embedding."""
    pad, ids = getattr(model.config, "pad_token_id", None), vocabulary(model)
    return pad if pad is not None and pad >= 0 and (ids is None or pad < ids) else 0


def _depth(config: Any, num_layers: int | None) -> int:
    """How many layers the model is to have; the configuration is cut to so many."""
    depth: int | None = getattr(config, "num_hidden_layers", None)
    if depth is None:
        raise DataError(
            f"model: found a {config.model_type} model, whose configuration names no number of "
            f"layers, expected a model of texts alone"
        )
    if num_layers is not None and num_layers > depth:
        raise DataError(f"num_layers: found {num_layers}, expected at most {depth}")
    if (
        config.is_encoder_decoder
        or config.model_type in MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    ):
        raise DataError("model: found an encoder-decoder model, expected an encoder or decoder")
    if num_layers is None:
        return depth
    config.num_hidden_layers = num_layers
    if getattr(config, "layer_types", None):  # per-layer attention types follow the depth
        config.layer_types = config.layer_types[:num_layers]
    return num_layers


def _attend_to_all(config: Any) -> None:
    """Full attention for BigBird.

    Its sparse one is for long texts only, goes by the longest text of a pass, and is given up for
    good at the first short one.
    """
    if getattr(config, "attention_type", None) == "block_sparse":
        log.warning(
            "model type %s: full attention is used, as the sparse one depends on the other texts",
            config.model_type,
        )
        config.attention_type = "original_full"


def _check_weights(source: Source, model: Any, found: Any, *, cut: bool) -> None:
    """Check that every weight an activation depends on came from the model's files.

    `found` is what the loader of `transformers` says of them; where the model is `cut`, later
    layers are left out on purpose.
    """
    for name, theirs, ours in sorted(found["mismatched_keys"]):
        raise DataError(
            f"model {source.name}: found {name} of shape {tuple(theirs)} in its files, expected "
            f"{tuple(ours)} by its config.json"
        )
    missing = sorted(name for name in found["missing_keys"] if not UNUSED.search(name))
    strange = sorted(found["unexpected_keys"])
    if missing:
        instead = f"; found {_some(strange)} instead" if strange else ""
        raise DataError(
            f"model {source.name}: found no values for {len(missing)} of {len(model.state_dict())} "
            f"weights in its files, expected all: {_some(missing)}{instead}"
        )
    like = {_unnumbered(name, model) for name in model.state_dict()}
    later = [name for name in strange if _unnumbered(name, model) in like]
    if later and not cut:
        log.warning(
            "model %s: weights of layers that its config.json does not name are left out: %s",
            source.name, _some(later),
        )  # fmt: skip


def _unnumbered(name: str, model: Any) -> str:
    """What a weight's name says but for the number of its layer and what stands above the model."""
    return re.sub(r"\d+", "*", name.removeprefix(f"{model.base_model_prefix}."))


def _some(names: Sequence[str]) -> str:
    """One name, and how many more."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _placement(device: str, device_map: Any) -> tuple[torch.device, dict[str, Any]]:
    """The device of a model, and what the loader is told of a model on several."""
    if device_map is not None and ":" in device:
        raise DataError(f"device_map: found {device}, expected auto or cuda, which is all GPUs")
    one = _device(device)
    if device_map is None:
        return one, {}
    if importlib.util.find_spec("accelerate") is None:
        raise DataError(
            "device_map: found no package accelerate, expected it; pip install 'w2s[gpu]'"
        )
    return one, {"device_map": {"": "cpu"} if device == "cpu" else device_map}


def _device(name: str) -> torch.device:
    """The device of a name; `auto` is a GPU if there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= visible():
        raise DataError(f"device {name}: found {visible()} GPUs, expected this one")
    return device


START = 2.0**16  # of the loss; gradients then use the upper half of the format's range


class Scale:
    """The factor of a loss, so that its gradients are neither 0 nor infinite in float16.

    It is a power of 2, so that nothing is rounded, and is halved where a gradient is infinite; the
    step is then computed anew. `torch.amp.GradScaler` leaves such a step out instead, which would
    shorten a training by some of its steps. Other formats need no factor: it is 1.

    Attributes:
        factor: The factor.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        """For a forward pass in this format."""
        self._needed = dtype == torch.float16
        self.factor = START if self._needed else 1.0

    def undo(self, parameters: Collection[torch.nn.Parameter]) -> bool:
        """Divide the gradients by the factor; halve it instead, and say no, if one is infinite.

        Raises:
            DegenerateError: a gradient is infinite without a factor too.
        """
        if not self._needed:
            return True
        found = [p.grad for p in parameters if p.grad is not None]
        if all(bool(torch.isfinite(gradient).all()) for gradient in found):
            for gradient in found:
                gradient.div_(self.factor)
            return True
        if self.factor <= 1:
            raise DegenerateError("training: a gradient is not finite in float16; take bfloat16")
        self.factor /= 2
        return False
