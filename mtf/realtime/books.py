"""Order books as they are now, kept for as long as somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mtf.realtime.bybit_stream import StreamFactory
from mtf.realtime.connect import Connections
from mtf.realtime.feed import Feed
from mtf.realtime.hosts import is_loopback
from mtf.realtime.intake import Intake
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.order_book import BookRecorder
from mtf.realtime.recording import Together

LOOK_S = 0.25


def listen(
    symbols: Sequence[str],
    folder: Path,
    asked: Connections,
    lasts_ms: int,
    stop: Callable[[], bool] = lambda: False,
    *,
    speed: float = 1.0,
) -> dict[str, int]:
    """Keep one snapshot a second of each symbol's book.

    Args:
        symbols: such as ETHUSDT.
        folder: of the parquet files, see ``BookRecorder``.
        asked: whose REST tells the time, and whose streams are listened to.
        lasts_ms: how long, of the market's time.
        stop: whether it is enough.
        speed: of a stand-in.

    Returns:
        How many snapshots of each were kept.

    Raises:
        MtfError: no answer of the exchange, or a disk that refuses.
    """
    books = {symbol: BookRecorder(folder, symbol) for symbol in symbols}
    clock = LiveClock(speed, rehearsal=is_loopback(asked.endpoint) or None)
    with Feed(
        Intake({}, books=symbols),
        rest=asked.rest(),
        stream=StreamFactory(asked.streams, asked.category),
        clock=clock,
        record=Together(*books.values()),
        category=asked.category,
    ) as feed:
        end_ms = feed.now_ms() + lasts_ms
        while feed.now_ms() < end_ms and not stop():
            feed.take(end_ms, LOOK_S)
    return {symbol: book.kept for symbol, book in books.items()}


__all__ = ["listen"]
