"""A made-up market without an end: coins that move together, the same for the same seed.

Every UTC day is drawn on its own: its minutes are a bridge between the levels at its two ends, so
any day can be made without those before it. There is nothing to be found in it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.timeframe import UNIT_MS
from mtf.realtime.sandbox.bars import Bars, join
from mtf.realtime.sandbox.interval import HOUR, MINUTE, Interval
from mtf.realtime.sandbox.market import Instrument, Market

DAY_MS, MINUTES = UNIT_MS["d"], 1_440
COINS = {"BTCUSDT": (60_000.0, 1, 3), "ETHUSDT": (3_000.0, 2, 2), "SOLUSDT": (150.0, 3, 1)}
"""First price, digits of a tick, digits of a lot; of any other coin OTHER."""
OTHER = (100.0, 2, 1)
START_MS = 1_748_736_000_000  # 2025-06-01
DAILY_VOLATILITY = 0.03
COMMON_SHARE = 0.6
"""Of a coin's variance: what all coins share."""
LOTS_A_MINUTE = 20_000
FEWEST_LOTS = 8
KEPT_DAYS = 64
"""Days of minutes in memory, 70 KB each."""


class SyntheticMarket(Market):
    """A market for every UTC day from ``history_days`` before ``start_ms`` on, for ever.

    Args:
        symbols: any names; BTCUSDT, ETHUSDT and SOLUSDT have prices like their own.
        start_ms: from where the market's clock is to run.
        seed: 0 or more; each gives another market.
        history_days: whole days of candles before the start.
    """

    def __init__(
        self,
        symbols: Sequence[str] = tuple(COINS),
        start_ms: int = START_MS,
        seed: int = 0,
        history_days: int = 400,
    ) -> None:
        """Name the instruments; nothing is drawn yet."""
        self.seed = seed
        self.start_ms = start_ms
        self._first_day = start_ms // DAY_MS - history_days
        launch = self._first_day * DAY_MS
        self.instruments = {
            symbol: Instrument(symbol, *COINS.get(symbol, OTHER)[1:], launch) for symbol in symbols
        }
        self._levels: dict[str, list[float]] = {}
        self._minutes: dict[tuple[str, int], Bars] = {}
        self._longer: dict[tuple[str, int, str], Bars] = {}

    def base(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """Candles of one minute, hour or day, day by day."""
        first = max(start_ms // DAY_MS, self._first_day)
        days = range(first, -(-end_ms // DAY_MS))
        if not days:
            return Bars.empty()
        return join(*(self._day(symbol, interval, day) for day in days)).between(start_ms, end_ms)

    def _day(self, symbol: str, interval: Interval, day: int) -> Bars:
        """The candles of a UTC day."""
        if interval == MINUTE:
            return self._minutes_of(symbol, day)
        key = (symbol, day, interval.name)
        if key not in self._longer:
            finer = MINUTE if interval == HOUR else HOUR
            self._longer[key] = self._day(symbol, finer, day).aggregate(interval)
        return self._longer[key]

    def _minutes_of(self, symbol: str, day: int) -> Bars:
        """The minutes of a UTC day, drawn or remembered."""
        key = (symbol, day)
        if key not in self._minutes:
            while len(self._minutes) >= KEPT_DAYS:
                del self._minutes[next(iter(self._minutes))]
            self._minutes[key] = self._draw(symbol, day)
        return self._minutes[key]

    def _draw(self, symbol: str, day: int) -> Bars:
        """The minutes of a UTC day: a bridge from its first level to the next day's."""
        level = self._level(symbol, day)
        end = self._level(symbol, day + 1)
        path = self._mix(symbol, day, MINUTES) / np.sqrt(MINUTES)
        walk = np.cumsum(path)
        share = np.arange(1, MINUTES + 1) / MINUTES
        line = level + share * (end - level) + walk - share * walk[-1]
        ticks = self._ticks(symbol, np.concatenate([[level], line]))
        rng = self._rng(symbol, day, 2)
        first, last = ticks[:-1], ticks[1:]
        reach = np.rint(rng.exponential(2e-4, (2, MINUTES)) * first).astype(np.int64)
        high = np.maximum(first, last) + reach[0]
        low = np.maximum(np.minimum(first, last) - reach[1], 1)
        lots = FEWEST_LOTS + (rng.lognormal(-0.5, 1.0, MINUTES) * LOTS_A_MINUTE).astype(np.int64)
        time = day * DAY_MS + 60_000 * np.arange(MINUTES)
        return Bars.of(time, np.column_stack([first, high, low, last, lots]))

    def _ticks(self, symbol: str, logs: Float64[np.ndarray, " time"]) -> Int64[np.ndarray, " time"]:
        """Prices in whole ticks, at least one."""
        scale = 10.0 ** self.instruments[symbol].price_decimals
        ticks: np.ndarray = np.maximum(np.rint(np.exp(logs) * scale).astype(np.int64), 1)
        return ticks

    def _level(self, symbol: str, day: int) -> float:
        """The log price at the beginning of a UTC day."""
        first = float(np.log(COINS.get(symbol, OTHER)[0]))
        levels = self._levels.setdefault(symbol, [first])
        while len(levels) <= day - self._first_day:
            step = self._mix(symbol, self._first_day + len(levels) - 1, 1, 1)
            levels.append(levels[-1] + float(step[0]))
        return levels[day - self._first_day]

    def _mix(self, symbol: str, day: int, count: int, use: int = 0) -> Float64[np.ndarray, " step"]:
        """Steps of one coin: what all share, and its own."""
        shared = self._rng("", day, use).standard_normal(count)
        own = self._rng(symbol, day, use).standard_normal(count)
        mixed: np.ndarray = np.sqrt(COMMON_SHARE) * shared + np.sqrt(1 - COMMON_SHARE) * own
        return mixed * DAILY_VOLATILITY

    def _rng(self, symbol: str, day: int, use: int) -> np.random.Generator:
        """Draws that depend on seed, coin, day and use alone."""
        return np.random.default_rng([self.seed, zlib.crc32(symbol.encode()), day, use])
