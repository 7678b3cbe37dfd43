"""The loop of a session: begin when the history is there, decide at every close, in time or not.

A decision is made when all that arrived by its time was taken. One that this process could not make
before the candle opened that it would be filled at is missed, and said to be: made from what was
known then, but later, it would be one that nobody could have traded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mtf.errors import DataError, MtfError
from mtf.market.timeframe import Timeframe
from mtf.realtime.decision import Decision
from mtf.realtime.events import Event, Key
from mtf.realtime.intake import Intake
from mtf.realtime.live_trades import PATIENCE_MS, QUIET_MS
from mtf.realtime.session import Session

LOOK_S = 0.25
"""How long nobody looks at anything else."""
PATIENCE_S = 60.0
NEVER_MS = 2**62
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

    def intake(self, funding_every_ms: int = 0) -> Intake:
        """What understands the messages of the session, live or replayed.

        Args:
            funding_every_ms: between two payments; one that is due is asked for, and waited for,
                for five minutes. A replay must be given the same. 0 = not known.
        """
        return Intake(
            self.since,
            funding=self.funding,
            funding_every_ms=dict.fromkeys(self.funding, funding_every_ms),
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
            DataError: it was not.
        """
        try:
            rows = note["since"]
            since = {(str(of), Timeframe.parse(frame)): int(start) for of, frame, start in rows}
            funding = {str(name): int(start) for name, start in note["funding"].items()}
            return cls(since, funding, float(note["speed"]))
        except (LookupError, TypeError, ValueError, AttributeError, MtfError) as error:
            raise unreadable_note(error) from None


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


def unreadable_note(error: Exception) -> DataError:
    """What to say of a note of a session that is none."""
    return DataError(
        f"a note of the session in its recording can't be read ({type(error).__name__}: {error})",
        "a recording as mtf live writes it",
        "take another copy of it",
    )


def begin(
    session: Session,
    feed: LiveSource,
    look: Callable[[], bool],
    patience_s: float = PATIENCE_S,
) -> bool:
    """Wait for the history, and start the session with the next close of its clock.

    Args:
        session: to start.
        feed: tells the history.
        look: called again and again; whether to go on.
        patience_s: so long, of the wall clock, all streams are waited for; after that the candles
            of the traded symbol are enough, and what else is missing is missing.

    Returns:
        Whether it was started.
    """
    since_s = time.monotonic()
    while not _ready(session, feed, time.monotonic() - since_s >= patience_s):
        session.on(feed.take(NEVER_MS, LOOK_S))  # no time is over: a replay knows of none before
        if not look():
            return False
    at_ms = feed.now_ms()
    first_ms = session.next_after(at_ms)
    feed.note({"what": FIRST, "at_ms": at_ms, "first_ms": first_ms})
    while not feed.over(at_ms):
        session.on(feed.take(at_ms, LOOK_S))
    session.start(first_ms, at_ms)
    return True


def _ready(session: Session, feed: LiveSource, enough: bool) -> bool:
    """Whether the history is there, or what of it is enough."""
    now_ms = feed.now_ms()
    if feed.intake.caught_up(now_ms):
        return True
    return enough and bool(feed.intake.caught_up(now_ms, [session.clock_key]))


def keep_deciding(
    session: Session,
    feed: LiveSource,
    decided: Callable[[Decision], None],
    look: Callable[[], bool],
    slack_ms: int,
) -> None:
    """Decide at every close until it is enough.

    Args:
        session: that was started.
        feed: tells what happens.
        decided: gets every decision.
        look: called again and again; whether to go on.
        slack_ms: so late, of the market's time, a decision is always in time.
    """
    while look():
        past_ms = feed.now_ms() - deadline_ms(session.due_ms, session.filled_on, slack_ms)
        if past_ms >= 0 and session.next_ms is not None:
            step = session.clock.duration_ms
            until_ms = session.next_ms + past_ms // step * step
            feed.note({"what": MISSED, "first_ms": session.next_ms, "until_ms": until_ms})
            session.skip(until_ms)
        due_ms = session.due_ms
        latest_ms = deadline_ms(due_ms, session.filled_on, slack_ms)
        session.on(feed.take(due_ms, LOOK_S))
        if feed.over(due_ms) and feed.now_ms() < latest_ms:
            decided(session.decide())


def deadline_ms(due_ms: int, filled_on: Timeframe, slack_ms: int) -> int:
    """From when on a decision is too late: the open that it would be filled at is past.

    That open may be the very time at which the decision is to be made: no process is so quick, so
    the slack is given.

    Args:
        due_ms: when the decision is to be made; it is filled at the first open from then on.
        filled_on: the candles whose opens count.
        slack_ms: so long after ``due_ms`` it is in time whatever opens.
    """
    opens_ms = int(filled_on.open_time(filled_on.slot(due_ms - 1) + 1))
    return max(opens_ms, due_ms + slack_ms)


__all__ = [
    "BEGIN",
    "FIRST",
    "MISSED",
    "History",
    "LiveSource",
    "Source",
    "begin",
    "keep_deciding",
]
