"""Batch norm never asks its device: it works where no number can be read."""

from __future__ import annotations

import torch

from mtf.model.norm import MaskedBatchNorm
from mtf.model.over_processes import counted_blocks, over_processes, summed


def test_batch_norm_works_where_no_number_can_be_read() -> None:
    norm = MaskedBatchNorm(4).to("meta")
    x = torch.empty(2, 3, 4, device="meta", requires_grad=True)
    y = norm(x, torch.empty(2, 3, dtype=torch.bool, device="meta"))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape


def test_without_a_valid_slot_there_are_gradients_and_no_nan() -> None:
    norm = MaskedBatchNorm(2)
    x = torch.randn(1, 3, 2, requires_grad=True)
    norm(x, torch.zeros(1, 3, dtype=torch.bool)).sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert norm.running_var.tolist() == [1.0, 1.0]


def test_running_statistics_are_those_of_before_bit_for_bit() -> None:
    torch.manual_seed(0)
    norm, x = MaskedBatchNorm(3), torch.randn(4, 5, 3)
    valid = torch.rand(4, 5) < 0.7
    norm(x, valid)
    count, chosen = valid.sum(), x[valid]
    mean = torch.where(valid.unsqueeze(-1), x, 0.0).sum((0, 1)) / count
    assert torch.equal(norm.running_mean, torch.zeros(3).lerp(mean, 0.1))
    torch.testing.assert_close(norm.running_var, torch.ones(3).lerp(chosen.var(0), 0.1))


def test_outside_of_several_processes_nothing_is_exchanged() -> None:
    value = torch.ones(2)
    assert counted_blocks() is None
    assert summed(value) is value
    with over_processes(torch.tensor([True, False])):
        assert counted_blocks() is not None
    assert counted_blocks() is None
