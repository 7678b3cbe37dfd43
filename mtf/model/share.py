"""The share of one process in a batch: some of its decisions, and the blocks that they read.

Which decisions look into a block is known of all processes, so a block is encoded alike wherever it
is: the same slots are seen. That makes several processes give the gradients of one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, TypeVar, cast

import torch
from jaxtyping import Bool, Int64
from torch import Tensor, nn

from mtf.model.batch import Batch, SideBatch, StreamBatch, TargetBatch
from mtf.model.hybrid import HybridModel
from mtf.model.over_processes import over_processes

Value = TypeVar("Value")


@dataclass
class Share:
    """What one process reads of a batch.

    Attributes:
        own: its decisions.
        around: the same blocks, with the decisions of all processes that look into them.
        counted: by stream, the blocks that no process before this one has.
    """

    own: Batch
    around: dict[str, StreamBatch]
    counted: dict[str, Bool[Tensor, " block"]]


class SharedModel(nn.Module):
    """The model on one process of several: encodes its blocks as all see them, answers its own.

    Args:
        model: all of it; every process has the same.
    """

    def __init__(self, model: HybridModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, share: Share) -> dict[str, dict[str, Tensor]]:
        """Return the outputs of every head, one row a decision of this process."""
        encoded = []
        for index, spec in enumerate(self.model.streams):
            with over_processes(share.counted[spec.name]):
                encoded.append(self.model.encode_stream(index, share.around[spec.name]))
        return self.model.answer(*self.model.tokens(share.own, encoded))


def share(batch: Batch, edges: Sequence[int], rank: int) -> Share:
    """Cut a batch.

    Args:
        batch: all of it.
        edges: first decision of each process, and after them how many there are.
        rank: of the process whose share is wanted.
    """
    owner = torch.bucketize(torch.arange(batch.size), torch.tensor(edges[1:]), right=True)
    mine = (owner == rank).nonzero().squeeze(1)
    cut = {name: _blocks(stream, owner, rank) for name, stream in batch.streams.items()}
    own = Batch(
        {name: _stream(stream, mine) for name, (stream, _) in cut.items()},
        {
            head: {name: _target(target, mine) for name, target in targets.items()}
            for head, targets in batch.targets.items()
        },
        {name: SideBatch(one.values[mine], one.valid[mine]) for name, one in batch.side.items()},
        None if batch.symbol is None else batch.symbol[mine],
    )
    around = {
        name: _stream(stream, (stream.block >= 0).nonzero().squeeze(1))
        for name, (stream, _) in cut.items()
    }
    return Share(own, around, {name: counted for name, (_, counted) in cut.items()})


def _blocks(
    stream: StreamBatch, owner: Int64[Tensor, " decision"], rank: int
) -> tuple[StreamBatch, Tensor]:
    """The blocks that a process reads, and which of them count there.

    The stream keeps all decisions; those that look into other blocks have block -1.
    """
    wanted = torch.unique(stream.block[owner == rank])
    blocks = len(stream.values)
    first = torch.full((blocks,), len(owner)).scatter_reduce(0, stream.block, owner, "amin")
    place = torch.full((blocks,), -1)
    place[wanted] = torch.arange(len(wanted))
    values, valid, block = stream.values[wanted], stream.valid[wanted], place[stream.block]
    return replace(stream, values=values, valid=valid, block=block), first[wanted] == rank


def _stream(stream: StreamBatch, rows: Int64[Tensor, " row"]) -> StreamBatch:
    """Some decisions of a stream, and all of its blocks."""
    of_decisions = {
        field.name: getattr(stream, field.name)[rows]
        for field in fields(stream)
        if field.name not in ("values", "valid") and getattr(stream, field.name) is not None
    }
    return replace(stream, **of_decisions)


def _target(target: TargetBatch, rows: Int64[Tensor, " row"]) -> TargetBatch:
    values = {name: value[rows] for name, value in target.values.items()}
    return TargetBatch(values, target.present[rows])


def each_tensor(value: Value, change: Callable[[Tensor], Tensor]) -> Value:
    """A batch or a share with every tensor in it changed."""
    changed: Any
    if isinstance(value, Tensor):
        changed = change(value)
    elif isinstance(value, dict):
        changed = {key: each_tensor(one, change) for key, one in value.items()}
    elif isinstance(value, list):
        changed = [each_tensor(one, change) for one in value]
    elif is_dataclass(value) and not isinstance(value, type):
        parts = {one.name: each_tensor(getattr(value, one.name), change) for one in fields(value)}
        changed = replace(value, **parts)
    else:
        return value
    return cast("Value", changed)


__all__ = ["Share", "SharedModel", "each_tensor", "share"]
