"""How REST is reached: at allowed hosts, without a redirect, and within the time of an attempt.

requests bounds the wait for each byte, and says nothing of the connection that it waits for. So
each connection is noted with the thread that uses it, and ended when the time is over.
"""

from __future__ import annotations

import threading
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from mtf.realtime.deadline import at_most, shut
from mtf.realtime.hosts import check_url


class _Used(threading.local):
    """The connections and sockets that a thread's question has used so far."""

    def __init__(self) -> None:
        """None."""
        self.each: list[Any] = []


_USED = _Used()


class _Noted:
    """A connection that says who uses it.

    Its socket is noted, too: where the server will close, it is let go before the body is read.
    """

    sock: Any

    def connect(self) -> None:
        """Connect."""
        _USED.each.append(self)
        super().connect()  # type: ignore[misc]
        _USED.each.append(self.sock)

    def request(self, *arguments: Any, **named: Any) -> None:
        """Ask, maybe on a socket that was kept."""
        _USED.each.append(self.sock)
        super().request(*arguments, **named)  # type: ignore[misc]


class _Plain(_Noted, HTTPConnection):
    """Noted."""


class _Secure(_Noted, HTTPSConnection):
    """Noted."""


class _PlainPool(HTTPConnectionPool):
    """Of connections that are noted."""

    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    """Of connections that are noted."""

    ConnectionCls = _Secure


class _Adapter(HTTPAdapter):
    """Makes connections that are noted, with and without a proxy."""

    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, *arguments: Any, **named: Any) -> Any:
        """Make the pools behind a proxy."""
        manager = super().proxy_manager_for(*arguments, **named)
        manager.pool_classes_by_scheme = POOLS
        return manager


POOLS = {"http": _PlainPool, "https": _SecurePool}


class GuardedSession(requests.Session):
    """A session that speaks to allowed hosts alone, follows no redirect, and waits no longer.

    Attributes:
        stopped: once it is set, no answer is waited for any more.
    """

    def __init__(self) -> None:
        """Connect to nothing yet."""
        super().__init__()
        self.stopped = threading.Event()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter())

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request where it may go, and read the whole answer within ``timeout``.

        Raises:
            HostError: an address that is not allowed; nothing was sent.
            TimeoutError: no whole answer in time, however slowly it comes.
            requests.RequestException: no answer.
        """
        check_url(request.url or "", "rest")
        kwargs["allow_redirects"] = False
        used = _USED.each = []

        def end() -> None:
            for one in used:
                shut(one.sock if isinstance(one, _Noted) else one)

        try:
            with at_most(kwargs["timeout"], end, self.stopped):
                return super().send(request, **kwargs)
        finally:
            _USED.each = []
