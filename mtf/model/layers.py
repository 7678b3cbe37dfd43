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
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mtf.model import kernels

CACHE_NUMBERS = 2**18
"""A megabyte of float32."""


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
    if torch.compiler.is_compiling():
        return depthwise_to_trace(x, weight, bias, shifts)
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


def depthwise_to_trace(x: Tensor, weight: Tensor, bias: Tensor, shifts: tuple[int, ...]) -> Tensor:
    """``depthwise`` of torch's own operations alone, for exporters and compilers to look at."""
    time, before = x.shape[1], max(0, *shifts)
    padded = F.pad(x, (0, 0, before, max(0, -min(shifts))))
    parts = [padded[:, before - shift : before - shift + time] for shift in shifts]
    total = bias + parts[0] * weight[0]
    for k in range(1, len(shifts)):
        total = total + parts[k] * weight[k]
    return total


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

    Elsewhere than on a CPU, and where a graph is traced, one piece.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
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

    @property
    def reach(self) -> int:
        """Slots before its own that an output reads, where it is causal."""
        return self.shifts[0]

    def step(
        self, x: Float[Tensor, "batch dim"], before: Float[Tensor, "batch reach dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch reach dim"]]:
        """Convolve one more slot, given the ``reach`` slots before it; causal only.

        Returns:
            The slot's output, and the slots before the next one.
        """
        taps, before = shifted(x, before, len(self.weight))
        return (taps * self.weight).sum(1) + self.bias, before

    def multiply_adds(self, out: Float[Tensor, "batch time dim"]) -> int:
        """Of the call that returned ``out``; torch's counter does not know the kernel."""
        return out.numel() * len(self.weight)


class FullConv(nn.Module):
    """Ordinary convolution over time, channels last: what ``DepthwiseConv`` is compared with."""

    def __init__(self, dim: int, kernel_size: int, dilation: int, causal: bool) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim, dim, kernel_size, dilation=dilation)
        self.reach = (kernel_size - 1) * dilation
        ahead = 0 if causal else self.reach - self.reach // 2
        self.padding = (self.reach - ahead, ahead)

    def forward(self, x: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time dim"]:
        """Convolve."""
        padded = F.pad(x, (0, 0, *self.padding))
        y: Tensor = self.conv(padded.transpose(1, 2))
        return y.transpose(1, 2)

    def step(
        self, x: Float[Tensor, "batch dim"], before: Float[Tensor, "batch reach dim"]
    ) -> tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch reach dim"]]:
        """Convolve one more slot, as ``DepthwiseConv.step``."""
        taps, before = shifted(x, before, self.conv.weight.shape[2])
        kernel = rearrange(self.conv.weight, "out into tap -> out (tap into)")
        return F.linear(taps.flatten(1), kernel, self.conv.bias), before


def shifted(x: Tensor, before: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """The slots that the taps of a causal convolution read, oldest first; all but the oldest slot.

    Args:
        x: the newest slot, ``[batch, dim]``.
        before: the slots before it that are within reach, ``[batch, reach, dim]``.
        taps: how many, spread evenly over the reach.
    """
    window = torch.cat([before, x.unsqueeze(1)], 1)
    return window[:, :: max(before.shape[1] // max(taps - 1, 1), 1)], window[:, 1:]


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


__all__ = [
    "DepthwiseConv",
    "FullConv",
    "cache_pieces",
    "depthwise",
    "tap_shifts",
]
