"""The exchange's archive of public trades: a file a day, of which 1s candles are built.

REST has no 1s candles and no old trades. The archive stands on a host of its own, which gets the
same care as the others: TLS, no redirects, nothing sent elsewhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from pybit.exceptions import FailedRequestError

from mtf.errors import DataError
from mtf.market.timeframe import UNIT_MS, Timeframe
from mtf.market.trade_candles import TradeCandles
from mtf.realtime.hosts import HostError, is_loopback
from mtf.realtime.public_trades import archived_trades
from mtf.realtime.rest import RefusedError, Rest
from mtf.realtime.store import CandleSeries, Store, check_symbol
from mtf.realtime.stored_files import told

ARCHIVE = "https://public.bybit.com"
HOST = "public.bybit.com"
SECOND = Timeframe.parse("1s")
DAY_MS = UNIT_MS["d"]
CHUNK_BYTES = 1 << 20
MOST_BYTES = 4 << 30
"""Of one file; the largest days have a few hundred MB."""


def check_archive(url: str) -> str:
    """The address, if something may be asked of it.

    Raises:
        HostError: another host than the archive's or this machine, or no TLS.
    """
    parts = urlsplit(url)
    official = (parts.scheme, parts.netloc) in (("https", HOST), ("https", f"{HOST}:443"))
    if official or (is_loopback(url) and "@" not in parts.netloc):
        return url
    raise HostError(
        f"found the archive {parts.scheme}://{parts.hostname or '(no host)'}",
        f"{ARCHIVE}, or http://127.0.0.1",
        "nothing was sent; use one of these addresses",
    )


class _Session(requests.Session):
    """A session that goes nowhere but to the archive."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request where it may go.

        Raises:
            HostError: an address that is not allowed; nothing was sent.
        """
        check_archive(request.url or "")
        kwargs["allow_redirects"] = False
        return super().send(request, **kwargs)


class ArchiveClient:
    """Asks the archive for a file, once a call; failures are those of pybit's client.

    Args:
        url: of the archive.
        category: ``linear`` or ``spot``.
        timeout_s: of connecting, and of every piece.

    Raises:
        HostError: an address that is not allowed.
    """

    def __init__(
        self, url: str = ARCHIVE, category: str = "linear", timeout_s: float = 30.0
    ) -> None:
        """Make the session; nothing is sent yet."""
        self.url, self.category = check_archive(url).rstrip("/"), category
        self.timeout_s = timeout_s
        self._session = _Session()
        self._session.trust_env = not is_loopback(url)

    def __repr__(self) -> str:
        """The address."""
        return f"ArchiveClient({self.url!r})"

    def close(self) -> None:
        """Close the connections that are kept."""
        self._session.close()

    def path_of(self, symbol: str, day: date) -> str:
        """Where the file of a day stands."""
        if self.category == "spot":
            return f"/spot/{symbol}/{symbol}_{day}.csv.gz"
        return f"/trading/{symbol}/{symbol}{day}.csv.gz"

    def get_trades(self, symbol: str, day: date, target: Path) -> dict[str, int]:
        """Load the file of a day; the result is its size.

        Raises:
            FailedRequestError: a status other than 200.
            DataError: a file without an end; the disk refuses.
        """
        path, size = self.path_of(symbol, day), 0
        with self._session.get(self.url + path, stream=True, timeout=self.timeout_s) as reply:
            if reply.status_code != 200:
                raise FailedRequestError(f"GET {path}", "no file", reply.status_code, "", None)
            with told(target):
                file = target.open("wb")
            with file:
                for piece in reply.iter_content(CHUNK_BYTES):
                    with told(target):  # what the network refuses is another matter
                        size += file.write(piece)
                    if size > MOST_BYTES:
                        raise DataError(f"{path} has more than {MOST_BYTES:,} bytes", "a day")
        return {"result": size}


@dataclass(frozen=True)
class FetchedSeconds:
    """What one day of trades came to.

    Attributes:
        added: 1s candles that are new.
        trades: that they were built from; 0 = the day was there.
        duplicates: trades that the file had twice.
        unsound: trades without a price or a size.
    """

    series: CandleSeries
    day: date
    added: int = 0
    trades: int = 0
    duplicates: int = 0
    unsound: int = 0


def fetch_seconds(
    symbols: Sequence[str],
    days: Sequence[date],
    store: Store,
    archive: Callable[[], Rest],
    done: Callable[[FetchedSeconds], None] = lambda fetched: None,
) -> list[FetchedSeconds]:
    """Store the 1s candles of days, out of the archive's trades; what is there is not asked for.

    Seconds without a trade are flat. Those before the first trade of a day are, too, where the day
    before is stored, and else they are missing.

    Args:
        symbols: whose.
        days: in UTC.
        store: where to.
        archive: makes what asks, once it is needed; around an ``ArchiveClient``.
        done: told of every day.

    Raises:
        ExchangeError: no answer, or a refusal.
        DataError: no file of that day, or one that is no trades; the disk refuses.
    """
    jobs = [(store.candles(check_symbol(s), SECOND), day) for s in symbols for day in sorted(days)]
    fetched, asking = [], None
    for series, day in jobs:
        found = FetchedSeconds(series, day)
        if not _is_there(series, _start_ms(day)):
            asking = asking or archive()
            with store.writing():
                found = _fetch_day(series, day, asking)
        fetched.append(found)
        done(found)
    return fetched


def _start_ms(day: date) -> int:
    """When a day begins in UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


def _is_there(series: CandleSeries, start_ms: int) -> bool:
    """Whether nothing of a day is missing but seconds before any price."""
    missing = series.missing(start_ms, start_ms + DAY_MS)
    if not len(missing):
        return True
    head = len(missing) == 1 and missing.spans[0][0] == start_ms
    head = head and missing.spans[0][1] < start_ms + DAY_MS
    return head and series.close_at(start_ms - SECOND.duration_ms) is None


def _fetch_day(series: CandleSeries, day: date, archive: Rest) -> FetchedSeconds:
    """Load the trades of a day and store its candles."""
    start = _start_ms(day)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / f"{series.symbol}{day}.csv.gz"
        try:
            archive.ask("get_trades", int, symbol=series.symbol, day=day, target=target)
        except RefusedError as refusal:
            if refusal.code != 404:
                raise
            raise DataError(
                f"the exchange's archive has no trades of {series.symbol} of {day}",
                "a day that is over, since the symbol is traded",
                "a day's file comes some hours after its end",
            ) from None
        trades = archived_trades(target, series.symbol)
    builder = TradeCandles(SECOND, start, series.close_at(start - SECOND.duration_ms))
    builder.add(trades)
    added = series.add(*builder.close(start + DAY_MS))
    return FetchedSeconds(series, day, added, len(trades), builder.duplicates, builder.unsound)


__all__ = ["ARCHIVE", "ArchiveClient", "FetchedSeconds", "check_archive", "fetch_seconds"]
