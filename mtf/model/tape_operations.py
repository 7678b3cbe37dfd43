"""Operations of a tape that are faster than torch's own at one decision.

Each is asked once, with the result that torch computed and what it was computed of, and says where
its results will lie and what computes them again; or None, where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtf.model import attention_kernels, tape_kernels
from mtf.model.lanes import LANES

Found = tuple[Tensor, Callable[[], object]] | None
MOST_KEYS = 512
"""Beyond, torch's own attention is as good."""


def linear(result: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Found:
    """One product of matrices, the weights turned beforehand."""
    if not (result.is_contiguous() and x.is_contiguous() and _is_real(x, weight)):
        return None
    rows, into = x.view(-1, x.shape[-1]).numpy(), result.view(-1, result.shape[-1]).numpy()
    turned = np.ascontiguousarray(weight.numpy().T)
    if bias is None:
        return result, partial(np.dot, rows, turned, into)
    added = bias.numpy()

    def run() -> None:
        np.dot(rows, turned, into)
        np.add(into, added, into)

    return result, run


def matmul(result: Tensor, a: Tensor, b: Tensor) -> Found:
    """Products of matrices."""
    if not _is_real(a, b) or a.ndim < 2 or b.ndim < 2:
        return None
    return result, partial(np.matmul, a.numpy(), b.numpy(), result.numpy())


def layer_norm(
    result: Tensor,
    x: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    _cudnn: bool = False,
) -> Found:
    """Norm of every row."""
    if weight is None or bias is None or len(shape) != 1 or shape[0] % LANES:
        return None
    if not (_is_real(x, weight) and x.is_contiguous() and result.is_contiguous()):
        return None
    flat = x.view(-1).numpy(), weight.numpy(), bias.numpy(), eps, result.view(-1).numpy()
    return result, partial(tape_kernels.normalise, *flat)


def gelu(result: Tensor, x: Tensor, approximate: str = "none") -> Found:
    """GELU by the error function."""
    whole = x.is_contiguous() and result.is_contiguous() and x.numel() % LANES == 0
    if not (whole and _is_real(x) and approximate == "none"):
        return None
    return result, partial(tape_kernels.gelu, x.view(-1).numpy(), result.view(-1).numpy())


def attention(
    result: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    dropout: float = 0.0,
    causal: bool = False,
    **more: Any,
) -> Found:
    """Attention with one mask for all queries; what is read lies head beside head."""
    batch, heads, queries, width = query.shape
    keys = key.shape[2]
    if mask is None:
        mask = torch.ones(batch, keys, dtype=torch.bool)
    one_mask = mask.dtype == torch.bool and mask.numel() == batch * keys
    beside = all(one.stride(3) == 1 and one.stride(1) == width for one in (query, key, value))
    together = key.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()
    fits = width % LANES == 0 and max(queries, keys) <= MOST_KEYS and _is_real(query, key, value)
    steps = query.stride(2), key.stride(2)
    dense = query.stride(0) == queries * steps[0] and key.stride(0) == keys * steps[1]
    if not (one_mask and beside and together and fits and (dense or batch == 1)) or causal or more:
        return None
    out = torch.empty(batch, queries, heads, width)
    places = query.storage_offset(), key.storage_offset(), value.storage_offset()
    kept = np.empty((batch, heads, 2, -(-queries // LANES) * LANES), np.float32)
    given = _memory(query), _memory(key), mask.reshape(batch, keys).numpy()
    shape = queries, heads, width
    run = partial(
        attention_kernels.attend, *given, shape, steps, places, out.view(-1).numpy(), kept
    )
    run()
    return out.permute(0, 2, 1, 3), run


def where(result: Tensor, mask: Tensor, x: Any, other: Any) -> Found:
    """Values where the mask, others elsewhere."""
    into, there = result.numpy(), mask.numpy()
    whole = isinstance(x, Tensor) and _is_real(x) and x.is_contiguous() and result.is_contiguous()
    by_row = mask.shape == (*result.shape[:-1], 1) and not isinstance(other, Tensor)
    if whole and by_row and x.shape == result.shape and mask.is_contiguous():
        rows = x.view(-1, x.shape[-1]).numpy(), mask.view(-1).numpy(), np.float32(other)
        return result, partial(tape_kernels.select_rows, *rows, into.reshape(-1, x.shape[-1]))
    given, behind = (one.numpy() if isinstance(one, Tensor) else one for one in (x, other))

    def run() -> None:
        np.copyto(into, behind)
        np.copyto(into, given, where=there)

    return result, run


def joined(result: Tensor, parts: Sequence[Tensor], dim: int = 0) -> Found:
    """Tensors one behind the other."""
    arrays = [part.numpy() for part in parts]
    return result, partial(np.concatenate, arrays, dim, result.numpy())


def stacked(result: Tensor, parts: Sequence[Tensor], dim: int = 0) -> Found:
    """Tensors side by side on an axis of their own."""
    return joined(result, [part.unsqueeze(dim) for part in parts], dim)


def softplus(result: Tensor, x: Tensor, beta: float = 1, threshold: float = 20) -> Found:
    """``log(1 + exp(x))``."""
    if beta != 1 or not _is_real(x):
        return None
    return result, partial(np.logaddexp, x.numpy(), np.float32(0), out=result.numpy())


def softmax(result: Tensor, x: Tensor, dim: int, dtype: torch.dtype | None = None) -> Found:
    """Shares of every row."""
    whole = x.is_contiguous() and result.is_contiguous() and dim in (-1, x.ndim - 1)
    if not (whole and _is_real(x, result)) or dtype is not None:
        return None
    rows = (one.view(-1, x.shape[-1]).numpy() for one in (x, result))
    return result, partial(tape_kernels.softmax, *rows)


def clamp(result: Tensor, x: Tensor, min: Any = None, max: Any = None) -> Found:  # noqa: A002
    """Never below."""
    if max is not None or min is None or isinstance(min, Tensor):
        return None
    return result, partial(np.maximum, x.numpy(), x.numpy().dtype.type(min), out=result.numpy())


def elementwise(function: np.ufunc) -> Callable[..., Found]:
    """An operation of two tensors, or of one and a number."""

    def found(result: Tensor, a: Any, b: Any, **more: Any) -> Found:
        if more or not all(_is_real(one) or isinstance(one, int | float) for one in (a, b)):
            return None
        given = [one.numpy() if isinstance(one, Tensor) else np.float32(one) for one in (a, b)]
        return result, partial(function, *given, out=result.numpy())

    return found


def _is_real(*tensors: Any) -> bool:
    """Whether all are float32 tensors."""
    return all(isinstance(one, Tensor) and one.dtype == torch.float32 for one in tensors)


def _memory(x: Tensor) -> np.ndarray:
    """All the memory that a tensor is a view of, flat."""
    size = x.untyped_storage().nbytes() // x.element_size()
    whole: np.ndarray = x.detach().as_strided((size,), (1,), 0).numpy()
    return whole


FAST: dict[str, Callable[..., Found]] = {
    "linear": linear,
    "matmul": matmul,
    "layer_norm": layer_norm,
    "gelu": gelu,
    "scaled_dot_product_attention": attention,
    "where": where,
    "cat": joined,
    "stack": stacked,
    "softmax": softmax,
    "softplus": softplus,
    "clamp": clamp,
    "add": elementwise(np.add),
    "sub": elementwise(np.subtract),
    "mul": elementwise(np.multiply),
    "div": elementwise(np.divide),
    "maximum": elementwise(np.maximum),
    "minimum": elementwise(np.minimum),
}
"""By the name of torch's operation."""

__all__ = ["FAST"]
