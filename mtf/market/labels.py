"""The only look ahead: ``Future(t, reach)``, which refuses anything after ``t + reach``.

A head declares for each decision how far its label reaches and computes the label from this object
alone, so it can't reach further than it says. Where the market has no candle to read, the answer is
absent, never invented.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64

from mtf.errors import LookaheadError
from mtf.market.asof import Known
from mtf.market.candles import CLOSE, OPEN, Candles
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

Times = Int64[np.ndarray, " decision"]


@dataclass(frozen=True)
class Label:
    """The labels of one target.

    Attributes:
        values: named arrays with one row a decision; 0 where absent.
        present: whether the decision has a label.
        group: id of the distinct outcome: decisions that share one (all minutes of a day share
            its 1d candle) are one observation when intervals are computed.
    """

    values: dict[str, np.ndarray]
    present: Bool[np.ndarray, " decision"]
    group: Int64[np.ndarray, " decision"]

    def select(self, chosen: np.ndarray) -> Label:
        """The labels of the decisions chosen by a mask or by indices."""
        values = {name: value[chosen] for name, value in self.values.items()}
        return Label(values, self.present[chosen], self.group[chosen])


class Future:
    """What comes after each decision time, up to its reach.

    Args:
        world: the market.
        times: decision times in ms.
        reach: how far after each time anything may be read, in ms.
    """

    def __init__(self, world: World, times: Times, reach: Times) -> None:
        """Look at ``world`` from ``times``."""
        self.times = times
        self.reach = reach
        self._world = world

    @property
    def clock(self) -> Timeframe:
        """The timeframe at whose closes decisions are made."""
        return self._world.clock

    @property
    def specs(self) -> dict[str, StreamSpec]:
        """What the config says of each stream."""
        return {name: stream.spec for name, stream in self._world.streams.items()}

    @cached_property
    def known(self) -> Mapping[str, Known]:
        """What is known of every stream at the decision times."""
        return self._world.known(self.times)

    @cached_property
    def label_volatility(self) -> Float64[np.ndarray, " decision"]:
        """The volatility s as of each time, in log return a clock step; NaN = not known."""
        return self._world.label_volatility(self.times)

    def entry(self, order_latency_ms: int = 0) -> Float64[np.ndarray, " decision"]:
        """What a trade would get: open of the first clock candle at or after t + order latency.

        NaN where no candle opens within reach.
        """
        candles = self._world.clock_candles
        row = self._entry_row(order_latency_ms)
        opens = self.clock.open_time(row + candles.first_slot)
        inside = (row >= 0) & (opens < self.times + self.reach)
        return _read(candles, np.where(inside, row, -1), OPEN)

    def exit(self, horizon_ms: int, order_latency_ms: int = 0) -> Float64[np.ndarray, " decision"]:
        """Last close at or before t + horizon of a candle that the entry saw the open of.

        NaN where there is none (no candle between entry and horizon).

        Raises:
            LookaheadError: the horizon is beyond the reach.
        """
        self._check(self.times + horizon_ms, f"an exit {horizon_ms} ms ahead")
        candles = self._world.clock_candles
        row = self.clock.last_slot(self.times + horizon_ms) - candles.first_slot
        row = self._world.row_at_or_before(row)
        entry = self._entry_row(order_latency_ms)
        return _read(candles, np.where((entry >= 0) & (row >= entry), row, -1), CLOSE)

    def candle(
        self, stream: str
    ) -> tuple[Float64[np.ndarray, "decision 5"], Bool[np.ndarray, " decision"], Times]:
        """The next candle of a stream: that of the slot with the smallest close time after t.

        Returns:
            Its open, high, low, close and volume (NaN where absent), whether it is there, its slot.

        Raises:
            LookaheadError: it closes beyond the reach.
        """
        candles = self._world.streams[stream].candles
        slot = candles.timeframe.slot(self.times)
        self._check(candles.timeframe.close_time(slot), f"the next candle of {stream}")
        row = slot - candles.first_slot
        inside = (row >= 0) & (row < len(candles))
        safe = np.where(inside, row, 0)
        present = inside & candles.valid[safe] if len(candles) else inside
        ohlcv = candles.ohlcv[safe] if len(candles) else np.empty((len(slot), 5))
        return np.where(present[:, None], ohlcv, np.nan), present, slot

    def _entry_row(self, order_latency_ms: int) -> Times:
        """Row of the first clock candle that opens at or after t + order latency; -1 = none."""
        candles = self._world.clock_candles
        first = self.clock.slot(self.times + order_latency_ms - 1) + 1
        return self._world.row_at_or_after(first - candles.first_slot)

    def _check(self, wanted: Times, what: str) -> None:
        """Refuse to read anything that closes after t + reach."""
        beyond = wanted > self.times + self.reach
        if beyond.any():
            at = int(np.argmax(beyond))
            raise LookaheadError(
                f"label asks at t = {self.times[at]} for {what}, which closes "
                f"{wanted[at] - self.times[at]} ms after t",
                f"at most the declared reach of {self.reach[at]} ms",
                "declare the longer reach in the head, or read less",
            )


def _read(candles: Candles, row: Times, column: int) -> Float64[np.ndarray, " decision"]:
    """One column of the rows; NaN at row -1."""
    if not len(candles):
        return np.full(len(row), np.nan)
    return np.where(row >= 0, candles.ohlcv[np.maximum(row, 0), column], np.nan)
