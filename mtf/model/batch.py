"""A batch: blocks of candles, and where each decision looks in them.

The same value serves both paths. *Encode once*: one block serves all decisions of a group.
*Window*: every decision has a block of its own. The model does not know the difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor


@dataclass
class StreamBatch:
    """One stream of a batch.

    Attributes:
        values: features; what stands behind ``valid == False`` is never looked at.
        valid: whether the slot may be used.
        block: the block in which each decision finds its slots.
        last: index within that block of the decision's last slot (by the timetable).
        present: False = the stream is absent for this decision (missing, stale or dropped).
        log_sigma: ``(ln sigma_bps - 2) / 2`` of the stream at the decision.
        age: ``log1p`` of the age of the last candle in durations.
        forming: the candle that is not closed yet (see ``market.forming``); None = not asked for.
        forming_there: whether anything of it has been seen.
    """

    values: Float32[Tensor, "block time channel"]
    valid: Bool[Tensor, "block time"]
    block: Int64[Tensor, " decision"]
    last: Int64[Tensor, " decision"]
    present: Bool[Tensor, " decision"]
    log_sigma: Float32[Tensor, " decision"]
    age: Float32[Tensor, " decision"]
    forming: Float32[Tensor, "decision 6"] | None = None
    forming_there: Bool[Tensor, " decision"] | None = None

    def to(self, device: torch.device | str) -> StreamBatch:
        """The same on another device."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        there = {name: part for name, part in parts.items() if part is not None}
        return StreamBatch(**{n: part.to(device, non_blocking=True) for n, part in there.items()})


@dataclass
class SideBatch:
    """One side input of a batch; vectors have one step of time.

    Attributes:
        values: what stands behind ``valid == False`` is never looked at.
        valid: which elements are there; a decision without the side input has none.
    """

    values: Float32[Tensor, "decision time element"]
    valid: Bool[Tensor, "decision time element"]

    def to(self, device: torch.device | str) -> SideBatch:
        """The same on another device."""
        parts = self.values, self.valid
        return SideBatch(*(part.to(device, non_blocking=True) for part in parts))


@dataclass
class TargetBatch:
    """Labels of one target of one head; rows without a label hold zeros."""

    values: dict[str, Tensor]
    present: Bool[Tensor, " decision"]

    def to(self, device: torch.device | str) -> TargetBatch:
        """The same on another device."""
        values = {name: value.to(device) for name, value in self.values.items()}
        return TargetBatch(values, self.present.to(device))


@dataclass
class Batch:
    """What one step of training or prediction reads.

    Attributes:
        streams: by stream name; all have the same number of decisions.
        targets: head -> target -> labels; empty at prediction.
        side: side inputs by name; one that is not here counts as missing.
        symbol: which symbol of a panel each decision is about, counted as the config lists them;
            -1 = one that the model has not learned. None = not told of any decision.
    """

    streams: dict[str, StreamBatch]
    targets: dict[str, dict[str, TargetBatch]]
    side: dict[str, SideBatch] = field(default_factory=dict)
    symbol: Int64[Tensor, " decision"] | None = None

    @property
    def size(self) -> int:
        """Number of decisions."""
        return len(next(iter(self.streams.values())).present)

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return Batch(
            {name: stream.to(device) for name, stream in self.streams.items()},
            {
                head: {name: target.to(device) for name, target in targets.items()}
                for head, targets in self.targets.items()
            },
            {name: side.to(device) for name, side in self.side.items()},
            None if self.symbol is None else self.symbol.to(device),
        )


__all__ = ["Batch", "SideBatch", "StreamBatch", "TargetBatch"]
