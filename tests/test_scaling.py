"""Fine-tuning in float16: gradients that are too small for the format are not lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from test_finetune import finished, lesson, outcome, prepared

from w2s.errors import DegenerateError
from w2s.finetuning.classifier import Classifier
from w2s.finetuning.training import Training
from w2s.models.loader import START, Scale


def half(base: Any, *, pooling: Any, dtype: str) -> Classifier:
    """A classifier whose forward pass is in float16."""
    del dtype
    return Classifier(base, pooling=pooling, dtype="float16")


def gradients(training: Training) -> Any:
    """Of the first step, all in one row; the head is not 0, as after some steps."""
    torch.nn.init.constant_(training.classifier.head.weight, 1e-4)
    parameters = training.classifier.trained.values()
    while True:
        training._gradient(training._rows(0), 0.0)
        if training._scale.undo(parameters):
            break
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).numpy()


def test_small_gradients_are_those_of_float32(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "m", "llama")
    chosen: dict[str, Any] = {"method": "full", "layers": 2}
    expected = gradients(prepared(folder, **chosen))
    found = gradients(prepared(folder, kind=half, **chosen))  # type: ignore[arg-type]
    unscaled = prepared(folder, kind=half, **chosen)  # type: ignore[arg-type]
    unscaled._scale.factor = 1.0
    lost = gradients(unscaled)
    zero = [np.mean(values[expected != 0] == 0) for values in (found, lost)]
    assert zero[0] < 1e-3
    assert zero[1] > 0.05
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


def parameter(values: list[float]) -> torch.nn.Parameter:
    made = torch.nn.Parameter(torch.zeros(len(values)))
    made.grad = torch.tensor(values)
    return made


def test_the_factor_is_halved_until_gradients_are_finite() -> None:
    scale, bad = Scale(torch.float16), parameter([1.0, float("inf")])
    assert scale.factor == START
    assert not scale.undo([parameter([1.0]), bad])
    assert scale.factor == START / 2
    good = parameter([START, -1.0])
    assert scale.undo([good, torch.nn.Parameter(torch.zeros(1))])  # the last has no gradient
    assert good.grad is not None
    assert good.grad.tolist() == [2.0, -2 / START]
    scale.factor = 1.0
    with pytest.raises(DegenerateError, match="a gradient is not finite in float16"):
        scale.undo([bad])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_formats_have_no_factor(dtype: torch.dtype) -> None:
    scale, bad = Scale(dtype), parameter([float("nan"), 3.0])
    assert scale.factor == 1.0
    assert scale.undo([bad])
    assert bad.grad is not None
    assert bad.grad[1] == 3.0


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_in_float16_is_near_that_in_float32_and_exact_again(
    method: str, tmp_path: Path
) -> None:
    folder = tiny.write_model(tmp_path / "m", "llama")
    chosen: dict[str, Any] = {"method": method, "study": lesson(), "kind": half}
    one, two = (finished(prepared(folder, **chosen)) for _ in range(2))
    assert outcome(one) == outcome(two)
    full = finished(prepared(folder, **{**chosen, "kind": Classifier}))
    found, expected = ([look.loss for look in training.looks] for training in (one, full))
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_the_factor_is_kept_with_the_state(tmp_path: Path) -> None:
    folder = tiny.write_model(tmp_path / "m", "llama")
    training, other = (prepared(folder, kind=half) for _ in range(2))  # type: ignore[arg-type]
    training._scale.factor = 1024.0
    other._restore(*training._state(0))
    assert other._scale.factor == 1024.0
