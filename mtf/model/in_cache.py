"""The parts of a transformer layer in pieces that stay in a core's cache, on CPU.

Between two matrix products torch writes what it has to memory and reads it back, operation by
operation: at 64 channels that takes as long as the products. Here a piece of some hundred rows goes
through norm, product, GELU, dropout and residual before the next one is begun, forward and
backward. What dropout drops is a function of a seed and the place, so nothing is kept of it.

Where this does not apply (other devices, other numbers, many threads, a graph to export) the
callers do the same by torch, operation by operation.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from mtf.model import attention_kernels, layer_kernels
from mtf.model.lanes import LANES
from mtf.model.product_kernels import pack, pack_turned

MOST_KEYS = 512
"""Beyond, what the kernel of attention holds of one decision leaves the cache."""
MOST_THREADS = 4
"""The kernels run on one thread, on which they are some four times as fast as torch's."""

Array = np.ndarray[Any, np.dtype[Any]]


def applies(x: Tensor, *linears: nn.Linear) -> bool:
    """Whether a layer may run in pieces: float32 on a CPU, channels in sixteens, nobody tracing."""
    sizes = [x.shape[-1], *(one.out_features for one in linears)]
    return (
        x.device.type == "cpu"
        and all(part.dtype == torch.float32 for part in (x, *(one.weight for one in linears)))
        and x.numel() > 0
        and not any(size % LANES for size in sizes)
        and torch.get_num_threads() <= MOST_THREADS
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.compiler.is_exporting()
        and not is_in_torch_dispatch_mode()
    )


def attention_applies(queries: int, keys: int, width: int) -> bool:
    """Whether the kernel of attention may be asked, where ``applies``."""
    return width % LANES == 0 and max(queries, keys) <= MOST_KEYS


def feed_forward(
    x: Float32[Tensor, "batch token dim"],
    norm: nn.LayerNorm,
    widen: nn.Linear,
    narrow: nn.Linear,
    dropout: float,
) -> Float32[Tensor, "batch token dim"]:
    """``x + dropout(narrow(gelu(widen(norm(x)))))``."""
    weights = norm.weight, norm.bias, widen.weight, widen.bias, narrow.weight, narrow.bias
    # Asked here: a function's context says that weights want gradients even where none are wanted.
    given = norm.eps, dropout, torch.is_grad_enabled()
    found: Tensor = _FeedForward.apply(x, *weights, *given)  # type: ignore[no-untyped-call]
    return found


def projected(
    x: Float32[Tensor, "batch token dim"],
    norm: nn.LayerNorm,
    weight: Float32[Tensor, "out dim"],
    bias: Float32[Tensor, " out"],
) -> Float32[Tensor, "batch token out"]:
    """A linear map of ``norm(x)``."""
    given = norm.weight, norm.bias, weight, bias, norm.eps
    found: Tensor = _Projected.apply(x, *given)  # type: ignore[no-untyped-call]
    return found


def attended(
    query: Float32[Tensor, "batch query parts"],
    source: Float32[Tensor, "batch key both"] | None,
    mask: Bool[Tensor, "batch key"] | None,
    heads: int,
) -> Float32[Tensor, "batch query dim"]:
    """What every query reads, heads side by side; 0 where no key is there.

    Args:
        query: of each token its query; without ``source``, behind it its key and its value.
        source: of each token its key and behind it its value.
        mask: which keys are there; None = all.
        heads: that share ``dim``.
    """
    found: Tensor = _Attended.apply(query, source, mask, heads)  # type: ignore[no-untyped-call]
    return found


def added(
    x: Float32[Tensor, "batch token dim"],
    read: Float32[Tensor, "batch token width"],
    out: nn.Linear,
    dropout: float,
) -> Float32[Tensor, "batch token dim"]:
    """``x + dropout(out(read))``."""
    found: Tensor = _Answered.apply(x, read, out.weight, out.bias, dropout)  # type: ignore[no-untyped-call]
    return found


def reading(
    x: Float32[Tensor, "batch query dim"],
    source: Float32[Tensor, "batch key dim"] | None,
    mask: Bool[Tensor, "batch key"] | None,
    norms: tuple[nn.LayerNorm, ...],
    query_key_value: nn.Linear,
    out: nn.Linear,
    heads: int,
) -> Float32[Tensor, "batch query dim"]:
    """``x`` plus what it reads of itself or of ``source``: all of an attention block at once.

    Nothing is kept for gradients. Two norms where there is a source, one where there is none.
    """
    dim, rows = x.shape[-1], _rows(x)
    weight, bias = query_key_value.weight.detach(), query_key_value.bias.detach()
    there = _all(x if source is None else source) if mask is None else _each(mask, x)
    found, (gains, eps) = torch.empty_like(rows), _norms(norms)
    last = _packed_turned(out.weight), _flat(out.bias), _flat(found)
    if source is None:
        packed = _packed_turned(weight), _flat(bias)
        given = _flat(rows), there.numpy(), heads, gains[0], eps[0]
        layer_kernels.read_themselves(*given, *packed, *last)
    else:
        both = _packed_turned(weight[:dim]), _packed_turned(weight[dim:])
        of = _flat(rows), _flat(_rows(source)), there.numpy(), heads, gains, eps
        layer_kernels.read_source(*of, both, _flats(bias[:dim], bias[dim:]), *last)
    return found.view_as(x)


def _norms(norms: tuple[nn.LayerNorm, ...]) -> tuple[tuple[tuple[Array, ...], ...], Any]:
    """Gains and shifts of norms, and what they add to variances."""
    return tuple(_flats(one.weight, one.bias) for one in norms), tuple(one.eps for one in norms)


class _FeedForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *given: Any) -> Tensor:
        gain, shift, widen, b_widen, narrow, b_narrow, eps, dropout, learning = given
        rows = _rows(x)
        out, moments = torch.empty_like(rows), rows.new_empty(len(rows), 2)
        hidden, drop = rows.new_empty(len(rows) if learning else 0, len(widen)), _drawn(dropout)
        layer_kernels.feed_forward(
            *(_flat(rows), len(rows), _flats(gain, shift), eps),
            *(_packed_turned(widen), _flat(b_widen), _packed_turned(narrow), _flat(b_narrow)),
            *(drop, _flat(out), _flats(moments, hidden)),
        )
        if learning:
            ctx.save_for_backward(rows, moments, hidden, gain, shift, widen, b_widen, narrow)
            ctx.drop = drop
        return out.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, moments, hidden, gain, shift, widen, b_widen, narrow = ctx.saved_tensors
        above = _rows(grad)
        found, changes = above.clone(), [_zeros(one) for one in (gain, shift, widen)]
        changes += [_zeros(one) for one in (b_widen, narrow, gain)]
        layer_kernels.feed_forward_backward(
            *(_flat(above), _flat(rows), len(rows), _flats(gain, shift)),
            *(_packed(widen), _flat(b_widen), _packed(narrow), ctx.drop, _flats(moments, hidden)),
            *(_flat(found), _flats(*changes[:2]), _flats(*changes[2:4]), _flats(*changes[4:])),
        )
        return found.view_as(grad), *changes, None, None, None


class _Projected(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *given: Any) -> Tensor:
        gain, shift, weight, bias, eps = given
        rows = _rows(x)
        out, moments = rows.new_empty(len(rows), len(weight)), rows.new_empty(len(rows), 2)
        layer_kernels.project(
            *(_flat(rows), len(rows), _flats(gain, shift), eps, _packed_turned(weight)),
            *(_flat(bias), _flat(out), _flat(moments)),
        )
        ctx.save_for_backward(rows, moments, gain, shift, weight)
        return out.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, moments, gain, shift, weight = ctx.saved_tensors
        changes = [_zeros(one) for one in (rows, gain, shift, weight, weight[:, 0])]
        found, d_gain, d_shift, d_weight, d_bias = changes
        layer_kernels.project_backward(
            *(_flat(_rows(grad)), _flat(rows), len(rows), _flats(gain, shift), _packed(weight)),
            *(_flat(moments), _flat(found), _flats(d_gain, d_shift)),
            *_flats(d_weight, d_bias),
        )
        return found.view(*grad.shape[:-1], rows.shape[1]), d_gain, d_shift, d_weight, d_bias, None


class _Attended(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, source: Tensor | None, *given: Any) -> Tensor:
        mask, heads = given
        ctx.themselves = source is None
        query, source = query.contiguous(), (query if source is None else source).contiguous()
        mask = _all(source) if mask is None else _each(mask, query)
        dim = source.shape[2] // (3 if ctx.themselves else 2)
        place = source.shape[2] - 2 * dim
        steps, places = (query.shape[2], source.shape[2]), (0, place, place + dim)
        ctx.geometry = (query.shape[1], heads, dim // heads), steps, places
        out = query.new_empty(*query.shape[:2], dim)
        kept = query.new_empty(len(query), heads, 2, -(-query.shape[1] // LANES) * LANES)
        places_of = _flat(query), _flat(source), mask.numpy(), *ctx.geometry
        attention_kernels.attend(*places_of, _flat(out), kept.numpy())
        ctx.save_for_backward(query, source, mask, out, kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, source, mask, out, kept = ctx.saved_tensors
        d_query = torch.empty_like(query)
        d_source = d_query if ctx.themselves else torch.empty_like(source)
        given = _flat(query), _flat(source), mask.numpy(), *ctx.geometry
        into = _flat(out), kept.numpy(), _flat(d_query), _flat(d_source)
        attention_kernels.attend_backward(_flat(grad.contiguous()), *given, *into)
        return d_query, None if ctx.themselves else d_source, None, None


class _Answered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, read: Tensor, *given: Any) -> Tensor:
        weight, bias, dropout = given
        rows, source, drop = _rows(x), _rows(read), _drawn(dropout)
        out = torch.empty_like(rows)
        packed = _packed_turned(weight), _flat(bias)
        layer_kernels.answer(*_flats(rows, source), len(rows), *packed, drop, _flat(out))
        ctx.save_for_backward(source, weight)
        ctx.drop = drop
        return out.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        source, weight = ctx.saved_tensors
        found, d_weight = torch.empty_like(source), _zeros(weight)
        d_bias = weight.new_zeros(len(weight))
        given = _flat(_rows(grad)), _flat(source), len(source), _packed(weight), ctx.drop
        layer_kernels.answer_backward(*given, *_flats(found, d_weight, d_bias))
        return grad, found.view(*grad.shape[:-1], source.shape[1]), d_weight, d_bias, None


def _drawn(probability: float) -> tuple[int, int, float]:
    """What dropout takes: a seed, the least number that stays, what the rest is multiplied by.

    Without dropout no seed is drawn.
    """
    seed = int(torch.randint(2**62, ())) if probability else 0
    least = min(int(probability * 2**32), 2**32 - 1)
    return seed, least, 1 / (1 - probability) if probability < 1 else 0.0


def _packed(weight: Tensor) -> Array:
    """A matrix ``[out, in]``, packed: rows ``[row, out]`` times it are ``[row, in]``."""
    into = np.empty(weight.numel(), np.float32)
    pack(_flat(weight.contiguous()), *weight.shape, into)
    return into


def _packed_turned(weight: Tensor) -> Array:
    """The same turned over: rows ``[row, in]`` times it are ``[row, out]``."""
    into = np.empty(weight.numel(), np.float32)
    pack_turned(_flat(weight.contiguous()), *weight.shape, into)
    return into


def _all(source: Tensor) -> Tensor:
    """A mask of keys that are all there."""
    return torch.ones(source.shape[:2], dtype=torch.bool)


def _each(mask: Tensor, x: Tensor) -> Tensor:
    """A mask with a row a decision, also where one row is for all."""
    return mask.expand(len(x), -1).contiguous()


def _zeros(like: Tensor) -> Tensor:
    """Zeros that lie one behind the other, however those of ``like`` do."""
    return torch.zeros_like(like, memory_format=torch.contiguous_format)


def _rows(x: Tensor) -> Tensor:
    """All tokens one below the other."""
    return x.reshape(-1, x.shape[-1]).contiguous()


def _flat(x: Tensor) -> Array:
    """The memory of a contiguous tensor."""
    return x.detach().view(-1).numpy()


def _flats(*given: Tensor) -> tuple[Array, ...]:
    """The memory of contiguous tensors."""
    return tuple(map(_flat, given))


__all__ = [
    "added",
    "applies",
    "attended",
    "attention_applies",
    "feed_forward",
    "projected",
    "reading",
]
