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
from mtf.market.world import World

GROUPS, DROPOUT, UNTOLD, TURNED = 0, 1, 2, 3  # streams of random numbers


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
    times = part.times(clock)
    if len(times) <= span:
        raise DataError(
            f"the {part.name} part has {len(times)} clock steps",
            f"a group needs {span + 1}: {decisions} decisions × stride {stride}",
            "lower training.sampling.decisions or .stride, or widen decisions.start … .end",
        )
    times = times[: len(times) - span]
    candles = world.clock_candles
    row = clock.slot(times) - 1 - candles.first_slot
    inside = (row >= 0) & (row < len(candles))
    there: np.ndarray = times[inside][candles.valid[row[inside]]]
    if not len(there):
        raise DataError(
            f"no {clock} candle of {world.symbol} in the {part.name} part",
            "candles at the clock's timeframe between decisions.start and decisions.end",
            "check the data's dates (mtf inspect FILE) against decisions.start and .end",
        )
    return there
