"""``mtf fetch bybit SYMBOL …``: history of an exchange into a folder of parquet files.

Only what is missing is asked for; whatever ends it, the next run goes on from there. The data
source ``bybit`` reads the folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from mtf.config.values import TimeKey, to_ms
from mtf.errors import ConfigError, MtfError
from mtf.market.finding import counted
from mtf.market.timeframe import Timeframe
from mtf.market.times import iso
from mtf.plugins.registry import did_you_mean
from mtf.realtime.extra import live_extra
from mtf.realtime.fetch_progress import FetchProgress
from mtf.realtime.hosts import check_speed
from mtf.realtime.store import Store

if TYPE_CHECKING:
    from mtf.realtime.archive import FetchedSeconds
    from mtf.realtime.connect import Connections
    from mtf.realtime.download import Fetched
    from mtf.realtime.funding_history import FetchedFunding
    from mtf.realtime.rest import Rest

EXCHANGES = ("bybit",)
STORE = "data/bybit"
SHOWN_GAPS = 3
SHOWN = 10
"""Symbols at most that are named."""


def main(
    exchange: str,
    symbols: Sequence[str],
    *,
    timeframes: Sequence[str] = ("1m",),
    since: str | None = None,
    until: str | None = None,
    store: str | Path = STORE,
    funding: bool = False,
    trades: Sequence[str] = (),
    category: str = "linear",
    endpoint: str | None = None,
    archive: str | None = None,
    per_second: float | None = None,
    book: str | None = None,
    speed: float = 1.0,
) -> list[Fetched]:
    """Fetch candles, funding rates and trades, and tell what came; listen to the order book.

    Args:
        exchange: ``bybit``.
        symbols: such as ETHUSDT.
        timeframes: of the candles.
        since: from when (ISO, UTC); None = no candles, only ``trades`` and ``book``.
        until: up to when; None = now.
        store: folder.
        funding: funding rates of the same time, too.
        trades: days whose archived trades become 1s candles.
        category: ``linear`` or ``spot``.
        endpoint: of REST; None = the exchange.
        archive: of the trades; None = the exchange's.
        per_second: requests; None = well below the exchange's limit.
        book: for how long the order book is listened to, such as ``1h``; None = not.
        speed: of a stand-in, whose time passes in its own way.

    Returns:
        What became of the candles of every symbol and timeframe.

    Raises:
        MtfError: what can't be asked for; no answer; a disk that refuses; Ctrl-C, with how to go
            on.
    """
    if exchange not in EXCHANGES:
        raise MtfError(
            f"unknown exchange {exchange!r}",
            f"one of {', '.join(EXCHANGES)}",
            did_you_mean(exchange, list(EXCHANGES)),
        )
    if not symbols or (since is None and not trades and book is None):
        raise MtfError(
            "found no symbol" if not symbols else "found none of --since, --trades and --book",
            "symbols, and from when",
            "such as mtf fetch bybit ETHUSDT BTCUSDT --timeframes 1m,1h --since 2024-01-01",
        )
    start = None if since is None else _time("--since", since)
    end = None if until is None else _time("--until", until)
    if start is not None and end is not None and start >= end:
        raise MtfError(f"found --since {since} and --until {until}", "since before until")
    frames = [Timeframe.parse(name) for name in dict.fromkeys(timeframes)]
    chosen = list(dict.fromkeys(symbols))
    place = Store(store, category)
    days = [_day(text) for text in trades]
    if days and endpoint is not None and archive is None:
        raise MtfError(
            "found --trades and --endpoint without --archive",
            "where the files of trades are: the archive is another host than REST",
            "name it by --archive, or leave out --endpoint for the exchange's own",
        )
    lasts_ms = None if book is None else Timeframe.parse(book).duration_ms
    check_speed(speed, endpoint or EXCHANGES[0])
    with _stops_saying_how_to_go_on(place):
        _say_begin(chosen, endpoint or exchange, place)
        with live_extra("mtf fetch"):
            from mtf.realtime.connect import Connections

        found: list[Fetched] = []
        with Connections(endpoint, archive, category, per_second) as asked:
            if start is not None:
                found = _candles(chosen, frames, start, end, place, asked.rest)
                if funding:
                    _funding(chosen, place, asked.rest, start, end)
            _seconds(chosen, days, place, asked.archive)
            if lasts_ms is not None:
                _book(chosen, place, asked, lasts_ms, speed)
    print(f"in {place.folder}")
    return found


@contextmanager
def _stops_saying_how_to_go_on(store: Store) -> Iterator[None]:
    """Ctrl-C says that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        raise MtfError(
            f"interrupted; what came is in {store.folder}",
            todo="run it again: it goes on from there",
        ) from None


def _say_begin(symbols: Sequence[str], source: str, store: Store) -> None:
    """A sign of life, before imports and questions that take their time."""
    names = ", ".join(symbols) if len(symbols) <= SHOWN else counted(len(symbols), "symbol")
    print(f"fetching {names} from {source} into {store.folder}", file=sys.stderr, flush=True)


def _time(option: str, text: str) -> int:
    """An ISO date or time as ms UTC.

    Raises:
        ConfigError: it is none.
    """
    try:
        return to_ms(TypeAdapter(TimeKey).validate_python(text))
    except ValidationError:
        raise ConfigError(
            f"found {option} {text!r}", "an ISO date or time, UTC, such as 2024-01-31T12:00"
        ) from None


def _day(text: str) -> date:
    """A day.

    Raises:
        ConfigError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"found --trades {text!r}", "a day such as 2024-08-08") from None


def _candles(
    symbols: Sequence[str],
    frames: Sequence[Timeframe],
    start: int,
    end: int | None,
    store: Store,
    rest: Callable[[], Rest],
) -> list[Fetched]:
    """Candles of all symbols and timeframes."""
    from mtf.realtime.download import Wanted, fetch

    wanted = [Wanted(symbol, frame, start, end) for symbol in symbols for frame in frames]
    progress = FetchProgress()
    try:
        found = fetch(wanted, store, rest, progress.fetched, progress.planned)
    finally:
        progress.close()
    for fetched in found:
        print(*_told(fetched), sep="\n")
    return found


def _told(fetched: Fetched) -> list[str]:
    """What became of one series, and its gap report."""
    frame = fetched.series.timeframe
    stored = fetched.series.stored()
    have = counted(stored.total_ms // frame.duration_ms, "candle")
    spans = stored.spans
    period = f", {iso(spans[0][0])} – {iso(spans[-1][1])}" if spans else ""
    lines = [f"{fetched.series}: {fetched.added:,} new, {have}{period}"]
    if fetched.spoilt:
        lines.append(f"  {counted(fetched.spoilt, 'row')} that were no candles came, not stored")
    for words, gaps in (
        ("the exchange does not have", fetched.absent),
        ("did not come, and will be asked for again:", fetched.missing),
    ):
        if len(gaps):
            lacking = counted(gaps.total_ms // frame.duration_ms, "candle")
            first = [f"{iso(a)} – {iso(b)}" for a, b in gaps.spans[:SHOWN_GAPS]]
            more = [f"{len(gaps) - SHOWN_GAPS} more"] if len(gaps) > SHOWN_GAPS else []
            lines.append(f"  {words} {lacking}: {', '.join([*first, *more])}")
    return lines


def _funding(
    symbols: Sequence[str], store: Store, rest: Callable[[], Rest], start: int, end: int | None
) -> list[FetchedFunding]:
    """Funding rates of all symbols."""
    from mtf.realtime.funding_history import fetch_funding

    found = fetch_funding(symbols, store, rest, start, end)
    for each in found:
        print(f"{each.series.symbol} funding: {each.added:,} new, {counted(each.rates, 'rate')}")
    return found


def _seconds(
    symbols: Sequence[str], days: Sequence[date], store: Store, archive: Callable[[], Rest]
) -> list[FetchedSeconds]:
    """1s candles of some days."""
    from mtf.realtime.archive import fetch_seconds

    def told(each: FetchedSeconds) -> None:
        came = f"{each.added:,} new of {counted(each.trades, 'trade')}"
        doubts: list[Any] = [
            (each.duplicates, "that came twice"),
            (each.unsound, "without a price"),
        ]
        more = "".join(f", {counted(count, 'trade')} {words}" for count, words in doubts if count)
        print(f"{each.series} {each.day}: {came if each.trades else 'there'}{more}", flush=True)

    return fetch_seconds(symbols, days, store, archive, told)


def _book(
    symbols: Sequence[str], store: Store, asked: Connections, lasts_ms: int, speed: float
) -> None:
    """Snapshots of the order books, one a second, until it is enough or Ctrl-C."""
    from mtf.learning.interrupt import interrupts_held
    from mtf.realtime.books import listen

    print(f"listening to the order book of {', '.join(symbols)}; Ctrl-C ends it", flush=True)
    with interrupts_held() as stop:
        kept = listen(symbols, store.folder, asked, lasts_ms, stop, speed=speed, told=print)
    for symbol, rows in kept.items():
        print(f"{symbol} order book: {counted(rows, 'snapshot')}")


if __name__ == "__main__":
    from mtf.cli import main as cli

    cli(["fetch", *sys.argv[1:]])
