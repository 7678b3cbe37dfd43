"""The primary symbols of a run: a world and a builder of batches for each, one model for all.

A group of decisions is about one symbol; a batch holds the groups of all, symbol by symbol. With
one symbol the batch is that of its builder, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int64

from mtf.learning.batches import BatchBuilder, lay_out
from mtf.market.timeframe import Timeframe
from mtf.market.world import World
from mtf.model.batch import Batch
from mtf.model.joined import joined
from mtf.plugins.contracts import Head

FAR = 1 << 40
"""Slots from one symbol to the next when blocks are laid out together: none holds two."""


@dataclass(frozen=True)
class Panel:
    """The builders of all primary symbols.

    Attributes:
        builders: by symbol, in the order of the config.
    """

    builders: Mapping[str, BatchBuilder]

    @property
    def first(self) -> BatchBuilder:
        """The builder of the first symbol."""
        return next(iter(self.builders.values()))

    @property
    def worlds(self) -> dict[str, World]:
        """The market around each symbol."""
        return {symbol: builder.world for symbol, builder in self.builders.items()}

    @property
    def clock(self) -> Timeframe:
        """The timeframe at whose closes decisions are made, about every symbol."""
        return self.first.world.clock

    @property
    def heads(self) -> Mapping[str, Head]:
        """The heads whose labels go with the batches."""
        return self.first.heads

    @property
    def members(self) -> int:
        """Streams and side inputs: what a decision may lose in training."""
        return len(self.first.world.streams) + len(self.first.sides)

    def each(self, change: Callable[[BatchBuilder], BatchBuilder]) -> Panel:
        """The same with every builder changed."""
        return Panel({symbol: change(builder) for symbol, builder in self.builders.items()})

    def build(
        self,
        times: Int64[np.ndarray, "group member"],
        symbols: Int64[np.ndarray, " group"],
        end_ms: int | None,
        dropped: Bool[np.ndarray, "decision input"] | None = None,
        untold: Bool[np.ndarray, " decision"] | None = None,
        *,
        training: bool = False,
    ) -> Batch:
        """The batch of groups of decisions.

        Args:
            times: decision times in ms.
            symbols: which symbol each group is about, counted as the builders are, ascending.
            end_ms: end of the part, where labels are purged; None = no border.
            dropped: streams taken away from each decision, and after them side inputs.
            untold: decisions that are not told their symbol.
            training: whether the model learns from the batch.
        """
        parts, widths = [], self._widths(times, symbols)
        for index, builder in enumerate(self.builders.values()):
            groups = symbols == index
            if groups.any():
                lost = None if dropped is None else dropped[groups.repeat(times.shape[1])]
                mine = times[groups]
                parts.append(builder.build(mine, end_ms, lost, training=training, widths=widths))
        batch = joined(parts)
        if untold is None or batch.symbol is None:
            return batch
        return replace(batch, symbol=torch.where(torch.from_numpy(untold), -1, batch.symbol))

    def _widths(
        self, times: Int64[np.ndarray, "group member"], symbols: Int64[np.ndarray, " group"]
    ) -> dict[str, int] | None:
        """How wide blocks are to be, so that those of all symbols, equally long, are few slots."""
        if symbols[0] == symbols[-1]:
            return None
        widths = {}
        for name, stream in self.first.world.streams.items():
            spec, need = stream.spec, self.first.required_slots[name]
            last = spec.timeframe.last_slot(times, spec.latency_ms) + symbols[:, None] * FAR
            widths[name] = lay_out(last, need, self.first.once[name]).length - need
        return widths
