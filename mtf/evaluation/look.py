"""A batch of decisions, encoded once, that the model is asked about under any condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from mtf.evaluation.cells import Cell
from mtf.evaluation.disturbed_tokens import disturbed_tokens
from mtf.learning.batches import BatchBuilder, log_age, log_sigma
from mtf.market.asof import Known
from mtf.market.disturbed import Disturbed, delayed_world, late
from mtf.market.forming import Forming, forming, forming_channels
from mtf.market.frozen import frozen, frozen_forming
from mtf.market.side_input import Moments, masked
from mtf.model.batch import Batch, SideBatch
from mtf.model.hybrid import HybridModel, Pooled

Present = dict[str, Bool[np.ndarray, " decision"]]
Answer = dict[str, dict[str, Tensor]]


class Look:
    """Some decisions of one world.

    Args:
        model: in evaluation mode.
        builder: that made the batch.
        times: decision times in ms.
        batch: of these, with everything present, on the model's device.
    """

    def __init__(
        self,
        model: HybridModel,
        builder: BatchBuilder,
        times: Int64[np.ndarray, " decision"],
        batch: Batch,
    ) -> None:
        """Encode the batch; what is asked later shares it."""
        self.model, self.builder, self.times, self.batch = model, builder, times, batch
        self.known = builder.world.known(times)
        views = [batch] if model.mirror is None else [batch, model.mirror(batch)]
        self.encoded = [model.encode(view) for view in views]
        self.pooled = list(map(model.pooled, views, self.encoded))
        self.views = views

    def answer(self, cell: Cell) -> Answer:
        """What the model says under a condition, as if a batch had been made of it.

        With everything present these are the outputs of the model, bit for bit.
        """
        if cell == Cell("present", tuple(self.known)):
            return self._said(self.views, self.pooled)
        disturbed = self._disturbed(cell)
        present = {name: known.present for name, known in disturbed.known.items()}
        if cell.kind == "present":
            present = {name: there & (name in cell.streams) for name, there in present.items()}
        batch = self._seen(cell, disturbed, present)
        seen = [batch] if self.model.mirror is None else [batch, self.model.mirror(batch)]
        both = [disturbed, self._over(disturbed)]
        pooled = [self._pooled(view, both[view]) for view in range(len(seen))]
        return self._said(seen, pooled, sparse=True)

    def _pooled(self, view: int, disturbed: Disturbed) -> list[Pooled]:
        """The bare tokens of every stream, one way up; made anew where a stream is disturbed."""
        pooled = list(self.pooled[view])
        for index, name in enumerate(self.known):
            if name in disturbed.hidden or name in disturbed.tails:
                blocks = self.views[view].streams[name], self.encoded[view][index]
                pooled[index] = disturbed_tokens(self.model, index, *blocks, disturbed)
        return pooled

    def _over(self, disturbed: Disturbed) -> Disturbed:
        """The frozen slots upside down, where the model looks that way, too."""
        mirror, tails = self.model.mirror, disturbed.tails
        if mirror is None:
            return disturbed
        over = {name: mirror.array(name, tail.values) for name, tail in tails.items()}
        tails = {name: replace(tail, values=over[name]) for name, tail in tails.items()}
        return replace(disturbed, tails=tails)

    def _said(
        self, views: Sequence[Batch], pooled: Sequence[Sequence[Pooled]], *, sparse: bool = False
    ) -> Answer:
        """What the model says of what it sees, one way up or both."""
        tokens, *over = map(self.model.dressed, views, pooled)
        return self.model.answer(*tokens, sparse=sparse, over=over[0] if over else None)

    def _disturbed(self, cell: Cell) -> Disturbed:
        """What is known under a condition."""
        if cell.kind == "present":
            return Disturbed(dict(self.known))
        disturb = late if cell.kind == "late" else frozen
        return disturb(self.builder.world, self.times, self.known, cell.stream, cell.slots)

    def _seen(self, cell: Cell, disturbed: Disturbed, present: Present) -> Batch:
        """The same blocks, with what is known of every stream and what hangs on it."""
        world, known, streams = self.builder.world, disturbed.known, dict(self.batch.streams)
        device = next(iter(streams.values())).last.device
        for name, stream in world.streams.items():
            about = log_sigma(known[name]), log_age(known[name], stream)
            sigma, age = (torch.from_numpy(array).to(device) for array in about)
            there = torch.from_numpy(present[name]).to(device)
            streams[name] = replace(streams[name], present=there, log_sigma=sigma, age=age)
        for name in self.builder.forming:
            seen = self._forming(name, disturbed, present)
            candle, any_seen = map(torch.from_numpy, forming_channels(seen, known[name]))
            streams[name] = replace(
                streams[name], forming=candle.to(device), forming_there=any_seen.to(device)
            )
        side = self._side(cell, known, present)
        return replace(
            self.batch,
            streams=streams,
            side={name: one.to(device) for name, one in side.items()},
        )

    def _side(
        self, cell: Cell, known: Mapping[str, Known], present: Present
    ) -> dict[str, SideBatch]:
        """Side inputs: masked with absent streams, and as known where one is late.

        They do not see that a feed hangs.
        """
        builder, sides = self.builder, {}
        if cell.kind == "late" and builder.sides:
            world = delayed_world(builder.world, cell.stream, cell.slots)
            return builder.side_batches(Moments(world, self.times, known), present, {})
        for name, side in builder.sides.items():
            batch = self.batch.side[name]
            valid = torch.from_numpy(masked(side, batch.valid.numpy(force=True), present))
            valid = valid.to(batch.valid.device)
            sides[name] = SideBatch(torch.where(valid, batch.values, 0.0), valid)
        return sides

    def _forming(self, name: str, disturbed: Disturbed, present: Present) -> Forming:
        """The candle of a stream that is not closed yet."""
        about = self.builder.world, self.times, name, disturbed.known, present
        if disturbed.tails:
            return frozen_forming(*about, disturbed)
        return forming(*about, disturbed.hidden)


__all__ = ["Look"]
