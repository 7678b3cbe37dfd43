"""A stack of separable convolutions in compiled code, forward and backward, on CPUs.

One call for the whole stack: a row of the batch runs through stem, blocks and the skips' projection
while it lies in the cache. What it computes is what the layers of ``mtf.model.layers`` compute one
after the other; norms are not known here, but those that are a scale and a shift in evaluation can
be folded into the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from mtf.model import separable_kernels as kernels
from mtf.model.layers import arrays_of, kernels_apply
from mtf.model.norm import Norm

MULTIPLE = 16
"""Channels come in vectors; an odd number of them is left to torch."""


class Weights(NamedTuple):
    """Of a stem, of blocks and of the skips' projection; the input's axis before the output's."""

    stem: Float[Tensor, "channel dim"]
    stem_bias: Float[Tensor, " dim"]
    taps: Float[Tensor, "block tap dim"]
    taps_bias: Float[Tensor, "block dim"]
    mix: Float[Tensor, "block dim dim"]
    mix_bias: Float[Tensor, "block dim"]
    skip: Float[Tensor, "block dim out"]
    skip_bias: Float[Tensor, " out"]


class Places(NamedTuple):
    """Where the taps of each block read, from its slot: the oldest one, and from tap to tap."""

    begin: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, shifts: list[tuple[int, ...]]) -> Places:
        """Of the blocks' shifts, as ``tap_shifts`` gives them."""
        begin = [-taps[0] for taps in shifts]
        step = [taps[0] - taps[1] if len(taps) > 1 else 1 for taps in shifts]
        return cls(np.array(begin, np.int64), np.array(step, np.int64))


def folded(weight: Tensor, bias: Tensor, norm: Norm, fold: bool = True) -> tuple[Tensor, Tensor]:
    """The weights of a map whose output is normalised as in evaluation; its last axis is out."""
    if norm.masked is None or not fold:
        return weight, bias
    scale, shift = norm.masked.running_affine()
    return weight * scale, bias * scale + shift


def compiles(x: Tensor, weight: Tensor, dim: int) -> bool:
    """Whether compiled code can take the place of torch's operations.

    Not where something looks at those: an exporter or compiler, or a counter of operations.
    """
    return (
        kernels_apply(x)
        and x.dtype == weight.dtype
        and weight.device == x.device
        and dim % MULTIPLE == 0
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not is_in_torch_dispatch_mode()
    )


class Remembered:
    """Something made of tensors, made anew where one of them has changed or is another.

    A change through ``tensor.data`` goes unseen, as it does for autograd.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[int, int]] = []
        self._made: Any = None

    def of(self, tensors: list[Tensor], make: Callable[[], Any]) -> Any:
        """What ``make`` makes of the tensors as they are now."""
        try:
            seen = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
        except RuntimeError:  # made in inference mode: nobody counts its changes
            return make()
        if seen != self._seen:
            self._made, self._seen = make(), seen
        return self._made


def encode(
    x: Float[Tensor, "batch time channel"], arrays: tuple[np.ndarray, ...], places: Places
) -> Float[Tensor, "batch time out"]:
    """Encode without gradient; the arrays are ``arrays_of`` the weights.

    A stem without channels is none: ``x`` is what the first block reads. Without skips the last
    block's output is what is said.
    """
    (values,) = arrays_of(x)
    taps, skip = arrays[2], arrays[6]
    out = np.empty((*values.shape[:2], skip.shape[2] or taps.shape[2]), values.dtype)

    def rows(first: int, last: int) -> None:
        hidden = np.empty((2, 1, values.shape[1], taps.shape[2]), values.dtype)
        given = (first, last, values, *arrays, *places, hidden, out)
        kernels.encode(*given)

    in_threads(rows, len(values))
    return torch.from_numpy(out)


def encode_with_gradient(
    x: Float[Tensor, "batch time channel"], weights: Weights, places: Places
) -> Float[Tensor, "batch time out"]:
    """Encode so that gradients reach ``x`` and the weights."""
    return _Encode.apply(x, places, *weights)  # type: ignore[no-any-return, no-untyped-call]


class _Encode(torch.autograd.Function):
    """Keeps what every block read; what lies within a block is computed once more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, places: Places, *weights: Tensor) -> Tensor:
        values, *arrays = arrays_of(x, *weights)
        taps, skip = arrays[2], arrays[6]
        shape = values.shape[:2]
        hidden = np.empty((len(taps) + 1, *shape, taps.shape[2]), values.dtype)
        out = np.empty((*shape, skip.shape[2]), values.dtype)

        def rows(first: int, last: int) -> None:
            given = (first, last, values, *arrays, *places, hidden, out)
            kernels.encode(*given)

        in_threads(rows, len(values))
        ctx.save_for_backward(x, torch.from_numpy(hidden), *weights)
        ctx.places = places
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, hidden, *rest = ctx.saved_tensors
        weights = Weights(*rest)
        turned = (weights.mix.transpose(1, 2), weights.skip.transpose(1, 2))
        given = arrays_of(grad, x, hidden, weights.taps, weights.taps_bias, *turned)
        wanted = ctx.needs_input_grad[0]
        by_x = np.empty((len(x) if wanted else 0, *hidden.shape[2:]), given[0].dtype)

        def rows(first: int, last: int, *sums: np.ndarray) -> None:
            kernels.encode_backward(*(first, last, *given, *ctx.places, by_x, *sums))

        sums = zeros(weights, given[0].dtype)
        added(rows, len(x), sums)
        dx = torch.from_numpy(by_x) @ weights.stem.t() if wanted else None
        return dx, None, *gradients(sums, grad)


def zeros(weights: Weights, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Sums for gradients as the kernels add to them: biases first, outputs before inputs."""
    (channels, dim), (blocks, taps, _) = weights.stem.shape, weights.taps.shape
    shapes = (1 + channels, dim), (blocks, 1 + taps, dim), (blocks, 1 + dim, dim)
    return tuple(np.zeros(one, dtype) for one in (*shapes, weights.skip.transpose(1, 2).shape))


def gradients(sums: Sequence[np.ndarray], grad: Tensor) -> Weights:
    """Those sums, and the gradient by what was said, in the form of the weights."""
    stem, taps, mix, skip = map(torch.from_numpy, sums)
    return Weights(
        *(stem[1:], stem[0], taps[:, 1:], taps[:, 0]),
        *(mix[:, 1:].transpose(1, 2), mix[:, 0], skip.transpose(1, 2), grad.sum((0, 1))),
    )


def added(work: Callable[..., None], rows: int, sums: Sequence[np.ndarray]) -> None:
    """``work(first, last, *own)`` of all rows in threads, each with sums of its own; add those."""

    def part(first: int, last: int) -> list[np.ndarray]:
        own = [np.zeros_like(total) for total in sums]
        work(first, last, *own)
        return own

    for parts in in_threads(part, rows):
        for total, own in zip(sums, parts, strict=True):
            total += own


def in_threads(work: Callable[[int, int], Any], rows: int) -> list[Any]:
    """``work(first, last)`` of all rows, cut evenly among the threads that torch would take."""
    threads = max(1, min(torch.get_num_threads(), rows))
    if threads == 1:
        return [work(0, rows)]
    edges = [rows * i // threads for i in range(threads + 1)]
    return list(_pool(threads).map(work, *zip(*pairwise(edges), strict=True)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work; the compiled loops let each other run."""
    return ThreadPoolExecutor(threads, thread_name_prefix="separable")


__all__ = [
    "MULTIPLE",
    "Places",
    "Remembered",
    "Weights",
    "added",
    "compiles",
    "encode",
    "encode_with_gradient",
    "folded",
    "gradients",
    "in_threads",
    "zeros",
]
