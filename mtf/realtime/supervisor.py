"""Keeps a stream alive: one connection after the other, never faster than the exchange bears.

pybit's connection ends of many causes (see ``bybit_stream``), and of one it never ends: a server
that answers pings and sends no data. Both are seen here. What was missed in between is not: the
messages ``lost`` and ``open`` say that something may be missing, and REST is asked for it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import websocket

from mtf.realtime.bybit_stream import BybitStream, StreamError
from mtf.realtime.inbox import Inbox
from mtf.realtime.live_clock import LiveClock

EVERY_S = 1.1
"""At least so long between two connects, always: the exchange allows 500 in 5 minutes.

A little more than a second, so that it is one a second where they arrive, too.
"""
STALE_S = 20.0
LEAST_STALE_S = 2.0
LOOK_S = 0.1
ACCEPT_S = 10.0
"""How long the answer to a subscription may take."""
SYMBOL = ".{symbol}"


@runtime_checkable
class Connect(Protocol):
    """Makes a connection."""

    def __call__(self, on_text: Callable[[str], None]) -> BybitStream:
        """Connect, and hand on every text.

        Raises:
            StreamError: it could not be opened.
        """


class Backoff:
    """How long to wait before the next attempt: twice as long every time, with jitter.

    Args:
        first_s: after the first failure.
        longest_s: at most, without the jitter.
        steady_s: a connection that lived so long was a good one: it begins with ``first_s`` again.
        seed: of the jitter; None = another one every time.
    """

    def __init__(
        self,
        first_s: float = 1.0,
        longest_s: float = 30.0,
        steady_s: float = 60.0,
        seed: int | None = None,
    ) -> None:
        """Nothing failed yet."""
        self.first_s, self.longest_s, self.steady_s = first_s, longest_s, steady_s
        self._failures = 0
        self._jitter = random.Random(seed)

    def wait_s(self, lived_s: float) -> float:
        """The wait after a connection that lived for so many seconds."""
        self._failures = 0 if lived_s >= self.steady_s else self._failures
        wait = min(self.first_s * 2.0**self._failures, self.longest_s)
        self._failures = min(self._failures + 1, 30)
        return wait * self._jitter.uniform(1.0, 1.25)


class Supervisor:
    """Connects, subscribes, and starts anew whenever that ends, in a thread.

    Args:
        connect: makes a connection.
        topics: all that is subscribed.
        on_text: gets every message of a topic.
        clock: the market's time.
        inbox: told when a connection opens, and when and why it is lost.
        backoff: between two connections.
        stale_s: of the market's time: without data for so long a connection is given up.
        least_stale_s: of the wall clock, at least.
    """

    def __init__(
        self,
        connect: Connect,
        topics: Sequence[str],
        on_text: Callable[[str], object],
        clock: LiveClock,
        inbox: Inbox,
        *,
        backoff: Backoff | None = None,
        stale_s: float = STALE_S,
        least_stale_s: float = LEAST_STALE_S,
    ) -> None:
        """Connect to nothing yet."""
        self._connect, self._topics, self._on_text = connect, tuple(topics), on_text
        self._inbox = inbox
        self._backoff = backoff or Backoff()
        self._stale_s = stale_s
        self._silence_s = max(clock.seconds(1_000 * stale_s), least_stale_s)
        self._heard_s = 0.0
        self._stopped = threading.Event()

    def start(self) -> threading.Thread:
        """Begin."""
        return self._inbox.thread("supervisor", self._supervise)

    def stop(self) -> None:
        """Connect no more; the thread closes what is open."""
        self._stopped.set()

    def _supervise(self) -> None:
        """The thread."""
        while not self._stopped.is_set():
            began = time.monotonic()
            self._live()
            ended = time.monotonic()
            wait = max(self._backoff.wait_s(ended - began), began + EVERY_S - ended)
            self._stopped.wait(wait)

    def _live(self) -> None:
        """One connection, from its opening to its end."""
        try:
            stream = self._connect(on_text=self._hear)
        except StreamError as error:
            self._tell("refused", error.found)
            return
        try:
            why = self._subscribe(stream)
            if not why:
                self._tell("open", f"{len(self._topics)} topics")
                why = self._watch(stream)
        finally:
            stream.exit()
        self._tell("lost", why)

    def _subscribe(self, stream: BybitStream) -> str:
        """Ask for all topics; return why that failed, or nothing once all are accepted."""
        try:
            for topic in self._topics:
                head, _, symbol = topic.rpartition(".")
                stream.subscribe(head + SYMBOL, self._on_text, symbol)
        except (StreamError, OSError, websocket.WebSocketException) as error:
            return stream.failure or str(error)
        end = time.monotonic() + ACCEPT_S
        while not stream.accepted.issuperset(self._topics):
            if stream.ended.wait(0.005) or self._stopped.is_set():
                return stream.failure or "closed by us"
            if time.monotonic() > end:
                return f"no answer to a subscription in {ACCEPT_S:g} s"
        return ""

    def _watch(self, stream: BybitStream) -> str:
        """Wait for the end of a connection, or end it when it is silent; return why."""
        self._heard_s = time.monotonic()
        while not stream.ended.wait(LOOK_S):
            if self._stopped.is_set():
                return "closed by us"
            if time.monotonic() - self._heard_s > self._silence_s:
                return f"no data for {self._stale_s:g} s while pings were answered"
        return stream.failure

    def _hear(self, text: str) -> None:
        """Hand on a message, and note when there was one."""
        self._heard_s = time.monotonic()
        self._on_text(text)

    def _tell(self, state: str, why: str) -> None:
        """Say what became of the connection, but not that we closed it."""
        if not self._stopped.is_set():
            self._inbox.put("state", {"state": state, "why": why})
