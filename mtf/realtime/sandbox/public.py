"""Answers of the public REST endpoints under ``/v5/market``.

The rules are those of the exchange's documentation of v5; where it clamps or guesses, this one
refuses, so that a careless client shows itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mtf.realtime.sandbox.bars import HIGH, LOW, VOLUME, Bars, text, turnover_text
from mtf.realtime.sandbox.exchange import DAY_MS, Exchange
from mtf.realtime.sandbox.faults import ROW_FAULTS, Schedule
from mtf.realtime.sandbox.interval import HOUR, INTERVALS
from mtf.realtime.sandbox.market import FUNDING_MS, Instrument
from mtf.realtime.sandbox.rows import spoil
from mtf.realtime.sandbox.trades import Trades

Params = Mapping[str, str]
CATEGORIES = ("spot", "linear", "inverse", "option")
KLINE = "/v5/market/kline"


class RefusalError(Exception):
    """An answer with a code other than 0.

    Args:
        code: the exchange's, such as 10001 for a parameter that can't be.
        message: its words.
    """

    def __init__(self, code: int, message: str) -> None:
        """Keep both."""
        super().__init__(code, message)
        self.code = code
        self.message = message


class PublicAnswers:
    """What the public endpoints say of an exchange."""

    def __init__(self, exchange: Exchange, schedule: Schedule) -> None:
        """Remember whom to ask."""
        self.exchange = exchange
        self.schedule = schedule
        self.paths: dict[str, Callable[[Params], dict[str, Any]]] = {
            "/v5/market/time": self.time,
            KLINE: self.kline,
            "/v5/market/instruments-info": self.instruments,
            "/v5/market/funding/history": self.funding,
            "/v5/market/recent-trade": self.recent_trades,
            "/v5/market/orderbook": self.orderbook,
            "/v5/market/tickers": self.tickers,
        }

    def time(self, _: Params) -> dict[str, Any]:
        """The server's clock."""
        now = self.exchange.server_ms()
        return {"timeSecond": str(now // 1_000), "timeNano": str(now * 1_000_000)}

    def kline(self, params: Params) -> dict[str, Any]:
        """Candles, the newest first; the open one among them, with nothing that says so."""
        instrument = self._instrument(params)
        interval = INTERVALS.get(params.get("interval", ""))
        if interval is None:
            raise RefusalError(10001, "Invalid period!")
        start, end = number(params, "start"), number(params, "end")
        if start is not None and end is not None and start > end:
            raise RefusalError(10001, "params error: start time is greater than end time")
        limit = limited(params, 200, 1_000)
        found = self.exchange.page(instrument.symbol, interval, start, end, limit)
        rows = kline_rows(instrument, found)[::-1]
        fault = self.schedule.take(ROW_FAULTS, KLINE, self.exchange.clock.now_ms())
        if fault is not None:
            symbol, now = instrument.symbol, self.exchange.clock.now_ms()
            newest = kline_rows(instrument, self.exchange.open_bar(symbol, interval, now))
            rows = spoil(rows, fault.kind, newest, self.exchange.market.seed)
        return {"category": "linear", "symbol": instrument.symbol, "list": rows}

    def instruments(self, params: Params) -> dict[str, Any]:
        """Instruments in alphabetical order, a page at a time."""
        self._category(params)
        limit = limited(params, 500, 1_000)
        names = sorted(self.exchange.market.instruments)
        if "symbol" in params:
            names, limit = [self._instrument(params).symbol], 1
        first = _position(params.get("cursor", ""), len(names))
        page = names[first : first + limit]
        rest = first + limit < len(names)
        return {
            "category": "linear",
            "list": [self.exchange.market.instruments[name].as_json() for name in page],
            "nextPageCursor": f"first%3D{first + limit}" if rest else "",
        }

    def funding(self, params: Params) -> dict[str, Any]:
        """Funding rates, the newest first."""
        symbol = self._instrument(params).symbol
        start, end = number(params, "startTime"), number(params, "endTime")
        if start is not None and end is None:
            raise RefusalError(10001, "params error: startTime without endTime")
        rates = self.exchange.funding(symbol, start, end, limited(params, 200, 200))
        rows = [
            {"symbol": symbol, "fundingRate": text(rate, 8), "fundingRateTimestamp": str(time)}
            for time, rate in rates
        ]
        return {"category": "linear", "list": rows}

    def recent_trades(self, params: Params) -> dict[str, Any]:
        """The last trades, the newest first; there is no paging back."""
        instrument = self._instrument(params)
        limit = limited(params, 500, 1_000)
        rows = [
            row
            for trades in self.exchange.recent_trades(instrument.symbol, limit)
            for row in trade_rows(instrument, trades)[::-1]
        ]
        return {"category": "linear", "list": rows}

    def orderbook(self, params: Params) -> dict[str, Any]:
        """The book as it is now."""
        instrument = self._instrument(params)
        now = self.exchange.clock.now_ms()
        book = self.exchange.book(instrument.symbol, now, limited(params, 25, 500))
        return {
            "s": instrument.symbol,
            "b": level_rows(instrument, book.bids),
            "a": level_rows(instrument, book.asks),
            "ts": self.exchange.server_ms(),
            "u": now,
            "seq": now,
            "cts": self.exchange.server_ms(),
        }

    def tickers(self, params: Params) -> dict[str, Any]:
        """Last prices, the day's extremes and the next funding."""
        self._category(params)
        every = self.exchange.market.instruments.values()
        chosen = [self._instrument(params)] if "symbol" in params else list(every)
        return {"category": "linear", "list": [self._ticker(one) for one in chosen]}

    def _ticker(self, instrument: Instrument) -> dict[str, str]:
        """One instrument's ticker."""
        symbol, now = instrument.symbol, self.exchange.clock.now_ms()
        day = self.exchange.known(symbol, HOUR, now - DAY_MS, now + 1).values
        price = self.exchange.price(symbol, now) or 0
        rates = self.exchange.funding(symbol, None, None, 1)
        digits = instrument.price_decimals
        return {
            "symbol": symbol,
            "lastPrice": text(price, digits),
            "markPrice": text(price, digits),
            "indexPrice": text(price, digits),
            "bid1Price": text(price, digits),
            "ask1Price": text(price + 1, digits),
            "highPrice24h": text(int(day[:, HIGH].max(initial=0)), digits),
            "lowPrice24h": text(int(day[:, LOW].min()) if len(day) else 0, digits),
            "volume24h": text(int(day[:, VOLUME].sum()), instrument.size_decimals),
            "fundingRate": text(rates[0][1], 8) if rates else "",
            "nextFundingTime": str((now // FUNDING_MS + 1) * FUNDING_MS),
        }

    def _category(self, params: Params) -> None:
        """Refuse a category that does not exist."""
        if params.get("category", "linear") not in CATEGORIES:
            raise RefusalError(10001, "params error: Category is invalid")

    def _instrument(self, params: Params) -> Instrument:
        """The instrument that is asked for; all of them are linear."""
        self._category(params)
        found = self.exchange.market.instruments.get(params.get("symbol", ""))
        if found is None or params.get("category", "linear") != "linear":
            raise RefusalError(10001, "params error: symbol invalid")
        return found


def number(params: Params, name: str) -> int | None:
    """A time in ms, or None where it is not said."""
    said = params.get(name)
    if said is None:
        return None
    if not said.isascii() or not said.isdecimal():
        raise RefusalError(10001, f"params error: {name} is invalid")
    return min(int(said), 2**53)


def limited(params: Params, default: int, most: int) -> int:
    """How many rows are wanted."""
    said = number(params, "limit")
    count = default if said is None else said
    if not 1 <= count <= most:
        raise RefusalError(10001, f"params error: limit must be 1 to {most}")
    return count


def _position(cursor: str, end: int) -> int:
    """Where a cursor points to; one that this server never gave is refused."""
    if not cursor:
        return 0
    name, _, said = cursor.partition("=")
    if name != "first" or not said.isdecimal() or not 0 < int(said) < end:
        raise RefusalError(10001, "params error: cursor is invalid")
    return int(said)


def kline_rows(instrument: Instrument, bars: Bars) -> list[list[str]]:
    """Seven strings a candle, in order of time."""
    price, size = instrument.price_decimals, instrument.size_decimals
    return [
        [
            str(time),
            *(text(value, price) for value in row[:VOLUME]),
            text(row[VOLUME], size),
            turnover_text(row[VOLUME + 1], price + size),
        ]
        for time, row in zip(bars.open_time.tolist(), bars.values.tolist(), strict=True)
    ]


def trade_rows(instrument: Instrument, trades: Trades) -> list[dict[str, Any]]:
    """Trades as ``/v5/market/recent-trade`` tells them, in order of time."""
    return [
        {
            "execId": trades.identity(row, instrument.symbol),
            "symbol": instrument.symbol,
            "price": text(int(trades.price[row]), instrument.price_decimals),
            "size": text(int(trades.size[row]), instrument.size_decimals),
            "side": "Buy" if trades.buy[row] else "Sell",
            "time": str(int(trades.time[row])),
            "isBlockTrade": False,
            "isRPITrade": False,
            "seq": str(int(trades.sequence[row])),
        }
        for row in range(len(trades))
    ]


def level_rows(instrument: Instrument, levels: Mapping[int, int]) -> list[list[str]]:
    """Levels of one side of a book, in the order in which they are given."""
    price, size = instrument.price_decimals, instrument.size_decimals
    return [[text(at, price), text(lots, size)] for at, lots in levels.items()]
