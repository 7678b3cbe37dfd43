"""Order books as they are now, kept for as long as somebody listens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mtf.realtime.bybit_stream import StreamFactory
from mtf.realtime.connect import Connections
from mtf.realtime.events import FeedFault
from mtf.realtime.feed import Feed
from mtf.realtime.hosts import is_loopback
from mtf.realtime.intake import Intake
from mtf.realtime.live_clock import LiveClock
from mtf.realtime.order_book import BookRecorder
from mtf.realtime.recording import Together

LOOK_S = 0.25
PATIENCE_S = 5.0
"""Of the wall clock: so long a book that missed a change may stay without a whole one."""


def listen(
    symbols: Sequence[str],
    folder: Path,
    asked: Connections,
    lasts_ms: int,
    stop: Callable[[], bool] = lambda: False,
    *,
    speed: float = 1.0,
    told: Callable[[str], None] = lambda words: None,
) -> dict[str, int]:
    """Keep one snapshot a second of each symbol's book.

    Args:
        symbols: such as ETHUSDT.
        folder: of the parquet files, see ``BookRecorder``.
        asked: whose REST tells the time, and whose streams are listened to.
        lasts_ms: how long, of the market's time.
        stop: whether it is enough.
        speed: of a stand-in.
        told: gets what goes wrong, in words, and in the end which book was not whole how often.

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
            for event in feed.take(end_ms, LOOK_S):
                if isinstance(event, FeedFault):
                    told(f"{event.kind}: {event.words}")
            _mend(feed, list(books.values()), round(1_000 * PATIENCE_S * speed), told)
    for symbol, book in books.items():
        if book.book.missed:
            told(f"order book of {symbol}: not whole {book.book.missed} times in between")
    return {symbol: book.kept for symbol, book in books.items()}


def _mend(
    feed: Feed, books: Sequence[BookRecorder], patience_ms: int, told: Callable[[str], None]
) -> None:
    """Connect anew where a book does not become whole by itself."""
    for book in books:
        if why := book.overdue(feed.now_ms(), patience_ms):
            told(why)
            feed.renew(why)


__all__ = ["listen"]
