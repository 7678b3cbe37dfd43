"""Keeps a stream alive: one connection after the other, never faster than the exchange bears.

pybit's connection ends of many causes (see ``bybit_stream``), and of one it never ends: a server
that answers pings and sends no data. Both are seen here. What was missed in between is not: the
messages ``lost`` and ``open`` say that something may be missing, and REST is asked for it.

A topic that the exchange refuses, such as one of a symbol that is traded no more, ends nothing: it
is told, the others go on, and it is asked for again after a while.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
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
STALE_KLINES_S = 75.0
"""Candles alone: where nothing trades the exchange tells one a minute."""
LEAST_STALE_S = 2.0
REFUSED_S = 600.0
"""Before a refused topic is asked for again."""
LOOK_S = 0.1
LONGEST_LOOK_S = 1.0
"""More silence than that is not counted between two looks: this process was stopped, and what came
meanwhile is still to be read."""
ACCEPT_S = 10.0
"""How long the answer to a subscription may take."""
END_S = 0.5
"""How long the reader of a connection that breaks may take to say why."""
KLINE, SYMBOL = "kline.", ".{symbol}"


@runtime_checkable
class Connect(Protocol):
    """Makes a connection."""

    def __call__(self, on_text: Callable[[str], None], stopped: threading.Event) -> BybitStream:
        """Connect, and hand on every text; ``stopped`` ends the attempt.

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


class Silence:
    """For how long nothing was heard, while this process was not stopped itself.

    Args:
        now_s: when it begins.
        heard: how many messages there were by then.
    """

    def __init__(self, now_s: float, heard: int) -> None:
        """Begin."""
        self._looked_s, self._heard, self._seconds = now_s, heard, 0.0

    def seconds(self, now_s: float, heard: int) -> float:
        """Its length; to be asked again and again."""
        self._seconds += min(now_s - self._looked_s, LONGEST_LOOK_S)
        if heard != self._heard:
            self._seconds = 0.0
        self._looked_s, self._heard = now_s, heard
        return self._seconds


class Supervisor:
    """Connects, subscribes, and starts anew whenever that ends, in a thread.

    Args:
        connect: makes a connection.
        topics: all that is subscribed.
        on_text: gets every message of a topic.
        clock: the market's time.
        inbox: told when a connection opens, when and why it is lost, and what it was refused.
        backoff: between two connections.
        stale_s: of the market's time: without data for so long a connection is given up; None = by
            the topics: 75 s where all are of candles, else 20 s.
        least_stale_s: of the wall clock, at least.
        refused_s: of the market's time, before a refused topic is asked for again.
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
        stale_s: float | None = None,
        least_stale_s: float = LEAST_STALE_S,
        refused_s: float = REFUSED_S,
    ) -> None:
        """Connect to nothing yet."""
        self._connect, self._topics, self._on_text = connect, tuple(topics), on_text
        self._inbox = inbox
        self._backoff = backoff or Backoff()
        klines = all(topic.startswith(KLINE) for topic in topics)
        self._stale_s = stale_s or (STALE_KLINES_S if klines else STALE_S)
        self._silence_s = max(clock.seconds(1_000 * self._stale_s), least_stale_s)
        self._refused_s = max(clock.seconds(1_000 * refused_s), EVERY_S)
        self._heard = 0
        self._unwanted = ""
        self._stopped = threading.Event()

    def start(self) -> threading.Thread:
        """Begin."""
        return self._inbox.thread("supervisor", self._supervise)

    def stop(self) -> None:
        """Connect no more; the thread closes what is open."""
        self._stopped.set()

    def renew(self, why: str) -> None:
        """Give the connection up that there is, as if it had been lost."""
        self._unwanted = why

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
            stream = self._connect(on_text=self._hear, stopped=self._stopped)
        except StreamError as error:
            self._tell("refused", error.found)
            return
        state = "lost"
        try:
            why = self._subscribe(stream)
            if not why and self._topics and not stream.accepted:
                state, why = "refused", "; ".join(self._refusals(stream).values())
            elif not why:
                self._unwanted = ""  # what was asked for until now was of another connection
                self._opened(stream)
                why = self._watch(stream)
        finally:
            stream.exit()
        self._tell(state, why)

    def _subscribe(self, stream: BybitStream) -> str:
        """Ask for all topics; return why that failed, or nothing once all are answered."""
        why = self._ask(stream, self._topics)
        end = time.monotonic() + ACCEPT_S
        while not why and not self._answered(stream):
            if stream.ended.wait(0.005) or self._stopped.is_set():
                return stream.failure or "closed by us"
            if time.monotonic() > end:
                why = f"no answer to a subscription in {ACCEPT_S:g} s"
        return why

    def _ask(self, stream: BybitStream, topics: Iterable[str]) -> str:
        """Ask for topics one by one, since a refusal is of all that is asked for at once."""
        try:
            for topic in topics:
                head, _, symbol = topic.rpartition(".")
                stream.subscribe(head + SYMBOL, self._on_text, symbol)
        except (StreamError, OSError, websocket.WebSocketException) as error:
            stream.ended.wait(END_S)
            return stream.failure or str(error)
        return ""

    def _answered(self, stream: BybitStream) -> bool:
        """Whether each topic was accepted or refused."""
        return all(topic in stream.accepted or topic in stream.refused for topic in self._topics)

    def _refusals(self, stream: BybitStream) -> dict[str, str]:
        """The topics that were refused, in words."""
        refused = [topic for topic in self._topics if topic not in stream.accepted]
        return {topic: f"topic {topic} was refused: {stream.refused[topic]}" for topic in refused}

    def _opened(self, stream: BybitStream) -> None:
        """Say that a connection is open, and then of which topics nothing will come."""
        refused, count = self._refusals(stream), len(self._topics)
        self._tell(
            "open", f"{count - len(refused)} of {count} topics" if refused else f"{count} topics"
        )
        for topic, why in refused.items():
            self._tell("failed", why, topic=topic)

    def _watch(self, stream: BybitStream) -> str:
        """Wait for the end of a connection, or end it when it is silent; return why."""
        asked_s = time.monotonic()
        silence = Silence(asked_s, self._heard)
        while not stream.ended.wait(LOOK_S):
            now, why = time.monotonic(), self._unwanted
            if self._stopped.is_set():
                return "closed by us"
            if silence.seconds(now, self._heard) > self._silence_s:
                why = f"no data for {self._stale_s:g} s while pings were answered"
            elif now - asked_s > self._refused_s and self._answered(stream):
                asked_s = now
                why = why or self._ask(stream, self._refusals(stream))
            if why:
                return why
        return stream.failure

    def _hear(self, text: str) -> None:
        """Hand on a message, and note when there was one."""
        self._heard += 1
        self._on_text(text)

    def _tell(self, state: str, why: str, **more: str) -> None:
        """Say what became of the connection, but not that we closed it."""
        if not self._stopped.is_set():
            self._inbox.put("state", {"state": state, "why": why, **more})
