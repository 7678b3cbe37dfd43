"""Topics of the public stream, and what is said of each between two moments."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mtf.realtime.sandbox.bars import CLOSE, HIGH, LOW, OPEN, TURNOVER, VOLUME, text, turnover_text
from mtf.realtime.sandbox.book import Book
from mtf.realtime.sandbox.exchange import Exchange
from mtf.realtime.sandbox.interval import INTERVALS, Interval
from mtf.realtime.sandbox.market import Instrument
from mtf.realtime.sandbox.public import level_rows

TOPIC = re.compile(
    r"kline\.(?P<interval>[0-9DWM]+)\.(?P<candles>[^.]+)"
    r"|publicTrade\.(?P<trades>[^.]+)"
    r"|orderbook\.(?P<depth>1|50|200|500)\.(?P<book>[^.]+)"
)
TRADES_A_MESSAGE = 1_024
SECOND_MS = 1_000
CLOSED = "/closed"
"""What a closed candle adds to its topic, so that a fault can be meant for it alone."""


@dataclass(frozen=True)
class Message:
    """One message of a topic: the place that faults know it by, its time, its content."""

    place: str
    time_ms: int
    content: dict[str, Any]


class Topic(ABC):
    """One topic that somebody listens to."""

    def __init__(self, name: str, exchange: Exchange, instrument: Instrument) -> None:
        """Remember of what it speaks."""
        self.name = name
        self.exchange = exchange
        self.instrument = instrument

    @classmethod
    def parse(cls, name: str, exchange: Exchange) -> Topic | None:
        """The topic of that name; None = there is none."""
        match = TOPIC.fullmatch(name)
        if match is None:
            return None
        symbol = match["candles"] or match["trades"] or match["book"]
        instrument = exchange.market.instruments.get(symbol)
        if instrument is None:
            return None
        if match["trades"]:
            return TradeTopic(name, exchange, instrument)
        if match["depth"]:
            return BookTopic(name, exchange, instrument, int(match["depth"]))
        interval = INTERVALS.get(match["interval"])
        return KlineTopic(name, exchange, instrument, interval) if interval else None

    def first(self) -> list[Message]:
        """What a new listener is told at once."""
        return []

    @abstractmethod
    def messages(self, after_ms: int, until_ms: int) -> Iterator[Message]:
        """What is said with ``after_ms < time <= until_ms``."""

    def _message(
        self, time_ms: int, kind: str, data: object, place: str = "", **more: int
    ) -> Message:
        """The frame around data."""
        ts = time_ms + self.exchange.offset_ms
        content = {"topic": self.name, "type": kind, "ts": ts, "data": data, **more}
        return Message(self.name + place, time_ms, content)


class KlineTopic(Topic):
    """Candles: every one that closes, with ``confirm`` true, then the open one as it is by now."""

    def __init__(
        self, name: str, exchange: Exchange, instrument: Instrument, interval: Interval
    ) -> None:
        """Remember the candles' length."""
        super().__init__(name, exchange, instrument)
        self.interval = interval

    def messages(self, after_ms: int, until_ms: int) -> Iterator[Message]:
        """Closed candles in order, each at its close; the open one last."""
        symbol, interval = self.instrument.symbol, self.interval
        first, newest = interval.open_of(after_ms), interval.open_of(until_ms)
        closed = self.exchange.bars(symbol, interval, first, newest)
        for start, row in zip(closed.open_time.tolist(), closed.values.tolist(), strict=True):
            yield self._candle(start, row, interval.close_of(start), closed=True)
        if until_ms // SECOND_MS == after_ms // SECOND_MS:
            return  # the open candle is told once a second
        now = self.exchange.open_bar(symbol, interval, until_ms)
        for start, row in zip(now.open_time.tolist(), now.values.tolist(), strict=True):
            yield self._candle(start, row, until_ms, closed=False)

    def _candle(self, start: int, row: list[int], time_ms: int, *, closed: bool) -> Message:
        """One candle."""
        price, size = self.instrument.price_decimals, self.instrument.size_decimals
        candle = {
            "start": start,
            "end": self.interval.close_of(start) - 1,
            "interval": self.interval.name,
            "open": text(row[OPEN], price),
            "close": text(row[CLOSE], price),
            "high": text(row[HIGH], price),
            "low": text(row[LOW], price),
            "volume": text(row[VOLUME], size),
            "turnover": turnover_text(row[TURNOVER], price + size),
            "confirm": closed,
            "timestamp": time_ms + self.exchange.offset_ms,
        }
        return self._message(time_ms, "snapshot", [candle], CLOSED if closed else "")


class TradeTopic(Topic):
    """Every trade once, in order; each message has those of one minute."""

    def messages(self, after_ms: int, until_ms: int) -> Iterator[Message]:
        """Trades, none where nothing traded."""
        symbol = self.instrument.symbol
        price, size = self.instrument.price_decimals, self.instrument.size_decimals
        for trades in self.exchange.trades(symbol, after_ms, until_ms):
            rows = [
                {
                    "T": int(trades.time[row]),
                    "s": symbol,
                    "S": "Buy" if trades.buy[row] else "Sell",
                    "v": text(int(trades.size[row]), size),
                    "p": text(int(trades.price[row]), price),
                    "L": "PlusTick" if trades.buy[row] else "MinusTick",
                    "i": trades.identity(row, symbol),
                    "BT": False,
                    "RPI": False,
                    "seq": int(trades.sequence[row]),
                }
                for row in range(len(trades))
            ]
            for first in range(0, len(rows), TRADES_A_MESSAGE):
                part = rows[first : first + TRADES_A_MESSAGE]
                yield self._message(int(trades.time[first + len(part) - 1]), "snapshot", part)


class BookTopic(Topic):
    """The order book: whole for a new listener, then what changes.

    Attributes:
        update: number of the last message; each delta has the next one.
    """

    def __init__(self, name: str, exchange: Exchange, instrument: Instrument, depth: int) -> None:
        """Begin with the book as it is now."""
        super().__init__(name, exchange, instrument)
        self.depth = depth
        self.time_ms = exchange.clock.now_ms()
        self.update = self.time_ms
        self.book = exchange.book(instrument.symbol, self.time_ms, depth)

    def first(self) -> list[Message]:
        """The whole book as of the last message."""
        return [self._book(self.time_ms, "snapshot", self.book)]

    def messages(self, after_ms: int, until_ms: int) -> Iterator[Message]:
        """One delta, where anything changed."""
        later = self.exchange.book(self.instrument.symbol, until_ms, self.depth)
        changes = self.book.changes(later)
        self.book, self.time_ms = later, until_ms
        if changes.bids or changes.asks:
            self.update += 1
            yield self._book(until_ms, "delta", changes)

    def reset(self) -> Message:
        """The whole book with an update number of 1, as after a restart of the exchange."""
        self.update = 1
        return self.first()[0]

    def _book(self, time_ms: int, kind: str, book: Book) -> Message:
        """A book, or its changes."""
        data: Mapping[str, object] = {
            "s": self.instrument.symbol,
            "b": level_rows(self.instrument, book.bids),
            "a": level_rows(self.instrument, book.asks),
            "u": self.update,
            "seq": time_ms,
        }
        return self._message(time_ms, kind, data, cts=time_ms + self.exchange.offset_ms)
