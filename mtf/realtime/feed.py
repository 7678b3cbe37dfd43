"""The feed: streams, REST and clock together, heard by one thread in the order of arrival.

Threads put messages into an inbox; whoever calls ``take`` gets what they mean. Each message is
recorded before it is understood, so that a ``Replay`` of the recording gives the same events.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from mtf.realtime.backfill import AGAIN_S, LONGEST_S, Backfill
from mtf.realtime.events import Ask, Event, FeedFault, Message
from mtf.realtime.inbox import Inbox
from mtf.realtime.live_clock import EVERY_S, LEAST_S, ClockKeeper, LiveClock
from mtf.realtime.recording import Writer
from mtf.realtime.rest import Rest
from mtf.realtime.silent_trades import KIND as SILENT_TRADES
from mtf.realtime.supervisor import LEAST_STALE_S, REFUSED_S, Backoff, Connect, Supervisor

LOOK_S = 0.1
"""How often it is asked what is wanted."""
END_S = 2.0
"""How long the end waits for what is on its way."""


@runtime_checkable
class Understanding(Protocol):
    """What makes events of messages: an ``Intake``."""

    @property
    def topics(self) -> Sequence[str]:
        """Of the websocket."""

    def take(self, message: Message) -> Sequence[Event]:
        """What a message means."""

    def advance(self, now_ms: int) -> Sequence[Event]:
        """What time alone means."""

    def wanted(self, now_ms: int) -> Sequence[Ask]:
        """What REST is to be asked."""


class Feed:
    """What the exchange tells, while used in a ``with`` block, whose end closes all it was given.

    Args:
        intake: makes events of messages; only the thread that calls ``take`` touches it.
        rest: asks; a few attempts a question will do, since all is asked again that did not come.
        stream: makes connections.
        clock: the exchange's time.
        record: gets every message; None = nothing is recorded.
        category: of the exchange.
        backoff: between two connections.
        stale_s: of the market's time: without data for so long a connection is given up; None = by
            the topics.
        least_stale_s: of the wall clock, at least.
        refused_s: of the market's time, before a refused topic is asked for again.
        again_s: of the wall clock, before REST is asked the same again.
        longest_again_s: at most, after failures.
        measure_s: of the market's time, between two measurements of the clock.
        least_measure_s: of the wall clock, at least.
    """

    def __init__(
        self,
        intake: Understanding,
        *,
        rest: Rest,
        stream: Connect,
        clock: LiveClock,
        record: Writer | None = None,
        category: str = "linear",
        backoff: Backoff | None = None,
        stale_s: float | None = None,
        least_stale_s: float = LEAST_STALE_S,
        refused_s: float = REFUSED_S,
        again_s: float = AGAIN_S,
        longest_again_s: float = LONGEST_S,
        measure_s: float = EVERY_S,
        least_measure_s: float = LEAST_S,
    ) -> None:
        """Join the parts; nothing is asked yet."""
        self.intake, self.clock = intake, clock
        self._rest, self._record = rest, record
        self._inbox = Inbox(clock)
        self._keeper = ClockKeeper(
            clock, rest, self._inbox, every_s=measure_s, least_s=least_measure_s
        )
        self._backfill = Backfill(
            rest,
            clock,
            self._inbox,
            category=category,
            again_s=again_s,
            longest_s=longest_again_s,
        )
        self._supervisor = Supervisor(
            stream,
            intake.topics,
            self._hear,
            clock,
            self._inbox,
            backoff=backoff,
            stale_s=stale_s,
            least_stale_s=least_stale_s,
            refused_s=refused_s,
        )
        self._threads: list[threading.Thread] = []
        self._looked_s = float("-inf")
        self._over_ms = -1

    def __enter__(self) -> Feed:
        """Measure the clock, and begin.

        Raises:
            ExchangeError: REST does not say what time it is.
        """
        try:
            self._threads.append(self._keeper.start())
            self._threads.append(self._supervisor.start())
            self._threads.extend(self._backfill.start())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all threads and connections, and the recording with what was taken."""
        self._close()

    def now_ms(self) -> int:
        """The exchange's time."""
        return self._inbox.now_ms()

    def take(self, until_ms: int, wait_s: float = 1.0) -> list[Event]:
        """The events of what arrived by a time, in order.

        Waits for something to arrive, for that time, or for so many seconds of the wall clock,
        whichever is first. What arrives later stays for the next call.

        Raises:
            BaseException: what ended one of the threads, which is a defect of ours.
        """
        end = time.monotonic() + wait_s
        while True:
            messages, over = self._inbox.take(until_ms, min(wait_s, LOOK_S))
            events = [event for message in messages for event in self._understand(message)]
            if over and not self.over(until_ms):
                self._over_ms = until_ms
                events.extend(self._mended(self.intake.advance(until_ms)))
            self._want()
            if messages or over or time.monotonic() >= end:
                return events

    def over(self, until_ms: int) -> bool:
        """Whether ``take`` gave all that arrived by a time, which is past."""
        return self._over_ms >= until_ms

    def note(self, content: Mapping[str, Any]) -> None:
        """Let something be recorded that only the session knows."""
        self._inbox.put("session", content)

    def renew(self, why: str) -> None:
        """Give the connection up that there is, and connect anew."""
        self._supervisor.renew(why)

    def _hear(self, text: str) -> None:
        """Take a text of the stream, in its thread."""
        message = self._inbox.put("frame", {"text": text})
        self._keeper.hear(text, message.at_ms)

    def _understand(self, message: Message) -> Sequence[Event]:
        """Record first, then read; a topic that fell silent alone needs another connection."""
        if self._record is not None:
            self._record.write(message)
        if message.kind == "state" and message.content["state"] == "open":
            self._backfill.forget()
        return self._mended(self.intake.take(message))

    def _mended(self, events: Sequence[Event]) -> Sequence[Event]:
        """The same events; what they ask of the connection is done."""
        for event in events:
            if isinstance(event, FeedFault) and event.kind == SILENT_TRADES:
                self.renew(event.words)
        return events

    def _want(self) -> None:
        """Say what REST is to be asked, now and then."""
        now = time.monotonic()
        if now - self._looked_s >= LOOK_S:
            self._looked_s = now
            self._backfill.want(self.intake.wanted(self.now_ms()))

    def _close(self) -> None:
        """End everything."""
        self._rest.stop("the feed ended")
        for part in (self._keeper, self._backfill, self._supervisor):
            part.stop()
        end = time.monotonic() + END_S
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        self._rest.close()
        if self._record is not None:
            self._end_of(self._record)

    def _end_of(self, record: Writer) -> None:
        """Write down what the session noted, and that this is the end.

        What arrived and was never taken had no effect, and is none of the session.
        """
        self.note({"what": "end"})
        try:
            for message in self._inbox.rest():
                if message.kind == "session":
                    record.write(message)
        finally:
            record.close()


class Replay:
    """A recording, taken as a feed was: its time is the time of arrival.

    Args:
        intake: makes events of messages.
        messages: as recorded, such as those of ``read_recording``.
    """

    def __init__(self, intake: Understanding, messages: Iterable[Message]) -> None:
        """Begin before the first message."""
        self.intake = intake
        self._messages = iter(messages)
        self._next = next(self._messages, None)
        self._now_ms = 0 if self._next is None else self._next.at_ms
        self._over_ms = -1

    @property
    def ended(self) -> bool:
        """Whether there are no more messages."""
        return self._next is None

    def now_ms(self) -> int:
        """The time of what was taken last."""
        return self._now_ms

    def take(self, until_ms: int, wait_s: float = 0.0) -> list[Event]:
        """The events of what arrived by a time, in order; there is nothing to wait for."""
        events: list[Event] = []
        while self._next is not None and self._next.at_ms <= until_ms:
            self._now_ms = max(self._now_ms, self._next.at_ms)
            events.extend(self.intake.take(self._next))
            self._next = next(self._messages, None)
        if self._next is not None and not self.over(until_ms):
            self._now_ms = max(self._now_ms, until_ms)
            self._over_ms = until_ms
            events.extend(self.intake.advance(until_ms))
        return events

    def over(self, until_ms: int) -> bool:
        """Whether the feed went on beyond a time; after its end there is nothing to decide."""
        return self._over_ms >= until_ms
