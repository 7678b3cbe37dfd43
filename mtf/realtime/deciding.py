"""The loop of a session: begin when the history is there, decide at every close, in time or not.

A decision is made when all that arrived by its time was taken. One that this process could not make
before the candle opened that it would be filled at is missed, and said to be: made from what was
known then, but later, it would be one that nobody could have traded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Event, Key
from mtf.realtime.intake import Intake
from mtf.realtime.live_trades import PATIENCE_MS, QUIET_MS
from mtf.realtime.session import Session

LOOK_S = 0.25
"""How long nobody looks at anything else."""
BEGIN, FIRST, MISSED = "begin", "first decision", "missed decisions"
"""What a session notes in its recording."""


@dataclass(frozen=True)
class History:
    """From when on a session wants to be told.

    Attributes:
        since: of every key, the first open time (ms).
        funding: symbol → the first time (ms) of whose rates it wants to know.
        speed: market seconds a second: what takes a while outside takes more of the market's time.
    """

    since: Mapping[Key, int]
    funding: Mapping[str, int]
    speed: float = 1.0

    def intake(self) -> Intake:
        """What understands the messages of the session, live or replayed."""
        return Intake(
            self.since,
            funding=self.funding,
            quiet_ms=round(QUIET_MS * self.speed),
            patience_ms=round(PATIENCE_MS * self.speed),
        )

    def note(self) -> dict[str, Any]:
        """As it is recorded."""
        since = [[symbol, str(frame), start] for (symbol, frame), start in self.since.items()]
        told = {"since": since, "funding": dict(self.funding), "speed": self.speed}
        return {"what": BEGIN, **told}

    @classmethod
    def of(cls, note: Mapping[str, Any]) -> History:
        """As it was recorded.

        Raises:
            MtfError: it was not.
        """
        rows = note["since"]
        since = {(str(symbol), Timeframe.parse(frame)): int(start) for symbol, frame, start in rows}
        funding = {str(name): int(start) for name, start in note["funding"].items()}
        return cls(since, funding, float(note["speed"]))


@runtime_checkable
class Source(Protocol):
    """A feed, or a replay of one."""

    def now_ms(self) -> int:
        """The exchange's time."""

    def take(self, until_ms: int, wait_s: float = ...) -> list[Event]:
        """The events of what arrived by a time."""

    def over(self, until_ms: int) -> bool:
        """Whether that was all of it, and the time is past."""


@runtime_checkable
class LiveSource(Source, Protocol):
    """A feed."""

    intake: Any

    def note(self, content: dict[str, Any]) -> None:
        """Record what only the session knows."""


def begin(session: Session, feed: LiveSource, look: Callable[[], bool]) -> bool:
    """Wait for the history, and start the session with the next close of its clock.

    Args:
        session: to start.
        feed: tells the history.
        look: called again and again; whether to go on.

    Returns:
        Whether it was started.
    """
    while not feed.intake.caught_up(feed.now_ms()):
        session.on(feed.take(feed.now_ms() + 1_000, LOOK_S))
        if not look():
            return False
    at_ms = feed.now_ms()
    first_ms = int(session.clock.open_time(session.clock.slot(at_ms) + 1))
    feed.note({"what": FIRST, "at_ms": at_ms, "first_ms": first_ms})
    start(session, feed, first_ms, at_ms)
    return True


def start(session: Session, source: Source, first_ms: int, at_ms: int) -> None:
    """Take all that arrived by a time as history, and start."""
    while not source.over(at_ms):
        session.on(source.take(at_ms, LOOK_S))
    session.start(first_ms, at_ms)


def keep_deciding(
    session: Session,
    feed: LiveSource,
    decided: Callable[[Decision], None],
    look: Callable[[], bool],
) -> None:
    """Decide at every close until it is enough.

    Args:
        session: that was started.
        feed: tells what happens.
        decided: gets every decision.
        look: called again and again; whether to go on.
    """
    while look():
        past_ms = feed.now_ms() - deadline_ms(session)
        if past_ms >= 0 and session.next_ms is not None:
            step = session.clock.duration_ms
            until_ms = session.next_ms + past_ms // step * step
            feed.note({"what": MISSED, "first_ms": session.next_ms, "until_ms": until_ms})
            session.skip(until_ms)
        due_ms = session.due_ms
        session.on(feed.take(due_ms, LOOK_S))
        if feed.over(due_ms):
            decided(session.decide())


def deadline_ms(session: Session) -> int:
    """From when on the next decision is too late: the open that it would be filled at is past.

    Without a delay that open is the decision itself; then one step is given.
    """
    opens_ms = int(session.clock.open_time(session.clock.slot(session.due_ms - 1) + 1))
    return opens_ms if opens_ms > session.due_ms else session.due_ms + session.clock.duration_ms


__all__ = [
    "BEGIN",
    "FIRST",
    "MISSED",
    "History",
    "LiveSource",
    "Source",
    "begin",
    "keep_deciding",
    "start",
]
