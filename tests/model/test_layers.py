"""Convolutions against torch's own, masked batch norm by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mtf.errors import ConfigError
from mtf.model import layers
from mtf.model.layers import DepthwiseConv, FullConv, depthwise, tap_shifts
from mtf.model.norm import MaskedBatchNorm, Norm


def grouped(x: Tensor, weight: Tensor, bias: Tensor, dilation: int, causal: bool) -> Tensor:
    """The same convolution by ``F.conv1d`` in torch's layout."""
    total = (len(weight) - 1) * dilation
    left = total if causal else total // 2
    padded = F.pad(x.transpose(1, 2), (left, total - left))
    kernel = weight.t().unsqueeze(1)
    return F.conv1d(padded, kernel, bias, dilation=dilation, groups=x.shape[2]).transpose(1, 2)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 1), (3, 8), (4, 3), (9, 4)])
@pytest.mark.parametrize("time", [1, 5, 60])
@pytest.mark.parametrize("compiled", [True, False])
def test_depthwise_is_the_grouped_convolution(
    kernel: int,
    dilation: int,
    time: int,
    causal: bool,
    compiled: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layers, "kernels_apply", lambda x: compiled)
    torch.manual_seed(0)
    x = torch.randn(3, time, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(kernel, 4, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, requires_grad=True)
    y = depthwise(x, weight, bias, tap_shifts(kernel, dilation, causal))
    wanted = grouped(x, weight, bias, dilation, causal)
    torch.testing.assert_close(y, wanted)
    weights = torch.randn_like(y)
    found = torch.autograd.grad((y * weights).sum(), (x, weight, bias))
    torch.testing.assert_close(
        found, torch.autograd.grad((wanted * weights).sum(), (x, weight, bias))
    )


@pytest.mark.parametrize("causal", [True, False])
def test_full_convolution_keeps_the_time(causal: bool) -> None:
    x = torch.randn(2, 20, 4)
    layer = FullConv(4, 3, 2, causal)
    y = layer(x)
    assert y.shape == x.shape
    moved = layer(x + (torch.arange(20) >= 10).unsqueeze(-1))
    first = int((y != moved).any(-1).any(0).nonzero()[0])
    assert first == (10 if causal else 8)


def test_shifts_by_hand() -> None:
    assert tap_shifts(3, 2, causal=True) == (4, 2, 0)
    assert tap_shifts(3, 2, causal=False) == (2, 0, -2)


def test_separable_layers_have_the_published_number_of_weights() -> None:
    """64 channels: 3 taps 4,288 against 12,288; 9 taps 4,672 against 36,864 (without biases)."""
    for taps, separable, ordinary in ((3, 4_288, 12_288), (9, 4_672, 36_864)):
        depthwise_weights = DepthwiseConv(64, taps, 1, causal=True).weight.numel()
        assert depthwise_weights + torch.nn.Linear(64, 64).weight.numel() == separable
        assert FullConv(64, taps, 1, causal=True).conv.weight.numel() == ordinary


def test_batch_norm_by_hand() -> None:
    """Valid values 1 and 3: mean 2, variance 1 (unbiased 2); momentum 0.1."""
    norm = MaskedBatchNorm(1, eps=0.0)
    x = torch.tensor([[[1.0], [100.0]], [[3.0], [-7.0]]])
    valid = torch.tensor([[True, False], [True, False]])
    assert norm(x, valid)[:, 0, 0].tolist() == [-1.0, 1.0]
    assert norm.running_mean.item() == pytest.approx(0.2)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * 2)


def test_batch_norm_is_torchs_where_all_is_valid() -> None:
    torch.manual_seed(0)
    mine, theirs = MaskedBatchNorm(4), torch.nn.BatchNorm1d(4)
    for _ in range(3):
        x = torch.randn(5, 7, 4)
        wanted = theirs(x.transpose(1, 2)).transpose(1, 2)
        torch.testing.assert_close(mine(x, torch.ones(5, 7, dtype=torch.bool)), wanted)
    torch.testing.assert_close(mine.running_var, theirs.running_var)
    x, everywhere = torch.randn(5, 7, 4), torch.ones(5, 7, dtype=torch.bool)
    wanted = theirs.eval()(x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(mine.eval()(x, everywhere), wanted)


def test_batch_norm_without_a_valid_slot_changes_nothing() -> None:
    norm = MaskedBatchNorm(2)
    x = torch.randn(2, 3, 2)
    y = norm(x, torch.zeros(2, 3, dtype=torch.bool))
    torch.testing.assert_close(y, x, rtol=1e-4, atol=1e-5)
    assert norm.running_mean.tolist() == [0.0, 0.0]


def test_unknown_norm() -> None:
    with pytest.raises(ConfigError, match="one of none, layer, batch"):
        Norm("group", 4)
