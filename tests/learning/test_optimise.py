"""Saved weights fit the model they were saved from, and no other."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtf.errors import CheckpointError
from mtf.learning.optimise import (
    WeightAverage,
    named_tensors,
    set_tensors,
    sum_gradients,
)


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


def test_gradients_are_summed_over_processes_and_where_there_are_none_none_is_made() -> None:
    """Another process has 1 everywhere but for the last parameter, which none of them uses."""
    model = nn.ParameterList([nn.Parameter(torch.zeros(2)) for _ in range(3)])
    model.append(nn.Parameter(torch.zeros(2), requires_grad=False))
    model[0].grad = torch.tensor([2.0, 3.0])
    sent: list[list[float]] = []

    def all_reduce(flat: torch.Tensor) -> torch.Tensor:
        sent.append(flat.tolist())
        return flat + torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0])

    sum_gradients(model, all_reduce)
    assert sent == [[2.0, 3.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]]  # in one piece
    found = [None if one.grad is None else one.grad.tolist() for one in model]
    assert found == [[3.0, 4.0], [1.0, 1.0], None, None]
