"""Layers that encoders share, all channels last: ``[batch, time, channel]``.

The depthwise convolution is the reason for this file. In ``[batch, channel, time]`` the backward of
torch's grouped convolution is slower than that of an ordinary one; channels last it is K shifted
multiply-adds, and its backward K more of them and K sums, without any copy of the input.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mtf.errors import ConfigError
from mtf.model import kernels

CACHE_NUMBERS = 2**18
"""A megabyte of float32."""

NORMS = ("none", "layer", "batch")


def overlap(time: int, shift: int) -> tuple[slice, slice]:
    """Slots ``t`` and ``t - shift`` that both lie within ``time`` slots, as two slices."""
    shift = max(-time, min(time, shift))
    if shift >= 0:
        return slice(shift, time), slice(0, time - shift)
    return slice(0, time + shift), slice(-shift, time)


def depthwise(
    x: Float[Tensor, "batch time dim"],
    weight: Float[Tensor, "tap dim"],
    bias: Float[Tensor, " dim"],
    shifts: tuple[int, ...],
) -> Float[Tensor, "batch time dim"]:
    """Depthwise convolution: ``y[t] = bias + sum_k weight[k] * x[t - shifts[k]]``, 0 outside.

    Causal where every shift is at least 0.
    """
    return _Depthwise.apply(x, weight, bias, shifts)  # type: ignore[no-any-return, no-untyped-call]


class _Depthwise(torch.autograd.Function):
    """By the compiled kernel on CPU; by shifted multiply-adds of whole tensors elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, shifts: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.shifts = shifts
        weight, bias = weight.to(x.dtype), bias.to(x.dtype)
        if not kernels_apply(x):
            return depthwise_by_torch(x, weight, bias, shifts)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        taps = np.array(shifts, np.int64)
        kernels.depthwise(*(*arrays_of(x, weight, bias), taps, out.numpy()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        taps = weight.to(x.dtype)
        if not kernels_apply(x):
            dx, dw, db = depthwise_backward_by_torch(grad, x, taps, ctx.shifts)
        else:
            dx = torch.empty_like(x, memory_format=torch.contiguous_format)
            dw, db = torch.zeros_like(taps), torch.zeros_like(taps[0])
            given = (*arrays_of(grad, x, taps), np.array(ctx.shifts, np.int64))
            kernels.depthwise_backward(*(*given, dx.numpy(), dw.numpy(), db.numpy()))
        return dx, dw.to(weight.dtype), db.to(weight.dtype), None


def depthwise_by_torch(x: Tensor, weight: Tensor, bias: Tensor, shifts: tuple[int, ...]) -> Tensor:
    """``depthwise`` on any device, without gradient."""
    y = bias.expand_as(x).clone(memory_format=torch.contiguous_format)
    for shift, tap in zip(shifts, weight, strict=True):
        into, out_of = overlap(x.shape[1], shift)
        y[:, into].addcmul_(x[:, out_of], tap)
    return y


def depthwise_backward_by_torch(
    grad: Tensor, x: Tensor, weight: Tensor, shifts: tuple[int, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``depthwise`` by x, weight and bias on any device."""
    dx, dw = torch.zeros_like(x), torch.zeros_like(weight)
    for k, shift in enumerate(shifts):
        into, out_of = overlap(x.shape[1], shift)
        dx[:, out_of].addcmul_(grad[:, into], weight[k])
        dw[k] = (grad[:, into] * x[:, out_of]).sum((0, 1))
    return dx, dw, grad.sum((0, 1))


def kernels_apply(x: Tensor) -> bool:
    """Whether the compiled kernels can take the tensor."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def arrays_of(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    """The memory of CPU tensors, contiguous, as numpy."""
    return tuple(tensor.detach().contiguous().numpy() for tensor in tensors)


def cache_pieces(x: Tensor, dim: int) -> tuple[Tensor, ...]:
    """Split over the batch so that ``[rows, time, dim]`` of each piece stays in a core's cache.

    Elsewhere than on a CPU, one piece.
    """
    if x.device.type != "cpu":
        return (x,)
    rows = max(1, CACHE_NUMBERS // max(1, x.shape[1] * dim))
    return tuple(x.split(rows))


class DepthwiseConv(nn.Module):
    """Depthwise convolution over time, channels last.

    Args:
        dim: channels.
        kernel_size: taps.
        dilation: slots from tap to tap.
        causal: pad on the left only; otherwise the taps are centred.
    """

    def __init__(self, dim: int, kernel_size: int, dilation: int, causal: bool) -> None:
        super().__init__()
        bound = 1 / math.sqrt(kernel_size)
        self.shifts = tap_shifts(kernel_size, dilation, causal)
        self.weight = nn.Parameter(torch.empty(kernel_size, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(dim).uniform_(-bound, bound))

    def forward(self, x: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Convolve."""
        return depthwise(x, self.weight, self.bias, self.shifts)

    def multiply_adds(self, out: Float[Tensor, "batch time dim"]) -> int:
        """Of the call that returned ``out``; torch's counter does not know the kernel."""
        return out.numel() * len(self.weight)


class FullConv(nn.Module):
    """Ordinary convolution over time, channels last: what ``DepthwiseConv`` is compared with."""

    def __init__(self, dim: int, kernel_size: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel_size, dilation=dilation)
        total = (kernel_size - 1) * dilation
        self.padding = (total, 0) if causal else (total // 2, total - total // 2)

    def forward(self, x: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Convolve."""
        padded = F.pad(x, (0, 0, *self.padding))
        y: Tensor = self.conv(padded.transpose(1, 2))
        return y.transpose(1, 2)


@torch.no_grad()
def keep_variance(module: nn.Module) -> None:
    """Weights that pass the variance of their input on through ReLUs; biases 0.

    He et al. (2015). With PyTorch's defaults each layer halves the signal: after four blocks the
    candles would hardly show beside the embeddings that are added to tokens.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv1d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        elif isinstance(part, DepthwiseConv):
            nn.init.normal_(part.weight, std=math.sqrt(2 / len(part.weight)))
        else:
            continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)


def tap_shifts(kernel_size: int, dilation: int, causal: bool) -> tuple[int, ...]:
    """How many slots back each tap looks, oldest first; negative looks ahead."""
    total = (kernel_size - 1) * dilation
    ahead = 0 if causal else total - total // 2
    return tuple(total - ahead - k * dilation for k in range(kernel_size))


class MaskedBatchNorm(nn.Module):
    """Batch normalisation whose statistics are taken over valid slots only.

    Running statistics are buffers, so that streams that share weights still keep their own. In
    training the statistics are those of the unique candles of the blocks: with blocks that serve
    many decisions they differ from those of windows, and later candles of a block take part.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(
        self, x: Float[Tensor, "batch time dim"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Normalise every slot; without any valid slot the running statistics stand in."""
        if self.training and bool(valid.any()):
            mean, variance = self._statistics(x, valid)
        else:
            mean, variance = self.running_mean, self.running_var
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias - mean * scale, x, scale)

    def _statistics(self, x: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        count = valid.sum()
        selected = valid.unsqueeze(-1)
        mean = torch.where(selected, x, 0.0).sum((0, 1)) / count
        variance = torch.where(selected, x - mean, 0.0).square().sum((0, 1)) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return mean, variance


class Norm(nn.Module):
    """The norm of that name: ``none``, ``layer`` or ``batch`` (masked)."""

    def __init__(self, name: str, dim: int) -> None:
        super().__init__()
        if name not in NORMS:
            raise ConfigError(f"found norm {name!r}", f"one of {', '.join(NORMS)}")
        self.masked = MaskedBatchNorm(dim) if name == "batch" else None
        self.plain = nn.LayerNorm(dim) if name == "layer" else None

    def forward(
        self, x: Float[Tensor, "batch time dim"], valid: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        """Normalise every slot."""
        if self.masked is not None:
            return self.masked(x, valid)  # type: ignore[no-any-return]
        return x if self.plain is None else self.plain(x)


__all__ = [
    "DepthwiseConv",
    "FullConv",
    "MaskedBatchNorm",
    "Norm",
    "cache_pieces",
    "depthwise",
    "tap_shifts",
]
