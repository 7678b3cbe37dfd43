"""Tokens: the few vectors of a stream that the fusion reads.

A token is the mean of the valid encoder outputs over a span of slots, counted back from the
decision's last slot; a span without a valid slot is masked. Means are differences of running sums
over the block in float64, so that the slots many decisions share are added up once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from mtf.errors import ConfigError
from mtf.model import token_kernels
from mtf.model.layers import arrays_of, kernels_apply

Spans = tuple[tuple[int, int], ...]
"""``(newest, oldest)`` of each token, oldest token first: it covers the slots ``newest``, …,
``oldest - 1`` back from the last one, which is 0."""

TOKENS = ("all", "mean", "last", "patch", "log")
LAST_LOG_EDGE = 256


def token_spans(name: str, lookback: int, patch: int | None = None) -> Spans:
    """The spans of a stream's tokens.

    Args:
        name: ``all`` (a token a slot), ``mean`` (one for the lookback), ``last`` (the last slot),
            ``patch`` (runs of ``patch`` slots; the oldest may be shorter) or ``log`` (edges 0, 1,
            2, 4, …, 256 below the lookback, then the lookback).
        lookback: slots of the stream that the model sees.
        patch: slots a token for ``patch``.

    Raises:
        ConfigError: unknown name, or ``patch`` without its slots.
    """
    if name not in TOKENS:
        raise ConfigError(f"found tokens {name!r}", f"one of {', '.join(TOKENS)}")
    if name == "patch" and (patch is None or patch < 1):
        raise ConfigError(
            f"found tokens patch with {patch} slots a token", "at least 1", "set model.tokens.patch"
        )
    if name == "last":
        return ((0, 1),)
    step = {"all": 1, "patch": patch}.get(name) or lookback
    edges = log_edges(lookback) if name == "log" else [*range(0, lookback, step), lookback]
    return tuple(reversed([(edges[i], edges[i + 1]) for i in range(len(edges) - 1)]))


def log_edges(lookback: int) -> list[int]:
    """Edges 0, 1, 2, 4, … up to 256 that lie below the lookback, then the lookback."""
    edges, edge = [0], 1
    while edge < lookback and edge <= LAST_LOG_EDGE:
        edges.append(edge)
        edge *= 2
    return [*edges, lookback]


def pool(
    encoded: Float[Tensor, "block time dim"],
    valid: Bool[Tensor, "block time"],
    block: Int64[Tensor, " decision"],
    last: Int64[Tensor, " decision"],
    spans: Int64[Tensor, "token 2"],
) -> tuple[Float[Tensor, "decision token dim"], Bool[Tensor, "decision token"]]:
    """Return the tokens of each decision and which of them have a valid slot.

    Slots before the block count as not valid. Tokens without a valid slot are 0.
    """
    if single_slots(spans):
        return _gather_slots(encoded, valid, block, last.unsqueeze(1) - spans[:, 0])
    start, stop, count = span_edges(valid, block, last, spans)
    tokens: Tensor = _SpanMean.apply(encoded, valid, block, start, stop, count)  # type: ignore[no-untyped-call]
    return tokens, count > 0


def single_slots(spans: Int64[Tensor, "token 2"]) -> bool:
    """Whether every span is one slot: nothing is to be summed."""
    return bool((spans[:, 1] - spans[:, 0] == 1).all())


def span_edges(
    valid: Bool[Tensor, "block time"],
    block: Int64[Tensor, " decision"],
    last: Int64[Tensor, " decision"],
    spans: Int64[Tensor, "token 2"],
) -> tuple[
    Int64[Tensor, "decision token"],
    Int64[Tensor, "decision token"],
    Int64[Tensor, "decision token"],
]:
    """First slot of each decision's spans, the slot after their last, and their valid slots."""
    time = valid.shape[1]
    start = (last.unsqueeze(1) - spans[:, 1] + 1).clamp(0, time)
    stop = (last.unsqueeze(1) - spans[:, 0] + 1).clamp(0, time)
    return start, stop, valid_counts(valid, block, start, stop)


def _gather_slots(
    encoded: Tensor, valid: Tensor, block: Tensor, slot: Tensor
) -> tuple[Tensor, Tensor]:
    """Tokens of one slot each, without sums."""
    inside = (slot >= 0) & (slot < encoded.shape[1])
    index = block.unsqueeze(1), slot.clamp(0, encoded.shape[1] - 1)
    mask = inside & valid[index]
    return torch.where(mask.unsqueeze(-1), encoded[index], 0.0), mask


def valid_counts(valid: Tensor, block: Tensor, start: Tensor, stop: Tensor) -> Tensor:
    """Valid slots ``start … stop - 1`` of each decision's block."""
    running = valid.new_zeros(valid.shape[0], valid.shape[1] + 1, dtype=torch.int64)
    torch.cumsum(valid, 1, out=running[:, 1:])
    row = block.unsqueeze(1)
    return running[row, stop] - running[row, start]


class _SpanMean(torch.autograd.Function):
    """Means over spans; the backward is one running sum too, of the changes at the spans' edges."""

    @staticmethod
    def forward(ctx: Any, encoded: Tensor, valid: Tensor, *where: Tensor) -> Tensor:
        ctx.save_for_backward(valid, *where)
        ctx.dtype = encoded.dtype
        return span_means(encoded, valid, *where)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return span_means_backward(grad, *ctx.saved_tensors).to(ctx.dtype), *[None] * 5


def span_means(
    encoded: Tensor, valid: Tensor, block: Tensor, start: Tensor, stop: Tensor, count: Tensor
) -> Tensor:
    """Means over the valid slots of each span, by the compiled kernel where there is one."""
    if kernels_apply(encoded):
        out = encoded.new_empty(*start.shape, encoded.shape[-1])
        spans = by_block(block, len(valid), start, stop, count)
        token_kernels.span_means(*(*arrays_of(encoded, valid), *spans, out.numpy()))
        return out
    return span_means_by_torch(encoded, valid, block, start, stop, count)


def span_means_backward(
    grad: Tensor, valid: Tensor, block: Tensor, start: Tensor, stop: Tensor, count: Tensor
) -> Tensor:
    """Gradient of ``span_means`` by what was encoded."""
    if kernels_apply(grad):
        out = grad.new_empty(*valid.shape, grad.shape[-1])
        spans = by_block(block, len(valid), start, stop, count)
        token_kernels.span_means_backward(*(*arrays_of(grad, valid), *spans, out.numpy()))
        return out
    return span_means_backward_by_torch(grad, valid, block, start, stop, count)


def by_block(block: Tensor, blocks: int, *spans: Tensor) -> tuple[np.ndarray, ...]:
    """Decisions in the order of their blocks, where each block's begin, then the spans."""
    order = block.argsort(stable=True)
    offsets = torch.searchsorted(block[order], torch.arange(blocks + 1))
    return arrays_of(order, offsets, *spans)


def span_means_by_torch(
    encoded: Tensor, valid: Tensor, block: Tensor, start: Tensor, stop: Tensor, count: Tensor
) -> Tensor:
    """``span_means`` on any device."""
    masked = torch.where(valid.unsqueeze(-1), encoded, 0.0).double()
    running, row = running_sum(masked), block.unsqueeze(1)
    sums = running[row, stop] - running[row, start]
    return (sums / count.clamp(min=1).unsqueeze(-1)).to(encoded.dtype)


def span_means_backward_by_torch(
    grad: Tensor, valid: Tensor, block: Tensor, start: Tensor, stop: Tensor, count: Tensor
) -> Tensor:
    """``span_means_backward`` on any device."""
    share = grad.double() / count.clamp(min=1).unsqueeze(-1)
    change = share.new_zeros(valid.shape[0], valid.shape[1] + 1, grad.shape[-1])
    row = block.unsqueeze(1).expand_as(start)
    change.index_put_((row, start), share, accumulate=True)
    change.index_put_((row, stop), -share, accumulate=True)
    per_slot = running_sum(change[:, :-1])[:, 1:]
    seen = valid & _covered(grad.ne(0).any(-1), block, start, stop, valid.shape)
    return torch.where(seen.unsqueeze(-1), per_slot, 0.0).to(grad.dtype)


def _covered(
    chosen: Tensor, block: Tensor, start: Tensor, stop: Tensor, shape: torch.Size
) -> Tensor:
    """Slots that lie in a chosen span: elsewhere rounding would leave a trace of a gradient."""
    opened = start.new_zeros(shape[0], shape[1] + 1)
    row, amount = block.unsqueeze(1).expand_as(start), chosen.to(start.dtype)
    opened.index_put_((row, start), amount, accumulate=True)
    opened.index_put_((row, stop), -amount, accumulate=True)
    return opened.cumsum(1)[:, :-1] > 0


CHUNK = 16
"""Slots summed one by one; chunks of them by ``cumsum``, which is slow in this layout."""


def running_sum(x: Float[Tensor, "block time dim"]) -> Float[Tensor, "block edge dim"]:
    """Sums of the first 0, 1, …, time slots."""
    blocks, time, dim = x.shape
    chunks = -(-time // CHUNK)
    sums = x.new_zeros(blocks, 1 + chunks * CHUNK, dim)
    sums[:, 1 : time + 1] = x
    chunked = sums[:, 1:].unflatten(1, (chunks, CHUNK))
    for i in range(1, CHUNK):
        chunked[:, :, i] += chunked[:, :, i - 1]
    totals = chunked[:, :-1, -1].cumsum(1)
    chunked[:, 1:] += totals.unsqueeze(2)
    return sums[:, : time + 1]


def drop_tokens(
    mask: Bool[Tensor, "decision token"], probability: float
) -> Bool[Tensor, "decision token"]:
    """Mask each token with that probability; a stream that would lose all its tokens keeps them."""
    keep = mask & (torch.rand(mask.shape, device=mask.device) >= probability)
    return torch.where(keep.any(1, keepdim=True), keep, mask)


__all__ = [
    "Spans",
    "by_block",
    "drop_tokens",
    "pool",
    "running_sum",
    "single_slots",
    "span_edges",
    "token_spans",
    "valid_counts",
]
