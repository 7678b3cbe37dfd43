"""1s candles of one symbol out of the trades of the stream, which is where their history begins.

A second closes when a trade of a later one is there, or after a while in which nothing traded and
the connection spoke. That time passes by what the exchange sent, as it says itself, and never by
ours: a network that stalls, or a process that was stopped, hands over late all that was sent, and
until then the seconds stay open.

What traded while there was no connection is told by REST's newest trades where they reach back so
far; where they don't, those seconds are a gap, and the gap is told. REST may be behind the stream:
its trades are taken once they reach the first one that the stream told.
"""

from __future__ import annotations

from mtf.market.finding import counted
from mtf.market.timeframe import UNIT_MS, Timeframe
from mtf.market.trade_candles import TradeCandles, TradeRows, in_order
from mtf.realtime.events import Ask, Closed, Event, FeedFault, NoCandle
from mtf.realtime.frames import rest_trades, trade_rows

SECOND = Timeframe.parse("1s")
SECOND_MS = 1_000
GRACE_MS = 1_000
"""Trades of a second that is over may be sent so late."""
QUIET_MS = 5_000
"""A second without any later trade is flat once something was sent so long after it."""
PATIENCE_MS = 30_000
"""So long REST may take to tell the newest trades."""
FROZEN_MS = 60_000
OLDEST_MS = 365 * UNIT_MS["d"]
"""The newest trades of a coin that hardly trades may be old."""


class LiveSeconds:
    """The 1s candles of one symbol; the attributes are those of ``InOrder``.

    Args:
        symbol: of the trades.
        since_ms: the first second that is wanted begins then or later.
        grace_ms: trades may be sent so late.
        quiet_ms: a second after which none came is flat once something was sent so long after it.
        patience_ms: so long REST may take to tell the newest trades.
    """

    timeframe = SECOND

    def __init__(
        self,
        symbol: str,
        since_ms: int,
        *,
        grace_ms: int = GRACE_MS,
        quiet_ms: int = QUIET_MS,
        patience_ms: int = PATIENCE_MS,
    ) -> None:
        """No connection yet."""
        self.symbol, self.grace_ms = symbol, grace_ms
        self.quiet_ms, self.patience_ms = quiet_ms, patience_ms
        self.next_ms = _next_second(since_ms)
        self.started = False
        self._builder: TradeCandles | None = None
        self._opened_ms: int | None = None
        self._waiting: list[TradeRows] = []
        self._newest_ms = self._heard_ms = 0

    def opened(self, at_ms: int) -> list[Event]:
        """There is a connection, and the topic was asked for."""
        self.lost(at_ms)
        self._opened_ms = at_ms
        return []

    def lost(self, at_ms: int) -> list[Event]:
        """There is no connection: of the second of the last trade something may be missing."""
        self._builder, self._opened_ms, self._waiting = None, None, []
        self._heard_ms = 0
        return []

    def frame(self, data: object, at_ms: int) -> list[Event]:
        """Take the data of a ``publicTrade`` message; ``advance`` tells what closes by it."""
        if self._opened_ms is None:
            self.opened(at_ms)
        trades, wrong = trade_rows(data, self.symbol, at_ms)
        events: list[Event] = [self._fault("bad trade", words, at_ms) for words in wrong]
        if len(trades) == 0:
            return events
        self._newest_ms = max(self._newest_ms, int(trades.time.max()))
        if self._builder is None:
            self._waiting.append(trades)
        else:
            self._builder.add(trades)
        return events

    def answer(self, rows: object, start_ms: int, end_ms: int, at_ms: int) -> list[Event]:
        """Take the newest trades of REST, asked for after the connection opened."""
        if self._builder is not None or self._opened_ms is None or start_ms < self._opened_ms:
            return []
        trades, wrong = trade_rows(rest_trades(rows), self.symbol, at_ms, OLDEST_MS)
        if wrong:
            words = f"an answer with {len(wrong)} of them is asked for again: {wrong[0]}"
            return [self._fault("bad trade", words, at_ms)]
        return self._begin(trades, at_ms) if self._reaches_stream(trades) else []

    def advance(self, now_ms: int, heard_ms: int) -> list[Event]:
        """Time passes.

        Args:
            now_ms: the time.
            heard_ms: when the exchange sent the newest message of this connection, by its own
                clock; 0 = none came.
        """
        self._heard_ms, opened = heard_ms, self._opened_ms
        events: list[Event] = []
        late = opened is not None and now_ms >= opened + self.patience_ms
        if self._builder is None and late and self._waiting:
            events = self._begin(TradeRows.empty(), now_ms)
        return events + self._close_what_can(now_ms)

    @property
    def refilling(self) -> bool:
        """Whether the newest trades are asked for."""
        return self._builder is None

    def stale(self, now_ms: int) -> bool:
        """Whether nothing was sent for too long: two seconds, and what a flat one takes."""
        limit = 2 * SECOND_MS + self.grace_ms + self.quiet_ms
        return now_ms - max(self._heard_ms, self.next_ms) >= limit

    @property
    def frozen(self) -> bool:
        """Whether nothing traded for a minute; a second without a trade is nothing special."""
        return self.next_ms - self._newest_ms >= FROZEN_MS

    def complete(self, now_ms: int) -> bool:
        """Whether nothing is missing that is due."""
        return self._builder is not None

    def caught_up(self, now_ms: int) -> bool:
        """Whether all that can be told is, and the exchange speaks."""
        return self._builder is not None and not self.stale(now_ms)

    def wanted(self, now_ms: int) -> list[Ask]:
        """The newest trades, once the stream tells the later ones for sure."""
        opened = self._opened_ms
        if self._builder is not None or opened is None:
            return []
        if not self._waiting and now_ms < opened + self.quiet_ms:
            return []
        return [Ask("trades", self.symbol, None, opened, opened, "trades before the connection")]

    def _reaches_stream(self, trades: TradeRows) -> bool:
        """Whether nothing can be between the newest trades and the first one of the stream."""
        heard = [int(each.time.min()) for each in self._waiting]
        return len(trades) > 0 and int(trades.time.max()) >= min(heard, default=0)

    def _begin(self, trades: TradeRows, at_ms: int) -> list[Event]:
        """After the oldest of REST's trades, or else of the stream's, all are known.

        Since when the stream tells them is known by our own clock alone, which may be wrong.
        """
        known = in_order(TradeRows.join(trades, *self._waiting))
        first = max(_next_second(int(known.time[0]) + 1), self.next_ms)
        before = known.price[known.time < first]
        self._builder = TradeCandles(SECOND, first, float(before[-1]))
        self._builder.add(known)
        self._waiting, self.started = [], True
        self._newest_ms = max(self._newest_ms, int(known.time[-1]))
        return self._skip(first, at_ms)

    def _close_what_can(self, at_ms: int) -> list[Event]:
        """Seconds of which all trades are here, because of what was sent after them."""
        later = min(self._heard_ms - self.grace_ms, self._newest_ms)
        return self._close(max(later, self._heard_ms - self.quiet_ms), at_ms)

    def _close(self, until_ms: int, at_ms: int) -> list[Event]:
        """Seconds that were over by a time."""
        if self._builder is None or until_ms < self.next_ms + SECOND_MS:
            return []
        before = self._builder.late
        times, ohlcv = self._builder.close(until_ms)
        events: list[Event] = []
        if (late := self._builder.late - before) > 0:
            words = f"{counted(late, 'trade')} of seconds that were told without"
            events.append(self._fault("late trade", words, at_ms))
        if len(times) == 0:
            return events
        events += self._skip(int(times[0]), at_ms)
        self.next_ms = int(times[-1]) + SECOND_MS
        return [*events, Closed(self.symbol, SECOND, times, ohlcv, at_ms, "stream")]

    def _skip(self, until_ms: int, at_ms: int) -> list[Event]:
        """Seconds of which nobody knows the trades."""
        start, self.next_ms = self.next_ms, until_ms
        if start == until_ms:
            return []
        return [NoCandle(self.symbol, SECOND, start, until_ms, at_ms)]

    def _fault(self, kind: str, words: str, at_ms: int) -> FeedFault:
        """Something to be told."""
        return FeedFault(at_ms, kind, f"{self.symbol} 1s: {words}")


def _next_second(time_ms: int) -> int:
    """The first whole second at a time or after it."""
    return -(-time_ms // SECOND_MS) * SECOND_MS
