"""Saved weights fit the model they were saved from, and no other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtf.errors import CheckpointError
from mtf.learning.optimise import WeightAverage, named_tensors, set_tensors


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2, bias=False)
        self.second = nn.Linear(2, 2, bias=False)
        self.second.weight = self.first.weight


def test_shared_weights_are_one_tensor_and_averaged_once() -> None:
    model = Tied()
    average = WeightAverage(model, decay=0.0)
    assert list(named_tensors(model)) == ["first.weight"]
    with torch.no_grad():
        model.first.weight.fill_(3.0)
    average.update(model, step=0)
    assert torch.equal(average.values["first.weight"], torch.full((2, 2), 3.0))
    average.values["first.weight"].fill_(4.0)
    with average.applied_to(model):
        assert torch.equal(model.second.weight, torch.full((2, 2), 4.0))
    assert torch.equal(model.second.weight, torch.full((2, 2), 3.0))


@pytest.mark.parametrize("values", [{}, {"first.weight": torch.zeros(3, 2)}])
def test_weights_of_another_model_are_refused(values: dict[str, torch.Tensor]) -> None:
    model = Tied()
    before = model.first.weight.detach().clone()
    with pytest.raises(CheckpointError, match=r"another model: 1 of 1 .*, first.weight first"):
        set_tensors(model, values)
    assert torch.equal(model.first.weight, before)
    with pytest.raises(CheckpointError):
        WeightAverage(model, 0.5).set(values)
