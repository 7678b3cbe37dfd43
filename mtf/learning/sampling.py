"""Which decisions a training step sees, as a pure function of (seed, epoch, step).

A batch is ``groups`` × ``decisions`` spaced ``stride`` clock steps apart. Consecutive decisions
share their candles, which is what encoding once saves; spaced ones are less alike, which is what
learning needs. In a panel a group is about one symbol, drawn in proportion to the places where one
of its groups may start: every decision of every symbol is as likely as any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from mtf.errors import DataError
from mtf.learning.splits import Part
from mtf.market import mapped
from mtf.market.world import World

GROUPS, DROPOUT, UNTOLD, TURNED, NOISE = 0, 1, 2, 3, 4  # streams of random numbers


@dataclass(frozen=True)
class Sampler:
    """Draws the decisions of training steps.

    Attributes:
        seed: of the run.
        starts: where a group may start: clock closes (ms) whose candle is there; symbol by symbol.
        groups: groups a batch.
        decisions: decisions a group.
        stride_ms: from one decision of a group to the next.
        stream_dropout: probability that a decision loses some streams.
        counts: how many of the starts each symbol of a panel has; empty = all are of one symbol.
        symbol_dropout: probability that a decision is not told its symbol.
    """

    seed: int
    starts: Int64[np.ndarray, " start"]
    groups: int
    decisions: int
    stride_ms: int
    stream_dropout: float
    counts: tuple[int, ...] = ()
    symbol_dropout: float = 0.0

    def times(self, epoch: int, step: int, part: int = 0) -> Int64[np.ndarray, "group member"]:
        """Decision times of a training step (``part`` counts the accumulated batches within it).

        Groups of one symbol stand together, in the order of the symbols.
        """
        first = self.starts[self._drawn(epoch, step, part)]
        mapped.release(self.starts)
        return np.asarray(first[:, None] + np.arange(self.decisions) * self.stride_ms)

    def symbols(self, epoch: int, step: int, part: int = 0) -> Int64[np.ndarray, " group"]:
        """Which symbol each group of a training step is about; ascending."""
        ends = np.cumsum(self.counts or (len(self.starts),))
        symbols = ends.searchsorted(self._drawn(epoch, step, part), side="right")
        return np.asarray(symbols, np.int64)

    def untold(self, epoch: int, step: int, part: int = 0) -> Bool[np.ndarray, " decision"]:
        """Which decisions are not told their symbol."""
        rng = np.random.default_rng([self.seed, epoch, step, part, UNTOLD])
        return rng.random(self.groups * self.decisions) < self.symbol_dropout

    def turned(self, epoch: int, step: int, part: int = 0) -> Bool[np.ndarray, " decision"]:
        """Which decisions are shown upside down: half of the groups, whole ones."""
        rng = np.random.default_rng([self.seed, epoch, step, part, TURNED])
        return np.repeat(rng.random(self.groups) < 0.5, self.decisions)

    def edges(self, ranks: int) -> list[int]:
        """First decision of each process, and after them how many there are.

        Whole groups stay together, and in a panel in the order of the symbols; where they do not
        divide evenly the first processes take one more.
        """
        groups = [len(part) for part in np.array_split(np.arange(self.groups), ranks)]
        return [0, *(int(end) * self.decisions for end in np.cumsum(groups))]

    def noise(self, epoch: int, step: int, rank: int) -> int:
        """Where a process of several starts drawing the random numbers of dropout in a step."""
        state = np.random.SeedSequence([self.seed, epoch, step, rank, NOISE])
        return int(state.generate_state(1, np.uint64)[0])

    def dropped(
        self, epoch: int, step: int, streams: int, part: int = 0
    ) -> Bool[np.ndarray, "decision stream"]:
        """Which streams each decision loses.

        With probability ``stream_dropout`` their number is uniform in 0 … all, and which ones is
        uniform without replacement.
        """
        rng = np.random.default_rng([self.seed, epoch, step, part, DROPOUT])
        count = self.groups * self.decisions
        losing = rng.random(count) < self.stream_dropout
        missing = np.where(losing, rng.integers(0, streams + 1, count), 0)
        rank = rng.random((count, streams)).argsort(axis=1).argsort(axis=1)
        return rank < missing[:, None]

    def _drawn(self, epoch: int, step: int, part: int) -> Int64[np.ndarray, " group"]:
        """The start of each group, as an index; in the order drawn where all are of one symbol."""
        rng = np.random.default_rng([self.seed, epoch, step, part, GROUPS])
        drawn = rng.choice(len(self.starts), self.groups)
        ends = np.cumsum(self.counts or (len(self.starts),))
        order = ends.searchsorted(drawn, side="right").argsort(kind="stable")
        return np.asarray(drawn[order], np.int64)


def group_starts(
    world: World, part: Part, decisions: int, stride: int
) -> Int64[np.ndarray, " start"]:
    """Closes in the part from which a whole group fits into it and whose clock candle is there.

    Raises:
        DataError: the part is shorter than one group.
    """
    clock = world.clock
    span = (decisions - 1) * stride
    slots = part.slots(clock)
    if len(slots) <= span:
        raise DataError(
            f"the {part.name} part has {len(slots)} clock steps",
            f"a group needs {span + 1}: {decisions} decisions × stride {stride}",
            "lower training.sampling.decisions or .stride, or widen decisions.start … .end",
        )
    candles, end = world.clock_candles, 0
    starts = mapped.empty(len(slots) - span, np.int64)
    for piece in mapped.pieces(len(starts)):
        slot = slots.start + np.arange(piece.start, piece.stop)
        row = slot - 1 - candles.first_slot  # of the candle that closes where the slot opens
        inside = (row >= 0) & (row < len(candles))
        some = clock.open_time(slot[inside][candles.valid[row[inside]]])
        starts[end : end + len(some)] = some
        mapped.release(starts[end : end + len(some)])
        end += len(some)
    mapped.release(candles.valid)
    if not end:
        raise DataError(
            f"no {clock} candle of {world.symbol} in the {part.name} part",
            "candles at the clock's timeframe between decisions.start and decisions.end",
            "check the data's dates (mtf inspect FILE) against decisions.start and .end",
        )
    return starts[:end]
