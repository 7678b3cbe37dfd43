"""One websocket: opened within its time, and read until it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import websocket

from mtf.realtime.deadline import at_most, shut
from mtf.realtime.hosts import is_loopback


class Socket:
    """One websocket, read until it ends, as pybit expects to find it.

    websocket-client's own application object follows redirects and swallows what goes wrong in a
    callback; this one does neither.

    Args:
        url: where to.
        timeout_s: how long connecting may take, from its first byte to its last.
        stopped: once it is set, connecting ends.

    Attributes:
        sock: the connection; None = closed.

    Raises:
        websocket.WebSocketException: refused, or redirected.
        OSError: nobody listens; a TimeoutError: not in time, however slowly it comes.
    """

    def __init__(self, url: str, timeout_s: float, stopped: threading.Event | None = None) -> None:
        """Connect, once."""
        sock = websocket.WebSocket(enable_multithread=True)
        sock.settimeout(timeout_s)
        try:
            with at_most(timeout_s, lambda: shut(sock.sock), stopped):
                options = {"redirect_limit": 0, **_past_proxies(url)}
                sock.connect(url, **options)  # type: ignore[no-untyped-call]
        except BaseException:
            sock.shutdown()  # type: ignore[no-untyped-call]
            raise
        self.sock: websocket.WebSocket | None = sock

    def send(self, text: str) -> None:
        """Send a text.

        Raises:
            websocket.WebSocketConnectionClosedException: it is closed.
        """
        sock = self.sock
        if sock is None:
            raise websocket.WebSocketConnectionClosedException("closed")
        sock.send(text)

    def close(self) -> None:
        """Close it; whoever reads it finds its end."""
        sock, self.sock = self.sock, None
        if sock is not None:
            with suppress(OSError, websocket.WebSocketException):
                sock.close(timeout=0)
            sock.shutdown()  # type: ignore[no-untyped-call]

    def read(
        self,
        on_text: Callable[[str], None],
        ping: Callable[[], None],
        every_s: float,
        wait_s: float,
    ) -> str:
        """Hand on every text until the end, and return why it ended.

        Args:
            on_text: gets each text; what it raises ends the connection.
            ping: sends a ping, each ``every_s``.
            every_s: between two pings.
            wait_s: without any frame for so long after a ping, the connection is dead.
        """
        asked, unheard = time.monotonic(), None
        while (sock := self.sock) is not None:
            now = time.monotonic()
            if now - asked >= every_s:
                ping()
                asked, unheard = now, now if unheard is None else unheard
            sock.settimeout(max(min(asked + every_s - now, wait_s), 0.01))
            try:
                code, frame = sock.recv_data_frame(control_frame=True)
            except websocket.WebSocketTimeoutException:
                # Only now: after a stall of ours the answer may be there, to be read.
                if unheard is not None and time.monotonic() - unheard >= wait_s:
                    return "no answer to a ping"
                continue
            if code == websocket.ABNF.OPCODE_CLOSE:
                status = int.from_bytes(frame.data[:2], "big") if frame.data else 1005
                return f"closed by the server with code {status}"
            if code == websocket.ABNF.OPCODE_TEXT:
                on_text(frame.data.decode())
            unheard = None
        return "closed by us"


def _past_proxies(url: str) -> dict[str, Any]:
    """How this machine itself is reached: a proxy can't, and is a foreign host."""
    if not is_loopback(url):
        return {}
    host = urlsplit(url).hostname
    # websocket-client asks for exceptions only where it is told of a proxy; it is none of these.
    return {"http_proxy_host": host, "http_proxy_port": 1, "http_no_proxy": [host]}
