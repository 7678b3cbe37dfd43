"""Candles of the exchange Bybit, as ``mtf fetch bybit`` stores them, or fetched when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mtf.data_sources.parquet import Parquet
from mtf.errors import DataError
from mtf.market.candles import Candles
from mtf.market.times import iso
from mtf.plugins.contracts import DataSource, Request
from mtf.realtime.extra import live_extra
from mtf.realtime.fetch_progress import FetchProgress
from mtf.realtime.hosts import check_url
from mtf.realtime.store import Store

SECOND_MS = 1_000


class Bybit(DataSource):
    """Candles of Bybit from a folder that ``mtf fetch bybit`` filled.

    Long histories are read as those of ``parquet``: piece by piece, with little memory.

    Args:
        path: the folder.
        fetch: fetch first what is missing there; 1s candles can't be (``mtf fetch … --trades``).
        category: linear (perpetuals) or spot.
        endpoint: whom to ask; null = the exchange, else its stand-in on this machine.
    """

    def __init__(
        self,
        *,
        path: str,
        fetch: bool = False,
        category: Literal["linear", "spot"] = "linear",
        endpoint: str | None = None,
    ) -> None:
        """Remember where to look; nothing is read, nothing is asked.

        Raises:
            HostError: an endpoint that nothing is sent to.
        """
        if endpoint is not None:
            check_url(endpoint, "rest")
        self.store = Store(path, category)
        self.path, self.fetch, self.endpoint = path, fetch, endpoint

    def load(self, requests: Sequence[Request]) -> list[Candles]:
        """Return the candles of each request, in order.

        Raises:
            DataError: no candles of that time, files that can't be used, a disk that refuses.
            ExchangeError: the exchange does not answer.
        """
        if self.fetch:
            self._fetch([r for r in requests if r.timeframe.duration_ms > SECOND_MS])
        for request in requests:
            if not self.store.candles(request.symbol, request.timeframe).files:
                raise self._none(request)
        return Parquet(path=str(self.store.folder)).load(requests)

    def _fetch(self, requests: Sequence[Request]) -> None:
        """Fetch what is missing; where nothing is, nobody is asked."""
        with live_extra("data.fetch"):
            from mtf.realtime.connect import Connections
            from mtf.realtime.download import Wanted, fetch
        wanted = [Wanted(r.symbol, r.timeframe, r.start_ms, r.end_ms) for r in requests]
        progress = FetchProgress()
        try:
            with Connections(self.endpoint, category=self.store.category) as asked:
                fetch(wanted, self.store, asked.rest, progress.fetched, progress.planned)
        finally:
            progress.close()

    def _none(self, request: Request) -> DataError:
        """Say how to get what is not there."""
        since, frame = iso(request.start_ms)[:10], request.timeframe
        how = f"--timeframes {frame} --since {since}"
        if frame.duration_ms == SECOND_MS:
            how = f"--trades {since}"
        return DataError(
            f"no {frame} candles of {request.symbol} in {self.store.folder}",
            "files such as ETHUSDT_1m_2024-01.parquet",
            f"fetch them: mtf fetch bybit {request.symbol} {how} --store {self.path}; "
            "or set data.fetch=true",
        )
