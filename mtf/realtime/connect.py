"""Whom the market is asked of: the exchange and its archive, or stand-ins on this machine."""

from __future__ import annotations

from types import TracebackType

from mtf.realtime.archive import ARCHIVE, ArchiveClient, check_archive
from mtf.realtime.bybit_client import MAINNET, BybitClient
from mtf.realtime.hosts import check_url, stream_url
from mtf.realtime.pace import PER_SECOND, Pace, RealTime
from mtf.realtime.rest import Rest


class Connections:
    """REST and the archive, each connected when it is first needed; used in a ``with`` block.

    Args:
        endpoint: of REST; None = the exchange.
        archive: of the trades; None = the exchange's.
        category: ``linear`` or ``spot``.
        per_second: requests; None = well below the exchange's limit.

    Raises:
        HostError: an address that nothing is sent to.
        MtfError: too many requests a second.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        archive: str | None = None,
        category: str = "linear",
        per_second: float | None = None,
    ) -> None:
        """Refuse what can't be before anything is done."""
        self.endpoint = check_url(endpoint or MAINNET, "rest")
        self.streams = stream_url(self.endpoint)
        self.files = check_archive(archive or ARCHIVE)
        self.category = category
        self.per_second = PER_SECOND if per_second is None else per_second
        Pace(self.per_second, RealTime())
        self._rest: Rest | None = None
        self._archive: Rest | None = None

    def __enter__(self) -> Connections:
        """Nothing is connected yet."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        for one in (self._rest, self._archive):
            if one is not None:
                one.close()

    def rest(self) -> Rest:
        """What asks REST."""
        if self._rest is None:
            self._rest = Rest(BybitClient(self.endpoint), per_second=self.per_second)
        return self._rest

    def archive(self) -> Rest:
        """What asks the archive of trades."""
        if self._archive is None:
            client = ArchiveClient(self.files, self.category)
            self._archive = Rest(client, per_second=self.per_second)
        return self._archive
