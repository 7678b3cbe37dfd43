"""What the exchange sent, taken apart: good rows as numbers, the others as words.

Nothing that is sent can raise here, whatever it is. A row is good or it is left out, and why.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from mtf.market.rows import FAULTS, find_faults
from mtf.market.timeframe import UNIT_MS, Timeframe
from mtf.market.times import iso
from mtf.market.trade_candles import TradeRows
from mtf.realtime.funding_history import MINUTE_MS, MOST_RATE
from mtf.realtime.public_trades import stream_trades
from mtf.realtime.rest_errors import MALFORMED

Candle = tuple[float, ...]
"""Open, high, low, close, volume."""

CLOCK_MS = 1_000
"""What our clock and the exchange's may differ by."""
MOST_LATE_MS = UNIT_MS["d"]
"""A stream tells what happened just now; a time so far away is in another unit, or nonsense."""
PRICES = ("open", "high", "low", "close", "volume")
REST_TRADE = {"time": "T", "symbol": "s", "execId": "i", "price": "p", "size": "v", "seq": "seq"}
"""Names of a trade's parts as REST has them, and as the stream has them."""


@dataclass(frozen=True)
class Frame:
    """A message of a topic.

    Attributes:
        kind: ``snapshot`` or ``delta``.
        data: whatever it holds.
        sent_ms: when it was sent, by the exchange's clock; 0 = it does not say.
    """

    topic: str
    kind: str
    data: Any
    sent_ms: int = 0


def read_frame(text: str) -> Frame | None:
    """The message that a text is; None = an answer to what we sent, such as a pong.

    Raises:
        ValueError: it is neither.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"a text that is no JSON: {text[:60]!r}") from None
    if isinstance(content, dict) and isinstance(content.get("topic"), str) and "data" in content:
        sent = content.get("ts")
        sent_ms = sent if type(sent) is int and sent > 0 else 0  # True is no time
        return Frame(content["topic"], str(content.get("type", "")), content["data"], sent_ms)
    if isinstance(content, dict) and "op" in content:
        return None
    raise ValueError(f"a message without topic and data: {text[:60]!r}")


def closed_candles(
    data: Any, timeframe: Timeframe, at_ms: int
) -> tuple[list[tuple[int, Candle]], list[str]]:
    """Open times and values of the closed candles of a ``kline`` message, and what is wrong.

    The open candle is told again and again, with ``confirm`` false: it is nothing yet.
    """
    good, wrong = [], []
    for row in data if isinstance(data, list) else [data]:
        try:
            if row["confirm"] is not False:
                good.append(_candle(row, timeframe, at_ms))
        except MALFORMED as error:
            wrong.append(_words(error))
    return good, wrong


def _candle(row: Mapping[str, Any], timeframe: Timeframe, at_ms: int) -> tuple[int, Candle]:
    """One closed candle.

    Raises:
        ValueError: it is none; other errors of ``MALFORMED`` where parts are missing.
    """
    open_ms = int(row["start"])
    values = tuple(float(row[name]) for name in PRICES)
    faults = find_faults(np.array([open_ms], np.int64), np.array([values]), timeframe)
    if faults:
        raise ValueError(", ".join(FAULTS[name] for name in faults))
    if row["confirm"] is not True:
        raise ValueError("confirm is neither true nor false")
    close_ms = open_ms + timeframe.duration_ms
    if close_ms > at_ms + CLOCK_MS:
        raise ValueError(f"a candle that closes at {iso(close_ms)}, in the future")
    if close_ms < at_ms - MOST_LATE_MS:
        raise ValueError(f"a candle that closed at {iso(close_ms)}, long ago")
    return open_ms, values


def candle_rows(
    rows: Any,
) -> tuple[Int64[np.ndarray, " row"], Float64[np.ndarray, "row 5"], int]:
    """Open times and values of rows of ``get_kline``, and how many are no numbers at all."""
    times, values, unreadable = [], [], 0
    for row in rows if isinstance(rows, list) else [rows]:
        try:
            open_ms = np.int64(int(row[0]))
            numbers = [float(value) for value in row[1:6]]
            if len(numbers) < len(PRICES):
                raise ValueError("a part is missing")
        except MALFORMED:
            unreadable += 1
        else:
            times.append(open_ms)
            values.append(numbers)
    return np.array(times, np.int64), np.array(values, np.float64).reshape(-1, 5), unreadable


def trade_rows(
    data: Any, symbol: str, at_ms: int, most_late_ms: int = MOST_LATE_MS
) -> tuple[TradeRows, list[str]]:
    """The trades of a ``publicTrade`` message, and what is wrong with the others."""
    since_ms = at_ms - most_late_ms
    try:
        trades = stream_trades(data, symbol)
        if _plausible(trades, since_ms, at_ms).all():
            return trades, []
    except MALFORMED:
        pass  # one by one, so that the good ones stay
    good, wrong = [TradeRows.empty()], []
    for row in data if isinstance(data, list) else [data]:
        try:
            trade = stream_trades([row], symbol)
        except MALFORMED as error:
            wrong.append(_words(error))
            continue
        if _plausible(trade, since_ms, at_ms).all():
            good.append(trade)
        else:
            wrong.append("price, size or time can't be")
    return TradeRows.join(*good), wrong


def _plausible(trades: TradeRows, since_ms: int, at_ms: int) -> np.ndarray:
    """Which trades may have happened: those of a moment to come have, if our clock is behind."""
    in_time = (trades.time >= since_ms) & (trades.time <= at_ms + MOST_LATE_MS)
    sound: np.ndarray = trades.sound & in_time
    return sound


def rest_trades(rows: Any) -> Any:
    """Trades as REST tells them, with the names that the stream has."""
    if not isinstance(rows, list):
        return rows
    return [
        {REST_TRADE.get(str(name), name): value for name, value in row.items()}
        if isinstance(row, dict)
        else row
        for row in rows
    ]


def funding_rows(rows: Any) -> dict[int, float]:
    """Rates by their times.

    Raises:
        ValueError: a rate that is none; other errors of ``MALFORMED`` where parts are missing.
    """
    rates = {int(row["fundingRateTimestamp"]): float(row["fundingRate"]) for row in rows}
    if any(not isfinite(rate) or abs(rate) > MOST_RATE for rate in rates.values()):
        raise ValueError("rates that are none")
    if any(time % MINUTE_MS for time in rates):
        raise ValueError("times that are none of a payment")
    return rates


def _words(error: Exception) -> str:
    """What is wrong with a row."""
    if isinstance(error, KeyError):
        return f"without {error.args[0]}"
    return str(error)[:120]
