"""Fine-tuning in float16: gradients that are too small for the format are not lost."""

import numpy as np
import pytest
import tiny
import torch
from test_finetune import finished, lesson, outcome, prepared

from w2s.errors import DegenerateError
from w2s.finetuning.classifier import Classifier
from w2s.models.loader import START, Scale


def half(base, *, pooling, dtype):
    """A classifier whose forward pass is in float16."""
    del dtype
    return Classifier(base, pooling=pooling, dtype="float16")


def gradients(training):
    """Of the first step, all in one row; the head is not 0, as after some steps."""
    torch.nn.init.constant_(training.classifier.head.weight, 1e-4)
    parameters = training.classifier.trained.values()
    while True:
        training._gradient(training._rows(0), 0.0)
        if training._scale.undo(parameters):
            break
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).numpy()


def test_small_gradients_are_those_of_float32(tmp_path):
    folder = tiny.write_model(tmp_path / "m", "llama")
    chosen = {"method": "full", "layers": 2}
    expected = gradients(prepared(folder, **chosen))
    found = gradients(prepared(folder, kind=half, **chosen))
    unscaled = prepared(folder, kind=half, **chosen)
    unscaled._scale.factor = 1.0
    lost = gradients(unscaled)
    zero = [np.mean(values[expected != 0] == 0) for values in (found, lost)]
    assert zero[0] < 1e-3
    assert zero[1] > 0.05
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)


def parameter(values):
    made = torch.nn.Parameter(torch.zeros(len(values)))
    made.grad = torch.tensor(values)
    return made


def test_the_factor_is_halved_until_gradients_are_finite():
    scale, bad = Scale(torch.float16), parameter([1.0, float("inf")])
    assert scale.factor == START
    assert not scale.undo([parameter([1.0]), bad])
    assert scale.factor == START / 2
    good = parameter([START, -1.0])
    assert scale.undo([good, torch.nn.Parameter(torch.zeros(1))])  # the last has no gradient
    assert good.grad.tolist() == [2.0, -2 / START]
    scale.factor = 1.0
    with pytest.raises(DegenerateError, match="a gradient is not finite in float16"):
        scale.undo([bad])
    for dtype in (torch.float32, torch.bfloat16):  # other formats have no factor
        scale, bad = Scale(dtype), parameter([float("nan"), 3.0])
        assert scale.factor == 1.0
        assert scale.undo([bad])
        assert bad.grad[1] == 3.0


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_training_in_float16_is_near_that_in_float32_and_exact_again(method, tmp_path):
    folder = tiny.write_model(tmp_path / "m", "llama")
    chosen = {"method": method, "study": lesson(), "kind": half}
    one, two = (finished(prepared(folder, **chosen)) for _ in range(2))
    assert outcome(one) == outcome(two)
    full = finished(prepared(folder, **{**chosen, "kind": Classifier}))
    found, expected = ([look.loss for look in training.looks] for training in (one, full))
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_the_factor_is_kept_with_the_state(tmp_path):
    folder = tiny.write_model(tmp_path / "m", "llama")
    training, other = (prepared(folder, kind=half) for _ in range(2))
    training._scale.factor = 1024.0
    other._restore(*training._state(0))
    assert other._scale.factor == 1024.0
