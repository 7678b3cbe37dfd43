"""pybit's websocket client, made to be supervised: it connects once and says when it is dead.

pybit's own way to reconnect either gives up within 0.2 s or knocks ninety times a second, and a
failure in its thread reaches nobody. Here one object is one connection: ``ended`` is set when it is
over, ``failure`` says why, and whoever supervises makes the next one.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import websocket
from pybit.unified_trading import WebSocket

from mtf.errors import MtfError
from mtf.realtime.hosts import check_url
from mtf.realtime.rest_errors import shown
from mtf.realtime.stream_socket import Socket

MAINNET = "wss://stream.bybit.com"
OPERATION = '"op":'
"""In answers and pongs, and in no message of a topic."""


class StreamError(MtfError):
    """A stream that could not be opened, or is over."""


class BybitStream(WebSocket):  # type: ignore[misc]  # pybit has no types
    """pybit's public WebSocket as one connection.

    Args:
        url: scheme and host, such as ``wss://stream.bybit.com``.
        channel_type: ``linear``, ``spot``, ``inverse``.
        ping_interval_s: between two pings.
        ping_timeout_s: how long an answer may take.
        connect_timeout_s: how long opening may take, all in all.
        on_text: gets every text but answers and pongs as it came, before it is looked at; callbacks
            of topics are not called then.
        stopped: once it is set, opening ends.

    Attributes:
        accepted: topics whose subscription was accepted.
        refused: the others that were answered, with the exchange's words; they may be asked for
            again.
        ended: set when the connection is over, for whatever reason.
        failure: why; empty while it lives.

    Raises:
        HostError: an address that is not allowed.
        StreamError: it could not be opened.
    """

    def __init__(
        self,
        url: str = MAINNET,
        channel_type: str = "linear",
        *,
        ping_interval_s: float = 20.0,
        ping_timeout_s: float = 10.0,
        connect_timeout_s: float = 10.0,
        on_text: Callable[[str], None] | None = None,
        stopped: threading.Event | None = None,
    ) -> None:
        """Connect."""
        self.base = check_url(url, "stream").rstrip("/")
        self.connect_timeout_s = connect_timeout_s
        self.ended = threading.Event()
        self.accepted: set[str] = set()
        self.refused: dict[str, str] = {}
        self._on_text, self._stopped = on_text, stopped
        self._asking = threading.RLock()
        self.failure = ""
        super().__init__(
            channel_type,
            testnet=False,
            ping_interval=ping_interval_s,
            ping_timeout=ping_timeout_s,
            restart_on_error=False,
        )

    def __repr__(self) -> str:
        """The address, and whether it lives."""
        return f"BybitStream({self.base!r}, {self.failure or 'open'})"

    def subscribe(self, topic: str, callback: Any, symbol: str | list[str] | bool = False) -> None:
        """Ask for a topic.

        Raises:
            StreamError: the stream is over.
            websocket.WebSocketException: it ends right now.
            OSError: alike.
        """
        with self._asking:
            super().subscribe(topic, callback, symbol)

    def _set_callback(self, topic: str, callback_function: Any) -> None:
        """What is asked for again is not refused yet."""
        self.refused.pop(topic, None)
        super()._set_callback(topic, callback_function)

    def is_connected(self) -> bool:
        """Whether it is open: it is, from the start to its end.

        Raises:
            StreamError: it is over, where pybit would look again and again for ever.
        """
        sock = self.ws.sock
        if self.ended.is_set() or sock is None or not sock.connected:
            why = self.failure or "the connection was lost"
            raise StreamError(f"this stream is over: {why}", "one that is open")
        return True

    def _on_message(self, message: str) -> None:
        """Hand a text to pybit, but none while it is asking.

        pybit writes down what it asks for after it has asked: an answer that comes at once would
        find nothing, and kill the stream.
        """
        if self._on_text is not None and OPERATION not in message:
            self._on_text(message)
        with self._asking:
            super()._on_message(message)

    def _process_normal_message(self, message: dict[str, Any]) -> None:
        """Call the topic's callback; where texts are handed on, only see that it is one of ours."""
        if self._on_text is None:
            super()._process_normal_message(message)
        else:
            self._get_callback(message["topic"])

    def _process_subscription_message(self, message: dict[str, Any]) -> None:
        """Note what was accepted, and what was refused: pybit alone would stumble over that.

        Raises:
            StreamError: a refusal of nobody knows what.
        """
        asked = json.loads(self.subscriptions.get(message.get("req_id"), "{}")).get("args", ())
        if message.get("success") is not False:
            super()._process_subscription_message(message)
            self.accepted.update(asked)
            return
        words = shown(message.get("ret_msg"))
        if not asked:
            raise StreamError(f"a subscription was refused: {words}")
        for topic in asked:
            self._pop_callback(topic)  # pybit takes nobody who asks twice
            self.refused[topic] = words

    def _connect(self, url: str) -> None:
        """Open the one connection, and read it in a thread."""
        self.endpoint = self.base + urlsplit(url).path
        try:
            self.ws = Socket(self.endpoint, self.connect_timeout_s, self._stopped)
        except (OSError, websocket.WebSocketException) as error:
            self._over(f"{type(error).__name__}: {shown(error)}")
            raise StreamError(
                f"can't open {self.endpoint}: {self.failure}",
                "a websocket",
                "try again later",
            ) from None
        self.wst = threading.Thread(target=self._read, name="bybit stream", daemon=True)
        self.wst.start()

    def _read(self) -> None:
        """The reading thread: whatever ends it is told."""
        why = "unknown"
        try:
            why = self.ws.read(self._on_message, self._ping, self.ping_interval, self.ping_timeout)
        except StreamError as error:
            why = error.found
        except Exception as error:  # of the connection, of a frame, or of a callback: all the same
            why = f"{type(error).__name__}: {shown(error)}"
        finally:
            self._over("closed by us" if self.exited else why)  # first: who looks is told why
            self.ws.close()

    def _ping(self) -> None:
        """Both pings: the frame, and the exchange's own."""
        sock = self.ws.sock
        if sock is not None:
            sock.ping()
            self.ws.send(json.dumps({"op": "ping"}))

    def _over(self, why: str) -> None:
        """Say that it is over, and why."""
        self.failure = why
        self.ended.set()

    def exit(self) -> None:
        """Close the connection and wait for its thread."""
        self.exited = True
        if hasattr(self, "ws"):
            self.ws.close()
        thread = getattr(self, "wst", None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(self.connect_timeout_s)


@dataclass(frozen=True)
class StreamFactory:
    """Makes one connection after the other to the same address.

    Args:
        url: scheme and host.
        channel_type: ``linear``, ``spot``, ``inverse``.
        ping_interval_s: between two pings.
        ping_timeout_s: how long an answer may take.
        connect_timeout_s: how long opening may take, all in all.

    Raises:
        HostError: an address that is not allowed.
    """

    url: str = MAINNET
    channel_type: str = "linear"
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 10.0
    connect_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse an address before anything is sent."""
        check_url(self.url, "stream")

    def __call__(
        self, on_text: Callable[[str], None], stopped: threading.Event | None = None
    ) -> BybitStream:
        """Connect, unless it is stopped meanwhile.

        Raises:
            StreamError: it could not be opened.
        """
        return BybitStream(
            self.url,
            self.channel_type,
            ping_interval_s=self.ping_interval_s,
            ping_timeout_s=self.ping_timeout_s,
            connect_timeout_s=self.connect_timeout_s,
            on_text=on_text,
            stopped=stopped,
        )
