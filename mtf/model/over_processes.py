"""Sums over all processes of a training, through which gradients find their way back.

A batch is cut among processes by its decisions. A block of candles that decisions of several
processes read is encoded by each of them, and counts once: where the first of them has it. Outside
of ``over_processes`` there is one process, and nothing is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, distributed

_counted: ContextVar[Tensor | None] = ContextVar("counted", default=None)


@contextmanager
def over_processes(counted: Bool[Tensor, " block"]) -> Iterator[None]:
    """Within the block statistics are those of all processes, which must all do the same.

    Args:
        counted: the blocks that count here; those that do not count in another process.
    """
    token = _counted.set(counted)
    try:
        yield
    finally:
        _counted.reset(token)


def counted_blocks() -> Tensor | None:
    """The blocks that count here; None = all, there is one process."""
    return _counted.get()


def summed(value: Tensor) -> Tensor:
    """The sum over all processes; with one, the value itself."""
    if _counted.get() is None:
        return value
    total: Tensor = _Summed.apply(value)  # type: ignore[no-untyped-call]
    return total


class _Summed(torch.autograd.Function):
    """The sum y of all x: each x has a share in the loss of every process, so dx sums over dy."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        """Return the sum."""
        return _all_reduced(value)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the sum of the gradients of all processes."""
        return _all_reduced(grads[0])


def _all_reduced(value: Tensor) -> Tensor:
    total = value.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total


__all__ = ["counted_blocks", "over_processes", "summed"]
