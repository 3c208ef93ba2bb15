"""A language model with one logit on top, as a whole or with low-rank adapters to be trained."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from w2s.checks import Array
from w2s.errors import DataError
from w2s.finetuning.track import FinetuningRecipe
from w2s.models.forward import Encoder, Pooling, hidden_states, passes, pool
from w2s.rng import stream


class Classifier(torch.nn.Module):  # type: ignore[misc]
    """P(label = 1) of a text: sigmoid of a linear function of the pooled last hidden state.

    The function starts at 0, so that an untrained model says 1/2. The model stays in evaluation
    mode, without dropout: what a step computes then depends neither on how its texts are divided
    among forward passes nor on random numbers, so a training can go on where it was killed.

    Attributes:
        encoder: The model below.
        head: The linear function, float32.
        pooling: Which tokens make a text's vector.
        dtype: Number format of the forward pass.
    """

    def __init__(self, encoder: Encoder, *, pooling: Pooling, dtype: str) -> None:
        """Put a head on an encoder; `dtype` is the number format of its forward pass."""
        super().__init__()
        self.encoder, self.pooling = encoder, pooling
        self.model = encoder.model  # so that its weights are among this module's
        self.dtype = getattr(torch, dtype)
        self.head = torch.nn.Linear(encoder.width, 1).to(encoder.device)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, texts: list[Array]) -> torch.Tensor:
        """Logits of some texts, given as token ids: float32 (k,)."""
        with self._autocast():
            states = hidden_states(self.encoder, texts, (-1,))[-1]
            sizes = torch.tensor(list(map(len, texts)), device=states.device)
            vectors = pool(states, sizes, self.pooling)  # (k, d)
        return self.head(vectors.float().to(self.head.weight.device))[:, 0]

    @property
    def trained(self) -> dict[str, torch.nn.Parameter]:
        """What is trained, by name, in the order of the names."""
        return {n: p for n, p in sorted(self.named_parameters()) if p.requires_grad}

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def put(self, values: Mapping[str, Array]) -> None:
        """Set what is trained; each value has the shape of the parameter of its name."""
        for name, parameter in self.trained.items():
            parameter.copy_(torch.from_numpy(values[name]))

    def taken(self) -> dict[str, Array]:
        """A copy of what is trained, float32."""
        return {n: p.detach().cpu().numpy().copy() for n, p in self.trained.items()}

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def predict(self, texts: list[Array], *, batch_tokens: int) -> Array:
        """P(label = 1), float32 (n,), of n texts.

        Raises:
            DataError: a single text does not fit into memory.
        """

        def compute(rows: Array) -> dict[int, Array]:
            return {-1: torch.sigmoid(self([texts[i] for i in rows])).cpu().numpy()}

        lengths = np.array(list(map(len, texts)))
        proba, done = np.empty(len(texts), dtype=np.float32), np.zeros(len(texts), dtype=bool)
        for rows, found in passes(compute, lengths, batch_tokens, done):
            proba[rows] = found[-1]
        return proba

    def _autocast(self) -> Any:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.encoder.device.type, dtype=self.dtype)


def adapters_of(trained: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Rank of the adapters by the place of their layers, numbers of layers as `*`.

    In a mixture of experts it is that of all experts together: a fused matrix of gate and up has
    twice the rank of the recipe for each.

    Args:
        trained: Weights that are trained, by name.
    """
    found: dict[str, int] = {}
    for path, weights in trained.items():
        place, mark, _ = path.removeprefix("model.").partition(".lora_A.")
        if mark:
            found[re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", place)] = weights.shape[0]
    return found


def adapted(encoder: Encoder, recipe: FinetuningRecipe, *, seed: int, name: str) -> None:
    """Say which weights of a model are trained: all, or adapters that are put in.

    Adapters (Hu et al., 2022) stand beside every layer that peft's `all-linear` finds (see
    `adapters_of` for mixtures of experts) and are float32 whatever the model's
    format. One of their two matrices starts at 0, so the model computes what it did before; the
    other is uniform in +-1/sqrt(inputs), drawn from a stream of the layer's own name: the same on
    every device.

    Args:
        encoder: The model; it is changed.
        recipe: Method, rank and alpha.
        seed: Of the draws.
        name: Of the training, for the draws.

    Raises:
        DataError: weights outside the devices' memory, adapters without the package `peft`, or a
            model without layers for them.
    """
    if any(parameter.device.type == "meta" for parameter in encoder.model.parameters()):
        raise DataError(
            "device_map: found no room for all layers in the memory of the GPUs, expected room for "
            "a model that is trained; take a smaller one or set num_layers"
        )
    if recipe.method == "full":
        encoder.model.requires_grad_(True)
        return
    if importlib.util.find_spec("peft") is None:
        raise DataError(
            "finetuning.recipe.method: found no package peft, expected it for lora; "
            "pip install 'w2s[finetune]', or train all weights: `method: full`"
        )
    from peft import LoraConfig, inject_adapter_in_model

    try:
        inject_adapter_in_model(
            LoraConfig(r=recipe.rank, lora_alpha=recipe.alpha, target_modules="all-linear"),
            encoder.model,
        )
    except ValueError as error:
        raise DataError(f"model: found no layers for adapters ({error}); `method: full`") from None
    for path, parameter in encoder.model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # where its layer is, of several devices
            if "lora_A" in path:
                draw = stream(seed, "finetuning", name, "start", path)
                scale = 1 / math.sqrt(parameter.shape[1])
                values = draw.uniform(-scale, scale, tuple(parameter.shape))
                parameter.data.copy_(torch.from_numpy(values))
