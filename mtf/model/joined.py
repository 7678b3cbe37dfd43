"""Batches of several symbols as one: blocks one behind the other, decisions too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from mtf.model.batch import Batch, SideBatch, StreamBatch, TargetBatch


def joined(batches: Sequence[Batch]) -> Batch:
    """One batch with the decisions of all, in their order; what each of them sees is unchanged.

    Shorter blocks are filled up behind with slots that are not valid.
    """
    first = batches[0]
    if len(batches) == 1:
        return first
    told = [one.symbol for one in batches if one.symbol is not None]
    return Batch(
        {name: _stream([one.streams[name] for one in batches]) for name in first.streams},
        {
            head: {name: _target([one.targets[head][name] for one in batches]) for name in targets}
            for head, targets in first.targets.items()
        },
        {name: _side([one.side[name] for one in batches]) for name in first.side},
        torch.cat(told) if len(told) == len(batches) else None,
    )


def _stream(parts: Sequence[StreamBatch]) -> StreamBatch:
    """One stream of all batches; a decision's block is counted on from those before."""
    length = max(part.values.shape[1] for part in parts)
    before = accumulate((len(part.values) for part in parts), initial=0)
    return StreamBatch(
        values=torch.cat([_filled(part.values, length) for part in parts]),
        valid=torch.cat([_filled(part.valid, length) for part in parts]),
        block=torch.cat([part.block + start for part, start in zip(parts, before, strict=False)]),
        last=torch.cat([part.last for part in parts]),
        present=torch.cat([part.present for part in parts]),
        log_sigma=torch.cat([part.log_sigma for part in parts]),
        age=torch.cat([part.age for part in parts]),
        forming=_all([part.forming for part in parts]),
        forming_there=_all([part.forming_there for part in parts]),
    )


def _filled(blocks: Tensor, length: int) -> Tensor:
    """Blocks ``[block, time, …]`` with zeros behind, up to the length."""
    behind = [0, 0] * (blocks.ndim - 2)
    return F.pad(blocks, [*behind, 0, length - blocks.shape[1]])


def _all(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The parts as one; None where there is none of them."""
    there = [part for part in parts if part is not None]
    return torch.cat(there) if there else None


def _target(parts: Sequence[TargetBatch]) -> TargetBatch:
    values = {name: torch.cat([part.values[name] for part in parts]) for name in parts[0].values}
    return TargetBatch(values, torch.cat([part.present for part in parts]))


def _side(parts: Sequence[SideBatch]) -> SideBatch:
    return SideBatch(
        torch.cat([part.values for part in parts]), torch.cat([part.valid for part in parts])
    )


__all__ = ["joined"]
