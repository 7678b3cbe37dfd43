"""A stack of separable convolutions with batch norms that are learning, in compiled code.

The same stack as in ``mtf.model.separable``, pass by pass: each ends at a norm, where
the statistics of all valid slots are taken. They are those of ``MaskedBatchNorm``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from mtf.model import normed_kernels as kernels
from mtf.model.layers import arrays_of
from mtf.model.norm import MaskedBatchNorm
from mtf.model.separable import Places, Weights, added, gradients, in_threads, zeros


def encode_normed(
    x: Float[Tensor, "batch time channel"],
    valid: Bool[Tensor, "batch time"],
    weights: Weights,
    places: Places,
    norms: list[MaskedBatchNorm],
) -> Float[Tensor, "batch time out"]:
    """Encode in training; gradients reach ``x``, the weights and the norms.

    Args:
        x: the candles' features.
        valid: the slots that statistics are taken of; running ones move with them.
        weights: without the norms.
        places: where taps read.
        norms: of the stem, then of the depthwise and the pointwise convolution of each block.
    """
    scale = torch.stack([norm.weight for norm in norms])
    shift = torch.stack([norm.bias for norm in norms])
    return _Encode.apply(x, valid, places, norms, scale, shift, *weights)  # type: ignore[no-any-return, no-untyped-call]


class Statistics(NamedTuple):
    """What a norm saw: valid slots, their mean and variance; the norm's scale and shift by it."""

    slots: int
    mean: np.ndarray
    rate: np.ndarray
    affine: np.ndarray

    @classmethod
    def of(cls, rows: Rows, norm: MaskedBatchNorm) -> Statistics:
        """Of the moments of all rows; without a valid slot the running statistics stand in."""
        count, dtype = int(rows.slots.sum()), rows.mean.dtype
        mean, variance = arrays_of(norm.running_mean, norm.running_var)
        if count:
            shares = rows.slots[:, None] / count
            mean = (rows.mean * shares).sum(0)
            apart = (rows.spread / count + (rows.mean - mean) ** 2 * shares).sum(0)
            norm.learn(torch.from_numpy(mean), torch.from_numpy(apart), count)
            variance = apart
        rate = 1 / np.sqrt(variance + norm.eps)
        weight, bias = arrays_of(norm.weight, norm.bias)
        scale = weight * rate
        affine = np.stack([scale, bias - mean * scale]).astype(dtype)
        return cls(count, mean.astype(dtype), rate, affine)

    def through(self, weight: np.ndarray, sums: Sums) -> tuple[np.ndarray, np.ndarray]:
        """What ``through_norm`` takes, and the gradient by the norm's weight and bias."""
        total, product = sums.total.sum(0), sums.product.sum(0) * self.rate
        scale = weight * self.rate
        share = scale / self.slots if self.slots else np.zeros_like(scale)
        by = np.stack([scale, share * total, share * self.rate * product, self.mean])
        dtype = self.affine.dtype
        return by.astype(dtype), np.stack([product, total]).astype(dtype)


class Rows(NamedTuple):
    """Moments of each row of the batch."""

    slots: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def empty(cls, batch: int, dim: int) -> Rows:
        """Room for them."""
        return cls(np.zeros(batch), np.zeros((batch, dim)), np.zeros((batch, dim)))


class Sums(NamedTuple):
    """What the gradient by a norm is made of, of each row."""

    total: np.ndarray
    product: np.ndarray

    @classmethod
    def empty(cls, batch: int, dim: int) -> Sums:
        """Room for them."""
        return cls(np.zeros((batch, dim)), np.zeros((batch, dim)))


class _Encode(torch.autograd.Function):
    """Keeps what every norm read: norm ``2 i`` stands before block ``i``, ``2 i + 1`` within."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, valid: Tensor, places: Places, norms: Any, *given: Tensor
    ) -> Tensor:
        scale, _shift, *rest = given
        stem, stem_bias, taps, taps_bias, mix, mix_bias, skip, skip_bias = arrays_of(*rest)
        values, there = arrays_of(x, valid)
        blocks, _, dim = taps.shape
        read = np.empty((1 + 2 * blocks, *values.shape[:2], dim), values.dtype)
        out = np.empty((*values.shape[:2], len(skip_bias)), values.dtype)
        out[:] = skip_bias
        seen: list[Statistics] = []

        def run(kernel: Any, *given: Any) -> None:
            """Up to the next norm."""
            rows = Rows.empty(len(values), dim)
            in_threads(lambda first, last: kernel(first, last, *given, *rows), len(values))
            seen.append(Statistics.of(rows, norms[len(seen)]))

        run(kernels.stem, values, there, stem, stem_bias, read[0])
        for i in range(blocks):
            skipping = skip[i - 1] if i else skip[0][:, :0], out
            own = (taps[i], taps_bias[i], places.begin[i], places.step[i])
            before, within, after = read[2 * i : 2 * i + 3]
            run(kernels.depthwise, before, there, seen[-1].affine, *skipping, *own, within)
            run(kernels.pointwise, within, there, seen[-1].affine, mix[i], mix_bias[i], after)
        end = (read[-1], there, seen[-1].affine, skip[-1], out)
        in_threads(lambda first, last: kernels.skip(first, last, *end), len(values))
        ctx.save_for_backward(x, valid, torch.from_numpy(read), scale, *rest)
        ctx.places, ctx.seen = places, seen
        return torch.from_numpy(out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, valid, read, scale, *rest = ctx.saved_tensors
        weights = Weights(*rest)
        turned = (weights.mix.transpose(1, 2), weights.skip.transpose(1, 2))
        by_out, values, there, scales = arrays_of(grad, x, valid, scale)
        inputs, taps, mix_out, skip_out = arrays_of(read, weights.taps, *turned)
        g = np.empty(inputs.shape[1:], inputs.dtype)
        by_norms = np.zeros((len(inputs), 2, g.shape[2]), g.dtype)
        by_stem, by_taps, by_mix, by_skip = zeros(weights, g.dtype)
        sums = Sums.empty(len(g), g.shape[2])

        def run(kernel: Any, k: int, *given: Any, into: list[np.ndarray]) -> None:
            """Down to the norm ``k``."""
            nonlocal sums
            sums, seen = Sums.empty(len(g), g.shape[2]), ctx.seen[k]
            common = (g, inputs[k], there, seen.affine, seen.mean, *sums, *given)
            added(lambda first, last, *own: kernel(first, last, *common, *own), len(g), into)

        def through(k: int) -> np.ndarray:
            by: np.ndarray
            by, by_norms[k] = ctx.seen[k].through(scales[k], sums)
            return by

        run(kernels.skip_backward, 2 * len(taps), by_out, skip_out[-1], into=[by_skip[-1]])
        for i in range(len(taps) - 1, -1, -1):
            own: tuple[Any, ...] = (mix_out[i], inputs[2 * i + 2], through(2 * i + 2))
            run(kernels.pointwise_backward, 2 * i + 1, *own, into=[by_mix[i]])
            skips = slice(0) if i == 0 else slice(None)
            own = (taps[i], ctx.places.begin[i], ctx.places.step[i], inputs[2 * i + 1])
            own = (by_out, skip_out[i - 1, skips], *own, through(2 * i + 1))
            into = [by_skip[i - 1, skips], by_taps[i]]
            run(kernels.depthwise_backward, 2 * i, *own, into=into)
        end = (g, values, there, inputs[0], through(0))
        added(lambda f, t, *own: kernels.stem_backward(f, t, *end, *own), len(g), [by_stem])
        dx = torch.from_numpy(g) @ weights.stem.t() if ctx.needs_input_grad[0] else None
        by_weights = gradients((by_stem, by_taps, by_mix, by_skip), grad)
        return dx, None, None, None, *torch.from_numpy(by_norms).unbind(1), *by_weights


__all__ = ["encode_normed"]
