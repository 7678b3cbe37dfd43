"""What of a market is known by now: closed candles, the open one, trades, book, funding.

Everything that REST and the streams say comes from here, so the two can't contradict each other.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from mtf.realtime.sandbox.bars import CLOSE, OPEN, VOLUME, Bars, fold, join
from mtf.realtime.sandbox.book import Book, book_at
from mtf.realtime.sandbox.clock import MarketClock
from mtf.realtime.sandbox.interval import DAY, HOUR, MINUTE, Interval
from mtf.realtime.sandbox.market import FUNDING_MS, Market
from mtf.realtime.sandbox.trades import Trades

MINUTE_MS, DAY_MS = 60_000, 86_400_000
KEPT_MINUTES = 512
"""Minutes whose trades stay in memory, 3 KB each."""


@dataclass(frozen=True)
class Frozen:
    """Whole minutes in which symbols of a pattern do not trade: their price stands still."""

    pattern: str
    start_ms: int
    end_ms: int


class Exchange:
    """A market at the time of a clock.

    Attributes:
        market: all candles, past and to come.
        clock: the market's time.
        offset_ms: what the server's own clock is ahead of the right time.
    """

    def __init__(self, market: Market, clock: MarketClock) -> None:
        """Nothing is frozen yet."""
        self.market = market
        self.clock = clock
        self.offset_ms = 0
        self._frozen: list[Frozen] = []
        self._trades: dict[tuple[str, int], Trades] = {}

    def server_ms(self) -> int:
        """The time that the server says."""
        return self.clock.now_ms() + self.offset_ms

    def freeze(self, pattern: str, start_ms: int, lasts_ms: int) -> None:
        """Let whole minutes pass without a trade, from the next one on."""
        first = -(-start_ms // MINUTE_MS) * MINUTE_MS
        end = first + -(-lasts_ms // MINUTE_MS) * MINUTE_MS
        self._frozen.append(Frozen(pattern, first, end))
        self._trades.clear()

    def minutes(self, symbol: str, start_ms: int, end_ms: int) -> Bars:
        """Minutes, frozen ones flat at the last price before."""
        bars = self.market.base(symbol, MINUTE, start_ms, end_ms)
        for span in self._spans(symbol, start_ms, end_ms):
            rows = (bars.open_time >= span.start_ms) & (bars.open_time < span.end_ms)
            before = self.minutes(symbol, span.start_ms - DAY_MS, span.start_ms).last(1)
            if rows.any() and len(before):
                values = bars.values.copy()
                values[rows] = 0
                values[rows, :VOLUME] = before.values[0, CLOSE]
                bars = Bars(bars.open_time, values)
        return bars

    def bars(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """Candles with ``start_ms <= open_time < end_ms``, those to come among them."""
        if interval == MINUTE:
            return self.minutes(symbol, start_ms, end_ms)
        bars = self.market.bars(symbol, interval, start_ms, end_ms)
        for span in self._spans(symbol, start_ms, end_ms):
            first = interval.open_of(span.start_ms)
            end = interval.close_of(interval.open_of(span.end_ms - 1))
            anew = self.minutes(symbol, first, end).aggregate(interval).between(start_ms, end_ms)
            bars = join(anew, bars)
        return bars

    def _spans(self, symbol: str, start_ms: int, end_ms: int) -> list[Frozen]:
        """Frozen times of a symbol that begin in or reach into some time."""
        return [
            span
            for span in self._frozen
            if fnmatchcase(symbol, span.pattern)
            and span.start_ms < end_ms
            and span.end_ms > start_ms
        ]

    def known(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> Bars:
        """Candles known now with ``start_ms <= open_time < end_ms``; the open one is the last."""
        now = self.clock.now_ms()
        newest = interval.open_of(now)
        closed = self.bars(symbol, interval, start_ms, min(end_ms, newest))
        if not start_ms <= newest < end_ms:
            return closed
        return join(closed, self.open_bar(symbol, interval, now))

    def page(
        self, symbol: str, interval: Interval, start_ms: int | None, end_ms: int | None, limit: int
    ) -> Bars:
        """Candles as ``/v5/market/kline`` chooses them, in order of time.

        With a start alone the oldest from there on, else the newest up to the end.
        """
        now = self.clock.now_ms()
        launch = interval.open_of(self.market.instruments[symbol].launch_ms)
        start = launch if start_ms is None else max(start_ms, launch)
        if start_ms is not None and end_ms is None:
            last = interval.forward(interval.open_of(start), limit)
            return self.known(symbol, interval, start, min(last, now) + 1).first(limit)
        end = now if end_ms is None else min(end_ms, now)
        count = limit
        while True:
            first = max(interval.back(interval.open_of(end), count), start)
            found = self.known(symbol, interval, first, end + 1)
            if len(found) >= limit or first == start:
                return found.last(limit)
            count *= 4

    def open_bar(self, symbol: str, interval: Interval, now_ms: int) -> Bars:
        """The candle that is open at a time, out of all that has traded by then."""
        minute = self._open_minute(symbol, now_ms)
        if len(minute) == 0:
            return minute
        first, parts = interval.open_of(now_ms), []
        for step in (DAY, HOUR, MINUTE):
            end = step.open_of(now_ms)
            if first < end:
                parts.append(self.bars(symbol, step, first, end))
                first = end
        whole = fold(join(*parts, minute))
        return Bars(np.array([interval.open_of(now_ms)], dtype=np.int64), whole.values)

    def _open_minute(self, symbol: str, now_ms: int) -> Bars:
        """The open minute; before its first trade it is flat at the last price."""
        start = MINUTE.open_of(now_ms)
        bars = self.minutes(symbol, start, start + MINUTE_MS)
        if len(bars) == 0:
            return bars
        traded = self.trades_of_minute(symbol, start).between(start - 1, now_ms)
        prices = traded.price
        if len(traded) == 0:
            before = self.minutes(symbol, start - DAY_MS, start).last(1)
            prices = before.values[:, CLOSE] if len(before) else bars.values[:, OPEN]
        values = [prices[0], prices.max(), prices.min(), prices[-1], traded.size.sum()]
        return Bars.of(bars.open_time, np.array([values], dtype=np.int64))

    def trades_of_minute(self, symbol: str, open_ms: int) -> Trades:
        """All trades of the minute that opens then."""
        key = (symbol, open_ms)
        if key not in self._trades:
            while len(self._trades) >= KEPT_MINUTES:
                del self._trades[next(iter(self._trades))]
            bars = self.minutes(symbol, open_ms, open_ms + MINUTE_MS)
            values = bars.values[0] if len(bars) else np.zeros(6, dtype=np.int64)
            self._trades[key] = self.market.trades(symbol, open_ms, values)
        return self._trades[key]

    def trades(self, symbol: str, after_ms: int, until_ms: int) -> list[Trades]:
        """Trades with ``after_ms < time <= until_ms``, minute by minute."""
        first = MINUTE.open_of(after_ms)
        minutes = range(first, until_ms + 1, MINUTE_MS)
        return [self.trades_of_minute(symbol, at).between(after_ms, until_ms) for at in minutes]

    def recent_trades(self, symbol: str, count: int) -> list[Trades]:
        """The newest trades, the newest minute first; at most those of a day."""
        now = self.clock.now_ms()
        found: list[Trades] = []
        for start in range(MINUTE.open_of(now), now - DAY_MS, -MINUTE_MS):
            trades = self.trades_of_minute(symbol, start).between(start - 1, now)
            found.append(trades.select(slice(max(len(trades) - count, 0), None)))
            count -= len(trades)
            if count <= 0:
                break
        return found

    def price(self, symbol: str, now_ms: int) -> int | None:
        """The last price at a time in ticks; None = nothing has traded in the day before."""
        minute = self._open_minute(symbol, now_ms)
        if len(minute) == 0:
            minute = self.minutes(symbol, now_ms - DAY_MS, MINUTE.open_of(now_ms)).last(1)
        return int(minute.values[0, CLOSE]) if len(minute) else None

    def book(self, symbol: str, now_ms: int, depth: int) -> Book:
        """The order book at a time; without a price it is empty."""
        price = self.price(symbol, now_ms)
        if price is None:
            return Book({}, {})
        return book_at(symbol, price, now_ms, depth, self.market.seed)

    def funding(
        self, symbol: str, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[tuple[int, int]]:
        """Times of funding and rates in 1e-8, the newest first; made up, near 0.01 % each."""
        launch = self.market.instruments[symbol].launch_ms
        now = self.clock.now_ms()
        end = (now if end_ms is None else min(end_ms, now)) // FUNDING_MS * FUNDING_MS
        first = max(launch, launch if start_ms is None else start_ms)
        times = range(end, first - 1, -FUNDING_MS)[:limit]
        return [(time, self._rate(symbol, time)) for time in times]

    def _rate(self, symbol: str, time_ms: int) -> int:
        """One funding rate in 1e-8."""
        drawn = zlib.crc32(f"{self.market.seed}{symbol}{time_ms}".encode())
        return drawn % 30_000 - 10_000
