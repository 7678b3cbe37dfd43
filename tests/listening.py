"""Listening to the exchange's stand-in with pybit's own clients."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import websocket
from pybit.unified_trading import HTTP, WebSocket

from mtf.realtime.sandbox.server import Sandbox

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
PATIENCE_S = 30.0


def pybit(sandbox: Sandbox, **options: Any) -> HTTP:
    """pybit's HTTP as it is, at another address."""
    session = HTTP(max_retries=1, **options)
    session.endpoint = sandbox.url
    return session


class PlainStream(WebSocket):  # type: ignore[misc]  # pybit has no types
    """pybit's WebSocket as it is, at another address.

    It waits for itself: pybit writes down what it asks for after it has asked, and the stand-in
    answers sooner than any exchange could.
    """

    def __init__(self, base: str, **options: Any) -> None:
        self.base = base
        self._asking = threading.RLock()
        super().__init__("linear", testnet=False, **options)

    def _connect(self, url: str) -> None:
        super()._connect(self.base + urlsplit(url).path)

    def subscribe(self, *arguments: Any, **named: Any) -> None:
        with self._asking:
            super().subscribe(*arguments, **named)

    def _on_message(self, message: str) -> None:
        with self._asking:
            super()._on_message(message)


class Heard:
    """What a callback was told, to be waited for."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._changed = threading.Condition()

    def __call__(self, message: dict[str, Any]) -> None:
        with self._changed:
            self.messages.append(copy.deepcopy(message))  # pybit goes on to change its books
            self._changed.notify_all()

    def wait(self, done: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """All messages as soon as they are what is waited for."""
        with self._changed:
            if not self._changed.wait_for(lambda: done(self.messages), PATIENCE_S):
                raise AssertionError(f"not heard within {PATIENCE_S} s, but {self.messages[-3:]}")
            return list(self.messages)

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """All messages as soon as there are so many."""
        return self.wait(lambda messages: len(messages) >= count)

    @property
    def closed(self) -> list[dict[str, Any]]:
        """Closed candles, in the order in which they came."""
        return closed(self.messages)


def closed(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Closed candles of some messages."""
    return [candle for message in messages for candle in message["data"] if candle["confirm"]]


def hang_up(socket: websocket.WebSocket) -> None:
    """Close a socket without a word."""
    socket.shutdown()  # type: ignore[no-untyped-call]


def until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"not so within {PATIENCE_S} s")
        time.sleep(0.005)


@contextmanager
def listening(sandbox: Sandbox, **options: Any) -> Iterator[PlainStream]:
    """A stream that is closed in the end.

    Its thread may sleep for as long as the time-out of pings before it sees that it was closed.
    """
    stream = PlainStream(sandbox.websocket_url, **{"ping_timeout": 0.1, **options})
    try:
        yield stream
    finally:
        stream.exit()
        if stream.wst.is_alive():
            stream.wst.join(PATIENCE_S)
