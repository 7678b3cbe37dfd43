"""Messages as the exchange sends them, and candles to send: a small market written out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mtf.market.timeframe import Timeframe
from mtf.realtime.events import Closed, Event, Message
from mtf.realtime.kline import interval_of

MINUTE, HOUR = Timeframe.parse("1m"), Timeframe.parse("1h")
START = 1_748_736_000_000  # 2025-06-01
MINUTE_MS = 60_000
Row = list[str]


def candles(count: int, timeframe: Timeframe = MINUTE) -> list[Row]:
    """Rows of ``get_kline`` in order of time, from ``START`` on, no two alike."""
    rng = np.random.default_rng(count)
    rows = []
    for slot in range(count):
        first, last = (100 + rng.random(2)).round(2)
        high, low = max(first, last) + 0.5, min(first, last) - 0.5
        open_ms = START + slot * timeframe.duration_ms
        volume = round(1 + rng.random(), 3)
        rows.append([str(open_ms), *map(str, (first, high, low, last, volume)), "0"])
    return rows


def frame(
    row: Sequence[Any],
    at_ms: int | None = None,
    *,
    symbol: str = "ETHUSDT",
    timeframe: Timeframe = MINUTE,
    **other: Any,
) -> Message:
    """The message of a closed candle, at its close or later; ``other`` replaces parts."""
    start, first, high, low, last, volume = (row[number] for number in range(6))
    close_ms = int(start) + timeframe.duration_ms
    data = {
        "start": int(start),
        "end": close_ms - 1,
        "interval": interval_of(timeframe),
        "open": first,
        "close": last,
        "high": high,
        "low": low,
        "volume": volume,
        "confirm": True,
    } | other
    return sent(
        f"kline.{interval_of(timeframe)}.{symbol}", [data], close_ms if at_ms is None else at_ms
    )


def sent(topic: str, data: Any, at_ms: int, kind: str = "snapshot", ts: object = None) -> Message:
    """A message of a topic, sent by the exchange's clock at ``ts``; None = when it arrives."""
    content = {"topic": topic, "type": kind, "ts": at_ms if ts is None else ts, "data": data}
    return text(json.dumps(content), at_ms)


def text(content: str, at_ms: int) -> Message:
    """Any text of the websocket."""
    return Message(at_ms, "frame", {"text": content})


def answer(
    rows: Any,
    start_ms: int,
    end_ms: int,
    at_ms: int,
    *,
    ask: str = "candles",
    symbol: str = "ETHUSDT",
    timeframe: Timeframe = MINUTE,
) -> Message:
    """An answer of REST."""
    content = {
        "ask": ask,
        "symbol": symbol,
        "timeframe": timeframe.name,
        "start_ms": start_ms,
        "end_ms": end_ms,
        "rows": rows,
    }
    return Message(at_ms, "answer", content)


def connection(state: str, at_ms: int, why: str = "") -> Message:
    """A message about the connection."""
    return Message(at_ms, "state", {"state": state, "why": why})


def told(events: Iterable[Event]) -> list[list[float]]:
    """The candles that were told: open time and five values each, in the order of telling."""
    found: list[list[float]] = []
    for event in events:
        if isinstance(event, Closed):
            table = np.column_stack([event.open_ms.astype(float), event.ohlcv])
            found += table.tolist()
    return found


def numbers(rows: Iterable[Sequence[str]]) -> list[list[float]]:
    """Rows as ``told`` has them."""
    return [[float(value) for value in row[:6]] for row in rows]
