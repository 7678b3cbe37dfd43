"""A recorded session gone through once more: the same code, the same order, the time of arrival.

Every process that took part has a recording of its own, from its history on; what went before it
comes from the replay of the one before, as the process had it from its journal. Of a process
without a recording, and of one that was stopped before its first decision, the journal is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mtf.errors import DataError
from mtf.realtime.deciding import BEGIN, FIRST, MISSED, NEVER_MS, History, Source, unreadable_note
from mtf.realtime.decision import Decision
from mtf.realtime.events import Closed, Event, Message
from mtf.realtime.feed import Replay
from mtf.realtime.journal import Lines
from mtf.realtime.recording import read_recording
from mtf.realtime.segments import (
    Line,
    Segment,
    begun_in,
    candles_in,
    decisions_in,
    last_arrival_ms,
    settled,
)
from mtf.realtime.session import Session
from mtf.realtime.terms import Model, Terms


@dataclass(frozen=True)
class Notes:
    """What a session noted in a recording.

    Attributes:
        history: from when it wanted to be told.
        at_ms: when it started; None = it never did.
        first_ms: its first decision.
        missed: first decision → last one of those that it missed in a row.
    """

    history: History
    at_ms: int | None = None
    first_ms: int = 0
    missed: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What one process did, as replayed.

    Attributes:
        decisions: that it made; none where the journal is believed.
        closed: all candles that it was told, history too.
        missed: times of decisions that it missed.
    """

    decisions: Sequence[Decision]
    closed: Sequence[Closed]
    missed: Sequence[int]


@dataclass(frozen=True)
class Replayed:
    """A session as replayed.

    Attributes:
        parts: one a process.
        session: of the last process that began and has a recording.
        lines: of the journal, up to where the replay of that process ends.
        unrecorded: processes before it that began and have no recording; what they did is believed.
        later: processes behind it that began and have none; they are left out.
    """

    parts: Sequence[Part]
    session: Session
    lines: Sequence[Line]
    unrecorded: int = 0
    later: int = 0

    @property
    def decisions(self) -> list[Decision]:
        """All of them."""
        return [decision for part in self.parts for decision in part.decisions]


def replay_session(
    recordings: Sequence[Path],
    model: Callable[[], Model],
    terms: Terms,
    segments: Sequence[Segment],
) -> Replayed:
    """Go through recordings in order.

    Args:
        recordings: of the processes, in order.
        model: makes a fresh one, for each of them.
        terms: of the session; how often funding is paid each process knew for itself.
        segments: lines of the journal, of each process. They say where each ended; nothing else is
            taken from them where there is a recording.

    Raises:
        DataError: no recording of a session that decided anything.
    """
    found = _by_begin(recordings)
    lines, parts, session, unrecorded = Lines(), list[Part](), None, 0
    starts = [begun_in(segment) for segment in segments]
    recorded = [at for at, one in enumerate(starts) if one and (one.at_ms, one.first_ms) in found]
    last = recorded[-1] if recorded else -1
    for number, (segment, begun) in enumerate(zip(segments[: last + 1], starts, strict=False)):
        if begun is None or number not in recorded:
            lines.written.extend(dict(line) for line in segment)
            parts.append(Part([], candles_in(segment), []))
            unrecorded += begun is not None
            continue
        own = replace(terms, funding_every_ms=begun.funding_every_ms)
        session = Session(model(), own, lines)
        session.recall(list(lines.written))
        path, notes = found[begun.at_ms, begun.first_ms]
        parts.append(_part(path, notes, session, segment, last=number == last))
    if session is None:
        told = ", ".join(str(path) for path in recordings) or "there is none"
        raise DataError(
            f"no recording of a session that started: {told}",
            "a session that made decisions",
            "let mtf live run for longer",
        )
    before = [line for segment in segments[:last] for line in segment]
    later = sum(begun is not None for begun in starts[last + 1 :])
    return Replayed(parts, session, [*before, *settled(segments[last])], unrecorded, later)


def _by_begin(recordings: Iterable[Path]) -> dict[tuple[int, int], tuple[Path, Notes]]:
    """Recordings of sessions that began, by when, and by their first decision."""
    found = {}
    for path in recordings:
        notes = notes_of(read_recording(path))
        if notes is not None and notes.at_ms is not None:
            found[notes.at_ms, notes.first_ms] = path, notes
    return found


def notes_of(messages: Iterable[Message]) -> Notes | None:
    """What a session noted; None = nothing.

    Raises:
        DataError: a note that can't be read.
    """
    history, at_ms, first_ms, missed = None, None, 0, {}
    for content in (message.content for message in messages if message.kind == "session"):
        try:
            if content["what"] == BEGIN:
                history = History.of(content)
            elif content["what"] == FIRST:
                at_ms, first_ms = int(content["at_ms"]), int(content["first_ms"])
            elif content["what"] == MISSED:
                first, until = int(content["first_ms"]), int(content["until_ms"])
                if until < first:
                    raise ValueError("decisions that were missed end before they begin")
                missed[first] = until
        except (LookupError, TypeError, ValueError) as error:
            raise unreadable_note(error) from None
    return None if history is None else Notes(history, at_ms, first_ms, missed)


def _part(
    path: Path,
    notes: Notes,
    session: Session,
    segment: Segment,
    *,
    last: bool,
) -> Part:
    """Replay what one process did.

    The last one of all ends with its last decision where it was killed. Of another one the process
    that went on had all that the journal tells, up to the kill.
    """
    assert notes.at_ms is not None
    last_ms = max((one.time_ms for one in decisions_in(segment)), default=0)
    intake = notes.history.intake(session.terms.funding_every_ms)
    heard = _Heard(Replay(intake, read_recording(path)))
    decisions, missed = list[Decision](), list[int]()
    session.on(heard.take(notes.at_ms))
    session.start(notes.first_ms, notes.at_ms)
    step = session.clock.duration_ms
    while session.next_ms is not None:
        while session.next_ms in notes.missed:
            until_ms = notes.missed[session.next_ms]
            missed.extend(range(session.next_ms, until_ms + 1, step))
            session.skip(until_ms)
        if session.next_ms > last_ms:
            break
        due_ms = session.due_ms
        session.on(heard.take(due_ms))
        if not heard.over(due_ms):  # it decided, and then nothing came before its end
            session.on(intake.advance(due_ms))
        decisions.append(session.decide())
    if any(line["kind"] == "end" for line in segment):
        session.on(heard.take(NEVER_MS))
        session.end(heard.now_ms())
    elif not last:
        session.on(heard.take(last_arrival_ms(segment)))
    return Part(decisions, heard.closed, missed)


class _Heard:
    """A replay, of which the candles are kept."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.closed: list[Closed] = []

    def now_ms(self) -> int:
        return self.source.now_ms()

    def take(self, until_ms: int, wait_s: float = 0.0) -> list[Event]:
        events = self.source.take(until_ms, wait_s)
        self.closed.extend(event for event in events if isinstance(event, Closed))
        return events

    def over(self, until_ms: int) -> bool:
        return self.source.over(until_ms)


__all__ = ["Part", "Replayed", "notes_of", "replay_session"]
