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
from mtf.market import label_kernels
from mtf.market.asof import Known
from mtf.market.candles import CLOSE, HIGH, LOW, OPEN, Candles
from mtf.market.pivots import Neighbours, NextPivot, next_pivot
from mtf.market.stream import StreamSpec
from mtf.market.timeframe import Timeframe
from mtf.market.world import World

Times = Int64[np.ndarray, " decision"]
Reals = Float64[np.ndarray, " decision"]

MIN_SHARE = 0.5
"""Labels that describe a path are absent where less than this share of its candles is there."""


@dataclass(frozen=True)
class Label:
    """The labels of one target.

    Attributes:
        values: named arrays with one row a decision; 0 where absent.
        present: whether the decision has a label.
        group: id of the distinct outcome: decisions that share one (all minutes of a day share
            its 1d candle) are one observation when intervals are computed. In a panel so are
            those with the same id about two symbols: let it count time.
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
        row, entry = self._exit_row(horizon_ms), self._entry_row(order_latency_ms)
        return _read(candles, np.where((entry >= 0) & (row >= entry), row, -1), CLOSE)

    def extremes(
        self, horizon_ms: int, order_latency_ms: int = 0
    ) -> tuple[Float64[np.ndarray, " decision"], Float64[np.ndarray, " decision"]]:
        """Highest high and lowest low of the clock candles from the entry's to the exit's.

        Candles that are missing are passed over; NaN where there is no entry or no exit.

        Raises:
            LookaheadError: the horizon is beyond the reach.
        """
        self._check(self.times + horizon_ms, f"extremes up to {horizon_ms} ms ahead")
        ohlcv = self._world.clock_candles.ohlcv
        rows = self._entry_row(order_latency_ms), self._exit_row(horizon_ms)
        highest, lowest = label_kernels.extremes(ohlcv[:, HIGH], ohlcv[:, LOW], *rows)
        return highest, lowest

    def first_touched(
        self, take_profit: Reals, stop_loss: Reals, horizon_ms: int, order_latency_ms: int = 0
    ) -> Times:
        """Which trade takes its profit first, from the entry's candle to the exit's.

        Args:
            take_profit: log return at which the long trade takes profit; its negative is where the
                short trade does.
            stop_loss: log return, counted positive, at which a trade is given up; a candle that
                touches both barriers of a trade stops it.
            horizon_ms: after t, when both are given up.
            order_latency_ms: as of ``entry``.

        Returns:
            0 the long, 1 the short, 2 neither (or both within one candle, or no path).

        Raises:
            LookaheadError: the horizon is beyond the reach.
        """
        self._check(self.times + horizon_ms, f"barriers up to {horizon_ms} ms ahead")
        ohlcv = self._world.clock_candles.ohlcv
        rows = self._entry_row(order_latency_ms), self._exit_row(horizon_ms)
        touched: np.ndarray = label_kernels.barriers(
            ohlcv[:, OPEN], ohlcv[:, HIGH], ohlcv[:, LOW], *rows, take_profit, stop_loss
        )
        return touched

    def realised_volatility(self, horizon_ms: int, order_latency_ms: int = 0) -> Reals:
        """Root of the sum of squared log returns from the entry price to the exit price.

        The first return is from the entry (the open of its candle) to that candle's close, then
        close to close. A return across a gap is one return: its square stands for the whole gap.
        NaN where fewer than half of the clock candles up to the horizon are there.

        Raises:
            LookaheadError: the horizon is beyond the reach.
        """
        self._check(self.times + horizon_ms, f"volatility up to {horizon_ms} ms ahead")
        ohlcv = self._world.clock_candles.ohlcv
        rows = self._entry_row(order_latency_ms), self._exit_row(horizon_ms)
        squares, count = label_kernels.squared_returns(ohlcv[:, OPEN], ohlcv[:, CLOSE], *rows)
        enough = count >= max(1.0, MIN_SHARE * horizon_ms / self.clock.duration_ms)
        return np.where(enough, np.sqrt(squares), np.nan)

    def line(self, length: int, stream: str | None = None) -> tuple[Reals, Reals]:
        """The least-squares line through the log closes of the next ``length`` slots.

        Args:
            length: slots, the first being that with the smallest close time after t.
            stream: name of a stream; None = the clock's candles.

        Returns:
            Slope in log price a slot and R² (0 where all closes are equal). Missing candles are
            passed over; NaN where fewer than half of the slots, or fewer than 3, have one.

        Raises:
            LookaheadError: the last of them closes beyond the reach.
        """
        world = self._world
        candles = world.clock_candles if stream is None else world.streams[stream].candles
        slot = candles.timeframe.slot(self.times)
        self._check(
            candles.timeframe.close_time(slot + length - 1),
            f"{length} candles of {stream or 'the clock'}",
        )
        least = max(3, int(np.ceil(MIN_SHARE * length)))
        close, valid = candles.ohlcv[:, CLOSE], candles.valid
        slope, fit = label_kernels.lines(close, valid, slot - candles.first_slot, length, least)
        return slope, fit

    def pivot(self, neighbours: Neighbours, cap_ms: int) -> NextPivot:
        """The next pivot of level ``len(neighbours)``, if it is confirmed by t + cap.

        The first whose candle opens at or after t among those confirmed in time; see
        ``mtf.market.pivots``.

        Raises:
            LookaheadError: the cap is beyond the reach.
        """
        self._check(self.times + cap_ms, f"pivots up to {cap_ms} ms ahead")
        start = self._world.clock_candles.first_slot
        first = self.clock.slot(self.times - 1) + 1 - start
        last = self.clock.last_slot(self.times + cap_ms) - start
        return next_pivot(*self._world.pivots.level(neighbours), first, last)

    def share(self, horizon_ms: int) -> Reals:
        """Share of the clock's slots between t and t + horizon that have a candle.

        Raises:
            LookaheadError: the horizon is beyond the reach.
        """
        self._check(self.times + horizon_ms, f"candles up to {horizon_ms} ms ahead")
        start = self._world.clock_candles.first_slot
        first = self.clock.slot(self.times - 1) + 1 - start
        end = self.clock.last_slot(self.times + horizon_ms) - start + 1
        return np.asarray(self._world.candles_between(first, end) / np.maximum(end - first, 1))

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

    def _exit_row(self, horizon_ms: int) -> Times:
        """Row of the last clock candle that closes at or before t + horizon; -1 = none."""
        last = self.clock.last_slot(self.times + horizon_ms)
        return self._world.row_at_or_before(last - self._world.clock_candles.first_slot)

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
